"""What an hour costs one customer at an instant: price lists by their dates, formulas by the price of electricity, discounts.

Owns the order of discounts, the rounding of unit prices, and the instants at which a price changes. Between two of them every
unit price is constant, so usage that is cut there has one price each. All prices are exact decimals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from suanwang import catalog
from suanwang.domain.pricing import Customer, DatedPrice, Discount, Formula, Kind, PriceList, Pricing, Taken
from suanwang.domain.site import Price, Site
from suanwang.domain.tariff import Tariff
from suanwang.electricity.supply import EPOCH, milliseconds, passed_on
from suanwang.electricity.tariff import next_change_ms, slot_at

UNIT = Decimal("0.000000001")
"""Unit prices are rounded to it, half to even, once: after all discounts."""
HOUR_US = 3_600_000_000
ZONE = timezone(timedelta(hours=8), "UTC+08:00")
"""Months of volume are those of invoices."""
_ORDER = tuple(Kind)
_NOTHING, _WHOLE = Decimal(0), Decimal(100)


def brand_of(model: str | None) -> str:
    """The vendor of a device, as the catalogue writes it; empty where it does not know the device."""
    known = None if model is None else catalog.accelerators().get(model)
    return "" if known is None else known.vendor


def bound(site: Site, device: str | None, customer: Customer, now: datetime) -> Price:
    """The site's price as it binds a run of `customer` on `device` from `now` on: with what is published by then, later
    dates included, and nothing that is published after."""
    offering, price = site.offering, site.offering.price
    covers = [cover for where, what, cover in customer.covers if (where, what) == (site.id, device)]
    if not price.lists and not covers:
        return price
    pool = next((pool for pool in offering.devices if pool.model == device), None)
    in_force = max((at for at, each in enumerate(price.lists) if each.valid_from <= now), default=None)
    model, kw = (pool.model, meter_kw(pool.power_w, offering.pue)) if pool else (None, _NOTHING)
    lists: tuple[PriceList | None, ...] = (None, *price.lists) if in_force is None else price.lists[in_force:]
    return bound_by(price, lists, model, kw, customer, covers)


def bound_by(
    price: Price,
    lists: Sequence[PriceList | None],
    model: str | None,
    kw: Decimal,
    customer: Customer,
    covers: Sequence[Discount] = (),
) -> Price:
    """What a site declares as these of its lists bind a run, by their dates; None stands for what was declared before them.
    `kw` is what a device draws at the meter, `covers` are what the customer's plans have paid."""
    dated = [_declared(price, model) if each is None else _claimed(each, price, model, kw, customer) for each in lists]
    return replace(
        price,
        lists=(),
        dated=tuple(replace(each, discounts=(*covers, *each.discounts)) for each in dated),
        customer=replace(customer, covers=(), used=()),
    )


def meter_kw(power_w: float, pue: float) -> Decimal:
    """Of one device at the site's meter."""
    return Decimal(repr(float(power_w))) / 1000 * Decimal(repr(float(pue)))


def _declared(price: Price, model: str | None) -> DatedPrice:
    each = price.device_hour_yuan.get(model, Decimal(0)) if model else Decimal(0)
    return DatedPrice(
        version=0,
        from_at=EPOCH,
        core_hour_yuan=price.core_hour_yuan,
        memory_gb_hour_yuan=price.memory_gb_hour_yuan,
        device=Formula(base_yuan=each),
    )


def _claimed(version: PriceList, price: Price, model: str | None, kw: Decimal, customer: Customer) -> DatedPrice:
    posted = price.device_hour_yuan.get(model, Decimal(0)) if model else Decimal(0)
    formula = version.device_hour.get(model, Formula(base_yuan=posted)) if model else Formula()
    claims = [each for each in version.discounts if _has_claim(each, customer, model)]
    return DatedPrice(
        version=version.version,
        from_at=version.valid_from,
        core_hour_yuan=version.core_hour_yuan,
        memory_gb_hour_yuan=version.memory_gb_hour_yuan,
        device=formula,
        kw=kw if formula.factor else Decimal(0),
        discounts=tuple(sorted(claims, key=lambda each: _ORDER.index(each.kind))),
    )


