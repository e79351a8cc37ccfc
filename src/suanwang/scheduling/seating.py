"""The board of one snapshot: its jobs and the rows of its sites as the policies' kernels read them.

Owns the turn from a snapshot to that board, and the kernels' answers for one job after the other: what it comes to on each
row, where it starts or whether it is kept, and the room kept for jobs in front. The kernels are those of the twin's engine;
few jobs on few rows run them as plain Python, so that small networks need no compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import numpy as np

from suanwang.domain.ids import SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.site import Ending, Site
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling import figures, preempting
from suanwang.scheduling.ahead import HORIZON_STEPS
from suanwang.scheduling.columns import NEVER_MS, RESOURCES, JobColumns, Outlook, RowColumns
from suanwang.scheduling.feasibility import Shape, may_pause
from suanwang.scheduling.margins import DEPTH
from suanwang.scheduling.policies import joint, passing, rooms
from suanwang.scheduling.policies.board import (
    FAR,
    FINISH,
    FRESH,
    Board,
    Listed,
    aligned,
    altered,
    board_for,
    copy_column,
    listed,
    unlisted,
)
from suanwang.scheduling.policies.compiled import compiled, plain
from suanwang.scheduling.preempting import Room, Runs
from suanwang.scheduling.snapshot import Bools, Floats, Ints, Rows, SiteTable

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = 4000
"""Up to so many jobs × rows, plain Python is quick enough."""
SPARE_STEPS = 2
PRICED_KEPT = 8
"""Boards of shapes whose prices are their own: they hold a figure for each row and step."""
LEAST_KW = 1e-6
"""So that prices can be told by what is drawn."""
BLOCKED, LATER = joint.BLOCKED, joint.LATER


def most_plain(sites: Sequence[Site]) -> int:
    """So many jobs are decided on without compiled kernels."""
    return PLAIN // max(1, sum(1 + len(site.offering.devices) for site in sites))


@dataclass(slots=True)
class Weighed:
    """What a start now comes to for jobs of one shape."""

    first: int
    """The board's row that is the first of the shape's kind."""
    allowed: Bools
    """`[1, r]`, of the board's rows up to the last of the kind."""
    figures: Floats
    """`[PRICE | CARBON | FINISH, r]`, as of the board; reckoned with the first job that may start somewhere."""
    board: Board | None = None
    """As its jobs see it."""
    base: Board | None = None
    """What that was made from."""

    @property
    def leasts(self) -> list[float]:
        found: list[float] = self.figures[:, -1].tolist()
        return found


@dataclass(frozen=True, slots=True)
class Later:
    """The start at a later step, or on a full row, that a job is kept for."""

    row: int
    """Of its kind."""
    at_ms: int
    until_ms: int
    """When it is decided anew."""
    score: float
    yuan: float
    carbon_g: float
    finish_s: float
    """From now to the end."""


class Ran(NamedTuple):
    """How far a job's work is."""

    done_ms: int
    """Run time that need not be repeated."""
    lasted_ms: int
    """So much of it was no waiting since the job became ready: its present run."""


