"""What every store promises of jobs, steps and leases."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.contract.store_values import (
    PROJECT,
    SITE,
    START,
    a_hold,
    a_job,
    a_record,
    a_site,
    a_task,
    a_why,
    after,
    an_allocation,
    an_event,
    at_once,
    ending,
    every_page,
    fencing,
    leased,
    leasing,
)

from suanwang.domain.allowance import Amounts
from suanwang.domain.errors import Conflict
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    AllocationState,
    Job,
    Step,
    Usage,
    place_of,
)
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Held
from suanwang.domain.task import Priority, Resources, Task
from suanwang.ports import BillQuery, Idempotency, JobQuery, Store


class AddingJobs:
    def test_a_job_comes_back_as_it_was_given(self, store: Store) -> None:
        job = replace(
            a_job(),
            array_id=JobId("j-first"),
            array_index=3,
            reason="以前失败",
            exit_code=2,
            checkpoint=Content(sha256="a" * 64, size=5, folder=True),
            checkpoint_site=SITE,
            held_at=SITE,
            avoided=(SiteId("wuhu"),),
            billed_fen=12,
            usage=Usage(wall_s=1.5, cost_yuan=Decimal("0.123456789")),
            why=a_why(),
            hold=a_hold(),
            started_at=after(1),
            ended_at=after(2),
        )
        assert store.add_jobs([job], []) == ((job.id,), False)
        assert store.job(job.id) == job
        assert store.jobs_by_id([job.id, JobId("none")]) == {job.id: job}

    def test_an_unknown_job_is_none(self, store: Store) -> None:
        assert store.job(JobId("none")) is None
        assert store.allocation(AllocationId("none")) is None
        assert store.allocations(JobId("none")) == []

    def test_a_taken_identifier_is_a_conflict_and_adds_nothing(self, store: Store) -> None:
        job, other = a_job(), a_job()
        store.add_jobs([job], [])
        with pytest.raises(Conflict):
            store.add_jobs([other, job], [an_event("job.submitted", other)])
        assert store.job(other.id) is None
        assert store.events(0, 10, job_id=other.id) == []

    def test_a_key_stands_for_its_first_request(self, store: Store) -> None:
        key = Idempotency(principal="li", key="k1", digest="d1")
        first, second = a_job(), a_job()
        assert store.add_jobs([first], [an_event("job.submitted", first)], key) == ((first.id,), False)
        assert store.add_jobs([second], [an_event("job.submitted", second)], key) == ((first.id,), True)
        assert store.job(second.id) is None
        assert [event.job_id for event in store.events(0, 10)] == [first.id]

    def test_a_key_of_another_request_is_a_conflict(self, store: Store) -> None:
        store.add_jobs([a_job()], [], Idempotency(principal="li", key="k1", digest="d1"))
        with pytest.raises(Conflict):
            store.add_jobs([a_job()], [], Idempotency(principal="li", key="k1", digest="d2"))

    def test_the_jobs_of_a_key_are_found_without_adding_any(self, store: Store) -> None:
        key = Idempotency(principal="li", key="k1", digest="d1")
        assert store.jobs_of_key(key) is None
        job = a_job()
        store.add_jobs([job], [], key)
        assert store.jobs_of_key(key) == (job.id,)
        assert store.jobs_of_key(replace(key, principal="wang")) is None
        with pytest.raises(Conflict):
            store.jobs_of_key(replace(key, digest="d2"))

    def test_another_caller_may_use_the_same_key(self, store: Store) -> None:
        for principal in ("li", "wang"):
            job = a_job()
            key = Idempotency(principal=principal, key="k1", digest=principal)
            assert store.add_jobs([job], [], key) == ((job.id,), False)

    def test_of_requests_at_once_with_one_key_one_adds(self, store: Store) -> None:
        key = Idempotency(principal="li", key="k1", digest="d1")
        jobs = [a_job() for _ in range(8)]
        answers = at_once([lambda job=job: store.add_jobs([job], [], key) for job in jobs])  # type: ignore[misc]
        assert len({identifiers for identifiers, _ in answers}) == 1
        assert sorted(known for _, known in answers) == [False] + [True] * 7
        assert sum(store.count_jobs().values()) == 1


class ReadingJobs:
    def test_pages_hold_every_job_once_newest_first(self, store: Store) -> None:
        jobs = [a_job() for _ in range(7)]
        for job in jobs:
            store.add_jobs([job], [])
        found = every_page(lambda cursor: store.jobs(JobQuery(), cursor, 3))
        assert [job.id for job in found] == [job.id for job in reversed(jobs)]

    def test_jobs_added_meanwhile_do_not_disturb_a_walk(self, store: Store) -> None:
        jobs = [a_job() for _ in range(4)]
        store.add_jobs(jobs, [])
        page, cursor = store.jobs(JobQuery(), None, 2)
        store.add_jobs([a_job()], [])
        rest, end = store.jobs(JobQuery(), cursor, 2)
        assert [job.id for job in (*page, *rest)] == [job.id for job in reversed(jobs)]
        assert end is None

    @pytest.mark.parametrize(
        ("query", "chosen"),
        [
            (JobQuery(projects=[PROJECT]), "abcd"),
            (JobQuery(projects=[ProjectId("other")]), "ef"),
            (JobQuery(projects=[PROJECT, ProjectId("other"), PROJECT]), "abcdef"),
            (JobQuery(projects=[]), ""),
            (JobQuery(states=[JobState.WAITING]), "be"),
            (JobQuery(states=[JobState.WAITING, JobState.QUEUED]), "abcdef"),
            (JobQuery(states=[]), ""),
            (JobQuery(states=[JobState.FAILED]), ""),
            (JobQuery(owner="wang"), "c"),
            (JobQuery(name="sweep"), "de"),
            (JobQuery(name="sweep", projects=[PROJECT]), "d"),
            (JobQuery(site_id=SITE), "f"),
            (JobQuery(site_id=SITE, states=[JobState.QUEUED], owner="li"), "f"),
            (JobQuery(array_id=JobId("first")), "ad"),
            (JobQuery(array_id=JobId("first"), states=[JobState.QUEUED], projects=[PROJECT]), "ad"),
            (JobQuery(projects=[PROJECT], states=[JobState.QUEUED]), "acd"),
        ],
    )
    def test_filters(self, store: Store, query: JobQuery, chosen: str) -> None:
        other = ProjectId("other")
        jobs = {
            "a": replace(a_job(), array_id=JobId("first")),
            "b": a_job(JobState.WAITING),
            "c": replace(a_job(), owner="wang"),
            "d": replace(a_job(name="sweep"), array_id=JobId("first"), array_index=1),
            "e": replace(a_job(JobState.WAITING, name="sweep"), project=other),
            "f": replace(a_job(), project=other, site_id=SITE),
        }
        store.add_jobs(list(jobs.values()), [])
        expected = [jobs[letter].id for letter in reversed(chosen)]
        assert [job.id for job in every_page(lambda cursor: store.jobs(query, cursor, 2))] == expected
        assert [job.id for job in store.jobs(query, None, 50)[0]] == expected

    def test_counts_follow_every_move(self, store: Store) -> None:
        one, two = a_job(), replace(a_job(JobState.WAITING), project=ProjectId("other"))
        store.add_jobs([one, two], [])
        store.apply([leasing(one)])
        assert dict(store.count_jobs()) == {JobState.LEASED: 1, JobState.WAITING: 1}
        assert dict(store.count_jobs([PROJECT])) == {JobState.LEASED: 1}
        assert dict(store.count_jobs([])) == {}

    def test_the_queue_is_in_order_of_readiness(self, store: Store) -> None:
        late, early, twin = a_job(), a_job(), a_job()
        early, twin = replace(early, ready_at=after(-5)), replace(twin, ready_at=after(-5))
        store.add_jobs([late, twin, early, a_job(JobState.WAITING)], [])
        assert [job.id for job in store.queued(10)] == [early.id, twin.id, late.id]
        assert [job.id for job in store.queued(1)] == [early.id]
        assert [job.id for job in store.queued(10, place_of(early))] == [twin.id, late.id]
        assert [job.id for job in store.queued(1, place_of(twin))] == [late.id]

    def test_priority_comes_before_readiness(self, store: Store) -> None:
        normal, later = replace(a_job(), ready_at=after(-5)), a_job()
        high, low = (replace(a_job(), task=replace(a_task(), priority=of)) for of in (Priority.HIGH, Priority.LOW))
        low = replace(low, ready_at=after(-9))
        store.add_jobs([low, later, normal, high], [])
        assert store.queued(10) == [high, normal, later, low]
        assert store.queued(10, place_of(high)) == [normal, later, low]
        assert store.queued(10, place_of(later), after(0)) == [low]

    def test_held_jobs_are_not_read_before_their_hold_ends(self, store: Store) -> None:
        free, held = a_job(), a_job()
        store.add_jobs([free, held], [])
        keeping = replace(held, hold=a_hold(until_s=1800), revision=1)
        assert not store.apply([Step(job=keeping)])
        assert store.queued(10, now=after(1799)) == [free]
        assert store.queued(10, now=after(1800)) == [free, keeping]
        assert store.queued(1, now=after(1800)) == [free]
        assert store.queued(10, place_of(free), after(1799)) == []
        assert store.queued(10, place_of(free), after(1800)) == [keeping]
        assert store.queued(10) == [free, keeping]
        again = replace(keeping, hold=None, revision=2)
        assert not store.apply([Step(job=again)])
        assert store.queued(10, now=after(0)) == [free, again]

    def test_a_changed_site_lets_go_of_what_is_held_for_it(self, store: Store) -> None:
        site = a_site()
        store.add_site(site, [])
        here = replace(a_job(), hold=a_hold(site=site.id))
        elsewhere = replace(a_job(), hold=a_hold(site=SiteId("wuhu")))
        gone = replace(a_job(JobState.SUCCEEDED), hold=a_hold(site=site.id))
        store.add_jobs([here, elsewhere, gone], [])
        store.put_site(replace(site, revision=1))
        assert store.queued(10, now=START) == []
        with pytest.raises(Conflict):
            store.put_site(replace(site, revision=1), unhold=True)
        assert store.queued(10, now=START) == []
        store.put_site(replace(site, revision=2), unhold=True)
        assert store.queued(10, now=START) == [replace(here, hold=None, revision=here.revision + 1)]
        assert store.job(elsewhere.id) == elsewhere
        assert store.job(gone.id) == gone
        assert store.apply([Step(job=replace(here, reason="stale", revision=1))]) == {here.id}

    def test_running_jobs_with_a_checkpoint_are_found(self, store: Store) -> None:
        kept = Content(sha256="c" * 64, size=3)
        pairs = [(replace(job, checkpoint=kept), run) for job, run in (leased(store) for _ in range(5))]

        def put(number: int, **changes: object) -> tuple[Job, Allocation]:
            job, allocation = pairs[number]
            moved = replace(job, revision=job.revision + 1, **changes)  # type: ignore[arg-type]
            running = replace(allocation, state=AllocationState.RUNNING, started_at=after(5))
            assert not store.apply([Step(job=moved, allocation=running)])
            return moved, running

        first = put(0, state=JobState.RUNNING)
        put(1, state=JobState.RUNNING, checkpoint=None)
        put(2, state=JobState.RUNNING, hold=a_hold())
        second = put(3, state=JobState.RUNNING)
        assert list(store.checkpointed(10)) == [first, second]
        assert list(store.checkpointed(1)) == [first]
        assert list(store.checkpointed(10, first[1].id)) == [second]

    def test_waiting_jobs_are_decided_by_their_needs(self, store: Store) -> None:
        good, bad, pending = a_job(JobState.SUCCEEDED), a_job(JobState.FAILED), a_job(JobState.RUNNING)
        ready = a_job(JobState.WAITING, needs=[good])
        broken = a_job(JobState.WAITING, needs=[pending, bad])
        open_still = a_job(JobState.WAITING, needs=[good, pending])
        store.add_jobs([good, bad, pending, ready, broken, open_still], [])
        found = store.decided_waiting(10)
        assert [(job.id, dict(states)) for job, states in found] == [
            (ready.id, {good.id: JobState.SUCCEEDED}),
            (broken.id, {pending.id: JobState.RUNNING, bad.id: JobState.FAILED}),
        ]
        assert len(store.decided_waiting(1)) == 1


class Applying:
    def test_a_lease_step_moves_job_and_allocation(self, store: Store) -> None:
        job = a_job()
        store.add_jobs([job], [])
        step = leasing(job)
        assert store.apply([step]) == frozenset()
        assert step.allocation is not None
        assert store.job(job.id) == step.job
        assert store.allocation(step.allocation.id) == step.allocation
        assert store.live_at(SITE) == [(step.job, step.allocation)]
        assert store.live_at(SiteId("wuhu")) == []
        assert store.queued(10) == []
        assert [(event.kind, dict(event.data)) for event in store.events(0, 10)] == [("job.leased", {"epoch": 1})]

    def test_a_whole_life_is_recorded(self, store: Store) -> None:
        job, allocation = leased(store)
        running = replace(
            allocation,
            state=AllocationState.RUNNING,
            native_id="4711",
            phase="running",
            started_at=after(5),
            cpu_s=12.5,
            max_memory_gb=3.5,
            nodes=("n1", "n2"),
            usage=Usage(wall_s=3.0, cost_yuan=Decimal("0.0000001")),
        )
        moved = replace(job, state=JobState.RUNNING, started_at=after(5), revision=job.revision + 1)
        assert store.apply([Step(job=moved, allocation=running)]) == frozenset()
        assert store.live_at(SITE) == [(moved, running)]
        end = ending(moved, running)
        assert store.apply([end]) == frozenset()
        assert store.live_at(SITE) == []
        assert store.allocations(job.id) == [end.allocation]
        assert store.usage_records(job.id) == list(end.usage)
        assert store.bill_lines(BillQuery(), None, 10) == (
            [replace(line, tally_yuan=Decimal(0)) for line in end.bill_lines],
            None,
        )
        (notice,) = store.notices_due(START, 10)
        assert (dict(notice.payload), notice.attempts) == ({"job": job.id, "state": "succeeded"}, 0)

    def test_a_stale_step_is_refused_whole(self, store: Store) -> None:
        job, allocation = leased(store)
        stale = replace(ending(job, allocation), job=replace(job, state=JobState.SUCCEEDED, revision=job.revision))
        fresh = leasing(a_job())
        assert store.apply([stale, fresh]) == {job.id, fresh.job.id}, "neither revision nor job is the stored one"
        assert store.job(job.id) == job
        assert store.allocation(allocation.id) == allocation
        assert store.usage_records(job.id) == []
        assert store.bill_lines(BillQuery(), None, 10)[0] == []
        assert store.notices_due(START, 10) == []
        assert [event.kind for event in store.events(0, 10)] == ["job.leased"]

    def test_the_others_of_a_call_are_applied(self, store: Store) -> None:
        jobs = [a_job() for _ in range(5)]
        store.add_jobs(jobs, [])
        steps = [leasing(job) for job in jobs]
        steps[2] = leasing(replace(jobs[2], revision=3))
        assert store.apply(steps) == {jobs[2].id}
        states = {job_id: job.state for job_id, job in store.jobs_by_id([job.id for job in jobs]).items()}
        assert [states[job.id] is JobState.LEASED for job in jobs] == [True, True, False, True, True]

    def test_a_usage_record_written_before_refuses_its_step_alone(self, store: Store) -> None:
        jobs = [leased(store) for _ in range(5)]
        first_job, first = jobs[0]
        record = a_record(first_job, first)
        moved = replace(first_job, state=JobState.RUNNING, revision=first_job.revision + 1)
        store.apply([Step(job=moved, allocation=first, usage=(record,))])
        steps = [ending(moved, first), *(ending(job, allocation) for job, allocation in jobs[1:])]
        assert store.apply(steps) == {moved.id}
        assert store.job(moved.id) == moved
        assert store.usage_records(moved.id) == [record]
        assert store.count_jobs() == {JobState.RUNNING: 1, JobState.SUCCEEDED: 4}
        assert [event.job_id for event in store.events(0, 99, kind="job.ended")] == sorted(
            job.id for job, _ in jobs[1:]
        )
        assert len(store.bill_lines(BillQuery(), None, 10)[0]) == 4

    def test_two_steps_of_one_job_in_a_call_are_an_error(self, store: Store) -> None:
        job = a_job()
        store.add_jobs([job], [])
        with pytest.raises(ValueError, match="two steps"):
            store.apply([leasing(job), leasing(job)])
        assert store.job(job.id) == job

    def test_no_steps_are_no_work(self, store: Store) -> None:
        assert store.apply([]) == frozenset()
        assert store.renew([], after(1)) == frozenset()

    def test_of_conflicting_steps_at_once_exactly_one_wins(self, store: Store) -> None:
        jobs = [a_job() for _ in range(20)]
        store.add_jobs(jobs, [])

        def contend(number: int) -> frozenset[JobId]:
            order = jobs if number % 2 else list(reversed(jobs))
            site = SiteId(f"site{number}")
            return store.apply([leasing(job, site=site) for job in order])

        refusals = at_once([lambda number=number: contend(number) for number in range(16)])  # type: ignore[misc]
        for job in jobs:
            assert sum(job.id not in refused for refused in refusals) == 1
            (allocation,) = store.allocations(job.id)
            stored = store.job(job.id)
            assert stored is not None
            assert stored.site_id == allocation.site_id
        assert len(store.events(0, 999)) == len(jobs)
        assert sum(held.allocations for held in store.held().values()) == len(jobs)


class Leasing:
    def test_renewing_moves_live_leases_forward_only(self, store: Store) -> None:
        job, allocation = leased(store)
        assert store.renew([allocation.id, AllocationId("none")], after(120)) == {allocation.id}
        assert store.renew([allocation.id], after(30)) == {allocation.id}
        stored = store.allocation(allocation.id)
        assert stored == replace(allocation, lease_until=after(120))
        assert store.job(job.id) == job, "a renewal is no step"

    def test_a_step_does_not_take_a_renewal_back(self, store: Store) -> None:
        job, allocation = leased(store)
        store.renew([allocation.id], after(120))
        moved = replace(job, state=JobState.RUNNING, revision=job.revision + 1)
        store.apply([Step(job=moved, allocation=replace(allocation, state=AllocationState.RUNNING))])
        stored = store.allocation(allocation.id)
        assert stored is not None
        assert (stored.state, stored.lease_until) == (AllocationState.RUNNING, after(120))

    def test_overdue_leases_are_found(self, store: Store) -> None:
        job, allocation = leased(store)
        later_job, later = leased(store)
        store.renew([later.id], after(200))
        assert store.overdue(after(60), 10) == [], "until the instant itself the lease stands"
        assert store.overdue(after(61), 10) == [(job, allocation)]
        assert len(store.overdue(after(999), 1)) == 1
        assert [found.id for found, _ in store.overdue(after(999), 10)] == sorted([job.id, later_job.id])

    def test_a_fence_ends_the_lease(self, store: Store) -> None:
        job, allocation = leased(store)
        step = fencing(job, allocation)
        assert store.apply([step]) == frozenset()
        assert store.renew([allocation.id], after(300)) == frozenset()
        assert store.live_at(SITE) == []
        assert store.allocations(job.id) == [step.allocation]

    def test_a_fence_is_refused_where_the_lease_was_renewed(self, store: Store) -> None:
        job, allocation = leased(store)
        other_job, other = leased(store)
        store.renew([allocation.id], after(120))
        assert store.apply([fencing(job, allocation), fencing(other_job, other)]) == {job.id}
        assert store.job(job.id) == job
        assert [found.id for found, _ in store.live_at(SITE)] == [job.id]
        assert store.events(0, 10, job_id=job.id, kind="job.fenced") == []

    def test_a_fence_of_an_unknown_allocation_is_refused(self, store: Store) -> None:
        job = a_job()
        store.add_jobs([job], [])
        assert store.apply([fencing(job, an_allocation(job))]) == {job.id}
        assert store.job(job.id) == job

    def test_a_job_runs_again_under_the_next_epoch(self, store: Store) -> None:
        job, allocation = leased(store)
        fence = fencing(job, allocation)
        store.apply([fence])
        again = leasing(fence.job, site=SiteId("wuhu"))
        assert store.apply([again]) == frozenset()
        assert [found.epoch for found in store.allocations(job.id)] == [1, 2]
        assert store.live_at(SiteId("wuhu")) == [(again.job, again.allocation)]

    def test_renewing_and_fencing_at_once_agree(self, store: Store) -> None:
        for _ in range(8):
            job, allocation = leased(store)
            outcomes = at_once(
                [
                    lambda: bool(store.renew([allocation.id], after(120))),  # noqa: B023
                    lambda: not store.apply([fencing(job, allocation)]),  # noqa: B023
                ]
            )
            assert sorted(outcomes) == [False, True], "a renewed lease stands, a fenced one is not renewed"

    def test_held_sums_live_allocations_over_nodes(self, store: Store) -> None:
        job, allocation = leased(store)
        leased(store)
        leased(store, site=SiteId("wuhu"))
        plain = replace(a_job(), task=Task(name="t", run="x", resources=Resources(cores=3, memory_gb=1.5)))
        store.add_jobs([plain], [])
        step = leasing(plain)
        assert step.allocation is not None
        store.apply([replace(step, allocation=replace(step.allocation, device_model=None))])
        assert store.held() == {
            SITE: Held(cores=19, memory_gb=67.5, devices={"ascend-910b": 32}, allocations=3),
            SiteId("wuhu"): Held(cores=8, memory_gb=33.0, devices={"ascend-910b": 16}, allocations=1),
        }
        assert store.held_by_project() == {
            PROJECT: Amounts(cores=27, memory_gb=100.5, devices={"ascend-910b": 48}),
        }
        store.apply([ending(job, allocation)])
        assert store.held()[SITE].allocations == 2
        assert store.held_by_project()[PROJECT].cores == 19

    def test_held_is_summed_by_project(self, store: Store) -> None:
        other = ProjectId("other")
        leased(store)
        _, mine = leased(store, replace(a_job(), project=other))
        assert store.held_by_project() == {
            project: Amounts(cores=8, memory_gb=33.0, devices={"ascend-910b": 16}) for project in (PROJECT, other)
        }
        job = store.job(mine.job_id)
        assert job is not None
        store.apply([fencing(job, mine)])
        assert list(store.held_by_project()) == [PROJECT]

    def test_endings_are_the_latest_ends_of_live_allocations(self, store: Store) -> None:
        job, allocation = leased(store)
        leased(store)
        elsewhere, _ = leased(store, site=SiteId("wuhu"))
        begun = replace(allocation, state=AllocationState.RUNNING, started_at=after(90))
        running = replace(job, state=JobState.RUNNING, started_at=after(90), revision=job.revision + 1)
        assert store.apply([Step(job=running, allocation=begun)]) == frozenset()
        limit_s = job.task.resources.time_limit_s
        ends = {site: [(end.at, end.cores, end.devices) for end in found] for site, found in store.endings().items()}
        assert ends == {
            SITE: [(after(1 + limit_s), 8, 16), (after(90 + limit_s), 8, 16)],
            SiteId("wuhu"): [(after(1 + elsewhere.task.resources.time_limit_s), 8, 16)],
        }
        told, running = replace(begun, ends_by=after(200)), replace(running, revision=running.revision + 1)
        assert store.apply([Step(job=running, allocation=told)]) == frozenset()
        assert store.allocation(told.id) == told
        assert after(200) in [end.at for end in store.endings()[SITE]], "who was told ends by then"
        begun = told
        store.apply([ending(running, begun)])
        assert len(store.endings()[SITE]) == 1
