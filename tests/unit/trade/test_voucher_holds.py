"""What a start holds where a voucher pays a part: told before, held of both, and what becomes of it when the voucher ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.api_world import NOW, World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_budgets import LIMITLESS, goes_on, ready, running, stored
from tests.unit.web.test_web_wallet import page

from suanwang import catalog
from suanwang.domain.connector import RunState
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import Asked, Discount
from suanwang.domain.site import Price
from suanwang.trading.evidence import verify
from suanwang.web import mount_web

TARIFF = catalog.tariff_area("贵州").tariff
TASK = {"name": "hello", "run": "true", **LIMITLESS}


@pytest.fixture
def net() -> Iterator[World]:
    """A core costs ¥100 an hour, so that a start holds 10,001 fen; the project is prepaid and has ¥40."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
        made.network.wallets.top_up(made.operator, ProjectId("demo"), 4_000, "bank")
        made.network.wallets.set_limit(made.operator, ProjectId("demo"), 0)
        yield made


def issued(net: World, amount_fen: int = 100_000, **changes: Any) -> None:
    fund = {"id": "b1", "issuer": "成都", "amount_fen": 1_000_000}
    assert net.ask("POST", "/v1/vouchers/budgets", by="olga", json=fund).status_code == 201
    body = {
        "id": "cd-1",
        "issuer": "成都",
        "amount_fen": amount_fen,
        "projects": ["demo"],
        "from_at": NOW.isoformat(),
        "until_at": (NOW + timedelta(days=90)).isoformat(),
        "share_bp": 7000,
        **changes,
    }
    reply = net.ask("POST", "/v1/vouchers", by="olga", json=body)
    assert reply.status_code == 201, reply.text


def purses(net: World) -> tuple[tuple[int, int], tuple[int, int]]:
    """(balance, held) of the project and of the voucher."""
    found = [net.store.account(name) for name in ("project:demo", "voucher:cd-1")]  # type: ignore[arg-type]
    mine, voucher = ((0, 0) if each is None else (each.balance_fen, each.held_fen) for each in found)
    return mine, voucher


def blocked(net: World) -> list[Any]:
    return [each.data for each in net.store.events(0, 10_000, kind="ledger.blocked")]