class Seating:
    """What is free, from one job of a plan to the next. Jobs are numbered as they were given."""

    def __init__(
        self,
        table: SiteTable,
        jobs: Sequence[Job],
        shapes: Sequence[Shape],
        now: datetime,
        endings: Callable[[], Mapping[SiteId, Sequence[Ending]]] = dict,
        ran: Sequence[Ran] | None = None,
        plainly: bool = False,
    ) -> None:
        """`endings` is asked once, where a job finds no room. `ran` says how far the jobs are where they run, and none waits.
        `plainly`: nothing is compiled, however many they are."""
        self._table, self._shapes, self._endings, self._now_ms = table, shapes, endings, milliseconds(now)
        self._first_pooled = len(table.plain.pools)
        done_ms = np.array([of.done_ms for of in shapes] if ran is None else [of.done_ms for of in ran], np.int64)
        columns = _columns(jobs, shapes, now, done_ms)
        if ran is not None:
            columns = _running(columns, ran)
        self._steps = _steps_ahead(table, shapes, columns)
        self._longest_wait_ms = int(columns.wait_ms.max(initial=0))
        ways = _ways(table)
        self._few = plainly or len(jobs) <= most_plain(table.sites)
        board = board_for(columns, ways, np.ones((1, len(ways.site)), np.bool_), self._outlook())
        board.jobs["done_ms"] = done_ms
        board.interrupted[:] = [job.interruptions > 0 for job in jobs]
        _set_free(board, table)
        self._set(board)
        self._count = len(jobs)
        self._knows_ends = False
        self._left = DEPTH
        self._weigh, self._least_score = self._ready(joint.weigh), self._ready(joint.least_score)
        self._waits, self._reserve = self._ready(passing.waits_anyhow), self._ready(passing.reserve)
        self._take, self._occupy = self._ready(rooms.take), self._ready(rooms.occupy)
        self._recent: list[Weighed] = []
        """Shapes whose prices are their own and whose board is kept, the oldest first."""
        self._begun: list[int] = []
        """Jobs that started before room was kept for anybody."""

    def _ready(self, kernel: F) -> F:
        return plain(kernel) if self._few else compiled(kernel)

    def weighed(self, rows: Rows, possible: Bools) -> Weighed:
        """For a shape that may run where it is `possible[r]` of `rows`; what that comes to is reckoned by `choose`."""
        first = self._first(rows)
        allowed = np.zeros((1, first + len(possible)), np.bool_)
        allowed[0, first:] = possible
        found = np.empty((3, first + len(possible) + 1))
        found[:, -1] = 0.0
        return Weighed(first, allowed, found)

    def choose(self, number: int, of: Weighed, barred: Bools | None) -> tuple[int, Floats]:
        """The row to start on now, `BLOCKED`, or `LATER`; and unless it is blocked the score of each row of the kind, `FAR`
        where it may not start, until the next call. Of the kind's rows, those that are `barred` are out."""
        if barred is not None and not of.figures[FINISH, -1]:
            # Others of the shape may not be barred.
            self._ready(joint.leasts)(self._own(number, of, of.allowed), number, self._now_ms)
        board = self._own(number, of, _without(of, barred))
        chosen = self._weigh(board, number, self._now_ms, True)
        if chosen == BLOCKED:
            return BLOCKED, np.full(len(of.allowed[0]) - of.first, FAR)
        scores = board.scores[of.first : len(of.allowed[0])]
        return chosen - of.first if chosen >= 0 else chosen, np.array(scores) if self._few else scores

    def least_score(self, number: int, of: Weighed) -> float:
        """On the row that would be best, were all of them empty."""
        return float(self._least_score(self._own(number, of, of.allowed), number, *of.leasts))

    def later(self, number: int, of: Weighed) -> Later:
        """What a job is kept for that `choose` found better `LATER`."""
        job = self._board.jobs[number]
        return self.at(number, of, int(job["aim_row"]) - of.first, int(job["aim_ms"]), int(job["until_ms"]))

    def at(self, number: int, of: Weighed, row: int, at_ms: int, until_ms: int) -> Later:
        """What a start at `at_ms` comes to."""
        board, there = self._own(number, of, of.allowed), of.first + row
        score = self._ready(joint.score_later)
        found, yuan, carbon_g = score(board, number, there, self._now_ms, at_ms, *of.leasts)
        long_ms = at_ms - self._now_ms + of.figures[FINISH, there]
        return Later(row, at_ms, until_ms, float(found), float(yuan), float(carbon_g), float(long_ms) / 1000)

    def pauses(self, number: int, of: Weighed, row: int) -> Later | None:
        """Of a job that runs on `row`: the step at which the rest of its work had better go on."""
        board = self._own(number, of, of.allowed)
        job = board.jobs[number]
        job["row"] = of.first + row
        if not self._ready(joint.pauses)(board, number, self._now_ms):
            return None
        return self.at(number, of, row, int(job["aim_ms"]), int(job["until_ms"]))

    def _own(self, number: int, of: Weighed, allowed: Bools) -> Board:
        """The board as jobs of this shape see it."""
        if of.board is None or of.base is not self._board:
            of.base, shape = self._board, self._shapes[number]
            rows, ahead = self._rows[of.first], of.base.ahead
            if shape.bound_yuan is not None or shape.payer is not None:
                rows, ahead = self._priced(shape, of, rows)
                self._recent.append(of)
                if len(self._recent) > PRICED_KEPT:
                    self._recent.pop(0).board = None
            of.board = of.base._replace(rows=rows, ahead=ahead, allowed=of.allowed, figures=of.figures)
        elif of.board.rows is not self._rows[of.first]:
            copy_column(self._rows[of.first], of.board.rows, "free_devices")
        return of.board if allowed is of.allowed else of.board._replace(allowed=allowed)

    def _priced(self, shape: Shape, of: Weighed, rows: Any) -> tuple[Any, Floats]:
        """Rows and outlooks of jobs whose prices are their own: what their quote or the lists of sites say. What lists ask
        changes by the hour as electricity does: the kernels take it for that of the power drawn."""
        kind = self._table.pooled if of.first else self._table.plain
        power_kw = np.maximum(figures.power(shape, kind), LEAST_KW)
        steps = min(self._steps, (self._longest_wait_ms + 1000 * shape.resources.time_limit_s) // STEP_MS + SPARE_STEPS)
        due, follows = figures.electricity(shape, kind), figures.course(shape, kind)
        yuan = np.zeros((len(power_kw), steps + 1)) if due is None else due[0].totals(steps)[due[1]]
        if follows is not None:
            every = np.arange(len(power_kw))
            yuan = yuan + follows.totals(figures.units(shape), every, steps) / power_kw[:, None]
        carbon_g = kind.ahead.carbon.totals(steps)[kind.day] * kind.carbon_g_per_kwh[:, None]
        ahead = np.zeros((2, 1, of.first + len(kind.pools), steps + 1))
        ahead[:, 0, of.first :] = yuan, carbon_g
        priced = altered(
            rows,
            of.first,
            site=np.arange(of.first, of.first + len(kind.pools)),
            core_kw=power_kw / shape.cores,
            memory_kw=np.zeros(len(power_kw)),
            device_kw=np.zeros(len(power_kw)),
            core_yuan=figures.hourly_yuan(shape, kind) / shape.cores,
            memory_yuan=np.zeros(len(power_kw)),
            device_yuan=np.zeros(len(power_kw)),
            slowness=kind.slowness if shape.bound_yuan is None else np.ones(len(power_kw)),
        )
        return priced, ahead

    def take(self, number: int, of: Weighed, row: int) -> None:
        """The job starts now on `row` of its kind."""
        at = of.first + row
        if self._knows_ends:
            self._take(self._board, number, at, self._now_ms)
        else:
            self._occupy(self._board, number, at)
            self._begun.append(number)

    def stays(self) -> bool:
        """A job stays in the queue; whether it is one of the first."""
        self._left -= 1
        return self._left >= 0

    def keep(self, number: int, of: Weighed, barred: Bools | None) -> bool:
        """A job stays that found no room: keep the next one for it, on the row where it has it soonest, where it is one of the
        first and does not wait anyhow; whether that is so."""
        if not self.stays() or self._waits(joint.CODE, self._board, number, self._now_ms):
            return False
        if not self._knows_ends:
            self._learn_ends()
        self._reserve(self._own(number, of, _without(of, barred)), number, -1)
        return True

    def make_room(
        self, wanted: Sequence[tuple[int, int, Rows, Ints]], runs: Sequence[tuple[Job, Allocation]], notice_ms: int
    ) -> Iterator[tuple[int, int, list[tuple[Job, Allocation]]]]:
        """Which of `wanted` (urgency, number, and where it may run) has room made for it, at which site, and the runs that
        end for it."""
        if not self._knows_ends:
            self._learn_ends()
        board, width = self._board, len(self._board.rows)
        halls = {site.id: hall for hall, site in enumerate(self._table.sites)}
        known = [one for one in runs if one[1].site_id in halls]
        known.sort(key=lambda one: (one[0].submitted_at, one[0].id))
        columns = self._runs(known, halls)
        room = Room(np.zeros(len(halls)), np.zeros(len(halls)), np.zeros(width), np.zeros(len(halls), np.bool_))
        self._ready(preempting.room_by)(board, self._now_ms + notice_ms, room)
        make_room = self._ready(preempting.make_room)
        awake = np.array([bool(row["awake"]) for row in board.rows], np.bool_)
        least = columns.order.max(initial=-1)
        taken, tried = np.zeros(len(known), np.int64), np.zeros(len(known), np.int64)
        for at, (urgency, number, rows, index) in enumerate(wanted):
            if urgency >= least:
                continue
            allowed = np.zeros(width, np.bool_)
            allowed[index + self._first(rows)] = True
            row = int(make_room(board, number, urgency, self._now_ms, allowed & awake, room, columns, taken, tried))
            if row >= 0:
                chosen = taken.nonzero()[0]
                yield at, int(board.rows[row]["hall"]), [known[n] for n in chosen.tolist()]
                columns.order[chosen] = -1  # Nobody takes it again.

    def _runs(self, runs: Sequence[tuple[Job, Allocation]], halls: Mapping[SiteId, int]) -> Runs:
        needs = [(job.task.nodes, job.task.resources) for job, _ in runs]
        return Runs(
            order=np.array([job.task.priority.rank for job, _ in runs], np.int64),
            begun_ms=np.array([milliseconds(run.started_at or run.granted_at) for _, run in runs], np.int64),
            row=np.array([self._row(halls[run.site_id], run.device_model) for _, run in runs], np.int64),
            need=np.array(
                [
                    (nodes * need.cores, nodes * need.memory_gb, nodes * need.devices.count if need.devices else 0)
                    for nodes, need in needs
                ],
                np.float64,
            ).reshape(-1, RESOURCES),
            turn=np.arange(len(runs)),
        )

    def free(self, site: int, rows: Sequence[int]) -> tuple[int, float, int]:
        """Cores, GB of memory and, of the device pools `rows`, the most devices that are free."""
        hall, of = self._board.halls[site], self._board.rows
        devices = max((int(of[self._first_pooled + row]["free_devices"]) for row in rows), default=0)
        return int(hall["free_cores"]), float(hall["free_memory_gb"]), devices

    def _outlook(self) -> Outlook:
        """What is known of price and carbon from the present step on."""
        rows, steps = self._table.plain, self._steps
        yuan = rows.ahead.yuan.totals(steps)[rows.tariff]
        carbon_g = rows.ahead.carbon.totals(steps)[rows.day] * rows.carbon_g_per_kwh[:, None]
        begun_ms = self._now_ms // STEP_MS * STEP_MS
        return Outlook(start_ms=begun_ms, issue_ms=STEP_MS, step_ms=STEP_MS, yuan=yuan[None], carbon_g=carbon_g[None])

    def _first(self, rows: Rows) -> int:
        return 0 if rows is self._table.plain else self._first_pooled

    def _learn_ends(self) -> None:
        """When what runs is over at the latest, and what that frees: from the snapshot, and of the jobs begun so far."""
        self._knows_ends = True
        ends = self._endings()
        halls = {site.id: hall for hall, site in enumerate(self._table.sites)}
        found = [(halls[site], end) for site, of_site in ends.items() if site in halls for end in of_site]
        board = unlisted(self._board) if self._few else self._board
        own = self._count
        jobs = aligned(own + len(found), board.jobs.dtype)
        jobs[:own] = board.jobs
        others = jobs[own:]
        others["cores"] = [end.cores for _, end in found]
        others["memory_gb"] = [end.memory_gb for _, end in found]
        others["devices"] = [end.devices for _, end in found]
        others["row"] = [self._row(hall, end.device_model) for hall, end in found]
        others["end_ms"] = [milliseconds(end.at) for _, end in found]
        left_ms = jobs["limit_ms"] - jobs["done_ms"]
        jobs["end_ms"][self._begun] = self._now_ms + np.maximum(1, left_ms[self._begun])
        running = np.array([*self._begun, *range(own, len(jobs))], np.int64)
        hall = board.rows["hall"][jobs["row"][running]]
        order = np.lexsort((jobs["end_ms"][running], hall))
        busy = np.bincount(hall, minlength=len(board.halls))
        size = busy + own - len(self._begun)
        first = np.cumsum(size) - size
        at = np.repeat(first - (np.cumsum(busy) - busy), busy) + np.arange(len(running))
        board.halls["first"], board.halls["busy"] = first, busy
        board = board._replace(
            jobs=jobs, ends=np.zeros(int(size.sum()), np.int64), running=np.zeros(int(size.sum()), np.int64)
        )
        board.running[at] = running[order]
        board.ends[at] = jobs["end_ms"][running[order]]
        self._set(board)

    def _set(self, board: Board) -> None:
        self._board = board = listed(board) if self._few else board
        plain_rows: Any = board.rows[: self._first_pooled]
        of_plain: Any = Listed(plain_rows) if self._few else plain_rows
        self._rows: Mapping[int, Any] = {self._first_pooled: board.rows, 0: of_plain}
        """By the first row of a kind: what its kernels look at."""

    def _row(self, site: int, model: str | None) -> int:
        """The row on which a run of the site frees devices."""
        first, end = self._table.pooled.span[site]
        for row in range(first, end) if model is not None else ():
            pool = self._table.pooled.pools[row]
            if pool is not None and pool.model == model:
                return self._first_pooled + row
        return site


def _without(of: Weighed, barred: Bools | None) -> Bools:
    if barred is None:
        return of.allowed
    allowed = of.allowed.copy()
    allowed[0, of.first : of.first + len(barred)] &= ~barred
    return allowed


def _columns(jobs: Sequence[Job], shapes: Sequence[Shape], now: datetime, done_ms: Ints) -> JobColumns:
    count = len(jobs)
    nothing = np.zeros(count, np.int64)
    needs, wanted = [of.resources for of in shapes], [of.objective for of in shapes]
    expected_s = [min(need.expected_s or need.time_limit_s, need.time_limit_s) for need in needs]
    due_ms = [NEVER_MS if of.deadline_at is None else milliseconds(of.deadline_at) for of in shapes]
    # One whose hold lasts waits for that alone.
    wait_s = [0 if job.hold is not None and job.hold.until > now else job.task.flexibility.may_wait_s for job in jobs]
    ready_ms = np.array([milliseconds(job.ready_at or job.submitted_at) for job in jobs], np.int64)
    return JobColumns(
        # Kernels take all work so far for time since the job became ready; `ready_at` moves on with every pause instead.
        ready_ms=ready_ms - done_ms,
        order=nothing,
        need=np.array([(of.cores, of.memory_gb, of.devices) for of in shapes], np.float64).reshape(count, 3),
        expect_ms=np.repeat(1000 * np.array(expected_s, np.int64)[:, None], 3, axis=1),
        limit_ms=1000 * np.array([need.time_limit_s for need in needs], np.int64) + done_ms,  # Each run has all of it.
        kind=nothing,
        place=nothing,
        weight=np.array([(of.price, of.carbon, of.finish) for of in wanted], np.float64).reshape(count, 3),
        wait_ms=1000 * np.array(wait_s, np.int64),
        due_ms=np.array(due_ms, np.int64),
        interruptible=np.array([may_pause(job) for job in jobs], np.bool_),
        data_gb=np.zeros(count),
        group=nothing,
    )


def _running(columns: JobColumns, ran: Sequence[Ran]) -> JobColumns:
    """Deadlines are kept with the whole time limit ahead: a run that pauses and is late then has no way back."""
    return columns._replace(
        ready_ms=columns.ready_ms + np.array([of.lasted_ms for of in ran], np.int64),
        due_ms=columns.due_ms - np.maximum(0, columns.limit_ms - columns.expect_ms[:, -1]),
    )


def _steps_ahead(table: SiteTable, shapes: Sequence[Shape], columns: JobColumns) -> int:
    """How much of the outlook these jobs can see; one step where no hour is better than another."""
    ahead = table.plain.ahead
    bound = any(of.bound_tariff is not None or of.bound_listed is not None for of in shapes)
    if not (ahead.charged or ahead.shaped or bound or table.plain.paying is not None):
        return 1
    longest_ms = int((columns.wait_ms + columns.limit_ms).max(initial=0))
    return min(longest_ms // STEP_MS + SPARE_STEPS, HORIZON_STEPS)


def _ways(table: SiteTable) -> RowColumns:
    """A row for each site's cores, then one for each of its device pools; those of one site are a hall."""
    both = table.plain, table.pooled
    site = np.concatenate([rows.site_of for rows in both])
    offers = [of.offering for of in table.sites]
    count, nothing = len(site), np.zeros(len(site))
    cores, memory_gb = np.array([of.cores for of in offers]), np.array([of.memory_gb for of in offers])
    devices, core_kw, device_kw, core_yuan, gb_yuan, device_yuan, slowness = (
        np.concatenate([getattr(rows, name) for rows in both])
        for name in ("count", "core_kw", "device_kw", "core_yuan", "gb_yuan", "device_yuan", "slowness")
    )
    return RowColumns(
        site=site,
        hall=site,
        capacity=np.stack((cores[site], memory_gb[site], devices), axis=1).astype(np.float64),
        power_w=1000 * np.stack((core_kw, nothing, device_kw), axis=1),
        yuan_hour=np.stack((core_yuan, gb_yuan, device_yuan), axis=1),
        slowness=slowness,
        electricity_share=np.ones(count),
        delay_ms=np.zeros((1, count)),
        transfer_ms_per_gb=np.zeros((1, count)),
        transfer_yuan_per_gb=np.zeros((1, count)),
    )


def _set_free(board: Board, table: SiteTable) -> None:
    both = table.plain, table.pooled
    board.rows["awake"] = np.concatenate([rows.awake for rows in both])
    board.rows["free_devices"] = np.concatenate([rows.free_devices for rows in both])
    board.halls["free_cores"] = table.plain.free_cores
    board.halls["free_memory_gb"] = table.plain.free_memory_gb
    board.watch[:] = FRESH


def compile_all() -> None:
    """Have every kernel compiled that a `Seating` calls, where no earlier run on this machine left it."""
    one, none, three, way = np.ones(1, np.int64), np.zeros(1, np.int64), np.ones((1, 3)), np.zeros((1, 1))
    late = np.ones((1, 3), np.int64)
    jobs = JobColumns(one, one, three, late, one, none, none, three, one, one, np.ones(1, np.bool_), np.zeros(1), one)
    rows = RowColumns(none, three, three, three, np.ones(1), np.ones(1), way, way, way)
    outlook = Outlook(0, STEP_MS, STEP_MS, np.ones((1, 1, 2)), np.ones((1, 1, 2)))
    board = board_for(jobs, rows, np.ones((1, 1), np.bool_), outlook)
    joint.weigh(board, 0, 0, True)
    joint.leasts(board, 0, 0)
    joint.least_score(board, 0, 1.0, 1.0, 1.0)
    joint.score_later(board, 0, 0, 0, 0, 1.0, 1.0, 1.0)
    passing.waits_anyhow(joint.CODE, board, 0, 0)
    board.jobs["row"] = 0
    joint.pauses(board, 0, 0)
    passing.reserve(board, 0, -1)
    rooms.occupy(board, 0, 0)
    rooms.take(board, 0, 0, 0)
    room = Room(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1, np.bool_))
    preempting.room_by(board, 0, room)
    runs = Runs(one, one, none, three, one)
    preempting.make_room(board, 0, 0, 0, np.ones(1, np.bool_), room, runs, one.copy(), one.copy())


if __name__ == "__main__":
    compile_all()
