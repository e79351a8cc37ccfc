"""What a decision sees, and the arrays it works on.

Owns the turn from values to arrays. A *row* is a way to run at a site: row `s` for `s < len(sites)` is the site without
devices, later rows are one device pool of one site each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from suanwang.domain.device import Position
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.site import DevicePool, Held, Site

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_HELD = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One instant of the network. Jobs need no order; `places` has the position of every place a circle names."""

    now: datetime
    jobs: Sequence[Job]
    sites: Sequence[Site]
    held: Mapping[SiteId, Held]
    places: Mapping[str, Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTable:
    """The sites as arrays, sorted by identifier so that ties fall the same way always."""

    sites: tuple[Site, ...]
    pools: tuple[DevicePool | None, ...]
    """Of each row; None for the rows without devices."""
    site_of: Ints
    """`site_of[r]`: index of the row's site."""
    latitude: Floats
    longitude: Floats
    silent: Bools
    closed: Bools
    nodes: Ints
    node_cores: Ints
    node_memory_gb: Floats
    single_node: Bools
    free_cores: Ints
    free_memory_gb: Floats
    working_cores: Ints
    """Cores the site's scheduler has now; below the declared ones when nodes are down."""
    working_memory_gb: Floats
    free_devices: Ints
    """`free_devices[r]`; 0 for rows without a pool."""
    working_devices: Ints
    unit_price: Floats
    """`unit_price[r, 3]`: yuan per hour of a core, of a GB, of a device of the row."""
    unit_power: Floats
    """`unit_power[r, 2]`: kW drawn from the grid by a busy core and by a device, PUE included."""
    carbon_g_per_kwh: Floats


def table(snapshot: Snapshot) -> SiteTable:
    """The arrays of `snapshot`. Capacity is the lesser of what is declared and what works, less what is held and foreign."""
    sites = tuple(sorted(snapshot.sites, key=lambda site: site.id))
    pools: list[DevicePool | None] = [None] * len(sites)
    site_of = list(range(len(sites)))
    for index, site in enumerate(sites):
        for pool in sorted(site.offering.devices, key=lambda pool: pool.model):
            pools.append(pool)
            site_of.append(index)
    offers = [site.offering for site in sites]
    held = [snapshot.held.get(site.id, NO_HELD) for site in sites]
    working_cores = np.array(
        [_least(o.cores, s.measured.cores if s.measured else None) for o, s in zip(offers, sites, strict=True)],
        np.int64,
    )
    working_memory = np.array(
        [_least(o.memory_gb, s.measured.memory_gb if s.measured else None) for o, s in zip(offers, sites, strict=True)],
        np.float64,
    )
    foreign_cores = np.array([s.measured.foreign_cores if s.measured else 0 for s in sites], np.int64)
    foreign_memory = np.array([s.measured.foreign_memory_gb if s.measured else 0.0 for s in sites], np.float64)
    working_devices, free_devices = _devices(sites, pools, site_of, held)
    rows = np.array(site_of, np.int64)
    pue = np.array([o.pue for o in offers], np.float64)
    core_kw = np.array([o.core_power_w for o in offers], np.float64) / 1000 * pue
    return SiteTable(
        sites=sites,
        pools=tuple(pools),
        site_of=rows,
        latitude=np.array([o.latitude for o in offers], np.float64),
        longitude=np.array([o.longitude for o in offers], np.float64),
        silent=np.array([s.state is not SiteState.REACHABLE for s in sites], np.bool_),
        closed=np.array([not s.open for s in sites], np.bool_),
        nodes=np.array([o.nodes for o in offers], np.int64),
        node_cores=np.array([o.cores_per_node for o in offers], np.int64),
        node_memory_gb=np.array([o.memory_gb_per_node for o in offers], np.float64),
        single_node=np.array([o.connector == "local" for o in offers], np.bool_),
        free_cores=working_cores - foreign_cores - np.array([h.cores for h in held], np.int64),
        free_memory_gb=working_memory - foreign_memory - np.array([h.memory_gb for h in held], np.float64),
        working_cores=working_cores,
        working_memory_gb=working_memory,
        free_devices=free_devices,
        working_devices=working_devices,
        unit_price=_unit_prices(sites, pools, site_of),
        unit_power=np.column_stack(
            [core_kw[rows], np.array([p.power_w if p else 0.0 for p in pools], np.float64) / 1000 * pue[rows]]
        ),
        carbon_g_per_kwh=np.array([o.carbon_g_per_kwh for o in offers], np.float64)[rows],
    )


def _least(declared: float, measured: float | None) -> float:
    return declared if measured is None else min(declared, measured)


def _devices(
    sites: Sequence[Site], pools: Sequence[DevicePool | None], site_of: Sequence[int], held: Sequence[Held]
) -> tuple[Ints, Ints]:
    working, free = np.zeros(len(pools), np.int64), np.zeros(len(pools), np.int64)
    for row, pool in enumerate(pools):
        if pool is None:
            continue
        measured = sites[site_of[row]].measured
        foreign = 0
        working[row] = pool.count
        if measured is not None:
            working[row] = min(pool.count, measured.devices.get(pool.model, 0))
            foreign = measured.foreign_devices.get(pool.model, 0)
        free[row] = working[row] - foreign - held[site_of[row]].devices.get(pool.model, 0)
    return working, free


def _unit_prices(sites: Sequence[Site], pools: Sequence[DevicePool | None], site_of: Sequence[int]) -> Floats:
    prices = np.zeros((len(pools), 3), np.float64)
    for row, pool in enumerate(pools):
        price = sites[site_of[row]].offering.price
        device = float(price.device_hour_yuan.get(pool.model, 0)) if pool else 0.0
        prices[row] = (float(price.core_hour_yuan), float(price.memory_gb_hour_yuan), device)
    return prices
