"""What every store promises, as one suite that the one in memory and PostgreSQL's pass.

Owns the promises and the values a test is written in. It must not know any database: a test file subclasses the classes
here and gives each a fixture named `store`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TypeVar

import pytest

from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.identity import Principal, Project, Role, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    AllocationState,
    BillLine,
    Event,
    Exclusion,
    Figures,
    Job,
    LogChunk,
    Point,
    Rank,
    Step,
    Usage,
    UsageRecord,
    Why,
)
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Dataset, DevicePool, Held, Measured, Offering, Price, Site
from suanwang.domain.task import Checkpoint, Circle, Constraints, DeviceRequest, Input, Output, Resources, Task
from suanwang.ports import BillQuery, BillTotal, Extent, Idempotency, JobQuery, Store

T = TypeVar("T")
P = TypeVar("P")

START = datetime(2025, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
PROJECT = ProjectId("demo")
SITE = SiteId("guian")
PRICE = Price(core_hour_yuan=Decimal("0.05"), device_hour_yuan={"ascend-910b": Decimal("9.50")})

_numbers = count(1)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_task(name: str = "train", *, cores: int = 4, nodes: int = 2) -> Task:
    """A task in which every kind of field is set."""
    return Task(
        name=name,
        run="python train.py",
        env={"SEED": "7"},
        nodes=nodes,
        resources=Resources(
            cores=cores,
            memory_gb=16.5,
            devices=DeviceRequest(count=8, kind=DeviceKind.NPU, precisions=(Precision.BF16,)),
        ),
        inputs=(Input(source="digits", path="data"),),
        outputs=(Output(name="model", path="model.bin"),),
        checkpoint=Checkpoint(path="state"),
        constraints=Constraints(
            deadline_at=after(7200), budget_yuan=Decimal("12.50"), circle=Circle(place="上海", within_ms=5)
        ),
    )


def a_job(state: JobState = JobState.QUEUED, *, needs: Sequence[Job] = (), name: str = "train") -> Job:
    number = next(_numbers)
    return Job(
        id=JobId(f"j{number:06d}"),
        project=PROJECT,
        owner="li",
        task=a_task(name),
        state=state,
        submitted_at=after(number),
        needs=tuple(need.id for need in needs),
        ready_at=after(number) if state is JobState.QUEUED else None,
    )


def a_why() -> Why:
    figures = Figures(price_yuan=1.5, carbon_g=200.0, energy_kwh=0.5, finish_s=90.0, delay_ms=3.5)
    return Why(
        chosen=Rank(site=SITE, score=1.0, figures=figures),
        others=(Rank(site=SiteId("wuhu"), score=1.25, figures=replace(figures, delay_ms=None)),),
        excluded=(Exclusion(site=SiteId("horinger"), code="busy", need="8", have="0"),),
        excluded_total=1,
        decided_at=after(1),
        note="first choice",
    )


def an_allocation(job: Job, *, site: SiteId = SITE, epoch: int | None = None) -> Allocation:
    number = job.epoch + 1 if epoch is None else epoch
    return Allocation(
        id=AllocationId(f"{job.id}-{number}"),
        job_id=job.id,
        site_id=site,
        epoch=number,
        state=AllocationState.LEASED,
        granted_at=after(1),
        lease_until=after(60),
        device_model="ascend-910b",
        price=PRICE,
        pue=1.2,
        carbon_g_per_kwh=480.0,
        power_kw=3.5,
        why=a_why(),
    )


def an_event(kind: str, job: Job | None = None, **data: object) -> Event:
    return Event(
        kind=kind,
        at=START,
        project=job.project if job is not None else None,
        job_id=job.id if job is not None else None,
        site_id=SITE if job is None else job.site_id,
        actor="test",
        data=data,
    )


def leasing(job: Job, *, site: SiteId = SITE) -> Step:
    """The step that grants a lease to a queued job."""
    allocation = an_allocation(job, site=site)
    moved = replace(
        job,
        state=JobState.LEASED,
        epoch=allocation.epoch,
        allocation_id=allocation.id,
        site_id=site,
        attempts=job.attempts + 1,
        why=allocation.why,
        revision=job.revision + 1,
    )
    return Step(job=moved, allocation=allocation, events=(an_event("job.leased", moved, epoch=allocation.epoch),))


def ending(job: Job, allocation: Allocation, state: JobState = JobState.SUCCEEDED) -> Step:
    """The step that ends a live job, with its last usage record and bill line."""
    record = a_record(job, allocation)
    ended = replace(allocation, state=AllocationState.ENDED, ended_at=after(50), outcome=RunState.SUCCEEDED, records=1)
    moved = replace(job, state=state, allocation_id=None, ended_at=after(50), revision=job.revision + 1)
    return Step(
        job=moved,
        allocation=ended,
        events=(an_event("job.ended", moved),),
        usage=(record,),
        bill_lines=(a_line(record),),
        notices=({"job": job.id, "state": state.value},),
    )


def fencing(job: Job, allocation: Allocation) -> Step:
    """The step that takes a silent site's lease away and queues the job again."""
    moved = replace(job, state=JobState.QUEUED, allocation_id=None, ready_at=after(90), revision=job.revision + 1)
    return Step(
        job=moved,
        allocation=replace(allocation, state=AllocationState.FENCED, ended_at=after(90)),
        events=(an_event("job.fenced", moved),),
    )


