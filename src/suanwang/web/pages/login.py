"""Logging in with a token, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.domain.errors import Unauthorized
from suanwang.domain.identity import Role
from suanwang.web.visiting import SESSION, Form, PageRoute, Visited, local_path

router = APIRouter(route_class=PageRoute)


@router.get("/login")
def ask(visit: Visited, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:  # noqa: A002 - its public name
    return visit.page("login.html", target=local_path(next), wrong="")


@router.post("/login")
def enter(visit: Visited, form: Form) -> Response:
    target = local_path(form.get("next"))
    secret = form.get("token", "").strip()
    try:
        caller = visit.network.people.authenticate(secret)
    except Unauthorized:
        return visit.page("login.html", 401, target=target, wrong="unknown")
    if caller.role in (Role.AGENT, Role.JOIN):
        return visit.page("login.html", 403, target=target, wrong="site")
    response = RedirectResponse(target, 303)
    visit.keep_session(response, secret)
    return response


@router.post("/logout")
def leave(visit: Visited, form: Form) -> Response:
    response = RedirectResponse("/", 303)
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="strict")
    return response
