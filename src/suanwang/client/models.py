"""What the API answers with and takes, as pydantic models: the API documents itself with them, the client parses with them.

Owns the wire's field names. Unknown fields of an answer are passed over, so that an older client reads a newer network;
unknown fields of a request are refused. Money is text in yuan or whole fen, instants are UTC.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from suanwang.client.answers import Answer, Asked, Yuan
from suanwang.client.people_models import (
    AllowanceView,
    AmountsView,
    CreatedToken,
    NewAllowance,
    NewLabels,
    NewProject,
    NewToken,
    ProjectList,
    ProjectView,
    TokenList,
    TokenView,
    WhoAmI,
)
from suanwang.client.price_models import DatedView, PriceListView, PricingView
from suanwang.domain.connector import RunState
from suanwang.domain.job import AllocationState
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.sample import Source
from suanwang.domain.tariff import Tier
from suanwang.domain.task import Priority

Verdict = Literal["placed", "runs", "held", "waits", "refused", "blocked", "ended"]


# Jobs


class ArrayPlace(Answer):
    """Which member of an array a job is. `id` is the first member's identifier."""

    id: str
    index: int
    count: int


class ContentView(Answer):
    """Bytes by their hash; `size` in bytes; `folder` for a packed folder."""

    sha256: str
    size: int
    folder: bool = False


class UsageView(Answer):
    """Metered so far."""

    wall_s: float
    core_hours: float
    device_hours: float
    energy_kwh: float
    carbon_g: float
    cost_yuan: Yuan


class InForceView(Answer):
    """Electricity at a site when a decision was made; `drawn_yuan` is what the run is expected to pay for it."""

    tier: Tier
    yuan_per_kwh: Yuan
    drawn_yuan: float | None


class VouchedView(Answer):
    """What a voucher would pay of an expected price, as things stand: its money is not kept for it."""

    voucher: str
    yuan: float


class FiguresView(Answer):
    """What a placement is expected to come to. None where it is not a finite number. `price_yuan` is the whole price, after
    discounts; `voucher` what of it a voucher would pay."""

    price_yuan: float | None
    carbon_g: float | None
    energy_kwh: float | None
    finish_s: float | None
    delay_ms: float | None = None
    electricity: InForceView | None = None
    voucher: VouchedView | None = None


class RankView(Answer):
    """A feasible site; 1.0 is best in every weighted figure, lower is better. `device_model` where devices are needed."""

    site: str
    device_model: str | None = None
    score: float | None
    figures: FiguresView


class ExclusionView(Answer):
    """Why one site was out. `code` is stable, `text` is in the language asked for."""

    site: str
    code: str
    text: str
    need: str
    have: str


class WhyView(Answer):
    """Why here, why now, why not elsewhere."""

    chosen: RankView | None
    others: list[RankView]
    excluded: list[ExclusionView]
    excluded_total: int
    decided_at: datetime
    note: str


class HoldView(Answer):
    """A job that may wait is kept for a better hour: it is meant to start at `site` at `start_at`, and is decided anew at
    `until`. `instead` is the best that could have started when that was decided."""

    site: str
    device_model: str | None = None
    start_at: datetime
    until: datetime
    expect: FiguresView
    instead: RankView | None


class JobView(Answer):
    """A job in a list."""

    id: str
    name: str
    project: str
    owner: str
    state: JobState
    site: str | None
    array: ArrayPlace | None
    submitted_at: datetime
    ready_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    exit_code: int | None
    usage: UsageView
    billed_fen: int
    needs: list[str]
    checkpoint: ContentView | None
    attempts: int
    priority: Priority = Priority.NORMAL
    hold: HoldView | None = None


class JobDetail(JobView):
    """A job in full. `task` is in the words of the task file; `why` is the last decision about it."""

    task: dict[str, Any]
    why: WhyView | None


class Page(Answer):
    """One page. `next` is the cursor of the next one, None at the end."""

    next: str | None


class JobPage(Page):
    items: list[JobView]


class Submitted(Answer):
    """What was accepted. `jobs` lists at most the first 1,000 of `count`; `replayed` says the key was used before."""

    jobs: list[JobView]
    count: int
    replayed: bool
    notes: list[str] = []


class ProblemView(Answer):
    """One thing to put right in a task file."""

    field: str
    message: str
    allowed: str | None = None
    line: int | None = None


class UploadView(Answer):
    """A local file that a task reads: upload it under `name` before submitting."""

    local_path: str
    name: str
    to: str


