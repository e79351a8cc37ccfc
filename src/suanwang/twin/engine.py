"""The engine: plays jobs on rows over a virtual clock, with the policies of the live network.

Owns the order of events and what faults do. At one instant: ends, faults, arrivals, then steps of the outlook, then one
look through the queue. What runs is written down as segments; money, energy and carbon are reckoned from them afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from suanwang.scheduling.columns import (
    ENDED_DONE,
    ENDED_LIMIT,
    ENDED_LOST,
    ENDED_OPEN,
    ENDED_PREEMPTED,
    ENDED_SUSPENDED,
    NEVER_MS,
    Bools,
    Ints,
    JobColumns,
    Outlook,
    RowColumns,
    Segments,
    Sharing,
    Ways,
    direct,
)
from suanwang.scheduling.policies import Policy, joint
from suanwang.scheduling.policies.board import (
    AGAIN_MS,
    FRESH,
    HELD,
    PAUSABLE,
    QUEUED,
    STARTED,
    TRANSFER_MS,
    TRANSFER_YUAN,
    UNSEEN,
    WAY,
    WAY_MS,
    Board,
    board_for,
)
from suanwang.scheduling.policies.compiled import allocating, inlined, kernel
from suanwang.scheduling.policies.passing import enqueue, enqueue_all, look_through
from suanwang.scheduling.policies.reckoning import next_step_ms, transfer_ms
from suanwang.scheduling.policies.rooms import fits, freer, give_back
from suanwang.scheduling.policies.sharing import (
    ALL,
    NOT_LEAVING,
    ON,
    Shares,
    barred,
    hold_more,
    keep_means,
    look_in_turns,
    ran,
    shares_for,
    take_room,
)
from suanwang.twin.sound import check, check_sharing

WAITING, RUNNING, ENDED, REFUSED = 0, 1, 2, 3
JOINT, _pauses, _patient = joint.CODE, joint.pauses, joint.patient


class Truth(NamedTuple):
    """`[j]`: what policies may not see."""

    run_ms: Ints
    """How long the job really takes at a row of slowness 1, without its data's way."""
    checkpoint_ms: Ints
    """It keeps what it did up to the last multiple of this; 0 where it begins anew."""
    resume_ms: Ints
    """Added to a run that takes up again."""


class Faults(NamedTuple):
    """`[f]`, by `at_ms`: a row loses a share of its capacity, or has it back; a link is cut; data of a place come to a row by
    another way. Links that are cut stand before the ways that follow from it."""

    at_ms: Ints
    row: Ints
    """Or the link that is cut, where `place` is `LINK`."""
    share: Ints
    """Parts in a million of the row's capacity; negative when they come back. A million is the whole row."""
    place: Ints
    """`ROW`, `LINK`, or whose data take another way to the row."""
    way: Ints
    """That way, of the play's; -1 where none is left."""

    @property
    def rows(self) -> Ints:
        """Those that are named: of all but cut links."""
        found: Ints = self.row[self.place != LINK]
        return found


