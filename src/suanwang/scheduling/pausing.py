"""Runs whose remaining work had better be done in other steps of the prices, by the rule of the policy `joint`.

Owns the question, put to running jobs that may be interrupted. What ends a run and takes it up again is `control`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from suanwang.domain.job import Allocation, Figures, Hold, Job, Rank
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling import figures, hours
from suanwang.scheduling.feasibility import Limits, Shape, shape
from suanwang.scheduling.snapshot import Ints, Rows, SiteTable, Snapshot, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """End this run with notice, and queue its job again from its checkpoint, held as `hold` says."""

    job: Job
    allocation: Allocation
    hold: Hold


def pauses(snapshot: Snapshot, running: Sequence[tuple[Job, Allocation]]) -> Iterator[Suspend]:
    """The runs of `running` that had better pause. One that began in this step goes on: a job pauses at most once a step."""
    found: tuple[SiteTable, Limits] | None = None
    for job, allocation in running:
        if not _may_pause_now(snapshot, job, allocation):
            continue
        if found is None:
            seen = table(snapshot)
            found = seen, Limits(seen, snapshot.places)
        suspend = _pause(snapshot, *found, job, allocation)
        if suspend is not None:
            yield suspend


def _may_pause_now(snapshot: Snapshot, job: Job, allocation: Allocation) -> bool:
    """A checkpoint must be there already: one that is only promised may never be written."""
    began = allocation.started_at
    if (
        began is None
        or allocation.ends_by is not None
        or job.hold is not None
        or job.checkpoint is None
        or not hours.may_pause(job)
    ):
        return False
    return milliseconds(began) // STEP_MS < milliseconds(snapshot.now) // STEP_MS


def _pause(snapshot: Snapshot, seen: SiteTable, limits: Limits, job: Job, allocation: Allocation) -> Suspend | None:
    of = shape(job, seen.plain.paying)
    rows = seen.plain if of.resources.devices is None else seen.pooled
    index = limits.fitting(of, rows).nonzero()[0]
    place = _place(seen, rows, index, allocation)
    if place is None:
        return None
    began = allocation.started_at
    assert began is not None, "only what runs can pause"
    lasted_s = max(0.0, (snapshot.now - began).total_seconds())
    work_s = job.usage.wall_s - allocation.usage.wall_s + lasted_s
    found = hours.pause(job, of, rows, index, place, snapshot.now, lasted_s=lasted_s, work_s=work_s)
    if found is None:
        return None
    now_ms = milliseconds(snapshot.now)
    return Suspend(
        job=job,
        allocation=allocation,
        hold=Hold(
            expect=_rank(allocation, of, rows, index.item(place), found.later, now_ms),
            start_at=hours.instant(found.later.at_ms, snapshot.now),
            until=hours.instant(found.later.until_ms, snapshot.now),
            instead=_rank(allocation, of, rows, index.item(place), found.now, now_ms),
        ),
    )


def _place(seen: SiteTable, rows: Rows, index: Ints, allocation: Allocation) -> int | None:
    """Which of the rows it runs on; None where that is none of them any more."""
    for place, row in enumerate(index.tolist()):
        pool = rows.pools[row]
        site = seen.sites[rows.site_of.item(row)].id
        if (site, pool.model if pool else None) == (allocation.site_id, allocation.device_model):
            return place
    return None


def _rank(allocation: Allocation, of: Shape, rows: Rows, row: int, later: hours.Later, now_ms: int) -> Rank:
    assert later.finish_s is not None, "of work that goes on the end is known"
    left_h = (later.finish_s - (later.at_ms - now_ms) / 1000) / 3600
    return Rank(
        site=allocation.site_id,
        device_model=allocation.device_model,
        score=later.score,
        figures=Figures(
            price_yuan=later.yuan,
            carbon_g=later.carbon_g,
            energy_kwh=figures.power_kw(of, rows.units[row]) * left_h,
            finish_s=later.finish_s,
        ),
    )
