"""Dated price lists: what an hour costs whom and when, how it comes about, and that bills say and prove it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.factories import (
    DEMO,
    NOW,
    OPERATOR,
    OTHER_PROVIDER,
    PROVIDER,
    USER,
    SmallNetwork,
    pool,
    seconds,
    task,
)

from suanwang import catalog
from suanwang.adapters.signing import Ed25519Signer
from suanwang.control.billing.proofs import Proofs
from suanwang.control.rules import Rules
from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import BillLine, Job
from suanwang.domain.pricing import Asked, Customer, Discount, Formula, Kind
from suanwang.domain.site import Price
from suanwang.domain.task import DeviceRequest
from suanwang.electricity.pricing import bound, flat, next_change, pricing_at, units
from suanwang.ports import BillQuery
from suanwang.trading.evidence import verify

SIGNER = Ed25519Signer("07" * 32)
GUIAN = SiteId("guian")
AGENT = Principal(name="agent-guian", role=Role.AGENT, site_id=GUIAN)
A100 = "nvidia-a100-pcie-80gb"
GUIZHOU = catalog.tariff_area("贵州").tariff
PLAIN = Asked(core_hour_yuan=Decimal("0.1"), device_hour={A100: Formula(base_yuan=Decimal(8))})
BRAND = Discount(name="brand", percent=Decimal(10), brands=("nvidia",))
CUSTOMER = Discount(name="thu", percent=Decimal(5), organisations=("Tsinghua",))
SPOT = Discount(name="spot", percent=Decimal(40), interruptible=True)
VOLUME = Discount(name="volume", percent=Decimal(50), above_device_hours=2)


@pytest.fixture
def net() -> SmallNetwork:
    """One site in Guizhou with eight A100; project demo is Tsinghua's. It is 16:00 in UTC+8, an hour before the peak."""
    small = SmallNetwork(Rules(meter_every_s=3600.0))
    price = Price(core_hour_yuan=Decimal("0.2"), device_hour_yuan={A100: Decimal(10)}, electricity=GUIZHOU)
    small.join("guian", devices=(pool(A100),), price=price)
    small.network.people.label_project(OPERATOR, DEMO, {"organisation": "Tsinghua"})
    return small


def publish(small: SmallNetwork, asked: Asked = PLAIN, after_s: float = 0, **changes: Any) -> None:
    at = small.clock.now() + seconds(after_s)
    small.network.prices.publish(PROVIDER, GUIAN, replace(asked, **changes), at)


def ran(small: SmallNetwork, hours: float, *, devices: int = 1, **changes: Any) -> Job:
    """A job on so many devices that ran so long."""
    wanted = task(devices=DeviceRequest(count=devices), time_limit_s=24 * 3600, **changes)
    (job,) = small.submit(wanted)
    small.network.turn()
    begun = small.clock.now()
    small.clock.advance(hours * 3600)
    finish(small, small.job(job.id), begun)
    return small.job(job.id)


def finish(small: SmallNetwork, job: Job, begun: datetime) -> None:
    small.end(AGENT, job.id, begun)


def lines_of(small: SmallNetwork, job: Job) -> list[BillLine]:
    lines, _ = small.network.bills.lines(OPERATOR, BillQuery(job_id=job.id), None, 100)
    return sorted(lines, key=lambda line: line.from_at)


def test_a_list_stands_over_what_the_site_declares(net: SmallNetwork) -> None:
    assert ran(net, 1).usage.cost_yuan == Decimal("10.2")
    publish(net)
    job = ran(net, 1)
    assert job.usage.cost_yuan == Decimal("8.1")
    (line,) = lines_of(net, job)
    assert line.description == f"1 cores, 1 GB, 1 × {A100}, price list 1 of 2026-03-01"


def test_discounts_are_taken_in_their_order_and_each_is_named(net: SmallNetwork) -> None:
    promotion = Discount(name="spring", percent=Decimal(20), from_at=NOW, until=NOW + timedelta(days=3))
    publish(net, discounts=(promotion, CUSTOMER, BRAND))
    job = ran(net, 1)
    (line,) = lines_of(net, job)
    assert line.pricing is not None
    assert [each.kind for each in line.pricing.taken] == [Kind.BRAND, Kind.CUSTOMER, Kind.PROMOTION]
    # 8 yuan less 10, 5 and 20 %; cores are of no brand.
    assert [step.device for step in units(line.pricing)] == [Decimal(each) for each in ("8", "7.2", "6.84", "5.472")]
    assert [step.core for step in units(line.pricing)] == [Decimal(each) for each in ("0.1", "0.1", "0.095", "0.076")]
    assert line.rated_yuan == Decimal("5.548")
    assert line.description.endswith("price list 1 of 2026-03-01, brand −10 %, thu −5 %, spring −20 %")


