"""Routes about the market: offers, orders, rights, calls, prices."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from suanwang.api.answering import answer
from suanwang.api.answering_market import (
    auction_row,
    call_row,
    depth_rows,
    offer_row,
    order_row,
    point_row,
    quote_row,
    right_row,
    trade_row,
)
from suanwang.api.asking import Ask, Asked, Body, Cursor, Limit, Route, model_of, paged, possible_instant
from suanwang.api.describing import FAULT, takes
from suanwang.client import market_models
from suanwang.control.market.requests import NewOffer, Wish
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.ports import OfferQuery
from suanwang.trading.market.product import HOUR, begins, window_of

router = APIRouter(prefix="/v1/market", tags=["market"], route_class=Route, responses=FAULT)

_OFFER = {
    "id": "core-nights-of-march",
    "site": "guian",
    "device": "core",
    "count": 2,
    "start": "2026-03-01T14:00:00Z",
    "end": "2026-03-02T00:00:00Z",
    "price_fen": 8,
}
_ORDER = {
    "id": "f3d1c2a4-7f1e-4b6e-9a53-0f4c8a2b9d10",
    "project": "demo",
    "devices": ["core"],
    "places": ["guian"],
    "count": 1,
    "start": "2026-03-01T14:00:00Z",
    "end": "2026-03-01T16:00:00Z",
    "limit_fen": 12,
}
Device = Annotated[str, Query(min_length=1, max_length=100, description="A catalogue name, or `core`")]
Site = Annotated[str | None, Query(max_length=63)]
Window = Annotated[AwareDatetime, Query(description="An instant of the window, with its offset")]


@router.get("/offers", response_model=market_models.OfferPage)
def offers(
    ask: Asked,
    site: Annotated[list[str] | None, Query(max_length=100)] = None,
    device: Annotated[list[str] | None, Query(max_length=100)] = None,
    from_at: Annotated[AwareDatetime | None, Query(description="On sale after this instant")] = None,
    to_at: Annotated[AwareDatetime | None, Query(description="On sale before this instant")] = None,
    closed: Annotated[bool, Query(description="Also those that were withdrawn or sold out")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """What is on sale, newest first."""
    caller, market = ask.caller, ask.network.market
    query = OfferQuery(
        sites=None if site is None else [SiteId(name) for name in site],
        devices=device,
        first=None if from_at is None else window_of(possible_instant(from_at, "from_at")),
        end=None if to_at is None else window_of(possible_instant(to_at, "to_at") + HOUR - timedelta(microseconds=1)),
        open=not closed,
    )
    found, after = paged(lambda at, most: market.offers(caller, query, at, most), cursor, limit)
    return answer({"items": [offer_row(each, caller, market.gross(each)) for each in found], "next": after})


@router.post(
    "/offers",
    status_code=201,
    response_model=market_models.OfferView,
    openapi_extra=takes("NewOffer", _OFFER),
)
def list_offer(ask: Asked, body: Body) -> Response:
    """Put capacity on sale: a provider that of his sites, a project rights it holds. Sending it again changes nothing."""
    caller, market = ask.caller, ask.network.market
    asked = model_of(market_models.NewOffer, body)
    made = market.list_offer(
        caller,
        NewOffer(
            id=asked.id,
            site=None if asked.site is None else SiteId(asked.site),
            device=asked.device,
            count=asked.count,
            start=possible_instant(asked.start, "start"),
            end=possible_instant(asked.end, "end"),
            price_fen=asked.price_fen,
            plan=asked.plan,
            least_hours=asked.least_hours,
            reservation=asked.reservation,
        ),
    )
    return answer(offer_row(made, caller, market.gross(made)), 201)


@router.get("/offers/{offer_id}", response_model=market_models.OfferView)
def offer(ask: Asked, offer_id: str) -> Response:
    """One offer."""
    caller, market = ask.caller, ask.network.market
    found = market.offer(caller, offer_id)
    return answer(offer_row(found, caller, market.gross(found)))


@router.post("/offers/{offer_id}/withdraw", response_model=market_models.OfferView)
def withdraw(ask: Asked, offer_id: str) -> Response:
    """Take off sale what is not sold yet. Sending it again changes nothing."""
    caller, market = ask.caller, ask.network.market
    found = market.withdraw(caller, offer_id)
    return answer(offer_row(found, caller, market.gross(found)))


@router.get("/orders", response_model=market_models.OrderPage)
def orders(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Orders of the caller's projects, newest first."""
    caller, market = ask.caller, ask.network.market
    found, after = paged(lambda at, most: market.orders(caller, at, most), cursor, limit)
    return answer({"items": [order_row(each, market.rules) for each in found], "next": after})


@router.post(
    "/orders",
    status_code=201,
    response_model=market_models.OrderView,
    openapi_extra=takes("NewOrder", _ORDER),
)
def place(ask: Asked, body: Body) -> Response:
    """Order capacity: `now` and `ioc` trade at once at posted prices, `standing` waits sealed for its call. Sending it again
    changes nothing."""
    caller, market = ask.caller, ask.network.market
    made = market.place(caller, _wish(ask, body))
    return answer(order_row(made, market.rules), 201)


