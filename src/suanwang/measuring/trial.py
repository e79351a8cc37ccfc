"""A short trial run extrapolated to the whole: seconds against steps, with its error said.

Owns the extrapolation. What a step is (an optimizer step, a sample, a time step of a simulation) is the caller's
matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.checks import number
from suanwang.measuring.interval import NORMAL_80, Interval

MOST_POINTS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoint:
    """`seconds` from the start when `steps` were done."""

    steps: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """The whole run, as far as the trial tells."""

    seconds: Interval
    step_s: Interval
    startup_s: float
    """Time before the first step, and what the first steps took over the later ones."""
    reach: float
    """Whole run over trial, in steps."""
    sure: bool
    """Whether the interval is within ±25 % and the trial covered at least a thousandth of the run."""
    remark: str


def extrapolate(points: Sequence[TrialPoint], steps: float) -> Extrapolation:
    """Time of `steps` from at least four points of one run.

    The slope is Theil and Sen's (Sen 1968, section 2), which up to 29 % of bad points do not move; its 80 % interval is
    Sen's, from the ranks of the pairwise slopes (section 3). Beyond the trial nothing is observed, so the interval
    widens by 1 % for each doubling of the reach (log-normal), for drift such as heat, contention and growing input.
    Raises `InvalidRequest` where points are few, do not advance, or run backwards.
    """
    target = number(steps, "steps", most=1e18)
    ordered = _checked(points)
    slopes = sorted(
        (b.seconds - a.seconds) / (b.steps - a.steps)
        for i, a in enumerate(ordered)
        for b in ordered[i + 1 :]
        if b.steps > a.steps
    )
    slope = median(slopes)
    if slope <= 0:
        message = "the trial's time does not grow with its steps; record more or longer steps"
        raise InvalidRequest(message, field="points", allowed="seconds that grow with steps")
    low, high = _sen_interval(slopes, len(ordered))
    startup = max(0.0, median(point.seconds - slope * point.steps for point in ordered))
    reach = max(1.0, target / ordered[-1].steps)
    widening = math.exp(NORMAL_80 * 0.01 * math.log2(reach))
    step = Interval(low=max(low, slope * 1e-3) / widening, mid=slope, high=high * widening)
    seconds = Interval(
        low=startup + step.low * target, mid=startup + step.mid * target, high=startup + step.high * target
    )
    half = math.exp(seconds.log_half_width) - 1
    sure = half <= 0.25 and reach <= 1000
    return Extrapolation(
        seconds=seconds, step_s=step, startup_s=startup, reach=reach, sure=sure, remark=_remark(half, reach, sure)
    )


def _checked(points: Sequence[TrialPoint]) -> list[TrialPoint]:
    if not 4 <= len(points) <= MOST_POINTS:
        message = f"{len(points)} points are given; record from 4 to {MOST_POINTS}"
        raise InvalidRequest(message, field="points", allowed=f"4 to {MOST_POINTS} points")
    for index, point in enumerate(points):
        number(point.steps, f"points[{index}].steps", most=1e18, zero_allowed=True)
        number(point.seconds, f"points[{index}].seconds", most=1e12, zero_allowed=True)
    ordered = sorted(points, key=lambda point: (point.steps, point.seconds))
    if len({point.steps for point in ordered}) < 4:
        message = "the points lie at fewer than 4 different step counts; record them as the run advances"
        raise InvalidRequest(message, field="points", allowed="at least 4 different step counts")
    for before, after in pairwise(ordered):
        if after.seconds < before.seconds:
            message = (
                f"time runs backwards: {after.steps:g} steps at {after.seconds:g} s, fewer at {before.seconds:g} s"
            )
            raise InvalidRequest(message, field="points", allowed="seconds that do not fall as steps grow")
    return ordered


def _sen_interval(slopes: Sequence[float], count: int) -> tuple[float, float]:
    """Ranks (N ∓ z·σ)/2 with σ² = n(n-1)(2n+5)/18, Kendall's variance (Sen 1968, eq. 3.2)."""
    sigma = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    half = NORMAL_80 * sigma
    low = max(0, math.floor((len(slopes) - half) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + half) / 2))
    return slopes[low], slopes[high]


def _remark(half: float, reach: float, sure: bool) -> str:
    if sure:
        return f"within {half:.0%} eight times in ten, over {reach:.0f} times the trial's length"
    if reach > 1000:
        return f"the run is {reach:.0f} times as long as the trial; try longer to be sure"
    return f"the trial's steps vary: within {half:.0%} eight times in ten; try longer to be sure"
