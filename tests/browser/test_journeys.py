"""What a person does with the pages, in a real browser; the numbers seen are those of the API and the store."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import Page, expect

from suanwang.domain.connector import RunState
from suanwang.domain.ids import JobId, SiteId
from suanwang.ports import BillQuery
from tests.browser.conftest import OpenPage
from tests.browser.serving import PATIENCE_S
from tests.browser.world import TRAINING, USER, World, busy

expect.set_options(timeout=PATIENCE_S * 1000)


def logged_in(page: Page, world: World) -> None:
    page.get_by_role("link", name="Log in", exact=True).click()
    page.get_by_label("Token").fill(world.user_token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("lin", exact=True)).to_be_visible()


def state_of(page: Page, word: str) -> None:
    expect(page.locator("#job-body h1 .state")).to_have_text(word)


def test_from_the_map_to_the_bill(world: World, address: str, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("/")
    expect(page.locator("#map .site")).to_have_count(6)
    expect(page.get_by_role("row", name=re.compile("Horinger"))).to_contain_text("681")
    logged_in(page, world)

    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Task file").fill("name: Train It\nrun: ./train\nresources: {cores: 0}\n")
    expect(page.locator("#answer .problems li")).to_have_count(2)
    page.get_by_role("button", name="line 3").click()
    selected = page.locator("#task").evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)")
    assert selected == "resources: {cores: 0}"
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="2 things to put right")).to_be_visible()
    assert world.network.jobs.counts(USER) == {}
    assert complaints.pop().endswith("422 (Unprocessable Entity)")

    page.get_by_label("Task file").fill(TRAINING)
    expect(page.locator("#answer .chosen")).to_contain_text("Qingyang")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/j-*")
    job_id = JobId(page.url.rsplit("/", 1)[1])
    state_of(page, "queued")

    world.beat()
    state_of(page, "running")
    for epoch in range(1, 5):
        world.say(job_id, f"epoch {epoch} </pre><script>document.title='gone'</script>\n")
        world.plot(job_id, epoch, loss=2.3 / epoch)
        world.save(job_id, str(epoch).encode())
        world.beat(40)
    expect(page.locator("#log")).to_contain_text("epoch 4 </pre><script>")
    expect(page.locator("#job")).to_have_attribute("data-drawn", "4")
    expect(page.locator("#curves canvas")).to_have_count(1)
    expect(page.locator("#why-title")).to_have_text("Why here, why not elsewhere")
    expect(page.locator("tr.chosen")).to_contain_text("Qingyang")
    expect(page.get_by_text("second best")).to_be_visible()

    world.finish(job_id)
    world.beat()
    state_of(page, "succeeded")
    expect(page.locator("#log-state")).to_have_text("complete")
    assert page.title() == "train-digits · Suanwang"
    with page.expect_download() as download:
        page.get_by_role("link", name="download").click()
    assert download.value.suggested_filename == "model"

    billed = world.job(job_id).billed_fen
    assert billed > 0
    expect(page.locator("#billed")).to_have_text(f"¥{billed / 100:.2f}")
    page.get_by_role("link", name="Bills").click()
    totals = world.network.bills.totals(USER, BillQuery())
    assert sum(total.amount_fen for total in totals) == billed
    expect(page.locator("#bill-sum")).to_have_text(f"¥{billed / 100:.2f}")
    answer = httpx.get(f"{address}/v1/bills/totals", headers={"Authorization": f"Bearer {world.user_token}"})
    assert sum(total["amount_fen"] for total in answer.json()["items"]) == billed
    shown = page.locator("[aria-labelledby=lines-title] tbody tr td:last-child").all_inner_texts()
    assert round(sum(float(text.removeprefix("¥")) for text in shown) * 100) == billed
    page.get_by_role("link", name=job_id).first.click()
    state_of(page, "succeeded")


def test_the_map_follows_a_job_from_site_to_site(world: World, open_page: OpenPage) -> None:
    (job,) = world.submit(TRAINING)
    page = open_page("/", token=world.user_token)
    expect(page.locator("[data-job]")).to_have_count(0)
    world.beat()
    dot = page.locator(f"[data-job='{job.id}']")
    expect(dot).to_have_attribute("data-at", "qingyang")
    world.save(job.id)
    world.beat()
    world.lose("qingyang")
    expect(dot).not_to_have_attribute("data-at", "qingyang")
    expect(page.locator("[data-site='qingyang']")).to_have_class(re.compile("unusable"))
    expect(page.locator("#map .arcs path")).to_have_count(1)
    expect(page.locator(".moves")).to_contain_text("train-digits")
    row = page.get_by_role("row", name=re.compile("Qingyang"))
    expect(row).to_contain_text("lost")
    page.get_by_role("link", name="Carbon", exact=True).click()
    expect(page.locator("#map.by-carbon")).to_be_visible()
    world.beat()
    expect(page.locator("#map.by-carbon")).to_be_visible()


def test_the_list_lives_and_filters(world: World, open_page: OpenPage) -> None:
    page = open_page("/jobs", token=world.user_token)
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    (job,) = world.submit("name: alone\nrun: x\n")
    world.submit("name: sweep\nrun: x\ncount: 5\n")
    expect(page.locator("table.jobs tbody tr")).to_have_count(2)
    expect(page.get_by_text("array of 5")).to_be_visible()
    world.beat()
    world.finish(job.id)
    world.beat()
    expect(page.get_by_role("row", name=re.compile("alone"))).to_contain_text("succeeded")
    page.get_by_label("Task name").fill("alone")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    assert "name=alone" in page.url
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_role("heading", name="No job fits these filters")).to_be_visible()


def test_a_job_is_cancelled_from_its_page(world: World, open_page: OpenPage) -> None:
    (job,) = world.submit("name: unwanted\nrun: sleep 1d\n")
    world.beat()
    page = open_page(f"/jobs/{job.id}", token=world.user_token)
    page.get_by_role("button", name="Cancel").click()
    state_of(page, "being cancelled")
    world.finish(job.id, RunState.CANCELLED)
    world.beat()
    state_of(page, "cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_link_logs_in_without_the_token_in_any_address(world: World, open_page: OpenPage) -> None:
    page = open_page(f"/#token={world.user_token}")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert world.user_token not in page.url
    (cookie,) = [c for c in page.context.cookies() if c["name"] == "suanwang_session"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in", exact=True)).to_be_visible()
    wrong = open_page("/")
    wrong.get_by_role("link", name="Log in", exact=True).click()
    assert wrong.url.endswith("/login")


def test_in_chinese_on_a_phone(world: World, open_page: OpenPage) -> None:
    ids = busy(world)
    page = open_page("/", token=world.user_token, language="zh", width=390)
    expect(page.get_by_role("heading", name="网络现况")).to_be_visible()
    expect(page.locator("#map .narrow").first).to_be_visible()
    expect(page.locator("#map .wide").first).to_be_hidden()
    page.get_by_role("link", name="提交", exact=True).click()
    page.get_by_role("link", name="距上海 5 毫秒以内").click()
    expect(page.locator("#answer .chosen")).to_be_visible()
    expect(page.locator("#answer")).to_contain_text("可立即运行")
    page.get_by_role("button", name="提交").click()
    page.wait_for_url("**/jobs/j-*")
    state_of(page, "排队中")
    page.goto(f"/jobs/{ids['refused']}")
    expect(page.locator("main")).to_contain_text("全网没有站点能运行该作业")
    expect(page.locator("main")).to_contain_text("每节点 16 核；作业需要 512 核")
    page.get_by_role("link", name="English").click()
    expect(page.locator("main")).to_contain_text("a node has 16 cores; the job needs 512")
    page.get_by_role("link", name="Network", exact=True).click()
    expect(page.get_by_role("heading", name="The network now")).to_be_visible()


def test_the_keyboard_is_enough(world: World, open_page: OpenPage) -> None:
    page = open_page("/submit", token=world.user_token)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("#task").focus()
    page.keyboard.insert_text("name: typed\nrun: echo\n")
    expect(page.locator("#answer .chosen")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#project")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/j-*")
    assert world.job(JobId(page.url.rsplit("/", 1)[1])).task.name == "typed"


def test_a_site_shows_what_it_declares_and_what_was_measured(world: World, open_page: OpenPage) -> None:
    busy(world)
    page = open_page("/sites", token=world.operator_token)
    page.get_by_role("link", name="Gui'an").click()
    figure = page.get_by_role("row", name=re.compile("compute.matmul.fp32"))
    expect(figure).to_be_visible()
    assert [cell.split() for cell in figure.get_by_role("cell").all_inner_texts()] == [
        ["–"],
        ["0.812", "TFLOPS", "median"],
        ["–"],
    ]
    expect(page.get_by_role("row", name=re.compile("host.rate.fp32"))).to_contain_text("8.8")
    expect(page.get_by_text("its clock is off by 41 s")).to_be_visible()
    held = world.network.sites.get(USER, SiteId("guian")).held
    expect(page.locator(".cards div", has_text="Cores in use")).to_contain_text(f"{held.cores} / 128")
