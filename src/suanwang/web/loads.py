"""What a page says of a site: how large it is, how busy, what an hour costs, how clean its power.

Owns the figures that the network, sites and site pages share. Load counts the network's leases and what others use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from suanwang import catalog
from suanwang.control.sites import SiteView
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.site import Price, Site
from suanwang.electricity.pricing import posted

CARBON_STEPS = (100.0, 300.0, 500.0, 700.0)
"""gCO2 per kWh between the five colours: hydro and nuclear grids lie below the first, coal grids above the last."""
LOAD_STEPS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoad:
    model: str
    name: str
    used: int
    count: int
    hour_yuan: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLoad:
    """One site in figures. `load` is the larger share in use of cores and of devices; None while nothing is measured."""

    site: Site
    price: Price
    """What everybody is asked now."""
    runs: int
    cores_used: int
    cores: int
    pools: tuple[PoolLoad, ...]
    load: float | None
    """None where nobody answers: nothing is free there."""
    power_kw: float
    """Rated draw of the computing alone, at full load."""

    @property
    def usable(self) -> bool:
        return self.site.state is SiteState.REACHABLE and self.site.open

    @property
    def load_step(self) -> int | None:
        return None if self.load is None else step_of(self.load, LOAD_STEPS)

    @property
    def carbon_step(self) -> int:
        return step_of(self.site.offering.carbon_g_per_kwh, CARBON_STEPS)


def step_of(value: float, steps: tuple[float, ...]) -> int:
    """Which of the `len(steps) + 1` colours: 0 below the first bound."""
    return sum(value >= bound for bound in steps)


def load_of(view: SiteView, now: datetime) -> SiteLoad:
    """Load and prices at an instant."""
    site, held, offer = view.site, view.held, view.site.offering
    price = posted(site, now)
    measured = site.measured
    cores = offer.cores if measured is None else min(offer.cores, measured.cores)
    used = held.cores + (measured.foreign_cores if measured else 0)
    foreign: Mapping[str, int] = measured.foreign_devices if measured else {}
    pools = []
    for pool in offer.devices:
        working = pool.count if measured is None else min(pool.count, measured.devices.get(pool.model, 0))
        pools.append(
            PoolLoad(
                model=pool.model,
                name=device_name(pool.model),
                used=held.devices.get(pool.model, 0) + foreign.get(pool.model, 0),
                count=working,
                hour_yuan=price.device_hour_yuan.get(pool.model),
            )
        )
    shares = [_share(used, cores), *(_share(pool.used, pool.count) for pool in pools)]
    return SiteLoad(
        site=site,
        price=price,
        runs=held.allocations,
        cores_used=used,
        cores=cores,
        pools=tuple(pools),
        load=None if site.state in (SiteState.INVITED, SiteState.LOST) else max(shares),
        power_kw=(offer.cores * offer.core_power_w + sum(p.count * p.power_w for p in offer.devices)) / 1000,
    )


def _share(used: float, whole: float) -> float:
    return min(1.0, used / whole) if whole else 0.0


def utilisation(loads: list[SiteLoad]) -> float:
    """Share in use of all that works, weighted by rated power so that cores and devices add up."""
    whole = sum(load.power_kw for load in loads if load.load is not None)
    return sum(load.power_kw * load.load for load in loads if load.load is not None) / whole if whole else 0.0


def device_name(model: str) -> str:
    """As the catalogue writes it; a model nobody knows keeps its identifier."""
    known = catalog.accelerators().get(model)
    return f"{known.vendor} {known.model}" if known is not None else model


def region_name(region: str, *, chinese: bool) -> str:
    """A hub's name; another region's own word."""
    hub = catalog.hubs().get(region)
    if hub is None:
        return region
    return hub.name_zh if chinese else hub.name_en
