"""Forms of the trade: a price list with its preview, a plan with its fee and term, the operator's terms of sale."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.factories import pool
from tests.unit.api.api_world import World, offering, world
from tests.unit.trade.test_market_web import page, send

from suanwang.domain.ids import SiteId
from suanwang.domain.pricing import Asked, Discount, Formula, Package, Plan
from suanwang.domain.site import Price
from suanwang.trading.market.terms import Refund
from suanwang.web import mount_web

MODEL = "huawei-ascend-910b"
PATH = "/sites/guian/prices"
LIST = Asked(
    core_hour_yuan=Decimal("0.08"),
    memory_gb_hour_yuan=Decimal("0.01"),
    device_hour={MODEL: Formula(base_yuan=Decimal(4), floor_yuan=Decimal(3), cap_yuan=Decimal(6))},
    discounts=(
        Discount(name="Huawei", percent=Decimal("5.5"), brands=("Huawei",)),
        Discount(
            name="spring",
            percent=Decimal(20),
            from_at=datetime(2026, 1, 31, 16, tzinfo=UTC),
            until=datetime(2026, 3, 31, 15, 59, 59, tzinfo=UTC),
        ),
        Discount(name="team", percent=Decimal(3), projects=("demo", "other"), interruptible=True),
        Discount(name="much", percent=Decimal(10), above_device_hours=100),
    ),
    packages=(
        Package(name="small", plan=Plan.COMMITTED, device=MODEL, device_hours=10, fee_yuan=Decimal(42), months=2),
    ),
    note="winter",
)


@pytest.fixture
def net() -> Iterator[World]:
    """A network with pages, whose first site has a device and a price list in force."""
    with world() as made:
        mount_web(made.app, made.network)
        changed = offering(
            devices=(pool(MODEL, count=2, per_node=2),),
            price=Price(core_hour_yuan=Decimal(1), device_hour_yuan={MODEL: Decimal(9)}),
        )
        made.network.sites.change(made.operator, SiteId("guian"), changed)
        made.network.prices.publish(made.operator, SiteId("guian"), LIST)
        made.clock.at = datetime(2026, 3, 1, 3, tzinfo=UTC)
        yield made


def fields_of(text: str, action: str) -> dict[str, str]:
    """What a browser would send of the form with this action."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', text, re.DOTALL)
    assert form is not None, action
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form[0]):
        parts = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        if parts.get("type") != "checkbox" or " checked" in tag:
            found[parts["name"]] = html.unescape(parts.get("value", ""))
    for name, choices in re.findall(r'<select name="([^"]+)">(.*?)</select>', form[0], re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', choices) or re.search(r'value="([^"]*)"', choices)
        assert chosen is not None, name
        found[name] = html.unescape(chosen[1])
    return found


def versions(net: World) -> list[int]:
    return [each.version for each in net.network.prices.history(net.operator, SiteId("guian"), None, 10)]


def test_the_form_says_what_the_list_says(net: World) -> None:
    assert PATH in page(net, "/sites/guian", by="guian").text
    assert PATH not in page(net, "/sites/guian", by="alice").text
    filled = fields_of(page(net, PATH, by="guian").text, PATH)
    same = send(net, PATH, by="guian", **filled, do="preview")
    assert same.status_code == 200, same.text
    assert "version 1, says just this" in same.text, "every field survives its way through the form"
    assert "do=publish" not in same.text
    assert versions(net) == [1]


def test_a_list_is_published_as_it_was_previewed(net: World) -> None:
    form = fields_of(page(net, PATH, by="guian").text, PATH)
    form |= {"core_hour_yuan": "0.1", "discounts.1.drop": "yes", "valid_from": "2026-04-01T00:00"}
    form |= {"discounts.4.name": "new", "discounts.4.percent": "7", "discounts.4.organisations": "Tsinghua，Peking"}
    seen = send(net, PATH, by="guian", **form, do="preview")
    assert versions(net) == [1], "a preview publishes nothing"
    preview = seen.text[seen.text.index('id="preview"') :]
    assert "¥0.08" in preview
    assert "¥0.10" in preview
    assert "spring" in preview
    assert "Tsinghua, Peking" in preview
    previewed = fields_of(seen.text, PATH)
    changed = send(net, PATH, by="guian", **{**previewed, "core_hour_yuan": "0.2"}, do="publish")
    assert "not what you saw" in changed.text
    assert versions(net) == [1]
    done = send(net, PATH, by="guian", **previewed, do="publish")
    assert done.headers["location"] == "/sites/guian#lists"
    newest = net.network.prices.history(net.operator, SiteId("guian"), None, 1)[0]
    assert [each.name for each in newest.discounts] == ["Huawei", "team", "much", "new"]
    assert newest.discounts[3].organisations == ("Tsinghua", "Peking")
    assert newest.valid_from == datetime(2026, 3, 31, 16, tzinfo=UTC)
    assert (newest.core_hour_yuan, newest.packages, newest.note) == (Decimal("0.1"), LIST.packages, "winter")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("core_hour_yuan", "cheap"),
        ("core_hour_yuan", "-1"),
        ("core_hour_yuan", "nan"),
        (f"device_hour.{MODEL}.cap_yuan", "1"),
        ("discounts.0.percent", "101"),
        ("discounts.0.brands", "Nobody"),
        ("discounts.1.until", "yesterday"),
        ("discounts.3.above_device_hours", "many"),
        ("discounts.4.percent", "3"),
        ("packages.0.device_hours", "0"),
        ("packages.0.plan", "gift"),
        ("packages.0.device", "a thing"),
        ("valid_from", "2020-01-01T00:00"),
    ],
)
def test_a_fault_stands_beside_its_field(net: World, field: str, value: str) -> None:
    form = fields_of(page(net, PATH, by="guian").text, PATH)
    found = send(net, PATH, by="guian", **{**form, field: value}, do="preview")
    assert found.status_code == 422
    beside = field.replace("discounts.4.percent", "discounts.4.name")
    label = re.search(rf'name="{re.escape(beside)}"(?:(?!</label>).)*role="alert"', found.text, re.DOTALL)
    assert label is not None, found.text
    assert found.text.count('role="alert"') == 1
    assert "Traceback" not in found.text
    assert versions(net) == [1]


