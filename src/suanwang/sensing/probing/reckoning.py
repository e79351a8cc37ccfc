"""Statistics, operation counts and units of a probe. Pure: measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime

from suanwang.domain.sample import Sample, Source


def matmul_flop(*, rows: int, inner: int, columns: int) -> int:
    """Operations of a matrix product, a multiplication and an addition counted as two (Golub and Van Loan, 1.2)."""
    return 2 * rows * inner * columns


def tflops(*, operations: float, seconds: float) -> float:
    """10^12 operations a second."""
    return operations / positive(seconds) / 1e12


def gigabytes_per_second(*, transferred_bytes: float, seconds: float) -> float:
    """10^9 bytes a second."""
    return transferred_bytes / positive(seconds) / 1e9


def megabytes_per_second(*, transferred_bytes: float, seconds: float) -> float:
    """10^6 bytes a second."""
    return transferred_bytes / positive(seconds) / 1e6


def megabits_per_second(*, transferred_bytes: float, seconds: float) -> float:
    """10^6 bits a second."""
    return 8 * transferred_bytes / positive(seconds) / 1e6


def positive(seconds: float) -> float:
    """A duration to divide by: what a clock cannot tell from nothing counts as a nanosecond."""
    return max(seconds, 1e-9)


def median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Median and interquartile range of one value or more; quartiles by linear interpolation (Hyndman and Fan, type 7)."""
    if len(values) == 1:
        return values[0], 0.0
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return middle, upper - lower


def samples_of(metric_type: str, unit: str, values: Sequence[float], observed_at: datetime) -> tuple[Sample, Sample]:
    """The two samples that report repeated measurements: statistic `median`, and `iqr` for the spread."""
    median, spread = median_and_spread(values)
    middle, width = (
        Sample(
            metric_type=metric_type,
            unit=unit,
            value=value,
            source=Source.MEASURED,
            statistic=statistic,
            observed_at=observed_at,
        )
        for statistic, value in (("median", median), ("iqr", spread))
    )
    return middle, width
