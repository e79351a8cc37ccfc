"""Which rows can take which job at all, and why a site cannot.

Owns the hard limits, in two forms that agree: `Limits` answers for all rows at once, which is what plans are made with;
`lasting_reason` and `now_reason` put one job's answer at one site into words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from suanwang.domain.device import Position
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Job
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.pricing import Customer
from suanwang.domain.site import DevicePool, Site
from suanwang.domain.tariff import Tariff
from suanwang.domain.task import Circle, DeviceRequest, Objective, Resources
from suanwang.electricity.supply import passed_on
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.scheduling.margins import SLACK
from suanwang.scheduling.paying import Listed, Paying, listed_of
from suanwang.scheduling.snapshot import Bools, Floats, Ints, Rows, SiteTable


@dataclass(frozen=True, slots=True)
class Where:
    """Everything about a job that depends on who and where a site is, and on nothing else."""

    sites: tuple[SiteId, ...]
    providers: tuple[str, ...]
    regions: tuple[str, ...]
    residency: tuple[str, ...]
    circle: Circle | None
    held_at: SiteId | None
    avoided: tuple[SiteId, ...]
    datasets: tuple[str, ...]


ANYWHERE = Where((), (), (), (), None, None, (), ())


@dataclass(frozen=True, slots=True)
class Shape:
    """All that a decision looks at in a job but its turn. Jobs of one shape share their figures and reasons."""

    where: Where
    resources: Resources
    nodes: int
    objective: Objective
    budget_yuan: Decimal | None
    """What earlier runs of the job left of it."""
    deadline_at: datetime | None
    bound_yuan: float | None
    """Yuan an hour by the quote it was submitted with, whatever sites ask now; its expected time is the quote's too."""
    bound_tariff: Tariff | None
    """By which such a job pays electricity beside that."""
    bound_listed: Listed | None
    """The price lists that bind it instead."""
    payer: Customer | None
    """Of another job, where price lists tell customers apart."""
    done_ms: int
    """Of a job that may pause: work that its checkpoint keeps."""
    cores: int = field(compare=False)
    """Over all nodes, as the next two."""
    memory_gb: float = field(compare=False)
    devices: int = field(compare=False)
    mark: int = field(compare=False)
    """The hash of all that is compared, made once: shapes are looked up again and again."""

    def __hash__(self) -> int:
        return self.mark


def shape(job: Job, paying: Paying | None = None) -> Shape:
    """The shape of `job`, with who pays where prices depend on it."""
    task = job.task
    need, limits, nodes = task.resources, task.constraints, task.nodes
    budget = limits.budget_yuan
    if budget is not None:
        budget -= job.usage.cost_yuan
    devices = need.devices.count * nodes if need.devices else 0
    bound_listed = None
    if job.terms:
        bound_listed = listed_of(job.terms.price) if paying is None else paying.promised(job, devices)
    bound_yuan = (0.0 if bound_listed else _bound_yuan(job, devices)) if job.terms else None
    bound_tariff = passed_on(job.terms.price) if job.terms else None
    payer = paying.customer(job) if paying is not None and job.terms is None else None
    bound = (bound_yuan, bound_tariff, bound_listed)
    done_ms = _kept_ms(job) if job.checkpoint is not None else 0
    compared = (where(job), need, nodes, task.objective, budget, limits.deadline_at, *bound, payer, done_ms)
    return Shape(*compared, need.cores * nodes, need.memory_gb * nodes, devices, hash(compared))


def may_pause(job: Job) -> bool:
    """Whether the network may take its work up again in other steps: its user allows it, and a checkpoint keeps the work."""
    by_right = job.terms is not None and job.terms.reservation is not None
    return job.task.flexibility.may_be_interrupted and job.task.checkpoint is not None and not by_right


def _kept_ms(job: Job) -> int:
    """All run time so far, as if the checkpoint were of its last moment and all sites alike."""
    return int(1000 * job.usage.wall_s) if may_pause(job) else 0


