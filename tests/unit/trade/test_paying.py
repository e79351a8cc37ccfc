"""Plans and quotes see what each customer will be billed by price lists, over time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.factories import DEMO, NOW, OPERATOR, OTHER, STRANGER, USER, SmallNetwork, pool, task
from tests.unit.trade.test_pricing import A100, GUIAN, GUIZHOU, PLAIN, SPOT, VOLUME, finish, publish, ran

from suanwang.control.rules import Rules
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import Asked, Discount, Formula, Package, Plan
from suanwang.domain.site import Price
from suanwang.domain.task import Checkpoint, DeviceRequest, Flexibility, Objective, Task
from suanwang.measuring.need import CoreHoursNeed

CHEAPEST = Objective(price=1.0, carbon=0.0, finish=0.0)
WUHU = SiteId("wuhu")
FORMULA = Formula(base_yuan=Decimal(2), factor=Decimal(10), floor_yuan=Decimal(1), cap_yuan=Decimal("4.5"))


@pytest.fixture
def net() -> SmallNetwork:
    """贵安 and 芜湖 with eight A100 each, at ¥10 and ¥9.90. It is 16:00 in UTC+8, an hour before the peak."""
    small = SmallNetwork(Rules(meter_every_s=3600.0))
    for name, yuan in (("guian", "10"), ("wuhu", "9.9")):
        price = Price(core_hour_yuan=Decimal("0.1"), device_hour_yuan={A100: Decimal(yuan)}, electricity=GUIZHOU)
        small.join(name, devices=(pool(A100),), price=price)
    small.network.people.label_project(OPERATOR, DEMO, {"organisation": "Tsinghua"})
    return small


def both_speak(small: SmallNetwork) -> None:
    for name in (GUIAN, WUHU):
        small.sync(Principal(name=name, role=Role.AGENT, site_id=name))


def run_of(hours: float = 1, **changes: Any) -> Task:
    wanted: dict[str, Any] = {
        "devices": DeviceRequest(count=1),
        "expected_s": int(hours * 3600),
        "time_limit_s": int(hours * 3600),
    }
    return task(objective=CHEAPEST, **{**wanted, **changes})


def decided(small: SmallNetwork, of: Task, caller: object = USER) -> Job:
    (job,) = small.submit(of, caller=caller)  # type: ignore[arg-type]
    small.network.turn()
    return small.job(job.id)


def test_the_cheapest_site_is_that_of_the_project_s_own_price(net: SmallNetwork) -> None:
    """A discount of 5 % for one organisation makes 贵安 the cheaper site for its project, and for nobody else."""
    discounts = (Discount(name="thu", percent=Decimal(5), organisations=("Tsinghua",)),)
    publish(net, device_hour={}, discounts=discounts)
    assert decided(net, run_of()).site_id == GUIAN
    assert decided(net, run_of(), STRANGER).site_id == WUHU
    quote = net.network.quotes.quote_task(USER, run_of(), source="x")
    assert [offer.site for offer in quote.offers] == [GUIAN, WUHU]
    assert quote.offers[0].price_yuan.mid == pytest.approx(10.1 * 0.95)


def test_work_that_may_be_interrupted_sees_its_own_price(net: SmallNetwork) -> None:
    publish(net, device_hour={}, discounts=(SPOT,))
    spot = run_of(flexibility=Flexibility(may_be_interrupted=True), checkpoint=Checkpoint(path="c"))
    assert decided(net, spot).site_id == GUIAN
    assert decided(net, run_of()).site_id == WUHU


@pytest.mark.parametrize("hours", [0.25, 1, 2.5, 22])
def test_a_plan_says_what_the_bill_will(net: SmallNetwork, hours: float) -> None:
    """Over a change of version, a promotion, and the hours of electricity; the other site is closed."""
    net.network.sites.drain(OPERATOR, WUHU, open_=False)
    promotion = Discount(
        name="p", percent=Decimal(20), from_at=NOW + timedelta(minutes=70), until=NOW + timedelta(hours=2)
    )
    publish(net, device_hour={A100: FORMULA}, discounts=(promotion,))
    publish(net, after_s=5000, device_hour={A100: replace(FORMULA, base_yuan=Decimal(1))}, discounts=(promotion,))
    quote = net.network.quotes.quote_task(USER, run_of(hours), source="x")
    job = ran(net, hours, expected_s=int(hours * 3600), objective=CHEAPEST)
    assert job.why is not None
    assert job.why.chosen is not None
    assert job.why.chosen.figures.price_yuan == pytest.approx(float(job.usage.cost_yuan), abs=1e-6)
    assert quote.offers[0].price_yuan.mid == pytest.approx(float(job.usage.cost_yuan), abs=1e-6)


def test_a_budget_knows_of_a_version_to_come(net: SmallNetwork) -> None:
    net.network.sites.drain(OPERATOR, WUHU, open_=False)
    publish(net, core_hour_yuan=Decimal(0))
    publish(net, after_s=5 * 86400, core_hour_yuan=Decimal(0), device_hour={A100: Formula(base_yuan=Decimal(9))})
    (fits,) = net.submit(run_of(2, budget_yuan=Decimal(18)))
    (short,) = net.submit(run_of(2, budget_yuan=Decimal("17.99")))
    assert net.job(fits.id).state is JobState.QUEUED
    assert net.job(short.id).state is JobState.REFUSED
    # Behind the days that are looked at hour by hour: a rise of a yuan, for all of a run that may reach it.
    publish(net, after_s=20 * 86400, core_hour_yuan=Decimal(0), device_hour={A100: Formula(base_yuan=Decimal(10))})
    net.clock.advance(60)
    (long,) = net.submit(run_of(480, budget_yuan=Decimal(4799)))
    (enough,) = net.submit(run_of(480, budget_yuan=Decimal(4800)))
    assert net.job(long.id).state is JobState.REFUSED
    assert net.job(enough.id).state is JobState.QUEUED


def test_a_job_that_may_wait_is_held_for_the_hours_of_a_formula(net: SmallNetwork) -> None:
    """Electricity is in the price and cheapest at night: so is a price that follows it, though users pay no kWh."""
    net.network.sites.drain(OPERATOR, WUHU, open_=False)
    publish(net, core_hour_yuan=Decimal(0), device_hour={A100: Formula(factor=Decimal(10))})
    job = decided(net, run_of(flexibility=Flexibility(may_wait_s=16 * 3600)))
    assert job.hold is not None
    assert job.hold.instead is not None
    night = (job.hold.start_at + timedelta(hours=8)).hour
    assert night >= 23 or night < 7
    assert job.hold.expect.figures.price_yuan < 0.65 * job.hold.instead.figures.price_yuan


def test_offers_for_a_need_are_those_of_the_project(net: SmallNetwork) -> None:
    publish(
        net, core_hour_yuan=Decimal("0.2"), discounts=(Discount(name="d", percent=Decimal(60), projects=("demo",)),)
    )
    need = CoreHoursNeed(core_hours=8.0)
    mine = net.network.quotes.offers(need, objective=CHEAPEST, project=DEMO).offers
    theirs = net.network.quotes.offers(need, objective=CHEAPEST, project=OTHER).offers
    assert mine[0].site == GUIAN
    assert theirs[0].site == WUHU
    assert mine[0].price_yuan.mid == pytest.approx(8 * 0.08, rel=0.2)
    assert mine[0].price.dated[0].discounts[0].name == "d"


def test_steps_of_volume_are_foreseen(net: SmallNetwork) -> None:
    """What the run itself reaches, and what its project used this month before."""
    net.network.sites.drain(OPERATOR, WUHU, open_=False)
    publish(net, PLAIN, core_hour_yuan=Decimal(0), discounts=(VOLUME,))
    job = ran(net, 3, expected_s=3 * 3600)
    assert job.why is not None
    assert job.why.chosen is not None
    assert job.why.chosen.figures.price_yuan == pytest.approx(20)
    assert job.usage.cost_yuan == 20
    again = decided(net, run_of(3))
    assert again.why is not None
    assert again.why.chosen is not None
    assert again.why.chosen.figures.price_yuan == pytest.approx(12)


def test_a_site_is_the_cheapest_from_the_volume_that_its_project_reached(net: SmallNetwork) -> None:
    """贵安 asks more than 芜湖, and half of it beyond two hours a month."""
    publish(
        net, Asked(core_hour_yuan=Decimal(0), device_hour={A100: Formula(base_yuan=Decimal(11))}, discounts=(VOLUME,))
    )
    assert decided(net, run_of(1)).site_id == WUHU
    assert decided(net, run_of(1, count=1), STRANGER).site_id == WUHU
    # Its own hours reach the step: 22 + 18 × 5.5 = 121 for 20 hours, 芜湖 asks 10 × 20 with its cores.
    assert decided(net, run_of(20)).site_id == GUIAN
    net.network.sites.drain(OPERATOR, WUHU, open_=False)
    ran(net, 2.5, expected_s=9000)
    net.network.sites.drain(OPERATOR, WUHU, open_=True)
    both_speak(net)
    assert decided(net, run_of(1)).site_id == GUIAN
    assert decided(net, run_of(1), STRANGER).site_id == WUHU
    quote = net.network.quotes.quote_task(USER, run_of(1), source="x")
    assert [(offer.site, offer.price_yuan.mid) for offer in quote.offers] == [(GUIAN, 5.5), (WUHU, pytest.approx(10))]
    assert [(part.text, part.hours, part.yuan) for part in quote.offers[0].parts] == [
        (f"1 cores, 1 GB, 1 × {A100}, price list 1 of 2026-03-01, volume −50 %", 1, 5.5)
    ]


def test_a_job_under_a_quote_is_billed_what_it_says(net: SmallNetwork) -> None:
    """With a plan's hours and a step within the run, and half an hour later."""
    package = Package(name="flat", plan=Plan.SUBSCRIPTION, device=A100, device_hours=2, fee_yuan=Decimal(10), months=1)
    asked = Asked(core_hour_yuan=Decimal("0.3"), device_hour={A100: FORMULA}, discounts=(VOLUME,), packages=(package,))
    publish(net, asked)
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    net.network.turn()
    quote = net.network.quotes.quote_task(USER, run_of(7), source="x")
    assert [offer.site for offer in quote.offers] == [GUIAN, WUHU]
    offer = quote.offers[0]
    assert sum(part.yuan for part in offer.parts) == pytest.approx(offer.price_yuan.mid, abs=1e-6)
    assert "flat −100 %" in offer.parts[0].text
    assert offer.parts[0].hours == 2
    publish(net, Asked(core_hour_yuan=Decimal(90)))
    both_speak(net)
    (job,) = net.network.quotes.submit(USER, [run_of(7)], quote.id, 1).jobs
    net.network.turn()
    begun = net.clock.now()
    net.clock.advance(7 * 3600)
    finish(net, net.job(job.id), begun)
    done = net.job(job.id)
    # It began a second later than was foreseen.
    assert float(done.usage.cost_yuan) == pytest.approx(offer.price_yuan.mid, abs=0.01)
    assert done.why is not None
    assert done.why.chosen is not None
    assert done.why.chosen.figures.price_yuan == pytest.approx(float(done.usage.cost_yuan), abs=1e-3)
