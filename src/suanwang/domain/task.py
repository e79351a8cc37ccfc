"""What a user asks for: a task, as the task file says it, checked and frozen.

Owns the meaning of a request. Knows nothing of sites, states or files on disk. Durations are seconds, sizes are
GB of 10^9 bytes, money is yuan as `Decimal`. Per-node figures are marked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from suanwang.domain.ids import SiteId
from suanwang.domain.precision import DeviceKind, Precision

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Priority(StrEnum):
    """Whose turn comes first, before all fairness."""

    HIGH = "high"
    """For projects that may."""
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """Lower ones come first."""
        return _RANKS[self]


_RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Accelerators per node: by class, by model (any one of `models`), or by what they can do."""

    count: int
    """Whole devices on each node, at least 1."""
    kind: DeviceKind | None = None
    models: tuple[str, ...] = ()
    """Catalogue identifiers (`nvidia-a100-80gb`); empty means any model."""
    min_memory_gb: float | None = None
    precisions: tuple[Precision, ...] = ()
    """Every one of these must be supported natively."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one node of the task needs."""

    cores: int = 1
    memory_gb: float = 1.0
    devices: DeviceRequest | None = None
    time_limit_s: int = 3600
    """The run is stopped after this long."""
    expected_s: int | None = None
    """What the user believes it takes; price and finish are estimated with it, else with the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A named artefact placed at `path` (relative to the work folder) before the run starts.

    `source` is `NAME` (a file of the project), `TASK/NAME` (an output of a task this one needs) or `dataset:NAME`
    (data that a provider holds and that never leaves its site), or `listing:ID[@VERSION]` (what is for sale).
    """

    source: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file or folder kept under `name` when the run has succeeded."""

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder whose newest content follows the job to its next site."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """A latency circle: one-way network delay from `place` of at most `within_ms`."""

    place: str
    within_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Hard limits. An empty tuple means no restriction."""

    deadline_at: datetime | None = None
    budget_yuan: Decimal | None = None
    circle: Circle | None = None
    regions: tuple[str, ...] = ()
    """Regions or hubs (`贵州`, `guizhou`) the job may run in."""
    residency: tuple[str, ...] = ()
    """Sites or regions that the data may not leave: the job runs there and its files stay there."""
    providers: tuple[str, ...] = ()
    sites: tuple[SiteId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Weights of what is to be small; only their ratio counts."""

    price: float = 1.0
    carbon: float = 0.0
    finish: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flexibility:
    """What the user allows the network to do for a better offer."""

    may_wait_s: int = 0
    """How long a job that could start now may be held for a better site."""
    may_be_interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a run hears when its end is near, as Slurm's `--signal` says it; who names none hears TERM."""

    name: str
    """Without SIG."""
    before_s: int | None = None
    """It is also heard so long before the time limit."""
    shell_only: bool = False
    """By the script's own shell alone, not by the programs that it started."""


SIGNALS = ("TERM", "USR1", "USR2", "HUP", "ALRM", "URG", "CONT", "XCPU")
"""Those a task may name. Programs that a script without a terminal starts ignore INT and QUIT; KILL and STOP tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmOptions:
    """Options only a Slurm site reads; other sites ignore them, and a job that has them says so in its explanation."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request. `count` copies make an array; each copy is a job of its own with its index."""

    name: str
    run: str
    """A shell script."""
    setup: str = ""
    """Runs before `run`, in the same folder and environment."""
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    count: int = 1
    nodes: int = 1
    resources: Resources = field(default_factory=Resources)
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    checkpoint: Checkpoint | None = None
    needs: tuple[str, ...] = ()
    """Names of tasks in the same submission, or identifiers of jobs of the same project, that must succeed first."""
    constraints: Constraints = field(default_factory=Constraints)
    objective: Objective = field(default_factory=Objective)
    flexibility: Flexibility = field(default_factory=Flexibility)
    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    signal: Signal | None = None
    max_attempts: int = 3
    """Runs allowed in all when a site is lost or the site's scheduler fails the job for its own reasons."""
    priority: Priority = Priority.NORMAL
