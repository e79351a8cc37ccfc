"""What a project may have: its weight beside the others, its quotas, and whether its jobs may be of high priority.

Owns the values and what of a quota is exceeded. Says nothing of turns: that is `scheduling.fairness`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SLACK = 1e-6
"""Sums of decimal fractions are off by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Cores, memory and devices by model; means over time, so not whole ones."""

    cores: float = 0.0
    memory_gb: float = 0.0
    devices: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A project nobody decided about has this as it stands. None, and a model that is not named, mean no limit."""

    weight: float = 1.0
    """Of its share beside other projects': with 2 it gets twice as much where there is not enough for all."""
    cores: int | None = None
    """Most in use at once, as the next two."""
    memory_gb: float | None = None
    devices: Mapping[str, int] = field(default_factory=dict)
    """By model."""
    queued: int | None = None
    """Most jobs that wait at once: for room, or for what they need."""
    may_be_high: bool = False
    """Whether its jobs may be of high priority."""

    @property
    def limits_use(self) -> bool:
        return self.cores is not None or self.memory_gb is not None or bool(self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A project among the others when a decision is made."""

    allowance: Allowance = field(default_factory=Allowance)
    holds: Amounts = field(default_factory=Amounts)
    """Of its live allocations."""
    lately: Amounts = field(default_factory=Amounts)
    """The mean of what it held, older times counting less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A quota that a job does not fit under now, in words of figures."""

    used: str
    asked: str
    allowed: str


def over(used: float, asked: float, most: float) -> bool:
    """Whether a quota of `most` does not allow `asked` beside what is used. The twin's kernels hold this one too."""
    return used + asked > most + SLACK


def exceeded(allowance: Allowance, used: Amounts, cores: int, memory_gb: float) -> Exceeded | None:
    """The quota of cores or memory that `cores` and `memory_gb` more would exceed."""
    if allowance.cores is not None and over(used.cores, cores, allowance.cores):
        return Exceeded(used=f"{used.cores:g}", asked=f"{cores}", allowed=f"{allowance.cores} × core")
    if allowance.memory_gb is not None and over(used.memory_gb, memory_gb, allowance.memory_gb):
        return Exceeded(
            used=f"{round(used.memory_gb, 3):g}", asked=f"{memory_gb:g}", allowed=f"{allowance.memory_gb:g} GB"
        )
    return None


def exceeded_devices(allowance: Allowance, used: Amounts, model: str, count: int) -> Exceeded | None:
    """The quota of devices of `model` that `count` more would exceed."""
    most = allowance.devices.get(model)
    have = used.devices.get(model, 0)
    if most is None or not over(have, count, most):
        return None
    return Exceeded(used=f"{have:g}", asked=f"{count}", allowed=f"{most} × {model}")
