"""What projects may have: who decides, who sees.

Owns the limits of an allowance. What follows from one is admission's and `scheduling.fairness`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from suanwang import catalog
from suanwang.control.sharing import NOTHING, PLAIN
from suanwang.domain.allowance import Allowance, Standing
from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.domain.lifecycle import JobState
from suanwang.ports import Clock, Store

LEAST_WEIGHT, MOST_WEIGHT = 0.01, 1000.0
MOST = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A project's allowance beside what it has."""

    project: ProjectId
    standing: Standing
    waiting: int
    """Jobs that wait for room or for what they need."""


class Allowances:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def put(self, caller: Principal, project_id: ProjectId, allowance: Allowance) -> Shown:
        """Say what a project may have from now on; what runs runs on, and what waits goes by it. For operators.

        Raises `InvalidRequest` for figures out of bounds and unknown devices, `NotFound` for an unknown project.
        """
        caller.must_be(Role.OPERATOR)
        allowance = replace(allowance, devices=_devices(allowance.devices))
        if not (math.isfinite(allowance.weight) and LEAST_WEIGHT <= allowance.weight <= MOST_WEIGHT):
            allowed = f"{LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"
            raise InvalidRequest("this is no weight", field="weight", allowed=allowed)
        limits = {"cores": allowance.cores, "memory_gb": allowance.memory_gb, "queued": allowance.queued}
        for name, value in (*limits.items(), *((f"devices.{name}", most) for name, most in allowance.devices.items())):
            if value is not None and not 0 <= value <= MOST:
                raise InvalidRequest("this is no limit", field=name, allowed=f"0 to {MOST}")
        event = Event(
            kind="project.allowed",
            at=self._clock.now(),
            project=project_id,
            actor=caller.name,
            data={
                "weight": allowance.weight,
                **limits,
                "devices": dict(allowance.devices),
                "may_be_high": allowance.may_be_high,
            },
        )
        if not self._store.put_allowance(project_id, allowance, (event,)):
            raise NotFound(f"there is no project {project_id[:100]!r}", field="project", allowed="see `project list`")
        return self.of(caller, project_id)

    def every(self, caller: Principal) -> Sequence[Shown]:
        """Of the projects that the caller may see, by identifier; without what waits."""
        holds, lately, allowances = self._store.held_by_project(), self._store.lately(), self._store.allowances()
        return [
            Shown(
                project=project.id,
                standing=Standing(
                    allowance=allowances.get(project.id, PLAIN),
                    holds=holds.get(project.id, NOTHING),
                    lately=NOTHING if lately is None else lately.of.get(project.id, NOTHING),
                ),
                waiting=0,
            )
            for project in self._store.projects()
            if caller.may_see(project.id)
        ]

    def of(self, caller: Principal, project_id: ProjectId) -> Shown:
        """Raises `NotFound` also for a project that the caller may not see."""
        known = {project.id for project in self._store.projects()}
        if project_id not in known or not caller.may_see(project_id):
            raise NotFound(f"there is no project {project_id[:100]!r}", field="project", allowed="see `project list`")
        counts, lately = self._store.count_jobs([project_id]), self._store.lately()
        standing = Standing(
            allowance=self._store.allowances().get(project_id, PLAIN),
            holds=self._store.held_by_project().get(project_id, NOTHING),
            lately=NOTHING if lately is None else lately.of.get(project_id, NOTHING),
        )
        waiting = sum(counts.get(state, 0) for state in (JobState.QUEUED, JobState.WAITING))
        return Shown(project=project_id, standing=standing, waiting=waiting)


def _devices(asked: Mapping[str, int]) -> Mapping[str, int]:
    """By catalogue identifiers, in their order. Raises `InvalidRequest` for a model that is not in the catalogue."""
    found = {catalog.accelerator(model, field="devices").id: most for model, most in asked.items()}
    return dict(sorted(found.items()))
