"""The unified unit, the capability vector, calibration and trial runs."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from suanwang.catalog import accelerator, accelerators
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.sample import Sample, Source
from suanwang.measuring.calibration import (
    NOTHING_LEARNT,
    PRIOR_SD,
    WINDOW,
    EfficiencyState,
    Observation,
    learn,
)
from suanwang.measuring.capability import Side, capability, total, with_samples
from suanwang.measuring.estimating import estimate
from suanwang.measuring.models import model_of_size
from suanwang.measuring.need import TrainingNeed
from suanwang.measuring.profile import REFERENCE, DeviceProfile, profile_of
from suanwang.measuring.trial import TrialPoint, extrapolate
from suanwang.measuring.units import STANDARD_MODEL, unit_of, units_of
from suanwang.measuring.workclass import WorkClass

H100 = DeviceProfile(
    name="h100",
    kind=DeviceKind.GPU,
    rates=MappingProxyType(
        {Precision.FP64: 33.5, Precision.BF16: 989.4, Precision.FP16: 989.4, Precision.INT8: 1978.9}
    ),
    memory_gb=80,
    memory_bandwidth_gb_s=3352,
    power_w=700,
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _run(device: str, predicted: float, measured: float, name: str = "run") -> Observation:
    return Observation(
        run=name, device=device, work_class=WorkClass.DENSE_TRAINING, predicted_hours=predicted, measured_hours=measured
    )


def test_the_reference_is_one_unit_of_everything_it_can_do() -> None:
    units = units_of(REFERENCE)
    assert set(units) == set(WorkClass) - {WorkClass.CPU}
    assert all(unit.low == unit.mid == unit.high == 1 for unit in units.values())


def test_a_unit_is_not_a_ratio_of_peaks_and_carries_its_error() -> None:
    training, decode = unit_of(H100, WorkClass.DENSE_TRAINING), unit_of(H100, WorkClass.DECODE)
    assert training is not None
    assert decode is not None
    assert training.low < training.mid < training.high
    assert training.mid < 989.4 / 312
    assert decode.mid == pytest.approx(3352 / 2039)


def test_a_unit_hour_does_the_same_work_on_any_chip() -> None:
    need = TrainingNeed(model=STANDARD_MODEL, tokens=1e12, context=4096)
    unit = unit_of(H100, WorkClass.DENSE_TRAINING)
    assert unit is not None
    here, there = estimate(need, H100, 64), estimate(need, REFERENCE, 64)
    assert here.card_hours.mid * unit.mid == pytest.approx(there.card_hours.mid, rel=0.02)
    assert here.unit_hours.mid == pytest.approx(there.card_hours.mid, rel=0.02)


def test_a_card_without_a_format_has_no_unit_of_that_class() -> None:
    no_fp64 = replace(H100, rates=MappingProxyType({Precision.FP16: 300.0}))
    assert unit_of(no_fp64, WorkClass.FP64_SIMULATION) is None
    assert unit_of(no_fp64, WorkClass.CPU) is None
    assert WorkClass.FP64_SIMULATION not in units_of(no_fp64)


def test_learning_moves_the_unit() -> None:
    state = NOTHING_LEARNT
    for _ in range(8):
        state = learn(state, _run("h100", 100, 70)).state
    before, after = unit_of(H100, WorkClass.DENSE_TRAINING), unit_of(H100, WorkClass.DENSE_TRAINING, state)
    assert before is not None
    assert after is not None
    assert after.mid > 1.2 * before.mid


def test_the_three_numbers_stay_apart_and_say_where_they_come_from() -> None:
    samples = [
        Sample(metric_type="compute.rate.bf16", unit="TFLOPS", value=700.0, source=Source.MEASURED, statistic="median",
               observed_at=NOW),
        Sample(metric_type="compute.rate.bf16", unit="TFLOPS", value=650.0, source=Source.MEASURED, statistic="median",
               observed_at=NOW + timedelta(hours=1)),
        Sample(metric_type="storage.capacity", unit="GB", value=1e6, source=Source.SOLD, statistic="declared",
               observed_at=NOW),
        Sample(metric_type="weather", unit="C", value=20.0, source=Source.MEASURED, statistic="instant", observed_at=NOW),
    ]  # fmt: skip
    vector = with_samples(capability(H100), samples, sampled_by="probe")
    rate = vector.dimensions["compute.rate.bf16"]
    assert rate.nominal is not None
    assert rate.measured is not None
    assert rate.sold is None
    assert (rate.nominal.value, rate.nominal.source) == (989.4, "catalogue")
    assert (rate.measured.value, rate.measured.source, rate.measured.statistic) == (650.0, "probe", "median")
    assert "weather" not in vector.dimensions
    assert set(vector.side(Side.STORAGE)) == {"storage.capacity"}
    assert Side.NETWORK in {dimension.side for dimension in capability(REFERENCE).dimensions.values()}


def test_sites_and_the_network_add_up_and_say_how_much_was_measured() -> None:
    measured = with_samples(
        capability(H100),
        [Sample(metric_type="compute.rate.bf16", unit="TFLOPS", value=700.0, source=Source.MEASURED, statistic="median",
                observed_at=NOW)],
        sampled_by="probe",
    )  # fmt: skip
    site = total("a", [(measured, 8), (capability(REFERENCE), 24)])
    rate = site.dimensions["compute.rate.bf16"]
    assert rate.nominal is not None
    assert rate.measured is not None
    assert rate.nominal.value == pytest.approx(8 * 989.4 + 24 * 312)
    assert rate.measured.value == pytest.approx(8 * 700)
    assert (rate.measured.parts, rate.measured.of) == (8, 32)
    unit = site.units[WorkClass.DENSE_TRAINING]
    one = unit_of(H100, WorkClass.DENSE_TRAINING)
    assert one is not None
    assert unit.mid == pytest.approx(24 + 8 * one.mid)
    network = total("network", [(site, 1), (site, 1)])
    twice = network.dimensions["compute.rate.bf16"].measured
    assert twice is not None
    assert twice.value == pytest.approx(16 * 700)
    assert network.cards == 64
    assert (twice.parts, twice.of) == (16, 64)


def test_runs_as_predicted_leave_the_belief_in_place_and_narrow_it() -> None:
    lesson = learn(NOTHING_LEARNT, _run("d", 100, 100))
    assert lesson.after.mean == 0
    assert lesson.after.sd < PRIOR_SD
    assert not lesson.outlier


def test_a_wild_run_is_named_and_moves_little() -> None:
    state = NOTHING_LEARNT
    for number in range(10):
        state = learn(state, _run("d", 100, 100 + number % 3)).state
    lesson = learn(state, _run("d", 100, 5000, name="stuck-on-a-disk"))
    assert lesson.outlier
    assert lesson.after.outliers == ("stuck-on-a-disk",)
    assert abs(lesson.after.mean - lesson.before.mean) <= 0.375 / 11 + 1e-9
    first = learn(NOTHING_LEARNT, _run("d", 1, 1e9))
    assert abs(first.after.mean) <= 0.375 + 1e-9


def test_old_runs_are_forgotten() -> None:
    state = NOTHING_LEARNT
    for ratio in (50.0, 100.0):
        for _ in range(WINDOW):
            state = learn(state, _run("d", 100, ratio)).state
    belief = state.of("d", WorkClass.DENSE_TRAINING)
    assert belief.runs == WINDOW
    assert belief.mean == pytest.approx(0, abs=1e-9)


def test_only_the_pair_that_ran_is_moved() -> None:
    state = learn(NOTHING_LEARNT, _run("d", 100, 50)).state
    assert state.of("d", WorkClass.DENSE_TRAINING).mean > 0
    assert state.of("d", WorkClass.DECODE).mean == 0
    assert state.of("e", WorkClass.DENSE_TRAINING).mean == 0


def test_forged_hours_are_refused() -> None:
    for hours in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidRequest) as caught:
            _run("d", 100, hours)
        assert caught.value.field == "measured_hours"


def test_an_even_trial_is_extrapolated_exactly() -> None:
    found = extrapolate([TrialPoint(steps=n, seconds=5 + 0.5 * n) for n in range(10, 110, 10)], 10_000)
    assert found.seconds.mid == pytest.approx(5005)
    assert found.startup_s == pytest.approx(5)
    assert found.sure
    assert found.seconds.low < 5005 < found.seconds.high


def test_stalls_do_not_move_a_trial() -> None:
    points = [TrialPoint(steps=n, seconds=float(n)) for n in range(1, 21)]
    points[19] = TrialPoint(steps=20, seconds=60.0)
    assert extrapolate(points, 1000).step_s.mid == pytest.approx(1.0)


def test_an_uneven_or_far_trial_says_it_is_not_sure() -> None:
    uneven = [TrialPoint(steps=n, seconds=float(n * (1 + n % 2))) for n in (1, 2, 3, 8)]
    uneven = sorted(uneven, key=lambda p: p.seconds)
    rising = [TrialPoint(steps=i + 1, seconds=p.seconds) for i, p in enumerate(uneven)]
    assert not extrapolate(rising, 100).sure
    even = [TrialPoint(steps=n, seconds=float(n)) for n in range(1, 11)]
    assert not extrapolate(even, 1e6).sure
    assert extrapolate(even, 1e6).seconds.log_half_width > extrapolate(even, 1e2).seconds.log_half_width


@pytest.mark.parametrize(
    "points",
    [
        [],
        [TrialPoint(steps=1, seconds=1)] * 3,
        [TrialPoint(steps=1, seconds=1)] * 10,
        [TrialPoint(steps=n, seconds=10 - n) for n in range(5)],
        [TrialPoint(steps=n, seconds=7) for n in range(5)],
    ],
)
def test_a_trial_that_tells_nothing_is_refused(points: list[TrialPoint]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        extrapolate(points, 100)
    assert caught.value.field == "points"


def test_a_trial_with_nonsense_names_the_point() -> None:
    points = [TrialPoint(steps=n, seconds=n) for n in range(1, 6)]
    points[2] = TrialPoint(steps=3, seconds=math.nan)
    with pytest.raises(InvalidRequest) as caught:
        extrapolate(points, 100)
    assert caught.value.field == "points[2].seconds"


def test_nothing_learnt_is_empty() -> None:
    assert EfficiencyState().beliefs == {}
    assert model_of_size(1e9).parameters == 1e9


def test_the_reference_is_the_catalogue_s_own_card() -> None:
    profile = profile_of(accelerator("nvidia-a100-sxm-80gb"))
    assert profile.name == REFERENCE.name
    assert profile.rates[Precision.BF16] == REFERENCE.rates[Precision.BF16]
    assert profile.memory_bandwidth_gb_s == pytest.approx(REFERENCE.memory_bandwidth_gb_s, rel=0.01)
    assert profile.intra_link_gb_s == REFERENCE.intra_link_gb_s


def test_every_card_of_the_catalogue_is_measured_or_says_what_is_missing() -> None:
    measured = 0
    for card in accelerators().values():
        if card.memory_gb is None or card.memory_bandwidth_gb_s is None or not card.rates:
            with pytest.raises(InvalidRequest, match="no source gives"):
                profile_of(card)
            continue
        measured += 1
        units = units_of(profile_of(card))
        assert all(0 < unit.low <= unit.mid <= unit.high for unit in units.values())
    assert measured >= 80
