"""The steps a job can take, each as one value that the store carries out wholly or not at all.

Owns what every move writes: the job, its allocation, the event, the meter, the notice. Knows no store and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.control.billing.metering import Metered, counted, meter
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import RunReport
from suanwang.domain.ids import AllocationId, ProjectId, SiteId
from suanwang.domain.job import Allocation, AllocationState, Event, Hold, Job, Step, Terms
from suanwang.domain.lifecycle import ENDED, JobState, Move, after
from suanwang.domain.pricing import Customer
from suanwang.domain.site import Site
from suanwang.electricity.pricing import bound
from suanwang.scheduling.pausing import Suspend
from suanwang.scheduling.paying import customer
from suanwang.scheduling.plan import Hopeless, Keep, Place, Preempt

OUTCOME_REASONS: Mapping[RunState, str] = {
    RunState.FAILED: "the program ended with status {code}",
    RunState.TIMED_OUT: "the run reached its time limit",
    RunState.OUT_OF_MEMORY: "the run used more memory than it asked for",
    RunState.CANCELLED: "the run was ended at the site",
    RunState.SITE_FAILED: "the site failed the run",
}

NOTHING_USED: Mapping[datetime, int] = {}
SUSPENDED = "its work goes on at a better hour"
NEEDED = "a job of higher priority needs its room"
UNPAID = "the money of {purse} is used up"


def ready(job: Job, held_at: SiteId | None, now: datetime) -> Step:
    """All that the job needs has succeeded."""
    moved = _move(job, Move.READY, ready_at=now, held_at=held_at)
    return Step(job=moved, events=(_event("job.ready", moved, now),))


def fail_unmet(job: Job, reason: str, now: datetime) -> Step:
    """A job it needs did not succeed, or nothing can ever run it any more."""
    moved = _move(job, Move.FAIL, ended_at=now, reason=reason)
    return Step(job=moved, events=(_event("job.failed", moved, now, reason=reason),), notices=_notices(moved))


def hopeless(found: Hopeless, now: datetime) -> Step:
    """No site can run a job that was accepted earlier: the deadline passed, or every site refused it."""
    codes = sorted({exclusion.code for exclusion in found.why.excluded})
    why = f"no site can run it any more ({', '.join(codes) or 'no sites'})"
    step = fail_unmet(found.job, f"{why}; last: {found.job.reason}" if found.job.reason else why, now)
    return replace(step, job=replace(step.job, why=found.why))


def hold(kept: Keep, now: datetime) -> Step:
    """Keep the job for a better hour; it is told where that hour or its site is another than before."""
    job, before = kept.job, kept.job.hold
    moved = replace(job, hold=kept.hold, why=kept.why, revision=job.revision + 1)
    same = before is not None and (before.start_at, before.expect.site) == (kept.hold.start_at, kept.hold.expect.site)
    start = _minute(kept.hold.start_at)
    events = () if same else (_event("job.held", moved, now, site=kept.hold.expect.site, start_at=start),)
    return Step(job=moved, events=events)


def let_go(job: Job) -> Step:
    """The hold is over, and nothing else was decided: the job waits as any other."""
    return Step(job=replace(job, hold=None, revision=job.revision + 1))


def suspend(found: Suspend, now: datetime) -> Step:
    """Ask the site to end a run whose work goes on at a better hour: a live job with a hold is being suspended."""
    moved = replace(found.job, hold=found.hold, revision=found.job.revision + 1)
    return Step(job=moved, events=(_event("job.suspending", moved, now, start_at=_minute(found.hold.start_at)),))


def freed(job: Job, sites: tuple[SiteId, ...], terms: Terms | None, why: str, now: datetime) -> Step:
    """A queued job that may not run on its right any more: where it may run instead, and on what terms."""
    task = replace(job.task, constraints=replace(job.task.constraints, sites=sites))
    moved = replace(job, task=task, terms=terms, hold=None, revision=job.revision + 1)
    return Step(job=moved, events=(_event("job.freed", moved, now, reason=why),))


def suspend_unpaid(job: Job, purse: str, now: datetime) -> Step:
    """Ask the site to end a run that nobody can pay any more: its job is queued again, and goes on once there is money."""
    reason = UNPAID.format(purse=purse)
    expect = None if job.why is None else job.why.chosen
    assert expect is not None, "a run was placed"
    hold = Hold(expect=expect, start_at=now, until=now, instead=None, unpaid=reason)
    moved = replace(job, hold=hold, revision=job.revision + 1)
    return Step(
        job=moved,
        events=(_event("job.unpaid", moved, now, reason=reason, purse=purse, then="suspended"),),
        notices=({"kind": "job.unpaid", "job": job.id, "project": job.project, "reason": reason},),
    )


def stop_unpaid(job: Job, purse: str, now: datetime) -> Step:
    """End a run that nobody can pay any more and that may not be interrupted."""
    reason = UNPAID.format(purse=purse)
    moved = _move(job, Move.CANCEL, reason=f"{reason}: the run was ended")
    return Step(
        job=moved,
        events=(_event("job.unpaid", moved, now, reason=reason, purse=purse, then="ended"),),
        notices=({"kind": "job.unpaid", "job": job.id, "project": job.project, "reason": reason},),
    )


def preempt(found: Preempt, now: datetime) -> Iterator[Step]:
    """Tell the owners of these runs when they end, and why; and the owner of the job for which room is made."""
    at = _minute(found.at)
    for job, allocation in found.runs:
        moved = replace(job, revision=job.revision + 1)
        yield Step(
            job=moved,
            allocation=replace(allocation, ends_by=found.at),
            events=(_event("job.preempting", moved, now, reason=NEEDED, ends_at=at),),
            notices=({"kind": "job.preempting", "job": job.id, "project": job.project, "reason": f"{NEEDED}, {at}"},),
        )
    made = f"room is made for it at site {found.site}, by {at}"
    winner = replace(found.job, reason=made, revision=found.job.revision + 1)
    event = _event("job.room_made", winner, now, site=found.site, runs=len(found.runs), start_at=at)
    yield Step(job=winner, events=(event,))


def lease(place: Place, site: Site, lease_until: datetime, now: datetime, payers: Mapping[ProjectId, Customer]) -> Step:
    """Give the job to a site. The identifier follows from the job and its epoch: deciding twice makes the same lease.

    What the site has published by now binds it; `payers` knows its project.
    """
    job, epoch = place.job, place.job.epoch + 1
    allocation = Allocation(
        id=AllocationId(f"{job.id}-{epoch}"),
        job_id=job.id,
        site_id=place.site,
        epoch=epoch,
        state=AllocationState.LEASED,
        granted_at=now,
        lease_until=lease_until,
        device_model=place.device_model,
        price=job.terms.price if job.terms else bound(site, place.device_model, customer(job, payers), now),
        pue=site.offering.pue,
        carbon_g_per_kwh=site.offering.carbon_g_per_kwh,
        carbon_daily=site.offering.carbon_daily,
        owners=site.offering.owners,
        power_kw=place.power_kw,
        why=place.why,
    )
    moved = _move(
        job,
        Move.LEASE,
        epoch=epoch,
        attempts=job.attempts + 1,
        allocation_id=allocation.id,
        site_id=place.site,
        reason="",
        why=place.why,
    )
    return Step(job=moved, allocation=allocation, events=(_event("job.leased", moved, now, epoch=epoch),))


def cancel(job: Job, actor: str, now: datetime) -> Step:
    """The user wants it ended: at once where no site holds it, else its site is asked."""
    moved = _move(job, Move.CANCEL, reason=f"cancelled by {actor}")
    if moved.state is JobState.CANCELLED:
        moved = replace(moved, ended_at=now)
    kind = "job.cancelled" if moved.state is JobState.CANCELLED else "job.cancelling"
    notices = _notices(moved) if moved.state in ENDED else ()
    return Step(job=moved, events=(replace(_event(kind, moved, now), actor=actor),), notices=notices)


def fence(job: Job, allocation: Allocation, now: datetime, *, reason: str) -> Step:
    """The site was silent past the lease. Nothing more of it is metered, and whatever it still says is refused."""
    closed = replace(allocation, state=AllocationState.FENCED, ended_at=now, reason=reason)
    return _requeue(Metered(job=job, allocation=closed), closed, reason, now)


def progress(
    job: Job,
    allocation: Allocation,
    report: RunReport,
    site: Site,
    now: datetime,
    *,
    every_s: float,
    used_us: Mapping[datetime, int] = NOTHING_USED,
) -> Step:
    """A run of this job, not ended yet, as its agent tells: start, meter, checkpoint. May change nothing at all."""
    started = _started(allocation, report, now)
    allocation = replace(
        allocation,
        phase=report.phase,
        native_id=report.native_id or allocation.native_id,
        nodes=report.nodes or allocation.nodes,
        cpu_s=_larger(report.cpu_s, allocation.cpu_s),
        max_memory_gb=_larger(report.max_memory_gb, allocation.max_memory_gb),
    )
    events: list[Event] = []
    if started is not None and allocation.state is AllocationState.LEASED:
        allocation = replace(allocation, state=AllocationState.RUNNING, started_at=started)
        job = replace(job, state=after(job.state, Move.START), started_at=job.started_at or started)
        events.append(_event("job.started", job, now, native_id=allocation.native_id or ""))
    elif started != allocation.started_at:
        first = started if job.started_at == allocation.started_at else job.started_at
        allocation, job = replace(allocation, started_at=started), replace(job, started_at=first)
    if report.seen_from is not None and allocation.seen_from is None:
        allocation = replace(allocation, seen_from=_clamp(report.seen_from, allocation.granted_at, now))
    if report.checkpoint is not None and report.checkpoint != job.checkpoint:
        held = allocation.site_id if report.checkpoint_held else None
        job = replace(job, checkpoint=report.checkpoint, checkpoint_site=held)
        events.append(_event("job.checkpointed", job, now, size=report.checkpoint.size))
    # A report may be old, and the run over by now: only what the site was seen to run is metered.
    until = _clamp(report.ended_at or report.seen_at, allocation.granted_at, now) or allocation.granted_at
    metered = _metered(job, allocation, until, site, every_s, used_us, final=False)
    return Step(
        job=replace(metered.job, revision=job.revision + 1),
        allocation=metered.allocation,
        events=tuple(events),
        usage=metered.usage,
        bill_lines=metered.bill_lines,
    )


def end(
    job: Job,
    allocation: Allocation,
    report: RunReport,
    site: Site,
    now: datetime,
    *,
    every_s: float,
    used_us: Mapping[datetime, int] = NOTHING_USED,
) -> Step:
    """The run ended. Its whole time is metered; the job ends, or is queued again where the fault was the site's."""
    before = progress(job, allocation, report, site, now, every_s=every_s, used_us=used_us)
    begun, current = before.allocation or allocation, replace(before.job, revision=job.revision)
    # Schedulers tell whole seconds: the end is not before what the run was already seen to run.
    seen_until = begun.metered_until or begun.started_at or allocation.granted_at
    ended_at = _clamp(report.ended_at, seen_until, now) or now
    metered = _metered(current, begun, ended_at, site, every_s, counted(used_us, before.usage), final=True)
    closed = replace(
        metered.allocation,
        state=AllocationState.ENDED,
        ended_at=ended_at,
        outcome=report.outcome,
        exit_code=report.exit_code,
        reason=report.reason,
    )
    outcome = report.outcome or RunState.SITE_FAILED
    reason = report.reason or _reason_of(outcome, report.exit_code)
    if outcome is RunState.SUCCEEDED:
        step = _finish(metered, closed, Move.SUCCEED, "job.succeeded", "", report.exit_code, now)
    elif outcome is RunState.CANCELLED and job.state is JobState.RUNNING and job.hold is not None:
        step = _suspended(metered, closed, job.hold, now)
    elif outcome is RunState.CANCELLED and job.state is JobState.RUNNING and allocation.ends_by is not None:
        # When its notice was over, or before: it was told, and ended by itself.
        step = _preempted(metered, closed, now)
    elif outcome is RunState.SITE_FAILED or (outcome is RunState.CANCELLED and job.state is not JobState.CANCELLING):
        step = _requeue(metered, closed, reason, now)
    elif outcome is RunState.CANCELLED:
        step = _finish(metered, closed, Move.END_CANCELLED, "job.cancelled", job.reason, None, now)
    else:
        step = _finish(metered, closed, Move.FAIL, "job.failed", reason, report.exit_code, now)
    return replace(
        step,
        events=before.events + step.events,
        usage=before.usage + metered.usage,
        bill_lines=before.bill_lines + metered.bill_lines,
    )


