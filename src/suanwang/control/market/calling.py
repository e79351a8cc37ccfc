"""The loop's part in the market: calls are made at their instant, and what no call came for lapses.

Owns exactly once. A call is one deal: all sealed orders of its window end in it, with their transfers and rights, or it did
not happen and the next turn, of whichever replica, makes it from what it then reads. What is posted was checked by
`trading.market.checking` first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from suanwang.control.market.requests import models_asked
from suanwang.control.rules import Rules
from suanwang.domain.errors import Unavailable
from suanwang.domain.job import Event
from suanwang.ports import Deal, OfferQuery, Store
from suanwang.trading.ledger import Owner, Verdict, account_id
from suanwang.trading.market.dealing import Filled, Owners, Price, fill_order, sold, void
from suanwang.trading.market.matching import gross_fen
from suanwang.trading.market.mcafee import clear_lots, lot_calls, lot_faults
from suanwang.trading.market.product import Zone, begins, window_of
from suanwang.trading.market.terms import STANDARD, SaleTerms
from suanwang.trading.market.values import CALLED_PLANS, Auction, Match, Offer, Order, OrderState, Plan, Priced, Way
from suanwang.trading.owning import weights
from suanwang.trading.settlement import opened

if TYPE_CHECKING:
    from suanwang.trading.market.clearing import Cleared

MOST_CALLS = 24
"""In one turn."""
MOST_OFFERS = 20_000
_TRIES = 5


def terms_at(store: Store, at: datetime) -> SaleTerms:
    """The terms of sale in force at an instant."""
    return next((terms for terms in store.sale_terms() if terms.from_at <= at), STANDARD)


def call_at(first: int, rules: Rules) -> datetime:
    """When the call of a window is made."""
    return begins(first) - timedelta(seconds=rules.call_before_s)


def freeze_at(first: int, rules: Rules) -> datetime:
    """From when its orders and offers stay."""
    return call_at(first, rules) - timedelta(seconds=rules.freeze_s)


def call_due(store: Store, rules: Rules, now: datetime) -> int:
    """Make the calls that are due at `now`, and let orders lapse whose window began without one; returns calls made."""
    until = window_of(now + timedelta(seconds=rules.call_before_s))
    made = 0
    for first in store.calls_waiting(until, MOST_CALLS):
        if now >= begins(first):
            lapse(store, store.sealed(first), now)
        elif call(store, rules, first, now):
            made += 1
    return made


def being_made(store: Store, rules: Rules, now: datetime) -> bool:
    """Whether a call is due and not made yet."""
    until = window_of(now + timedelta(seconds=rules.call_before_s))
    return any(now < begins(first) for first in store.calls_waiting(until, MOST_CALLS))


def call(store: Store, rules: Rules, first: int, now: datetime) -> bool:
    """Make the call of one window. False where somebody else made it, or it moves on faster than it is read."""
    lost: set[str] = set()
    # Only the first try takes its time: whatever moved meanwhile may move again.
    for hurried in (rules, *([replace(rules, improve_s=0.0, improve_tries=0)] * (_TRIES - 1))):
        orders = store.sealed(first)
        if not orders or store.auction(first) is not None:
            return False
        deal = _deal(store, hurried, first, orders, lost, now)
        dealt = store.deal(deal, now)
        if dealt.done:
            return True
        for outcome in dealt.refused:
            if outcome.verdict not in (Verdict.NO_HOLD, Verdict.EXPIRED):
                raise Unavailable(f"the call of {begins(first)} cannot be posted: {outcome}")
            # Its hold is gone: it takes no part, and the price is found without it.
            lost.add(_order_of(outcome.chain))
    return False


def _order_of(chain: str) -> str:
    return chain.split("/")[1]


def _deal(store: Store, rules: Rules, first: int, orders: Sequence[Order], lost: set[str], now: datetime) -> Deal:
    taking = [order for order in orders if order.id not in lost]
    offers = {offer.id: offer for offer in offers_for(store, taking, first)}
    cleared = cleared_of(taking, list(offers.values()), rules, improve_s=rules.improve_s, tries=rules.improve_tries)
    owners = sharing_owners(store, {offer.site for offer in offers.values()})
    terms = terms_at(store, now)
    others = [order for order in taking if order.way is not Way.LOT]
    lots = _lots(taking, offers, owners, rules, first, now, terms)
    filled = [*_filled(others, cleared, offers, owners, rules, first, now, terms), *lots.filled]
    gone = tuple(
        replace(order, state=OrderState.LAPSED, ended_at=now, revision=order.revision + 1)
        for order in orders
        if order.id in lost
    )
    trades = tuple(trade for each in filled for trade in each.trades)
    called = {order.id for order in others}
    units: dict[tuple[Zone, int], int] = {}
    for trade in (trade for trade in trades if trade.order_id in called):
        for window, count in enumerate(trade.counts, trade.first):
            units[trade.zone, window] = units.get((trade.zone, window), 0) + count
    auction = Auction(
        first=first,
        called_at=now,
        orders=len(orders),
        filled=sum(bool(each.trades) for each in filled),
        surplus_fen=cleared.surplus_fen + lots.surplus_fen,
        bound_fen=cleared.bound_fen + lots.bound_fen,
        prices=(
            *(
                Priced(zone=zone, window=window, price_fen=price, units=units[zone, window])
                for (zone, window), price in sorted(cleared.prices.items())
            ),
            *lots.prices,
        ),
    )
    event = Event(
        kind="market.called",
        at=now,
        data={"window": begins(first).isoformat(), "orders": len(orders), "filled": auction.filled},
    )
    told = tuple(
        Event(
            kind="market.ended",
            at=now,
            project=order.project,
            data={"order": order.id, "state": order.state.value, "units": order.filled, "paid_fen": order.paid_fen},
        )
        for order in (*(each.order for each in filled), *gone)
    )
    return Deal(
        offers=sold(offers, trades),
        orders=(*(each.order for each in filled), *gone),
        reservations=tuple(right for each in filled for right in each.reservations),
        trades=trades,
        auction=auction,
        chains=tuple(chain for each in filled for chain in each.chains),
        deposits=tuple(deposit for each in filled for deposit in each.deposits),
        accounts=tuple(account for each in filled for account in each.accounts),
        events=(event, *told),
    )


def _pays(fen: int) -> Price:
    """The same price in every window."""
    return lambda _match, _window: fen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lots:
    """What became of a call's standard lots."""

    filled: tuple[Filled, ...]
    prices: tuple[Priced, ...]
    surplus_fen: int
    bound_fen: int


