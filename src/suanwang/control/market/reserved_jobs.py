"""Submitting jobs that use a right to capacity.

Owns what such a job is made of: it runs at the right's site within its hours, and pays nothing more for the right's device,
which was paid when the right was bought. When it starts, and what others see of it, is `control.reserving`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from suanwang.control.jobs import Jobs, Submitted
from suanwang.control.market.reserving import terms_of
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.identity import Principal
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Terms
from suanwang.domain.site import Site
from suanwang.domain.task import DeviceRequest, Task
from suanwang.ports import Clock, Store
from suanwang.scheduling.feasibility import suits
from suanwang.trading.market.product import CORE, begins, window_of
from suanwang.trading.market.values import Reservation


class ReservedJobs:
    """Submitting under a right."""

    def __init__(self, store: Store, clock: Clock, jobs: Jobs) -> None:
        self._store = store
        self._clock = clock
        self._jobs = jobs

    def submit(
        self,
        caller: Principal,
        tasks: Sequence[Task],
        right_id: str,
        *,
        project: ProjectId | None = None,
        key: str | None = None,
    ) -> Submitted:
        """Submit the one task of a file to run on a right; the right's project pays. Raises as `Jobs.submit` does,
        `NotFound` for another's right, `Conflict` where its hours or units do not suffice."""
        right = self._store.reservation(right_id)
        if right is None or not caller.may_change(right.project):
            raise NotFound(
                f"there is no right {right_id[:100]!r} of yours", field="reservation", allowed="see `order rights`"
            )
        if len(tasks) != 1:
            raise InvalidRequest(
                f"{len(tasks)} tasks in the file: a right is for one", field="tasks", allowed="exactly one task"
            )
        if project is not None and project != right.project:
            raise InvalidRequest(
                f"right {right_id} is project {right.project}'s", field="project", allowed=right.project
            )
        site = self._store.site(right.site)
        assert site is not None, "sites are never deleted"
        shaped, terms = self._under(tasks[0], right, site)
        digest = hashlib.sha256(repr((right.project, tasks, right_id)).encode()).hexdigest()
        return self._jobs.submit(caller, [shaped], project=right.project, key=key, digest=digest, terms=terms)

    def _under(self, task: Task, right: Reservation, site: Site) -> tuple[Task, Terms]:
        need, now = task.resources, self._clock.now()
        allowed = task.constraints.sites
        if allowed and right.site not in allowed:
            raise InvalidRequest(
                f"the right is at {right.site}", field="constraints.sites", allowed=f"{right.site} among them, or none"
            )
        start = max(now, begins(right.first))
        last = start + timedelta(seconds=need.time_limit_s)
        if last > begins(right.end):
            left_s = max(0, int((begins(right.end) - start).total_seconds()))
            raise Conflict(
                f"the task may take {need.time_limit_s} s, and {left_s} s of the right are left",
                field="resources.time_limit",
                allowed=f"up to {left_s} s",
            )
        devices = None
        if right.device == CORE:
            if need.devices is not None:
                raise InvalidRequest("the right is to cores alone", field="resources.devices", allowed="none")
            wanted = need.cores * task.nodes
        else:
            pool = next((pool for pool in site.offering.devices if pool.model == right.device), None)
            if need.devices is None or pool is None or not suits(need.devices, pool):
                raise InvalidRequest(
                    f"the right is to {right.device}",
                    field="resources.devices",
                    allowed=f"devices of model {right.device}",
                )
            wanted = need.devices.count * task.nodes
            devices = DeviceRequest(count=need.devices.count, models=(right.device,))
        have = right.least(window_of(start), window_of(last - timedelta(microseconds=1)) + 1)
        if wanted > have:
            raise Conflict(f"the task needs {wanted} units, the right has {have} in these hours", field="resources")
        shaped = replace(
            task,
            resources=replace(need, devices=devices),
            constraints=replace(task.constraints, sites=(right.site,)),
            # The right says when: waiting for a better hour could lose it.
            flexibility=replace(task.flexibility, may_wait_s=0),
        )
        terms = terms_of(self._store, right, site, task.constraints.sites, now)
        return shaped, terms
