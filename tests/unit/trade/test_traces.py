"""From a job's first event to the last fen in each account, and back from a transfer to the job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_market_api import client, listed, order
from tests.unit.trade.test_vouchers import BODY

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """Two jobs at a site of two owners, the second paid in part by a voucher; and rights that were bought."""
    with world() as made:
        dear = offering(price=Price(core_hour_yuan=Decimal("77.7")), owners={"guian-cloud": "1/2", "university": "1/2"})
        made.network.sites.change(made.operator, SiteId("guian"), dear)
        made.jobs = [made.run("x\n", name="first")[0]["id"]]  # type: ignore[attr-defined]
        made.network.turn()
        made.ask("POST", "/v1/vouchers/budgets", by="olga", json={"id": "b", "issuer": "成都", "amount_fen": 10_000})
        made.ask("POST", "/v1/vouchers", by="olga", json={**BODY, "id": "v1", "amount_fen": 30})
        made.jobs.append(made.run("x\n", name="second")[0]["id"])  # type: ignore[attr-defined]
        for _ in range(2):
            made.clock.at += timedelta(minutes=2)
            made.network.turn()
        listed(made)
        client(made).place_order(order("cores-order-1"))
        yield made


def trace(net: World, of: str, by: str = "alice") -> dict[str, Any]:
    reply = net.ask("GET", "/v1/trace", by=by, params={"of": of})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_every_fen_of_a_job_is_followed_to_an_account(net: World) -> None:
    for job in net.jobs:  # type: ignore[attr-defined]
        found = trace(net, job)
        assert found["events"][0]["kind"] == "job.accepted"
        assert found["events"][-1]["kind"] == "job.succeeded"
        assert [each["usage"]["id"] for each in found["records"]] == [
            each["line"]["usage_id"] for each in found["records"]
        ]
        assert sum(each["line"]["amount_fen"] for each in found["records"]) == found["billed_fen"] > 0
        gained = {each["account"]: each["change_fen"] for each in found["accounts"]}
        assert sum(gained.values()) == 0
        paid = -sum(fen for account, fen in gained.items() if account.startswith(("project:", "voucher:")))
        assert paid == found["billed_fen"] == net.ask("GET", f"/v1/jobs/{job}").json()["billed_fen"]
        assert {"provider:guian-cloud", "provider:university", "operator:network"} <= gained.keys()
    assert "voucher:v1" in gained, "the second was paid in part by a voucher"
    kinds = [transfer["phase"] for each in found["records"] for transfer in each["transfers"]]
    assert {"pending", "post", "direct"} <= set(kinds), "what was held for it is there too"


def test_all_jobs_together_are_the_accounts(net: World) -> None:
    total: dict[str, int] = {}
    for job in net.jobs:  # type: ignore[attr-defined]
        for each in trace(net, job, by="rita")["accounts"]:
            total[each["account"]] = total.get(each["account"], 0) + each["change_fen"]
    params = {"account": "provider:university", "limit": 500}
    moved = net.ask("GET", "/v1/ledger/transfers", by="rita", params=params).json()["items"]
    earned = sum(each["amount_fen"] for each in moved if each["chain"].startswith("bill/"))
    assert total["provider:university"] == earned > 0


def test_back_from_a_transfer_to_the_job(net: World) -> None:
    job = net.jobs[1]  # type: ignore[attr-defined]
    whole = trace(net, job)
    for record in whole["records"]:
        assert trace(net, record["usage"]["id"])["job"] == job
        for transfer in record["transfers"]:
            back = trace(net, transfer["id"], by="rita")
            assert back["job"] == job
            assert back["origin"]["transfer"] == transfer
            assert back["origin"]["usage"] == record["usage"]["id"]
            assert {**back, "origin": None} == trace(net, job, by="rita")
    bought = trace(net, "trade/cores-order-1/0")
    assert (bought["job"], bought["origin"]["of"], bought["origin"]["name"]) == (None, "trade", "cores-order-1")


def test_who_sees_what(net: World) -> None:
    job = net.jobs[0]  # type: ignore[attr-defined]
    found = trace(net, job, by="guian")
    assert found["events"] == []
    assert found["records"] == trace(net, job)["records"]
    (paid, *_) = found["records"][0]["transfers"]
    for by, of in (
        ("bob", job),
        ("wuhu", job),
        ("bob", paid["id"]),
        ("wuhu", paid["id"]),
        ("alice", "j-none"),
        ("alice", "a/b"),
    ):
        assert net.ask("GET", "/v1/trace", by=by, params={"of": of}).status_code == 404
    assert net.ask("GET", "/v1/trace", params={"of": f"{job}-1:999"}).status_code == 404


def test_followed_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell, job = Shell(net, monkeypatch, capsys, tmp_path), net.jobs[1]  # type: ignore[attr-defined]
    done = shell("trace", job)
    assert done.code == 0, done.err
    for words in ("job.accepted", "provider:university", "voucher:v1", " held)"):
        assert words in done.out
    record = shell("trace", job, "--json").json["records"][-1]
    one = shell("trace", record["line"]["usage_id"]).out
    assert f"suanwang trace {job}" in one
    assert all(each["id"] in one for each in record["transfers"])
    assert f"{job}-1:1 " not in one
    assert " held)" in shell("wallet", "show", "project:demo").out
    transfer = shell("trace", job, "--json").json["records"][0]["transfers"][0]["id"]
    assert job in shell("trace", transfer).out
    assert "of trade cores-order-1" in shell("trace", "trade/cores-order-1/0").out
    assert shell("trace", "a/b").code != 0
