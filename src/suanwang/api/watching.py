"""Every request written down: one log line and one count each, with the route's template and never its values.

Owns what is told of a request. Tokens, bodies and query strings stay out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from suanwang.api.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_log = structlog.get_logger("suanwang.api")


class Watching:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, seconds = self._clock(), 0, 0.0
        noted: dict[str, str] = {}
        scope["suanwang"] = noted
        own = scope["path"].startswith("/v1/")

        async def watched(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                # Until the answer begins: streams last as long as someone listens.
                status, seconds = message["status"], self._clock() - began
                if own:
                    present = {name for name, _ in message["headers"]}
                    extra = [header for header in _HEADERS if header[0] not in present]
                    message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            route = noted.get("route") or getattr(scope.get("route"), "path", None) or "unmatched"
            self._metrics.answered(method, route, status, seconds)
            _log.info(
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                principal=noted.get("principal"),
            )
