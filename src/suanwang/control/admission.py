"""Admission: tasks become jobs, or the caller hears what is wrong with them.

Owns the resolution of names between tasks and jobs. A job that no site could ever run is kept as refused, with the
reason of every site; nothing else of its submission is touched by that, except what needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from graphlib import CycleError, TopologicalSorter

from suanwang.control.contracts.listed import agreed
from suanwang.control.leasing import bound_to
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId
from suanwang.domain.job import Event, Job, Terms
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.domain.task import Priority, Task
from suanwang.ports import Store
from suanwang.scheduling.placing import Judge

MAX_JOBS = 100_000
"""Jobs one submission may come to, array members counted."""
PLAIN = Allowance()
MAX_LINKS = 1_000_000
"""Pairs of a job and a job it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    jobs: tuple[Job, ...]
    events: tuple[Event, ...]


def admit(
    store: Store,
    tasks: Sequence[Task],
    *,
    project: ProjectId,
    owner: str,
    now: datetime,
    new_id: Callable[[], JobId],
    judge: Judge,
    terms: Terms | None = None,
    allowance: Allowance = PLAIN,
) -> Admitted:
    """Jobs of `tasks`, in order; `judge` knows what the network can run, `allowance` is the project's.

    Raises `InvalidRequest` naming the task and the field.
    """
    if not tasks:
        raise InvalidRequest("there is no task in this submission", field="tasks", allowed="at least one")
    total = sum(task.count for task in tasks)
    if total > MAX_JOBS:
        raise InvalidRequest(f"{total} jobs in one submission", field="count", allowed=f"at most {MAX_JOBS} in all")
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise InvalidRequest("two tasks of one submission have the same name", field="name", allowed="unique names")
    _check_links(tasks)
    check_priorities(tasks, project, allowance)
    tasks = [agreed(store, task, project) for task in tasks]
    identifiers = {task.name: [new_id() for _ in range(task.count)] for task in tasks}
    earlier = _earlier(store, tasks, project, identifiers)
    jobs: list[Job] = []
    for index, task in enumerate(_in_order(tasks)):
        jobs.extend(
            _members(store, index, task, identifiers, earlier, project, owner, now, judge, jobs, terms, allowance)
        )
    _check_queue(store, jobs, project, allowance)
    events = tuple(
        Event(
            kind="job.refused" if job.state is JobState.REFUSED else "job.accepted",
            at=now,
            project=project,
            job_id=job.id,
            actor=owner,
            data={"name": job.task.name, "state": job.state},
        )
        for job in jobs
    )
    return Admitted(jobs=tuple(jobs), events=events)


def check_priorities(tasks: Sequence[Task], project: ProjectId, allowance: Allowance) -> None:
    """Raises `InvalidRequest` for high priority where the project may not."""
    if not allowance.may_be_high and any(task.priority is Priority.HIGH for task in tasks):
        raise InvalidRequest(
            f"jobs of project {project} may not be of high priority; an operator may allow it",
            field="priority",
            allowed="low, normal",
        )


def _check_queue(store: Store, jobs: Sequence[Job], project: ProjectId, allowance: Allowance) -> None:
    """Raises `InvalidRequest` where more jobs would wait than the project's quota allows."""
    if allowance.queued is None:
        return
    asked = sum(job.state is not JobState.REFUSED for job in jobs)
    counts = store.count_jobs([project])
    waiting = sum(counts.get(state, 0) for state in (JobState.QUEUED, JobState.WAITING))
    if waiting + asked > allowance.queued:
        raise InvalidRequest(
            f"project {project} has {waiting} jobs that wait, and this asks for {asked} more: wait, or cancel some",
            field="tasks",
            allowed=f"{allowance.queued} at once, by the project's quota",
        )


