"""Measures of small plays against what one can count, and intervals against what chance really does."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from tests.unit.twin.twin_columns import jobs, rows, segments, supply

from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import ENDED_LIMIT, ENDED_LOST, ENDED_OPEN, ENDED_SUSPENDED, NEVER_MS
from suanwang.twin.accounting import Accounts, account
from suanwang.twin.measures import (
    Measures,
    jain,
    kept_ms,
    measure,
    over_seeds,
    per_job,
    spread_ratio,
)
from suanwang.twin.timeline import draw

H = HOUR_MS


def measured(made: Accounts, until_h: int) -> Measures:
    return measure(made, draw(made, 0, until_h * H), until_ms=until_h * H)


def test_times_of_jobs() -> None:
    ran = segments(
        (0, 0, H, 3 * H),
        (1, 0, 0, H, ENDED_SUSPENDED),
        (1, 0, 4 * H, 5 * H, ENDED_LIMIT),
        (2, 0, 0, H, ENDED_LOST),
        (2, 0, H, 3 * H),
        (3, 0, 1000, 2000),
    )
    each = per_job(account(ran, jobs([0, 0, 0, 0]), rows([0]), [supply()]))
    assert each.completion_ms.tolist() == [3 * H, 5 * H, 3 * H, 2000]
    assert each.waiting_ms.tolist() == [H, 3 * H, H, 1000]
    assert each.slowdown.tolist() == [1.5, 2.5, 1.5, 1.0], "a second counts as ten"


def test_measures_of_a_play() -> None:
    """Two sites, five jobs: done late, done in time, running still, lost and running, never begun."""
    ran = segments(
        (0, 0, H, 3 * H),
        (1, 1, 0, 2 * H),
        (2, 0, H, 4 * H, ENDED_OPEN),
        (3, 1, 0, H, ENDED_LOST),
        (3, 1, 2 * H, 4 * H, ENDED_OPEN),
    )
    asked = jobs(
        [0] * 5,
        need=[[2.0, 0, 0], [4.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0]],
        due_ms=[2 * H, 2 * H, NEVER_MS, 9 * H, 3 * H],
        group=[0, 1, 0, 1, 0],
    )
    found = measured(account(ran, asked, rows([0, 1]), [supply((0.5,)), supply((1.0,), (800.0,), green_share=0.5)]), 4)
    assert (found.jobs_count, found.ended_count, found.open_count, found.never_started_count) == (5, 2, 2, 1)
    assert (found.completion_mean_h, found.waiting_mean_h, found.slowdown_mean_ratio) == (2.5, 0.5, 1.25)
    assert found.waiting_p95_h == pytest.approx(0.95)
    assert found.energy_kwh == 2 * 2 + 4 * 2 + 3 + 3
    assert found.electricity_yuan == pytest.approx(7 * 0.5 + 11 * 1.0)
    assert found.cost_yuan == 0
    assert found.carbon_location_kg == pytest.approx(7 * 0.4 + 11 * 0.8)
    assert found.carbon_market_kg == pytest.approx(7 * 0.4 + 11 * 0.4)
    assert (found.peak_kw, found.peak_by_site_kw) == (7.0, 3.0 + 5.0)
    assert [found.deadlines_missed_count, found.deadlines_missed_share] == pytest.approx([2, 2 / 3])
    assert (found.interruptions_count, found.lost_core_h, found.lost_device_h) == (1, 1, 0)
    assert found.cores_busy_share == pytest.approx(18 / (200 * 4))
    assert found.devices_busy_share == 0
    assert found.fair_slowdown_spread_ratio == 1.5
    assert found.fair_dominant_spread_ratio == pytest.approx(11 / 7), "both had jobs all the time"
    assert np.isnan(found.fragmentation_share)


def test_a_row_of_plain_numbers_with_units_last() -> None:
    row = measured(account(segments((0, 0, 0, H)), jobs([0]), rows([0]), [supply()]), 1).as_row()
    assert all(type(value) is float for value in row.values())
    units = {"count", "h", "ratio", "share", "yuan", "kwh", "kg", "kw", "gb", "jain"}
    assert {field.name.rsplit("_", 1)[1] for field in fields(Measures)} == units


def test_nothing_ended() -> None:
    found = measured(account(segments(), jobs([0]), rows([0]), [supply()]), 1)
    assert np.isnan(found.waiting_mean_h)
    assert (found.energy_kwh, found.peak_kw, found.deadlines_missed_share) == (0, 0, 0)


def test_what_reached_a_checkpoint_counts() -> None:
    """Slowness 2, a transfer of 100, checkpoints each 300 of work: 1,500 of the clock hold 700 of work, 600 stay."""
    places = rows([0], slowness=[2.0], transfer_ms_per_gb=[[100.0]])
    ran = segments(
        (0, 0, 0, 1500, ENDED_LOST), (0, 0, 2000, 2340, ENDED_LOST), (0, 0, 3000, 4000), (1, 0, 0, 900, ENDED_LOST)
    )
    made = account(ran, jobs([0, 0], data_gb=[1.0, 0.0]), places, [supply()])
    kept = kept_ms(made, np.array([300, 0]), np.array([40, 0]))
    assert kept.tolist() == [1200, 0, 1000, 0], "600 of work; 100 more reach no checkpoint; all; none"
    assert per_job(made, kept).ran_ms.tolist() == [2200, 0]


def test_checkpoints_of_the_engine_and_of_the_measures_are_the_same() -> None:
    """What is left after losses decides how long the last segment runs, so the engine's own ends are the oracle."""
    from suanwang.scheduling.columns import Outlook
    from suanwang.scheduling.policies import policy
    from suanwang.twin.engine import Faults, Truth, play

    count = 60
    chance = np.random.default_rng(3)
    asked = jobs(
        np.sort(chance.integers(0, 5 * H, count)).tolist(),
        need=np.stack((chance.integers(20, 90, count), np.zeros(count), np.zeros(count)), axis=1).astype(float),
        data_gb=chance.integers(0, 5, count).astype(float),
    )
    truth = Truth(chance.integers(H, 9 * H, count), np.where(np.arange(count) % 3, H // 2, 0), np.full(count, 60_000))
    places = rows([0, 0], slowness=[1.0, 2.0], transfer_ms_per_gb=[[0.0, 30_000.0]])
    at = np.arange(1, 41) * 3 * H
    whole = np.where(np.arange(40) % 2, -1_000_000, 1_000_000)
    faults = Faults(at, np.arange(40) // 2 % 2, whole, np.full(40, -1), np.full(40, -1))
    nothing = Outlook(0, H, H, np.zeros((1, 1, 2)), np.zeros((1, 1, 2)))
    played = play(asked, truth, places, np.ones((1, 2), np.bool_), nothing, policy("fifo"), faults=faults)
    made = account(played.segments, asked, places, [supply()])
    kept = kept_ms(made, truth.checkpoint_ms, truth.resume_ms)
    ran = played.segments
    lost = ran.how == ENDED_LOST
    assert 20 < lost.sum() > (kept[lost] > 0).sum() > 5
    slowness = places.slowness[ran.row]
    spent = asked.data_gb[ran.job] * places.transfer_ms_per_gb[0, ran.row]
    work = np.where(lost, kept / slowness, 0.0)
    kept_before = np.bincount(ran.job, work, count)
    last = np.flatnonzero(~lost)
    resumed = np.where(kept_before[ran.job[last]] > 0, truth.resume_ms[ran.job[last]], 0)
    did = (made.duration_ms[last] - spent[last] - resumed) / slowness[last]
    assert np.abs(did + kept_before[ran.job[last]] - truth.run_ms[ran.job[last]]).max() < 20, "a millisecond a loss"


def test_jain_and_spread() -> None:
    assert jain(np.array([2.0, 2.0, 2.0])) == 1
    assert jain(np.array([1.0, 0.0, 0.0, 0.0])) == 0.25
    assert spread_ratio(np.array([1.0, 4.0])) == 4
    assert np.isnan(jain(np.zeros(3)))
    assert np.isnan(spread_ratio(np.array([0.0, 1.0])))


def test_interval_over_seeds_is_students() -> None:
    found = over_seeds([1.0, 2.0, 3.0, 4.0])
    assert found.estimate == 2.5
    assert found.half == pytest.approx(3.182446 * np.std([1, 2, 3, 4], ddof=1) / 2, rel=1e-6)
    assert np.isnan(over_seeds([1.0]).half)
