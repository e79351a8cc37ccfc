"""The pages as responses: who sees what, which forms are taken, and that nothing anybody wrote becomes markup."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.browser.world import OPERATOR, PROJECT, USER, World, busy, offering

from suanwang.api.app import create_app
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.lifecycle import SiteState
from suanwang.ports import BillQuery
from suanwang.web import error_page, mount_web
from suanwang.web.visiting import SESSION, local_path

ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def ids(world: World) -> dict[str, JobId]:
    return busy(world)


class Client:
    """A browser without scripts: keeps cookies, follows nothing."""

    def __init__(self, world: World, runner: asyncio.Runner) -> None:
        app: FastAPI = create_app(world.network, error_page=error_page)
        mount_web(app, world.network)
        self._runner = runner
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://testserver", headers={"Accept": "text/html"}
        )
        self.cookies = self._client.cookies

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self._runner.run(self._client.get(path, **how))

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self._runner.run(self._client.post(path, **how))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture
def visitor(world: World, ids: dict[str, JobId], runner: asyncio.Runner) -> Client:
    return Client(world, runner)


@pytest.fixture
def client(world: World, visitor: Client) -> Client:
    visitor.cookies.set(SESSION, world.user_token)
    return visitor


class Outline(HTMLParser):
    """Start tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_visitor_sees_the_sites_and_nobodys_work(visitor: Client, ids: dict[str, JobId]) -> None:
    text = visitor.get("/").text
    assert "Horinger" in text
    assert "data-job" not in text
    assert "train-digits" not in text
    for path in ("/submit", "/jobs", f"/jobs/{ids['train']}", "/bills"):
        answer = visitor.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/")
    assert visitor.get("/sites").status_code == visitor.get("/sites/guian").status_code == 200
    assert "train-digits" not in visitor.get("/sites/guian").text


def test_logging_in_keeps_the_token_from_scripts_and_other_sites(visitor: Client, world: World) -> None:
    answer = visitor.post("/login", data={"token": world.user_token, "next": "/jobs"}, headers=ORIGIN)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/jobs"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "train-digits" in visitor.get("/jobs").text
    assert visitor.post("/logout", headers=ORIGIN).status_code == 303
    assert visitor.get("/jobs").status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", "secret-" + "0" * 40])
def test_a_wrong_token_is_told_and_sets_no_cookie(visitor: Client, token: str) -> None:
    answer = visitor.post("/login", data={"token": token}, headers=ORIGIN)
    assert answer.status_code == 401
    assert "not known here" in answer.text
    assert "set-cookie" not in answer.headers


def test_an_agents_token_opens_no_pages(visitor: Client, world: World) -> None:
    join = world.network.sites.join_token(OPERATOR, SiteId("guian"))
    assert visitor.post("/login", data={"token": join}, headers=ORIGIN).status_code == 403


