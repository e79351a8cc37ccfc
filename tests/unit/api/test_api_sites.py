"""Sites, bills, tokens and projects over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.api.api_world import World, offering_json, world

from suanwang.client import models


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def kinds(net: World) -> list[tuple[str, str]]:
    events = net.ask("GET", "/v1/events?limit=1000", by="olga").json()["items"]
    return [(event["kind"], event["actor"]) for event in events]


def test_a_provider_joins_a_site_of_his_own(net: World) -> None:
    reply = net.ask("POST", "/v1/sites", by="wuhu", json={"id": "wuhu", "offering": offering_json()})
    assert reply.status_code == 201, reply.text
    invited = models.Invited.model_validate_json(reply.content)
    assert (invited.site.id, invited.site.state) == ("wuhu", "invited")
    joined = net.ask("POST", "/v1/agent/join", token=invited.join_token)
    assert joined.json()["site_id"] == "wuhu"
    assert ("site.invited", "wuhu") in kinds(net)
    again = net.ask("POST", "/v1/sites", by="wuhu", json={"id": "wuhu", "offering": offering_json()})
    assert again.status_code == 409
    fresh = net.ask("POST", "/v1/sites/wuhu/join-token", by="wuhu")
    assert fresh.status_code == 201
    assert net.ask("POST", "/v1/agent/join", token=fresh.json()["join_token"]).json()["session"] == 2


@pytest.mark.parametrize("by", ["alice", "rita", "guian"])
def test_others_may_not_join_or_change_it(net: World, by: str) -> None:
    body = {"id": "wuhu", "offering": offering_json()}
    assert net.ask("POST", "/v1/sites", by=by, json=body).status_code == 403
    net.ask("POST", "/v1/sites", by="wuhu", json=body)
    assert net.ask("PUT", "/v1/sites/wuhu", by=by, json=offering_json()).status_code == 403
    for action in ("drain", "open", "join-token"):
        assert net.ask("POST", f"/v1/sites/wuhu/{action}", by=by).status_code == 403
    assert net.ask("GET", "/v1/sites/wuhu", by=by).json()["open"] is True


def test_a_declaration_is_changed_and_a_site_drained(net: World) -> None:
    changed = net.ask("PUT", "/v1/sites/guian", by="guian", json=offering_json(provider="guian-cloud", pue=1.1))
    assert models.SiteView.model_validate_json(changed.content).offering.pue == 1.1
    assert net.ask("POST", "/v1/sites/guian/drain", by="guian").json()["open"] is False
    assert net.ask("POST", "/v1/sites/guian/open", by="olga").json()["open"] is True
    assert [pair for pair in kinds(net) if pair[0] in ("site.changed", "site.drained", "site.opened")] == [
        ("site.changed", "guian"),
        ("site.drained", "guian"),
        ("site.opened", "olga"),
    ]
    stolen = net.ask("PUT", "/v1/sites/guian", by="guian", json=offering_json(provider="wuhu-cloud"))
    assert stolen.status_code == 403


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pue": 0.5}, "pue"),
        ({"nodes": 0}, "nodes"),
        ({"nodes": 1.5}, "nodes"),
        ({"nodes": "2"}, "nodes"),
        ({"latitude": 91}, "latitude"),
        ({"carbon_g_per_kwh": -1}, "carbon_g_per_kwh"),
        ({"price": {"core_hour_yuan": "-1"}}, "price.core_hour_yuan"),
        ({"price": {"core_hour_yuan": "NaN"}}, "price.core_hour_yuan"),
        ({"price": {"core_hour_yuan": "0.0000000001"}}, "price.core_hour_yuan"),
        ({"price": {"core_hour_yuan": "1e-400000"}}, "price.core_hour_yuan"),
        ({"price": {"core_hour_yuan": "1", "gold": "2"}}, "price.gold"),
        ({"colour": "red"}, "colour"),
        ({"devices": [{"model": "x", "kind": "warp", "count": 1, "per_node": 1, "memory_gb": 1}]}, "devices.0.kind"),
    ],
)
def test_impossible_declarations_name_their_field(net: World, changes: dict[str, Any], field: str) -> None:
    for method, path, body in (
        ("POST", "/v1/sites", {"id": "wuhu", "offering": offering_json(**changes)}),
        ("PUT", "/v1/sites/guian", offering_json(**changes)),
    ):
        reply = net.ask(method, path, by="olga", json=body)
        assert reply.status_code == 422, reply.text
        assert reply.json()["field"].removeprefix("offering.") == field
    assert net.ask("GET", "/v1/sites/wuhu").status_code == 404


def test_infinite_figures_are_not_json(net: World) -> None:
    body = b'{"id": "wuhu", "offering": {"pue": Infinity}}'
    assert net.ask("POST", "/v1/sites", by="olga", content=body).status_code == 422


def test_accounts_are_for_those_they_concern(net: World) -> None:
    for by, accounts in (
        ("guian", {"demo": "demo-posix"}),
        ("olga", {"demo": "demo-posix"}),
        ("rita", {"demo": "demo-posix"}),
        ("alice", None),
        ("wuhu", None),
    ):
        (site,) = net.ask("GET", "/v1/sites", by=by).json()["items"]
        assert site["offering"]["accounts"] == accounts, by


def test_what_is_held_and_sensed_is_shown(net: World) -> None:
    net.submit("runs", resources={"cores": 2})
    agent = net.agent()
    agent.tell()
    net.network.turn()
    agent.run_all("x\n", outcome=None)
    site = models.SiteView.model_validate_json(net.ask("GET", "/v1/sites/guian").content)
    assert (site.state, site.held.cores, site.held.allocations) == ("reachable", 2, 1)
    assert site.measured is not None
    assert site.measured.cores == 8
    assert net.ask("GET", "/v1/sites/guian/samples").json() == {"items": []}
    assert net.ask("GET", "/v1/sites/atlantis").status_code == 404
    assert net.ask("GET", "/v1/sites/atlantis/samples").status_code == 404


def test_bills_are_seen_by_those_who_pay_and_earn(net: World) -> None:
    job, _ = net.run("x\n")
    for by, lines in (("alice", 2), ("guian", 2), ("olga", 2), ("rita", 2), ("bob", 0), ("wuhu", 0)):
        page = models.BillLinePage.model_validate_json(net.ask("GET", "/v1/bills/lines", by=by).content)
        assert len(page.items) == lines, by
        totals = models.BillTotals.model_validate_json(net.ask("GET", "/v1/bills/totals", by=by).content)
        assert totals.amount_fen == sum(line.amount_fen for line in page.items)
        assert sum(total.jobs for total in totals.items) == (1 if lines else 0)
    first = net.ask("GET", "/v1/bills/lines?limit=1").json()
    second = net.ask("GET", f"/v1/bills/lines?limit=1&cursor={first['next']}").json()
    assert first["items"][0]["usage_id"] != second["items"][0]["usage_id"]
    narrowed = net.ask("GET", f"/v1/bills/lines?job={job['id']}&site=guian&provider=guian-cloud&project=demo")
    assert len(narrowed.json()["items"]) == 2
    later = net.ask("GET", "/v1/bills/totals", params={"from_at": "2026-03-01T10:01:00+08:00"}).json()
    assert len(later["items"]) == 1
    assert net.ask("GET", "/v1/bills/totals", params={"from_at": "2026-03-02T00:00:00Z"}).json()["items"] == []
    assert net.ask("GET", "/v1/bills/lines?provider=guian-cloud", by="wuhu").json()["items"] == []


def test_agents_have_no_bills(net: World) -> None:
    assert net.ask("GET", "/v1/bills/totals", token=net.agent_token()).status_code == 403


def test_whoami(net: World) -> None:
    assert net.ask("GET", "/v1/whoami").json() == {
        "name": "alice",
        "role": "user",
        "projects": ["demo"],
        "provider": None,
        "site": None,
    }


def test_a_token_is_made_shown_once_listed_and_revoked(net: World) -> None:
    body = {"name": "carol", "role": "user", "projects": ["demo"], "ttl_s": 3600, "note": "for the course"}
    reply = net.ask("POST", "/v1/tokens", by="olga", json=body)
    assert reply.status_code == 201, reply.text
    made = models.CreatedToken.model_validate_json(reply.content)
    assert net.ask("GET", "/v1/whoami", token=made.secret).json()["name"] == "carol"
    listed = net.ask("GET", "/v1/tokens", by="olga")
    assert made.token.id in {row["id"] for row in listed.json()["items"]}
    digests = {token.digest for token in net.store.tokens()}
    assert made.secret not in listed.text
    assert not any(digest in listed.text for digest in digests)
    assert {row["name"] for row in net.ask("GET", "/v1/tokens", token=made.secret).json()["items"]} == {"carol"}
    assert net.ask("DELETE", f"/v1/tokens/{made.token.id}", by="bob").status_code == 404
    assert net.ask("DELETE", f"/v1/tokens/{made.token.id}", by="olga").status_code == 204
    assert net.ask("GET", "/v1/whoami", token=made.secret).status_code == 401
    record = net.ask("GET", "/v1/events?limit=1000&kind=token.", by="olga").text
    assert made.token.id in record
    assert made.secret not in record
    assert [pair for pair in kinds(net) if pair == ("token.revoked", "olga")] == [("token.revoked", "olga")]


@pytest.mark.parametrize(
    ("by", "changes", "status", "field"),
    [
        ("alice", {"name": "alice", "projects": ["other"]}, 403, "token"),
        ("alice", {"name": "carol"}, 403, "token"),
        ("alice", {"name": "alice", "role": "operator"}, 403, "token"),
        ("olga", {"role": "emperor"}, 422, "role"),
        ("olga", {"role": "agent"}, 422, "role"),
        ("olga", {"role": "provider"}, 422, "provider"),
        ("olga", {"name": "Carol Smith"}, 422, "name"),
        ("olga", {"projects": ["atlantis"]}, 422, "projects"),
        ("olga", {"ttl_s": 0}, 422, "ttl_s"),
        ("olga", {"ttl_s": "60"}, 422, "ttl_s"),
        ("olga", {"admin": True}, 422, "admin"),
    ],
)
def test_tokens_nobody_may_make(net: World, by: str, changes: dict[str, Any], status: int, field: str) -> None:
    before = len(net.store.tokens())
    body = {"name": "carol", "role": "user", "projects": ["demo"], **changes}
    reply = net.ask("POST", "/v1/tokens", by=by, json=body)
    assert (reply.status_code, reply.json()["field"]) == (status, field)
    assert len(net.store.tokens()) == before


def test_projects_are_the_operators_to_make_and_the_members_to_see(net: World) -> None:
    assert net.ask("POST", "/v1/projects", json={"id": "new"}).status_code == 403
    made = net.ask("POST", "/v1/projects", by="olga", json={"id": "new", "title": "新项目"})
    assert (made.status_code, made.json()["title"]) == (201, "新项目")
    assert net.ask("POST", "/v1/projects", by="olga", json={"id": "New!"}).json()["field"] == "id"
    assert [row["id"] for row in net.ask("GET", "/v1/projects").json()["items"]] == ["demo"]
    assert [row["id"] for row in net.ask("GET", "/v1/projects", by="rita").json()["items"]] == ["demo", "new", "other"]
    assert ("project.created", "olga") in kinds(net)
