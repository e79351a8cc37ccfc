"""*Let's Wait Awhile*'s interruptible jobs by a rule that replans, beside the paper's and beside knowing the future.

Owns the comparison. Both rules get the same forecast, drawn once. The paper's plans at arrival and keeps to it. The
product's decides each half hour anew: it sees the present value, and it has watched the forecast against what came true
(`calibrated`, fitted anew each week on the past alone; in the first week it takes the forecast as it is).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.published import Floats, half_hours
from benchmarks.twin.rules import HERMITE_POINTS, HERMITE_WEIGHTS, calibrated, enter, runs
from benchmarks.twin.waiting import REGIONS, SEEDS, Ints, machine_learning, noisy, planned_once, saving
from numba import njit

ERROR = 0.05
WEEK = 7 * 48
SHARE = 0.3
"""Of the spread that counts, as in the online benchmark."""
THEIRS = {"DE": 7.93, "GB": 9.03, "FR": 5.92}
"""Percent saved, next workday, broken, from the authors' evaluation."""


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    yield Table(
        "Beside Let's Wait Awhile: a rule that replans at 5 % noise",
        figures=list(_compared(data, 2 if quick else SEEDS)),
        notes=[
            (
                "Not in the product: the rule of `benchmarks/twin/rules.py`. Broken runs, the same windows, seeds and forecasts. The "
                "difference in what is known: this rule sees "
                "the present value, which the paper's sees through the noise, and past values beside what had been forecast."
            )
        ],
    )


def _compared(data: Path, seeds: int) -> Iterator[Figure]:
    jobs = machine_learning()
    for rule in ("next_workday", "semi_weekly"):
        slack = jobs.slack(rule)
        for region, name in REGIONS.items():
            truth = half_hours(data, name)
            known = saving(truth, jobs, planned_once(truth, truth, jobs.start, jobs.length, slack, True))
            ours, theirs = [], []
            for seed in range(seeds):
                forecast = noisy(truth, ERROR, seed)
                means, spreads = weekly(forecast, truth)
                ours.append(
                    replanned(truth, means, spreads, jobs.start, jobs.length, slack, HERMITE_POINTS, HERMITE_WEIGHTS)
                )
                theirs.append(planned_once(truth, forecast, jobs.start, jobs.length, slack, True))
            saved = saving(truth, jobs, float(np.mean(ours)))
            once = saving(truth, jobs, float(np.mean(theirs)))
            bound = THEIRS[region] if rule == "next_workday" else once
            title = f"{region}, {rule.replace('_', ' ')}"
            yield Figure(name=f"{title}: saved (theirs {once:.2f})", value=saved, unit="%", bound=f"≥ {bound:.2f}")
            name = f"{title}: of the clairvoyant {known:.2f} % (theirs {100 * once / known:.1f})"
            yield Figure(name=name, value=100 * saved / known, unit="%", bound="≥ 99")


def weekly(forecast: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """`[week, step]` and `[week]`: the forecast and its spread as they are believed from the week's beginning on."""
    weeks = -(-len(truth) // WEEK)
    means, spreads = np.empty((weeks, len(truth))), np.empty(weeks)
    for week in range(weeks):
        means[week], spreads[week] = calibrated(forecast, truth, week * WEEK)
    return means, SHARE * spreads


@njit(cache=True)
def replanned(
    truth: Floats, means: Floats, spreads: Floats, start: Ints, length: Ints, slack: Ints, points: Floats, weights: Floats,
) -> float:  # fmt: skip
    """Emissions of all jobs where each step is used or left when it comes."""
    emitted = 0.0
    for j in range(len(start)):
        steps = min(length[j] + slack[j] + 1, len(truth) - start[j])
        week, held = start[j] // WEEK, np.full(length[j], np.inf)
        worth = np.empty((steps, length[j]))
        for k in range(steps - 1, -1, -1):
            worth[k] = held
            enter(means[week, start[j] + k], spreads[week], points, weights, held)
        left = length[j]
        for k in range(steps):
            present = truth[start[j] + k]
            if runs(present, worth[k, left - 1]):
                emitted += present
                left -= 1
                if left == 0:
                    break
    return emitted