class StartHolds(Answer):
    """What a start holds until its run is billed: of the project's money, and of a voucher."""

    own_fen: int
    voucher: str | None
    voucher_fen: int


class TaskPreview(Answer):
    """Where one task would run now. `holds` where it runs at once and its project's money is limited."""

    name: str
    count: int
    verdict: Literal["runs", "held", "waits", "refused"]
    why: WhyView
    hold: HoldView | None = None
    holds: StartHolds | None = None


class Preview(Answer):
    """What submitting would find. With `problems` there are no `tasks`: put right what they name."""

    tasks: list[TaskPreview]
    problems: list[ProblemView]
    notes: list[str] = []
    uploads: list[UploadView] = []


class Explanation(Answer):
    """Why a job is where it is. `needs` has the state of each job it needs."""

    job: JobView
    verdict: Verdict
    why: WhyView | None
    hold: HoldView | None = None
    needs: dict[str, JobState]


class Cancelled(Answer):
    """Members of an array, or the one job, as they stand now."""

    jobs: list[JobView]
    count: int


class Counts(Answer):
    """Jobs in each state."""

    counts: dict[JobState, int]


class PeriodView(Answer):
    """Hours of one tier: minutes after midnight in UTC+8, and days as month × 100 + day, none for the whole year."""

    tier: Tier
    hours: list[tuple[int, int]]
    multiplier: Decimal
    seasons: list[tuple[int, int]]


class TariffView(Answer):
    """Yuan per kWh are fixed + flat × multiplier; `assumed` is what no document gave."""

    flat_yuan_per_kwh: Yuan
    fixed_yuan_per_kwh: Yuan
    periods: list[PeriodView]
    area: str
    document: str
    assumed: list[str]


class PriceView(Answer):
    """Posted price, yuan an hour; electricity is paid beside it where it is passed on."""

    core_hour_yuan: Yuan
    memory_gb_hour_yuan: Yuan
    device_hour_yuan: dict[str, Yuan]
    electricity: TariffView | None = None
    electricity_passed_on: bool = False
    lists: list[PriceListView] = []
    """Of a site: the price list in force and those to come."""
    dated: list[DatedView] = []
    """Of one run: what binds it of those lists."""


class AllocationView(Answer):
    """One lease of a job to a site."""

    id: str
    site: str
    epoch: int
    state: AllocationState
    phase: str
    granted_at: datetime
    lease_until: datetime
    device_model: str | None
    price: PriceView
    pue: float
    carbon_g_per_kwh: float
    carbon_daily: list[float] = []
    power_kw: float
    native_id: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: RunState | None
    exit_code: int | None
    reason: str
    cpu_s: float | None
    max_memory_gb: float | None
    nodes: list[str]
    usage: UsageView
    why: WhyView


class Allocations(Answer):
    items: list[AllocationView]


class LogView(Answer):
    """A piece of a job's output. `seq` orders a job's pieces; `offset` and `size` are bytes of its stream."""

    seq: int
    allocation: str
    stream: Literal["stdout", "stderr"]
    offset: int
    size: int
    text: str
    at: datetime


class Logs(Answer):
    """Pieces with `seq` above `after`; ask again with `after` = `next`."""

    items: list[LogView]
    next: int


class StateView(Answer):
    """A job's state, as a log stream tells it."""

    job: str
    state: JobState
    site: str | None
    reason: str
    exit_code: int | None


class PointView(Answer):
    """One figure of a curve."""

    allocation: str
    line: int
    name: str
    step: float | None
    value: float | None
    at: datetime


class Points(Answer):
    items: list[PointView]


class UsageRecordView(Answer):
    """What one allocation used in one interval."""

    id: str
    allocation: str
    site: str
    from_at: datetime
    to_at: datetime
    cores: int
    memory_gb: float
    device_model: str | None
    devices: int
    energy_kwh: float
    carbon_g: float
    corrects: str | None
    """The record that it takes its interval back of; energy and carbon are negative then."""


class FindingView(Answer):
    """A run whose meters differed by more than the tolerance: the lower was billed. `amount_fen` is what was taken back."""

    seq: int
    at: datetime
    job: str
    site: str
    allocation: str
    scheduler_s: float
    agent_s: float
    tolerance_s: float
    corrections: list[str]
    amount_fen: int


class Findings(Answer):
    items: list[FindingView]


class UsageRecords(Answer):
    items: list[UsageRecordView]