def _lots(
    orders: Sequence[Order],
    offers: Mapping[str, Offer],
    owners: Owners,
    rules: Rules,
    first: int,
    now: datetime,
    terms: SaleTerms,
) -> _Lots:
    filled: dict[str, Filled] = {}
    prices: list[Priced] = []
    surplus = bound = 0
    for lot in lot_calls(orders, list(offers.values())):
        bids = {order.id: order.limit_fen for order in lot.orders.values()}
        asks = {offer.id: gross_fen(offer.price_fen, rules.commission_bp) for offer in lot.offers.values()}
        made = clear_lots(bids, asks)
        wrong = next(lot_faults(bids, asks, made), None)
        assert wrong is None, f"lots must not be traded: {wrong}"
        surplus += made.surplus_fen * lot.hours
        bound += made.bound_fen * lot.hours
        known = {order.id: order for order in lot.orders.values()}
        for buyer, seller in zip(made.buyers, made.sellers, strict=True):
            match = Match(bid=buyer, ask=seller, zone=offers[seller].zone, first=first, counts=(1,) * lot.hours)
            filled[buyer] = fill_order(
                known[buyer],
                (match,),
                offers,
                _pays(made.buyer_pays_fen),
                rules.commission_bp,
                now,
                first,
                owners,
                terms,
                seller_fen=made.seller_gets_fen,
            )
        if made.buyers:
            prices.append(
                Priced(
                    zone=Zone(lot.region, lot.device),
                    window=first,
                    price_fen=made.buyer_pays_fen,
                    units=len(made.buyers),
                    lot_hours=lot.hours,
                    seller_fen=made.seller_gets_fen,
                )
            )
    for order in orders:
        if order.way is Way.LOT and order.id not in filled:
            filled[order.id] = fill_order(order, (), offers, _pays(0), rules.commission_bp, now, first)
    return _Lots(filled=tuple(filled.values()), prices=tuple(prices), surplus_fen=surplus, bound_fen=bound)


