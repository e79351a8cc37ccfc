"""The shop in a browser: a copy is found, bought and there; accessible, narrow, in both languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from suanwang.control.contracts.listings import NewListing
from suanwang.trading.listings import Charge, Kind
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_access import violations
from tests.browser.world import OTHER, PROJECT, STRANGER, USER, World

expect.set_options(timeout=PATIENCE_S * 1000)

TASK = "name: rain\nrun: sleep 100\ninputs: {m: 'listing:rain-model'}\n"


def on_sale(world: World) -> None:
    """A model by the use, that a job has used, and a data set by the copy; and a file of the user's own."""
    content = world.files.put(b"weights")
    world.network.artefacts.name(STRANGER, OTHER, "weights", content)
    world.network.artefacts.name(USER, PROJECT, "mine", content)
    for name, kind, charge in (
        ("rain-model", Kind.MODEL, Charge.USE),
        ("rain-table", Kind.DATASET, Charge.COPY),
    ):
        world.network.listings.add(
            STRANGER,
            NewListing(
                id=name,
                version="1.0",
                title_en=f"Rain of the coast, the {kind}",
                title_zh=f"沿海降雨（{kind}）",
                description="Hourly, 2020 to 2025, by the stations of the coast.",
                kind=kind,
                licence="CC-BY-4.0",
                project=OTHER,
                sha256=content.sha256,
                charge=charge,
                price_fen=1250,
            ),
        )
    world.submit(TASK)
    world.beat(times=4)


def test_a_copy_is_found_and_bought(world: World, open_page: OpenPage) -> None:
    on_sale(world)
    page = open_page("/listings", token=world.user_token)
    page.get_by_label("Search").fill("rain-table")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Rain of the coast, the model")).to_have_count(0)
    page.get_by_role("button", name="Buy rain-table@1.0").click()
    expect(page.get_by_role("rowheader", name="rain-table-1.0")).to_be_visible()
    (copy,) = world.network.listings.copies(USER, None, None, 10)[0]
    assert (copy.project, copy.price_fen) == (PROJECT, 1250)
    assert world.network.artefacts.find(USER, PROJECT, "rain-table-1.0").content == copy.content
    expect(page.get_by_role("row").filter(has_text="rain-model@1.0")).to_contain_text("paid")


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_the_shop_is_for_everybody(world: World, open_page: OpenPage, language: str, width: int) -> None:
    on_sale(world)
    page = open_page("/listings", token=world.user_token, language=language, width=width)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto("/listings?text=nothing")
    assert violations(page) == []
