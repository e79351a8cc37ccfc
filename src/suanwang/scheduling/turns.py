"""Whose turn it is, and what shares come to: plain functions over columns.

The live plan calls them as they stand, over lists; the twin's engine calls the same ones compiled, over arrays. So none
of them calls another, and none keeps anything.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TypeAlias

from suanwang.scheduling.columns import Floats, Ints

Figures: TypeAlias = Sequence[float] | Floats
Whole: TypeAlias = Sequence[int] | Ints
Kept: TypeAlias = MutableSequence[int] | Ints

LEAST = 1e-6
"""Smaller means are forgotten."""
UNBEGUN = (0, 0, 0, -1)
"""What `next_turn` keeps from one call to the next, before the first: where the present priority ends in the queue, and
those of it that waited too long; how many projects have jobs left in it; and the project whose turn it was last."""


def dominant(held: Figures, lately: Figures, whole: Figures, weight: float) -> float:
    """The largest part of any resource `k` that a project holds now and held lately, over its weight (dominant resource
    fairness, Ghodsi et al., NSDI 2011). What the network does not have does not count."""
    most = 0.0
    for k in range(len(whole)):
        if whole[k] > 0:
            most = max(most, (held[k] + lately[k]) / whole[k])
    return most / weight


def mean_after(was: float, held: float, after_s: float, half_life_s: float) -> float:
    """A mean `after_s` later, `held` all that time: what was before counts half for each half-life gone by."""
    kept = 0.5 ** (max(0.0, after_s) / half_life_s)
    found = was * kept + held * (1 - kept)
    return found if found >= LEAST else 0.0


def begin_priority(
    order: Whole,
    ready_ms: Whole,
    project: Whole,
    share: Figures,
    starved_before_ms: int,
    after: Kept,
    head: Kept,
    heap: Kept,
    at: Kept,
    place: int,
    count: int,
) -> None:
    """The jobs from `place` on that have its priority stand in lines, one for each project, for `next_turn`.

    Of `count` jobs by priority `order`, then readiness. Room to work in: `after[n]`, the next job of the same project;
    `head[p]`, the first of its line; `heap`, the projects with a line, the least share on top; `at`, see `UNBEGUN`.
    """
    end = place
    while end < count and order[end] == order[place]:
        end += 1
    starved = place
    while starved < end and ready_ms[starved] <= starved_before_ms:
        starved += 1
    at[0], at[1], at[2], at[3] = end, starved, 0, -1
    for n in range(starved, end):
        head[project[n]] = -1
    for n in range(end - 1, starved - 1, -1):
        after[n] = head[project[n]]
        head[project[n]] = n
    for n in range(starved, end):
        mine = project[n]
        if head[mine] != n:
            continue
        k = at[2]
        at[2] = k + 1
        while k > 0:
            up = (k - 1) >> 1
            other = heap[up]
            if share[other] < share[mine] or (share[other] == share[mine] and head[other] < n):
                break
            heap[k] = other
            k = up
        heap[k] = mine


def next_turn(share: Figures, after: Kept, head: Kept, heap: Kept, at: Kept, place: int) -> int:
    """Which job has its turn after `place` others; `begin_priority` is called before where `place` is `at[0]`.

    First those that wait too long, in their order; then, again and again, the first job of the project with the least
    share, equal shares by whose job comes first. `share[p]` is kept up to date by the caller: between two calls only that
    of the project which had its turn may have grown.
    """
    if place < at[1]:
        return place
    last = at[3]
    if last >= 0:  # Who had the last turn goes on with its next job, or leaves.
        size = at[2]
        head[last] = after[head[last]]
        if head[last] < 0:
            size -= 1
            at[2] = size
            last = heap[size]
        k = 0
        while 2 * k + 1 < size:
            down = 2 * k + 1
            one = heap[down]
            if down + 1 < size:
                other = heap[down + 1]
                if share[other] < share[one] or (share[other] == share[one] and head[other] < head[one]):
                    down, one = down + 1, other
            if share[last] < share[one] or (share[last] == share[one] and head[last] < head[one]):
                break
            heap[k] = one
            k = down
        if size > 0:
            heap[k] = last
    at[3] = heap[0]
    return int(head[heap[0]])
