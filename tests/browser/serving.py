"""The real application on a real port, in a thread of the test's process, over a small network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from suanwang.api.app import create_app
from suanwang.twin.laboratory import Laboratory
from suanwang.web import error_page, mount_web
from suanwang.web.live import Pace
from tests.browser.world import World

PATIENCE_S = 30.0


@contextmanager
def serve(world: World, laboratory: Laboratory | None = None) -> Iterator[str]:
    """The address of `world`'s pages and API."""
    app = create_app(world.network, error_page=error_page, laboratory=laboratory)
    live = mount_web(app, world.network, pace=Pace(every_s=0.05, pause_s=0.1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=10))
        thread = threading.Thread(target=server.run, args=([listening],), name="server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            live.close()
            app.state.streams.close()
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server did not stop"
