"""From a site file to a running agent. Imports no database and no web server: an agent is a small program."""

from __future__ import annotations

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from suanwang.adapters.clock import SystemClock
from suanwang.client.link import HttpLink
from suanwang.domain.errors import (
    Conflict,
    InvalidRequest,
    OutcomeUnknown,
    SuanwangError,
    Unauthorized,
    Unavailable,
)
from suanwang.domain.sample import Sample
from suanwang.ports import Connector
from suanwang.sensing.agent import Agent
from suanwang.sensing.background import Threads
from suanwang.sensing.carrying import SiteCache
from suanwang.sensing.gauge import Gauge
from suanwang.sensing.spool import DiskSpool
from suanwang.sensing.workshop import FolderWorkshop
from suanwang.sitefile import SiteDeclaration
from suanwang.wiring.secrets import write_secret

CACHE_BYTES = 50 * 10**9
UNFINISHED = timedelta(days=7)
"""A file of which nothing came for so long is given up."""
PROBE_BUDGET_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""Short against a lease: a network that is back must hear from the site before its leases end."""


def make_connector(declaration: SiteDeclaration, home: Path) -> Connector:
    """The connector a site file names, with its memory under `home`. Raises `InvalidRequest` or `Unavailable`."""
    options, offering, spool = declaration.connector, declaration.offering, home / "connector"
    partitions = (offering.partition,) if offering.partition else ()
    match options.kind:
        case "local":
            from suanwang.sensing.connectors.local.connector import LocalConnector

            return LocalConnector(
                spool=spool,
                cores=offering.cores,
                memory_gb=offering.memory_gb,
                devices={pool.model: pool.count for pool in offering.devices},
                pin_cores=options.pin_cores,
            )
        case "slurm":
            from suanwang.sensing.connectors.slurm import by_commands

            return by_commands(
                spool=spool,
                gres_types=declaration.gres_types,
                label=options.label,
                partitions=partitions,
                slurm_conf=Path(options.conf) if options.conf else None,
            )
        case "slurmrestd":
            from suanwang.sensing.connectors.slurm import by_rest

            assert options.url, "the site file asks for it"
            assert options.user, "the site file asks for it"
            assert options.token_file, "the site file asks for it"
            token_file = Path(options.token_file)
            return by_rest(
                url=options.url,
                user=options.user,
                token=lambda: token_file.read_text().strip(),
                spool=spool,
                gres_types=declaration.gres_types,
                label=options.label,
                partitions=partitions,
            )
        case kind:
            raise InvalidRequest(f"no connector {kind!r}", field="connector.kind", allowed="local, slurm, slurmrestd")


def run_agent(
    declaration: SiteDeclaration,
    *,
    url: str,
    token: str | None,
    home: Path,
    stop: threading.Event | None = None,
    on_event: Callable[[str], None] | None = None,
) -> None:
    """Run one site's agent until `stop`, SIGTERM or SIGINT; runs it holds go on and are adopted at the next start.

    `token` is a join token; later starts use the credential kept under `home`. Raises `Unauthorized`, `Forbidden`,
    `Conflict` when another agent took over the site, `InvalidRequest` for a site file that cannot work here.
    """
    stop = stop or threading.Event()
    tell = on_event or (lambda _: None)
    home = home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    credential = home / "credential"
    secret = credential.read_text().strip() if credential.exists() else token
    if not secret:
        raise Unauthorized(
            "this site has not joined yet: start its agent with `--join TOKEN`", field="token", allowed="a join token"
        )
    with _sole(home), ExitStack() as stack:
        link = HttpLink(url, secret, on_credential=lambda made: write_secret(credential, made))
        stack.callback(link.close)
        threads = Threads()
        stack.callback(threads.close)
        clock, cache = SystemClock(), SiteCache(home / "cache", CACHE_BYTES)
        cache.sweep(clock.now() - UNFINISHED)
        gauge = Gauge(threads, _probing(home, url, link) if declaration.probe else None)
        agent = Agent(
            link=link,
            connector=make_connector(declaration, home),
            spool=DiskSpool(home / "leases"),
            workshop=FolderWorkshop(
                root=home,
                link=link,
                cache=cache,
                site=declaration.id,
                datasets={name: Path(path) for name, path in declaration.datasets.items()},
                margin_s=lambda: link.fence_margin_s,
            ),
            background=threads,
            clock=clock,
            sense=gauge.sense,
            device_names={gres: model for model, gres in declaration.gres_types.items()},
        )
        _stop_on_signals(stop)
        _keep_going(agent, link, stop, tell)


def _probing(home: Path, network_url: str, link: HttpLink) -> Callable[[], Sequence[Sample]]:
    """Measures the host, and the line that files of other sites come by."""

    def measure() -> Sequence[Sample]:
        # Imported here: an agent that measures nothing starts without NumPy.
        from suanwang.sensing.probing import probe
        from suanwang.sensing.probing.gauge import NotMeasurable

        def there_and_back(method: str, url: str, body: bytes, *, most_bytes: int) -> bytes:
            try:
                return link.echo(body)
            except SuanwangError as error:
                raise NotMeasurable(f"the network's echo did not answer: {error.message}") from error

        report = probe(
            folder=home,
            clock=SystemClock(),
            budget_s=PROBE_BUDGET_S,
            links={"": f"{network_url}/v1/agent/echo"},
            transport=there_and_back,
        )
        return report.samples

    return measure


def _keep_going(agent: Agent, link: HttpLink, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """Join, then step at the network's pace; a silent network is called again and again, with growing pauses."""
    pause_s = FIRST_PAUSE_S
    joined = False
    while not stop.is_set():
        try:
            if not joined:
                agent.start()
                joined = True
                tell(f"joined {link.site_id} (session {agent.session})")
            answered = agent.step()
        except (Unavailable, OutcomeUnknown) as error:
            answered = False
            tell(f"no contact: {error.message}")
        if answered:
            pause_s = FIRST_PAUSE_S
            stop.wait(link.poll_s)
        else:
            stop.wait(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


@contextmanager
def _sole(home: Path) -> Iterator[None]:
    """One agent per folder."""
    with (home / "agent.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another agent runs in {home}: stop it, or give this one a folder of its own") from None
        yield


def _stop_on_signals(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
