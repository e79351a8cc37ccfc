"""The pages of those who earn, run and watch, and a dispute from its opening to its credit; accessible, narrow, both languages."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from suanwang.adapters.signing import Ed25519Signer
from suanwang.domain.identity import Principal, Role
from suanwang.domain.job import BillLine
from suanwang.ports import BillQuery
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_access import violations
from tests.browser.test_market_journey import on_sale
from tests.browser.world import OPERATOR, PROJECT, USER, World, busy

expect.set_options(timeout=PATIENCE_S * 1000)
PROVIDER = "贵安云谷"


@pytest.fixture
def world() -> World:
    """A network at work and in trade, with signed checkpoints."""
    made = World(signer=Ed25519Signer("07" * 32))
    on_sale(made)
    made.finish(busy(made)["tune"])
    made.network.vouchers.fund(OPERATOR, "成都市经信局", 5_000_000, "b1")
    made.network.proofs.checkpoint()
    made.beat(60)
    made.network.turn()  # settles what the sites reported last
    made.network.proofs.checkpoint()
    return made


def token(world: World, role: Role, provider: str | None = None) -> str:
    return world.network.people.create_token(OPERATOR, Principal(name=role.value, role=role, provider=provider))[1]


def dear_line(world: World) -> BillLine:
    lines, _ = world.network.bills.lines(USER, BillQuery(projects=(PROJECT,), provider=PROVIDER), None, 100)
    return max(lines, key=lambda line: line.amount_fen)


def fits(page: Page, path: str, width: int) -> None:
    page.goto(path)
    page.wait_for_load_state("load")
    assert violations(page) == [], path
    assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_dispute_from_opening_to_credit(
    world: World, address: str, open_page: OpenPage, complaints: list[str]
) -> None:
    line = dear_line(world)
    path = f"/wallet/lines/{line.usage_id}"
    payer = open_page(path, token=world.user_token)
    payer.get_by_label("What is wrong").fill("It never began.")
    payer.get_by_role("button", name="Dispute this line").click()
    expect(payer.locator("#dispute-title")).to_contain_text("open")
    seller = open_page(path, token=token(world, Role.PROVIDER, PROVIDER), language="zh")
    seller.get_by_label("己方陈述").fill("它运行了一分钟。")
    seller.get_by_role("button", name="提交陈述").click()
    expect(seller.locator(".said li")).to_have_count(2)
    operator = open_page("/operator", token=world.operator_token)
    operator.get_by_role("link", name=line.usage_id).click()
    operator.get_by_label("Give back, yuan").fill("1000000")
    operator.get_by_label("Why").fill("A part of it.")
    operator.get_by_role("button", name="Give this much back").click()
    expect(operator.get_by_role("alert")).to_contain_text("an amount in yuan is needed here")
    complaints.clear()  # Chromium's own about the status of that answer.
    operator.get_by_label("Give back, yuan").fill("0.10")
    operator.get_by_role("button", name="Give this much back").click()
    expect(operator.locator("#dispute-title")).to_contain_text("credited")
    told = httpx.get(
        f"{address}/v1/disputes/{line.usage_id}", headers={"Authorization": f"Bearer {world.user_token}"}
    ).json()
    assert (told["state"], told["credit_fen"]) == ("credited", 10)
    payer.goto("/wallet")
    expect(payer.get_by_role("cell", name="Given back after a dispute").first).to_be_visible()
    accounts = world.store.accounts(None, None, 100)[0]
    assert sum(account.balance_fen for account in accounts) == 0


def test_a_regulator_holds_two_checkpoints_together(world: World, open_page: OpenPage) -> None:
    page = open_page("/regulator", token=token(world, Role.REGULATOR))
    page.get_by_role("button", name="Is the newer the older one continued?").click()
    expect(page.locator("#compared")).to_contain_text("begins with that of")
    page.get_by_label("What").select_option("voucher.")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#record tbody tr")).to_have_count(1)
    expect(page.locator("#record")).to_contain_text("Budget for vouchers was paid in")


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 1280), ("en", 390), ("zh", 390)])
def test_every_page_is_accessible_and_fits(world: World, open_page: OpenPage, language: str, width: int) -> None:
    line = dear_line(world)
    world.network.disputes.open(USER, line.usage_id, "它没有运行。It never began.")
    page = open_page("/operator", token=world.operator_token, language=language, width=width)
    for path in ("/operator", "/regulator?audit=1", f"/provider?provider={PROVIDER}", "/disputes"):
        fits(page, path, width)
    fits(page, f"/wallet/lines/{line.usage_id}", width)
    assert page.evaluate("getComputedStyle(document.querySelector('[data-labelled] td')).display") == (
        "flow-root" if width == 390 else "table-cell"
    )
    page.emulate_media(color_scheme="dark")
    fits(page, "/operator", width)
    user = open_page("/disputes?state=open", token=world.user_token, language=language, width=width)
    assert violations(user) == []