ROW, LINK = -1, -2
NO_FAULTS = Faults(*(np.zeros(0, np.int64) for _ in range(5)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """What came of a play. `[j]` unless said."""

    segments: Segments
    first_start_ms: Ints
    """-1 for jobs that never started, as in the next."""
    end_ms: Ints
    """When it ended for good; -1 while it has not."""
    state: Ints
    """`WAITING`, `RUNNING`, `ENDED` or `REFUSED` (no row could ever run it) where the play stops."""
    limited: Bools
    """Stopped at its limit."""
    passes: int
    """How often the queue was looked through."""


class _Book(NamedTuple):
    """What the loop writes down."""

    counts: Ints
    """Segments written, then passes."""
    job: Ints
    row: Ints
    start_ms: Ints
    end_ms: Ints
    how: Ints
    way: Ints
    begun_ms: Ints
    """`[j]`: of the present segment."""
    comes_by: Ints
    """`[j]`: the way of its data, -1 where it has none."""
    way_ms: Ints
    """`[j]`: how long they take, whatever happens to links that they do not cross."""
    first_ms: Ints
    over_ms: Ints
    state: Ints
    number: Ints
    """`[j]`: of its present start: an end that belongs to an earlier one is void."""


class _Heap(NamedTuple):
    """Ends to come, the soonest first; equal instants by job."""

    size: Ints
    at_ms: Ints
    job: Ints
    number: Ints


def play(
    jobs: JobColumns,
    truth: Truth,
    rows: RowColumns,
    allowed: Bools,
    outlook: Outlook,
    policy: Policy,
    *,
    faults: Faults = NO_FAULTS,
    ways: Ways | None = None,
    sharing: Sharing | None = None,
    until_ms: int = NEVER_MS,
    anew: bool = False,
) -> Played:
    """Play `jobs` to their end, or to `until_ms`. `allowed[kind, r]` says where each kind of job may run at all.

    `ways` are those that `faults` name; without any, each place has a link of its own to each row. With `sharing` projects
    take turns, and none has more than its quota. `anew` looks at every queued job and every row each time, as the live
    network does: slower, and the same result.

    Raises `InvalidRequest` where columns do not fit together.
    """
    ways = direct(rows) if ways is None else ways
    check(jobs, truth, rows, allowed, outlook, faults, ways)
    if sharing is not None:
        check_sharing(sharing, len(jobs.ready_ms), len(rows.site))
    count = len(jobs.ready_ms)
    board, shares = board_for(jobs, rows, allowed, outlook), shares_for(sharing, jobs, rows)
    for layer, values in ((WAY_MS, ways.delay_ms), (TRANSFER_MS, ways.ms_per_gb), (TRANSFER_YUAN, ways.yuan_per_gb)):
        board.near[layer] = values[ways.first]
    board.near[WAY] = ways.first
    room = 2 * count + 1024
    heap = _Heap(np.zeros(1, np.int64), *(np.zeros(2 * count + 1024, np.int64) for _ in range(3)))
    arrivals = np.lexsort((board.jobs["rank"], jobs.ready_ms)).astype(np.int64)
    at = np.zeros(3, np.int64)
    at[2] = jobs.ready_ms[arrivals[0]] if count else 0
    book = _Book(
        counts=np.zeros(2, np.int64),
        job=np.zeros(room, np.int64),
        row=np.zeros(room, np.int64),
        start_ms=np.zeros(room, np.int64),
        end_ms=np.zeros(room, np.int64),
        how=np.zeros(room, np.int64),
        way=np.zeros(room, np.int64),
        begun_ms=np.full(count, -1, np.int64),
        comes_by=np.full(count, -1, np.int64),
        way_ms=np.zeros(count, np.int64),
        first_ms=np.full(count, -1, np.int64),
        over_ms=np.full(count, -1, np.int64),
        state=np.zeros(count, np.int64),
        number=np.zeros(count, np.int64),
    )
    while not _play(
        policy.code, policy.backfill, policy.looks_ahead, anew, until_ms, arrivals, at,
        truth, faults, ways, board, shares, heap, book,
    ):  # fmt: skip
        # A list is full: many suspensions or faults.
        book = book._replace(
            **{name: _longer(getattr(book, name)) for name in ("job", "row", "start_ms", "end_ms", "how", "way")}
        )
        heap = heap._replace(**{name: _longer(getattr(heap, name)) for name in ("at_ms", "job", "number")})
    n = int(book.counts[0])
    written = (book.job, book.row, book.start_ms, book.end_ms, book.how, book.way)
    ended = Segments(*(column[:n].copy() for column in written))
    limited = np.zeros(count, np.bool_)
    limited[ended.job[ended.how == ENDED_LIMIT]] = True
    return Played(
        segments=ended,
        first_start_ms=book.first_ms,
        end_ms=book.over_ms,
        state=book.state,
        limited=limited,
        passes=int(book.counts[1]),
    )


def _longer(column: Ints) -> Ints:
    return np.concatenate((column, np.zeros_like(column)))


@inlined
def _push(heap: _Heap, at_ms: int, job: int, number: int) -> None:
    n = heap.size[0]
    heap.size[0] = n + 1
    while n > 0:
        up = (n - 1) >> 1
        if heap.at_ms[up] < at_ms or (heap.at_ms[up] == at_ms and heap.job[up] <= job):
            break
        heap.at_ms[n], heap.job[n], heap.number[n] = heap.at_ms[up], heap.job[up], heap.number[up]
        n = up
    heap.at_ms[n], heap.job[n], heap.number[n] = at_ms, job, number


@inlined
def _pop(heap: _Heap) -> None:
    n = heap.size[0] - 1
    heap.size[0] = n
    at_ms, job, number = heap.at_ms[n], heap.job[n], heap.number[n]
    i = 0
    while True:
        down = 2 * i + 1
        if down >= n:
            break
        if down + 1 < n and (
            heap.at_ms[down + 1] < heap.at_ms[down]
            or (heap.at_ms[down + 1] == heap.at_ms[down] and heap.job[down + 1] < heap.job[down])
        ):
            down += 1
        if at_ms < heap.at_ms[down] or (at_ms == heap.at_ms[down] and job <= heap.job[down]):
            break
        heap.at_ms[i], heap.job[i], heap.number[i] = heap.at_ms[down], heap.job[down], heap.number[down]
        i = down
    heap.at_ms[i], heap.job[i], heap.number[i] = at_ms, job, number


@inlined
def _write(book: _Book, board: Board, j: int, now_ms: int, how: int) -> None:
    n = book.counts[0]
    book.job[n], book.row[n], book.how[n], book.way[n] = j, board.jobs[j].row, how, book.comes_by[j]
    book.start_ms[n], book.end_ms[n] = book.begun_ms[j], now_ms
    book.counts[0] = n + 1


@kernel
def _stop(truth: Truth, board: Board, shares: Shares, book: _Book, j: int, now_ms: int, how: int) -> None:
    """A run ends before its time; what it may keep is kept."""
    job = board.jobs[j]
    idle = book.way_ms[j] + (truth.resume_ms[j] if job.done_ms > 0 else 0)
    did = max(0, int((now_ms - book.begun_ms[j] - idle) / board.rows[job.row].slowness))
    every = truth.checkpoint_ms[j]
    if how == ENDED_LOST:
        did = max(0, ((job.done_ms + did) // every) * every - job.done_ms) if every > 0 else 0
    if job.done_ms == 0 and did > 0:
        job.limit_ms += truth.resume_ms[j]  # Taking up again is not the job's own time.
    job.done_ms += did
    _write(book, board, j, now_ms, how)
    board.interrupted[j] += how != ENDED_LOST
    if shares.numbers[ON] != 0:
        ran(shares, board, j, book.begun_ms[j], now_ms, how)
        if how == ENDED_PREEMPTED:
            job.limit_ms += did  # Its next run may last as long again, as in the live network.
    give_back(board, j)
    book.number[j] += 1
    book.state[j] = WAITING


@inlined
def _start(truth: Truth, board: Board, shares: Shares, heap: _Heap, book: _Book, now_ms: int) -> None:
    """Give every job that the look started its end."""
    for n in range(board.counts[STARTED]):
        j = board.started[n]
        job = board.jobs[j]
        left = int((truth.run_ms[j] - job.done_ms) * board.rows[job.row].slowness)
        if job.done_ms > 0:
            left += truth.resume_ms[j]
        book.way_ms[j] = transfer_ms(board, j, job.row)
        book.comes_by[j] = int(board.near[WAY, job.place, job.row]) if job.data_gb > 0 else -1
        left = max(0, min(left, job.limit_ms - job.done_ms)) + book.way_ms[j]
        book.begun_ms[j] = now_ms
        if book.first_ms[j] < 0:
            book.first_ms[j] = now_ms
        book.state[j] = RUNNING
        if shares.numbers[ON] != 0:
            shares.until_ms[j] = now_ms + left
        _push(heap, now_ms + left, j, book.number[j])
    board.counts[STARTED] = 0


@inlined
def _end(truth: Truth, board: Board, shares: Shares, book: _Book, j: int, now_ms: int) -> None:
    job = board.jobs[j]
    whole = int((truth.run_ms[j] - job.done_ms) * board.rows[job.row].slowness)
    again = truth.resume_ms[j] if job.done_ms > 0 else 0
    _write(book, board, j, now_ms, ENDED_LIMIT if whole + again > job.limit_ms - job.done_ms else ENDED_DONE)
    if shares.numbers[ON] != 0:
        hold_more(shares, board, j, -1.0)
        shares.leaves_ms[j] = NOT_LEAVING
        book.number[j] += 1  # It may have been told to end, too.
    give_back(board, j)
    book.state[j] = ENDED
    book.over_ms[j] = now_ms


@kernel
def _fault(truth: Truth, board: Board, shares: Shares, book: _Book, r: int, share: int, now_ms: int) -> None:
    """Capacity goes or comes back; what no longer has room is lost, the last started first."""
    row = board.rows[r]
    hall = board.halls[row.hall]
    hall.free_cores -= row.cores * (share / 1_000_000)
    hall.free_memory_gb -= row.memory_gb * (share / 1_000_000)
    row.free_devices -= row.devices * (share / 1_000_000)
    if share < 0:
        freer(board, row.hall)
    while hall.busy > 0 and (hall.free_cores < -1e-6 or hall.free_memory_gb < -1e-6 or row.free_devices < -1e-6):
        last, chosen = -1, -1
        for n in range(hall.first, hall.first + hall.busy):
            j = board.running[n]
            if board.jobs[j].row != r and hall.free_cores >= -1e-6 and hall.free_memory_gb >= -1e-6:
                continue  # Devices alone are short, and it has none of these.
            begun = book.begun_ms[j]
            if begun > last or (begun == last and board.jobs[j].rank > board.jobs[chosen].rank):
                last, chosen = begun, j
        _stop(truth, board, shares, book, chosen, now_ms, ENDED_LOST)
        enqueue(board, chosen)


@kernel
def _cut(truth: Truth, ways: Ways, board: Board, shares: Shares, book: _Book, link: int, now_ms: int) -> None:
    """Data under way over the link are lost with it, and their jobs start again, here or elsewhere."""
    for h in range(board.halls.shape[0]):
        hall = board.halls[h]
        n = hall.first
        while n < hall.first + hall.busy:
            j = board.running[n]
            crosses = False
            if now_ms < book.begun_ms[j] + book.way_ms[j]:
                for k in range(ways.links.shape[1]):
                    crosses = crosses or ways.links[book.comes_by[j], k] == link
            if crosses:
                _stop(truth, board, shares, book, j, now_ms, ENDED_LOST)
                enqueue(board, j)
            else:
                n += 1


@inlined
def _reroute(ways: Ways, board: Board, place: int, r: int, way: int) -> None:
    """Data that set out from now on take another way; what is under way goes on by its own."""
    near = board.near
    near[WAY, place, r] = way
    if way >= 0:
        near[WAY_MS, place, r], near[TRANSFER_MS, place, r] = ways.delay_ms[way], ways.ms_per_gb[way]
        near[TRANSFER_YUAN, place, r] = ways.yuan_per_gb[way]
        freer(board, board.rows[r].hall)


@kernel
def _look_again(board: Board, now_ms: int) -> None:
    """Queued jobs that waited for a full row until now are decided anew."""
    again_ms = NEVER_MS
    for n in range(board.counts[QUEUED]):
        j = board.queue[n]
        until_ms = board.jobs[j].until_ms
        if until_ms > now_ms:
            again_ms = min(again_ms, until_ms)
        elif until_ms >= 0 and board.watch[j] != FRESH:
            board.watch[j] = FRESH
            board.counts[UNSEEN] += 1
    board.counts[AGAIN_MS] = again_ms


@allocating
def _step(policy: int, truth: Truth, board: Board, shares: Shares, book: _Book, now_ms: int) -> None:
    """A step of the outlook begins: held jobs are looked at again, and running ones that may be paused."""
    kept, held = 0, board.counts[HELD]
    woken = np.empty(held, np.int64)
    for n in range(held):
        j = board.held[n]
        if board.jobs[j].until_ms <= now_ms:
            woken[n - kept] = j
        else:
            board.held[kept] = j
            kept += 1
    board.counts[HELD] = kept
    if kept < held:
        enqueue_all(board, woken[: held - kept])
    if policy != JOINT or board.counts[PAUSABLE] == 0:
        return
    for h in range(board.halls.shape[0]):
        hall = board.halls[h]
        n = hall.first
        while n < hall.first + hall.busy:
            j = board.running[n]
            job = board.jobs[j]
            idle = book.way_ms[j] + (truth.resume_ms[j] if job.done_ms > 0 else 0)
            did = max(0, int((now_ms - book.begun_ms[j] - idle) / board.rows[job.row].slowness))
            job.done_ms += did
            leaving = shares.numbers[ON] != 0 and shares.leaves_ms[j] != NOT_LEAVING
            pausing = not leaving and _pauses(board, j, now_ms)
            job.done_ms -= did
            if pausing:
                _stop(truth, board, shares, book, j, now_ms, ENDED_SUSPENDED)
                if board.jobs[j].aim_ms > now_ms:
                    board.held[board.counts[HELD]] = j
                    board.counts[HELD] += 1
                else:
                    enqueue(board, j)
            else:
                n += 1


@inlined
def _arrive(board: Board, shares: Shares, book: _Book, j: int) -> bool:
    """True where nothing but the queue's end has changed."""
    if shares.numbers[ON] != 0 and barred(shares, board, j, 0.0) == ALL:
        book.state[j] = REFUSED  # More than its project may ever have.
        return True
    for r in range(board.rows.shape[0]):
        if fits(board, j, r):
            return enqueue(board, j)
    book.state[j] = REFUSED
    return True


@kernel
def _hopeless(board: Board, faults: Faults, told: int, now_ms: int) -> bool:
    """Whether nothing will start any more though nothing runs: no row comes back, and nobody waits for a better hour."""
    for n in range(board.counts[QUEUED]):
        j = board.queue[n]
        if told < faults.at_ms.shape[0] or board.jobs[j].until_ms > now_ms or _patient(board, j, now_ms):
            return False
    return True


@kernel
def _play(
    policy: int, backfill: bool, looks_ahead: bool, anew: bool, until_ms: int, arrivals: Ints, at: Ints, truth: Truth,
    faults: Faults, ways: Ways, board: Board, shares: Shares, heap: _Heap, book: _Book,
) -> bool:  # fmt: skip
    """Play on from where `at` stands: arrivals and faults taken, and the instant reached. False where a list has no room
    for what one instant may bring."""
    count, width = arrivals.shape[0], board.halls.shape[0]
    in_turns = shares.numbers[ON] != 0
    while True:
        running = 0
        for h in range(width):
            running += board.halls[h].busy
        if book.counts[0] + running >= book.job.shape[0] or heap.size[0] + count >= heap.at_ms.shape[0]:
            return False
        waiting = board.counts[QUEUED] + board.counts[HELD]
        now = until_ms
        if at[0] < count:
            now = min(now, board.jobs[arrivals[at[0]]].ready_ms)
        while heap.size[0] > 0 and book.number[heap.job[0]] != heap.number[0]:
            _pop(heap)
        if heap.size[0] > 0:
            now = min(now, heap.at_ms[0])
        if at[1] < faults.at_ms.shape[0] and (waiting > 0 or running > 0 or at[0] < count):
            now = min(now, max(faults.at_ms[at[1]], at[2]))
        stepping = looks_ahead and (waiting > 0 or (policy == JOINT and board.counts[PAUSABLE] > 0))
        if stepping:
            now = min(now, next_step_ms(board, at[2]), board.counts[AGAIN_MS])
        if now >= until_ms:
            break
        at[2] = now
        begin = waiting - board.counts[HELD]
        if in_turns:
            keep_means(shares, now - 1)
        while heap.size[0] > 0 and heap.at_ms[0] == now:
            j, current = heap.job[0], book.number[heap.job[0]] == heap.number[0]
            _pop(heap)
            if current and in_turns and shares.leaves_ms[j] == now and shares.until_ms[j] > now:
                _stop(truth, board, shares, book, j, now, ENDED_PREEMPTED)
                enqueue(board, j)
                begin = 0
            elif current:
                _end(truth, board, shares, book, j, now)
                begin = 0
        while at[1] < faults.at_ms.shape[0] and faults.at_ms[at[1]] <= now:
            row, place, share = faults.row[at[1]], faults.place[at[1]], faults.share[at[1]]
            if place == ROW:
                _fault(truth, board, shares, book, row, share, now)
            elif place == LINK:
                _cut(truth, ways, board, shares, book, row, now)
            else:
                _reroute(ways, board, place, row, faults.way[at[1]])
            at[1] += 1
            begin = 0
        while at[0] < count and board.jobs[arrivals[at[0]]].ready_ms == now:
            if not _arrive(board, shares, book, arrivals[at[0]]):
                begin = 0
            at[0] += 1
        stepping = stepping and (now - board.clock[0]) % board.clock[2] == 0
        if stepping or board.counts[AGAIN_MS] <= now:
            _look_again(board, now)
            begin = 0
        if stepping:
            _step(policy, truth, board, shares, book, now)
            begin = 0
        if anew:
            begin = 0
            board.dirty[:] = 1
        if in_turns:
            keep_means(shares, now)
        if in_turns and board.counts[QUEUED] > 0:
            look_in_turns(policy, backfill, board, shares, now)
            book.counts[1] += 1
            _start(truth, board, shares, heap, book, now)
            for n in range(take_room(board, shares, book.begun_ms, now)):
                j = shares.found[n]
                _push(heap, shares.leaves_ms[j], j, book.number[j])
        elif board.counts[QUEUED] > 0:
            look_through(policy, backfill, begin, board, now)
            book.counts[1] += 1
            _start(truth, board, shares, heap, book, now)
        else:
            board.dirty[:] = 0
            for h in range(width):
                board.halls[h].reserved = -1
        if at[0] == count and heap.size[0] == 0 and board.counts[HELD] == 0 and _hopeless(board, faults, at[1], now):
            break
    for h in range(width):
        for n in range(board.halls[h].first, board.halls[h].first + board.halls[h].busy):
            _write(book, board, board.running[n], until_ms, ENDED_OPEN)
    return True
