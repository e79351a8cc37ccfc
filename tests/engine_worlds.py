"""Small worlds for the engine, made by chance, and what must hold of any play of one.

All plays have the same types of arrays, so the engine is compiled once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from suanwang.routing.paths import Ends, Links, Router
from suanwang.scheduling.columns import (
    ENDED_DONE,
    ENDED_LIMIT,
    ENDED_LOST,
    ENDED_OPEN,
    ENDED_PREEMPTED,
    ENDED_SUSPENDED,
    NEVER_MS,
    JobColumns,
    Outlook,
    RowColumns,
    Sharing,
    Ways,
    direct,
)
from suanwang.scheduling.policies import policy
from suanwang.twin.engine import ENDED, NO_FAULTS, REFUSED, ROW, WAITING, Faults, Played, Truth, play
from suanwang.twin.outages import rerouted, together
from suanwang.twin.routes import Span, routed

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
POLICIES = (
    "easy",
    "fifo",
    "cheapest",
    "greenest+fifo",
    "nearest",
    "nearest+fifo",
    "wait_awhile",
    "joint",
    "joint+fifo",
)
WHOLE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    jobs: JobColumns
    truth: Truth
    rows: RowColumns
    allowed: npt.NDArray[np.bool_]
    outlook: Outlook
    faults: Faults = NO_FAULTS
    ways: Ways | None = None
    cuts: tuple[tuple[int, int, int], ...] = ()
    """Link, from, until."""
    sharing: Sharing | None = None

    def played(self, name: str, *, until_ms: int = NEVER_MS, anew: bool = False) -> Played:
        return play(
            self.jobs, self.truth, self.rows, self.allowed, self.outlook, policy(name),
            faults=self.faults, ways=self.ways, sharing=self.sharing, until_ms=until_ms, anew=anew,
        )  # fmt: skip

    def with_jobs(self, **columns: npt.NDArray[Any]) -> World:
        return replace(self, jobs=self.jobs._replace(**columns))

    def with_rows(self, **columns: npt.NDArray[Any]) -> World:
        return replace(self, rows=self.rows._replace(**columns))

    def taken(self, which: Ints) -> World:
        """Some of the jobs, or all in another order."""
        return replace(
            self,
            jobs=JobColumns(*_each(self.jobs, which)),
            truth=Truth(*_each(self.truth, which)),
            sharing=None if self.sharing is None else self.sharing._replace(project=self.sharing.project[which]),
        )


def _each(columns: Iterable[npt.NDArray[Any]], which: Ints) -> Iterator[npt.NDArray[Any]]:
    return (np.ascontiguousarray(column[which]) for column in columns)


def outlook_of(yuan: Floats, carbon_g: Floats, hours: int = 48) -> Outlook:
    """What is known in full of `[site, hour]`, which repeats, issued every hour."""
    count = yuan.shape[1]
    ahead = (np.arange(count)[:, None] + np.arange(hours)) % count

    def total(values: Floats) -> Floats:
        upto = np.zeros((count, values.shape[0], hours + 1))
        upto[:, :, 1:] = np.cumsum(values[:, ahead].transpose(1, 0, 2), axis=2)
        return upto

    return Outlook(0, HOUR_MS, HOUR_MS, total(yuan), total(carbon_g))


def plain_jobs(ready_ms: Ints, run_ms: Ints, need: Floats) -> JobColumns:
    """Jobs without any wish, whose run time is known."""
    count = len(ready_ms)
    return JobColumns(
        ready_ms=ready_ms,
        order=np.zeros(count, np.int64),
        need=need,
        expect_ms=np.repeat(np.maximum(run_ms, 1)[:, None], 3, axis=1),
        limit_ms=np.maximum(run_ms, 1),
        kind=np.zeros(count, np.int64),
        place=np.zeros(count, np.int64),
        weight=np.ones((count, 3)),
        wait_ms=np.zeros(count, np.int64),
        due_ms=np.full(count, NEVER_MS, np.int64),
        interruptible=np.zeros(count, np.bool_),
        data_gb=np.zeros(count),
        group=np.zeros(count, np.int64),
    )


def plain_truth(run_ms: Ints) -> Truth:
    nothing = np.zeros(len(run_ms), np.int64)
    return Truth(run_ms=run_ms, checkpoint_ms=nothing, resume_ms=nothing)


def plain_rows(capacity: Floats, places: int = 1) -> RowColumns:
    """A site each; a busy core draws a kilowatt, and users pay the electricity alone."""
    width = len(capacity)
    return RowColumns(
        site=np.arange(width),
        capacity=capacity,
        power_w=np.tile([1000.0, 0.0, 0.0], (width, 1)),
        yuan_hour=np.zeros((width, 3)),
        slowness=np.ones(width),
        electricity_share=np.ones(width),
        delay_ms=np.tile(np.arange(width, dtype=np.float64), (places, 1)),
        transfer_ms_per_gb=np.zeros((places, width)),
        transfer_yuan_per_gb=np.zeros((places, width)),
    )


def world(seed: int, count: int, width: int, *, roomy: bool = False, faulty: bool = True) -> World:
    """Anything that may be: several kinds, places and devices, limits that are kept or not, instants that coincide."""
    chance = np.random.default_rng(seed)
    whole = bool(chance.random() < 0.5)
    grid = 10 * MINUTE_MS if whole else 1
    ready = np.sort(chance.integers(0, max(1, count // 2) * 20 * MINUTE_MS, count)) // grid * grid
    run = chance.integers(0, 6 * HOUR_MS, count) // grid * grid
    limit = np.maximum((run * chance.choice([0.7, 1.0, 1.0, 2.0], count)).astype(np.int64) // grid * grid, 1)
    need = np.stack(
        [
            chance.integers(1, 9, count).astype(np.float64),
            chance.integers(0, 4, count) * 2.5,
            np.where(chance.random(count) < 0.3, chance.choice([0.3, 0.7, 1.0, 2.0], count), 0.0),
        ],
        axis=1,
    )
    capacity = np.stack(
        [chance.integers(6, 20, width), chance.integers(5, 30, width), chance.integers(0, 4, width)], axis=1
    ).astype(np.float64)
    hall = np.unique(np.maximum(np.arange(width) - chance.integers(0, 2, width), 0), return_inverse=True)[1]
    for k in range(2):
        # Rows of one hall have its cores and memory.
        most = np.zeros(width)
        np.maximum.at(most, hall, capacity[:, k])
        capacity[:, k] = most[hall]
    spread = np.sort((run[:, None] * chance.uniform(0.3, 1.5, (count, 3))).astype(np.int64), axis=1)
    flexible = chance.random(count) < 0.6
    wait = np.where(flexible, chance.integers(0, 20 * HOUR_MS, count), 0)
    due = np.where(chance.random(count) < 0.3, ready + wait + 2 * limit, NEVER_MS)
    made = World(
        jobs=JobColumns(
            ready_ms=ready,
            order=chance.integers(0, 2, count),
            need=need,
            expect_ms=np.maximum(spread, 1),
            limit_ms=limit,
            kind=chance.integers(0, 3, count),
            place=chance.integers(0, 2, count),
            weight=chance.uniform(0.01, 1, (count, 3)),
            wait_ms=wait,
            due_ms=due,
            interruptible=flexible & (chance.random(count) < 0.5),
            data_gb=np.where(chance.random(count) < 0.5, chance.uniform(0, 50, count), 0.0),
            group=np.zeros(count, np.int64),
        ),
        truth=Truth(
            run_ms=run,
            checkpoint_ms=np.where(chance.random(count) < 0.5, chance.integers(1, HOUR_MS, count), 0),
            resume_ms=chance.integers(0, 10 * MINUTE_MS, count),
        ),
        rows=RowColumns(
            site=chance.integers(0, 2, width),
            capacity=capacity * (10 * count if roomy else 1),
            power_w=chance.uniform(0, 500, (width, 3)),
            yuan_hour=chance.uniform(0, 0.3, (width, 3)),
            slowness=np.ones(width) if whole else chance.uniform(0.8, 2, width),
            electricity_share=chance.integers(0, 2, width).astype(np.float64),
            delay_ms=chance.uniform(0, 20, (2, width)),
            transfer_ms_per_gb=np.zeros((2, width)),
            transfer_yuan_per_gb=np.zeros((2, width)),
            hall=hall,
        ),
        allowed=chance.random((3, width)) < 0.7,
        outlook=outlook_of(chance.uniform(0.1, 1.2, (2, 72)), chance.uniform(50, 900, (2, 72))),
    )
    return _linked(made, chance, int(ready[-1]), faulty=faulty)


def _linked(given: World, chance: np.random.Generator, last_ms: int, *, faulty: bool) -> World:
    """With two places, one of them at a row perhaps, and links by which some rows are reached over others."""
    width = len(given.rows.site)
    count = width + 2
    ends = np.array([(a, b) for a in range(width) for b in range(a + 1, count) if not a or chance.random() < 0.7])
    router = Router(
        Links(
            ends,
            chance.choice([0.0, 15.5], len(ends)) * faulty,
            chance.choice([1_000.0, 8_000.0, 60_000.0], len(ends)),
            chance.choice([0.0, 0.1], len(ends)),
        ),
        Ends(np.arange(count) < width, chance.permutation(count)),
        np.array([width, int(chance.choice([0, width + 1]))]),
    )
    spans = []
    for _ in range(int(chance.integers(0, 12)) if faulty and len(ends) else 0):
        link, begin = int(chance.integers(0, len(ends))), int(chance.integers(0, last_ms + HOUR_MS))
        one, other = ends[link].tolist()
        spans.append(Span((one, other), begin, begin + int(chance.integers(1, 5 * HOUR_MS))))
    rows_at = np.arange(width)
    found = routed(router, [str(n) for n in range(count)], width, rows_at, spans)
    faults = together(_faults(chance, width, last_ms), rerouted(found, rows_at)) if faulty else rerouted(found, rows_at)
    return replace(
        given,
        rows=given.rows._replace(
            transfer_ms_per_gb=found.ways.ms_per_gb[found.ways.first],
            transfer_yuan_per_gb=found.ways.yuan_per_gb[found.ways.first],
        ),
        ways=found.ways,
        faults=faults,
        cuts=tuple((router.link(*one.ends), one.from_ms, one.until_ms or 0) for one in spans),
    )


def shared(given: World, seed: int) -> World:
    """The same with three projects that have weights and quotas; rows have devices of two models, or of none."""
    chance = np.random.default_rng(seed)
    count, width = len(given.jobs.ready_ms), len(given.rows.site)
    most = np.stack(
        [chance.integers(4, 20, 3), chance.integers(4, 20, 3), *(chance.integers(0, 4, 3) for _ in range(2))], axis=1
    ).astype(np.float64)
    return replace(
        given,
        sharing=Sharing(
            project=chance.integers(0, 3, count),
            weight=chance.choice([0.5, 1.0, 3.0], 3),
            most=np.where(chance.random(most.shape) < 0.4, np.inf, most),
            model=np.where(given.rows.capacity[:, 2] > 0, chance.integers(2, 4, width), -1),
            half_life_ms=4 * HOUR_MS,
            mean_every_ms=10 * MINUTE_MS,
            starved_after_ms=int(chance.integers(1, 10)) * HOUR_MS,
            notice_ms=int(chance.choice([-1, 1, 2 * MINUTE_MS, HOUR_MS])),
            protect_ms=int(chance.choice([0, HOUR_MS])),
            most_interruptions=int(chance.integers(0, 4)),
        ),
    )


def _faults(chance: np.random.Generator, width: int, last_ms: int) -> Faults:
    """Rows lose half, or all, and get it back."""
    at, row, share = [], [], []
    for _ in range(int(chance.integers(0, 4))):
        begin, lost = int(chance.integers(0, last_ms + HOUR_MS)), int(chance.choice([300_000, WHOLE // 2]))
        at += [begin, begin + int(chance.integers(1, 5 * HOUR_MS))]
        row += [int(chance.integers(0, width))] * 2
        share += [lost, -lost]
    order = np.argsort(np.array(at, np.int64), kind="stable")
    none = [ROW] * len(at)
    return Faults(*(np.array(column, np.int64)[order] for column in (at, row, share, none, none)))


def check(given: World, played: Played) -> None:
    """Everything that holds whatever is decided."""
    _check_capacity(given, played)
    _check_jobs(given, played)
    _check_links(given, played)
    _check_quotas(given, played)


def _check_links(given: World, played: Played) -> None:
    """What is sent takes the way that is best when it sets out, and crosses no link that is cut, then or on its way."""
    jobs, faults, segments = given.jobs, given.faults, played.segments
    ways = given.ways or direct(given.rows)
    assert ((segments.way >= 0) == (jobs.data_gb[segments.job] > 0)).all()
    for n in np.flatnonzero(segments.way >= 0):
        j, r, start, end = (int(column[n]) for column in segments[:4])
        mine = (faults.place == jobs.place[j]) & (faults.row == r) & (faults.at_ms <= start)
        assert segments.way[n] == (faults.way[mine][-1] if mine.any() else ways.first[jobs.place[j], r])
        there = start + int(ways.transfer_ms(segments.way[[n]], jobs.data_gb[[j]])[0])
        for link, begins, until in given.cuts:
            if link in ways.links[segments.way[n]]:
                assert until <= start or begins >= min(there, end), (j, r, start)


def _check_capacity(given: World, played: Played) -> None:
    """At every instant at which something starts or is lost, what runs has room: devices on its row, the rest in its
    hall."""
    segments, need, rows, faults = played.segments, given.jobs.need, given.rows, given.faults
    hall = np.arange(len(rows.site)) if rows.hall is None else rows.hall
    for now in np.unique(np.concatenate([segments.start_ms, faults.at_ms])):
        on = (segments.start_ms <= now) & (now < segments.end_ms)
        told = (faults.at_ms <= now) & (faults.place == ROW)
        lost = np.bincount(faults.row[told], weights=faults.share[told], minlength=len(rows.site)) / WHOLE
        for r in range(len(rows.site)):
            beside = np.flatnonzero(hall == hall[r])
            shared = need[segments.job[on & (hall[segments.row] == hall[r])], :2].sum(axis=0)
            left = rows.capacity[beside, :2].max(axis=0) - (rows.capacity[beside, :2] * lost[beside, None]).sum(axis=0)
            own = need[segments.job[on & (segments.row == r)], 2].sum()
            assert not shared.any() or (shared <= left + 1e-4).all(), (r, now, shared, left)
            assert not own or own <= rows.capacity[r, 2] * (1 - lost[r]) + 1e-4, (r, now, own)


def _amounts(given: World, job: Ints, row: Ints) -> Floats:
    """`[n, k]`: what runs of jobs on rows hold, in the order of quotas."""
    assert given.sharing is not None
    need, model = given.jobs.need[job], given.sharing.model[row]
    found = np.zeros((len(job), given.sharing.most.shape[1]))
    found[:, :2] = need[:, :2]
    has = model >= 0
    found[has, model[has]] = need[has, 2]
    return found


def _check_quotas(given: World, played: Played) -> None:
    """At every instant at which something starts, no project has more than it may."""
    if given.sharing is None:
        return
    segments = played.segments
    amounts, project = _amounts(given, segments.job, segments.row), given.sharing.project[segments.job]
    for now in np.unique(segments.start_ms):
        on = (segments.start_ms <= now) & (now < segments.end_ms)
        held = np.zeros_like(given.sharing.most)
        np.add.at(held, project[on], amounts[on])
        assert (held <= given.sharing.most + 1e-4).all(), (now, held)


def _may_ever(given: World) -> npt.NDArray[np.bool_]:
    """`[j, r]`: whether a job's project may have as much as it needs there."""
    count, width = len(given.jobs.ready_ms), len(given.rows.site)
    if given.sharing is None:
        return np.ones((count, width), np.bool_)
    job, row = (index.ravel() for index in np.indices((count, width)))
    most = given.sharing.most[given.sharing.project[job]]
    return (_amounts(given, job, row) <= most + 1e-6).all(axis=1).reshape(count, width)


