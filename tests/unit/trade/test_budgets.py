"""Budgets as hard limits: at submission, at the start, while running and at orders; who sets and sees them; the loop's own look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.api_world import NOW, Agent, World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.web.test_web_wallet import page

from suanwang.client import Client
from suanwang.client.market import new_order
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import Phase, RunReport
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Price
from suanwang.trading.holding import LASTS, RUNS, hold_id
from suanwang.trading.ledger import Owner, Transfer, account_id
from suanwang.trading.ledger import Phase as Kind
from suanwang.trading.market.product import HOUR
from suanwang.trading.market.values import Way
from suanwang.trading.settlement import opened
from suanwang.web import mount_web

LIMITLESS: dict[str, Any] = {"resources": {"cores": 1, "time_limit": "24h"}}


@pytest.fixture
def net() -> Iterator[World]:
    """A core costs ¥100 an hour, so that a start holds 10,001 fen."""
    with world() as made:
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
        yield made


def budget(net: World, limit_fen: int | None, scope: str = "person", name: str = "alice", **changes: Any) -> Any:
    body = {"scope": scope, "name": name, "limit_fen": limit_fen, **changes}
    reply = net.ask("PUT", "/v1/ledger/budgets", by="olga", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()["items"]


def stored(net: World, job: dict[str, Any]) -> Job:
    found = net.store.job(JobId(job["id"]))
    assert found is not None
    return found


def ready(net: World) -> Agent:
    agent = net.agent()
    agent.tell()
    return agent


def running(net: World, agent: Agent, **task: Any) -> dict[str, Any]:
    job = net.submit(**{**LIMITLESS, **task})
    net.network.turn()
    agent.run_all(outcome=None)
    return job


def goes_on(net: World, agent: Agent, job: dict[str, Any], hours: float, *, ended: RunState | None = None) -> Any:
    """The run of `job` is metered for so long, by the minute; what the agent is told of it then."""
    reply = None
    for _ in range(round(hours * 60)):
        net.clock.at += timedelta(minutes=1)
        found = stored(net, job)
        assert found.allocation_id is not None
        report = RunReport(
            allocation_id=found.allocation_id,
            epoch=found.epoch,
            phase=Phase.ENDED if ended else Phase.RUNNING,
            started_at=found.started_at,
            seen_at=net.clock.at,
            ended_at=net.clock.at if ended else None,
            outcome=ended,
        )
        reply = agent.tell(report)
        net.network.turn()
    return reply


def test_a_start_that_a_budget_does_not_bear_waits_and_says_why(net: World) -> None:
    budget(net, 9_000)
    agent, job = ready(net), net.submit(**LIMITLESS)
    net.network.turn()
    assert agent.tell().start == ()
    (excluded,) = net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()["why"]["excluded"]
    assert (excluded["code"], excluded["need"], excluded["have"]) == (
        "money",
        "¥100.01",
        "¥90.00 (budget person:alice)",
    )
    budget(net, 10_001)
    net.network.turn()
    assert len(agent.tell().start) == 1
    (shown,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    assert (shown["spent_fen"], shown["held_fen"], shown["left_fen"]) == (0, 10_001, 0)


@pytest.mark.parametrize(("scope", "name"), [("person", "alice"), ("project", "demo"), ("organisation", "清华大学")])
def test_a_used_up_budget_takes_no_submission_and_no_order(net: World, scope: str, name: str) -> None:
    with Client("http://network", "secret-of-olga", transport=net.transport) as operator:
        operator.label_project("demo", organisation="清华大学")
    net.run("hello\n")
    net.network.turn()
    budget(net, 250, scope, name)
    reply = net.ask("POST", "/v1/jobs", json={"tasks": [{"name": "more", "run": "true"}]})
    assert reply.status_code == 409
    assert f"budget {scope}:{name} has ¥0.00 left of ¥2.50" in reply.text
    assert net.ask("POST", "/v1/jobs", by="bob", json={"tasks": [{"name": "other", "run": "true"}]}).status_code == 201
    net.clock.at += timedelta(days=31)
    assert net.ask("POST", "/v1/jobs", json={"tasks": [{"name": "more", "run": "true"}]}).status_code == 201


def test_an_order_that_passes_a_budget_is_refused(net: World) -> None:
    at = NOW + 12 * HOUR
    with Client("http://network", "secret-of-guian", transport=net.transport) as seller:
        seller.list_offer(
            site="guian", device="core", count=4, start=at, end=at + HOUR, price_fen=9_800, id="cores-offer-1"
        )
    budget(net, 15_000, period="total")
    wish: dict[str, Any] = {"devices": ["core"], "start": at, "end": at + HOUR}

    def place(name: str, **changes: Any) -> tuple[int, str]:
        reply = net.ask(
            "POST",
            "/v1/market/orders",
            json=new_order(**wish, id=name, **changes).model_dump(mode="json", exclude_none=True),
        )
        return reply.status_code, reply.text

    status, text = place("two-cores-now", count=2, way=Way.NOW)
    assert status == 409
    assert "has ¥150.00 left of ¥150.00, and this takes ¥200.00" in text
    assert place("one-core-now", count=1, way=Way.NOW)[0] == 201
    status, text = place("one-core-later", count=1, way=Way.STANDING, limit_fen=6_000)
    assert status == 409
    assert place("one-core-cheaper", count=1, way=Way.STANDING, limit_fen=4_000)[0] == 201
    (shown,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    assert (shown["spent_fen"], shown["held_fen"], shown["left_fen"]) == (10_000, 4_000, 1_000)


def test_a_run_that_may_be_interrupted_is_suspended_and_goes_on_with_new_money(net: World) -> None:
    budget(net, 20_000)
    agent = ready(net)
    job = running(net, agent, flexibility={"may_be_interrupted": True}, checkpoint="state")
    told = goes_on(net, agent, job, 1.9)
    assert (told.known[0].suspend, told.known[0].cancel) == (False, False)
    told = goes_on(net, agent, job, 0.1)
    assert told.known[0].suspend
    (event,) = net.ask("GET", "/v1/events", params={"kind": "job.unpaid"}).json()["items"]
    assert event["data"]["purse"] == "budget person:alice"
    goes_on(net, agent, job, 1 / 60, ended=RunState.CANCELLED)
    left = stored(net, job)
    assert (left.state, left.reason) == (JobState.QUEUED, "the money of budget person:alice is used up")
    assert net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()["why"]["excluded"][0]["code"] == "money"
    budget(net, 100_000)
    net.network.turn()
    assert stored(net, job).state is JobState.LEASED
    assert len(agent.tell().start) == 1


def test_a_run_that_may_not_is_ended_before_the_money_is_overspent(net: World) -> None:
    net.network.wallets.top_up(net.operator, ProjectId("demo"), 20_000, "bank")
    net.network.wallets.set_limit(net.operator, ProjectId("demo"), 0)
    agent = ready(net)
    job = running(net, agent)
    assert not goes_on(net, agent, job, 1.9).known[0].cancel
    assert goes_on(net, agent, job, 0.1).known[0].cancel
    goes_on(net, agent, job, 1 / 60, ended=RunState.CANCELLED)
    left = stored(net, job)
    assert (left.state, left.reason) == (
        JobState.CANCELLED,
        "the money of project:demo is used up: the run was ended",
    )
    net.network.turn()
    account = net.store.account(account_id(Owner.PROJECT, "demo"))
    assert account is not None
    assert (account.held_fen, account.balance_fen >= 0) == (0, True)


def test_a_project_that_pays_by_invoice_later_holds_nothing_and_may_owe(net: World) -> None:
    limit = {"project": "demo", "limit_fen": None}
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json=limit).json()["available_fen"] is None
    agent = ready(net)
    job = running(net, agent)
    goes_on(net, agent, job, 0.5)
    account = net.store.account(account_id(Owner.PROJECT, "demo"))
    assert account is not None
    assert (account.balance_fen, account.held_fen) == (-5_000, 0)
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json={**limit, "limit_fen": 4_999}).status_code == 409


def test_a_budget_that_comes_after_the_start_ends_the_run_in_time_all_the_same(net: World) -> None:
    limit = {"project": "demo", "limit_fen": None}
    assert net.ask("PUT", "/v1/ledger/limits", by="olga", json=limit).status_code == 200
    agent = ready(net)
    job = running(net, agent)
    goes_on(net, agent, job, 0.5)
    account = net.store.account(account_id(Owner.PROJECT, "demo"))
    assert account is not None
    assert account.held_fen == 0
    budget(net, 20_000)
    assert not goes_on(net, agent, job, 1.2).known[0].cancel
    (shown,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    assert shown["held_fen"] > 0
    assert goes_on(net, agent, job, 0.27).known[0].cancel
    goes_on(net, agent, job, 1 / 60, ended=RunState.CANCELLED)
    (shown,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    assert (shown["held_fen"], shown["left_fen"] >= 0) == (0, True)
    assert stored(net, job).reason == "the money of budget person:alice is used up: the run was ended"


def test_a_budget_that_is_passed_is_told_once_and_nothing_starts_on_it(net: World) -> None:
    mount_web(net.app, net.network)
    net.ask("PUT", "/v1/ledger/limits", by="olga", json={"project": "demo", "limit_fen": None})
    agent = ready(net)
    job = running(net, agent)
    goes_on(net, agent, job, 0.5)
    budget(net, 4_000, "project", "demo")
    assert goes_on(net, agent, job, 0.1).known[0].cancel
    goes_on(net, agent, job, 1 / 60, ended=RunState.CANCELLED)
    (event,) = net.ask("GET", "/v1/events", params={"kind": "budget.passed"}).json()["items"]
    assert (event["project"], event["data"]["name"], event["data"]["limit_fen"]) == ("demo", "demo", 4_000)
    assert event["data"]["over_fen"] == event["data"]["spent_fen"] - 4_000 > 0
    assert "It is passed by ¥" in page(net, "/wallet").text
    assert "已超出" in page(net, "/wallet", lang="zh").text
    assert "支出超出预算" in page(net, "/operator", by="olga", lang="zh").text
    assert net.ask("POST", "/v1/jobs", json={"tasks": [{"name": "more", "run": "true"}]}).status_code == 409


def test_operators_set_budgets_and_users_see_their_own(net: World) -> None:
    assert len(budget(net, 500)) == 1
    assert len(budget(net, 700, "project", "demo", period="total")) == 2
    seen = {
        by: len(net.ask("GET", "/v1/ledger/budgets", by=by).json()["items"]) for by in ("alice", "bob", "rita", "guian")
    }
    assert seen == {"alice": 2, "bob": 0, "rita": 2, "guian": 0}
    for by in ("alice", "guian", "rita"):
        body = {"scope": "person", "name": "alice", "limit_fen": 1}
        assert net.ask("PUT", "/v1/ledger/budgets", by=by, json=body).status_code == 403
    assert budget(net, None)[0]["scope"] == "project"
    told = net.ask("GET", "/v1/events", by="olga", params={"kind": "budget."}).json()["items"]
    assert [event["kind"] for event in told] == ["budget.set", "budget.set", "budget.dropped"]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"limit_fen": -1}, 422, "limit_fen"),
        ({"limit_fen": 10**15 + 1}, 422, "limit_fen"),
        ({"limit_fen": 1.5}, 422, "limit_fen"),
        ({"name": ""}, 422, "name"),
        ({"name": "a\nb"}, 422, "name"),
        ({"scope": "nobody"}, 422, "scope"),
        ({"period": "year"}, 422, "period"),
        ({"scope": "project", "name": "none"}, 404, "name"),
        ({"scope": "organisation", "name": "none"}, 404, "name"),
        ({"limit_fen": None}, 404, "name"),
    ],
)
def test_a_budget_that_is_none_names_its_field(net: World, change: dict[str, Any], status: int, field: str) -> None:
    body = {"scope": "person", "name": "alice", "limit_fen": 5, **change}
    reply = net.ask("PUT", "/v1/ledger/budgets", by="olga", json=body)
    assert reply.status_code == status
    assert field in reply.text


def test_the_loop_finds_and_releases_what_nobody_owns_and_tells_it_once(net: World) -> None:
    account = opened(account_id(Owner.PROJECT, "demo"))
    net.store.open_accounts([account, opened(RUNS)])
    net.network.wallets.top_up(net.operator, ProjectId("demo"), 500, "bank")
    name = hold_id(AllocationId("j-gone-1"), 0)
    hold = Transfer(
        id=name,
        chain=name,
        debit=account.id,
        credit=RUNS,
        amount_fen=70,
        code="lease",
        phase=Kind.PENDING,
        timeout_at=NOW + LASTS,
    )
    net.store.post([(hold,)], NOW)
    for _ in range(3):
        net.network.turn()
        net.clock.at += timedelta(minutes=2)
    (event,) = net.ask("GET", "/v1/events", by="olga", params={"kind": "ledger.stray"}).json()["items"]
    assert (event["data"]["fault"], event["data"]["what"], event["data"]["amount_fen"]) == ("orphan", name, 70)
    found = net.store.account(account.id)
    assert found is not None
    assert found.held_fen == 0


def test_the_wallets_page_has_bars_of_what_is_held_and_of_budgets(net: World) -> None:
    mount_web(net.app, net.network)
    budget(net, 40_000)
    running(net, ready(net))
    text = page(net, "/wallet").text
    assert "Held for runs and orders" in text
    assert 'aria-label="Spent ¥0.00, held ¥100.01, left ¥299.99 of ¥400.00"' in text
    assert '<rect class="held" height="1" x="0.00" width="25.00"/>' in text
    chinese = page(net, "/wallet", lang="zh").text
    assert "预算" in chinese
    assert "本月" in chinese
    budget(net, 100)
    assert "It is used up" in page(net, "/wallet").text


def test_budgets_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    assert shell("budget", "set", "person", "alice", "50", by="olga").code == 0
    assert shell("budget", "set", "project", "demo", "99.50", "--period", "total", by="olga").code == 0
    shown = shell("budget", "list").out
    assert "50.00" in shown
    assert "in all" in shown
    assert [row["limit_fen"] for row in shell("budget", "list", "--json").json] == [5000, 9950]
    assert shell("budget", "set", "person", "alice", "1").code == 4
    assert shell("wallet", "limit", "demo", "none", "--json", by="olga").json["limit_fen"] is None
    assert shell("budget", "remove", "person", "bob", by="olga").code == 5
    assert shell("budget", "remove", "person", "alice", by="olga").code == 0
    assert "alice" not in shell("budget", "list").out