def a_record(job: Job, allocation: Allocation, number: int = 1, *, start_s: float = 10) -> UsageRecord:
    return UsageRecord(
        id=f"{allocation.id}:{number}",
        allocation_id=allocation.id,
        job_id=job.id,
        project=job.project,
        site_id=allocation.site_id,
        from_at=after(start_s),
        to_at=after(start_s + 40),
        cores=8,
        memory_gb=33.0,
        device_model="ascend-910b",
        devices=16,
        energy_kwh=0.25,
        carbon_g=120.0,
    )


def a_line(record: UsageRecord, *, provider: str = "贵安算力", fen: int = 123) -> BillLine:
    return BillLine(
        usage_id=record.id,
        project=record.project,
        job_id=record.job_id,
        site_id=record.site_id,
        provider=provider,
        from_at=record.from_at,
        to_at=record.to_at,
        description="16 × ascend-910b",
        rated_yuan=Decimal("1.2345600"),
        amount_fen=fen,
    )


def a_site(site_id: str = "guian") -> Site:
    return Site(
        id=SiteId(site_id),
        offering=Offering(
            name_zh="贵安",
            name_en="Gui'an",
            provider="贵安算力",
            region="guizhou",
            latitude=26.4,
            longitude=106.6,
            connector="slurm",
            nodes=4,
            cores_per_node=64,
            memory_gb_per_node=512.0,
            devices=(
                DevicePool(
                    model="ascend-910b",
                    kind=DeviceKind.NPU,
                    count=32,
                    per_node=8,
                    memory_gb=64.0,
                    precisions=(Precision.FP16, Precision.BF16),
                ),
            ),
            price=PRICE,
            pue=1.2,
            carbon_g_per_kwh=480.0,
            datasets=(Dataset(name="imagenet", size=10**11),),
            accounts={"demo": "hpc01"},
        ),
        state_since=START,
    )


