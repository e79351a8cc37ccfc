"""The pages put onto an application.

Owns which addresses belong to pages. The application itself, its API and its errors are made elsewhere.
"""

from __future__ import annotations

from datetime import tzinfo

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from suanwang.control.network import Network
from suanwang.domain.errors import SuanwangError
from suanwang.web.formatting import BEIJING
from suanwang.web.live import Live, Pace
from suanwang.web.pages import (
    agreements,
    bills,
    disputes,
    invoices,
    job,
    jobs,
    learning,
    listings,
    login,
    market,
    market_ends,
    market_terms,
    operator,
    plans,
    pricing,
    projects,
    provider,
    quotes,
    regulator,
    sites,
    submit,
    twin,
    vouchers,
    wallet,
)
from suanwang.web.pages import network as home
from suanwang.web.rendering import STATIC, Rendering, static_url
from suanwang.web.visiting import Web, problem_page

_NOT_PAGES = ("/v1/", "/metrics", "/docs", "/static/")


class _Kept(StaticFiles):
    """Static files that a browser keeps when the address names their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        forever = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if forever else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def mount_web(app: FastAPI, network: Network, *, zone: tzinfo = BEIJING, pace: Pace | None = None) -> Live:
    """Add the pages of `network` to `app`; times are shown in `zone`.

    Returns what keeps open pages up to date: call its `close()` when the server is told to stop, so that it need not
    wait for them.
    """
    live = Live(network, pace)
    app.state.web = Web(network, Rendering(zone), live)
    router = APIRouter(include_in_schema=False)
    for part in (
        home,
        login,
        quotes,
        submit,
        jobs,
        job,
        sites,
        bills,
        invoices,
        wallet,
        disputes,
        projects,
        vouchers,
        agreements,
        market,
        market_ends,
        market_terms,
        plans,
        pricing,
        listings,
        provider,
        operator,
        regulator,
        learning,
        twin,
    ):
        router.include_router(part.router)

    @router.get("/favicon.ico")
    async def favicon() -> Response:
        return RedirectResponse(static_url("favicon.svg"), 308)

    app.include_router(router)
    app.mount("/static", _Kept(directory=STATIC), name="static")
    return live


def error_page(request: Request, error: SuanwangError, status: int | None) -> Response | None:
    """The page of an error where a person asked; None where a program did. `status` where it is not the kind's own."""
    path = request.url.path
    if any(path.startswith(prefix) or path == prefix.rstrip("/") for prefix in _NOT_PAGES):
        return None
    if "text/html" not in request.headers.get("accept", "") or not hasattr(request.app.state, "web"):
        return None
    return problem_page(request, error, status)
