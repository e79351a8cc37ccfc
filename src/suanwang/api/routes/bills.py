"""Routes about bills: lines and totals, of what the caller pays, earns or watches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import After, Asked, Cursor, Limit, Route, paged, possible_instant
from suanwang.api.describing import FAULT
from suanwang.client import models
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.ports import BillQuery
from suanwang.trading import cloudevents, ogf_usage
from suanwang.trading.grouping import Export

router = APIRouter(prefix="/v1/bills", tags=["bills"], route_class=Route, responses=FAULT)


EXPORT_TYPES = {
    Export.FOCUS: "text/csv",
    Export.CLOUDEVENTS: cloudevents.MEDIA_TYPE,
    Export.OGF: ogf_usage.MEDIA_TYPE,
}
_EXPORTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {name: {"schema": {"type": "string"}} for name in EXPORT_TYPES.values()}}
}


def _query(
    project: Annotated[list[str] | None, Query(max_length=100)] = None,
    job: Annotated[str | None, Query(max_length=63)] = None,
    site: Annotated[str | None, Query(max_length=63)] = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
    from_at: Annotated[AwareDatetime | None, Query(description="Used after this instant (with its offset)")] = None,
    to_at: Annotated[AwareDatetime | None, Query(description="Used before this instant (with its offset)")] = None,
) -> BillQuery:
    return BillQuery(
        projects=None if project is None else tuple(ProjectId(p) for p in project),
        job_id=None if job is None else JobId(job),
        site_id=None if site is None else SiteId(site),
        provider=provider,
        from_at=None if from_at is None else possible_instant(from_at, "from_at"),
        to_at=None if to_at is None else possible_instant(to_at, "to_at"),
    )


Wanted = Annotated[BillQuery, Depends(_query)]


@router.get("/lines", response_model=models.BillLinePage)
def lines(ask: Asked, wanted: Wanted, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Bill lines, newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.bills.lines(caller, wanted, at, most), cursor, limit)
    return answer({"items": [answering.bill_line(line) for line in found], "next": after})


@router.get("/lines/{usage_id}", response_model=models.BillLineView)
def line(ask: Asked, usage_id: str) -> Response:
    """One bill line, by its usage record, with how its unit prices came about."""
    return answer(answering.bill_line(ask.network.bills.line(ask.caller, usage_id)))


@router.get("/export", response_class=Response, responses=_EXPORTS)
def export(
    ask: Asked,
    wanted: Wanted,
    kind: Annotated[Export, Query(alias="format", description="Which of the three forms")] = Export.FOCUS,
) -> Response:
    """Charges whose usage begins from `from_at` on and before `to_at`: FOCUS 1.2, CloudEvents 1.0 or OGF Usage Record 2.0.

    It is sent as it is made, however long it is.
    """
    pieces = ask.network.invoices.exported(ask.caller, wanted, kind)
    return StreamingResponse(pieces, media_type=f"{EXPORT_TYPES[kind]}; charset=utf-8")


@router.get("/findings", response_model=models.Findings)
def findings(ask: Asked, limit: Limit = 100, after: After = 0) -> Response:
    """Runs whose two meters, the scheduler's and the agent's, differed by more than the tolerance; oldest first.

    Users see their projects', providers their own sites', operator and regulator all.
    """
    found = ask.network.bills.findings(ask.caller, after, limit)
    return answer({"items": [answering.finding(event) for event in found]})


@router.get("/totals", response_model=models.BillTotals)
def totals(ask: Asked, wanted: Wanted) -> Response:
    """Sums for each project and provider, and over all of them."""
    found = ask.network.bills.totals(ask.caller, wanted)
    return answer(
        {"items": [answering.bill_total(total) for total in found], "amount_fen": sum(t.amount_fen for t in found)}
    )
