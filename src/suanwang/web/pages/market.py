"""The market: what is on sale, how deep, at which prices; an order with its quote; what one ordered, holds and sells."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.control.market.requests import NewOffer, Wish
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthorized
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Site
from suanwang.ports import OfferQuery
from suanwang.trading.market.product import CORE, HOUR, begins, window_of
from suanwang.trading.market.termination import TerminationKind
from suanwang.trading.market.values import OrderState, Plan, Way
from suanwang.web.labels import N_
from suanwang.web.loads import device_name, region_name
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

Kind = TypeVar("Kind", bound=StrEnum)
router = APIRouter(route_class=PageRoute)
SHOWN, DRAWN, HOURS_AHEAD, HOURS_BACK = 50, 300, 48, 97

PLANS: Mapping[str, str] = {
    Plan.ON_DEMAND: N_("on demand"),
    Plan.COMMITTED: N_("committed use"),
    Plan.SUBSCRIPTION: N_("subscription"),
    Plan.INTERRUPTIBLE: N_("interruptible"),
    Plan.LOT: N_("standard lot, for calls alone"),
}
WAYS: Mapping[str, str] = {
    Way.NOW: N_("buy now at posted prices"),
    Way.STANDING: N_("stand sealed for the call"),
    Way.LOT: N_("stand for one standard lot"),
    Way.IOC: N_("what my limit allows now, rest cancelled"),
}
STATES: Mapping[str, str] = {
    OrderState.OPEN: N_("standing"),
    OrderState.FILLED: N_("filled"),
    OrderState.PARTLY: N_("partly filled"),
    OrderState.UNFILLED: N_("unfilled"),
    OrderState.CANCELLED: N_("taken back"),
    OrderState.LAPSED: N_("lapsed"),
    OrderState.WAITING: N_("waits for approval"),
    OrderState.DECLINED: N_("declined"),
}
ENDS: Mapping[str, str] = {
    TerminationKind.CANCELLED: N_("given back by its holder"),
    TerminationKind.RECLAIMED: N_("taken back by its provider"),
    TerminationKind.DEFAULTED: N_("not delivered"),
}
PHASES: Mapping[str, str] = {
    "open": N_("Orders for this hour are collected, sealed, until its call."),
    "frozen": N_("Near its call nothing is taken back; this is the price it would have now."),
    "called": N_("The call of this hour was made."),
    "passed": N_("This hour began without a call."),
}


@router.get("/market")
def show(
    visit: Visited,
    device: Annotated[str, Query(max_length=100)] = "",
    place: Annotated[str, Query(max_length=100)] = "",
    at: Annotated[str, Query(max_length=40)] = "",
    hours: Annotated[int, Query(ge=1, le=744)] = 1,
) -> Response:
    visit.needs_login()
    return _page(visit, device=device, place=place, at=at, hours=hours)


@router.get("/market/figures")
def figures(
    visit: Visited,
    device: Annotated[str, Query(max_length=100)],
    at: Annotated[str, Query(max_length=40)] = "",
    place: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """For the drawing script: the supply of one hour as steps, and what the device was traded at."""
    visit.needs_login()
    market, names = visit.network.market, visit.site_names()
    window = window_of(hour_of(visit, at))
    total, steps = 0, list[dict[str, object]]()
    for offer, units in market.depth(visit.caller, device, window, place or None):
        steps.append({"from": total, "to": total + units, "yuan": market.gross(offer) / 100, "site": names[offer.site]})
        total += units
    points = [
        {
            "at": trade.at.isoformat(),
            "yuan": trade.amount_fen / sum(trade.counts) / 100,
            "unit_hours": sum(trade.counts),
            "site": names[SiteId(trade.zone.site)],
            "called": trade.auction is not None,
        }
        for trade in market.history(visit.caller, device, None, DRAWN)
        if not place or place in (trade.zone.site, _region(visit, trade.zone.site))
    ]
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return JSONResponse({"steps": steps, "points": points[::-1]}, headers=headers)


@router.post("/market/quote")
def quote(visit: Visited, form: Form) -> Response:
    """What the order in the form would cost at posted prices now."""
    visit.needs_login()
    try:
        wish = _wish(visit, form)
        found = visit.network.market.quote(visit.caller, wish)
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return visit.page("market_quote.html", quoted=None, wish=None, problems=problem_rows(error))
    return visit.page("market_quote.html", quoted=found, wish=wish, problems=())


@router.post("/market/orders")
def place_order(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    try:
        made = visit.network.market.place(visit.caller, _wish(visit, form))
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    kept = {name: form.get(name, "") for name in ("device", "place", "at", "hours")}
    return RedirectResponse(f"/market?{urlencode(kept)}#order-{made.id}", 303)


@router.post("/market/orders/{order_id}/cancel")
def cancel(visit: Visited, order_id: str, form: Form) -> Response:
    visit.needs_login()
    try:
        visit.network.market.cancel(visit.caller, order_id)
    except Conflict as error:
        return again(visit, form, error)
    return RedirectResponse("/market#mine", 303)


@router.post("/market/offers")
def list_offer(visit: Visited, form: Form) -> Response:
    """A provider's capacity, or with `reservation` a right that is sold on."""
    visit.needs_login()
    right = form.get("reservation") or None
    try:
        if right is None:
            start = hour_of(visit, form.get("at", ""))
            hours = number_of(form, "hours")
        else:
            held = visit.network.market.reservation(visit.caller, right)
            start, hours = begins(held.first), len(held.counts)
        visit.network.market.list_offer(
            visit.caller,
            NewOffer(
                id=form.get("id", ""),
                site=SiteId(form["site"]) if form.get("site") else None,
                device=form.get("device") or None,
                count=number_of(form, "count"),
                start=start,
                end=start + hours * HOUR,
                price_fen=fen_of(form, "price"),
                plan=_choice(form, "plan", Plan, Plan.ON_DEMAND),
                least_hours=number_of(form, "least_hours") if form.get("least_hours") else 1,
                reservation=right,
            ),
        )
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    return RedirectResponse("/market#selling", 303)


