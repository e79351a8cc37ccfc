"""The run script, with a real bash: statuses, the lease, literal user code, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Signal
from suanwang.sensing.wrapping import COOKIE, FENCED_STATUS, wrap

pytestmark = pytest.mark.processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    status: int
    out: str
    err: str


@dataclass(slots=True)
class Bench:
    """A folder in which wrapped scripts run."""

    folder: Path

    @property
    def exit_path(self) -> Path:
        return self.folder / "exit"

    def script(self, run: str, setup: str = "", *, lease_in_s: int | None = None, nodes: int = 1, **told: Any) -> Path:
        lease = self.folder / "lease"
        if lease_in_s is not None:
            lease.write_text(f"{int(time.time()) + lease_in_s}\n")
        text = wrap(
            setup=setup,
            run=run,
            exit_path=self.exit_path,
            lease_path=lease,
            notice_path=self.folder / "notice",
            work_dir=self.folder,
            nodes=nodes,
            guard_interval_s=0.1,
            grace_s=1,
            **told,
        )
        path = self.folder / "script.sh"
        path.write_bytes(text.encode())
        return path

    def start(self, path: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )

    def run(self, run: str, setup: str = "", *, lease_in_s: int | None = None, nodes: int = 1) -> Ended:
        process = self.start(self.script(run, setup, lease_in_s=lease_in_s, nodes=nodes))
        out, err = process.communicate(timeout=30)
        return Ended(status=process.returncode, out=out, err=err)

    def left_behind(self) -> list[int]:
        """Processes of any run that works in this folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                mine = COOKIE.encode() in (entry / "environ").read_bytes()
                inside = (entry / "cwd").readlink() == self.folder
            except OSError:
                continue
            if mine and inside:
                found.append(int(entry.name))
        return found


def wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} never appeared")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path.resolve())


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_of_run_is_the_scripts_and_is_on_file(bench: Bench, status: int) -> None:
    assert bench.run(f"exit {status}").status == status
    assert bench.exit_path.read_text() == f"{status}\n"
    assert sorted(path.name for path in bench.folder.iterdir()) == ["exit", "script.sh"]


def test_setup_and_run_share_one_shell_in_the_working_folder(bench: Bench) -> None:
    ended = bench.run('echo "$WORD $PWD $SUANWANG_NODE_RANK/$SUANWANG_NUM_NODES"', setup="WORD=hello")
    assert ended.out == f"hello {bench.folder} 0/1\n"


def test_a_failed_setup_ends_the_run_before_it_starts(bench: Bench) -> None:
    ended = bench.run("echo started", setup="(exit 4)")
    assert (ended.status, ended.out) == (4, "")
    assert "setup ended with status 4" in ended.err
    assert bench.exit_path.read_text() == "4\n"


def test_errors_in_the_middle_do_not_end_it_unless_the_user_says_so(bench: Bench) -> None:
    assert bench.run("false\necho on").out == "on\n"
    assert bench.run("set -e\nfalse\necho on").status == 1


@pytest.mark.parametrize(
    "text",
    [
        "quotes ' \" ` and $HOME $(id) \\",
        "SUANWANG_0\nEOF\nEND",
        "#SBATCH --uid=0",
        "算力 ümlaut \t tab",
        "%j %% !! ~",
    ],
)
def test_user_code_passes_literally(bench: Bench, text: str) -> None:
    ended = bench.run(f"cat <<'THE_USERS_OWN_END'\n{text}\nTHE_USERS_OWN_END")
    assert ended.out == text + "\n"


def test_a_script_longer_than_an_argument_may_be_still_runs(bench: Bench) -> None:
    assert bench.run("# " + "x" * 300_000 + "\necho done").out == "done\n"


def test_the_end_mark_is_never_in_the_text(bench: Bench) -> None:
    first = bench.script("echo 1").read_text()
    mark = next(line.split("'")[1] for line in first.splitlines() if "run.sh" in line and "<<'" in line)
    assert bench.run(f"echo 1\n{mark}\necho 2").out == "1\n2\n"


def test_nothing_is_left_behind_whatever_session_it_moved_to(bench: Bench) -> None:
    ended = bench.run("sleep 300 & setsid sleep 300 & (trap '' TERM; sleep 300; sleep 300) & echo over")
    assert (ended.status, ended.out) == (0, "over\n")
    assert bench.left_behind() == []


def test_a_run_outlives_no_lease(bench: Bench) -> None:
    ended = bench.run("trap '' TERM\nwhile :; do sleep 1; done", lease_in_s=-1)
    assert ended.status == FENCED_STATUS
    assert "the lease of this run ended" in ended.err
    assert bench.exit_path.read_text() == "143\n"
    assert bench.left_behind() == []


@pytest.mark.parametrize("text", ["", "soon\n", "-5\n", "99999999999999999999\n"])
def test_a_lease_nobody_can_read_stops_nothing(bench: Bench, text: str) -> None:
    path = bench.script("sleep 0.5; echo lived")
    (bench.folder / "lease").write_text(text)
    out, _ = bench.start(path).communicate(timeout=30)
    assert out == "lived\n"


def test_a_renewed_lease_keeps_it_alive_and_a_vanished_one_keeps_its_last_word(bench: Bench) -> None:
    process = bench.start(bench.script("touch started; sleep 60", lease_in_s=2))
    wait_for(bench.folder / "started")
    (bench.folder / "lease").unlink()
    _, err = process.communicate(timeout=30)
    assert process.returncode == FENCED_STATUS
    assert "the lease of this run ended" in err


