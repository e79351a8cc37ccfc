"""Running jobs that may be interrupted: suspended for the hours when electricity is dear, and taken up again after."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.factories import NOW, USER, SmallNetwork, task

from suanwang.control.rules import Rules
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import Known, Phase, RunReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal
from suanwang.domain.job import Allocation, AllocationState, Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Price
from suanwang.domain.tariff import Period, Tariff, Tier
from suanwang.domain.task import Checkpoint, Flexibility, Objective, Task

HOUR_S = 3600
MIDNIGHT_MIN = (NOW.hour + 8) % 24 * 60
"""`NOW` in minutes of the day in UTC+8."""
TARIFF = Tariff(
    flat_yuan_per_kwh=Decimal("0.50"),
    periods=(Period(tier=Tier.PEAK, hours=((MIDNIGHT_MIN + 60, MIDNIGHT_MIN + 180),), multiplier=Decimal(3)),),
)
"""Flat now, dear from one hour ahead until three hours ahead."""
PRICE = Price(core_hour_yuan=Decimal(0), electricity=TARIFF, electricity_passed_on=True)
STEADY = Price(
    core_hour_yuan=Decimal(0), electricity=Tariff(flat_yuan_per_kwh=Decimal("0.60")), electricity_passed_on=True
)
KEPT = Content(sha256="a" * 64, size=5, folder=True)
LAST = Content(sha256="b" * 64, size=6, folder=True)


class Site:
    """One site, and its agent's reports of the one run."""

    def __init__(self, **price: Any) -> None:
        self.small = SmallNetwork(Rules(lease_ttl_s=600, fence_margin_s=10, suspect_after_s=300))
        self.agent: Principal = self.small.join("guian", price=replace(PRICE, **price))

        self.others: list[Principal] = []
        self.checkpoint: Content | None = KEPT

    def beside(self, **changes: Any) -> None:
        """Another site, of a steady price."""
        self.others.append(self.small.join("wuhu", price=STEADY, **changes))

    def begin(self, of: Task) -> Job:
        (job,) = self.small.submit(of)
        self.small.network.turn()
        assert self.small.job(job.id).state is JobState.LEASED
        self.tell(job)
        return self.small.job(job.id)

    def run_of(self, job: Job) -> Allocation:
        return self.small.store.allocations(job.id)[-1]

    def tell(self, job: Job, **changes: Any) -> Known | None:
        """The run goes on, or whatever `changes` say; what the network answers about it."""
        run = self.run_of(job)
        values: dict[str, Any] = {
            "allocation_id": run.id,
            "epoch": run.epoch,
            "phase": Phase.RUNNING,
            "started_at": run.started_at or self.small.clock.now(),
            "seen_at": self.small.clock.now(),
            "checkpoint": self.checkpoint,
        }
        report = RunReport(**(values | changes))
        reply = self.small.sync(self.agent, runs=(report,))
        return next((known for known in reply.known if known.allocation_id == run.id), None)

    def pass_time(self, hours: float, job: Job | None = None) -> None:
        """In minutes, the agent speaking and the loop turning in each."""
        for _ in range(round(hours * 60)):
            self.small.clock.advance(60)
            for agent in self.others:
                self.small.sync(agent)
            if job is not None and self.small.job(job.id).state is JobState.RUNNING:
                self.tell(job)
            else:
                self.small.sync(self.agent)
            self.small.network.turn()


def interruptible(*, hours: float = 2, may_wait: float = 12, **changes: Any) -> Task:
    values: dict[str, Any] = {
        "checkpoint": Checkpoint(path="state"),
        "flexibility": Flexibility(may_wait_s=int(may_wait * HOUR_S), may_be_interrupted=True),
        "time_limit_s": int(hours * HOUR_S),
        "max_attempts": 1,
    }
    return task("long", **(values | changes))


def ended(site: Site, job: Job, **changes: Any) -> None:
    values = {"phase": Phase.ENDED, "ended_at": site.small.clock.now(), "outcome": RunState.CANCELLED}
    site.tell(job, **(values | {"checkpoint": LAST} | changes))


@pytest.fixture
def site() -> Site:
    return Site()


def suspending(site: Site) -> Job:
    """A job whose two hours began an hour before the peak; the peak has begun."""
    job = site.begin(interruptible())
    site.pass_time(1, job)
    return site.small.job(job.id)


def test_a_run_is_suspended_for_the_dear_hours_and_goes_on_after(site: Site) -> None:
    job = suspending(site)
    assert job.state is JobState.RUNNING
    assert job.hold is not None
    assert job.hold.start_at == NOW + timedelta(hours=3)
    assert job.hold.instead is not None
    assert job.hold.expect.figures.price_yuan == pytest.approx(job.hold.instead.figures.price_yuan / 3)
    known = site.tell(job)
    assert known is not None
    assert known.suspend
    assert not known.cancel
    site.small.clock.advance(5)
    ended(site, job)
    queued = site.small.job(job.id)
    assert queued.state is JobState.QUEUED
    assert (queued.attempts, queued.checkpoint, queued.hold) == (0, LAST, job.hold)
    assert site.small.kinds(job.id)[-2:] == ["job.checkpointed", "job.suspended"]
    site.pass_time(1.9)
    assert site.small.job(job.id).state is JobState.QUEUED
    site.pass_time(0.2)
    again = site.small.job(job.id)
    assert (again.state, again.attempts, again.epoch) == (JobState.LEASED, 1, 2)
    reply = site.small.sync(site.agent)
    assert [lease.checkpoint for lease in reply.start] == [LAST]


PRICE_ALONE = Objective(price=1, carbon=0, finish=0)


