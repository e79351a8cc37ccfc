"""Several real Slurm clusters on one machine, started and stopped as one thing.

Owns the daemons' processes and files: one munged for all, and a controller, node daemons and (if wanted) a REST daemon
per cluster, all listening on 127.0.0.1. It must not know connectors, agents or the network that will use the clusters.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from suanwang.domain.errors import InvalidRequest, Unavailable
from suanwang.testbed.slurm_conf import ClusterSpec, Places, device_files, gres_conf, slurm_conf

__all__ = ["TWO_CLUSTERS", "Cluster", "ClusterSpec", "SlurmTestbed", "missing_programs", "run"]

APT_PACKAGES = "slurm-wlm slurmrestd slurm-wlm-jwt-plugin munge"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "scancel", "srun")
_PATIENCE_S = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REST_USER = "nobody"
"""slurmrestd refuses to run as root or as Slurm's own user."""

TWO_CLUSTERS = (ClusterSpec(name="gz"), ClusterSpec(name="nm"))


def missing_programs(*, rest: bool = False) -> tuple[str, ...]:
    """Programs, and for `rest` the plugin, that the testbed needs and this machine lacks."""
    wanted = (*_PROGRAMS, "slurmrestd") if rest else _PROGRAMS
    missing = [program for program in wanted if shutil.which(program, path=_PATH) is None]
    if rest and not any(folder.joinpath("auth_jwt.so").exists() for folder in _plugin_folders()):
        missing.append("auth_jwt.so")
    return tuple(missing)


