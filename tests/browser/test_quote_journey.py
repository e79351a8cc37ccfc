"""From "how much do I need?" to a job at the quoted price, and to what its run taught: numbers equal to the API's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from suanwang.control.quotes import VALID_FOR
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.site import Price
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.test_access import violations
from tests.browser.world import OPERATOR, World, busy

expect.set_options(timeout=PATIENCE_S * 1000)


def asked(address: str, world: World, path: str) -> Any:
    answer = httpx.get(f"{address}{path}", headers={"Authorization": f"Bearer {world.user_token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def yuan(page: Page, row: int) -> float:
    return float(page.locator(f"tr[data-offer='{row}'] [data-yuan]").get_attribute("data-yuan") or "nan")


def test_from_a_few_numbers_to_what_the_run_taught(world: World, address: str, open_page: OpenPage) -> None:
    page = open_page("/", token=world.user_token)
    page.get_by_role("link", name="Quote", exact=True).click()
    page.locator("#few-work").select_option("finetune")
    page.locator("#few-parameters").fill("7B")
    page.locator("#few-tokens").fill("20M")
    expect(page.locator("#need")).to_have_value(re.compile("work: finetune\nmodel:\n  parameters: 7B\ntokens: 20M"))
    expect(page.locator("#answer tr[data-offer='1']")).to_contain_text("Ascend 910B")
    expect(page.locator("#answer .out")).to_contain_text("has no accelerator")
    cheapest = yuan(page, 1)
    page.locator("select[name=device]").select_option(label="NVIDIA A100 SXM4 80GB")
    expect(page.locator("#answer tr[data-offer='1']")).to_contain_text("Horinger")
    assert yuan(page, 1) > cheapest
    page.locator("select[name=device]").select_option("")
    expect(page.locator("#answer tr[data-offer='1']")).to_contain_text("Gui'an")

    page.get_by_role("button", name="Make a quote").click()
    page.wait_for_url("**/quotes/q*")
    quote_id = page.url.rsplit("/", 1)[1]
    told = asked(address, world, f"/v1/quotes/{quote_id}")
    assert [yuan(page, offer["number"]) for offer in told["offers"]] == [o["price_yuan"]["mid"] for o in told["offers"]]
    assert told["page"] == f"/quotes/{quote_id}"
    assert yuan(page, 1) == pytest.approx(cheapest)

    make_dearer(world, SiteId(told["offers"][1]["site"]))
    page.get_by_role("link", name="use offer 2").click()
    expect(page.locator("#offer")).to_have_value("2")
    page.get_by_label("Task: its script").fill("name: tune\nrun: python tune.py\n")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/j-*")
    job_id = JobId(page.url.rsplit("/", 1)[1])
    world.beat()
    offer = told["offers"][1]
    world.beat(offer["hours"]["mid"] * 3600 / 20, times=20)
    world.finish(job_id)
    world.beat(times=2)
    expect(page.locator("#job-body h1 .state")).to_have_text("succeeded")
    job = world.job(job_id)
    ran_hours = job.usage.wall_s / 3600
    assert job.billed_fen / 100 == pytest.approx(
        offer["price_yuan"]["mid"] * ran_hours / offer["hours"]["mid"], rel=0.01
    )

    page.get_by_role("link", name="Learning", exact=True).click()
    expect(page.locator("#scatter")).to_have_attribute("data-drawn", "1")
    (lesson,) = asked(address, world, "/v1/lessons")["items"]
    assert lesson["job"] == job_id
    assert lesson["measured_hours"] == pytest.approx(ran_hours)
    row = page.get_by_role("row", name=re.compile(job_id))
    expect(row).to_contain_text(f"{lesson['z']:+.1f} σ")
    row.get_by_role("link").click()
    page.wait_for_url(f"**/jobs/{job_id}")


def test_a_quote_is_read_by_its_link_and_used_by_its_project_alone(
    world: World, open_page: OpenPage, complaints: list[str]
) -> None:
    page = open_page("/quote?example=cores.yaml", token=world.user_token)
    expect(page.locator("#answer tr[data-offer='1']")).to_be_visible()
    page.get_by_role("button", name="Make a quote").click()
    page.wait_for_url("**/quotes/q*")
    shared = page.url
    other = open_page("/", token=world.stranger_token)
    other.goto(shared)
    expect(other.locator("tr[data-offer='1']")).to_be_visible()
    expect(other.get_by_role("button", name="Submit")).to_have_count(0)
    world.clock.at += VALID_FOR
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("expired", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Make a new quote")).to_be_visible()
    complaints.clear()


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390), ("en", 390)])
def test_the_pages_are_for_everybody(world: World, open_page: OpenPage, language: str, width: int) -> None:
    busy(world)
    page = open_page("/quote", token=world.user_token, language=language, width=width)
    assert violations(page) == []
    for path in ("/quote?example=pretrain.yaml", "/quote?example=serve.yaml"):
        page.goto(path)
        page.locator("#answer .answer").first.wait_for()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto("/quote?example=finetune.yaml")
    page.locator("form#need-form button.main").click()
    page.wait_for_url("**/quotes/q*")
    for path in (page.url, "/learning", "/sites/guian"):
        page.goto(path)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def make_dearer(world: World, site_id: SiteId) -> None:
    """The site asks ten times as much from now on."""
    offering = world.network.sites.get(OPERATOR, site_id).site.offering
    price = Price(
        core_hour_yuan=offering.price.core_hour_yuan * 10,
        device_hour_yuan={model: each * 10 for model, each in offering.price.device_hour_yuan.items()},
    )
    world.network.sites.change(OPERATOR, site_id, replace(offering, price=price))
