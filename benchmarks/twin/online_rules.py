"""How much of the EuroSys bound is reached by rules that know nothing but the past.

Owns the two rules of the benchmark, for runs that may be broken and for those that may not, and how their savings are
told. The present hour's value is known, later ones are forecast (`foresight`); each hour is decided when it comes. Arrivals
are every 13th hour of the year, so that all hours of day and week are met; the bound is taken over the same arrivals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.eurosys import LENGTHS, SLACKS
from benchmarks.twin.foresight import AHEAD, DAY, FIRST, WEEK, Forecasts, forecasts, running_spread
from benchmarks.twin.published import Floats, zones
from benchmarks.twin.rules import (
    HERMITE_POINTS,
    HERMITE_WEIGHTS,
    best_starts,
    best_steps_costs,
    chance_below,
    enter,
)
from numba import njit

Ints = npt.NDArray[np.int64]
EVERY = 13
SOME = 6
"""Every so many-th zone is taken."""
SHARE = 0.3
"""Of the forecast's spread that counts: errors of neighbouring hours are alike, so choosing among them gains less than if
they were independent."""
RECENT = 60 * DAY
FIFTH = 5
"""Days that are alike: only every fifth is a new chance."""
MANY = 6.0
"""Cheaper hours come in rows, so a few more of them than are needed may be expected before it pays to wait."""


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    names, values = zones(data)
    chosen = [zone for zone in range(len(names)) if np.ptp(values[:, zone]) > 0][:: 20 if quick else SOME]
    seen = [forecasts(values[:, zone]) for zone in chosen]
    found = [savings(values[:, zone], own) for zone, own in zip(chosen, seen, strict=True)]
    told = [
        savings(values[:, zone], _true_days(values[:, zone], own)) for zone, own in list(zip(chosen, seen, strict=True))
    ]
    yield Table(
        "EuroSys 2024 online: rules that know the past alone",
        figures=[
            *_told(np.concatenate(found)),
            *_were_days_known(np.concatenate(told)),
        ],
        notes=[
            (
                f"Not in the product: rules of `benchmarks/twin/rules.py`, in every {SOME}th zone. "
                "Share of the bound's saving, summed over zones, lengths and slacks. No weather and no earlier year goes in: "
                "each zone is forecast from its own 2022 up to the hour of the decision, beginning with nothing on 1 January. "
                "The bound knows the whole year. The rules' constants were set by hand on ten zones and hold for all."
            ),
            (
                "Why it falls short: a day ahead these forecasts are off by two thirds of the standard deviation (DE) to nine "
                "tenths (wind and hydropower), three days ahead they are hardly better than the season's mean; and an unbroken "
                "run of a week must be begun before its week is known. The last lines say what the same rules reach where the "
                "next four days are known as they will be, the rest as before."
            ),
        ],
    )


def _told(rows: Floats) -> Iterator[Figure]:
    """From `[row, (length, slack, unbroken saving, its bound, broken saving, its bound)]`."""
    yield Figure(name="all", value=_share(rows, (2, 4), (3, 5)), unit="% of the bound's saving")
    for name, own, bound in (("broken", 4, 5), ("unbroken", 2, 3)):
        yield Figure(name=name, value=_share(rows, (own,), (bound,)), unit="%")
        for column, words, choices in ((1, "slack {} h", SLACKS), (0, "{} h long", LENGTHS)):
            for choice in choices:
                part = rows[rows[:, column] == choice]
                yield Figure(name=f"{name}, {words.format(choice)}", value=_share(part, (own,), (bound,)), unit="%")
        single = 100 * rows[:, own] / rows[:, bound]
        for point in (10, 50, 90):
            yield Figure(
                name=f"{name}: {point} % point over the rows", value=float(np.percentile(single, point)), unit="%"
            )
        yield Figure(name=f"{name}: rows at 90 % or more", value=100 * float((single >= 90).mean()), unit="%")


def _were_days_known(told: Floats) -> Iterator[Figure]:
    for name, own, bound in (("broken", 4, 5), ("unbroken", 2, 3)):
        yield Figure(name=f"{name}, were the next four days known", value=_share(told, (own,), (bound,)), unit="%")


def _share(rows: Floats, own: tuple[int, ...], bound: tuple[int, ...]) -> float:
    return float(100 * rows[:, own].sum() / rows[:, bound].sum())


def _true_days(values: Floats, seen: Forecasts) -> Forecasts:
    """The same forecasts, but for the days that they reach the truth."""
    mean = seen.mean.copy()
    for ahead in range(1, AHEAD + 1):
        mean[:-ahead, ahead - 1] = values[ahead:]
    return Forecasts(profile=seen.profile, mean=mean, spread=np.zeros_like(mean))


def savings(values: Floats, seen: Forecasts) -> Floats:
    """One zone's rows: length, slack, mean saving and the bound's, unbroken, then broken; g/kWh."""
    rows = []
    ahead, tail = _cheaper(values, seen.mean, SHARE * seen.spread)
    for length in LENGTHS:
        at_once = best_starts(values, float(length), 0)[1] / length
        starts, spread = windows(values, seen, length)
        chunks = _chunks(starts, spread)
        reserves = _reserves(starts[:, 0].copy())
        for slack in SLACKS:
            bound = best_starts(values, float(length), slack)[1] / length
            started = _unbroken(starts, spread, *chunks, reserves, slack, len(at_once), HERMITE_POINTS, HERMITE_WEIGHTS)
            saved = at_once[::EVERY].mean() - at_once[started].mean()
            best = at_once[::EVERY].mean() - bound[::EVERY].mean()
            broken_best = at_once[::EVERY].mean() - best_steps_costs(values, length, slack)[::EVERY].mean() / length
            broken = at_once[::EVERY].mean() - _broken(values, ahead, tail, length, slack).mean() / length
            rows.append((length, slack, saved, best, broken, broken_best))
    return np.array(rows, np.float64)


def windows(values: Floats, seen: Forecasts, length: int) -> tuple[Floats, Floats]:
    """`[t, h]`: what a run that starts `h` hours after `t` is expected at `t` to cost per hour, and how much that expectation
    moved, in the past, until the run could start."""
    count, hours = len(values), np.arange(len(values))
    behind = seen.profile[hours[:, None], (hours[:, None] + np.arange(AHEAD + 1, AHEAD + length + 1)) % DAY]
    path = np.concatenate((values[:, None], seen.mean, behind), axis=1)
    total = np.concatenate((np.zeros((count, 1)), np.cumsum(path, axis=1)), axis=1)
    mean = (total[:, length : length + AHEAD + 1] - total[:, : AHEAD + 1]) / length
    spread = np.repeat(running_spread(values)[:, None], AHEAD + 1, axis=1)
    moved = np.zeros((count, AHEAD + 1))
    for ahead in range(AHEAD + 1):
        moved[: count - ahead, ahead] = mean[ahead:, 0] - mean[: count - ahead, ahead]
    first, second = np.cumsum(moved, axis=0), np.cumsum(moved**2, axis=0)
    for week in range(FIRST, count, WEEK):
        last, held = week - AHEAD, week - AHEAD - 2 * DAY
        one, two = first[last] - first[2 * DAY], second[last] - second[2 * DAY]
        spread[week : week + WEEK] = np.sqrt(np.maximum(two / held - (one / held) ** 2, 0.0))
    return mean, SHARE * spread


@njit(cache=True)
def _chunks(mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """`[t, day ahead]`: the cheapest start of each day ahead, and its spread."""
    days = (mean.shape[1] - 1) // DAY
    best, moved = np.empty((len(mean), days)), np.empty((len(mean), days))
    for t in range(len(mean)):
        for d in range(days):
            k = DAY * d + 1 + np.argmin(mean[t, DAY * d + 1 : DAY * d + DAY + 1])
            best[t, d], moved[t, d] = mean[t, k], spread[t, k]
    return best, moved


@njit(cache=True)
def _reserves(now: Floats) -> Floats:
    """`[day, n]`: what the best start is worth if `n` more days come, by the days' cheapest starts over two months."""
    days = len(now) // DAY
    worth = np.full((days + 2, days + 2), np.inf)
    least = np.array([now[DAY * d : DAY * d + DAY].min() for d in range(days)])
    for d in range(1, days + 2):
        past = least[max(0, min(d, days) - RECENT // DAY) : min(d, days)]
        value = np.inf
        for n in range(1, days + 2):
            if (n - 1) % FIFTH == 0:
                value = np.minimum(past, value).mean()
            worth[d, n] = value
    return worth


@njit(cache=True)
def _unbroken(
    mean: Floats, spread: Floats, best: Floats, moved: Floats, reserves: Floats, slack: int, arrivals: int,
    points: Floats, weights: Floats,
) -> Ints:  # fmt: skip
    """When the run of each arrival starts: now, or later if a later day is worth more."""
    started = np.empty((arrivals + EVERY - 1) // EVERY, np.int64)
    held = np.empty(1)
    for n in range(len(started)):
        t = n * EVERY
        last = min(t + slack, arrivals - 1)
        while t < last:
            left = last - t
            held[0] = np.inf
            if left > AHEAD:
                held[0] = reserves[t // DAY, (left - AHEAD + DAY - 1) // DAY]
            for d in range(min((left + DAY - 1) // DAY, best.shape[1]) - 1, -1, -1):
                if DAY * (d + 1) <= left:
                    enter(best[t, d], moved[t, d], points, weights, held)
                else:
                    k = DAY * d + 1 + np.argmin(mean[t, DAY * d + 1 : left + 1])
                    enter(mean[t, k], spread[t, k], points, weights, held)
            if mean[t, 0] <= held[0]:
                break
            t += 1
        started[n] = t
    return started


@njit(cache=True)
def _cheaper(values: Floats, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """`[t, h]`: how many of the next `h` hours are expected to be cheaper than `t`; and the share of recent hours that were."""
    ahead, tail = np.zeros((len(values), AHEAD + 1)), np.zeros(len(values))
    for t in range(len(values)):
        for h in range(AHEAD):
            ahead[t, h + 1] = ahead[t, h] + chance_below(values[t], mean[t, h], spread[t, h])
        begun = max(0, t - RECENT)
        if t > begun:
            tail[t] = (values[begun:t] < values[t]).mean()
    return ahead, tail


@njit(cache=True)
def _broken(values: Floats, ahead: Floats, tail: Floats, length: int, slack: int) -> Floats:
    """What the run of each arrival costs: an hour is used if fewer cheaper ones are to come than are needed."""
    arrivals = len(values) - length + 1
    costs = np.zeros((arrivals + EVERY - 1) // EVERY)
    for n in range(len(costs)):
        end, left = min(n * EVERY + length + slack, len(values)), length
        for t in range(n * EVERY, end):
            rest = end - t - 1
            cheaper = ahead[t, min(rest, AHEAD)] + max(rest - AHEAD, 0) * tail[t]
            if rest < left or cheaper < left + min(MANY, (rest + 1 - left) / AHEAD):
                costs[n] += values[t]
                left -= 1
                if left == 0:
                    break
    return costs