def test_it_begins_where_this_step_is_best_and_moves_on_at_once(site: Site) -> None:
    """Two hours cost less at the steady site, the first of them less at the other, and it is allowed no waiting."""
    site.beside()
    flexibility = Flexibility(may_be_interrupted=True)
    job = site.begin(interruptible(objective=PRICE_ALONE, flexibility=flexibility))
    assert site.run_of(job).site_id == "guian"
    (other,) = site.small.submit(interruptible(objective=PRICE_ALONE, flexibility=Flexibility()))
    site.small.network.turn()
    assert site.small.store.allocations(other.id)[-1].site_id == "wuhu"
    site.pass_time(1, job)
    moved = site.small.job(job.id)
    assert moved.hold is not None
    assert moved.hold.start_at <= site.small.clock.now()


@pytest.mark.parametrize("full", [True, False])
def test_a_run_leaves_for_a_site_that_has_room_alone(site: Site, full: bool) -> None:
    site.beside(nodes=1, cores_per_node=1)
    job = site.begin(interruptible(cores=1, objective=PRICE_ALONE, flexibility=Flexibility(may_be_interrupted=True)))
    if full:
        (other,) = site.small.submit(interruptible(cores=1, objective=PRICE_ALONE, flexibility=Flexibility()))
        site.small.network.turn()
        assert site.small.store.allocations(other.id)[-1].site_id == "wuhu"
    site.pass_time(1, job)
    assert (site.small.job(job.id).hold is None) is full


def test_a_suspended_run_is_billed_for_exactly_what_it_ran(site: Site) -> None:
    job = suspending(site)
    site.small.clock.advance(5)
    ended(site, job)
    (run,) = site.small.store.allocations(job.id)
    assert run.state is AllocationState.ENDED
    assert run.reason == "its work goes on at a better hour"
    records = site.small.store.usage_records(job.id)
    assert sum((r.to_at - r.from_at).total_seconds() for r in records) == HOUR_S + 5
    assert site.small.job(job.id).usage.wall_s == HOUR_S + 5


def test_what_ran_is_no_waiting(site: Site) -> None:
    """Of six hours' patience none is used up by the hour at work."""
    job = suspending(site)
    ended(site, job)
    queued = site.small.job(job.id)
    assert queued.ready_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "of",
    [
        interruptible(flexibility=Flexibility(may_wait_s=int(2.4 * HOUR_S))),
        interruptible(may_wait=2.4, checkpoint=None),
        interruptible(may_wait=1.4),
        interruptible(deadline_at=NOW + timedelta(hours=4.9)),
    ],
    ids=["not allowed", "no checkpoint", "no patience", "deadline"],
)
def test_a_run_goes_on_where_the_user_would_lose(site: Site, of: Task) -> None:
    site.checkpoint = KEPT if of.checkpoint else None
    (job,) = site.small.submit(of)
    site.small.network.turn()
    assert site.small.job(job.id).state is JobState.LEASED
    site.tell(job)
    site.pass_time(1.5, job)
    assert site.small.job(job.id).state is JobState.RUNNING
    assert "job.suspending" not in site.small.kinds(job.id)


def test_the_same_job_with_all_that_it_takes_is_suspended(site: Site) -> None:
    job = site.begin(interruptible(may_wait=2.4))
    site.pass_time(1.5, job)
    assert "job.suspending" in site.small.kinds(job.id)


def test_a_run_without_a_stored_checkpoint_goes_on(site: Site) -> None:
    site.checkpoint = None
    job = site.begin(interruptible())
    site.pass_time(1.5, job)
    assert site.small.job(job.id).hold is None


def test_electricity_that_users_do_not_pay_suspends_nothing() -> None:
    site = Site(electricity_passed_on=False)
    job = site.begin(interruptible())
    site.pass_time(1.5, job)
    assert site.small.job(job.id).hold is None


def test_a_run_that_ends_by_itself_meanwhile_has_succeeded(site: Site) -> None:
    job = suspending(site)
    ended(site, job, outcome=RunState.SUCCEEDED, exit_code=0)
    done = site.small.job(job.id)
    assert (done.state, done.hold) == (JobState.SUCCEEDED, None)


def test_a_cancelled_job_is_not_taken_up_again(site: Site) -> None:
    job = suspending(site)
    site.small.network.jobs.cancel(USER, job.id)
    known = site.tell(job)
    assert known is not None
    assert known.cancel
    assert not known.suspend
    ended(site, job)
    assert site.small.job(job.id).state is JobState.CANCELLED


def test_a_site_that_fails_the_run_meanwhile_uses_up_an_attempt(site: Site) -> None:
    job = suspending(site)
    ended(site, job, outcome=RunState.SITE_FAILED, reason="node failed")
    failed = site.small.job(job.id)
    assert (failed.state, failed.hold) == (JobState.FAILED, None), "it had one attempt"


def test_a_site_that_falls_silent_meanwhile_is_fenced_as_ever(site: Site) -> None:
    job = site.begin(interruptible(max_attempts=2))
    site.pass_time(1, job)
    assert site.small.job(job.id).hold is not None
    site.small.clock.advance(611)
    site.small.network.turn()
    queued = site.small.job(job.id)
    assert (queued.state, queued.hold, queued.attempts) == (JobState.QUEUED, None, 1)


def test_it_is_asked_once_a_step(site: Site) -> None:
    job = suspending(site)
    before = site.small.kinds(job.id)
    site.pass_time(0.4, job)
    assert site.small.kinds(job.id).count("job.suspending") == before.count("job.suspending") == 1
    assert site.small.network.turn().suspended == 0