def _in_order(tasks: Sequence[Task]) -> list[Task]:
    """Tasks so that each comes after those it needs. Raises `InvalidRequest` for a cycle, named in full."""
    by_name = {task.name: task for task in tasks}
    needs = {task.name: [need for need in task.needs if need in by_name] for task in tasks}
    try:
        return [by_name[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        # The sorter names each task before the one that needs it.
        circle = " → ".join(reversed(error.args[1]))
        raise InvalidRequest(f"`needs` goes in a circle: {circle}", field="needs", allowed="no cycles") from None


def _check_links(tasks: Sequence[Task]) -> None:
    """Every member of an array waits for every member of the arrays it needs, and each keeps their identifiers."""
    counts = {task.name: task.count for task in tasks}
    links = sum(task.count * sum(counts.get(need, 1) for need in task.needs) for task in tasks)
    if links > MAX_LINKS:
        raise InvalidRequest(
            f"`needs` between arrays comes to {links} pairs of jobs: put a task of one job between the two arrays",
            field="needs",
            allowed=f"at most {MAX_LINKS} pairs in one submission",
        )


def _earlier(
    store: Store, tasks: Sequence[Task], project: ProjectId, own: Mapping[str, list[JobId]]
) -> Mapping[JobId, Job]:
    """Jobs of earlier submissions that `needs` names. Raises `InvalidRequest` for one that this project does not have."""
    wanted = sorted({need for task in tasks for need in task.needs if need not in own})
    found = store.jobs_by_id([JobId(name) for name in wanted])
    for name in wanted:
        job = found.get(JobId(name))
        if job is None or job.project != project:
            raise InvalidRequest(
                f"`needs` names {name!r}, which is neither a task of this submission nor a job of project {project}",
                field="needs",
                allowed="names of tasks in this file, or identifiers of jobs of the project",
            )
    return found


def _members(
    store: Store,
    index: int,
    task: Task,
    identifiers: Mapping[str, list[JobId]],
    earlier: Mapping[JobId, Job],
    project: ProjectId,
    owner: str,
    now: datetime,
    judge: Judge,
    before: Sequence[Job],
    terms: Terms | None,
    allowance: Allowance,
) -> list[Job]:
    own = identifiers[task.name]
    needs = tuple(need for name in task.needs for need in identifiers.get(name, [JobId(name)]))
    state = _state(needs, earlier, before)
    first = Job(
        id=own[0],
        project=project,
        owner=owner,
        task=task,
        state=state,
        submitted_at=now,
        needs=needs,
        array_id=own[0] if task.count > 1 else None,
        ready_at=now if state is JobState.QUEUED else None,
        terms=terms,
    )
    if state is JobState.QUEUED:
        first = replace(first, held_at=bound_to(store, first))
    found = judge.hopeless(first)
    if found is not None:
        reason = "no site of the network can run it"
        first = replace(first, state=JobState.REFUSED, why=found.why, reason=reason, ended_at=now, ready_at=None)
    elif (beyond := judge.beyond(first, allowance)) is not None:
        why, quota = beyond
        reason = (
            f"more than the quota of project {project} allows at once: {quota.asked} asked, {quota.allowed} allowed"
        )
        first = replace(first, state=JobState.REFUSED, why=why, reason=reason, ended_at=now, ready_at=None)
    return [first, *(replace(first, id=job_id, array_index=n) for n, job_id in enumerate(own[1:], start=1))]


def _state(needs: Sequence[JobId], earlier: Mapping[JobId, Job], before: Sequence[Job]) -> JobState:
    if not needs:
        return JobState.QUEUED
    for need in needs:
        job = earlier.get(need)
        if job is not None and job.state in ENDED and job.state is not JobState.SUCCEEDED:
            raise InvalidRequest(
                f"`needs` names {need}, which ended {job.state}: it can never succeed",
                field="needs",
                allowed="jobs that succeed",
            )
    done = all(need in earlier and earlier[need].state is JobState.SUCCEEDED for need in needs)
    return JobState.QUEUED if done else JobState.WAITING