def a_file(name: str, digit: str, **changes: object) -> FileRecord:
    record = FileRecord(
        project=PROJECT,
        name=name,
        version=0,
        content=Content(sha256=digit * 64, size=1000),
        residency=("wuhu",),
        created_at=START,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def a_chunk(job: Job, offset: int, text: str, stream: str = "stdout") -> LogChunk:
    return LogChunk(
        allocation_id=AllocationId(f"{job.id}-1"),
        job_id=job.id,
        stream=stream,
        offset=offset,
        text=text,
        size=len(text.encode()),
        at=START,
    )


def a_point(job: Job, line: int, value: float, name: str = "loss") -> Point:
    return Point(
        allocation_id=AllocationId(f"{job.id}-1"),
        job_id=job.id,
        line=line,
        name=name,
        step=float(line),
        value=value,
        at=START,
    )


def leased(store: Store, job: Job | None = None, *, site: SiteId = SITE) -> tuple[Job, Allocation]:
    """A job that the store holds with a live lease."""
    fresh = job or a_job()
    store.add_jobs([fresh], [])
    step = leasing(fresh, site=site)
    assert store.apply([step]) == frozenset()
    assert step.allocation is not None
    return step.job, step.allocation


def every_page(read: Callable[[str | None], tuple[Sequence[P], str | None]]) -> list[P]:
    """All pages, one after the other; fails where they do not come to an end."""
    found: list[P] = []
    cursor: str | None = None
    for _ in range(1000):
        page, cursor = read(cursor)
        found += page
        if cursor is None:
            return found
        assert page, "a page with a successor is not empty"
    raise AssertionError("the pages do not end")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The answers of `calls`, each on a thread of its own, started together."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        gate.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


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
        assert early.ready_at is not None
        assert twin.ready_at is not None
        assert [job.id for job in store.queued(10, (early.ready_at, early.id))] == [twin.id, late.id]
        assert [job.id for job in store.queued(1, (twin.ready_at, twin.id))] == [late.id]

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
        assert store.bill_lines(BillQuery(), None, 10) == (list(end.bill_lines), None)
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
        store.apply([ending(job, allocation)])
        assert store.held()[SITE].allocations == 2


class KeepingSites:
    def test_a_site_comes_back_as_it_was_given(self, store: Store) -> None:
        site = replace(
            a_site(),
            state=SiteState.SUSPECT,
            open=False,
            session=3,
            seen_at=after(1),
            measured=Measured(cores=256, memory_gb=2048.0, devices={"ascend-910b": 31}, observed_at=after(1)),
            clock_offset_s=-0.25,
            warnings=("一块卡不可用",),
        )
        store.add_site(site, [an_event("site.added")])
        store.add_site(a_site("aaa"), [])
        assert store.site(site.id) == site
        assert store.site(SiteId("none")) is None
        assert [found.id for found in store.sites()] == ["aaa", "guian"]
        assert [event.kind for event in store.events(0, 10)] == ["site.added"]

    def test_a_taken_identifier_is_a_conflict(self, store: Store) -> None:
        store.add_site(a_site(), [])
        with pytest.raises(Conflict):
            store.add_site(a_site(), [an_event("site.added")])
        assert store.last_seq() == 0

    def test_a_site_is_replaced_under_its_revision(self, store: Store) -> None:
        site = a_site()
        store.add_site(site, [])
        changed = replace(site, open=False, revision=1)
        store.put_site(changed, [an_event("site.closed")])
        assert store.site(site.id) == changed
        for stale in (changed, replace(site, revision=3), a_site("unknown")):
            with pytest.raises(Conflict):
                store.put_site(stale, [an_event("site.opened")])
        assert store.site(site.id) == changed
        assert [event.kind for event in store.events(0, 10)] == ["site.closed"]

    def test_the_newest_sample_of_each_kind_is_kept(self, store: Store) -> None:
        def sample(metric: str, value: float, at_s: float, source: Source = Source.MEASURED) -> Sample:
            return Sample(
                metric_type=metric,
                unit="1",
                value=value,
                source=source,
                statistic="instant",
                observed_at=after(at_s),
            )

        store.add_samples(SITE, [sample("b", 1.0, 1), sample("a", 2.0, 2), sample("a", 3.0, 5), sample("a", 4.0, 3)])
        store.add_samples(SITE, [sample("b", 5.0, 0), sample("a", 6.0, 5), sample("a", 7.0, 1, Source.SOLD)])
        store.add_samples(SiteId("wuhu"), [sample("a", 8.0, 1)])
        store.add_samples(SITE, [])
        assert [(found.metric_type, found.source, found.value) for found in store.samples(SITE)] == [
            ("a", Source.MEASURED, 6.0),
            ("a", Source.SOLD, 7.0),
            ("b", Source.MEASURED, 1.0),
        ]


class KeepingOutput:
    def test_streams_grow_without_gap_or_repetition(self, store: Store) -> None:
        job = a_job()
        first, second = a_chunk(job, 0, "一\n"), a_chunk(job, 4, "two\n")
        store.add_output([first], [])
        store.add_output([first, a_chunk(job, 9, "gap"), second], [])
        store.add_output([a_chunk(job, 0, "oops", "stderr")], [])
        assert [chunk for _, chunk in store.logs(job.id, 0, 10)] == [first, second, a_chunk(job, 0, "oops", "stderr")]
        key = first.allocation_id
        assert store.extents([key, AllocationId("none")]) == {
            key: Extent(stdout=8, stderr=4),
            AllocationId("none"): Extent(),
        }

    def test_logs_are_followed_by_sequence(self, store: Store) -> None:
        job, other = a_job(), a_job()
        for number in range(4):
            store.add_output([a_chunk(job, number, "x"), a_chunk(other, number, "y")], [])
        first = store.logs(job.id, 0, 3)
        rest = store.logs(job.id, first[-1][0], 3)
        numbers = [seq for seq, _ in (*first, *rest)]
        assert numbers == sorted(set(numbers))
        assert [chunk.offset for _, chunk in (*first, *rest)] == [0, 1, 2, 3]
        assert {chunk.text for _, chunk in (*first, *rest)} == {"x"}

    def test_points_arrive_once(self, store: Store) -> None:
        job = a_job()
        store.add_output([], [a_point(job, 1, 0.5), a_point(job, 1, 0.9, "accuracy"), a_point(job, 2, 0.25)])
        store.add_output([], [a_point(job, 2, 99.0), a_point(job, 3, 0.125)])
        found = store.points(job.id)
        assert [(point.line, point.name, point.value) for point in found] == [
            (1, "loss", 0.5),
            (1, "accuracy", 0.9),
            (2, "loss", 0.25),
            (3, "loss", 0.125),
        ]
        assert store.extents([found[0].allocation_id])[found[0].allocation_id] == Extent(points=3)

    def test_of_writers_at_once_each_byte_has_one(self, store: Store) -> None:
        job = a_job()
        at_once([lambda: store.add_output([a_chunk(job, n, "x") for n in range(20)], []) for _ in range(6)])
        assert [chunk.offset for _, chunk in store.logs(job.id, 0, 99)] == list(range(20))


class KeepingTheRecord:
    def test_events_are_numbered_upwards_and_filtered(self, store: Store) -> None:
        job = replace(a_job(), site_id=SITE)
        other = replace(a_job(), project=ProjectId("other"))
        store.append_events([an_event("job.submitted", job, task="训练"), an_event("job.submitted", other)])
        store.append_events([an_event("site.lost"), an_event("job.ended", job)])
        every = store.events(0, 10)
        numbers = [event.seq for event in every]
        assert numbers == sorted(set(numbers))
        assert min(numbers) > 0
        assert store.last_seq() == numbers[-1]
        assert every[0] == replace(an_event("job.submitted", job, task="训练"), seq=numbers[0])
        assert [event.seq for event in store.events(numbers[1], 10)] == numbers[2:]
        assert [event.seq for event in store.events(0, 1)] == numbers[:1]

        def numbered(**filters: object) -> list[int]:
            return [numbers.index(event.seq) for event in store.events(0, 10, **filters)]  # type: ignore[arg-type]

        assert numbered(projects=[PROJECT]) == [0, 3]
        assert numbered(projects=[]) == []
        assert numbered(job_id=other.id) == [1]
        assert numbered(site_id=SITE) == [0, 2, 3]
        assert numbered(kind="job.") == [0, 1, 3]
        assert numbered(kind="site.") == [2]
        assert numbered(kind="j") == [0, 1, 3]
        assert numbered(kind="job.e", projects=[PROJECT]) == [3]
        assert numbered(kind="") == [0, 1, 2, 3]

    def test_an_empty_record_ends_at_zero(self, store: Store) -> None:
        store.append_events([])
        assert store.last_seq() == 0

    def test_bills_are_paged_filtered_and_summed(self, store: Store) -> None:
        lines: list[BillLine] = []
        for number in range(5):
            job = replace(a_job(), project=ProjectId("other") if number == 4 else PROJECT)
            job, allocation = leased(store, job, site=SiteId("wuhu") if number == 3 else SITE)
            record = a_record(job, allocation, start_s=number * 100)
            line = a_line(record, provider="芜湖" if number == 3 else "贵安算力", fen=10 + number)
            moved = replace(job, state=JobState.RUNNING, revision=job.revision + 1)
            store.apply([Step(job=moved, usage=(record,), bill_lines=(line,))])
            lines.append(line)
        newest_first = list(reversed(lines))
        assert every_page(lambda cursor: store.bill_lines(BillQuery(), cursor, 2)) == newest_first

        def chosen(query: BillQuery) -> list[int]:
            return [lines.index(line) for line in store.bill_lines(query, None, 10)[0]]

        assert chosen(BillQuery(projects=[PROJECT])) == [3, 2, 1, 0]
        assert chosen(BillQuery(projects=[])) == []
        assert chosen(BillQuery(job_id=lines[1].job_id)) == [1]
        assert chosen(BillQuery(site_id=SiteId("wuhu"))) == [3]
        assert chosen(BillQuery(provider="芜湖")) == [3]
        assert chosen(BillQuery(from_at=after(140), to_at=after(300))) == [2], "those that overlap the interval"
        assert store.bill_totals(BillQuery()) == [
            BillTotal(project=PROJECT, provider="芜湖", jobs=1, amount_fen=13, energy_kwh=0.25, carbon_g=120.0),
            BillTotal(project=PROJECT, provider="贵安算力", jobs=3, amount_fen=33, energy_kwh=0.75, carbon_g=360.0),
            BillTotal(
                project=ProjectId("other"),
                provider="贵安算力",
                jobs=1,
                amount_fen=14,
                energy_kwh=0.25,
                carbon_g=120.0,
            ),
        ]
        assert store.bill_totals(BillQuery(job_id=JobId("none"))) == []

    def test_usage_records_come_in_order(self, store: Store) -> None:
        job, allocation = leased(store)
        records = (a_record(job, allocation, 2, start_s=50), a_record(job, allocation, 1, start_s=10))
        store.apply([Step(job=replace(job, revision=job.revision + 1), usage=records)])
        assert store.usage_records(job.id) == [records[1], records[0]]


class KeepingFiles:
    def test_versions_of_a_name_count_up(self, store: Store) -> None:
        first = store.add_file(a_file("model", "a", job_id=JobId("j1"), site_id=SITE))
        second = store.add_file(a_file("model", "b"))
        assert (first.version, second.version) == (1, 2)
        assert first == a_file("model", "a", job_id=JobId("j1"), site_id=SITE, version=1)
        assert store.file(PROJECT, "model") == second
        assert store.file(PROJECT, "none") is None
        assert store.file(ProjectId("other"), "model") is None

    def test_the_same_content_is_the_same_version(self, store: Store) -> None:
        first = store.add_file(a_file("model", "a"))
        store.add_file(a_file("model", "b"))
        assert store.add_file(a_file("model", "a", created_at=after(9))) == first
        assert store.add_file(a_file("model", "a", site_id=SITE)).version == 3, "held elsewhere, it is another"

    def test_pages_hold_the_newest_of_each_name(self, store: Store) -> None:
        for name in ("e", "a", "d", "b", "c"):
            store.add_file(a_file(name, "1"))
        store.add_file(a_file("b", "2"))
        store.add_file(a_file("x", "2", project=ProjectId("other")))
        found = every_page(lambda cursor: store.files(PROJECT, cursor, 2))
        assert [(record.name, record.version) for record in found] == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)]

    def test_readers_of_a_content(self, store: Store) -> None:
        store.add_file(a_file("a", "1"))
        store.add_file(a_file("b", "1", project=ProjectId("other")))
        store.add_file(a_file("a", "2"))
        assert set(store.file_readers("1" * 64)) == {PROJECT, "other"}
        assert set(store.file_readers("9" * 64)) == set()

    def test_of_versions_added_at_once_none_is_doubled(self, store: Store) -> None:
        digits = "0123456789ab"
        kept = at_once([lambda digit=digit: store.add_file(a_file("m", digit)) for digit in digits])  # type: ignore[misc]
        assert sorted(record.version for record in kept) == list(range(1, len(digits) + 1))


