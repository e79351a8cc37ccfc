"""One visit: who looks, in which language, and whether a form was really sent from one of our pages.

Owns cookies, the language choice and the protection of forms. A session is the visitor's own token in a cookie that
scripts cannot read and other sites cannot send; a revoked token ends it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import structlog
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from suanwang.client.problems import to_problem
from suanwang.control.network import Network
from suanwang.domain.errors import Forbidden, InvalidRequest, SuanwangError, TooLarge, Unauthorized
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Site
from suanwang.translation import error_in_chinese
from suanwang.web import labels
from suanwang.web.formatting import Formats
from suanwang.web.live import Live
from suanwang.web.rendering import Rendering
from suanwang.web.wording import translations

SESSION, LANGUAGE = "suanwang_session", "suanwang_language"
FORM_BYTES = 4 * 2**20
"""Largest form: a task file of 1 MiB, percent-encoded."""
FORM_FIELDS = 1000
"""Of the longest form: a price list of 50 discounts and 20 packages."""
VISITOR = Principal(name="visitor", role=Role.USER)
"""Who has not logged in: belongs to no project, so sees the sites and nobody's work."""
_YEAR_S = 366 * 86400
_log = structlog.get_logger("suanwang.web")


class Web:
    """What all pages of one process share."""

    def __init__(self, network: Network, rendering: Rendering, live: Live) -> None:
        self.network = network
        self.rendering = rendering
        self.live = live


class Visit:
    """One request of a page. `caller` is a `VISITOR` for whoever has no valid session."""

    def __init__(self, request: Request, web: Web, *, known: bool = True) -> None:
        self.request = request
        self.web = web
        self.network = web.network
        self.language = language_of(request)
        self.secret = request.cookies.get(SESSION)
        self.caller = self._who() if known else VISITOR
        self._accounted = known

    def _who(self) -> Principal:
        if not self.secret:
            return VISITOR
        try:
            caller = self.network.people.authenticate(self.secret)
        except Unauthorized:
            return VISITOR
        self.request.scope.get("suanwang", {})["principal"] = caller.name
        return caller

    @property
    def logged_in(self) -> bool:
        return self.caller is not VISITOR

    @property
    def chinese(self) -> bool:
        return self.language == "zh"

    @property
    def formats(self) -> Formats:
        return self.web.rendering.formats(self.language)

    @property
    def partial(self) -> bool:
        """Whether htmx asks for a part of the page."""
        return self.request.headers.get("hx-request") == "true"

    def translate(self, message: str) -> str:
        return translations(self.language).gettext(message)

    def needs_login(self) -> None:
        """Raises `Unauthorized` for a visitor."""
        if not self.logged_in:
            raise Unauthorized("log in to see this", field="token", allowed="a token of yours")

    def site_name(self, site: Site) -> str:
        return site.offering.name_zh if self.chinese else site.offering.name_en

    def site_names(self) -> SiteNames:
        """Names of all sites in the reader's language."""
        return SiteNames({view.site.id: self.site_name(view.site) for view in self.network.sites.all(self.caller)})

    def reason(self, text: str, names: Mapping[SiteId, str] | None = None) -> str:
        return labels.reason(text, names or {}, chinese=self.chinese)

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """`template` in the reader's language, remembering a language that was chosen by this request."""
        response = self.web.rendering.page(
            self.language,
            template,
            {
                "lang": self.language,
                "path": self.request.url.path,
                "caller": self.caller if self.logged_in else None,
                "accounted": self._accounted,
                "other_language": self._switched(),
                "reason": self.reason,
                "zone": str(self.formats.zone),
                **context,
            },
            status,
        )
        if self.request.query_params.get("lang") == self.language:
            response.set_cookie(
                LANGUAGE, self.language, max_age=_YEAR_S, samesite="lax", httponly=True, secure=self._secure
            )
        return response

    def keep_session(self, response: Response, secret: str) -> None:
        response.set_cookie(SESSION, secret, httponly=True, samesite="strict", secure=self._secure, path="/")

    @property
    def _secure(self) -> bool:
        return self.request.url.scheme == "https"

    def _switched(self) -> str:
        """This address in the other language."""
        asked = [(name, value) for name, value in self.request.query_params.multi_items() if name != "lang"]
        path = self.request.url.path if self.request.method in ("GET", "HEAD") else "/"
        return f"{path}?{urlencode([*asked, ('lang', 'en' if self.chinese else 'zh')])}"


