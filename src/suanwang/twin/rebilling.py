"""From runs on a virtual clock to the invoices that follow: metered, rated and redeemed by the live network's own code.

Owns the order in which runs are metered, on which steps of volume and plans depend: as it was written, where the runs are those
that really ran; else each record as soon as its time has passed. Knows nothing of why a job ran where it did.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from suanwang import catalog
from suanwang.control.billing.metering import device_us, meter
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, BillLine, Job, Ran, Usage, UsageRecord
from suanwang.domain.pricing import PlanMonth
from suanwang.electricity.pricing import counts_volume, flat, month_of, next_month
from suanwang.ports import Charged
from suanwang.trading.invoicing import Charge, encoded
from suanwang.trading.rating import electricity_rate, used_us
from suanwang.trading.tallying import Tally, grown_fen, tally_of
from suanwang.trading.vouchers import Use, Voucher, payable_fen, refusal
from suanwang.twin.recording import Recording, Vouchers

K = TypeVar("K")
_Group = tuple[ProjectId, SiteId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job under a lease, from its start `until` its end."""

    job: Job
    allocation: Allocation
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """A usage record of a replay with its bill line, and what of it a voucher pays."""

    run: Run
    usage: UsageRecord
    line: BillLine
    voucher_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoices:
    billed: tuple[Billed, ...]
    """In the order in which they were metered."""

    @property
    def lines(self) -> tuple[BillLine, ...]:
        return tuple(each.line for each in self.billed)

    @property
    def energy_kwh(self) -> float:
        return sum(each.usage.energy_kwh for each in self.billed)

    @property
    def carbon_g(self) -> float:
        return sum(each.usage.carbon_g for each in self.billed)

    @property
    def voucher_fen(self) -> int:
        return sum(each.voucher_fen for each in self.billed)

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


