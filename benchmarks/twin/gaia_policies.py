"""GAIA's policies and an online rule over a year of jobs that never find a site full, compiled.

Owns the loops; `gaia` holds the same policies of GAIA, step by step, against its published results.
"""

from __future__ import annotations

import numpy as np
from benchmarks.twin.published import Floats
from benchmarks.twin.rules import cumulated, runs, until, worth_within
from numba import njit

NAMES = ("at once", "lowest slot", "lowest window", "saving per time", "threshold", "wait awhile")
AT_ONCE, LOWEST, WINDOW, SAVING, THRESHOLD, AWHILE = range(6)
ARRIVAL, LENGTH, CORES, WAIT = range(4)
LONG_H = 2
Result = tuple[float, float, float]
"""Kilograms, USD, mean hours of waiting."""


@njit(cache=True)
def played(which: int, jobs: Floats, carbon: Floats, price: Floats, per_hour: int) -> Result:
    """One of GAIA's policies; `carbon` and `price` in value × hours by steps, `per_hour` of them an hour."""
    total_carbon, total_price = cumulated(carbon), cumulated(price)
    is_long = jobs[:, LENGTH] >= LONG_H
    means = (
        int(jobs[~is_long, LENGTH].mean() * per_hour),
        int(jobs[is_long, LENGTH].mean() * per_hour),
    )
    kilograms = usd = waited = 0.0
    for j in range(len(jobs)):
        at, length = round(jobs[j, ARRIVAL] * per_hour), max(round(jobs[j, LENGTH] * per_hour), 1)
        wait, mean = int(jobs[j, WAIT]) * per_hour, means[1] if is_long[j] else means[0]
        cores = jobs[j, CORES]
        if which < THRESHOLD:
            start = at + _start(which, carbon, total_carbon, at, wait, mean, per_hour)
            kilograms += cores * (total_carbon[start + length] - total_carbon[start])
            usd += cores * (total_price[start + length] - total_price[start])
            waited += start - at
            continue
        used = _steps(which, carbon, at, length, wait, per_hour)
        for k in used:
            kilograms += cores * carbon[k]
            usd += cores * price[k]
        waited += used.max() + 1 - at - length
    return kilograms / 1000, usd, waited / per_hour / len(jobs)


@njit(cache=True)
def _start(which: int, carbon: Floats, total: Floats, at: int, wait: int, mean: int, per_hour: int) -> int:
    """How many steps after its arrival a job starts that is not interrupted."""
    if which == AT_ONCE:
        return 0
    if which == LOWEST:
        return int(np.argmin(carbon[at : at + wait + 1]))
    best, chosen, now = np.inf, 0, total[at + mean] - total[at]
    for later in range(0, wait + 1, per_hour):
        cost = total[at + later + mean] - total[at + later]
        value = cost if which == WINDOW else (cost - now) / (later + mean)
        if value < best:
            best, chosen = value, later
    return chosen


@njit(cache=True)
def _steps(which: int, carbon: Floats, at: int, length: int, wait: int, per_hour: int):  # type: ignore[no-untyped-def]
    """The steps of a job that may be interrupted."""
    window = carbon[at : at + length + wait]
    if which == AWHILE:
        return at + np.argsort(window, kind="mergesort")[:length]
    bar = np.quantile(carbon[at : at + 24 * per_hour], 0.3)
    used, count, left = np.empty(length, np.int64), 0, wait
    for k in range(len(window)):
        if window[k] < bar or left <= 0:
            used[count] = at + k
            count += 1
            if count == length:
                break
        else:
            left -= 1
    return used


@njit(cache=True)
def held_once(
    jobs: Floats, value: Floats, carbon: Floats, price: Floats, hold: float, short: Floats, long: Floats, likely: Floats,
) -> Result:  # fmt: skip
    """The rule of `rules.worth_within` at one site, deciding at each arrival and full hour. All by the hour; `value` is what is to be
    saved, `hold` what an hour of waiting costs in it, `short` and `long` `[hours run, 3]` what is then still to run."""
    total_carbon, total_price = cumulated(carbon), cumulated(price)
    kilograms = usd = waited = 0.0
    for j in range(len(jobs)):
        at, left, wait, ran = jobs[j, ARRIVAL], jobs[j, LENGTH], jobs[j, WAIT], 0.0
        rest = long if jobs[j, LENGTH] >= LONG_H else short
        while left > 1e-9:
            hour = int(at + 1e-9)
            points = rest[min(int(ran), len(rest) - 1)]
            worth = worth_within(value, hour + 1, int(np.ceil(wait)), hold, points, likely)
            step = hour + 1 - at
            if runs(value[hour], worth):
                step = min(step, left)
                kilograms += jobs[j, CORES] * (until(total_carbon, at + step) - until(total_carbon, at))
                usd += jobs[j, CORES] * (until(total_price, at + step) - until(total_price, at))
                left, ran = left - step, ran + step
            else:
                step = min(step, wait)
                wait -= step
                waited += step
            at += step
    return kilograms / 1000, usd, waited / len(jobs)