def test_a_revoked_token_ends_the_session(client: Client, world: World) -> None:
    token, secret = world.network.people.create_token(OPERATOR, USER)
    client.cookies.set(SESSION, secret)
    assert client.get("/jobs").status_code == 200
    world.network.people.revoke(OPERATOR, token.id)
    assert client.get("/jobs").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused(
    client: Client, world: World, ids: dict[str, JobId], headers: dict[str, str]
) -> None:
    before = world.job(ids["train"])
    for path in ("/login", "/logout", "/submit", "/submit/preview", f"/jobs/{ids['train']}/cancel"):
        assert client.post(path, data={"task": "name: a\nrun: x\n"}, headers=headers).status_code == 403
    assert world.job(ids["train"]) == before


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/a\nb"])
def test_login_leads_nowhere_else(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_another_projects_job_is_not_there(client: Client, ids: dict[str, JobId]) -> None:
    for path in ("", "/stream", "/points", "/log.txt", "/outputs/model"):
        assert client.get(f"/jobs/{ids['foreign']}{path}").status_code == 404
    assert client.post(f"/jobs/{ids['foreign']}/cancel", headers=ORIGIN).status_code == 404
    for page in ("/", "/jobs", "/bills", "/sites/horinger"):
        assert "secret-forecast" not in client.get(page).text


def test_every_page_in_both_languages_with_its_headers(client: Client, ids: dict[str, JobId]) -> None:
    pages = ["/", "/?colour=carbon", "/submit", "/jobs", f"/jobs/{ids['train']}", "/sites", "/sites/guian", "/bills"]
    for path in [*pages, "/login", f"/jobs/{ids['refused']}", f"/jobs?array={ids['sweep']}", "/nowhere"]:
        for language, tag in (("en", "en"), ("zh", "zh-Hans")):
            answer = client.get(path, params={"lang": language})
            assert answer.status_code == (404 if path == "/nowhere" else 200), path
            assert f'<html lang="{tag}">' in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            for name, attributes in Outline(answer.text).tags:
                assert not any(key.startswith("on") or key == "style" for key in attributes), (path, name)
                assert name != "style"
                assert name != "script" or attributes.get("src")
                for key in ("src", "href", "action"):
                    value = attributes.get(key) or "/"
                    assert re.match(r"/(?!/)|#", value), (path, value)


def test_the_language_is_asked_for_kept_or_guessed(client: Client) -> None:
    assert "The network now" in client.get("/").text
    assert "网络现况" in client.get("/", headers={"Accept-Language": "fr;q=1, zh-CN;q=0.9, en;q=0.8"}).text
    assert "网络现况" in client.get("/?lang=zh").text
    assert "网络现况" in client.get("/").text
    assert "The network now" in client.get("/?lang=en").text
    assert "The network now" in client.get("/?lang=xx").text


HOSTILE = "</textarea></script><script>alert(1)</script>'\"><img src=x onerror=alert(1)>{{7*7}}"


def test_nothing_a_user_or_a_site_wrote_becomes_markup(client: Client, world: World) -> None:
    evil = offering((HOSTILE, HOSTILE), HOSTILE, HOSTILE, (30.0, 110.0), 2, 500, "0.01")
    site = world.add_site("evil", evil)
    world.sites[site].warnings = (HOSTILE,)
    (job,) = world.submit(f'name: hostile\nrun: |\n  echo "{HOSTILE}"\nconstraints: {{sites: evil}}\nenv: {{A: x}}\n')
    world.beat()
    world.say(job.id, HOSTILE + "\n")
    world.plot(job.id, 1, **{HOSTILE: 1.0})
    world.beat()
    paths = ["/", "/?colour=carbon", "/jobs", f"/jobs/{job.id}", "/sites", "/sites/evil", "/bills"]
    for path in [*paths, f"/jobs?name={HOSTILE}", f"/login?next=/{HOSTILE}", "/bills?provider=" + HOSTILE]:
        text = client.get(path).text
        assert "<img src=x" not in text, path
        assert "alert(1)</script>" not in text, path
        assert ">49" not in text
    answer = client.post("/submit", data={"task": f"name: {HOSTILE}\n", "key": HOSTILE}, headers=ORIGIN)
    assert answer.status_code == 422
    assert "<img src=x" not in answer.text
    log = client.get(f"/jobs/{job.id}/log.txt")
    assert log.headers["content-type"].startswith("text/plain")
    assert log.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/jobs/{job.id}/points").json()["figures"][0]["name"] == HOSTILE


def test_the_answer_names_each_problem_with_its_line(client: Client) -> None:
    text = "name: Bad Name\nrun: echo\nresources:\n  cores: 0\n  colour: red\n"
    answer = client.post("/submit/preview", data={"task": text, "project": PROJECT}, headers=ORIGIN).text
    assert "3 things to put right" in answer
    for line, field in ((1, "name"), (4, "resources.cores"), (5, "resources.colour")):
        assert f'data-line="{line}"' in answer
        assert f"<code>{field}</code>" in answer


def test_what_is_wrong_is_said_in_the_readers_language(client: Client) -> None:
    zh = {"Accept-Language": "zh"}
    text = "name: ok\nrun: ''\nresources:\n  cores: 0\n"
    answer = client.post("/submit/preview", data={"task": text, "project": PROJECT}, headers={**ORIGIN, **zh}).text
    assert "脚本为空" in answer
    assert "允许：shell 脚本" in answer
    page = client.get("/jobs/none", headers=zh)
    assert "没有作业 &#39;none&#39;" in page.text
    assert "允许：您项目中的作业" in page.text
    assert "no job &#39;none&#39;" in client.get("/jobs/none").text


def test_the_answer_compares_the_sites(client: Client) -> None:
    text = "name: a\nrun: echo\nresources: {cores: 1, expected: 1h}\nconstraints: {circle: within 5 ms of 上海}\n"
    answer = client.post("/submit/preview", data={"task": text}, headers={**ORIGIN, "Accept-Language": "zh"}).text
    assert "可立即运行" in answer
    assert "选中" in answer
    assert "作业要求不超过 5 毫秒" in answer
    files = client.post(
        "/submit/preview", data={"task": "name: a\nrun: x\ninputs: {d: ./d.csv}\n"}, headers=ORIGIN
    ).text
    assert "suanwang submit" in files


def test_sending_a_form_twice_submits_once_and_a_changed_text_again(client: Client, world: World) -> None:
    form = {"task": "name: once\nrun: echo\n", "project": PROJECT, "key": "k1"}
    first = client.post("/submit", data=form, headers=ORIGIN)
    assert first.status_code == 303
    assert client.post("/submit", data=form, headers=ORIGIN).headers["location"] == first.headers["location"]
    changed = client.post("/submit", data={**form, "task": "name: twice\nrun: echo\n"}, headers=ORIGIN)
    assert changed.headers["location"] != first.headers["location"]
    job = world.job(JobId(first.headers["location"].removeprefix("/jobs/")))
    assert (job.task.name, job.owner, job.project) == ("once", "lin", PROJECT)


def test_who_may_not_submit_is_told(client: Client, world: World) -> None:
    regulator = Principal(name="watcher", role=Role.REGULATOR)
    client.cookies.set(SESSION, world.network.people.create_token(OPERATOR, regulator)[1])
    assert "may look at work but not submit" in client.get("/submit").text
    answer = client.post("/submit", data={"task": "name: a\nrun: x\n", "project": PROJECT}, headers=ORIGIN)
    assert answer.status_code == 403
    client.cookies.set(SESSION, world.user_token)
    assert (
        client.post("/submit", data={"task": "name: a\nrun: x\n", "project": "weather"}, headers=ORIGIN).status_code
        == 403
    )


def test_oversize_and_unreadable_forms_are_refused(client: Client) -> None:
    headers = {**ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/submit", content=b"task=" + b"a" * (5 * 2**20), headers=headers).status_code == 413
    assert client.post("/submit", content=b"task=%ff%fe", headers=headers).status_code == 422
    assert client.post("/submit", content=b"\xff\xfe", headers=headers).status_code == 422
    assert client.post("/submit", content=b"task=a%00b", headers=headers).status_code == 422
    assert client.post("/submit", content=b"&".join(b"a=1" for _ in range(100)), headers=headers).status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/none", 404),
        ("/jobs/%00", 422),
        ("/sites/none", 404),
        ("/jobs?state=asleep", 422),
        ("/jobs?cursor=garbage", 422),
        ("/bills?cursor=garbage", 422),
        ("/bills?from=yesterday", 422),
        ("/?colour=red", 422),
        ("/jobs?name=" + "a" * 300, 422),
        ("/nothing/here", 404),
    ],
)
def test_bad_addresses_get_a_page_that_says_so(client: Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "To the network" in answer.text


def test_programs_still_get_problems_as_json(client: Client) -> None:
    assert client.get("/v1/nothing").headers["content-type"] == "application/problem+json"
    assert client.get("/nothing", headers={"Accept": "*/*"}).headers["content-type"] == "application/problem+json"


def test_an_unforeseen_error_is_a_page_and_tells_nothing(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(world.network.sites, "all", broken)
    answer = client.get("/sites")
    assert answer.status_code == 500
    assert "swordfish" not in answer.text


def test_the_list_groups_arrays_filters_and_pages(runner: asyncio.Runner) -> None:
    small = World(["guian"])
    members = small.submit("name: many\nrun: x\ncount: 120\n")
    for number in range(70):
        small.submit(f"name: single-{number}\nrun: x\n")
    client = Client(small, runner)
    client.cookies.set(SESSION, small.user_token)
    first = client.get("/jobs").text
    assert first.count("<tr>") == 51
    following = re.search(r'href="(/jobs\?cursor=[^"]+)" rel="next"', first)
    assert following is not None
    second = client.get(following[1].replace("&amp;", "&")).text
    assert "array of 120" in second
    assert second.count("<tr>") == 22
    assert client.get(f"/jobs?array={members[0].id}").text.count("many [") == 50
    assert client.get("/jobs?name=single-3").text.count("<tr>") == 2
    assert "No job fits these filters" in client.get("/jobs?state=failed").text
    assert client.get("/jobs", headers={"HX-Request": "true"}).text.lstrip().startswith("<div hx-get")


def test_empty_pages_say_what_to_do_next(runner: asyncio.Runner) -> None:
    empty = World([])
    client = Client(empty, runner)
    client.cookies.set(SESSION, empty.user_token)
    assert "No site has joined yet" in client.get("/").text
    assert "suanwang agent" in client.get("/sites").text
    assert "Submit the first task" in client.get("/jobs").text
    assert "Nothing was billed yet" in client.get("/bills").text
    answer = client.post("/submit/preview", data={"task": "name: a\nrun: x\n"}, headers=ORIGIN).text
    assert "No site has joined yet" in answer


def test_an_output_is_a_download_of_its_very_bytes(client: Client, ids: dict[str, JobId]) -> None:
    page = client.get(f"/jobs/{ids['prepare']}").text
    assert f'href="/jobs/{ids["prepare"]}/outputs/table"' in page
    answer = client.get(f"/jobs/{ids['prepare']}/outputs/table")
    assert answer.content == f"table of {ids['prepare']}".encode()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert client.get(f"/jobs/{ids['prepare']}/outputs/other").status_code == 404


def test_cancelling_is_done_once_and_shown(client: Client, world: World) -> None:
    (job,) = world.submit("name: unwanted\nrun: sleep 1d\nconstraints: {regions: gansu}\nresources: {cores: 16}\n")
    assert client.post(f"/jobs/{job.id}/cancel", headers=ORIGIN).headers["location"] == f"/jobs/{job.id}"
    assert world.job(job.id).state == "cancelled"
    text = client.get(f"/jobs/{job.id}").text
    assert "cancelled by lin" in text
    assert "/cancel" not in text


def test_the_bill_page_shows_what_the_store_has(client: Client, world: World) -> None:
    totals = world.network.bills.totals(USER, BillQuery())
    text = client.get("/bills").text
    assert f"¥{sum(total.amount_fen for total in totals) / 100:.2f}" in text
    assert client.get("/bills", params={"from": "2030-01-01"}).text.count("Nothing was billed in this selection") == 1
    assert client.get("/bills", params={"to": "2026-03-02"}).text.count(f">{PROJECT}</th>") == len(totals)
    assert client.get("/bills", params={"to": "2026-03-01"}).text.count(f">{PROJECT}</th>") == 0


def test_a_job_tells_its_whole_way(client: Client, ids: dict[str, JobId]) -> None:
    text = client.get(f"/jobs/{ids['train']}").text
    order = ["Resumed from its checkpoint", "Interrupted at", "Checkpoint saved", "Started at", "Placed at", "Accepted"]
    told = re.findall(r'<li class="job-\w+"><span>(.*?)</span> <time', text)
    assert [next(word for word in order if line.startswith(word)) for line in told] == [
        *("Resumed from its checkpoint", "Placed at", "Interrupted at", "Checkpoint saved"),
        *("Started at", "Placed at", "Accepted"),
    ]
    assert "second best" in text
    figures = client.get(f"/jobs/{ids['train']}/points").json()["figures"]
    assert [figure["name"] for figure in figures] == ["accuracy", "loss"]
    assert [line["run"] for line in figures[0]["lines"]] == [1, 2]
    assert figures[0]["lines"][1]["first"] == 8


def test_static_files_may_be_kept_for_good(client: Client) -> None:
    (sheet,) = re.findall(r'href="(/static/app\.css\?v=\w+)"', client.get("/login").text)
    answer = client.get(sheet)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/../visiting.py").status_code == 404
    assert client.get("/favicon.ico").status_code == 308


def test_nothing_is_in_use_or_free_at_a_site_that_is_lost(client: Client, world: World) -> None:
    store = world.store
    before = store.site(SiteId("guian"))
    assert before is not None
    lost = replace(before, state=SiteState.LOST, state_since=before.state_since, revision=before.revision + 1)
    store.put_site(lost, ())
    try:
        for page in ("/sites", "/sites/guian"):
            text = client.get(page).text
            assert re.search(r'site-lost">lost</span> <small class="faint nowrap">since <time', text), page
        assert re.search(r"<dd>–<small> / \d+</small>", text)
    finally:
        store.put_site(replace(before, revision=lost.revision + 1), ())