@router.post("/market/offers/{offer_id}/withdraw")
def withdraw(visit: Visited, offer_id: str, form: Form) -> Response:
    visit.needs_login()
    try:
        visit.network.market.withdraw(visit.caller, offer_id)
    except Conflict as error:
        return again(visit, form, error)
    return RedirectResponse("/market#selling", 303)


def again(visit: Visit, form: Mapping[str, str], error: InvalidRequest | Conflict) -> Response:
    """The page once more with what is wrong."""
    if isinstance(error, NotFound):
        raise error
    problems: Sequence[Mapping[str, object]] = problem_rows(error)
    hours = form.get("hours", "")
    return _page(
        visit,
        device=form.get("device", ""),
        place=form.get("place", ""),
        at=form.get("at", ""),
        hours=int(hours) if hours.isascii() and hours.isdecimal() and 0 < int(hours) <= 744 else 1,
        form=form,
        problems=problems,
        status=409 if isinstance(error, Conflict) else 422,
    )


def _page(
    visit: Visit,
    *,
    device: str,
    place: str,
    at: str,
    hours: int,
    form: Mapping[str, str] | None = None,
    problems: Sequence[Mapping[str, object]] = (),
    status: int = 200,
) -> Response:
    caller, market = visit.caller, visit.network.market
    sites = [view.site for view in visit.network.sites.all(caller)]
    devices = [CORE, *sorted({pool.model for site in sites for pool in site.offering.devices})]
    start = hour_of(visit, at)
    first = window_of(start)
    query = OfferQuery(
        devices=[device] if device else None,
        sites=_of_place(sites, place),
        first=first,
        end=first + hours,
    )
    found, more = market.offers(caller, query, None, SHOWN)
    orders, _ = market.orders(caller, None, SHOWN)
    rights, _ = market.reservations(caller, None, SHOWN)
    projects = [known for known in visit.network.people.projects(caller) if caller.may_change(known.id)]
    names = visit.site_names()
    own = [site for site in sites if caller.role is Role.OPERATOR or site.offering.provider == caller.provider]
    call = market.calling(caller, start)
    return visit.page(
        "market.html",
        status,
        offers=sorted(found, key=lambda offer: (offer.price_fen, offer.id)),
        more=more is not None,
        gross=market.gross,
        orders=orders,
        rights=rights,
        selling=_selling(visit, own, [right.id for right in rights]),
        call=call,
        phase=visit.translate(PHASES[call.phase]),
        indicated=_indicated(call.indication),
        priced=sorted(call.auction.prices, key=lambda each: (each.window, each.zone)) if call.auction else [],
        begins=begins,
        names=names,
        place_names={
            **names,
            **{site.offering.region: region_name(site.offering.region, chinese=visit.chinese) for site in sites},
        },
        device_name=naming(visit),
        devices=devices,
        kinds=sorted({pool.kind.value for site in sites for pool in site.offering.devices}),
        chosen=device or CORE,
        filtered=bool(device),
        place=place,
        places=[*sorted({site.offering.region for site in sites}), *sorted(site.id for site in sites)],
        starts=[begins(window_of(visit.network.clock.now()) + ahead) for ahead in range(HOURS_AHEAD)],
        start=start,
        hours=hours,
        projects=projects,
        may_order=bool(projects) and caller.role in (Role.USER, Role.OPERATOR),
        own=own if caller.role in (Role.PROVIDER, Role.OPERATOR) else [],
        plans=PLANS,
        decides=lambda order: any(caller.name in each.names and each.by is None for each in order.consents),
        waiting=visit.network.approvals.waiting(caller),
        ended=visit.network.terminations.terminations(caller, None, SHOWN)[0],
        ends=ENDS,
        owed=visit.network.terminations.owed,
        terms=visit.network.terminations.terms(caller)[0],
        guarantee=visit.network.terminations.guarantee(caller),
        operates=caller.role is Role.OPERATOR,
        now=visit.network.clock.now(),
        this_hour=window_of(visit.network.clock.now()),
        later=[begins(window_of(visit.network.clock.now()) + ahead) for ahead in range(1, HOURS_BACK)],
        ways=WAYS,
        states=STATES,
        form=form or {},
        problems=problems,
        fresh=lambda: secrets.token_hex(16),
    )