@dataclass(slots=True)
class Meters:
    """The runs of a play as they are metered, beside what the network metered of jobs that are not replayed."""

    recording: Recording
    written: list[Billed | Charged] = field(default_factory=list)
    """All records and bill lines, in the order in which they were metered; lines are rounded by their job alone."""
    _open: dict[AllocationId, Run] = field(default_factory=dict)
    _jobs: dict[JobId, Job] = field(default_factory=dict)
    _due: list[tuple[datetime, AllocationId]] = field(default_factory=list)
    _used: Counter[tuple[_Group, datetime]] = field(default_factory=Counter)
    """Device microseconds of a month, by its beginning."""
    _others: list[Charged] = field(init=False)
    """Of jobs that are not replayed, the one that ends last first."""
    _providers: Mapping[SiteId, str] = field(init=False)
    _stepped: frozenset[SiteId] = field(init=False)
    _planned: frozenset[_Group] = field(init=False)

    def __post_init__(self) -> None:
        recording, names = self.recording, self.recording.names
        others = (each for each in recording.charges if each.usage.job_id not in names)
        self._others = sorted(others, key=lambda each: each.usage.to_at, reverse=True)
        self._providers = {site.id: site.offering.provider for site in recording.sites}
        self._stepped = frozenset(
            site
            for site, asking in recording.asking.items()
            if any(one.above_device_hours is not None for each in asking.lists for one in each.discounts)
        )
        self._planned = frozenset((month.project, month.site_id, month.package.device) for month, _ in recording.plans)

    def begin(self, run: Run) -> None:
        """Meter this run from its start on."""
        fresh = replace(run.allocation, metered_until=None, records=0, usage=Usage())
        self._open[fresh.id] = replace(run, allocation=fresh)
        self._jobs.setdefault(run.job.id, replace(run.job, usage=Usage(), billed_fen=0))
        self._await(self._open[fresh.id])

    def to(self, now: datetime) -> None:
        """Meter all records whose time has passed by `now`, in the order in which it does."""
        while self._due and self._due[0][0] <= now:
            at, lease = heapq.heappop(self._due)
            self._pass(at)
            self._meter(lease, at)
            if lease in self._open:
                self._await(self._open[lease])
        self._pass(now)

    def as_written(self) -> None:
        """Meter the runs that were begun in the order in which the live network did."""
        self._due.clear()
        for each in self.recording.charges:
            record = each.usage
            if record.allocation_id in self._open and record.corrects is None:
                self._meter(record.allocation_id, record.to_at, cut=True)
            elif record.job_id not in self.recording.names:
                self._add(each)
        for lease in sorted(self._open, key=lambda lease: (self._open[lease].until, lease)):
            self._meter(lease, self._open[lease].until)

    def used(self, month: PlanMonth) -> int:
        """What a plan's project has used of its device in its month."""
        return self._used[(month.project, month.site_id, month.package.device), month.from_at]

    def used_in(self, month: datetime, projects: Collection[ProjectId]) -> Sequence[tuple[ProjectId, SiteId, str, int]]:
        """What these projects have used in the month that begins then, where steps of volume or plans count it."""
        return sorted(
            (*group, used_us)
            for (group, begins), used_us in self._used.items()
            if begins == month and group[0] in projects and (group[1] in self._stepped or group in self._planned)
        )

    @property
    def count(self) -> bool:
        """Whether any decision depends on what was used."""
        return bool(self._stepped or self._planned)

    def _await(self, run: Run) -> None:
        allocation = run.allocation
        begun = allocation.metered_until or allocation.started_at or run.until
        step = begun + timedelta(seconds=self.recording.meter_every_s)
        due = min(step, run.until) if self._counts(run) else run.until
        heapq.heappush(self._due, (due, allocation.id))

    def _counts(self, run: Run) -> bool:
        """Whether it matters to anybody's price when its hours are counted."""
        site, device = run.allocation.site_id, run.allocation.device_model
        return device is not None and (site in self._stepped or (run.job.project, site, device) in self._planned)

    def _meter(self, lease: AllocationId, at: datetime, *, cut: bool = False) -> None:
        """With `cut` a record ends at `at` whatever its length."""
        run = self._open[lease]
        allocation, until = run.allocation, min(at, run.until)
        made = meter(
            self._jobs[run.job.id],
            allocation,
            until,
            provider=self._providers[allocation.site_id],
            every_s=self.recording.meter_every_s,
            final=cut or until >= run.until,
            used_us=self._so_far(run, until),
        )
        self._jobs[run.job.id] = made.job
        for usage, line in zip(made.usage, made.bill_lines, strict=True):
            self._add(Billed(run=run, usage=usage, line=line))
        if until >= run.until:
            del self._open[lease]
        else:
            self._open[lease] = replace(run, allocation=made.allocation)

    def _so_far(self, run: Run, until: datetime) -> Mapping[datetime, int]:
        allocation, device = run.allocation, run.allocation.device_model
        if device is None or not counts_volume(allocation.price):
            return {}
        found: dict[datetime, int] = {}
        month = month_of(allocation.metered_until or allocation.started_at or until)
        while month <= until:
            found[month] = self._used[(run.job.project, allocation.site_id, device), month]
            month = next_month(month)
        return found

    def _pass(self, now: datetime) -> None:
        while self._others and self._others[-1].usage.to_at <= now:
            self._add(self._others.pop())

    def _add(self, each: Billed | Charged) -> None:
        self.written.append(each)
        record = each.usage
        if record.device_model is not None and record.devices:
            group = (record.project, record.site_id, record.device_model)
            self._used[group, month_of(record.from_at)] += device_us(record)


def invoices(recording: Recording, runs: Sequence[Run]) -> Invoices:
    """What `runs` are billed, vouchers included."""
    meters = Meters(recording)
    for run in runs:
        meters.begin(run)
    if _really_ran(recording, runs):
        meters.as_written()
    elif runs:
        meters.to(max(run.until for run in runs))
        # Of runs whose hours move nobody's price all records were made at once.
        meters.written.sort(key=lambda each: each.usage.to_at)
    return Invoices(billed=tuple(_redeemed(recording, _tallied(meters.written))))


def documents(recording: Recording, found: Invoices) -> Iterator[tuple[str, bytes]]:
    """Invoices of the months that the recording touches, as `suanwang invoice get` writes them: what was replayed as it came
    out, settled, and all else as it really was."""
    charges: dict[tuple[ProjectId, str], list[Charge]] = defaultdict(list)
    for each in found.billed:
        charges[each.line.project, f"{month_of(each.line.from_at):%Y-%m}"].append(_charge(each))
    for parts in recording.parts:
        others = [each for each in parts.charges if each.line.job_id not in recording.names]
        mine = charges[parts.project.id, parts.month.name]
        made = replace(parts, charges=[*others, *mine]).invoice()
        yield f"{parts.project.id}-{parts.month.name}", encoded(made)