class SiteNames(dict[SiteId, str]):
    """Site identifier → name; a site that is not there any more is called by its identifier."""

    def __missing__(self, key: SiteId) -> str:
        return key


def language_of(request: Request) -> str:
    """`?lang=`, else the cookie, else what the browser prefers, else English."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE)):
        if chosen in ("zh", "en"):
            return chosen
    best, language = 0.0, "en"
    for part in request.headers.get("accept-language", "")[:500].split(","):
        tag, _, weight = part.partition(";q=")
        code = tag.strip().lower()[:2]
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        if code in ("zh", "en") and best < value <= 1.0:
            best, language = value, code
    return language


def visit(request: Request) -> Visit:
    return Visit(request, request.app.state.web)


Visited = Annotated[Visit, Depends(visit)]


async def form(request: Request) -> Mapping[str, str]:
    """A form's fields. Raises `Forbidden` for one sent from elsewhere, `TooLarge`, `InvalidRequest`."""
    check_origin(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise TooLarge("this form is too large: a task file has at most 1 MiB", field="task", allowed="1 MiB")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("this form cannot be read", field="form", allowed="URL-encoded UTF-8") from None
    if any("\0" in values[0] for values in fields.values()):
        raise InvalidRequest("there is a NUL character in it", field="form", allowed="text")
    return {name: values[0] for name, values in fields.items()}


Form = Annotated[Mapping[str, str], Depends(form)]


def check_origin(request: Request) -> None:
    """Raises `Forbidden` unless the browser says that one of our own pages sent this.

    Browsers set both headers themselves; scripts of other sites cannot. The session cookie is not sent by other sites
    either, so each of the two guards holds alone.
    """
    fetched = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    same = (
        fetched == "same-origin" if fetched else bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    )
    if not same:
        raise Forbidden(
            "this form was not sent from a page of this network", field="Origin", allowed="the page's own form"
        )


def local_path(wanted: str | None) -> str:
    """`wanted` where it is a path of this server, else the first page."""
    if wanted and wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable():
        return wanted
    return "/"


class PageRoute(APIRoute):
    """Answers every error of a page with a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.scope.get("suanwang", {})["route"] = self.path_format
            try:
                if any("\0" in str(value) for value in (*request.path_params.values(), *request.query_params.values())):
                    raise InvalidRequest("there is a NUL character in this address", field="address", allowed="text")
                return await inner(request)
            except SuanwangError as error:
                return answer(request, error)
            except RequestValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"][1:])
                return answer(request, InvalidRequest(str(first["msg"]), field=field))
            except Exception as error:
                # Only the lines of code: a traceback with values would write tokens and task files to the log.
                trace = "".join(traceback.format_exception(error))
                _log.error("unforeseen", route=self.path_format, trace=trace)
                return answer(
                    request, SuanwangError("something went wrong inside the network; it was written to its log")
                )

        return handle


def answer(request: Request, error: SuanwangError) -> Response:
    """The page of an error; a visitor who needs to log in is led there."""
    if isinstance(error, Unauthorized):
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target = f"/login?next={quote(where if request.method == 'GET' else '/')}"
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"HX-Redirect": target})
        return RedirectResponse(target, 303)
    return problem_page(request, error)


def problem_page(request: Request, error: SuanwangError, status: int | None = None) -> Response:
    """An error in the style of the pages. Asks no store: it may be what failed."""
    seen = Visit(request, request.app.state.web, known=False)
    problem = to_problem(error_in_chinese(error) if seen.chinese else error, status=status)
    return seen.page("problem.html", int(problem["status"]), problem=problem)
