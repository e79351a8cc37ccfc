"""Runs that end, after a notice, for jobs of higher priority that find no room: the live plan's half.

Owns which runs may be taken, and the turn from jobs to the columns of `preempting`, whose choice it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from suanwang.domain.job import Allocation, Job
from suanwang.domain.task import Priority
from suanwang.electricity.supply import milliseconds
from suanwang.scheduling.feasibility import may_pause
from suanwang.scheduling.plan import Preempt
from suanwang.scheduling.policies.compiled import plain
from suanwang.scheduling.preempting import may_be_taken
from suanwang.scheduling.snapshot import Ints, Rows, SiteTable, Taking

if TYPE_CHECKING:
    from suanwang.scheduling.seating import Seating


@dataclass(frozen=True, slots=True)
class Blocked:
    """A job that found no room now."""

    job: Job
    number: int
    rows: Rows
    index: Ints
    """Where it may run."""


def urgency(job: Job) -> int:
    """Lower ones may take the room of higher ones; a job with a right to its room comes before every priority."""
    by_right = job.terms is not None and job.terms.reservation is not None
    return -1 if by_right else job.task.priority.rank


def preempts(
    taking: Taking | None, blocked: Sequence[Blocked], table: SiteTable, seating: Callable[[], Seating], now: datetime
) -> Iterator[Preempt]:
    """The runs that end for `blocked`, which stand in their turns; `seating` as all others have left it."""
    if taking is None or not any(urgency(one.job) < Priority.LOW.rank for one in blocked):
        return
    runs = [(job, run) for job, run in taking.runs() if _may_be_taken(job, run, taking, now)]
    if not runs:
        return
    wanted = [(urgency(one.job), one.number, one.rows, one.index) for one in blocked]
    for at, site, taken in seating().make_room(wanted, runs, taking.notice // timedelta(milliseconds=1)):
        yield Preempt(job=blocked[at].job, site=table.sites[site].id, runs=tuple(taken), at=now + taking.notice)


def _may_be_taken(job: Job, run: Allocation, taking: Taking, now: datetime) -> bool:
    began = run.started_at
    if began is None or run.ends_by is not None or not may_pause(job):
        return False
    begun_ms, one = milliseconds(began), timedelta(milliseconds=1)
    return plain(may_be_taken)(
        begun_ms, begun_ms + 1000 * job.task.resources.time_limit_s, job.preemptions, milliseconds(now),
        taking.notice // one, taking.protect // one, taking.most_interruptions,
    )  # fmt: skip
