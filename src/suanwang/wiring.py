"""The only place where concrete classes meet: from settings to a running control plane, from a site file to an agent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from suanwang.adapters.clock import SystemClock
from suanwang.adapters.files import FsspecFiles
from suanwang.adapters.identity import RandomIdentities
from suanwang.adapters.notifier import Notifier
from suanwang.adapters.store.postgres import connect
from suanwang.client.link import HttpLink
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.tick import Turn
from suanwang.control.wording import positions
from suanwang.domain.errors import (
    Conflict,
    InvalidRequest,
    OutcomeUnknown,
    SuanwangError,
    Unauthorized,
    Unavailable,
)
from suanwang.domain.identity import Principal, Role
from suanwang.domain.sample import Sample
from suanwang.ports import Connector, Store
from suanwang.sensing.agent import Agent
from suanwang.sensing.background import Threads
from suanwang.sensing.carrying import SiteCache
from suanwang.sensing.gauge import Gauge
from suanwang.sensing.spool import DiskSpool
from suanwang.sensing.workshop import FolderWorkshop
from suanwang.settings import Settings
from suanwang.sitefile import SiteDeclaration

log = structlog.get_logger("suanwang")
CACHE_BYTES = 50 * 10**9
PROBE_BUDGET_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A network with its store, and the operator's token."""

    network: Network
    store: Store
    operator_token: str


def rules_of(settings: Settings) -> Rules:
    return Rules(
        lease_ttl_s=settings.lease_ttl_s,
        fence_margin_s=settings.fence_margin_s,
        suspect_after_s=settings.suspect_after_s,
        poll_s=settings.poll_s,
        meter_every_s=settings.meter_every_s,
    )


@contextmanager
def open_network(settings: Settings) -> Iterator[Opened]:
    """The network over its real parts; all of them are closed again at the end."""
    home = settings.home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = stack.enter_context(connect(settings.database_url, home / "database"))
        network = Network(
            store=store,
            clock=SystemClock(),
            files=FsspecFiles(settings.files_url or f"file://{home / 'files'}"),
            identities=RandomIdentities(),
            places=positions(),
            rules=rules_of(settings),
        )
        token = _operator_token(settings, home)
        network.people.seed(Principal(name="operator", role=Role.OPERATOR), token, note="first operator")
        yield Opened(network=network, store=store, operator_token=token)


def _operator_token(settings: Settings, home: Path) -> str:
    """The first operator's token: given, or made once and kept where only this account reads it."""
    if settings.operator_token is not None:
        return settings.operator_token.get_secret_value()
    path = home / "operator-token"
    if not path.exists():
        write_secret(path, RandomIdentities().token()[1])
    return path.read_text().strip()


def write_secret(path: Path, secret: str) -> None:
    """Keep `secret` in a file of mode 600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secret + "\n")
    part.replace(path)


class Loop:
    """Turns the control loop on a thread of its own until it is stopped."""

    def __init__(
        self, opened: Opened, settings: Settings, observe: Callable[[Turn, float], None] | None = None
    ) -> None:
        self._opened = opened
        self._pause_s = settings.turn_every_s
        self._notifier = Notifier(settings.notify_url)
        self._observe = observe
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._notifier.close()

    def _run(self) -> None:
        network = self._opened.network
        while True:
            begun = time.monotonic()
            try:
                with self._opened.store.turn("loop") as mine:
                    if mine:
                        turn = network.turn()
                        self._notifier.deliver(self._opened.store, network.clock.now())
                        if self._observe is not None:
                            self._observe(turn, time.monotonic() - begun)
            except SuanwangError as error:
                # The next turn finds whatever this one left: everything in it is guarded.
                log.warning("turn.failed", kind=type(error).__name__, error=error.message)
            except Exception:
                log.exception("turn.broke")
            if self._stop.wait(self._pause_s):
                return


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
        gauge = Gauge(threads, _probing(home) if declaration.probe else None)
        agent = Agent(
            link=link,
            connector=make_connector(declaration, home),
            spool=DiskSpool(home / "leases"),
            workshop=FolderWorkshop(
                root=home,
                link=link,
                cache=SiteCache(home / "cache", CACHE_BYTES),
                site=declaration.id,
                datasets={name: Path(path) for name, path in declaration.datasets.items()},
            ),
            background=threads,
            clock=SystemClock(),
            sense=gauge.sense,
            device_names={gres: model for model, gres in declaration.gres_types.items()},
        )
        _stop_on_signals(stop)
        _keep_going(agent, link, stop, tell)


def _probing(home: Path) -> Callable[[], Sequence[Sample]]:
    def measure() -> Sequence[Sample]:
        from suanwang.sensing.probing import probe

        return probe(folder=home, clock=SystemClock(), budget_s=PROBE_BUDGET_S).samples

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
    import fcntl

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
