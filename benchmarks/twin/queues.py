"""The engine against queues whose answer is known: M/M/c (Erlang C) and M/G/1 (Pollaczek and Khinchine).

Owns the closed forms, and jobs with the distributions they speak of. Every case of a seed uses the same chance, so cases
differ by what they are and not by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.columns import NEVER_MS, JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies import policy
from suanwang.twin.engine import Truth, play
from suanwang.twin.measures import Interval, over_seeds

TITLE = "Queues whose answer is known"
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MEAN_MS = 3_600_000
"""Of a job's run."""
SETTLING = 0.05
"""Share of jobs at the beginning that are left out: the queue starts empty."""
NOTES = [
    " ".join(note.split())
    for note in (
        f"""Jobs of one core arrive by a Poisson process at one row and run in the order they came (`fifo`), in twenty plays of
different seeds (sixty for sixteen servers), the same chance for every case of a seed; the first {SETTLING:.0%} of jobs are left
out. The closed forms: Erlang 1917 for M/M/c, Pollaczek 1930 and Khinchine 1932 for M/G/1. Beside each deviation stands the
half-width of its own 95 % interval (Student's t over the seeds): no shorter play could tell more. That the engine starts
every job of such a queue at the very millisecond that the recursion of Kiefer and Wolfowitz 1955 gives is a test.""",
    )
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One queue: `runs` draws run times with mean 1 from uniform numbers, `square` is their second moment."""

    name: str
    servers: int
    load: float
    """Share of the servers' time that is asked for."""
    runs: Callable[[Floats], Floats]
    square: float
    plays: int = 20

    @property
    def wait(self) -> float:
        """Mean wait in mean runs."""
        if self.servers == 1:
            return pollaczek_khinchine(self.load, self.square)
        return erlang_c(self.servers, self.load * self.servers) / (self.servers * (1 - self.load))


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits in M/M/c; `offered` is arrivals times mean run, below `servers`."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def pollaczek_khinchine(load: float, square: float) -> float:
    """Mean wait of M/G/1 in mean runs; `square` is the second moment of a run over its mean squared."""
    return load * square / (2 * (1 - load))


def exponential(chance: Floats) -> Floats:
    return -np.log1p(-chance)


def constant(chance: Floats) -> Floats:
    return np.ones_like(chance)


def two_kinds(chance: Floats) -> Floats:
    """Hyperexponential: nine jobs in ten are exponential with mean 1/2, one with mean 5.5."""
    short = chance < 0.9
    again = np.where(short, chance / 0.9, (chance - 0.9) / 0.1)
    return np.where(short, 0.5, 5.5) * exponential(np.clip(again, 0.0, 1.0 - 1e-15))


TWO_KINDS_SQUARE = 2 * (0.9 * 0.5**2 + 0.1 * 5.5**2)
CASES = (
    Case(name="M/M/1, load 0.8", servers=1, load=0.8, runs=exponential, square=2.0),
    Case(name="M/M/4, load 0.8", servers=4, load=0.8, runs=exponential, square=2.0),
    Case(name="M/M/16, load 0.8", servers=16, load=0.8, runs=exponential, square=2.0, plays=60),
    Case(name="M/D/1, load 0.8", servers=1, load=0.8, runs=constant, square=1.0),
    Case(name="M/G/1 of two kinds of jobs, load 0.6", servers=1, load=0.6, runs=two_kinds, square=TWO_KINDS_SQUARE),
)


def waits(case: Case, jobs: int, seed: int) -> Floats:
    """`[j]`: how long each job waited in the engine, in mean runs, by arrival, without the first ones."""
    ready, _, started = starts(case, jobs, seed)
    waited: Floats = (started - ready)[int(SETTLING * jobs) :] / MEAN_MS
    return waited


def starts(case: Case, jobs: int, seed: int) -> tuple[Ints, Ints, Ints]:
    """`[j]`: arrival, run and start of each job in the engine, in milliseconds."""
    chance = np.random.default_rng(seed)
    gaps, runs = exponential(chance.random(jobs)), case.runs(chance.random(jobs))
    ready = np.cumsum(gaps * (MEAN_MS / (case.load * case.servers))).astype(np.int64)
    run = np.maximum(np.rint(runs * MEAN_MS), 1).astype(np.int64)
    played = play(
        _jobs(ready),
        Truth(run_ms=run, checkpoint_ms=np.zeros(jobs, np.int64), resume_ms=np.zeros(jobs, np.int64)),
        _row(case.servers),
        np.ones((1, 1), np.bool_),
        Outlook(0, MEAN_MS, MEAN_MS, np.zeros((1, 1, 2)), np.zeros((1, 1, 2))),
        policy("fifo"),
    )
    return ready, run, played.first_start_ms


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    jobs = 100_000 if quick else 1_000_000
    table = Table(f"Plays of {jobs:,} jobs each", notes=NOTES)
    for case in CASES:
        plays = [waits(case, jobs, seed) for seed in range(case.plays)]
        mean = over_seeds([float(play.mean()) for play in plays])
        table.figures += _figures(f"{case.name}: mean wait", mean, case.wait)
        within = batch_means(plays[0])
        table.figures.append(
            Figure(
                name=f"… half-width from {within.parts} batches of one play",
                value=100 * within.half / case.wait,
                unit="%",
            )
        )
        if case.servers > 1:
            waited = over_seeds([float((play > 0).mean()) for play in plays])
            answer = erlang_c(case.servers, case.load * case.servers)
            table.figures += _figures(f"{case.name}: share of jobs that wait", waited, answer)
    yield table


def _figures(name: str, found: Interval, answer: float) -> list[Figure]:
    off = 100 * abs(found.estimate - answer) / answer
    return [
        Figure(name=f"{name}, off by", value=off, unit="%", bound="≤ 1"),
        Figure(name="… half-width over the seeds", value=100 * found.half / answer, unit="%"),
    ]


def _jobs(ready_ms: Ints) -> JobColumns:
    count = len(ready_ms)
    nothing, need = np.zeros(count, np.int64), np.zeros((count, 3))
    need[:, 0] = 1
    return JobColumns(
        ready_ms=ready_ms,
        order=nothing,
        need=need,
        expect_ms=np.full((count, 3), MEAN_MS, np.int64),
        limit_ms=np.full(count, 1 << 50, np.int64),
        kind=nothing,
        place=nothing,
        weight=np.ones((count, 3)),
        wait_ms=nothing,
        due_ms=np.full(count, NEVER_MS, np.int64),
        interruptible=np.zeros(count, np.bool_),
        data_gb=np.zeros(count),
        group=nothing,
    )


def _row(cores: int) -> RowColumns:
    nothing = np.zeros((1, 1))
    return RowColumns(
        site=np.zeros(1, np.int64),
        capacity=np.array([[float(cores), 0.0, 0.0]]),
        power_w=np.zeros((1, 3)),
        yuan_hour=np.zeros((1, 3)),
        slowness=np.ones(1),
        electricity_share=np.zeros(1),
        delay_ms=nothing,
        transfer_ms_per_gb=nothing,
        transfer_yuan_per_gb=nothing,
    )


def batch_means(values: Floats, batches: int = 30, confidence: float = 0.95) -> Interval:
    """Mean of one long play's values, in the order of time: means of equal batches count as independent (Law and
    Carson 1979); values that fill no batch are left out at the beginning, where the play had not settled."""
    if not 2 <= batches <= len(values):
        raise InvalidRequest(f"{batches} batches of {len(values)} values", field="batches", allowed="2 to the values")
    size = len(values) // batches
    return over_seeds(values[len(values) - size * batches :].reshape(batches, size).mean(axis=1), confidence)
