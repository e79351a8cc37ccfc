"""A figure with its error: a middle and the bounds that hold it with a stated chance.

Owns the arithmetic of log-normal intervals; knows nothing of what the figure is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.8
"""Every interval of this room is meant to hold the outcome eight times in ten."""

NORMAL_80 = 1.2815515655446004
"""The 90 % quantile of the normal distribution: 80 % lies within that many standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """`low` ≤ `mid` ≤ `high`, in the unit of the field it stands in; `level` is the chance that the outcome lies
    within."""

    low: float
    mid: float
    high: float
    level: float = LEVEL

    def times(self, factor: float) -> Interval:
        """Scaled by an exact factor over 0."""
        return Interval(low=self.low * factor, mid=self.mid * factor, high=self.high * factor, level=self.level)

    def inverse(self) -> Interval:
        """1/x of every bound, order kept."""
        return Interval(low=1 / self.high, mid=1 / self.mid, high=1 / self.low, level=self.level)

    @property
    def log_half_width(self) -> float:
        """Half of the width in natural logarithms, the same both ways for a log-normal figure."""
        return 0.5 * math.log(self.high / self.low)


def exact(value: float) -> Interval:
    """A figure without error."""
    return Interval(low=value, mid=value, high=value)


def around(mid: float, log_half_width: float) -> Interval:
    """The interval from `mid`/e^w to `mid`·e^w for a half-width w in natural logarithms."""
    spread = math.exp(log_half_width)
    return Interval(low=mid / spread, mid=mid, high=mid * spread)


def from_log_sd(mid: float, log_sd: float) -> Interval:
    """The 80 % interval of a log-normal figure with median `mid` and standard deviation `log_sd` of its logarithm."""
    return around(mid, NORMAL_80 * log_sd)
