"""The configuration files of a testbed's Slurm clusters, as text.

Owns which settings make several clusters with virtual nodes live beside each other on one machine and start jobs at
once. It must not start or read anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from suanwang.domain.errors import InvalidRequest

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")


_START_AT_ONCE = (
    "batch_sched_delay=0,sched_interval=1,sched_min_interval=2,sched_max_job_start=0,"
    "default_queue_depth=1000,partition_job_depth=1000,bf_interval=2,bf_resolution=60,bf_continue"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """One cluster of the testbed: `nodes` virtual nodes of one shape, named `name`1, `name`2, …"""

    name: str
    nodes: int = 2
    cores: int = 4
    """Per node; more than the machine has is fine."""
    memory_mb: int = 4096
    """Per node, MiB."""
    gres: Mapping[str, int] = field(default_factory=lambda: {"ascend910b": 8})
    """GRES type → devices on each node."""
    min_job_age_s: int = 300
    """How long the controller remembers an ended job."""
    partitions: tuple[str, ...] = ("main", "short")
    """All hold every node; the first is the default."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                f"{self.name!r} is no name for a cluster", field="name", allowed="a-z then a-z 0-9, 16 at most"
            )
        if not 1 <= self.nodes <= 64 or self.cores < 1 or self.memory_mb < 1 or not self.partitions:
            raise InvalidRequest(
                f"cluster {self.name} has no usable shape",
                field="nodes",
                allowed="1 to 64 nodes, 1 or more cores and MB",
            )
        for kind, count in self.gres.items():
            if not re.fullmatch(r"[A-Za-z0-9_]+", kind) or not 0 < count <= 64:
                raise InvalidRequest(
                    f"{kind!r}: {count} is no GRES", field="gres", allowed="letters, digits, _ and 1 to 64 of each"
                )

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}{number}" for number in range(1, self.nodes + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a cluster's files and ports are on this machine."""

    folder: Path
    munge_socket: Path
    spool: Path
    """Of the node daemons. A step's socket lies in its node's part, and a socket's path may hold 107 bytes."""
    host: str
    """This machine's short host name: the daemons compare it with their own."""
    controller_port: int
    node_ports: tuple[int, ...]


def slurm_conf(spec: ClusterSpec, places: Places, *, rest: bool) -> str:
    """The text of slurm.conf; `rest` lets JSON web tokens stand beside munge."""
    folder = places.folder
    gres = ",".join(f"gpu:{kind}:{count}" for kind, count in sorted(spec.gres.items()))
    lines = [
        f"ClusterName={spec.name}",
        f"SlurmctldHost={places.host}(127.0.0.1)",
        f"SlurmctldPort={places.controller_port}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={places.munge_socket}",
        "CredType=cred/munge",
        *(("AuthAltTypes=auth/jwt", f"AuthAltParameters=jwt_key={folder}/jwt.key") if rest else ()),
        # Daemons listen on the loopback address alone.
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={places.spool}/%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd.%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/slurmd.%n.log",
        "ProctrackType=proctrack/pgid",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "SwitchType=switch/none",
        "ReturnToService=2",
        "SlurmdParameters=config_overrides",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=64",
        "GresTypes=gpu",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=5",
        "AccountingStorageType=accounting_storage/none",
        "JobCompType=jobcomp/filetxt",
        f"JobCompLoc={folder}/jobcomp.log",
        # The defaults wait seconds before each round of starts; a testbed has few jobs and wants them started now.
        "SchedulerType=sched/backfill",
        f"SchedulerParameters={_START_AT_ONCE}",
        "PriorityType=priority/basic",
        f"MinJobAge={spec.min_job_age_s}",
        "MaxJobCount=200000",
        "CompleteWait=0",
        "KillWait=3",
        "OverTimeLimit=0",
        "SlurmctldTimeout=30",
        "SlurmdTimeout=30",
        "InactiveLimit=0",
        "MessageTimeout=10",
        "TCPTimeout=2",
    ]
    for name, port in zip(spec.node_names, places.node_ports, strict=True):
        lines.append(
            f"NodeName={name} NodeHostname={places.host} NodeAddr=127.0.0.1 Port={port} CPUs={spec.cores} "
            f"RealMemory={spec.memory_mb} State=UNKNOWN" + (f" Gres={gres}" if gres else "")
        )
    nodes = ",".join(spec.node_names)
    for number, partition in enumerate(spec.partitions):
        default = "YES" if number == 0 else "NO"
        lines.append(
            f"PartitionName={partition} Nodes={nodes} Default={default} MaxTime=INFINITE DefaultTime=60 State=UP"
        )
    return "\n".join(lines) + "\n"


def gres_conf(spec: ClusterSpec, devices: Path) -> str:
    """The text of gres.conf: plain files in `devices` stand for the accelerators."""
    nodes = ",".join(spec.node_names)
    lines = []
    for kind, count in sorted(spec.gres.items()):
        last = f"[0-{count - 1}]" if count > 1 else "0"
        lines.append(f"NodeName={nodes} Name=gpu Type={kind} File={devices}/{kind}{last}")
    return "\n".join(lines) + "\n"


def device_files(spec: ClusterSpec, devices: Path) -> tuple[Path, ...]:
    """The files that gres.conf names."""
    return tuple(devices / f"{kind}{number}" for kind, count in sorted(spec.gres.items()) for number in range(count))
