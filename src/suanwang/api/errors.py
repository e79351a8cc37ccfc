"""Every error as problem+json, ours, the framework's and the ones nobody foresaw.

Owns which response an exception becomes. The table itself is `client.problems`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from suanwang.api.answering import to_json
from suanwang.api.asking import prefers_chinese, problems_of
from suanwang.client.problems import MEDIA_TYPE, RETRY_AFTER_S, from_problem, rule_of, to_problem
from suanwang.domain.errors import SuanwangError, Unauthorized, Unavailable
from suanwang.translation import chinese, error_in_chinese

ErrorPage = Callable[[Request, SuanwangError, int | None], Response | None]
"""Given a request, an error, and a status where it is not the kind's own: a page for a person, or None for problem+json."""

_log = structlog.get_logger("suanwang.api")


def install(app: FastAPI, error_page: ErrorPage | None) -> None:
    """Let `app` answer every exception."""
    answers = _Answers(app, error_page)
    app.add_exception_handler(SuanwangError, answers.ours)
    app.add_exception_handler(RequestValidationError, answers.invalid)
    app.add_exception_handler(HTTPException, answers.framework)
    app.add_exception_handler(ClientDisconnect, answers.gone)
    app.add_exception_handler(Exception, answers.unforeseen)


class _Answers:
    """One handler for each family of exceptions."""

    def __init__(self, app: FastAPI, error_page: ErrorPage | None) -> None:
        self._app = app
        self._error_page = error_page

    async def ours(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, SuanwangError)
        if rule_of(error).status >= 500:
            _log.warning("failed", kind=type(error).__name__, detail=error.message)
        return self._say(request, error)

    async def invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [(_place(item["loc"]), str(item["msg"])) for item in error.errors()]
        return self._say(request, problems_of(found, "the request"))

    async def framework(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        ours = from_problem(error.status_code, {"detail": _sentence(error)})
        response = self._say(request, ours, error.status_code)
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(_methods_at(self._app, request.url.path)) or "GET"
        return response

    async def gone(self, request: Request, error: Exception) -> Response:
        return Response(status_code=400)

    async def unforeseen(self, request: Request, error: Exception) -> Response:
        # As text: a renderer that knew the exception might show local variables, and tokens among them.
        trace = "".join(traceback.format_exception(error))
        _log.error("unforeseen", route=request.scope.get("suanwang", {}).get("route"), trace=trace)
        return self._say(request, SuanwangError("something went wrong inside the network; it was written to its log"))

    def _say(self, request: Request, error: SuanwangError, status: int | None = None) -> Response:
        response = self._error_page(request, error, status) if self._error_page is not None else None
        if response is None:
            response = _problem(request, error, status)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = 'Bearer realm="suanwang"'
        if isinstance(error, Unavailable):
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


def _problem(request: Request, error: SuanwangError, status: int | None) -> Response:
    """An error as problem+json in the language asked for; where that is Chinese, its English stands beside it."""
    body = to_problem(error, status=status)
    language = "en"
    if prefers_chinese(request.headers.get("accept-language", "")):
        language = "zh"
        english = body["detail"]
        body = to_problem(error_in_chinese(error), status=status)
        body |= {"title": chinese(body["title"]), "detail_en": english}
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(to_json(body), body["status"], headers=headers, media_type=MEDIA_TYPE)


def _methods_at(app: FastAPI, path: str) -> list[str]:
    """Every method of an address, from the description; the router itself names those of one route only."""
    found: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            found.update(method.upper() for method in operations)
    return sorted(found)


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return location[1:] if len(location) > 1 else location


def _sentence(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "there is nothing at this address; /v1/openapi.json describes what there is"
        case 405:
            return "this address does not take that method"
        case _:
            return str(error.detail)
