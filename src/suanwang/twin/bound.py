"""What no schedule can beat: a linear programme that knows everything and may divide work at will.

Owns the fluid relaxation. Work is divisible and moves freely; cores, memory and devices of one job may part company;
moving data costs nothing and the posted prices' cheapest row is always open to its capacity. Each of these only lowers
the optimum, so what comes out is below every schedule whose jobs keep within their windows: from when a job is ready
until its run has ended after the longest wait it allows. A schedule that keeps jobs waiting longer is not held by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linprog

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Floats, Ints, Series
from suanwang.scheduling.columns import NEVER_MS, RESOURCES, JobColumns, RowColumns
from suanwang.twin.accounting import MILLI
from suanwang.twin.timeline import Steps, overlaps

Bools = npt.NDArray[np.bool_]
COARSE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 24, 27, 30, 36, 42, 48, 60, 72, 96, 120, 168, 240, 336, 480, 720)
"""Lengths of windows in steps; each window is lengthened to one of them, which only lowers the bound."""
WIDENED = (0, 1, 2, 4, 8, 16, 32, 64, 128)


class Windows(NamedTuple):
    """Work of like windows together, `[g]`."""

    first: Ints
    """Step."""
    last: Ints
    """Step, one past the end."""
    work: Floats
    """Unit × hours."""
    rate: Floats
    """Unit × hours that may be done in one step: a job runs at its own width only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FluidBound:
    """Lower bounds, each reached on its own; `weighted` holds both at once."""

    cost_yuan: float
    """Posted price, and electricity where users pay it beside."""
    electricity_yuan: float
    carbon_g: float
    """Location based."""
    weighted: float
    """Least of `price × cost / cost_yuan + carbon × carbon / carbon_g` over their sum: 1 where both can be had at once."""
    both_cost_yuan: float
    """What that least sum costs, and emits: no bound of either alone, but what can be had together at these weights."""
    both_carbon_g: float
    widened_hours: float
    """By how much every window had to be lengthened so that all work fits at all; 0 where it did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Work of one kind in one resource, and its price in each objective: `cost[o][r, t]` per unit × hour."""

    windows: Windows
    fixed: Floats
    """`[t]`: unit × hours of jobs that may not wait: when those run is known."""
    capacity: Floats
    cost: tuple[Floats, ...]


def fluid_bound(
    jobs: JobColumns,
    run_ms: Ints,
    rows: RowColumns,
    fits: Bools,
    yuan: Sequence[Series],
    carbon_g: Sequence[Series],
    *,
    price_weight: float = 1.0,
    carbon_weight: float = 1.0,
    step_ms: int = HOUR_MS,
    moved_ms: Ints | None = None,
) -> FluidBound:
    """The bound of one workload on one network, under the true `yuan[site]` and `carbon_g[site]` per kWh of the rows.
    `moved_ms[j]` is how long data take at most, where ways change.

    Raises `InvalidRequest` where the work does not fit even with windows lengthened by days.
    """
    if not len(run_ms):
        return FluidBound(
            cost_yuan=0.0, electricity_yuan=0.0, carbon_g=0.0, weighted=0.0, both_cost_yuan=0.0, both_carbon_g=0.0,
            widened_hours=0.0,
        )  # fmt: skip
    for widened in WIDENED:
        parts = _parts(jobs, run_ms, rows, fits, yuan, carbon_g, widened=widened, step_ms=step_ms, moved_ms=moved_ms)
        electricity_alone = all(np.array_equal(part.cost[0], part.cost[1]) for part in parts)
        least = [_least(parts, at) for at in range(3) if at or not electricity_alone]
        least = least[:1] * electricity_alone + least
        if all(value is not None for value in least):
            break
    else:
        raise InvalidRequest("the work does not fit into the network, not even days later", field="capacity")
    cost, electricity, carbon = (float(value or 0.0) for value in least)
    # Each in shares of what it is at best, so that the weights compare like with like.
    scaled = (price_weight / max(cost, 1e-12), carbon_weight / max(carbon, 1e-12))
    both = np.zeros(3)
    for part in parts:
        mixed: Floats = scaled[0] * part.cost[0] + scaled[1] * part.cost[2]
        solved = _solve(part, mixed)
        assert solved is not None, "what fits for one objective fits for all"
        both += [solved.least, (part.cost[0] * solved.placed).sum(), (part.cost[2] * solved.placed).sum()]
    return FluidBound(
        cost_yuan=cost,
        electricity_yuan=electricity,
        carbon_g=carbon,
        weighted=float(both[0]) / (price_weight + carbon_weight),
        both_cost_yuan=float(both[1]),
        both_carbon_g=float(both[2]),
        widened_hours=widened * step_ms / HOUR_MS,
    )


