"""A job held for a better hour where people look: the API, the command line and the pages, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from tests.unit.api.api_world import NOW, World, offering, world
from tests.unit.cli.cli_shell import Shell

from suanwang import catalog
from suanwang.client import models
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION

TARIFF = catalog.tariff_area("贵州").tariff
ELECTRIC = offering(price=Price(core_hour_yuan=Decimal(0), electricity=TARIFF, electricity_passed_on=True))
TASK = {"name": "patient", "run": "true", "resources": {"time_limit": "1h"}, "flexibility": {"may_wait": "24h"}}
YAML = "name: patient\nrun: 'true'\nresources: {time_limit: 1h}\nflexibility: {may_wait: 24h}\n"


@pytest.fixture
def net() -> Iterator[World]:
    """贵安 passes its electricity on; it is 10:00 there, the beginning of its peak."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.sites.change(made.operator, SiteId("guian"), ELECTRIC)
        made.agent().tell()
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    (tmp_path / "task.yaml").write_text(YAML)
    return Shell(net, monkeypatch, capsys, tmp_path)


def page(net: World, path: str, *, form: dict[str, str] | None = None, language: str = "en") -> str:
    headers = {"Accept": "text/html", "Accept-Language": language, "Cookie": f"{SESSION}=secret-of-alice"}
    if form is None:
        reply: httpx.Response = net.ask("GET", path, by=None, headers=headers)
    else:
        headers["Origin"] = "http://network"
        reply = net.ask("POST", path, by=None, headers=headers, data=form)
    assert reply.status_code == 200, reply.text
    return reply.text


def a_held_job(net: World) -> models.JobView:
    reply = net.ask("POST", "/v1/jobs", json={"tasks": [TASK]})
    net.network.turn()
    return models.JobDetail.model_validate_json(net.ask("GET", f"/v1/jobs/{reply.json()['jobs'][0]['id']}").content)


def test_the_api_tells_the_hour_and_what_it_saves(net: World) -> None:
    job = a_held_job(net)
    assert job.state == "queued"
    hold = job.hold
    assert hold is not None
    assert hold.site == "guian"
    assert NOW < hold.until < hold.start_at < NOW + timedelta(hours=24)
    assert hold.instead is not None
    assert hold.instead.site == "guian"
    assert hold.expect.price_yuan is not None
    assert hold.instead.figures.price_yuan is not None
    assert hold.expect.price_yuan < hold.instead.figures.price_yuan
    found = models.Explanation.model_validate_json(net.ask("GET", f"/v1/jobs/{job.id}/explain").content)
    assert (found.verdict, found.hold, found.job.hold) == ("held", hold, hold)


def test_a_preview_says_held_before_anything_is_submitted(net: World) -> None:
    reply = net.ask("POST", "/v1/jobs/preview", json={"tasks": [TASK]})
    (task,) = models.Preview.model_validate_json(reply.content).tasks
    assert task.verdict == "held"
    assert task.hold is not None
    job = a_held_job(net)
    assert job.hold == task.hold
    hasty = {**TASK, "flexibility": {}}
    (other,) = net.ask("POST", "/v1/jobs/preview", json={"tasks": [hasty]}).json()["tasks"]
    assert (other["verdict"], other["hold"]) == ("runs", None)


def test_the_command_line_tells_it_in_both_languages(shell: Shell, net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_held_job(net)
    assert job.hold is not None
    at = job.hold.start_at.astimezone().strftime("%H:%M")
    for command in (("explain", job.id), ("job", "show", job.id), ("submit", "task.yaml", "--preview")):
        out = " ".join(shell(*command).out.split())
        assert f"{at} at Guian: ¥" in out, out
        assert "instead of ¥" in out, out
        assert "now at Guian" in out, out
    assert " held " in shell("job", "list").out
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    out = shell("explain", job.id).out.replace("\n", "")
    assert "等待更好的时段" in out
    assert f"{at}，贵安：¥" in out
    assert "择时等待" in shell("job", "list").out


def test_the_pages_tell_it_in_both_languages(net: World) -> None:
    job = a_held_job(net)
    assert job.hold is not None
    english, chinese = page(net, f"/jobs/{job.id}"), page(net, f"/jobs/{job.id}", language="zh")
    moment = job.hold.start_at.isoformat(timespec="seconds")
    for text, verdict, instead in (
        (english, "Held for a better hour or site", "now at Guian"),
        (chinese, "等待更好的时段或站点", "（此刻在贵安为"),
    ):
        assert f'<span class="verdict held">{verdict}</span>' in text
        assert instead in text
        assert f'datetime="{moment}"' in text
        assert 'class="job-held"' in text
    assert "meant to start at Guian" in english
    assert "拟在贵安开始" in chinese
    assert 'class="state job-held"' in page(net, "/jobs")
    assert "择时等待" in page(net, "/jobs", language="zh")


def test_the_answer_while_typing_says_held(net: World) -> None:
    text = page(net, "/submit/preview", form={"task": YAML})
    assert '<span class="verdict held">Held for a better hour or site</span>' in text
    assert "instead of ¥" in text


def test_no_page_speaks_of_a_hold_that_is_over(net: World) -> None:
    job = a_held_job(net)
    assert job.hold is not None
    net.clock.at = job.hold.start_at
    net.agent().tell()
    net.network.turn()
    assert net.ask("GET", f"/v1/jobs/{job.id}").json()["hold"] is None
    text = page(net, f"/jobs/{job.id}")
    assert "verdict held" not in text
    assert "Held until" not in text
