"""Agreements by the API: who may write, sign, see and end what; and what is forged, replayed, late or overlapping."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.api.api_world import World, world
from tests.unit.signing import KEYS, draft, in_force, public, register, sign, signature, terms

from suanwang.trading.agreements import key_bytes, month_begins, month_number


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def problem(reply: Any, status: int, words: str) -> None:
    assert reply.status_code == status, reply.text
    assert words in reply.text


def listed(net: World, by: str) -> list[str]:
    return [f"{e['id']}/{e['version']}" for e in net.ask("GET", "/v1/agreements", by=by).json()["items"]]


def test_from_a_draft_to_a_version_signed_by_both(net: World) -> None:
    register(net, "alice")
    register(net, "guian")
    view = draft(net).json()["agreement"]
    assert (view["state"], view["version"], view["author"]) == ("draft", 1, "project")
    assert view["digest"] == hashlib.sha256(view["terms"].encode()).hexdigest()
    assert draft(net).json()["agreement"] == view, "the same terms again change nothing"
    assert [listed(net, by) for by in ("alice", "guian", "rita", "olga", "bob")] == [["demo-guian/1"], [], [], [], []]
    problem(sign(net, view, "guian"), 404, "no agreement")
    assert sign(net, view, "alice").json()["agreement"]["state"] == "offered"
    assert [listed(net, by) for by in ("guian", "rita", "bob", "wuhu")] == [["demo-guian/1"], ["demo-guian/1"], [], []]
    seen = sign(net, view, "guian").json()
    assert (seen["agreement"]["state"], len(seen["agreement"]["signatures"])) == ("signed", 2)
    assert {key["party"] for key in seen["keys"]} == {"project:demo", "provider:guian-cloud"}
    assert sign(net, view, "guian").json()["agreement"] == seen["agreement"], "the same signature again is harmless"
    problem(net.ask("GET", "/v1/agreements/demo-guian/1", by="bob"), 404, "no agreement")
    assert net.ask("GET", "/v1/agreements/demo-guian", by="guian").json()["agreement"]["version"] == 1


def test_a_signature_is_good_for_its_terms_party_and_key_alone(net: World) -> None:
    register(net, "alice")
    register(net, "guian")
    first = draft(net).json()["agreement"]
    forged = {**signature(first, "alice"), "signature": "00" * 64}
    problem(sign(net, first, "alice", **forged), 422, "not by this key over these terms")
    problem(sign(net, first, "alice", **signature(first, "guian")), 422, "not the registered key of project:demo")
    problem(sign(net, first, "alice", key=public("bob")), 422, "not the registered key")
    problem(sign(net, first, "alice", key="zz"), 422, "key")
    net.ask("POST", "/v1/agreements/demo-guian/1/end")
    second = draft(net, notice_months=3).json()["agreement"]
    assert second["version"] == 2
    problem(sign(net, second, "alice", **signature(first, "alice")), 422, "not by this key over these terms")
    same = draft(net, "guian", id="another", notice_months=3)
    problem(same, 409, "sign it or withdraw it first")
    sign(net, second, "alice")
    other = {**second, "id": "another"}
    problem(sign(net, second, "guian", **signature(other, "guian")), 422, "not by this key over these terms")


def test_nobody_signs_or_registers_for_another(net: World) -> None:
    party, key = KEYS["alice"]
    body = {"party": party, "key": public("alice"), "signature": key.sign(key_bytes(party, public("alice"))).hex()}
    for by in ("bob", "guian", "olga", "rita"):
        problem(net.ask("POST", "/v1/agreements/keys", by=by, json=body), 403, "does not speak for")
    foreign = key.sign(key_bytes("project:other", public("alice"))).hex()
    problem(
        net.ask("POST", "/v1/agreements/keys", json={**body, "signature": foreign}), 422, "this signature is not by"
    )
    problem(draft(net, "olga"), 403, "neither side")
    problem(draft(net, "wuhu"), 403, "neither side")
    view = draft(net).json()["agreement"]
    problem(sign(net, view, "alice"), 422, "not the registered key")
    register(net, "alice")
    sign(net, view, "alice")
    problem(net.ask("POST", "/v1/agreements/demo-guian/1/end", by="olga"), 403, "neither side")
    problem(net.ask("POST", "/v1/agreements/demo-guian/1/end", by="bob"), 404, "no agreement")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sites": ["elsewhere"]}, "sites"),
        ({"sites": ["guian", "guian"]}, "sites"),
        ({"sites": []}, "sites"),
        ({"first_month": "2026-13"}, "first_month"),
        ({"first_month": "2027-03"}, "last_month"),
        ({"first_month": "2025-01", "last_month": "2026-02"}, "last_month"),
        ({"levels": [{"measure": "beauty", "steps": [{"bound": 1, "credit_bp": 1}]}]}, "measure"),
        ({"levels": [{"measure": "promised", "steps": [{"bound": 1, "credit_bp": 1}]}]}, "within_s"),
        ({"levels": [{"measure": "start", "within_s": 5, "steps": [{"bound": 1, "credit_bp": 1}]}]}, "within_s"),
        ({"levels": [{"measure": "start", "steps": [{"bound": 1, "credit_bp": 10_001}]}]}, "credit_bp"),
        (
            {
                "levels": [
                    {"measure": "start", "steps": [{"bound": 60, "credit_bp": 9}, {"bound": 30, "credit_bp": 10}]}
                ]
            },
            "steps",
        ),
        ({"id": "Not A Name"}, "id"),
    ],
)
def test_terms_that_cannot_be_are_told_by_field(net: World, changes: dict[str, Any], field: str) -> None:
    problem(draft(net, **changes), 422, field)


def test_an_offer_expires_with_its_months(net: World) -> None:
    register(net, "alice")
    register(net, "guian")
    view = draft(net, last_month="2026-03").json()["agreement"]
    sign(net, view, "alice")
    net.clock.at = month_begins(month_number(net.clock.at) + 1)
    problem(sign(net, view, "guian"), 409, "expired")


def test_a_new_version_takes_over_where_it_begins(net: World) -> None:
    in_force(net)
    net.clock.at += timedelta(days=40)
    second = draft(net, "guian", first_month="2026-06").json()["agreement"]
    sign(net, second, "guian")
    later = sign(net, second, "alice").json()["agreement"]
    first = net.ask("GET", "/v1/agreements/demo-guian/1").json()["agreement"]
    assert (first["state"], first["until_at"]) == ("superseded", later["from_at"])
    third = draft(net, first_month="2026-05").json()["agreement"]
    sign(net, third, "alice")
    problem(sign(net, third, "guian"), 409, "they overlap")


def test_notice_lets_it_go_on_for_whole_months(net: World) -> None:
    view = in_force(net, notice_months=2)
    ended = net.ask("POST", "/v1/agreements/demo-guian/1/end", by="guian").json()["agreement"]
    assert ended["state"] == "ended"
    assert ended["until_at"].startswith("2026-05-31T16:00:00"), "the first of June in China"
    assert net.ask("POST", "/v1/agreements/demo-guian/1/end").json()["agreement"] == ended
    assert view["terms"] == ended["terms"]


def test_levels_of_this_month_and_the_credit_of_the_last(net: World) -> None:
    levels = [
        {"measure": "availability", "steps": [{"bound": 999_000, "credit_bp": 10_000}]},
        {"measure": "start", "steps": [{"bound": 60, "credit_bp": 500}]},
    ]
    in_force(net, levels=levels)
    agent = net.agent()
    agent.tell()
    net.submit(resources={"cores": 4})
    net.network.turn()
    agent.run_all("42")
    net.clock.at += timedelta(hours=6)
    net.network.turn()
    net.clock.at += timedelta(hours=1)
    so_far = net.ask("GET", "/v1/agreements/demo-guian").json()["so_far"]
    away, start = so_far["levels"]
    assert (away["measure"], away["missed"], away["credit_bp"]) == ("availability", 1, 10_000)
    assert (start["number"], start["value"], so_far["bill_fen"], so_far["transfer"]) == (1, 0, 1, None)
    net.clock.at = month_begins(month_number(net.clock.at) + 1) + timedelta(hours=2)
    net.network.turn()
    net.network.turn()
    (credit,) = net.ask("GET", "/v1/agreements/credits", by="guian").json()["items"]
    assert (credit["month"], credit["paid"], credit["bill_fen"], credit["amount_fen"]) == ("2026-03", True, 1, 1)
    (miss,) = credit["levels"][0]["misses"]
    told = {event["seq"]: event["kind"] for event in net.ask("GET", "/v1/events", by="olga").json()["items"]}
    assert [told[seq] for seq in miss["events"]] == ["site.lost"]
    assert credit["transfer"] == "credit/demo-guian/1/2026-03"
    assert net.store.audit().sum_fen == 0
    assert net.ask("GET", "/v1/agreements/credits", by="bob").json()["items"] == []


def test_a_body_nobody_understands_is_told(net: World) -> None:
    odd: list[Any] = [{**terms(), "more": 1}, {"id": "x"}, []]
    for body in odd:
        assert net.ask("POST", "/v1/agreements", json=body).status_code == 422
    assert net.ask("GET", "/v1/agreements/demo-guian/0").status_code == 422
    assert net.ask("GET", "/v1/agreements", params={"cursor": "x"}).status_code == 422
