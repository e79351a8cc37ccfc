"""Subscriptions and committed use: fees by the month, hours that are paid until they are used up, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.factories import DEMO, NOW, OPERATOR, PROVIDER, STRANGER, USER, SmallNetwork, pool, task
from tests.unit.trade.test_pricing import A100, AGENT, GUIAN, GUIZHOU, PLAIN, SIGNER, finish, lines_of, publish, ran

from suanwang.control.billing.proofs import Proofs
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import Package, Plan
from suanwang.domain.site import Price
from suanwang.domain.task import DeviceRequest, Objective
from suanwang.trading.evidence import verify
from suanwang.trading.ledger import NETWORK, Owner, account_id

FLAT = Package(name="flat", plan=Plan.SUBSCRIPTION, device=A100, device_hours=4, fee_yuan=Decimal(20))
TERM = Package(name="term", plan=Plan.COMMITTED, device=A100, device_hours=10, fee_yuan=Decimal("33.33"), months=3)
ASKED = replace(PLAIN, core_hour_yuan=Decimal(0), packages=(FLAT, TERM))


@pytest.fixture
def net() -> SmallNetwork:
    small = SmallNetwork(Rules(meter_every_s=3600.0, commission_bp=500))
    price = Price(core_hour_yuan=Decimal("0.2"), device_hour_yuan={A100: Decimal(10)}, electricity=GUIZHOU)
    small.join("guian", devices=(pool(A100),), price=price)
    publish(small, ASKED)
    return small


def balance(small: SmallNetwork, kind: Owner, name: str) -> int:
    found = small.store.account(account_id(kind, name))
    return 0 if found is None else found.balance_fen


def test_a_subscription_pays_hours_until_they_are_used_up(net: SmallNetwork) -> None:
    assert ran(net, 1).usage.cost_yuan == 8, "what was used before counts for nothing"
    net.network.turn()
    before = balance(net, Owner.PROJECT, "demo")
    (bought,) = net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    assert (bought.paid, bought.month.month, bought.used_us) == (True, "2026-03", 0)
    assert balance(net, Owner.PROJECT, "demo") == before - 2000
    job = ran(net, 1.5, devices=4)
    # Four devices use four hours in one hour; the half hour behind it costs as the list says.
    assert [(line.to_at - line.from_at, line.rated_yuan) for line in lines_of(net, job)] == [
        (timedelta(hours=1), Decimal(0)),
        (timedelta(minutes=30), Decimal(16)),
    ]
    assert "flat −100 %" in lines_of(net, job)[0].description
    (bought,) = net.network.plans.of(USER, DEMO)
    assert bought.used_us == 4 * 3_600_000_000
    assert ran(net, 1).usage.cost_yuan == 8


def test_a_commitment_is_billed_each_month_whether_it_is_used_or_not(net: SmallNetwork) -> None:
    found = net.network.plans.buy(USER, "mine", DEMO, GUIAN, "term")
    assert [(each.month.month, each.paid) for each in found] == [
        ("2026-03", True), ("2026-04", False), ("2026-05", False),
    ]  # fmt: skip
    for month, day in ((4, 1), (5, 1), (6, 1)):
        net.clock.at = datetime(2026, month, day, tzinfo=UTC)
        net.network.turn()
        net.network.turn()
    assert all(each.paid for each in net.network.plans.of(USER, DEMO))
    assert balance(net, Owner.PROJECT, "demo") == -3 * 3333
    # 5 % of 3333 fen by largest remainder, each month.
    assert net.store.account(NETWORK) is not None
    assert balance(net, Owner.PROVIDER, "guian-dc") == 3 * 3166
    kinds = [event.kind for event in net.store.events(0, 100_000) if event.kind.startswith("plan.")]
    assert kinds == ["plan.bought", *["plan.billed"] * 3]
    invoice = net.network.invoices.invoice(OPERATOR, DEMO, "2026-04")
    assert (invoice["amount_fen"], invoice["purchased_fen"]) == (3333, 3333)
    assert net.network.invoices.rerate(OPERATOR, DEMO, "2026-03").identical


def test_hours_are_of_their_month_and_a_run_over_its_end_is_cut(net: SmallNetwork) -> None:
    """The month ends at 16:00 UTC; a subscription of March pays nothing of April."""
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    net.clock.at = datetime(2026, 3, 31, 15, tzinfo=UTC)
    net.sync(AGENT)
    job = ran(net, 2)
    assert [line.rated_yuan for line in lines_of(net, job)] == [0, 8]
    assert lines_of(net, job)[0].to_at == datetime(2026, 3, 31, 16, tzinfo=UTC)


def test_a_month_whose_fee_cannot_be_paid_covers_nothing_until_it_is(net: SmallNetwork) -> None:
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "term")
    net.store.set_floor(account_id(Owner.PROJECT, "demo"), -3333, ())
    net.clock.at = datetime(2026, 4, 2, tzinfo=UTC)
    net.sync(AGENT)
    net.network.turn()
    assert [each.paid for each in net.network.plans.of(USER, DEMO)] == [True, False, False]
    net.store.set_floor(account_id(Owner.PROJECT, "demo"), None, ())
    assert ran(net, 1).usage.cost_yuan == 8
    net.clock.advance(Rules().settle_retry_s + 1)
    net.sync(AGENT)
    net.network.turn()
    assert [each.paid for each in net.network.plans.of(USER, DEMO)] == [True, True, False]
    assert ran(net, 1).usage.cost_yuan == 0
    poor = SmallNetwork(Rules(project_credit_fen=1999))
    poor.join("guian", devices=(pool(A100),))
    publish(poor, ASKED)
    with pytest.raises(Conflict) as caught:
        poor.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    assert "2000 fen" in caught.value.message


def test_who_may_buy_what_and_when(net: SmallNetwork) -> None:
    buy = net.network.plans.buy
    first = buy(USER, "mine", DEMO, GUIAN, "flat")
    assert buy(USER, "mine", DEMO, GUIAN, "flat") == first, "the same again changes nothing"
    with pytest.raises(Conflict):
        buy(USER, "mine", DEMO, GUIAN, "term")
    with pytest.raises(Conflict):
        buy(USER, "another", DEMO, GUIAN, "term")
    for arguments, error, field in (
        ((STRANGER, "x", DEMO, GUIAN, "flat"), NotFound, "project"),
        ((PROVIDER, "x", DEMO, GUIAN, "flat"), NotFound, "project"),
        ((USER, "X y", DEMO, GUIAN, "flat"), InvalidRequest, "plan"),
        ((USER, "x", DEMO, GUIAN, "none"), InvalidRequest, "package"),
        ((USER, "x", DEMO, SiteId("nowhere"), "flat"), NotFound, "site"),
    ):
        with pytest.raises(error) as caught:
            buy(*arguments)
        assert caught.value.field == field
    changes: dict[str, Any]
    for changes, field in (
        ({"months": 2}, "months"),
        ({"months": 61}, "months"),
        ({"begins": NOW - timedelta(days=40)}, "begins"),
        ({"begins": NOW + timedelta(days=500)}, "begins"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            buy(USER, "x", DEMO, GUIAN, "term", **changes)
        assert refused.value.field == field
    later = buy(USER, "later", DEMO, GUIAN, "term", begins=NOW + timedelta(days=40))
    assert [each.month.month for each in later] == ["2026-04", "2026-05", "2026-06"]
    assert [each.month.plan for each in net.network.plans.of(PROVIDER)] == ["mine", *["later"] * 3]
    assert net.network.plans.of(STRANGER) == []
    with pytest.raises(NotFound):
        net.network.plans.of(STRANGER, ProjectId("demo"))


def test_plans_are_seen_by_decisions_but_not_by_budgets(net: SmallNetwork) -> None:
    """What is paid may be used up before a run ends: a hard limit does not count on it."""
    net.join("wuhu", devices=(pool(A100),), price=Price(core_hour_yuan=Decimal(0), device_hour_yuan={A100: Decimal(7)}))
    cheapest = Objective(price=1.0, carbon=0.0, finish=0.0)
    of = task(devices=DeviceRequest(count=1), time_limit_s=3600, objective=cheapest)

    def goes_to() -> str | None:
        (job,) = net.submit(of)
        net.network.turn()
        return net.job(job.id).site_id

    assert goes_to() == "wuhu"
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    assert goes_to() == "guian"
    net.clock.advance(60)
    (short,) = net.submit(replace(of, constraints=replace(of.constraints, budget_yuan=Decimal(6))))
    assert net.job(short.id).state is JobState.REFUSED


def test_a_paid_hour_proves_itself(net: SmallNetwork) -> None:
    net.network.plans.buy(USER, "mine", DEMO, GUIAN, "flat")
    (job,) = net.submit(task(devices=DeviceRequest(count=2), time_limit_s=86400))
    net.network.turn()
    begun = net.clock.now()
    net.clock.advance(3 * 3600)
    finish(net, net.job(job.id), begun)
    net.network.turn()
    assert net.job(job.id).billed_fen == 1600
    assert verify(Proofs(net.store, net.clock, Rules(), SIGNER).evidence(OPERATOR, job.id), key=SIGNER.key).holds
    assert net.network.invoices.rerate(OPERATOR, DEMO, "2026-03").identical
