"""From a trace and rules to columns; and the generated federation beside the log it was fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import NEVER_MS
from suanwang.twin.federation import JOBS_PER_HOUR, RUN_S, federation
from suanwang.twin.network import DEVICES, Network
from suanwang.twin.networkfile import read_network
from suanwang.twin.outages import outages
from suanwang.twin.trace import Trace
from suanwang.twin.workload import HOMES, Rules, expected_ms, workload

START_MS = 1_783_267_200_000


@pytest.fixture(scope="module")
def national() -> Network:
    return read_network("national")


@pytest.fixture(scope="module")
def week() -> Trace:
    return federation(seed=3, share=0.1)


def test_the_federation_is_close_to_the_log_it_was_fitted_to() -> None:
    made = federation(seed=1)
    assert len(made) == pytest.approx(JOBS_PER_HOUR * 168, rel=0.15)
    quantiles = np.quantile(made.run_ms / 1000, [0.25, 0.5, 0.75, 0.95])
    assert quantiles == pytest.approx([RUN_S[10], RUN_S[20], RUN_S[30], RUN_S[38]], rel=0.05)
    assert (made.run_ms <= made.limit_ms).all()
    shares = np.sort(np.bincount(made.home))[::-1] / len(made)
    assert 0.1 < shares[0] < 0.25
    by_hour = np.bincount((made.submit_ms // HOUR_MS) % 24, minlength=24)
    assert by_hour[9:18].mean() > 1.3 * by_hour[0:7].mean()
    assert "generated" in made.source


def test_a_seed_gives_the_same_federation_and_another_seed_another() -> None:
    one, same, other = (federation(seed=seed, hours=5) for seed in (1, 1, 2))
    assert (one.submit_ms == same.submit_ms).all()
    assert (one.run_ms == same.run_ms).all()
    assert len(one) != len(other) or (one.submit_ms != other.submit_ms).any()
    for bad in ({"hours": 0}, {"share": 0.0}):
        with pytest.raises(InvalidRequest):
            federation(seed=1, **bad)


def test_shares_waits_and_deadlines_are_as_the_rules_say(week: Trace, national: Network) -> None:
    rules = Rules(
        flexible_share=0.6, wait_hours=6, interruptible_share=0.5, deadline_share=0.4, near_share=0.3, data_gb=10
    )
    made = workload(week, rules, national, start_ms=START_MS, seed=1)
    jobs = made.jobs
    flexible = jobs.wait_ms > 0
    assert flexible.mean() == pytest.approx(0.6, abs=0.03)
    assert set(jobs.wait_ms[flexible].tolist()) == {6 * HOUR_MS}
    assert jobs.interruptible[flexible].mean() == pytest.approx(0.5, abs=0.04)
    assert not jobs.interruptible[~flexible].any()
    dated = jobs.due_ms < NEVER_MS
    assert dated[flexible].mean() == pytest.approx(0.4, abs=0.04)
    assert (jobs.due_ms[dated] == (jobs.ready_ms + jobs.wait_ms + jobs.limit_ms)[dated]).all()
    near = jobs.kind > DEVICES
    assert (jobs.kind[near] // 2 - 1 == jobs.place[near]).all()
    assert near[~flexible].mean() == pytest.approx(0.3, abs=0.04)
    assert not near[flexible].any()
    assert np.median(jobs.data_gb) == pytest.approx(10, rel=0.1)
    some = workload(week, replace(rules, data_share=0.3), national, start_ms=START_MS, seed=1).jobs.data_gb
    assert (some > 0).mean() == pytest.approx(0.3, abs=0.03)
    assert (some[some > 0] == jobs.data_gb[some > 0]).all()
    assert (jobs.ready_ms == START_MS + week.submit_ms).all()
    again = workload(week, rules, national, start_ms=START_MS, seed=1)
    assert all((one == other).all() for one, other in zip(jobs, again.jobs, strict=True))


@pytest.mark.parametrize("load", [0.3, 1.0, 2.5])
def test_load_changes_how_many_come_not_when_they_come(week: Trace, national: Network, load: float) -> None:
    made = workload(week, Rules(load=load), national, start_ms=START_MS, seed=2)
    assert len(made.run_ms) == pytest.approx(load * len(week), rel=0.05)
    assert (np.diff(made.jobs.ready_ms) >= 0).all()
    away = np.abs(made.jobs.ready_ms - START_MS - week.submit_ms[made.source_job])
    assert away.max() <= HOUR_MS / 2


@pytest.mark.parametrize("home", HOMES)
def test_users_are_spread_by_the_places_shares(week: Trace, national: Network, home: str) -> None:
    made = workload(week, Rules(home=home), national, start_ms=START_MS, seed=1)
    work = np.bincount(made.jobs.place, weights=made.run_ms, minlength=len(national.places))
    share = np.array([place.share for place in national.places])
    # A single user with half of all work cannot be spread: the rest still goes where room is left.
    assert np.abs(work / work.sum() - share / share.sum()).max() < (0.5 if home == "groups" else 0.1)
    if home == "homes":
        homes = week.home[made.source_job]
        for centre in range(5):
            assert len(set(made.jobs.place[homes == centre].tolist())) == 1


def test_one_group_alone_is_spread_job_by_job(week: Trace, national: Network) -> None:
    lone = replace(week, group=np.zeros(len(week), np.int64), groups=("all",), home=np.full(len(week), -1), homes=())
    made = workload(lone, Rules(), national, start_ms=START_MS, seed=1)
    assert len(set(made.jobs.place.tolist())) == len(national.places)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_what_a_job_is_expected_to_take_comes_from_ended_jobs_alone(seed: int, cut: int) -> None:
    chance = np.random.default_rng(seed)
    count = 60
    submit = np.sort(chance.integers(0, 10_000, count))
    run, limit = chance.integers(1, 3_000, count), np.full(count, 4_000)
    group, wait = chance.integers(0, 3, count), chance.integers(0, 500, count)
    seen = expected_ms(submit, run, limit, group, wait_ms=wait)
    assert (np.diff(seen, axis=1) >= 0).all()
    assert (seen >= 1).all()
    assert (seen <= limit[:, None]).all()
    # Whatever had not ended, with all it may wait, when the first `cut` jobs had come could have run any time.
    now = submit[cut - 1]
    poisoned = np.where(submit + wait + run > now, 3_999, run)
    again = expected_ms(submit, poisoned, limit, group, wait_ms=wait)
    assert (again[:cut][submit[:cut] <= now] == seen[:cut][submit[:cut] <= now]).all()


def test_after_enough_jobs_a_group_is_expected_to_run_as_it_did() -> None:
    count = 40
    submit = np.arange(count) * 1_000_000
    run = np.full(count, 500_000)
    seen = expected_ms(
        submit, run, np.full(count, 9_000_000), np.zeros(count, np.int64), wait_ms=np.zeros(count, np.int64)
    )
    assert seen[0].tolist() != [500_000] * 3
    assert seen[-1].tolist() == [500_000] * 3


def test_rules_that_make_no_sense_are_refused(week: Trace, national: Network) -> None:
    for rules, field in (
        (Rules(price_weight=0, carbon_weight=0, finish_weight=0), "price_weight"),
        (Rules(home="castles"), "home"),
        (Rules(load=1e-9), "load"),
    ):
        with pytest.raises(InvalidRequest) as told:
            workload(week, rules, national, start_ms=START_MS, seed=1)
        assert told.value.field == field


def test_outages_come_in_pairs_and_in_order() -> None:
    found = outages(3, 0, 30 * 24 * HOUR_MS, every_days=2, hours=5, share=0.5, chance=np.random.default_rng(1))
    assert (np.diff(found.at_ms) >= 0).all()
    assert found.share.sum() == 0
    assert len(found.at_ms) / 2 == pytest.approx(3 * 15, rel=0.4)
    for row in range(3):
        shares = found.share[found.row == row]
        assert (shares[::2] == 500_000).all()
        assert (shares[1::2] == -500_000).all()
    assert not len(outages(3, 0, 1, every_days=0, hours=5, share=1, chance=np.random.default_rng(1)).at_ms)
