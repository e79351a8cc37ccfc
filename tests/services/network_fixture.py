"""A whole network of real processes over two real Slurm clusters, of which each part can be killed and started again.

Owns the processes: the control plane with its embedded PostgreSQL, one agent by Slurm's commands, one by its REST daemon.
Import the fixtures `testbed` and `net` into a test module; each module gets a testbed of its own, because nodes die there.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from tests.services.slurm_fixture import need_slurm, reachable_folder

import suanwang
from suanwang.client import Client, models
from suanwang.domain.errors import OutcomeUnknown, Unavailable
from suanwang.domain.identity import Role
from suanwang.domain.job import AllocationState
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.sitefile import read_site
from suanwang.testbed.slurm import TWO_CLUSTERS, Cluster, SlurmTestbed

T = TypeVar("T")
LEASE_S, MARGIN_S = 20.0, 6.0
PATIENCE_S = 80.0
"""Longest one condition is waited for; a slow machine needs some of it, a right outcome never all."""
PROJECT, OPERATOR = "lab", "operator-token-of-the-service-tests"
SETTINGS = {
    "SUANWANG_LEASE_TTL_S": str(LEASE_S),
    "SUANWANG_FENCE_MARGIN_S": str(MARGIN_S),
    "SUANWANG_SUSPECT_AFTER_S": "4",
    "SUANWANG_POLL_S": "0.3",
    "SUANWANG_TURN_EVERY_S": "0.2",
    "SUANWANG_METER_EVERY_S": "2",
    "SUANWANG_OPERATOR_TOKEN": OPERATOR,
}
CORE_HOUR, DEVICE_HOUR = Decimal(36), Decimal(360)
"""Yuan: a second of a core is a fen, so that short runs have bills."""
SITE_FILE = """\
id: {id}
name: {{zh: {zh}, en: {en}}}
provider: {id}-provider
region: {region}
place: {zh}
nodes: 2
cores_per_node: 4
memory_per_node: 4GB
devices:
  - {{model: huawei-ascend-910b, per_node: 8, price: {device_hour}, gres: ascend910b}}
price: {{core_hour: {core_hour}}}
pue: 1.2
connector: {connector}
"""
SITES = ("gz", "nm")
"""By commands and by REST; each is called like its cluster."""
PLACES = {"gz": ("贵安", "Guian", "guizhou"), "nm": ("和林格尔", "Horinger", "inner-mongolia")}
"""Cluster → where it is, in Chinese and English, and its region."""

STEADY = """\
trap "" TERM
step=$(cat "$SUANWANG_CHECKPOINT_DIR/step" 2>/dev/null || echo 0)
echo "$SUANWANG_ALLOCATION_ID $SUANWANG_SITE $step" >> "$WITNESS/begun"
while [ ! -e "$WITNESS/release" ]; do
  step=$((step + 1))
  echo "step $step"
  echo "$EPOCHREALTIME $BASHPID $step" >> "$WITNESS/steps-$SUANWANG_ALLOCATION_ID"
  echo "$step" > "$SUANWANG_CHECKPOINT_DIR/step.new" && mv "$SUANWANG_CHECKPOINT_DIR/step.new" "$SUANWANG_CHECKPOINT_DIR/step"
  sleep 0.5
done
"""
"""Work that leaves traces outside its folder: a line when it begins, one for each step. It ends when it is
released, and not when it is asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """One beginning of a job's program."""

    allocation: str
    site: str
    step: int
    """Where it took up its checkpoint; 0 for a fresh start."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What runs wrote outside their own folders, in `folder`."""

    folder: Path

    def begun(self) -> list[Begun]:
        rows = [line.split() for line in _lines(self.folder / "begun")]
        return [Begun(allocation=row[0], site=row[1], step=int(row[2])) for row in rows]

    def steps(self, allocation: str) -> list[tuple[float, int, int]]:
        """(instant, process, step) of each step."""
        rows = [line.split() for line in _lines(self.folder / f"steps-{allocation}")]
        return [(float(row[0]), int(row[1]), int(row[2])) for row in rows]

    def release(self) -> None:
        (self.folder / "release").touch()


def _lines(path: Path) -> list[str]:
    """Whole lines of a file that may not be there yet."""
    try:
        return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    except FileNotFoundError:
        return []


