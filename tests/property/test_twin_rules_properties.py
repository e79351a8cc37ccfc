"""The kernels of shifting against every possibility tried, and against a future that must not be read."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.twin.foresight import AHEAD, FIRST, forecasts
from benchmarks.twin.gaia_policies import held_once
from benchmarks.twin.rules import (
    HERMITE_POINTS,
    HERMITE_WEIGHTS,
    LIKELY,
    best_start,
    best_starts,
    best_steps,
    best_steps_costs,
    calibrated,
    enter,
    reserve,
    runs,
    worth,
    worth_within,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Floats = npt.NDArray[np.float64]
prices = st.lists(st.integers(-20, 40), min_size=1, max_size=9).map(lambda numbers: np.array(numbers, np.float64))
quarters = st.integers(1, 28).map(lambda number: number / 4)


def _cost(values: Floats, start: float, length: float) -> float:
    edges = np.arange(len(values))
    used = np.clip(np.minimum(edges + 1, start + length) - np.maximum(edges, start), 0, 1)
    return float(used @ values)


@given(prices, quarters, st.integers(0, 12), st.integers(0, 20))
def test_no_start_on_a_fine_grid_is_cheaper(values: Floats, length: float, earliest: int, more: int) -> None:
    first, last = earliest / 4, (earliest + more) / 4
    tried = [at for at in np.arange(first, last + 1e-9, 0.25) if at + length <= len(values)]
    start, cost = best_start(values, length, first, last)
    if not tried:
        assert (start, cost) == (-1, np.inf)
        return
    assert first <= start <= last
    assert cost == pytest.approx(min(_cost(values, at, length) for at in tried))
    assert _cost(values, start, length) == pytest.approx(cost)


@given(prices, quarters, st.integers(0, 9))
def test_all_arrivals_at_once_equal_one_by_one(values: Floats, length: float, slack: int) -> None:
    starts, costs = best_starts(values, length, slack)
    assert len(starts) == max(0, int(np.floor(len(values) - length)) + 1)
    for arrival, (start, cost) in enumerate(zip(starts, costs, strict=True)):
        wanted = best_start(values, length, float(arrival), float(arrival + slack))
        assert cost == pytest.approx(wanted[1])
        assert _cost(values, start, length) == pytest.approx(cost)
        assert arrival <= start <= arrival + slack


@given(prices, st.integers(1, 9), st.integers(0, 9))
def test_no_choice_of_steps_is_cheaper(values: Floats, length: int, slack: int) -> None:
    costs = best_steps_costs(values, length, slack)
    assert len(costs) == max(0, len(values) - length + 1)
    for arrival, cost in enumerate(costs):
        window = values[arrival : arrival + length + slack]
        assert cost == pytest.approx(min(map(sum, combinations(window, length))))
        share, single = best_steps(values, float(length), arrival, min(arrival + length + slack, len(values)))
        assert single == pytest.approx(cost)
        assert share.sum() == length


def _least(lots: list[list[float]], many: int) -> float:
    """The least expected cost of using `many` steps, each value one of a few that are equally likely, seen when it comes."""
    if many == 0:
        return 0.0
    if many > len(lots):
        return np.inf
    use, leave = _least(lots[1:], many - 1), _least(lots[1:], many)
    return float(np.mean([min(value + use, leave) for value in lots[0]]))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 6))
def test_what_is_left_for_later_costs_what_trying_every_decision_says(lots: list[tuple[int, int]], many: int) -> None:
    """Values that are `mean` ± `spread` with equal chance, every sequence of decisions tried."""
    mean, spread = (np.array(column, np.float64) for column in zip(*lots, strict=True))
    points, weights, held = np.array([-1.0, 1.0]), np.array([0.5, 0.5]), np.empty(many)
    reserve(mean, spread, 0, len(lots), points, weights, held)
    ways = [[m - s, m + s] for m, s in zip(mean, spread, strict=True)]
    wanted = [_least(ways, k + 1) for k in range(many)]
    for k in range(many):
        if wanted[k] == np.inf:
            assert held[k] == np.inf
        else:
            assert held[: k + 1].sum() == pytest.approx(wanted[k])
    assert all(held[k] <= held[k + 1] + 1e-9 for k in range(many - 1))


def _played(truth: Floats, forecast: Floats, length: int) -> list[int]:
    """The steps that a job uses which decides each when it comes: from the present value and the forecast alone."""
    used: list[int] = []
    for k in range(len(truth)):
        held = np.empty(length)
        reserve(forecast, np.full(len(forecast), 1.0), k + 1, len(truth), HERMITE_POINTS, HERMITE_WEIGHTS, held)
        left = np.full(3, float(length - len(used)))
        if len(used) < length and runs(truth[k], worth(held, left, LIKELY)):
            used.append(k)
    return used


@given(prices, st.randoms(use_true_random=False), st.data())
def test_decisions_do_not_read_the_future(values: Floats, chance: object, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(values)))
    now = data.draw(st.integers(0, len(values) - 1))
    forecast = values[::-1].copy()
    used = _played(values, forecast, length)
    assert len(used) == length
    for poison in (1e9, np.nan):
        poisoned = values.copy()
        poisoned[now + 1 :] = poison
        with np.errstate(invalid="ignore"):
            again = _played(poisoned, forecast, length)
        assert [k for k in again if k <= now] == [k for k in used if k <= now]


def test_a_true_forecast_reaches_the_bound() -> None:
    chance = np.random.default_rng(5)
    for length in (1, 3, 8):
        values = chance.normal(50, 10, 12)
        held = np.empty((len(values) + 1, length))
        used: list[int] = []
        held[-1] = np.inf
        for k in range(len(values) - 1, -1, -1):
            held[k] = held[k + 1]
            enter(values[k], 0.0, HERMITE_POINTS, HERMITE_WEIGHTS, held[k])
        for k, value in enumerate(values.tolist()):
            if len(used) < length and runs(value, held[k + 1, length - len(used) - 1]):
                used.append(k)
        assert values[used].sum() == pytest.approx(best_steps(values, float(length), 0, len(values))[1])


@given(st.integers(0, 500))
@settings(max_examples=5, deadline=None)
def test_a_record_is_read_up_to_now_alone(now: int) -> None:
    chance = np.random.default_rng(1)
    truth = np.cumsum(chance.normal(0, 1, 500))
    forecast = truth + chance.normal(0, 2, 500)
    poisoned = truth.copy()
    poisoned[now:] = np.nan
    clean, dirty = calibrated(forecast, truth, now), calibrated(forecast, poisoned, now)
    assert np.array_equal(clean[0], dirty[0])
    assert clean[1] == dirty[1]


def test_forecasts_of_the_online_benchmark_read_the_past_alone() -> None:
    hours = np.arange(FIRST + 400)
    values = 200 + 50 * np.sin(hours / 24 * 2 * np.pi) + np.random.default_rng(2).normal(0, 20, len(hours))
    now = FIRST + 230
    poisoned = values.copy()
    poisoned[now + 1 :] = 1e9
    clean, dirty = forecasts(values), forecasts(poisoned)
    for column in ("profile", "mean", "spread"):
        assert np.array_equal(getattr(clean, column)[: now + 1], getattr(dirty, column)[: now + 1])
    late = slice(FIRST + 168, len(hours) - AHEAD)
    off = clean.mean[late, 5] - values[FIRST + 168 + 6 : len(hours) - AHEAD + 6]
    assert off.std() < 30


@given(prices, st.integers(1, 5), st.integers(0, 4))
def test_patience_is_spent_where_it_saves_most(values: Floats, length: int, patience: int) -> None:
    """Where all is known, hour by hour decisions are as good as the best of all schedules that wait no longer."""
    window = values[: length + patience]
    if len(window) < length:
        return
    wait, cost, left = len(window) - length, 0.0, length
    for k, value in enumerate(window.tolist()):
        points = np.full(3, float(left))
        if runs(value, worth_within(values, k + 1, wait, 0.0, points, LIKELY)):
            cost, left = cost + value, left - 1
            if left == 0:
                break
        else:
            wait -= 1
    assert left == 0
    assert wait >= 0
    assert cost == pytest.approx(min(map(sum, combinations(window.tolist(), length))))


def test_the_order_of_jobs_changes_nothing() -> None:
    chance = np.random.default_rng(4)
    jobs = np.column_stack(
        (chance.uniform(0, 40, 60), chance.uniform(0.1, 9, 60), chance.integers(1, 9, 60), np.full(60, 6.0))
    )
    carbon, price = chance.uniform(100, 500, 120), chance.uniform(0.02, 0.3, 120)
    rest = np.array([[0.5, 2.0, 6.0], [0.5, 2.0, 5.0]])
    found = [
        held_once(jobs[order], carbon, carbon, price, 1.0, rest, rest, LIKELY)
        for order in (np.arange(60), chance.permutation(60))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert 0 < found[0][2] <= 6
