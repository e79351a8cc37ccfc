"""The picture of a site's day: drawn from what the network says, in both languages, on a phone and for readers of any kind."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import expect

from suanwang import catalog
from suanwang.domain.ids import SiteId
from suanwang.domain.pricing import Asked, Discount, Formula
from suanwang.electricity.daily import modelled_day
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_access import violations
from tests.browser.world import OPERATOR, World

HORINGER = SiteId("horinger")


@pytest.mark.parametrize(("language", "now", "width"), [("en", "Electricity now", 1280), ("zh", "当前电价", 390)])
def test_the_day_of_a_site(world: World, open_page: OpenPage, language: str, now: str, width: int) -> None:
    offer = world.network.sites.get(OPERATOR, HORINGER).site.offering
    price = replace(offer.price, electricity=catalog.tariff_area("蒙西").tariff, electricity_passed_on=True)
    shape = modelled_day("inner-mongolia", offer.longitude)
    world.network.sites.change(OPERATOR, HORINGER, replace(offer, price=replace(price, lists=()), carbon_daily=shape))

    page = open_page(f"/sites/{HORINGER}", token=world.user_token, language=language, width=width)
    expect(page.locator("#day[data-drawn='48'] canvas")).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(page.locator(".cards")).to_contain_text([now])
    drawn: Any = page.evaluate(
        """() => {
            const {series, xAxis} = echarts.getInstanceByDom(document.getElementById('day')).getOption();
            return {yuan: series[0].data, carbon: series[1].data, to: xAxis[0].max};
        }"""
    )
    told: Any = page.evaluate("fetch('/sites/horinger/day').then((answer) => answer.json())")
    assert drawn["to"] == 24
    assert drawn["yuan"] == [[step / 2, value] for step, value in enumerate([*told["yuan"], told["yuan"][-1]])]
    assert [value for _, value in drawn["carbon"][:-1]] == told["carbon"]
    assert violations(page) == []


@pytest.mark.parametrize(("language", "heading", "width"), [("en", "Price lists", 1280), ("zh", "价目表", 390)])
def test_what_a_site_asks(world: World, open_page: OpenPage, language: str, heading: str, width: int) -> None:
    offer = world.network.sites.get(OPERATOR, HORINGER).site.offering
    tariff = catalog.tariff_area("蒙西").tariff
    declared = replace(offer, price=replace(offer.price, electricity=tariff, lists=()))
    world.network.sites.change(OPERATOR, HORINGER, declared)
    follows = {pool.model: Formula(base_yuan=Decimal(2), factor=Decimal(3)) for pool in offer.devices}
    discount = Discount(name="all", percent=Decimal(5))
    asked = Asked(core_hour_yuan=Decimal("0.11"), device_hour=follows, discounts=(discount,), note=language)
    world.network.prices.publish(OPERATOR, HORINGER, asked)

    page = open_page(f"/sites/{HORINGER}", token=world.user_token, language=language, width=width)
    expect(page.locator("#asked[data-drawn] canvas")).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(page.locator("#lists-title")).to_have_text(heading)
    expect(page.locator("#price-lists")).to_contain_text("all −5 %")
    drawn: Any = page.evaluate(
        "echarts.getInstanceByDom(document.getElementById('asked')).getOption().series.map((each) => each.data)"
    )
    told: Any = page.evaluate("fetch('/sites/horinger/asked').then((answer) => answer.json())")
    assert drawn == [each["points"] for each in told["series"]]
    assert violations(page) == []