class EventView(Answer):
    """One fact of the record."""

    seq: int
    kind: str
    at: datetime
    project: str | None
    job: str | None
    site: str | None
    actor: str
    data: dict[str, Any]


class Events(Answer):
    """Events with `seq` above `after`; ask again with `after` = `next`."""

    items: list[EventView]
    next: int


# Sites


class DevicePoolView(Answer):
    """Accelerators of one model at a site."""

    model: str
    kind: DeviceKind
    count: int
    per_node: int
    memory_gb: float
    precisions: list[Precision]
    power_w: float


class DatasetView(Answer):
    name: str
    size: int


class OfferingView(Answer):
    """What the provider declares. `accounts` is for the site's provider and the operator alone; None for others."""

    name_zh: str
    name_en: str
    provider: str
    owners: dict[str, str] = {}
    region: str
    latitude: float
    longitude: float
    connector: str
    nodes: int
    cores_per_node: int
    memory_gb_per_node: float
    devices: list[DevicePoolView]
    price: PriceView
    pue: float
    carbon_g_per_kwh: float
    carbon_daily: list[float] = []
    core_power_w: float
    datasets: list[DatasetView]
    partition: str | None
    accounts: dict[str, str] | None = None


class MeasuredView(Answer):
    """What load reports say, beside what is declared."""

    cores: int
    memory_gb: float
    devices: dict[str, int]
    foreign_cores: int
    foreign_memory_gb: float
    foreign_devices: dict[str, int]
    observed_at: datetime


class HeldView(Answer):
    """What the network's leases hold."""

    cores: int
    memory_gb: float
    devices: dict[str, int]
    allocations: int


class SiteView(Answer):
    """A site and its standing."""

    id: str
    state: SiteState
    state_since: datetime
    open: bool
    seen_at: datetime | None
    offering: OfferingView
    measured: MeasuredView | None
    held: HeldView
    clock_offset_s: float | None
    warnings: list[str]
    revision: int


class SiteList(Answer):
    items: list[SiteView]


class Invited(Answer):
    """A registered site and the join token its agent starts with, shown once."""

    site: SiteView
    join_token: str


class JoinToken(Answer):
    site: str
    join_token: str


class SampleView(Answer):
    metric_type: str
    unit: str
    value: float | None
    source: Source
    statistic: str
    observed_at: datetime


class Samples(Answer):
    items: list[SampleView]


# Bills


class BillLineView(Answer):
    """One usage record rated by the price that binds its lease."""

    usage_id: str
    project: str
    job: str
    site: str
    provider: str
    from_at: datetime
    to_at: datetime
    description: str
    rated_yuan: Yuan
    amount_fen: int
    pricing: PricingView | None = None
    """How its unit prices came about, where a price list binds the run."""


class BillLinePage(Page):
    items: list[BillLineView]


class BillTotalView(Answer):
    project: str
    provider: str
    jobs: int
    amount_fen: int
    energy_kwh: float
    carbon_g: float


class BillTotals(Answer):
    items: list[BillTotalView]
    amount_fen: int


# People


# Files


class FileView(Answer):
    """Content under a name of a project. `site` is where it is held, None for the network's own store."""

    project: str
    name: str
    version: int
    content: ContentView
    job: str | None
    site: str | None
    residency: list[str]
    created_at: datetime


class FilePage(Page):
    items: list[FileView]


class Health(Answer):
    """`events` is the number of the newest event: the store answers."""

    status: Literal["ok"]
    events: int


class JoinAnswer(Answer):
    """An agent's session. `credential` is its own secret, given once for a join token."""

    site_id: str
    session: int
    lease_ttl_s: float
    poll_s: float
    fence_margin_s: float = 20.0
    credential: str | None


# What callers send


class NewJobs(Asked):
    """`tasks` are tasks in the words of the task file; `project` pays, by default the caller's first."""

    tasks: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    project: str | None = Field(default=None, max_length=63)


class NewFile(Asked):
    """Content that was uploaded, to be named."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=10**12)
    folder: bool = False


class Problem(Answer):
    """An error (RFC 9457, `application/problem+json`). `type` ends in the kind; `problems` has every fault of a file.

    Texts are in the language asked for; where that is Chinese, `detail_en` is `detail` in English.
    """

    type: str
    title: str
    status: int
    detail: str
    detail_en: str | None = None
    field: str | None = None
    allowed: str | None = None
    tag: str | None = None
    problems: list[ProblemView] | None = None
