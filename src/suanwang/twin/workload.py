"""What a trace's jobs allow and want, as an experiment says it: a trace and rules become columns.

Owns everything about jobs that no log tells: who may wait and how long, who may be suspended, deadlines, weights, data,
homes. All of it is drawn with a seed and is generated, not measured. Expected run times come from earlier jobs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Priority
from suanwang.electricity.series import HOUR_MS, Ints
from suanwang.scheduling.columns import NEVER_MS, JobColumns
from suanwang.twin.network import EVERYWHERE, Network, kinds
from suanwang.twin.trace import Trace

Bools = npt.NDArray[np.bool_]
REMEMBERED = 16
"""Earlier jobs of the same group that a run time is expected from."""
SPREAD_MS = HOUR_MS // 2
"""Copies of a job, where the load is raised, come within this much of the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Shares are of jobs, each drawn on its own; hours count from the job's submission."""

    load: float = 1.0
    """Times as many jobs, at the same hours."""
    flexible_share: float = 0.5
    """Jobs that may be held though they could start."""
    wait_hours: float = 24.0
    """How long those may be held."""
    interruptible_share: float = 0.0
    """Of the jobs that may wait: may be suspended and taken up again."""
    deadline_share: float = 0.0
    """Of the jobs that may wait: must end by their limit after their wait."""
    near_share: float = 0.0
    """Of the jobs that may not wait: must stay near their user."""
    near_ms: float = 5.0
    """One way; 5 ms is the regional circle of the national plan."""
    data_share: float = 1.0
    """Of the jobs: have data."""
    data_gb: float = 0.0
    """Median of what is moved, log-normal."""
    data_sigma: float = 1.0
    """Of the logarithm."""
    price_weight: float = 1.0
    carbon_weight: float = 1.0
    finish_weight: float = 0.2
    home: str = "homes"
    """What is spread over the places by their shares: the log's `homes`, its `groups`, or single `jobs`."""
    memory_gb_per_core: float = 0.0
    """For jobs whose log does not say."""
    high_share: float = 0.0
    """Jobs of high priority."""
    low_share: float = 0.0
    """Jobs of low priority."""


HOMES = ("homes", "groups", "jobs")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """Columns for the engine; `[j]`."""

    jobs: JobColumns
    run_ms: Ints
    """How long each really runs: for the engine alone."""
    source_job: Ints
    """Index into the trace."""
    near_ms: float


def workload(trace: Trace, rules: Rules, network: Network, *, start_ms: int, seed: int) -> Workload:
    """The trace's jobs with instant 0 at `start_ms`.

    Raises `InvalidRequest` where there is no job or the rules do not make sense.
    """
    _check(trace, rules)
    chance = np.random.default_rng(seed)
    index, submit = _copies(trace, rules.load, chance)
    if not len(index):
        raise InvalidRequest(f"{trace.name}: no job is left at this load", field="load", allowed="more jobs")
    count = len(index)
    run, limit = trace.run_ms[index], np.maximum(trace.limit_ms[index], 1)
    run = np.minimum(run, limit)
    group = trace.group[index]
    flexible = chance.random(count) < rules.flexible_share
    interruptible = flexible & (chance.random(count) < rules.interruptible_share)
    due = flexible & (chance.random(count) < rules.deadline_share)
    near = ~flexible & (chance.random(count) < rules.near_share)
    wait = np.where(flexible, np.int64(round(rules.wait_hours * HOUR_MS)), 0)
    ready = start_ms + submit
    data = rules.data_gb * np.exp(chance.normal(0.0, rules.data_sigma, count)) if rules.data_gb > 0 else np.zeros(count)
    if rules.data_share < 1:
        data = np.where(np.random.default_rng([seed, 5]).random(count) < rules.data_share, data, 0.0)
    place = _places(trace, rules, network, index, chance)
    devices = trace.devices[index]
    cores = np.where((trace.cores[index] > 0) | (devices > 0), trace.cores[index], 1.0)
    memory = trace.memory_gb[index]
    memory = np.where(memory > 0, memory, cores * rules.memory_gb_per_core)
    jobs = JobColumns(
        ready_ms=ready,
        order=_orders(rules, count, seed),
        need=np.stack([cores, memory, devices], axis=1),
        expect_ms=expected_ms(submit, run, limit, group, wait_ms=wait),
        limit_ms=limit,
        kind=kinds(devices > 0, np.where(near, place, EVERYWHERE)),
        place=place,
        weight=np.tile([rules.price_weight, rules.carbon_weight, rules.finish_weight], (count, 1)).astype(np.float64),
        wait_ms=wait.astype(np.int64),
        due_ms=np.where(due, ready + wait + limit, NEVER_MS),
        interruptible=interruptible,
        data_gb=data,
        group=group,
    )
    return Workload(jobs=jobs, run_ms=run, source_job=index, near_ms=rules.near_ms)


