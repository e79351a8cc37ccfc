"""The values that tests of stores are written in: small, whole, and different from each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TypeVar

from suanwang.domain.connector import RunState
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    AllocationState,
    BillLine,
    Event,
    Exclusion,
    Figures,
    Hold,
    Job,
    LogChunk,
    Point,
    Rank,
    Step,
    UsageRecord,
    Why,
)
from suanwang.domain.lifecycle import JobState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.pricing import Formula, Kind, Pricing, Taken
from suanwang.domain.site import Dataset, DevicePool, Offering, Price, Site
from suanwang.domain.task import Checkpoint, Circle, Constraints, DeviceRequest, Input, Output, Resources, Task
from suanwang.ports import Store

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


def a_hold(*, site: SiteId = SITE, until_s: float = 1800) -> Hold:
    figures = Figures(price_yuan=0.5, carbon_g=100.0, energy_kwh=0.5, finish_s=7290.0)
    return Hold(
        expect=Rank(site=site, score=0.75, figures=figures, device_model="ascend-910b"),
        start_at=after(7200),
        until=after(until_s),
        instead=a_why().chosen,
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
        rated_yuan=Decimal(fen).scaleb(-2),
        amount_fen=fen,
        pricing=Pricing(
            version=2,
            core_hour_yuan=Decimal("0.10"),
            memory_gb_hour_yuan=Decimal(0),
            device=Formula(base_yuan=Decimal("2.50"), factor=Decimal("1.5"), cap_yuan=Decimal(9)),
            yuan_per_kwh=Decimal("0.4321"),
            kw=Decimal("0.36"),
            taken=(Taken(name="华为", kind=Kind.BRAND, percent=Decimal("2.5"), device_only=True),),
            used_us=2**53 + 1,
        ),
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