class KeepingPeople:
    def test_tokens(self, store: Store) -> None:
        token = Token(
            id="t1",
            digest="d" * 64,
            principal=Principal(name="li", role=Role.USER, projects=(PROJECT,), provider=None, site_id=SITE),
            created_at=START,
            expires_at=after(3600),
            note="笔记本",
        )
        other = replace(token, id="t0", digest="e" * 64)
        store.add_token(token, [an_event("token.added")])
        store.add_token(other, [])
        assert store.token(token.digest) == token
        assert store.token("f" * 64) is None
        assert store.tokens() == [other, token]
        assert store.revoke_token("t1", after(5), [an_event("token.revoked")])
        assert store.token(token.digest) == replace(token, revoked_at=after(5))
        assert store.revoke_token("t1", after(9), []), "revoking again changes nothing"
        assert store.token(token.digest) == replace(token, revoked_at=after(5))
        assert not store.revoke_token("none", after(5), [an_event("token.revoked")])
        assert [event.kind for event in store.events(0, 10)] == ["token.added", "token.revoked"]

    def test_a_digest_belongs_to_one_token(self, store: Store) -> None:
        token = Token(id="t1", digest="d" * 64, principal=Principal(name="li", role=Role.USER), created_at=START)
        store.add_token(token, [])
        with pytest.raises(Conflict) as caught:
            store.add_token(replace(token, id="t2"), [an_event("token.added")])
        assert token.digest not in str(caught.value)
        assert store.tokens() == [token]
        assert store.last_seq() == 0

    def test_projects(self, store: Store) -> None:
        project = Project(id=PROJECT, title="示范", created_at=START)
        store.add_project(project, [an_event("project.added")])
        store.add_project(Project(id=PROJECT, title="again", created_at=after(1)), [an_event("project.added")])
        store.add_project(Project(id=ProjectId("a"), title="", created_at=START), [])
        assert [found.id for found in store.projects()] == ["a", "demo"]
        assert store.projects()[1] == project
        assert len(store.events(0, 10)) == 1


class TellingOutside:
    def test_notices_are_due_until_told(self, store: Store) -> None:
        for _ in range(3):
            job, allocation = leased(store)
            store.apply([ending(job, allocation)])
        first, second, third = store.notices_due(START, 10)
        assert first.id < second.id < third.id
        assert [notice.id for notice in store.notices_due(START, 1)] == [first.id]
        store.notice_done(first.id)
        store.notice_done(first.id)
        store.notice_failed(second.id, after(60))
        assert [notice.id for notice in store.notices_due(after(59), 10)] == [third.id]
        assert [(notice.id, notice.attempts) for notice in store.notices_due(after(60), 10)] == [
            (second.id, 1),
            (third.id, 0),
        ]

    def test_a_turn_is_taken(self, store: Store) -> None:
        for _ in range(2):
            with store.turn("plan") as mine:
                assert mine


class StoreContract(
    AddingJobs,
    ReadingJobs,
    Applying,
    Leasing,
    KeepingSites,
    KeepingOutput,
    KeepingTheRecord,
    KeepingFiles,
    KeepingPeople,
    TellingOutside,
):
    """Everything. The fixture `store` gives an empty one."""