def test_discounts_are_for_whom_they_name(net: SmallNetwork) -> None:
    other = Discount(name="other", percent=Decimal(100), projects=("other",))
    publish(net, discounts=(SPOT, CUSTOMER, other))
    site = net.network.sites.get(OPERATOR, GUIAN).site

    def hour(project: str, organisation: str, *, interruptible: bool = False) -> Decimal:
        price = bound(site, A100, Customer(project, organisation, interruptible), NOW)
        return flat(price, A100, NOW).device_hour_yuan[A100]

    assert hour("demo", "Tsinghua") == Decimal("7.6")
    assert hour("third", "") == Decimal(8)
    assert hour("third", "", interruptible=True) == Decimal("4.8")
    assert hour("other", "Tsinghua") == 0, "nothing is left of it, and never less than that"


def test_a_formula_follows_electricity_between_floor_and_cap(net: SmallNetwork) -> None:
    """0.36 kW at the meter; 0.55 yuan/kWh until 17:00 of UTC+8, then 0.76."""
    formula = Formula(base_yuan=Decimal(2), factor=Decimal(10), floor_yuan=Decimal(1), cap_yuan=Decimal("4.5"))
    publish(net, core_hour_yuan=Decimal(0), device_hour={A100: formula})
    job = ran(net, 3)
    first, second, third = lines_of(net, job)
    assert first.rated_yuan == Decimal(2) + 10 * Decimal("0.36") * Decimal("0.55")
    assert second.rated_yuan == third.rated_yuan == Decimal("4.5"), "2 + 10 × 0.36 × 0.76 is above the cap"
    assert first.pricing is not None
    assert (first.pricing.yuan_per_kwh, first.pricing.kw) == (Decimal("0.55"), Decimal("0.36"))


def test_a_run_is_cut_at_the_instant_of_a_change_it_could_know_of(net: SmallNetwork) -> None:
    publish(net)
    publish(net, after_s=5400, device_hour={A100: Formula(base_yuan=Decimal(4))})
    job = ran(net, 3)
    assert [(line.to_at - line.from_at, line.rated_yuan) for line in lines_of(net, job)] == [
        (timedelta(hours=1), Decimal("8.1")),
        (timedelta(minutes=30), Decimal("4.05")),
        (timedelta(hours=1), Decimal("4.1")),
        (timedelta(minutes=30), Decimal("2.05")),
    ]


def test_what_is_published_later_does_not_touch_what_was_granted(net: SmallNetwork) -> None:
    publish(net)
    (job,) = net.submit(task(devices=DeviceRequest(count=1), time_limit_s=24 * 3600))
    net.network.turn()
    begun = net.clock.now()
    net.clock.advance(1800)
    publish(net, device_hour={A100: Formula(base_yuan=Decimal(100))})
    net.clock.advance(1800)
    finish(net, net.job(job.id), begun)
    done = net.job(job.id)
    # Published in mid-run, a second later than its time was cut last.
    assert float(done.usage.cost_yuan) == pytest.approx(8.1, abs=0.01)
    assert {line.description for line in lines_of(net, done)} == {
        f"1 cores, 1 GB, 1 × {A100}, price list 1 of 2026-03-01"
    }
    (line,) = lines_of(net, ran(net, 1))
    assert "price list 2 of 2026-03-01" in line.description
    assert line.rated_yuan == Decimal("100.1")


def test_a_quote_binds_the_list_and_the_discounts_of_its_project(net: SmallNetwork) -> None:
    publish(net, discounts=(CUSTOMER,))
    of = task(devices=DeviceRequest(count=1, models=(A100,)), time_limit_s=3600, expected_s=3600)
    quote = net.network.quotes.quote_task(USER, of, source="x")
    publish(net, device_hour={A100: Formula(base_yuan=Decimal(100))})
    net.clock.advance(2)
    (job,) = net.network.quotes.submit(USER, [of], quote.id).jobs
    net.network.turn()
    begun = net.clock.now()
    net.clock.advance(3600)
    finish(net, net.job(job.id), begun)
    assert net.job(job.id).usage.cost_yuan == Decimal("8.1") * Decimal("0.95")


