"""What holds for every model, device and trial: monotone, sound, deterministic."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.domain.precision import Precision
from suanwang.measuring.calibration import NOTHING_LEARNT, Observation, learn
from suanwang.measuring.estimating import estimate
from suanwang.measuring.fitness import DoesNotFit
from suanwang.measuring.memory import room_gb
from suanwang.measuring.models import model_of_size
from suanwang.measuring.need import InferenceNeed, TrainingNeed
from suanwang.measuring.profile import REFERENCE
from suanwang.measuring.trial import TrialPoint, extrapolate
from suanwang.measuring.workclass import WorkClass

sizes = st.floats(min_value=1e8, max_value=1e12)
tokens = st.floats(min_value=1e9, max_value=1e14)


@settings(max_examples=60, deadline=None)
@given(size=sizes, amount=tokens, count=st.integers(min_value=1, max_value=20_000))
def test_every_split_is_sound(size: float, amount: float, count: int) -> None:
    need = TrainingNeed(model=model_of_size(size), tokens=amount)
    try:
        found = estimate(need, REFERENCE, count)
    except DoesNotFit:
        return
    split, memory = found.split, found.memory
    assert split is not None
    assert memory is not None
    assert split.cards <= count
    assert found.least_cards <= count
    assert REFERENCE.per_node % split.tensor == 0
    assert need.model.heads % split.tensor == 0
    assert split.layers_per_stage * split.pipeline >= need.model.layers
    assert memory.total_gb <= room_gb(REFERENCE.memory_gb) * (1 + 1e-9)
    assert 0 < found.hours.low <= found.hours.mid <= found.hours.high < math.inf
    assert found.mfu is not None
    assert found.mfu.mid < 1


@settings(max_examples=40, deadline=None)
@given(size=sizes, amount=tokens)
def test_twice_the_tokens_take_twice_as_long(size: float, amount: float) -> None:
    need = TrainingNeed(model=model_of_size(size), tokens=amount)
    one, two = estimate(need, REFERENCE), estimate(replace(need, tokens=2 * amount), REFERENCE)
    assert two.cards == one.cards
    assert math.isclose(two.hours.mid, 2 * one.hours.mid, rel_tol=1e-9)
    assert math.isclose(two.work_pd, 2 * one.work_pd, rel_tol=1e-9)


@settings(max_examples=40, deadline=None)
@given(size=sizes, more=st.floats(min_value=1.05, max_value=4))
def test_a_larger_model_never_takes_fewer_unit_hours(size: float, more: float) -> None:
    small, large = (TrainingNeed(model=model_of_size(n), tokens=1e12, context=2048) for n in (size, size * more))
    assert estimate(large, REFERENCE).unit_hours.mid >= estimate(small, REFERENCE).unit_hours.mid * 0.95


@settings(max_examples=30, deadline=None)
@given(rate=st.floats(min_value=0.1, max_value=1e4), more=st.floats(min_value=1, max_value=10))
def test_more_requests_never_take_fewer_cards(rate: float, more: float) -> None:
    need = InferenceNeed(model=model_of_size(8e9), prompt_tokens=500, output_tokens=100, requests_per_s=rate)
    assert estimate(replace(need, requests_per_s=rate * more), REFERENCE).cards >= estimate(need, REFERENCE).cards


@settings(max_examples=40, deadline=None)
@given(
    ratios=st.lists(st.floats(min_value=0.01, max_value=100.0), min_size=1, max_size=12).flatmap(
        lambda values: st.tuples(st.just(values), st.permutations(values))
    )
)
def test_the_order_of_runs_does_not_matter(ratios: tuple[list[float], list[float]]) -> None:
    def learnt(values: list[float]) -> tuple[float, float]:
        state = NOTHING_LEARNT
        for number, ratio in enumerate(values):
            seen = Observation(
                run=str(number), device="d", work_class=WorkClass.DECODE, predicted_hours=ratio, measured_hours=1.0
            )
            state = learn(state, seen).state
        belief = state.of("d", WorkClass.DECODE)
        return belief.mean, belief.sd

    one, other = learnt(ratios[0]), learnt(ratios[1])
    assert one == other
    assert abs(one[0]) <= max(abs(math.log(ratio)) for ratio in ratios[0]) + 1e-9
    assert 0 < one[1] <= 0.25


@settings(max_examples=60, deadline=None)
@given(
    step=st.floats(min_value=1e-3, max_value=1e3),
    startup=st.floats(min_value=0, max_value=1e3),
    count=st.integers(min_value=5, max_value=50),
    whole=st.integers(min_value=100, max_value=10**6),
)
def test_a_straight_trial_is_continued_straight(step: float, startup: float, count: int, whole: int) -> None:
    points = [TrialPoint(steps=n, seconds=startup + step * n) for n in range(1, count + 1)]
    found = extrapolate(points, whole)
    assert math.isclose(found.seconds.mid, startup + step * whole, rel_tol=1e-6)
    assert found.seconds.low <= found.seconds.mid <= found.seconds.high


@settings(max_examples=40, deadline=None)
@given(size=sizes)
def test_an_estimate_is_deterministic(size: float) -> None:
    need = TrainingNeed(model=model_of_size(size), tokens=1e12, precision=Precision.TF32)
    assert estimate(need, REFERENCE) == estimate(need, REFERENCE)