def _reason_of(outcome: RunState, exit_code: int | None) -> str:
    """What is said where the site says nothing; a shell's status above 128 means a signal."""
    if outcome is RunState.FAILED and exit_code is not None and 128 < exit_code <= 192:
        return f"the program was ended by signal {exit_code - 128} (status {exit_code})"
    return OUTCOME_REASONS.get(outcome, "").format(code=exit_code)


def _started(allocation: Allocation, report: RunReport, now: datetime) -> datetime | None:
    """When the run began. The first call of a session may be late and its clock look slow: until something is metered,
    an earlier start is a truer one."""
    told = _clamp(report.started_at, allocation.granted_at, now)
    known = allocation.started_at
    if known is None or (told is not None and told < known and allocation.metered_until is None):
        return told
    return known


def _metered(
    job: Job,
    allocation: Allocation,
    until: datetime,
    site: Site,
    every_s: float,
    used_us: Mapping[datetime, int],
    *,
    final: bool,
) -> Metered:
    """Up to the time limit at most: the budget was checked for that long, and a site must not bill for more."""
    if allocation.started_at is not None:
        until = min(until, allocation.started_at + timedelta(seconds=job.task.resources.time_limit_s))
    provider = site.offering.provider
    return meter(job, allocation, until, provider=provider, every_s=every_s, final=final, used_us=used_us)


