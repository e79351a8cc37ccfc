"""The network's side of an agent's call: believe what is checked, answer which leases stand.

Owns the handling of reports. Lost, late and doubled calls are harmless: a report is a statement of the present, steps
are guarded by the job's revision, and whatever names a lease that is not the sender's own is answered with `fenced`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.billing.meters import Written, compare, corrected
from suanwang.control.billing.volumes import Volumes
from suanwang.control.contracts.listed import hold_uses
from suanwang.control.leasing import lease_in_full, output_name
from suanwang.control.rules import Rules
from suanwang.control.standing import judged
from suanwang.control.steps import asked_to_end, changes, end, progress
from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.exchange import Known, Lease, Phase, RunReport, SiteReport, SyncReply, SyncRequest
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import AllocationId, SiteId
from suanwang.domain.job import Allocation, Event, Job, LogChunk, Point, Step
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.sample import Sample
from suanwang.domain.site import Measured, Site
from suanwang.ports import BillQuery, Extent, Store

YEARS = range(1970, 2200)
STREAMS = ("stdout", "stderr")
_CHARGES = 1000
TRIES = 5
"""Rereads when another replica moved the same rows first."""


@dataclass(slots=True)
class _Outcome:
    ended: list[AllocationId]
    fenced: list[AllocationId]
    alive: list[AllocationId]


def begin_session(store: Store, site_id: SiteId, now: datetime) -> int:
    """A new boot of the site's agent: its number, from which on older ones are refused. Raises `Conflict` under contention."""
    for _ in range(TRIES):
        site = _site(store, site_id)
        moved = replace(site, session=site.session + 1, clock_offset_s=None, revision=site.revision + 1)
        try:
            store.put_site(moved, (Event(kind="site.session", at=now, site_id=site_id, data={"n": moved.session}),))
        except Conflict:
            continue
        return moved.session
    raise Conflict(f"site {site_id} is being changed by others; try again")


def sync(store: Store, rules: Rules, site_id: SiteId, request: SyncRequest, now: datetime) -> SyncReply:
    """Take an agent's report and answer it. Raises `Conflict` for an old session, `InvalidRequest` for nonsense."""
    check(request)
    site, samples = _hear(store, rules, site_id, request, now)
    offset = timedelta(seconds=site.clock_offset_s or 0.0)
    live = {allocation.id: (job, allocation) for job, allocation in store.live_at(site_id)}
    outcome = _Outcome([], [], [])
    _take_reports(store, rules, site, request, live, offset, now, outcome)
    if samples:
        store.add_samples(site_id, samples)
    reported = {run.allocation_id for run in request.runs}
    mine = [key for key in live if key not in outcome.ended and key not in outcome.fenced]
    store.renew(mine, now + rules.lease)
    start = _starts(store, rules, site, [live[key] for key in mine if key not in reported], now)
    extents = store.extents(outcome.alive)
    return SyncReply(
        now=now,
        lease_ttl_s=rules.lease_ttl_s,
        known=tuple(_known(live[key], extents[key], now) for key in outcome.alive if key in live),
        start=tuple(start),
        ended=tuple(outcome.ended),
        fenced=tuple(outcome.fenced),
    )


def check(request: SyncRequest) -> None:
    """Raises `InvalidRequest` naming the field for figures no honest agent sends."""
    report = request.site
    if report is not None:
        _check_capacity(report)
    _check_instant(request.sent_at, "sent_at")
    seen: set[AllocationId] = set()
    for index, run in enumerate(request.runs):
        field = f"runs[{index}]"
        if run.allocation_id in seen:
            raise InvalidRequest("an allocation is reported twice", field=f"{field}.allocation_id", allowed="once each")
        seen.add(run.allocation_id)
        if run.phase is Phase.ENDED and (run.outcome is None or not run.outcome.ended):
            raise InvalidRequest("an ended run needs an outcome", field=f"{field}.outcome", allowed="an end state")
        if run.started_at and run.ended_at and run.ended_at < run.started_at:
            raise InvalidRequest("a run ended before it started", field=f"{field}.ended_at", allowed="≥ started_at")
        for name in ("started_at", "seen_from", "seen_at", "ended_at"):
            _check_instant(getattr(run, name), f"{field}.{name}")
        _check_output(run, field)
    for index, sample in enumerate(request.samples):
        _check_instant(sample.observed_at, f"samples[{index}].observed_at")
        if not math.isfinite(sample.value):
            raise InvalidRequest("a sample is no number", field=f"samples[{index}].value", allowed="a finite number")


