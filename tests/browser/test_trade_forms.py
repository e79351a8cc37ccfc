"""A price list published as it was previewed, and its package bought, in a browser; accessible, narrow, in both languages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from playwright.sync_api import expect

from suanwang.domain.identity import Role
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_trade_pages import PROVIDER, fits, token
from tests.browser.world import OPERATOR, PROJECT, USER, World

expect.set_options(timeout=PATIENCE_S * 1000)


def test_a_list_is_published_and_its_package_bought(world: World, open_page: OpenPage, complaints: list[str]) -> None:
    site = next(
        view.site
        for view in world.network.sites.all(OPERATOR)
        if view.site.offering.provider == PROVIDER and view.site.offering.devices
    )
    page = open_page(f"/sites/{site.id}", token=token(world, Role.PROVIDER, PROVIDER))
    page.get_by_role("link", name="New price list").click()
    page.get_by_label("Core, yuan an hour").fill("0.11")
    page.get_by_role("group", name="Discount 1").get_by_label("Name").fill("spring")
    page.get_by_role("group", name="Discount 1").get_by_label("Percent off").fill("101")
    package = page.get_by_role("group", name="Package 1")
    package.get_by_label("Name").fill("small")
    package.get_by_label("Hours a month").fill("10")
    package.get_by_label("Fee, yuan a month").fill("42.50")
    page.get_by_role("button", name="See what it changes").click()
    expect(page.get_by_role("group", name="Discount 1").get_by_role("alert")).to_contain_text("Allowed: 0 to 100")
    complaints.clear()  # Chromium's own about the status of that answer.
    page.get_by_role("group", name="Discount 1").get_by_label("Percent off").fill("10")
    page.get_by_role("button", name="See what it changes").click()
    expect(page.locator("#preview")).to_contain_text("¥0.099")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#price-lists")).to_contain_text("small")
    (made,) = world.network.prices.history(OPERATOR, site.id, None, 10)
    assert (made.core_hour_yuan, made.packages[0].fee_yuan) == (Decimal("0.11"), Decimal("42.50"))
    world.beat(times=2)
    world.clock.at = made.valid_from
    buyer = open_page("/plans", token=world.user_token)
    buyer.get_by_label("Number of months").fill("2")
    buyer.get_by_role("button", name="See what small comes to").click()
    expect(buyer.locator("#total")).to_have_text("¥85.00")
    buyer.get_by_role("button", name="Buy").click()
    expect(buyer.locator("#bought")).to_contain_text("0 / 10")
    assert [each.month.fee_fen for each in world.network.plans.of(USER, PROJECT)] == [4250, 4250]


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_the_forms_are_for_everybody(world: World, open_page: OpenPage, language: str, width: int) -> None:
    site = next(view.site for view in world.network.sites.all(OPERATOR) if view.site.offering.devices)
    page = open_page("/market/terms", token=world.operator_token, language=language, width=width)
    for path in ("/market/terms", f"/sites/{site.id}/prices", f"/sites/{site.id}", "/plans"):
        fits(page, path, width)
