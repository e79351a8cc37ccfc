"""A control plane as one process: the API and the pages on one server, the control loop beside them."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvicorn
from prometheus_client import CollectorRegistry

from suanwang.api.app import create_app
from suanwang.api.metrics import Metrics
from suanwang.control.network import Network
from suanwang.domain.errors import Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.settings import Settings
from suanwang.taskfile import read_tasks
from suanwang.twin.laboratory import Laboratory
from suanwang.web import error_page, mount_web
from suanwang.wiring.network import Loop, open_network

SWITCH_S = 0.0005
"""How long one thread may keep the interpreter from another that wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a control plane answers."""

    url: str
    operator_token: str


def serve(settings: Settings, *, on_ready: Callable[[Serving], None], stop: threading.Event | None = None) -> None:
    """Run a control plane until `stop`, SIGTERM or SIGINT.

    Raises `Unavailable` where the database does not start or the address is taken.
    """
    # A request gives the interpreter up and waits for it a dozen times, each time as long as this while the loop plans.
    sys.setswitchinterval(SWITCH_S)
    with contextlib.closing(_listen(settings)) as listener, open_network(settings) as opened:
        _warm(opened.network)
        metrics = Metrics(CollectorRegistry(), opened.network)
        laboratory = Laboratory(settings.home.expanduser().resolve() / "experiments", opened.network.clock.now)
        app = create_app(opened.network, metrics_of=metrics, error_page=error_page, laboratory=laboratory)
        live = mount_web(app, opened.network)
        # What lives as long as the process is not walked again: each full collection held every request up for 60 to 90 ms.
        gc.collect()
        gc.freeze()
        host, port = listener.getsockname()[:2]
        serving = Serving(url=f"http://{host}:{port}", operator_token=opened.operator_token)
        server = _Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5),
            lambda: on_ready(serving),
            (app.state.streams.close, live.close),
        )
        if stop is not None:
            threading.Thread(target=_pass_on, args=(stop, server), daemon=True).start()
        with contextlib.closing(laboratory), Loop(opened, settings, observe=metrics.turned):
            server.run(sockets=[listener])


def _warm(network: Network) -> None:
    """Read what is read once and keep it: the first callers need not wait for the catalogue and the planner."""
    task = "name: first\nrun: 'true'\nconstraints: {circle: {place: 上海, within_ms: 5}}\n"
    nobody = Principal(name="network", role=Role.USER, projects=(ProjectId("none"),))
    network.jobs.preview(nobody, read_tasks(task).tasks)


def _pass_on(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """Says when it answers, and lets its listeners go before it stops."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Sequence[Callable[[], None]]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.should_exit:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for close in self._on_stop:
            close()
        await super().shutdown(sockets=sockets)


def _listen(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"{settings.host}:{settings.port} cannot be served ({error.strerror}): choose another `--port`"
        ) from error
    return listener
