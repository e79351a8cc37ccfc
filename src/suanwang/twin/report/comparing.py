"""Means over seeds, their intervals, differences to a baseline, and which contenders nobody beats.

Owns the statistics of the report: 95 % intervals of Student's t over the seeds; differences are taken seed by seed, since
every contender plays the same seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from suanwang.twin.report.words import Measure, Number

CONFIDENCE = 0.95
MOST_PERCENT = 300.0
"""A larger change is told by its amount alone: against a small baseline percentages say nothing."""
SAME = 1e-12
"""Seeds that differ by less, of their mean, differ by rounding."""
NOTHING = Number(math.nan, math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """To the baseline, in the measure's column unit."""

    amount: Number
    percent: Number | None
    """Of the baseline's mean; None where that is next to nothing or the change is beyond all proportion."""

    @property
    def told(self) -> bool:
        """Whether the interval leaves zero out; with one seed there is no interval and any difference is told."""
        mean, half = self.amount
        if not math.isfinite(mean) or mean == 0:
            return False
        return not math.isfinite(half) or abs(mean) > half


def mean_of(values: Sequence[float]) -> Number:
    """Mean and half width of its interval; NaN half width from a single value."""
    kept = np.array([value for value in values if math.isfinite(value)])
    if not len(kept):
        return NOTHING
    if len(kept) == 1:
        return Number(float(kept[0]), math.nan)
    spread = float(kept.std(ddof=1)) / math.sqrt(len(kept))
    mean = float(kept.mean())
    if spread <= SAME * abs(mean):
        return Number(mean, 0.0)
    return Number(mean, float(stdtrit(len(kept) - 1, (1 + CONFIDENCE) / 2)) * spread)


def difference(measure: Measure, values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """Of two contenders over the seeds that both played."""
    seeds = sorted(set(values) & set(baseline))
    amount = mean_of([values[seed] - baseline[seed] for seed in seeds])
    base = mean_of([baseline[seed] for seed in seeds]).mean
    percent = None
    if not measure.share and math.isfinite(base) and abs(base) > measure.floor and math.isfinite(amount.mean):
        scaled = Number(100 * amount.mean / abs(base), 100 * amount.half / abs(base))
        percent = scaled if abs(scaled.mean) <= MOST_PERCENT else None
    return Difference(amount=amount, percent=percent)


def unbeaten(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other is at least as small as in both figures and smaller in one, by the first."""
    finite = [at for at, point in enumerate(points) if all(map(math.isfinite, point))]
    front: list[int] = []
    least = math.inf
    for at in sorted(finite, key=lambda at: points[at]):
        same = bool(front) and points[front[-1]] == points[at]
        if points[at][1] < least or same:
            front.append(at)
            least = points[at][1]
    return front
