"""The market's page: what is on sale, the quote beside the form, orders, rights and sales; numbers are the API's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest
from tests.unit.api.api_world import NOW, World, world

from suanwang.control.market.requests import NewOffer
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.market.product import HOUR
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION

AT = (NOW + 3 * HOUR).isoformat()
ALICE = Principal(name="alice", role=Role.USER, projects=(ProjectId("demo"),))
GUIAN = Principal(name="guian", role=Role.PROVIDER, provider="guian-cloud")


@pytest.fixture
def net() -> Iterator[World]:
    """A network with pages and four cores on sale."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.market.list_offer(
            GUIAN,
            NewOffer(
                id="night-cores-1",
                site=SiteId("guian"),
                device="core",
                count=4,
                start=NOW,
                end=NOW + 8 * HOUR,
                price_fen=98,
            ),
        )
        yield made


def page(net: World, path: str, by: str = "alice", **params: str) -> httpx.Response:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}"}
    return net.ask("GET", path, by=None, headers=headers, params=params)


def send(net: World, path: str, by: str = "alice", **fields: str) -> httpx.Response:
    headers = {
        "Accept": "text/html",
        "Cookie": f"{SESSION}=secret-of-{by}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return net.ask("POST", path, by=None, headers=headers, content=urlencode(fields))


def wish(**changes: str) -> dict[str, str]:
    values = {
        "id": "order-page-1",
        "project": "demo",
        "device": "core",
        "at": AT,
        "hours": "2",
        "count": "3",
        "way": "now",
    }
    return {**values, **changes}


def test_what_is_on_sale_is_shown_and_filtered(net: World) -> None:
    text = page(net, "/market", device="core").text
    assert "¥1.00" in text
    assert "Guian" in text
    assert "Nothing is on sale" in page(net, "/market", device="core", at=(NOW + 20 * HOUR).isoformat()).text
    assert "Place the order" not in page(net, "/market", "rita").text
    assert page(net, "/market", at="yesterday").status_code == 422
    assert net.ask("GET", "/market", by=None, headers={"Accept": "text/html"}).status_code in (303, 401)
    assert "市场" in page(net, "/market", lang="zh").text


def test_the_charts_have_their_figures(net: World) -> None:
    send(net, "/market/orders", **wish())
    found = page(net, "/market/figures", device="core", at=AT).json()
    assert found["steps"] == [{"from": 0, "to": 1, "yuan": 1.0, "site": "Guian"}]
    ((point,),) = (found["points"],)
    assert (point["yuan"], point["unit_hours"], point["called"]) == (1.0, 6, False)
    assert page(net, "/market/figures", device="core", at=AT, place="guizhou").json() == found
    assert page(net, "/market/figures", device="core", at=AT, place="wuhu").json() == {"steps": [], "points": []}


def test_an_order_is_quoted_placed_and_sold_on(net: World) -> None:
    quoted = send(net, "/market/quote", **wish()).text
    assert 'data-fen="600"' in quoted
    assert "not that many" in send(net, "/market/quote", **wish(count="5")).text
    assert "whole number" in send(net, "/market/quote", **wish(count="x")).text
    for _ in range(2):
        done = send(net, "/market/orders", **wish())
        assert done.status_code == 303, done.text
    text = page(net, "/market").text
    assert text.count('data-fen="600"') == 1, "sent twice, bought once"
    (right,) = net.network.market.reservations(Principal(name="rita", role=Role.REGULATOR), None, 10)[0]
    assert f'value="{right.id}"' in text
    sold = send(net, "/market/offers", id="resale-page-1", reservation=right.id, count="3", price="2.5")
    assert sold.status_code == 303, sold.text
    assert "sold on" in page(net, "/market", device="core", at=AT, hours="2").text
    assert send(net, "/market/offers/resale-page-1/withdraw").status_code == 303
    assert send(net, "/market/offers/night-cores-1/withdraw").status_code == 403


def test_a_standing_order_is_taken_back_or_called(net: World) -> None:
    for name in ("order-page-1", "order-page-2"):
        done = send(net, "/market/orders", **wish(id=name, way="standing", limit="1.5", count="1"))
        assert done.status_code == 303, done.text
    assert "holds the most" in send(net, "/market/quote", **wish(way="standing", limit="1.5")).text
    assert send(net, "/market/orders/order-page-1/cancel").status_code == 303
    net.clock.at = NOW + 2 * HOUR + timedelta(minutes=42)
    assert "Nothing is taken back" not in page(net, "/market", at=(NOW + 2 * HOUR).isoformat()).text
    frozen = page(net, "/market", at=AT)
    assert "price it would have now" in frozen.text
    refused = send(net, "/market/orders/order-page-2/cancel")
    assert refused.status_code == 409
    assert "nothing is taken back before it" in refused.text
    net.clock.at = NOW + 2 * HOUR + timedelta(minutes=45)
    net.network.turn()
    text = page(net, "/market", at=AT).text
    assert "1 of 1 orders were filled" in text
    assert set(re.findall(r'<span class="badge[^"]*">([a-z ]+)</span>', text)) >= {"filled", "taken back"}


def test_providers_put_on_sale_and_mistakes_are_said(net: World) -> None:
    fields = {
        "id": "page-cores-1",
        "site": "guian",
        "device": "core",
        "at": AT,
        "hours": "4",
        "count": "2",
        "price": "0.5",
    }
    assert send(net, "/market/offers", "guian", **fields).status_code == 303
    assert "page-cores-1"[:12] in page(net, "/market", "guian").text
    assert send(net, "/market/offers", "guian", **{**fields, "id": "page-cores-2", "count": "9"}).status_code == 409
    wrong = send(net, "/market/offers", "guian", **{**fields, "id": "page-cores-3", "price": "0.001"})
    assert wrong.status_code == 422
    assert "price in yuan" in wrong.text
    assert send(net, "/market/orders", **wish(way="later")).status_code == 422
    assert send(net, "/market/orders", **wish(count="9")).status_code == 409
    assert send(net, "/market/orders", "bob", **wish()).status_code == 403
    strange = net.ask(
        "POST", "/market/orders", by=None, headers={"Cookie": f"{SESSION}=secret-of-alice"}, content="a=b"
    )
    assert strange.status_code == 403


def test_a_right_is_given_back_and_taken_back_on_the_page(net: World) -> None:
    assert send(net, "/market/orders", **wish(count="3")).status_code == 303
    (right,), _ = net.network.market.reservations(ALICE, None, 10)
    assert "Give back for 20" in page(net, "/market").text, "three hours before"
    done = send(net, f"/market/rights/{right.id}/cancel", id="give-back-1", count="1")
    assert (done.status_code, done.headers["location"]) == (303, "/market#ended")
    (ended,), _ = net.network.terminations.terminations(ALICE, None, 10)
    shown = page(net, "/market").text
    assert f'data-fen="{ended.due_fen}"' in shown
    assert "已退订" in net.ask("GET", "/market", by=None, headers=_chinese("alice")).text
    wrong = send(net, f"/market/rights/{right.id}/cancel", id="give-back-2", count="9")
    assert wrong.status_code == 409
    assert "can be given back" in wrong.text
    fields = {"site": "guian", "device": "core", "count": "1", "at": AT, "hours": "1"}
    assert send(net, "/market/reclaims", by="guian", id="take-back-1", **fields).status_code == 303
    refused = send(net, "/market/reclaims", by="guian", id="take-back-2", **{**fields, "count": "4"})
    assert (refused.status_code, "with that notice" in refused.text) == (409, True)
    assert send(net, "/market/reclaims", by="alice", id="take-back-3", **fields).status_code == 403
    assert send(net, "/market/guarantee", by="olga", id="guarantee-1", amount="0.01").status_code == 303
    assert send(net, "/market/guarantee", by="olga", id="guarantee-2", amount="99").status_code == 409
    assert send(net, "/market/guarantee", by="alice", id="guarantee-3", amount="1").status_code == 403
    assert "taken back by its provider" in page(net, "/market", by="olga").text


def _chinese(by: str) -> dict[str, str]:
    return {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}", "Accept-Language": "zh"}
