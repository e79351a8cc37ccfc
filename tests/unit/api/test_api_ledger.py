"""The ledger over the API: who sees what, top-ups and limits, checkpoints, proofs, and bills as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.api.api_world import World, offering, world

from suanwang.client import Client
from suanwang.domain.site import Price
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.evidence import verify
from suanwang.trading.merkle import continues, includes, leaf_hash
from suanwang.trading.proven import read_checkpoint


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def billed(net: World) -> str:
    """A job that ran, was billed and settled; its identifier."""
    with client(net, "olga") as operator:
        operator.change_site("guian", offering(price=Price(core_hour_yuan=Decimal(100))))
    return ran(net)


def ran(net: World) -> str:
    """A job that ran for 90 s, with the turn that settles it."""
    job, _ = net.run("hello\n", name=f"job-{net.clock.at:%H-%M-%S}")
    net.network.turn()
    return str(job["id"])


def accounts(net: World, by: str) -> dict[str, Any]:
    reply = net.ask("GET", "/v1/ledger/accounts", by=by)
    assert reply.status_code == 200, reply.text
    return {row["id"]: row for row in reply.json()["items"]}


def client(net: World, by: str) -> Client:
    return Client("http://network", f"secret-of-{by}", transport=net.transport)


def test_everybody_sees_his_own_and_watchers_all(net: World, billed: str) -> None:
    everything = {"operator:network", "operator:runs", "project:demo", "provider:guian-cloud"}
    assert accounts(net, "olga").keys() == accounts(net, "rita").keys() == everything
    assert accounts(net, "alice").keys() == {"project:demo"}
    assert accounts(net, "guian").keys() == {"provider:guian-cloud"}
    assert accounts(net, "wuhu") == accounts(net, "bob") == {}
    paid = net.ask("GET", "/v1/bills/totals").json()["amount_fen"]
    assert paid > 0
    assert accounts(net, "alice")["project:demo"]["balance_fen"] == -paid
    assert sum(row["balance_fen"] for row in accounts(net, "olga").values()) == 0
    for by, account in (("bob", "project:demo"), ("wuhu", "provider:guian-cloud"), ("alice", "operator:network")):
        for path in ("/v1/ledger/account", "/v1/ledger/transfers"):
            assert net.ask("GET", path, by=by, params={"account": account}).status_code == 404
    assert net.ask("GET", "/v1/ledger/accounts", token=net.agent_token()).status_code == 403
    assert net.ask("GET", "/v1/ledger/accounts", by=None).status_code == 401


def test_transfers_lead_from_the_account_to_the_bill_line(net: World, billed: str) -> None:
    rows = net.ask("GET", "/v1/ledger/transfers", params={"account": "project:demo"}).json()["items"]
    lines = {
        line["usage_id"]: line for line in net.ask("GET", "/v1/bills/lines", params={"job": billed}).json()["items"]
    }
    assert rows
    paid = [row for row in rows if row["phase"] == "direct"]
    for row in paid:
        assert row["debit"] == "project:demo"
        assert lines[row["chain"].removeprefix("bill/")]["job"] == billed
    held = [
        (row["phase"], row["credit"], row["chain"].split("/")[1].rsplit("-", 1)[0]) for row in rows if row not in paid
    ]
    assert held == [("void", "operator:runs", billed), ("pending", "operator:runs", billed)]
    assert sum(row["amount_fen"] for row in paid) == sum(line["amount_fen"] for line in lines.values())


def test_a_top_up_happens_once_and_is_the_operators(net: World) -> None:
    body = {"id": "bank-1", "project": "demo", "amount_fen": 12_345}
    for _ in range(2):
        reply = net.ask("POST", "/v1/ledger/top-ups", by="olga", json=body)
        assert (reply.status_code, reply.json()["balance_fen"]) == (201, 12_345)
    assert net.ask("POST", "/v1/ledger/top-ups", by="olga", json={**body, "amount_fen": 1}).status_code == 409
    for by in ("alice", "guian", "rita"):
        assert net.ask("POST", "/v1/ledger/top-ups", by=by, json={**body, "id": "x"}).status_code == 403
        assert net.ask("PUT", "/v1/ledger/limits", by=by, json={"project": "demo", "limit_fen": 0}).status_code == 403
    told = net.ask("GET", "/v1/events", by="olga", params={"kind": "ledger."}).json()["items"]
    assert [event["kind"] for event in told] == ["ledger.topped_up"]


@pytest.mark.parametrize(
    "change",
    [
        {"amount_fen": 0},
        {"amount_fen": -1},
        {"amount_fen": 10**15 + 1},
        {"amount_fen": 1.5},
        {"amount_fen": "7"},
        {"id": ""},
        {"id": "x" * 201},
        {"id": "a\nb"},
        {"project": "x" * 64},
        {"currency": "USD"},
    ],
)
def test_a_top_up_that_is_none_names_its_field(net: World, change: dict[str, Any]) -> None:
    body = {"id": "bank-1", "project": "demo", "amount_fen": 5, **change}
    reply = net.ask("POST", "/v1/ledger/top-ups", by="olga", json=body)
    assert reply.status_code == 422
    assert next(iter(change)) in reply.text
    assert accounts(net, "olga") == {}


def test_nobody_tops_up_a_project_that_is_not_there(net: World) -> None:
    body = {"id": "bank-1", "project": "none", "amount_fen": 5}
    assert net.ask("POST", "/v1/ledger/top-ups", by="olga", json=body).status_code == 404
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json={"project": "none", "limit_fen": 0}).status_code == 404


def test_lines_that_nobody_can_pay_are_blocked_and_settled_when_money_comes(net: World) -> None:
    with client(net, "olga") as operator:
        operator.change_site("guian", offering(price=Price(core_hour_yuan=Decimal(100))))
    net.run_unheld()
    page = net.ask("GET", "/v1/ledger/accounts").json()
    assert page["unsettled_lines"] > 0
    assert page["blocked_lines"] > 0
    assert page["items"][0]["balance_fen"] == 0
    blocked = net.ask("GET", "/v1/events", params={"kind": "ledger.blocked"}).json()["items"]
    assert len(blocked) == page["blocked_lines"]
    net.ask("POST", "/v1/ledger/top-ups", by="olga", json={"id": "b", "project": "demo", "amount_fen": 10_000})
    net.network.turn()
    page = net.ask("GET", "/v1/ledger/accounts").json()
    assert (page["unsettled_lines"], page["blocked_lines"]) == (0, 0)
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json={"project": "demo", "limit_fen": 5}).status_code == 200


def test_a_prepaid_project_starts_when_it_can_pay_and_hears_why_it_does_not(net: World) -> None:
    with client(net, "olga") as operator:
        operator.change_site("guian", offering(price=Price(core_hour_yuan=Decimal(100))))
    limit = {"project": "demo", "limit_fen": 0}
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json=limit).json()["limit_fen"] == 0
    job = net.submit()
    agent = net.agent()
    agent.tell()
    net.network.turn()
    assert agent.tell().start == ()
    told = net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()
    assert told["verdict"] == "waits"
    (excluded,) = told["why"]["excluded"]
    assert (excluded["code"], excluded["need"], excluded["have"]) == ("money", "¥100.01", "¥0.00 (project:demo)")
    net.ask("POST", "/v1/ledger/top-ups", by="olga", json={"id": "b", "project": "demo", "amount_fen": 10_001})
    net.network.turn()
    assert accounts(net, "alice")["project:demo"]["held_fen"] == 10_001
    agent.run_all("hello\n")
    net.network.turn()
    left = accounts(net, "alice")["project:demo"]
    assert (left["balance_fen"], left["held_fen"]) == (10_001 - 250, 0)


def test_a_limit_under_what_is_owed_is_a_conflict(net: World, billed: str) -> None:
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json={"project": "demo", "limit_fen": 0}).status_code == 409


def test_a_bill_is_evidence_for_its_parties(net: World, billed: str) -> None:
    older = read_checkpoint(net.ask("GET", "/v1/ledger/checkpoint").json())
    ran(net)
    for by in ("alice", "guian", "olga", "rita"):
        reply = net.ask("GET", f"/v1/bills/{billed}/evidence", by=by, params={"since": older.size})
        finding = verify(reply.json(), key=older.key, older=older)
        assert finding.failures == ()
        assert finding.checkpoint is not None
        assert finding.checkpoint.size > older.size
        with client(net, by) as asked:
            assert asked.evidence(billed, since=older.size) == reply.json()
    for by in ("bob", "wuhu"):
        assert net.ask("GET", f"/v1/bills/{billed}/evidence", by=by).status_code == 404
    assert net.ask("GET", "/v1/bills/j-none/evidence").status_code == 404
    for since in ("-1", "x", str(2**64)):
        assert net.ask("GET", f"/v1/bills/{billed}/evidence", params={"since": since}).status_code == 422
    assert net.ask("GET", f"/v1/bills/{billed}/evidence", params={"since": 10**6}).status_code == 422


def test_proofs_hold_against_the_checkpoint_they_come_with(net: World, billed: str) -> None:
    with client(net, "bob") as asked:
        first = asked.checkpoint()
        leaf = net.store.leaves([0])[0]
        shown = asked.inclusion(0)
        assert shown.checkpoint == first
        assert includes(
            index=0,
            size=first.size,
            leaf=leaf_hash(leaf.encode()),
            proof=[bytes.fromhex(step) for step in shown.proof],
            root=bytes.fromhex(first.root),
        )
        ran(net)
        now = asked.consistency(first.size)
        assert continues(
            old=first.size,
            old_root=bytes.fromhex(first.root),
            size=now.checkpoint.size,
            root=bytes.fromhex(now.checkpoint.root),
            proof=[bytes.fromhex(step) for step in now.proof],
        )
        assert asked.checkpoint(first.size) == first
        made: Checkpoint = read_checkpoint(now.checkpoint.model_dump())
        assert made.holds()
    for path, params in (
        ("proof", {"index": 10**6}),
        ("consistency", {"from_size": 0}),
        ("consistency", {"from_size": 10**6}),
        ("proof", {"index": "x"}),
    ):
        assert net.ask("GET", f"/v1/ledger/{path}", params=params).status_code == 422
    assert net.ask("GET", "/v1/ledger/checkpoint", params={"size": 999}).status_code == 404
    assert net.ask("GET", "/v1/ledger/checkpoint", by=None).status_code == 401


def test_the_audit_is_for_watchers(net: World, billed: str) -> None:
    found = net.ask("GET", "/v1/ledger/audit", by="rita").json()
    assert found["whole"] is True
    assert found["transfers"] > 0
    assert net.ask("GET", "/v1/ledger/audit").status_code == 403
