"""From settings to a running control plane: store, files, clock, identities, and the loop on its thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from suanwang.adapters.clock import SystemClock
from suanwang.adapters.files import FsspecFiles
from suanwang.adapters.identity import RandomIdentities
from suanwang.adapters.notifier import Notifier
from suanwang.adapters.signing import Ed25519Signer
from suanwang.adapters.store.postgres import connect
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.tick import Turn
from suanwang.control.wording import positions
from suanwang.domain.errors import SuanwangError
from suanwang.domain.identity import Principal, Role
from suanwang.ports import Store
from suanwang.scheduling.policies.compiled import KEPT
from suanwang.settings import Settings
from suanwang.wiring.compiling import Compiling, sweep
from suanwang.wiring.secrets import write_secret

log = structlog.get_logger("suanwang")

UNFINISHED = timedelta(days=7)
"""An upload to which nothing was added for so long is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A network with its store and files, and the operator's token."""

    network: Network
    store: Store
    files: FsspecFiles
    operator_token: str


def rules_of(settings: Settings) -> Rules:
    return Rules(
        lease_ttl_s=settings.lease_ttl_s,
        fence_margin_s=settings.fence_margin_s,
        suspect_after_s=settings.suspect_after_s,
        poll_s=settings.poll_s,
        meter_every_s=settings.meter_every_s,
        commission_bp=settings.commission_bp,
        project_credit_fen=settings.project_credit_yuan * 100,
        dispute_days=settings.dispute_days,
    )


@contextmanager
def open_network(settings: Settings) -> Iterator[Opened]:
    """The network over its real parts; all of them are closed again at the end."""
    home = settings.home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = stack.enter_context(connect(settings.database_url, home / "database"))
        files = FsspecFiles(settings.files_url or f"file://{home / 'files'}")
        network = Network(
            store=store,
            clock=SystemClock(),
            files=files,
            identities=RandomIdentities(),
            places=positions(),
            rules=rules_of(settings),
            signer=_signer(home),
        )
        token = _operator_token(settings, home)
        network.people.seed(Principal(name="operator", role=Role.OPERATOR), token, note="first operator")
        yield Opened(network=network, store=store, files=files, operator_token=token)


def _signer(home: Path) -> Ed25519Signer:
    """The key that signs checkpoints of the ledger: made once and kept where only this account reads it."""
    path = home / "ledger-key"
    if not path.exists():
        write_secret(path, Ed25519Signer.new_secret())
    return Ed25519Signer.from_file(path)


def _operator_token(settings: Settings, home: Path) -> str:
    """The first operator's token: given, or made once and kept where only this account reads it."""
    if settings.operator_token is not None:
        return settings.operator_token.get_secret_value()
    path = home / "operator-token"
    if not path.exists():
        write_secret(path, RandomIdentities().token()[1])
    return path.read_text().strip()


class Loop:
    """Turns the control loop on a thread of its own until it is stopped."""

    def __init__(
        self, opened: Opened, settings: Settings, observe: Callable[[Turn, float], None] | None = None
    ) -> None:
        self._opened = opened
        self._pause_s = settings.turn_every_s
        self._notifier = Notifier(settings.notify_url)
        self._observe = observe
        self._compiling = Compiling()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._compiling.close()
        self._notifier.close()

    def _run(self) -> None:
        network = self._opened.network
        self._tidy()
        while True:
            begun = time.monotonic()
            try:
                with self._opened.store.turn("loop") as mine:
                    if mine:
                        turn = network.turn(self._compiling.decide)
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

    def _tidy(self) -> None:
        """Remove what earlier processes left: kernels of other versions, uploads that nobody goes on with."""
        now = self._opened.network.clock.now()
        try:
            sweep(Path.home() / KEPT, now.timestamp())
            self._opened.files.sweep(now - UNFINISHED)
        except SuanwangError as error:
            log.warning("tidying.failed", kind=type(error).__name__, error=error.message)
