"""The pages about quotes and learning as responses: who sees what, and that nothing anybody wrote becomes markup."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.browser.world import OPERATOR, USER, World
from tests.unit.quoted_runs import CORES, HUGE, VISION, need
from tests.unit.web.test_web_pages import ORIGIN, Client

from suanwang.control.quotes import VALID_FOR
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId
from suanwang.domain.quote import Quote
from suanwang.web.pages.quotes import EXAMPLES, TITLES
from suanwang.web.visiting import SESSION

EVIL = "</pre><script>alert(1)</script>"


@pytest.fixture
def world() -> World:
    return World(["guian", "horinger", "wuhu"])


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture
def client(world: World, runner: asyncio.Runner) -> Client:
    made = Client(world, runner)
    made.cookies.set(SESSION, world.user_token)
    return made


def quoted(world: World, text: str = VISION, title: str = "a need") -> Quote:
    return world.network.quotes.quote_need(USER, need(text.partition(EVIL)[0]), title=title, source=text)


def ran(world: World, quote: Quote, times: float) -> JobId:
    """A run under the first offer, in calls as frequent as an agent's."""
    from suanwang.taskfile import read_tasks

    job = world.network.quotes.submit(USER, read_tasks("name: run\nrun: ./run\n").tasks, quote.id).jobs[0]
    world.beat()
    world.beat(30, times=max(1, round(quote.offers[0].hours.mid * 3600 * times / 30)))
    world.finish(job.id)
    world.beat(times=2)
    return job.id


