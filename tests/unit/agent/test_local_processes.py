"""Real processes on this host: limits hold, kills are noticed, restarts adopt, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from suanwang.domain.connector import DeviceSlots, Observation, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.connectors.local import procfs
from suanwang.sensing.connectors.local.connector import LocalConnector
from suanwang.sensing.connectors.local.records import RunFolder

pytestmark = pytest.mark.processes

POLLS, PAUSE_S = 1200, 0.05


class Host:
    """One spool, the connectors opened over it, and orders for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.connector = self.open()

    def open(self, **changes: Any) -> LocalConnector:
        settings: dict[str, Any] = {
            "cores": 2,
            "memory_gb": 2,
            "devices": {"npu": 4},
            "grace_s": 0.5,
            "pin_cores": False,
        }
        return LocalConnector(spool=self.spool, **{**settings, **changes})

    def order(self, script: str, **changes: Any) -> RunOrder:
        tag = changes.pop("tag", f"run-{uuid4().hex[:12]}")
        work = self.folder / tag
        settings: dict[str, Any] = {
            "name": "test",
            "work_dir": work,
            "stdout_path": work / "out",
            "stderr_path": work / "err",
            "exit_path": work / "exit",
            "lease_path": work / "lease",
            "env": {},
            "memory_gb": 0.5,
        }
        return RunOrder(tag=tag, script=script, **{**settings, **changes})

    def submit(self, script: str, **changes: Any) -> str:
        order = self.order(script, **changes)
        self.connector.submit(order)
        return order.tag

    def run_folder(self, tag: str) -> RunFolder:
        return RunFolder(str(self.spool / tag))

    def seen(self, tag: str) -> Observation:
        return self.connector.observe([tag])[tag]

    def ended(self, tag: str) -> Observation:
        until(lambda: self.seen(tag).state.ended)
        return self.seen(tag)

    def output(self, tag: str) -> str:
        path = self.folder / tag / "out"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def process(self, tag: str) -> int:
        started = self.run_folder(tag).started()
        assert started is not None
        return started["pid"]

    def shepherd(self, tag: str) -> int:
        started = self.run_folder(tag).started()
        assert started is not None
        return started["shepherd"]


def until(holds: Callable[[], bool]) -> None:
    for _ in range(POLLS):
        if holds():
            return
        time.sleep(PAUSE_S)
    pytest.fail("gave up waiting")


def lives(pid: int) -> bool:
    fields = procfs.stat_fields(pid)
    return bool(fields) and fields[0] != "Z"


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip().isdigit())
    return int(path.read_text())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    for tag in host.connector.running():
        host.connector.cancel(tag)
    until(lambda: not host.connector.running())


