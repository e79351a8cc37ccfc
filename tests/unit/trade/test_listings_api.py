"""Listings over HTTP, by the command line and on their page; figures are the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.api_world import World, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_listings import BOB, DATA, SHA, patients, wanted
from tests.unit.trade.test_market_web import page as market_page
from tests.unit.trade.test_market_web import send

from suanwang.client import Client
from suanwang.domain.file import Content
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Dataset
from suanwang.trading.listings import Charge, Kind
from suanwang.web import mount_web


@pytest.fixture
def net() -> Iterator[World]:
    """Project `other` sells the copy of a model at ¥50."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.artefacts.append(BOB, SHA, 0, DATA)
        made.network.artefacts.finish(BOB, SHA, len(DATA))
        made.network.artefacts.name(BOB, ProjectId("other"), "weights", Content(sha256=SHA, size=len(DATA)))
        made.network.listings.add(BOB, wanted(description="八乘八像素"))
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


BODY: dict[str, Any] = {
    "id": "by-the-api",
    "version": "1.0",
    "title_en": "A",
    "title_zh": "甲",
    "kind": "model",
    "licence": "MIT",
    "project": "other",
    "sha256": SHA,
    "charge": "copy",
    "price_fen": 0,
}


def page(net: World, path: str = "/listings", by: str = "alice", **params: str) -> httpx.Response:
    return market_page(net, path, by, **params)


def a_form(**changes: str) -> dict[str, str]:
    values = {
        "thing": f"other/{SHA}",
        "id": "by-the-page",
        "version": "1.0",
        "title_en": "By the page",
        "title_zh": "网页上架",
        "kind": "algorithm",
        "licence": "MIT",
        "price": "1.50",
        "charge": "use",
        "invited": "",
        "description": "",
    }
    return {**values, **changes}


def test_from_a_listing_to_a_copy_over_http(net: World) -> None:
    body = {**BODY, "invited": ["demo"]}
    made = net.ask("POST", "/v1/listings", by="bob", json=body)
    assert made.status_code == 201, made.text
    assert (made.json()["source"], made.json()["invited"]) == ("listing:by-the-api@1.0", ["demo"])
    assert net.ask("POST", "/v1/listings", by="bob", json={**body, "price_fen": 1}).status_code == 409
    for_alice = net.ask("GET", "/v1/listings/by-the-api").json()
    assert for_alice["invited"] is None, "who else is invited is the seller's to know"
    asked = {"id": "free-copy-1", "price_fen": 0}
    for _ in range(2):
        got = net.ask("POST", "/v1/listings/by-the-api/copies", json=asked)
        assert (got.status_code, got.json()["name"]) == (201, "by-the-api-1.0")
    stale = net.ask("POST", "/v1/listings/digits-model/copies", json={"id": "stale-copy-1", "price_fen": 1})
    assert (stale.status_code, stale.json()["field"], stale.json()["allowed"]) == (409, "price_fen", "5000")
    withdrawn = net.ask("POST", "/v1/listings/by-the-api/withdraw", by="bob", json={})
    assert withdrawn.json() == {"versions": 1}
    assert [row["id"] for row in net.ask("GET", "/v1/listings").json()["items"]] == ["digits-model"]
    assert len(net.ask("GET", "/v1/listings?closed=true&mine=true", by="bob").json()["items"]) == 2
    assert net.ask("GET", "/v1/listings?kind=dataset").json()["items"] == []
    assert net.ask("GET", "/v1/listings?kind=car").status_code == 422


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"licence": "x" * 201}, "licence"),
        ({"sha256": "a" * 64}, "sha256"),
        ({"kind": "car"}, "kind"),
        ({"price_fen": -1}, "price_fen"),
        ({"colour": "red"}, "colour"),
        ({"id": "short"}, "id"),
    ],
)
def test_bad_listings_are_refused_by_field(net: World, changes: dict[str, Any], field: str) -> None:
    refused = net.ask("POST", "/v1/listings", by="bob", json={**BODY, **changes})
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_the_client_asks_for_all_of_it(net: World) -> None:
    with Client("http://network", "secret-of-bob", transport=net.transport) as bob:
        made = bob.add_listing(
            *("small-model", "2.0"),
            title_en="Small",
            title_zh="小",
            licence="MIT",
            project="other",
            sha256=SHA,
            kind=Kind.MODEL,
            charge=Charge.COPY,
            price_fen=7,
        )
        assert bob.listing("small-model").version == made.version == "2.0"
    with Client("http://network", "secret-of-alice", transport=net.transport) as alice:
        assert [each.id for each in alice.listings(text="小")] == ["small-model"]
        assert alice.buy_copy("small-model", price_fen=7).project == "demo"
        assert [each.price_fen for each in alice.copies(listing="small-model")] == [7]
        assert list(alice.listing_uses()) == []