def test_ended_from_outside_it_leaves_no_status_of_its_own(bench: Bench) -> None:
    process = bench.start(bench.script("touch started; sleep 60"))
    wait_for(bench.folder / "started")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert not bench.exit_path.exists()
    assert bench.left_behind() == []


def test_the_work_gets_the_signal_and_may_end_in_its_own_way(bench: Bench) -> None:
    process = bench.start(bench.script("trap 'echo saved; exit 0' TERM\ntouch started\nwhile :; do sleep 0.05; done"))
    wait_for(bench.folder / "started")
    os.kill(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert out == "saved\n"


def test_when_its_shell_is_killed_the_guard_ends_the_work(bench: Bench) -> None:
    process = bench.start(bench.script("touch started; sleep 60"))
    wait_for(bench.folder / "started")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert bench.left_behind() == []


def test_several_nodes_need_srun(bench: Bench) -> None:
    ended = bench.run("echo on", nodes=2)
    assert (ended.status, ended.out) == (125, "")
    assert "2 nodes" in ended.err


@pytest.mark.parametrize(("field", "text"), [("run", "a\0b"), ("setup", "\udc80")])
def test_text_no_script_can_hold_is_refused(bench: Bench, field: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        bench.script(run=text if field == "run" else "true", setup=text if field == "setup" else "")
    assert refused.value.field == field


def test_a_missing_working_folder_is_a_failure_of_the_run(bench: Bench) -> None:
    text = wrap(
        setup="",
        run="echo on",
        exit_path=bench.exit_path,
        lease_path=bench.folder / "l",
        notice_path=bench.folder / "n",
        work_dir=bench.folder / "no",
    )
    path = bench.folder / "script.sh"
    path.write_text(text)
    process = bench.start(path)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (125, "")


SAVING = """import signal, sys, time, pathlib
def save(number, frame):
    pathlib.Path(".").joinpath("saved").write_text(signal.Signals(number).name)
    time.sleep(1.5)
    print("saved all", flush=True)
    sys.exit(STATUS)
signal.signal(signal.SIGNAL, save)
pathlib.Path("started").touch()
time.sleep(60)
"""
"""A program that saves for longer than the grace of the script when it is told."""


def told(bench: Bench, run: str, **how: Any) -> Ended:
    process = bench.start(bench.script(run, **how))
    wait_for(bench.folder / "started")
    (bench.folder / "notice").touch()
    out, err = process.communicate(timeout=30)
    return Ended(status=process.returncode, out=out, err=err)


def saving(bench: Bench, *, by: str = "TERM", status: int = 0) -> str:
    (bench.folder / "save.py").write_text(SAVING.replace("SIGNAL", f"SIG{by}").replace("STATUS", str(status)))
    return f"{sys.executable} save.py"


def test_a_program_that_is_told_has_time_to_save_and_what_follows_is_not_begun(bench: Bench) -> None:
    ended = told(bench, f"{saving(bench)}\necho and on")
    assert (ended.status, ended.out) == (143, "saved all\n")
    assert "to be ended soon (its room is needed): it is told by TERM" in ended.err
    assert bench.exit_path.read_text() == "143\n"
    assert bench.left_behind() == []


def test_programs_in_the_background_have_it_too(bench: Bench) -> None:
    ended = told(bench, f"{saving(bench)} &\nwait\necho and on")
    assert (ended.status, ended.out) == (143, "saved all\n")


def test_a_program_in_the_shells_place_ends_as_it_says(bench: Bench) -> None:
    assert told(bench, f"exec {saving(bench, status=7)}").status == 7


def test_who_does_not_listen_is_not_ended_by_it(bench: Bench) -> None:
    ended = told(bench, "trap '' TERM\ntouch started\nfor i in {1..8}; do sleep 0.1; done\necho done")
    assert (ended.status, ended.out) == (0, "done\n")


def test_a_signal_of_its_own_reaches_its_programs_and_not_its_shell(bench: Bench) -> None:
    ended = told(bench, f'{saving(bench, by="USR1", status=3)}\necho "status $?"', signal=Signal(name="USR1"))
    assert (ended.status, ended.out) == (0, "saved all\nstatus 3\n")
    assert (bench.folder / "saved").read_text() == "SIGUSR1"


def test_a_signal_for_the_shell_alone_does_not_reach_its_programs(bench: Bench) -> None:
    run = "trap 'echo heard' USR1\n(sleep 1; echo lived) &\ntouch started\nwait; wait; wait"
    ended = told(bench, run, signal=Signal(name="USR1", shell_only=True))
    assert (ended.status, ended.out) == (0, "heard\nlived\n")


def test_it_is_told_before_its_time_limit(bench: Bench) -> None:
    path = bench.script(saving(bench, status=4), signal=Signal(name="TERM", before_s=598), time_limit_s=600)
    process = bench.start(path)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "saved all\n")
    assert "(its time limit)" in err


def test_an_end_after_the_notice_ends_it_as_ever(bench: Bench) -> None:
    process = bench.start(bench.script("trap 'touch heard' TERM\ntouch started\nwhile :; do sleep 0.05; done"))
    wait_for(bench.folder / "started")
    (bench.folder / "notice").touch()
    wait_for(bench.folder / "heard")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert not bench.exit_path.exists()
    assert bench.left_behind() == []
