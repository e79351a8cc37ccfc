"""What Slurm says of a job or a node, in one shape whichever way it was asked, and what follows from it.

Owns the table of Slurm's job states and the sums over nodes. Pure: it must not know commands, REST or any clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from suanwang.domain.connector import Load, NodeShape, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, UnreadableReply

GB_PER_MIB = 2**20 / 1e9
"""Slurm counts memory in MiB, the product in GB of 10⁹ bytes."""

STATES: Mapping[str, RunState] = {
    "PENDING": RunState.PENDING,
    "CONFIGURING": RunState.PENDING,
    "REQUEUED": RunState.PENDING,
    "REQUEUE_FED": RunState.PENDING,
    "REQUEUE_HOLD": RunState.PENDING,
    "RESV_DEL_HOLD": RunState.PENDING,
    "SPECIAL_EXIT": RunState.PENDING,
    "RUNNING": RunState.RUNNING,
    "SUSPENDED": RunState.RUNNING,
    "STOPPED": RunState.RUNNING,
    "SIGNALING": RunState.RUNNING,
    "RESIZING": RunState.RUNNING,
    # Its processes may still be ending and its logs filling: the end is told when it is over.
    "COMPLETING": RunState.RUNNING,
    "STAGE_OUT": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "TIMEOUT": RunState.TIMED_OUT,
    "DEADLINE": RunState.TIMED_OUT,
    "OUT_OF_MEMORY": RunState.OUT_OF_MEMORY,
    "CANCELLED": RunState.CANCELLED,
    "REVOKED": RunState.CANCELLED,
    "NODE_FAIL": RunState.SITE_FAILED,
    "BOOT_FAIL": RunState.SITE_FAILED,
    "PREEMPTED": RunState.SITE_FAILED,
    "LAUNCH_FAILED": RunState.SITE_FAILED,
    "RECONFIG_FAIL": RunState.SITE_FAILED,
}
"""Slurm's own words (man squeue, JOB STATE CODES) → what they mean for a run."""

_SITES_FAULT = ("JobLaunchFailure", "launch_failed", "Prolog", "BootFailure", "SystemFailure", "NodeDown")
"""Reasons with which a FAILED job is the site's fault, not the program's."""

SAYS_NO_MORE = frozenset({"NonZeroExitCode", "TimeLimit", "OutOfMemory"})
"""Reasons that only repeat what the state and the status say."""

_USABLE_NODE = frozenset({"idle", "mixed", "allocated", "completing", "planned"})
_UNUSABLE_FLAG = re.compile(r"[*$@^!%]")
"""Marks that sinfo puts behind a state: not responding, in maintenance, rebooting, powering down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job. Instants are UTC; None means not told."""

    native_id: str
    name: str
    comment: str = ""
    state: RunState
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    nodes: tuple[str, ...] = ()
    cpu_s: float | None = None
    max_memory_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node: what it has and what of it is taken. Memory in MiB; GRES as `name:type` → count."""

    name: str
    state: str
    cores: int
    cores_idle: int
    memory_mb: int
    memory_used_mb: int
    gres: Mapping[str, int] = field(default_factory=dict)
    gres_used: Mapping[str, int] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        base = re.split(r"[^a-z_]", self.state.lower(), maxsplit=1)[0]
        return base in _USABLE_NODE and not _UNUSABLE_FLAG.search(self.state)


class Gateway(Protocol):
    """One way to talk to a cluster. Every call may raise `Unavailable` or `UnreadableReply`."""

    def submit(self, order: RunOrder, *, comment: str, gres: str | None) -> str:
        """Sends one job and returns its id; also raises `InvalidRequest` and `OutcomeUnknown`."""

    def jobs(self, native_ids: Sequence[str]) -> Sequence[JobFacts]:
        """Those of the jobs that the controller or the accounting still knows."""

    def jobs_named(self, names: Sequence[str]) -> Sequence[JobFacts]:
        """Jobs of any state with these names that the controller or the accounting still knows."""

    def queue(self) -> Sequence[JobFacts]:
        """Everybody's pending and running jobs."""

    def cancel(self, native_id: str, *, posix_user: str | None) -> None: ...

    def nodes(self, *, partition: str | None = None) -> Sequence[NodeFacts]:
        """Every node, usable or not."""


def run_state(word: str, *, reason: str = "") -> RunState:
    """The meaning of a state as Slurm prints it (`CANCELLED by 1000` and `CANCELLED+` too).

    Raises `UnreadableReply` for a word that is not in the table.
    """
    plain = word.strip().split(" ", 1)[0].rstrip("+").upper()
    state = STATES.get(plain)
    if state is None:
        raise UnreadableReply(f"Slurm says a job is in the state {word!r}, which this connector does not know")
    if state is RunState.FAILED and any(mark in reason for mark in _SITES_FAULT):
        return RunState.SITE_FAILED
    return state