def test_by_the_command_line(net: World, shell: Shell) -> None:
    seller = ("--title", "Ranker", "--title-zh", "排序", "--kind", "algorithm", "--licence", "MIT", "--price", "0.30")
    put = shell("listing", "add", "ranker-one@1", *seller, "--per", "use", "--file", "weights", by="bob")
    assert (put.code, put.out.strip()) == (0, "listing:ranker-one@1"), put.err
    assert "ranker-one@1" in shell("listing", "list").out
    assert "八乘八像素" in shell("listing", "show", "digits-model").out
    bought = shell("listing", "buy", "digits-model@1.0", "--price", "50", "--id", "copy-by-cli-1")
    assert (bought.code, bought.out.strip()) == (0, "demo/digits-model-1.0  ¥50.00"), bought.err
    stale = shell("listing", "buy", "digits-model", "--price", "40")
    assert stale.code != 0
    assert "costs 5000 fen" in stale.err
    assert "digits-model-1.0" in shell("listing", "copies").out
    (shell.home / "job.yaml").write_text("name: reader\nrun: cat m\ninputs: {m: 'listing:ranker-one'}\n")
    submitted = shell("submit", "job.yaml", "--json")
    assert submitted.code == 0, submitted.err
    agent = net.agent()
    agent.tell()
    net.network.turn()
    agent.run_all("done")
    net.network.turn()
    (use,) = shell("listing", "uses", "ranker-one", "--json", by="bob").json
    assert (use["project"], use["price_fen"], use["state"], use["sha256"]) == ("demo", 30, "paid", SHA)
    assert "ranker-one@1" in shell("listing", "uses", by="rita").out
    assert "ranker-one: 1" in shell("listing", "withdraw", "ranker-one", by="bob").out
    assert "version" in shell("listing", "add", "ranker-one", *seller, "--per", "use", by="bob").err


def test_the_shop_shows_what_is_for_sale_and_sells_it(net: World) -> None:
    text = page(net).text
    assert "¥50.00" in text
    assert SHA in text
    assert "Apache-2.0" in text
    assert "Digits" in text
    assert "数字" in page(net, "/listings", lang="zh").text
    assert "digits-model" not in page(net, text="nothing of it").text
    assert "digits-model" not in page(net, kind="dataset").text
    assert page(net, kind="car").status_code == 422
    assert ">Buy<" not in page(net, by="rita").text
    assert ">Buy<" not in page(net, by="bob").text
    key = re.findall(r'name="id" value="([0-9a-f]{32})"', text)[0]
    wish = {"id": key, "version": "1.0", "price_fen": "5000", "project": "demo"}
    for _ in range(2):
        assert send(net, "/listings/digits-model/buy", **wish).status_code == 303
    assert "digits-model-1.0" in page(net).text
    stale = send(net, "/listings/digits-model/buy", **{**wish, "id": "0" * 32, "price_fen": "1"})
    assert stale.status_code == 409
    assert "costs 5000 fen" in stale.text
    assert send(net, "/listings/digits-model/withdraw").status_code == 403
    assert send(net, "/listings/digits-model/withdraw", by="bob", version="1.0").status_code == 303
    assert "Nothing is for sale here" in page(net).text
    assert net.ask("GET", "/listings", by=None, headers={"Accept": "text/html"}).status_code in (303, 401)


def test_what_is_put_on_sale_on_the_page(net: World) -> None:
    assert "other/weights" in page(net, by="bob").text
    assert send(net, "/listings", by="bob", **a_form()).status_code == 303
    assert "by-the-page@1.0" in page(net).text
    wrong = send(net, "/listings", by="bob", **a_form(id="next-thing", price="a lot"))
    assert wrong.status_code == 422
    assert "next-thing" in wrong.text
    changed = send(net, "/listings", by="bob", **a_form(price="2"))
    assert changed.status_code == 409
    net.network.sites.change(
        net.operator, SiteId("guian"), changes_of(net, datasets=(Dataset(name="patients", size=1),))
    )
    form = a_form(thing="dataset:patients|guian", id="patients-2026", kind="dataset", invited="demo, other")
    assert "dataset:patients|guian" in page(net, by="guian").text
    assert send(net, "/listings", by="guian", **form).status_code == 303
    assert "Stays at Guian" in page(net).text
    assert patients().dataset in page(net, by="guian").text  # type: ignore[operator]


def changes_of(net: World, **changes: Any) -> Any:
    from dataclasses import replace

    site = net.store.site(SiteId("guian"))
    assert site is not None
    return replace(site.offering, **changes)


def test_uses_are_on_the_sellers_page(net: World) -> None:
    net.network.listings.add(BOB, wanted(id="ranker-two", charge=Charge.USE, price_fen=30))
    net.submit(inputs=[{"from": "listing:ranker-two", "to": "m"}])
    agent = net.agent()
    agent.tell()
    net.network.turn()
    agent.run_all("done")
    net.network.turn()
    text = page(net, by="bob").text
    assert "ranker-two@1.0" in text
    assert "¥0.30" in text
    assert "paid" in text
