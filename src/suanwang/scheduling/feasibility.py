"""Which rows can take which job at all, and why the others cannot.

Owns the hard limits. `permitted` and `fitting` are the vector forms that plans are made with; `exclusions` puts one
job's answer into reasons, by the same comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from suanwang.domain.device import Position
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Job
from suanwang.domain.site import DevicePool, Site
from suanwang.domain.task import Circle, DeviceRequest
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.scheduling.snapshot import Bools, Floats, SiteTable


@dataclass(frozen=True, slots=True)
class Where:
    """Everything about a job that depends on who and where a site is, and on nothing else. Hashable: jobs share answers."""

    sites: tuple[SiteId, ...]
    providers: tuple[str, ...]
    regions: tuple[str, ...]
    residency: tuple[str, ...]
    circle: Circle | None
    held_at: SiteId | None
    avoided: tuple[SiteId, ...]
    datasets: tuple[str, ...]


ANYWHERE = Where((), (), (), (), None, None, (), ())


def where(job: Job) -> Where:
    """The part of `job` that `excluded_by_place` looks at."""
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


def delays_ms(circle: Circle, table: SiteTable, places: Mapping[str, Position]) -> Floats:
    """One-way milliseconds from the circle's place to each site."""
    place = places[circle.place]
    return one_way_ms(distance_km(place.latitude, place.longitude, table.latitude, table.longitude))


def excluded_by_place(
    need: Where, table: SiteTable, places: Mapping[str, Position]
) -> tuple[Bools, tuple[Exclusion | None, ...]]:
    """`allowed[s]` and, where it is False, the reason."""
    if need is ANYWHERE:
        return np.ones(len(table.sites), np.bool_), (None,) * len(table.sites)
    delays = delays_ms(need.circle, table, places) if need.circle else None
    reasons = tuple(
        _place_reason(need, site, None if delays is None else float(delays[index]))
        for index, site in enumerate(table.sites)
    )
    return np.array([reason is None for reason in reasons], np.bool_), reasons


def _place_reason(need: Where, site: Site, delay_ms: float | None) -> Exclusion | None:
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
        return Exclusion(site=site.id, code="circle", need=f"{need.circle.within_ms:g}", have=f"{delay_ms:.1f}")
    return None


def suits(request: DeviceRequest, pool: DevicePool) -> bool:
    """Whether devices of `pool` are what `request` asks for, whatever their number."""
    return (
        (request.kind is None or pool.kind is request.kind)
        and (not request.models or pool.model in request.models)
        and (request.min_memory_gb is None or pool.memory_gb >= request.min_memory_gb)
        and all(precision in pool.precisions for precision in request.precisions)
    )


def rows_for(request: DeviceRequest | None, table: SiteTable) -> Bools:
    """`mask[r]`: rows whose devices suit; without a request, the rows without devices."""
    if request is None:
        mask = np.zeros(len(table.pools), np.bool_)
        mask[: len(table.sites)] = True
        return mask
    return np.array(
        [pool is not None and pool.per_node >= request.count and suits(request, pool) for pool in table.pools], np.bool_
    )


def words(request: DeviceRequest) -> str:
    """`2 × ascend910b` and the like, for reasons."""
    parts = [" / ".join(request.models) or (request.kind or "device")]
    if request.min_memory_gb is not None:
        parts.append(f"≥ {request.min_memory_gb:g} GB")
    parts += [str(precision) for precision in request.precisions]
    return f"{request.count} × {', '.join(parts)}"


def size_reason(job: Job, index: int, table: SiteTable) -> Exclusion | None:
    """Why the site's nodes, as declared, are too few or too small; None where they are not."""
    site, task = table.sites[index], job.task
    offer, need = site.offering, job.task.resources
    if task.nodes > 1 and table.single_node[index]:
        return Exclusion(site=site.id, code="multi_node", need=str(task.nodes))
    if task.nodes > offer.nodes:
        return Exclusion(site=site.id, code="nodes", need=str(task.nodes), have=str(offer.nodes))
    if need.cores > offer.cores_per_node:
        return Exclusion(site=site.id, code="cores", need=str(need.cores), have=str(offer.cores_per_node))
    if need.memory_gb > offer.memory_gb_per_node:
        return Exclusion(site=site.id, code="memory", need=f"{need.memory_gb:g}", have=f"{offer.memory_gb_per_node:g}")
    return _device_reason(site, need.devices, task.nodes) if need.devices else None


def _device_reason(site: Site, request: DeviceRequest, nodes: int) -> Exclusion | None:
    suitable = [pool for pool in site.offering.devices if suits(request, pool)]
    if not suitable:
        have = ", ".join(f"{pool.count} × {pool.model}" for pool in site.offering.devices) or "none"
        return Exclusion(site=site.id, code="device", need=words(request), have=have)
    most = max(pool.per_node for pool in suitable)
    if request.count > most:
        return Exclusion(site=site.id, code="device_count", need=str(request.count), have=str(most))
    total = max(pool.count for pool in suitable)
    if request.count * nodes > total:
        return Exclusion(site=site.id, code="device_count", need=f"{nodes} × {request.count}", have=f"{total} in all")
    return None


def now_reason(job: Job, index: int, rows: list[int], table: SiteTable) -> Exclusion | None:
    """Why a site that could run `job` does not take it now; `rows` are the site's rows that suit."""
    site, need, nodes = table.sites[index], job.task.resources, job.task.nodes
    if table.closed[index]:
        return Exclusion(site=site.id, code="closed")
    if table.silent[index]:
        return Exclusion(site=site.id, code="silent", have=site.state)
    devices = need.devices.count * nodes if need.devices else 0
    wanted = f"{need.cores * nodes} cores, {need.memory_gb * nodes:g} GB"
    working = f"{table.working_cores[index]} cores, {table.working_memory_gb[index]:g} GB"
    free = f"{max(0, int(table.free_cores[index]))} cores, {max(0.0, float(table.free_memory_gb[index])):g} GB"
    if devices:
        wanted += f", {devices} devices"
        working += f", {max(int(table.working_devices[row]) for row in rows)} devices"
        free += f", {max(0, *(int(table.free_devices[row]) for row in rows))} devices"
    if (
        need.cores * nodes > table.working_cores[index]
        or need.memory_gb * nodes > table.working_memory_gb[index]
        or all(devices > table.working_devices[row] for row in rows)
    ):
        return Exclusion(site=site.id, code="short", need=wanted, have=working)
    return Exclusion(site=site.id, code="busy", need=wanted, have=free)
