"""Yesterday once more: jobs that the live network ran, decided anew on a virtual clock, with the invoices that follow.

Owns the turn from the network's own record to a play and back to bills. Decisions, leases, metering and rating are the live
network's own code; what is modelled is that runs take as long as they took, sites are as they are declared now, and none
is lost. Replayed as it was decided, the bills are the real ones.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from suanwang.control.billing.metering import meter
from suanwang.control.billing.prices import payers
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.sharing import NOTHING, standings
from suanwang.control.standing import slowness
from suanwang.control.steps import lease
from suanwang.control.tick import Decide
from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.device import Position
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, BillLine, Job, Usage
from suanwang.domain.lifecycle import ENDED, JobState, SiteState
from suanwang.domain.pricing import Customer
from suanwang.domain.site import Held, Site
from suanwang.domain.task import Objective
from suanwang.ports import BillQuery, JobQuery
from suanwang.scheduling.fairness import Fairness, averaged
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.snapshot import Snapshot
from suanwang.trading.rating import billed_fen

K = TypeVar("K")
MOST_JOBS = 100_000
_PAGE = 500
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A job that came and ended within the time that is replayed, with every lease it had."""

    job: Job
    allocations: tuple[Allocation, ...]

    @property
    def ran(self) -> tuple[Allocation, ...]:
        """The leases under which it really ran."""
        return tuple(one for one in self.allocations if one.started_at and one.metered_until)

    @property
    def work(self) -> timedelta:
        """How long it runs undisturbed: all it ran where it keeps checkpoints, else its last run."""
        runs = [one.metered_until - one.started_at for one in self.ran if one.metered_until and one.started_at]
        if not runs:
            return timedelta(0)
        return sum(runs, timedelta(0)) if self.job.task.checkpoint else runs[-1]

    @property
    def delay(self) -> timedelta:
        """From the lease to the start, as it was at its first run."""
        return next((one.started_at - one.granted_at for one in self.ran if one.started_at), timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    jobs: tuple[Recorded, ...]
    sites: tuple[Site, ...]
    places: Mapping[str, Position]
    meter_every_s: float
    rules: Rules = field(default_factory=Rules)
    allowances: Mapping[ProjectId, Allowance] = field(default_factory=dict)
    """Of projects, as they are now."""
    payers: Mapping[ProjectId, Customer] = field(default_factory=dict)
    """What price lists look at in projects; without their plans, of which a replay does not count the hours."""
    left_out: tuple[str, ...] = ()
    """In words with counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job under a lease, from its start `until` its end."""

    job: Job
    allocation: Allocation
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoices:
    lines: tuple[BillLine, ...]
    energy_kwh: float
    carbon_g: float

    @property
    def by_project(self) -> Mapping[ProjectId, int]:
        """In fen."""
        return _sums((line.project, line.amount_fen) for line in self.lines)

    @property
    def by_provider(self) -> Mapping[str, int]:
        """In fen."""
        return _sums((line.provider, line.amount_fen) for line in self.lines)

    @property
    def by_job(self) -> Mapping[JobId, int]:
        """In fen."""
        return _sums((line.job_id, line.amount_fen) for line in self.lines)


def record(network: Network, caller: Principal, from_at: datetime, to_at: datetime) -> Recording:
    """What the live network ran between two instants. For operators and regulators. Raises `InvalidRequest`."""
    caller.must_be(Role.OPERATOR, Role.REGULATOR)
    if to_at <= from_at:
        raise InvalidRequest("this time is empty", field="to", allowed="later than `from`")
    found: list[Recorded] = []
    late = 0
    for job in _jobs(network, caller, from_at):
        if job.submitted_at >= to_at:
            continue
        if job.state not in ENDED or job.ended_at is None or job.ended_at > to_at:
            late += 1
            continue
        allocations = tuple(network.store.allocations(job.id))
        if allocations:
            found.append(Recorded(job=job, allocations=allocations))
    if not found:
        raise InvalidRequest("no job came and ended in this time", field="from", allowed="a time with finished work")
    found.sort(key=lambda one: (_ready(one.job), one.job.id))
    sites = tuple(network.store.sites())
    known = payers(network.store, sites, network.clock.now())
    return Recording(
        jobs=tuple(found),
        sites=sites,
        payers={project: replace(payer, covers=()) for project, payer in known.items()},
        places=network.places,
        meter_every_s=network.rules.meter_every_s,
        rules=network.rules,
        allowances=network.store.allowances(),
        left_out=(f"{late} jobs that had not ended by then",) if late else (),
    )


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


def invoices(recording: Recording, runs: Iterable[Run]) -> Invoices:
    """What `runs` are billed: metered and rated by the live network's own code."""
    providers = {site.id: site.offering.provider for site in recording.sites}
    by_job: dict[JobId, list[Run]] = defaultdict(list)
    for run in runs:
        by_job[run.job.id].append(run)
    lines: list[BillLine] = []
    energy = carbon = 0.0
    for each in by_job.values():
        job = replace(each[0].job, usage=Usage(), billed_fen=0)
        for run in sorted(each, key=lambda one: (one.allocation.epoch, one.allocation.id)):
            fresh = replace(run.allocation, metered_until=None, records=0, usage=Usage())
            metered = meter(
                job,
                fresh,
                run.until,
                provider=providers[fresh.site_id],
                every_s=recording.meter_every_s,
                final=True,
            )
            job = metered.job
            lines += metered.bill_lines
            energy += sum(usage.energy_kwh for usage in metered.usage)
            carbon += sum(usage.carbon_g for usage in metered.usage)
    return Invoices(lines=tuple(lines), energy_kwh=energy, carbon_g=carbon)


def real_bills(network: Network, recording: Recording) -> Mapping[JobId, int]:
    """What the jobs were really billed, in fen, as the store has it, but each rounded by itself: what it was rounded together
    with may lie outside the recording, and would not be what another decision puts beside it."""
    found: dict[JobId, Decimal] = {}
    for one in recording.jobs:
        cursor: str | None = None
        while True:
            lines, cursor = network.store.bill_lines(BillQuery(job_id=one.job.id), cursor, _PAGE)
            for line in lines:
                found[one.job.id] = found.get(one.job.id, Decimal(0)) + line.rated_yuan
            if cursor is None:
                break
    return {job: billed_fen(yuan) for job, yuan in found.items()}


@dataclass(slots=True)
class _Replay:
    """Carries what runs and what waits from one instant to the next."""

    recording: Recording
    decide_with: Decide
    turn: timedelta | None
    sites: Mapping[SiteId, Site] = field(init=False)
    ends: list[tuple[datetime, JobId, Run]] = field(default_factory=list)
    queue: dict[JobId, Job] = field(default_factory=dict)
    over: set[JobId] = field(default_factory=set)
    done: list[Run] = field(default_factory=list)
    lately: dict[ProjectId, Amounts] = field(default_factory=dict)
    """What projects held, up to `meant_at`."""
    meant_at: datetime | None = None

    def __post_init__(self) -> None:
        awake = [replace(site, state=SiteState.REACHABLE, open=True) for site in self.recording.sites]
        self.sites = {site.id: site for site in awake}

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
            while arriving and _ready(arriving[0].job) <= now:
                waiting.append(arriving.popleft())
            waiting = self._admit(waiting, recorded)
            self._decide(now, recorded)
            idle = 0 if turns or self.ends else idle + 1
        return tuple(self.done)

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
            payers=self.recording.payers,
        )
        for place in self.decide_with(seen).places:
            one = recorded[place.job.id]
            step = lease(place, self.sites[place.site], now + _LEASE, now, seen.payers)
            assert step.allocation is not None, "a lease makes an allocation"
            start = now + one.delay
            run = Run(job=one.job, allocation=replace(step.allocation, started_at=start), until=start + one.work)
            self.done.append(run)
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


def _jobs(network: Network, caller: Principal, from_at: datetime) -> Iterable[Job]:
    """Submitted since, newest first."""
    cursor: str | None = None
    for _ in range(MOST_JOBS // _PAGE):
        page, cursor = network.jobs.page(caller, JobQuery(), cursor, _PAGE)
        for job in page:
            if job.submitted_at < from_at:
                return
            yield job
        if cursor is None:
            return


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


def _ready(job: Job) -> datetime:
    return job.ready_at or job.submitted_at


def _sums(pairs: Iterable[tuple[K, int]]) -> dict[K, int]:
    found: dict[K, int] = defaultdict(int)
    for key, amount in pairs:
        found[key] += amount
    return dict(found)
