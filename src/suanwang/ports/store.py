"""The network's memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.file import FileRecord
from suanwang.domain.identity import Project, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    BillLine,
    Event,
    Job,
    LogChunk,
    Place,
    Point,
    Step,
    UsageRecord,
)
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import PriceList
from suanwang.domain.quote import Quote, Taught
from suanwang.domain.sample import Sample
from suanwang.domain.site import Ending, Held, Site
from suanwang.measuring.calibration import Belief, EfficiencyState
from suanwang.ports.budgets import Budgets
from suanwang.ports.ledger import Charged, Ledger
from suanwang.ports.market import Market
from suanwang.ports.overview import Overview
from suanwang.ports.trade import Agreements, Disputes, Listings, Plans, Vouchers
from suanwang.trading.published import Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A caller's own key for one request. The same key with another `digest` of the request is a `Conflict`."""

    principal: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """None means no restriction."""

    projects: Collection[ProjectId] | None = None
    states: Collection[JobState] | None = None
    site_id: SiteId | None = None
    owner: str | None = None
    array_id: JobId | None = None
    name: str | None = None
    """Exact task name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What each project held lately, older times counting less, as of one instant."""

    at: datetime
    of: Mapping[ProjectId, Amounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillQuery:
    projects: Collection[ProjectId] | None = None
    job_id: JobId | None = None
    site_id: SiteId | None = None
    provider: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTotal:
    """Sums over bill lines that agree in project and provider."""

    project: ProjectId
    provider: str
    jobs: int
    amount_fen: int
    energy_kwh: float
    carbon_g: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of an allocation's output is stored."""

    stdout: int = 0
    stderr: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told outside, at least once."""

    id: int
    payload: Mapping[str, object]
    attempts: int


class Store(Ledger, Budgets, Market, Plans, Vouchers, Agreements, Disputes, Listings, Overview, Protocol):
    """The network's memory. Every method is one transaction. Raises `Unavailable` where the database does not answer.

    Cursors are opaque strings; None starts at the front and comes back at the end.
    """

    # jobs
    def add_jobs(
        self, jobs: Sequence[Job], events: Sequence[Event], idempotency: Idempotency | None = None
    ) -> tuple[tuple[JobId, ...], bool]:
        """Insert jobs (revision 0) with their events. A known key with the same digest changes nothing and returns the
        earlier identifiers and True. Raises `Conflict` for a key used for another request."""

    def jobs_of_key(self, idempotency: Idempotency) -> tuple[JobId, ...] | None:
        """Jobs that a request with this key was given, None for a new key. Raises `Conflict` as `add_jobs`."""

    def job(self, job_id: JobId) -> Job | None: ...

    def jobs(self, query: JobQuery, cursor: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
        """Newest first."""

    def jobs_by_id(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]: ...

    def count_jobs(self, projects: Collection[ProjectId] | None = None) -> Mapping[JobState, int]:
        """Jobs per state (states with none may be missing)."""

    def queued(self, limit: int, after: Place | None = None, now: datetime | None = None) -> Sequence[Job]:
        """Jobs in `QUEUED`, by `place_of`; with `after`, those behind that place; with `now`, without those that a hold
        keeps beyond it."""

    def decided_waiting(self, limit: int) -> Sequence[tuple[Job, Mapping[JobId, JobState]]]:
        """Jobs in `WAITING` whose needs have all succeeded, or one of whose needs ended otherwise; with their needs' states."""

    def live_at(self, site_id: SiteId) -> Sequence[tuple[Job, Allocation]]:
        """Jobs whose live allocation (`LEASED` or `RUNNING`) is at the site, by allocation identifier."""

    def checkpointed(self, limit: int, after: AllocationId | None = None) -> Sequence[tuple[Job, Allocation]]:
        """Jobs in `RUNNING` with a checkpoint and no hold, with their live allocations, by allocation identifier; those behind
        `after`."""

    def overdue(self, before: datetime, limit: int) -> Sequence[tuple[Job, Allocation]]:
        """Live allocations with `lease_until` before the instant."""

    def allocation(self, allocation_id: AllocationId) -> Allocation | None: ...

    def allocations(self, job_id: JobId) -> Sequence[Allocation]:
        """By epoch."""

    def apply(self, steps: Sequence[Step]) -> frozenset[JobId]:
        """Carry out each step wholly or not at all; returns the jobs whose step was refused.

        A step is refused where the stored job revision is not `step.job.revision - 1`, and, where it fences
        (`allocation.state` FENCED), where the stored `lease_until` is no longer the allocation's. Two steps of one job in
        one call are not allowed. Events, usage records, bill lines and notices of applied steps are appended; a usage
        record whose id exists already refuses its step.
        """

    def renew(self, allocation_ids: Sequence[AllocationId], lease_until: datetime) -> frozenset[AllocationId]:
        """Move `lease_until` (never backwards) of those that are still live; returns which."""

    # sites
    def add_site(self, site: Site, events: Sequence[Event], published: Sequence[Published] = ()) -> None:
        """Raises `Conflict` where the identifier is taken. The log gets `published` in the same step."""

    def site(self, site_id: SiteId) -> Site | None: ...

    def sites(self) -> Sequence[Site]:
        """By identifier."""

    def put_site(
        self,
        site: Site,
        events: Sequence[Event] = (),
        *,
        unhold: bool = False,
        price_list: PriceList | None = None,
        published: Sequence[Published] = (),
    ) -> None:
        """Replace; `site.revision` is the stored one plus 1, else `Conflict`. With `unhold`, queued jobs that are held for
        this site lose their hold in the same step, so that they are decided anew. With `price_list`, that version is added
        to the site's history in the same step; `Conflict` where it has one of that number. The log gets `published`."""

    def price_lists(self, site_id: SiteId, before: int | None, limit: int) -> Sequence[PriceList]:
        """The newest versions below `before`, newest first. They are never changed or taken away."""

    def device_us(self, project: ProjectId, site_id: SiteId, device: str, from_at: datetime, to_at: datetime) -> int:
        """Device microseconds of usage records that begin from `from_at` on and before `to_at`."""

    def devices_used(
        self, projects: Collection[ProjectId], sites: Collection[SiteId], from_at: datetime, to_at: datetime
    ) -> Sequence[tuple[ProjectId, SiteId, str, int]]:
        """As `device_us`, of each device that these projects used at these sites, in the order of the names."""

    def held(self) -> Mapping[SiteId, Held]:
        """Sums over live allocations: nodes × per-node figures of their jobs. Sites with none may be missing."""

    def endings(self) -> Mapping[SiteId, Sequence[Ending]]:
        """When live allocations are over at the latest: granted or started plus their time limit. Where there are many, those
        of one minute are put together at its end."""

    def add_samples(self, site_id: SiteId, samples: Sequence[Sample]) -> None: ...

    def samples(self, site_id: SiteId) -> Sequence[Sample]:
        """The newest of each (metric_type, source, statistic), by metric_type."""

    # output
    def add_output(self, chunks: Sequence[LogChunk], points: Sequence[Point]) -> None:
        """Append. A chunk that does not begin where its stream ends, and a line that exists, are passed over."""

    def extents(self, allocation_ids: Sequence[AllocationId]) -> Mapping[AllocationId, Extent]:
        """Every identifier asked for is in the answer."""

    def logs(self, job_id: JobId, after: int, limit: int) -> Sequence[tuple[int, LogChunk]]:
        """(sequence number, chunk) with sequence > `after`, ascending."""

    def points(self, job_id: JobId) -> Sequence[Point]:
        """By arrival."""

    # the record
    def append_events(self, events: Sequence[Event]) -> None: ...

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
        """With `seq` > `after`, ascending; `kind` is a prefix such as `job.`."""

    def last_seq(self) -> int: ...

    def usage_records(self, job_id: JobId) -> Sequence[UsageRecord]: ...

    def bill_lines(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[BillLine], str | None]:
        """Newest first."""

    def charges(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[Charged], str | None]:
        """Bill lines with what they were rated from, oldest first."""

    def bill_totals(self, query: BillQuery) -> Sequence[BillTotal]: ...

    # quotes and learning
    def add_quote(self, quote: Quote) -> None: ...

    def quote(self, quote_id: str) -> Quote | None: ...

    def unlearnt(self, limit: int) -> Sequence[tuple[Job, Allocation]]:
        """Succeeded jobs whose terms hold a prediction and that nothing was learnt from yet, with their last allocation."""

    def add_lesson(self, taught: Taught, belief: Belief | None) -> bool:
        """Keep what a job taught and, where it did, the new belief about its (device, class). False where the job taught before."""

    def lessons(self, limit: int) -> Sequence[Taught]:
        """Newest first."""

    def beliefs(self) -> EfficiencyState: ...

    # files
    def add_file(self, record: FileRecord) -> FileRecord:
        """Store under the next version of (project, name); the same content again returns the version that has it."""

    def file(self, project: ProjectId, name: str) -> FileRecord | None:
        """The newest version."""

    def files(self, project: ProjectId, cursor: str | None, limit: int) -> tuple[Sequence[FileRecord], str | None]: ...

    def file_of(self, project: ProjectId, sha256: str) -> FileRecord | None:
        """A file of the project that has this content and may leave its site."""

    def file_readers(self, sha256: str) -> Collection[ProjectId]:
        """Projects that have a record of this content."""

    # people
    def add_token(self, token: Token, events: Sequence[Event]) -> None: ...

    def token(self, digest: str) -> Token | None: ...

    def tokens(self) -> Sequence[Token]: ...

    def revoke_token(self, token_id: str, at: datetime, events: Sequence[Event]) -> bool:
        """False where there is none of that identifier."""

    def add_project(self, project: Project, events: Sequence[Event]) -> None:
        """Adding one that exists changes nothing."""

    def label_project(self, project_id: ProjectId, labels: Mapping[str, str], events: Sequence[Event]) -> bool:
        """Say whose a project is; False where there is none."""

    def projects(self) -> Sequence[Project]: ...

    # allowances of projects
    def put_allowance(self, project_id: ProjectId, allowance: Allowance, events: Sequence[Event]) -> bool:
        """Replace what a project may have; False where there is no such project."""

    def allowances(self) -> Mapping[ProjectId, Allowance]:
        """Of the projects somebody decided about."""

    def held_by_project(self) -> Mapping[ProjectId, Amounts]:
        """Sums over live allocations, as `held`, by project. Projects with none may be missing."""

    def lately(self) -> Lately | None: ...

    def put_lately(self, lately: Lately, before: datetime | None) -> bool:
        """Replace the means; False where what is stored is not as of `before` (None: nothing is stored)."""

    # outbox
    def notices_due(self, now: datetime, limit: int) -> Sequence[Notice]: ...

    def notice_done(self, notice_id: int) -> None: ...

    def notice_failed(self, notice_id: int, next_at: datetime) -> None: ...

    def turn(self, name: str) -> AbstractContextManager[bool]:
        """True for one replica at a time: who gets False lets this round pass."""