def test_a_run_outlives_the_agent_that_was_killed_and_is_adopted(host: Host, tmp_path: Path) -> None:
    agent = f"""
import os, signal
from pathlib import Path
from suanwang.domain.connector import RunOrder
from suanwang.sensing.connectors.local.connector import LocalConnector
folder = Path({str(tmp_path)!r})
connector = LocalConnector(spool=folder / "spool", cores=2, memory_gb=2, pin_cores=False)
connector.submit(RunOrder(tag="survivor", name="s", script='while [ ! -e go ]; do sleep 0.05; done; echo done; exit 3',
    work_dir=folder, stdout_path=folder / "out", stderr_path=folder / "err", exit_path=folder / "exit",
    lease_path=folder / "lease", env={{}}, memory_gb=0.5))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    dead = subprocess.run([sys.executable, "-c", agent], env=environment, check=False)
    assert dead.returncode == -signal.SIGKILL
    assert host.connector.running() == ["survivor"]
    assert host.seen("survivor").state is RunState.RUNNING
    (tmp_path / "go").touch()
    outcome = host.ended("survivor")
    assert (outcome.state, outcome.exit_code) == (RunState.FAILED, 3)
    assert (tmp_path / "out").read_text() == "done\n"


def test_a_killed_shepherd_is_noticed_and_its_processes_are_ended(host: Host) -> None:
    script = "setsid sleep 300 & echo $! > escaped; sleep 300 & echo $! > child; wait"
    tag = host.submit(script)
    escaped, child = pid_in(host.folder / tag / "escaped"), pid_in(host.folder / tag / "child")
    bash = host.process(tag)
    os.kill(host.shepherd(tag), signal.SIGKILL)
    outcome = host.ended(tag)
    assert outcome.state is RunState.SITE_FAILED
    assert "supervisor" in outcome.reason
    assert outcome.started_at is not None
    assert not any(lives(pid) for pid in (escaped, child, bash))
    assert host.connector.load().cores_free == 2


def test_a_killed_script_is_a_failure_of_its_own_with_the_signal_named(host: Host) -> None:
    tag = host.submit("sleep 300 & echo $! > child; wait")
    child = pid_in(host.folder / tag / "child")
    os.kill(host.process(tag), signal.SIGKILL)
    outcome = host.ended(tag)
    assert (outcome.state, outcome.exit_code) == (RunState.FAILED, 137)
    assert "SIGKILL" in outcome.reason
    assert not lives(child)


def test_what_a_script_leaves_running_is_ended_with_it(host: Host) -> None:
    tag = host.submit("(setsid nohup sleep 300 >/dev/null 2>&1 & echo $! > left); exit 0")
    assert host.ended(tag).state is RunState.SUCCEEDED
    assert not lives(pid_in(host.folder / tag / "left"))


def test_a_program_over_its_memory_is_ended_and_the_figures_are_named(host: Host) -> None:
    greedy = f"exec {sys.executable} -c 'import time; hold = bytearray(150_000_000); time.sleep(300)'"
    tag = host.submit(greedy, memory_gb=0.08)
    outcome = host.ended(tag)
    assert outcome.state is RunState.OUT_OF_MEMORY
    assert "0.08 GB" in outcome.reason
    assert outcome.max_memory_gb is not None
    assert outcome.max_memory_gb > 0.08


def test_time_over_is_told_apart_and_a_program_that_ignores_term_is_killed(host: Host) -> None:
    tag = host.submit("trap '' TERM; echo $$ > me; while :; do sleep 0.2; done", time_limit_s=1)
    outcome = host.ended(tag)
    assert outcome.state is RunState.TIMED_OUT
    assert "1 s" in outcome.reason
    assert not lives(pid_in(host.folder / tag / "me"))


def test_a_child_has_the_grace_to_save_its_state_after_cancel(host: Host) -> None:
    host.connector = host.open(grace_s=30)
    saver = (
        "import signal, sys, time, pathlib\n"
        "def save(*_):\n    time.sleep(0.3); pathlib.Path('saved').write_text('1'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\npathlib.Path('ready').write_text('1')\ntime.sleep(300)\n"
    )
    work = host.folder / "saver"
    work.mkdir()
    (work / "saver.py").write_text(saver)
    tag = host.submit(f"{sys.executable} saver.py", tag="saver")
    until((work / "ready").exists)
    host.connector.cancel(tag)
    assert host.ended(tag).state is RunState.CANCELLED
    assert (work / "saved").exists()


def test_processor_time_of_grandchildren_is_counted(host: Host) -> None:
    tag = host.submit("( i=0; while (( i < 150000 )); do (( i++ )); done ) & wait")
    outcome = host.ended(tag)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.cpu_s is not None
    assert outcome.cpu_s > 0.05


def test_runs_wait_in_turn_and_devices_are_never_shared(host: Host) -> None:
    npus = DeviceSlots(model="npu", kind=DeviceKind.NPU, count=2)
    script = 'echo "$SUANWANG_DEVICES|$CUDA_VISIBLE_DEVICES|$ASCEND_RT_VISIBLE_DEVICES"; until [ -e go ]; do sleep 0.05; done'
    first = host.submit(script, devices=npus)
    second = host.submit(script, devices=npus)
    third = host.submit("true", devices=DeviceSlots(model="npu", kind=DeviceKind.NPU, count=1))
    until(lambda: bool(host.output(first)) and bool(host.output(second)))
    assert host.output(first) == "0,1|0,1|0,1\n"
    assert host.output(second) == "2,3|2,3|2,3\n"
    assert host.seen(third).state is RunState.PENDING
    load = host.connector.load()
    assert (load.pending, load.running, load.cores_free, load.devices_free) == (1, 2, 0, {"npu": 0})
    assert host.connector.running() == [first, second, third]
    (host.folder / first / "go").touch()
    assert host.ended(third).state is RunState.SUCCEEDED
    assert host.seen(second).state is RunState.RUNNING


def test_a_small_run_does_not_overtake_the_one_that_waits_first(host: Host) -> None:
    running = host.submit("until [ -e go ]; do sleep 0.05; done")
    large = host.submit("true", cores=2)
    small = host.submit("true", cores=1)
    assert host.seen(large).state is RunState.PENDING
    assert host.seen(small).state is RunState.PENDING
    (host.folder / running / "go").touch()
    large_end, small_end = host.ended(large).ended_at, host.ended(small).started_at
    assert large_end is not None
    assert small_end is not None
    assert large_end <= small_end


def test_cancel_of_a_waiting_run_ends_it_before_it_started(host: Host) -> None:
    host.submit("sleep 300", cores=2)
    waiting = host.submit("touch ran", cores=2)
    host.connector.cancel(waiting)
    outcome = host.seen(waiting)
    assert (outcome.state, outcome.started_at) == (RunState.CANCELLED, None)
    assert not (host.folder / waiting / "ran").exists()


class Crash(BaseException):
    """Stands for a kill of the agent at one exact line."""


@pytest.mark.parametrize("line", ["LocalConnector._advance", "start_shepherd", "RunFolder.write_order"])
def test_an_agent_that_died_before_the_start_starts_the_run_once(host: Host, line: str) -> None:
    def crash(*_: object) -> None:
        raise Crash

    order = host.order("echo once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"suanwang.sensing.connectors.local.connector.{line}", crash)
        with pytest.raises(Crash):
            host.connector.submit(order)
    again = host.open()
    again.submit(order)
    again.submit(order)
    assert host.ended(order.tag).state is RunState.SUCCEEDED
    assert host.output(order.tag) == "once\n"


def test_a_second_shepherd_for_the_same_run_leaves_it_alone(host: Host) -> None:
    tag = host.submit("echo once; until [ -e go ]; do sleep 0.05; done")
    module = "suanwang.sensing.connectors.local.shepherd"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        command = [sys.executable, "-m", module, str(host.spool / tag)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    (host.folder / tag / "go").touch()
    assert host.ended(tag).state is RunState.SUCCEEDED
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert host.output(tag) == "once\n"


def test_a_restart_of_the_host_is_the_sites_failure_and_no_process_is_touched(host: Host) -> None:
    order = host.order("true")
    host.submit("sleep 300", cores=2)
    host.connector.submit(order)
    folder = host.run_folder(order.tag)
    folder.write_granted({"cpus": [], "devices": [], "tries": 1})
    bystander = subprocess.Popen(["sleep", "300"])
    ticks = procfs.start_ticks(bystander.pid)
    assert ticks is not None
    folder.write_started(
        {
            "boot_id": "another boot",
            "shepherd": bystander.pid,
            "shepherd_ticks": ticks,
            "session": os.getsid(bystander.pid),
            "pid": bystander.pid,
            "started_at": 1.0,
        }
    )
    assert host.seen(order.tag).state is RunState.SITE_FAILED
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_reused_process_number_is_not_signalled(host: Host) -> None:
    """After a kill of the shepherd, its number and session may belong to strangers that are older or elsewhere."""
    tag = host.submit("sleep 300")
    os.kill(host.shepherd(tag), signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "300"])
    started = host.run_folder(tag).started()
    assert started is not None
    host.run_folder(tag).write_started({**started, "shepherd": bystander.pid})
    host.connector.cancel(tag)
    assert host.ended(tag).state is RunState.SITE_FAILED
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_run_that_cannot_be_started_is_the_sites_failure_with_the_step_named(host: Host) -> None:
    tag = host.submit("true", stdout_path=host.folder / "missing" / "out")
    outcome = host.ended(tag)
    assert (outcome.state, outcome.exit_code) == (RunState.SITE_FAILED, None)
    assert "standard streams" in outcome.reason


def test_a_supervisor_that_never_starts_is_given_up_after_a_few_tries(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no python here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    tag = host.submit("true")
    outcome = host.ended(tag)
    assert outcome.state is RunState.SITE_FAILED
    assert "no python here" in outcome.reason


def test_the_agents_secrets_stay_out_of_the_run_and_the_orders_words_reach_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUANWANG_TOKEN", "swordfish")
    tag = host.submit("env; ulimit -c", env={"GREETING": "你好 $HOME", "OMP_NUM_THREADS": "7"})
    host.ended(tag)
    lines = host.output(tag).splitlines()
    assert "GREETING=你好 $HOME" in lines
    assert "OMP_NUM_THREADS=7" in lines
    assert "MKL_NUM_THREADS=1" in lines
    assert lines[-1] == "0"
    assert not any("swordfish" in line for line in lines)
    assert (host.spool / tag / "order.json").stat().st_mode & 0o077 == 0


def test_runs_are_pinned_to_processors_of_their_own(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("this host has one processor")
    host = Host(tmp_path)
    host.connector = host.open(pin_cores=True)
    tell = (
        f"{sys.executable} -c 'import os; print(sorted(os.sched_getaffinity(0)))'; until [ -e go ]; do sleep 0.05; done"
    )
    first, second = host.submit(tell), host.submit(tell)
    until(lambda: bool(host.output(first)) and bool(host.output(second)))
    assert {host.output(first), host.output(second)} == {f"[{cpus[0]}]\n", f"[{cpus[1]}]\n"}
    for tag in (first, second):
        (host.folder / tag / "go").touch()
        host.ended(tag)


def test_no_shepherd_stays_behind_as_a_zombie(host: Host) -> None:
    tag = host.submit("true")
    shepherd = host.shepherd(tag)
    host.ended(tag)

    def gone() -> bool:
        host.connector.observe([])
        return not procfs.stat_fields(shepherd)

    until(gone)


def test_forget_keeps_what_has_not_ended_and_removes_what_has(host: Host) -> None:
    tag = host.submit("until [ -e go ]; do sleep 0.05; done")
    host.connector.forget(tag)
    assert host.connector.running() == [tag]
    (host.folder / tag / "go").touch()
    host.ended(tag)
    host.connector.forget(tag)
    assert host.seen(tag).state is RunState.UNKNOWN
    assert not (host.spool / tag).exists()


def test_a_broken_record_is_unknown_and_hides_no_other_run(host: Host) -> None:
    good = host.submit("true")
    bad = host.submit("true")
    host.ended(good)
    host.ended(bad)
    (host.spool / bad / "order.json").write_text('{"tag": ', encoding="utf-8")
    assert host.seen(bad).state is RunState.UNKNOWN
    assert host.seen(good).state is RunState.SUCCEEDED


@pytest.mark.parametrize("tag", ["", "../up", "a/b", ".hidden", "x" * 200, "new\nline"])
def test_a_tag_that_escapes_is_refused_and_touches_nothing(host: Host, tag: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        host.connector.submit(host.order("true", tag=tag, work_dir=host.folder))
    assert refused.value.field == "tag"
    host.connector.cancel(tag)
    host.connector.forget(tag)
    assert host.seen(tag).state is RunState.UNKNOWN
    assert [path.name for path in host.spool.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nodes": 2}, "nodes"),
        ({"cores": 3}, "cores"),
        ({"memory_gb": 3.0}, "memory_gb"),
        ({"memory_gb": float("nan")}, "memory_gb"),
        ({"memory_gb": float("inf")}, "memory_gb"),
        ({"time_limit_s": 0}, "time_limit_s"),
        ({"devices": DeviceSlots(model="tpu", kind=DeviceKind.TPU, count=1)}, "devices.model"),
        ({"posix_user": "no-such-account"}, "posix_user"),
        ({"posix_user": "root"}, "posix_user"),
    ],
)
def test_what_this_host_cannot_do_is_refused_with_its_field(host: Host, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        host.submit("true", **changes)
    assert refused.value.field == field
    assert refused.value.allowed
    assert host.connector.running() == []


@pytest.mark.parametrize(
    "capacity", [{"cores": 0}, {"memory_gb": 0}, {"memory_gb": float("nan")}, {"devices": {"a": -1}}]
)
def test_a_capacity_that_makes_no_sense_is_refused(host: Host, capacity: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        host.open(**capacity)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start runs as another account")
def test_a_mapped_account_runs_as_itself() -> None:
    with tempfile.TemporaryDirectory(prefix="suanwang-test-") as name:  # tmp_path is closed to other accounts
        folder = Path(name)
        folder.chmod(0o755)
        host = Host(folder)
        work = folder / "nobodys"
        work.mkdir()
        os.chown(work, 65534, 65534)
        order = host.order(
            "id -un; id -G | wc -w; cat /proc/self/oom_score_adj; umask", tag="nobodys", posix_user="nobody"
        )
        host.connector.submit(order)
        outcome = host.ended(order.tag)
        assert outcome.state is RunState.SUCCEEDED, outcome
        assert host.output(order.tag).split() == ["nobody", "1", "500", "0022"]
        host.connector.cancel(order.tag)


def test_the_end_record_uses_the_domains_words(host: Host) -> None:
    tag = host.submit("exit 4")
    outcome = host.ended(tag)
    record = json.loads((host.spool / tag / "ended.json").read_text(encoding="utf-8"))
    assert RunState(record["state"]) is RunState.FAILED
    assert outcome.reason == "exit status 4"
