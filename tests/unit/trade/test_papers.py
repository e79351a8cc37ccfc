"""Whatever a party is billed for proves itself offline, and no byte of it can be changed without being named."""

from __future__ import annotations

import copy
import hashlib
import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.signing import in_force
from tests.unit.trade.test_market_api import AT, client, listed, order
from tests.unit.trade.test_trading_evidence import changed, places
from tests.unit.trade.test_vouchers import BODY

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.trading.evidence import verify
from suanwang.trading.grouping import PaperKind
from suanwang.trading.market.values import Way
from suanwang.trading.proven import read_checkpoint
from suanwang.trading.proving import Check
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION

CREDIT = "demo-guian/1/2026-03"
NAMES = {
    PaperKind.INVOICE: ("alice", "demo/2026-03"),
    PaperKind.STATEMENT: ("alice", "2026-03/project"),
    PaperKind.ORDER: ("alice", "cores-order-2"),
    PaperKind.VOUCHER: ("alice", "v1"),
    PaperKind.CREDIT: ("alice", CREDIT),
    PaperKind.ACCOUNT: ("alice", "project:demo/2026-03"),
}


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """A month with jobs, a voucher, rights bought at once and in a call, and an agreement that was not kept."""
    with world() as made:
        mount_web(made.app, made.network)
        dear = offering(price=Price(core_hour_yuan=Decimal("7.77")))
        made.network.sites.change(made.operator, SiteId("guian"), dear)
        in_force(made, levels=[{"measure": "availability", "steps": [{"bound": 999_000, "credit_bp": 5000}]}])
        made.ask("POST", "/v1/vouchers/budgets", by="olga", json={"id": "b", "issuer": "成都", "amount_fen": 10_000})
        voucher = made.ask("POST", "/v1/vouchers", by="olga", json={**BODY, "id": "v1", "amount_fen": 3})
        assert voucher.status_code == 201, voucher.text
        made.first = made.network.proofs.checkpoint()  # type: ignore[attr-defined]
        for _ in range(3):
            made.run("x\n")
            made.clock.at += timedelta(minutes=7)
        listed(made)
        client(made).place_order(order("cores-order-1"))
        client(made).place_order(order("cores-order-2", way=Way.STANDING, limit_fen=150))
        made.clock.at = AT - timedelta(minutes=15)
        made.network.turn()
        made.clock.at = datetime(2026, 4, 2, tzinfo=UTC)
        for _ in range(3):
            made.network.turn()
        yield made


def paper(
    net: World, kind: PaperKind, *, by: str | None = None, name: str | None = None, **more: Any
) -> dict[str, Any]:
    who, what = NAMES[kind]
    reply = net.ask("GET", f"/v1/evidence/{kind}", by=by or who, params={"name": name or what, **more})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


@pytest.mark.parametrize("kind", list(PaperKind))
def test_every_paper_holds_without_the_network_and_is_sealed_once(net: World, kind: PaperKind) -> None:
    found = paper(net, kind)
    finding = verify(found, key=net.network.proofs.checkpoint().key)
    assert finding.failures == ()
    assert (finding.kind, finding.name, finding.trusted) == (kind.value, NAMES[kind][1], True)
    size = net.network.proofs.checkpoint().size
    assert paper(net, kind)["seal"] == paper(net, kind)["seal"]
    assert net.network.proofs.checkpoint().size == size, "the same again adds nothing to the log"


@pytest.mark.parametrize("kind", list(PaperKind))
def test_every_byte_that_is_changed_is_found_and_named(net: World, kind: PaperKind) -> None:
    first = net.first  # type: ignore[attr-defined]
    found = paper(net, kind, since=first.size)
    assert verify(found, older=first).holds
    tried = 0
    for path in places(found):
        for forged in changed(found, path):
            finding = verify(forged, older=first)
            if forged == found:
                continue
            tried += 1
            assert not finding.holds, f"{path} was changed unnoticed"
            assert all(failure.where and failure.message for failure in finding.failures)
            if path[0] == "document":
                assert {failure.check for failure in finding.failures} & {Check.SEAL, Check.FORMAT}, path
    assert tried > 60
    for at in range(len(found["transfers"])):
        without = copy.deepcopy(found)
        del without["transfers"][at]
        assert not verify(without, older=first).holds
        del without["document"]["leaves"][at]
        assert Check.SEAL in {failure.check for failure in verify(without, older=first).failures}


def test_what_a_document_says_against_itself_is_named_though_it_were_sealed(net: World) -> None:
    """As if the network itself had sealed a paper that does not add up."""

    def sealed(kind: PaperKind, change: Any) -> set[str]:
        found = copy.deepcopy(paper(net, kind))
        change(found["document"])
        return {f.where for f in verify(found).failures if f.check in (Check.DOCUMENT, Check.TRANSFERS)}

    def more(name: str, by: int = 1) -> Any:
        return lambda made: made.update({name: made[name] + by})

    assert sealed(PaperKind.INVOICE, lambda made: None) == set()
    assert sealed(PaperKind.INVOICE, more("due_fen")) == {"due_fen"}
    assert sealed(PaperKind.INVOICE, lambda made: more("amount_fen")(made["lines"][0])) == {"usage amount_fen"}
    assert sealed(PaperKind.STATEMENT, lambda made: more("amount_fen")(made["total"])) == {"total amount_fen"}
    assert sealed(PaperKind.ORDER, lambda made: more("paid_fen")(made["order"])) == {"order paid_fen"}
    assert "trade cores-order-2.1" in sealed(PaperKind.ORDER, lambda made: more("amount_fen", 999)(made["trades"][0]))
    assert sealed(PaperKind.VOUCHER, more("used_fen")) == {"used_fen"}
    assert sealed(PaperKind.CREDIT, more("amount_fen")) == {"amount_fen"}
    level = "level availability of guian"
    assert sealed(PaperKind.CREDIT, lambda made: more("amount_fen")(made["levels"][0])) == {level}
    assert sealed(PaperKind.CREDIT, lambda made: made.update(paid=False)) == {"paid"}
    assert sealed(PaperKind.ACCOUNT, more("closing_fen")) == {"closing_fen"}
    assert sealed(PaperKind.ACCOUNT, lambda made: made["leaves"].append(999)) == {"leaf 999"}


