"""A provider's business: what his sites earned by month and project, how full they were by day, what he has on sale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang.control.overview import Used
from suanwang.domain.errors import NotFound
from suanwang.domain.identity import Role
from suanwang.ports import Flow, OfferQuery
from suanwang.trading.agreements import month_number, month_text
from suanwang.trading.ledger import Account, Owner, account_id
from suanwang.trading.market.product import begins, window_of
from suanwang.web.pages.market import PLANS, naming
from suanwang.web.pages.wallet import CODES
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
MONTHS, FEWEST, DAYS, SHOWN = 12, 3, 30, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month's sum, and its part of the greatest one for the bar."""

    name: str
    amount_fen: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Shares by day, drawn against the greatest of them."""

    mean: float
    most: float
    heights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A site's use; a strip is None where the site has none of the kind."""

    used: Used
    cores: Strip | None
    cards: Strip | None


@router.get("/provider")
def show(visit: Visited, provider: Annotated[str, Query(max_length=200)] = "") -> Response:
    visit.needs_login()
    overview, network = visit.network.overview, visit.network
    name = overview.provider(visit.caller, provider)
    own = account_id(Owner.PROVIDER, name)
    account, flows = account_and_flows(visit, own)
    used = overview.used(visit.caller, name, DAYS) if name else ()
    query = OfferQuery(sellers=(own,), first=window_of(network.clock.now()))
    offers, _ = network.market.offers(visit.caller, query, None, SHOWN)
    listings, _ = network.listings.every(visit.caller, mine=visit.caller.role is Role.PROVIDER, limit=500)
    disputes, _ = network.disputes.every(visit.caller, True, None, SHOWN)
    months = months_of(visit, flows)
    return visit.page(
        "provider.html",
        provider=name,
        providers=_providers(visit) if visit.caller.role is not Role.PROVIDER else [],
        account=account,
        months=months,
        this=months[-1],
        projects=by_project(flows, months[-1].name),
        codes=by_code(visit, flows),
        used=[Drawn(used=each, cores=_strip(each.cores), cards=_strip(each.devices)) for each in used],
        offers=offers,
        gross=network.market.gross,
        plans=PLANS,
        begins=begins,
        device_name=naming(visit),
        listings=[each for each in listings if each.seller == own][:SHOWN],
        disputes=[each for each in disputes if each.provider == name],
        names=visit.site_names(),
        days=DAYS,
    )


def account_and_flows(visit: Visit, account: str) -> tuple[Account | None, Sequence[Flow]]:
    """An account, None where it is not open yet, and what moved in the months shown."""
    try:
        found = visit.network.wallets.account(visit.caller, account)
    except NotFound:
        return None, ()
    return found, visit.network.overview.flows(visit.caller, account, MONTHS)


def months_of(visit: Visit, flows: Sequence[Flow]) -> list[Month]:
    """From the first month with money, or the last three, to this one."""
    this = month_number(visit.network.clock.now())
    sums = {month_text(month): 0 for month in range(this - MONTHS + 1, this + 1)}
    for flow in flows:
        sums[flow.month] += flow.amount_fen
    most, names = max(*sums.values(), 1), list(sums)
    first = min(next((at for at, name in enumerate(names) if sums[name]), MONTHS), MONTHS - FEWEST)
    return [Month(name=name, amount_fen=fen, share=max(fen, 0) / most) for name, fen in list(sums.items())[first:]]


def by_project(flows: Sequence[Flow], this: str) -> list[tuple[str | None, int, int]]:
    """Project (None where none paid), this month's sum, all months' sum; who paid most in front."""
    return sums_of([(flow.project, flow) for flow in flows], this)


def sums_of(named_flows: Sequence[tuple[str | None, Flow]], this: str) -> list[tuple[str | None, int, int]]:
    """Name, sum of the month `this`, sum of all months; the greatest in front."""
    sums: dict[str | None, list[int]] = defaultdict(lambda: [0, 0])
    for name, flow in named_flows:
        sums[name][0] += flow.amount_fen if flow.month == this else 0
        sums[name][1] += flow.amount_fen
    return sorted(((name, now, every) for name, (now, every) in sums.items()), key=lambda row: (-row[2], row[0] or ""))


def by_code(visit: Visit, flows: Sequence[Flow]) -> list[tuple[str, int]]:
    """What it was for, and all months' sum of it."""
    sums: dict[str, int] = defaultdict(int)
    for flow in flows:
        sums[flow.code] += flow.amount_fen
    return [(visit.translate(CODES.get(code, code)), fen) for code, fen in sorted(sums.items())]


def _strip(shares: Sequence[float | None]) -> Strip | None:
    known = [share for share in shares if share is not None]
    if not known:
        return None
    most = max(known)
    return Strip(
        mean=sum(known) / len(known), most=most, heights=tuple(share / most if most else 0.0 for share in known)
    )


def _providers(visit: Visit) -> list[str]:
    return sorted({view.site.offering.provider for view in visit.network.sites.all(visit.caller)})
