"""Forecasts read the past alone, a modelled day keeps the annual average, and what is known ahead is exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, offering

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.site import Price
from suanwang.electricity import outlook
from suanwang.electricity.daily import HOURS, check_daily, factor_at, mean_factor, modelled_day
from suanwang.electricity.outlook import Issues, accumulated, expected, forecast, hoped, known, noised, spread
from suanwang.electricity.series import HOUR_MS, Floats, Series
from suanwang.electricity.supply import drawn_yuan, milliseconds
from suanwang.electricity.tariff import price_series
from suanwang.scheduling.columns import Outlook

DAY_MS = 24 * HOUR_MS


def weeks(seed: int = 1, hours: int = 24 * 60) -> Series:
    """A day's wave with noise that lasts a while, as carbon and wholesale prices have."""
    chance = np.random.default_rng(seed)
    wave = 300 + 80 * np.sin(2 * np.pi * np.arange(hours) / 24)
    drift = np.zeros(hours)
    for hour in range(1, hours):
        drift[hour] = 0.97 * drift[hour - 1] + chance.normal(0, 8)
    return Series(start_ms=5 * HOUR_MS, step_ms=HOUR_MS, values=wave + drift)


def issues(start_h: int = 200, count: int = 300, every_h: int = 1, steps: int = 48) -> Issues:
    return Issues(start_ms=start_h * HOUR_MS, issue_ms=every_h * HOUR_MS, count=count, step_ms=HOUR_MS, steps=steps)


@pytest.mark.parametrize("poison", [1e9, -1e9])
@pytest.mark.parametrize(("every_h", "step_h"), [(1, 1), (6, 1), (24, 2)])
def test_a_poisoned_future_changes_no_earlier_forecast(poison: float, every_h: int, step_h: int) -> None:
    clean = weeks()
    at = Issues(start_ms=200 * HOUR_MS, issue_ms=every_h * HOUR_MS, count=40, step_ms=step_h * HOUR_MS, steps=24)
    for issue in range(0, at.count, 7):
        values = clean.values.copy()
        until = (at.start_ms + issue * at.issue_ms - clean.start_ms) // HOUR_MS
        values[until:] = poison
        spoilt = Series(start_ms=clean.start_ms, step_ms=HOUR_MS, values=values)
        before, after = forecast(clean, at), forecast(spoilt, at)
        np.testing.assert_array_equal(after[: issue + 1], before[: issue + 1])
        assert (np.abs(after[: issue + 1]) < 1e4).all()
        spreads = spread(clean, at, before), spread(spoilt, at, after)
        np.testing.assert_array_equal(spreads[1][: issue + 1], spreads[0][: issue + 1])
        if issue + 1 < at.count:
            assert (after[issue + 1 :] != before[issue + 1 :]).any(), "what is over is read"


def test_no_value_behind_the_last_issue_is_touched() -> None:
    """NaN cannot stand in a series, so the arrays themselves are poisoned."""
    at, clean = issues(count=20), weeks()
    last = (at.start_ms + (at.count - 1) * at.issue_ms - clean.start_ms) // HOUR_MS
    past = clean.values[:last]
    found = outlook._forecast(np.concatenate((past, np.full(500, np.nan))), last - 19, at, 7, 36.0)
    np.testing.assert_array_equal(found, forecast(clean, at))


def plainly(values: Floats, first: int, at: Issues, days: int = outlook.DAYS) -> Floats:
    """The forecast in plain Python, one number at a time."""
    found = np.zeros((at.count, at.steps))
    for issue in range(at.count):
        past = list(values[: first + issue * at.per_issue])
        now = len(past)

        def same_hour(step: int, past: list[float] = past, now: int = now) -> float:
            while step >= now:
                step -= 24
            seen = [past[step - 24 * ago] for ago in range(days) if step - 24 * ago >= 0]
            return sum(seen) / len(seen) if seen else sum(past) / len(past)

        away = past[-1] - same_hour(now - 1)
        for k in range(at.steps):
            found[issue, k] = same_hour(now + k) + away * np.exp(-(k + 1) / outlook.FADE_H)
    return found


@pytest.mark.parametrize("start_h", [6, 10, 30, 200])
def test_a_forecast_is_the_mean_of_the_same_hours_and_what_lasts(start_h: int) -> None:
    clean, at = weeks(), issues(start_h=start_h, count=30, every_h=3)
    np.testing.assert_allclose(forecast(clean, at), plainly(clean.values, start_h - 5, at), rtol=1e-12)


def test_a_forecast_beats_yesterday_and_its_spread_holds_most_of_the_truth() -> None:
    clean, at = weeks(hours=24 * 120), issues(start_h=24 * 20, count=24 * 80)
    found, truth = forecast(clean, at), np.diff(known(clean, at), axis=1)
    first = 24 * 20 - 5
    yesterday = np.stack([clean.values[first + i - 24 : first + i + 24 - 24] for i in range(at.count)])
    assert np.abs(found[:, :24] - truth[:, :24]).mean() < 0.9 * np.abs(yesterday - truth[:, :24]).mean()
    off = spread(clean, at, found)
    settled = slice(24 * 30, None)
    inside = (np.abs(truth - found) <= off)[settled].mean()
    assert 0.55 < inside < 0.8, "two thirds of errors that are normal"
    assert [(off[:, k] == 0).sum() for k in (0, 5, 47)] == [1, 6, 48], "until one has come true"


