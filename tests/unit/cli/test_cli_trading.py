"""Wallets and `suanwang verify` by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


@pytest.fixture
def job(net: World) -> str:
    ran, _ = net.run("hello\n")
    net.network.turn()
    return str(ran["id"])


def test_wallets_are_listed_shown_and_filled(shell: Shell, job: str) -> None:
    assert "project:demo" in shell("wallet", "list").out
    shown = shell("wallet", "show", "project:demo", "--json").json
    assert shown["transfers"][0]["debit"] == "project:demo"
    assert "provider:guian-cloud" in shell("wallet", "show", "project:demo").out
    before = shown["account"]["balance_fen"]
    for _ in range(2):
        done = shell("wallet", "top-up", "demo", "120.50", "--key", "bank-7", "--json", by="olga")
        assert done.json["balance_fen"] == before + 12_050
    assert shell("wallet", "limit", "demo", "0", by="olga").code == 0
    assert shell("wallet", "limit", "demo", "0").code == 4
    assert shell("wallet", "show", "project:other").code == 5
    assert "balances sum to 0 fen" in shell("wallet", "audit", by="rita").out


@pytest.mark.parametrize("yuan", ["-1", "1.005", "x", "", "NaN", "Infinity", "1e400000000"])
def test_an_amount_that_is_none_is_refused_before_anything_is_asked(shell: Shell, yuan: str) -> None:
    done = shell("wallet", "top-up", "demo", "--", yuan, by="olga")
    assert done.code == 2
    assert "two decimals" in done.err


def test_blocked_lines_are_said(shell: Shell, net: World) -> None:
    net.run_unheld()
    assert "because of a limit" in shell("wallet", "list").err


def test_a_bill_is_checked_without_the_network(shell: Shell, net: World, job: str, tmp_path: Path) -> None:
    assert shell("wallet", "checkpoint", "-o", "old.json").code == 0
    key = json.loads((tmp_path / "old.json").read_text())["key"]
    net.run("again\n", name="again")
    net.network.turn()
    assert shell("bill", "evidence", job, "--since", "old.json", "-o", "bill.json").code == 0
    done = shell("verify", "bill.json", "--key", key, "--checkpoint", "old.json", by=None)
    assert (done.code, done.err) == (0, "")
    assert f"the bill of {job} holds" in done.out
    told = shell("verify", "bill.json", "--checkpoint", "old.json", "--json", by=None).json
    assert (told["holds"], told["key_checked"], told["failures"]) == (True, False, [])

    bill = json.loads((tmp_path / "bill.json").read_text())
    bill["usage"][0]["leaf"]["cores"] += 1
    (tmp_path / "forged.json").write_text(json.dumps(bill))
    done = shell("verify", "forged.json", "--checkpoint", "old.json", by=None)
    assert done.code == 3
    assert "rating: usage" in done.err
    assert "inclusion: usage" in done.err
    assert shell("verify", "bill.json", "--key", "00" * 32, "--checkpoint", "old.json", by=None).code == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_bill_is_said(shell: Shell, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert shell("verify", "x.json", by=None).code == 3
    assert shell("verify", "x.json", "--checkpoint", "x.json", by=None).code == 3
    assert shell("verify", "none.json", by=None).code == 3
