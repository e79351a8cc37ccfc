"""Disputes: all that concern the reader in one list; on a line's page they are opened, answered and decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthorized
from suanwang.trading.disputes import Dispute
from suanwang.web.pages.disputing import SIDES, STATES, fen_of
from suanwang.web.pages.wallet import line_page
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50


@router.get("/disputes")
def show(
    visit: Visited,
    state: Annotated[str, Query(pattern="^(|open)$")] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    visit.needs_login()
    try:
        found, after = visit.network.disputes.every(visit.caller, state == "open", cursor or None, PAGE)
    except (ValueError, LookupError):
        raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    kept = f"state={state}&" if state else ""
    return visit.page(
        "disputes.html",
        disputes=found,
        state=state,
        states=STATES,
        sides=SIDES,
        days=visit.network.rules.dispute_days,
        first=f"/disputes?{kept}" if cursor else None,
        next=f"/disputes?{kept}cursor={quote(after)}" if after else None,
    )


@router.post("/wallet/lines/{usage_id}/dispute")
def open_dispute(visit: Visited, usage_id: str, form: Form) -> Response:
    return _said(visit, usage_id, form, lambda: visit.network.disputes.open(visit.caller, usage_id, _text(form)))


@router.post("/wallet/lines/{usage_id}/statements")
def say(visit: Visited, usage_id: str, form: Form) -> Response:
    return _said(visit, usage_id, form, lambda: visit.network.disputes.state(visit.caller, usage_id, _text(form)))


@router.post("/wallet/lines/{usage_id}/decision")
def decide(visit: Visited, usage_id: str, form: Form) -> Response:
    def work() -> Dispute:
        disputes = visit.network.disputes
        found = disputes.find(visit.caller, usage_id)
        credit = 0
        if form.get("decision") != "reject":
            credit = fen_of(form, "credit", most_fen=found.amount_fen if found else 0)
        return disputes.decide(visit.caller, usage_id, credit, _text(form))

    return _said(visit, usage_id, form, work)


def _said(visit: Visit, usage_id: str, form: Form, work: Callable[[], Dispute]) -> Response:
    """Do it and show the line again; what was wrong is said above the form, which keeps its words."""
    visit.needs_login()
    try:
        work()
    except (Forbidden, Unauthorized, NotFound):
        raise
    except (InvalidRequest, Conflict) as error:
        status = 409 if isinstance(error, Conflict) else 422
        return line_page(visit, usage_id, status, said=form, problems=problem_rows(error))
    return RedirectResponse(f"/wallet/lines/{quote(usage_id, safe='')}#dispute", 303)


def _text(form: Form) -> str:
    return form.get("text", "").replace("\r\n", "\n")