@pytest.mark.parametrize("every_h", [1, 6])
def test_a_spread_is_the_root_mean_square_of_what_came_true_lately(every_h: int) -> None:
    clean, at = weeks(), issues(count=30, every_h=every_h, steps=9)
    made = forecast(clean, at)
    off = spread(clean, at, made, window=2)
    first, most = 200 - 5, 2 * 24 // every_h
    for issue, k in ((1, 0), (2, 8), (12, 3), (29, 8), (29, 0)):
        over = [n for n in range(issue) if n * every_h + k < issue * every_h][-most:]
        errors = [clean.values[first + n * every_h + k] - made[n, k] for n in over]
        assert off[issue, k] == pytest.approx(np.sqrt(np.mean(np.square(errors))) if errors else 0.0)


def test_what_is_in_doubt_is_worth_more_to_work_that_may_wait_than_its_mean() -> None:
    mean, off = np.array([[100.0, 100.0]]), np.array([[0.0, 50.0]])
    assert hoped(mean, off).tolist() == [[100.0, 100.0 - outlook.HOPE * 50.0]]


def test_a_series_with_no_past_cannot_be_forecast() -> None:
    with pytest.raises(InvalidRequest, match="no past"):
        forecast(weeks(), issues(start_h=5))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"steps": 0}, {"step_ms": 0}, {"issue_ms": HOUR_MS // 2}])
def test_issues_that_are_not_possible(wrong: dict[str, int]) -> None:
    values = {"start_ms": 0, "issue_ms": HOUR_MS, "count": 3, "step_ms": HOUR_MS, "steps": 3} | wrong
    with pytest.raises(InvalidRequest):
        Issues(**values)


def test_noise_has_the_width_that_was_asked_for_and_comes_from_the_generator() -> None:
    series = weeks()
    noisy, again = (noised(series, 0.05, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(noisy.values, again.values)
    assert (noisy.values - series.values).std() == pytest.approx(0.05 * series.values.mean(), rel=0.05)
    np.testing.assert_array_equal(noised(series, 0.0, np.random.default_rng(7)).values, series.values)


def test_tariffs_are_known_exactly_and_the_arrays_fit_the_outlook() -> None:
    tariff = catalog.tariff_area("贵州").tariff
    begun = milliseconds(NOW)
    offer = offering(
        price=Price(core_hour_yuan=tariff.flat_yuan_per_kwh, electricity=tariff, electricity_passed_on=True),
        carbon_daily=modelled_day("guizhou", 106.6),
    )
    since = begun - 30 * DAY_MS
    price = price_series(tariff, since, begun + 30 * DAY_MS)
    grams = [500 * factor_at(offer.carbon_daily, since + hour * HOUR_MS) for hour in range(60 * HOURS)]
    carbon = Series(start_ms=since, step_ms=HOUR_MS, values=np.array(grams))
    at = Issues(start_ms=begun, issue_ms=HOUR_MS, count=5, step_ms=HOUR_MS // 2, steps=96)
    made = expected(at, [known(price, at)], [accumulated(forecast(carbon, at), at.step_ms)])
    fits = Outlook(*made)
    assert fits._fields == made._fields
    assert fits.yuan.shape == fits.carbon_g.shape == (5, 1, 97)
    assert (fits.yuan[:, :, 0] == 0).all()
    for issue in (0, 4):
        since = begun + issue * HOUR_MS
        assert fits.yuan[issue, 0, 10] == pytest.approx(drawn_yuan(offer.price, 1.0, since, since + 5 * HOUR_MS))
    # The modelled day repeats without noise, so what is forecast of it is what comes.
    np.testing.assert_allclose(fits.carbon_g[:, 0], known(carbon, at), rtol=1e-9)


def test_sites_of_another_shape_are_refused() -> None:
    at = issues(count=3, steps=4)
    with pytest.raises(InvalidRequest):
        expected(at, [np.zeros((3, 4))], [np.zeros((3, 5))])
    assert expected(at, [], []).yuan.shape == (3, 0, 5)


PROVINCES = sorted(catalog.grid_factors())


@given(st.sampled_from(PROVINCES), st.floats(73, 135))
def test_a_modelled_day_keeps_the_annual_average(province: str, longitude: float) -> None:
    day = modelled_day(province, longitude)
    check_daily(day, "carbon_daily")
    assert len(day) == HOURS
    assert sum(round(1000 * factor) for factor in day) == 1000 * HOURS
    assert min(day) >= 0


def test_noon_is_low_where_the_sun_is_strong_and_later_in_the_west() -> None:
    xinjiang, ningxia, anhui = (
        modelled_day("xinjiang", 87.6),
        modelled_day("ningxia", 105.2),
        modelled_day("anhui", 118.4),
    )
    lowest = [min(range(HOURS), key=day.__getitem__) for day in (anhui, ningxia, xinjiang)]
    assert lowest == [12, 12, 14], "by the clock of UTC+8"
    assert min(ningxia) < 0.6 < 0.85 < min(anhui)


@settings(deadline=None)
@given(st.integers(0, 10**13), st.integers(1, 10**9))
def test_a_mean_factor_is_the_integral_over_its_time(at: int, long: int) -> None:
    day = modelled_day("gansu", 107.6)
    edges = sorted({at, at + long, *range(at - at % HOUR_MS + HOUR_MS, at + long, HOUR_MS)})
    plain = sum(factor_at(day, a) * (b - a) for a, b in pairwise(edges)) / long
    assert mean_factor(day, at, at + long) == pytest.approx(plain, rel=1e-6)
    assert mean_factor((), at, at + long) == 1.0


@pytest.mark.parametrize("day", [(1.0,) * 23, (1.1,) * 24, (-1.0, 3.0, *(1.0,) * 22), (float("nan"),) * 24])
def test_what_is_no_day(day: tuple[float, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_daily(day, "carbon_daily")
    assert caught.value.field == "carbon_daily"
