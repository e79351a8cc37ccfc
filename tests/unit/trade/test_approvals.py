"""Orders that both sides approve: which wait, who may speak, what follows; what was signed without it stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.unit.api.api_world import NOW, World, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.signing import draft, in_force

from suanwang.client import Client
from suanwang.client.market import new_order
from suanwang.control.market.calling import call_at
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.trading.market.product import HOUR, window_of
from suanwang.trading.market.values import OrderState, Way
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION

AT = NOW + 12 * HOUR
DAY = timedelta(days=1)
CLAUSE = {"over_fen": 500, "project": ["alice", "ada"], "provider": ["guian"], "within_h": 4}


@pytest.fixture
def net() -> Iterator[World]:
    """Four cores on sale at 贵安, whose agreement with the project asks for approval from ¥5 on."""
    with world() as made:
        mount_web(made.app, made.network)
        in_force(made, approval=CLAUSE)
        values = {"site": "guian", "device": "core", "count": 4, "start": AT, "end": AT + 4 * HOUR, "price_fen": 98}
        client(made, "guian").list_offer(**values)  # type: ignore[arg-type]
        yield made


def client(net: World, by: str = "alice") -> Client:
    return Client("http://network", f"secret-of-{by}", transport=net.transport)


def order(name: str = "cores-order-1", **changes: Any) -> Any:
    values: dict[str, Any] = {"devices": ["core"], "count": 4, "start": AT, "end": AT + 2 * HOUR, "way": Way.NOW}
    return new_order(**{**values, "limit_fen": 120, "id": name, **changes})


def money(net: World) -> tuple[int, int]:
    account = client(net).account("project:demo")
    audit = net.store.audit()
    assert (audit.sum_fen, audit.wrong) == (0, ())
    return account.balance_fen, account.held_fen


def test_both_sides_approve_and_it_is_bought(net: World) -> None:
    alice, guian = client(net), client(net, "guian")
    waits = alice.place_order(order())
    assert (waits.state, waits.held_fen, waits.waits_until) == (OrderState.WAITING, 960, NOW + 4 * HOUR)
    assert alice.place_order(order()) == waits
    assert money(net) == (0, 960)
    assert [each.id for each in guian.approvals()] == [waits.id]
    assert client(net, "bob").approvals() == []
    with pytest.raises(NotFound):
        client(net, "bob").approve_order(waits.id)
    with pytest.raises(Forbidden, match="not named"):
        client(net, "olga").approve_order(waits.id)
    half = alice.approve_order(waits.id)
    assert alice.approve_order(waits.id) == half
    assert [(each.side, each.by) for each in half.consents] == [("project", "alice"), ("provider", None)]
    done = guian.approve_order(waits.id)
    assert (done.state, done.paid_fen, done.filled) == (OrderState.FILLED, 800, 4)
    assert guian.approve_order(waits.id) == done
    assert money(net) == (-800, 0), "what was held beyond the price is free again"
    assert next(alice.rights()).counts == [4, 4]
    with pytest.raises(Conflict, match="already"):
        guian.decline_order(waits.id)


def test_less_and_elsewhere_waits_for_nobody(net: World) -> None:
    alice = client(net)
    assert client(net, "bob").place_order(order("cores-order-2", count=1)).state is OrderState.FILLED
    with pytest.raises(InvalidRequest, match="say the most"):
        alice.place_order(order("cores-order-3", start=AT + 2 * HOUR, end=AT + 4 * HOUR, limit_fen=None))
    assert alice.place_order(order("cores-order-4", count=2, limit_fen=None)).state is OrderState.FILLED, "400 fen"


def test_a_split_order_waits_as_the_whole_would(net: World) -> None:
    alice, guian = client(net), client(net, "guian")
    values = {"site": "guian", "device": "core", "count": 8, "price_fen": 98}
    guian.list_offer(**values, start=AT + DAY, end=AT + DAY + 4 * HOUR)  # type: ignore[arg-type]
    assert alice.place_order(order("first-part", count=1, end=AT + HOUR)).paid_fen == 100
    stands = alice.place_order(order("second-part", count=2, end=AT + HOUR, way=Way.STANDING))
    assert stands.state is OrderState.OPEN, "100 fen paid, 240 held"
    waits = alice.place_order(order("third-part", count=2, end=AT + HOUR))
    assert waits.state is OrderState.WAITING, "240 fen more are 580"
    assert alice.place_order(order("fourth-part", count=1, end=AT + HOUR)).state is OrderState.FILLED, "460 nobody saw"
    with pytest.raises(InvalidRequest, match=r"with ¥4.40 ordered in the last 24 hours"):
        alice.place_order(order("fifth-part", count=1, end=AT + HOUR, limit_fen=None))
    alice.cancel_order(stands.id)
    alice.approve_order(waits.id)
    guian.approve_order(waits.id)
    net.clock.at = NOW + DAY
    later = {"start": AT + DAY, "end": AT + DAY + HOUR}
    assert alice.place_order(order("next-day", count=4, **later)).state is OrderState.FILLED, "480 fen"
    assert alice.place_order(order("next-day-too", count=1, **later)).state is OrderState.WAITING


def test_a_no_and_a_silence_give_everything_back(net: World) -> None:
    alice, guian = client(net), client(net, "guian")
    waits = alice.place_order(order())
    declined = guian.decline_order(waits.id)
    assert (declined.state, declined.held_fen) == (OrderState.DECLINED, 0)
    assert guian.decline_order(waits.id) == declined
    with pytest.raises(Conflict, match="has ended"):
        alice.approve_order(waits.id)
    taken_back = alice.place_order(order("cores-order-2"))
    assert alice.cancel_order(taken_back.id).state is OrderState.CANCELLED
    silent = alice.place_order(order("cores-order-3"))
    net.clock.at = NOW + 4 * HOUR
    with pytest.raises(Conflict, match="is over"):
        guian.approve_order(silent.id)
    net.network.turn()
    assert alice.order(silent.id).state is OrderState.LAPSED
    assert money(net) == (0, 0)
    assert alice.approvals() == []


def test_a_standing_order_stands_once_approved(net: World) -> None:
    alice, guian = client(net), client(net, "guian")
    waits = alice.place_order(order(way=Way.STANDING))
    alice.approve_order(waits.id)
    stands = guian.approve_order(waits.id)
    assert (stands.state, stands.call_at) == (OrderState.OPEN, AT - timedelta(minutes=15))
    net.clock.at = call_at(window_of(AT), net.network.rules)
    net.network.turn()
    assert alice.order(waits.id).state is OrderState.FILLED
    assert money(net) == (-alice.order(waits.id).paid_fen, 0)


def test_what_was_approved_too_late_for_its_price_is_given_back(net: World) -> None:
    alice, guian = client(net), client(net, "guian")
    waits = alice.place_order(order())
    alice.approve_order(waits.id)
    assert client(net, "bob").place_order(order("cores-order-2", count=1)).state is OrderState.FILLED
    done = guian.approve_order(waits.id)
    assert (done.state, done.paid_fen) == (OrderState.UNFILLED, 0)
    assert money(net) == (0, 0)


def test_clauses_that_cannot_be_are_said_and_others_change_no_text(net: World) -> None:
    for wrong in ({"over_fen": 1}, {"over_fen": 1, "project": ["a", "a"]}):
        reply = draft(net, by="alice", id="another-one", approval=wrong)
        assert (reply.status_code, reply.json()["field"].startswith("approval")) == (422, True)
    said = client(net).agreement("demo-guian").agreement
    assert '"approval":{"over_fen":500,"project":["alice","ada"],"provider":["guian"],"within_h":4}' in said.terms
    net.ask("POST", "/v1/agreements/demo-guian/1/end", by="alice")
    plain = draft(net, by="alice", id="another-one", first_month="2027-03", last_month="2027-04").json()["agreement"]
    assert "approval" not in plain["terms"]


def test_by_command_and_on_the_page(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    client(net).place_order(order())
    told = shell("order", "approvals", by="guian")
    assert "cores-order-1" in told.out
    assert "waits for approval" in shell("order", "approve", "cores-order-1").out
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-guian", "Sec-Fetch-Site": "same-origin"}
    assert "Approve" in net.ask("GET", "/market", by=None, headers=headers).text
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    done = net.ask("POST", "/market/orders/cores-order-1/approve", by=None, headers=form, content=urlencode({}))
    assert done.status_code == 303
    assert client(net).order("cores-order-1").state is OrderState.FILLED
    client(net).place_order(order("cores-order-2", start=AT + 2 * HOUR, end=AT + 4 * HOUR))
    assert "declined" in shell("order", "decline", "cores-order-2", by="guian").out
    again = net.ask("POST", "/market/orders/cores-order-2/approve", by=None, headers=form, content=urlencode({}))
    assert again.status_code == 409
    assert "wait up to 4 h for approval" in net.ask("GET", "/agreements", by=None, headers=headers).text
