"""A price list as providers write it: a file of its own, or the `price_list` section of a site file.

Owns the form and its turn into what the network publishes. Whether a site can ask that is `control.billing.prices`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.pricing import Asked, Discount, Formula, Package, Plan
from suanwang.sitefile.model import Line, Section, Yuan, refusal
from suanwang.taskfile.yamltext import checked_text, load_documents

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _instant(value: object) -> object:
    """A day is its midnight of UTC+8."""
    text = str(value)
    return f"{text}T00:00:00+08:00" if _DAY.fullmatch(text) else text


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
Percent = Annotated[Decimal, BeforeValidator(str), Field(gt=0, le=100, allow_inf_nan=False)]
Factor = Annotated[Decimal, BeforeValidator(str), Field(ge=0, le=1000, allow_inf_nan=False)]


class DevicePrice(Section):
    """A device's hour: a fixed price, or one that follows electricity."""

    model: Line
    price: Yuan | None = Field(None, description="Yuan per device and hour; or the next four.")
    base: Yuan = Decimal(0)
    factor: Factor = Field(Decimal(0), description="On yuan per kWh × kW of the device × PUE.")
    floor: Yuan = Decimal(0)
    cap: Yuan | None = None


class DiscountSection(Section):
    """Percent off where everything that is named holds."""

    name: Line
    percent: Percent
    interruptible: bool = Field(False, description="Only work that may be interrupted and keeps a checkpoint.")
    brands: tuple[Line, ...] = Field((), description="Vendors of devices; taken off the device's price alone.")
    projects: tuple[Line, ...] = ()
    organisations: tuple[Line, ...] = ()
    begins: Instant | None = Field(None, alias="from")
    until: Instant | None = None
    above_device_hours: int | None = Field(None, ge=1, description="Of the device at the site in the month.")


class PackageSection(Section):
    """Device hours of each month: a subscription for a fee, or a commitment at a rate."""

    name: Line
    device: Line
    device_hours: int = Field(ge=1, description="Included in each month.")
    fee: Yuan | None = Field(None, description="Yuan a month: a subscription.")
    rate: Yuan | None = Field(None, description="Yuan per device and hour, for all of them each month: committed use.")
    months: int = Field(1, ge=1, le=60, description="The shortest term.")


class PriceListSection(Section):
    begins: Instant | None = Field(None, alias="from", description="Holds from then on; left out: at once.")
    note: Annotated[str, Field(max_length=500)] = ""
    core_hour: Yuan
    memory_gb_hour: Yuan = Decimal(0)
    devices: tuple[DevicePrice, ...] = ()
    discounts: tuple[DiscountSection, ...] = ()
    packages: tuple[PackageSection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceListDeclaration:
    """A list to publish; without `valid_from` it holds at once."""

    asked: Asked
    valid_from: datetime | None


def read_prices(text: str | bytes, *, filename: str = "prices.yaml") -> PriceListDeclaration:
    """Raises `InvalidRequest` naming the first offending field and what is allowed."""
    documents = load_documents(checked_text(text, filename=filename), filename=filename)
    if len(documents) != 1:
        raise InvalidRequest(f"{filename}: one price list per file", field="file", allowed="one YAML document")
    try:
        section = PriceListSection.model_validate(documents[0].value)
    except ValidationError as error:
        raise refusal(error, filename) from None
    return prices_of(section, "")


def prices_of(section: PriceListSection, prefix: str) -> PriceListDeclaration:
    """`prefix` stands before the names of fields in errors."""
    devices: dict[str, Formula] = {}
    for at, each in enumerate(section.devices):
        field = f"{prefix}devices.{at}"
        model = catalog.accelerator(each.model, field=f"{field}.model").id
        if model in devices:
            raise InvalidRequest(f"{model} has two prices", field=field, allowed="one for each model")
        devices[model] = _formula(each, field)
    asked = Asked(
        core_hour_yuan=section.core_hour,
        memory_gb_hour_yuan=section.memory_gb_hour,
        device_hour=devices,
        discounts=tuple(_discount(each) for each in section.discounts),
        packages=tuple(_package(each, f"{prefix}packages.{at}") for at, each in enumerate(section.packages)),
        note=section.note,
    )
    return PriceListDeclaration(asked=asked, valid_from=section.begins)


def _formula(section: DevicePrice, field: str) -> Formula:
    follows = section.model_fields_set & {"base", "factor", "floor", "cap"}
    if (section.price is None) == (not follows):
        raise InvalidRequest(
            "a device has a price, or a formula",
            field=f"{field}.price",
            allowed="`price`, or `base`, `factor`, `floor` and `cap`",
        )
    if section.price is not None:
        return Formula(base_yuan=section.price)
    return Formula(base_yuan=section.base, factor=section.factor, floor_yuan=section.floor, cap_yuan=section.cap)


def _package(section: PackageSection, field: str) -> Package:
    if (section.fee is None) == (section.rate is None):
        raise InvalidRequest("a package has a fee or a rate", field=f"{field}.fee", allowed="`fee`, or `rate`")
    device = catalog.accelerator(section.device, field=f"{field}.device").id
    fee = section.fee if section.rate is None else section.rate * section.device_hours
    assert fee is not None, "one of the two was given"
    return Package(
        name=section.name,
        plan=Plan.SUBSCRIPTION if section.rate is None else Plan.COMMITTED,
        device=device,
        device_hours=section.device_hours,
        fee_yuan=fee,
        months=section.months,
    )


def _discount(section: DiscountSection) -> Discount:
    return Discount(
        name=section.name,
        percent=section.percent,
        interruptible=section.interruptible,
        brands=section.brands,
        projects=section.projects,
        organisations=section.organisations,
        from_at=section.begins,
        until=section.until,
        above_device_hours=section.above_device_hours,
    )
