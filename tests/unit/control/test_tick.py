"""One turn of the loop: silence, fences, needs, the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.factories import OPERATOR, SmallNetwork, task

from suanwang.control.rules import Rules
from suanwang.control.tick import place, tick
from suanwang.domain.errors import Conflict
from suanwang.domain.job import AllocationState, Step
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.task import Flexibility
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.snapshot import Snapshot

RULES = Rules(lease_ttl_s=60, fence_margin_s=10, suspect_after_s=20)


@pytest.fixture
def small() -> SmallNetwork:
    return SmallNetwork(RULES)


def state(small: SmallNetwork, name: str = "guian") -> SiteState:
    return next(site.state for site in small.store.sites() if site.id == name)


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [
        (20, SiteState.REACHABLE),
        (20.1, SiteState.SUSPECT),
        (70, SiteState.SUSPECT),
        (70.1, SiteState.LOST),
    ],
)
def test_a_silent_site_is_suspected_then_lost(small: SmallNetwork, silent_s: float, expected: SiteState) -> None:
    small.join("guian")
    small.clock.advance(silent_s)
    small.network.turn()
    assert state(small) is expected


def test_each_change_of_a_site_is_told_once(small: SmallNetwork) -> None:
    agent = small.join("guian")
    for _ in range(5):
        small.clock.advance(30)
        small.network.turn()
    small.sync(agent)
    small.network.turn()
    kinds = [k for k in small.kinds() if k in ("site.suspect", "site.lost", "site.reachable")]
    assert kinds == ["site.reachable", "site.suspect", "site.lost", "site.reachable"]


def test_an_invited_site_that_never_spoke_is_not_lost(small: SmallNetwork) -> None:
    from tests.factories import offering

    small.network.sites.invite(OPERATOR, "guian", offering())
    small.clock.advance(10_000)
    small.network.turn()
    assert state(small) is SiteState.INVITED


def test_work_is_taken_back_only_after_the_lease_and_the_margin(small: SmallNetwork) -> None:
    agent = small.join("guian")
    (job,) = small.submit()
    small.network.turn()
    small.sync(agent)
    small.clock.advance(70)
    small.network.turn()
    assert small.job(job.id).state is JobState.LEASED, "its guard may still be ending it"
    small.clock.advance(0.001)
    turn = small.network.turn()
    assert turn.fenced == 1
    assert small.job(job.id).state is JobState.QUEUED
    (old,) = small.store.allocations(job.id)
    assert old.state is AllocationState.FENCED
    assert "lost contact with site guian" in old.reason


def test_a_renewal_in_between_saves_the_lease(small: SmallNetwork) -> None:
    """The site speaks between the reading of what is overdue and the fence: the fence must not hold."""
    agent = small.join("guian")
    (job,) = small.submit()
    small.network.turn()
    small.clock.advance(71)
    apply = small.store.apply

    def late(steps: list[Step]) -> frozenset[object]:
        small.sync(agent)
        return apply(steps)

    small.store.apply = late  # type: ignore[method-assign,assignment]
    assert tick(small.store, RULES, {}, small.clock.now()).fenced == 0
    assert small.job(job.id).state is JobState.LEASED


def test_a_fenced_job_goes_elsewhere_and_keeps_count(small: SmallNetwork) -> None:
    small.join("guian")
    (job,) = small.submit(task(max_attempts=2))
    small.network.turn()
    agent = small.join("wuhu")
    small.clock.advance(71)
    small.sync(agent)
    small.network.turn()
    moved = small.job(job.id)
    assert (moved.site_id, moved.epoch, moved.attempts) == ("wuhu", 2, 2)
    small.clock.advance(71)
    small.network.turn()
    ended = small.job(job.id)
    assert ended.state is JobState.FAILED
    assert ended.reason == "lost contact with site wuhu; 2 of 2 attempts used"


def test_needs_that_succeed_release_and_others_fail_what_waits(small: SmallNetwork) -> None:
    small.join("guian")
    first, second, third = small.submit(task("a"), task("b", needs=("a",)), task("c", needs=("b",)))
    small.network.jobs.cancel(OPERATOR, first.id)
    turns = [small.network.turn(), small.network.turn()]
    assert [turn.failed for turn in turns] == [1, 1], "the failure is passed on, one step a turn"
    assert small.job(second.id).state is JobState.FAILED
    assert small.job(second.id).reason == f"needs {first.id}, which ended cancelled"
    assert small.job(third.id).reason == f"needs {second.id}, which ended failed"
    assert not small.store.decided_waiting(10)


def test_a_full_network_leaves_jobs_in_the_queue(small: SmallNetwork) -> None:
    small.join("guian")
    small.submit(task(cores=8, count=5))
    turn = small.network.turn()
    assert (turn.leased, turn.waiting, turn.stale) == (2, 3, 0)


def test_a_plan_that_somebody_overtook_is_dropped_not_forced(small: SmallNetwork) -> None:
    small.join("guian")
    (job,) = small.submit()

    def meddle(seen: Snapshot) -> Plan:
        from suanwang.scheduling.placing import decide

        plan = decide(seen)
        small.network.jobs.cancel(OPERATOR, job.id)
        return plan

    turn = tick(small.store, RULES, {}, small.clock.now(), meddle)
    assert turn.stale == 1
    assert small.job(job.id).state is JobState.CANCELLED
    assert not small.store.allocations(job.id)


def test_a_site_row_that_changed_meanwhile_is_left_alone(small: SmallNetwork) -> None:
    small.join("guian")
    small.clock.advance(30)

    def busy(*_: object, **__: object) -> None:
        raise Conflict("somebody was first")

    small.store.put_site = busy  # type: ignore[method-assign]
    small.network.turn()
    assert state(small) is SiteState.REACHABLE


def test_one_turn_decides_about_so_many_and_the_next_goes_on_behind_them() -> None:
    small = SmallNetwork(Rules(plan_limit=4))
    small.join("guian")
    small.network.sites.drain(OPERATOR, small.store.sites()[0].id, open_=False)
    small.submit(task(count=10))
    turns = [small.network.turn() for _ in range(4)]
    assert [turn.waiting for turn in turns] == [4, 4, 2, 4], "and from the front again"
    assert [turn.behind is None for turn in turns] == [False, False, True, False]


def test_a_job_behind_a_blocked_array_starts() -> None:
    small = SmallNetwork(Rules(plan_limit=3))
    small.join("guian", nodes=1, cores_per_node=4)
    small.join("wuhu", nodes=1, cores_per_node=8)
    small.network.sites.drain(OPERATOR, small.store.sites()[1].id, open_=False)
    small.submit(task("blocked", cores=8, count=9))
    (late,) = small.submit(task("late", cores=1))
    turns = [small.network.turn() for _ in range(4)]
    assert [turn.leased for turn in turns] == [0, 0, 0, 1]
    assert small.job(late.id).state is JobState.LEASED


def test_a_job_that_may_wait_is_held_for_the_better_site_and_then_let_go(small: SmallNetwork) -> None:
    from decimal import Decimal

    from suanwang.domain.site import Price

    agents = [
        small.join("cheap", price=Price(core_hour_yuan=Decimal("0.1"))),
        small.join("dear", price=Price(core_hour_yuan=Decimal("0.2"))),
    ]
    small.submit(task("filler", cores=8, count=2, sites=("cheap",)))
    small.network.turn()
    (patient,) = small.submit(task("patient", flexibility=Flexibility(may_wait_s=60)))
    small.network.turn()
    assert small.job(patient.id).state is JobState.QUEUED
    found = small.network.jobs.explain(OPERATOR, patient.id)
    assert found.verdict == "held"
    assert found.why is not None
    assert found.why.note == "held for a better site that is full now"
    small.clock.advance(59)
    for agent in agents:
        small.sync(agent)
    small.network.turn()
    assert small.job(patient.id).state is JobState.QUEUED
    small.clock.advance(1)
    small.network.turn()
    assert small.job(patient.id).site_id == "dear"


def test_waiting_is_not_worth_it_for_a_hair(small: SmallNetwork) -> None:
    from decimal import Decimal

    from suanwang.domain.site import Price

    small.join("cheap", price=Price(core_hour_yuan=Decimal("0.100")))
    small.join("near", price=Price(core_hour_yuan=Decimal("0.101")))
    small.submit(task("filler", cores=8, count=2, sites=("cheap",)))
    small.network.turn()
    (patient,) = small.submit(task("patient", flexibility=Flexibility(may_wait_s=60)))
    small.network.turn()
    assert small.job(patient.id).site_id == "near"


def test_deciding_twice_about_one_moment_makes_one_lease(small: SmallNetwork) -> None:
    """Two replicas turn at once: the second finds every revision moved on."""
    small.join("guian")
    small.submit(task(count=3))
    jobs = small.store.queued(10)
    queued = small.store.queued
    small.store.queued = lambda limit, after=None, now=None: jobs  # type: ignore[method-assign]
    first = place(small.store, RULES, {}, small.clock.now())
    second = place(small.store, RULES, {}, small.clock.now() + timedelta(seconds=1))
    small.store.queued = queued  # type: ignore[method-assign]
    assert (first.leased, first.stale) == (3, 0)
    assert (second.leased, second.stale) == (0, 3)
    assert all(len(small.store.allocations(job.id)) == 1 for job in jobs)


def test_a_job_that_may_wait_is_held_for_the_better_hour_and_starts_then(small: SmallNetwork) -> None:
    """At noon in Guizhou electricity is flat, at night it is in its valley."""
    from decimal import Decimal

    from suanwang.catalog.tariffs import tariff_area
    from suanwang.domain.site import Price

    tariff = tariff_area("贵州").tariff
    price = Price(core_hour_yuan=Decimal(0), electricity=tariff, electricity_passed_on=True)
    agent = small.join("guian", price=price)
    (patient,) = small.submit(task("patient", flexibility=Flexibility(may_wait_s=24 * 3600)))
    (hasty,) = small.submit(task("hasty"))
    small.network.turn()
    assert small.job(hasty.id).state is JobState.LEASED
    held = small.job(patient.id)
    assert held.state is JobState.QUEUED
    assert held.hold is not None
    assert held.hold.instead is not None
    assert held.hold.expect.figures.price_yuan < held.hold.instead.figures.price_yuan
    assert small.network.jobs.explain(OPERATOR, patient.id).verdict == "held"
    assert small.kinds(patient.id)[-1] == "job.held"
    start_at = held.hold.start_at
    while small.clock.now() < start_at:
        assert small.job(patient.id).state is JobState.QUEUED
        small.clock.advance(60)
        small.sync(agent)
        small.network.turn()
    begun = small.job(patient.id)
    assert begun.state is JobState.LEASED
    assert begun.hold is None
    assert small.kinds(patient.id).count("job.held") == 1, "it is told once, however often it is looked at"


def test_a_wide_job_gets_its_turn_however_many_narrow_ones_come(small: SmallNetwork) -> None:
    """Of eight cores four are in use for an hour more: the wide job has them all after that, at the latest."""
    agent = small.join("guian", nodes=1, cores_per_node=8)
    small.submit(task("before", cores=4, time_limit_s=3600))
    small.network.turn()
    small.sync(agent)
    small.clock.advance(1)
    (wide,) = small.submit(task("wide", cores=8, time_limit_s=3600))
    small.clock.advance(1)
    long, short = small.submit(task("long", cores=2, time_limit_s=7200), task("short", cores=2, time_limit_s=600))
    small.network.turn()
    assert small.job(wide.id).state is JobState.QUEUED
    assert small.job(long.id).state is JobState.QUEUED, "it would still run when the wide one may start"
    assert small.job(short.id).state is JobState.LEASED, "it is over before that"
    (out,) = small.network.jobs.explain(OPERATOR, long.id).why.excluded  # type: ignore[union-attr]
    assert out.code == "kept"


def test_a_plan_says_how_far_it_is_from_its_own_bound(small: SmallNetwork) -> None:
    from decimal import Decimal

    from suanwang.domain.site import Price

    small.join("cheap", nodes=1, price=Price(core_hour_yuan=Decimal("0.1")))
    small.join("dear", nodes=1, price=Price(core_hour_yuan=Decimal("0.2")))
    small.submit(task("one", cores=8))
    assert small.network.turn().gap == 0
    small.submit(task("two", cores=8))
    assert small.network.turn().gap == pytest.approx(1.0), "twice the price that it would have had alone"
