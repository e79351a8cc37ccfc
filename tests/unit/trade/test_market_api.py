"""The market over the API and the client: answers as described, repeated requests, clear refusals, prices without parties."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.api.api_world import NOW, World, world

from suanwang.client import Client
from suanwang.client.market import new_order
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.trading.market.product import HOUR
from suanwang.trading.market.values import OrderState, Plan, Way

AT = NOW + 12 * HOUR


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def client(net: World, by: str = "alice") -> Client:
    return Client("http://network", f"secret-of-{by}", transport=net.transport)


def listed(net: World, name: str = "cores-offer-1", **changes: Any) -> Any:
    values: dict[str, Any] = {"site": "guian", "device": "core", "count": 4, "start": AT, "end": AT + 4 * HOUR}
    return client(net, "guian").list_offer(**{**values, "price_fen": 98, "id": name, **changes})


def order(name: str, **changes: Any) -> Any:
    values: dict[str, Any] = {"devices": ["core"], "count": 2, "start": AT, "end": AT + 2 * HOUR, "way": Way.NOW}
    return new_order(**{**values, "id": name, **changes})


def test_listed_bought_and_sold_on(net: World) -> None:
    offer = listed(net)
    assert (offer.buyer_price_fen, offer.left, offer.seller) == (100, [4, 4, 4, 4], "provider:guian-cloud")
    assert listed(net) == offer
    alice, bob = client(net), client(net, "bob")
    assert [each.id for each in bob.offers(devices=["core"], sites=["guian"], from_at=AT)] == [offer.id]
    assert list(bob.offers(to_at=AT)) == []
    quoted = alice.quote_order(order("cores-order-1"))
    bought = alice.place_order(order("cores-order-1"))
    assert (bought.paid_fen, bought.limit_fen, bought.state) == (quoted.amount_fen, None, OrderState.FILLED)
    assert alice.place_order(order("cores-order-1")) == bought
    assert alice.order(bought.id) == bought
    (right,) = alice.rights()
    assert list(bob.rights()) == []
    resale = alice.list_offer(
        reservation=right.id, count=1, start=AT, end=AT + HOUR, price_fen=300, id="cores-resale-1"
    )
    seen = bob.offer(resale.id)
    assert (seen.seller, seen.reservation) == ("resale", None), "who sells a right on is not told to strangers"
    assert (resale.seller, resale.reservation) == ("project:demo", right.id)
    assert alice.withdraw_offer(resale.id).left == [0]
    assert [each.id for each in alice.offers(closed=True)] == [resale.id, offer.id]
    (trade,) = client(net, "guian").trades()
    assert (trade.amount_fen, trade.commission_fen, trade.unit_hours) == (400, 8, 4)
    (point,) = bob.prices("core")
    assert (point.price_fen, point.auction) == (100.0, False)
    assert not {"project", "order", "seller"} & point.model_dump().keys()
    (step,) = bob.depth("core", AT).steps
    assert (step.units, step.price_fen) == (2, 100)
    assert bob.depth("core", AT, place="wuhu").steps == []


def test_a_call_from_open_to_called(net: World) -> None:
    listed(net)
    alice = client(net)
    stands = alice.place_order(order("cores-order-1", way=Way.STANDING, limit_fen=150))
    assert (stands.held_fen, stands.call_at) == (600, AT - timedelta(minutes=15))
    assert client(net, "bob").call(AT).phase == "open"
    assert client(net, "bob").call(AT).indication is None
    net.clock.at = AT - timedelta(minutes=16)
    frozen = client(net, "bob").call(AT)
    assert frozen.indication is not None
    assert {(each.price_fen, each.units) for each in frozen.indication} == {(100, 2)}
    with pytest.raises(Conflict, match="taken back"):
        alice.cancel_order(stands.id)
    net.clock.at = AT - timedelta(minutes=15)
    net.network.turn()
    called = client(net, "bob").call(AT)
    assert called.auction is not None
    assert [called.auction] == list(alice.auctions())
    assert {(each.price_fen, each.units) for each in called.auction.prices} == {(100, 2)}
    assert alice.order(stands.id).held_fen == 0
    assert next(alice.trades(order=stands.id)).auction == AT


def test_refusals_are_clear(net: World) -> None:
    listed(net)
    alice = client(net)
    with pytest.raises(Conflict, match="on sale now"):
        alice.place_order(order("cores-order-1", count=5))
    with pytest.raises(Forbidden):
        alice.place_order(order("cores-order-1", project="other"))
    with pytest.raises(NotFound):
        client(net, "bob").order("cores-order-1")
    with pytest.raises(InvalidRequest, match="name the project"):
        client(net, "olga").place_order(order("cores-order-1"))
    with pytest.raises(Forbidden):
        client(net, "wuhu").withdraw_offer("cores-offer-1")
    with pytest.raises(Conflict, match="identifier"):
        listed(net, price_fen=99)
    with pytest.raises(InvalidRequest, match="least term"):
        listed(net, "cores-offer-2", least_hours=2)
    assert listed(net, "cores-offer-3", plan=Plan.COMMITTED, least_hours=2, count=1).least_hours == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "cores-order-1", "devices": ["core"], "count": 1, "start": "2026-03-01T14:00:00", "end": "x"}, "end"),
        ({"id": "cores-order-1", "devices": ["core"], "count": 1.5, "start": "x", "end": "x"}, "count"),
        ({"id": "cores-order-1", "devices": [], "count": 1, "start": "x", "end": "x"}, "devices"),
        ({"id": "UPPER-CASE-1", "devices": ["core"], "count": 1, "start": "x", "end": "x"}, "id"),
        ({"id": "cores-order-1", "devices": ["core"], "count": 1, "start": "x", "end": "x", "price": 1}, "price"),
    ],
)
def test_bodies_that_are_none_are_named_by_field(net: World, body: dict[str, Any], field: str) -> None:
    reply = net.ask("POST", "/v1/market/orders", json=body)
    assert reply.status_code == 422
    assert field in {problem["field"] for problem in reply.json()["problems"]}


def test_instants_need_an_offset_and_queries_are_known(net: World) -> None:
    naive = {**order("cores-order-1").model_dump(mode="json"), "start": "2026-03-01T14:00:00"}
    assert net.ask("POST", "/v1/market/orders", json=naive).json()["field"] == "start"
    assert net.ask("GET", "/v1/market/call", params={"window": "2026-03-01T14:00:00"}).status_code == 422
    assert net.ask("GET", "/v1/market/orders", params={"cursor": "x"}).status_code == 422
    assert net.ask("GET", "/v1/market/offers", params={"colour": "red"}).status_code == 422
    assert net.ask("GET", "/v1/market/offers", by=None).status_code == 401
    for number in range(3):
        listed(net, f"cores-offer-{number}", count=1)
    first = net.ask("GET", "/v1/market/offers", params={"limit": 2}).json()
    rest = net.ask("GET", "/v1/market/offers", params={"limit": 2, "cursor": first["next"]}).json()
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]