def load_of(nodes: Iterable[NodeFacts], queue: Iterable[JobFacts], models: Mapping[str, str]) -> Load:
    """The site's load; nodes that are down or drained count for nothing. `models` is GRES → catalogue identifier."""
    usable = [node for node in nodes if node.usable]
    shapes: Counter[tuple[int, int, tuple[tuple[str, int], ...]]] = Counter(
        (node.cores, node.memory_mb, tuple(sorted(_by_model(node.gres, models).items()))) for node in usable
    )
    free: Counter[str] = Counter()
    for node in usable:
        used = _by_model(node.gres_used, models)
        for model, count in _by_model(node.gres, models).items():
            free[model] += max(0, count - used.get(model, 0))
    states = Counter(job.state for job in queue)
    return Load(
        nodes=tuple(
            NodeShape(count=count, cores=cores, memory_gb=memory_mb * GB_PER_MIB, devices=dict(devices))
            for (cores, memory_mb, devices), count in sorted(shapes.items())
        ),
        cores_free=sum(node.cores_idle for node in usable),
        memory_free_gb=sum(max(0, node.memory_mb - node.memory_used_mb) for node in usable) * GB_PER_MIB,
        devices_free=dict(free),
        pending=states[RunState.PENDING],
        running=states[RunState.RUNNING],
    )


def check_fits(order: RunOrder, nodes: Sequence[NodeFacts], *, gres: str | None) -> None:
    """Raises `InvalidRequest` where even the whole empty cluster could not hold the order.

    Many a Slurm takes such a job and leaves it pending for ever, so the connector has to know for itself.
    """
    name, _, wanted = (gres or "").rpartition(":")
    fitting = [
        node
        for node in nodes
        if node.cores >= order.cores
        and node.memory_mb >= memory_mb(order.memory_gb)
        and (not gres or node.gres.get(name, 0) >= int(wanted))
    ]
    if len(fitting) >= order.nodes:
        return
    asked = f"{order.cores} cores, {order.memory_gb:g} GB" + (f", {gres}" if gres else "")
    there = Counter(
        f"{node.cores} cores, {node.memory_mb * GB_PER_MIB:.1f} GB"
        + "".join(f", {kind}:{count}" for kind, count in sorted(node.gres.items()))
        for node in nodes
    )
    raise InvalidRequest(
        f"{order.nodes} nodes of {asked} asked; {len(fitting)} nodes of this cluster are that large",
        field="resources",
        allowed="; ".join(f"{count} nodes of {shape}" for shape, count in sorted(there.items())) or "no nodes here",
    )


def memory_mb(memory_gb: float) -> int:
    """Whole MiB that hold `memory_gb`; at least one, since Slurm reads 0 as all there is."""
    return max(1, -int(-memory_gb // GB_PER_MIB))


def parse_gres(text: str) -> dict[str, int]:
    """Slurm's GRES text → `name:type` → count: `gpu:a100:4(S:0-1),gpu:ascend910b:2(IDX:0,3),nic:1` and `(null)` too."""
    found: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        kind, _, count = part.strip().rpartition(":")
        match = re.fullmatch(r"(\d+)([KMG]?)", count)
        if not kind or match is None:
            continue
        number = int(match[1]) * 1024 ** " KMG".index(match[2] or " ")
        found[kind] = found.get(kind, 0) + number
    return found


def expand_hosts(text: str) -> tuple[str, ...]:
    """Slurm's compact host list as names: `gz[1-2,07],nm3` → gz1, gz2, gz07, nm3. At most 100,000."""
    hosts: list[str] = []
    for part in re.findall(r"[^,\[\]]+(?:\[[^\]]*\][^,\[\]]*)?", text):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if match is None:
            hosts.append(part)
            continue
        for numbers in match[2].split(","):
            first, _, last = numbers.partition("-")
            if not first.isdigit() or (last and not last.isdigit()):
                raise UnreadableReply(f"Slurm named the hosts {text[:200]!r}, which is no host list")
            span = range(int(first), int(last or first) + 1)
            if len(hosts) + len(span) > 100_000:
                raise UnreadableReply(f"Slurm named more than 100,000 hosts: {text[:200]!r}")
            hosts.extend(f"{match[1]}{number:0{len(first)}d}{match[3]}" for number in span)
    return tuple(hosts)


def _by_model(gres: Mapping[str, int], models: Mapping[str, str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for kind, count in gres.items():
        counts[models.get(kind, kind)] += count
    return dict(counts)
