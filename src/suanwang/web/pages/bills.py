"""The bills: sums per project and provider, and the lines behind them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.ports import BillQuery
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50
FINDINGS, SHOWN = 500, 20
"""Runs whose meters differ: read, and of these the newest shown."""


@router.get("/bills")
def show(
    visit: Visited,
    begin: Annotated[str, Query(alias="from", max_length=10)] = "",
    end: Annotated[str, Query(alias="to", max_length=10)] = "",
    project: Annotated[str, Query(max_length=63)] = "",
    provider: Annotated[str, Query(max_length=200)] = "",
    site: Annotated[str, Query(max_length=63)] = "",
    job: Annotated[str, Query(max_length=63)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    visit.needs_login()
    until = day_of(visit, end, "to")
    query = BillQuery(
        projects=(ProjectId(project),) if project else None,
        job_id=JobId(job) if job else None,
        site_id=SiteId(site) if site else None,
        provider=provider or None,
        from_at=day_of(visit, begin, "from"),
        to_at=until + timedelta(days=1) if until else None,
    )
    totals = visit.network.bills.totals(visit.caller, query)
    try:
        lines, after = visit.network.bills.lines(visit.caller, query, cursor or None, PAGE)
    except (ValueError, LookupError):
        raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    chosen = {"from": begin, "to": end, "project": project, "provider": provider, "site": site, "job": job}
    kept = {key: value for key, value in chosen.items() if value}
    return visit.page(
        "bills.html",
        totals=totals,
        sum_fen=sum(total.amount_fen for total in totals),
        sum_kwh=sum(total.energy_kwh for total in totals),
        sum_g=sum(total.carbon_g for total in totals),
        lines=lines,
        findings=list(reversed(visit.network.bills.findings(visit.caller, 0, FINDINGS)))[:SHOWN],
        names=visit.site_names(),
        chosen=chosen,
        filtered=bool(kept),
        first=f"/bills?{urlencode(kept)}" if cursor else None,
        next=f"/bills?{urlencode({**kept, 'cursor': after})}" if after else None,
        projects=visit.network.people.projects(visit.caller),
        providers=sorted({view.site.offering.provider for view in visit.network.sites.all(visit.caller)}),
    )


def day_of(visit: Visit, text: str, field: str) -> datetime | None:
    """Midnight of a day written `2026-03-01`, in the zone of the pages."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=visit.formats.zone)
    except ValueError:
        raise InvalidRequest(f"{text!r} is no day", field=field, allowed="a day such as 2026-03-01") from None
