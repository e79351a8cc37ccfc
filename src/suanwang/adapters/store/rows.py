"""Domain values to rows and back.

Owns the column lists that statements use and the order of values in them. Every text from outside is cleaned here,
once. Knows nothing of connections or statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from suanwang.adapters.store.codec import Codec, clean, dump_free, load_free
from suanwang.domain.connector import RunState
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.identity import Principal, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    AllocationState,
    BillLine,
    Event,
    Hold,
    Job,
    LogChunk,
    Point,
    Ran,
    Usage,
    UsageRecord,
    Why,
)
from suanwang.domain.job import Terms as QuoteTerms
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.pricing import PriceList, Pricing
from suanwang.domain.quote import Quote, Taught
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Measured, Offering, Price, Shortfall, Site
from suanwang.domain.task import Task
from suanwang.measuring.calibration import Belief

Row: TypeAlias = Sequence[Any]

PRICING: Codec[Pricing] = Codec(Pricing, shared=True)
PRICE_LIST: Codec[PriceList] = Codec(PriceList)
TASK: Codec[Task] = Codec(Task, shared=True)
WHY: Codec[Why] = Codec(Why, shared=True)
HOLD: Codec[Hold] = Codec(Hold)
USAGE: Codec[Usage] = Codec(Usage)
CONTENT: Codec[Content] = Codec(Content)
JOB_TERMS: Codec[QuoteTerms] = Codec(QuoteTerms, shared=True)
QUOTE: Codec[Quote] = Codec(Quote)
TAUGHT: Codec[Taught] = Codec(Taught)
BELIEF: Codec[Belief] = Codec(Belief)
SHORTFALLS: Codec[tuple[Shortfall, ...]] = Codec(tuple[Shortfall, ...])
SITE_IDS: Codec[tuple[SiteId, ...]] = Codec(tuple[SiteId, ...])
TEXTS: Codec[tuple[str, ...]] = Codec(tuple[str, ...])
OFFERING: Codec[Offering] = Codec(Offering, shared=True)
MEASURED: Codec[Measured] = Codec(Measured)
PRINCIPAL: Codec[Principal] = Codec(Principal)

NO_USAGE = Usage()


# jobs
JOB_CHANGING: Mapping[str, str] = {
    "revision": "int4",
    "state": "text",
    "epoch": "int4",
    "allocation_id": "text",
    "site_id": "text",
    "attempts": "int4",
    "preemptions": "int4",
    "ready_at": "timestamptz",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "reason": "text",
    "exit_code": "int4",
    "checkpoint": "json",
    "checkpoint_site": "text",
    "held_at": "text",
    "avoided": "json",
    "billed_fen": "int8",
    "usage": "json",
    "why": "json",
    "hold": "json",
    "hold_site": "text",
    "hold_until": "timestamptz",
}
"""Columns a step may change, with the type an array of them is cast to."""

JOB_FIXED = (
    "id",
    "project",
    "owner",
    "name",
    "array_id",
    "array_index",
    "needs",
    "submitted_at",
    "priority",
    "terms",
    "task",
)
JOB_COLUMNS = (*JOB_FIXED, *JOB_CHANGING)


def job_changing(job: Job) -> list[Any]:
    """Values for `JOB_CHANGING`."""
    return [
        job.revision,
        job.state.value,
        job.epoch,
        job.allocation_id,
        job.site_id,
        job.attempts,
        job.preemptions,
        job.ready_at,
        job.started_at,
        job.ended_at,
        clean(job.reason),
        job.exit_code,
        CONTENT.dump_or_none(job.checkpoint),
        job.checkpoint_site,
        job.held_at,
        SITE_IDS.dump(job.avoided) if job.avoided else None,
        job.billed_fen,
        None if job.usage == NO_USAGE else USAGE.dump(job.usage),
        WHY.dump_or_none(job.why),
        HOLD.dump_or_none(job.hold),
        None if job.hold is None else job.hold.expect.site,
        None if job.hold is None else job.hold.asleep_until,
    ]


def job_row(job: Job) -> list[Any]:
    """Values for `JOB_COLUMNS`."""
    return [
        job.id,
        job.project,
        clean(job.owner),
        clean(job.task.name),
        job.array_id,
        job.array_index,
        list(job.needs),
        job.submitted_at,
        job.task.priority.rank,
        JOB_TERMS.dump_or_none(job.terms),
        TASK.dump(job.task),
        *job_changing(job),
    ]


def job_from(row: Row) -> Job:
    """A job from `JOB_COLUMNS`."""
    (
        job_id,
        project,
        owner,
        _name,
        array_id,
        array_index,
        needs,
        submitted_at,
        _priority,
        terms,
        task,
        revision,
        state,
        epoch,
        allocation_id,
        site_id,
        attempts,
        preemptions,
        ready_at,
        started_at,
        ended_at,
        reason,
        exit_code,
        checkpoint,
        checkpoint_site,
        held_at,
        avoided,
        billed_fen,
        usage,
        why,
        hold,
        _hold_site,
        _hold_until,
    ) = row
    return Job(
        id=job_id,
        project=project,
        owner=owner,
        task=TASK.load(task),
        state=JobState(state),
        submitted_at=submitted_at,
        needs=tuple(needs),
        array_id=array_id,
        array_index=array_index,
        epoch=epoch,
        allocation_id=allocation_id,
        site_id=site_id,
        attempts=attempts,
        preemptions=preemptions,
        ready_at=ready_at,
        started_at=started_at,
        ended_at=ended_at,
        reason=reason,
        exit_code=exit_code,
        checkpoint=None if checkpoint is None else CONTENT.load(checkpoint),
        checkpoint_site=checkpoint_site,
        held_at=held_at,
        avoided=() if avoided is None else SITE_IDS.load(avoided),
        billed_fen=billed_fen,
        usage=NO_USAGE if usage is None else USAGE.load(usage),
        why=None if why is None else WHY.load(why),
        terms=None if terms is None else JOB_TERMS.load(terms),
        hold=None if hold is None else HOLD.load(hold),
        revision=revision,
    )


# allocations
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an allocation was granted under; never changes."""

    granted_at: datetime
    price: Price
    pue: float
    carbon_g_per_kwh: float
    power_kw: float
    carbon_daily: tuple[float, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an allocation has come to."""

    native_id: str | None = None
    phase: str = ""
    started_at: datetime | None = None
    ends_by: datetime | None = None
    ended_at: datetime | None = None
    metered_until: datetime | None = None
    records: int = 0
    seen_from: datetime | None = None
    outcome: RunState | None = None
    exit_code: int | None = None
    reason: str = ""
    cpu_s: float | None = None
    max_memory_gb: float | None = None
    nodes: tuple[str, ...] = ()
    usage: Usage = NO_USAGE


def ran_of(known: Progress) -> Ran:
    return Ran(
        native_id=known.native_id,
        outcome=known.outcome,
        exit_code=known.exit_code,
        cpu_s=known.cpu_s,
        nodes=known.nodes,
        records=known.records,
    )


TERMS: Codec[Terms] = Codec(Terms, shared=True)
PROGRESS: Codec[Progress] = Codec(Progress, shared=True)

ALLOCATION_COLUMNS: Mapping[str, str] = {
    "id": "text",
    "job_id": "text",
    "site_id": "text",
    "epoch": "int4",
    "state": "text",
    "lease_until": "timestamptz",
    "ends_at": "timestamptz",
    "device_model": "text",
    "cores": "int4",
    "memory_gb": "float8",
    "devices": "int4",
    "progress": "json",
}

NO_PROGRESS = Progress()


def ends_at(allocation: Allocation, task: Task) -> datetime:
    """When its run is over at the latest, as far as is known."""
    last = (allocation.started_at or allocation.granted_at) + timedelta(seconds=task.resources.time_limit_s)
    return last if allocation.ends_by is None else min(last, allocation.ends_by)


def allocation_row(allocation: Allocation, task: Task) -> list[Any]:
    """Values for `ALLOCATION_COLUMNS`, all that may change; the sums come from the task of the allocation's job."""
    resources = task.resources
    devices = resources.devices
    return [
        allocation.id,
        allocation.job_id,
        allocation.site_id,
        allocation.epoch,
        allocation.state.value,
        allocation.lease_until,
        ends_at(allocation, task),
        allocation.device_model,
        task.nodes * resources.cores,
        task.nodes * resources.memory_gb,
        0 if devices is None else task.nodes * devices.count,
        _progress(allocation),
    ]


TERMS_COLUMNS = ("allocation_id", "terms", "why")


def terms_row(allocation: Allocation) -> tuple[Any, ...]:
    """Values for `TERMS_COLUMNS`."""
    terms = Terms(
        granted_at=allocation.granted_at,
        price=allocation.price,
        pue=allocation.pue,
        carbon_g_per_kwh=allocation.carbon_g_per_kwh,
        power_kw=allocation.power_kw,
        carbon_daily=allocation.carbon_daily,
        owners=allocation.owners,
    )
    return (allocation.id, TERMS.dump(terms), WHY.dump(allocation.why))


def _progress(allocation: Allocation) -> str | None:
    progress = Progress(
        native_id=allocation.native_id,
        phase=allocation.phase,
        started_at=allocation.started_at,
        ends_by=allocation.ends_by,
        ended_at=allocation.ended_at,
        metered_until=allocation.metered_until,
        records=allocation.records,
        seen_from=allocation.seen_from,
        outcome=allocation.outcome,
        exit_code=allocation.exit_code,
        reason=allocation.reason,
        cpu_s=allocation.cpu_s,
        max_memory_gb=allocation.max_memory_gb,
        nodes=allocation.nodes,
        usage=allocation.usage,
    )
    return None if progress == NO_PROGRESS else PROGRESS.dump(progress)


ALLOCATION_READ = (
    "id",
    "job_id",
    "site_id",
    "epoch",
    "state",
    "lease_until",
    "device_model",
    "terms",
    "why",
    "progress",
)


def allocation_from(row: Row) -> Allocation:
    """An allocation from `ALLOCATION_READ`, columns of the view `granted`."""
    allocation_id, job_id, site_id, epoch, state, lease_until, device_model, terms_text, why, progress_text = row
    terms = TERMS.load(terms_text)
    progress = NO_PROGRESS if progress_text is None else PROGRESS.load(progress_text)
    return Allocation(
        id=allocation_id,
        job_id=job_id,
        site_id=site_id,
        epoch=epoch,
        state=AllocationState(state),
        granted_at=terms.granted_at,
        lease_until=lease_until,
        device_model=device_model,
        price=terms.price,
        pue=terms.pue,
        carbon_g_per_kwh=terms.carbon_g_per_kwh,
        carbon_daily=terms.carbon_daily,
        owners=terms.owners,
        power_kw=terms.power_kw,
        why=WHY.load(why),
        native_id=progress.native_id,
        phase=progress.phase,
        started_at=progress.started_at,
        ends_by=progress.ends_by,
        ended_at=progress.ended_at,
        metered_until=progress.metered_until,
        records=progress.records,
        seen_from=progress.seen_from,
        outcome=progress.outcome,
        exit_code=progress.exit_code,
        reason=progress.reason,
        cpu_s=progress.cpu_s,
        max_memory_gb=progress.max_memory_gb,
        nodes=progress.nodes,
        usage=progress.usage,
    )


# events, usage, bills
EVENT_COLUMNS = ("seq", "kind", "at", "project", "job_id", "site_id", "actor", "data")


def event_rows(events: Iterable[Event], first_seq: int) -> Iterable[tuple[Any, ...]]:
    """Values for `EVENT_COLUMNS`, numbered upwards from `first_seq`."""
    for seq, event in enumerate(events, first_seq):
        yield (
            seq,
            clean(event.kind),
            event.at,
            event.project,
            event.job_id,
            event.site_id,
            clean(event.actor),
            dump_free(event.data) if event.data else None,
        )


def event_from(row: Row) -> Event:
    """An event from `EVENT_COLUMNS`."""
    seq, kind, at, project, job_id, site_id, actor, data = row
    return Event(
        seq=seq,
        kind=kind,
        at=at,
        project=project,
        job_id=job_id,
        site_id=site_id,
        actor=actor,
        data={} if data is None else load_free(data),
    )


USAGE_COLUMNS = tuple(item.name for item in fields(UsageRecord))
BILL_COLUMNS = tuple(item.name for item in fields(BillLine))


def usage_row(record: UsageRecord) -> tuple[Any, ...]:
    """Values for `USAGE_COLUMNS`."""
    return tuple(getattr(record, name) for name in USAGE_COLUMNS)


def usage_from(row: Row) -> UsageRecord:
    """A usage record from `USAGE_COLUMNS`."""
    return UsageRecord(**dict(zip(USAGE_COLUMNS, row, strict=True)))


def bill_row(line: BillLine) -> tuple[Any, ...]:
    """Values for `BILL_COLUMNS`."""
    return (
        line.usage_id,
        line.project,
        line.job_id,
        line.site_id,
        clean(line.provider),
        line.from_at,
        line.to_at,
        clean(line.description),
        line.rated_yuan,
        line.amount_fen,
        line.tally_yuan,
        PRICING.dump_or_none(line.pricing),
    )


def bill_from(row: Row) -> BillLine:
    """A bill line from `BILL_COLUMNS`."""
    *plain, pricing = row
    return BillLine(**dict(zip(BILL_COLUMNS, plain, strict=False)), pricing=PRICING.load_or_none(pricing))


# sites
SITE_COLUMNS = (
    "id",
    "revision",
    "state",
    "state_since",
    "open",
    "session",
    "seen_at",
    "clock_offset_s",
    "warnings",
    "measured",
    "shortfalls",
    "offering",
)


def site_row(site: Site) -> tuple[Any, ...]:
    """Values for `SITE_COLUMNS`."""
    return (
        site.id,
        site.revision,
        site.state.value,
        site.state_since,
        site.open,
        site.session,
        site.seen_at,
        site.clock_offset_s,
        TEXTS.dump(site.warnings) if site.warnings else None,
        MEASURED.dump_or_none(site.measured),
        SHORTFALLS.dump(site.shortfalls) if site.shortfalls else None,
        OFFERING.dump(site.offering),
    )


def site_from(row: Row) -> Site:
    """A site from `SITE_COLUMNS`."""
    site_id, revision, state, since, is_open, session, seen_at, offset, warnings, measured, shortfalls, offering = row
    return Site(
        id=site_id,
        revision=revision,
        state=SiteState(state),
        state_since=since,
        open=is_open,
        session=session,
        seen_at=seen_at,
        clock_offset_s=offset,
        warnings=() if warnings is None else TEXTS.load(warnings),
        measured=MEASURED.load_or_none(measured),
        shortfalls=() if shortfalls is None else SHORTFALLS.load(shortfalls),
        offering=OFFERING.load(offering),
    )


SAMPLE_COLUMNS = tuple(item.name for item in fields(Sample))


def sample_row(site_id: SiteId, sample: Sample) -> tuple[Any, ...]:
    """The site, then values for `SAMPLE_COLUMNS`."""
    return (
        site_id,
        clean(sample.metric_type),
        clean(sample.unit),
        sample.value,
        sample.source.value,
        clean(sample.statistic),
        sample.observed_at,
    )


def sample_from(row: Row) -> Sample:
    """A sample from `SAMPLE_COLUMNS`."""
    metric_type, unit, value, source, statistic, observed_at = row
    return Sample(
        metric_type=metric_type,
        unit=unit,
        value=value,
        source=Source(source),
        statistic=statistic,
        observed_at=observed_at,
    )


# output
LOG_COLUMNS = ("job_id", "allocation_id", "stream", "start", "size", "at", "text")
POINT_COLUMNS = ("job_id", "allocation_id", "line", "name", "step", "value", "at")


def log_row(chunk: LogChunk) -> tuple[Any, ...]:
    """Values for `LOG_COLUMNS`."""
    return (
        chunk.job_id,
        chunk.allocation_id,
        chunk.stream,
        chunk.offset,
        chunk.size,
        chunk.at,
        clean(chunk.text),
    )


def log_from(row: Row) -> LogChunk:
    """A chunk from `LOG_COLUMNS`."""
    job_id, allocation_id, stream, start, size, at, text = row
    return LogChunk(
        job_id=JobId(job_id),
        allocation_id=AllocationId(allocation_id),
        stream=stream,
        offset=start,
        size=size,
        at=at,
        text=text,
    )


def point_row(point: Point) -> tuple[Any, ...]:
    """Values for `POINT_COLUMNS`."""
    return (
        point.job_id,
        point.allocation_id,
        point.line,
        clean(point.name),
        point.step,
        point.value,
        point.at,
    )


def point_from(row: Row) -> Point:
    """A point from `POINT_COLUMNS`."""
    return Point(**dict(zip(POINT_COLUMNS, row, strict=True)))


# files and people
FILE_COLUMNS = (
    "project",
    "name",
    "version",
    "sha256",
    "size",
    "folder",
    "job_id",
    "site_id",
    "residency",
    "created_at",
)


def file_row(record: FileRecord) -> tuple[Any, ...]:
    """Values for `FILE_COLUMNS`."""
    return (
        record.project,
        clean(record.name),
        record.version,
        record.content.sha256,
        record.content.size,
        record.content.folder,
        record.job_id,
        record.site_id,
        [clean(place) for place in record.residency],
        record.created_at,
    )


def file_from(row: Row) -> FileRecord:
    """A file record from `FILE_COLUMNS`."""
    project, name, version, sha256, size, folder, job_id, site_id, residency, created_at = row
    return FileRecord(
        project=ProjectId(project),
        name=name,
        version=version,
        content=Content(sha256=sha256, size=size, folder=folder),
        job_id=job_id,
        site_id=site_id,
        residency=tuple(residency),
        created_at=created_at,
    )


TOKEN_COLUMNS = ("id", "digest", "principal", "created_at", "expires_at", "revoked_at", "note")


def token_row(token: Token) -> tuple[Any, ...]:
    """Values for `TOKEN_COLUMNS`."""
    return (
        token.id,
        token.digest,
        PRINCIPAL.dump(token.principal),
        token.created_at,
        token.expires_at,
        token.revoked_at,
        clean(token.note),
    )


def token_from(row: Row) -> Token:
    """A token from `TOKEN_COLUMNS`."""
    values = dict(zip(TOKEN_COLUMNS, row, strict=True))
    values["principal"] = PRINCIPAL.load(values["principal"])
    return Token(**values)


def listed(columns: Iterable[str], prefix: str = "") -> str:
    """Column names for a statement, each with `prefix` before it."""
    return ", ".join(f'{prefix}"{column}"' for column in columns)
