"""The cheapest time, and what to do now, on a few numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.twin.rules import (
    HERMITE_POINTS,
    HERMITE_WEIGHTS,
    LIKELY,
    best_start,
    best_starts,
    best_steps,
    best_steps_costs,
    calibrated,
    chance_below,
    expected_costs,
    reserve,
    runs,
    suspends,
    worth,
    worth_within,
)

VALUES = np.array([5.0, 3.0, 4.0, 1.0, 2.0, 6.0])
SURE = np.zeros(len(VALUES))


def _held(mean: list[float], spread: list[float], first: int, many: int) -> list[float]:
    held = np.empty(many)
    reserve(np.array(mean), np.array(spread), first, len(mean), HERMITE_POINTS, HERMITE_WEIGHTS, held)
    return held.tolist()


def test_an_unbroken_run_starts_where_its_hours_cost_least() -> None:
    assert best_start(VALUES, 2.0, 0.0, 5.0) == (3.0, 3.0)


def test_a_fraction_of_a_step_may_be_used_at_the_front() -> None:
    """1.5 steps: half of step 2 and all of step 3 cost 3, all of step 3 and half of step 4 cost 2."""
    assert best_start(VALUES, 1.5, 0.0, 5.0) == (3.0, 2.0)
    assert best_start(VALUES[::-1].copy(), 1.5, 0.0, 5.0) == (1.5, 2.0)


def test_a_start_keeps_to_its_bounds_between_steps() -> None:
    start, cost = best_start(VALUES, 1.0, 1.25, 1.75)
    assert start == 1.25
    assert cost == pytest.approx(0.75 * 3 + 0.25 * 4)


def test_without_room_there_is_no_start_and_no_steps() -> None:
    assert best_start(VALUES, 7.0, 0.0, 5.0) == (-1.0, np.inf)
    assert best_steps(VALUES, 3.0, 0, 2)[1] == np.inf


def test_all_arrivals_at_once() -> None:
    starts, costs = best_starts(VALUES, 1.0, 2)
    assert starts.tolist() == [1, 3, 3, 3, 4, 5]
    assert costs.tolist() == [3, 1, 1, 1, 2, 6]


def test_a_broken_run_takes_the_cheapest_steps_and_a_part_of_the_dearest_of_them() -> None:
    share, cost = best_steps(VALUES, 2.5, 0, 6)
    assert share.tolist() == [0, 0.5, 0, 1, 1, 0]
    assert cost == 4.5
    assert best_steps_costs(VALUES, 2, 2).tolist() == [4, 3, 3, 3, 8]


def test_of_equal_steps_the_earlier_is_used() -> None:
    assert best_steps(np.ones(4), 2.0, 0, 4)[0].tolist() == [1, 1, 0, 0]


def test_an_unsure_length_costs_its_mean() -> None:
    costs = expected_costs(VALUES, np.array([1.0, 2.0, 3.5]), LIKELY)
    assert costs[0] == pytest.approx(0.3 * 5 + 0.4 * 8 + 0.3 * 12.5)


def test_what_is_surely_known_is_put_in_order() -> None:
    assert _held([4.0, 1.0, 3.0], [0.0] * 3, 0, 4) == [1, 3, 4, np.inf]


def test_a_choice_between_two_unsure_steps_is_worth_the_mean_of_the_lesser() -> None:
    """Of two standard normal values seen one after the other: E min(x, 0) = −1/√(2π); the points err by 0.06."""
    held = _held([0.0, 0.0], [1.0, 1.0], 0, 1)
    assert held[0] == pytest.approx(-1 / np.sqrt(2 * np.pi), abs=0.07)


def test_a_step_is_worth_what_it_saves_over_the_possible_lengths() -> None:
    held = np.array([1.0, 2.0, 4.0, np.inf])
    assert worth(held, np.array([1.0, 2.0, 3.0]), LIKELY) == pytest.approx(0.3 * 1 + 0.4 * 2 + 0.3 * 4)
    assert worth(held, np.array([1.5, 1.5, 1.5]), LIKELY) == pytest.approx(1.5)


def test_work_that_could_not_be_made_up_for_runs_at_any_price() -> None:
    held = np.array([1.0, np.inf])
    assert runs(1e9, worth(held, np.array([1.0, 1.0, 2.0]), LIKELY))


def test_work_of_little_patience_chooses_among_few_steps() -> None:
    """From step 1 on: 3, 4, 1, 2, 6. One step of work: held once it takes the 3; held for three, the 1."""
    one = np.ones(3)
    assert worth_within(VALUES, 1, 1, 0.0, one, LIKELY) == pytest.approx(3)
    assert worth_within(VALUES, 1, 3, 0.0, one, LIKELY) == pytest.approx(1)
    assert worth_within(VALUES, 1, 3, 0.5, one, LIKELY) == pytest.approx(2.5)
    assert worth_within(VALUES, 1, 3, 0.0, np.array([1.0, 1.5, 2.0]), LIKELY) == pytest.approx(0.3 * 1 + 0.7 * 2)
    assert worth_within(VALUES, 1, 0, 0.0, one, LIKELY) == np.inf
    assert worth_within(VALUES, 4, 1, 0.0, 3 * one, LIKELY) == np.inf


def test_running_work_stops_only_where_that_saves_more_than_a_pause_costs() -> None:
    ahead = np.array([0.0, 6.0, 6.0, 1.0])
    assert suspends(6.0, ahead, 1, 4, 2.0, 11.0)
    assert not suspends(6.0, ahead, 1, 4, 2.0, 12.0)
    assert not suspends(2.0, ahead, 1, 4, 2.0, 0.0)


def test_the_chance_of_a_cheaper_step() -> None:
    assert chance_below(3.0, 3.0, 1.0) == 0.5
    assert chance_below(4.0, 3.0, 1.0) == pytest.approx(0.8413, abs=1e-4)
    assert chance_below(4.0, 3.0, 0.0) == 1.0


def test_a_watched_forecast_loses_its_bias_and_most_of_its_noise() -> None:
    truth = 100 + 30 * np.sin(np.arange(1000) / 8)
    forecast = truth * 1.2 + np.random.default_rng(3).normal(0, 10, 1000)
    mean, spread = calibrated(forecast, truth, 700)
    assert np.std(mean[700:] - truth[700:]) < 4
    assert spread == pytest.approx(np.std(mean[700:] - truth[700:]), rel=0.3)


def test_a_forecast_without_a_record_is_taken_as_it_is() -> None:
    mean, spread = calibrated(VALUES, VALUES + 1, 0)
    assert mean.tolist() == VALUES.tolist()
    assert spread == 0
