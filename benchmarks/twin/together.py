"""A bound that keeps work together: what no schedule beats whose jobs run in one piece where they may not be suspended.

Owns the Lagrangian relaxation of room. A core of a row in an hour is given a price, every job takes its best start or its
best hours at these prices, and what the room would fetch is given back: below every schedule whatever the prices are (Held
and Karp 1970). Prices begin at those of the fluid optimum and move towards what is wanted beyond the room there is, by a
length that the bound still expected to be reached gives (Polyak 1969), along a mean of directions; so the bound rises.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from benchmarks.twin.national import Week
from numba import njit

from suanwang.electricity.series import HOUR_MS, Series
from suanwang.twin.bound import scarcity

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
ROUNDS = 80
HOPE, LESS = 0.02, 0.6
"""By how much more than the best bound so far is hoped for, and the factor on it where that proves too much."""
PATIENCE = 6
"""Rounds without a better bound until then."""
KEPT = 0.7
"""Of the last direction, in the mean of them."""


class _Work(NamedTuple):
    """`[j]`, times in hours from the first hour on."""

    ready: Floats
    wait: Floats
    run: Floats
    cores: Floats
    pausing: npt.NDArray[np.bool_]


def together_bound(made: Week, series: tuple[Series, ...], *, rounds: int = ROUNDS) -> float:
    """Least of the `series[site]` per kWh. Every job needs cores alone and fits every row."""
    jobs, rows, run = made.jobs, made.rows, np.minimum(made.truth.run_ms, made.jobs.limit_ms)
    assert (jobs.need[:, :1] <= rows.capacity[:, 0].min()).all(), "every job fits every row"
    begin_ms = int(jobs.ready_ms.min()) // HOUR_MS * HOUR_MS
    hours = int((jobs.ready_ms + jobs.wait_ms + run).max() - begin_ms) // HOUR_MS + 2
    edges = begin_ms + HOUR_MS * np.arange(hours + 1)
    rate = np.array([np.diff(_upto(series[s], edges)) for s in rows.site]) * rows.power_w[:, :1] / 1000
    scarce = np.zeros_like(rate)
    found = scarcity(jobs, made.truth.run_ms, rows, made.allowed, series)
    width = min(hours, found.shape[1])
    scarce[:, :width] = found[:, :width]
    ready = (jobs.ready_ms - begin_ms) / HOUR_MS
    work = _Work(ready, jobs.wait_ms / HOUR_MS, run / HOUR_MS, jobs.need[:, 0], jobs.interruptible)
    return _raised(rate, scarce, work, rows.capacity[:, :1], rounds)


def _raised(rate: Floats, scarce: Floats, work: _Work, capacity: Floats, rounds: int) -> float:
    best, prices, direction = 0.0, scarce, None
    hope, since, wanted = HOPE, 0, np.zeros_like(rate)
    for _ in range(rounds):
        bound = _least(rate + scarce, work, wanted) - float((scarce * capacity).sum())
        if bound > best:
            best, prices, since = bound, scarce, 0
        else:
            since += 1
        if since >= PATIENCE:
            hope, since, scarce, direction = hope * LESS, 0, prices, None
            continue
        beyond = wanted - capacity
        beyond[(scarce <= 0) & (beyond < 0)] = 0.0
        direction = beyond if direction is None else KEPT * direction + (1 - KEPT) * beyond
        length = (best * (1 + hope) - bound) / max(float((direction**2).sum()), 1e-9)
        scarce = np.maximum(scarce + length * direction, 0.0)
    return best


def _upto(series: Series, edges: Ints) -> Floats:
    return series.integral(np.full(len(edges), edges[0]), edges)


@njit(cache=True)
def _least(rate: Floats, work: _Work, wanted: Floats) -> float:
    """What all jobs cost at best at `rate[r, h]` per core; fills `wanted[r, h]`, the core-hours that they then use."""
    rows, hours = rate.shape
    total = np.zeros((rows, hours + 1))
    cheapest, where = np.empty(hours), np.empty(hours, np.int64)
    for h in range(hours):
        cheapest[h] = np.inf
        for r in range(rows):
            total[r, h + 1] = total[r, h] + rate[r, h]
            if rate[r, h] < cheapest[h]:
                cheapest[h], where[h] = rate[r, h], r
    wanted[:] = 0.0
    found = 0.0
    for j in range(len(work.ready)):
        if work.pausing[j]:
            found += work.cores[j] * _parts(cheapest, where, j, work, wanted)
        else:
            found += work.cores[j] * _whole(total, j, work, wanted)
    return found


@njit(cache=True)
def _at(total: Floats, hour: float) -> float:
    k = min(int(hour), len(total) - 2)
    return float(total[k] + (hour - k) * (total[k + 1] - total[k]))


@njit(cache=True)
def _whole(total: Floats, j: int, work: _Work, wanted: Floats) -> float:
    """A run's integral is least where it starts or ends at an edge of an hour, or at an end of its window."""
    first, run = work.ready[j], work.run[j]
    last = first + work.wait[j]
    least, row, begin = np.inf, 0, first
    steps = int(work.wait[j]) + 3 if work.wait[j] > 0 else 1
    for n in range(steps):
        for ending in range(2 if work.wait[j] > 0 else 1):
            start = int(first + run) + n - run if ending else float(int(first) + n)
            start = min(max(start, first), last)
            for r in range(total.shape[0]):
                cost = _at(total[r], start + run) - _at(total[r], start)
                if cost < least:
                    least, row, begin = cost, r, start
    for h in range(int(begin), min(int(begin + run) + 1, wanted.shape[1])):
        part = min(begin + run, h + 1.0) - max(begin, float(h))
        if part > 0:
            wanted[row, h] += work.cores[j] * part
    return least


@njit(cache=True)
def _parts(cheapest: Floats, where: Ints, j: int, work: _Work, wanted: Floats) -> float:
    """The cheapest parts of hours in the window, each wherever it is cheapest."""
    first, left = work.ready[j], work.run[j]
    end = first + work.wait[j] + left
    begin = int(first)
    cost = 0.0
    for k in np.argsort(cheapest[begin : min(int(np.ceil(end)), len(cheapest))]):
        h = begin + k
        used = min(min(h + 1.0, end) - max(float(h), first), left)
        if used <= 0:
            continue
        cost += cheapest[h] * used
        wanted[where[h], h] += work.cores[j] * used
        left -= used
    return cost
