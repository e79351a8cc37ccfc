"""Buying at posted prices: which offers fill an order now, and what that costs.

Owns the choice. Offers sold by the hour are taken cheapest first within one zone; an offer with a least term is taken by
itself. Prices here are the buyer's: the seller's price with the commission on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.market.product import Zone
from suanwang.trading.market.values import CALLED_PLANS, Match, Offer, OfferState, Order, Plan
from suanwang.trading.settlement import WHOLE_BP


def gross_fen(price_fen: int, commission_bp: int) -> int:
    """The least whole fen of which `price_fen` is left when the commission is taken off. Raises `InvalidRequest`."""
    if not 0 <= commission_bp < WHOLE_BP:
        raise InvalidRequest("no price covers this commission", field="commission_bp", allowed=f"0 to {WHOLE_BP - 1}")
    return -(-price_fen * WHOLE_BP // (WHOLE_BP - commission_bp))


@dataclass(slots=True)
class _Source:
    """Offers that together may fill an order's rectangle, cheapest first, and what is taken of them."""

    zone: Zone
    offers: list[Offer]
    taken: dict[tuple[str, int], int] = field(default_factory=dict)

    def row(self, order: Order, commission_bp: int, units: int) -> tuple[int, list[tuple[Offer, int, int]]] | None:
        """Cost of `units` more over all windows, and (offer, window, units) of it; None where there are not enough."""
        cost, parts = 0, list[tuple[Offer, int, int]]()
        for window in range(order.first, order.end):
            need = units
            for offer in self.offers:
                if not need:
                    break
                if offer.first <= window < offer.end:
                    part = min(need, offer.left[window - offer.first] - self.taken.get((offer.id, window), 0))
                    if part > 0:
                        cost += part * gross_fen(offer.price_fen, commission_bp)
                        parts.append((offer, window, part))
                        need -= part
            if need:
                return None
        return cost, parts


def take(order: Order, offers: Sequence[Offer], commission_bp: int) -> tuple[tuple[Match, ...], int]:
    """What the order gets at posted prices now, and what it pays: whole, or where divisible as much as its limit allows.

    An order that may be filled from several zones gets the cheapest first; of equal ones the zone that sorts first.
    """
    sources = _sources(order, offers)
    left, paid = order.count, 0
    taken: list[tuple[_Source, list[tuple[Offer, int, int]]]] = []
    while left and sources:
        units = 1 if order.divisible else left
        priced = [(found[0], at) for at, each in enumerate(sources) if (found := each.row(order, commission_bp, units))]
        if not priced:
            break
        cost, at = min(priced)
        if cost > order.limit_fen * order.windows * units:
            break
        source = sources.pop(at)
        if order.divisible:
            units = _most(order, source, commission_bp, left)
        found = source.row(order, commission_bp, units)
        assert found is not None, "it was found a moment ago"
        taken.append((source, found[1]))
        paid += found[0]
        left -= units
        for offer, window, part in found[1]:
            for other in sources:
                other.taken[offer.id, window] = other.taken.get((offer.id, window), 0) + part
    return tuple(match for source, parts in taken for match in _matches(order, source.zone, parts)), paid


def _sources(order: Order, offers: Sequence[Offer]) -> list[_Source]:
    fitting = sorted(
        (o for o in offers if o.state is OfferState.OPEN and order.accepts(o)),
        key=lambda o: (o.zone, o.price_fen, -sum(o.left), o.id),
    )
    pools: dict[Zone, list[Offer]] = {}
    alone: list[_Source] = []
    for offer in fitting:
        if offer.plan in CALLED_PLANS:
            pools.setdefault(offer.zone, []).append(offer)
        elif _term_fits(order, offer):
            alone.append(_Source(offer.zone, [offer]))
    return [*(_Source(zone, pool) for zone, pool in pools.items()), *alone]


def _term_fits(order: Order, offer: Offer) -> bool:
    if offer.plan is Plan.LOT:
        return False
    if offer.plan is Plan.SUBSCRIPTION:
        return (order.first, order.end) == (offer.first, offer.end)
    return order.windows >= offer.least_windows


def _most(order: Order, source: _Source, commission_bp: int, wanted: int) -> int:
    """The most units of which none is above the limit, at least 1. A unit costs at least what the one before cost."""
    most = order.limit_fen * order.windows

    def bears(units: int) -> bool:
        whole, less = source.row(order, commission_bp, units), source.row(order, commission_bp, units - 1)
        return whole is not None and less is not None and whole[0] - less[0] <= most

    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if bears(middle) else (low, middle - 1)
    return low


def _matches(order: Order, zone: Zone, parts: Sequence[tuple[Offer, int, int]]) -> list[Match]:
    of_offer: dict[str, dict[int, int]] = {}
    for offer, window, units in parts:
        of_offer.setdefault(offer.id, {})[window] = units
    return [
        Match(
            bid=order.id,
            ask=name,
            zone=zone,
            first=min(windows),
            counts=tuple(windows.get(window, 0) for window in range(min(windows), max(windows) + 1)),
        )
        for name, windows in of_offer.items()
    ]
