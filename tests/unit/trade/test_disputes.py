"""Disputes by every way in: shares of a credit, deadline, rights, API, command line, page, and what the ledger says after."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_meters import ran
from tests.unit.trade.test_vouchers import issued
from tests.unit.web.test_web_wallet import page

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.exchange import Phase, RunReport
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.trading.disputes import MOST_STATEMENTS, credit_shares
from suanwang.trading.evidence import verify
from suanwang.trading.ledger import BANK, AccountId, Transfer
from suanwang.trading.settlement import opened as new_account
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION


@pytest.mark.parametrize("credit", [0, 101])
def test_a_credit_is_a_part_of_what_was_paid(credit: int) -> None:
    with pytest.raises(InvalidRequest, match="part of what was paid"):
        credit_shares(credit, [60, 40])


@pytest.fixture
def net() -> Iterator[World]:
    """A co-owned site, a voucher that pays 30 %, and one job that was billed and settled."""
    with world() as made:
        mount_web(made.app, made.network)
        changed = offering(
            price=Price(core_hour_yuan=Decimal("1234.56")), owners={"guian-cloud": "2/3", "wuhu-cloud": "1/3"}
        )
        made.network.sites.change(made.operator, SiteId("guian"), changed)
        made.ask("POST", "/v1/vouchers/budgets", by="olga", json={"id": "b1", "issuer": "成都", "amount_fen": 150_000})
        issued(made)
        made.run("hello\n")
        made.network.turn()
        yield made


def a_line(net: World) -> dict[str, Any]:
    lines: list[dict[str, Any]] = net.ask("GET", "/v1/bills/lines").json()["items"]
    return next(line for line in lines if line["amount_fen"] > 100)


def balances(net: World) -> dict[str, int]:
    return {account.id: account.balance_fen for account in net.store.accounts(None, None, 100)[0]}


def opened(net: World, text: str = "It never began.") -> dict[str, Any]:
    line = a_line(net)
    reply = net.ask("POST", "/v1/disputes", json={"usage": line["usage_id"], "text": text})
    assert reply.status_code == 201, reply.text
    return line


def decided(net: World, line: dict[str, Any], credit_fen: int, text: str = "So it is.") -> Any:
    path = f"/v1/disputes/{line['usage_id']}/decision"
    return net.ask("POST", path, by="olga", json={"credit_fen": credit_fen, "text": text})


def test_both_are_heard_and_a_credit_goes_back_the_ways_it_came(net: World) -> None:
    before = balances(net)
    line = opened(net)
    usage = line["usage_id"]
    assert opened(net)["usage_id"] == usage, "sending it again is harmless"
    assert net.ask("POST", "/v1/disputes", json={"usage": usage, "text": "Other words."}).status_code == 409
    said = net.ask("POST", f"/v1/disputes/{usage}/statements", by="guian", json={"text": "The log shows that it ran."})
    assert [step["side"] for step in said.json()["steps"]] == ["project", "provider"]
    credit = line["amount_fen"] // 2
    done = decided(net, line, credit)
    assert done.status_code == 201, done.text
    assert decided(net, line, credit).json() == done.json()
    assert decided(net, line, credit - 1).status_code == 409
    assert (done.json()["state"], done.json()["credit_fen"]) == ("credited", credit)
    moved = {name: fen - before[name] for name, fen in balances(net).items() if fen != before[name]}
    assert set(moved) == {
        "project:demo",
        "provider:guian-cloud",
        "provider:wuhu-cloud",
        "operator:network",
        "voucher:cd-1",
    }
    assert moved["project:demo"] + moved["voucher:cd-1"] == credit
    assert sum(moved.values()) == 0
    assert abs(moved["voucher:cd-1"] - credit * 0.3) < 3, "each of its three legs is less than a fen from exact"
    assert abs(moved["operator:network"] + credit * 0.02) < 2
    assert net.store.audit().wrong == ()
    (row,) = net.ask("GET", "/v1/vouchers").json()["items"]
    assert row["amount_fen"] == row["used_fen"] + row["left_fen"]
    (use,) = net.ask("GET", "/v1/vouchers/report", by="rita").json()["items"][0]["uses"]
    assert use["amount_fen"] == row["used_fen"]
    for step in done.json()["steps"]:
        assert json.loads(net.store.leaves([step["leaf"]])[step["leaf"]])["text"] == step["text"]
    kinds = [each["kind"] for each in net.ask("GET", "/v1/events", by="rita").json()["items"]]
    assert [kind for kind in kinds if kind.startswith("dispute")] == [
        "dispute.opened",
        "dispute.stated",
        "dispute.credited",
    ]
    assert verify(net.ask("GET", f"/v1/bills/{line['job']}/evidence").json()).holds, "the bill stands as it was"


def test_a_credit_is_a_line_of_the_month_it_was_decided_in(net: World) -> None:
    line, march = opened(net), {"from_at": "2026-03-01T00:00:00+08:00", "to_at": "2026-04-01T00:00:00+08:00"}
    april = {"from_at": march["to_at"], "to_at": "2026-05-01T00:00:00+08:00"}
    body = {"scope": "person", "name": "alice", "limit_fen": 10**6}
    net.ask("PUT", "/v1/ledger/budgets", by="olga", json={**body, "period": "total"})
    (budget,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    before, first = balances(net), net.ask("GET", "/v1/invoices/demo/2026-03").content
    net.clock.at += timedelta(days=31)
    credit = line["amount_fen"] // 2
    assert decided(net, line, credit).status_code == 201
    got = balances(net)["project:demo"] - before["project:demo"]
    assert net.ask("GET", "/v1/invoices/demo/2026-03").content == first, "a month that is over stays as it is"
    assert json.loads(first)["due_fen"] == -before["project:demo"]
    made = net.ask("GET", "/v1/invoices/demo/2026-04").json()
    (back,) = made["credits"]
    assert (back["usage"], back["job"], back["owner"]) == (line["usage_id"], line["job"], "alice")
    assert (made["credited_fen"], made["amount_fen"], made["due_fen"]) == (credit, -credit, -got)
    assert 0 < -made["voucher_fen"] == credit - got
    for month in ("2026-03", "2026-04"):
        assert net.ask("GET", f"/v1/invoices/demo/{month}/rerated").json()["identical"]
        for kind, name in (("invoice", f"demo/{month}"), ("statement", f"{month}/person")):
            paper = net.ask("GET", f"/v1/evidence/{kind}", params={"name": name}).json()
            assert verify(paper).holds
    paper = net.ask("GET", "/v1/evidence/invoice", params={"name": "demo/2026-04"}).json()
    paper["document"]["credits"][0]["amount_fen"] -= 1
    assert {"credited_fen"} <= {each.where for each in verify(paper).failures}
    for by in ("alice", "guian", "rita"):
        (row,) = net.ask("GET", "/v1/statements/2026-04", by=by, params={"by": "site"}).json()["items"]
        assert (row["name"], row["amount_fen"], row["credited_fen"]) == ("guian", -credit, credit)
    for times, due in ((march, -before["project:demo"]), (april, -got)):
        text = net.ask("GET", "/v1/bills/export", params={**times, "format": "focus"}).text
        assert sum(Decimal(row["BilledCost"]) for row in csv.DictReader(io.StringIO(text))) * 100 == due
    (event,) = net.ask("GET", "/v1/bills/export", params={**april, "format": "cloudevents"}).json()
    assert (event["credits"], event["data"]["amount_fen"]) == (line["usage_id"], -credit)
    ogf = net.ask("GET", "/v1/bills/export", params={**april, "format": "ogf"}).text
    assert f'<urf:Charge urf:unit="CNY">{Decimal(-credit) / 100:.2f}<' in ogf
    assert net.ask("GET", "/v1/invoices/demo/2026-04/pdf").content.startswith(b"%PDF")
    (left,) = net.ask("GET", "/v1/ledger/budgets").json()["items"]
    assert budget["spent_fen"] - left["spent_fen"] == got


def test_the_whole_line_restores_every_party(net: World) -> None:
    line = opened(net)
    before = balances(net)
    settled = net.store.chain_entries([f"bill/{line['usage_id']}"])
    assert decided(net, line, line["amount_fen"]).status_code == 201
    after = balances(net)
    for name in before:
        got = sum(e.transfer.amount_fen for e in settled if e.transfer.credit == name)
        gave = sum(e.transfer.amount_fen for e in settled if e.transfer.debit == name)
        assert after[name] - before[name] == gave - got


def test_what_goes_to_a_voucher_that_ended_goes_to_its_issuer(net: World) -> None:
    line = opened(net)
    net.clock.at += timedelta(days=2)
    net.network.turn()
    before = balances(net)
    assert decided(net, line, line["amount_fen"]).status_code == 201
    moved = {name: fen - before[name] for name, fen in balances(net).items() if fen != before[name]}
    assert "voucher:cd-1" not in moved
    assert moved["issuer:成都"] > 0
    (row,) = net.ask("GET", "/v1/vouchers").json()["items"]
    assert (row["left_fen"], row["returned_fen"]) == (0, row["amount_fen"] - row["used_fen"])


def test_what_cannot_be_given_back_keeps_the_dispute_open(net: World) -> None:
    line = opened(net)
    held = net.store.account(AccountId("provider:wuhu-cloud"))
    assert held is not None
    paid = Transfer(id="x", chain="x", debit=held.id, credit=BANK, amount_fen=held.balance_fen, code="payout")
    net.store.open_accounts([new_account(BANK)])
    net.store.post([(paid,)], net.clock.at)
    reply = decided(net, line, line["amount_fen"])
    assert reply.status_code == 409
    assert "provider:wuhu-cloud cannot give its part back now" in reply.json()["detail"]
    assert net.ask("GET", f"/v1/disputes/{line['usage_id']}").json()["state"] == "open"
    assert decided(net, line, 0, "Enough was said.").json()["state"] == "rejected"


def test_what_a_correction_took_back_is_not_given_back_again() -> None:
    with world() as net:
        net.network.sites.change(net.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal("7.77"))))
        job = ran(net, scheduler=(0, 10), seen=(0, 20))
        (correction, *_) = [record for record in net.store.usage_records(job) if record.corrects is not None]
        lines = {line.usage_id: line.amount_fen for line in net.network.bills.of_job(job)}
        assert correction.corrects is not None
        whole, taken = lines[correction.corrects], -lines[correction.id]
        assert 0 < taken < whole
        net.network.disputes.open(net.network.people.authenticate("secret-of-alice"), correction.corrects, "Too long.")
        with pytest.raises(InvalidRequest, match="taken back by a correction already") as refused:
            net.network.disputes.decide(net.operator, correction.corrects, whole - taken + 1, "All of it.")
        assert refused.value.allowed == f"0 to {whole - taken}"
        done = net.network.disputes.decide(net.operator, correction.corrects, whole - taken, "The rest of it.")
        assert done.state == "credited"
        assert net.store.audit().wrong == ()


def test_a_credit_waits_for_the_end_of_the_run(net: World) -> None:
    net.submit("long", resources={"cores": 8, "time_limit": "4h"})
    agent = net.agent()
    agent.tell()
    net.network.turn()
    (lease,) = agent.tell().start
    common: dict[str, Any] = {"allocation_id": lease.allocation_id, "epoch": lease.epoch, "phase": Phase.RUNNING}
    began = net.clock.at
    for _ in range(3):
        net.clock.at += timedelta(seconds=70)
        agent.tell(RunReport(**common, started_at=began, seen_at=net.clock.at, seen_from=began))
        net.network.turn()
    line = next(net.network.bills.of_job(lease.job_id))
    body = {"usage": line.usage_id, "text": "Too dear."}
    assert net.ask("POST", "/v1/disputes", json=body).status_code == 201
    reply = net.ask("POST", f"/v1/disputes/{line.usage_id}/decision", by="olga", json={"credit_fen": 1, "text": "Yes."})
    assert reply.status_code == 409
    assert "the run goes on" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("by", "usage", "text", "status"),
    [
        ("bob", None, "Mine?", 404),
        ("rita", None, "I watch.", 403),
        ("olga", None, "I decide.", 403),
        ("wuhu", None, "A co-owner is not asked.", 403),
        ("alice", "j-none-1:1", "What?", 404),
        ("alice", None, "  ", 422),
        ("alice", None, "x" * 4001, 422),
        ("guian", None, "We billed too much.", 201),
    ],
)
def test_who_may_open_one(net: World, by: str, usage: str | None, text: str, status: int) -> None:
    body = {"usage": usage or a_line(net)["usage_id"], "text": text}
    assert net.ask("POST", "/v1/disputes", by=by, json=body).status_code == status


def test_there_is_a_deadline_and_an_end_of_words(net: World) -> None:
    line = a_line(net)
    end = timedelta(days=net.network.rules.dispute_days)
    net.clock.at = net.network.bills.line(net.operator, line["usage_id"]).to_at + end + timedelta(seconds=1)
    late = net.ask("POST", "/v1/disputes", json={"usage": line["usage_id"], "text": "Only now?"})
    assert late.status_code == 422
    assert "within 30 days" in late.json()["allowed"]
    assert "that time is over" in page(net, f"/wallet/lines/{line['usage_id']}").text
    net.clock.at -= timedelta(seconds=2)
    opened(net)
    path = f"/v1/disputes/{line['usage_id']}"
    assert decided(net, line, line["amount_fen"] + 1).status_code == 422
    for number in range(MOST_STATEMENTS - 1):
        assert net.ask("POST", f"{path}/statements", json={"text": f"And {number}"}).status_code in (201, 422)
    assert net.ask("POST", f"{path}/statements", by="guian", json={"text": "No."}).status_code == 201
    assert net.ask("POST", f"{path}/statements", json={"text": "One more"}).status_code == 422
    assert decided(net, line, 0).json()["state"] == "rejected"
    assert net.ask("POST", f"{path}/statements", json={"text": "But"}).status_code == 409
    assert net.ask("GET", "/v1/disputes", params={"open": "true"}).json()["items"] == []
    assert len(net.ask("GET", "/v1/disputes", by="guian").json()["items"]) == 1
    assert net.ask("GET", "/v1/disputes", by="bob").json()["items"] == []


def post(net: World, path: str, by: str, **fields: str) -> Any:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}", "Origin": "http://network"}
    return net.ask("POST", path, by=None, headers=headers, data=fields)


def test_the_page_opens_answers_and_decides(net: World) -> None:
    usage = a_line(net)["usage_id"]
    path = f"/wallet/lines/{usage}"
    assert "Dispute this line" in page(net, path).text
    assert "Dispute this line" not in page(net, path, "rita").text
    assert post(net, f"{path}/dispute", "alice", text="It never <began>.").status_code == 303
    text = page(net, path, "guian").text
    assert "It never &lt;began&gt;." in text
    assert "Add the statement" in text
    assert post(net, f"{path}/statements", "guian", text="It did.").status_code == 303
    wrong = post(net, f"{path}/decision", "olga", text="Half of it.", credit="a lot", decision="credit")
    assert wrong.status_code == 422
    assert "an amount in yuan is needed here" in wrong.text
    assert "Half of it." in wrong.text, "what was written is kept"
    assert post(net, f"{path}/decision", "alice", text="x", decision="reject").status_code == 403
    assert (
        post(net, f"{path}/decision", "olga", text="Half of it.", credit="1.23", decision="credit").status_code == 303
    )
    text = page(net, path).text
    assert "Who gave back" in text
    assert "¥1.23" in text
    for by, shown in (("alice", 1), ("guian", 1), ("rita", 1), ("bob", 0)):
        assert page(net, "/disputes", by).text.count(f"{quote(usage)}#dispute") == shown
    assert "No dispute" in page(net, "/disputes", "alice", state="open").text
    assert "已退还" in page(net, "/disputes", lang="zh").text
    assert "Given back after a dispute" in page(net, "/wallet").text
    billed = page(net, "/invoices", "alice").text
    assert "was given back in this month" not in billed, "it is on the invoice"


def test_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    usage = a_line(net)["usage_id"]
    assert "It [b]never[/b] began." in shell("dispute", "open", usage, "It [b]never[/b] began.").out
    assert shell("dispute", "say", usage, "It did.", by="guian").code == 0
    assert shell("dispute", "decide", usage, "Hm.", by="olga").code == 2
    assert "1.00" in shell("dispute", "decide", usage, "A part.", "--credit", "1", by="olga").out
    assert "credited" in shell("dispute", "list").out
    assert shell("dispute", "show", usage, "--json").json["credit_fen"] == 100
    assert shell("dispute", "show", "j-none-1:1").code != 0