def _has_claim(discount: Discount, customer: Customer, model: str | None) -> bool:
    """Whether all that does not change with time or volume holds."""
    if discount.interruptible and not customer.interruptible:
        return False
    if discount.brands and brand_of(model) not in discount.brands:
        return False
    if discount.above_device_hours is not None and model is None:
        return False
    named = discount.projects or discount.organisations
    return not named or customer.project in discount.projects or customer.organisation in discount.organisations


def in_force(dated: Sequence[DatedPrice], at: datetime) -> DatedPrice:
    """The last version whose date has come; the first one where none has."""
    return next((each for each in reversed(dated) if each.from_at <= at), dated[0])


def list_yuan(formula: Formula, yuan_per_kwh: Decimal, kw: Decimal) -> Decimal:
    """A device's hour before discounts."""
    asked = max(formula.base_yuan + formula.factor * yuan_per_kwh * kw, formula.floor_yuan, Decimal(0))
    return asked if formula.cap_yuan is None else min(asked, formula.cap_yuan)


def pricing_at(price: Price, at: datetime, used_us: int | None = None) -> Pricing | None:
    """How the unit prices at an instant come about; None where no list binds the run.

    `used_us` are the device microseconds that its project has used in the month, where the price counts them.
    """
    if not price.dated:
        return None
    each = in_force(price.dated, at)
    tariff = price.electricity if each.device.factor else None
    return Pricing(
        version=each.version,
        core_hour_yuan=each.core_hour_yuan,
        memory_gb_hour_yuan=each.memory_gb_hour_yuan,
        device=each.device,
        yuan_per_kwh=None if tariff is None else slot_at(tariff, milliseconds(at)).yuan_per_kwh,
        kw=each.kw,
        taken=tuple(
            Taken(name=found.name, kind=found.kind, percent=found.percent, device_only=found.device_only)
            for found in _holding(each.discounts, at, used_us or 0)
        ),
        used_us=used_us,
    )


class Units(NamedTuple):
    """Yuan an hour of a core, a GB and a device."""

    core: Decimal
    gb: Decimal
    device: Decimal


def units(pricing: Pricing) -> tuple[Units, ...]:
    """Unit prices of the list, then what each discount left; each rounded by itself, the last one is what is rated with."""
    return tuple(Units(rounded(core), rounded(gb), rounded(device)) for core, gb, device in _left(pricing))


def _left(pricing: Pricing) -> list[Units]:
    """As `units`, not rounded."""
    core, gb = pricing.core_hour_yuan, pricing.memory_gb_hour_yuan
    device = list_yuan(pricing.device, pricing.yuan_per_kwh or _NOTHING, pricing.kw)
    found = [Units(core, gb, device)]
    for taken in pricing.taken:
        left = 1 - taken.percent / _WHOLE
        device *= left
        if not taken.device_only:
            core, gb = core * left, gb * left
        found.append(Units(core, gb, device))
    return found


def reached(discounts: Sequence[Discount], used_us: int) -> tuple[Discount, ...]:
    """Those that so many device microseconds of the month neither use up nor leave unreached."""
    return tuple(
        each
        for each in discounts
        if (each.below_us is None or used_us < each.below_us)
        and (each.above_device_hours is None or used_us >= each.above_device_hours * HOUR_US)
    )


def _holding(discounts: Sequence[Discount], at: datetime, used_us: int) -> Iterator[Discount]:
    """Those that hold at an instant; of several steps of volume the highest that is reached."""
    highest: Discount | None = None
    for each in reached(discounts, used_us):
        if (each.from_at is not None and at < each.from_at) or (each.until is not None and at >= each.until):
            continue
        if each.above_device_hours is None:
            yield each
        elif highest is None or (highest.above_device_hours or 0) < each.above_device_hours:
            highest = each
    if highest is not None:
        yield highest


def rounded(amount: Decimal) -> Decimal:
    """A unit price to `UNIT`, without zeros behind its last digit."""
    found = amount.quantize(UNIT, rounding=ROUND_HALF_EVEN).normalize()
    exponent = found.as_tuple().exponent
    return found.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else found


