"""The page of agreements in a browser: reached from the wallet, its figures the API's, accessible and narrow in both languages."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import expect

from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.trading.agreements import (
    Agreement,
    CreditStep,
    Level,
    Measure,
    Side,
    key_bytes,
    month_begins,
    month_number,
    signed_bytes,
)
from tests.browser.conftest import OpenPage
from tests.browser.test_access import violations
from tests.browser.world import PROJECT, START, USER, World, busy


def agreed(world: World) -> None:
    """An agreement in force over work that ran, and a version that is offered after it."""
    busy(world)
    site = world.store.site(SiteId("guian"))
    assert site is not None
    provider = Principal(name="seller", role=Role.PROVIDER, provider=site.offering.provider)
    kept = world.network.agreements
    month = month_number(START)
    for version in (1, 2):
        wanted = Agreement(
            id="main-guian",
            version=0,
            project=PROJECT,
            provider=site.offering.provider,
            sites=(site.id,),
            first=month + 2 * (version - 1),
            last=month + 12,
            levels=(
                Level(measure=Measure.AVAILABILITY, steps=(CreditStep(bound=999_000, credit_bp=1000),)),
                Level(measure=Measure.PROMISED, within_s=60, steps=(CreditStep(bound=990_000, credit_bp=500),)),
                Level(measure=Measure.START, steps=(CreditStep(bound=600, credit_bp=500),)),
            ),
            text="夜间作业优先。Night work first.",
            author=Side.PROJECT,
            drafted_by="",
            drafted_at=START,
        )
        seen = kept.draft(USER, wanted).agreement
        for side, who in ((Side.PROJECT, USER), (Side.PROVIDER, provider))[: 3 - version]:
            key = Ed25519PrivateKey.from_private_bytes(side.value[:2].encode() * 16)
            public, party = key.public_key().public_bytes_raw().hex(), seen.party(side)
            kept.register_key(who, party, public, key.sign(key_bytes(party, public)).hex())
            kept.sign(who, seen.id, seen.version, public, key.sign(signed_bytes(seen, side, public)).hex())
    world.clock.at = month_begins(month + 1) + timedelta(hours=2)
    world.network.turn()


def test_the_page_says_what_the_api_says(world: World, address: str, open_page: OpenPage) -> None:
    agreed(world)
    page = open_page("/wallet", token=world.user_token)
    page.get_by_role("link", name="Agreements").click()
    headers = {"Authorization": f"Bearer {world.user_token}"}
    told = httpx.get(f"{address}/v1/agreements", headers=headers).json()["items"]
    assert [(each["version"], each["state"]) for each in told] == [(2, "offered"), (1, "signed")]
    first = page.locator("#main-guian-1")
    expect(first).to_contain_text("signed by both")
    for each in told[1]["signatures"]:
        expect(first).to_contain_text(each["fingerprint"])
    first.locator("summary").first.click()
    expect(first.locator("pre")).to_have_text(told[1]["terms"])
    (credit,) = httpx.get(f"{address}/v1/agreements/credits", headers=headers).json()["items"]
    expect(page.locator("#credits h3")).to_contain_text(f"{credit['month']}: ¥{credit['amount_fen'] / 100:.2f}")


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_the_page_is_accessible_and_fits(world: World, open_page: OpenPage, language: str, width: int) -> None:
    agreed(world)
    page = open_page("/agreements", token=world.user_token, language=language, width=width)
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
