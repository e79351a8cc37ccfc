"""The same kind of work done by others on the same machine: Slurm's starts, SkyPilot's choice.

Owns how they are brought up and asked. What is not here or cannot be had is said in words instead of a figure.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from benchmarks.networks import NOW, queued, site
from benchmarks.store import Figure

from suanwang.control.wording import positions
from suanwang.domain.errors import SuanwangError
from suanwang.domain.precision import DeviceKind
from suanwang.domain.site import DevicePool, Price, Site
from suanwang.domain.task import DeviceRequest, Resources, Task
from suanwang.scheduling.placing import explain
from suanwang.scheduling.plan import Place
from suanwang.scheduling.snapshot import Snapshot
from suanwang.testbed.slurm import ClusterSpec, SlurmTestbed

SKYPILOT = "skypilot==0.14.1"
SLURM_JOBS = 200
SLURM_SECONDS = 60.0


class Absent(Exception):
    """Why there is no figure, in words for the report."""


def slurm() -> Iterator[Figure]:
    """An array of `true` on the testbed's Slurm: from its submission until as many had ended as a minute allows."""
    with tempfile.TemporaryDirectory(prefix="suanwang-slurm-") as folder:
        try:
            with SlurmTestbed(Path(folder), [ClusterSpec(name="bench", nodes=2, cores=16, gres={})]) as testbed:
                cluster = testbed.clusters["bench"]
                begun = time.perf_counter()
                cluster.command("sbatch", f"--array=0-{SLURM_JOBS - 1}", "--output=/dev/null", "--wrap=true")
                ended, waited_s = 0, 0.0
                while ended < SLURM_JOBS and waited_s < SLURM_SECONDS:
                    time.sleep(0.2)
                    left = cluster.command("squeue", "--array", "--noheader", "--format=%i").split()
                    ended, waited_s = SLURM_JOBS - len(left), time.perf_counter() - begun
        except SuanwangError as error:
            raise Absent(error.message) from error
    yield Figure(
        name=f"Slurm: an array of {SLURM_JOBS} `true`, submitted, run and ended", value=ended / waited_s, unit="jobs/s"
    )


def skypilot(venv: Path, sites: int) -> Iterator[Figure]:
    """One choice among `sites` regions by SkyPilot's optimizer, and the same choice by ours."""
    _install(venv)
    offered = _sites(sites)
    prices = {of.id: float(of.offering.price.device_hour_yuan["A100"]) * 8 for of in offered}
    with tempfile.TemporaryDirectory(prefix="suanwang-sky-") as folder:
        file = Path(folder) / "prices.json"
        file.write_text(json.dumps(prices))
        script = Path(__file__).with_name("skypilot_choice.py")
        try:
            done = subprocess.run(
                [venv / "bin/python", script, folder, file], capture_output=True, text=True, timeout=240, check=False
            )
        except subprocess.TimeoutExpired:
            raise Absent(f"SkyPilot did not choose among {sites} regions within four minutes") from None
    if done.returncode:
        raise Absent(f"SkyPilot's optimizer ended with: {done.stderr.strip().splitlines()[-1]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    chosen, ours_s = _ours(offered)
    assert said["region"] == chosen, "both choose the cheapest"
    theirs_s = sorted(said["later_s"])[len(said["later_s"]) // 2]
    yield Figure(name=f"SkyPilot {said['version']}: one choice among {sites} regions", value=theirs_s, unit="s")
    yield Figure(name=f"Suanwang: the same choice among {sites} sites, with every reason", value=ours_s, unit="s")


def _install(venv: Path) -> None:
    if (venv / "bin/sky").exists():
        return
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SKYPILOT],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            raise Absent(f"{SKYPILOT} could not be installed within five minutes") from None
        if done.returncode:
            raise Absent(f"{SKYPILOT} could not be installed: {done.stderr.strip().splitlines()[-1]}")


def _sites(count: int) -> list[Site]:
    dice = random.Random(3)
    offered: list[Site] = []
    for number in range(count):
        made = site(dice, number, nodes=1)
        pool = DevicePool(model="A100", kind=DeviceKind.GPU, count=8, per_node=8, memory_gb=80.0)
        price = Price(
            core_hour_yuan=Decimal(0), device_hour_yuan={"A100": Decimal(dice.randint(200_000, 3_000_000)) / 100_000}
        )
        offered.append(replace(made, offering=replace(made.offering, devices=(pool,), price=price)))
    return offered


def _ours(offered: list[Site]) -> tuple[str, float]:
    task = Task(
        name="choice", run="true", resources=Resources(cores=1, devices=DeviceRequest(count=8, models=("A100",)))
    )
    job = queued(0, task)
    took: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        found = explain(Snapshot(now=NOW, jobs=[job], sites=offered, held={}, places=positions()), job)
        took.append(time.perf_counter() - begun)
    assert isinstance(found, Place)
    return found.site, sorted(took)[2]
