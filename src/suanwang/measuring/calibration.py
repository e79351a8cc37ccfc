"""自学习: how finished runs correct the efficiency of a device in a class of work.

Owns the rule of learning and its state, which is plain numbers. Per (device, class) the state keeps the latest runs'
residuals: logarithms of measured over predicted efficiency, where predicted is what the published rule said before
anything was learnt.

The correction is the posterior of a normal location with prior N(0, 0.25²) under Huber's weights (Huber 1964, section 4:
weight 1 up to 1.5 standard deviations of 0.25, then falling as their inverse). The problem is convex, so its solution is
unique and the order of runs does not matter, except that the oldest of more than 64 are forgotten, so that a device whose
software changes is followed. One run moves the correction by at most 0.375/(1 + n) beside n others that agree; a run more
than 3 standard deviations off is an outlier, and is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType

from suanwang.measuring.checks import number
from suanwang.measuring.workclass import WorkClass

PRIOR_SD = 0.25
RUN_SD = 0.25
"""Spread of runs of one kind on one device: restarts, input, code, luck."""
OUTLIER_Z = 3.0
WINDOW = 64
_HUBER = 1.5
_ROUNDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """One finished run: logarithm of measured over predicted efficiency."""

    run: str
    log_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is known of one (device, class): the log correction is normal with `mean` and `sd`."""

    mean: float = 0.0
    sd: float = PRIOR_SD
    residuals: tuple[Residual, ...] = ()
    """The latest runs, the newest last."""

    @property
    def runs(self) -> int:
        """Runs that the belief rests on."""
        return len(self.residuals)

    @property
    def outliers(self) -> tuple[str, ...]:
        """Names of the runs that lie far off."""
        return tuple(r.run for r in self.residuals if abs(r.log_ratio - self.mean) > OUTLIER_Z * RUN_SD)

    @property
    def factor(self) -> float:
        """Median efficiency over the published rule's."""
        return math.exp(self.mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A finished run. `predicted_hours` is what the published rule said, without any correction learnt since."""

    run: str
    device: str
    work_class: WorkClass
    predicted_hours: float
    measured_hours: float

    def __post_init__(self) -> None:
        number(self.predicted_hours, "predicted_hours", most=1e12)
        number(self.measured_hours, "measured_hours", most=1e12)

    @property
    def log_ratio(self) -> float:
        """Logarithm of measured over predicted efficiency."""
        return math.log(self.predicted_hours / self.measured_hours)


_NOTHING: Mapping[tuple[str, WorkClass], Belief] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficiencyState:
    """All beliefs so far; a pair that is absent holds the prior."""

    beliefs: Mapping[tuple[str, WorkClass], Belief] = field(default_factory=lambda: _NOTHING)

    def of(self, device: str, work_class: WorkClass) -> Belief:
        """The belief about `device` in `work_class`."""
        return self.beliefs.get((device, work_class), Belief())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one observation did to the belief."""

    state: EfficiencyState
    before: Belief
    after: Belief
    z: float
    """Standard deviations between what was expected and what was measured."""
    outlier: bool


NOTHING_LEARNT = EfficiencyState()


def learn(state: EfficiencyState, observation: Observation) -> Lesson:
    """The state after `observation`, and what was learnt, for the page that shows prediction against outcome."""
    key = (observation.device, observation.work_class)
    before = state.of(*key)
    residual = Residual(run=observation.run, log_ratio=observation.log_ratio)
    after = _belief((*before.residuals, residual)[-WINDOW:])
    z = (residual.log_ratio - before.mean) / math.hypot(before.sd, RUN_SD)
    beliefs = MappingProxyType({**state.beliefs, key: after})
    return Lesson(
        state=EfficiencyState(beliefs=beliefs),
        before=before,
        after=after,
        z=z,
        outlier=abs(residual.log_ratio - after.mean) > OUTLIER_Z * RUN_SD,
    )


def _belief(residuals: tuple[Residual, ...]) -> Belief:
    """The posterior: iteratively reweighted until it stands (Huber 1964, section 4)."""
    # Sorting makes the floating-point sums, and so the result, the same for every order of the same runs.
    values = sorted(residual.log_ratio for residual in residuals)
    prior, single = 1 / PRIOR_SD**2, 1 / RUN_SD**2
    mean = median((*values, 0.0))
    weights = [1.0] * len(values)
    for _ in range(_ROUNDS):
        weights = [min(1.0, _HUBER * RUN_SD / max(abs(value - mean), 1e-12)) for value in values]
        moved = single * sum(w * v for w, v in zip(weights, values, strict=True)) / (prior + single * sum(weights))
        if abs(moved - mean) < 1e-12:
            break
        mean = moved
    return Belief(mean=mean, sd=1 / math.sqrt(prior + single * sum(weights)), residuals=residuals)
