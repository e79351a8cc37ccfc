"""What a decision sees, and the arrays it works on.

Owns the turn from values to arrays. A *row* is a way to run at a site: `plain` has one row per site, for jobs without
devices; `pooled` has one per device pool, those of one site side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from suanwang.domain.device import Position
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.pricing import Customer
from suanwang.domain.site import DevicePool, Ending, Held, Site
from suanwang.scheduling.ahead import Ahead
from suanwang.scheduling.fairness import Fairness
from suanwang.scheduling.paying import Paying
from suanwang.scheduling.purses import Money

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_HELD = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """By what runs of lower priority are ended for jobs that find no room."""

    runs: Callable[[], Sequence[tuple[Job, Allocation]]]
    """Those that keep checkpoints; asked for once, and only where a job finds no room."""
    notice: timedelta
    """How long before its end a run is told."""
    protect: timedelta
    """A job that was interrupted once runs at least so long before it is taken again."""
    most_interruptions: int
    """A job that was interrupted so often is not taken any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One instant of the network. Jobs need no order; `places` has the position of every place a circle names."""

    now: datetime
    jobs: Sequence[Job]
    sites: Sequence[Site]
    held: Mapping[SiteId, Held]
    places: Mapping[str, Position]
    slowness: Mapping[tuple[SiteId, str | None], float] = field(default_factory=dict)
    """(site, device model, or None for its cores) → factor of at least 1 on hours, where a site measured less than it
    declares."""
    endings: Callable[[], Mapping[SiteId, Sequence[Ending]]] = dict
    """When live runs are over at the latest; asked for once, and only where a job finds no room."""
    fairness: Fairness | None = None
    """Where several projects wait, or one has a quota."""
    taking: Taking | None = None
    """Where runs may be ended for others."""
    payers: Mapping[ProjectId, Customer] = field(default_factory=dict)
    """What price lists look at in projects, where that is more than their names."""
    money: Money | None = None
    """Where starts hold money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Ways to run, as arrays `[r]`. What is free changes while a plan is made; all else stays."""

    site_of: Ints
    """Index of the row's site."""
    span: tuple[tuple[int, int], ...]
    """First row of each site, and one past its last."""
    pools: tuple[DevicePool | None, ...]
    node_cores: Ints
    node_memory_gb: Floats
    nodes: Ints
    """Nodes one job may have; 1 where the connector runs single-node jobs only."""
    per_node: Ints
    """Devices; 0 without a pool, as in the next two."""
    count: Ints
    device_memory_gb: Floats
    core_yuan: Floats
    """Per hour, as the next two."""
    gb_yuan: Floats
    device_yuan: Floats
    slowness: Floats
    """Factor on hours."""
    even: bool
    """Whether that is 1 everywhere."""
    core_kw: Floats
    """Drawn from the grid by one busy core, PUE included."""
    device_kw: Floats
    carbon_g_per_kwh: Floats
    """The annual average."""
    ahead: Ahead
    paying: Paying | None
    """Where some site has published a price list: then prices depend on who pays."""
    tariff: Ints
    """Function of `ahead.yuan`: what users pay for a kWh."""
    day: Ints
    """Function of `ahead.carbon`: over the annual average."""
    awake: Bools
    """Takes new work now: reachable and open."""
    working_devices: Ints
    free_cores: Ints
    """Below zero where the site takes no new work or is promised more than it has."""
    free_memory_gb: Floats
    free_devices: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTable:
    """The sites as arrays, sorted by identifier so that ties fall the same way always."""

    sites: tuple[Site, ...]
    latitude: Floats
    longitude: Floats
    working_cores: tuple[int, ...]
    """Cores the site's scheduler has now; below the declared ones when nodes are down."""
    working_memory_gb: tuple[float, ...]
    plain: Rows
    pooled: Rows


def table(snapshot: Snapshot) -> SiteTable:
    """The arrays of `snapshot`. Capacity is the lesser of what is declared and what works, less what is held and foreign."""
    sites = tuple(sorted(snapshot.sites, key=lambda site: site.id))
    offers = [site.offering for site in sites]
    cores = [min(o.cores, s.measured.cores) if s.measured else o.cores for o, s in zip(offers, sites, strict=True)]
    memory = [
        min(o.memory_gb, s.measured.memory_gb) if s.measured else o.memory_gb
        for o, s in zip(offers, sites, strict=True)
    ]
    pools = [sorted(offer.devices, key=lambda pool: pool.model) for offer in offers]
    working = np.array(cores, np.int64), np.array(memory, np.float64)
    ahead = Ahead(offers, snapshot.now)
    return SiteTable(
        sites=sites,
        latitude=np.array([o.latitude for o in offers], np.float64),
        longitude=np.array([o.longitude for o in offers], np.float64),
        working_cores=tuple(cores),
        working_memory_gb=tuple(memory),
        plain=_rows(snapshot, sites, [[None]] * len(sites), *working, ahead),
        pooled=_rows(snapshot, sites, pools, *working, ahead),
    )


