"""Whose turn it is: by priority, then what has waited too long, then the project with the least share.

Owns dominant resource fairness (Ghodsi et al., NSDI 2011): a project's share is the largest part it has of any resource of
the network, over its weight. Counted is what it holds now and, beside it, the mean of what it held lately, so that who left
the network to others gets more of it afterwards. Also what is left of each project's quota while a plan is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heapreplace
from itertools import groupby

from suanwang.domain.allowance import Allowance, Amounts, Exceeded, Standing, exceeded, exceeded_devices
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job, Place, place_of

UNDECIDED = Standing()
LEAST = 1e-4
"""Smaller amounts are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """What a snapshot knows of projects."""

    standings: Mapping[ProjectId, Standing]
    by_share: bool = True
    """Whether the order goes by shares at all; else by readiness alone, as where there is one project."""
    starved_after: timedelta
    """Who has waited this long goes in front of everything of its priority."""


def dominant_share(of: Amounts, whole: Amounts, weight: float = 1.0) -> float:
    """The largest part of any resource of `whole`, over `weight`. What the network does not have does not count."""
    parts = [
        amount / there
        for amount, there in (
            (of.cores, whole.cores),
            (of.memory_gb, whole.memory_gb),
            *((amount, whole.devices.get(model, 0.0)) for model, amount in of.devices.items()),
        )
        if there > 0
    ]
    return max(parts, default=0.0) / weight


def averaged(before: Amounts, held: Amounts, after_s: float, half_life_s: float) -> Amounts:
    """The mean `after_s` later, `held` all that time: what was before counts half for each half-life gone by."""
    kept = 0.5 ** (max(0.0, after_s) / half_life_s)

    def mean(was: float, now: float) -> float:
        found = was * kept + now * (1 - kept)
        return found if found >= LEAST else 0.0

    devices = {
        model: mean(before.devices.get(model, 0.0), held.devices.get(model, 0.0))
        for model in sorted({*before.devices, *held.devices})
    }
    return Amounts(
        cores=mean(before.cores, held.cores),
        memory_gb=mean(before.memory_gb, held.memory_gb),
        devices={model: amount for model, amount in devices.items() if amount},
    )


def both(one: Amounts, other: Amounts) -> Amounts:
    """The sum."""
    devices = {
        model: one.devices.get(model, 0.0) + other.devices.get(model, 0.0)
        for model in sorted({*one.devices, *other.devices})
    }
    return Amounts(cores=one.cores + other.cores, memory_gb=one.memory_gb + other.memory_gb, devices=devices)


class Shares:
    """What each project has, from one job of a plan to the next."""

    def __init__(self, standings: Mapping[ProjectId, Standing] | None, whole: Amounts) -> None:
        """`whole` is what the network has. Without `standings` nothing is counted."""
        self._counts = standings is not None
        self._standings = standings or {}
        self._whole = whole
        self._holds: dict[ProjectId, Amounts] = {}

    def allowance(self, project: ProjectId) -> Allowance | None:
        """Where its use is limited, else None."""
        found = self._standings.get(project)
        return found.allowance if found is not None and found.allowance.limits_use else None

    def share(self, project: ProjectId) -> float:
        """Weighted, of what it holds and held lately."""
        standing = self._standings.get(project, UNDECIDED)
        had = both(self._held(project), standing.lately)
        return dominant_share(had, self._whole, standing.allowance.weight)

    def exceeded(self, project: ProjectId, cores: int, memory_gb: float) -> Exceeded | None:
        allowance = self.allowance(project)
        return None if allowance is None else exceeded(allowance, self._held(project), cores, memory_gb)

    def exceeded_devices(self, project: ProjectId, model: str, count: int) -> Exceeded | None:
        allowance = self.allowance(project)
        return None if allowance is None else exceeded_devices(allowance, self._held(project), model, count)

    def took(self, project: ProjectId, cores: int, memory_gb: float, model: str | None, devices: int) -> None:
        """A job of `project` starts."""
        if not self._counts:
            return
        had = self._held(project)
        self._holds[project] = replace(
            had,
            cores=had.cores + cores,
            memory_gb=had.memory_gb + memory_gb,
            devices=had.devices if model is None else {**had.devices, model: had.devices.get(model, 0) + devices},
        )

    def _held(self, project: ProjectId) -> Amounts:
        found = self._holds.get(project)
        return self._standings.get(project, UNDECIDED).holds if found is None else found


def in_turn(jobs: Sequence[Job], fairness: Fairness | None, shares: Shares, now: datetime) -> Iterator[Job]:
    """Each of `jobs` once. The next one follows from what `shares` was told of those before it."""
    ordered = sorted(jobs, key=place_of)
    if fairness is None or not fairness.by_share or len({job.project for job in ordered}) < 2:
        yield from ordered
        return
    starved_before = now - fairness.starved_after
    for _, of_one in groupby(ordered, key=lambda job: job.task.priority):
        rest = deque(of_one)
        while rest and (rest[0].ready_at or rest[0].submitted_at) <= starved_before:
            yield rest.popleft()
        yield from _by_share(rest, shares)


def _by_share(jobs: Sequence[Job] | deque[Job], shares: Shares) -> Iterator[Job]:
    """The first job of the project with the least share, again and again; equal ones by the job that is ready first."""
    lines: dict[ProjectId, deque[Job]] = {}
    for job in jobs:
        lines.setdefault(job.project, deque()).append(job)
    heap: list[tuple[float, Place, ProjectId]] = [
        (shares.share(project), place_of(line[0]), project) for project, line in lines.items()
    ]
    heapify(heap)
    while heap:
        project = heap[0][2]
        line = lines[project]
        yield line.popleft()
        # Only this project's share can have grown meanwhile.
        if line:
            heapreplace(heap, (shares.share(project), place_of(line[0]), project))
        else:
            heappop(heap)
