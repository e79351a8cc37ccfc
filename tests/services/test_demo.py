"""The demonstration, run for real: three sites in processes of their own, one of them killed in mid-run."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from tests.services.cli_process import first_json, run, running, until_none_left

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(420)]


def test_the_demo_does_all_six_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = run("demo", "--once", "--json", "--home", str(home), home=tmp_path, timeout_s=400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["problems"] == []
    jobs: dict[str, list[dict[str, object]]] = {}
    for job in found["jobs"]:
        jobs.setdefault(job["name"], []).append(job)
    assert {name: len(members) for name, members in jobs.items()} == {
        "train-digits": 1, "sweep": 8, "prepare": 1, "score": 1, "diagnose": 1, "answer": 1, "too-much": 1,
    }  # fmt: skip
    assert {job["state"] for name, members in jobs.items() if name != "too-much" for job in members} == {"succeeded"}
    assert jobs["too-much"][0]["state"] == "refused"
    stopped = found["stopped"]["site"]
    first, last = found["sites_of_training"][0], found["sites_of_training"][-1]
    assert (first, last != stopped) == (stopped, True)
    assert jobs["diagnose"][0]["site"] == jobs["answer"][0]["site"] == "wuhu"
    assert found["bill_fen"] == sum(job["billed_fen"] for job in found["jobs"])
    for column in ("Why there", "Waited", "Device-h", "Core-h", "kWh", "gCO2", "Price"):
        assert column in done.stderr
    assert re.search(r"http://127\.0\.0\.1:\d+/login#token=", done.stderr)
    assert until_none_left(home) == []


def test_a_demo_that_is_interrupted_ends_everything_it_started(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    with running("demo", "--home", str(home), home=tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "jobs submitted" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 130
    assert until_none_left(home) == []


def test_a_demo_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    """Not the runs: those end with their leases, seconds later."""
    home = tmp_path / "demo"
    with running("demo", "--home", str(home), home=tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "three sites join" in line:
                break
        process.kill()
        process.wait()
    assert until_none_left(home, timeout_s=60) == []


def test_a_network_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with running("serve", "--home", str(tmp_path / "first"), "--port", "0", "--json", home=tmp_path) as first:
        port = str(first_json(first, tmp_path)["url"]).rpartition(":")[2]
        done = run("demo", "--once", "--port", port, "--home", str(tmp_path / "demo"), home=tmp_path)
    assert done.returncode == 7
    assert "serve did not come up" in done.stderr
    assert "Traceback" not in done.stderr
    assert until_none_left(tmp_path) == []