def _finish(
    metered: Metered, closed: Allocation, move: Move, kind: str, reason: str, exit_code: int | None, now: datetime
) -> Step:
    moved = _move(metered.job, move, ended_at=closed.ended_at, allocation_id=None, reason=reason, exit_code=exit_code)
    if moved.state is JobState.CANCELLED:
        # However the site ended it: why it was to end is what its user wants to know.
        kind, reason = "job.cancelled", metered.job.reason or reason
        moved = replace(moved, reason=reason)
    return Step(
        job=moved,
        allocation=closed,
        events=(_event(kind, moved, now, reason=reason, exit_code=exit_code),),
        notices=_notices(moved),
    )


def _requeue(metered: Metered, closed: Allocation, reason: str, now: datetime) -> Step:
    job = metered.job
    if job.state is not JobState.CANCELLING and job.attempts >= job.task.max_attempts:
        why = f"{reason}; {job.attempts} of {job.task.max_attempts} attempts used"
        return _finish(metered, closed, Move.FAIL, "job.failed", why, None, now)
    moved = _move(job, Move.REQUEUE, allocation_id=None, ready_at=now, reason=reason)
    if moved.state is JobState.CANCELLED:
        reason = job.reason or reason
        moved = replace(moved, ended_at=now, ready_at=job.ready_at, reason=reason)
    kind = "job.cancelled" if moved.state is JobState.CANCELLED else "job.interrupted"
    return Step(
        job=moved,
        allocation=closed,
        events=(_event(kind, moved, now, reason=reason, epoch=closed.epoch),),
        usage=metered.usage,
        bill_lines=metered.bill_lines,
        notices=_notices(moved) if moved.state in ENDED else (),
    )


