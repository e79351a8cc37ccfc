"""Whether a figure that a site reports can be true, and whether it falls short of what the site declares.

Owns the units of every probed metric and the limits of belief: physics, forgery, age. Knows nothing of how a figure is
measured and reads no clock. A doubt is a result with its reason, not an error: whoever asked decides what to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from suanwang.domain.device import Accelerator
from suanwang.domain.precision import Precision
from suanwang.domain.sample import Sample, Source
from suanwang.measuring.checks import number
from suanwang.measuring.memory import BYTES
from suanwang.measuring.roofline import attainable_tflops

TOLERANCE = 1.05
"""A measured rate may exceed the printed peak by this: clocks boost, and peaks are rounded."""
SHORT_BELOW = 0.8
"""A site whose measured figure is under this share of the declared one is marked."""
LARGEST_SIDE = 8192
"""Rows and columns of the largest product that a probe runs."""
MAX_AGE = timedelta(days=30)
CLOCK_SLACK = timedelta(minutes=5)

_PRECISIONS = "|".join(precision.value for precision in Precision)
_UNITS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"(compute|device\.\d+)\.matmul\.({_PRECISIONS})"), "TFLOPS"),
    (re.compile(r"memory\.bandwidth(\.copy)?|device\.\d+\.memory\.bandwidth"), "GB/s"),
    (re.compile(r"disk\.(write|read)"), "MB/s"),
    (re.compile(r"network\.delay_ms(\.[\w.-]+)?"), "ms"),
    (re.compile(r"network\.throughput(\.[\w.-]+)?"), "Mbps"),
    (re.compile(r"compute\.processors"), "count"),
)
_MOST: Mapping[str, float] = {"TFLOPS": 1e5, "GB/s": 1e5, "MB/s": 1e6, "ms": 1e6, "Mbps": 1e7, "count": 1e5}
"""Beyond what one device, host or link of this decade does."""


class DoubtKind(StrEnum):
    """Why a figure is not believed."""

    FORGED = "forged"
    """No measurement gives it: not a number, negative, of the wrong unit, or from the future."""
    IMPLAUSIBLE = "implausible"
    """More than physics or the printed peak allows."""
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One reason not to believe one figure; `reason` is for the site's owner to read."""

    metric_type: str
    kind: DoubtKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is known of the thing measured, by metric type and in that metric's unit."""

    most: Mapping[str, float] = field(default_factory=dict)
    """Printed peaks: a rate over one of them, with the tolerance, is implausible."""
    least: Mapping[str, float] = field(default_factory=dict)
    """Floors, such as the delay of light over a link's length: a figure under one of them is implausible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A measured figure that stays under what is declared; both in the same unit."""

    declared: float
    measured: float

    @property
    def ratio(self) -> float:
        return self.measured / self.declared

    def __str__(self) -> str:
        return f"measured {self.measured:.4g}, {self.ratio:.0%} of the declared {self.declared:.4g}"


def unit_of(metric_type: str) -> str | None:
    """The one unit in which a probed metric is reported; None for a metric no probe gives."""
    return next((unit for pattern, unit in _UNITS if pattern.fullmatch(metric_type)), None)


def limits_of(device: Accelerator, *, index: int) -> Limits:
    """The printed dense peaks of a catalogue entry as the limits of the probed device number `index`.

    FP64 is held against the matrix unit where the chip has one: a probe's product may use it. INT4 and what the
    catalogue does not know are not limited here.
    """
    most = {f"device.{index}.matmul.{precision.value}": figure.value for precision, figure in device.rates.items()}
    tensor = device.rate(Precision.FP64_TENSOR)
    if tensor is not None:
        key = f"device.{index}.matmul.{Precision.FP64.value}"
        most[key] = max(most.get(key, 0.0), tensor)
    if device.memory_bandwidth_gb_s is not None:
        most[f"device.{index}.memory.bandwidth"] = device.memory_bandwidth_gb_s.value
    return Limits(most=most)


def roofline_tflops(*, peak_tflops: float, bandwidth_gb_s: float, intensity_flop_per_byte: float) -> float:
    """`roofline.attainable_tflops` of figures that nobody has checked. Raises `InvalidRequest` for those that are none."""
    return attainable_tflops(
        rate_tflops=number(peak_tflops, "peak_tflops"),
        bandwidth_gb_s=number(bandwidth_gb_s, "bandwidth_gb_s"),
        intensity=number(intensity_flop_per_byte, "intensity_flop_per_byte"),
    )


def declared_beyond(declares: Mapping[str, float], known: Sequence[Accelerator]) -> Mapping[str, str]:
    """Why sustained rates that a site vouches for cannot be true, by their names; `known` are its catalogue devices.

    A device's rate is held against the roofline of the best of them: its printed peak, and the site's own declared bandwidth
    (else the printed one) at the intensity of the largest square product that a probe runs, 2·side / (3·bytes).
    """
    found: dict[str, str] = {}
    for name, claimed in declares.items():
        metric, _, part = name.partition(".")
        unit = unit_of(f"device.0.{part}" if metric == "device" else name)
        if unit is None:
            found[name] = "no probe gives such a metric"
        elif not 0 < claimed < math.inf:
            found[name] = f"{claimed:g} is no rate"
        elif metric == "device" and known:
            reasons = [_device_beyond(part, claimed, declares, device) for device in known]
            if all(reasons):
                found[name] = str(reasons[0])
    return found