def _least(parts: Sequence[_Part], objective: int) -> float | None:
    total = 0.0
    for part in parts:
        found = _solve(part, part.cost[objective])
        if found is None:
            return None
        total += found.least
    return total


def _parts(
    jobs: JobColumns,
    run_ms: Ints,
    rows: RowColumns,
    fits: Bools,
    yuan: Sequence[Series],
    carbon_g: Sequence[Series],
    *,
    widened: int,
    step_ms: int,
    moved_ms: Ints | None = None,
) -> list[_Part]:
    start = int(jobs.ready_ms.min()) // step_ms * step_ms
    slowest = rows.slowness / rows.slowness.min()
    run = (run_ms * rows.slowness.min()).astype(np.int64)
    late = np.where(jobs.due_ms < NEVER_MS, np.maximum(jobs.due_ms, jobs.ready_ms + run), NEVER_MS)
    end = np.minimum(jobs.ready_ms + jobs.wait_ms + run, late)
    moved = jobs.data_gb * rows.transfer_ms_per_gb.max(initial=0.0) if moved_ms is None else moved_ms
    firm = (jobs.wait_ms == 0) & (moved == 0) & (widened == 0) & (slowest.max() == 1)
    first = (jobs.ready_ms - start) // step_ms
    length = _coarse(np.maximum(-((start - end - moved.astype(np.int64)) // step_ms) - first, 1)) + widened
    steps = int((first + length).max())
    price = np.array([yuan[s].window(start, steps) for s in rows.site])
    carbon = np.array([carbon_g[s].window(start, steps) for s in rows.site])
    parts = []
    for kind in np.unique(jobs.kind):
        of, on = jobs.kind == kind, np.flatnonzero(fits[kind])
        for resource in range(RESOURCES):
            need = jobs.need[:, resource]
            if not need[of].any():
                continue
            kw = rows.power_w[on, resource, None] / 1000.0
            posted = rows.yuan_hour[on, resource, None]
            costs = (
                posted + rows.electricity_share[on, None] * kw * price[on],
                kw * price[on],
                kw * carbon[on],
            )
            free = of & ~firm
            windows = _windows(
                first[free], length[free], need[free] * run[free] / HOUR_MS, need[free] * step_ms / HOUR_MS
            )
            # A slower row does less work per hour, at the same draw.
            slow = slowest[on, None]
            capacity = rows.capacity[on, resource] * (step_ms / HOUR_MS) / slow[:, 0]
            fixed = _fixed(jobs.ready_ms[of & firm], run[of & firm], need[of & firm], Steps(start, step_ms, steps))
            parts.append(_Part(windows=windows, fixed=fixed, capacity=capacity, cost=tuple(c * slow for c in costs)))
    return parts


def _coarse(length: Ints) -> Ints:
    lengths = np.array(COARSE)
    at = np.searchsorted(lengths, length)
    return np.where(at < len(lengths), lengths[np.minimum(at, len(lengths) - 1)], length)


def _fixed(ready_ms: Ints, run_ms: Ints, need: Floats, span: Steps) -> Floats:
    rate = np.rint(need * MILLI).astype(np.int64)
    done = overlaps(np.zeros_like(ready_ms), ready_ms, ready_ms + run_ms, rate, 1, span)[0]
    hours: Floats = done / (MILLI * HOUR_MS)
    return hours


def _windows(first: Ints, length: Ints, work: Floats, rate: Floats) -> Windows:
    used = work > 0
    first, length, work, rate = first[used], length[used], work[used], np.minimum(rate, work)[used]
    key, inverse = np.unique(first * (1 << 24) + length, return_inverse=True)
    return Windows(
        first=key >> 24,
        last=(key >> 24) + (key & ((1 << 24) - 1)),
        work=np.bincount(inverse, weights=work, minlength=len(key)).astype(np.float64),
        rate=np.bincount(inverse, weights=rate, minlength=len(key)).astype(np.float64),
    )


class _Solved(NamedTuple):
    least: float
    placed: Floats
    """`[r, t]`: unit × hours."""
    scarce: Floats
    """`[r, t]`: what one more unit × hour of capacity would save."""


def scarcity(
    jobs: JobColumns,
    run_ms: Ints,
    rows: RowColumns,
    fits: Bools,
    series: Sequence[Series],
    *,
    step_ms: int = HOUR_MS,
) -> Floats:
    """`[r, t]`: what one more core-hour would save in each step from the first job's on, in the fluid optimum of the
    `series[site]` per kWh alone; 0 where there is room to spare.

    Raises `InvalidRequest` where the work needs more than cores of one kind, or does not fit.
    """
    if jobs.need[:, 1:].any() or len(np.unique(jobs.kind)) != 1:
        raise InvalidRequest("the work needs more than cores", field="need", allowed="cores alone")
    (part,) = _parts(jobs, run_ms, rows, fits, series, series, widened=0, step_ms=step_ms)
    solved = _solve(part, part.cost[1])
    if solved is None:
        raise InvalidRequest("the work does not fit into the network", field="capacity")
    found = np.zeros((len(rows.site), len(part.fixed)))
    found[np.flatnonzero(fits[jobs.kind[0]])] = solved.scarce
    return found


def _solve(part: _Part, cost: Floats) -> _Solved | None:
    """Least cost and what has it, or None where the work does not fit.

    `done[g, t]` of each window in each of its steps, `at[r, t]` of each row; what is done in a step is done somewhere.
    """
    windows, steps, rows = part.windows, len(part.fixed), len(part.capacity)
    spans = windows.last - windows.first
    group = np.repeat(np.arange(len(spans)), spans)
    begun = np.cumsum(spans) - spans
    step = np.arange(int(spans.sum())) - np.repeat(begun - windows.first, spans)
    count, placed = len(group), rows * steps
    whole = sparse.coo_matrix((np.ones(count), (group, np.arange(count))), (len(spans), count + placed))
    moved = sparse.coo_matrix(
        (
            np.concatenate([np.full(count, -1.0), np.ones(placed)]),
            (np.concatenate([step, np.tile(np.arange(steps), rows)]), np.arange(count + placed)),
        ),
        (steps, count + placed),
    )
    high = np.concatenate([windows.rate[group], np.repeat(part.capacity, steps)])
    solved = linprog(
        np.concatenate([np.zeros(count), cost.ravel()]),
        A_eq=sparse.vstack([whole, moved]).tocsc(),
        b_eq=np.concatenate([windows.work, part.fixed]),
        bounds=np.stack([np.zeros(len(high)), high], axis=1),
        method="highs-ipm",
    )
    if solved.status == 2:
        return None
    if solved.status != 0:
        raise InvalidRequest(f"the bound was not found: {solved.message}", field="bound")
    scarce = np.maximum(-np.asarray(solved.upper.marginals)[count:], 0.0)
    return _Solved(float(solved.fun), solved.x[count:].reshape(rows, steps), scarce.reshape(rows, steps))
