"""Whose turn it is: by priority, then what has waited too long, then the project with the least share.

Owns what the live plan keeps of projects while it is made: what each has, its share, and what is left of its quota. A
project's share is the largest part it has of any resource of the network, over its weight; counted is what it holds now
and, beside it, the mean of what it held lately, so that who left the network to others gets more of it afterwards. The
rules themselves are `turns`'s, which the twin's engine goes by too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.domain.allowance import Allowance, Amounts, Exceeded, Standing, exceeded, exceeded_devices
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job, place_of
from suanwang.electricity.supply import milliseconds
from suanwang.scheduling.turns import UNBEGUN, begin_priority, dominant, mean_after, next_turn

UNDECIDED = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """What a snapshot knows of projects."""

    standings: Mapping[ProjectId, Standing]
    by_share: bool = True
    """Whether the order goes by shares at all; else by readiness alone, as where there is one project."""
    starved_after: timedelta
    """Who has waited this long goes in front of everything of its priority."""


def _listed(of: Amounts, whole: Amounts) -> list[float]:
    """Cores, memory, and the devices of each model that the network has."""
    return [of.cores, of.memory_gb, *(of.devices.get(model, 0.0) for model in whole.devices)]


def averaged(before: Amounts, held: Amounts, after_s: float, half_life_s: float) -> Amounts:
    """The mean `after_s` later, `held` all that time: what was before counts half for each half-life gone by."""
    devices = {
        model: mean_after(before.devices.get(model, 0.0), held.devices.get(model, 0.0), after_s, half_life_s)
        for model in sorted({*before.devices, *held.devices})
    }
    return Amounts(
        cores=mean_after(before.cores, held.cores, after_s, half_life_s),
        memory_gb=mean_after(before.memory_gb, held.memory_gb, after_s, half_life_s),
        devices={model: amount for model, amount in devices.items() if amount},
    )


class Shares:
    """What each project has, from one job of a plan to the next."""

    def __init__(self, standings: Mapping[ProjectId, Standing] | None, whole: Amounts) -> None:
        """`whole` is what the network has. Without `standings` nothing is counted."""
        self._counts = standings is not None
        self._standings = standings or {}
        self._whole = whole
        self._holds: dict[ProjectId, Amounts] = {}
        self._followed: dict[ProjectId, int] = {}
        self._share: list[float] = []

    def allowance(self, project: ProjectId) -> Allowance | None:
        """Where its use is limited, else None."""
        found = self._standings.get(project)
        return found.allowance if found is not None and found.allowance.limits_use else None

    def share(self, project: ProjectId) -> float:
        """Weighted, of what it holds and held lately."""
        standing = self._standings.get(project, UNDECIDED)
        held, lately = _listed(self._held(project), self._whole), _listed(standing.lately, self._whole)
        return dominant(held, lately, _listed(self._whole, self._whole), standing.allowance.weight)

    def followed(self, projects: Sequence[ProjectId]) -> list[float]:
        """The share of each of `projects`, which stays up to date as jobs of them start."""
        self._followed = {project: at for at, project in enumerate(projects)}
        self._share = [self.share(project) for project in projects]
        return self._share

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
        if project in self._followed:
            self._share[self._followed[project]] = self.share(project)

    def _held(self, project: ProjectId) -> Amounts:
        found = self._holds.get(project)
        return self._standings.get(project, UNDECIDED).holds if found is None else found


def in_turn(jobs: Sequence[Job], fairness: Fairness | None, shares: Shares, now: datetime) -> Iterator[Job]:
    """Each of `jobs` once. The next one follows from what `shares` was told of those before it."""
    ordered = sorted(jobs, key=place_of)
    projects = sorted({job.project for job in ordered})
    if fairness is None or not fairness.by_share or len(projects) < 2:
        yield from ordered
        return
    number = {project: at for at, project in enumerate(projects)}
    order = [job.task.priority.rank for job in ordered]
    ready_ms = [milliseconds(job.ready_at or job.submitted_at) for job in ordered]
    project = [number[job.project] for job in ordered]
    share, count = shares.followed(projects), len(ordered)
    starved_before_ms = milliseconds(now - fairness.starved_after)
    after, head, heap, at = [-1] * count, [-1] * len(projects), [0] * len(projects), list(UNBEGUN)
    for place in range(count):
        if place == at[0]:
            begin_priority(order, ready_ms, project, share, starved_before_ms, after, head, heap, at, place, count)
        yield ordered[next_turn(share, after, head, heap, at, place)]
