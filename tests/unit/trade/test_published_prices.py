"""A bill shows that its unit prices are those its site had published before the run, and nobody can make it show others."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.factories import DEMO, NOW, OPERATOR, PROVIDER, USER, SmallNetwork, offering, pool, task
from tests.unit.trade.test_pricing import (
    A100,
    AGENT,
    BRAND,
    CUSTOMER,
    GUIAN,
    GUIZHOU,
    PLAIN,
    SIGNER,
    SPOT,
    finish,
    publish,
    ran,
)
from tests.unit.trade.test_trading_evidence import changed, places

from suanwang.control.billing.prices import log_declared
from suanwang.control.billing.proofs import Proofs
from suanwang.control.rules import Rules
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job
from suanwang.domain.pricing import Discount, Formula, Package, Plan, PriceList
from suanwang.domain.site import Price
from suanwang.domain.task import DeviceRequest
from suanwang.electricity.pricing import bound
from suanwang.trading import plainform
from suanwang.trading.evidence import verify
from suanwang.trading.leaves import canonical
from suanwang.trading.proving import Check, Finding
from suanwang.trading.published import Declared, Listed, declared_of, published, stated

STEP = Discount(name="step", percent=Decimal(50), above_device_hours=5)
PROMOTION = Discount(
    name="spring", percent=Decimal(20), from_at=NOW + timedelta(hours=2), until=NOW + timedelta(days=3)
)
FLAT = Package(name="flat", plan=Plan.SUBSCRIPTION, device=A100, device_hours=2, fee_yuan=Decimal(20))
FORMULA = Formula(base_yuan=Decimal(2), factor=Decimal("1.5"), cap_yuan=Decimal(9))
ASKED = replace(
    PLAIN,
    memory_gb_hour_yuan=Decimal("0.005"),
    device_hour={A100: FORMULA},
    discounts=(STEP, PROMOTION, BRAND, CUSTOMER, SPOT),
    packages=(FLAT,),
)


@pytest.fixture
def net() -> SmallNetwork:
    small = SmallNetwork(Rules(meter_every_s=3600.0, commission_bp=500))
    price = Price(core_hour_yuan=Decimal("0.2"), device_hour_yuan={A100: Decimal(10)}, electricity=GUIZHOU)
    small.join("guian", devices=(pool(A100),), price=price)
    small.network.people.label_project(OPERATOR, DEMO, {"organisation": "Tsinghua"})
    return small


def evidence(small: SmallNetwork, job: Job) -> dict[str, Any]:
    small.network.turn()
    made: dict[str, Any] = json.loads(
        json.dumps(Proofs(small.store, small.clock, Rules(), SIGNER).evidence(OPERATOR, job.id))
    )
    return made


def found(small: SmallNetwork, job: Job) -> Finding:
    return verify(evidence(small, job), key=SIGNER.key)


def prices_of(finding: Finding) -> list[tuple[str, str]]:
    return [(each.where, each.message) for each in finding.failures if each.check is Check.PRICES]


def test_a_declared_price_is_proved(net: SmallNetwork) -> None:
    finding = found(net, ran(net, 2))
    assert (finding.failures, finding.priced, finding.unproved) == ((), 2, ())
    assert finding.sources == ("declaration 1 of guian",)


def test_lists_formulas_discounts_steps_and_plans_are_proved(net: SmallNetwork) -> None:
    """One job over two lists, a tariff's hours, a plan's end, a promotion's beginning and two steps of volume."""
    publish(net, ASKED)
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    publish(net, ASKED, after_s=4 * 3600, core_hour_yuan=Decimal("0.3"), device_hour={})
    job = ran(net, 6.5, devices=2)
    finding = found(net, job)
    assert finding.failures == ()
    (month,) = (each.month.key for each in net.network.plans.of(USER, DEMO))
    assert finding.sources == ("declaration 1 of guian", "price list 1 of guian", month, "price list 2 of guian")
    assert (finding.priced, finding.unproved) == (finding.lines, ())
    taken = {each.name for line in net.store._bills if line.pricing for each in line.pricing.taken}
    assert taken == {"step", "spring", "brand", "thu", "flat"}