def _device_beyond(part: str, claimed: float, declares: Mapping[str, float], device: Accelerator) -> str | None:
    peak = limits_of(device, index=0).most.get(f"device.0.{part}")
    if peak is None:
        return None
    kind, _, precision = part.partition(".")
    printed = device.memory_bandwidth_gb_s
    bandwidth = declares.get("device.memory.bandwidth", printed.value if printed else None)
    if kind == "matmul" and bandwidth is not None:
        intensity = 2 * LARGEST_SIDE / (3 * BYTES[Precision(precision)])
        return beyond_physics(
            claimed_tflops=claimed, peak_tflops=peak, bandwidth_gb_s=bandwidth, intensity_flop_per_byte=intensity
        )
    return f"{claimed:.4g} claimed, {peak:.4g} is printed for {device.id}" if claimed > peak * TOLERANCE else None


def beyond_physics(
    *, claimed_tflops: float, peak_tflops: float, bandwidth_gb_s: float, intensity_flop_per_byte: float
) -> str | None:
    """Why a claimed rate at an intensity is over the device's roofline; None when it may be true.

    Raises `InvalidRequest` for figures that are none.
    """
    claimed = number(claimed_tflops, "claimed_tflops", zero_allowed=True)
    roof = roofline_tflops(
        peak_tflops=peak_tflops, bandwidth_gb_s=bandwidth_gb_s, intensity_flop_per_byte=intensity_flop_per_byte
    )
    if claimed <= roof * TOLERANCE:
        return None
    bound = (
        "its peak rate" if roof == peak_tflops else f"{bandwidth_gb_s:g} GB/s × {intensity_flop_per_byte:g} FLOP/byte"
    )
    return f"{claimed:.4g} TFLOPS claimed, {roof:.4g} is the most: bound by {bound}"


def doubts(
    samples: Iterable[Sample], *, now: datetime, limits: Limits | None = None, max_age: timedelta = MAX_AGE
) -> tuple[Doubt, ...]:
    """Every reason not to believe these probe results, in their order; empty when all may be true.

    Only measured samples of probed metrics are meant: one with an unknown metric or unit is forged. A forged figure gets
    that one doubt alone.
    """
    known = limits or Limits()
    found: list[Doubt] = []
    for sample in samples:
        forged = _forgery(sample, now)
        if forged is not None:
            found.append(Doubt(metric_type=sample.metric_type, kind=DoubtKind.FORGED, reason=forged))
            continue
        beyond = _beyond_limits(sample, known)
        if beyond is not None:
            found.append(Doubt(metric_type=sample.metric_type, kind=DoubtKind.IMPLAUSIBLE, reason=beyond))
        age = now - sample.observed_at
        if age > max_age:
            reason = f"measured {age.days} days ago, figures count for {max_age.days}: probe again"
            found.append(Doubt(metric_type=sample.metric_type, kind=DoubtKind.STALE, reason=reason))
    return tuple(found)


def shortfall(declared: float, measured: float) -> Shortfall | None:
    """The shortfall when `measured` is under 0.8 × `declared`, both in one unit; None when the site keeps its word.

    For rates, where more is better. Raises `InvalidRequest` for a figure that is none, or a declared one of 0 or less.
    """
    promised = number(declared, "declared")
    found = number(measured, "measured", zero_allowed=True)
    return Shortfall(declared=promised, measured=found) if found < SHORT_BELOW * promised else None


def _forgery(sample: Sample, now: datetime) -> str | None:
    unit = unit_of(sample.metric_type)
    if unit is None:
        return "no probe gives such a metric"
    if sample.unit != unit:
        return f"its unit is {sample.unit[:20]!r}, a probe gives {unit}"
    if sample.source is not Source.MEASURED:
        return f"it calls itself {sample.source.value}, a probe measures"
    if not math.isfinite(sample.value):
        return f"{sample.value} is no measurement"
    if sample.value < 0 or (sample.value == 0 and sample.statistic != "iqr"):
        return f"{sample.value:g} {unit} is no measurement: it must be above 0"
    if sample.observed_at > now + CLOCK_SLACK:
        return "it was measured in the future: set the site's clock"
    return None


def _beyond_limits(sample: Sample, limits: Limits) -> str | None:
    if sample.statistic == "iqr":
        return None
    peak, floor = limits.most.get(sample.metric_type), limits.least.get(sample.metric_type)
    if peak is not None and sample.value > peak * TOLERANCE:
        return f"{sample.value:.4g} {sample.unit} measured, the printed peak is {peak:.4g}"
    if floor is not None and sample.value < floor:
        return f"{sample.value:.4g} {sample.unit} measured, physics allows no less than {floor:.4g}"
    if sample.value > _MOST[sample.unit]:
        return f"{sample.value:.4g} {sample.unit} is more than anything built does"
    return None
