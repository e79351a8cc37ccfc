"""One look through the queue by turns of projects: who starts where, as `passing` has it, under shares and quotas.

Owns what projects hold, held lately and may have while jobs are played, and the look itself. Turns change with time and
with every start, so each look begins at the front; it ends as soon as nobody can start any more. Whose turn it is and what
shares come to is `scheduling.turns`'s, which the live plan calls too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from suanwang.domain.allowance import over
from suanwang.scheduling import turns
from suanwang.scheduling.columns import (
    CORES,
    DEVICES,
    ENDED_LOST,
    ENDED_PREEMPTED,
    MEMORY_GB,
    RESOURCES,
    Bools,
    Floats,
    Ints,
    JobColumns,
    RowColumns,
    Sharing,
)
from suanwang.scheduling.margins import DEPTH
from suanwang.scheduling.policies.board import (
    ANY,
    DELAY,
    FAR,
    FRESH,
    HELD,
    PAUSABLE,
    QUEUED,
    SINCE,
    STARTED,
    UNSEEN,
    Board,
)
from suanwang.scheduling.policies.compiled import inlined, kernel
from suanwang.scheduling.policies.joint import BLOCKED, LATER
from suanwang.scheduling.policies.passing import (
    NEAREST,
    OFTEN,
    WAIT_AWHILE,
    any_room,
    choose,
    measure_least,
    reserve,
    waits_anyhow,
)
from suanwang.scheduling.policies.rooms import cut_off, fits, may_find_room, shorten, take
from suanwang.scheduling.preempting import Room, Runs, make_room, may_be_taken, room_by

ON, HALF_LIFE_MS, EVERY_MS, STARVED_MS, MEAN_AT_MS = 0, 1, 2, 3, 4
NOTICE_MS, PROTECT_MS, MOST, BLOCKED_COUNT = 5, 6, 7, 8
NOT_LEAVING = -1
FREE, SOME, ALL = 0, 1, 2
_dominant, _mean_after, _over = kernel(turns.dominant), kernel(turns.mean_after), kernel(over)
_begin_priority, _next_turn = kernel(turns.begin_priority), kernel(turns.next_turn)


class Shares(NamedTuple):
    """Projects while jobs are played; without sharing all of it is empty and `numbers[ON]` is 0."""

    numbers: Ints
    """`[ON | HALF_LIFE_MS | EVERY_MS | STARVED_MS | NOTICE_MS | PROTECT_MS | MOST]`; `[MEAN_AT_MS]`: when `lately` was
    reckoned; `[BLOCKED_COUNT]`: used length of `blocked`."""
    project: Ints
    """`[j]`"""
    order: Ints
    """`[j]`: of its priority; lower ones come first."""
    turn_ms: Ints
    """`[j]`: since when it counts as ready. It moves on by what the job runs, and to where it lost its work."""
    weight: Floats
    most: Floats
    whole: Floats
    """`[k]`: what the network has."""
    model: Ints
    holds: Floats
    """`[p, k]`"""
    lately: Floats
    share: Floats
    """`[p]`, of the present look."""
    gone: Ints
    """`[j]`: 1 where it leaves the queue with this look."""
    line: Ints
    """`[3, n]`: order, readiness and project of what is queued, as `turns.next_turn` wants them."""
    after: Ints
    head: Ints
    heap: Ints
    at: Ints
    devices: Floats
    """`[r]`: what is free there, while a quota keeps a job from it."""
    leaves_ms: Ints
    """`[j]`: when its run ends for another job, or `NOT_LEAVING`."""
    until_ms: Ints
    """`[j]`: when its run really ends."""
    times: Ints
    """`[j]`: how often its run was ended for others."""
    blocked: Ints
    """Jobs that found no room in the present look, in their turns, as many as may have room kept for them."""
    room: Room
    runs: Runs
    found: Ints
    """The jobs of `runs`."""
    taken: Ints
    tried: Ints
    may: Bools
    """`[r]`: where a blocked job may run."""


def whole_of(sharing: Sharing, rows: RowColumns) -> Floats:
    """`[kind]`: all there is of what quotas name: cores, memory, each model of device."""
    width, whole = len(rows.site), np.zeros(sharing.most.shape[1])
    hall = np.arange(width) if rows.hall is None else rows.hall
    shared = np.zeros((width, 2))
    np.maximum.at(shared, hall, rows.capacity[:, :DEVICES])
    whole[:DEVICES] = shared.sum(axis=0)
    has = sharing.model >= 0
    np.add.at(whole, sharing.model[has], rows.capacity[has, DEVICES])
    return whole


def shares_for(sharing: Sharing | None, jobs: JobColumns, rows: RowColumns) -> Shares:
    """Nobody holds anything yet."""
    on = sharing is not None
    count, width = (len(jobs.ready_ms), len(rows.site)) if on else (0, 0)
    projects, kinds = sharing.most.shape if sharing else (0, 0)
    whole = whole_of(sharing, rows) if sharing else np.zeros(0)
    begin_ms = int(jobs.ready_ms.min()) if count else 0
    numbers = np.zeros(9, np.int64)
    numbers[NOTICE_MS] = -1
    if sharing:
        numbers[:4] = 1, sharing.half_life_ms, sharing.mean_every_ms, sharing.starved_after_ms
        numbers[NOTICE_MS : MOST + 1] = sharing.notice_ms, sharing.protect_ms, sharing.most_interruptions
    numbers[MEAN_AT_MS] = begin_ms
    taking = numbers[NOTICE_MS] >= 0
    halls = (width if rows.hall is None else int(rows.hall.max()) + 1) if taking else 0
    size = count if taking else 0
    return Shares(
        numbers=numbers,
        project=sharing.project if sharing else np.zeros(0, np.int64),
        order=np.ascontiguousarray(jobs.order[:count], np.int64),
        turn_ms=np.array(jobs.ready_ms[:count], np.int64),
        weight=sharing.weight if sharing else np.zeros(0),
        most=sharing.most if sharing else np.zeros((0, 0)),
        whole=whole,
        model=sharing.model if sharing else np.zeros(0, np.int64),
        holds=np.zeros((projects, kinds)),
        lately=np.zeros((projects, kinds)),
        share=np.zeros(projects),
        gone=np.zeros(count, np.int64),
        line=np.zeros((3, count), np.int64),
        after=np.zeros(count, np.int64),
        head=np.zeros(projects, np.int64),
        heap=np.zeros(projects, np.int64),
        at=np.zeros(len(turns.UNBEGUN), np.int64),
        devices=np.zeros(width),
        leaves_ms=np.full(count, NOT_LEAVING, np.int64),
        until_ms=np.zeros(count, np.int64),
        times=np.zeros(count, np.int64),
        blocked=np.zeros(DEPTH, np.int64),
        room=Room(np.zeros(halls), np.zeros(halls), np.zeros(width), np.zeros(halls, np.bool_)),
        runs=Runs(
            order=np.zeros(size, np.int64),
            begun_ms=np.zeros(size, np.int64),
            row=np.zeros(size, np.int64),
            need=np.zeros((size, RESOURCES)),
            turn=np.zeros(size, np.int64),
        ),
        found=np.zeros(size, np.int64),
        taken=np.zeros(size, np.int64),
        tried=np.zeros(size, np.int64),
        may=np.zeros(width, np.bool_),
    )


@kernel
def keep_means(shares: Shares, to_ms: int) -> None:
    """Add what projects hold to what they held lately, for every whole step since it was done last."""
    every = shares.numbers[EVERY_MS]
    steps = (to_ms - shares.numbers[MEAN_AT_MS]) // every
    if steps <= 0:
        return
    passed_s, half_life_s = steps * every / 1000, shares.numbers[HALF_LIFE_MS] / 1000
    for p in range(shares.holds.shape[0]):
        for k in range(shares.holds.shape[1]):
            was, held = shares.lately[p, k], shares.holds[p, k]
            if was > 0 or held > 0:
                shares.lately[p, k] = _mean_after(was, held, passed_s, half_life_s)
    shares.numbers[MEAN_AT_MS] += steps * every


@kernel
def hold_more(shares: Shares, board: Board, j: int, times: float) -> None:
    """The project of `j` holds what it needs on its row that many times more."""
    job, p = board.jobs[j], shares.project[j]
    shares.holds[p, CORES] += times * job.cores
    shares.holds[p, MEMORY_GB] += times * job.memory_gb
    model = shares.model[job.row]
    if model >= 0:
        shares.holds[p, model] += times * job.devices


@kernel
def ran(shares: Shares, board: Board, j: int, begun_ms: int, now_ms: int, how: int) -> None:
    """A run ends before its time, while it holds its room: what it ran for does not count as waiting. One that was lost
    stands behind those that are ready already, as in the live network."""
    hold_more(shares, board, j, -1.0)
    shares.leaves_ms[j] = NOT_LEAVING
    shares.times[j] += how == ENDED_PREEMPTED
    shares.turn_ms[j] = now_ms if how == ENDED_LOST else min(now_ms, shares.turn_ms[j] + now_ms - begun_ms)


@kernel
def _over_quota(shares: Shares, board: Board, j: int, used: float, r: int) -> bool:
    """Whether a quota of its devices keeps the job from row `r`; `used` times what is held counts."""
    model = shares.model[r]
    if model < 0 or board.jobs[j].devices <= 0:
        return False
    p = shares.project[j]
    return _over(used * shares.holds[p, model], board.jobs[j].devices, shares.most[p, model])


@kernel
def barred(shares: Shares, board: Board, j: int, used: float) -> int:
    """Whether its project's quota keeps the job from no row that could run it (`FREE`), from `SOME`, or from `ALL`. With
    `used` 0: whatever else ends."""
    job, p = board.jobs[j], shares.project[j]
    if _over(used * shares.holds[p, CORES], job.cores, shares.most[p, CORES]):
        return ALL
    if _over(used * shares.holds[p, MEMORY_GB], job.memory_gb, shares.most[p, MEMORY_GB]):
        return ALL
    some = free = False
    for r in range(board.rows.shape[0]):
        if fits(board, j, r):
            if _over_quota(shares, board, j, used, r):
                some = True
            else:
                free = True
    return FREE if not some else SOME if free else ALL


@inlined
def _sort(shares: Shares, board: Board) -> None:
    """By priority, readiness and first turn: the queue is nearly in that order."""
    queue, order, turn, jobs = board.queue, shares.order, shares.turn_ms, board.jobs
    for n in range(1, board.counts[QUEUED]):
        j, at = queue[n], n
        while at > 0:
            i = queue[at - 1]
            if order[i] < order[j] or (
                order[i] == order[j] and (turn[i] < turn[j] or (turn[i] == turn[j] and jobs[i].rank < jobs[j].rank))
            ):  # fmt: skip
                break
            queue[at] = i
            at -= 1
        queue[at] = j


@inlined
def _open(shares: Shares, board: Board) -> None:
    """Shares as they are, nothing kept for anybody, and the queue in lines."""
    _sort(shares, board)
    for p in range(shares.share.shape[0]):
        shares.share[p] = _dominant(shares.holds[p], shares.lately[p], shares.whole, shares.weight[p])
    for n in range(board.counts[QUEUED]):
        j = board.queue[n]
        shares.line[0, n], shares.line[1, n], shares.line[2, n] = shares.order[j], shares.turn_ms[j], shares.project[j]
    shares.at[0] = shares.at[1] = shares.at[2] = 0
    shares.at[3] = -1
    for h in range(board.halls.shape[0]):
        board.halls[h].reserved = -1
    board.dirty[:] = 1


@inlined
def _own_row(shares: Shares, board: Board, j: int) -> int:
    """The nearest row that could run the job and that its project may ever use for it, or -1."""
    best, row = FAR, -1
    for r in range(board.rows.shape[0]):
        if fits(board, j, r) and not _over_quota(shares, board, j, 0.0, r):
            far = board.near[DELAY, board.jobs[j].place, r]
            if far < best:
                best, row = far, r
    return row


@inlined
def _bar(shares: Shares, board: Board, j: int) -> None:
    """Rows that a quota keeps the job from have no devices for it."""
    for r in range(board.rows.shape[0]):
        shares.devices[r] = board.rows[r].free_devices
        if _over_quota(shares, board, j, 1.0, r):
            board.rows[r].free_devices = -FAR


@inlined
def _unbar(shares: Shares, board: Board) -> None:
    for r in range(board.rows.shape[0]):
        board.rows[r].free_devices = shares.devices[r]


@inlined
def _leave(shares: Shares, board: Board) -> None:
    """What started or is held leaves the queue."""
    kept = 0
    for n in range(board.counts[QUEUED]):
        j = board.queue[n]
        if shares.gone[j] == 0:
            board.queue[kept] = j
            kept += 1
        shares.gone[j] = 0
    board.counts[QUEUED] = kept


@kernel
def look_in_turns(policy: int, backfill: bool, board: Board, shares: Shares, now_ms: int) -> None:
    """Start, hold or keep every queued job; started ones are in `board.started`."""
    _open(shares, board)
    total, open_halls, left = board.counts[QUEUED], board.halls.shape[0], DEPTH
    taking = shares.numbers[NOTICE_MS] >= 0 and board.counts[PAUSABLE] > 0
    shares.numbers[BLOCKED_COUNT] = 0
    at_home = policy in (NEAREST, WAIT_AWHILE)
    room, stale, place = True, True, 0
    while place < total:
        if stale:
            room, stale = any_room(board, backfill), False
        if not room and not (at_home and board.counts[UNSEEN] > 0) and not (taking and left > 0):
            break
        if place == shares.at[0]:
            _begin_priority(
                shares.line[0], shares.line[1], shares.line[2], shares.share, now_ms - shares.numbers[STARVED_MS],
                shares.after, shares.head, shares.heap, shares.at, place, total,
            )  # fmt: skip
        n = _next_turn(shares.share, shares.after, shares.head, shares.heap, shares.at, place)
        place += 1
        j = board.queue[n]
        bars = barred(shares, board, j, 1.0)
        if bars == ALL:
            continue
        chosen = BLOCKED
        if bars == SOME:
            _bar(shares, board, j)
        fresh = board.watch[j] == FRESH
        if fresh:
            board.watch[j] = ANY
            board.counts[UNSEEN] -= 1
            if at_home:
                board.jobs[j].aim_row = _own_row(shares, board, j)
        possible = at_home and fresh
        for r in range(board.rows.shape[0]):
            if possible:
                break
            possible = may_find_room(board, j, r, now_ms)
        if possible:
            chosen = choose(policy, board, j, now_ms, backfill)
        if chosen == BLOCKED and left > 0 and not waits_anyhow(policy, board, j, now_ms):
            shares.blocked[shares.numbers[BLOCKED_COUNT]] = j
            shares.numbers[BLOCKED_COUNT] += 1
            if open_halls > 0:
                held = reserve(board, j, board.jobs[j].aim_row if at_home else -1)
                if held >= 0:
                    open_halls -= 1
                    stale = True
        if bars == SOME:
            _unbar(shares, board)
        if chosen >= 0:
            take(board, j, chosen, now_ms)
            hold_more(shares, board, j, 1.0)
            p = shares.project[j]
            shares.share[p] = _dominant(shares.holds[p], shares.lately[p], shares.whole, shares.weight[p])
            board.started[board.counts[STARTED]] = j
            board.counts[STARTED] += 1
            shares.gone[j] = 1
            stale = True
        elif chosen == LATER and board.jobs[j].aim_ms > now_ms:
            board.held[board.counts[HELD]] = j
            board.counts[HELD] += 1
            shares.gone[j] = 1
        else:
            left -= 1
    _leave(shares, board)
    board.dirty[:] = 0
    board.counts[SINCE] += 1
    if board.counts[SINCE] >= OFTEN:
        board.counts[SINCE] = 0
        measure_least(board)


@inlined
def _gather(board: Board, shares: Shares, begun_ms: Ints, now_ms: int) -> int:
    """Runs that may be taken for others, into `shares.runs`; how many."""
    count, runs, found, numbers = 0, shares.runs, shares.found, shares.numbers
    for h in range(board.halls.shape[0]):
        hall = board.halls[h]
        for at in range(hall.first, hall.first + hall.busy):
            j = board.running[at]
            job = board.jobs[j]
            if job.interruptible == 0 or shares.leaves_ms[j] != NOT_LEAVING:
                continue
            if not may_be_taken(
                begun_ms[j], board.ends[at], shares.times[j], now_ms,
                numbers[NOTICE_MS], numbers[PROTECT_MS], numbers[MOST],
            ):  # fmt: skip
                continue
            found[count] = j
            runs.order[count], runs.begun_ms[count], runs.row[count] = shares.order[j], begun_ms[j], job.row
            runs.turn[count] = job.rank
            runs.need[count, CORES], runs.need[count, MEMORY_GB] = job.cores, job.memory_gb
            runs.need[count, DEVICES] = job.devices
            count += 1
    return count


@kernel
def take_room(board: Board, shares: Shares, begun_ms: Ints, now_ms: int) -> int:
    """Runs that are told to end for jobs that found no room, in `shares.found[:n]`; how many."""
    notice_ms = shares.numbers[NOTICE_MS]
    if notice_ms < 0 or shares.numbers[BLOCKED_COUNT] == 0 or board.counts[PAUSABLE] == 0:
        return 0
    count = _gather(board, shares, begun_ms, now_ms)
    least = -1
    for n in range(count):
        least = max(least, shares.runs.order[n])
    room = shares.room
    if count > 0:
        room_by(board, now_ms + notice_ms, room)
    for n in range(shares.numbers[BLOCKED_COUNT]):
        j = shares.blocked[n]
        if shares.order[j] >= least or barred(shares, board, j, 1.0) == ALL:
            continue  # Others of its project may have started behind it.
        for r in range(board.rows.shape[0]):
            may = fits(board, j, r) and not cut_off(board, j, r)
            shares.may[r] = may and not _over_quota(shares, board, j, 1.0, r)
        row = make_room(
            board, j, shares.order[j], now_ms, shares.may, room, shares.runs, shares.taken[:count], shares.tried[:count]
        )  # fmt: skip
        for k in range(count if row >= 0 else 0):
            if shares.taken[k] != 0:
                shares.leaves_ms[shares.found[k]] = now_ms + notice_ms
                shorten(board, shares.found[k], now_ms + notice_ms)
                shares.runs.order[k] = -1  # Nobody takes it again.
    told = 0
    for k in range(count):
        if shares.leaves_ms[shares.found[k]] != NOT_LEAVING:
            shares.found[told] = shares.found[k]
            told += 1
    return told
