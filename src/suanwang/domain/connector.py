"""What passes between an agent and the site's own scheduler.

Owns the words both sides of a connector share. Every run carries its tag, the allocation's identifier, so that whoever
restarts can find what is already there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath

from suanwang.domain.precision import DeviceKind


class RunState(StrEnum):
    """What a site says of a run. Absence from a queue is `UNKNOWN`, never an end."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The user's own program ended with a non-zero status."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    SITE_FAILED = "site_failed"
    """The site's own fault: node failure, preemption, boot failure. The job may run again elsewhere."""
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        return self not in (RunState.PENDING, RunState.RUNNING, RunState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSlots:
    """Devices asked of one node, in the site's own words."""

    model: str
    """Catalogue identifier."""
    kind: DeviceKind
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """One run to start. Everything in it was checked; paths are absolute and belong to the agent."""

    tag: str
    name: str
    script: str
    """A bash script: the user's setup and run with the product's guards around them."""
    work_dir: PurePath
    stdout_path: PurePath
    stderr_path: PurePath
    exit_path: PurePath
    """The script itself writes its exit status here, whole or not at all, when it ends by itself."""
    lease_path: PurePath
    """The agent keeps the epoch second until which this run may live here; a run that outlives it stops itself."""
    env: Mapping[str, str]
    nodes: int = 1
    cores: int = 1
    """Per node."""
    memory_gb: float = 1.0
    """Per node."""
    devices: DeviceSlots | None = None
    time_limit_s: int = 3600
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    posix_user: str | None = None
    """The site's own account for this user, where the site maps one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the site knows of one run now. Instants are UTC; None means the site does not know."""

    tag: str
    state: RunState
    native_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    """The site's own words, for the user to read."""
    nodes: tuple[str, ...] = ()
    cpu_s: float | None = None
    """Processor seconds measured, over all nodes."""
    max_memory_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """Nodes of one kind at a site."""

    count: int
    cores: int
    memory_gb: float
    devices: Mapping[str, int] = field(default_factory=dict)
    """Catalogue identifier or the site's own name → devices on each node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The site's capacity and what of it is in use, by anyone."""

    nodes: tuple[NodeShape, ...]
    cores_free: int
    memory_free_gb: float
    devices_free: Mapping[str, int]
    pending: int
    running: int
