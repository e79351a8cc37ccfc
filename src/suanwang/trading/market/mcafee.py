"""A double auction for standard lots in which nobody gains by saying anything but the truth.

Owns the rule of McAfee, "A dominant strategy double auction", Journal of Economic Theory 56 (1992): each trader wants one
lot of one and the same thing, and one pair may have to go without. Truthful for such traders alone: who wants several lots
or one of several things may gain by bidding otherwise, so nothing is claimed of him.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from suanwang.trading.market.values import Offer, Order, Plan, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Lots:
    """Who trades one lot each. What buyers pay beyond what sellers get stays with the network; it is never negative."""

    buyers: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    buyer_pays_fen: int = 0
    seller_gets_fen: int = 0

    surplus_fen: int = 0
    """What buyers would have paid at most less what sellers asked at least, over those who trade."""
    bound_fen: int = 0
    """The same over everybody who could trade: no result has more."""

    @property
    def left_fen(self) -> int:
        return len(self.buyers) * (self.buyer_pays_fen - self.seller_gets_fen)


def clear_lots(bids: Mapping[str, int], asks: Mapping[str, int]) -> Lots:
    """Clear one lot per trader; `bids` and `asks` are fen by identifier. Equal prices are ordered as in `book`."""
    digest = hashlib.sha256("\n".join(sorted([*bids, *asks])).encode()).digest()

    def drawn(name: str) -> bytes:
        return hashlib.sha256(digest + name.encode()).digest()

    buyers = sorted(bids, key=lambda name: (-bids[name], drawn(name)))
    sellers = sorted(asks, key=lambda name: (asks[name], drawn(name)))
    pairs = 0
    while pairs < min(len(buyers), len(sellers)) and bids[buyers[pairs]] >= asks[sellers[pairs]]:
        pairs += 1
    if not pairs:
        return Lots()
    bound = sum(bids[buyer] - asks[seller] for buyer, seller in zip(buyers[:pairs], sellers[:pairs], strict=True))
    lowest, highest = bids[buyers[pairs - 1]], asks[sellers[pairs - 1]]
    if pairs < min(len(buyers), len(sellers)):
        between = (bids[buyers[pairs]] + asks[sellers[pairs]]) // 2
        if highest <= between <= lowest:
            return Lots(
                buyers=tuple(buyers[:pairs]),
                sellers=tuple(sellers[:pairs]),
                buyer_pays_fen=between,
                seller_gets_fen=between,
                surplus_fen=bound,
                bound_fen=bound,
            )
    if pairs == 1:
        return Lots(bound_fen=bound)
    return Lots(
        buyers=tuple(buyers[: pairs - 1]),
        sellers=tuple(sellers[: pairs - 1]),
        buyer_pays_fen=lowest,
        seller_gets_fen=highest,
        surplus_fen=bound - (lowest - highest),
        bound_fen=bound,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LotCall:
    """Everybody who trades one and the same lot in one call: orders and offers by party, one of each."""

    region: str
    device: str
    hours: int
    orders: Mapping[str, Order]
    offers: Mapping[str, Offer]


def lot_calls(orders: Sequence[Order], offers: Sequence[Offer]) -> Iterator[LotCall]:
    """The lots of a call, by region, device and length. Of a party that has several of one lot the first by identifier
    counts: for whoever wants more than one, the rule promises nothing."""
    found: dict[tuple[str, str, int], tuple[dict[str, Order], dict[str, Offer]]] = {}
    first = min((order.first for order in orders), default=0)
    for order in sorted(orders, key=lambda each: each.id):
        if order.way is Way.LOT:
            key = (order.places[0], order.devices[0], order.windows)
            found.setdefault(key, ({}, {}))[0].setdefault(order.project, order)
    for offer in sorted(offers, key=lambda each: each.id):
        key = (offer.region, offer.device, len(offer.left))
        if offer.plan is Plan.LOT and offer.first == first and all(offer.left) and key in found:
            found[key][1].setdefault(offer.seller, offer)
    for (region, device, hours), (wanted, sold) in sorted(found.items()):
        yield LotCall(region=region, device=device, hours=hours, orders=wanted, offers=sold)


def lot_faults(bids: Mapping[str, int], asks: Mapping[str, int], lots: Lots) -> Iterator[str]:
    """What is wrong with a result, looked at from outside; nothing for a sound one."""
    if len(lots.buyers) != len(lots.sellers) or len(set(lots.buyers)) != len(lots.buyers):
        yield "each buyer needs one seller"
    if len(set(lots.sellers)) != len(lots.sellers):
        yield "a lot is sold twice"
    if lots.buyer_pays_fen < lots.seller_gets_fen:
        yield "sellers get more than buyers pay"
    for name in lots.buyers:
        if bids[name] < lots.buyer_pays_fen:
            yield f"{name} pays {lots.buyer_pays_fen} fen, more than its limit"
    for name in lots.sellers:
        if asks[name] > lots.seller_gets_fen:
            yield f"{name} gets {lots.seller_gets_fen} fen and asked {asks[name]}"
