"""What a provider asks for hours at a site, dated: versions of a price list, and what of them binds one customer's run.

Owns the values. What a price is at an instant is `electricity.pricing`'s, amounts are `trading.rating`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


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
    """For work that the network or the provider may pause."""
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
    above_device_hours: int | None = None
    """What a project used of the device at the site in a month (UTC+8) from so many device hours on."""

    @property
    def device_only(self) -> bool:
        """Whether it is taken off the device's price alone, and not off those of cores and memory."""
        return bool(self.brands) or self.above_device_hours is not None

    @property
    def kind(self) -> Kind:
        if self.above_device_hours is not None:
            return Kind.VOLUME
        if self.from_at is not None or self.until is not None:
            return Kind.PROMOTION
        if self.projects or self.organisations:
            return Kind.CUSTOMER
        return Kind.PLAN if self.interruptible and not self.brands else Kind.BRAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a price list says."""

    core_hour_yuan: Decimal
    memory_gb_hour_yuan: Decimal = Decimal(0)
    device_hour: Mapping[str, Formula] = field(default_factory=dict)
    """Catalogue identifier → price of a device's hour; what the site declared for devices that are not named."""
    discounts: tuple[Discount, ...] = ()
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