@dataclass(slots=True)
class Processes:
    """The processes of one network, by name; their output goes to files in `folder/logs`."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **env: str) -> None:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SUANWANG_", "SLURM_"))}
        with (logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "suanwang.cli", *arguments, "--with-parent"],
                env={**kept, "PYTHONPATH": str(Path(suanwang.__file__).parents[1]), "LANG": "C.UTF-8", **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL, and only to the process itself: what it started must cope."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def end(self, name: str) -> None:
        process = self.running.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def alive(self, name: str) -> bool:
        return name in self.running and self.running[name].poll() is None

    def words(self) -> str:
        """The end of what each of them said, without the requests that went well."""
        said = []
        for log in sorted((self.folder / "logs").glob("*.log")):
            lines = [line for line in log.read_text(errors="replace").splitlines() if '"status": 2' not in line]
            said.append(f"--- {log.name}\n" + "\n".join(lines)[-2500:])
        return "\n".join(said)


class RealNetwork:
    """The network of one test module; `heal` brings back whatever a test has killed."""

    def __init__(self, folder: Path, testbed: SlurmTestbed) -> None:
        self.folder = folder
        self.testbed = testbed
        self.processes = Processes(folder)
        self._port = _quiet_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.operator = Client(self.url, OPERATOR)
        self.client = self.operator
        self._witnesses = 0

    def up(self) -> None:
        self.start_control_plane()
        self.operator.create_project(PROJECT, "Laboratory")
        token = self.operator.create_token("researcher", Role.USER, projects=[PROJECT]).secret
        self.client = Client(self.url, token)
        self.join("gz", "gz", f"{{kind: slurm, conf: {self.cluster('gz').conf}}}")
        jwt = self.folder / "nm.jwt"
        jwt.write_text(self.cluster("nm").token())
        url = self.cluster("nm").rest_url
        self.join("nm", "nm", f"{{kind: slurmrestd, url: '{url}', user: root, token_file: {jwt}}}")
        self.until("both sites are reachable", self._reachable)

    def join(self, site: str, cluster: str, connector: str) -> None:
        """Declare, invite and start a site of `cluster`; `connector` as its site file has it."""
        chinese, english, region = PLACES[cluster]
        text = SITE_FILE.format(
            id=site,
            zh=chinese,
            en=english,
            region=region,
            connector=connector,
            core_hour=CORE_HOUR,
            device_hour=DEVICE_HOUR,
        )
        (self.folder / f"{site}.yaml").write_text(text)
        declaration = read_site(text)
        self.start_agent(site, join=self.operator.invite_site(declaration.id, declaration.offering).join_token)

    def leave(self, site: str) -> None:
        self.processes.end(f"agent-{site}")
        self.operator.drain_site(site)

    def down(self) -> None:
        for name in sorted(self.processes.running):
            self.processes.end(name)
        self.operator.close()
        self.client.close()
        for process in self.postgres():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def heal(self) -> None:
        """Everything that should run runs, and both sites take work."""
        if not self.processes.alive("serve"):
            self.start_control_plane()
        for site, cluster in self.testbed.clusters.items():
            for node in cluster.spec.node_names:
                if cluster.daemons[node].poll() is not None:
                    self.testbed.start_node(site, node)
            if not self.processes.alive(f"agent-{site}"):
                self.start_agent(site)
        self.until("every node and site is back", self._reachable)

    def _reachable(self) -> bool:
        sites = {site.id: site for site in self.operator.sites()}
        return all(
            (site := sites.get(name)) is not None
            and site.state is SiteState.REACHABLE
            and site.measured is not None
            and site.measured.devices == {"huawei-ascend-910b": 16}
            for name in SITES
        )

    # its parts

    def start_control_plane(self) -> None:
        self.processes.start(
            "serve", "serve", "--home", str(self.folder / "network"), "--port", str(self._port), **SETTINGS
        )
        self.until("the control plane answers", lambda: self.operator.health().status == "ok", parts=("serve",))

    def start_agent(self, site: str, *, join: str | None = None) -> None:
        arguments = ["agent", "--site", str(self.folder / f"{site}.yaml"), "--url", self.url]
        arguments += ["--home", str(self.folder / "agents" / site)]
        env = {"SUANWANG_JOIN_TOKEN": join} if join else {}
        self.processes.start(f"agent-{site}", *arguments, **env)

    def postgres(self) -> list[psutil.Process]:
        """Every process of the embedded server."""
        data, found = self.folder / "network" / "database" / "data", []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and Path(process.cwd()) == data:
                    found.append(process)
        return found

    def cluster(self, site: str) -> Cluster:
        return self.testbed.clusters[site]

    def processes_of(self, allocation: str) -> list[psutil.Process]:
        """The processes of a run's own program on its node, oldest first."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environ = process.environ()
                if environ.get("SUANWANG_ALLOCATION_ID") == allocation and "SUANWANG_RUN_COOKIE" in environ:
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def step_daemon(self, allocation: str) -> psutil.Process:
        """The slurmstepd above a run's script."""
        above = self.processes_of(allocation)[0].parents()
        return next(process for process in above if process.name() == "slurmstepd")

    # work

    def witness(self) -> Witness:
        """A new folder in which a test's runs leave their traces."""
        self._witnesses += 1
        folder = self.folder / f"witness-{self._witnesses}"
        folder.mkdir()
        return Witness(folder)

    def submit(self, task: str) -> list[models.JobView]:
        return self.client.submit(task, project=PROJECT).jobs

    def submit_steady(self, witness: Witness, more: str = "") -> models.JobView:
        """One job of `STEADY`; `more` are lines for its task file."""
        run = "".join(f"  {line}\n" for line in STEADY.splitlines())
        task = f"name: steady\nrun: |\n{run}checkpoint: ckpt\nenv: {{WITNESS: {witness.folder}}}\n"
        return self.submit(task + "resources: {cores: 1, memory: 200MB, time_limit: 10m}\n" + more)[0]

    def until(self, what: str, holds: Callable[[], T], *, parts: tuple[str, ...] = (), pause_s: float = 0.1) -> T:
        """The first true answer of `holds`; a network that does not answer just now is asked again.

        Fails with the processes' last words after `PATIENCE_S`, or as soon as one of `parts` has ended.
        """
        give_up_at, seen = time.monotonic() + PATIENCE_S, "never asked"
        while time.monotonic() < give_up_at:
            try:
                found = holds()
            except (Unavailable, OutcomeUnknown) as error:
                seen = error.message
            else:
                if found:
                    return found
                seen = repr(found)
            dead = [part for part in parts if not self.processes.alive(part)]
            if dead:
                break
            time.sleep(pause_s)
        pytest.fail(f"not within {PATIENCE_S:g} s: {what} (last: {seen})\n{self.processes.words()}")

    def until_state(self, job_id: str, *states: JobState) -> models.JobDetail:
        def reached() -> models.JobDetail | None:
            job = self.client.job(job_id)
            return job if job.state in states else None

        found = self.until(f"{job_id} is {' or '.join(states)}", reached)
        assert found is not None
        return found

    def until_steps(self, witness: Witness, allocation: str, *, more: int = 3) -> int:
        """Waits until a run has made `more` further steps; how many it has made then."""
        before = len(witness.steps(allocation))
        self.until(f"{allocation} goes on", lambda: len(witness.steps(allocation)) >= before + more)
        return len(witness.steps(allocation))

    def output(self, job_id: str, allocation: str) -> str:
        """What the network has of a run's standard output; fails where it has a piece twice or none between two."""
        pieces = [
            piece
            for piece in self.client.logs(job_id).items
            if piece.allocation == allocation and piece.stream == "stdout"
        ]
        pieces.sort(key=lambda piece: piece.offset)
        ends = [0, *(piece.offset + piece.size for piece in pieces)]
        assert [piece.offset for piece in pieces] == ends[:-1]
        return "".join(piece.text for piece in pieces)

    def assert_log_is_whole(self, witness: Witness, job_id: str, allocation: str) -> None:
        steps = [step for _, _, step in witness.steps(allocation)]
        assert self.output(job_id, allocation) == "".join(f"step {step}\n" for step in steps)

    def assert_billed_once(self, job_id: str) -> models.JobDetail:
        """Every interval of every run is metered and billed, none twice, and all sums agree."""
        job = self.client.job(job_id)
        records = sorted(self.client.usage(job_id), key=lambda record: record.from_at)
        assert all(before.to_at <= after.from_at for before, after in pairwise(records))
        for run in self.client.allocations(job_id):
            own = [record for record in records if record.allocation == run.id]
            assert all(before.to_at == after.from_at for before, after in pairwise(own))
            if run.state is AllocationState.ENDED and run.started_at is not None and run.started_at != run.ended_at:
                assert (own[0].from_at, own[-1].to_at) == (run.started_at, run.ended_at)
        lines = list(self.client.bill_lines(job=job_id))
        assert sorted(line.usage_id for line in lines) == sorted(record.id for record in records)
        seconds = sum(
            (record.to_at - record.from_at).total_seconds()
            * float(record.cores * CORE_HOUR + record.devices * DEVICE_HOUR)
            for record in records
        )
        assert float(job.usage.cost_yuan) == pytest.approx(seconds / 3600, abs=1e-6)
        # What its project used there in the month is rounded up, and the job is what that grew by.
        assert abs(job.billed_fen - job.usage.cost_yuan * 100) < 1
        assert sum(line.amount_fen for line in lines) == job.billed_fen
        assert self.client.bill_totals(job=job_id).amount_fen == job.billed_fen
        return job


def _quiet_port() -> int:
    """A free port below those the kernel gives to outgoing calls, so that it is still free after a restart."""
    for port in random.sample(range(15000, 32000), 200):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("200 ports were all taken")


@pytest.fixture(scope="module")
def testbed() -> Iterator[SlurmTestbed]:
    """Two clusters of this module's own, whose nodes may be killed."""
    need_slurm(rest=True)
    with reachable_folder() as folder, SlurmTestbed(folder, TWO_CLUSTERS, rest=True) as testbed:
        yield testbed


@pytest.fixture(scope="module")
def running_network(testbed: SlurmTestbed) -> Iterator[RealNetwork]:
    with reachable_folder() as folder:
        network = RealNetwork(folder, testbed)
        try:
            network.up()
            yield network
        finally:
            network.down()


@pytest.fixture
def net(running_network: RealNetwork) -> RealNetwork:
    """The network, whole, whatever the test before did to it."""
    running_network.heal()
    return running_network
