"""One thing to measure, whatever it is: the shape every part of the probe fills and the one loop that runs them.

Owns repetition, the time budget and progress. Knows nothing of what a gauge measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

Timer = Callable[[], float]
"""Seconds from some fixed instant, never running backwards."""


class NotMeasurable(Exception):
    """This host cannot measure it; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """`prepare` holds what the measurement needs and gives a function that measures once, in `unit`."""

    metric_type: str
    unit: str
    label: str
    prepare: Callable[[], AbstractContextManager[Callable[[], float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` of `total` measurements; `label` is what is measured now."""

    done: int
    total: int
    label: str


@dataclass(slots=True, kw_only=True)
class Readings:
    """Values by metric type, and why the rest was left out."""

    values: dict[str, tuple[float, ...]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def take(
    gauges: Sequence[Gauge],
    *,
    repeats: int,
    budget_s: float,
    timer: Timer,
    on_progress: Callable[[Progress], None] | None = None,
) -> Readings:
    """Run every gauge `repeats` times until `budget_s` seconds are spent, and say of each that fell out why.

    A measurement that has begun is finished, so the budget may be passed by one of them. A gauge cut short keeps the
    values it has.
    """
    readings = Readings()
    deadline = timer() + budget_s
    total = len(gauges) * repeats
    for index, gauge in enumerate(gauges):
        if on_progress is not None:
            on_progress(Progress(done=index * repeats, total=total, label=gauge.label))
        values: list[float] = []
        try:
            if timer() < deadline:
                with gauge.prepare() as measure:
                    for repeat in range(repeats):
                        if timer() >= deadline:
                            break
                        values.append(measure())
                        if on_progress is not None:
                            done = index * repeats + repeat + 1
                            on_progress(Progress(done=done, total=total, label=gauge.label))
        except (NotMeasurable, OSError, MemoryError) as error:
            readings.skipped[gauge.metric_type] = str(error) or type(error).__name__
            continue
        if values:
            readings.values[gauge.metric_type] = tuple(values)
            readings.units[gauge.metric_type] = gauge.unit
        else:
            readings.skipped[gauge.metric_type] = f"the budget of {budget_s:g} s was spent before"
    if on_progress is not None:
        on_progress(Progress(done=total, total=total, label=""))
    return readings