def _bound_yuan(job: Job, devices: int) -> float:
    """Of a job under a quote, which names one model where it needs devices."""
    assert job.terms is not None, "asked of quoted jobs only"
    price, need, nodes = job.terms.price, job.task.resources, job.task.nodes
    each = price.device_hour_yuan.get(need.devices.models[0], 0) if need.devices and need.devices.models else 0
    yuan = need.cores * nodes * float(price.core_hour_yuan) + need.memory_gb * nodes * float(price.memory_gb_hour_yuan)
    return yuan + devices * float(each)


def where(job: Job) -> Where:
    """The part of `job` that says which sites are allowed."""
    limits = job.task.constraints
    datasets = (
        tuple(i.source[8:] for i in job.task.inputs if i.source.startswith("dataset:")) if job.task.inputs else ()
    )
    if not (
        datasets
        or job.held_at
        or job.checkpoint_site
        or job.avoided
        or limits.sites
        or limits.providers
        or limits.regions
        or limits.residency
        or limits.circle
    ):
        return ANYWHERE
    return Where(
        limits.sites,
        limits.providers,
        limits.regions,
        limits.residency,
        limits.circle,
        job.checkpoint_site or job.held_at,
        job.avoided,
        datasets,
    )


class Limits:
    """The hard limits over all sites and rows of a table. Answers that jobs share are kept."""

    def __init__(self, table: SiteTable, places: Mapping[str, Position]) -> None:
        self._table = table
        self._places = places
        sites = table.sites
        self._sites = _members((site.id, index) for index, site in enumerate(sites))
        self._providers = _members((s.offering.provider, i) for i, s in enumerate(sites))
        self._regions = _members((s.offering.region, i) for i, s in enumerate(sites))
        self._datasets = _members((d.name, i) for i, s in enumerate(sites) for d in s.offering.datasets)
        pools = [pool for pool in table.pooled.pools if pool is not None]
        self._kinds = _members((pool.kind, row) for row, pool in enumerate(pools))
        self._models = _members((pool.model, row) for row, pool in enumerate(pools))
        self._precisions = _members((p, row) for row, pool in enumerate(pools) for p in pool.precisions)
        self._allowed: dict[Where, Bools] = {ANYWHERE: np.ones(len(sites), np.bool_)}
        self._suitable: dict[DeviceRequest, Bools] = {}
        self._delays: dict[str, Floats] = {}

    def delays_ms(self, place: str) -> Floats:
        """One-way milliseconds from `place` to each site."""
        if place not in self._delays:
            at, table = self._places[place], self._table
            self._delays[place] = one_way_ms(distance_km(at.latitude, at.longitude, table.latitude, table.longitude))
        return self._delays[place]

    def allowed(self, need: Where) -> Bools:
        """`mask[s]`: sites that `place_reason` has nothing against."""
        found = self._allowed.get(need)
        if found is None:
            found = self._allowed[need] = self._allowed_anew(need)
        return found

    def _allowed_anew(self, need: Where) -> Bools:
        count = len(self._table.sites)
        mask = np.ones(count, np.bool_)
        if need.sites:
            mask &= _any(count, need.sites, self._sites)
        if need.providers:
            mask &= _any(count, need.providers, self._providers)
        if need.regions:
            mask &= _any(count, need.regions, self._regions)
        if need.residency:
            mask &= _any(count, need.residency, self._sites, self._regions)
        if need.held_at is not None:
            mask &= _any(count, [need.held_at], self._sites)
        for name in need.datasets:
            mask &= _any(count, [name], self._datasets)
        if need.avoided:
            mask &= ~_any(count, need.avoided, self._sites)
        if need.circle is not None:
            mask &= self.delays_ms(need.circle.place) <= need.circle.within_ms
        return mask

    def suitable(self, request: DeviceRequest) -> Bools:
        """`mask[r]` of the pooled rows: devices that are what `request` asks for, and enough of them on a node."""
        found = self._suitable.get(request)
        if found is None:
            rows = self._table.pooled
            count = len(rows.pools)
            found = rows.per_node >= request.count
            if request.min_memory_gb is not None:
                found &= rows.device_memory_gb >= request.min_memory_gb
            if request.kind is not None:
                found &= _any(count, [request.kind], self._kinds)
            if request.models:
                found &= _any(count, request.models, self._models)
            for precision in request.precisions:
                found &= _any(count, [precision], self._precisions)
            self._suitable[request] = found
        return found

    def fitting(self, of: Shape, rows: Rows) -> Bools:
        """`mask[r]`: rows whose site is allowed and whose nodes and devices, as declared, are large and many enough."""
        need = of.resources
        mask = rows.node_cores >= need.cores
        if of.where is not ANYWHERE:
            mask &= self.allowed(of.where).take(rows.site_of)
        mask &= rows.node_memory_gb >= need.memory_gb
        if of.nodes > 1:
            mask &= rows.nodes >= of.nodes
        if need.devices is not None:
            mask &= self.suitable(need.devices)
            mask &= rows.count >= of.devices
        return mask


