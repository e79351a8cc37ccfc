"""Whether a result keeps what every call promises, looked at from outside.

Owns the promises, and knows nothing of how results are found: the control loop posts no result that fails here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from suanwang.trading.market.book import Ask, Bid
from suanwang.trading.market.clearing import Cleared
from suanwang.trading.market.product import Zone


def faults(bids: Sequence[Bid], asks: Sequence[Ask], cleared: Cleared) -> Iterator[str]:
    """What is wrong with the result, each as a sentence; nothing for a sound one."""
    known, sold = {bid.id: bid for bid in bids}, {ask.id: ask for ask in asks}
    taken: dict[tuple[str, int], int] = defaultdict(int)
    got: dict[tuple[str, Zone], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    paid: dict[str, int] = defaultdict(int)
    surplus = 0
    for match in cleared.matches:
        bid, ask = known[match.bid], sold[match.ask]
        if ask.zone != match.zone or match.zone not in bid.zones:
            yield f"{bid.id} got {match.zone} of {ask.id}, which is not what was asked for"
        for window, units in enumerate(match.counts, match.first):
            if not units:
                continue
            price = cleared.prices.get((match.zone, window), 0)
            if price < ask.price_fen:
                yield f"{ask.id} gets {price} fen in window {window} and asked {ask.price_fen}"
            if not bid.first <= window < bid.end:
                yield f"{bid.id} got window {window}, which it did not ask for"
            taken[ask.id, window] += units
            got[bid.id, match.zone][window] += units
            paid[bid.id] += units * price
            surplus += units * (bid.limit_fen - ask.price_fen)
    for (name, window), units in taken.items():
        ask = sold[name]
        if not ask.first <= window < ask.end or units > ask.left[window - ask.first]:
            yield f"{name} sells {units} units in window {window}, more than it has"
    yield from _rectangles(known, got, paid)
    if surplus != cleared.surplus_fen or not 0 <= surplus <= cleared.bound_fen:
        yield f"the surplus is {surplus}, not {cleared.surplus_fen} of at most {cleared.bound_fen}"


def _rectangles(
    known: dict[str, Bid], got: dict[tuple[str, Zone], dict[int, int]], paid: dict[str, int]
) -> Iterator[str]:
    units: dict[str, int] = defaultdict(int)
    for (name, zone), windows in got.items():
        bid, counts = known[name], set(windows.values())
        if len(counts) != 1 or len(windows) != bid.windows:
            yield f"what {name} got at {zone} is no rectangle over its windows"
            continue
        units[name] += counts.pop()
    for name, count in units.items():
        bid = known[name]
        if count > bid.count or (count != bid.count and not bid.divisible):
            yield f"{name} got {count} units of {bid.count}"
        if paid[name] > bid.limit_fen * bid.windows * count:
            yield f"{name} pays {paid[name]} fen, more than its limit"
