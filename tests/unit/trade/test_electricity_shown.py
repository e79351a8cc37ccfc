"""Tier and price in force where people look: the API, `suanwang explain`, and the pages of a job and a site."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from tests.unit.api.api_world import NOW, World, offering, offering_json, world
from tests.unit.cli.cli_shell import Shell, running_job

from suanwang import catalog
from suanwang.client import models
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.electricity.daily import modelled_day
from suanwang.web import mount_web
from suanwang.web.power import day_of, now_of
from suanwang.web.visiting import SESSION

GUIZHOU = catalog.tariff_area("贵州").tariff
DAY = modelled_day("guizhou", 106.5)
ELECTRIC = offering(
    price=Price(core_hour_yuan=Decimal("0.10"), electricity=GUIZHOU, electricity_passed_on=True), carbon_daily=DAY
)


@pytest.fixture
def net() -> Iterator[World]:
    """贵安 passes its electricity on; the clock stands at 10:00 in UTC+8, where its peak begins."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.sites.change(made.operator, SiteId("guian"), ELECTRIC)
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def page(net: World, path: str, **params: str) -> httpx.Response:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-alice"}
    return net.ask("GET", path, by=None, headers=headers, params=params)


def test_the_api_takes_and_tells_a_tariff(net: World) -> None:
    told = models.SiteView.model_validate_json(net.ask("GET", "/v1/sites/guian").content).offering
    assert told.carbon_daily == list(DAY)
    assert told.price.electricity_passed_on
    assert told.price.electricity is not None
    assert told.price.electricity.document == GUIZHOU.document
    body = net.ask("GET", "/v1/sites/guian").json()["offering"]["price"]
    sent = offering_json(price=body | {"device_hour_yuan": {}}, carbon_daily=list(DAY))
    reply = net.ask("POST", "/v1/sites", by="wuhu", json={"id": "wuhu", "offering": sent})
    assert reply.status_code == 201, reply.text
    kept = net.network.sites.get(net.operator, SiteId("wuhu")).site.offering.price
    assert kept.electricity == GUIZHOU
    for wrong, field in (
        ({"electricity": None}, "price.electricity"),
        ({"electricity": body["electricity"] | {"flat_yuan_per_kwh": "-1"}}, "price.electricity.flat_yuan_per_kwh"),
        ({"electricity": body["electricity"] | {"colour": 1}}, "offering.price.electricity.colour"),
    ):
        sent = offering_json(price=body | {"device_hour_yuan": {}} | wrong)
        refused = net.ask("POST", "/v1/sites", by="wuhu", json={"id": "other", "offering": sent})
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text


def test_explain_says_the_price_and_tier(shell: Shell, net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_job(net) as job:
        found = shell("explain", job["id"], "--json").json["why"]["chosen"]["figures"]["electricity"]
        assert (found["tier"], Decimal(found["yuan_per_kwh"])) == ("peak", Decimal("0.76"))
        assert found["drawn_yuan"] > 0
        assert "0.76 peak" in shell("explain", job["id"]).out
        monkeypatch.setenv("LANG", "zh_CN.UTF-8")
        assert "0.76 高峰" in shell("explain", job["id"]).out


def test_a_network_without_tariffs_shows_no_column_of_them(shell: Shell, net: World) -> None:
    net.network.sites.change(net.operator, SiteId("guian"), offering())
    with running_job(net) as job:
        assert "¥/kWh" not in shell("explain", job["id"]).out


def test_a_site_is_shown_with_its_tariff(shell: Shell) -> None:
    said = shell("site", "show", "guian").out
    assert GUIZHOU.document in said
    assert "flat 0.55 ¥/kWh" in said
    assert "level assumed" in said
    assert "modelled through the day" in said


def test_the_job_s_page_shows_what_holds_now(net: World) -> None:
    with running_job(net) as job:
        text = page(net, f"/jobs/{job['id']}").text
        assert "Electricity now" in text
        assert "¥0.76<small>/kWh, peak</small>" in text
        assert "高峰" in page(net, f"/jobs/{job['id']}", lang="zh").text


def test_the_site_s_page_shows_what_holds_now_and_labels_what_is_modelled(net: World) -> None:
    text = page(net, "/sites/guian").text
    assert "¥0.76<small>/kWh, peak, until <time" in text
    assert "Mar 1, 13:00:00" in text
    assert f"{round(420 * DAY[10])}<small> g/kWh now, modelled" in text
    assert 'id="day"' in text
    assert "through the day is a model" in text
    assert "the level of the price is an assumption" in text
    assert "贵州分时电价" in page(net, "/sites/guian", lang="zh").text
    net.network.sites.change(net.operator, SiteId("guian"), offering())
    plain = page(net, "/sites/guian", lang="en").text
    assert 'id="day"' not in plain
    assert "modelled" not in plain.replace("energy and carbon are modelled from what was allocated", "")


def test_the_picture_s_hours_are_those_of_the_day(net: World) -> None:
    day = page(net, "/sites/guian/day", lang="zh").json()
    assert (day["now_h"], day["step_h"], len(day["yuan"]), len(day["carbon"])) == (10.0, 0.5, 48, 48)
    assert day["yuan"] == [0.34] * 16 + [0.55] * 4 + [0.76] * 6 + [0.55] * 8 + [0.76] * 10 + [0.55] * 4
    assert day["tiers"][:2] == ["低谷", "低谷"]
    assert day["carbon"][20] == pytest.approx(420 * DAY[10])
    assert net.ask("GET", "/sites/nowhere/day", by=None).status_code == 404


def test_what_holds_now_ends_where_it_changes() -> None:
    now = now_of(ELECTRIC, NOW)
    assert (now.tier, now.yuan_per_kwh, now.modelled) == ("peak", Decimal("0.76"), True)
    assert now.until == NOW + timedelta(hours=3)
    bare = now_of(offering(), NOW)
    assert (bare.tier, bare.yuan_per_kwh, bare.modelled, bare.carbon_g_per_kwh) == (None, None, False, 420.0)
    assert day_of(offering(), NOW, str)["yuan"] is None
