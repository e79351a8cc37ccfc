"""What a probe reckons: medians, spreads, units, and the loop that keeps the budget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from suanwang.domain.sample import Source
from suanwang.sensing.probing.gauge import Gauge, NotMeasurable, Progress, take
from suanwang.sensing.probing.reckoning import (
    gigabytes_per_second,
    matmul_flop,
    median_and_spread,
    megabits_per_second,
    megabytes_per_second,
    samples_of,
    tflops,
)

NOW = datetime(2025, 6, 1, tzinfo=UTC)


class HandTimer:
    """A timer the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lasting(timer: HandTimer, seconds: float, metric: str, readings: list[float] | None = None) -> Gauge:
    values = iter(readings or [])

    @contextlib.contextmanager
    def prepare() -> Iterator[Callable[[], float]]:
        def measure() -> float:
            timer.now_s += seconds
            return next(values, 1.0)

        yield measure

    return Gauge(metric_type=metric, unit="GB/s", label=metric, prepare=prepare)


def test_operations_and_units_follow_their_definitions() -> None:
    assert matmul_flop(rows=2, inner=3, columns=5) == 60
    assert tflops(operations=4e12, seconds=2) == 2
    assert gigabytes_per_second(transferred_bytes=3e9, seconds=2) == 1.5
    assert megabytes_per_second(transferred_bytes=3e6, seconds=2) == 1.5
    assert megabits_per_second(transferred_bytes=1e6, seconds=4) == 2
    assert megabits_per_second(transferred_bytes=1, seconds=0) > 0


@pytest.mark.parametrize(
    ("values", "median", "spread"),
    [([7.0], 7, 0), ([1.0, 3.0], 2, 1), ([5.0, 1.0, 3.0], 3, 2), ([1.0, 2.0, 3.0, 4.0, 1000.0], 3, 2)],
)
def test_median_and_spread_shrug_off_an_outlier(values: list[float], median: float, spread: float) -> None:
    assert median_and_spread(values) == (median, spread)


def test_samples_carry_median_and_spread_of_the_same_metric() -> None:
    middle, width = samples_of("disk.write", "MB/s", [100.0, 300.0], NOW)
    assert (middle.statistic, middle.value) == ("median", 200)
    assert (width.statistic, width.value) == ("iqr", 100)
    for sample in (middle, width):
        assert (sample.metric_type, sample.unit, sample.source) == ("disk.write", "MB/s", Source.MEASURED)
        assert sample.observed_at == NOW


def test_every_gauge_is_repeated_and_progress_counts_up_to_the_total() -> None:
    timer, seen = HandTimer(), list[Progress]()
    gauges = [lasting(timer, 1, "a", [1, 2, 3]), lasting(timer, 1, "b", [4, 5, 6])]
    readings = take(gauges, repeats=3, budget_s=60, timer=timer, on_progress=seen.append)
    assert readings.values == {"a": (1, 2, 3), "b": (4, 5, 6)}
    assert readings.skipped == {}
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (seen[0].done, seen[-1].done, {progress.total for progress in seen}) == (0, 6, {6})
    assert seen[0].label == "a"


def test_a_spent_budget_keeps_what_was_measured_and_names_what_was_not() -> None:
    timer = HandTimer()
    gauges = [lasting(timer, 4, "first"), lasting(timer, 4, "cut short"), lasting(timer, 4, "never")]
    readings = take(gauges, repeats=2, budget_s=11, timer=timer)
    assert {metric: len(values) for metric, values in readings.values.items()} == {"first": 2, "cut short": 1}
    assert list(readings.skipped) == ["never"]
    assert "11 s" in readings.skipped["never"]


def test_what_cannot_be_measured_is_named_and_stops_nothing_else() -> None:
    timer = HandTimer()

    @contextlib.contextmanager
    def broken() -> Iterator[Callable[[], float]]:
        raise NotMeasurable("no such unit on this chip")
        yield float

    gauges = [
        Gauge(metric_type="broken", unit="TFLOPS", label="broken", prepare=broken),
        lasting(timer, 1, "sound"),
    ]
    readings = take(gauges, repeats=1, budget_s=10, timer=timer)
    assert readings.skipped == {"broken": "no such unit on this chip"}
    assert "sound" in readings.values