def test_prices_that_were_bound_earlier_are_proved_by_what_was_published_then(net: SmallNetwork) -> None:
    publish(net, ASKED)
    (queued,) = net.submit(task(devices=DeviceRequest(count=1), time_limit_s=8 * 3600))
    net.network.turn()
    begun = net.clock.now()
    net.clock.advance(60)
    publish(net, ASKED, core_hour_yuan=Decimal("0.9"))
    net.clock.advance(3600)
    finish(net, net.job(queued.id), begun)
    finding = found(net, net.job(queued.id))
    assert (finding.failures, finding.sources) == ((), ("declaration 1 of guian", "price list 1 of guian"))


def test_a_change_of_the_declaration_is_a_declaration_of_its_own(net: SmallNetwork) -> None:
    site = net.network.sites.get(OPERATOR, GUIAN).site
    again = replace(site.offering, price=replace(site.offering.price, declared=0, lists=()))
    assert net.network.sites.change(PROVIDER, GUIAN, replace(again, name_en="Guian")).offering.price.declared == 1
    dearer = replace(again, price=replace(again.price, core_hour_yuan=Decimal("0.4")))
    assert net.network.sites.change(PROVIDER, GUIAN, dearer).offering.price.declared == 2
    net.sync(AGENT)
    finding = found(net, ran(net, 1))
    assert (finding.failures, finding.sources) == ((), ("declaration 2 of guian",))


def test_no_value_of_the_lists_can_be_changed_or_taken_away(net: SmallNetwork) -> None:
    publish(net, ASKED)
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    document = evidence(net, ran(net, 1, devices=4))
    assert verify(document).holds
    tried = 0
    for part in ("published", "leases"):
        for path in places(document[part], (part,)):
            for forged in changed(document, path):
                tried += 1
                assert not verify(forged).holds, f"{path} was changed unnoticed"
    for at in range(len(document["published"])):
        without = copy.deepcopy(document)
        del without["published"][at]
        assert "is not in the bill" in next(message for _, message in prices_of(verify(without)))
    bare = {name: value for name, value in document.items() if name not in ("published", "leases")}
    assert not verify({**bare, "format": "suanwang-bill/1"}).holds
    for path in places(document["usage"][0]["leaf"]["bound"], ("usage", 0, "leaf", "bound")):
        assert all(not verify(forged).holds for forged in changed(document, path))
    assert tried > 300


def dearer(small: SmallNetwork, change: Callable[[PriceList], PriceList]) -> None:
    """A network that asks for another price than it published: it changes the list that it rates by."""
    stored = small.store._sites[GUIAN]
    lists = tuple(change(each) for each in stored.offering.price.lists)
    offering = replace(stored.offering, price=replace(stored.offering.price, lists=lists))
    small.store._sites[GUIAN] = replace(stored, offering=offering)


@pytest.mark.parametrize(
    "change",
    [
        {"core_hour_yuan": Decimal("0.11")},
        {"device_hour": {A100: replace(FORMULA, cap_yuan=Decimal(10), factor=Decimal(90))}},
        {"discounts": (replace(STEP, above_device_hours=6), PROMOTION, BRAND, CUSTOMER)},
        {"discounts": (replace(STEP, percent=Decimal(49)), PROMOTION, BRAND, CUSTOMER)},
        {"discounts": (STEP, PROMOTION, BRAND)},
        {
            "discounts": (
                STEP,
                replace(PROMOTION, until=NOW + timedelta(hours=1, minutes=30), from_at=NOW),
                BRAND,
                CUSTOMER,
            )
        },
    ],
)
def test_a_network_that_bills_by_another_list_is_found(net: SmallNetwork, change: dict[str, Any]) -> None:
    publish(net, ASKED)
    dearer(net, lambda each: replace(each, **change))
    ((where, message),) = prices_of(found(net, ran(net, 4, devices=2)))
    assert where.startswith("usage ")
    assert "price list 1 of guian" in message or "price changes at" in message