def _check(trace: Trace, rules: Rules) -> None:
    if rules.home not in HOMES:
        raise InvalidRequest(f"jobs have no {rules.home}", field="home", allowed=", ".join(HOMES))
    if rules.price_weight + rules.carbon_weight + rules.finish_weight <= 0:
        raise InvalidRequest("every weight is 0", field="price_weight", allowed="one weight above 0")
    if rules.high_share + rules.low_share > 1 + 1e-9:
        raise InvalidRequest(
            "more jobs are of high and low priority than there are", field="high_share", allowed="1 less low_share"
        )
    if not len(trace):
        raise InvalidRequest(f"{trace.name} has no jobs", field="trace", allowed="a trace with jobs")


def _orders(rules: Rules, count: int, seed: int) -> Ints:
    """`[j]`: priorities, drawn apart from all else; all alike where the rules do not say."""
    if rules.high_share + rules.low_share <= 0:
        return np.zeros(count, np.int64)
    drawn = np.random.default_rng([seed, 3]).random(count)
    return np.where(
        drawn < rules.high_share,
        Priority.HIGH.rank,
        np.where(drawn < rules.high_share + rules.low_share, Priority.LOW.rank, Priority.NORMAL.rank),
    ).astype(np.int64)


def _copies(trace: Trace, load: float, chance: np.random.Generator) -> tuple[Ints, Ints]:
    """Which jobs come how often, in the order of their submission: thinned below 1, doubled with some spread above."""
    times = np.full(len(trace), int(load)) + (chance.random(len(trace)) < load - int(load))
    index = np.repeat(np.arange(len(trace)), times)
    first = np.ones(len(index), np.bool_)
    first[1:] = index[1:] != index[:-1]
    moved = chance.integers(-SPREAD_MS, SPREAD_MS, len(index))
    submit = np.where(first, trace.submit_ms[index], np.maximum(trace.submit_ms[index] + moved, 0))
    order = np.lexsort((index, submit))
    return index[order], submit[order]


def _places(trace: Trace, rules: Rules, network: Network, index: Ints, chance: np.random.Generator) -> Ints:
    """`[j]`: what the log calls homes keeps together and goes where the places' shares leave most room, largest first.

    A log with fewer homes, or groups, than there are places says too little: then each job is drawn on its own.
    """
    share = np.array([place.share for place in network.places])
    key = trace.home if rules.home == "homes" and len(trace.homes) else trace.group
    if rules.home == "jobs" or len(np.unique(key)) < len(share):
        return chance.choice(len(share), len(index), p=share / share.sum()).astype(np.int64)
    key = np.where(key < 0, key.max() + 1, key)
    work = np.bincount(
        key, weights=(trace.run_ms * np.maximum(trace.cores, trace.devices)), minlength=int(key.max()) + 1
    )
    room = share / share.sum() * max(work.sum(), 1.0)
    place_of = np.zeros(len(work), np.int64)
    for one in np.argsort(-work, kind="stable"):
        place_of[one] = np.argmax(room)
        room[place_of[one]] -= work[one]
    return place_of[key[index]]


def expected_ms(submit: Ints, run: Ints, limit: Ints, group: Ints, *, wait_ms: Ints) -> Ints:
    """`[j, 3]`: the 10 %, 50 % and 90 % point of how long a job may run, from earlier jobs of its group.

    An earlier job counts once its run time can be known: it was submitted, waited all it may, and ran. Until
    `REMEMBERED` of them are known, evenly spread shares of the job's own limit fill their places. What the job itself
    or any later one really does is never looked at.
    """
    count = len(submit)
    known_at = submit + wait_ms + run
    points = np.empty((count, 3), np.int64)
    filler = (np.arange(REMEMBERED) + 0.5) / REMEMBERED
    picked = (np.array([0.1, 0.5, 0.9]) * (REMEMBERED - 1)).round().astype(np.int64)
    for members in _by(group):
        order = np.argsort(known_at[members], kind="stable")
        runs = run[members][order]
        known = np.searchsorted(known_at[members][order], submit[members], side="right")
        back = known[:, None] - 1 - np.arange(REMEMBERED)
        seen = np.where(back >= 0, runs[np.maximum(back, 0)], (limit[members][:, None] * filler).astype(np.int64))
        seen = np.sort(np.minimum(seen, limit[members][:, None]), axis=1)
        points[members] = np.maximum(seen[:, picked], 1)
    return points


def _by(group: Ints) -> list[Ints]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
