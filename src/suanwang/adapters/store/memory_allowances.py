"""Allowances of projects in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.identity import Project
from suanwang.domain.ids import AllocationId, JobId, ProjectId
from suanwang.domain.job import Allocation, Event, Job
from suanwang.ports import Lately


class MemoryAllowances(MemoryLedger):
    """The Protocol's section of that name; `MemoryStore` mixes it in."""

    _projects: dict[ProjectId, Project]
    _jobs: dict[JobId, Job]
    _allocations: dict[AllocationId, Allocation]
    _live: dict[AllocationId, JobId]

    def __init__(self) -> None:
        super().__init__()
        self._allowances: dict[ProjectId, Allowance] = {}
        self._lately: Lately | None = None

    def put_allowance(self, project_id: ProjectId, allowance: Allowance, events: Sequence[Event]) -> bool:
        with self._lock:
            if project_id not in self._projects:
                return False
            self._allowances[project_id] = allowance
            self.append_events(events)
            return True

    def allowances(self) -> Mapping[ProjectId, Allowance]:
        with self._lock:
            return dict(self._allowances)

    def held_by_project(self) -> Mapping[ProjectId, Amounts]:
        with self._lock:
            sums: dict[ProjectId, Amounts] = {}
            for key, job_id in self._live.items():
                job, model = self._jobs[job_id], self._allocations[key].device_model
                need, nodes = job.task.resources, job.task.nodes
                had = sums.get(job.project, Amounts())
                devices = dict(had.devices)
                if model and need.devices:
                    devices[model] = devices.get(model, 0) + need.devices.count * nodes
                sums[job.project] = Amounts(
                    cores=had.cores + need.cores * nodes,
                    memory_gb=had.memory_gb + need.memory_gb * nodes,
                    devices=devices,
                )
            return sums

    def lately(self) -> Lately | None:
        with self._lock:
            return self._lately

    def put_lately(self, lately: Lately, before: datetime | None) -> bool:
        with self._lock:
            if (None if self._lately is None else self._lately.at) != before:
                return False
            self._lately = replace(lately, of=dict(lately.of))
            return True
