"""From a job's first event to the last fen, for real: run, meter, bill, settle, prove, and check with the network gone."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.services.cli_process import first_json, run, running

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(home: Path, *command: str) -> Any:
    return json.loads(ok(run(*command, "--json", home=home)))


def settled(home: Path, job: str) -> list[dict[str, Any]]:
    """The job's bill lines, once all of them are settled; fails after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        lines: list[dict[str, Any]] = asked(home, "bill", "lines", "--job", job)
        done = run("bill", "evidence", job, "-o", "bill.json", home=home)
        if done.returncode == 0 and lines:
            bill = json.loads((home / "bill.json").read_text())
            if len(bill["usage"]) == len(lines) and asked(home, "verify", "bill.json")["unsettled"] == []:
                return lines
        time.sleep(0.2)
    pytest.fail("the bill was never settled")


def test_a_bill_is_settled_proven_and_checked_without_the_network(tmp_path: Path) -> None:
    home = tmp_path / "net"
    with running("up", "--home", str(home), "--port", "0", "--place", "贵安", "--json", home=tmp_path) as process:
        first_json(process, tmp_path)
        assert stat.S_IMODE((home / "ledger-key").stat().st_mode) == 0o600
        ok(run("wallet", "checkpoint", "-o", "old.json", home=tmp_path))
        before = ok(run("submit", "-", "--watch", home=tmp_path, stdin="name: first\nrun: sleep 1\n")).split()[0]
        settled(tmp_path, before)
        ok(run("wallet", "checkpoint", "-o", "old.json", home=tmp_path))
        old = json.loads((tmp_path / "old.json").read_text())
        assert old["size"] > 0
        job = ok(run("submit", "-", "--watch", home=tmp_path, stdin="name: second\nrun: sleep 2\n")).split()[0]
        lines = settled(tmp_path, job)
        ok(run("bill", "evidence", job, "--since", "old.json", "-o", "bill.json", home=tmp_path))
        followed = asked(tmp_path, "trace", job)
        assert [each["kind"] for each in followed["events"]][:: len(followed["events"]) - 1] == [
            "job.accepted",
            "job.succeeded",
        ]
        assert sum(each["change_fen"] for each in followed["accounts"]) == 0
        assert followed["billed_fen"] == sum(line["amount_fen"] for line in lines)
        month = datetime.now(timezone(timedelta(hours=8))).strftime("%Y-%m")
        ok(run("evidence", "account", f"project:{followed['project']}/{month}", "-o", "paper.json", home=tmp_path))
        accounts = asked(tmp_path, "wallet", "list")
        assert sum(row["balance_fen"] for row in accounts) == 0
        totals = asked(tmp_path, "bill", "totals")
        (project,) = [row for row in accounts if row["owner"] == "project"]
        assert project["balance_fen"] == -totals["amount_fen"]
        assert asked(tmp_path, "wallet", "audit")["whole"] is True
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert "transfers" in ok(run("verify", "paper.json", "--key", old["key"], home=tmp_path))
    done = run("verify", "bill.json", "--key", old["key"], "--checkpoint", "old.json", home=tmp_path)
    assert f"the bill of {job} holds: {len(lines)} lines" in ok(done)
    bill = json.loads((tmp_path / "bill.json").read_text())
    assert bill["amount_fen"] == sum(line["amount_fen"] for line in lines)
    bill["usage"][0]["leaf"]["cores"] += 1
    (tmp_path / "bill.json").write_text(json.dumps(bill))
    assert run("verify", "bill.json", home=tmp_path).returncode == 3