def test_an_invoices_seal_is_the_hash_of_its_file(net: World) -> None:
    found = paper(net, PaperKind.INVOICE)
    assert (
        found["seal"]["leaf"]["sha256"]
        == hashlib.sha256(net.ask("GET", "/v1/invoices/demo/2026-03").content).hexdigest()
    )
    assert found["document"]["purchased_fen"] > 0


def test_what_was_bought_in_a_call_has_its_hold_its_price_and_its_rest(net: World) -> None:
    found = paper(net, PaperKind.ORDER)
    assert [each["leaf"]["phase"] for each in found["transfers"]] == ["pending", "post"]
    assert [each["leaf"]["amount_fen"] for each in found["transfers"]] == [600, 500]
    (trade,) = found["document"]["trades"]
    assert (trade["amount_fen"], trade["commission_fen"], trade["call"]) == (
        500,
        10,
        AT.isoformat(timespec="microseconds"),
    )
    sold = paper(net, PaperKind.ORDER, by="guian")
    assert verify(sold).holds
    assert sold["document"]["viewer"] == "seller"
    assert sum(each["leaf"]["amount_fen"] for each in sold["transfers"]) == 490
    assert {each["leaf"]["code"] for each in sold["transfers"]} == {"sale", "deposit"}
    whole = paper(net, PaperKind.ORDER, by="rita")
    assert verify(whole).holds


def test_an_account_by_the_day_is_its_month(net: World) -> None:
    month = paper(net, PaperKind.ACCOUNT)["document"]
    day = paper(net, PaperKind.ACCOUNT, name="project:demo/2026-03-01")["document"]
    after = paper(net, PaperKind.ACCOUNT, name="project:demo/2026-04")["document"]
    assert month["opening_fen"] == day["opening_fen"] == 0
    assert after["opening_fen"] == month["closing_fen"] < 0
    assert after["closing_fen"] == net.network.wallets.account(net.operator, "project:demo").balance_fen
    for account in ("provider:guian-cloud", "operator:network", "operator:market", "voucher:v1"):
        assert verify(paper(net, PaperKind.ACCOUNT, by="rita", name=f"{account}/2026-03")).holds


@pytest.mark.parametrize(
    ("kind", "by", "name", "status"),
    [
        ("invoice", "bob", "demo/2026-03", 404),
        ("invoice", "alice", "demo", 422),
        ("invoice", "alice", "demo/2026-3", 422),
        ("statement", "alice", "2026-03/colour", 422),
        ("order", "bob", "cores-order-1", 404),
        ("order", "wuhu", "cores-order-1", 404),
        ("order", "alice", "none", 404),
        ("voucher", "bob", "v1", 404),
        ("voucher", "guian", "v1", 404),
        ("credit", "bob", CREDIT, 404),
        ("account", "alice", "provider:guian-cloud/2026-03", 404),
        ("account", "alice", "project:demo/yesterday", 422),
        ("colour", "alice", "x", 422),
    ],
)
def test_nobody_gets_anothers(net: World, kind: str, by: str, name: str, status: int) -> None:
    reply = net.ask("GET", f"/v1/evidence/{kind}", by=by, params={"name": name})
    assert reply.status_code == status, reply.text


def test_fetched_and_verified_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    assert shell("wallet", "checkpoint", "-o", "old.json").code == 0
    old = read_checkpoint(json.loads((tmp_path / "old.json").read_text()))
    for kind, (_, name) in NAMES.items():
        assert shell("evidence", kind.value, name, "--since", "old.json", "-o", "paper.json").code == 0
        done = shell("verify", "paper.json", "--checkpoint", "old.json", "--key", old.key)
        assert done.code == 0, done.err
        assert f"the {kind} {name} holds" in done.out
    text = (tmp_path / "paper.json").read_text()
    (tmp_path / "paper.json").write_text(text.replace('"closing_fen": -', '"closing_fen": '))
    done = shell("verify", "paper.json", "--checkpoint", "old.json")
    assert done.code == 3
    assert "closing_fen" in done.err
    assert "the account does not hold" in done.err


def test_downloaded_from_the_pages(net: World) -> None:
    """Every link to a paper gives one that holds."""
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-alice"}

    def page(path: str) -> httpx.Response:
        return net.ask("GET", path, by=None, headers=headers)

    found = 0
    for path in ("/invoices?month=2026-03", "/invoices?month=2026-03&by=site", "/wallet?account=project:demo"):
        for link in re.findall(r'href="(/wallet/papers/[^"]+)"', page(path).text):
            reply = page(html.unescape(link))
            assert reply.status_code == 200, reply.text
            assert "attachment" in reply.headers["content-disposition"]
            assert verify(reply.json()).failures == ()
            found += 1
    assert found == 5
    assert page("/wallet/papers/invoice.json?name=other/2026-03").status_code == 404
