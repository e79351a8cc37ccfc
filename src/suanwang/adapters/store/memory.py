"""The store in memory: the reference for the Protocol, and what the simulation runs on.

Owns the same rules that PostgreSQL enforces with keys and guards. One lock stands for transactions.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice

from suanwang.adapters.store.market_memory import MemoryMarket
from suanwang.adapters.store.memory_agreements import MemoryAgreements
from suanwang.adapters.store.memory_allowances import MemoryAllowances
from suanwang.adapters.store.memory_budgets import MemoryBudgets
from suanwang.adapters.store.memory_disputes import MemoryDisputes
from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.adapters.store.memory_listings import MemoryListings
from suanwang.adapters.store.memory_overview import MemoryOverview
from suanwang.adapters.store.memory_plans import MemoryPlans
from suanwang.adapters.store.memory_vouchers import MemoryVouchers
from suanwang.adapters.store.rows import ends_at
from suanwang.domain.errors import Conflict
from suanwang.domain.file import FileRecord
from suanwang.domain.identity import Project, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    AllocationState,
    BillLine,
    Event,
    Job,
    LogChunk,
    Place,
    Point,
    Step,
    UsageRecord,
    place_of,
)
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.domain.pricing import PriceList
from suanwang.domain.quote import Quote, Taught
from suanwang.domain.sample import Sample
from suanwang.domain.site import Ending, Held, Site
from suanwang.measuring.calibration import Belief, EfficiencyState
from suanwang.measuring.workclass import WorkClass
from suanwang.ports import BillQuery, BillTotal, Charged, Extent, Idempotency, JobQuery, Notice
from suanwang.trading.published import Published
from suanwang.trading.tallying import tallied

LIVE_ALLOCATION = frozenset({AllocationState.LEASED, AllocationState.RUNNING})


def _asleep(job: Job, now: datetime) -> bool:
    until = None if job.hold is None else job.hold.asleep_until
    return until is not None and until > now


class MemoryStore(
    MemoryMarket,
    MemoryPlans,
    MemoryVouchers,
    MemoryAgreements,
    MemoryDisputes,
    MemoryAllowances,
    MemoryListings,
    MemoryOverview,
    MemoryBudgets,
    MemoryLedger,
):
    """Implements `ports.Store`."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._jobs: dict[JobId, Job] = {}
        self._order: list[JobId] = []
        self._queue: list[Place] = []
        self._waiting: dict[JobId, None] = {}
        self._allocations: dict[AllocationId, Allocation] = {}
        self._of_job: dict[JobId, list[AllocationId]] = defaultdict(list)
        self._live: dict[AllocationId, JobId] = {}
        self._sites: dict[SiteId, Site] = {}
        self._price_lists: dict[SiteId, dict[int, PriceList]] = {}
        self._samples: dict[tuple[SiteId, str, str, str], Sample] = {}
        self._chunks: list[tuple[int, LogChunk]] = []
        self._points: dict[tuple[AllocationId, int, str], Point] = {}
        self._extents: dict[AllocationId, Extent] = {}
        self._events: list[Event] = []
        self._usage: dict[str, UsageRecord] = {}
        self._bills: list[BillLine] = []
        self._files: dict[tuple[ProjectId, str], list[FileRecord]] = defaultdict(list)
        self._tokens: dict[str, Token] = {}
        self._projects: dict[ProjectId, Project] = {}
        self._keys: dict[tuple[str, str], tuple[str, tuple[JobId, ...]]] = {}
        self._notices: dict[int, tuple[Notice, datetime | None]] = {}
        self._notice_id = 0
        self._quotes: dict[str, Quote] = {}
        self._lessons: dict[JobId, Taught] = {}
        self._beliefs: dict[tuple[str, WorkClass], Belief] = {}

    # jobs

    def add_jobs(
        self, jobs: Sequence[Job], events: Sequence[Event], idempotency: Idempotency | None = None
    ) -> tuple[tuple[JobId, ...], bool]:
        with self._lock:
            if idempotency is not None:
                known = self._keys.get((idempotency.principal, idempotency.key))
                if known is not None:
                    if known[0] != idempotency.digest:
                        raise Conflict("this Idempotency-Key was used for another request", field="Idempotency-Key")
                    return known[1], True
            for job in jobs:
                if job.id in self._jobs:
                    raise Conflict(f"job {job.id} exists")
            identifiers = tuple(job.id for job in jobs)
            for job in jobs:
                self._order.append(job.id)
                self._put_job(job, None)
            if idempotency is not None:
                self._keys[idempotency.principal, idempotency.key] = (idempotency.digest, identifiers)
            self.append_events(events)
            return identifiers, False

    def jobs_of_key(self, idempotency: Idempotency) -> tuple[JobId, ...] | None:
        with self._lock:
            known = self._keys.get((idempotency.principal, idempotency.key))
            if known is not None and known[0] != idempotency.digest:
                raise Conflict("this Idempotency-Key was used for another request", field="Idempotency-Key")
            return None if known is None else known[1]

    def _put_job(self, job: Job, old: Job | None) -> None:
        if old is not None and old.state is JobState.QUEUED:
            self._queue.remove(place_of(old))
        self._waiting.pop(job.id, None)
        if job.state is JobState.QUEUED:
            insort(self._queue, place_of(job))
        elif job.state is JobState.WAITING:
            self._waiting[job.id] = None
        self._jobs[job.id] = job

    def job(self, job_id: JobId) -> Job | None:
        return self._jobs.get(job_id)

    def jobs(self, query: JobQuery, cursor: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
        with self._lock:
            end = int(cursor) if cursor else len(self._order)
            found: list[Job] = []
            for index in range(end - 1, -1, -1):
                job = self._jobs[self._order[index]]
                if _matches(job, query):
                    if len(found) == limit:
                        return found, str(index + 1)
                    found.append(job)
            return found, None

    def jobs_by_id(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        return {job_id: self._jobs[job_id] for job_id in job_ids if job_id in self._jobs}

    def count_jobs(self, projects: Collection[ProjectId] | None = None) -> Mapping[JobState, int]:
        with self._lock:
            counts: dict[JobState, int] = defaultdict(int)
            for job in self._jobs.values():
                if projects is None or job.project in projects:
                    counts[job.state] += 1
            return counts

    def queued(self, limit: int, after: Place | None = None, now: datetime | None = None) -> Sequence[Job]:
        with self._lock:
            first = 0 if after is None else bisect_right(self._queue, after)
            jobs = (self._jobs[job_id] for *_, job_id in islice(self._queue, first, None))
            return list(islice((job for job in jobs if now is None or not _asleep(job, now)), limit))

    def decided_waiting(self, limit: int) -> Sequence[tuple[Job, Mapping[JobId, JobState]]]:
        with self._lock:
            found: list[tuple[Job, Mapping[JobId, JobState]]] = []
            for job_id in self._waiting:
                job = self._jobs[job_id]
                states = {need: self._jobs[need].state for need in job.needs}
                broken = any(state in ENDED and state is not JobState.SUCCEEDED for state in states.values())
                if broken or all(state is JobState.SUCCEEDED for state in states.values()):
                    found.append((job, states))
                    if len(found) == limit:
                        break
            return found

    def live_at(self, site_id: SiteId) -> Sequence[tuple[Job, Allocation]]:
        with self._lock:
            mine = sorted(key for key in self._live if self._allocations[key].site_id == site_id)
            return [(self._jobs[self._live[key]], self._allocations[key]) for key in mine]

    def checkpointed(self, limit: int, after: AllocationId | None = None) -> Sequence[tuple[Job, Allocation]]:
        with self._lock:
            found = []
            for key in sorted(self._live):
                job = self._jobs[self._live[key]]
                wanted = job.state is JobState.RUNNING and job.checkpoint is not None and job.hold is None
                if wanted and (after is None or key > after):
                    found.append((job, self._allocations[key]))
            return found[:limit]

    def overdue(self, before: datetime, limit: int) -> Sequence[tuple[Job, Allocation]]:
        with self._lock:
            late = sorted(key for key in self._live if self._allocations[key].lease_until < before)
            return [(self._jobs[self._live[key]], self._allocations[key]) for key in late[:limit]]

    def allocation(self, allocation_id: AllocationId) -> Allocation | None:
        return self._allocations.get(allocation_id)

    def allocations(self, job_id: JobId) -> Sequence[Allocation]:
        with self._lock:
            return sorted((self._allocations[key] for key in self._of_job.get(job_id, ())), key=lambda a: a.epoch)

    def apply(self, steps: Sequence[Step]) -> frozenset[JobId]:
        with self._lock:
            if len({step.job.id for step in steps}) != len(steps):
                raise ValueError("two steps of one job in one call")
            return frozenset(step.job.id for step in steps if not self._apply(step))

    def _apply(self, step: Step) -> bool:
        old = self._jobs.get(step.job.id)
        if old is None or old.revision != step.job.revision - 1:
            return False
        allocation = step.allocation
        if allocation is not None:
            stored = self._allocations.get(allocation.id)
            if allocation.state is AllocationState.FENCED and (
                stored is None or stored.lease_until != allocation.lease_until
            ):
                return False
        if any(record.id in self._usage for record in step.usage) or not self._pledge(step):
            return False
        step = tallied(step, self._tallies)
        self._put_job(step.job, old)
        if allocation is not None:
            self._put_allocation(allocation)
        self._usage.update({record.id: record for record in step.usage})
        self._bills.extend(step.bill_lines)
        self._owe(step.bill_lines)
        self.append_events(step.events)
        for payload in step.notices:
            self._notice_id += 1
            self._notices[self._notice_id] = (Notice(id=self._notice_id, payload=payload, attempts=0), None)
        return True

    def _put_allocation(self, allocation: Allocation) -> None:
        stored = self._allocations.get(allocation.id)
        if stored is None:
            self._of_job[allocation.job_id].append(allocation.id)
        else:
            # Renewals move the lease beside the steps; a step never takes it back.
            allocation = replace(allocation, lease_until=max(stored.lease_until, allocation.lease_until))
        self._allocations[allocation.id] = allocation
        if allocation.state in LIVE_ALLOCATION:
            self._live[allocation.id] = allocation.job_id
        else:
            self._live.pop(allocation.id, None)
            self._closing.add(allocation.id)

    def renew(self, allocation_ids: Sequence[AllocationId], lease_until: datetime) -> frozenset[AllocationId]:
        with self._lock:
            renewed = frozenset(key for key in allocation_ids if key in self._live)
            for key in renewed:
                stored = self._allocations[key]
                self._allocations[key] = replace(stored, lease_until=max(stored.lease_until, lease_until))
            return renewed

    # sites

    def add_site(self, site: Site, events: Sequence[Event], published: Sequence[Published] = ()) -> None:
        with self._lock:
            if site.id in self._sites:
                raise Conflict(f"a site {site.id!r} exists already", field="id")
            self._sites[site.id] = site
            self.append_events(events)
            self._publish(published)

    def site(self, site_id: SiteId) -> Site | None:
        return self._sites.get(site_id)

    def sites(self) -> Sequence[Site]:
        with self._lock:
            return [self._sites[key] for key in sorted(self._sites)]

    def put_site(
        self,
        site: Site,
        events: Sequence[Event] = (),
        *,
        unhold: bool = False,
        price_list: PriceList | None = None,
        published: Sequence[Published] = (),
    ) -> None:
        with self._lock:
            stored = self._sites.get(site.id)
            if stored is None or stored.revision != site.revision - 1:
                raise Conflict(f"site {site.id} was changed meanwhile")
            if price_list is not None:
                versions = self._price_lists.setdefault(site.id, {})
                if price_list.version in versions:
                    raise Conflict(f"site {site.id} has a price list of that number")
                versions[price_list.version] = price_list
            self._sites[site.id] = site
            self.append_events(events)
            self._publish(published)
            for *_, job_id in self._queue if unhold else ():
                job = self._jobs[job_id]
                if job.hold is not None and job.hold.expect.site == site.id:
                    self._jobs[job_id] = replace(job, hold=None, revision=job.revision + 1)

    def price_lists(self, site_id: SiteId, before: int | None, limit: int) -> Sequence[PriceList]:
        with self._lock:
            versions = self._price_lists.get(site_id, {})
            return [versions[at] for at in sorted(versions, reverse=True) if before is None or at < before][:limit]

    def device_us(self, project: ProjectId, site_id: SiteId, device: str, from_at: datetime, to_at: datetime) -> int:
        with self._lock:
            return sum(
                record.devices * record.us
                for record in self._usage.values()
                if (record.project, record.site_id, record.device_model) == (project, site_id, device)
                and from_at <= record.from_at < to_at
            )

    def devices_used(
        self, projects: Collection[ProjectId], sites: Collection[SiteId], from_at: datetime, to_at: datetime
    ) -> Sequence[tuple[ProjectId, SiteId, str, int]]:
        with self._lock:
            sums: Counter[tuple[ProjectId, SiteId, str]] = Counter()
            for record in self._usage.values():
                within = record.project in projects and record.site_id in sites and from_at <= record.from_at < to_at
                if within and record.device_model is not None and record.devices:
                    sums[record.project, record.site_id, record.device_model] += record.devices * record.us
            return [(*key, sums[key]) for key in sorted(sums)]

    def held(self) -> Mapping[SiteId, Held]:
        with self._lock:
            sums: dict[SiteId, Held] = {}
            for key, job_id in self._live.items():
                allocation, task = self._allocations[key], self._jobs[job_id].task
                need, nodes = task.resources, task.nodes
                had = sums.get(allocation.site_id, Held())
                devices = dict(had.devices)
                if allocation.device_model and need.devices:
                    model = allocation.device_model
                    devices[model] = devices.get(model, 0) + need.devices.count * nodes
                sums[allocation.site_id] = Held(
                    cores=had.cores + need.cores * nodes,
                    memory_gb=had.memory_gb + need.memory_gb * nodes,
                    devices=devices,
                    allocations=had.allocations + 1,
                )
            return sums

    def endings(self) -> Mapping[SiteId, Sequence[Ending]]:
        with self._lock:
            found: dict[SiteId, list[Ending]] = {}
            for key, job_id in self._live.items():
                allocation, task = self._allocations[key], self._jobs[job_id].task
                need = task.resources
                model = allocation.device_model if need.devices else None
                end = Ending(
                    at=ends_at(allocation, task),
                    cores=need.cores * task.nodes,
                    memory_gb=need.memory_gb * task.nodes,
                    device_model=model,
                    devices=need.devices.count * task.nodes if need.devices and model else 0,
                )
                found.setdefault(allocation.site_id, []).append(end)
            return {site: sorted(ends, key=lambda end: end.at) for site, ends in found.items()}

    def add_samples(self, site_id: SiteId, samples: Sequence[Sample]) -> None:
        with self._lock:
            for sample in samples:
                key = (site_id, sample.metric_type, sample.source, sample.statistic)
                stored = self._samples.get(key)
                if stored is None or stored.observed_at <= sample.observed_at:
                    self._samples[key] = sample

    def samples(self, site_id: SiteId) -> Sequence[Sample]:
        with self._lock:
            return [self._samples[key] for key in sorted(self._samples) if key[0] == site_id]

    # output

    def add_output(self, chunks: Sequence[LogChunk], points: Sequence[Point]) -> None:
        with self._lock:
            for chunk in chunks:
                extent = self._extents.get(chunk.allocation_id, Extent())
                if chunk.offset != getattr(extent, chunk.stream):
                    continue
                self._chunks.append((len(self._chunks) + 1, chunk))
                end = chunk.offset + chunk.size
                stdout, stderr = (end, extent.stderr) if chunk.stream == "stdout" else (extent.stdout, end)
                self._extents[chunk.allocation_id] = replace(extent, stdout=stdout, stderr=stderr)
            for point in points:
                self._points.setdefault((point.allocation_id, point.line, point.name), point)
                extent = self._extents.get(point.allocation_id, Extent())
                self._extents[point.allocation_id] = replace(extent, points=max(extent.points, point.line))

    def extents(self, allocation_ids: Sequence[AllocationId]) -> Mapping[AllocationId, Extent]:
        return {key: self._extents.get(key, Extent()) for key in allocation_ids}

    def logs(self, job_id: JobId, after: int, limit: int) -> Sequence[tuple[int, LogChunk]]:
        with self._lock:
            found = [(seq, chunk) for seq, chunk in self._chunks[after:] if chunk.job_id == job_id]
            return found[:limit]

    def points(self, job_id: JobId) -> Sequence[Point]:
        with self._lock:
            return [point for point in self._points.values() if point.job_id == job_id]

    # the record

    def append_events(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                self._events.append(replace(event, seq=len(self._events) + 1))

    def events(
        self,
        after: int,
        limit: int,
        *,
        projects: Collection[ProjectId] | None = None,
        job_id: JobId | None = None,
        site_id: SiteId | None = None,
        kind: str | None = None,
    ) -> Sequence[Event]:
        with self._lock:
            found: list[Event] = []
            for event in self._events[after:]:
                if (
                    (projects is None or event.project in projects)
                    and (job_id is None or event.job_id == job_id)
                    and (site_id is None or event.site_id == site_id)
                    and (kind is None or event.kind.startswith(kind))
                ):
                    found.append(event)
                    if len(found) == limit:
                        break
            return found

    def last_seq(self) -> int:
        return len(self._events)

    def usage_records(self, job_id: JobId) -> Sequence[UsageRecord]:
        with self._lock:
            return sorted((r for r in self._usage.values() if r.job_id == job_id), key=lambda r: (r.from_at, r.id))

    def bill_lines(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[BillLine], str | None]:
        with self._lock:
            end = int(cursor) if cursor else len(self._bills)
            found: list[BillLine] = []
            for index in range(end - 1, -1, -1):
                if _billed(self._bills[index], query):
                    if len(found) == limit:
                        return found, str(index + 1)
                    found.append(self._bills[index])
            return found, None

    def charges(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[Charged], str | None]:
        with self._lock:
            start = int(cursor) if cursor else 0
            places = (at for at in range(start, len(self._bills)) if _billed(self._bills[at], query))
            found = list(islice(places, limit + 1))
            return [self._charged(self._bills[at]) for at in found[:limit]], str(found[limit]) if len(
                found
            ) > limit else None

    def _charged(self, line: BillLine) -> Charged:
        usage = self._usage[line.usage_id]
        allocation = self._allocations[usage.allocation_id]
        return Charged(
            line=line,
            usage=usage,
            price=allocation.price,
            started_at=allocation.started_at or usage.from_at,
            power_kw=allocation.power_kw,
            settled=line.usage_id in self._settled,
            ran=allocation.ran,
            owners=allocation.owners,
        )

    def bill_totals(self, query: BillQuery) -> Sequence[BillTotal]:
        with self._lock:
            groups: dict[tuple[ProjectId, str], list[BillLine]] = defaultdict(list)
            for line in self._bills:
                if _billed(line, query):
                    groups[line.project, line.provider].append(line)
            return [
                BillTotal(
                    project=project,
                    provider=provider,
                    jobs=len({line.job_id for line in lines}),
                    amount_fen=sum(line.amount_fen for line in lines),
                    energy_kwh=sum(self._usage[line.usage_id].energy_kwh for line in lines),
                    carbon_g=sum(self._usage[line.usage_id].carbon_g for line in lines),
                )
                for (project, provider), lines in sorted(groups.items())
            ]

    # quotes and learning

    def add_quote(self, quote: Quote) -> None:
        self._quotes[quote.id] = quote

    def quote(self, quote_id: str) -> Quote | None:
        return self._quotes.get(quote_id)

    def unlearnt(self, limit: int) -> Sequence[tuple[Job, Allocation]]:
        with self._lock:
            found: list[tuple[Job, Allocation]] = []
            for job in self._jobs.values():
                if job.terms is None or job.terms.prediction is None or job.state is not JobState.SUCCEEDED:
                    continue
                if job.id not in self._lessons:
                    found.append((job, self.allocations(job.id)[-1]))
            return found[:limit]

    def add_lesson(self, taught: Taught, belief: Belief | None) -> bool:
        with self._lock:
            if taught.job_id in self._lessons:
                return False
            self._lessons[taught.job_id] = taught
            if belief is not None:
                self._beliefs[taught.prediction.device, WorkClass(taught.prediction.work_class)] = belief
            return True

    def lessons(self, limit: int) -> Sequence[Taught]:
        with self._lock:
            return list(self._lessons.values())[::-1][:limit]

    def beliefs(self) -> EfficiencyState:
        with self._lock:
            return EfficiencyState(beliefs=dict(self._beliefs))

    # files

    def add_file(self, record: FileRecord) -> FileRecord:
        with self._lock:
            versions = self._files[record.project, record.name]
            for known in versions:
                if known.content == record.content and known.site_id == record.site_id:
                    return known
            kept = replace(record, version=len(versions) + 1)
            versions.append(kept)
            return kept

    def file(self, project: ProjectId, name: str) -> FileRecord | None:
        versions = self._files.get((project, name))
        return versions[-1] if versions else None

    def files(self, project: ProjectId, cursor: str | None, limit: int) -> tuple[Sequence[FileRecord], str | None]:
        with self._lock:
            names = sorted(name for owner, name in self._files if owner == project)
            start = bisect_right(names, cursor) if cursor else 0
            page = names[start : start + limit]
            after = page[-1] if start + limit < len(names) else None
            return [self._files[project, name][-1] for name in page], after

    def file_of(self, project: ProjectId, sha256: str) -> FileRecord | None:
        with self._lock:
            every = (record for (owner, _), versions in self._files.items() if owner == project for record in versions)
            found = [r for r in every if r.content.sha256 == sha256 and r.site_id is None]
            return max(found, key=lambda record: (record.created_at, record.version), default=None)

    def file_readers(self, sha256: str) -> Collection[ProjectId]:
        with self._lock:
            return {
                project
                for (project, _), versions in self._files.items()
                if any(record.content.sha256 == sha256 for record in versions)
            }

    # people

    def add_token(self, token: Token, events: Sequence[Event]) -> None:
        with self._lock:
            if token.digest in self._tokens:
                raise Conflict("this token exists already")
            self._tokens[token.digest] = token
            self.append_events(events)

    def token(self, digest: str) -> Token | None:
        return self._tokens.get(digest)

    def tokens(self) -> Sequence[Token]:
        with self._lock:
            return sorted(self._tokens.values(), key=lambda token: token.id)

    def revoke_token(self, token_id: str, at: datetime, events: Sequence[Event]) -> bool:
        with self._lock:
            for digest, token in self._tokens.items():
                if token.id == token_id:
                    self._tokens[digest] = replace(token, revoked_at=token.revoked_at or at)
                    self.append_events(events)
                    return True
            return False

    def add_project(self, project: Project, events: Sequence[Event]) -> None:
        with self._lock:
            if project.id not in self._projects:
                self._projects[project.id] = project
                self.append_events(events)

    def label_project(self, project_id: ProjectId, labels: Mapping[str, str], events: Sequence[Event]) -> bool:
        with self._lock:
            if project_id not in self._projects:
                return False
            self._projects[project_id] = replace(self._projects[project_id], labels=dict(labels))
            self.append_events(events)
            return True

    def projects(self) -> Sequence[Project]:
        with self._lock:
            return [self._projects[key] for key in sorted(self._projects)]

    # outbox

    def notices_due(self, now: datetime, limit: int) -> Sequence[Notice]:
        with self._lock:
            due = [notice for notice, at in self._notices.values() if at is None or at <= now]
            return due[:limit]

    def notice_done(self, notice_id: int) -> None:
        with self._lock:
            self._notices.pop(notice_id, None)

    def notice_failed(self, notice_id: int, next_at: datetime) -> None:
        with self._lock:
            notice, _ = self._notices[notice_id]
            self._notices[notice_id] = (replace(notice, attempts=notice.attempts + 1), next_at)

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        yield True


def _matches(job: Job, query: JobQuery) -> bool:
    return (
        (query.projects is None or job.project in query.projects)
        and (query.states is None or job.state in query.states)
        and (query.site_id is None or job.site_id == query.site_id)
        and (query.owner is None or job.owner == query.owner)
        and (query.array_id is None or job.array_id == query.array_id)
        and (query.name is None or job.task.name == query.name)
    )


def _billed(line: BillLine, query: BillQuery) -> bool:
    return (
        (query.projects is None or line.project in query.projects)
        and (query.job_id is None or line.job_id == query.job_id)
        and (query.site_id is None or line.site_id == query.site_id)
        and (query.provider is None or line.provider == query.provider)
        and (query.from_at is None or line.to_at > query.from_at)
        and (query.to_at is None or line.from_at < query.to_at)
    )
