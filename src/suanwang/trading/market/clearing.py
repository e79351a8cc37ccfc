"""Clearing a call: one uniform price per zone and window, found greedily first, improved within a time given.

Owns which of several sound results is taken: the one with the greatest surplus. Every result is sound whatever the solver
says or fails to say: no buyer pays more than his limit, no seller gets less than he asked, what buyers pay is what sellers
get, and no unit is sold twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suanwang.trading.market.book import Ask, Bid, Book, Ints, arranged
from suanwang.trading.market.filling import filled, price, search, share
from suanwang.trading.market.improving import Suggestion, suggestion
from suanwang.trading.market.product import Zone
from suanwang.trading.market.values import Match

MOST_CELLS = 400_000
"""Asks × spans up to which the programmes are solved; above it the bound is each bid's own best."""
NEAR = 0.995
"""Part of the bound above which a result is not improved any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """`prices` per zone and window, whole fen per unit and hour."""

    matches: tuple[Match, ...] = ()
    prices: dict[tuple[Zone, int], int]
    surplus_fen: int = 0
    """What buyers would have paid at most less what sellers asked at least, over what was traded."""
    bound_fen: int = 0
    """No result, whatever its prices, has more."""

    @property
    def quality(self) -> float:
        """Surplus over its bound, 0 to 1; 1 where there is nothing to gain."""
        return self.surplus_fen / self.bound_fen if self.bound_fen else 1.0


@dataclass(frozen=True, slots=True)
class _Result:
    order: Ints
    prefer: Ints
    given: Ints
    marginal: Ints
    slack: Ints
    at: Ints
    used: Ints
    surplus: int


def clear(
    bids: Sequence[Bid], asks: Sequence[Ask], *, improve_s: float = 0.0, tries: int = 0, bounded: bool = True
) -> Cleared:
    """Clear the book. A result that is not near its bound is improved: by the solver for at most `improve_s`, then by
    `tries` changes of whom to serve first. Without `bounded` nothing is solved, and the bound is each bid's own best."""
    book = arranged(bids, asks)
    arrays = book.arrays
    if not book.bids or not book.asks:
        return Cleared(prices={})
    plain, none = np.arange(len(book.bids), dtype=np.int64), np.full(len(book.bids), -1, np.int64)
    best = _served(book, plain, none)
    bound = _alone(book)
    if bounded and arrays.ask_left.size <= MOST_CELLS:
        best, bound = _suggested(book, best, bound, suggestion(book))
        if improve_s > 0 and best.surplus < NEAR * bound:
            whole = suggestion(book, whole=True, time_limit_s=improve_s, at_least_fen=best.surplus)
            best, bound = _suggested(book, best, bound, whole)
    if tries and best.surplus < NEAR * bound:
        # Chance follows from the book, so that the same book has the same result.
        dice = np.random.default_rng(int.from_bytes(book.digest[:8], "big"))
        order = search(arrays, best.order, best.prefer, dice.random((tries, 7)))
        best = _better(best, _served(book, order, best.prefer))
    return _told(book, best, max(bound, best.surplus))


def _served(book: Book, order: Ints, prefer: Ints) -> _Result:
    return _Result(order, prefer, *filled(book.arrays, order, prefer))


def _suggested(book: Book, best: _Result, bound: int, found: Suggestion | None) -> tuple[_Result, int]:
    """The better of the result so far and what a suggestion comes to, and the lesser bound."""
    if found is None:
        return best, bound
    if found.bound_fen < bound:
        bound = int(found.bound_fen)
    return _better(best, _served(book, found.order, found.prefer)), bound


def _better(one: _Result, other: _Result) -> _Result:
    return other if other.surplus > one.surplus else one


def _alone(book: Book) -> int:
    """What all bids could gain were each alone in the market: a bound that needs no solver."""
    arrays, total = book.arrays, 0
    none = np.full(len(book.bids), -1, np.int64)
    for bid in range(len(book.bids)):
        total += filled(arrays, np.array([bid], np.int64), none)[-1]
    return total


def _told(book: Book, result: _Result, bound: int) -> Cleared:
    arrays, spans = book.arrays, book.spans
    table = price(arrays, result.given, result.marginal, result.slack, result.at, result.used)
    prices = {
        (book.zones[zone], window): int(table[zone, span])
        for zone, span in zip(*np.nonzero(table), strict=True)
        for window in range(spans[span], spans[span + 1])
    }
    found: dict[tuple[int, int], dict[int, int]] = {}
    for option, ask, span, units in share(arrays, result.given).tolist():
        windows = found.setdefault((option, ask), {})
        for window in range(spans[span], spans[span + 1]):
            windows[window] = units
    matches = []
    for (option, ask), windows in sorted(found.items()):
        bid, first = book.bids[int(arrays.option_bid[option])], min(windows)
        counts = tuple(windows.get(window, 0) for window in range(first, max(windows) + 1))
        matches.append(
            Match(
                bid=bid.id,
                ask=book.asks[ask].id,
                zone=book.zones[int(arrays.option_zone[option])],
                first=first,
                counts=counts,
            )
        )
    return Cleared(matches=tuple(matches), prices=prices, surplus_fen=result.surplus, bound_fen=bound)
