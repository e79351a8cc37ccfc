"""The client's calls about the market.

Owns how each of them is asked for; `Line` how one asks. Identifiers are the caller's own, so repeating
a call is harmless; one is made where none is given.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from suanwang.client import market_models
from suanwang.client.line import Line
from suanwang.trading.market.values import Plan, Way


class MarketCalls(Line):
    """Offers, orders, rights, calls and prices."""

    def offers(
        self,
        *,
        sites: Sequence[str] = (),
        devices: Sequence[str] = (),
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        closed: bool = False,
        page_size: int = 200,
    ) -> Iterator[market_models.OfferView]:
        """What is on sale, newest first; with `closed` also what was."""
        params = {
            "site": list(sites) or None,
            "device": list(devices) or None,
            "from_at": None if from_at is None else from_at.isoformat(),
            "to_at": None if to_at is None else to_at.isoformat(),
            "closed": "true" if closed else None,
            "limit": page_size,
        }
        for page in self._pages("/v1/market/offers", params, market_models.OfferPage):
            yield from page.items

    def offer(self, offer_id: str) -> market_models.OfferView:
        return self._get(f"/v1/market/offers/{_part(offer_id)}", market_models.OfferView)

    def list_offer(
        self,
        *,
        count: int,
        start: datetime,
        end: datetime,
        price_fen: int,
        site: str | None = None,
        device: str | None = None,
        reservation: str | None = None,
        plan: Plan = Plan.ON_DEMAND,
        least_hours: int = 1,
        id: str | None = None,  # noqa: A002 - the field's own name
    ) -> market_models.OfferView:
        """Put capacity of a site on sale, or units of a right that is held."""
        body = {
            "id": id or uuid.uuid4().hex,
            "site": site,
            "device": device,
            "count": count,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "price_fen": price_fen,
            "plan": plan.value,
            "least_hours": least_hours,
            "reservation": reservation,
        }
        return self._change("POST", "/v1/market/offers", market_models.OfferView, body)

    def withdraw_offer(self, offer_id: str) -> market_models.OfferView:
        """Take off sale what is not sold yet."""
        return self._change("POST", f"/v1/market/offers/{_part(offer_id)}/withdraw", market_models.OfferView, {})

    def place_order(self, order: market_models.NewOrder) -> market_models.OrderView:
        return self._change("POST", "/v1/market/orders", market_models.OrderView, order.model_dump(mode="json"))

    def quote_order(self, order: market_models.NewOrder) -> market_models.OrderQuote:
        """What it would get and pay at posted prices now."""
        return self._change("POST", "/v1/market/orders/quote", market_models.OrderQuote, order.model_dump(mode="json"))

    def order(self, order_id: str) -> market_models.OrderView:
        return self._get(f"/v1/market/orders/{_part(order_id)}", market_models.OrderView)

    def orders(self, *, page_size: int = 200) -> Iterator[market_models.OrderView]:
        """Orders of the caller's projects, newest first."""
        for page in self._pages("/v1/market/orders", {"limit": page_size}, market_models.OrderPage):
            yield from page.items

    def cancel_order(self, order_id: str) -> market_models.OrderView:
        return self._change("POST", f"/v1/market/orders/{_part(order_id)}/cancel", market_models.OrderView, {})

    def approvals(self) -> Sequence[market_models.OrderView]:
        """Orders that wait for approval."""
        return self._get("/v1/market/approvals", market_models.WaitingOrders).items

    def approve_order(self, order_id: str) -> market_models.OrderView:
        return self._change("POST", f"/v1/market/orders/{_part(order_id)}/approve", market_models.OrderView, {})

    def decline_order(self, order_id: str) -> market_models.OrderView:
        return self._change("POST", f"/v1/market/orders/{_part(order_id)}/decline", market_models.OrderView, {})

    def rights(self, *, page_size: int = 200) -> Iterator[market_models.RightView]:
        """Rights to capacity that the caller's projects hold, newest first."""
        for page in self._pages("/v1/market/rights", {"limit": page_size}, market_models.RightPage):
            yield from page.items

    def trades(self, *, order: str | None = None, page_size: int = 200) -> Iterator[market_models.TradeView]:
        """What was bought, or as a provider sold; newest first."""
        params = {"order": order, "limit": page_size}
        for page in self._pages("/v1/market/trades", params, market_models.TradePage):
            yield from page.items

    def auctions(self, *, limit: int = 100) -> Sequence[market_models.AuctionView]:
        """Calls that were made, latest window first."""
        return self._get("/v1/market/auctions", market_models.AuctionPage, {"limit": limit}).items

    def call(self, window: datetime) -> market_models.CallView:
        """The call of the window that begins then."""
        return self._get("/v1/market/call", market_models.CallView, {"window": window.isoformat()})

    def depth(self, device: str, window: datetime, *, place: str | None = None) -> market_models.DepthView:
        params = {"device": device, "window": window.isoformat(), "place": place}
        return self._get("/v1/market/depth", market_models.DepthView, params)

    def prices(self, device: str, *, site: str | None = None, limit: int = 100) -> Sequence[market_models.PricePoint]:
        """What a device was traded at, newest first."""
        params = {"device": device, "site": site, "limit": limit}
        return self._get("/v1/market/prices", market_models.PriceHistory, params).items


def new_order(**values: Any) -> market_models.NewOrder:
    """An order; an identifier is made where none is given. Raises `ValidationError` for what is none."""
    way = values.pop("way", Way.STANDING)
    return market_models.NewOrder(**{"id": uuid.uuid4().hex, **values, "way": way})


def _part(text: str) -> str:
    return quote(text, safe="")