def _plugin_folders() -> Iterator[Path]:
    """Where distributions put Slurm's plugins."""
    for root in (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib")):
        yield from root.glob("slurm*")
        yield from root.glob("*/slurm*")


@dataclass(slots=True, kw_only=True)
class Cluster:
    """One running cluster."""

    spec: ClusterSpec
    folder: Path
    controller_port: int
    rest_url: str | None = None
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """`slurmctld`, a node's name, or `slurmrestd` → its process; a test may kill one."""

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def jobcomp(self) -> Path:
        """The text file where the controller writes every ended job."""
        return self.folder / "jobcomp.log"

    @property
    def env(self) -> Mapping[str, str]:
        """What a Slurm command needs in its environment to talk to this cluster."""
        return {"SLURM_CONF": str(self.conf), "PATH": _PATH}

    def command(self, *argv: str, timeout_s: float = 20.0) -> str:
        """Runs a Slurm command against this cluster and returns its output; raises `Unavailable` when it fails."""
        try:
            done = subprocess.run(
                argv, env=dict(self.env), capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{argv[0]} on cluster {self.spec.name} took over {timeout_s:g} s") from error
        if done.returncode:
            raise Unavailable(f"{argv[0]} on cluster {self.spec.name} failed: {done.stderr.strip()}")
        return done.stdout

    def token(self, *, user: str = "root", lifespan_s: int = 3600) -> str:
        """A JSON web token for the REST daemon, signed by this cluster's key."""
        reply = self.command("scontrol", "token", f"username={user}", f"lifespan={lifespan_s}")
        name, _, token = reply.strip().partition("=")
        if name != "SLURM_JWT" or not token:
            raise Unavailable(f"scontrol gave no token for {user} on cluster {self.spec.name}")
        return token


class SlurmTestbed:
    """Brings up `clusters` in `folder` on `start`, takes every process of theirs down on `stop`. A context manager.

    Needs root, because node daemons start jobs under their owners' accounts. Raises `InvalidRequest` when the machine
    lacks the programs or the rights, `Unavailable` with the daemon's own last words when one does not come up.
    """

    def __init__(
        self,
        folder: Path,
        clusters: Sequence[ClusterSpec] = TWO_CLUSTERS,
        *,
        rest: bool = False,
    ) -> None:
        if len({spec.name for spec in clusters}) != len(clusters) or not clusters:
            raise InvalidRequest("clusters need names of their own", field="clusters", allowed="one or more, distinct")
        self.folder = folder.resolve()
        self.clusters: dict[str, Cluster] = {}
        self._specs = tuple(clusters)
        self._rest = rest
        self._munged: subprocess.Popen[bytes] | None = None
        self._short: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and returns once every node is ready for jobs; on failure takes down what was started."""
        missing = missing_programs(rest=self._rest)
        if missing:
            raise InvalidRequest(
                f"this machine has no {', '.join(missing)}: run `apt-get install {APT_PACKAGES}` first", field="testbed"
            )
        if os.geteuid() != 0:
            raise InvalidRequest("the Slurm testbed starts jobs under other accounts: run it as root", field="testbed")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancels the jobs and ends every daemon and every process of a job. Safe to call twice or half started."""
        for cluster in self.clusters.values():
            self._stop_cluster(cluster)
        self.clusters.clear()
        if self._munged is not None:
            _end(self._munged)
            self._munged = None
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # A socket's path may hold 107 bytes, and the given folder may be deep.
        self._short = Path(tempfile.mkdtemp(prefix="suanwang-"))
        self._short.chmod(0o755)
        munge_socket = self._start_munge(self._short)
        node_count = sum(spec.nodes for spec in self._specs)
        ports = iter(_free_ports(node_count + 2 * len(self._specs)))
        for spec in self._specs:
            self._start_cluster(spec, munge_socket, ports)
        for cluster in self.clusters.values():
            self._wait_for_nodes(cluster)
            if self._rest:
                self._start_rest(cluster, next(ports))

    def _start_munge(self, short: Path) -> Path:
        folder = self.folder / "munge"
        folder.mkdir(exist_ok=True, mode=0o700)
        key = folder / "munge.key"
        _write_secret(key, secrets.token_bytes(128))
        path = short / "socket"
        self._munged = _daemon(
            [
                "munged",
                "--foreground",
                "--force",
                f"--socket={path}",
                f"--key-file={key}",
                f"--log-file={folder}/munged.log",
                f"--pid-file={folder}/munged.pid",
                f"--seed-file={folder}/munged.seed",
            ],
            env={"PATH": _PATH},
            log=folder / "output.log",
        )
        self._wait("munged", path.exists, self._munged, folder / "output.log")
        return path

    def _start_cluster(self, spec: ClusterSpec, munge_socket: Path, ports: Iterator[int]) -> None:
        folder = self.folder / spec.name
        for part in ("state", "devices"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        places = Places(
            folder=folder,
            munge_socket=munge_socket,
            spool=munge_socket.parent / spec.name,
            host=socket.gethostname().partition(".")[0],
            controller_port=next(ports),
            node_ports=tuple(next(ports) for _ in range(spec.nodes)),
        )
        _write_secret(folder / "jwt.key", secrets.token_bytes(32))
        (folder / "slurm.conf").write_text(slurm_conf(spec, places, rest=self._rest), encoding="utf-8")
        (folder / "gres.conf").write_text(gres_conf(spec, folder / "devices"), encoding="utf-8")
        for file in device_files(spec, folder / "devices"):
            file.touch()
        cluster = Cluster(spec=spec, folder=folder, controller_port=places.controller_port)
        self.clusters[spec.name] = cluster
        self.start_controller(spec.name)
        for node in spec.node_names:
            self.start_node(spec.name, node)

    def start_controller(self, name: str) -> None:
        """Starts a cluster's controller; also again, after a test has killed it."""
        cluster = self.clusters[name]
        cluster.daemons["slurmctld"] = _daemon(
            ["slurmctld", "-D", "-f", str(cluster.conf)], env=cluster.env, log=cluster.folder / "output.slurmctld.log"
        )

    def start_node(self, name: str, node: str) -> None:
        """Starts a node's daemon; also again, after a test has killed it."""
        cluster = self.clusters[name]
        assert self._short is not None
        (self._short / name / node).mkdir(parents=True, exist_ok=True)
        cluster.daemons[node] = _daemon(
            ["slurmd", "-D", "-N", node, "-f", str(cluster.conf)],
            env=cluster.env,
            log=cluster.folder / f"output.{node}.log",
        )

    def _start_rest(self, cluster: Cluster, port: int) -> None:
        assert self._short is not None
        log = cluster.folder / "output.slurmrestd.log"
        # The daemon's account may not look into the testbed's folder: it gets its settings where munge's socket is.
        conf = self._short / f"{cluster.spec.name}.conf"
        shutil.copyfile(cluster.conf, conf)
        process = _daemon(
            [
                "slurmrestd",
                "-f",
                str(conf),
                "-s",
                "openapi/v0.0.38",
                "-a",
                "rest_auth/jwt",
                "-u",
                _REST_USER,
                "-g",
                "nogroup",
                f"127.0.0.1:{port}",
            ],
            env={**cluster.env, "SLURM_CONF": str(conf), "SLURM_JWT": "daemon"},
            log=log,
        )
        cluster.daemons["slurmrestd"] = process
        cluster.rest_url = f"http://127.0.0.1:{port}"
        self._wait(f"slurmrestd of {cluster.spec.name}", lambda: _listens(port), process, log)

    def _wait_for_nodes(self, cluster: Cluster) -> None:
        def ready() -> bool:
            try:
                states = cluster.command("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
            except Unavailable:
                return False
            idle = {line.split()[0] for line in states if line.endswith(" idle")}
            return idle == set(cluster.spec.node_names)

        controller = cluster.daemons["slurmctld"]
        self._wait(f"cluster {cluster.spec.name}", ready, controller, cluster.folder / "slurmctld.log")

    def _wait(self, what: str, ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise Unavailable(f"{what} did not come up; its log {log} ends: {_tail(log)}")
            time.sleep(0.05)

    def _stop_cluster(self, cluster: Cluster) -> None:
        controller = cluster.daemons.get("slurmctld")
        if controller is not None and controller.poll() is None:
            with contextlib.suppress(Unavailable):
                cluster.command("scancel", "--state=PENDING", f"--partition={','.join(cluster.spec.partitions)}")
                cluster.command("scancel", f"--partition={','.join(cluster.spec.partitions)}")
        for process in cluster.daemons.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in cluster.daemons.values():
            _end(process)
        _end_jobs(cluster.conf)


def run(
    folder: Path,
    *,
    clusters: Sequence[ClusterSpec] = TWO_CLUSTERS,
    rest: bool = False,
    on_ready: Callable[[SlurmTestbed], None],
    until: threading.Event | None = None,
) -> None:
    """Keeps a testbed up until Ctrl-C, TERM (turned into KeyboardInterrupt by the caller) or `until` is set.

    `on_ready` is called once with the running testbed. Raises what `SlurmTestbed.start` raises.
    """
    stop = until or threading.Event()
    with SlurmTestbed(folder, clusters, rest=rest) as testbed:
        on_ready(testbed)
        with contextlib.suppress(KeyboardInterrupt):
            while not stop.wait(0.5):
                pass


def _daemon(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A daemon in the foreground and in a session of its own, so that a terminal's Ctrl-C reaches only its owner."""
    output: IO[bytes]
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _end(process: subprocess.Popen[bytes], *, grace_s: float = 10.0) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_jobs(conf: Path) -> None:
    """Kills what is left of a cluster's jobs: step daemons and processes whose environment names both it and a job."""
    mine = f"SLURM_CONF={conf}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            environ = (entry / "environ").read_bytes().split(b"\0")
            of_a_job = any(part.startswith(b"SLURM_JOB_ID=") for part in environ)
            if mine in environ and (of_a_job or (entry / "comm").read_text().strip() == "slurmstepd"):
                os.kill(int(entry.name), signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _write_secret(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _tail(log: Path, size: int = 600) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")[-size:].strip()
    except OSError:
        return "(no log)"
