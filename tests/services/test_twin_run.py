"""`suanwang twin run` killed for real in mid-run: its processes end with it, and what had ended is never played again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

import suanwang

pytestmark = pytest.mark.services

PLAYS = 40
FILE = f"""
experiment: killed
start: 2026-07-06
trace: {{generated: federation-week, hours: 24, share: 0.05}}
policies: [nearest]
conditions: {{capacity: 0.05}}
seeds: {PLAYS}
record: {{bound: false}}
"""
LONGEST_S = 240.0


def command(file: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "suanwang.cli", "twin", "run", str(file), "--out", str(out), "--jobs", "2", *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(suanwang.__file__).parents[1]), "LC_ALL": "C.UTF-8"}


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def ended(out: Path) -> set[str]:
    return {path.name for path in (out / "parts").glob("*.result.parquet")}


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    file, out = tmp_path / "killed.yaml", tmp_path / "out"
    file.write_text(FILE)
    with subprocess.Popen(
        command(file, out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        until(lambda: len(ended(out)) >= 2 or first.poll() is not None, "played two plays")
        assert first.poll() is None, "it was not killed in time: give it more plays"
        children = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert len(children) >= 2
    until(lambda: not any(alive(child) for child in children), "ended with the run that started them")
    kept = {path: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    there = len(ended(out))
    assert 2 <= there < PLAYS
    assert not (out / "results.parquet").exists()

    second = subprocess.run(
        command(file, out, "--json"), env=environment(), capture_output=True, text=True, timeout=LONGEST_S, check=True
    )
    said = json.loads(second.stdout)
    assert (said["found"], said["made"], said["failed"]) == (there, PLAYS - there, [])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    rows = parquet.read_table(out / "results.parquet").to_pylist()
    assert sorted(row["seed"] for row in rows) == list(range(1, PLAYS + 1))

    whole = subprocess.run(
        command(file, tmp_path / "whole", "--json"), env=environment(), capture_output=True, text=True,
        timeout=LONGEST_S, check=True,
    )  # fmt: skip
    assert json.loads(whole.stdout)["results"] == said["results"]


def test_a_process_that_dies_takes_no_other_play_with_it(tmp_path: Path) -> None:
    file, out = tmp_path / "killed.yaml", tmp_path / "out"
    file.write_text(FILE)
    with subprocess.Popen(
        command(file, out, "--json"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as running:
        until(lambda: len(ended(out)) >= 2 or running.poll() is not None, "played two plays")
        for child in psutil.Process(running.pid).children():
            if "resource_tracker" not in " ".join(child.cmdline()):
                child.kill()
                break
        said, _ = running.communicate(timeout=LONGEST_S)
    assert running.returncode == 0
    assert (json.loads(said)["made"], json.loads(said)["failed"]) == (PLAYS, [])
