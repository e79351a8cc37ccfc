"""A computing centre as the network sees it.

Owns what a provider declares and what the network knows of it. Distances and delays are `routing`'s, figures per chip
are the catalogue's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.pricing import Customer, DatedPrice, PriceList
from suanwang.domain.tariff import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePool:
    """Accelerators of one model at a site."""

    model: str
    """Catalogue identifier."""
    kind: DeviceKind
    count: int
    per_node: int
    memory_gb: float
    precisions: tuple[Precision, ...] = ()
    power_w: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The site's posted price, yuan. An hour of a device includes nothing else: cores and memory are counted beside it."""

    core_hour_yuan: Decimal
    memory_gb_hour_yuan: Decimal = Decimal(0)
    device_hour_yuan: Mapping[str, Decimal] = field(default_factory=dict)
    """Catalogue identifier → yuan per device and hour."""
    electricity: Tariff | None = None
    """What a kWh costs the site, where it says so."""
    electricity_passed_on: bool = False
    """Whether users pay the electricity they draw beside these prices; else it is in them."""
    lists: tuple[PriceList, ...] = ()
    """Of a site: the price list in force and those to come, by `valid_from`; they stand over what is declared above."""
    dated: tuple[DatedPrice, ...] = ()
    """Of one run: what binds it of those lists, by `from_at`. Empty: the prices above, at any time."""
    customer: Customer | None = None
    """Of one run that lists bind: whom their discounts were looked up for, without his plans."""
    declared: int = 0
    """Number of the site's declaration that says it, in the log; 0: the log does not have it."""
    prepaid: str = ""
    """Of one run: the device, or `core`, whose hours a right has paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Data a provider holds, which jobs may read at its site and which never leaves it."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """What a provider declares when a site joins; his to change, dated by the event that changed it."""

    name_zh: str
    name_en: str
    provider: str
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shares what the site earns: organisation → share as a fraction, summing to one. Empty: the provider alone."""
    region: str
    """Hub or region identifier (`guizhou`), as `constraints.regions` names it."""
    latitude: float
    longitude: float
    connector: str
    """`local`, `slurm`, `slurmrestd`."""
    nodes: int
    cores_per_node: int
    memory_gb_per_node: float
    devices: tuple[DevicePool, ...] = ()
    price: Price
    pue: float
    carbon_g_per_kwh: float
    """The annual average."""
    carbon_daily: tuple[float, ...] = ()
    """Factors on it by the hour of the day in UTC+8, with mean 1: a model (`electricity.daily`). Empty: none."""
    core_power_w: float = 8.0
    """Power of one busy core with its share of the host, before PUE."""
    datasets: tuple[Dataset, ...] = ()
    declares: Mapping[str, float] = field(default_factory=dict)
    """Sustained rates the provider vouches for, by probed metric (`compute.matmul.fp64`, `device.matmul.bf16`)."""
    partition: str | None = None
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Project or `project/user` → the site's own POSIX account."""

    @property
    def cores(self) -> int:
        return self.nodes * self.cores_per_node

    @property
    def memory_gb(self) -> float:
        return self.nodes * self.memory_gb_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What probes and load reports say, beside what is declared."""

    cores: int
    """Cores the site's scheduler really has."""
    memory_gb: float
    devices: Mapping[str, int]
    foreign_cores: int = 0
    """In use by others than the network."""
    foreign_memory_gb: float = 0.0
    foreign_devices: Mapping[str, int] = field(default_factory=dict)
    observed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A probed rate that stays under what the site declares; both in the metric's unit."""

    metric_type: str
    declared: float
    measured: float
    at: datetime

    @property
    def ratio(self) -> float:
        return self.measured / self.declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site and its standing. `revision` guards every change."""

    id: SiteId
    offering: Offering
    state: SiteState = SiteState.INVITED
    state_since: datetime
    open: bool = True
    """False while the operator or the provider drains it: it keeps its work and gets no more."""
    session: int = 0
    """Boot count of its agent; an older session's reports are refused."""
    seen_at: datetime | None = None
    measured: Measured | None = None
    clock_offset_s: float | None = None
    """The network's clock minus the agent's: the least seen in this session, because calls arrive late but never early."""
    warnings: tuple[str, ...] = ()
    shortfalls: tuple[Shortfall, ...] = ()
    """Where its probe fell short of what it declares; it is placed and quoted by what was measured."""
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What live allocations hold of a site."""

    cores: int = 0
    memory_gb: float = 0.0
    devices: Mapping[str, int] = field(default_factory=dict)
    allocations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """When a live allocation, or several, are over at the latest, and what is free then."""

    at: datetime
    cores: int
    memory_gb: float
    device_model: str | None = None
    devices: int = 0
