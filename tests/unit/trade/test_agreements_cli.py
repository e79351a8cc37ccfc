"""Agreements by the command line: a key that is made and never leaves, a draft, both signatures, credits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.api.api_world import World, world
from tests.unit.cli.cli_shell import Done, Shell

from suanwang.trading.agreements import month_begins, month_number

FIRST = "2026-03"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def draft(shell: Shell, *more: str, by: str = "alice") -> Done:
    return shell(
        *("agreement", "draft", "demo-guian", "--project", "demo", "--provider", "guian-cloud", "--site", "guian"),
        *("--first", FIRST, "--availability", "99.9:10,99:25", "--start", "600:5", "--promised", "99:10"),
        *more,
        by=by,
    )


def test_both_sides_sign_with_keys_of_their_own(shell: Shell, net: World) -> None:
    for by in ("alice", "guian"):
        made = shell("agreement", "key", "--key", f"{by}.key", by=by)
        assert made.code == 0, made.err
        assert len(made.out.split()[1]) == 39
        assert (shell.home / f"{by}.key").stat().st_mode & 0o777 == 0o600
    done = draft(shell, "--json")
    assert done.code == 0, done.err
    levels = done.json["agreement"]["levels"]
    assert [level["measure"] for level in levels] == ["availability", "start", "promised"]
    assert levels[0]["steps"] == [{"bound": 999_000, "credit_bp": 1000}, {"bound": 990_000, "credit_bp": 2500}]
    assert shell("agreement", "sign", "demo-guian", "--key", "guian.key").code != 0, "another's key"
    assert "offered" in shell("agreement", "sign", "demo-guian", "--key", "alice.key").out
    signed = shell("agreement", "sign", "demo-guian", "--key", "guian.key", by="guian")
    assert signed.code == 0, signed.err
    shown = shell("agreement", "show", "demo-guian", by="rita").out
    for expected in ("signed", "SHA-256", "provider  ", '"first_month":"2026-03"'):
        assert expected in shown
    assert "demo-guian" in shell("agreement", "list").out
    assert "demo-guian" not in shell("agreement", "list", by="bob").out
    net.clock.at = month_begins(month_number(net.clock.at) + 1) + timedelta(hours=2)
    net.network.turn()
    credits_ = shell("agreement", "credits", "--evidence").out
    assert FIRST in credits_
    assert "availability" in credits_
    assert shell("agreement", "end", "demo-guian").code == 0


def test_what_is_no_key_and_no_step_is_said(shell: Shell) -> None:
    draft(shell)
    missing = shell("agreement", "sign", "demo-guian")
    assert missing.code != 0
    assert "holds no signing key" in missing.err
    (shell.home / "odd").write_text("nothing")
    assert "holds no signing key" in shell("agreement", "key", "--key", "odd").err
    bad = draft(shell, "--start", "soon:5")
    assert bad.code == 2
    assert "says no steps" in bad.err
    assert shell("agreement", "show", "nothing").code != 0
    assert "say for whom" in shell("agreement", "key", by="olga").err
