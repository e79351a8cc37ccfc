"""The fluid bound: what it is where that can be reckoned by hand, and that no schedule lies below it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import NEVER_MS, JobColumns, RowColumns
from suanwang.twin.bound import fluid_bound


def series(values: list[float]) -> Series:
    return Series(start_ms=0, step_ms=HOUR_MS, values=np.array(values, np.float64))


def jobs(
    ready_h: list[float], run_h: list[float], wait_h: list[float], cores: list[float]
) -> tuple[JobColumns, np.ndarray]:
    count = len(ready_h)
    run = (np.array(run_h) * HOUR_MS).astype(np.int64)
    ones = np.ones(count, np.int64)
    columns = JobColumns(
        ready_ms=(np.array(ready_h) * HOUR_MS).astype(np.int64),
        order=0 * ones,
        need=np.stack([np.array(cores), np.zeros(count), np.zeros(count)], axis=1),
        expect_ms=np.stack([run, run, run], axis=1),
        limit_ms=run,
        kind=0 * ones,
        place=0 * ones,
        weight=np.ones((count, 3)),
        wait_ms=(np.array(wait_h) * HOUR_MS).astype(np.int64),
        due_ms=NEVER_MS * ones,
        interruptible=np.ones(count, np.bool_),
        data_gb=np.zeros(count),
        group=0 * ones,
    )
    return columns, run


def sites(
    cores: list[float], *, posted: float = 0.0, slowness: list[float] | None = None
) -> tuple[RowColumns, np.ndarray]:
    count = len(cores)
    made = RowColumns(
        site=np.arange(count),
        capacity=np.array([[one, 0.0, 0.0] for one in cores]),
        power_w=np.array([[1000.0, 0.0, 0.0]] * count),
        yuan_hour=np.array([[posted, 0.0, 0.0]] * count),
        slowness=np.array(slowness or [1.0] * count),
        electricity_share=np.ones(count),
        delay_ms=np.zeros((1, count)),
        transfer_ms_per_gb=np.zeros((1, count)),
        transfer_yuan_per_gb=np.zeros((1, count)),
    )
    return made, np.ones((1, count), np.bool_)


def test_work_that_may_wait_goes_to_the_cheapest_hours_it_can_reach() -> None:
    work, run = jobs([0], [2], [4], [1])
    place, fits = sites([10])
    found = fluid_bound(work, run, place, fits, [series([9, 5, 7, 1, 8, 4, 0.5, 0.5])], [series([1] * 8)])
    # Its window is six hours long; 1 and 4 are the least in it, an hour each, as it is one core wide.
    assert found.cost_yuan == pytest.approx(5.0)
    assert found.carbon_g == pytest.approx(2.0)
    assert found.widened_hours == 0


def test_work_that_may_not_wait_is_known_to_the_minute_and_only_its_place_is_free() -> None:
    work, run = jobs([0.5], [1], [0], [4])
    place, fits = sites([1, 10], posted=0.25)
    found = fluid_bound(
        work, run, place, fits, [series([1, 1]), series([4, 6])], [series([100, 100]), series([0, 300])]
    )
    # Two core-hours in each hour, of which the first site has room for one.
    assert found.electricity_yuan == pytest.approx((1 + 4) + (1 + 6))
    assert found.cost_yuan == pytest.approx(found.electricity_yuan + 4 * 0.25)
    assert found.carbon_g == pytest.approx(0 + (100 + 300))


def test_capacity_pushes_work_into_dearer_hours() -> None:
    work, run = jobs([0, 0, 0], [1, 1, 1], [2, 2, 2], [1, 1, 1])
    place, fits = sites([2])
    found = fluid_bound(work, run, place, fits, [series([3, 1, 2])], [series([1, 1, 1])])
    assert found.cost_yuan == pytest.approx(1 + 1 + 2)


def test_a_slow_site_does_less_in_an_hour() -> None:
    work, run = jobs([0], [1], [5], [1])
    place, fits = sites([1, 1], slowness=[1.0, 2.0])
    found = fluid_bound(work, run, place, fits, [series([10] * 6), series([3] * 6)], [series([1] * 6)] * 2)
    assert found.cost_yuan == pytest.approx(6.0)


def test_what_does_not_fit_in_its_window_gets_a_longer_one_and_says_so() -> None:
    work, run = jobs([0, 0], [1, 1], [0, 0], [1, 1])
    place, fits = sites([1])
    found = fluid_bound(work, run, place, fits, [series([1, 2, 3])], [series([1, 1, 1])])
    assert found.widened_hours == 1
    assert found.cost_yuan == pytest.approx(3.0)
    tight, _ = sites([0.001])
    with pytest.raises(InvalidRequest, match="does not fit"):
        fluid_bound(*jobs([0], [100], [0], [1]), tight, fits, [series([1])], [series([1])])


def test_both_at_once_cost_no_less_than_each_alone() -> None:
    work, run = jobs([0, 1], [1, 2], [5, 5], [1, 1])
    place, fits = sites([1, 1])
    agreeing = fluid_bound(
        work, run, place, fits, [series([1, 2] * 4), series([3, 4] * 4)], [series([1, 2] * 4), series([3, 4] * 4)]
    )
    assert agreeing.weighted == pytest.approx(1.0)
    torn = fluid_bound(
        work, run, place, fits, [series([1, 1] * 4), series([5, 5] * 4)], [series([5, 5] * 4), series([1, 1] * 4)]
    )
    assert torn.weighted > 1.5
    assert agreeing.both_cost_yuan == pytest.approx(agreeing.cost_yuan)
    assert agreeing.both_carbon_g == pytest.approx(agreeing.carbon_g)
    assert torn.weighted == pytest.approx(
        (torn.both_cost_yuan / torn.cost_yuan + torn.both_carbon_g / torn.carbon_g) / 2
    )


def test_no_work_costs_nothing() -> None:
    place, fits = sites([1])
    found = fluid_bound(*jobs([], [], [], []), place, fits, [series([1])], [series([1])])
    assert found.cost_yuan == 0 == found.carbon_g


hours = st.integers(0, 6)
some = st.lists(st.tuples(hours, st.integers(1, 4), hours, st.integers(1, 3)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(some, st.lists(st.integers(1, 20), min_size=36, max_size=36), st.integers(0, 2**32 - 1))
def test_no_schedule_within_the_windows_lies_below(
    work: list[tuple[int, int, int, int]], price: list[int], seed: int
) -> None:
    columns, run = jobs(*[[float(one[k]) for one in work] for k in range(4)])
    place, fits = sites([100, 100])
    yuan = [series([float(x) for x in price[:18]]), series([float(x) for x in price[18:]])]
    found = fluid_bound(columns, run, place, fits, yuan, yuan)
    chance = np.random.default_rng(seed)
    for _ in range(5):
        start = columns.ready_ms + chance.integers(0, columns.wait_ms // HOUR_MS + 1) * HOUR_MS
        where = chance.integers(0, 2, len(run))
        paid = sum(
            float(yuan[site].integral(int(at), int(at + long))) * float(need)
            for site, at, long, need in zip(where, start, run, columns.need[:, 0], strict=True)
        )
        assert found.cost_yuan <= paid * (1 + 1e-9)
        assert found.carbon_g <= paid * (1 + 1e-9)
