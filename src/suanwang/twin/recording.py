"""What the live network ran in some time, as its own record has it: jobs with their leases, sites with every price they
published, plans, vouchers, and all usage records in the order in which they were metered.

Owns what a replay is told, and nothing of how it plays. Reads the live network alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from suanwang.control.billing.invoices import Parts
from suanwang.control.billing.prices import standing
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.domain.allowance import Allowance
from suanwang.domain.device import Position
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.lifecycle import ENDED
from suanwang.domain.pricing import PlanMonth, PriceList
from suanwang.domain.site import Site
from suanwang.electricity.pricing import ZONE, month_of
from suanwang.ports import BillQuery, Charged, JobQuery, Store
from suanwang.trading.ledger import Phase
from suanwang.trading.published import DECLARED, Declared, Name, stated
from suanwang.trading.settlement import chain_name
from suanwang.trading.vouchers import Voucher

MOST_JOBS = 100_000
MOST_LISTS = 10_000
_PAGE = 500


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
class Asking:
    """What a site has published of its prices, by when."""

    declared: tuple[Declared, ...] = ()
    """Empty: the log has none, and what it declares now stands for all times."""
    lists: tuple[PriceList, ...] = ()

    def at(self, site: Site, now: datetime) -> Site:
        """The site with the prices that bind who starts now."""
        known = [each for each in self.lists if each.published_at <= now]
        said = next((each for each in reversed(self.declared) if each.at <= now), None)
        offering = site.offering
        if said is not None:
            devices = tuple(
                replace(pool, power_w=said.power_w.get(pool.model, pool.power_w)) for pool in offering.devices
            )
            offering = replace(offering, price=said.price, pue=said.pue, devices=devices)
        return replace(site, offering=replace(offering, price=replace(offering.price, lists=standing(known, now))))

    @property
    def changes(self) -> set[datetime]:
        return {each.at for each in self.declared} | {each.published_at for each in self.lists}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouchers:
    """What pays a part of bills beside projects."""

    every: tuple[Voucher, ...] = ()
    """The one that ends first comes first, as the live network takes them."""
    left_fen: Mapping[str, int] = field(default_factory=dict)
    """Of each, what jobs that are not replayed did not use."""
    bound: Mapping[JobId, str] = field(default_factory=dict)
    """The voucher that pays for a job."""
    since: Mapping[JobId, datetime] = field(default_factory=dict)
    """Where it did not from the job's first line on: when the first line that it paid ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    jobs: tuple[Recorded, ...]
    sites: tuple[Site, ...]
    places: Mapping[str, Position]
    meter_every_s: float
    rules: Rules = field(default_factory=Rules)
    allowances: Mapping[ProjectId, Allowance] = field(default_factory=dict)
    """Of projects, as they are now."""
    asking: Mapping[SiteId, Asking] = field(default_factory=dict)
    projects: Mapping[ProjectId, Project] = field(default_factory=dict)
    plans: tuple[tuple[PlanMonth, datetime | None], ...] = ()
    """With the instant at which each month's fee was paid."""
    vouchers: Vouchers = field(default_factory=Vouchers)
    charges: tuple[Charged, ...] = ()
    """All that was metered from the beginning of the first month on, of whatever job, in the order in which it was written."""
    parts: tuple[Parts, ...] = ()
    """What the real invoices of these months are made of."""
    left_out: tuple[str, ...] = ()
    """In words with counts."""

    @property
    def names(self) -> frozenset[JobId]:
        return frozenset(one.job.id for one in self.jobs)

    @property
    def billed(self) -> Mapping[JobId, int]:
        """What the jobs were really billed, in fen."""
        names, found = self.names, Counter[JobId]()
        for each in self.charges:
            if each.line.job_id in names:
                found[each.line.job_id] += each.line.amount_fen
        return found


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
    found.sort(key=lambda one: (ready_at(one.job), one.job.id))
    store, sites, names = network.store, tuple(network.store.sites()), {one.job.id for one in found}
    charges = tuple(_charges(store, month_of(from_at), to_at))
    return Recording(
        jobs=tuple(found),
        sites=sites,
        places=network.places,
        meter_every_s=network.rules.meter_every_s,
        rules=network.rules,
        allowances=store.allowances(),
        asking=_asking(store, sites),
        projects={project.id: project for project in store.projects()},
        plans=tuple(_plans(store)),
        vouchers=_vouchers(store, charges, names),
        charges=charges,
        parts=tuple(_parts(network, caller, charges, names)),
        left_out=(f"{late} jobs that had not ended by then",) if late else (),
    )


