"""A call's book as arrays, and the order in which equals are served.

Owns the tie rule. Of bids the higher limit comes first, of asks the lower price; at an equal price the larger one
(units × hours), and of equal size the smaller SHA-256 of the book's digest and the identifier. The digest is over all
identifiers of the book, so nobody can choose an identifier that comes first, and when anything arrived plays no part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.market.product import Zone

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """Up to `count` units (all or none unless divisible) in any of `zones`, at most at `limit_fen` per unit and hour."""

    id: str
    zones: tuple[Zone, ...]
    first: int
    windows: int
    count: int
    limit_fen: int
    divisible: bool = False

    @property
    def end(self) -> int:
        return self.first + self.windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Units on sale per window, each of them alone, at `price_fen` or more per unit and hour."""

    id: str
    zone: Zone
    first: int
    left: tuple[int, ...]
    price_fen: int

    @property
    def end(self) -> int:
        return self.first + len(self.left)


class Arrays(NamedTuple):
    """The book for the kernels. Spans are runs of windows in which nothing of the book changes."""

    start: Ints
    """`[b]` first span of a bid, as all bids in the order they are served."""
    end: Ints
    hours: Ints
    wanted: Ints
    least: Ints
    limit: Ints
    options: Ints
    """`[b]` to `[b+1]`: the bid's options, one for each zone."""
    option_zone: Ints
    option_bid: Ints
    asks: Ints
    """`[z]` to `[z+1]`: the zone's asks, in the order they are served."""
    ask_price: Ints
    ask_left: Ints
    """`[a, span]`."""
    span_hours: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Bids and asks in the order they are served, and their arrays."""

    digest: bytes
    """Over all identifiers."""
    bids: tuple[Bid, ...]
    asks: tuple[Ask, ...]
    zones: tuple[Zone, ...]
    spans: tuple[int, ...]
    """Where each span begins, and one past the last window."""
    arrays: Arrays


def arranged(bids: Sequence[Bid], asks: Sequence[Ask]) -> Book:
    """The book; what no other side could ever meet is left out. Raises `InvalidRequest` where an identifier is used twice."""
    names = sorted([*(bid.id for bid in bids), *(ask.id for ask in asks)])
    if len(set(names)) != len(names):
        raise InvalidRequest("two orders of one book have the same identifier", field="id", allowed="unique ones")
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    zones = tuple(sorted({ask.zone for ask in asks}))
    place = {zone: at for at, zone in enumerate(zones)}
    met = sorted(
        (bid for bid in bids if any(zone in place for zone in bid.zones)),
        key=lambda bid: (-bid.limit_fen, -bid.count * bid.windows, _drawn(digest, bid.id)),
    )
    sold = sorted(asks, key=lambda ask: (place[ask.zone], ask.price_fen, -sum(ask.left), _drawn(digest, ask.id)))
    spans = _spans(met, sold)
    return Book(
        digest=digest,
        bids=tuple(met),
        asks=tuple(sold),
        zones=zones,
        spans=spans,
        arrays=_arrays(met, sold, place, spans),
    )


def _drawn(digest: bytes, name: str) -> bytes:
    return hashlib.sha256(digest + name.encode()).digest()


def _spans(bids: Sequence[Bid], asks: Sequence[Ask]) -> tuple[int, ...]:
    edges = {edge for bid in bids for edge in (bid.first, bid.end)}
    if not edges:
        return (0,)
    least, most = min(edges), max(edges)
    for ask in asks:
        before = 0
        for at, left in enumerate((*ask.left, 0), ask.first):
            if left != before and least <= at <= most:
                edges.add(at)
            before = left
    return tuple(sorted(edges))


def _arrays(bids: Sequence[Bid], asks: Sequence[Ask], place: dict[Zone, int], spans: Sequence[int]) -> Arrays:
    at = {window: index for index, window in enumerate(spans)}
    options = [sorted({place[zone] for zone in bid.zones if zone in place}) for bid in bids]
    sizes = [0, *(len(of_bid) for of_bid in options)]
    per_zone = np.bincount([place[ask.zone] for ask in asks], minlength=len(place)) if asks else np.zeros(0, np.int64)
    left = np.zeros((len(asks), max(len(spans) - 1, 0)), np.int64)
    for row, ask in enumerate(asks):
        for index, window in enumerate(spans[:-1]):
            if ask.first <= window < ask.end:
                left[row, index] = ask.left[window - ask.first]

    def ints(values: Sequence[int]) -> Ints:
        return np.array(values, np.int64)

    return Arrays(
        start=ints([at[bid.first] for bid in bids]),
        end=ints([at[bid.end] for bid in bids]),
        hours=ints([bid.windows for bid in bids]),
        wanted=ints([bid.count for bid in bids]),
        least=ints([1 if bid.divisible else bid.count for bid in bids]),
        limit=ints([bid.limit_fen for bid in bids]),
        options=np.cumsum(ints(sizes)),
        option_zone=ints([zone for of_bid in options for zone in of_bid]),
        option_bid=np.repeat(np.arange(len(bids), dtype=np.int64), ints(sizes[1:])),
        asks=np.concatenate([np.zeros(1, np.int64), np.cumsum(per_zone)]).astype(np.int64),
        ask_price=ints([ask.price_fen for ask in asks]),
        ask_left=left,
        span_hours=np.diff(ints(spans)),
    )
