"""How values of the market look on the wire.

Owns the field names together with `client.market_models`. Who sells a right on is shown to himself and to those who watch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from suanwang.control.market.calling import Indication, call_at
from suanwang.control.market.ordering import Market
from suanwang.control.market.requests import Calling, Priced
from suanwang.control.rules import Rules
from suanwang.domain.identity import Principal
from suanwang.domain.ids import ProjectId
from suanwang.trading.ledger import AccountId, Owner
from suanwang.trading.market.product import MOST_PRICE_FEN, Zone, begins
from suanwang.trading.market.values import Auction, Offer, Order, OrderState, Reservation, Trade

Row = dict[str, Any]
RESALE = "resale"


def seller_shown(seller: AccountId, caller: Principal) -> str:
    """A provider's account; a project's only to those who may see the project."""
    owner, _, name = seller.partition(":")
    return seller if owner != Owner.PROJECT or caller.may_see(ProjectId(name)) else RESALE


def offer_row(value: Offer, caller: Principal, buyer_price_fen: int) -> Row:
    shown = seller_shown(value.seller, caller)
    return {
        "id": value.id,
        "seller": shown,
        "site": value.site,
        "region": value.region,
        "device": value.device,
        "start": begins(value.first),
        "end": begins(value.end),
        "count": value.count,
        "left": list(value.left),
        "price_fen": value.price_fen,
        "buyer_price_fen": buyer_price_fen,
        "plan": value.plan,
        "least_hours": value.least_windows,
        "reservation": None if shown == RESALE else value.reservation,
        "state": value.state,
        "listed_at": value.listed_at,
    }


def order_row(value: Order, rules: Rules) -> Row:
    stands = value.state is OrderState.OPEN
    holds = stands or value.state is OrderState.WAITING
    return {
        "id": value.id,
        "project": value.project,
        "owner": value.owner,
        "devices": list(value.devices),
        "places": list(value.places),
        "count": value.count,
        "start": begins(value.first),
        "end": begins(value.end),
        "limit_fen": None if value.limit_fen == MOST_PRICE_FEN else value.limit_fen,
        "divisible": value.divisible,
        "interruptible": value.interruptible,
        "way": value.way,
        "state": value.state,
        "placed_at": value.placed_at,
        "ended_at": value.ended_at,
        "filled": value.filled,
        "paid_fen": value.paid_fen,
        "held_fen": value.hold_fen if holds else 0,
        "call_at": call_at(value.first, rules) if stands else None,
        "waits_until": value.waits_until if value.state is OrderState.WAITING else None,
        "consents": [
            {
                "agreement": each.agreement,
                "version": each.version,
                "side": each.side,
                "names": list(each.names),
                "by": each.by,
                "at": each.at,
            }
            for each in value.consents
        ],
    }


def quote_row(value: Priced) -> Row:
    return {
        "units": value.units,
        "amount_fen": value.amount_fen,
        "parts": [
            {"offer": match.ask, **_zone(match.zone), "unit_hours": sum(match.counts)} for match in value.matches
        ],
    }


def right_row(value: Reservation) -> Row:
    return {
        "id": value.id,
        "order": value.order_id,
        "project": value.project,
        "site": value.site,
        "region": value.region,
        "device": value.device,
        "interruptible": value.interruptible,
        "start": begins(value.first),
        "end": begins(value.end),
        "counts": list(value.counts),
        "bought": value.bought,
        "paid_fen": value.paid_fen,
        "at": value.at,
    }


def trade_row(value: Trade, caller: Principal) -> Row:
    return {
        "id": value.id,
        "order": value.order_id,
        "offer": value.offer_id,
        "project": value.project,
        "seller": seller_shown(value.seller, caller),
        **_zone(value.zone),
        **_span(value),
        "unit_hours": sum(value.counts),
        "amount_fen": value.amount_fen,
        "commission_fen": value.commission_fen,
        "auction": None if value.auction is None else begins(value.auction),
        "at": value.at,
    }


def point_row(value: Trade) -> Row:
    hours = sum(value.counts)
    return {
        "at": value.at,
        **_zone(value.zone),
        **_span(value),
        "unit_hours": hours,
        "price_fen": value.amount_fen / hours,
        "auction": value.auction is not None,
    }


def auction_row(value: Auction) -> Row:
    return {
        "window": begins(value.first),
        "called_at": value.called_at,
        "orders": value.orders,
        "filled": value.filled,
        "surplus_fen": value.surplus_fen,
        "bound_fen": value.bound_fen,
        "prices": [
            {
                **_zone(priced.zone),
                "start": begins(priced.window),
                "price_fen": priced.price_fen,
                "units": priced.units,
                "lot_hours": priced.lot_hours,
                "seller_fen": priced.seller_fen,
            }
            for priced in value.prices
        ],
    }


def call_row(value: Calling) -> Row:
    return {
        "window": begins(value.first),
        "freeze_at": value.freeze_at,
        "call_at": value.call_at,
        "phase": value.phase,
        "indication": None if value.indication is None else list(_indicated(value.indication)),
        "auction": None if value.auction is None else auction_row(value.auction),
    }


def _indicated(value: Indication) -> Iterator[Row]:
    for (zone, window), price in sorted(value.prices.items()):
        units = value.units[zone, window]
        yield {**_zone(zone), "start": begins(window), "price_fen": price, "units": units}


def depth_rows(found: Sequence[tuple[Offer, int]], market: Market) -> list[Row]:
    rows: list[Row] = []
    total = 0
    for offer, units in found:
        total += units
        rows.append(
            {
                "offer": offer.id,
                "site": offer.site,
                "interruptible": offer.zone.interruptible,
                "price_fen": market.gross(offer),
                "units": units,
                "total": total,
            }
        )
    return rows


def _zone(zone: Zone) -> Mapping[str, Any]:
    return {"site": zone.site, "device": zone.device, "interruptible": zone.interruptible}


def _span(value: Trade) -> Mapping[str, Any]:
    return {"start": begins(value.first), "end": begins(value.first + len(value.counts))}