@router.post(
    "/orders/quote",
    response_model=market_models.OrderQuote,
    openapi_extra=takes("NewOrder", {**_ORDER, "way": "now", "limit_fen": None}),
)
def quote(ask: Asked, body: Body) -> Response:
    """What an order would get and pay at posted prices now. Nothing is bought."""
    caller, market = ask.caller, ask.network.market
    return answer(quote_row(market.quote(caller, _wish(ask, body))))


@router.get("/orders/{order_id}", response_model=market_models.OrderView)
def order(ask: Asked, order_id: str) -> Response:
    """One order."""
    market = ask.network.market
    return answer(order_row(market.order(ask.caller, order_id), market.rules))


@router.post("/orders/{order_id}/cancel", response_model=market_models.OrderView)
def cancel(ask: Asked, order_id: str) -> Response:
    """Take a standing order back, until its no-cancel phase. Sending it again changes nothing."""
    market = ask.network.market
    return answer(order_row(market.cancel(ask.caller, order_id), market.rules))


@router.get("/approvals", response_model=market_models.WaitingOrders)
def approvals(ask: Asked) -> Response:
    """Orders that wait for approval: of the caller's projects, or for whose approval he is named."""
    market = ask.network.market
    return answer({"items": [order_row(each, market.rules) for each in ask.network.approvals.waiting(ask.caller)]})


@router.post("/orders/{order_id}/approve", response_model=market_models.OrderView)
def approve(ask: Asked, order_id: str) -> Response:
    """One named person's yes; the last that was waited for buys, or lets the order stand. Sending it again changes nothing."""
    market = ask.network.market
    return answer(order_row(ask.network.approvals.approve(ask.caller, order_id), market.rules))


@router.post("/orders/{order_id}/decline", response_model=market_models.OrderView)
def decline(ask: Asked, order_id: str) -> Response:
    """One named person's no: the order ends and its hold goes back. Sending it again changes nothing."""
    market = ask.network.market
    return answer(order_row(ask.network.approvals.decline(ask.caller, order_id), market.rules))


@router.get("/rights", response_model=market_models.RightPage)
def rights(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Rights to capacity that the caller's projects hold, newest first."""
    caller, market = ask.caller, ask.network.market
    found, after = paged(lambda at, most: market.reservations(caller, at, most), cursor, limit)
    return answer({"items": [right_row(each) for each in found], "next": after})


@router.get("/trades", response_model=market_models.TradePage)
def trades(
    ask: Asked,
    order: Annotated[str | None, Query(max_length=100, description="Of this order")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """What the caller's projects bought, or a provider sold; newest first."""
    caller, market = ask.caller, ask.network.market
    found, after = paged(lambda at, most: market.trades(caller, order, at, most), cursor, limit)
    return answer({"items": [trade_row(each, caller) for each in found], "next": after})


@router.get("/auctions", response_model=market_models.AuctionPage)
def auctions(
    ask: Asked,
    before: Annotated[AwareDatetime | None, Query(description="Windows before this instant")] = None,
    limit: Limit = 100,
) -> Response:
    """Calls that were made, latest window first. `next` is the `before` of the next page."""
    until = None if before is None else possible_instant(before, "before")
    found = ask.network.market.auctions(ask.caller, until, limit)
    after = found[-1].begins_at.isoformat() if len(found) == limit else None
    return answer({"items": [auction_row(each) for each in found], "next": after})


@router.get("/call", response_model=market_models.CallView)
def call(ask: Asked, window: Window) -> Response:
    """The call of one window: when it is made, its phase, and what it came to."""
    caller = ask.caller
    return answer(call_row(ask.network.market.calling(caller, _hour(window, "window"))))


@router.get("/depth", response_model=market_models.DepthView)
def depth(
    ask: Asked,
    device: Device,
    window: Window,
    place: Annotated[str | None, Query(max_length=100, description="A site or region")] = None,
) -> Response:
    """Supply of a device that stands open for one hour. Sealed orders are not shown."""
    caller, market = ask.caller, ask.network.market
    at = _hour(window, "window")
    found = market.depth(caller, device, window_of(at), place)
    return answer({"device": device, "window": at, "steps": depth_rows(found, market)})


@router.get("/prices", response_model=market_models.PriceHistory)
def prices(ask: Asked, device: Device, site: Site = None, limit: Limit = 100) -> Response:
    """Prices that a device was traded at, newest first, without parties."""
    caller = ask.caller
    found = ask.network.market.history(caller, device, None if site is None else SiteId(site), limit)
    return answer({"items": [point_row(each) for each in found]})


def _hour(at: datetime, field: str) -> datetime:
    return begins(window_of(possible_instant(at, field)))


def _wish(ask: Ask, body: bytes) -> Wish:
    asked = model_of(market_models.NewOrder, body)
    project = asked.project or next(iter(ask.caller.projects), None)
    if project is None:
        raise InvalidRequest("name the project that pays", field="project", allowed="see `project list`")
    values: dict[str, Any] = asked.model_dump(include={"id", "count", "limit_fen", "divisible", "interruptible", "way"})
    return Wish(
        **values,
        project=ProjectId(project),
        devices=tuple(asked.devices),
        places=tuple(asked.places),
        start=possible_instant(asked.start, "start"),
        end=possible_instant(asked.end, "end"),
        not_after=None if asked.not_after is None else possible_instant(asked.not_after, "not_after"),
    )