def test_only_the_sites_own_provider_publishes(net: World) -> None:
    form = fields_of(page(net, PATH, by="olga").text, PATH)
    for by in ("alice", "rita"):
        assert page(net, PATH, by=by).status_code == 403
        assert send(net, PATH, by=by, **form, do="publish").status_code == 403
    assert net.ask("POST", PATH, by=None, content="x=1").status_code == 403, "not from a page of ours"


def test_a_plan_is_seen_and_then_bought_once(net: World) -> None:
    assert "small" in page(net, "/plans").text
    asked = {"site": "guian", "package": "small", "project": "demo", "months": "3", "begins": "2026-03"}
    seen = page(net, "/plans/confirm", **asked)
    assert 'data-fen="4200"' in seen.text
    assert 'data-fen="12600"' in seen.text
    assert "2026-03 – 2026-05" in seen.text
    assert not net.network.plans.of(net.operator), "nothing is bought yet"
    form = fields_of(seen.text, "/plans")
    for _ in range(2):
        assert send(net, "/plans", **form).headers["location"] == "/plans#bought"
    months = net.network.plans.of(net.operator)
    assert [(each.month.month, each.paid) for each in months] == [
        ("2026-03", True),
        ("2026-04", False),
        ("2026-05", False),
    ]
    text = page(net, "/plans").text
    assert "0 / 10" in text
    assert text.count("not paid yet") == 2
    assert "/plans#bought" not in page(net, "/plans", by="bob").text


def test_a_plan_is_not_bought_at_another_fee_than_was_shown(net: World) -> None:
    asked = {"site": "guian", "package": "small", "project": "demo"}
    form = fields_of(page(net, "/plans/confirm", **asked).text, "/plans")
    dearer = replace(LIST, packages=(replace(LIST.packages[0], fee_yuan=Decimal(50)),))
    net.network.prices.publish(net.operator, SiteId("guian"), dearer)
    net.clock.at += timedelta(minutes=1)
    refused = send(net, "/plans", **form)
    assert refused.status_code == 409
    assert "the price list has changed" in refused.text
    assert not net.network.plans.of(net.operator)


@pytest.mark.parametrize(
    ("field", "value"), [("months", "1"), ("months", "x"), ("begins", "2026-01"), ("begins", "soon")]
)
def test_a_term_that_is_not_sold_stands_beside_its_field(net: World, field: str, value: str) -> None:
    asked = {"site": "guian", "package": "small", "project": "demo", "months": "2", "begins": "2026-03", field: value}
    found = page(net, "/plans/confirm", **asked)
    assert found.status_code == 422
    assert re.search(rf'name="{field}"(?:(?!</label>).)*role="alert"', found.text, re.DOTALL), found.text


def test_a_project_pays_its_own_plans_alone(net: World) -> None:
    assert page(net, "/plans/confirm", site="guian", package="small", project="other").status_code == 404
    nobodys = page(net, "/plans/confirm", by="olga", site="guian", package="small", project="nobodys")
    assert nobodys.status_code == 404, "an operator may change every project, but not one that is not there"


def test_the_operator_sets_the_terms_of_sale(net: World) -> None:
    path = "/market/terms"
    assert path in page(net, "/market", by="olga").text
    assert path not in page(net, "/market").text
    for by in ("alice", "guian", "rita"):
        assert page(net, path, by=by).status_code == 403
        assert send(net, path, by=by).status_code == 403
    form = fields_of(page(net, path, by="olga").text, path)
    assert form["deposit_bp"] == "10"
    form |= {"deposit_bp": "12.5", "refunds.1.hours": "", "refunds.1.percent": "", "notice_h": "36"}
    for field, value in (("deposit_bp", "60"), ("notice_h", "0"), ("replace_bp", "1.234"), ("refunds.0.percent", "x")):
        wrong = send(net, path, by="olga", **{**form, field: value})
        assert wrong.status_code == 422
        assert re.search(rf'name="{re.escape(field)}"(?:(?!</label>).)*role="alert"', wrong.text, re.DOTALL), field
    unordered = send(net, path, by="olga", **{**form, "refunds.0.hours": "1"})
    assert "each step is later" in unordered.text
    assert send(net, path, by="olga", **form).headers["location"] == "/market#terms"
    net.clock.at += timedelta(minutes=1)
    terms = net.network.terminations.terms(net.operator)[0]
    assert (terms.deposit_bp, terms.notice_h) == (1250, 36)
    assert terms.refunds == (Refund(hours=72, refund_bp=10_000), Refund(hours=1, refund_bp=2_000))


def test_the_forms_are_in_chinese(net: World) -> None:
    for path, words in ((PATH, "新价目表"), ("/plans", "方案"), ("/market/terms", "销售条款")):
        text = page(net, path, by="olga", lang="zh").text
        assert words in text, path
