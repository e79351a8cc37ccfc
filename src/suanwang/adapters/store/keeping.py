"""The embedded server, kept alive: whoever uses it starts it again where it died.

Owns the watch. The server itself recovers from whatever killed it, so nothing that was confirmed is lost.
"""

from __future__ import annotations

import threading
from types import TracebackType

import structlog

from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.domain.errors import SuanwangError

LOOK_EVERY_S = 0.5
AFTER_FAILURE_S = 5.0

log = structlog.get_logger("suanwang")


class Keeper:
    """Watches `server` on a thread of its own from `start` to `stop`."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent; returns once the watch is over, so that nothing is started behind the caller's back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Keeper:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        pause_s = LOOK_EVERY_S
        while not self._stop.wait(pause_s):
            pause_s = LOOK_EVERY_S
            try:
                if self._server.revive():
                    log.warning("database.revived", folder=str(self._server.folder))
            except (SuanwangError, OSError) as error:
                log.warning("database.dead", error=str(error))
                pause_s = AFTER_FAILURE_S
