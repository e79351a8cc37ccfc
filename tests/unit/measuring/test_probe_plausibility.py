"""Figures that cannot be true are named with their reason, and a site that falls short is marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from suanwang.domain.device import Accelerator, Figure
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.sample import Sample, Source
from suanwang.measuring.plausibility import (
    DoubtKind,
    Limits,
    beyond_physics,
    doubts,
    limits_of,
    roofline_tflops,
    shortfall,
    unit_of,
)

NOW = datetime(2025, 6, 1, tzinfo=UTC)
HONEST = Sample(
    metric_type="device.0.matmul.fp16",
    unit="TFLOPS",
    value=300.0,
    source=Source.MEASURED,
    statistic="median",
    observed_at=NOW - timedelta(days=1),
)


def figure(value: float) -> Figure:
    return Figure(value=value, source="test", published_on="2025")


CHIP = Accelerator(
    id="test-chip",
    vendor="test",
    model="chip",
    kind=DeviceKind.NPU,
    domestic=True,
    rates={Precision.FP16: figure(376), Precision.FP64: figure(10), Precision.FP64_TENSOR: figure(20)},
    memory_bandwidth_gb_s=figure(1600),
)


def kinds(sample: Sample, limits: Limits | None = None) -> list[DoubtKind]:
    return [doubt.kind for doubt in doubts([sample], now=NOW, limits=limits)]


def test_an_honest_figure_raises_no_doubt() -> None:
    assert kinds(HONEST, limits_of(CHIP, index=0)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": -1.0},
        {"value": 0.0},
        {"unit": "PFLOPS"},
        {"unit": "GB/s"},
        {"metric_type": "device.0.matmul.fp12"},
        {"metric_type": "device.x.matmul.fp16"},
        {"metric_type": "compute.matmul.fp64 "},
        {"source": Source.NOMINAL},
        {"observed_at": NOW + timedelta(hours=1)},
    ],
    ids=str,
)
def test_what_no_probe_gives_is_forged_and_says_so_once(change: dict[str, object]) -> None:
    found = doubts([replace(HONEST, **change)], now=NOW)  # type: ignore[arg-type]
    assert [doubt.kind for doubt in found] == [DoubtKind.FORGED]
    assert found[0].reason


def test_a_clock_a_little_ahead_is_no_forgery_and_no_spread_is_no_lie() -> None:
    assert kinds(replace(HONEST, observed_at=NOW + timedelta(minutes=1))) == []
    assert kinds(replace(HONEST, statistic="iqr", value=0.0)) == []


def test_more_than_the_printed_peak_is_implausible_with_room_for_boost() -> None:
    limits = limits_of(CHIP, index=0)
    assert kinds(replace(HONEST, value=376 * 1.04), limits) == []
    assert kinds(replace(HONEST, value=376 * 1.06), limits) == [DoubtKind.IMPLAUSIBLE]
    assert kinds(replace(HONEST, value=376 * 1.06, metric_type="device.1.matmul.fp16"), limits) == []


def test_fp64_is_held_against_the_matrix_unit() -> None:
    limits = limits_of(CHIP, index=0)
    fp64 = replace(HONEST, metric_type="device.0.matmul.fp64")
    assert kinds(replace(fp64, value=19.0), limits) == []
    assert kinds(replace(fp64, value=22.0), limits) == [DoubtKind.IMPLAUSIBLE]


def test_memory_faster_than_printed_is_implausible() -> None:
    bandwidth = replace(HONEST, metric_type="device.0.memory.bandwidth", unit="GB/s", value=2000.0)
    assert kinds(bandwidth, limits_of(CHIP, index=0)) == [DoubtKind.IMPLAUSIBLE]


def test_an_unknown_device_still_cannot_beat_everything_built() -> None:
    assert kinds(replace(HONEST, value=1e6)) == [DoubtKind.IMPLAUSIBLE]


def test_a_link_cannot_be_quicker_than_light() -> None:
    delay = replace(HONEST, metric_type="network.delay_ms.guian", unit="ms", value=2.0)
    limits = Limits(least={"network.delay_ms.guian": 14.0})
    assert kinds(delay, limits) == [DoubtKind.IMPLAUSIBLE]
    assert kinds(replace(delay, value=15.0), limits) == []


def test_an_old_figure_is_stale_and_may_be_implausible_too() -> None:
    old = replace(HONEST, observed_at=NOW - timedelta(days=31))
    assert kinds(old) == [DoubtKind.STALE]
    assert [d.kind for d in doubts([old], now=NOW, max_age=timedelta(days=60))] == []
    assert kinds(replace(old, value=1000.0), limits_of(CHIP, index=0)) == [DoubtKind.IMPLAUSIBLE, DoubtKind.STALE]
    assert "31 days" in doubts([old], now=NOW)[0].reason


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("compute.matmul.fp64", "TFLOPS"),
        ("device.12.matmul.fp64_tensor", "TFLOPS"),
        ("memory.bandwidth", "GB/s"),
        ("disk.read", "MB/s"),
        ("network.delay_ms.和林格尔", "ms"),
        ("network.throughput.a-b", "Mbps"),
        ("compute.processors", "count"),
        ("compute.cores_free", None),
        ("memory.bandwidth.", None),
    ],
)
def test_each_metric_has_one_unit(metric: str, unit: str | None) -> None:
    assert unit_of(metric) == unit


def test_the_roofline_is_the_lower_of_its_two_roofs() -> None:
    assert roofline_tflops(peak_tflops=312, bandwidth_gb_s=2000, intensity_flop_per_byte=100) == 200
    assert roofline_tflops(peak_tflops=312, bandwidth_gb_s=2000, intensity_flop_per_byte=1000) == 312


def test_a_claim_over_the_roofline_names_what_binds_it() -> None:
    roof = {"peak_tflops": 312.0, "bandwidth_gb_s": 2000.0}
    by_memory = beyond_physics(claimed_tflops=250, intensity_flop_per_byte=100, **roof)
    by_peak = beyond_physics(claimed_tflops=400, intensity_flop_per_byte=1000, **roof)
    assert by_memory is not None
    assert "2000 GB/s × 100" in by_memory
    assert by_peak is not None
    assert "peak" in by_peak
    assert beyond_physics(claimed_tflops=205, intensity_flop_per_byte=100, **roof) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_roofline_of_no_numbers_is_refused(bad: float) -> None:
    with pytest.raises(InvalidRequest):
        roofline_tflops(peak_tflops=bad, bandwidth_gb_s=1, intensity_flop_per_byte=1)
    with pytest.raises(InvalidRequest):
        roofline_tflops(peak_tflops=1, bandwidth_gb_s=1, intensity_flop_per_byte=bad)


def test_a_site_under_four_fifths_of_its_word_is_marked() -> None:
    assert shortfall(100.0, 80.0) is None
    assert shortfall(100.0, 120.0) is None
    short = shortfall(100.0, 79.9)
    assert short is not None
    assert short.ratio == pytest.approx(0.799)
    assert "80%" in str(short)
    assert shortfall(100.0, 0.0) is not None


@pytest.mark.parametrize(("declared", "measured"), [(0.0, 1.0), (-5.0, 1.0), (float("nan"), 1.0), (1.0, float("nan"))])
def test_a_shortfall_of_no_numbers_is_refused(declared: float, measured: float) -> None:
    with pytest.raises(InvalidRequest):
        shortfall(declared, measured)
