"""Yesterday once more: jobs that the live network ran, decided anew on a virtual clock.

Owns the play. Decisions and leases are the live network's own code, by the prices, plans and steps of volume that held then; what
is modelled is that runs take as long as they took, sites are otherwise as they are declared now, and none is lost.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from suanwang.control.billing.prices import covered, using
from suanwang.control.sharing import NOTHING, standings
from suanwang.control.standing import slowness
from suanwang.control.steps import lease
from suanwang.control.tick import Decide
from suanwang.domain.allowance import Amounts
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job, Usage
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.pricing import Customer
from suanwang.domain.site import Held, Site
from suanwang.domain.task import Objective
from suanwang.electricity.pricing import month_of
from suanwang.scheduling.fairness import Fairness, averaged
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.snapshot import Snapshot
from suanwang.twin.rebilling import Meters, Run
from suanwang.twin.recording import Recorded, Recording, ready_at

_LEASE = timedelta(days=3650)
"""Nothing is fenced in a replay."""
_HEARD = timedelta(microseconds=1)
_IDLE = timedelta(hours=1)
MOST_IDLE = 24 * 31
"""Hours in which jobs are held though nothing runs; whatever waits longer can never run."""
OBJECTIVES: Mapping[str, Objective] = {
    "cheapest": Objective(),
    "greenest": Objective(price=0.0, carbon=1.0),
    "fastest": Objective(price=0.0, finish=1.0),
    "balanced": Objective(price=1.0, carbon=1.0, finish=1.0),
}


def as_recorded(recording: Recording) -> tuple[Run, ...]:
    """Every run as it was, losses and moves included."""
    return tuple(
        Run(job=one.job, allocation=allocation, until=allocation.metered_until)
        for one in recording.jobs
        for allocation in one.ran
        if allocation.metered_until is not None
    )


def with_objective(objective: Objective, decide_with: Decide = decide) -> Decide:
    """The live network's own decisions, had every job wanted this; jobs under a quote keep their site's price."""

    def decided(snapshot: Snapshot) -> Plan:
        jobs = [replace(job, task=replace(job.task, objective=objective)) for job in snapshot.jobs]
        return decide_with(replace(snapshot, jobs=jobs))

    return decided


def replayed(recording: Recording, decide_with: Decide = decide, *, turn: timedelta | None = None) -> tuple[Run, ...]:
    """The same jobs decided anew, at the instants at which the live network gave leases, and after the last of them
    whenever a run ends. `turn`: also this often while any job waits, as a live network does."""
    return _Replay(recording, decide_with, turn).run()


@dataclass(slots=True)
class _Replay:
    """Carries what runs and what waits from one instant to the next."""

    recording: Recording
    decide_with: Decide
    turn: timedelta | None
    meters: Meters = field(init=False)
    changes: deque[datetime] = field(init=False)
    """Instants at which sites published prices."""
    sites: Mapping[SiteId, Site] = field(init=False)
    """As they are at the instant."""
    ends: list[tuple[datetime, JobId, Run]] = field(default_factory=list)
    queue: dict[JobId, Job] = field(default_factory=dict)
    over: set[JobId] = field(default_factory=set)
    done: list[Run] = field(default_factory=list)
    lately: dict[ProjectId, Amounts] = field(default_factory=dict)
    """What projects held, up to `meant_at`."""
    meant_at: datetime | None = None

    def __post_init__(self) -> None:
        self.meters = Meters(self.recording)
        changes = {at for asking in self.recording.asking.values() for at in asking.changes}
        self.changes = deque(sorted(changes))
        self.sites = {}

    def run(self) -> tuple[Run, ...]:
        recorded = {one.job.id: one for one in self.recording.jobs}
        turns = deque(sorted({lease.granted_at for one in self.recording.jobs for lease in one.allocations}))
        arriving = deque(self.recording.jobs)
        waiting: list[Recorded] = []
        now, idle = turns[0], 0
        while idle < MOST_IDLE and (turns or self.ends or self.queue):
            now = self._next(now, turns)
            while turns and turns[0] <= now:
                turns.popleft()
            self._end(now)
            self._publish(now)
            while arriving and ready_at(arriving[0].job) <= now:
                waiting.append(arriving.popleft())
            waiting = self._admit(waiting, recorded)
            self._decide(now, recorded)
            idle = 0 if turns or self.ends else idle + 1
        return tuple(self.done)

    def _publish(self, now: datetime) -> None:
        """Sites with the prices that they had published by now."""
        if self.sites and not (self.changes and self.changes[0] <= now):
            return
        while self.changes and self.changes[0] <= now:
            self.changes.popleft()
        awake = [replace(site, state=SiteState.REACHABLE, open=True) for site in self.recording.sites]
        asking = self.recording.asking
        self.sites = {site.id: asking[site.id].at(site, now) if site.id in asking else site for site in awake}

    def _payers(self, now: datetime) -> Mapping[ProjectId, Customer]:
        """What price lists look at in projects now, as the live network would: hours of plans that are used up pay no more."""
        lists = [version for site in self.sites.values() for version in site.offering.price.lists]
        if not lists:
            return {}
        known: dict[ProjectId, Customer] = {}
        if any(each.organisations for version in lists for each in version.discounts):
            known = {each.id: Customer(each.id, each.organisation) for each in self.recording.projects.values()}
        there = (
            (month, paid_at is not None and paid_at <= now)
            for month, paid_at in self.recording.plans
            if month.bought_at <= now < month.to_at
        )
        projects = {job.project for job in self.queue.values()}
        return using(covered(known, there, now, self.meters.used), self.meters.used_in(month_of(now), projects))

    def _next(self, now: datetime, turns: Sequence[datetime]) -> datetime:
        """The next instant at which there may be something to decide."""
        found = [turns[0]] if turns else []
        if self.queue and self.turn is not None:
            found.append(now + self.turn)
        if not turns and self.ends:
            found.append(self.ends[0][0] + _HEARD)
        return min(found, default=now + _IDLE)

    def _admit(self, waiting: Sequence[Recorded], recorded: Mapping[JobId, Recorded]) -> list[Recorded]:
        """Queue those whose needs have ended; needs outside of the recording had ended before."""
        left: list[Recorded] = []
        for one in waiting:
            if all(need in self.over or need not in recorded for need in one.job.needs):
                self.queue[one.job.id] = _fresh(one.job)
            else:
                left.append(one)
        return left

    def _end(self, now: datetime) -> None:
        # Strictly before: what ends as a turn begins is told after it.
        while self.ends and self.ends[0][0] < now:
            self._keep_means(self.ends[0][0])
            _, job_id, _ = heapq.heappop(self.ends)
            self.over.add(job_id)
        self._keep_means(now)
        self.meters.to(now)

    def _keep_means(self, now: datetime) -> None:
        """Add what projects hold, as they have since the last time, to what they held lately."""
        passed_s = 0.0 if self.meant_at is None else (now - self.meant_at).total_seconds()
        self.meant_at = now
        if passed_s <= 0:
            return
        holds, half_life_s = self._holds(), self.recording.rules.half_life_s
        for project in sorted({*holds, *self.lately}):
            had, held = self.lately.get(project, NOTHING), holds.get(project, NOTHING)
            self.lately[project] = averaged(had, held, passed_s, half_life_s)

    def _holds(self) -> Mapping[ProjectId, Amounts]:
        found: dict[ProjectId, Amounts] = {}
        for _, _, run in self.ends:
            need, nodes, model = run.job.task.resources, run.job.task.nodes, run.allocation.device_model
            had = found.get(run.job.project, NOTHING)
            devices = dict(had.devices)
            if model is not None and need.devices is not None:
                devices[model] = devices.get(model, 0.0) + need.devices.count * nodes
            found[run.job.project] = Amounts(
                cores=had.cores + need.cores * nodes, memory_gb=had.memory_gb + need.memory_gb * nodes, devices=devices
            )
        return found

    def _fairness(self) -> Fairness | None:
        projects = {job.project for job in self.queue.values()}
        return standings(self.recording.allowances, self.recording.rules, projects, self._holds, lambda: self.lately)

    def _decide(self, now: datetime, recorded: Mapping[JobId, Recorded]) -> None:
        if not self.queue:
            return
        sites = tuple(self.sites.values())
        seen = Snapshot(
            now=now,
            jobs=tuple(self.queue.values()),
            sites=sites,
            held=self._held(),
            places=self.recording.places,
            slowness=slowness(sites),
            fairness=self._fairness(),
            payers=self._payers(now),
        )
        for place in self.decide_with(seen).places:
            one = recorded[place.job.id]
            step = lease(place, self.sites[place.site], now + _LEASE, now, seen.payers)
            assert step.allocation is not None, "a lease makes an allocation"
            start = now + one.delay
            run = Run(job=one.job, allocation=replace(step.allocation, started_at=start), until=start + one.work)
            self.done.append(run)
            if self.meters.count:
                self.meters.begin(run)
            heapq.heappush(self.ends, (run.until, one.job.id, run))
            del self.queue[one.job.id]

    def _held(self) -> Mapping[SiteId, Held]:
        found: dict[SiteId, Held] = {}
        for _, _, run in self.ends:
            need, nodes, model = run.job.task.resources, run.job.task.nodes, run.allocation.device_model
            held = found.get(run.allocation.site_id, Held())
            devices = dict(held.devices)
            if model is not None and need.devices is not None:
                devices[model] = devices.get(model, 0) + need.devices.count * nodes
            found[run.allocation.site_id] = Held(
                cores=held.cores + need.cores * nodes,
                memory_gb=held.memory_gb + need.memory_gb * nodes,
                devices=devices,
                allocations=held.allocations + 1,
            )
        return found


def _fresh(job: Job) -> Job:
    """As it was when it became ready."""
    return replace(
        job,
        state=JobState.QUEUED,
        epoch=0,
        allocation_id=None,
        site_id=None,
        attempts=0,
        started_at=None,
        ended_at=None,
        reason="",
        exit_code=None,
        checkpoint=None,
        checkpoint_site=None,
        avoided=(),
        billed_fen=0,
        usage=Usage(),
    )
