"""What is expected of price and carbon at each instant at which a plan is made, and how far off it has been.

Owns forecasts that read the past alone. A tariff is known ahead and is taken exactly; what is not known is forecast anew at
each issue from what had happened until then. Chance comes in as a generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Floats, Series

DAYS = 7
"""Days whose same hours a forecast takes the mean of."""
FADE_H = 36.0
"""After so many hours, a third is left of how far the last value was from that mean. With both figures a day ahead is off by
7 to 16 % of the mean for carbon in DE, FR, GB, ES and California in 2022; 14 days and slower fading gain little."""
WINDOW = 28
"""Days whose errors make the spread of an issue."""
HOPE = 0.2
"""Of the spread, that a plan hopes for. In ten of 123 zones of 2022 `joint` then saved 47 % of what knowing the year would
have saved, 43 % without; more gains where work may wait for weeks, and loses where it may for a day."""
_DAY_MS = 24 * HOUR_MS
_BLOCK = 4096
"""Issues forecast at a time, to bound memory."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issues:
    """When forecasts are made, and for which steps: issue `i` at `start_ms + i * issue_ms`, for `steps` steps from there."""

    start_ms: int
    issue_ms: int
    count: int
    step_ms: int
    steps: int

    def __post_init__(self) -> None:
        for name in ("issue_ms", "count", "step_ms", "steps"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{name} is not possible", field=name, allowed="1 or more")
        if self.issue_ms % self.step_ms or _DAY_MS % self.step_ms:
            raise InvalidRequest("issues fall on steps", field="step_ms", allowed="a part of issue_ms and of a day")

    @property
    def at_ms(self) -> Ints:
        """`[i]`"""
        return self.start_ms + np.arange(self.count, dtype=np.int64) * self.issue_ms

    @property
    def per_issue(self) -> int:
        return self.issue_ms // self.step_ms


class Expected(NamedTuple):
    """What is expected of each site, as it is known at each issue."""

    start_ms: int
    issue_ms: int
    step_ms: int
    yuan: Floats
    """`[issue, site, k]`: yuan/kWh × hours from the issue's own instant until `k` steps later; `k` from 0."""
    carbon_g: Floats
    """`[issue, site, k]`: g/kWh × hours, likewise."""


def expected(issues: Issues, prices: Sequence[Floats], carbons: Sequence[Floats]) -> Expected:
    """Stack what `known` or `accumulated` made for each site: `[issue, k]` of price and of carbon."""
    shape = (issues.count, issues.steps + 1)
    if len(prices) != len(carbons) or any(each.shape != shape for each in (*prices, *carbons)):
        raise InvalidRequest("sites differ in shape", field="prices", allowed=f"{shape} of each quantity and site")
    empty = np.zeros((issues.count, 0, issues.steps + 1))
    return Expected(
        start_ms=issues.start_ms,
        issue_ms=issues.issue_ms,
        step_ms=issues.step_ms,
        yuan=np.stack(prices, axis=1) if prices else empty,
        carbon_g=np.stack(carbons, axis=1) if carbons else empty,
    )


def known(series: Series, issues: Issues) -> Floats:
    """`[issue, k]`: the true integral of a series that is published ahead, in value × hours."""
    begun = issues.at_ms[:, None]
    until = begun + np.arange(issues.steps + 1, dtype=np.int64) * issues.step_ms
    return series.integral(np.broadcast_to(begun, until.shape), until)


def accumulated(forecasts: Floats, step_ms: int) -> Floats:
    """`[issue, k]` in value × hours, from the mean values of steps `[issue, k]`."""
    totals = np.zeros((forecasts.shape[0], forecasts.shape[1] + 1))
    np.cumsum(forecasts, axis=1, out=totals[:, 1:])
    totals *= step_ms / HOUR_MS
    return totals


def noised(series: Series, error: float, chance: np.random.Generator) -> Series:
    """The true series with normal noise of σ = `error` × its mean on every value, as in Wiesner and others, "Let's Wait
    Awhile" (Middleware 2021), section 5.2.

    What follows from it is no forecast: it knows the future, but for the noise. It serves to compare with that paper.
    """
    sigma = error * float(series.values.mean())
    noise = chance.normal(0.0, abs(sigma), len(series.values))
    return Series(start_ms=series.start_ms, step_ms=series.step_ms, values=series.values + noise)


def forecast(series: Series, issues: Issues, *, days: int = DAYS, fade_h: float = FADE_H) -> Floats:
    """`[issue, k]`: mean value expected in each step, from nothing but what was over at the issue.

    The mean of the same hour over the last `days` days (fewer where there are not so many yet; the mean of all there is for
    an hour that has not been yet), plus how far the last step was from its own such mean, fading. Raises `InvalidRequest`
    where the first issue has no past.
    """
    past, first = _past(series, issues)
    return _forecast(past, first, issues, days, fade_h)


def spread(series: Series, issues: Issues, forecasts: Floats, *, window: int = WINDOW) -> Floats:
    """`[issue, k]`: root mean square of what forecasts `k` steps ahead were off, over the issues of the last `window` days
    for which that step was over at the issue; 0 where there was none yet."""
    past, first = _past(series, issues)
    at = first + np.arange(issues.count) * issues.per_issue
    most = max(1, window * _DAY_MS // issues.issue_ms)
    found = np.zeros((issues.count, issues.steps))
    for k in range(issues.steps):
        behind = -(-(k + 1) // issues.per_issue)
        over = issues.count - behind
        if over <= 0:
            break
        squares = np.concatenate(([0.0], np.cumsum((past[at[:over] + k] - forecasts[:over, k]) ** 2)))
        until = np.arange(1, over + 1)
        begun = np.maximum(until - most, 0)
        found[behind:, k] = np.sqrt(np.maximum(squares[until] - squares[begun], 0.0) / (until - begun))
    return found


def hoped(forecasts: Floats, spreads: Floats) -> Floats:
    """What steps are worth to work that need not take them: forecasts less `HOPE` of what they may be off.

    Work that waits sees what comes and takes the better of it, so a step in doubt is worth more to it than its mean. How
    much more would be a matter of optimal stopping; a share of the spread stands for it.
    """
    return forecasts - HOPE * spreads


def _past(series: Series, issues: Issues) -> tuple[Floats, int]:
    """Mean values of the steps from the series' start until the last issue, and the index of the first issue's step.

    Values behind the last issue are not looked at.
    """
    first = (issues.start_ms - series.start_ms) // issues.step_ms
    if first < 1:
        raise InvalidRequest("the first issue has no past", field="start_ms", allowed="a step or more into the series")
    count = first + (issues.count - 1) * issues.per_issue
    edges = issues.start_ms + (np.arange(count + 1, dtype=np.int64) - first) * issues.step_ms
    if issues.step_ms == series.step_ms and edges[0] == series.start_ms and count <= len(series.values):
        return series.values[:count], first
    return series.integral(edges[:-1], edges[1:]) / (issues.step_ms / HOUR_MS), first


def _forecast(past: Floats, first: int, issues: Issues, days: int, fade_h: float) -> Floats:
    """Issue `i` looks at `past[:first + i * per_issue]` alone."""
    if days < 1 or not fade_h > 0:
        raise InvalidRequest("a forecast needs days and a time to fade in", field="days", allowed="1 or more")
    per_day = _DAY_MS // issues.step_ms
    sums = np.concatenate(([0.0], np.cumsum(past)))
    lead = np.arange(issues.steps)
    fading = np.exp(-(lead + 1) * (issues.step_ms / HOUR_MS) / fade_h)
    found = np.empty((issues.count, issues.steps))
    back = per_day * np.arange(1, days + 1)
    for start in range(0, issues.count, _BLOCK):
        at = first + np.arange(start, min(start + _BLOCK, issues.count)) * issues.per_issue
        phase = at[:, None] + np.arange(per_day)
        total, have = np.zeros(phase.shape), np.zeros(phase.shape)
        for days_ago in back:
            index = phase - days_ago
            there = index >= 0
            total += np.where(there, past[np.maximum(index, 0)], 0.0)
            have += there
        mean = np.where(have > 0, total / np.maximum(have, 1), (sums[at] / at)[:, None])
        away = past[at - 1] - mean[:, per_day - 1]
        found[start : start + len(at)] = mean[:, lead % per_day] + away[:, None] * fading
    return found
