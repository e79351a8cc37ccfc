"""The market by the command line: list, buy, bid, sell on, look; and what is no hour or price is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.api.api_world import NOW, World, world
from tests.unit.cli.cli_shell import Shell

from suanwang.cli.market import fen_of, hour_of

AT = "2026-03-01T14:00+00:00"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def put(shell: Shell, *more: str, key: str = "night-cores-1") -> None:
    done = shell(
        *(
            "offer",
            "put",
            "guian",
            "core",
            "--count",
            "4",
            "--from",
            AT,
            "--hours",
            "8",
            "--price",
            "0.98",
            "--id",
            key,
        ),
        *more,
        by="guian",
    )
    assert done.code == 0, done.err


def test_from_an_offer_to_a_right_that_is_sold_on(shell: Shell, net: World) -> None:
    put(shell)
    put(shell)
    assert "night-cores-1" in shell("offer", "list").out
    wanted = ("--device", "core", "--count", "3", "--from", AT, "--hours", "2")
    assert "3 of 3 units at posted prices: ¥6.00" in shell("order", "buy", *wanted, "--quote").out
    bought = shell("order", "buy", *wanted, "--id", "buy-cores-1", "--json").json
    assert (bought["state"], bought["paid_fen"]) == ("filled", 600)
    (right,) = shell("order", "rights", "--json").json
    assert right["counts"] == [3, 3]
    assert right["id"] in shell("order", "rights").out
    resale = shell("offer", "resell", right["id"], "--price", "2", "--json").json
    assert (resale["count"], resale["seller"]) == (3, "project:demo")
    assert "resale" in shell("offer", "list", "--json", by="bob").out
    assert shell("offer", "withdraw", resale["id"]).code == 0
    assert shell("offer", "withdraw", "night-cores-1", by="wuhu").code == 4
    assert shell("offer", "resell", "none", "--price", "2").code == 2
    shown = shell("order", "show", "buy-cores-1").out
    assert "provider:guian-cloud" in shown
    assert "buy-cores-1" in shell("order", "list").out
    assert "0.9" in shell("auction", "prices", "core").out or "1.0000" in shell("auction", "prices", "core").out


def test_a_bid_stands_for_its_call(shell: Shell, net: World) -> None:
    put(shell)
    wanted = ("--device", "core", "--count", "2", "--from", AT, "--hours", "2", "--limit-price", "1.50")
    bid = shell("order", "bid", *wanted, "--id", "bid-cores-1", "--json").json
    assert (bid["state"], bid["held_fen"]) == ("open", 600)
    other = shell("order", "bid", *wanted, "--id", "bid-cores-2", "--json").json
    assert shell("order", "cancel", other["id"], "--json").json["state"] == "cancelled"
    assert "open until its call" in shell("auction", "show", AT).out
    net.clock.at = NOW + timedelta(hours=11, minutes=42)
    assert shell("order", "cancel", "bid-cores-1").code == 6
    assert "1.00" in shell("auction", "show", AT).out, "the price it would have"
    net.clock.at = NOW + timedelta(hours=11, minutes=45)
    net.network.turn()
    assert shell("order", "show", "bid-cores-1", "--json").json["order"]["state"] == "filled"
    told = shell("auction", "show", AT)
    assert "called" in told.out
    assert "1.00" in told.out
    assert "100.0%" in shell("auction", "list").out
    assert "night-cores-1" in shell("auction", "depth", "core", AT).out


def test_a_name_that_cannot_be_is_said_with_its_field(shell: Shell) -> None:
    """By the client's own check of an order, and by the network's of an offer; each problem once."""
    buying = ("order", "buy", "--device", "core", "--count", "1", "--from", "+1", "--hours", "1", "--project", "demo")
    selling = ("offer", "put", "guian", "core", "--count", "1", "--from", "+1", "--hours", "1", "--price", "0.08")
    for command in (buying, selling):
        done = shell(*command, "--id", "b1")
        assert done.code == 3
        assert done.err.count("8 to 64 of a-z, 0-9 and dashes") == 1
        assert "id: " in done.err


def test_chinese_terminals_are_told_in_chinese(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shell)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "剩余数量" in shell("offer", "list").out
    assert "按需" in shell("offer", "list").out


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T14:00", "+x", ""])
def test_what_is_no_hour_is_said(shell: Shell, text: str) -> None:
    done = shell("auction", "show", text)
    assert done.code == 2
    assert "instant" in done.err


@pytest.mark.parametrize("text", ["0", "-1", "1.001", "x", "NaN", "1e99"])
def test_what_is_no_price_is_said(shell: Shell, text: str) -> None:
    wanted = ("--device", "core", "--count", "2", "--from", AT, "--hours", "2", f"--limit-price={text}")
    assert shell("order", "bid", *wanted).code == 2


def test_hours_from_now_are_whole() -> None:
    assert hour_of("+2") - hour_of("now") == timedelta(hours=2)
    assert (hour_of("now").minute, fen_of("12.5", "price")) == (0, 1250)
