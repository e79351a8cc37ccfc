"""Dated prices: any cut of the time sums to the same, more discount never costs more, and plans agree with bills."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, pool, seconds, task
from tests.factories import site as declared
from tests.unit.control.test_metering import allocation

from suanwang import catalog
from suanwang.control.billing.metering import meter
from suanwang.domain.job import BillLine
from suanwang.domain.pricing import Customer, Discount, Formula, PriceList
from suanwang.domain.site import Price, Site
from suanwang.domain.task import DeviceRequest
from suanwang.electricity.pricing import HOUR_US, bound, next_change, pricing_at, rounded, units
from suanwang.electricity.supply import milliseconds
from suanwang.scheduling.paying import Units, listed_yuan

CHIP = "nvidia-a100-pcie-80gb"
GUIZHOU = catalog.tariff_area("贵州").tariff
YUAN = st.decimals(0, 100, places=4)
PERCENT = st.decimals("0.1", 100, places=2)
INSTANTS = st.integers(-3600, 12 * 3600).map(lambda s: NOW + seconds(s))


@st.composite
def formulas(draw: st.DrawFn) -> Formula:
    floor = draw(st.sampled_from([Decimal(0), Decimal(3)]))
    return Formula(
        base_yuan=draw(YUAN),
        factor=draw(st.sampled_from([Decimal(0), Decimal("1.5"), Decimal(40)])),
        floor_yuan=floor,
        cap_yuan=draw(st.none() | st.decimals(3, 50, places=2)),
    )


@st.composite
def discounts(draw: st.DrawFn, *, volume: bool = True) -> Discount:
    edges = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    kind = draw(st.sampled_from(["brand", "all", "promotion", "open", *(["volume"] if volume else [])]))
    return Discount(
        name=str(draw(st.integers(0, 10**9))),
        percent=draw(PERCENT),
        brands=("NVIDIA",) if kind == "brand" else (),
        from_at=edges[0] if kind in ("promotion", "open") else None,
        until=edges[1] if kind == "promotion" else None,
        above_device_hours=draw(st.integers(1, 40)) if kind == "volume" else None,
    )


@st.composite
def sites(draw: st.DrawFn, *, volume: bool = True) -> Site:
    instants = sorted(draw(st.lists(INSTANTS, max_size=3, unique=True)))
    lists = tuple(
        PriceList(
            version=number,
            valid_from=at,
            published_at=NOW,
            published_by="p",
            core_hour_yuan=draw(YUAN),
            memory_gb_hour_yuan=draw(st.decimals(0, 1, places=6)),
            device_hour={CHIP: draw(formulas())},
            discounts=tuple(draw(st.lists(discounts(volume=volume), max_size=4))),
        )
        for number, at in enumerate((NOW - seconds(7200), *instants), start=1)
    )
    price = Price(core_hour_yuan=Decimal(1), device_hour_yuan={CHIP: Decimal(9)}, electricity=GUIZHOU, lists=lists)
    return declared("guian", devices=(pool(CHIP),), price=price)


@settings(deadline=None, max_examples=30)
@given(sites(), st.lists(st.integers(1, 40_000_000_000), min_size=1, max_size=6), st.integers(0, 30), st.integers(1, 4))
def test_wherever_a_run_is_cut_it_costs_the_same(site: Site, cuts_us: list[int], used_h: int, devices: int) -> None:
    price = bound(site, CHIP, Customer(), NOW)
    of = job(of=task(devices=DeviceRequest(count=devices)))
    held, instants = allocation(price, device_model=CHIP), sorted(set(cuts_us))
    end = NOW + timedelta(microseconds=instants[-1])
    month = {datetime.fromisoformat("2026-03-01T00:00:00+08:00"): used_h * HOUR_US}

    def run(every_s: float, stops: list[int]) -> list[BillLine]:
        current, lease, used, lines = of, held, dict(month), list[BillLine]()
        for stop in stops:
            found = meter(
                current,
                lease,
                NOW + timedelta(microseconds=stop),
                provider="p",
                every_s=every_s,
                final=stop == stops[-1],
                used_us=used,
            )
            current, lease = found.job, found.allocation
            for record in found.usage:
                (key,) = used
                used[key] += record.devices * ((record.to_at - record.from_at) // timedelta(microseconds=1))
            lines += found.bill_lines
        assert lines[-1].to_at == end
        return lines

    once, often = run(1e9, [instants[-1]]), run(3600.0, instants)
    totals = [sum((line.rated_yuan for line in lines), Decimal(0)) for lines in (once, often)]
    difference = abs(totals[0] - totals[1])
    # Each stretch of one price sums exactly; a cut may move the instant of a step of volume by a microsecond of devices.
    steps = sum(each.above_device_hours is not None for dated in price.dated for each in dated.discounts)
    assert difference <= Decimal("0.00000002") + steps * Decimal("0.000001")
    assert sum(line.amount_fen for line in often) >= 0


@settings(deadline=None, max_examples=30)
@given(sites(), INSTANTS, PERCENT, PERCENT)
def test_a_greater_discount_never_costs_more(site: Site, at: datetime, less: Decimal, more: Decimal) -> None:
    less, more = min(less, more), max(less, more)

    def asked(percent: Decimal) -> tuple[Decimal, Decimal, Decimal]:
        lists = tuple(
            replace(each, discounts=(*each.discounts, Discount(name="x", percent=percent, projects=("demo",))))
            for each in site.offering.price.lists
        )
        offer = site.offering
        listed = replace(offer, price=replace(offer.price, lists=lists))
        price = bound(replace(site, offering=listed), CHIP, Customer("demo"), NOW)
        made = pricing_at(price, at, 0)
        assert made is not None
        return units(made)[-1]

    dear, cheap = asked(less), asked(more)
    assert all(0 <= low <= high for low, high in zip(cheap, dear, strict=True))


@settings(deadline=None, max_examples=30)
@given(sites(volume=False), st.integers(0, 6), st.integers(1, 20))
def test_plans_agree_with_bills(site: Site, begin: int, lasts: int) -> None:
    """Over whole half hours; within one where a price changes, plans go by its mean."""
    price = bound(site, CHIP, Customer(), NOW)
    at, until = NOW + begin * timedelta(minutes=30), NOW + (begin + lasts) * timedelta(minutes=30)
    exact, now = Decimal(0), at
    while now < until:
        change, made = next_change(price, now, until), pricing_at(price, now)
        assert made is not None
        last = units(made)[-1]
        hourly = 3 * last.core + 7 * last.gb + 2 * last.device
        exact += hourly * ((change - now) // timedelta(microseconds=1)) / HOUR_US
        now = change
    planned = listed_yuan(price, Units(3, 7, 2), milliseconds(at), milliseconds(until))
    assert abs(planned - float(exact)) <= 1e-6 * max(1.0, float(exact))


@given(st.decimals(0, 10**6, places=12))
def test_unit_prices_have_nine_decimals_and_no_exponent(amount: Decimal) -> None:
    found = rounded(amount)
    assert abs(found - amount) <= Decimal("0.5e-9")
    assert "E" not in str(found) or found == 0 or found < Decimal("0.000001")
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int)
    assert -9 <= exponent <= 0
