"""自学习: how finished runs correct the efficiency of a device in a class of work.

Owns the rule of learning and its state, which is plain numbers. The state holds, per (device, class), a correction: the
logarithm of measured over predicted efficiency. It is 0 with a standard deviation of 0.25 before anything was seen.

The rule is a Bayesian update of a normal belief about that logarithm with Student-t errors (4 degrees of freedom; West
1984, section 2): an observation `z` standard deviations off weighs 5/(4 + z²), and no single run moves the belief by
more than 0.2. A run beyond 3 standard deviations is an outlier and is named. The belief widens a little before each
update, so that it follows a device whose software changes; because of that and of the robust weights the order of
runs matters, by less than the belief's own standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.checks import number, whole
from suanwang.measuring.workclass import WorkClass

PRIOR_SD = 0.25
RUN_SD = 0.15
"""Spread of runs of one kind on one device: restarts, input, luck."""
DRIFT_SD = 0.02
"""Added to the belief before each observation."""
LARGEST_STEP = 0.2
OUTLIER_Z = 3.0
_FREEDOM = 4.0
_KEPT_OUTLIERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is known of one (device, class): the log correction is normal with `mean` and `sd`."""

    mean: float = 0.0
    sd: float = PRIOR_SD
    runs: int = 0
    outliers: tuple[str, ...] = ()
    """Names of the runs that fell far off, the latest last."""

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


def update(state: EfficiencyState, observation: Observation) -> EfficiencyState:
    """The state after `observation`."""
    return learn(state, observation).state


def learn(state: EfficiencyState, observation: Observation) -> Lesson:
    """As `update`, and what was learnt, for the page that shows prediction against outcome."""
    before = state.of(observation.device, observation.work_class)
    variance = before.sd**2 + DRIFT_SD**2
    z = (observation.log_ratio - before.mean) / math.sqrt(variance + RUN_SD**2)
    weight = (_FREEDOM + 1) / (_FREEDOM + z**2)
    gain = variance / (variance + RUN_SD**2 / weight)
    step = max(-LARGEST_STEP, min(LARGEST_STEP, gain * (observation.log_ratio - before.mean)))
    outlier = abs(z) > OUTLIER_Z
    names = (*before.outliers, observation.run)[-_KEPT_OUTLIERS:] if outlier else before.outliers
    after = Belief(
        mean=before.mean + step,
        sd=min(PRIOR_SD, math.sqrt(variance * (1 - gain))),
        runs=before.runs + 1,
        outliers=names,
    )
    key = (observation.device, observation.work_class)
    beliefs = MappingProxyType({**state.beliefs, key: after})
    return Lesson(state=EfficiencyState(beliefs=beliefs), before=before, after=after, z=z, outlier=outlier)


def to_plain(state: EfficiencyState) -> list[dict[str, Any]]:
    """The state as JSON-ready rows, in a fixed order."""
    return [
        {
            "device": device,
            "work_class": work_class.value,
            "mean": belief.mean,
            "sd": belief.sd,
            "runs": belief.runs,
            "outliers": list(belief.outliers),
        }
        for (device, work_class), belief in sorted(state.beliefs.items())
    ]


def from_plain(rows: Sequence[Mapping[str, Any]]) -> EfficiencyState:
    """The state of rows that `to_plain` wrote. Raises `InvalidRequest` naming the row's field that is wrong."""
    beliefs: dict[tuple[str, WorkClass], Belief] = {}
    for index, row in enumerate(rows):
        where = f"efficiencies[{index}]"
        try:
            work_class = WorkClass(str(row.get("work_class")))
        except ValueError as error:
            allowed = ", ".join(WorkClass)
            message = f"{where}.work_class {row.get('work_class')!r} is unknown; use {allowed}"
            raise InvalidRequest(message, field=f"{where}.work_class", allowed=allowed) from error
        beliefs[str(row.get("device")), work_class] = Belief(
            mean=number(row.get("mean"), f"{where}.mean", least=-5, most=5),
            sd=number(row.get("sd"), f"{where}.sd", most=5),
            runs=whole(row.get("runs"), f"{where}.runs", least=0, most=10**12),
            outliers=tuple(str(name) for name in row.get("outliers", ())),
        )
    return EfficiencyState(beliefs=MappingProxyType(beliefs))
