"""The twin's pages in a browser: an experiment from its text to its report, what if, comparing two, and failures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Role
from suanwang.twin.checking import Checked
from suanwang.twin.laboratory import Laboratory
from suanwang.twin.report import write_report
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S, serve
from tests.browser.test_access import violations
from tests.browser.world import OPERATOR, USER, World, busy
from tests.unit.twin.twin_results import POLICIES, SITES, write_results

ROOT = Path(__file__).parents[2]


def checked(text: str) -> Checked:
    """Stands for the check: the real one takes seconds, and has tests of its own."""
    if "wrong" in text:
        raise InvalidRequest("there is no policy 'wrong'", field="policies[0]", allowed="joint, nearest")
    return Checked(name="n", title_en="A made-up week", title_zh="虚构的一周", plays=12, policies=("joint",), seeds=3)


@pytest.fixture
def laboratory(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    """Whose experiments are made up."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    command = (sys.executable, "-m", "tests.unit.twin.twin_results")
    made = Laboratory(tmp_path, world.clock.now, command=command, check=checked)
    yield made
    made.close()


@pytest.fixture
def address(world: World, laboratory: Laboratory) -> Iterator[str]:
    with serve(world, laboratory) as url:
        yield url


def started(page: Page, text: str) -> None:
    page.goto("/twin")
    page.locator("#task").fill(text)
    page.locator("#answer .answer").wait_for()
    page.locator("form[action='/twin'] button.main").click()
    page.wait_for_url("**/twin/x-*")


def sound(page: Page, width: int) -> None:
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_an_experiment_from_its_text_to_its_report(
    world: World, laboratory: Laboratory, open_page: OpenPage, language: str, width: int
) -> None:
    busy(world)
    page = open_page("/twin", token=world.operator_token, language=language, width=width)
    sound(page, width)
    page.locator("#task").fill("policies: [wrong]")
    page.locator(".problems li").first.wait_for()
    sound(page, width)
    started(page, "experiment: week")
    page.locator("a.main").wait_for()  # The page looks again by itself.
    sound(page, width)
    assert laboratory.settled(PATIENCE_S)
    started(page, "experiment: again")
    page.locator("a.main").wait_for()
    page.goto("/twin")
    sound(page, width)
    ids = [each.id for each in laboratory.all(USER)]
    page.goto(f"/twin/compare?a={ids[0]}&b={ids[1]}")
    assert page.locator("tbody tr").count() == 9 * len(POLICIES)
    sound(page, width)
    page.goto(f"/twin/{ids[0]}/report")
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    assert page.locator("html").get_attribute("lang") == ("zh-Hans" if language == "zh" else "en")


def test_what_if_shows_the_difference(
    world: World, laboratory: Laboratory, open_page: OpenPage, complaints: list[str]
) -> None:
    busy(world)
    page = open_page("/twin", token=world.operator_token)
    page.locator("form[action='/twin/what-if'] button").click()
    page.locator(".problems li").first.wait_for()
    assert "nothing is changed" in page.locator(".problems").inner_text()
    complaints.clear()  # The browser tells of the 422.
    page.select_option("[name=lose_site]", "horinger")
    page.locator("[name=price_factor]").fill("2")
    page.locator("form[action='/twin/what-if'] button").click()
    page.wait_for_url("**/twin/x-*")
    page.locator("#difference-title").wait_for()
    rows = page.locator("tbody tr").all_inner_texts()
    assert any("+30" in row and "worse" in row for row in rows)
    sound(page, 1280)


def test_a_failure_and_a_reload(world: World, laboratory: Laboratory, open_page: OpenPage) -> None:
    page = open_page("/twin", token=world.operator_token)
    started(page, "fail")
    page.locator(".reason.wrong").wait_for()
    assert page.locator(".reason.wrong").inner_text() == "the trace has no jobs there"
    sound(page, 1280)
    started(page, "hang")
    page.reload()
    page.get_by_text("being played").wait_for()
    page.get_by_text("1 of 2 plays").wait_for()
    page.get_by_role("button", name="Remove").click()
    page.wait_for_url("**/twin")
    assert laboratory.settled(PATIENCE_S)
    assert [each.reason for each in laboratory.all(OPERATOR)] == ["the trace has no jobs there"]


def test_who_may_only_look(world: World, laboratory: Laboratory, open_page: OpenPage, complaints: list[str]) -> None:
    made = laboratory.start_text(Principal(name="rita", role=Role.REGULATOR), "experiment: week")
    assert laboratory.settled(PATIENCE_S)
    page = open_page("/twin", token=world.user_token)
    assert page.locator("form").count() == 1, "logging out is all"
    page.goto(f"/twin/{made.id}")
    assert page.get_by_role("link", name="Open the report").is_visible()
    assert page.get_by_role("button", name="Remove").count() == 0
    page.goto("/twin/x-000000000000")
    assert page.get_by_text("no such experiment").is_visible()
    complaints.clear()  # The browser tells of the 404.


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_the_report_is_drawn_for_everybody(chromium: Browser, tmp_path: Path, language: str, width: int) -> None:
    path = write_report(write_results(tmp_path / "week"))
    locale = "zh-CN" if language == "zh" else "en-US"
    page = chromium.new_page(viewport={"width": width, "height": 800}, locale=locale)
    asked: list[str] = []
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    sound(page, width)
    for chart in ("pareto", "site-chart", "waiting", "sweep"):
        assert page.locator(f"#{chart}").get_attribute("data-drawn") == "1"
    assert page.locator("#heats canvas").count() == len(POLICIES)
    assert page.locator("#map .ring").count() == len(SITES)
    before = page.locator("#map").inner_html()
    page.locator("#hour").press("ArrowRight")
    assert page.locator("#map").inner_html() != before
    page.locator("#case").select_option("1")
    assert page.locator("[data-case='1'] table").is_visible()
    assert not page.locator("[data-case='0'] table").is_visible()
    page.locator("#language").click()
    assert page.get_by_text("Modelled" if language == "zh" else "模型结果").first.is_visible()
    assert asked == [path.as_uri()], "it asks for nothing else"
    page.close()