def test_who_has_little_starts_with_a_good_voucher(net: World) -> None:
    agent, job = ready(net), net.submit(**LIMITLESS)
    net.network.turn()
    assert agent.tell().start == (), "¥100.01 are more than ¥40"
    issued(net)
    net.network.turn()
    assert len(agent.tell().start) == 1
    assert purses(net) == ((4_000, 3_001), (100_000, 7_000))
    assert net.store.bound_vouchers([job["id"]]) == {job["id"]: "cd-1"}
    assert goes_on(net, agent, job, 0.5) is not None
    goes_on(net, agent, job, 1 / 60, ended=RunState.SUCCEEDED)
    net.network.turn()
    billed = stored(net, job).billed_fen
    assert purses(net) == ((4_000 - (billed - billed * 7 // 10), 0), (100_000 - billed * 7 // 10, 0))
    assert blocked(net) == []


def test_what_a_start_holds_and_a_voucher_pays_is_told_before(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ready(net)
    issued(net)
    (task,) = net.ask("POST", "/v1/jobs/preview", json={"tasks": [TASK]}).json()["tasks"]
    assert task["holds"] == {"own_fen": 3_001, "voucher": "cd-1", "voucher_fen": 7_000}
    assert task["why"]["chosen"]["figures"]["voucher"]["voucher"] == "cd-1"
    short = b"name: hello\nrun: 'true'\nresources: {cores: 1, time_limit: 1h}\n"
    quote = net.ask("POST", "/v1/quotes", content=short, headers={"Content-Type": "text/plain"})
    (offer,) = quote.json()["offers"]
    assert offer["price_yuan"]["mid"] == pytest.approx(100)
    assert offer["voucher"] == {"voucher": "cd-1", "yuan": pytest.approx(70, abs=0.01)}
    text = page(net, f"/quotes/{quote.json()['id']}").text
    assert "of it ¥70.00 by voucher cd-1" in text
    yaml = "name: hello\nrun: 'true'\nresources: {cores: 1, time_limit: 24h}\n"
    (tmp_path / "task.yaml").write_text(yaml)
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    out = shell("submit", "task.yaml", "--preview").out
    assert "a start holds ¥30.01 of demo and ¥70.00 of voucher cd-1" in " ".join(out.split())
    assert "By voucher" in out


def test_reasons_say_the_price_after_discounts_and_the_voucher_apart(net: World) -> None:
    agent = ready(net)
    issued(net)
    discounts = (Discount(name="autumn", percent=Decimal(10)),)
    asked = Asked(core_hour_yuan=Decimal(80), discounts=discounts)
    net.network.prices.publish(net.operator, SiteId("guian"), asked)
    net.clock.at += timedelta(seconds=2)
    agent.tell()
    task: dict[str, Any] = {"resources": {"cores": 1, "time_limit": "1h"}}
    (preview,) = net.ask("POST", "/v1/jobs/preview", json={"tasks": [{**TASK, **task}]}).json()["tasks"]
    job = net.submit(**task)
    net.network.turn()
    explained = net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()
    for why in (preview["why"], explained["why"]):
        figures = why["chosen"]["figures"]
        assert figures["price_yuan"] == pytest.approx(72)
        assert figures["voucher"] == {"voucher": "cd-1", "yuan": pytest.approx(50.4, abs=0.01)}
    text = page(net, f"/jobs/{job['id']}").text
    assert "¥72.00" in text
    assert "of it ¥50.40 by voucher cd-1" in text


def test_what_a_job_is_kept_for_says_the_voucher_of_that_hour(net: World) -> None:
    issued(net)
    price = Price(core_hour_yuan=Decimal(0), electricity=TARIFF, electricity_passed_on=True)
    net.network.sites.change(net.operator, SiteId("guian"), offering(price=price))
    ready(net)
    task: dict[str, Any] = {"resources": {"cores": 8, "time_limit": "1h"}, "flexibility": {"may_wait": "24h"}}
    job = net.submit(**task)
    net.network.turn()
    hold = net.ask("GET", f"/v1/jobs/{job['id']}").json()["hold"]
    for figures in (hold["expect"], hold["instead"]["figures"]):
        fen = math.ceil(figures["price_yuan"] * 100)
        assert figures["voucher"] == {"voucher": "cd-1", "yuan": fen * 7 // 10 / 100}
    assert hold["expect"]["price_yuan"] < hold["instead"]["figures"]["price_yuan"]
    assert "by voucher cd-1" in page(net, f"/jobs/{job['id']}").text


def test_where_a_voucher_does_not_suffice_both_are_told(net: World) -> None:
    agent = ready(net)
    issued(net, 2_000)
    job = net.submit(**LIMITLESS)
    net.network.turn()
    assert agent.tell().start == ()
    (excluded,) = net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()["why"]["excluded"]
    assert (excluded["need"], excluded["have"]) == ("¥80.01 + ¥20.00 (voucher:cd-1)", "¥40.00 (project:demo)")


def test_the_second_of_two_starts_finds_the_voucher_held(net: World) -> None:
    agent = ready(net)
    issued(net, 8_000)
    first, second = net.submit("a", **LIMITLESS), net.submit("b", **LIMITLESS)
    net.network.turn()
    assert len(agent.tell().start) == 1
    (excluded,) = net.ask("GET", f"/v1/jobs/{second['id']}/explain").json()["why"]["excluded"]
    assert (excluded["need"], excluded["have"]) == ("¥90.01 + ¥10.00 (voucher:cd-1)", "¥9.99 (project:demo)")
    assert net.store.bound_vouchers([first["id"], second["id"]]) == {first["id"]: "cd-1"}


def test_a_run_that_only_a_voucher_pays_ends_with_it(net: World) -> None:
    agent = ready(net)
    issued(net, share_bp=10_000, until_at=(NOW + timedelta(minutes=90)).isoformat())
    net.network.wallets.set_limit(net.operator, ProjectId("demo"), 0)
    net.store.post([_spent(net)], net.clock.now())
    job = running(net, agent)
    assert purses(net) == ((0, 0), (100_000, 10_001))
    goes_on(net, agent, job, 84 / 60)
    assert net.store.events(0, 10_000, kind="job.unpaid") == []
    assert stored(net, job).state is JobState.RUNNING
    goes_on(net, agent, job, 3 / 60)
    asked = net.store.events(0, 10_000, kind="job.unpaid")
    assert [event.data["purse"] for event in asked] == ["project:demo + voucher:cd-1"]
    assert net.clock.at < NOW + timedelta(minutes=90), "in time"
    goes_on(net, agent, job, 1 / 60, ended=RunState.CANCELLED)
    assert stored(net, job).state is JobState.CANCELLED
    net.network.turn()
    assert purses(net)[0] == (0, 0)
    assert purses(net)[1][0] == 100_000 - stored(net, job).billed_fen
    assert blocked(net) == []
    assert verify(net.ask("GET", f"/v1/bills/{job['id']}/evidence").json()).failures == ()


def test_a_run_goes_on_at_its_projects_own_cost_when_its_voucher_ends(net: World) -> None:
    agent = ready(net)
    net.network.wallets.top_up(net.operator, ProjectId("demo"), 100_000, "more")
    issued(net, share_bp=10_000, until_at=(NOW + timedelta(minutes=90)).isoformat())
    job = running(net, agent)
    goes_on(net, agent, job, 0.75)
    assert purses(net)[0] == (104_000, 10_001), "from an hour before its end the project holds what comes after"
    goes_on(net, agent, job, 1.25)
    own, _ = purses(net)
    assert 104_000 - own[0] == pytest.approx(30 * 10_000 / 60, abs=400)
    goes_on(net, agent, job, 1 / 60, ended=RunState.SUCCEEDED)
    for _ in range(2):
        net.network.turn()
    assert purses(net)[1] == (0, 0), "what is left went back"
    assert net.store.audit().wrong == ()


def _spent(net: World) -> Any:
    from suanwang.trading.ledger import BANK, Transfer, account_id
    from suanwang.trading.ledger import Owner as Whose

    payer = account_id(Whose.PROJECT, "demo")
    return (Transfer(id="out", chain="out", debit=payer, credit=BANK, amount_fen=4_000, code="payout"),)
