"""The operator's page: commission by month and provider, calls with their bounds, open disputes, what the loop found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastapi import APIRouter, Response

from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.lifecycle import SiteState
from suanwang.ports import TrailQuery
from suanwang.trading.ledger import NETWORK
from suanwang.web.labels import told
from suanwang.web.pages.disputing import SIDES
from suanwang.web.pages.provider import account_and_flows, by_code, months_of, sums_of
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
CALLS, DISPUTES, READ, FOUND = 20, 20, 300, 30
FINDINGS = (
    "meter.differs",
    "ledger.blocked",
    "ledger.overdrawn",
    "ledger.stray",
    "budget.passed",
    "job.unpaid",
    "site.suspect",
    "site.lost",
    "agreement.credited",
    "market.called",
    "market.defaulted",
    "voucher.closed",
)


@router.get("/operator")
def show(visit: Visited) -> Response:
    visit.needs_login()
    visit.caller.must_be(Role.OPERATOR, Role.REGULATOR)
    network, caller = visit.network, visit.caller
    account, flows = account_and_flows(visit, NETWORK)
    months = months_of(visit, flows)
    unsettled, blocked = network.wallets.unsettled(caller)
    disputes, more = network.disputes.every(caller, True, None, DISPUTES)
    names = visit.site_names()
    sites = [view.site for view in network.sites.all(caller)]
    return visit.page(
        "operator.html",
        account=account,
        months=months,
        this=months[-1],
        providers=sums_of([(flow.provider, flow) for flow in flows], months[-1].name),
        codes=by_code(visit, flows),
        auctions=network.market.auctions(caller, None, CALLS),
        disputes=disputes,
        more=more is not None,
        sides=SIDES,
        unsettled=unsettled,
        blocked=blocked,
        away=[site for site in sites if site.state in (SiteState.SUSPECT, SiteState.LOST)],
        warned=[(names[site.id], site.id, visit.reason(text, names)) for site in sites for text in site.warnings],
        findings=_findings(visit, names),
        names=names,
        commission_bp=network.rules.commission_bp,
    )


def _findings(visit: Visit, names: Mapping[SiteId, str]) -> list[tuple[Event, str, int]]:
    """What the loop told lately, newest first: event, words, and how often it was told of the same site and project."""
    events = visit.network.overview.trail(visit.caller, TrailQuery(kinds=FINDINGS), None, READ)
    counts = Counter((event.kind, event.site_id, event.project) for event in events)
    found: dict[tuple[str, SiteId | None, ProjectId | None], Event] = {}
    for event in events:
        found.setdefault((event.kind, event.site_id, event.project), event)
    return [(event, told(event, visit.translate, names), counts[key]) for key, event in list(found.items())[:FOUND]]
