"""Vouchers by every way in: rules, API, command line, page, and the bill that proves what was paid."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.store_values import after
from tests.contract.voucher_suite import a_voucher
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.web.test_web_wallet import page

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Price
from suanwang.trading.evidence import verify
from suanwang.trading.settlement import due, voucher_parts
from suanwang.trading.vouchers import Refusal, Use, check_voucher, payable_fen, refusal
from suanwang.web import mount_web

USE = Use(
    project=ProjectId("demo"),
    organisation="清华",
    provider="guian-cloud",
    owners=("guian-cloud", "乙"),
    region="guizhou",
    device="huawei-ascend-910b",
    domestic=True,
    from_at=after(10),
    to_at=after(20),
)


@pytest.mark.parametrize(
    ("rules", "use", "expected"),
    [
        ({}, {}, None),
        ({"projects": (), "organisations": ("清华",)}, {}, None),
        ({"projects": ("other",)}, {}, Refusal.HOLDER),
        ({"projects": ("other",), "organisations": ("北大",)}, {"organisation": ""}, Refusal.HOLDER),
        ({"providers": ("wuhu-cloud",)}, {}, Refusal.PROVIDER),
        ({"providers": ("guian-cloud",), "regions": ("guizhou",), "devices": ("huawei-ascend-910b",)}, {}, None),
        ({"regions": ("gansu",)}, {}, Refusal.REGION),
        ({"devices": ("nvidia-a100",)}, {}, Refusal.DEVICE),
        ({"devices": ("nvidia-a100",)}, {"device": None}, Refusal.DEVICE),
        ({"domestic": True}, {}, None),
        ({"domestic": True}, {"domestic": False}, Refusal.DOMESTIC),
        ({"from_at": after(11)}, {}, Refusal.DATES),
        ({"until_at": after(19)}, {}, Refusal.DATES),
        ({}, {"organisation": "guian-cloud"}, Refusal.RELATED),
        ({}, {"organisation": "乙"}, Refusal.RELATED),
        ({"related": ("乙",)}, {}, Refusal.RELATED),
        ({"issuer": "guian-cloud"}, {}, Refusal.RELATED),
    ],
)
def test_who_may_use_a_voucher_where(rules: dict[str, Any], use: dict[str, Any], expected: Refusal | None) -> None:
    assert refusal(a_voucher(**rules), replace(USE, **use)) is expected


@given(st.lists(st.integers(0, 500), max_size=12), st.integers(1, 10_000), st.none() | st.integers(1, 900))
def test_what_is_payable_is_the_share_of_the_bill_however_it_is_cut(
    lines: list[int], share_bp: int, cap_fen: int | None
) -> None:
    voucher = a_voucher(share_bp=share_bp, cap_fen=cap_fen)
    total, paid = 0, 0
    for line in lines:
        part = payable_fen(voucher, total, line)
        assert 0 <= part <= line
        total, paid = total + line, paid + part
    whole = total * share_bp // 10_000
    assert paid == (whole if cap_fen is None else min(whole, cap_fen))


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=6).filter(any),
    st.data(),
)
def test_a_vouchers_leg_takes_no_more_of_a_part_than_there_is(
    before: int, amount: int, weights: list[int], data: st.DataObject
) -> None:
    parts = due(before, amount, weights)
    given_fen = data.draw(st.integers(0, amount))
    legs = voucher_parts(parts, given_fen)
    assert sum(legs) == given_fen
    for leg, part in zip(legs, parts, strict=True):
        assert 0 <= leg <= max(part, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_fen": 0}, "amount_fen"),
        ({"share_bp": 10_001}, "share_bp"),
        ({"cap_fen": 0}, "cap_fen"),
        ({"projects": ()}, "projects"),
        ({"until_at": after(0)}, "until_at"),
        ({"providers": ("a", "a")}, "providers"),
        ({"related": (" ",)}, "related"),
    ],
)
def test_a_voucher_that_cannot_be_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_voucher(a_voucher(**changes))
    assert refused.value.field == field


BODY = {
    "id": "cd-1",
    "issuer": "成都",
    "title": "算力券",
    "amount_fen": 100_000,
    "projects": ["demo"],
    "from_at": "2026-01-01T00:00:00+08:00",
    "until_at": "2026-03-02T00:00:00+08:00",
    "share_bp": 3000,
}


@pytest.fixture
def net() -> Iterator[World]:
    """A co-owned site and a budget."""
    with world() as made:
        mount_web(made.app, made.network)
        changed = offering(
            price=Price(core_hour_yuan=Decimal("123.45")), owners={"guian-cloud": "2/3", "wuhu-cloud": "1/3"}
        )
        made.network.sites.change(made.operator, SiteId("guian"), changed)
        fund = {"id": "b1", "issuer": "成都", "amount_fen": 150_000}
        for _ in range(2):
            reply = made.ask("POST", "/v1/vouchers/budgets", by="olga", json=fund)
            assert (reply.status_code, reply.json()) == (201, {"issuer": "成都", "left_fen": 150_000})
        yield made


def issued(net: World, **changes: Any) -> dict[str, Any]:
    reply = net.ask("POST", "/v1/vouchers", by="olga", json={**BODY, **changes})
    assert reply.status_code == 201, reply.text
    row: dict[str, Any] = reply.json()
    return row


def ran(net: World) -> str:
    job, _ = net.run("hello\n")
    net.network.turn()
    return str(job["id"])


def test_it_pays_its_share_of_a_bill_and_the_bill_proves_it(net: World) -> None:
    issued(net)
    job = ran(net)
    billed = net.ask("GET", f"/v1/jobs/{job}").json()["billed_fen"]
    (row,) = net.ask("GET", "/v1/vouchers").json()["items"]
    assert row["used_fen"] == billed * 3 // 10 > 0
    assert row["left_fen"] == 100_000 - row["used_fen"]
    assert -net.ask("GET", "/v1/ledger/account", params={"account": "project:demo"}).json()["balance_fen"] == (
        billed - row["used_fen"]
    )
    document = net.ask("GET", f"/v1/bills/{job}/evidence").json()
    finding = verify(document)
    assert (finding.failures, finding.voucher_fen, finding.unsettled) == ((), row["used_fen"], ())
    text = page(net, f"/wallet/lines/{document['usage'][0]['leaf']['id']}").text
    assert re.search(r"<td>Voucher [\w-]+</td><td[^>]*>(<a[^>]*>)?Provider guian-cloud", text), "whom it paid is said"
    paid = text[text.index("Who was paid") : text.index("</tbody>", text.index("Who was paid"))]
    assert "-¥" not in paid
    for at, each in enumerate(document["transfers"]):
        forged = copy.deepcopy(document)
        forged["transfers"][at]["leaf"]["amount_fen"] += 1
        assert not verify(forged).holds
        if each["leaf"]["phase"] == "post":
            for name, value in (("debit", "voucher:other"), ("phase", "direct"), ("pending_id", "x")):
                forged = copy.deepcopy(document)
                forged["transfers"][at]["leaf"][name] = value
                assert not verify(forged).holds
    assert net.store.audit().wrong == ()


def test_the_supervisor_sees_what_became_of_each(net: World) -> None:
    issued(net)
    ran(net)
    (row,) = net.ask("GET", "/v1/vouchers/report", by="rita").json()["items"]
    (use,) = row["uses"]
    assert (use["project"], use["provider"], use["site"], use["jobs"]) == ("demo", "guian-cloud", "guian", 1)
    assert use["amount_fen"] == row["voucher"]["used_fen"] < use["billed_fen"]
    for by, status in (("alice", 403), ("guian", 403), ("olga", 200)):
        assert net.ask("GET", "/v1/vouchers/report", by=by).status_code == status
    assert net.ask("GET", "/v1/vouchers", by="bob").json()["items"] == []
    assert net.ask("GET", "/v1/vouchers", by="guian").status_code == 403
    text = page(net, "/vouchers", "rita").text
    assert "Who used them where" in text
    assert f"¥{use['amount_fen'] / 100:,.2f}" in text
    own = page(net, "/vouchers").text
    assert "cd-1" in own
    assert "Who used them where" not in own
    assert "算力券" in page(net, "/vouchers", lang="zh").text
    assert "No voucher yet" in page(net, "/vouchers", "bob").text
    assert page(net, "/vouchers", cursor="x").status_code == 422


def test_a_related_party_gets_nothing_of_it(net: World) -> None:
    issued(net)
    labels = {"organisation": "wuhu-cloud"}
    assert net.ask("PUT", "/v1/projects/demo/labels", by="olga", json=labels).json()["labels"] == labels
    ran(net)
    assert net.ask("GET", "/v1/vouchers").json()["items"][0]["used_fen"] == 0


def test_one_by_choice_waits_to_be_chosen_and_a_job_keeps_its_first(net: World) -> None:
    issued(net, automatic=False)
    issued(net, id="cd-2", amount_fen=1, automatic=False)
    ran(net)
    assert net.ask("GET", "/v1/vouchers/report", by="rita").json()["items"][1]["voucher"]["used_fen"] == 0
    job = net.submit("second")["id"]
    for by, voucher, status in (
        ("bob", "cd-1", 404),
        ("guian", "cd-1", 404),
        ("rita", "cd-1", 404),
        ("alice", "none", 404),
        ("alice", "cd-1", 201),
        ("alice", "cd-1", 201),
        ("alice", "cd-2", 409),
    ):
        reply = net.ask("POST", f"/v1/vouchers/{voucher}/jobs", by=by, json={"job": job})
        assert reply.status_code == status, (by, voucher)
    agent = net.agent()
    agent.tell()
    net.network.turn()
    agent.run_all("x\n")
    net.network.turn()
    used = {row["id"]: row["used_fen"] for row in net.ask("GET", "/v1/vouchers").json()["items"]}
    assert used["cd-1"] > 0
    assert used["cd-2"] == 0
    net.clock.at += timedelta(days=3)
    late = net.submit("late")["id"]
    assert net.ask("POST", "/v1/vouchers/cd-2/jobs", json={"job": late}).status_code == 409


def test_what_is_left_goes_back_when_it_ends(net: World) -> None:
    issued(net)
    ran(net)
    used = net.ask("GET", "/v1/vouchers").json()["items"][0]["used_fen"]
    net.clock.at += timedelta(days=3)
    net.network.turn()
    (row,) = net.ask("GET", "/v1/vouchers").json()["items"]
    assert (row["used_fen"], row["left_fen"], row["returned_fen"]) == (used, 0, 100_000 - used)
    assert row["closed_at"]
    account = net.ask("GET", "/v1/ledger/account", by="rita", params={"account": "issuer:成都"}).json()
    assert account["balance_fen"] == 150_000 - used


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"amount_fen": 150_001}, 409),
        ({"amount_fen": 1.5}, 422),
        ({"until_at": "2026-03-02"}, 422),
        ({"until_at": "2026-02-28T00:00:00+08:00"}, 422),
        ({"projects": ["none"]}, 422),
        ({"projects": []}, 422),
        ({"devices": ["none such"]}, 422),
        ({"share_bp": 0}, 422),
        ({"id": "UP"}, 422),
        ({"issuer": "a\nb"}, 422),
        ({"colour": "red"}, 422),
    ],
)
def test_a_voucher_that_is_none_is_refused_and_moves_nothing(net: World, change: dict[str, Any], status: int) -> None:
    reply = net.ask("POST", "/v1/vouchers", by="olga", json={**BODY, **change})
    assert reply.status_code == status
    assert net.ask("GET", "/v1/vouchers", by="olga").json()["items"] == []
    account = net.ask("GET", "/v1/ledger/account", by="olga", params={"account": "issuer:成都"}).json()
    assert account["balance_fen"] == 150_000


def test_only_the_operator_enters_money_and_labels(net: World) -> None:
    for by in ("alice", "guian", "rita"):
        assert net.ask("POST", "/v1/vouchers", by=by, json=BODY).status_code == 403
        fund = {"id": "b2", "issuer": "成都", "amount_fen": 1}
        assert net.ask("POST", "/v1/vouchers/budgets", by=by, json=fund).status_code == 403
        assert net.ask("PUT", "/v1/projects/demo/labels", by=by, json={"team": "x"}).status_code == 403
    assert net.ask("PUT", "/v1/projects/none/labels", by="olga", json={"team": "x"}).status_code == 404
    assert net.ask("PUT", "/v1/projects/demo/labels", by="olga", json={"colour": "x"}).status_code == 422
    assert net.ask("PUT", "/v1/projects/demo/labels", by="olga", json={"team": "a\nb"}).status_code == 422


def test_vouchers_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    assert "170000" in shell("voucher", "budget", "重庆", "1700", "--key", "k", "--json", by="olga").out
    words = (
        "--issuer",
        "重庆",
        "--until",
        "2026-04-01",
        "--from",
        "2026-01-01",
        "--project",
        "demo",
        "--share",
        "12.5",
    )
    done = shell("voucher", "issue", "cq-1", "500", *words, "--cap", "20", "--by-choice", "--json", by="olga")
    assert (done.json["share_bp"], done.json["cap_fen"], done.json["automatic"]) == (1250, 2000, False)
    job = ran(net)
    assert shell("voucher", "use", "cq-1", job).code == 0
    assert "cq-1" in shell("voucher", "list").out
    assert "cq-1" in shell("voucher", "report", by="rita").out
    assert shell("voucher", "report").code == 4
    assert shell("voucher", "issue", "cq-2", "500", *words[:-1], "0", by="olga").code == 2
    assert "清华" in shell("project", "label", "demo", "--organisation", "清华", by="olga").out
    assert "清华" in shell("project", "list").out
