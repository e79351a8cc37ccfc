"""The board of one snapshot: queued jobs and the rows of its sites as the policies' kernels read them.

Owns the turn from a snapshot to that board, what is free on it, and the room kept for jobs in front. The kernels are those
of the twin's engine; few jobs on few rows run them as plain Python, so that small networks need no compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from suanwang.domain.ids import SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.site import Ending
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling import preempting
from suanwang.scheduling.columns import NEVER_MS, RESOURCES, JobColumns, Outlook, RowColumns
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.margins import DEPTH
from suanwang.scheduling.policies import passing, rooms
from suanwang.scheduling.policies.board import FRESH, Board, aligned, board_for, listed, unlisted
from suanwang.scheduling.policies.compiled import compiled, plain
from suanwang.scheduling.preempting import Room, Runs
from suanwang.scheduling.snapshot import Bools, Ints, Rows, SiteTable

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = 2000
"""Up to so many jobs × rows, plain Python is quick enough."""


class Seating:
    """What is free, from one job of a plan to the next. Jobs are numbered as they were given."""

    def __init__(
        self,
        table: SiteTable,
        jobs: Sequence[Job],
        shapes: Sequence[Shape],
        now: datetime,
        endings: Callable[[], Mapping[SiteId, Sequence[Ending]]],
    ) -> None:
        """`endings` is asked once, where a job finds no room."""
        self._table, self._endings, self._now_ms = table, endings, milliseconds(now)
        self._first_pooled = len(table.plain.pools)
        self._jobs = _jobs(jobs, shapes)
        ways = _ways(table)
        self._few = len(jobs) * len(ways.site) <= PLAIN
        board = board_for(self._jobs, ways, np.ones((1, len(ways.site)), np.bool_), _flat(len(table.sites)))
        _set_free(board, table)
        self._board = listed(board) if self._few else board
        self._knows_ends = False
        self._left = DEPTH
        self._startable, self._reserve = self._ready(rooms.startable), self._ready(passing.reserve)
        self._take, self._occupy = self._ready(rooms.take), self._ready(rooms.occupy)
        self._begun: list[int] = []
        """Jobs that started before room was kept for anybody."""

    def _ready(self, kernel: F) -> F:
        return plain(kernel) if self._few else compiled(kernel)

    def startable(self, number: int, rows: Rows) -> Bools:
        """`[r]`: the rows of `rows` where a start now has room and delays nobody who waits in front."""
        found = np.empty(len(rows.pools), np.bool_)
        self._startable(self._board, number, self._first(rows), self._now_ms, found)
        return found

    def take(self, number: int, rows: Rows, row: int) -> None:
        """The job starts now on `row` of `rows`."""
        at = self._first(rows) + row
        if self._knows_ends:
            self._take(self._board, number, at, self._now_ms)
        else:
            self._occupy(self._board, number, at)
            self._begun.append(number)

    def keep(self, number: int, rows: Rows, index: Ints) -> None:
        """Keep the next room for a job that found none, on the row of `index` where it has it soonest."""
        if self._left <= 0:
            return
        self._left -= 1
        if not self._knows_ends:
            self._learn_ends()
        allowed = np.zeros_like(self._board.allowed)
        allowed[0, index + self._first(rows)] = True
        self._reserve(self._board._replace(allowed=allowed), number, -1)

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

    def _first(self, rows: Rows) -> int:
        return 0 if rows is self._table.plain else self._first_pooled

    def _learn_ends(self) -> None:
        """When what runs is over at the latest, and what that frees: from the snapshot, and of the jobs begun so far."""
        self._knows_ends = True
        ends = self._endings()
        halls = {site.id: hall for hall, site in enumerate(self._table.sites)}
        found = [(halls[site], end) for site, of_site in ends.items() if site in halls for end in of_site]
        board = unlisted(self._board) if self._few else self._board
        own = len(self._jobs.ready_ms)
        jobs = aligned(own + len(found), board.jobs.dtype)
        jobs[:own] = board.jobs
        others = jobs[own:]
        others["cores"] = [end.cores for _, end in found]
        others["memory_gb"] = [end.memory_gb for _, end in found]
        others["devices"] = [end.devices for _, end in found]
        others["row"] = [self._row(hall, end.device_model) for hall, end in found]
        others["end_ms"] = [milliseconds(end.at) for _, end in found]
        jobs["end_ms"][self._begun] = self._now_ms + np.maximum(1, jobs["limit_ms"][self._begun])
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
        self._board = listed(board) if self._few else board

    def _row(self, site: int, model: str | None) -> int:
        """The row on which a run of the site frees devices."""
        first, end = self._table.pooled.span[site]
        for row in range(first, end) if model is not None else ():
            pool = self._table.pooled.pools[row]
            if pool is not None and pool.model == model:
                return self._first_pooled + row
        return site


def _jobs(jobs: Sequence[Job], shapes: Sequence[Shape]) -> JobColumns:
    count = len(jobs)
    nothing = np.zeros(count, np.int64)
    needs, wanted = [of.resources for of in shapes], [of.objective for of in shapes]
    expected_s = [min(need.expected_s or need.time_limit_s, need.time_limit_s) for need in needs]
    due_ms = [NEVER_MS if of.deadline_at is None else milliseconds(of.deadline_at) for of in shapes]
    return JobColumns(
        ready_ms=np.array([milliseconds(job.ready_at or job.submitted_at) for job in jobs], np.int64),
        order=nothing,
        need=np.array([(of.cores, of.memory_gb, of.devices) for of in shapes], np.float64).reshape(count, 3),
        expect_ms=np.repeat(1000 * np.array(expected_s, np.int64)[:, None], 3, axis=1),
        limit_ms=1000 * np.array([need.time_limit_s for need in needs], np.int64),
        kind=nothing,
        place=nothing,
        weight=np.array([(of.price, of.carbon, of.finish) for of in wanted], np.float64).reshape(count, 3),
        wait_ms=1000 * np.array([job.task.flexibility.may_wait_s for job in jobs], np.int64),
        due_ms=np.array(due_ms, np.int64),
        interruptible=np.zeros(count, np.bool_),
        data_gb=np.zeros(count),
        group=nothing,
    )


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
        electricity_share=nothing,
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


def _flat(sites: int) -> Outlook:
    nothing = np.zeros((1, sites, 2))
    return Outlook(start_ms=0, issue_ms=STEP_MS, step_ms=STEP_MS, yuan=nothing, carbon_g=nothing)