def _check_instant(instant: datetime | None, field: str) -> None:
    """A clock that was never set shows 1970; one that shows more is no clock, and its offset would leave the calendar."""
    if instant is not None and (instant.tzinfo is None or instant.year not in YEARS):
        raise InvalidRequest(
            f"{instant.isoformat()} is no instant of a running site",
            field=field,
            allowed=f"with its offset from UTC, in the years {YEARS[0]} to {YEARS[-1]}",
        )


def _check_output(run: RunReport, field: str) -> None:
    for piece in run.logs:
        # A byte becomes one character at most, so a longer text would grow the log without moving its end.
        if piece.stream not in STREAMS or piece.offset < 0 or not len(piece.text) <= piece.size or piece.size <= 0:
            raise InvalidRequest(
                "a piece of output is not possible",
                field=f"{field}.logs",
                allowed="stdout or stderr, an offset from 0, and no more characters than bytes",
            )
    for point in run.points:
        if point.line < 1 or not (math.isfinite(point.value) and math.isfinite(point.step)):
            raise InvalidRequest(
                "a curve has a figure that is no number", field=f"{field}.points", allowed="finite, lines from 1"
            )


def _check_capacity(report: SiteReport) -> None:
    figures = {
        "cores": report.cores,
        "memory_gb": report.memory_gb,
        "foreign_cores": report.foreign_cores,
        "foreign_memory_gb": report.foreign_memory_gb,
        **{f"devices.{name}": count for name, count in report.devices.items()},
        **{f"foreign_devices.{name}": count for name, count in report.foreign_devices.items()},
    }
    for name, value in figures.items():
        if not 0 <= value <= 1e9:
            raise InvalidRequest(f"{value!r} is no capacity", field=f"site.{name}", allowed="0 to 1,000,000,000")


def _site(store: Store, site_id: SiteId) -> Site:
    site = store.site(site_id)
    if site is None:
        raise InvalidRequest(f"no site {site_id!r}", field="site", allowed="the site of the credential")
    return site


def _hear(
    store: Store, rules: Rules, site_id: SiteId, request: SyncRequest, now: datetime
) -> tuple[Site, tuple[Sample, ...]]:
    """Note that the site spoke, what it has, and which of its samples can be believed.

    A busy row is tried again; hearing twice does no harm.
    """
    for _ in range(TRIES):
        site = _site(store, site_id)
        if request.session != site.session:
            raise Conflict(
                f"session {request.session} of {site_id} is over (now {site.session}): another agent joined for this site",
                field="session",
                allowed=str(site.session),
            )
        moved = _heard(site, rules, request, now)
        offset = timedelta(seconds=moved.clock_offset_s or 0.0)
        heard = [_in_time(sample, offset, now) for sample in request.samples]
        moved, samples = judged(moved, heard, now, told=site.warnings)
        events: tuple[Event, ...] = ()
        if moved.state is not site.state:
            events = (Event(kind=f"site.{moved.state}", at=now, site_id=site_id, data={"was": site.state}),)
        try:
            store.put_site(moved, events, unhold=moved.state is SiteState.LOST)
        except Conflict:
            continue
        return moved, samples
    raise Conflict(f"site {site_id} is being changed by others; try again")