def asked_to_end(allocation: Allocation, now: datetime) -> bool:
    """Whether a run is to end for others, and its notice is over."""
    return allocation.ends_by is not None and allocation.ends_by <= now


def _again(metered: Metered, closed: Allocation, now: datetime, hold: Hold | None, reason: str = "") -> Job:
    """Its site ended the run as asked: the job is queued again from its checkpoint. No attempt is used up, and what it ran
    for does not count as waiting, so the instant its patience is counted from moves on by that."""
    job = metered.job
    began, ended = closed.started_at or closed.granted_at, closed.ended_at or now
    ready_at = (job.ready_at or job.submitted_at) + max(timedelta(), ended - began)
    return _move(
        job,
        Move.REQUEUE,
        allocation_id=None,
        ready_at=min(ready_at, now),
        reason=reason,
        attempts=job.attempts - 1,
        hold=hold,
    )


def _preempted(metered: Metered, closed: Allocation, now: datetime) -> Step:
    """Ended for a job of higher priority."""
    again = _again(metered, closed, now, None, NEEDED)
    moved = replace(again, preemptions=again.preemptions + 1)
    event = _event("job.preempted", moved, now, reason=NEEDED, epoch=closed.epoch)
    return Step(job=moved, allocation=replace(closed, reason=NEEDED), events=(event,))


def _suspended(metered: Metered, closed: Allocation, hold: Hold, now: datetime) -> Step:
    """Ended until a better hour, or until somebody pays for it."""
    moved = _again(metered, closed, now, None if hold.unpaid else hold, hold.unpaid)
    reason, told = hold.unpaid or SUSPENDED, dict[str, object]()
    if not hold.unpaid:
        told = {"site": hold.expect.site, "start_at": _minute(hold.start_at)}
    return Step(
        job=moved,
        allocation=replace(closed, reason=reason),
        events=(_event("job.suspended", moved, now, reason=reason, **told, epoch=closed.epoch),),
    )


def _move(job: Job, move: Move, **changes: object) -> Job:
    """`job` after `move`, which ends a hold."""
    changed: dict[str, object] = {"hold": None, **changes}
    return replace(job, state=after(job.state, move), revision=job.revision + 1, **changed)  # type: ignore[arg-type]


def _event(kind: str, job: Job, now: datetime, **data: object) -> Event:
    return Event(kind=kind, at=now, project=job.project, job_id=job.id, site_id=job.site_id, data=data)


def _minute(at: datetime) -> str:
    return at.isoformat(timespec="minutes")


def _notices(job: Job) -> tuple[Mapping[str, object], ...]:
    return ({"kind": f"job.{job.state}", "job": job.id, "project": job.project, "reason": job.reason},)


def changes(step: Step, job: Job, allocation: Allocation) -> bool:
    """Whether `progress` found anything worth writing; measured processor time alone is not, it is kept at the end."""
    now = step.allocation
    if now is None:
        return True
    same = replace(now, cpu_s=allocation.cpu_s, max_memory_gb=allocation.max_memory_gb) == allocation
    return not (same and replace(step.job, revision=job.revision) == job)


def _clamp(at: datetime | None, least: datetime, most: datetime) -> datetime | None:
    return None if at is None else max(least, min(at, most))


def _larger(new: float | None, old: float | None) -> float | None:
    return old if new is None else max(new, old or 0.0)