def _really_ran(recording: Recording, runs: Iterable[Run]) -> bool:
    """Whether every run is one of the live network's, at its price and of its length, and none is missing."""
    real = {
        lease.id: (lease.site_id, lease.device_model, lease.started_at, lease.metered_until, lease.price.dated)
        for one in recording.jobs
        for lease in one.ran
    }
    played = {
        run.allocation.id: (
            *(run.allocation.site_id, run.allocation.device_model, run.allocation.started_at),
            *(run.until, run.allocation.price.dated),
        )
        for run in runs
    }
    return played == real


def _tallied(written: Iterable[Billed | Charged]) -> Iterator[Billed]:
    """Lines rounded by their tallies, to which jobs that are not replayed add what they did."""
    totals: dict[Tally, Decimal] = defaultdict(Decimal)
    for each in written:
        if isinstance(each, Billed):
            owners = each.run.allocation.owners
            before = totals[tally_of(each.line, owners)]
            amount = grown_fen(before, each.line.rated_yuan)
            yield replace(each, line=replace(each.line, amount_fen=amount, tally_yuan=before))
        elif each.line.tally_yuan is None:
            continue
        else:
            owners = each.owners
        totals[tally_of(each.line, owners)] += each.line.rated_yuan


def _charge(each: Billed) -> Charge:
    usage, line, allocation = each.usage, each.line, each.run.allocation
    return Charge(
        line=line,
        usage=usage,
        price=flat(allocation.price, usage.device_model, usage.from_at, used_us(line)),
        started_at=allocation.started_at or usage.from_at,
        electricity=electricity_rate(allocation.price, allocation.power_kw, usage.from_at),
        owner=each.run.job.owner,
        task=each.run.job.task.name,
        ran=Ran(),
        voucher_fen=each.voucher_fen,
        settled=True,
        owners=allocation.owners,
    )


def _redeemed(recording: Recording, billed: Iterable[Billed]) -> Iterator[Billed]:
    """With what vouchers pay, line after line as the live network settles them."""
    vouchers = recording.vouchers
    if not vouchers.every:
        yield from billed
        return
    left, before, bound = dict(vouchers.left_fen), Counter[JobId](), dict(vouchers.bound)
    known = {voucher.id: voucher for voucher in vouchers.every}
    automatic = [voucher for voucher in vouchers.every if voucher.automatic]
    regions = {site.id: site.offering.region for site in recording.sites}
    for each in billed:
        line, so_far = each.line, before[each.line.job_id]
        before[line.job_id] += line.amount_fen
        use = _use(recording, each, regions.get(line.site_id, ""))
        own = bound.get(line.job_id)
        for voucher in automatic if own is None else (known[own],):
            if not _pays(vouchers, voucher, use, line):
                continue
            paid = min(payable_fen(voucher, so_far, line.amount_fen), left[voucher.id])
            if paid > 0:
                bound[line.job_id] = voucher.id
                left[voucher.id] -= paid
                each = replace(each, voucher_fen=paid)
                break
        yield each


def _pays(vouchers: Vouchers, voucher: Voucher, use: Use, line: BillLine) -> bool:
    if not max(voucher.issued_at, vouchers.since.get(line.job_id, voucher.issued_at)) <= line.to_at < voucher.until_at:
        return False
    return refusal(voucher, use) is None


def _use(recording: Recording, each: Billed, region: str) -> Use:
    line, device = each.line, each.usage.device_model if each.usage.devices else None
    project, known = recording.projects.get(line.project), catalog.accelerators().get(device or "")
    return Use(
        project=line.project,
        organisation="" if project is None else project.organisation,
        provider=line.provider,
        owners=tuple(each.run.allocation.owners),
        region=region,
        device=device,
        domestic=known is not None and known.domestic,
        from_at=line.from_at,
        to_at=line.to_at,
    )


def _sums(pairs: Iterable[tuple[K, int]]) -> dict[K, int]:
    found: dict[K, int] = defaultdict(int)
    for key, amount in pairs:
        found[key] += amount
    return dict(found)
