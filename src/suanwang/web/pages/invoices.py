"""Invoices and statements: a month by whom or where, and each project's invoice as data and PDF."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang.adapters.printing import invoice_pdf
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId
from suanwang.trading.credits import CODE as MISSED
from suanwang.trading.grouping import By
from suanwang.trading.invoicing import ZONE, encoded
from suanwang.trading.ledger import Owner, account_id
from suanwang.web.labels import N_
from suanwang.web.pages.provider import account_and_flows
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
BY = {
    By.PROJECT: N_("Project"),
    By.PERSON: N_("Person"),
    By.TEAM: N_("Team"),
    By.DEPARTMENT: N_("Department"),
    By.ORGANISATION: N_("Organisation"),
    By.PROVIDER: N_("Provider"),
    By.SITE: N_("Site"),
}


@router.get("/invoices")
def show(
    visit: Visited,
    month: Annotated[str, Query(max_length=10)] = "",
    by: Annotated[str, Query(max_length=20)] = By.PROJECT.value,
) -> Response:
    visit.needs_login()
    if by not in [each.value for each in By]:
        raise InvalidRequest(f"no statement is by {by!r}", field="by", allowed=", ".join(By))
    chosen = month or visit.network.clock.now().astimezone(ZONE).strftime("%Y-%m")
    rows = visit.network.invoices.statement(visit.caller, chosen, By(by))
    has_invoices = visit.caller.role is not Role.PROVIDER
    return visit.page(
        "invoices.html",
        rows=rows,
        month=chosen,
        by=by,
        choices={each.value: visit.translate(word) for each, word in BY.items()},
        projects=visit.network.people.projects(visit.caller) if has_invoices else (),
        back=_given_back(visit, chosen) if visit.caller.role is Role.USER else {},
    )


def _given_back(visit: Visit, month: str) -> dict[ProjectId, int]:
    """What each of the caller's projects got back in the month for levels missed, which is on no invoice."""
    found: dict[ProjectId, int] = {}
    for project in visit.caller.projects:
        _, flows = account_and_flows(visit, account_id(Owner.PROJECT, project))
        found[project] = sum(flow.amount_fen for flow in flows if flow.month == month and flow.code == MISSED)
    return found


@router.get("/invoices/{project}/{month}.{kind}")
def download(visit: Visited, project: str, month: str, kind: str) -> Response:
    """The invoice as a file."""
    visit.needs_login()
    made = visit.network.invoices.invoice(visit.caller, ProjectId(project), month)
    if kind == "pdf":
        data, media_type = invoice_pdf(made, chinese=visit.language == "zh"), "application/pdf"
    elif kind == "json":
        data, media_type = encoded(made), "application/json"
    else:
        raise InvalidRequest("an invoice comes as json or pdf", field="kind", allowed="json, pdf")
    headers = {
        "Content-Disposition": f'attachment; filename="invoice-{month}.{kind}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, media_type=media_type, headers=headers)
