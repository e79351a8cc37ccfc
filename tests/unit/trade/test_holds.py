"""Jobs that are kept for a better hour: for how long, what lets go of them, and how they are told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.factories import OPERATOR, USER, SmallNetwork, offering, task

from suanwang.catalog.tariffs import tariff_area
from suanwang.control.rules import Rules
from suanwang.domain.identity import Principal
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Price
from suanwang.domain.task import Flexibility, Task

HOUR_S = 3600
TARIFF = tariff_area("贵州").tariff
PRICE = Price(core_hour_yuan=Decimal(0), electricity=TARIFF, electricity_passed_on=True)


@pytest.fixture
def small() -> SmallNetwork:
    return SmallNetwork(Rules(lease_ttl_s=60, fence_margin_s=10, suspect_after_s=20))


def patient(name: str = "patient", hours: float = 24) -> Task:
    return task(name, flexibility=Flexibility(may_wait_s=int(hours * HOUR_S)))


def a_held_job(small: SmallNetwork) -> tuple[Principal, Job]:
    """Submitted at noon in Guizhou, where electricity is in its valley at night."""
    agent = small.join("guian", price=PRICE)
    (job,) = small.submit(patient())
    small.network.turn()
    held = small.job(job.id)
    assert held.hold is not None
    return agent, held


def test_a_held_job_is_not_looked_at_before_its_hold_ends(small: SmallNetwork) -> None:
    agent, held = a_held_job(small)
    assert held.hold is not None
    small.clock.advance(60)
    small.sync(agent)
    assert small.network.turn().waiting == 0
    assert small.job(held.id) == held
    small.clock.advance((held.hold.until - small.clock.now()).total_seconds())
    small.sync(agent)
    assert small.network.turn().waiting == 1
    again = small.job(held.id)
    assert again.hold is not None
    assert again.hold.until > held.hold.until


def test_a_lost_site_lets_go_of_the_jobs_held_for_it(small: SmallNetwork) -> None:
    _, held = a_held_job(small)
    small.clock.advance(71)
    other = small.join("wuhu")
    small.sync(other)
    small.network.turn()
    begun = small.job(held.id)
    assert (begun.state, begun.site_id, begun.hold) == (JobState.LEASED, "wuhu", None)


def test_a_site_that_changes_its_price_lets_go_of_the_jobs_held_for_it(small: SmallNetwork) -> None:
    agent, held = a_held_job(small)
    flat = replace(PRICE, electricity=None, electricity_passed_on=False, core_hour_yuan=Decimal(1))
    small.network.sites.change(OPERATOR, held.hold.expect.site, offering(price=flat))  # type: ignore[union-attr]
    assert small.job(held.id).hold is None
    small.sync(agent)
    small.network.turn()
    assert small.job(held.id).state is JobState.LEASED


def test_a_drained_site_lets_go_and_an_opened_one_does_not(small: SmallNetwork) -> None:
    _, held = a_held_job(small)
    assert held.hold is not None
    small.network.sites.drain(OPERATOR, held.hold.expect.site, open_=True)
    assert small.job(held.id).hold == held.hold
    small.network.sites.drain(OPERATOR, held.hold.expect.site, open_=False)
    assert small.job(held.id).hold is None
    small.network.turn()
    assert small.job(held.id).state is JobState.QUEUED


def test_a_job_whose_hour_finds_no_room_is_held_no_more(small: SmallNetwork) -> None:
    agent, held = a_held_job(small)
    assert held.hold is not None
    small.clock.advance((held.hold.start_at - small.clock.now()).total_seconds() - 1200)
    small.sync(agent)
    small.submit(*(task(f"full-{n}", cores=8, memory_gb=32) for n in range(2)))
    small.network.turn()
    assert small.job(held.id).hold is not None
    for _ in range(24):
        small.clock.advance(50)
        small.sync(agent)
    small.network.turn()
    left = small.job(held.id)
    assert (left.state, left.hold) == (JobState.QUEUED, None)
    small.network.turn()
    assert small.job(held.id) == left


def test_a_cancelled_job_is_held_no_more(small: SmallNetwork) -> None:
    _, held = a_held_job(small)
    (cancelled,) = small.network.jobs.cancel(USER, held.id)
    assert (cancelled.state, cancelled.hold) == (JobState.CANCELLED, None)
