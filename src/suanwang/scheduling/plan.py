"""What a decision says.

Owns the plan's values. Nothing here has happened yet: `control` carries a plan out, and what no longer fits is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from suanwang.domain.ids import SiteId
from suanwang.domain.job import Allocation, Hold, Job, Why
from suanwang.scheduling.purses import Aid


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Lease `job` to `site`, on devices of `device_model` where it needs any."""

    job: Job
    site: SiteId
    device_model: str | None
    power_kw: float
    why: Why
    hold_fen: int = 0
    """What the start holds of the job's purses; 0 where nothing limits it."""
    aid: Aid | None = None
    """The voucher that pays the rest."""
    aid_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """No room now, or held for a better site: `why` has no `chosen`."""

    job: Job
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Keep `job` queued for a better hour, as `hold` says: `why` has no `chosen`."""

    job: Job
    hold: Hold
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """No site of the network can ever run `job` as it stands."""

    job: Job
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Preempt:
    """End these runs at `at`: `job`, of higher priority, finds no room else, and has it at `site` then."""

    job: Job
    site: SiteId
    runs: tuple[tuple[Job, Allocation], ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """In the order decided. `stays` is the number of jobs that stay queued; reasons are made for one job on request."""

    places: tuple[Place, ...]
    hopeless: tuple[Hopeless, ...]
    stays: int
    keeps: tuple[Keep, ...] = ()
    """Newly held, or held on; they count among `stays` too."""
    preempts: tuple[Preempt, ...] = ()
    gap: float = 0.0
    """How far the starts are from the plan's own bound, in which every job has the network for itself: 0.05 where their
    scores are 5 % above it, 0 where nothing can be better."""
