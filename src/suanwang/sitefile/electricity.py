"""The `electricity` section of a site file as a tariff.

Owns how a published schedule and a site's own words are put together.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from suanwang import catalog
from suanwang.catalog.tariffs import hours, seasons
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Period, Tariff, Tier
from suanwang.electricity.tariff import check_tariff
from suanwang.sitefile.model import ElectricitySection, PeriodSection

_FIELD = "electricity"


def tariff_of(section: ElectricitySection) -> Tariff:
    """Raises `InvalidRequest` naming the field."""
    if section.area is not None and section.periods is not None:
        raise InvalidRequest(
            "an area has its own periods: say one of the two", field=f"{_FIELD}.periods", allowed="left out"
        )
    if section.area is not None:
        tariff = _published(section.area, section)
    elif section.flat_yuan_per_kwh is None:
        raise InvalidRequest(
            "say the area whose schedule holds, or the flat price",
            field=f"{_FIELD}.area",
            allowed="`area: 贵州`, or `flat_yuan_per_kwh` and `periods`",
        )
    else:
        tariff = Tariff(
            flat_yuan_per_kwh=section.flat_yuan_per_kwh,
            periods=tuple(_period(each, f"{_FIELD}.periods.{at}") for at, each in enumerate(section.periods or ())),
        )
    if section.fixed_yuan_per_kwh is not None:
        tariff = replace(tariff, fixed_yuan_per_kwh=section.fixed_yuan_per_kwh)
    check_tariff(tariff, _FIELD)
    return tariff


def _published(area: str, section: ElectricitySection) -> Tariff:
    """The area's schedule; with a flat price of the site's own nothing but multipliers can be an assumption, and what does
    not float is what the site says of it."""
    tariff = catalog.tariff_area(area, field=f"{_FIELD}.area").tariff
    if section.flat_yuan_per_kwh is None:
        return tariff
    left = tuple(what for what in tariff.assumed if what != "price")
    return replace(tariff, flat_yuan_per_kwh=section.flat_yuan_per_kwh, fixed_yuan_per_kwh=Decimal(0), assumed=left)


def _period(section: PeriodSection, field: str) -> Period:
    return Period(
        tier=Tier(section.tier),
        hours=hours(section.hours, field=f"{field}.hours"),
        seasons=seasons(section.months, field=f"{field}.months"),
        multiplier=section.multiplier,
    )