def _rows(
    snapshot: Snapshot,
    sites: Sequence[Site],
    pools_of: Sequence[Sequence[DevicePool | None]],
    working_cores: Ints,
    working_memory: Floats,
    ahead: Ahead,
) -> Rows:
    """One row for each pool in `pools_of[s]`."""
    site_of = np.repeat(np.arange(len(sites)), [len(pools) for pools in pools_of]).astype(np.int64)
    ends = np.cumsum([0, *(len(pools) for pools in pools_of)]).tolist()
    pools = tuple(pool for of_site in pools_of for pool in of_site)
    offers = [site.offering for site in sites]
    held = [snapshot.held.get(site.id, NO_HELD) for site in sites]
    at = [site for site, of_site in zip(sites, pools_of, strict=True) for _ in of_site]
    awake = np.array([s.state is SiteState.REACHABLE and s.open for s in sites], np.bool_)
    foreign_cores = np.array([s.measured.foreign_cores if s.measured else 0 for s in sites], np.int64)
    foreign_memory = np.array([s.measured.foreign_memory_gb if s.measured else 0.0 for s in sites], np.float64)
    free_cores = working_cores - foreign_cores - np.array([h.cores for h in held], np.int64)
    free_memory = working_memory - foreign_memory - np.array([h.memory_gb for h in held], np.float64)
    working, free = _devices(at, pools, [held[index] for index in site_of])
    units = [_unit(site, pool, snapshot.slowness) for site, pool in zip(at, pools, strict=True)]
    figures = np.ascontiguousarray(np.array(units, np.float64).reshape(len(units), 7).T)
    return Rows(
        site_of=site_of,
        span=tuple(pairwise(ends)),
        pools=pools,
        node_cores=np.array([o.cores_per_node for o in offers], np.int64)[site_of],
        node_memory_gb=np.array([o.memory_gb_per_node for o in offers], np.float64)[site_of],
        nodes=np.array([1 if o.connector == "local" else o.nodes for o in offers], np.int64)[site_of],
        per_node=np.array([p.per_node if p else 0 for p in pools], np.int64),
        count=np.array([p.count if p else 0 for p in pools], np.int64),
        device_memory_gb=np.array([p.memory_gb if p else 0.0 for p in pools], np.float64),
        core_yuan=figures[0],
        gb_yuan=figures[1],
        device_yuan=figures[2],
        slowness=figures[6],
        even=bool((figures[6] == 1).all()),
        core_kw=figures[3],
        device_kw=figures[4],
        carbon_g_per_kwh=figures[5],
        ahead=ahead,
        paying=Paying(at, pools, figures[:3], snapshot.now, snapshot.payers)
        if any(offer.price.lists for offer in offers)
        else None,
        tariff=ahead.tariff[site_of],
        day=ahead.day[site_of],
        awake=awake[site_of],
        working_devices=working,
        free_cores=np.where(awake, free_cores, -1)[site_of],
        free_memory_gb=free_memory[site_of],
        free_devices=free,
    )


def _unit(
    site: Site, pool: DevicePool | None, slowness: Mapping[tuple[SiteId, str | None], float]
) -> tuple[float, float, float, float, float, float, float]:
    """What one row costs (core, GB, device), draws (core, device), emits and takes."""
    offer, price = site.offering, site.offering.price
    return (
        float(price.core_hour_yuan),
        float(price.memory_gb_hour_yuan),
        float(price.device_hour_yuan.get(pool.model, 0)) if pool else 0.0,
        offer.core_power_w / 1000 * offer.pue,
        pool.power_w / 1000 * offer.pue if pool else 0.0,
        offer.carbon_g_per_kwh,
        slowness.get((site.id, pool.model if pool else None), 1.0),
    )


def _devices(sites: Sequence[Site], pools: Sequence[DevicePool | None], held: Sequence[Held]) -> tuple[Ints, Ints]:
    """Devices that work and devices that are free, of the pool in each row."""
    working, free = np.zeros(len(pools), np.int64), np.zeros(len(pools), np.int64)
    for row, (site, pool) in enumerate(zip(sites, pools, strict=True)):
        if pool is None:
            continue
        measured, foreign = site.measured, 0
        working[row] = pool.count
        if measured is not None:
            working[row] = min(pool.count, measured.devices.get(pool.model, 0))
            foreign = measured.foreign_devices.get(pool.model, 0)
        free[row] = working[row] - foreign - held[row].devices.get(pool.model, 0)
    return working, free
