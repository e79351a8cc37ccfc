"""What an agent and the network say to each other: one call, `sync`, that may be lost, late or doubled without harm.

Owns the wire values. An agent states where each of its runs is; the network answers which leases stand. Everything is a
statement of the present, so repeating it changes nothing: logs and curves carry offsets, usage follows from time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from suanwang.domain.connector import DeviceSlots, RunState
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.sample import Sample
from suanwang.domain.task import Signal


class Phase(StrEnum):
    """What the agent is at with one lease."""

    STAGING = "staging"
    """Fetching inputs and the checkpoint."""
    SUBMITTED = "submitted"
    """The site's scheduler has it."""
    RUNNING = "running"
    COLLECTING = "collecting"
    """Ended; outputs are on their way."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    stream: str
    offset: int
    text: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    line: int
    name: str
    step: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    name: str
    content: Content
    held: bool = False
    """True where it stays at the site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Where one run is. Instants are the agent's own clock."""

    allocation_id: AllocationId
    epoch: int
    phase: Phase
    native_id: str | None = None
    started_at: datetime | None = None
    seen_from: datetime | None = None
    """When the agent first saw it running: its own meter begins there, the scheduler's at `started_at`."""
    seen_at: datetime | None = None
    """When the site last said that it was running; what was not seen is not metered."""
    ended_at: datetime | None = None
    outcome: RunState | None = None
    exit_code: int | None = None
    reason: str = ""
    refused: bool = False
    """The site's scheduler would not take it, and would not another time."""
    nodes: tuple[str, ...] = ()
    cpu_s: float | None = None
    max_memory_gb: float | None = None
    logs: tuple[LogPiece, ...] = ()
    points: tuple[CurvePoint, ...] = ()
    checkpoint: Content | None = None
    checkpoint_held: bool = False
    outputs: tuple[OutputFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReport:
    """Capacity and load; None where the site's scheduler did not answer this time."""

    cores: int
    memory_gb: float
    devices: Mapping[str, int] = field(default_factory=dict)
    foreign_cores: int = 0
    foreign_memory_gb: float = 0.0
    foreign_devices: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    session: int
    """Given by `join` at the agent's start; an older session is refused."""
    sent_at: datetime
    runs: tuple[RunReport, ...] = ()
    site: SiteReport | None = None
    samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()
    leaving: bool = False
    """The provider stops the site on purpose: give its work to others at once; its runs are being ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedInput:
    """A file the run needs at `path`. `content` None means a data set of the site, by `dataset`."""

    path: str
    content: Content | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Everything an agent needs to run one allocation."""

    allocation_id: AllocationId
    epoch: int
    job_id: JobId
    project: ProjectId
    owner: str
    name: str
    setup: str
    run: str
    env: Mapping[str, str]
    nodes: int
    cores: int
    memory_gb: float
    devices: DeviceSlots | None
    time_limit_s: int
    array_index: int
    array_count: int
    inputs: tuple[StagedInput, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    """(name, path) pairs."""
    checkpoint_path: str | None = None
    checkpoint: Content | None = None
    hold_files: bool = False
    """Outputs and checkpoints may not leave the site."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    posix_user: str | None = None
    signal: Signal | None = None
    begun: bool = False
    """The network has heard of this run from this site before: an agent that does not know it must not start it again."""
    cancel: bool = False
    """The user no longer wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the network has of one of the site's leases, so that the agent sends only what is new."""

    allocation_id: AllocationId
    epoch: int
    stdout: int
    """Bytes of the stream stored."""
    stderr: int
    points: int
    """Lines of the metrics file stored."""
    cancel: bool = False
    """The user wants it ended."""
    suspend: bool = False
    """Its work goes on at a better hour, or its notice is over: end it and send its checkpoint. An agent that does not know
    the word lets it run on."""
    notice: bool = False
    """It is to be ended soon: tell it, so that it can save what it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReply:
    """Leases that stand. A run of ours that is in neither `known` nor `start` has no lease: the agent ends and forgets it."""

    now: datetime
    lease_ttl_s: float
    """Counted from the moment the agent *sent* the request that this answers."""
    known: tuple[Known, ...] = ()
    start: tuple[Lease, ...] = ()
    """Leases that the request did not mention, in full."""
    ended: tuple[AllocationId, ...] = ()
    """Reported as ended and stored: the agent may forget them."""
    fenced: tuple[AllocationId, ...] = ()
    """No longer this site's: end and forget them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReply:
    site_id: SiteId
    session: int
    lease_ttl_s: float
    poll_s: float
    fence_margin_s: float = 20.0
    """How long after a lease the network waits before its work starts elsewhere: the time to end a run in."""