def _members(pairs: Iterable[tuple[str, int]]) -> Mapping[str, Ints]:
    found: dict[str, list[int]] = {}
    for name, index in pairs:
        found.setdefault(name, []).append(index)
    return {name: np.array(indices, np.int64) for name, indices in found.items()}


def _any(count: int, names: Iterable[str], *memberships: Mapping[str, Ints]) -> Bools:
    """`mask[i]`: what belongs to one of `names`, by any of the memberships."""
    mask = np.zeros(count, np.bool_)
    for name in names:
        for members in memberships:
            if name in members:
                mask[members[name]] = True
    return mask


# reasons


def place_reason(need: Where, site: Site, delay_ms: float | None) -> Exclusion | None:
    """Why `site` is not allowed, by who and where it is; `delay_ms` is from the circle's place."""
    offer = site.offering
    if need.sites and site.id not in need.sites:
        return Exclusion(site=site.id, code="site", need=", ".join(need.sites))
    if need.providers and offer.provider not in need.providers:
        return Exclusion(site=site.id, code="provider", need=", ".join(need.providers), have=offer.provider)
    if need.regions and offer.region not in need.regions:
        return Exclusion(site=site.id, code="region", need=", ".join(need.regions), have=offer.region)
    if need.residency and site.id not in need.residency and offer.region not in need.residency:
        return Exclusion(site=site.id, code="residency", need=", ".join(need.residency))
    if need.held_at is not None and site.id != need.held_at:
        return Exclusion(site=site.id, code="held", need=need.held_at)
    held = {dataset.name for dataset in offer.datasets}
    missing = [name for name in need.datasets if name not in held]
    if missing:
        return Exclusion(site=site.id, code="dataset", need=", ".join(missing))
    if site.id in need.avoided:
        return Exclusion(site=site.id, code="refused_here")
    if need.circle is not None and delay_ms is not None and delay_ms > need.circle.within_ms:
        # Rounded up, so that 5.04 ms never reads as the 5 ms that were allowed.
        have = math.ceil(delay_ms * 10) / 10
        return Exclusion(site=site.id, code="circle", need=f"{need.circle.within_ms:g}", have=f"{have:.1f}")
    return None


def suits(request: DeviceRequest, pool: DevicePool) -> bool:
    """Whether devices of `pool` are what `request` asks for, whatever their number."""
    return (
        (request.kind is None or pool.kind is request.kind)
        and (not request.models or pool.model in request.models)
        and (request.min_memory_gb is None or pool.memory_gb >= request.min_memory_gb)
        and all(precision in pool.precisions for precision in request.precisions)
    )


def words(request: DeviceRequest) -> str:
    """`2 × ascend910b` and the like, for reasons."""
    parts = [" / ".join(request.models) or (request.kind or "device")]
    if request.min_memory_gb is not None:
        parts.append(f"≥ {request.min_memory_gb:g} GB")
    parts += [str(precision) for precision in request.precisions]
    return f"{request.count} × {', '.join(parts)}"


def size_reason(of: Shape, site: Site) -> Exclusion | None:
    """Why the site's nodes, as declared, are too few or too small; None where they are not."""
    offer, need = site.offering, of.resources
    if of.nodes > 1 and offer.connector == "local":
        return Exclusion(site=site.id, code="multi_node", need=str(of.nodes))
    if of.nodes > offer.nodes:
        return Exclusion(site=site.id, code="nodes", need=str(of.nodes), have=str(offer.nodes))
    if need.cores > offer.cores_per_node:
        return Exclusion(site=site.id, code="cores", need=str(need.cores), have=str(offer.cores_per_node))
    if need.memory_gb > offer.memory_gb_per_node:
        return Exclusion(site=site.id, code="memory", need=f"{need.memory_gb:g}", have=f"{offer.memory_gb_per_node:g}")
    return _device_reason(site, need.devices, of.nodes) if need.devices else None


