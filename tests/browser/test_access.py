"""Every page for everybody: axe finds nothing, and nothing is wider than a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from suanwang.ports import BillQuery
from tests.browser.conftest import AXE, OpenPage
from tests.browser.world import USER, World, busy

RULES = "{resultTypes: ['violations']}"


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {RULES})")["violations"]
    return [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found for node in v["nodes"]]


def _line(world: World) -> str:
    """The page of a bill line."""
    return f"/wallet/lines/{world.network.bills.lines(USER, BillQuery(), None, 1)[0][0].usage_id}"


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 1280), ("en", 390), ("zh", 390)])
def test_every_page(world: World, open_page: OpenPage, language: str, width: int) -> None:
    ids = busy(world)
    page = open_page("/", token=world.user_token, language=language, width=width)
    paths = [
        *("/", "/?colour=carbon", "/submit?example=workflow.yaml", "/jobs", f"/jobs?array={ids['sweep']}"),
        *(f"/jobs/{ids['train']}", f"/jobs/{ids['refused']}", f"/jobs/{ids['broken']}", f"/jobs/{ids['total']}"),
        *(
            "/jobs?state=cancelled",
            "/sites",
            "/sites/guian",
            "/bills",
            "/bills?from=2030-01-01",
            "/wallet",
            _line(world),
            "/login",
        ),
    ]
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("load")
        if "example" in path:
            page.locator("#answer .answer").first.wait_for()
        if path.endswith(ids["train"]):
            page.locator("#job[data-drawn]").wait_for()
            page.locator("details").first.locator("summary").click()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_wrong_task_and_the_dark(world: World, open_page: OpenPage) -> None:
    page = open_page("/submit", token=world.user_token)
    page.emulate_media(color_scheme="dark")
    page.locator("#task").fill("name: Wrong\nrun: x\n")
    page.locator(".problems li").first.wait_for()
    assert violations(page) == []
    busy(world)
    for path in ("/", "/jobs", "/sites/guian", "/bills"):
        page.goto(path)
        assert violations(page) == [], path


def test_axe_finds_what_is_wrong(open_page: OpenPage) -> None:
    page = open_page("/login")
    page.evaluate("document.querySelector('label').remove()")
    assert any(found.startswith("label") for found in violations(page))