def test_a_step_of_volume_begins_at_its_very_hour(net: SmallNetwork) -> None:
    publish(net, core_hour_yuan=Decimal(0), discounts=(VOLUME,))
    job = ran(net, 0.75, devices=4)
    # Four devices use two hours in half an hour; the quarter behind costs half.
    assert [(line.to_at - line.from_at, line.rated_yuan) for line in lines_of(net, job)] == [
        (timedelta(minutes=30), Decimal(16)),
        (timedelta(minutes=15), Decimal(4)),
    ]
    after = ran(net, 1)
    assert after.usage.cost_yuan == Decimal(4)
    (line,) = lines_of(net, after)
    assert line.pricing is not None
    assert line.pricing.used_us == 3 * 3_600_000_000


def test_a_month_of_volume_is_one_of_utc_plus_8(net: SmallNetwork) -> None:
    publish(net, core_hour_yuan=Decimal(0), discounts=(VOLUME,))
    net.clock.at = datetime(2026, 3, 31, 12, tzinfo=UTC)  # 20:00 in UTC+8
    net.sync(AGENT)
    job = ran(net, 5)
    assert [(line.from_at.hour, line.rated_yuan) for line in lines_of(net, job)] == [
        *((12, Decimal(8)), (13, Decimal(8))),
        *((14, Decimal(4)), (15, Decimal(4))),
        (16, Decimal(8)),
    ]


def test_rating_anew_gives_the_same_bytes_and_the_bill_proves_itself(net: SmallNetwork) -> None:
    formula = Formula(base_yuan=Decimal("2.123456789"), factor=Decimal("1.2345"))
    publish(net, device_hour={A100: formula}, discounts=(BRAND, CUSTOMER, VOLUME))
    publish(net, after_s=4000, discounts=(BRAND,))
    job = ran(net, 3.3)
    net.network.turn()
    found = net.network.invoices.rerate(OPERATOR, DEMO, "2026-03")
    assert found.identical
    assert found.lines == len(lines_of(net, job)) > 3
    made: dict[str, Any] = json.loads(
        json.dumps(Proofs(net.store, net.clock, Rules(), SIGNER).evidence(OPERATOR, job.id))
    )
    assert verify(made, key=SIGNER.key).holds
    change: dict[str, Any]
    for change in (
        {"kw": "0.1"}, {"yuan_per_kwh": "0.01"}, {"taken": []}, {"version": 2}, {"core_hour_yuan": "0.2"}, {"used_us": -1},
    ):  # fmt: skip
        forged = copy.deepcopy(made)
        forged["usage"][0]["leaf"]["pricing"] |= change
        assert not verify(forged).holds, change


