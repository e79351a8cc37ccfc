"""What those who earn, run and watch look back on, by every way in: income, commission, use, the record, checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.web.test_web_wallet import page

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.trading.proven import checkpoint_document
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """A network with pages in which one job was billed and settled, between two signed checkpoints."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(1000))))
        made.run("hello\n")
        made.network.turn()
        made.network.proofs.checkpoint()
        made.network.vouchers.fund(made.operator, "成都", 5_000, "b1")
        made.network.proofs.checkpoint()
        yield made


def balance(net: World, account: str) -> int:
    return int(net.ask("GET", "/v1/ledger/account", by="olga", params={"account": account}).json()["balance_fen"])


def test_flows_are_the_accounts_own_and_sum_to_its_balance(net: World) -> None:
    for account, by in (("provider:guian-cloud", "guian"), ("operator:network", "rita"), ("project:demo", "alice")):
        items = net.ask("GET", "/v1/ledger/flows", by=by, params={"account": account}).json()["items"]
        assert sum(item["amount_fen"] for item in items) == balance(net, account) != 0
        assert {(item["month"], item["project"], item["provider"]) for item in items} == {
            ("2026-03", "demo", "guian-cloud")
        }
    for account, by, status in (("project:demo", "bob", 404), ("operator:network", "guian", 404)):
        assert net.ask("GET", "/v1/ledger/flows", by=by, params={"account": account}).status_code == status
    late = net.ask("GET", "/v1/ledger/flows", params={"account": "project:demo", "months": 0})
    assert late.status_code == 422


def test_checkpoints_are_listed_and_told_on_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    sizes = [item["size"] for item in net.ask("GET", "/v1/ledger/checkpoints").json()["items"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) >= 2
    assert str(sizes[0]) in shell("wallet", "checkpoints").out
    rows = shell("wallet", "flows", "provider:guian-cloud", "--json", by="guian").json
    assert sum(row["amount_fen"] for row in rows) == balance(net, "provider:guian-cloud")
    assert "usage" in shell("wallet", "flows", "provider:guian-cloud", by="guian").out


def test_a_providers_page_says_what_the_ledger_says(net: World) -> None:
    text = page(net, "/provider", "guian").text
    assert f'id="earned" data-fen="{balance(net, "provider:guian-cloud")}"' in text
    assert "Income by project" in text
    assert "Guian" in text
    assert "Nothing is on sale." in text
    (share,) = set(re.findall(r"on average ([0-9.]+)%, at most", text))
    hours = sum(record.cores * (record.to_at - record.from_at).total_seconds() / 3600 for record in records(net))
    assert float(share) == pytest.approx(100 * hours / (8 * 24 * 30), abs=0.0006)
    assert page(net, "/provider", "olga", provider="guian-cloud").status_code == 200
    assert "Nothing was earned yet" in page(net, "/provider", "wuhu").text
    for by, provider, status in (("alice", "", 403), ("guian", "wuhu-cloud", 403), ("rita", "nobody", 404)):
        assert page(net, "/provider", by, provider=provider).status_code == status


def records(net: World) -> list[Any]:
    jobs = net.ask("GET", "/v1/jobs", by="olga").json()["items"]
    return [record for job in jobs for record in net.store.usage_records(job["id"])]


def test_the_operators_page_says_what_was_earned_and_found(net: World) -> None:
    text = page(net, "/operator", "olga").text
    assert f'id="commission" data-fen="{balance(net, "operator:network")}"' in text
    assert "guian-cloud" in text
    assert "No call was made yet" in text
    assert "None is open." in text
    assert "运营" in page(net, "/operator", "rita", lang="zh").text
    assert page(net, "/operator", "guian").status_code == 403
    for by, links in (("olga", 1), ("rita", 1), ("guian", 0), ("alice", 0)):
        assert len(re.findall(r'<a href="/(?:operator|regulator)">', page(net, "/bills", by).text)) == links


def test_the_record_is_filtered(net: World) -> None:
    text = page(net, "/regulator", "rita").text
    for expected in ("voucher.funded", "project.created", "成都", "¥50.00"):
        assert expected in text
    assert "job.accepted" not in text
    only = page(net, "/regulator", "rita", kind="job.", project="demo").text
    assert "job.accepted" in only
    assert "voucher.funded" not in only
    assert "Nothing of this kind" in page(net, "/regulator", "rita", actor="nobody").text
    assert "whole" in page(net, "/regulator", "rita", audit="1").text
    for params in ({"kind": "x."}, {"from": "yesterday"}, {"before": "0"}):
        assert page(net, "/regulator", "rita", **params).status_code == 422
    assert page(net, "/regulator", "alice").status_code == 403


def compare(net: World, by: str = "rita", **fields: str) -> Any:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}", "Origin": "http://network"}
    return net.ask("POST", "/regulator/compare", by=None, headers=headers, data=fields)


def test_two_checkpoints_are_held_against_each_other(net: World) -> None:
    new, old = net.network.overview.checkpoints(net.operator, None, 2)
    good = compare(net, old=str(old.size), new=str(new.size))
    assert good.status_code == 200
    assert "begins with that of" in good.text
    assert '<span class="badge">consistent' in good.text
    kept = checkpoint_document(old)
    assert "begins with that of" in compare(net, kept=json.dumps(kept), new=str(new.size)).text
    forged = {**kept, "root": "ab" * 32}
    text = compare(net, kept=json.dumps(forged), new=str(new.size)).text
    assert "not consistent" in text
    assert "what was signed was changed" in text
    assert "A signature does not hold" in text
    for fields in (
        {"old": str(new.size), "new": str(old.size)},
        {"old": "x", "new": str(new.size)},
        {"kept": "{", "new": str(new.size)},
        {"kept": "{}", "new": str(new.size)},
        {"old": str(old.size), "new": "999999"},
    ):
        assert compare(net, **fields).status_code == 422, fields
    assert compare(net, by="alice", old=str(old.size), new=str(new.size)).status_code == 403