def _heard(site: Site, rules: Rules, request: SyncRequest, now: datetime) -> Site:
    offset = _offset(site, rules, (now - request.sent_at).total_seconds())
    warnings = list(request.warnings)
    if abs(offset) > rules.clock_tolerance_s:
        warnings.append(f"its clock is off by {offset:.0f} s; times are corrected")
    measured = site.measured
    if request.site is not None:
        report, offer = request.site, site.offering
        declared = {pool.model: pool.count for pool in offer.devices}
        if report.cores > offer.cores or any(n > declared.get(m, 0) for m, n in report.devices.items()):
            warnings.append("it reports more than it declares; only what is declared is used")
        measured = Measured(
            cores=report.cores,
            memory_gb=report.memory_gb,
            devices=report.devices,
            foreign_cores=report.foreign_cores,
            foreign_memory_gb=report.foreign_memory_gb,
            foreign_devices=report.foreign_devices,
            observed_at=now,
        )
    state = SiteState.LOST if request.leaving else SiteState.REACHABLE
    return replace(
        site,
        state=state,
        state_since=site.state_since if state is site.state else now,
        seen_at=now,
        measured=measured,
        clock_offset_s=offset,
        warnings=tuple(warnings),
        revision=site.revision + 1,
    )


def _offset(site: Site, rules: Rules, seen: float) -> float:
    """The agent's clock against ours. A call can only be late, so the least is the truest, unless the clock was set back."""
    known = site.clock_offset_s
    if known is None or seen < known or seen - known > 2 * rules.clock_tolerance_s:
        return round(seen, 3)
    return known


def _take_reports(
    store: Store,
    rules: Rules,
    site: Site,
    request: SyncRequest,
    live: dict[AllocationId, tuple[Job, Allocation]],
    offset: timedelta,
    now: datetime,
    outcome: _Outcome,
) -> None:
    steps: list[Step] = []
    chunks: list[LogChunk] = []
    points: list[Point] = []
    enders: dict[str, AllocationId] = {}
    volumes = Volumes(store, site.id, now)
    for raw in request.runs:
        pair = live.get(raw.allocation_id)
        if pair is None or pair[1].epoch != raw.epoch:
            _answer_unknown(store, site, raw, outcome)
            continue
        job, allocation = pair
        run = _corrected(raw, offset)
        _gather(job, allocation, run, now, rules, chunks, points)
        used_us = volumes.of(job.project, allocation)
        if run.phase is Phase.ENDED:
            _keep_outputs(store, job, allocation, run, now)
            step = _metered_twice(
                store, rules, allocation, run, _end(job, allocation, run, site, now, rules, used_us), now
            )
            volumes.add(step)
            enders[job.id] = allocation.id
            steps.append(step)
            continue
        outcome.alive.append(allocation.id)
        step = progress(job, allocation, run, site, now, every_s=rules.meter_every_s, used_us=used_us)
        volumes.add(step)
        if changes(step, job, allocation):
            steps.append(step)
    store.add_output(chunks, points)
    refused = store.apply(steps) if steps else frozenset()
    # A refused end is neither confirmed nor fenced: the agent tells it again, from a fresh reading here.
    outcome.ended.extend(key for job_id, key in enders.items() if job_id not in refused)
    outcome.alive.extend(key for job_id, key in enders.items() if job_id in refused)


def _answer_unknown(store: Store, site: Site, run: RunReport, outcome: _Outcome) -> None:
    """A run whose lease is not live here: told twice after its end (fine), or no longer this site's (fenced)."""
    stored = store.allocation(run.allocation_id)
    mine = stored is not None and stored.site_id == site.id and stored.epoch == run.epoch
    if mine and stored is not None and stored.outcome is not None and run.phase is Phase.ENDED:
        outcome.ended.append(run.allocation_id)
    else:
        outcome.fenced.append(run.allocation_id)


def _end(
    job: Job,
    allocation: Allocation,
    run: RunReport,
    site: Site,
    now: datetime,
    rules: Rules,
    used_us: Mapping[datetime, int],
) -> Step:
    step = end(job, allocation, run, site, now, every_s=rules.meter_every_s, used_us=used_us)
    if step.job.state is JobState.QUEUED and run.refused:
        step = replace(step, job=replace(step.job, avoided=(*job.avoided, site.id)))
    return step