def test_clocks_that_are_put_forward_move_no_instant(net: SmallNetwork) -> None:
    """In Berlin the hour after 02:00 of 29 March 2026 is missing: a list and a promotion that are dated there still last as
    long as they last."""
    berlin = ZoneInfo("Europe/Berlin")
    net.clock.at = datetime(2026, 3, 29, 0, tzinfo=UTC)
    net.sync(AGENT)
    promotion = Discount(
        name="night",
        percent=Decimal(50),
        from_at=datetime(2026, 3, 29, 1, 30, tzinfo=berlin),
        until=datetime(2026, 3, 29, 3, 30, tzinfo=berlin),
    )
    asked = replace(PLAIN, core_hour_yuan=Decimal(0), discounts=(promotion,))
    first = net.network.prices.publish(PROVIDER, GUIAN, asked, datetime(2026, 3, 29, 1, 0, tzinfo=berlin))
    assert net.network.prices.publish(PROVIDER, GUIAN, asked, NOW.replace(month=3, day=29, hour=0)) == first
    job = ran(net, 2)
    assert [(line.from_at.hour, line.from_at.minute, line.rated_yuan) for line in lines_of(net, job)] == [
        *((0, 0, Decimal(4)), (0, 30, Decimal(4))),
        (1, 30, Decimal(4)),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"core_hour_yuan": Decimal(-1)}, "core_hour_yuan"),
        ({"core_hour_yuan": Decimal("NaN")}, "core_hour_yuan"),
        ({"core_hour_yuan": Decimal("0.1234567891")}, "core_hour_yuan"),
        ({"device_hour": {"nvidia-h100-sxm": Formula()}}, "device_hour.nvidia-h100-sxm"),
        ({"device_hour": {"no such chip": Formula()}}, "device_hour.no such chip"),
        ({"device_hour": {A100: Formula(floor_yuan=Decimal(2), cap_yuan=Decimal(1))}}, f"device_hour.{A100}.cap_yuan"),
        ({"device_hour": {A100: Formula(factor=Decimal(1001))}}, f"device_hour.{A100}.factor"),
        ({"discounts": (replace(BRAND, percent=Decimal(101)),)}, "discounts.0.percent"),
        ({"discounts": (replace(BRAND, percent=Decimal(0)),)}, "discounts.0.percent"),
        ({"discounts": (replace(BRAND, brands=("Acme",)),)}, "discounts.0.brands"),
        ({"discounts": (BRAND, BRAND)}, "discounts.1.name"),
        ({"discounts": (replace(BRAND, from_at=NOW, until=NOW),)}, "discounts.0.until"),
        ({"discounts": (replace(BRAND, until=datetime(2026, 4, 1)),)}, "discounts.0.until"),  # noqa: DTZ001
        ({"discounts": (replace(VOLUME, above_device_hours=0),)}, "discounts.0.above_device_hours"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(net: SmallNetwork, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        publish(net, **changes)
    assert caught.value.field == field
    assert net.network.prices.history(USER, GUIAN, None, 10) == []


def test_who_may_publish_and_from_when(net: SmallNetwork) -> None:
    prices = net.network.prices
    for caller in (USER, OTHER_PROVIDER):
        with pytest.raises(Forbidden):
            prices.publish(caller, GUIAN, PLAIN)
    with pytest.raises(NotFound):
        prices.publish(OPERATOR, SiteId("nowhere"), PLAIN)
    for at in (NOW - seconds(1), NOW + seconds(0.5), NOW + timedelta(days=800)):
        with pytest.raises(InvalidRequest) as caught:
            prices.publish(PROVIDER, GUIAN, PLAIN, at)
        assert caught.value.field == "valid_from"
    first = prices.publish(PROVIDER, GUIAN, PLAIN)
    assert first.valid_from == NOW + seconds(1)
    assert prices.publish(PROVIDER, GUIAN, PLAIN) == first, "the same again changes nothing"
    second = prices.publish(PROVIDER, GUIAN, replace(PLAIN, note="dearer"), NOW + timedelta(days=1))
    assert [each.version for each in prices.history(USER, GUIAN, None, 10)] == [2, 1]
    assert prices.history(USER, GUIAN, 2, 10) == [first]
    assert net.network.sites.get(USER, GUIAN).site.offering.price.lists == (first, second)


def test_lists_survive_a_new_declaration_that_fits_them(net: SmallNetwork) -> None:
    publish(net, device_hour={A100: Formula(factor=Decimal(1))})
    site = net.network.sites.get(OPERATOR, GUIAN).site
    declared = replace(site.offering, price=replace(site.offering.price, lists=()))
    assert net.network.sites.change(OPERATOR, GUIAN, declared).offering.price.lists == site.offering.price.lists
    with pytest.raises(InvalidRequest) as caught:
        net.network.sites.change(OPERATOR, GUIAN, replace(declared, price=replace(declared.price, electricity=None)))
    assert caught.value.field == "price.electricity"
    with pytest.raises(InvalidRequest) as caught:
        net.network.sites.change(OPERATOR, GUIAN, site.offering)
    assert caught.value.field == "price.lists"


def test_what_is_asked_now_counts_the_month(net: SmallNetwork) -> None:
    publish(net, discounts=(VOLUME, CUSTOMER))
    ran(net, 3)
    mine = net.network.prices.now(USER, DEMO)
    assert [(each.device, each.used_hours) for each in mine] == [(None, Decimal(0)), (A100, Decimal(3))]
    assert mine[1].pricing is not None
    assert units(mine[1].pricing)[-1].device == Decimal("3.8")
    with pytest.raises(NotFound):
        net.network.prices.now(USER, ProjectId("other"))


def test_no_instant_of_change_is_passed_over() -> None:
    """Between two instants of change every price is one; the second of a change belongs to the new one."""
    promotion = Discount(name="p", percent=Decimal(1), from_at=NOW + seconds(10), until=NOW + seconds(20))
    small = SmallNetwork()
    small.join("guian", devices=(pool(A100),))
    publish(small, discounts=(promotion,))
    publish(small, after_s=30)
    price = bound(small.network.sites.get(OPERATOR, GUIAN).site, A100, Customer(), NOW)
    at, found = NOW, []
    while at < NOW + seconds(60):
        made = pricing_at(price, at)
        assert made is not None
        found.append((int((at - NOW).total_seconds()), made.version, len(made.taken)))
        at = next_change(price, at, NOW + seconds(60))
    assert found == [(0, 1, 0), (10, 1, 1), (20, 1, 0), (30, 2, 0)]
