"""A job that runs exactly as its quote foresaw is billed what the quote says: over random lists, steps, plans and vouchers."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, task
from tests.property.test_pricing_properties import CHIP, sites
from tests.unit.control.test_metering import allocation

from suanwang.control.billing.foreseeing import foreseen
from suanwang.control.billing.metering import meter
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import BillLine, Span
from suanwang.domain.pricing import Customer, Discount
from suanwang.domain.quote import Offer
from suanwang.domain.site import Site
from suanwang.domain.task import DeviceRequest
from suanwang.domain.vouching import Portion
from suanwang.electricity.pricing import HOUR_US, bound, month_of, volumes
from suanwang.electricity.supply import milliseconds
from suanwang.scheduling.paying import Units, listed_yuan

CORES, MEMORY_GB = 3, 7.0


@st.composite
def paid(draw: st.DrawFn, used_h: int) -> Customer:
    """A customer whose plan, where he has one, still pays some hours."""
    hours = draw(st.none() | st.integers(1, 20))
    if hours is None:
        return Customer("demo")
    cover = Discount(name="plan", percent=Decimal(100), below_us=(used_h + hours) * HOUR_US, from_at=month_of(NOW))
    return Customer("demo", covers=(("guian", CHIP, cover),))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    sites(),
    st.data(),
    st.integers(0, 40),
    st.integers(1, 4),
    st.integers(1, 12),
    st.booleans(),
    st.lists(st.integers(1, 12 * 3_600_000_000), max_size=5),
)
def test_what_was_quoted_is_billed(
    site: Site, data: st.DataObject, used_h: int, devices: int, hours: int, passed_on: bool, cuts_us: list[int]
) -> None:
    site = replace(
        site,
        offering=replace(site.offering, price=replace(site.offering.price, electricity_passed_on=passed_on)),
    )
    customer = data.draw(paid(used_h))
    used: dict[datetime, int] = {month_of(NOW): used_h * HOUR_US}
    price = bound(site, CHIP, customer, NOW)
    offer = Offer(
        number=1,
        site=site.id,
        device_model=CHIP,
        nodes=1,
        devices_per_node=devices,
        cores_per_node=CORES,
        memory_gb_per_node=MEMORY_GB,
        start_at=NOW,
        hours=Span(low=hours / 2, mid=float(hours), high=2.0 * hours),
        finish_at=NOW + timedelta(hours=hours),
        price_yuan=Span(low=0.0, mid=0.0, high=0.0),
        energy_kwh=Span(low=0.0, mid=0.0, high=0.0),
        carbon_g=Span(low=0.0, mid=0.0, high=0.0),
        score=1.0,
        price=price,
    )
    quoted = foreseen(offer, site, ProjectId("demo"), used)

    power_kw = (CORES * site.offering.core_power_w + devices * site.offering.devices[0].power_w) / 1000
    of = job(of=task(cores=CORES, memory_gb=MEMORY_GB, devices=DeviceRequest(count=devices)))
    run = replace(allocation(price, device_model=CHIP), power_kw=power_kw * site.offering.pue)
    end = NOW + timedelta(hours=hours)
    counted, lines = dict(used), list[BillLine]()
    for stop in sorted({*(NOW + timedelta(microseconds=cut) for cut in cuts_us), end}):
        if stop <= end:
            found = meter(of, run, stop, provider="p", every_s=3600.0, final=stop == end, used_us=counted)
            of, run = found.job, found.allocation
            for record in found.usage:
                month = month_of(record.from_at)
                counted[month] = counted.get(month, 0) + record.devices * record.us
            lines += found.bill_lines
    billed = sum((line.rated_yuan for line in lines), Decimal(0))
    # A cut may move the instant of a step by a microsecond of devices.
    assert abs(quoted.price_yuan.mid - float(billed)) <= 2e-5
    assert abs(sum(part.yuan for part in quoted.parts) - quoted.price_yuan.mid) <= 1e-6
    assert quoted.price_yuan.low <= quoted.price_yuan.mid <= quoted.price_yuan.high
    fen, paid_fen = math.ceil(round(quoted.price_yuan.mid * 100, 4)), of.billed_fen
    assert abs(fen - paid_fen) <= 1

    portion = Portion(data.draw(st.integers(1, 10_000)), data.draw(st.none() | st.integers(1, 50_000)))
    before, by_voucher = 0, 0
    for line in lines:
        by_voucher += portion.grown(before, line.amount_fen)
        before += line.amount_fen
    assert by_voucher == portion.of(paid_fen)
    assert abs(portion.of(fen) - by_voucher) <= 1

    if not passed_on:  # Plans weigh the same prices, as floats.
        units = Units(CORES, MEMORY_GB, devices)
        planned = listed_yuan(price, units, milliseconds(NOW), milliseconds(end), used)
        # In the half hour in which a step or the end of a plan's hours falls, they go by the mean of other changes.
        cut = len(list(volumes(price.dated, NOW, end, devices, used))) - 1
        hourly = [float(line.rated_yuan) / ((line.to_at - line.from_at) / timedelta(hours=1)) for line in lines]
        peak = max(1.0, *hourly)
        assert abs(planned - float(billed)) <= 1e-5 * max(1.0, float(billed)) + cut * peak / 2