def test_visitors_are_led_to_the_login_and_forms_of_other_sites_refused(
    world: World, client: Client, runner: asyncio.Runner
) -> None:
    made = quoted(world)
    visitor = Client(world, runner)
    for path in ("/quote", f"/quotes/{made.id}", "/learning", "/learning/points"):
        answer = visitor.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/")
    for path in ("/quote", "/quote/preview", f"/quotes/{made.id}/submit"):
        form = {"need": VISION, "task": "name: a\nrun: x\n", "offer": "1"}
        assert client.post(path, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert world.network.jobs.counts(USER) == {}


def test_a_preview_answers_with_offers_or_with_what_is_wrong(client: Client) -> None:
    found = client.post("/quote/preview", data={"need": VISION, "objective": "fastest"}, headers=ORIGIN).text
    assert 'data-offer="1"' in found
    assert "has no accelerator" in found
    assert "What it takes" in found
    nowhere = client.post("/quote/preview", data={"need": HUGE, "objective": "no such"}, headers=ORIGIN).text
    assert "No site can do this work now." in nowhere
    assert "cannot do this work" in nowhere
    wrong = client.post("/quote/preview", data={"need": "work: core_hours\ncore_hours: -1\n"}, headers=ORIGIN)
    assert wrong.status_code == 200
    assert "core_hours is -1" in wrong.text
    unknown = client.post("/quote/preview", data={"need": VISION, "device": "h1000"}, headers=ORIGIN).text
    assert "nearest names" in unknown
    assert "while you type" in client.post("/quote/preview", data={"need": "  "}, headers=ORIGIN).text
    assert 'data-offer="1"' in client.post("/quote/preview", data={"need": CORES}, headers=ORIGIN).text


def test_a_wrong_need_makes_no_quote_and_is_kept_in_the_form(client: Client, world: World) -> None:
    text = "work: network\nnetwork: resnet50\nsamples: many\n"
    answer = client.post("/quote", data={"need": text, "objective": "greenest", "project": "digits"}, headers=ORIGIN)
    assert answer.status_code == 422
    assert "samples: many" in answer.text
    assert 'value="greenest" selected' in answer.text
    assert client.post("/quote", data={"need": VISION, "project": "weather"}, headers=ORIGIN).status_code == 403


def test_nothing_anybody_wrote_becomes_markup(client: Client, world: World) -> None:
    made = quoted(world, f"{VISION}# {EVIL}\n", title=EVIL)
    text = client.get(f"/quotes/{made.id}").text
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 2
    wrong = client.post("/quote/preview", data={"need": f"work: '{EVIL}'\n"}, headers=ORIGIN).text
    assert "<script>alert" not in wrong


def test_only_its_project_submits_under_a_quote_and_only_in_time(
    client: Client, world: World, runner: asyncio.Runner
) -> None:
    made = quoted(world)
    form = {"task": "name: a\nrun: x\n", "offer": "1", "key": "k"}
    stranger = Client(world, runner)
    stranger.cookies.set(SESSION, world.stranger_token)
    assert stranger.get(f"/quotes/{made.id}").status_code == 200
    assert "use offer" not in stranger.get(f"/quotes/{made.id}").text
    assert stranger.post(f"/quotes/{made.id}/submit", data=form, headers=ORIGIN).status_code == 404
    assert client.post("/quotes/q-none/submit", data=form, headers=ORIGIN).status_code == 404
    for wrong in ({"offer": "99"}, {"offer": "x"}, {"task": "name: A b\n"}, {"task": "name: a\nrun: x\nnodes: 500\n"}):
        answer = client.post(f"/quotes/{made.id}/submit", data={**form, **wrong}, headers=ORIGIN)
        assert answer.status_code == 422, wrong
        assert 'role="alert"' in answer.text
    first = client.post(f"/quotes/{made.id}/submit", data=form, headers=ORIGIN)
    again = client.post(f"/quotes/{made.id}/submit", data=form, headers=ORIGIN)
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"], "a form sent twice submits once"
    world.clock.at += VALID_FOR
    late = client.post(f"/quotes/{made.id}/submit", data={**form, "key": "other"}, headers=ORIGIN)
    assert late.status_code == 422
    assert "expired" in late.text


def test_who_may_not_submit_is_told_so(world: World, runner: asyncio.Runner) -> None:
    watcher = Client(world, runner)
    rita = Principal(name="rita", role=Role.REGULATOR)
    watcher.cookies.set(SESSION, world.network.people.create_token(OPERATOR, rita)[1])
    assert "none that you may submit to" in watcher.get("/quote").text
    made = quoted(world)
    assert "use offer" not in watcher.get(f"/quotes/{made.id}").text


def test_learning_shows_whose_runs_one_may_see(client: Client, world: World, runner: asyncio.Runner) -> None:
    assert "Nothing was learnt yet" in client.get("/learning").text
    job = ran(world, quoted(world), 1.0)
    odd = ran(world, quoted(world), 0.1)
    own = client.get("/learning").text
    assert f'href="/jobs/{job}"' in own
    assert own.count("outlier</span>") == 1
    points = client.get("/learning/points").json()["points"]
    assert [(point["job"], point["kind"]) for point in points] == [(odd, "outlier"), (job, "counted")]
    assert points[1]["measured"] == pytest.approx(points[1]["predicted"], rel=0.05)
    stranger = Client(world, runner)
    stranger.cookies.set(SESSION, world.stranger_token)
    theirs = stranger.get("/learning").text
    assert job not in theirs
    assert "another project" in theirs
    assert {point["job"] for point in stranger.get("/learning/points").json()["points"]} == {None}


@pytest.mark.parametrize("name", sorted(TITLES))
def test_every_example_gets_an_answer(client: Client, name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.splitlines()[0] in client.get(f"/quote?example={name}").text.replace("&#39;", "'")
    answer = client.post("/quote/preview", data={"need": text}, headers=ORIGIN).text
    assert "What it takes" in answer
    assert 'role="alert"' not in answer


def test_the_site_page_keeps_nominal_measured_and_sold_apart(client: Client) -> None:
    text = client.get("/sites/guian").text
    assert 'id="capability-title"' in text
    assert "compute.rate.bf16" in text
    assert "12,032" in text, "32 × 376 TFLOPS by the catalogue"
