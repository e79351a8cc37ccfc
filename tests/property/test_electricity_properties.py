"""Electricity on bills: one price in a line, the same sum however the time is cut, and a plan that never promises too little.

Owns an oracle of its own: prices minute by minute, in fractions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, offering, pool, replace, seconds, site, snapshot, task
from tests.unit.control.test_metering import allocation

from suanwang import catalog
from suanwang.control.billing.metering import meter
from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.site import Price, Site
from suanwang.domain.tariff import Tariff
from suanwang.domain.task import DeviceRequest, Objective, Resources
from suanwang.electricity.daily import factor_at, modelled_day
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS, slot_at
from suanwang.scheduling.ahead import HORIZON_STEPS, Ahead
from suanwang.scheduling.placing import decide, explain
from suanwang.scheduling.plan import Hopeless, Place
from suanwang.trading.rating import electricity_rate, rated_yuan

TARIFFS = st.sampled_from([area.tariff for area in catalog.tariff_areas().values()])
STARTS = st.integers(0, 4 * 365 * 86_400_000_000).map(
    lambda us: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
POWERS = st.floats(0, 5000, allow_nan=False) | st.sampled_from([0.0096, 3.85, 0.1])


def paid(tariff: Tariff, **prices: Decimal) -> Price:
    return Price(core_hour_yuan=prices.get("core", Decimal(0)), electricity=tariff, electricity_passed_on=True)


def exactly(tariff: Tariff, power_kw: float, begun: datetime, end: datetime) -> Fraction:
    """Yuan for a steady draw, half hour by half hour."""
    total, at = Fraction(0), begun
    while at < end:
        until = min(
            end,
            at
            + timedelta(minutes=30)
            - timedelta(minutes=at.minute % 30, seconds=at.second, microseconds=at.microsecond),
        )
        hours = Fraction((until - at) // timedelta(microseconds=1), 3_600_000_000)
        total += Fraction(slot_at(tariff, milliseconds(at)).yuan_per_kwh) * hours
        at = until
    return total * Fraction(Decimal(repr(power_kw)))


@settings(deadline=None, max_examples=60)
@given(
    TARIFFS,
    STARTS,
    POWERS,
    st.decimals(0, 100, places=4),
    st.lists(st.integers(1, 2 * 10**11), min_size=1, max_size=6),
    st.sampled_from([600.0, 3600.0, 5e6]),
)
def test_any_split_of_the_time_bills_the_same(
    tariff: Tariff, begun: datetime, power_kw: float, core: Decimal, cuts_us: list[int], every_s: float
) -> None:
    held = replace(allocation(paid(tariff, core=core), started_at=begun), power_kw=power_kw)
    instants = sorted(set(cuts_us))
    end = begun + timedelta(microseconds=instants[-1])
    once = meter(job(), held, end, provider="p", every_s=1e9, final=True)

    usage: list[UsageRecord] = []
    lines: list[BillLine] = []
    current, lease = job(), held
    for instant in instants:
        until = begun + timedelta(microseconds=instant)
        found = meter(current, lease, until, provider="p", every_s=every_s, final=instant == instants[-1])
        current, lease = found.job, found.allocation
        usage += found.usage
        lines += found.bill_lines

    assert current.billed_fen == once.job.billed_fen
    assert current.usage.cost_yuan == once.job.usage.cost_yuan
    assert sum(line.amount_fen for line in lines) == current.billed_fen
    assert all(a.to_at == b.from_at for a, b in pairwise(usage))
    assert (usage[0].from_at, usage[-1].to_at) == (begun, end)
    for record, line in zip(usage, lines, strict=True):
        first = milliseconds(record.from_at)
        slots = {slot_at(tariff, at) for at in (first, *range(first, milliseconds(record.to_at), 600_000))}
        assert len(slots) == 1, "one price in a line"
        rate = electricity_rate(held.price, power_kw, record.from_at)
        assert rated_yuan(record, held.price, begun, rate) == line.rated_yuan, "rating again gives the same"

    hours = Fraction(instants[-1], 3_600_000_000)
    exact = exactly(tariff, power_kw, begun, end) + Fraction(core) * hours
    stretches = len(once.usage)
    assert abs(Fraction(current.usage.cost_yuan) - exact) <= Fraction(stretches, 10**8)


@settings(deadline=None, max_examples=40)
@given(TARIFFS, STARTS, st.integers(1, 10**11))
@example(catalog.tariff_area("贵州").tariff, datetime(2025, 4, 2, 5, 59, 59, 999730, tzinfo=UTC), 271)
def test_carbon_is_that_of_the_hours(tariff: Tariff, begun: datetime, long_us: int) -> None:
    day = modelled_day("gansu", 107.6)
    held = replace(allocation(paid(tariff), started_at=begun), carbon_daily=day)
    end = begun + timedelta(microseconds=long_us)
    found = meter(job(), held, end, provider="p", every_s=600, final=True)
    edges, hour = [begun], begun.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while hour < end:
        edges.append(hour)
        hour += timedelta(hours=1)
    pieces = pairwise([*edges, end])
    factor = sum(factor_at(day, milliseconds(a)) * ((b - a) / (end - begun)) for a, b in pieces)
    # Hours are told apart by the millisecond; of a shorter run either hour may count.
    a_millisecond = 0.5 / 3.6e6 * 500 * max(day)
    assert found.job.usage.carbon_g == pytest.approx(0.5 * long_us / 3.6e9 * 500 * factor, rel=1e-3, abs=a_millisecond)
    assert found.job.usage.energy_kwh == pytest.approx(0.5 * long_us / 3.6e9)


def test_electricity_in_the_posted_price_cuts_and_costs_nothing() -> None:
    tariff = catalog.tariff_area("贵州").tariff
    price = Price(core_hour_yuan=Decimal(1), electricity=tariff)
    posted, plain = (
        meter(job(), allocation(p), NOW + seconds(86400), provider="p", every_s=7200, final=True)
        for p in (price, Price(core_hour_yuan=Decimal(1)))
    )
    assert posted.bill_lines == plain.bill_lines
    assert posted.usage == plain.usage


# plans


def electric(name: str, area: str, *, core: str = "0.1", passed_on: bool = True, **changes: Any) -> Site:
    tariff = catalog.tariff_area(area).tariff
    price = Price(
        core_hour_yuan=Decimal(core),
        device_hour_yuan={"nvidia-a100-80gb-pcie": Decimal(10)},
        electricity=tariff,
        electricity_passed_on=passed_on,
    )
    return site(name, price=price, devices=(pool(),), **changes)


def at_hour(hour: int) -> datetime:
    """By the clock of UTC+8."""
    return datetime(2026, 3, 2, hour, tzinfo=NOW.tzinfo) - timedelta(hours=8)


@settings(deadline=None, max_examples=25)
@given(TARIFFS, STARTS, st.floats(0.01, 300))
def test_integrals_ahead_are_those_of_the_tariff(tariff: Tariff, now: datetime, hours: float) -> None:
    hours = min(hours, 24 * 7.0)
    price = Price(core_hour_yuan=Decimal(0), electricity=tariff, electricity_passed_on=True)
    long = timedelta(milliseconds=round(hours * 3_600_000))
    begun = now.replace(microsecond=0)
    ahead = Ahead([offering(), offering(price=price)], begun)
    totals = ahead.yuan.totals(HORIZON_STEPS)[ahead.tariff]
    into_ms = milliseconds(begun) % STEP_MS
    steps = np.array([into_ms, into_ms + long / timedelta(milliseconds=1)]) / STEP_MS
    assert not totals[0].any()
    before, after = np.interp(steps, np.arange(HORIZON_STEPS + 1), totals[1])
    assert after - before == pytest.approx(float(exactly(tariff, 1.0, begun, begun + long)), rel=1e-9)
    most = ahead.yuan.most(ahead.tariff, long / timedelta(hours=1))[1]
    for late in range(0, 48, 7):
        start = begun + timedelta(minutes=37 * late)
        assert float(exactly(tariff, 1.0, start, start + long)) <= most * (
            1 + 1e-9
        ) or start + long > begun + timedelta(days=7)


def test_the_hour_decides_where_it_is_cheaper() -> None:
    """Guian's valley is night, Horinger's is noon; both ask the same for the card."""
    sites = [electric("guian", "贵州"), electric("horinger", "蒙西")]
    of = job(
        of=task(resources=Resources(devices=DeviceRequest(count=4), time_limit_s=3600), objective=Objective(price=1.0))
    )
    chosen = {}
    for hour in (3, 12):
        found = explain(replace(snapshot(sites, [of]), now=at_hour(hour)), of)
        assert isinstance(found, Place)
        assert found.why.chosen is not None
        chosen[hour] = found.site
        electricity = found.why.chosen.figures.electricity
        assert electricity is not None
        assert electricity.tier == "valley"
        power_kw = found.power_kw
        assert electricity.drawn_yuan == pytest.approx(power_kw * float(electricity.yuan_per_kwh))
        assert found.why.chosen.figures.price_yuan == pytest.approx(40 + 0.1 + electricity.drawn_yuan)
    # At night Horinger's 0.28 is under Guian's 0.35 in the valley, and 4:00 ends it; at noon only Horinger has it.
    assert chosen == {3: "horinger", 12: "horinger"}
    night = explain(replace(snapshot(sites, [of]), now=at_hour(5)), of)
    assert isinstance(night, Place)
    assert night.site == "guian", "its valley lasts until 8:00, the other's until 4:00"


def test_carbon_weighs_by_the_hour() -> None:
    sites = [
        electric("gansu", "甘肃", carbon_g_per_kwh=500.0, carbon_daily=modelled_day("gansu", 107.6)),
        electric("hunan", "湖南", carbon_g_per_kwh=480.0),
    ]
    of = job(of=task(resources=Resources(cores=4, time_limit_s=3600), objective=Objective(price=0.0, carbon=1.0)))
    places = {}
    for hour in (0, 13):
        found = explain(replace(snapshot(sites, [of]), now=at_hour(hour)), of)
        assert isinstance(found, Place)
        places[hour] = found.site
    assert places == {0: "hunan", 13: "gansu"}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(catalog.tariff_areas())),
    STARTS,
    st.integers(600, 200_000),
    st.integers(1, 4),
    st.integers(1, 400),
    st.integers(0, 5 * 86400),
)
def test_a_budget_holds_whenever_the_site_starts_the_run(
    area: str, now: datetime, limit_s: int, cards: int, tenths: int, late_s: int
) -> None:
    """The plan gives a job with a budget to a site only where its whole time limit is within it, however late it starts."""
    now = now.replace(microsecond=0)
    need = Resources(cores=2, memory_gb=1.0, devices=DeviceRequest(count=cards), time_limit_s=limit_s)
    budget = Decimal(tenths) / 10
    of = job(of=task(resources=need, budget_yuan=budget), ready_at=now, submitted_at=now)
    plan = decide(replace(snapshot([electric("a", area)], [of]), now=now))
    if not plan.places:
        (found,) = plan.hopeless
        assert isinstance(found, Hopeless)
        assert found.why.excluded[0].code == "budget"
        return
    (place,) = plan.places
    begun = now + timedelta(seconds=late_s)
    price = electric("a", area).offering.price
    held = replace(allocation(price, started_at=begun), power_kw=place.power_kw, device_model=place.device_model)
    billed = meter(of, held, begun + timedelta(seconds=limit_s), provider="p", every_s=3600, final=True)
    assert billed.job.usage.cost_yuan <= budget + Decimal("0.00001")
