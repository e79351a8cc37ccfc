"""Experiments on a real Ray cluster of this machine's own: the same rows as here, also when a worker is killed in mid-play."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import parquet
from tests.services.slurm_fixture import services_required

import suanwang

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("ray")]

FILE = """
experiment: far
start: 2026-07-06
trace: {generated: federation-week, hours: 12, share: 0.05}
policies: [joint, nearest]
seeds: [1, 2]
conditions: {capacity: 0.05, interruptible_share: 0.5}
record: {bound: false}
"""
LONGEST_S = 240.0
OWN_TASK = "ray::_tried"


MARK = "SUANWANG_TEST_CLUSTER"
"""In the environment of every process of the cluster: some of them leave their parents."""


def environment() -> dict[str, str]:
    source = str(Path(suanwang.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "LC_ALL": "C.UTF-8", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True, slots=True)
class Cluster:
    folder: str
    address: str

    def processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.folder:
                    yield process

    def stop(self) -> None:
        # Ray starts some of them anew as long as their parents live.
        while family := [process for process in self.processes() if process.status() != psutil.STATUS_ZOMBIE]:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=30)


def ports(count: int) -> list[int]:
    """Free ones between those that Ray gives its workers and those that the kernel gives to outgoing calls."""
    found: list[int] = []
    for port in random.sample(range(20000, 32000), 200):
        try:
            with socket.socket() as listener:
                listener.bind(("0.0.0.0", port))  # as Ray does
                found.append(port)
        except OSError:
            continue
        if len(found) == count:
            return found
    raise AssertionError("200 ports were all taken")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if find_spec("ray") is None:
        reason = "needs Ray: pip install 'suanwang[ray]'"
        (pytest.fail if services_required() else pytest.skip)(reason)
    port, *own = ports(4)
    # Ray's sockets lie in it, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="sw-ray-", ignore_cleanup_errors=True) as folder:
        made = Cluster(folder, f"127.0.0.1:{port}")
        log = Path(folder) / "log"
        with log.open("wb") as said:
            head = subprocess.Popen(
                [
                    sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats",
                    "--include-dashboard=false", "--num-cpus=2", "--object-store-memory=100000000",
                    "--node-ip-address=127.0.0.1", f"--port={port}",
                    f"--node-manager-port={own[0]}", f"--object-manager-port={own[1]}",
                    f"--dashboard-agent-listen-port={own[2]}", f"--temp-dir={folder}/ray",
                ],
                env={**environment(), MARK: folder}, stdout=said, stderr=said,
            )  # fmt: skip
        try:
            wait_until_it_answers(head, port, log)
            yield made
        finally:
            made.stop()
            head.wait()


def wait_until_it_answers(head: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + LONGEST_S
    # It says so when all of it is up; the port answers before.
    while b"Ray runtime started" not in log.read_bytes():
        assert head.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, f"nothing at {port}: {log.read_text(errors='replace')}"
        time.sleep(0.05)


def played(file: Path, out: Path, *more: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the command says, and the rows it wrote, in the order of the plays."""
    done = subprocess.run(
        [sys.executable, "-m", "suanwang.cli", "twin", "run", str(file), "--out", str(out), "--json", *more],
        env=environment(), check=False, capture_output=True, text=True, timeout=LONGEST_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = parquet.read_table(out / "results.parquet").to_pylist()
    return json.loads(done.stdout), [{key: value for key, value in row.items() if value == value} for row in rows]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The file, and its rows as this machine's processes play them."""
    folder = tmp_path_factory.mktemp("here")
    file = folder / "far.yaml"
    file.write_text(FILE)
    return file, played(file, folder / "out")[1]


def test_a_cluster_gives_the_rows_that_this_machine_does(
    cluster: Cluster, here: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    file, rows = here
    said, there = played(file, tmp_path / "out", "--ray", cluster.address)
    assert (said["made"], said["failed"]) == (len(rows), [])
    assert there == rows


def test_a_worker_that_is_killed_in_mid_play_costs_no_row(
    cluster: Cluster, here: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    file, rows = here
    killed, over = list[int](), threading.Event()

    def kill_the_first() -> None:
        while not over.is_set():
            for process in cluster.processes():
                with suppress(psutil.Error):
                    if process.cmdline()[0].startswith(OWN_TASK):
                        process.kill()
                        killed.append(process.pid)
                        return

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    try:
        said, there = played(file, tmp_path / "out", "--ray", cluster.address)
    finally:
        over.set()
        killer.join()
    assert killed, "no worker was seen at a play"
    assert (said["made"], said["failed"]) == (len(rows), [])
    assert there == rows
