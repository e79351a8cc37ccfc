"""A job of higher priority that finds no room takes it from runs that may be interrupted: which, when, and who is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import DEMO, SmallNetwork, task

from suanwang.control.rules import Rules
from suanwang.control.steps import suspend_unpaid
from suanwang.domain.allowance import Allowance
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import Known, Phase, RunReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal
from suanwang.domain.ids import AllocationId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Checkpoint, Flexibility, Priority
from suanwang.scheduling.columns import JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies.board import board_for, listed
from suanwang.scheduling.policies.compiled import plain
from suanwang.scheduling.preempting import IN_TIME, NONE, Room, Runs, make_room

RULES = Rules(
    lease_ttl_s=10**6, suspect_after_s=10**6, fence_margin_s=10, notice_s=120, protect_s=600, most_interruptions=2
)
KEPT = Content(sha256="0" * 64, size=1)


class Busy(SmallNetwork):
    """One site of sixteen cores."""

    def __init__(self) -> None:
        super().__init__(RULES)
        assert self.store.put_allowance(DEMO, Allowance(may_be_high=True), ())
        self.agent: Principal = self.join("guian", nodes=1, cores_per_node=16)

    def began(self, name: str, cores: int = 8, *, checkpoint: Content | None = KEPT, **changes: Any) -> Job:
        changes = {
            "flexibility": Flexibility(may_be_interrupted=True),
            "checkpoint": Checkpoint(path="state"),
        } | changes
        (job,) = self.submit(task(name, cores=cores, **changes))
        self.network.turn()
        self.run(job, checkpoint=checkpoint)
        return self.job(job.id)

    def run(self, job: Job, *, checkpoint: Content | None = KEPT, ended: RunState | None = None) -> tuple[Known, ...]:
        now, job = self.clock.now(), self.job(job.id)
        assert job.allocation_id is not None
        report = RunReport(
            allocation_id=AllocationId(job.allocation_id), epoch=job.epoch, native_id="1",
            phase=Phase.RUNNING if ended is None else Phase.ENDED, outcome=ended, started_at=now if ended is None else None,
            ended_at=None if ended is None else now, seen_at=now, checkpoint=checkpoint,
        )  # fmt: skip
        return self.sync(self.agent, runs=(report,)).known

    def urgent(self, cores: int = 8, name: str = "urgent") -> Job:
        (job,) = self.submit(task(name, cores=cores, priority=Priority.HIGH))
        self.network.turn()
        return self.job(job.id)

    def told(self, job: Job) -> bool:
        run = self.store.allocation(self.job(job.id).allocation_id or AllocationId(""))
        return run is not None and run.ends_by is not None


def test_who_began_last_is_told_and_ends_after_the_notice_with_its_work_kept() -> None:
    small = Busy()
    first = small.began("first")
    small.clock.advance(300)
    last = small.began("last")
    small.clock.advance(300)
    urgent = small.urgent()
    assert urgent.state is JobState.QUEUED
    assert (small.told(first), small.told(last)) == (False, True)
    assert small.kinds(last.id)[-1] == "job.preempting"
    (made,) = [event for event in small.store.events(0, 1000, job_id=urgent.id) if event.kind == "job.room_made"]
    assert (made.data["site"], made.data["runs"]) == ("guian", 1)
    small.network.turn()
    assert not small.told(first), "asking again takes nobody else"
    assert small.job(urgent.id).reason.startswith("room is made for it at site guian, by 2026-")
    assert [(known.suspend, known.notice) for known in small.run(last)] == [(False, True)]
    assert not any(known.notice for known in small.run(first))
    small.clock.advance(120)
    assert [known.suspend for known in small.run(last)] == [True]
    small.run(last, ended=RunState.CANCELLED)
    again = small.job(last.id)
    assert (again.state, again.attempts, again.interruptions, again.checkpoint) == (JobState.QUEUED, 0, 1, KEPT)
    assert again.reason == "a job of higher priority needs its room"
    assert small.kinds(last.id)[-1] == "job.preempted"
    small.network.turn()
    assert small.job(urgent.id).state is JobState.LEASED
    assert small.job(last.id).state is JobState.QUEUED, "it waits for room in its turn"


def test_who_ends_by_itself_in_its_notice_was_taken_and_leaves_its_room_at_once() -> None:
    small = Busy()
    last = small.began("last", cores=16)
    small.clock.advance(300)
    urgent = small.urgent()
    small.clock.advance(30)
    small.run(last, ended=RunState.CANCELLED)
    again = small.job(last.id)
    assert (again.state, again.attempts, again.interruptions, again.checkpoint) == (JobState.QUEUED, 0, 1, KEPT)
    assert small.kinds(last.id)[-1] == "job.preempted"
    small.network.turn()
    assert small.job(urgent.id).state is JobState.LEASED


def test_who_fails_in_its_notice_before_it_is_told_has_failed() -> None:
    small = Busy()
    last = small.began("last", cores=16)
    small.clock.advance(300)
    small.urgent()
    small.run(last, ended=RunState.FAILED)
    assert small.job(last.id).state is JobState.FAILED


@pytest.mark.parametrize(
    "changes",
    [
        {"flexibility": Flexibility()},
        {"checkpoint": None},
        {"priority": Priority.HIGH},
        {"time_limit_s": 100},
    ],
)
def test_runs_that_others_may_not_take(changes: dict[str, Any]) -> None:
    small = Busy()
    run = small.began("run", cores=16, **changes)
    small.clock.advance(30)
    small.urgent()
    assert not small.told(run)


def test_a_run_without_a_checkpoint_yet_is_not_taken() -> None:
    small = Busy()
    run = small.began("run", cores=16, checkpoint=None)
    small.urgent()
    assert not small.told(run)


def test_a_job_is_not_taken_again_and_again() -> None:
    small = Busy()
    run = small.began("run", cores=16)
    for times in range(RULES.most_interruptions):
        small.clock.advance(60)
        urgent = small.urgent(name=f"urgent-{times}")
        if times:
            assert not small.told(run), "it was taken before, and has not run for long"
            small.clock.advance(RULES.protect_s)
            small.network.turn()
        assert small.told(run)
        small.clock.advance(RULES.notice_s)
        small.run(run, ended=RunState.CANCELLED)
        small.network.turn()
        small.run(urgent, checkpoint=None)
        small.run(urgent, checkpoint=None, ended=RunState.SUCCEEDED)
        small.network.turn()
        small.run(run)
    small.clock.advance(10 * RULES.protect_s)
    small.urgent(name="last")
    assert small.job(run.id).state is JobState.RUNNING
    assert not small.told(run)


def test_pauses_that_a_job_chose_itself_do_not_save_it_from_being_taken() -> None:
    small = Busy()
    run = small.began("run", cores=16)
    for _ in range(RULES.most_interruptions):
        small.clock.advance(60)
        assert not small.store.apply([suspend_unpaid(small.job(run.id), "its project", small.clock.now())])
        small.run(run, ended=RunState.CANCELLED)
        small.network.turn()
        small.run(run)
    again = small.job(run.id)
    assert (again.interruptions, again.preemptions) == (RULES.most_interruptions, 0)
    small.clock.advance(60)
    small.urgent()
    assert small.told(run)
    small.clock.advance(RULES.notice_s)
    small.run(run, ended=RunState.CANCELLED)
    assert small.job(run.id).preemptions == 1


def test_who_ends_in_its_notice_has_succeeded() -> None:
    small = Busy()
    run = small.began("run", cores=16)
    small.clock.advance(60)
    small.urgent()
    small.clock.advance(60)
    small.run(run, ended=RunState.SUCCEEDED)
    assert small.job(run.id).state is JobState.SUCCEEDED


def test_no_run_is_taken_that_others_make_needless() -> None:
    small = Busy()
    large, small_run = small.began("large", cores=12), small.began("small", cores=4)
    small.clock.advance(600)
    small.urgent(cores=12)
    assert (small.told(large), small.told(small_run)) == (True, False)


def test_nobody_is_taken_where_room_comes_within_the_notice() -> None:
    small = Busy()
    soon = small.began("soon", cores=8, time_limit_s=600)
    other = small.began("other", cores=8)
    small.clock.advance(600 - RULES.notice_s + 10)
    small.urgent()
    assert not small.told(soon)
    assert not small.told(other)


MACHINE = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 4), st.integers(0, 50), st.integers(0, 1)),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(MACHINE, st.integers(1, 12), st.integers(0, 4), st.integers(0, 4), st.integers(0, 1))
def test_no_more_is_taken_than_is_needed(
    machine: list[tuple[int, int, int, int, int]], cores: int, devices: int, free: int, order: int
) -> None:
    """Runs of (priority, cores, devices, minutes, row) on two rows of one hall, with some cores free."""
    one = np.zeros(1, np.int64)
    jobs = JobColumns(
        ready_ms=one, order=one, need=np.array([[cores, 0.0, devices]], np.float64), expect_ms=np.ones((1, 3), np.int64),
        limit_ms=one + 1, kind=one, place=one, weight=np.ones((1, 3)), wait_ms=one, due_ms=one,
        interruptible=np.zeros(1, np.bool_), data_gb=np.zeros(1), group=one,
    )  # fmt: skip
    zero = np.zeros((1, 2))
    rows = RowColumns(
        site=np.zeros(2, np.int64), hall=np.zeros(2, np.int64), capacity=np.array([[40.0, 0, 8], [40.0, 0, 8]]),
        power_w=np.zeros((2, 3)), yuan_hour=np.zeros((2, 3)), slowness=np.ones(2), electricity_share=np.ones(2),
        delay_ms=zero, transfer_ms_per_gb=zero, transfer_yuan_per_gb=zero,
    )  # fmt: skip
    flat = Outlook(0, 1, 1, np.zeros((1, 1, 2)), np.zeros((1, 1, 2)))
    board = listed(board_for(jobs, rows, np.ones((1, 2), np.bool_), flat))
    count = len(machine)
    of = np.array(machine, np.int64).reshape(count, 5)
    need = np.stack([of[:, 1], 0 * of[:, 1], of[:, 2]], axis=1).astype(np.float64)
    runs = Runs(order=of[:, 0], begun_ms=-60_000 * of[:, 3], row=of[:, 4], need=need, turn=np.arange(count))
    room = Room(np.array([float(free)]), np.zeros(1), np.zeros(2), np.ones(1, np.bool_))
    taken, tried = np.zeros(count, np.int64), np.zeros(count, np.int64)
    row = plain(make_room)(board, 0, order, 0, np.ones(2, np.bool_), room, runs, taken, tried)
    lower = of[:, 0] > order

    def enough(chosen: np.ndarray[Any, Any], on: int) -> bool:
        return bool(free + of[chosen, 1].sum() >= cores and of[chosen & (of[:, 4] == on), 2].sum() >= devices)

    if row == IN_TIME:
        assert any(enough(np.zeros(count, np.bool_), on) for on in (0, 1))
    elif row == NONE:
        assert not any(enough(lower, on) for on in (0, 1))
    else:
        chosen = taken == 1
        assert enough(chosen, row)
        assert lower[chosen].all()
        for n in np.flatnonzero(chosen):
            assert not enough(chosen & (np.arange(count) != n), row), "it could have been spared"
        assert not room.open[0]
