"""What an experiment left in its folder, as values.

Owns the shape the report works on. How files become these values is `reading`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.twin.report.words import Measure, Words

Floats = npt.NDArray[np.float64]


class Contender(NamedTuple):
    """A policy with the order in which its queues are served."""

    policy: str
    order: str

    @property
    def name(self) -> str:
        return self.policy if self.order in ("", "easy", self.policy) else f"{self.policy}+{self.order}"


Case = tuple[tuple[str, str], ...]
"""What was varied, as (key, value) pairs; contenders are compared within one case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One run of the twin."""

    id: str
    case: Case
    contender: Contender
    seed: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A site of the network that was played."""

    id: str
    name: Words
    longitude: float | None = None
    latitude: float | None = None
    capacity: float = 0.0
    """Of `busy`; 0 where it is not known, then the largest value seen stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hours:
    """One play by the hour: `[site, bin]`, sites in the order of `sites`. NaN where nothing is said."""

    play: str
    sites: tuple[str, ...]
    start_ms: int
    step_ms: int
    busy: Floats
    kw: Floats
    queue: Floats
    price: Floats
    carbon: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """What the projects of one play had by the hour: `[project, bin]`, parts of one."""

    play: str
    projects: tuple[str, ...]
    held: Floats
    """Dominant share."""
    entitled: Floats
    """0 where it had no jobs."""

    def means(self, project: str) -> tuple[float, float]:
        """What it held and what it was entitled to, over the hours in which it had jobs; not a number without any."""
        if project not in self.projects:
            return float("nan"), float("nan")
        at = self.projects.index(project)
        on = self.entitled[at] > 0
        return float(self.held[at, on].mean()), float(self.entitled[at, on].mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What nobody can beat, as far as it was reckoned: by measure, for one case (None: for all)."""

    name: Words
    values: Mapping[str, float]
    case: Case | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    name: str
    title: Words
    source: str
    """Of the workload, with its licence."""
    plays: Sequence[Play]
    measures: Sequence[Measure]
    """Those that any play has, in the order of the table."""
    places: Sequence[Place]
    hours: Sequence[Hours]
    waiting: Mapping[str, Sequence[tuple[float, float]]]
    """By play: (share of jobs, at most so many seconds), rising."""
    shares: Sequence[Shares] = ()
    """Of the plays of `hours`, where projects took turns."""
    bounds: Sequence[Bound] = ()
    baseline: Contender | None = None
    failed: Sequence[str] = ()
    """Plays that came to no end, with the reason."""
    notes: Sequence[Words] = ()
    text: str = ""
    """The experiment file."""
    facts: Sequence[tuple[Words, str]] = field(default=())

    @property
    def cases(self) -> list[Case]:
        return list(dict.fromkeys(play.case for play in self.plays))

    def contenders(self, case: Case) -> list[Contender]:
        return list(dict.fromkeys(play.contender for play in self.plays if play.case == case))

    def of(self, case: Case, contender: Contender) -> list[Play]:
        return [play for play in self.plays if play.case == case and play.contender == contender]

    def values(self, case: Case, contender: Contender, key: str) -> dict[int, float]:
        """The figure of each seed."""
        found = {play.seed: play.values[key] for play in self.of(case, contender) if key in play.values}
        return dict(sorted(found.items()))

    def baseline_of(self, case: Case) -> Contender:
        """The one that was named, else what people use today where it was played, else the first."""
        among = self.contenders(case)
        for wanted in (
            self.baseline,
            Contender("nearest", "easy"),
            Contender("easy", "easy"),
            Contender("fifo", "fifo"),
        ):
            if wanted in among:
                return wanted
        return among[0]