def _filled(
    orders: Sequence[Order],
    cleared: Cleared,
    offers: Mapping[str, Offer],
    owners: Owners,
    rules: Rules,
    first: int,
    now: datetime,
    terms: SaleTerms,
) -> list[Filled]:
    matches: dict[str, list[Match]] = {}
    for match in cleared.matches:
        matches.setdefault(match.bid, []).append(match)

    def price(match: Match, window: int) -> int:
        return cleared.prices[match.zone, window]

    return [
        fill_order(order, matches.get(order.id, ()), offers, price, rules.commission_bp, now, first, owners, terms)
        for order in orders
    ]


def sharing_owners(store: Store, traded: Collection[str]) -> Owners:
    """The owners that co-owned sites of these declare now; their accounts are open."""
    found: dict[str, Mapping[str, int]] = {
        site.id: weights(site.offering.owners) for site in store.sites() if site.id in traded and site.offering.owners
    }
    names = sorted({name for shares in found.values() for name in shares})
    if names:
        store.open_accounts([opened(account_id(Owner.PROVIDER, name)) for name in names])
    return found


def offers_for(store: Store, orders: Sequence[Order], first: int) -> Sequence[Offer]:
    """What may be sold to these orders in a call."""
    end = max((order.end for order in orders), default=first)
    devices = sorted({device for order in orders for device in order.devices})
    found, _ = store.offers(OfferQuery(devices=models_asked(devices), first=first, end=end), None, MOST_OFFERS)
    return [offer for offer in found if offer.plan in CALLED_PLANS or offer.plan is Plan.LOT]


def cleared_of(
    orders: Sequence[Order],
    offers: Sequence[Offer],
    rules: Rules,
    *,
    improve_s: float = 0.0,
    tries: int = 0,
    bounded: bool = True,
) -> Cleared:
    """The result of a call of these orders, checked."""
    offers = [offer for offer in offers if offer.plan in CALLED_PLANS]
    orders = [order for order in orders if order.way is not Way.LOT]
    # Imported here: compiling and solving are for those who call.
    from suanwang.trading.market.book import Ask, Bid
    from suanwang.trading.market.checking import faults
    from suanwang.trading.market.clearing import clear

    asks = [
        Ask(
            id=offer.id,
            zone=offer.zone,
            first=offer.first,
            left=offer.left,
            price_fen=gross_fen(offer.price_fen, rules.commission_bp),
        )
        for offer in offers
    ]
    bids = [
        Bid(
            id=order.id,
            zones=tuple(sorted({offer.zone for offer in offers if order.accepts(offer)})),
            first=order.first,
            windows=order.windows,
            count=order.count,
            limit_fen=order.limit_fen,
            divisible=order.divisible,
        )
        for order in orders
    ]
    cleared = clear(bids, asks, improve_s=improve_s, tries=tries, bounded=bounded)
    wrong = next(faults(bids, asks, cleared), None)
    assert wrong is None, f"a call must not be posted: {wrong}"
    return cleared


def lapse(store: Store, orders: Sequence[Order], now: datetime) -> None:
    """End orders that no call came for, and give their holds back, those that have not been released yet."""
    for order in orders:
        ended = replace(order, state=OrderState.LAPSED, ended_at=now, revision=order.revision + 1)
        event = Event(
            kind="market.ended",
            at=now,
            project=order.project,
            data={"order": order.id, "state": ended.state.value, "units": 0, "paid_fen": 0},
        )
        end(store, ended, event, now)


def end(store: Store, ended: Order, event: Event, now: datetime) -> bool:
    """Keep an order's end with its hold given back; False where the order moved on meanwhile."""
    deal = Deal(orders=(ended,), chains=((void(ended),),), events=(event,))
    dealt = store.deal(deal, now)
    if any(outcome.verdict is Verdict.NO_HOLD for outcome in dealt.refused):
        dealt = store.deal(replace(deal, chains=()), now)
    return dealt.done


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication:
    """What a call would come to if it were made now."""

    prices: Mapping[tuple[Zone, int], int]
    units: Mapping[tuple[Zone, int], int]


def indication(store: Store, rules: Rules, first: int) -> Indication:
    """Trial of a call, without the solver."""
    orders = store.sealed(first)
    cleared = cleared_of(orders, offers_for(store, orders, first), rules, bounded=False)
    units: dict[tuple[Zone, int], int] = {}
    for match in cleared.matches:
        for window, count in enumerate(match.counts, match.first):
            units[match.zone, window] = units.get((match.zone, window), 0) + count
    return Indication(prices=dict(cleared.prices), units=units)
