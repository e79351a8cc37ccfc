"""However a play is added up, nothing is lost and nothing is made: by segment, job, row, site, group and hour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.twin import twin_columns as make

from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import RESOURCES
from suanwang.twin.accounting import Accounts, Millionths, Supply, account
from suanwang.twin.timeline import Steps, draw, overlaps

HOURS = 30
ROWS, SITES, JOBS = 4, 3, 6
QUANTITIES = st.floats(0, 1e5, allow_subnormal=False)
PRICES = st.floats(-1, 20)


class Ran(NamedTuple):
    job: int
    row: int
    start_ms: int
    end_ms: int
    how: int


@st.composite
def runs(draw_: st.DrawFn) -> Ran:
    start, end = sorted(draw_(st.tuples(*[st.integers(0, HOURS * HOUR_MS)] * 2)))
    job, row, how = (draw_(st.integers(0, most)) for most in (JOBS - 1, ROWS - 1, 4))
    return Ran(job, row, start, end, how)


@st.composite
def supplies(draw_: st.DrawFn) -> Supply:
    step = draw_(st.sampled_from([HOUR_MS, HOUR_MS // 2, HOUR_MS // 4, 7_000_000]))
    series = (
        Series(start_ms=draw_(st.integers(-HOUR_MS, HOUR_MS)), step_ms=step, values=np.array(values))
        for values in draw_(st.tuples(*[st.lists(PRICES, min_size=1, max_size=9)] * 2))
    )
    price, carbon = series
    return Supply(yuan_per_kwh=price, carbon_g_per_kwh=carbon, green_share=draw_(st.floats(0, 1)))


@st.composite
def cooled(draw_: st.DrawFn) -> Supply:
    """With a PUE by the hour or quarter of an hour."""
    step, start = draw_(st.sampled_from([HOUR_MS, HOUR_MS // 4])), draw_(st.integers(-3, 3)) * HOUR_MS
    count = draw_(st.integers(1, 150))
    chance = np.random.default_rng(draw_(st.integers(0, 99)))
    price, carbon, pue = (
        Series(start_ms=start, step_ms=step, values=values)
        for values in (chance.uniform(-0.1, 2, count), chance.uniform(0, 900, count), chance.uniform(0.8, 1.4, count))
    )
    return Supply(yuan_per_kwh=price, carbon_g_per_kwh=carbon, relative_pue=pue)


@st.composite
def plays(draw_: st.DrawFn) -> Accounts:
    def table(count: int) -> list[list[float]]:
        return [[draw_(QUANTITIES) for _ in range(RESOURCES)] for _ in range(count)]

    jobs = make.jobs(
        [0] * JOBS,
        need=table(JOBS),
        data_gb=[draw_(QUANTITIES) for _ in range(JOBS)],
        group=[draw_(st.integers(0, 2)) for _ in range(JOBS)],
    )
    rows = make.rows(
        [draw_(st.integers(0, SITES - 1)) for _ in range(ROWS)],
        power_w=[[draw_(st.floats(0, 2000)) for _ in range(RESOURCES)] for _ in range(ROWS)],
        yuan_hour=[[draw_(st.floats(0, 50)) for _ in range(RESOURCES)] for _ in range(ROWS)],
        electricity_share=[draw_(st.floats(0, 1)) for _ in range(ROWS)],
        transfer_ms_per_gb=[[draw_(st.sampled_from([0.0, 8.0])) for _ in range(ROWS)]],
        transfer_yuan_per_gb=[[0.1] * ROWS],
    )
    ran = make.segments(*draw_(st.lists(runs(), max_size=12)))
    return account(ran, jobs, rows, [draw_(supplies() | cooled()) for _ in range(SITES)])


def reckoned(play: Accounts) -> list[int]:
    """Millionths of W·ms of each segment, quarter of an hour by quarter of an hour, in integers that have no end."""
    found, quarter = [], HOUR_MS // 4
    for n in range(len(play.duration_ms)):
        pue = play.supplies[int(play.rows.site[play.segments.row[n]])].relative_pue
        start, end, total = int(play.segments.start_ms[n]), int(play.segments.end_ms[n]), 0
        for edge in range(0, HOURS * HOUR_MS, quarter):
            milli = 1000 if pue is None else round(float(pue.at(edge)) * 1000)
            total += milli * max(0, min(end, edge + quarter) - max(start, edge))
        found.append(int(play.power_mw[n]) * total)
    return found


@settings(max_examples=60, deadline=None)
@given(plays())
def test_energy_and_work_are_conserved_to_the_last_unit(play: Accounts) -> None:
    duration, drawn = play.duration_ms.tolist(), sum(reckoned(play))
    line = draw(play, 0, HOURS * HOUR_MS)
    assert play.energy.total() == drawn
    assert line.energy.total() == drawn
    assert line.quarters.total() == drawn
    for sums in (play.by_job(), play.by_row(), play.by_site()):
        assert sums.energy.total() == drawn
        for k in range(RESOURCES):
            units = play.busy_milli[:, k].tolist()
            assert sums.work[k].total() == 1000 * sum(u * d for u, d in zip(units, duration, strict=True))
    by_row = play.by_row().energy
    for row in range(ROWS):
        hours = Millionths(line.energy.whole[row], line.energy.rest[row])
        assert Millionths(by_row.whole[row : row + 1], by_row.rest[row : row + 1]).total() == hours.total()


@settings(max_examples=60, deadline=None)
@given(plays())
def test_money_and_carbon_are_conserved_to_the_last_unit(play: Accounts) -> None:
    for name in ("cost_nano_yuan", "electricity_nano_yuan", "location_ug", "market_ug", "moved_bytes"):
        each = [getattr(sums, name).sum() for sums in (play.by_job(), play.by_row(), play.by_site())]
        own = getattr(play, name).sum()
        assert each == [own] * 3, name


INTERVALS = st.tuples(st.integers(0, 1), st.integers(-50, 150), st.integers(-50, 150), st.integers(0, 1 << 40))


@settings(max_examples=100, deadline=None)
@given(st.lists(INTERVALS, max_size=10), st.integers(1, 40), st.integers(1, 9))
def test_overlaps_equal_counting_every_millisecond(
    found: list[tuple[int, int, int, int]], step: int, steps: int
) -> None:
    table = np.array([(row, min(a, b), max(a, b), rate) for row, a, b, rate in found], np.int64).reshape(-1, 4)
    counted = np.zeros((2, steps), np.int64)
    for row, start, end, rate in table.tolist():
        for instant in range(max(start, 5), min(end, 5 + step * steps)):
            counted[row, (instant - 5) // step] += rate
    row_of, start_ms, end_ms, rates = (table[:, k] for k in range(4))
    assert (overlaps(row_of, start_ms, end_ms, rates, 2, Steps(5, step, steps)) == counted).all()