def test_a_list_that_was_published_after_the_run_began_is_found(net: SmallNetwork) -> None:
    publish(net, ASKED)
    (queued,) = net.submit(task(devices=DeviceRequest(count=1), time_limit_s=8 * 3600))
    net.network.turn()
    lease, begun = net.job(queued.id).allocation_id, net.clock.now()
    net.clock.advance(60)
    publish(net, PLAIN, core_hour_yuan=Decimal("0.9"))
    net.clock.advance(60)
    assert lease is not None
    granted = net.store._allocations[lease]
    assert granted.price.customer is not None
    later = bound(net.store._sites[GUIAN], A100, granted.price.customer, net.clock.now())
    net.store._allocations[lease] = replace(granted, price=later)
    net.clock.advance(3600)
    finish(net, net.job(queued.id), begun)
    ((where, message),) = prices_of(found(net, net.job(queued.id)))
    assert (where, message) == (
        f"usage {lease}:1",
        "price list 2 of guian was logged after its run began (and 2 more)",
    )


def test_what_the_log_does_not_have_is_said(net: SmallNetwork) -> None:
    """Sites that joined before the log had declarations: their bills hold as ever, and from the next checkpoint on new runs are proved."""
    stored = net.store._sites[GUIAN]
    publish(net, ASKED)
    net.store._sites[GUIAN] = replace(
        net.store._sites[GUIAN],
        offering=replace(net.store._sites[GUIAN].offering, price=replace(stored.offering.price, declared=0)),
    )
    net.store._seals.clear()
    finding = found(net, ran(net, 1))
    assert (finding.failures, finding.priced, finding.sources) == ((), 0, ())
    assert "the log has no list for them" in finding.unproved[0]
    log_declared(net.store, net.clock.now())
    log_declared(net.store, net.clock.now())
    finding = found(net, ran(net, 1))
    assert (finding.failures, finding.unproved, finding.sources) == ((), (), ("declaration 1 of guian",))


def test_a_run_that_holds_no_money_is_proved_to_its_first_line(net: SmallNetwork) -> None:
    from suanwang.trading.ledger import Owner, account_id

    ran(net, 1)
    net.network.turn()
    net.store.set_floor(account_id(Owner.PROJECT, "demo"), None, ())
    finding = found(net, ran(net, 1))
    assert (finding.failures, finding.priced) == ((), 1)
    assert "which held no money" in finding.unproved[0]


def test_values_are_read_as_they_were_written_and_no_other_way() -> None:
    made = declared_of(
        SiteId("s"),
        offering(
            pue=2,
            devices=(replace(pool(A100), power_w=300),),
            price=Price(core_hour_yuan=Decimal(1), electricity=GUIZHOU),
        ),
        3,
        NOW,
    )
    version = PriceList(version=2, valid_from=NOW, published_at=NOW, published_by="p", **plain_of(ASKED))
    for value in (made, Listed(site=SiteId("s"), version=version)):
        leaf = json.loads(published(value).leaf)
        assert stated(leaf) == value
        for path in places(leaf):
            wrong: Any
            for wrong in (1.5, [], {}, True):
                forged = copy.deepcopy(leaf)
                holder: Any = forged
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = wrong
                if canonical(forged) == canonical(leaf):
                    continue
                with pytest.raises((ValueError, TypeError)):
                    stated(forged)
    with pytest.raises(ValueError, match="kind"):
        stated({"kind": "usage"})
    with pytest.raises(ValueError, match="missing or unknown"):
        plainform.read(Declared, {"site": "s"})


def plain_of(asked: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {each.name: getattr(asked, each.name) for each in fields(asked)}
