"""Runs whose remaining work had better be done in other steps of the prices, by the rule of the policy `joint`.

Owns the question, put to running jobs that may be interrupted. What ends a run and takes it up again is `control`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from suanwang.domain.job import Allocation, Figures, Hold, Job, Rank
from suanwang.electricity.supply import instant, milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling import figures
from suanwang.scheduling.feasibility import Limits, Shape, may_pause, shape
from suanwang.scheduling.seating import Later, Ran, Seating
from suanwang.scheduling.snapshot import Rows, SiteTable, Snapshot, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """End this run with notice, and queue its job again from its checkpoint, held as `hold` says."""

    job: Job
    allocation: Allocation
    hold: Hold


@dataclass(frozen=True, slots=True)
class _Run:
    job: Job
    allocation: Allocation
    shape: Shape
    rows: Rows
    row: int
    lasted_s: float

    def ran(self) -> Ran:
        work_s = self.job.usage.wall_s - self.allocation.usage.wall_s + self.lasted_s
        return Ran(int(1000 * work_s / self.rows.slowness.item(self.row)), int(1000 * self.lasted_s))

    def rank(self, later: Later, now_ms: int) -> Rank:
        left_h = (later.finish_s - (later.at_ms - now_ms) / 1000) / 3600
        return Rank(
            site=self.allocation.site_id,
            device_model=self.allocation.device_model,
            score=later.score,
            figures=Figures(
                price_yuan=later.yuan,
                carbon_g=later.carbon_g,
                energy_kwh=figures.power_kw(self.shape, self.rows, self.row) * left_h,
                finish_s=later.finish_s,
            ),
        )


def pauses(snapshot: Snapshot, running: Sequence[tuple[Job, Allocation]]) -> Iterator[Suspend]:
    """The runs of `running` that had better pause. One that began in this step goes on: a job pauses at most once a step."""
    asked = [one for one in running if _may_pause_now(snapshot, *one)]
    if not asked:
        return
    seen, now_ms = table(snapshot), milliseconds(snapshot.now)
    limits = Limits(seen, snapshot.places)
    runs = [run for job, allocation in asked if (run := _run(snapshot, seen, job, allocation)) is not None]
    jobs, shapes = [run.job for run in runs], [run.shape for run in runs]
    seating = Seating(seen, jobs, shapes, snapshot.now, ran=[run.ran() for run in runs])
    for number, run in enumerate(runs):
        fitting = limits.fitting(run.shape, run.rows)
        if not fitting[run.row]:
            continue
        weighed = seating.weighed(run.rows, fitting)
        later = seating.pauses(number, weighed, run.row)
        if later is None:
            continue
        yield Suspend(
            job=run.job,
            allocation=run.allocation,
            hold=Hold(
                expect=run.rank(later, now_ms),
                start_at=instant(later.at_ms, snapshot.now),
                until=instant(later.until_ms, snapshot.now),
                instead=run.rank(seating.at(number, weighed, run.row, now_ms, now_ms), now_ms),
            ),
        )


def _may_pause_now(snapshot: Snapshot, job: Job, allocation: Allocation) -> bool:
    """A checkpoint must be there already: one that is only promised may never be written."""
    began = allocation.started_at
    ending = allocation.ends_by is not None
    if began is None or ending or job.hold is not None or job.checkpoint is None or not may_pause(job):
        return False
    return milliseconds(began) // STEP_MS < milliseconds(snapshot.now) // STEP_MS


def _run(snapshot: Snapshot, seen: SiteTable, job: Job, allocation: Allocation) -> _Run | None:
    """None where its site has no such row any more."""
    of, began = shape(job, seen.plain.paying), allocation.started_at
    assert began is not None, "only what runs can pause"
    rows = seen.plain if of.resources.devices is None else seen.pooled
    for row, pool in enumerate(rows.pools):
        site = seen.sites[rows.site_of.item(row)].id
        if (site, pool.model if pool else None) == (allocation.site_id, allocation.device_model):
            return _Run(job, allocation, of, rows, row, max(0.0, (snapshot.now - began).total_seconds()))
    return None
