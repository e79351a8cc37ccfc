"""What a provider asks for hours at a site, dated: versions of a price list, and what of them binds one customer's run.

Owns the values. What a price is at an instant is `electricity.pricing`'s, amounts are `trading.rating`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

from suanwang.domain.ids import ProjectId, SiteId

_ZONE = timezone(timedelta(hours=8), "UTC+08:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """Yuan for an hour of one device: base + factor × yuan per kWh × kW at the meter (rated power × PUE), kept between
    floor and cap. A factor of 0 is a fixed price."""

    base_yuan: Decimal = Decimal(0)
    factor: Decimal = Decimal(0)
    floor_yuan: Decimal = Decimal(0)
    cap_yuan: Decimal | None = None


class Kind(StrEnum):
    """Of a discount, in the order in which they apply."""

    PLAN = "plan"
    """Hours that a subscription or a commitment has paid; work that the network or the provider may pause."""
    BRAND = "brand"
    """By the device's vendor; taken off the device's price alone."""
    CUSTOMER = "customer"
    """By project or organisation."""
    PROMOTION = "promotion"
    """For some time."""
    VOLUME = "volume"
    """By the device hours of the month so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """Percent off, where everything that it names holds."""

    name: str
    percent: Decimal
    interruptible: bool = False
    """Only for work that may be interrupted and keeps a checkpoint."""
    brands: tuple[str, ...] = ()
    """Vendors of devices, as the catalogue writes them."""
    projects: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    from_at: datetime | None = None
    until: datetime | None = None
    below_us: int | None = None
    """The device microseconds that a plan has paid: what is used in its month until so many; no list says it."""
    plan_month: str = ""
    """Key of the plan's month, where it is one; no list says it."""
    above_device_hours: int | None = None
    """What a project used of the device at the site in a month (UTC+8) from so many device hours on."""

    @property
    def device_only(self) -> bool:
        """Whether it is taken off the device's price alone, and not off those of cores and memory."""
        return bool(self.brands) or self.above_device_hours is not None or self.below_us is not None

    @property
    def kind(self) -> Kind:
        if self.below_us is not None:
            return Kind.PLAN
        if self.above_device_hours is not None:
            return Kind.VOLUME
        if self.from_at is not None or self.until is not None:
            return Kind.PROMOTION
        if self.projects or self.organisations:
            return Kind.CUSTOMER
        return Kind.PLAN if self.interruptible and not self.brands else Kind.BRAND


class Plan(StrEnum):
    SUBSCRIPTION = "subscription"
    """A fee each month that includes some device hours."""
    COMMITTED = "committed"
    """So many device hours each month over a term at a lower rate, which are billed whether they are used or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Device hours of a month at a price of their own; hours beyond them cost what the list says."""

    name: str
    plan: Plan
    device: str
    """Catalogue identifier."""
    device_hours: int
    """Included in each month (UTC+8); what is not used lapses."""
    fee_yuan: Decimal
    """For each month, in its beginning."""
    months: int = 1
    """The shortest term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMonth:
    """One month of a plan that a project has bought: its fee is due, and its hours are paid."""

    plan: str
    """The plan's own name."""
    project: ProjectId
    site_id: SiteId
    provider: str
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shares the fee, as the site declared when it was bought."""
    package: Package
    version: int
    """Of the price list it was bought from."""
    from_at: datetime
    to_at: datetime
    below_us: int
    """What it has paid ends where the project's device time of the month reaches this."""
    fee_fen: int
    bought_at: datetime
    bought_by: str

    @property
    def key(self) -> str:
        """Of its fee's transfers."""
        return f"plan/{self.project}/{self.plan}/{self.month}"

    @property
    def month(self) -> str:
        """Such as 2026-03, of UTC+8."""
        return f"{self.from_at.astimezone(_ZONE):%Y-%m}"

    @property
    def cover(self) -> Discount:
        """What its hours cost: nothing more."""
        return Discount(
            name=self.package.name,
            percent=Decimal(100),
            below_us=self.below_us,
            plan_month=self.key,
            from_at=self.from_at,
            until=self.to_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a price list says."""

    core_hour_yuan: Decimal
    memory_gb_hour_yuan: Decimal = Decimal(0)
    device_hour: Mapping[str, Formula] = field(default_factory=dict)
    """Catalogue identifier → price of a device's hour; what the site declared for devices that are not named."""
    discounts: tuple[Discount, ...] = ()
    packages: tuple[Package, ...] = ()
    """What may be subscribed to or committed to."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList(Asked):
    """One version of what a site asks. It holds from `valid_from` until the next one does, and never changes."""

    version: int
    valid_from: datetime
    published_at: datetime
    published_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedPrice:
    """What of a version binds one run: its own device, and the discounts that its project and work have a claim to."""

    version: int
    """0 is the price that the site declared before its first list."""
    from_at: datetime
    core_hour_yuan: Decimal
    memory_gb_hour_yuan: Decimal
    device: Formula
    kw: Decimal = Decimal(0)
    """Of one device at the meter."""
    discounts: tuple[Discount, ...] = ()
    """In the order in which they apply."""


@dataclass(frozen=True, slots=True)
class Customer:
    """All that discounts look at in who pays and what for."""

    project: str = ""
    organisation: str = ""
    interruptible: bool = False
    covers: tuple[tuple[SiteId, str, Discount], ...] = ()
    """Of its plans: site, device, and what is paid."""
    used: tuple[tuple[SiteId, str, int], ...] = ()
    """Site, device, and its microseconds that the project has used this month, where lists or plans count them."""

    def used_us(self, site: SiteId, device: str | None) -> int:
        return next((us for where, what, us in self.used if (where, what) == (site, device)), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A discount that was taken."""

    name: str
    kind: Kind
    percent: Decimal
    device_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """All that the unit prices of one bill line follow from."""

    version: int
    core_hour_yuan: Decimal
    """Of the list, as the next."""
    memory_gb_hour_yuan: Decimal
    device: Formula
    yuan_per_kwh: Decimal | None = None
    """Where the formula asks for it."""
    kw: Decimal = Decimal(0)
    taken: tuple[Taken, ...] = ()
    """In the order in which they were taken."""
    used_us: int | None = None
    """Device microseconds of the month before this record, where steps of volume count them."""
