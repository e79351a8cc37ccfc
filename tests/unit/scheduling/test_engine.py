"""The engine where one can see what ought to happen: better hours, pauses, deadlines, faults, and columns that are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.engine_worlds import HOUR_MS, WHOLE, World, check, outlook_of, plain_jobs, plain_rows, plain_truth

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.columns import (
    ENDED_DONE,
    ENDED_LIMIT,
    ENDED_LOST,
    ENDED_PREEMPTED,
    ENDED_SUSPENDED,
    NEVER_MS,
    Sharing,
)
from suanwang.twin.engine import REFUSED, RUNNING, WAITING, Faults

CHEAP_AT = 5
DAY = np.where(np.arange(24) % 24 == CHEAP_AT, 0.1, 1.0)


def hours(*values: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.round(np.array(values) * HOUR_MS).astype(np.int64)


def one_site(run_h: list[float], *, cores: float = 100, ready_h: list[float] | None = None, **columns: Any) -> World:
    """Jobs of one core whose price alone counts, at a site that is cheap from five to six."""
    count = len(run_h)
    need = np.zeros((count, 3))
    need[:, 0] = 1
    made = World(
        jobs=plain_jobs(hours(*(ready_h or [0.0] * count)), hours(*run_h), need),
        truth=plain_truth(hours(*run_h)),
        rows=plain_rows(np.array([[cores, 0.0, 0.0]])),
        allowed=np.ones((1, 1), np.bool_),
        outlook=outlook_of(DAY[None], DAY[None]),
    )
    weight = np.tile([1.0, 0.0, 0.0], (count, 1))
    return made.with_jobs(**{"weight": weight, **columns})


def one_project(count: int) -> Sharing:
    """Of plain weight, that may have everything; nobody is taken for others."""
    return Sharing(
        project=np.zeros(count, np.int64), weight=np.ones(1), most=np.full((1, 2), np.inf), model=np.full(1, -1),
        half_life_ms=HOUR_MS, mean_every_ms=HOUR_MS, starved_after_ms=100 * HOUR_MS, notice_ms=-1, protect_ms=0,
        most_interruptions=0,
    )  # fmt: skip


def faults(*told: tuple[float, int, int]) -> Faults:
    row, share = (np.array([one[k] for one in told], np.int64) for k in (1, 2))
    none = np.full(len(told), -1, np.int64)
    return Faults(hours(*(at for at, _, _ in told)), row, share, none, none)


@pytest.mark.parametrize("name", ["joint", "wait_awhile"])
@pytest.mark.parametrize(
    ("wait_h", "start_h"), [(0, 0), (4, 0), (5, 5), (23, 5), (4.99, 0)], ids=lambda hour: f"{hour} h"
)
def test_a_held_job_starts_at_the_better_hour_that_it_may_wait_for(name: str, wait_h: float, start_h: float) -> None:
    made = one_site([1.0], wait_ms=hours(wait_h))
    assert made.played(name).first_start_ms.tolist() == hours(start_h).tolist()


def test_one_that_arrives_too_late_for_its_patience_does_not_wait() -> None:
    made = one_site([1.0, 1.0], ready_h=[5.5, 4.5], wait_ms=hours(10, 10))
    assert made.played("joint").first_start_ms.tolist() == hours(5.5, 5).tolist()


def test_who_wants_to_end_soon_is_not_held() -> None:
    weight = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 9.0]])
    made = one_site([1.0, 1.0], wait_ms=hours(20, 20), weight=weight)
    assert made.played("joint").first_start_ms.tolist() == hours(5, 0).tolist()


def test_no_hold_breaks_a_deadline() -> None:
    """The cheap hour is five to six: one must be over before, one has just the time, one is as late as that allows."""
    made = one_site([1.0, 1.0, 2.0], wait_ms=hours(20, 20, 20), due_ms=hours(5.9, 6, 6.5))
    played = made.played("joint")
    assert (played.end_ms <= made.jobs.due_ms).all()
    assert played.first_start_ms.tolist() == hours(0, 5, 4).tolist()


def test_a_deadline_comes_before_a_price() -> None:
    """A row of half the price takes twice as long: only who has the time goes there."""
    made = one_site([1.0, 1.0], due_ms=hours(1.5, 9), limit_ms=hours(2, 2))
    made = replace(made, allowed=np.ones((1, 2), np.bool_), outlook=outlook_of(np.ones((2, 24)), np.ones((2, 24))))
    rows = plain_rows(np.tile([100.0, 0.0, 0.0], (2, 1)))
    rows = rows._replace(slowness=np.array([1.0, 2.0]), power_w=np.array([[1000.0, 0, 0], [200.0, 0, 0]]))
    played = replace(made, rows=rows).played("joint")
    assert played.segments.row[np.argsort(played.segments.job)].tolist() == [0, 1]
    assert (played.end_ms <= made.jobs.due_ms).all()


def test_an_interruptible_job_runs_in_the_cheap_hours_alone() -> None:
    """Every other hour is dear: who may be suspended runs in the others, who may not runs through."""
    dear = np.where(np.arange(24) % 2 == 0, 0.2, 1.0)[None]
    made = one_site([3.0, 3.0], wait_ms=hours(6, 6), interruptible=np.array([True, False]))
    made = replace(made, outlook=outlook_of(dear, dear))
    played = made.played("joint")
    check(made, played)
    mine = played.segments.job == 0
    assert played.segments.start_ms[mine].tolist() == hours(0, 2, 4).tolist()
    assert played.segments.end_ms[mine].tolist() == hours(1, 3, 5).tolist()
    assert played.segments.how[mine].tolist() == [ENDED_SUSPENDED, ENDED_SUSPENDED, ENDED_DONE]
    assert played.first_start_ms[1] == 0
    assert played.end_ms[1] == 3 * HOUR_MS


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_the_next_room_is_kept_for_what_paused(shared: bool, anew: bool) -> None:
    """It pauses in the dear second hour, in which half of its site is taken until five: who comes then does not go before it."""
    dear = np.where(np.arange(24) == 1, 9.0, 1.0)[None]
    made = one_site([3.0, 4.0, 4.0], cores=2, ready_h=[0.0, 1.0, 2.5], wait_ms=hours(20, 0, 0))
    made = made.with_jobs(
        need=np.array([[2.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0]]), interruptible=np.array([True, False, False])
    )
    sharing = one_project(3) if shared else None
    played = replace(made, outlook=outlook_of(dear, dear), sharing=sharing).played("joint", anew=anew)
    mine = played.segments.job == 0
    assert played.segments.start_ms[mine].tolist() == hours(0, 5).tolist()
    assert played.first_start_ms.tolist() == hours(0, 1, 7).tolist()


def test_pauses_for_a_better_hour_do_not_save_a_run_from_being_taken() -> None:
    """Its second run follows on a pause, and ends at five for a job of higher priority, though a run is taken but once."""
    dear = np.where(np.arange(24) == 1, 9.0, 1.0)[None]
    made = one_site([6.0, 1.0, 1.0], cores=1, ready_h=[0.0, 4.5, 7.0], wait_ms=hours(20, 0, 0))
    made = made.with_jobs(interruptible=np.array([True, False, False]), order=np.array([2, 0, 0]))
    made = replace(
        made,
        outlook=outlook_of(dear, dear),
        sharing=one_project(3)._replace(notice_ms=HOUR_MS // 2, most_interruptions=1),
    )
    played = made.played("joint")
    check(made, played)
    mine = played.segments.job == 0
    assert played.segments.how[mine].tolist() == [ENDED_SUSPENDED, ENDED_PREEMPTED, ENDED_DONE]
    assert played.segments.end_ms[mine].tolist() == hours(1, 5, 8).tolist()
    assert played.first_start_ms.tolist() == hours(0, 5, 8).tolist()


def test_work_that_may_go_on_elsewhere_runs_where_each_hour_is_cheap() -> None:
    """The first site is cheap for an hour, the second in all others; over the whole run the second is cheaper."""
    first = np.ones(24)
    first[0] = 0.2
    price = np.stack([first, np.full(24, 0.5)])
    made = one_site([3.0, 3.0], interruptible=np.array([True, False]))
    rows = plain_rows(np.array([[1.0, 0.0, 0.0], [100.0, 0.0, 0.0]]))
    made = replace(made, rows=rows, allowed=np.ones((1, 2), np.bool_), outlook=outlook_of(price, price))
    played = made.played("joint")
    check(made, played)
    mine = played.segments.job == 0
    assert played.segments.row[mine].tolist() == [0, 1]
    assert played.segments.end_ms[mine].tolist() == hours(1, 3).tolist(), "moving on at once is no waiting"
    assert played.segments.row[~mine].tolist() == [1]


def test_who_takes_up_again_spends_time_on_it_but_not_its_own() -> None:
    """A limit as long as the run is kept, though two pauses cost half an hour each."""
    dear = np.where(np.arange(24) % 3 == 0, 0.1, 1.0)[None]
    made = one_site([2.5], wait_ms=hours(20), interruptible=np.array([True]))
    made = replace(made, outlook=outlook_of(dear, dear), truth=made.truth._replace(resume_ms=hours(0.25)))
    played = made.played("joint")
    check(made, played)
    pauses = int((played.segments.how == ENDED_SUSPENDED).sum())
    assert pauses >= 2
    assert played.segments.how[-1] == ENDED_DONE
    ran = int((played.segments.end_ms - played.segments.start_ms).sum())
    assert ran == int(hours(2.5 + 0.25 * pauses)[0])


def test_pauses_end_with_patience() -> None:
    """It paused for a better hour that its patience does not reach: then it runs to its end."""
    made = one_site([6.0], ready_h=[5.0], wait_ms=hours(3), interruptible=np.array([True]))
    played = made.played("joint")
    check(made, played)
    assert played.end_ms[0] <= int(hours(5 + 3 + 6)[0])


@pytest.mark.parametrize("name", ["easy", "joint", "nearest+fifo"])
def test_a_fault_takes_the_last_started_first_and_what_was_not_kept(name: str) -> None:
    made = one_site([4.0, 4.0, 4.0], cores=4, ready_h=[0, 1, 2])
    made = replace(
        made,
        truth=made.truth._replace(checkpoint_ms=hours(0, 0, 0.4)),
        faults=faults((3, 0, WHOLE // 2), (3.5, 0, -WHOLE // 2)),
    )
    played = made.played(name)
    check(made, played)
    lost = played.segments.how == ENDED_LOST
    assert played.segments.job[lost].tolist() == [2]
    # It had done an hour and kept two checkpoints, 0.8 of it.
    assert played.end_ms.tolist() == hours(4, 5, 3.5 + 3.2).tolist()


@pytest.mark.parametrize("name", ["easy", "joint", "wait_awhile"])
def test_a_site_that_stays_away_ends_the_play(name: str) -> None:
    made = replace(one_site([4.0, 1.0], ready_h=[0, 2], wait_ms=hours(0, 3)), faults=faults((1, 0, WHOLE)))
    played = made.played(name)
    assert played.state.tolist() == [WAITING, WAITING]
    assert played.segments.how.tolist() == [ENDED_LOST]


def test_a_play_that_stops_tells_what_runs() -> None:
    made = one_site([4.0, 4.0], cores=1)
    played = made.played("easy", until_ms=HOUR_MS)
    assert played.state.tolist() == [RUNNING, WAITING]
    assert played.segments.end_ms.tolist() == [HOUR_MS]


def test_who_fits_nowhere_is_refused_and_who_outruns_its_limit_is_stopped() -> None:
    made = one_site([1.0, 2.0], need=np.array([[200.0, 0, 0], [1.0, 0, 0]]), limit_ms=hours(1, 1.5))
    played = made.played("easy")
    assert played.state.tolist()[0] == REFUSED
    assert played.limited.tolist() == [False, True]
    assert played.segments.how.tolist() == [ENDED_LIMIT]


def test_the_way_of_the_data_comes_before_the_run() -> None:
    made = one_site([1.0], data_gb=np.array([10.0]))
    made = made.with_rows(transfer_ms_per_gb=np.array([[60_000.0]]))
    assert made.played("easy").end_ms.tolist() == [HOUR_MS + 600_000]


def test_nothing_at_all_is_played_in_no_time() -> None:
    played = one_site([1.0]).taken(np.zeros(0, np.int64)).played("joint")
    assert not len(played.segments.job)


WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("ready_ms", "jobs", {"ready_ms": np.array([-1])}),
    ("need", "jobs", {"need": np.ones((1, 2))}),
    ("need", "jobs", {"need": np.full((1, 3), np.nan)}),
    ("need", "jobs", {"need": np.array([[-1.0, 0, 0]])}),
    ("expect_ms", "jobs", {"expect_ms": np.ones((2, 3), np.int64)}),
    ("limit_ms", "jobs", {"limit_ms": np.array([0])}),
    ("weight", "jobs", {"weight": np.zeros((1, 3))}),
    ("weight", "jobs", {"weight": np.full((1, 3), np.inf)}),
    ("data_gb", "jobs", {"data_gb": np.array([np.nan])}),
    ("due_ms", "jobs", {"due_ms": np.array([-5])}),
    ("kind", "jobs", {"kind": np.array([1])}),
    ("place", "jobs", {"place": np.array([1])}),
    ("wait_ms", "jobs", {"wait_ms": np.zeros(2, np.int64)}),
    ("run_ms", "truth", {"run_ms": np.array([-1])}),
    ("checkpoint_ms", "truth", {"checkpoint_ms": np.zeros(2, np.int64)}),
    ("site", "rows", {"site": np.array([1])}),
    ("hall", "rows", {"hall": np.array([-1])}),
    ("capacity", "rows", {"capacity": np.full((1, 3), np.nan)}),
    ("capacity", "rows", {"capacity": np.array([[-1.0, 0, 0]])}),
    ("power_w", "rows", {"power_w": np.zeros((2, 3))}),
    ("yuan_hour", "rows", {"yuan_hour": np.full((1, 3), np.nan)}),
    ("slowness", "rows", {"slowness": np.array([0.0])}),
    ("electricity_share", "rows", {"electricity_share": np.array([np.nan])}),
    ("transfer_ms_per_gb", "rows", {"transfer_ms_per_gb": np.zeros((1, 2))}),
    ("delay_ms", "rows", {"delay_ms": np.full((1, 1), np.nan)}),
    ("transfer_ms_per_gb", "rows", {"transfer_ms_per_gb": np.full((1, 1), np.inf)}),
    ("outlook", "outlook", {"yuan": np.zeros((1, 1, 1)), "carbon_g": np.zeros((1, 1, 1))}),
    ("outlook", "outlook", {"yuan": np.zeros((1, 1, 3))}),
    ("outlook", "outlook", {"yuan": np.zeros((0, 1, 3)), "carbon_g": np.zeros((0, 1, 3))}),
    ("issue_ms", "outlook", {"issue_ms": HOUR_MS // 2}),
    ("fault row", "faults", {"row": np.array([7])}),
    ("faults", "faults", {"at_ms": np.array([5, 4]), "row": np.array([0, 0]), "share": np.array([1, -1])}),
    ("faults", "faults", {"share": np.zeros(3, np.int64)}),
]


@pytest.mark.parametrize(
    ("field", "part", "columns"), WRONG, ids=[f"{part} {n}" for n, (_, part, _) in enumerate(WRONG)]
)
def test_wrong_columns_are_told_by_name(field: str, part: str, columns: dict[str, Any]) -> None:
    made = replace(one_site([1.0]), faults=faults((1, 0, WHOLE)))
    with pytest.raises(InvalidRequest) as told:
        replace(made, **{part: getattr(made, part)._replace(**columns)}).played("joint")
    assert told.value.field == field


def test_times_that_never_come_are_no_times() -> None:
    with pytest.raises(InvalidRequest):
        one_site([1.0], ready_ms=np.array([NEVER_MS])).played("easy")
