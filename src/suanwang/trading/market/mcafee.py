"""A double auction for standard lots in which nobody gains by saying anything but the truth.

Owns the rule of McAfee, "A dominant strategy double auction", Journal of Economic Theory 56 (1992): each trader wants one
lot of one and the same thing, and one pair may have to go without. Truthful for such traders alone: who wants several lots
or one of several things may gain by bidding otherwise, so nothing is claimed of him.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lots:
    """Who trades one lot each. What buyers pay beyond what sellers get stays with the network; it is never negative."""

    buyers: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    buyer_pays_fen: int = 0
    seller_gets_fen: int = 0

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
    lowest, highest = bids[buyers[pairs - 1]], asks[sellers[pairs - 1]]
    if pairs < min(len(buyers), len(sellers)):
        between = (bids[buyers[pairs]] + asks[sellers[pairs]]) // 2
        if highest <= between <= lowest:
            return Lots(
                buyers=tuple(buyers[:pairs]),
                sellers=tuple(sellers[:pairs]),
                buyer_pays_fen=between,
                seller_gets_fen=between,
            )
    if pairs == 1:
        return Lots()
    return Lots(
        buyers=tuple(buyers[: pairs - 1]),
        sellers=tuple(sellers[: pairs - 1]),
        buyer_pays_fen=lowest,
        seller_gets_fen=highest,
    )
