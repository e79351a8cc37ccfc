"""What the API says about price lists, as pydantic models.

Owns these answers' field names. Prices are exact yuan an hour, as text on the wire.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import AwareDatetime, Field

from suanwang.client.answers import Answer, Asked, Yuan
from suanwang.domain.pricing import Kind, Plan


class FormulaView(Answer):
    """base + factor × yuan per kWh × kW at the meter, kept between floor and cap."""

    base_yuan: Yuan
    factor: Yuan
    floor_yuan: Yuan
    cap_yuan: Yuan | None


class DiscountView(Answer):
    """Percent off where everything that is named holds."""

    name: str
    kind: Kind
    percent: Yuan
    interruptible: bool
    brands: list[str]
    projects: list[str]
    organisations: list[str]
    from_at: datetime | None
    until: datetime | None
    above_device_hours: int | None
    below_us: int | None = None
    """Device microseconds of the month that a plan has paid."""


class DatedView(Answer):
    """What binds one run from an instant on."""

    version: int
    from_at: datetime
    core_hour_yuan: Yuan
    memory_gb_hour_yuan: Yuan
    device: FormulaView
    kw: Yuan
    discounts: list[DiscountView]


class PackageView(Answer):
    """Device hours of a month at a price of their own."""

    name: str
    plan: Plan
    device: str
    device_hours: int
    fee_yuan: Yuan
    months: int


class OnOfferView(Answer):
    site: str
    version: int
    package: PackageView


class PlanMonthView(Answer):
    """One month of a plan that a project has bought; `used_device_hours` are those of it alone."""

    plan: str
    project: str
    site: str
    package: PackageView
    month: str
    from_at: datetime
    to_at: datetime
    fee_fen: int
    paid: bool
    used_device_hours: Decimal


class PlanList(Answer):
    items: list[PlanMonthView]


class PackageList(Answer):
    items: list[OnOfferView]


class NewPlan(Asked):
    """A package to buy. `plan` is the caller's own name for it: the same again changes nothing."""

    plan: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")
    project: str = Field(min_length=1, max_length=63)
    site: str = Field(min_length=1, max_length=63)
    package: str = Field(min_length=1, max_length=60)
    months: int | None = Field(default=None, ge=1, le=60)
    begins: AwareDatetime | None = Field(default=None, strict=False)


class PriceListView(Answer):
    """One version of what a site asks; it never changes."""

    version: int
    valid_from: datetime
    published_at: datetime
    published_by: str
    core_hour_yuan: Yuan
    memory_gb_hour_yuan: Yuan
    device_hour: dict[str, FormulaView]
    discounts: list[DiscountView]
    packages: list[PackageView] = []
    note: str


class PriceHistory(Answer):
    """Newest first; `next` is the version to go on before."""

    items: list[PriceListView]
    next: int | None


class UnitStep(Answer):
    """Unit prices of the list, or what a discount left of them."""

    name: str
    kind: Kind | None
    """None for the list's own."""
    percent: Yuan
    core_hour_yuan: Yuan
    memory_gb_hour_yuan: Yuan
    device_hour_yuan: Yuan


class PricingView(Answer):
    """How unit prices came about; the last of `steps` is what is rated with."""

    version: int
    device: FormulaView
    yuan_per_kwh: Yuan | None
    kw: Yuan
    used_device_hours: Decimal | None
    steps: list[UnitStep]


class AskingView(Answer):
    """What an hour at a site costs now; without a device, of cores and memory alone."""

    site: str
    device: str | None
    core_hour_yuan: Yuan
    memory_gb_hour_yuan: Yuan
    device_hour_yuan: Yuan
    pricing: PricingView | None
    """None where the declared price holds."""
    used_device_hours: Decimal
    changes_at: datetime | None
    """When the next version holds."""


class AskingList(Answer):
    items: list[AskingView]
