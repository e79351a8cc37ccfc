"""A plan that knows every job before it comes, and how long each runs: what is left of a bound once jobs have a shape.

Owns a plan in one pass over quarters of an hour: jobs that may not wait first, then those that may, then those that may be
suspended, each at its cheapest start or in its cheapest quarters where there still is room; or all in the order of arrival.
It is no policy, for it looks ahead; run times are rounded up to quarters in room, not in cost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from benchmarks.twin.national import Week
from numba import njit

from suanwang.electricity.series import HOUR_MS, Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
QUARTER_MS = HOUR_MS // 4
AT_ONCE, WHOLE, PARTS = 0, 1, 2


def planned(made: Week, series: tuple[Series, ...], *, by_arrival: bool) -> float:
    """What the plan comes to at `series[site]` per kWh. Every job needs cores alone and fits every row."""
    jobs, rows = made.jobs, made.rows
    run_ms = np.minimum(made.truth.run_ms, jobs.limit_ms)
    begin_ms = int(jobs.ready_ms.min()) // HOUR_MS * HOUR_MS
    quarters = int((jobs.ready_ms + jobs.wait_ms + run_ms).max() - begin_ms) // QUARTER_MS + 2
    edges = begin_ms + QUARTER_MS * np.arange(quarters + 1)
    per_kwh = np.array([series[s].integral(edges[:-1], edges[1:]) for s in rows.site])
    flexible = np.where(jobs.wait_ms == 0, AT_ONCE, np.where(jobs.interruptible, PARTS, WHOLE))
    cost, missed = _plan(
        per_kwh * rows.power_w[:, :1] / 1000,
        rows.capacity[:, 0].copy(),
        (jobs.ready_ms - begin_ms) // QUARTER_MS,
        jobs.wait_ms // QUARTER_MS,
        run_ms / QUARTER_MS,
        jobs.need[:, 0].copy(),
        flexible.astype(np.int64),
        np.lexsort((jobs.ready_ms, np.zeros_like(flexible) if by_arrival else flexible)),
    )
    assert not missed, "the network has room for every job"
    return cost


@njit(cache=True)
def _plan(
    rate: Floats, capacity: Floats, ready: Ints, wait: Ints, run: Floats, cores: Floats, flexible: Ints, order: Ints
) -> tuple[float, int]:
    """Cost of all jobs at `rate[r, q]` per core in a quarter, and how many found no room."""
    count, quarters = rate.shape
    free, total = np.empty((count, quarters)), np.zeros((count, quarters + 1))
    for r in range(count):
        free[r] = capacity[r]
        total[r, 1:] = np.cumsum(rate[r])
    cost, missed = 0.0, 0
    for j in order:
        length = max(1, int(np.ceil(run[j] - 1e-9)))
        part = run[j] / length
        if flexible[j] == PARTS:
            found = _in_parts(rate, free, ready[j], min(ready[j] + wait[j] + length, quarters), length, cores[j], part)
        else:
            found = _in_one(total, free, ready[j], wait[j], length, cores[j], part)
        if found < 0:
            missed += 1
        else:
            cost += found
    return cost, missed


@njit(cache=True)
def _in_one(total: Floats, free: Floats, first: int, wait: int, length: int, cores: float, part: float) -> float:
    best, row, begin = np.inf, -1, first
    for r in range(len(free)):
        at = first
        while at <= min(first + wait, free.shape[1] - length):
            if total[r, at + length] - total[r, at] < best:
                full = at + length - 1
                while full >= at and free[r, full] >= cores - 1e-9:
                    full -= 1
                if full < at:
                    best, row, begin = total[r, at + length] - total[r, at], r, at
                else:
                    at = full  # No run over this quarter has room.
            at += 1
    if row < 0:
        return -1.0
    free[row, begin : begin + length] -= cores * part
    return best * cores * part


@njit(cache=True)
def _in_parts(rate: Floats, free: Floats, first: int, end: int, length: int, cores: float, part: float) -> float:
    cheapest, where = np.full(end - first, np.inf), np.full(end - first, -1)
    for q in range(first, end):
        for r in range(len(rate)):
            if free[r, q] >= cores - 1e-9 and rate[r, q] < cheapest[q - first]:
                cheapest[q - first], where[q - first] = rate[r, q], r
    cost = 0.0
    for k in np.argsort(cheapest)[:length]:
        if where[k] < 0:
            return -1.0
        free[where[k], first + k] -= cores * part
        cost += cheapest[k] * cores * part
    return cost