def _metered_twice(
    store: Store, rules: Rules, allocation: Allocation, run: RunReport, step: Step, now: datetime
) -> Step:
    """The end of a run, with what its agent never saw taken back (`control.billing.meters`)."""
    assert step.allocation is not None, "a run ended"
    found = compare(allocation, step.allocation, run, rules.lost_after_s)
    if found is None:
        return step
    written: list[Written] = []
    cursor: str | None = None
    while True:
        page, cursor = store.charges(BillQuery(job_id=allocation.job_id), cursor, _CHARGES)
        written += [(each.usage, each.line) for each in page if each.usage.allocation_id == allocation.id]
        if cursor is None:
            return corrected(step, found, written, now)


def _corrected(run: RunReport, offset: timedelta) -> RunReport:
    return replace(
        run,
        started_at=run.started_at + offset if run.started_at else None,
        seen_from=run.seen_from + offset if run.seen_from else None,
        seen_at=run.seen_at + offset if run.seen_at else None,
        ended_at=run.ended_at + offset if run.ended_at else None,
    )


def _gather(
    job: Job,
    allocation: Allocation,
    run: RunReport,
    now: datetime,
    rules: Rules,
    chunks: list[LogChunk],
    points: list[Point],
) -> None:
    chunks += (
        LogChunk(
            allocation_id=allocation.id,
            job_id=job.id,
            stream=piece.stream,
            offset=piece.offset,
            text=piece.text,
            size=piece.size,
            at=now,
        )
        for piece in run.logs
        if piece.offset + piece.size <= rules.log_limit
    )
    points += (
        Point(
            allocation_id=allocation.id,
            job_id=job.id,
            line=point.line,
            name=point.name,
            step=point.step,
            value=point.value,
            at=now,
        )
        for point in run.points
        if point.line <= rules.points_limit
    )


def _keep_outputs(store: Store, job: Job, allocation: Allocation, run: RunReport, now: datetime) -> None:
    if run.outcome is not RunState.SUCCEEDED:
        return
    wanted = {output.name for output in job.task.outputs}
    for output in run.outputs:
        if output.name not in wanted:
            continue
        store.add_file(
            FileRecord(
                project=job.project,
                name=output_name(job.id, output.name),
                version=0,
                content=output.content,
                job_id=job.id,
                site_id=allocation.site_id if output.held else None,
                residency=job.task.constraints.residency,
                created_at=now,
            )
        )


def _starts(
    store: Store, rules: Rules, site: Site, pairs: Sequence[tuple[Job, Allocation]], now: datetime
) -> list[Lease]:
    """Leases the request did not mention, in full. One that cannot be made any more ends here.

    Nothing is concluded from the silence: a late copy of an old request knows nothing of newer leases.
    """
    leases: list[Lease] = []
    for job, allocation in pairs:
        try:
            hold_uses(store, rules, job, allocation, now)
            leases.append(lease_in_full(store, job, allocation, site))
        except InvalidRequest as error:
            report = RunReport(
                allocation_id=allocation.id,
                epoch=allocation.epoch,
                phase=Phase.ENDED,
                outcome=RunState.FAILED,
                reason=error.message,
            )
            if not allocation.phase:
                store.apply([end(job, allocation, report, site, now, every_s=rules.meter_every_s)])
    return leases


def _known(pair: tuple[Job, Allocation], extent: Extent, now: datetime) -> Known:
    job, allocation = pair
    return Known(
        allocation_id=allocation.id,
        epoch=allocation.epoch,
        stdout=extent.stdout,
        stderr=extent.stderr,
        points=extent.points,
        cancel=job.state is JobState.CANCELLING,
        notice=job.state is JobState.RUNNING and allocation.ends_by is not None,
        suspend=job.state is JobState.RUNNING and (job.hold is not None or asked_to_end(allocation, now)),
    )


def _in_time(sample: Sample, offset: timedelta, now: datetime) -> Sample:
    return replace(sample, observed_at=min(sample.observed_at + offset, now))