def flat(price: Price, device: str | None, at: datetime, used_us: int | None = None) -> Price:
    """`price` as it is at an instant: plain unit prices."""
    made = pricing_at(price, at, used_us)
    if made is None:
        return price
    last = _left(made)[-1]
    return Price(
        core_hour_yuan=rounded(last.core),
        memory_gb_hour_yuan=rounded(last.gb),
        device_hour_yuan={} if device is None else {device: rounded(last.device)},
        electricity=price.electricity,
        electricity_passed_on=price.electricity_passed_on,
    )


def posted(site: Site, at: datetime) -> Price:
    """What everybody is asked at an instant: plain prices of all devices."""
    if not site.offering.price.lists:
        return site.offering.price
    plain = flat(bound(site, None, Customer(), at), None, at)
    devices = {
        pool.model: flat(bound(site, pool.model, Customer(), at), pool.model, at).device_hour_yuan[pool.model]
        for pool in site.offering.devices
    }
    return replace(plain, device_hour_yuan=devices)


def counts_volume(price: Price) -> bool:
    """Whether some price of the run depends on how much its project used in the month."""
    return counts(price.dated)


def counts(dated: Sequence[DatedPrice]) -> bool:
    return any(_threshold_us(each) is not None for version in dated for each in version.discounts)


class Volume(NamedTuple):
    """A stretch of a run in which no step of volume is reached and no hours of a plan are used up; `used_us` of its month were
    used when it began."""

    from_at: datetime
    to_at: datetime
    used_us: int


def volumes(
    dated: Sequence[DatedPrice], start: datetime, until: datetime, devices: int, used_us: Mapping[datetime, int]
) -> Iterator[Volume]:
    """The stretches of a run of so many devices that goes on from `start` to `until`; `used_us` is what its project has used
    in each month so far, by the month's beginning."""
    discounts = [each for version in dated for each in version.discounts if _threshold_us(each) is not None]
    used = dict(used_us)
    while start < until:
        month = month_of(start)
        so_far, end = used.get(month, 0), min(until, next_month(start))
        for each in discounts:
            end = _step_at(each, start, end, devices, so_far)
        yield Volume(start, end, so_far)
        used[month] = so_far + devices * ((end - start) // timedelta(microseconds=1))
        start = end


def month_of(at: datetime) -> datetime:
    """The instant at which the month of `at` begins."""
    local = at.astimezone(ZONE)
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(at: datetime) -> datetime:
    """The instant at which the month after that of `at` begins."""
    return month_of(month_of(at) + timedelta(days=31))


def next_change(price: Price, at: datetime, until: datetime, devices: int = 0, used_us: int | None = None) -> datetime:
    """The first instant after `at` at which a unit price, or that of electricity, may change; `until` where that is earlier."""
    tariff = price.electricity if passed_on(price) is not None else None
    for number, each in enumerate(price.dated):
        if each.from_at > at:
            until = min(until, each.from_at)
        replaced = number + 1 < len(price.dated) and price.dated[number + 1].from_at <= at
        if replaced:
            continue
        if each.device.factor and each.kw:
            tariff = price.electricity
        for discount in each.discounts:
            until = min(
                [until, *(edge for edge in (discount.from_at, discount.until) if edge is not None and edge > at)]
            )
            until = _step_at(discount, at, until, devices, used_us)
    if counts_volume(price):
        until = min(until, next_month(at))
    if tariff is None:
        return until
    return _electricity_changes(tariff, at, until)


def _step_at(discount: Discount, at: datetime, until: datetime, devices: int, used_us: int | None) -> datetime:
    """When `devices` reach the step of volume or use up what a plan has paid, to the microsecond after it; `until` where
    that is earlier."""
    threshold = _threshold_us(discount)
    if threshold is None or not devices or used_us is None:
        return until
    missing = threshold - used_us
    if missing <= 0:
        return until
    needed = -(-missing // devices)
    return at + timedelta(microseconds=needed) if needed < (until - at) // timedelta(microseconds=1) else until


def _threshold_us(discount: Discount) -> int | None:
    """Device microseconds of the month at which it begins or ends."""
    above = discount.above_device_hours
    return discount.below_us if above is None else above * HOUR_US


def _electricity_changes(tariff: Tariff, at: datetime, until: datetime) -> datetime:
    # A millisecond more, because a report may end within one.
    changes = EPOCH + timedelta(milliseconds=next_change_ms(tariff, milliseconds(at), milliseconds(until) + 1))
    return changes if at < changes < until else until
