"""`joint` in the engine against the exact oracle of time shifting: what it knows is all that keeps it from the bound."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.twin.joint_online import Found, hourly, past, share
from benchmarks.twin.one_site import carbon_alone, emitted
from benchmarks.twin.published import Floats
from benchmarks.twin.rules import best_starts, best_steps_costs

from suanwang.electricity.outlook import Issues, known
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.margins import WORTH_WAITING

LENGTH, SLACK = 5, 40


def days(hours: int = 400) -> Floats:
    chance = np.random.default_rng(3)
    found: Floats = 300 + 100 * np.sin(np.arange(hours) * np.pi / 12) + 2 * chance.normal(size=hours).cumsum()
    return found


@pytest.mark.parametrize("broken", [True, False])
def test_with_the_truth_for_a_forecast_the_bound_is_reached_but_for_what_is_not_worth_waiting_for(broken: bool) -> None:
    truth = days()
    ahead = Issues(start_ms=0, issue_ms=HOUR_MS, count=len(truth), step_ms=HOUR_MS, steps=LENGTH + SLACK + 1)
    exact = known(Series(start_ms=0, step_ms=HOUR_MS, values=truth), ahead)
    start = np.arange(0, len(truth) - 2 * (LENGTH + SLACK), 3)
    seen = carbon_alone(exact, issue_ms=HOUR_MS, step_ms=HOUR_MS)
    length, wait = np.full(len(start), LENGTH), np.full(len(start), SLACK)
    ours = emitted(truth, seen, start, length, wait, broken=broken)
    found = best_steps_costs(truth, LENGTH, SLACK) if broken else best_starts(truth, float(LENGTH), SLACK)[1]
    bound = found[start]
    assert (ours >= bound * (1 - 1e-9)).all()
    assert (ours <= bound * WORTH_WAITING).all()


def test_the_past_alone_is_the_present_hour_and_nothing_that_is_still_to_come() -> None:
    truth = days()
    clean = hourly(truth, past(truth)).carbon_g
    for hour in (30, 200, 398):
        poisoned = np.where(np.arange(len(truth)) > hour, 1e9, truth)
        np.testing.assert_array_equal(hourly(poisoned, past(poisoned)).carbon_g[hour], clean[hour])
        assert clean[hour, 0, 1] == truth[hour]


def test_the_share_of_a_sample_is_a_ratio_of_sums_and_draws_that_are_alike_leave_no_doubt() -> None:
    zone, draw = np.repeat([0, 1], 6), np.tile(np.repeat([0, 1, 2], 2), 2)
    same, bound = np.zeros(12, np.int64), np.arange(1.0, 13.0)
    sure = Found(zone, draw, same, same, same, saved=0.75 * bound, bound=bound)
    assert share(sure) == pytest.approx((75.0, 0.0))
    value, half = share(sure._replace(saved=0.75 * bound + np.tile([1.0, 0.0, -1.0, 0.5, 0.0, -0.5], 2)))
    assert value == pytest.approx(75.0)
    assert half > 0
