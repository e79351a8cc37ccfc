"""Power learned from a meter: it finds what is there, follows what drifts, and knows nothing of tomorrow."""

from __future__ import annotations

import numpy as np
import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.power import CalibratedPower, calibrated, mape_percent

STEP_MS = 300_000
DAY = 288


def week(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Shares of busy hosts and of processor time that rise and fall with the day."""
    chance = np.random.default_rng(seed)
    t = np.arange(5 * DAY)
    busy = 0.5 + 0.2 * np.sin(2 * np.pi * t / DAY) + 0.1 * np.sin(t / 37) + chance.normal(0, 0.02, len(t))
    return busy, busy * (0.7 + 0.2 * np.sin(t / 11) + chance.normal(0, 0.02, len(t)))


def replay(busy: np.ndarray, used: np.ndarray, power_w: np.ndarray, every: int) -> np.ndarray:
    return calibrated(np.stack((busy, used), axis=1), power_w, STEP_MS, every)


def test_finds_the_law_behind_the_meter() -> None:
    busy, used = week()
    power_w = 8000 + 6000 * busy + 20_000 * used
    found = replay(busy, used, power_w, DAY)
    assert mape_percent(found[DAY:], power_w[DAY:]) < 0.05


def test_follows_a_meter_that_drifts_better_than_a_line_that_does_not() -> None:
    busy, used = week()
    t = np.arange(len(busy))
    power_w = (8000 + 6000 * busy + 20_000 * used) * (1 + 0.1 * t / len(t)) + np.random.default_rng(2).normal(
        0, 50, len(t)
    )
    line = np.polyval(np.polyfit(used[:DAY], power_w[:DAY], 1), used)
    daily, hourly = replay(busy, used, power_w, DAY), replay(busy, used, power_w, 12)
    errors = [mape_percent(found[DAY:], power_w[DAY:]) for found in (hourly, daily, line)]
    assert errors == sorted(errors)
    assert errors[0] < 0.6
    assert errors[2] > 2 * errors[1]


def test_nothing_of_tomorrow_is_known() -> None:
    """Whatever the meter says after an instant, predictions up to the next reading stay the same to the last bit."""
    busy, used = week()
    power_w = 8000 + 20_000 * used
    poisoned = power_w.copy()
    poisoned[2 * DAY :] = np.random.default_rng(4).uniform(1, 1e9, 3 * DAY)
    one, other = (replay(busy, used, meter, DAY)[: 3 * DAY] for meter in (power_w, poisoned))
    assert np.array_equal(one, other, equal_nan=True)


def test_what_was_learned_counts_only_once_settled() -> None:
    busy, used = week()
    power_w, loads = 8000 + 20_000 * used, np.stack((busy, used), axis=1)
    model = CalibratedPower(STEP_MS, 2)
    model.learn(loads[:DAY], power_w[:DAY])
    model.settle()
    before = model.predict(loads[DAY:])
    model.learn(loads[DAY:], 3 * power_w[DAY:])
    assert (model.predict(loads[DAY:]) == before).all()
    model.settle()
    assert (model.predict(loads[DAY:]) > 1.5 * before).all()


def test_a_year_of_the_same_load_does_no_harm() -> None:
    """Where nothing changes nothing can be learned, and a model that forgets all the same blows up."""
    same = np.full((60_000, 2), (0.5, 0.4))
    model = CalibratedPower(3_600_000, 2)
    model.learn(same, np.full(len(same), 10_000.0))
    model.settle()
    assert model.predict(same[:1]) == pytest.approx([10_000])


def test_meters_that_say_nothing_are_refused() -> None:
    model, one = CalibratedPower(STEP_MS, 1), np.array([[0.5]])
    with pytest.raises(InvalidRequest, match="no measured power"):
        model.predict(one)
    for wrong in (0.0, -5.0, np.nan, np.inf):
        with pytest.raises(InvalidRequest, match="above 0 W"):
            model.learn(one, np.array([wrong]))
