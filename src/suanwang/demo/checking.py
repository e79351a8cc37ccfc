"""What each piece of the demo must have done, checked against what the network says of it.

Owns the demo's own verdict: a sentence per thing that went wrong. It looks at answers only, never at the demo's wishes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from suanwang.demo.stage import SITES, Stage
from suanwang.demo.work import EPOCHS, IMPOSSIBLE, NEARBY, PIECES, RESIDENCY, SWEEP, TRAINING, WORKFLOW, Look
from suanwang.domain.job import AllocationState
from suanwang.domain.lifecycle import JobState

if TYPE_CHECKING:
    from suanwang.client import models


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The site that was stopped, and the training's epoch at that moment."""

    site: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the network says in the end, fetched once."""

    look: Look
    details: Mapping[str, models.JobDetail]
    allocations: Mapping[str, Sequence[models.AllocationView]]
    output: Mapping[str, str]
    usage: Mapping[str, Sequence[models.UsageRecordView]]
    bill_fen: int
    refused_at_once: bool

    def one(self, name: str) -> models.JobDetail:
        return self.details[self.look.jobs[name][0].id]


def gather(stage: Stage, seen: Look, refused_at_once: bool) -> Evidence:
    """Ask for everything that is checked and shown."""
    ids = [job.id for jobs in seen.jobs.values() for job in jobs]
    return Evidence(
        look=seen,
        details={job: stage.user.job(job) for job in ids},
        allocations={job: stage.user.allocations(job) for job in ids},
        output={job: "".join(piece.text for piece in stage.user.logs(job).items) for job in ids},
        usage={job: stage.user.usage(job) for job in ids},
        bill_fen=sum(stage.user.bill_totals(job=job).amount_fen for job in ids),
        refused_at_once=refused_at_once,
    )


def problems(found: Evidence, stopped: Stopped | None) -> list[str]:
    """Everything that did not go as it should; empty when the demo is a success."""
    missing = [name for piece in PIECES for name in piece.jobs if name not in found.look.jobs]
    if missing:
        return [f"the network does not know {', '.join(missing)}"]
    return [
        *_training(found, stopped),
        *_sweep(found),
        *_workflow(found),
        *_residency(found),
        *_nearby(found),
        *_impossible(found),
        *_bills(found),
    ]


def _succeeded(job: models.JobView) -> Iterator[str]:
    if job.state is not JobState.SUCCEEDED:
        yield f"{job.name} ({job.id}) is {job.state}, not succeeded" + (f": {job.reason}" if job.reason else "")


def _training(found: Evidence, stopped: Stopped | None) -> Iterator[str]:
    job = found.one(TRAINING.jobs[0])
    yield from _succeeded(job)
    if stopped is None:
        yield "the training ended before its site could be stopped"
        return
    runs = found.allocations[job.id]
    if len(runs) < 2 or runs[0].site != stopped.site or runs[-1].site == stopped.site:
        yield f"the training did not move from {stopped.site} to another site: {', '.join(run.site for run in runs)}"
    elif runs[0].state is not AllocationState.FENCED:
        yield f"the first lease of the training is {runs[0].state}, not fenced"
    resumed = re.search(r"resumed from epoch (\d+)", found.output[job.id])
    if resumed is None:
        yield "the training did not go on from its checkpoint"
    elif not 1 <= int(resumed[1]) < EPOCHS:
        yield f"the training went on from epoch {resumed[1]}, which is not in its middle"
    elif found.output[job.id].count("fresh start") != 1:
        yield "the training began anew somewhere"


def _sweep(found: Evidence) -> Iterator[str]:
    members = found.look.of(SWEEP)
    if len(members) != 8:
        yield f"the sweep has {len(members)} members, not 8"
    for job in members:
        yield from _succeeded(job)
    places = {job.site for job in members}
    if len(places) < 2:
        yield f"the sweep did not spread: all of it ran at {', '.join(str(place) for place in places)}"


def _workflow(found: Evidence) -> Iterator[str]:
    first, second = (found.one(name) for name in WORKFLOW.jobs)
    yield from _succeeded(first)
    yield from _succeeded(second)
    if first.site == second.site:
        yield f"both steps of the workflow ran at {first.site}"
    if "read 1797 digits" not in found.output[second.id]:
        yield "the second step did not read what the first wrote"


def _residency(found: Evidence) -> Iterator[str]:
    job = found.one(RESIDENCY.jobs[0])
    yield from _succeeded(job)
    yield from _only_at(job, "wuhu", {"residency", "dataset", "silent"})
    if "569 patients" not in found.output[job.id]:
        yield "the job at Wuhu did not read Wuhu's data"


def _nearby(found: Evidence) -> Iterator[str]:
    job = found.one(NEARBY.jobs[0])
    yield from _succeeded(job)
    yield from _only_at(job, "wuhu", {"circle", "silent"})
    delay = job.why.chosen.figures.delay_ms if job.why is not None and job.why.chosen is not None else None
    if delay is None or delay > 5:
        yield f"{job.name} runs {delay} ms from Shanghai"


def _only_at(job: models.JobDetail, site: str, codes: set[str]) -> Iterator[str]:
    if job.site != site:
        yield f"{job.name} ran at {job.site}, not at {site}"
    given = {out.site: out.code for out in job.why.excluded} if job.why is not None else {}
    for other in SITES:
        if other != site and given.get(other) not in codes:
            yield f"{job.name} does not say why not at {other}: {given.get(other)}"


def _impossible(found: Evidence) -> Iterator[str]:
    job = found.one(IMPOSSIBLE.jobs[0])
    if job.state is not JobState.REFUSED:
        yield f"{job.name} is {job.state}, not refused"
        return
    if not found.refused_at_once:
        yield f"{job.name} was refused, but not at once"
    given = {out.site for out in job.why.excluded if out.text} if job.why is not None else set()
    if given != set(SITES):
        yield f"{job.name} has reasons for {', '.join(sorted(given)) or 'no site'}, not for all three"


def _bills(found: Evidence) -> Iterator[str]:
    billed = sum(job.billed_fen for job in found.details.values())
    if billed != found.bill_fen:
        yield f"the bill says {found.bill_fen} fen, the jobs {billed}"
    for job in found.details.values():
        if job.state is JobState.SUCCEEDED and job.usage.wall_s <= 0:
            yield f"{job.name} ({job.id}) ran and nothing was metered"
        records = sorted(found.usage[job.id], key=lambda record: record.from_at)
        for before, after in pairwise(records):
            if after.from_at < before.to_at:
                yield f"{job.name} ({job.id}) was metered twice from {after.from_at} on"
