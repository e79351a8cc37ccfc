"""The market in a browser: an order with its quote, its right, a standing order, charts; accessible, narrow, in both languages."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from suanwang.control.market.requests import NewOffer, Wish
from suanwang.domain.ids import SiteId
from suanwang.trading.market.product import HOUR, begins, window_of
from suanwang.trading.market.values import Way
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_access import violations
from tests.browser.world import ASCEND, OPERATOR, PROJECT, START, USER, World

expect.set_options(timeout=PATIENCE_S * 1000)
FIRST = begins(window_of(START)) + 3 * HOUR


def on_sale(world: World) -> None:
    """Devices of 贵安 and cores of two sites on sale for a day, and two orders for the hour that is looked at."""
    for number, (site, device, price) in enumerate(
        [("guian", ASCEND.model, 931), ("guian", "core", 8), ("horinger", "core", 6)], 1
    ):
        world.network.market.list_offer(
            OPERATOR,
            NewOffer(
                id=f"offer-browser-{number}",
                site=SiteId(site),
                device=device,
                count=16,
                start=begins(window_of(START)),
                end=begins(window_of(START)) + 24 * HOUR,
                price_fen=price,
            ),
        )
    for number, way in enumerate((Way.NOW, Way.STANDING), 1):
        world.network.market.place(
            USER,
            Wish(
                id=f"order-browser-{number}",
                project=PROJECT,
                devices=(ASCEND.model,),
                count=2,
                start=FIRST,
                end=FIRST + 2 * HOUR,
                limit_fen=1200,
                way=way,
            ),
        )


def drawn(page: Page) -> None:
    page.locator("#depth[data-drawn]").wait_for()
    page.locator("#history[data-drawn]").wait_for()


def test_an_order_is_quoted_bought_and_taken_back(world: World, address: str, open_page: OpenPage) -> None:
    on_sale(world)
    page = open_page("/", token=world.user_token)
    page.get_by_role("link", name="Market", exact=True).click()
    page.get_by_label("Device").first.select_option(ASCEND.model)
    page.get_by_label("From").first.select_option(FIRST.isoformat())
    page.get_by_role("button", name="Show").click()
    drawn(page)
    expect(page.locator("#depth")).to_have_attribute("data-drawn", "1")
    expect(page.locator("#history")).to_have_attribute("data-drawn", "1")
    form = page.locator("#order-form")
    form.get_by_label("Units", exact=True).fill("4")
    form.get_by_label("Hours", exact=True).fill("3")
    expect(page.locator("#quoted")).to_have_attribute("data-fen", "11400")
    form.get_by_role("button", name="Place the order").click()
    expect(page.locator("#mine tbody tr")).to_have_count(3)
    told = httpx.get(f"{address}/v1/market/orders", headers={"Authorization": f"Bearer {world.user_token}"}).json()[
        "items"
    ]
    assert told[0]["paid_fen"] == 11400
    expect(page.locator("#mine tbody tr").first.locator("[data-fen]")).to_have_attribute("data-fen", "11400")
    page.get_by_role("button", name="Take back order order-browse").click()
    expect(page.locator("#order-order-browser-2")).to_contain_text("taken back")
    page.get_by_label("Units to give back of order-browse").last.fill("1")
    page.get_by_role("button", name="Give back for").last.click()
    (ended,), _ = world.network.terminations.terminations(USER, None, 10)
    expect(page.locator("#ended tbody [data-fen]")).to_have_attribute("data-fen", str(ended.due_fen))
    account = world.store.accounts(None, None, 100)[0]
    assert sum(each.balance_fen for each in account) == 0


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 1280), ("en", 390), ("zh", 390)])
def test_the_page_is_accessible_and_fits(world: World, open_page: OpenPage, language: str, width: int) -> None:
    on_sale(world)
    world.network.terminations.cancel(USER, "order-browser-1.1", "give-back-one", 1)
    page = open_page("/market", token=world.operator_token, language=language, width=width)
    for near in (timedelta(hours=5), timedelta(minutes=18), timedelta(minutes=14)):
        world.clock.at = FIRST - near
        world.beat(1)
        page.goto(f"/market?device={ASCEND.model}&at={FIRST.isoformat().replace('+', '%2B')}&hours=2")
        drawn(page)
        assert violations(page) == [], near
        assert page.evaluate("document.documentElement.scrollWidth") <= width, near
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
