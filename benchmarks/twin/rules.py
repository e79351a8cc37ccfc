"""Rules for when work runs: the cheapest time where the hours ahead are known, and what to do now where they are guessed.

For the published studies; the product's own rule is `scheduling/policies/joint.py`.

Owns the kernels alone; what the values are (price, carbon, or both weighed) and how they were guessed is the caller's
business. `values[k]` holds for step `k`; times and lengths count in steps and may be fractions of one; costs are value
× steps. Nothing here looks further than the arrays it is handed, and nothing keeps state.

Where the hours ahead are guessed, a step is worth taking if the work it does would cost more later. What "later" costs is
not the forecast's k-th cheapest step: each step may be taken or left when its value shows itself, and that choice is worth
something. `reserve` counts it in, by the backward recursion of optimal stopping (Karlin 1962; with several to choose,
Gilbert and Mosteller 1966, section 5, generalised here to steps that differ).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LIKELY = np.array([0.3, 0.4, 0.3])
"""Weights of the 10 %, 50 % and 90 % point (Keefer and Bodily 1983, extended Swanson-Megill)."""
HERMITE_POINTS, HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
HERMITE_WEIGHTS = HERMITE_WEIGHTS / HERMITE_WEIGHTS.sum()
"""Seven points that stand for a normal error: exact for polynomials up to degree 13."""


@njit(cache=True)
def cumulated(values: Floats) -> Floats:
    """`[k]`: the cost of the steps before `k`; one longer than `values`."""
    total = np.empty(len(values) + 1)
    total[0] = 0.0
    for k in range(len(values)):
        total[k + 1] = total[k] + values[k]
    return total


@njit(cache=True)
def until(total: Floats, at: float) -> float:
    """The cost from step 0 to `at`, which may lie inside a step."""
    k = min(max(int(at), 0), len(total) - 2)
    return float(total[k] + (at - k) * (total[k + 1] - total[k]))


@njit(cache=True)
def best_start(values: Floats, length: float, earliest: float, latest: float) -> tuple[float, float]:
    """Start and cost of the cheapest unbroken run that begins in `earliest..latest`; the first of equals.

    The cost is piecewise linear in the start, so its least lies at an end of the range, or where the run begins or ends
    with a step. A run must end within `values`; without any, (-1, inf).
    """
    total = cumulated(values)
    last = min(latest, len(values) - length)
    start, cost = -1.0, np.inf
    if earliest > last:
        return start, cost
    tail = math.ceil(length) - length
    for k in range(int(earliest) - 1, int(last) + 2):
        for at in (float(k), k + tail):
            at = min(max(at, earliest), last)
            here = until(total, at + length) - until(total, at)
            if here < cost:
                start, cost = at, here
    return start, cost


@njit(cache=True)
def best_starts(values: Floats, length: float, slack: int) -> tuple[Floats, Floats]:
    """`best_start` of every arrival that can end within `values`, on whole steps: starts `[i]` and costs `[i]`.

    A sliding minimum over the possible starts: O(n) in all. Windows are cut at the end of `values`.
    """
    total = cumulated(values)
    arrivals = max(math.floor(len(values) - length) + 1, 0)
    tail = math.ceil(length) - length
    per = 1 if tail == 0 else 2
    count = arrivals * per
    cost = np.full(count, np.inf)
    for p in range(count):
        at = p // per + (p % per) * tail
        if at + length <= len(values):
            cost[p] = until(total, at + length) - until(total, at)
    starts, costs = np.empty(arrivals), np.empty(arrivals)
    queue = np.empty(max(count, 1), np.int64)
    head, back, taken = 0, 0, 0
    for i in range(arrivals):
        while taken < count and taken // per + (taken % per) * tail <= i + slack:
            while back > head and cost[queue[back - 1]] > cost[taken]:
                back -= 1
            queue[back] = taken
            back += 1
            taken += 1
        while queue[head] < i * per:
            head += 1
        p = queue[head]
        starts[i], costs[i] = p // per + (p % per) * tail, cost[p]
    return starts, costs


@njit(cache=True)
def best_steps(values: Floats, length: float, earliest: int, end: int) -> tuple[Floats, float]:
    """How much of each step of `earliest..end` the cheapest broken run uses (`[end - earliest]`), and its cost.

    Of equals the earlier are used; only the dearest step used is used in part. Without room, nothing and inf.
    """
    share = np.zeros(max(end - earliest, 0))
    if length > len(share):
        return share, np.inf
    left, cost = length, 0.0
    for k in np.argsort(values[earliest:end], kind="mergesort"):
        if left <= 0:
            break
        share[k] = min(left, 1.0)
        cost += share[k] * values[earliest + k]
        left -= share[k]
    return share, cost


@njit(cache=True)
def best_steps_costs(values: Floats, length: int, slack: int) -> Floats:
    """`[i]`: the cost of the cheapest `length` steps among `length + slack` from `i` on, for every arrival `i`.

    A window slides over the values' ranks in a Fenwick tree: O(n log n) in all. Windows are cut at the end of `values`.
    """
    n = len(values)
    rank = np.empty(n, np.int64)
    order = np.argsort(values, kind="mergesort")
    rank[order] = np.arange(1, n + 1)
    counts, sums = np.zeros(n + 1, np.int64), np.zeros(n + 1)
    top = 1
    while top * 2 <= n:
        top *= 2
    arrivals = max(n - length + 1, 0)
    costs = np.empty(arrivals)
    held = 0
    for i in range(arrivals):
        while held < min(i + length + slack, n):
            _add(counts, sums, rank[held], 1, values[held])
            held += 1
        if i:
            _add(counts, sums, rank[i - 1], -1, -values[i - 1])
        at, left, cost, step = 0, length, 0.0, top
        while step:
            if at + step <= n and counts[at + step] <= left:
                at += step
                left -= counts[at]
                cost += sums[at]
            step //= 2
        costs[i] = cost
    return costs


@njit(cache=True)
def _add(counts: Ints, sums: Floats, at: int, one: int, value: float) -> None:
    while at < len(counts):
        counts[at] += one
        sums[at] += value
        at += at & -at


@njit(cache=True)
def expected_costs(values: Floats, lengths: Floats, likely: Floats) -> Floats:
    """`[s]`: what an unbroken run that starts with step `s` costs on average over its possible `lengths[q]`.

    Beyond `values` the last one holds on: a run that may be long is not free where the forecast ends.
    """
    total = cumulated(values)
    costs = np.zeros(len(values))
    for q in range(len(lengths)):
        for s in range(len(values)):
            costs[s] += likely[q] * (until(total, s + lengths[q]) - total[s])
    return costs


@njit(cache=True)
def reserve(mean: Floats, spread: Floats, first: int, end: int, points: Floats, weights: Floats, held: Floats) -> None:
    """Fills `held[k]`: what the (k+1)-th unit of work costs on average if it is left to the steps `first..end`.

    `mean[i]` and `spread[i]` are what is known now of a step's value and how far it may still turn out otherwise, in the
    standard deviations that `points[q]` and `weights[q]` stand for; errors are taken as independent. `held` rises, and is
    infinite where there are not that many steps. With V(i, k) the least expected cost of k units in the steps from i on,
    V(i, k) = E min(x + V(i+1, k-1), V(i+1, k)), so its differences obey held'[k] = E clip(x, held[k-1], held[k]): with a
    spread of 0 that is insertion into a sorted list, and `held` are the cheapest steps in their order.
    """
    held[:] = np.inf
    for i in range(end - 1, first - 1, -1):
        enter(mean[i], spread[i], points, weights, held)


@njit(cache=True)
def enter(mean: float, spread: float, points: Floats, weights: Floats, held: Floats) -> None:
    """One step of `reserve`, backwards in time."""
    lower = -np.inf
    for k in range(len(held)):
        upper = held[k]
        if spread == 0.0:
            held[k] = min(max(mean, lower), upper)
        else:
            total = 0.0
            for q in range(len(points)):
                total += weights[q] * min(max(mean + spread * points[q], lower), upper)
            held[k] = total
        if upper == np.inf:
            break
        lower = upper


@njit(cache=True)
def worth(held: Floats, left: Floats, likely: Floats) -> float:
    """What a step that is not used now costs on average to make up for later.

    `left[q]` are the possible lengths of the work still to do, `likely[q]` their weights. Infinite where it could not be
    made up for any more in one of them.
    """
    value = 0.0
    for q in range(len(left)):
        at = max(left[q] - 1.0, 0.0)
        k = math.ceil(at)
        if k >= len(held) or held[k] == np.inf:
            return np.inf
        value += likely[q] * (held[k] if k == at else held[k - 1] + (at - (k - 1)) * (held[k] - held[k - 1]))
    return value


@njit(cache=True)
def worth_within(values: Floats, first: int, wait: int, hold: float, left: Floats, likely: Floats) -> float:
    """`worth`, where not the end is bound but how long the work may be held: `wait` more steps in all, this one included.

    Of the steps from `first` on, a length of `k` steps may choose among `k + wait - 1`; each step of waiting costs `hold`.
    The forecast is taken as it is. Infinite without patience; steps behind `values` are not counted on.
    """
    if wait < 1:
        return np.inf
    value = 0.0
    for q in range(len(left)):
        k = max(math.ceil(left[q]), 1)
        ahead = values[first : first + k + wait - 1].copy()
        if len(ahead) < k:
            return np.inf
        for i in range(len(ahead)):
            ahead[i] += hold * (i + 1)
        value += likely[q] * np.partition(ahead, k - 1)[k - 1]
    return value


@njit(cache=True)
def runs(present: float, value: float) -> bool:
    """Whether to use this step: it is no dearer than what it saves (`worth`, or `held[0]` of the possible starts)."""
    return present <= value


@njit(cache=True)
def suspends(present: float, mean: Floats, first: int, end: int, value: float, pause: float) -> bool:
    """Whether running work should stop now, where stopping and taking up again costs `pause` (value × steps).

    It stops if what this and the next steps cost above their worth, until one is worth using again, is more than that.
    """
    over = present - value
    if over <= 0:
        return False
    for i in range(first, end):
        if over > pause or mean[i] <= value:
            break
        over += mean[i] - value
    return over > pause


@njit(cache=True)
def chance_below(value: float, mean: float, spread: float) -> float:
    """How likely a step of normal error turns out cheaper than `value`.

    Its sum over the steps ahead is the cheap way to decide for much work: with many steps to choose, a step is worth using
    if fewer cheaper ones are expected than are needed, and `reserve` need not be filled anew at every step.
    """
    if spread <= 0.0:
        return 1.0 if mean < value else 0.0
    return 0.5 * math.erfc((mean - value) / (spread * math.sqrt(2.0)))


def calibrated(forecast: Floats, truth: Floats, known: int, reach: int = 6) -> tuple[Floats, float]:
    """What a forecast is worth once its own record is known: the expected values of all steps, and their spread.

    Only `truth[:known]` is read. A step's value is estimated from the forecasts `reach` steps around it by least squares
    over that past, so that noise which neighbours do not share is averaged out and a bias is taken away. With less past
    than four times the weights the forecast is returned as it is, with the spread of its errors so far.
    """
    around = np.arange(-reach, reach + 1)
    last = len(forecast) - 1
    rows = forecast[np.clip(np.arange(len(forecast))[:, None] + around, 0, last)]
    rows = np.concatenate((rows, np.ones((len(forecast), 1))), axis=1)
    past = slice(reach, max(min(known, len(truth)) - reach, reach))
    seen, wanted = rows[past], truth[past]
    if len(seen) < 4 * rows.shape[1]:
        before = min(known, len(truth))
        return forecast.copy(), float(np.std(truth[:before] - forecast[:before])) if before > 1 else 0.0
    slight = 1e-9 * float(np.mean(seen**2)) * len(seen) + 1e-12
    weights = np.linalg.solve(seen.T @ seen + slight * np.eye(rows.shape[1]), seen.T @ wanted)
    return rows @ weights, float(np.std(wanted - seen @ weights))
