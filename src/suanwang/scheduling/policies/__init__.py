"""The policies: who runs where and when. One file each, compiled, shared by the live network and the twin.

Owns their names and how they are chosen. A policy decides over columns (`scheduling.columns`) and sees of the future only
the outlook in force; `passing` goes through the queue with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.policies import cheapest, greenest, joint, least_loaded, nearest, wait_awhile

Order = Literal["easy", "fifo"]

CODES = {
    "cheapest": cheapest.CODE,
    "greenest": greenest.CODE,
    "joint": joint.CODE,
    "least_loaded": least_loaded.CODE,
    "nearest": nearest.CODE,
    "wait_awhile": wait_awhile.CODE,
}
_ORDERS: dict[str, Order] = {"easy": "easy", "fifo": "fifo"}
LOOKS_AHEAD = frozenset({joint.CODE, wait_awhile.CODE})
"""Policies whose jobs may be held, so that the queue is looked through at every step of the outlook."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A choice of place and hour with an order of jobs."""

    name: str
    code: int
    order: Order

    @property
    def backfill(self) -> bool:
        return self.order == "easy"

    @property
    def looks_ahead(self) -> bool:
        return self.code in LOOKS_AHEAD

    def __str__(self) -> str:
        return self.name if self.order == "easy" else f"{self.name}+{self.order}"


def policy(said: str) -> Policy:
    """`joint`, `nearest+easy`, `cheapest+fifo`; `fifo` and `easy` alone go to the least loaded row in that order.

    Raises `InvalidRequest` naming the choices.
    """
    name, plus, order = said.partition("+")
    if not plus and name in _ORDERS:
        return Policy(said, least_loaded.CODE, _ORDERS[name])
    if name not in CODES or (plus and order not in _ORDERS):
        raise InvalidRequest(
            f"there is no policy {said!r}",
            field="policy",
            allowed=f"fifo, easy, or one of {', '.join(sorted(CODES))}, and +easy or +fifo behind it",
        )
    return Policy(name, CODES[name], _ORDERS[order] if plus else "easy")
