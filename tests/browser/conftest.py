"""Chromium for the journeys: Debian's own, driven by Playwright; where it is missing, CI fails and others skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from suanwang.web.visiting import SESSION
from tests.browser.serving import PATIENCE_S, serve
from tests.browser.world import World

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js"
OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker drives the browser: two at once are slower than one after the other."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


def chromium_path() -> str:
    """Where Chromium is; without one this fails in CI and skips elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium on this machine: install the package `chromium`"
        if os.environ.get("CI") == "true" or os.environ.get("SUANWANG_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


# One browser per module and not per session: Playwright's own event loop must not be there when other modules run theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def address(world: World) -> Iterator[str]:
    with serve(world) as url:
        yield url


@pytest.fixture
def complaints() -> list[str]:
    """Errors that pages wrote to the browser's console; a test takes out those it means to cause."""
    return []


@pytest.fixture
def open_page(chromium: Browser, address: str, complaints: list[str]) -> Iterator[OpenPage]:
    """`open_page(path, token=…, language=…, width=…)`: a page of its own browser context, whose complaints fail the test."""
    contexts = []

    def opened(path: str, *, token: str | None = None, language: str = "en", width: int = 1280) -> Page:
        context = chromium.new_context(
            base_url=address, locale="zh-CN" if language == "zh" else "en-US", viewport={"width": width, "height": 800}
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        if token is not None:
            context.add_cookies([{"name": SESSION, "value": token, "url": address}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
