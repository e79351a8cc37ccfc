"""A network of one's own by `suanwang up`, used by the real command line from start to restart."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from tests.services.cli_process import first_json, run, running, until_none_left

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]
TASK = """\
name: greet
run: |
  cat greeting.txt
  echo '{"step": 1, "loss": 0.5}' >> "$SUANWANG_METRICS"
  mkdir out && echo done > out/result
inputs: {greeting.txt: ./greeting.txt}
outputs: {result: out}
resources: {cores: 1, memory: 200MB, time_limit: 5m}
"""


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_submit_logs_explain_bill_and_start_again(tmp_path: Path) -> None:
    (tmp_path / "greeting.txt").write_text("你好, network\n")
    (tmp_path / "task.yaml").write_text(TASK)
    home = tmp_path / "net"
    with running("up", "--home", str(home), "--port", "0", "--place", "贵安", "--json", home=tmp_path) as process:
        said = first_json(process, tmp_path)
        assert said["logged_in"] is True
        config = tmp_path / "config" / "suanwang" / "config.toml"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert json.loads(ok(run("whoami", "--json", home=tmp_path)))["role"] == "operator"
        submitted = ok(run("submit", "task.yaml", "--watch", home=tmp_path))
        assert "你好, network\n" in submitted
        job = submitted.split()[0]
        assert ok(run("logs", job, home=tmp_path)) == "你好, network\n"
        why = json.loads(ok(run("explain", job, "--json", home=tmp_path)))
        assert (why["job"]["state"], why["why"]["chosen"]["site"]) == ("succeeded", "here")
        points = json.loads(ok(run("job", "points", job, "--json", home=tmp_path)))
        assert [(point["name"], point["value"]) for point in points] == [("loss", 0.5)]
        totals = json.loads(ok(run("bill", "totals", "--json", home=tmp_path)))
        assert [(row["project"], row["jobs"]) for row in totals["items"]] == [("main", 1)]
        lines = json.loads(ok(run("bill", "lines", "--job", job, "--json", home=tmp_path)))
        assert sum(line["amount_fen"] for line in lines) == totals["amount_fen"]
        failed = run("submit", "-", "--watch", home=tmp_path, stdin="name: bad\nrun: exit 3\n")
        assert failed.returncode == 8
        assert "exit code 3" in failed.stderr
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert until_none_left(home) == []
    with running("up", "--home", str(home), "--port", "0", "--json", home=tmp_path) as process:
        again = first_json(process, tmp_path)
        url, token = str(again["url"]), (home / "operator-token").read_text().strip()
        shown = json.loads(ok(run("job", "show", job, "--json", home=tmp_path, SUANWANG_URL=url, SUANWANG_TOKEN=token)))
        assert shown["state"] == "succeeded"
        assert "你好, network\n" in ok(
            run("submit", "task.yaml", "--watch", home=tmp_path, SUANWANG_URL=url, SUANWANG_TOKEN=token)
        )
    assert until_none_left(home) == []


def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path) -> None:
    done = run("agent", "--site", "nowhere.yaml", home=tmp_path)
    assert (done.returncode, "nowhere.yaml cannot be read" in done.stderr) == (3, True)
    done = run("serve", "--port", "0", home=tmp_path, SUANWANG_LEASE_TTL_S="never")
    assert (done.returncode, "lease_ttl_s" in done.stderr) == (3, True)
    done = run("job", "list", home=tmp_path, SUANWANG_URL="http://127.0.0.1:9", SUANWANG_TOKEN="x")
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