def _check_taken(given: World, how: list[int], j: int) -> None:
    """It is told before it is taken for others, and not again and again."""
    if ENDED_PREEMPTED not in how:
        return
    assert given.sharing is not None
    assert given.sharing.notice_ms > 0
    assert how.count(ENDED_PREEMPTED) <= given.sharing.most_interruptions


def _check_jobs(given: World, played: Played) -> None:
    """No job is lost or runs twice at once; each run is as long as its work, its data's way and its limit make it."""
    jobs, truth, rows, segments = given.jobs, given.truth, given.rows, played.segments
    of = defaultdict(list)
    for n in range(len(segments.job)):
        of[int(segments.job[n])].append(n)
    way_ms = (given.ways or direct(rows)).transfer_ms(segments.way, jobs.data_gb[segments.job]).tolist()
    can = (
        given.allowed[jobs.kind] & (jobs.need[:, None, :] <= rows.capacity[None] + 1e-9).all(axis=2) & _may_ever(given)
    ).any(axis=1)  # fmt: skip
    assert ((played.state == REFUSED) == ~can).all()
    for j in range(len(jobs.ready_ms)):
        mine = sorted(of[j], key=lambda n: (segments.start_ms[n], segments.end_ms[n]))
        if played.state[j] == REFUSED:
            assert not mine
            continue
        assert played.first_start_ms[j] == (segments.start_ms[mine[0]] if mine else -1)
        done, more, before = 0, 0, int(jobs.ready_ms[j])
        _check_taken(given, [int(segments.how[n]) for n in mine], j)
        for n in mine:
            r, start, end = int(segments.row[n]), int(segments.start_ms[n]), int(segments.end_ms[n])
            assert given.allowed[jobs.kind[j], r]
            assert start >= before
            before = end
            way = way_ms[n]
            again = int(truth.resume_ms[j]) if done else 0
            took, slow = end - start, float(rows.slowness[r])
            whole = int((int(truth.run_ms[j]) - done) * slow) + again
            left = int(jobs.limit_ms[j]) - done + more + again
            match int(segments.how[n]):
                case how if how in (ENDED_DONE, ENDED_LIMIT):
                    assert n == mine[-1]
                    assert took == way + max(0, min(whole, left))
                    assert (how == ENDED_LIMIT) == (whole > left)
                    assert played.state[j] == ENDED
                    assert played.end_ms[j] == end
                case how if how in (ENDED_SUSPENDED, ENDED_PREEMPTED):
                    assert jobs.interruptible[j]
                    more += max(0, int((took - way - again) / slow)) * (how == ENDED_PREEMPTED)
                    done += max(0, int((took - way - again) / slow))
                case how if how == ENDED_LOST:
                    reached = done + max(0, int((took - way - again) / slow))
                    every = int(truth.checkpoint_ms[j])
                    # No more is lost than was done since the last checkpoint; all of it where there is none.
                    done = max(done, reached // every * every) if every else done
                    assert reached - done <= (every or reached)
                case how:
                    assert how == ENDED_OPEN
            assert took <= way + max(0, min(whole, left))
        if not mine or segments.how[mine[-1]] in (ENDED_SUSPENDED, ENDED_LOST, ENDED_PREEMPTED):
            assert played.state[j] == WAITING
