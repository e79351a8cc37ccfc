"""The process that plays: it refuses what it may not read, ends with its control plane, and plays both of two networks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet
from tests.browser.world import OPERATOR, USER, World, busy
from tests.unit.twin.twin_results import write_results

from suanwang.domain.errors import InvalidRequest
from suanwang.taskfile.problems import InvalidTask
from suanwang.twin.checking import MOST_BYTES, check, check_elsewhere
from suanwang.twin.laboratory import Laboratory, State
from suanwang.twin.playing import VARIANT, joined
from suanwang.twin.report import write_report
from suanwang.twin.report.reading import SHARES, read
from suanwang.twin.whatif import Change, what_if

ROOT = Path(__file__).parents[3]
PATIENCE_S = 280.0
WEEK = """
experiment: week
title: {en: A week, zh: 一周}
trace: {generated: federation-week, hours: 24, share: 0.05}
start: 2026-07-06
policies: [joint, nearest]
seeds: 2
vary: {load: [1, 2]}
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the package where it lies."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}")


def test_what_would_be_played_is_told(path: None) -> None:
    found = check_elsewhere(WEEK)
    assert (found.name, found.title_zh, found.policies, found.seeds) == ("week", "一周", ("joint", "nearest"), 2)
    assert found.plays == 2 * 2 * (2 + 1), "the bound counts as a play"
    assert found == check(WEEK)
    with pytest.raises(InvalidTask, match="line 9, colour"):
        check_elsewhere(WEEK + "colour: red\n")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ("trace: /etc/passwd\n", "trace"),
        ("trace: {file: ../secrets.csv}\n", "trace.file"),
        ("network: ../../etc/passwd\n", "network"),
        ("network: /dev/zero\n", "network"),
    ],
)
def test_files_of_the_machine_are_not_read(changed: str, field: str) -> None:
    key = changed.partition(":")[0]
    text = "".join(line for line in WEEK.splitlines(keepends=True) if not line.startswith(f"{key}:")) + changed
    with pytest.raises(InvalidTask) as caught:
        check(text)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert "passwd" not in caught.value.message


@pytest.mark.parametrize(
    "changed",
    [
        WEEK.replace("hours: 24", "hours: 9000"),
        WEEK.replace("share: 0.05", "share: 15"),
        WEEK.replace("seeds: 2", "seeds: 100"),
        " ",
        "#" * (MOST_BYTES + 1),
        "{}",
        "[",
    ],
)
def test_too_much_and_nothing_are_refused(changed: str) -> None:
    with pytest.raises(InvalidRequest):
        check(changed)


WATCHED = """
import signal, subprocess, sys, threading
from suanwang.twin.playing import end_with_parent
threading.Thread(target=end_with_parent, daemon=True).start()
child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
signal.pause()
"""


def test_it_ends_with_its_control_plane_and_takes_its_own_along() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.stdin.close()  # As it is closed when the control plane is killed.
    assert process.wait(PATIENCE_S) == -9
    assert process.stdout.read() == b"", "nobody holds the other end any more"
    process.stdout.close()
    deadline = time.monotonic() + PATIENCE_S
    while _lives(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _lives(child)


def _lives(pid: int) -> bool:
    """Whether it runs; what ended and nobody asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_variants_become_cases_of_one_report(tmp_path: Path) -> None:
    outs = [write_results(tmp_path / name, seeds=2, loads=(load,), hours=6) for name, load in (("a", 1.0), ("b", 1.4))]
    for out, failed in zip(outs, ([], ["joint, seed 3: no memory"]), strict=True):
        about = json.loads((out / "experiment.json").read_text())
        (out / "experiment.json").write_text(json.dumps({**about, "failed": failed}))
    about = json.loads((outs[1] / "experiment.json").read_text())
    about["sites"].append({"id": "new", "name": {"en": "New", "zh": "新"}, "longitude": 100.0, "latitude": 30.0})
    (outs[1] / "experiment.json").write_text(json.dumps(about))
    joined(tmp_path, [("as it is", outs[0]), ("what if", outs[1])])
    assert set(parquet.read_table(tmp_path / "results.parquet")[VARIANT].to_pylist()) == {"as it is", "what if"}
    text = write_report(tmp_path).read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [case["values"] for case in summary["cases"]] == [{VARIANT: "as it is"}, {VARIANT: "what if"}]
    assert "what if: joint, seed 3: no memory" in text


def test_what_if_is_played_to_its_report(path: None, tmp_path: Path) -> None:
    world = World()
    busy(world)
    kept = Laboratory(tmp_path, world.clock.now)
    made = what_if(world.network, kept, OPERATOR, Change(price_factor=2.0, policies=("nearest",)))
    assert kept.settled(PATIENCE_S)
    found = kept.get(USER, made.id)
    assert (found.state, found.reason, found.done, found.plays) == (State.DONE, "", 2, 2)
    before, after = kept.summary(USER, made.id)["cases"]
    (cost, _), (dearer, _) = before["figures"]["cost_yuan"][0], after["figures"]["cost_yuan"][0]
    assert dearer == pytest.approx(2 * cost)
    assert cost > 0
    waited = read(tmp_path / made.id).waiting
    assert {len(curve) for curve in waited.values()} == {len(SHARES)}, "from every job"
    kept.close()
    shutil.rmtree(tmp_path)