def _device_reason(site: Site, request: DeviceRequest, nodes: int) -> Exclusion | None:
    suitable = [pool for pool in site.offering.devices if suits(request, pool)]
    if not suitable:
        have = ", ".join(f"{pool.count} × {pool.model}" for pool in site.offering.devices) or "none"
        return Exclusion(site=site.id, code="device", need=words(request), have=have)
    dense = [pool for pool in suitable if pool.per_node >= request.count]
    if not dense:
        most = max(pool.per_node for pool in suitable)
        return Exclusion(site=site.id, code="device_count", need=str(request.count), have=str(most))
    total = max(pool.count for pool in dense)
    if request.count * nodes > total:
        return Exclusion(site=site.id, code="device_count", need=f"{nodes} × {request.count}", have=f"{total} in all")
    return None


@dataclass(frozen=True, slots=True)
class Least:
    """The best that a site's fitting rows could do for a shape. None where no row fits, and yuan where none is in time."""

    run_s: float | None
    yuan: float | None
    """Up to the time limit and at the dearest hours, so that no run can pass the budget."""


def lasting_reason(
    of: Shape, index: int, table: SiteTable, limits: Limits, least: Least, now: datetime
) -> Exclusion | None:
    """Why the site can never take jobs of this shape, or None."""
    site, circle = table.sites[index], of.where.circle
    delay = float(limits.delays_ms(circle.place)[index]) if circle else None
    reason = place_reason(of.where, site, delay) or size_reason(of, site)
    if reason is not None or least.run_s is None:
        return reason
    if of.deadline_at is not None and least.run_s > (of.deadline_at - now).total_seconds():
        need, have = of.deadline_at.isoformat(timespec="minutes"), _end(now, least.run_s)
        return Exclusion(site=site.id, code="deadline", need=need, have=have)
    if of.budget_yuan is not None and least.yuan is not None and least.yuan > float(of.budget_yuan):
        have = f"{math.ceil(least.yuan * 100) / 100:.2f}"
        return Exclusion(site=site.id, code="budget", need=f"{of.budget_yuan}", have=have)
    return None


def _end(now: datetime, run_s: float) -> str:
    """The end of a run that starts now, in words; a calendar has its own."""
    try:
        return (now + timedelta(seconds=run_s)).isoformat(timespec="minutes")
    except OverflowError:
        return "a day beyond any calendar"


def amount(cores: int, memory_gb: float, devices: int = 0) -> str:
    """`8 cores, 32 GB, 2 devices`, for reasons."""
    return f"{cores} cores, {memory_gb:g} GB" + (f", {devices} devices" if devices else "")


def now_reason(
    of: Shape, index: int, fitting: list[int], table: SiteTable, rows: Rows, free: tuple[int, float, int]
) -> Exclusion:
    """Why a site that could run the job does not take it now.

    `fitting` are the site's rows that could take it; `free` cores, GB and devices are there now.
    """
    site = table.sites[index]
    if not site.open:
        return Exclusion(site=site.id, code="closed")
    if site.state is not SiteState.REACHABLE:
        return Exclusion(site=site.id, code="silent", have=site.state)
    wanted = amount(of.cores, of.memory_gb, of.devices)
    cores, memory_gb = table.working_cores[index], table.working_memory_gb[index]
    working = max(rows.working_devices[fitting].tolist()) if of.devices else 0
    if of.cores > cores or of.memory_gb > memory_gb + SLACK or of.devices > working:
        return Exclusion(site=site.id, code="short", need=wanted, have=amount(cores, memory_gb, working))
    cores, memory_gb, devices = free
    if of.cores <= cores and of.memory_gb <= memory_gb + SLACK and of.devices <= devices:
        return Exclusion(site=site.id, code="kept")
    have = amount(max(0, cores), max(0.0, memory_gb), max(0, devices))
    return Exclusion(site=site.id, code="busy", need=wanted, have=have)