def ready_at(job: Job) -> datetime:
    return job.ready_at or job.submitted_at


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


def _charges(store: Store, begin: datetime, end: datetime) -> Iterable[Charged]:
    cursor: str | None = None
    while True:
        page, cursor = store.charges(BillQuery(from_at=begin, to_at=end), cursor, _PAGE)
        yield from (each for each in page if begin <= each.line.from_at < end)
        if cursor is None:
            return


def _asking(store: Store, sites: Sequence[Site]) -> Mapping[SiteId, Asking]:
    names: list[Name] = [
        (DECLARED, f"{site.id}/{number}") for site in sites for number in range(1, site.offering.price.declared + 1)
    ]
    leaves = store.published(names)
    texts = store.leaves(leaves.values())
    said = [stated(json.loads(texts[leaves[name]])) for name in names if name in leaves]
    declared = [each for each in said if isinstance(each, Declared)]
    return {
        site.id: Asking(
            declared=tuple(each for each in declared if each.site == site.id),
            lists=tuple(reversed(store.price_lists(site.id, None, MOST_LISTS))),
        )
        for site in sites
    }


def _plans(store: Store) -> Iterable[tuple[PlanMonth, datetime | None]]:
    months = store.plan_months(None, None)
    paid = {entry.transfer.chain: entry.at for entry in store.chain_entries([month.key for month, _ in months])}
    # A fee of nothing is paid by no transfer, as its month begins.
    for month, done in months:
        yield month, paid.get(month.key, max(month.from_at, month.bought_at) if done else None)


def _vouchers(store: Store, charges: Sequence[Charged], names: set[JobId]) -> Vouchers:
    every: list[Voucher] = []
    cursor: str | None = None
    while True:
        page, cursor = store.vouchers(None, cursor, _PAGE)
        every += page
        if cursor is None:
            break
    if not every:
        return Vouchers()
    mine = {each.line.usage_id: each.line for each in charges if each.line.job_id in names}
    used: Counter[str] = Counter()
    since: dict[JobId, datetime] = {}
    for entry in store.chain_entries([chain_name(usage_id) for usage_id in mine]):
        moved = entry.transfer
        if moved.phase is Phase.POST and moved.debit.startswith("voucher:"):
            line = mine[moved.chain.removeprefix(chain_name(""))]
            used[moved.debit.partition(":")[2]] += moved.amount_fen
            since[line.job_id] = min(line.to_at, since.get(line.job_id, line.to_at))
    paid = Counter[str]()
    for use in store.voucher_uses([voucher.id for voucher in every]):
        paid[use.voucher] += use.amount_fen
    return Vouchers(
        every=tuple(sorted(every, key=lambda each: (each.until_at, each.id))),
        left_fen={each.id: each.amount_fen - paid[each.id] + used[each.id] for each in every},
        bound=store.bound_vouchers(sorted(names)),
        since=since,
    )


def _parts(network: Network, caller: Principal, charges: Sequence[Charged], names: set[JobId]) -> Iterable[Parts]:
    wanted = {
        (each.line.project, f"{each.line.from_at.astimezone(ZONE):%Y-%m}")
        for each in charges
        if each.line.job_id in names
    }
    for project, month in sorted(wanted):
        yield network.invoices.parts(caller, project, month)