def _selling(visit: Visit, own: Sequence[Site], rights: Sequence[str]) -> Sequence[Any]:
    """Open offers of the caller."""
    query = OfferQuery(first=window_of(visit.network.clock.now()))
    found, _ = visit.network.market.offers(visit.caller, query, None, 500)
    sites = {site.id for site in own} if visit.caller.role in (Role.PROVIDER, Role.OPERATOR) else set()
    mine = [o for o in found if (o.reservation is None and o.site in sites) or o.reservation in rights]
    return mine[:SHOWN]


def _indicated(indication: Any) -> list[tuple[Any, int, int, int]]:
    if indication is None:
        return []
    return [
        (zone, window, price, indication.units[zone, window])
        for (zone, window), price in sorted(indication.prices.items())
    ]


def naming(visit: Visit) -> Callable[[str], str]:
    """What a device is called in the reader's language."""
    core = visit.translate(N_("CPU core"))
    return lambda device: core if device == CORE else device_name(device)


def _of_place(sites: Sequence[Site], place: str) -> list[SiteId] | None:
    return [site.id for site in sites if place in (site.id, site.offering.region)] if place else None


def _region(visit: Visit, site_id: str) -> str:
    site = visit.network.store.site(SiteId(site_id))
    return "" if site is None else site.offering.region


def hour_of(visit: Visit, text: str) -> datetime:
    """The hour an address names; the next one whose call is to come where it names none."""
    if not text:
        rules = visit.network.rules
        near = timedelta(seconds=rules.call_before_s + rules.freeze_s)
        return begins(window_of(visit.network.clock.now() + near) + 1)
    try:
        at = datetime.fromisoformat(text)
        if at.utcoffset() is None or not 2000 <= at.year < 2200:
            raise ValueError
        return begins(window_of(at))
    except (ValueError, OverflowError):
        raise InvalidRequest("this is no hour", field="at", allowed="an hour of the list") from None


def _wish(visit: Visit, form: Mapping[str, str]) -> Wish:
    start = hour_of(visit, form.get("at", ""))
    return Wish(
        id=form.get("id", ""),
        project=ProjectId(form.get("project", "")),
        devices=(form.get("device", ""),),
        places=(form["place"],) if form.get("place") else (),
        count=number_of(form, "count"),
        start=start,
        end=start + number_of(form, "hours") * HOUR,
        limit_fen=fen_of(form, "limit") if form.get("limit") else None,
        divisible=form.get("divisible") == "yes",
        interruptible=form.get("interruptible") == "yes",
        way=_choice(form, "way", Way, Way.NOW),
    )


def number_of(form: Mapping[str, str], field: str) -> int:
    text = form.get(field, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidRequest("a whole number is needed here", field=field, allowed="1 and more")
    return int(text)


def fen_of(form: Mapping[str, str], field: str) -> int:
    try:
        amount = Decimal(form.get(field, "").strip()) * 100
        whole = int(amount) if abs(amount) < 10**12 else -1
    except (ArithmeticError, ValueError):
        whole, amount = -1, Decimal(0)
    if whole < 1 or whole != amount:
        raise InvalidRequest("a price in yuan is needed here", field=field, allowed="such as 12.50")
    return whole


def _choice(form: Mapping[str, str], field: str, kind: type[Kind], default: Kind) -> Kind:
    text = form.get(field, "")
    try:
        return kind(text) if text else default
    except ValueError:
        raise InvalidRequest("this is none of the choices", field=field, allowed=", ".join(kind)) from None
