"""A job, its allocations, and what is written down about them.

Owns the values the control loop moves. The job row is the aggregate: its `revision` guards itself and its allocations,
so two replicas can never both move one job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from suanwang.domain.connector import RunState
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import Pricing
from suanwang.domain.site import Price
from suanwang.domain.tariff import Tier
from suanwang.domain.task import Task
from suanwang.domain.vouching import Vouched


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Electricity at a site when a decision was made."""

    tier: Tier
    yuan_per_kwh: Decimal
    drawn_yuan: float
    """What the user is expected to pay for it in all, as a part of the price; 0 where the posted price includes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a placement is expected to come to."""

    price_yuan: float
    carbon_g: float
    energy_kwh: float
    finish_s: float
    """From the decision to the end, transfer included."""
    delay_ms: float | None = None
    """One way, to the circle's place."""
    electricity: InForce | None = None
    """Where the site names its tariff."""
    voucher: Vouched | None = None
    """What of the price a voucher would pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Why one site was out. `code` is stable for scripts; `reasons.sentence` says it in English or Chinese."""

    site: SiteId
    code: str
    need: str = ""
    have: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One feasible site with its score: 1.0 is a site that is best in every weighted figure; lower is better."""

    site: SiteId
    score: float
    figures: Figures
    device_model: str | None = None
    """The pool it would run on, where the job needs devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why here, why now, why not elsewhere."""

    chosen: Rank | None
    others: tuple[Rank, ...] = ()
    """Next best feasible sites, best first; a full site stands in `excluded` with code `busy`."""
    excluded: tuple[Exclusion, ...] = ()
    excluded_total: int = 0
    decided_at: datetime
    note: str = ""


class AllocationState(StrEnum):
    LEASED = "leased"
    RUNNING = "running"
    ENDED = "ended"
    FENCED = "fenced"
    """The site was silent past the lease; whatever it still reports is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Metered so far. Quantities follow from what was allocated and for how long."""

    wall_s: float = 0.0
    core_hours: float = 0.0
    device_hours: float = 0.0
    energy_kwh: float = 0.0
    carbon_g: float = 0.0
    cost_yuan: Decimal = Decimal(0)
    """Rated exactly; invoices round the job's running total to fen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What the site said of one run, as far as it is known."""

    native_id: str | None = None
    outcome: RunState | None = None
    exit_code: int | None = None
    cpu_s: float | None = None
    nodes: tuple[str, ...] = ()
    records: int = 0
    """Usage records written of it so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One lease of a job to a site. `epoch` is the fencing token: it grows with every lease of the job."""

    id: AllocationId
    job_id: JobId
    site_id: SiteId
    epoch: int
    state: AllocationState
    granted_at: datetime
    lease_until: datetime
    device_model: str | None = None
    """The catalogue identifier of the pool chosen."""
    price: Price
    """As posted when the lease was granted."""
    pue: float
    carbon_g_per_kwh: float
    carbon_daily: tuple[float, ...] = ()
    """As the site declared them, with `carbon_g_per_kwh`."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shares what this run earns, as the site declared when the lease was granted."""
    power_kw: float
    """Modelled draw while running, PUE included."""
    why: Why
    native_id: str | None = None
    phase: str = ""
    """What the agent is at: staging, submitted, running, collecting."""
    started_at: datetime | None = None
    ends_by: datetime | None = None
    """When it is ended for a job of higher priority: its owner was told."""
    ended_at: datetime | None = None
    metered_until: datetime | None = None
    records: int = 0
    """Usage records written so far."""
    seen_from: datetime | None = None
    """When the site's agent first saw it running: where its own watch of the time begins."""
    outcome: RunState | None = None
    exit_code: int | None = None
    reason: str = ""
    cpu_s: float | None = None
    max_memory_gb: float | None = None
    nodes: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)

    @property
    def ran(self) -> Ran:
        return Ran(
            native_id=self.native_id,
            outcome=self.outcome,
            exit_code=self.exit_code,
            cpu_s=self.cpu_s,
            nodes=self.nodes,
            records=self.records,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A figure with the bounds that hold it eight times in ten; equal bounds where it is exact."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was expected of a run, so that its outcome can teach."""

    device: str
    """Catalogue identifier, or `cpu@SITE` for a site's own cores."""
    work_class: str
    published_hours: float
    """By the published rule alone, without any correction learnt since."""
    hours: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a job was promised by the quote it was submitted with, or by the right to capacity that it uses."""

    quote_id: str = ""
    offer: int = 0
    price: Price
    prediction: Prediction | None = None
    reservation: str | None = None
    """The right whose units it runs on."""
    not_before: datetime | None = None
    """When that begins, and when it ends."""
    until: datetime | None = None
    sites: tuple[SiteId, ...] | None = None
    """Where the task itself may run, should the right be taken back; none is anywhere, None not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A queued job that could start now is kept for a better hour, as its flexibility allows."""

    expect: Rank
    """Where it is meant to start, and what that would come to."""
    start_at: datetime
    until: datetime
    """When it is decided anew: then, or at an earlier step of the prices."""
    instead: Rank | None
    """The best that could have started at the decision; None where no site had room."""
    unpaid: str = ""
    """Of a run that is being suspended: the purse that cannot bear more of it, in words. It goes on once there is money."""

    @property
    def asleep_until(self) -> datetime | None:
        """Nothing is decided about the job before; None where it waits for room at a site, and may start at any moment."""
        return self.until if self.start_at >= self.until else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: JobId
    project: ProjectId
    owner: str
    task: Task
    state: JobState
    submitted_at: datetime
    needs: tuple[JobId, ...] = ()
    array_id: JobId | None = None
    """The first member's identifier; None for a job that is no array."""
    array_index: int = 0
    epoch: int = 0
    allocation_id: AllocationId | None = None
    """The live one, while a site holds the job's lease."""
    site_id: SiteId | None = None
    """Where it runs, or ran last."""
    attempts: int = 0
    preemptions: int = 0
    """How often a run of it was ended for other jobs."""
    ready_at: datetime | None = None
    started_at: datetime | None = None
    """First start."""
    ended_at: datetime | None = None
    reason: str = ""
    exit_code: int | None = None
    checkpoint: Content | None = None
    checkpoint_site: SiteId | None = None
    """Set where the checkpoint may not leave its site."""
    held_at: SiteId | None = None
    """The one site that holds a file it reads and may not give it away; known once the job is ready."""
    avoided: tuple[SiteId, ...] = ()
    """Sites whose scheduler refused it for good."""
    billed_fen: int = 0
    usage: Usage = field(default_factory=Usage)
    """Over all allocations."""
    why: Why | None = None
    """The last decision about it."""
    terms: Terms | None = None
    """What the quote it was submitted with promised."""
    hold: Hold | None = None
    """While it is kept for a better hour."""
    revision: int = 0

    @property
    def interruptions(self) -> int:
        """How often the network ended a run of it, for a better hour or for other jobs: such runs use up no attempt."""
        return self.epoch - self.attempts


Place: TypeAlias = tuple[int, datetime, JobId]
"""In the queue: the rank of a job's priority, when it became ready, its identifier."""


def place_of(job: Job) -> Place:
    """Where `job` stands in the queue; shares of projects are reckoned within what is read of it."""
    return job.task.priority.rank, job.ready_at or job.submitted_at, job.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact, appended once. `seq` is given by the store."""

    kind: str
    at: datetime
    project: ProjectId | None = None
    job_id: JobId | None = None
    site_id: SiteId | None = None
    actor: str = "network"
    data: Mapping[str, object] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What one allocation used in one interval. `id` is `ALLOCATION:N`; intervals of a job never overlap, but for what is
    taken back."""

    id: str
    allocation_id: AllocationId
    job_id: JobId
    project: ProjectId
    site_id: SiteId
    from_at: datetime
    to_at: datetime
    cores: int
    memory_gb: float
    device_model: str | None
    devices: int
    energy_kwh: float
    carbon_g: float
    corrects: str | None = None
    """The record that this one takes a part back of: its interval is that part, energy and carbon are negative."""

    @property
    def sign(self) -> int:
        """-1 where time is taken back."""
        return 1 if self.corrects is None else -1

    @property
    def us(self) -> int:
        """Microseconds used; negative where they are taken back."""
        return self.sign * ((self.to_at - self.from_at) // timedelta(microseconds=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One usage record rated by the price that binds its lease. `amount_fen` makes a rounded running total exact: that of its
    job alone until it is written, that of its tally from then on."""

    usage_id: str
    project: ProjectId
    job_id: JobId
    site_id: SiteId
    provider: str
    from_at: datetime
    to_at: datetime
    description: str
    rated_yuan: Decimal
    amount_fen: int
    tally_yuan: Decimal | None = None
    """What its project's use of the site had been rated at in its month before it (`trading.tallying`); None of lines that
    were rounded by their job, and of those that are not written."""
    pricing: Pricing | None = None
    """How its unit prices came about, where a price list binds the lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    allocation_id: AllocationId
    job_id: JobId
    stream: str
    """`stdout` or `stderr`."""
    offset: int
    """Bytes of this stream before the chunk."""
    text: str
    size: int
    """Bytes the text came from."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One figure a run wrote to its metrics file, the `line`-th; drawn as a curve."""

    allocation_id: AllocationId
    job_id: JobId
    line: int
    name: str
    step: float
    value: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pledge:
    """What a new lease holds: of its project's account, and of a voucher that pays the rest."""

    amount_fen: int
    at: datetime
    voucher: str = ""
    """Its bill is paid with this one from then on."""
    voucher_fen: int = 0
    voucher_until: datetime | None = None
    """When the voucher ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One guarded step of one job: everything in it happens, or nothing does.

    `job` carries `revision` = the one it was made from plus 1; the store refuses the step where the stored revision is
    another.
    """

    job: Job
    allocation: Allocation | None = None
    events: tuple[Event, ...] = ()
    usage: tuple[UsageRecord, ...] = ()
    bill_lines: tuple[BillLine, ...] = ()
    notices: tuple[Mapping[str, object], ...] = ()
    """What must be told outside; goes to the outbox."""
    pledge: Pledge | None = None
    """Of a new lease; a step is refused where its project or the voucher cannot bear it, or the job has another voucher."""
