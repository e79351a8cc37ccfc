"""One look through the queue: who starts where, who is held for a better hour, who has the next room reserved.

Owns the order of jobs and EASY backfill over several rows: the first job that finds no room has the row reserved where
it will have room soonest, and nothing behind it may delay it (Lifka 1995; Mu'alem and Feitelson 2001); the next one that
finds none reserves another row. Only rows that gained room since the last look, and jobs that are fresh, can have
changed; the others are passed over, with the same result.
"""

from __future__ import annotations

import numpy as np

from suanwang.scheduling.columns import Ints
from suanwang.scheduling.margins import DEPTH, SLACK
from suanwang.scheduling.policies import cheapest, greenest, joint, least_loaded, nearest, wait_awhile
from suanwang.scheduling.policies.board import (
    ANY,
    DELAY,
    FAR,
    FRESH,
    HELD,
    QUEUED,
    SINCE,
    STARTED,
    UNSEEN,
    Board,
)
from suanwang.scheduling.policies.compiled import allocating, inlined, kernel
from suanwang.scheduling.policies.joint import BLOCKED, LATER, patient
from suanwang.scheduling.policies.rooms import cut_off, fits, foresee, freer, may_find_room, may_start, take

LEAST_LOADED, CHEAPEST, GREENEST = least_loaded.CODE, cheapest.CODE, greenest.CODE
NEAREST, WAIT_AWHILE, JOINT = nearest.CODE, wait_awhile.CODE, joint.CODE
OFTEN = 16
_load, _price, _green = least_loaded.rank, cheapest.rank, greenest.rank
_jointly, _greenest_start = joint.choose, wait_awhile.greenest_start


@kernel
def own_row(board: Board, j: int) -> int:
    """The nearest row that could run the job, or -1."""
    best, row = FAR, -1
    for r in range(board.rows.shape[0]):
        if fits(board, j, r):
            far = board.near[DELAY, board.jobs[j].place, r]
            if far < best:
                best, row = far, r
    return row


@kernel
def _at_home(policy: int, board: Board, j: int, now_ms: int, backfill: bool) -> int:
    job = board.jobs[j]
    if board.watch[j] == FRESH:
        job.aim_row = own_row(board, j)
    row = job.aim_row
    if row < 0:
        return BLOCKED
    if policy == WAIT_AWHILE and job.aim_ms < 0:
        job.aim_ms = _greenest_start(board, j, row, now_ms)
        if job.aim_ms > now_ms:
            job.until_ms = job.aim_ms
            return LATER
    return row if may_start(board, j, row, now_ms, backfill) else BLOCKED


@inlined
def choose(policy: int, board: Board, j: int, now_ms: int, backfill: bool) -> int:
    """The row to start on now, `BLOCKED`, or `LATER` with `aim_row`, `aim_ms` and `until_ms` set."""
    job = board.jobs[j]
    if job.until_ms > now_ms:
        # It waits for room on one row, until the next step.
        return job.aim_row if may_start(board, j, job.aim_row, now_ms, backfill) else LATER
    if policy == JOINT:
        return _jointly(board, j, now_ms, backfill)
    if policy in (NEAREST, WAIT_AWHILE):
        return _at_home(policy, board, j, now_ms, backfill)
    best, row = FAR, BLOCKED
    for r in range(board.rows.shape[0]):
        if (board.watch[j] == FRESH or board.dirty[r] != 0) and may_start(board, j, r, now_ms, backfill):
            if policy == CHEAPEST:
                rank = _price(board, j, r, now_ms)
            elif policy == GREENEST:
                rank = _green(board, j, r, now_ms)
            else:
                rank = _load(board, j, r, now_ms)
            if rank < best:
                best, row = rank, r
    return row


@kernel
def waits_anyhow(policy: int, board: Board, j: int, now_ms: int) -> bool:
    """Whether no room is kept for the job where it finds none: it waits for one row that is full, or may wait. What was
    interrupted finds its room in its turn, as if it might not."""
    if policy != JOINT:
        return False
    return board.jobs[j].until_ms > now_ms or (board.interrupted[j] == 0 and patient(board, j, now_ms))


@inlined
def reserve(board: Board, j: int, only: int) -> int:
    """Keep the next room of the row where the job has it soonest, in halls that keep none yet; that hall, or -1."""
    soonest, chosen = 1 << 62, -1
    for r in range(board.rows.shape[0]):
        row = board.rows[r]
        hall = board.halls[row.hall]
        if hall.reserved >= 0 or row.awake == 0 or (only >= 0 and r != only) or not fits(board, j, r):
            continue
        if cut_off(board, j, r):
            continue  # Room is no use to it, and would stand empty for nobody knows how long.
        shadow, cores, memory_gb, devices = foresee(board, j, r)
        if 0 <= shadow < soonest:
            soonest, chosen = shadow, row.hall
            hall.reserved_row, hall.shadow_ms = r, shadow
            hall.extra_cores, hall.extra_memory_gb, hall.extra_devices = cores, memory_gb, devices
    if chosen >= 0:
        board.halls[chosen].reserved = j
    return chosen


@inlined
def _loosened(board: Board, j: int, h: int) -> bool:
    """Whether hall `h`, now kept for `j`, leaves those behind more room than it did before."""
    hall = board.halls[h]
    if hall.was_reserved < 0:
        return False  # Nothing was kept there, so nothing can have become looser.
    return (
        hall.was_reserved != j
        or hall.reserved_row != hall.was_row
        or hall.shadow_ms > hall.was_shadow_ms
        or hall.extra_cores > hall.was_extra_cores + SLACK
        or hall.extra_memory_gb > hall.was_extra_memory_gb + SLACK
        or hall.extra_devices > hall.was_extra_devices + SLACK
    )


@inlined
def any_room(board: Board, backfill: bool) -> bool:
    """Whether a row that gained room has enough for the least that any queued job needs."""
    for r in range(board.rows.shape[0]):
        row = board.rows[r]
        hall = board.halls[row.hall]
        if (
            board.dirty[r] != 0
            and (backfill or hall.reserved < 0)
            and hall.free_cores + SLACK >= board.least[0]
            and hall.free_memory_gb + SLACK >= board.least[1]
            and row.free_devices + SLACK >= board.least[2]
        ):
            return True
    return False


@inlined
def _most_cores(board: Board) -> float:
    """No row that gained room has more cores free."""
    most = -FAR
    for r in range(board.rows.shape[0]):
        if board.dirty[r] != 0:
            most = max(most, board.halls[board.rows[r].hall].free_cores)
    return most + SLACK


@inlined
def _open_halls(board: Board, begin: int) -> int:
    """Halls that keep nothing for anybody; all of them where the queue is looked through from its front."""
    found = 0
    for h in range(board.halls.shape[0]):
        hall = board.halls[h]
        if begin == 0:
            hall.was_reserved, hall.was_row, hall.was_shadow_ms = hall.reserved, hall.reserved_row, hall.shadow_ms
            hall.was_extra_cores, hall.was_extra_memory_gb = hall.extra_cores, hall.extra_memory_gb
            hall.was_extra_devices = hall.extra_devices
            hall.reserved = -1
        if hall.reserved < 0:
            found += 1
    return found


@kernel
def look_through(policy: int, backfill: bool, begin: int, board: Board, now_ms: int) -> None:
    """Start, hold or keep every queued job from place `begin` of the queue on; started ones are in `board.started`.

    `begin` is 0 unless nothing but fresh jobs at the queue's end has changed.
    """
    total, width = board.counts[QUEUED], board.rows.shape[0]
    jobs, rows, halls = board.jobs, board.rows, board.halls
    queue, watch, dirty, cores = board.queue, board.watch, board.dirty, board.cores
    open_halls = _open_halls(board, begin)
    unseen = board.counts[UNSEEN]
    holders = 0
    if begin == 0:
        for h in range(halls.shape[0]):
            holders += halls[h].was_reserved >= 0
    at_home = policy in (NEAREST, WAIT_AWHILE)
    deep = total if at_home else DEPTH
    kept = i = begin
    stale = True
    room = True
    most = _most_cores(board)
    while i < total:
        if unseen == 0 and (open_halls == 0 or kept >= deep):
            if stale:
                room, stale = any_room(board, backfill), False
            if holders == 0:
                if not room:
                    break
                # Nothing is kept for anybody any more: on to the next that may find room.
                while i < total and (cores[queue[i]] > most or (watch[queue[i]] >= 0 and dirty[watch[queue[i]]] == 0)):
                    queue[kept] = queue[i]
                    kept += 1
                    i += 1
                if i == total:
                    break
        j = queue[i]
        job = jobs[j]
        i += 1
        only = watch[j]
        possible = only == FRESH
        if room and not possible and cores[j] <= most and (only < 0 or dirty[only] != 0):
            for r in range(max(only, 0), only + 1 if only >= 0 else width):
                if dirty[r] != 0 and may_find_room(board, j, r, now_ms):
                    possible = True
        chosen, waits = BLOCKED, False
        if possible:
            unseen -= only == FRESH
            chosen = choose(policy, board, j, now_ms, backfill)
            watch[j] = job.aim_row if at_home or chosen == LATER else ANY
            stale = stale or chosen >= 0
        if chosen >= 0:
            take(board, j, chosen, now_ms)
            board.started[board.counts[STARTED]] = j
            board.counts[STARTED] += 1
        elif chosen == LATER and job.aim_ms > now_ms:
            board.held[board.counts[HELD]] = j
            board.counts[HELD] += 1
        else:
            waits = (
                open_halls > 0
                and kept < deep
                and (watch[j] < 0 or (at_home and halls[rows[watch[j]].hall].reserved < 0))
            )
            queue[kept] = j
            kept += 1
        kept_before = False
        if holders > 0:
            for h in range(halls.shape[0]):
                if halls[h].was_reserved == j:
                    kept_before = True
                    holders -= 1
        if waits or kept_before:
            open_halls -= _keep_room(policy, board, j, begin, now_ms, waits)
            stale = True
            room = True
            most = _most_cores(board)
    if kept != i:
        while i < total:
            queue[kept] = queue[i]
            kept += 1
            i += 1
        board.counts[QUEUED] = kept
    dirty[:] = 0
    board.counts[SINCE] += 1
    board.counts[UNSEEN] = unseen
    if begin == 0 and i >= total and board.counts[SINCE] >= OFTEN:
        board.counts[SINCE] = 0
        measure_least(board)


@inlined
def _keep_room(policy: int, board: Board, j: int, begin: int, now_ms: int, waits: bool) -> int:
    """Reserve the next room for a job that stays in the queue; 1 where a hall is kept for it. Marks rows as dirty that
    the jobs behind find freer than before."""
    held = -1
    if waits and not waits_anyhow(policy, board, j, now_ms):
        only = board.jobs[j].aim_row if policy in (NEAREST, WAIT_AWHILE) else -1
        held = reserve(board, j, only)
    if begin == 0:
        for h in range(board.halls.shape[0]):
            if board.halls[h].was_reserved == j and held != h:
                freer(board, h)
        if held >= 0 and _loosened(board, j, held):
            freer(board, held)
    return 1 if held >= 0 else 0


@inlined
def measure_least(board: Board) -> None:
    """The least needs in the queue, anew: between two measurements they may only be less than they are."""
    cores = memory_gb = devices = FAR
    for n in range(board.counts[QUEUED]):
        job = board.jobs[board.queue[n]]
        cores, memory_gb, devices = min(cores, job.cores), min(memory_gb, job.memory_gb), min(devices, job.devices)
    board.least[0], board.least[1], board.least[2] = cores, memory_gb, devices


@allocating
def enqueue_all(board: Board, jobs: Ints) -> None:
    """Put many fresh jobs in their turns."""
    queue, count = board.queue, board.counts[QUEUED]
    total = count + jobs.shape[0]
    queue[count:total] = jobs
    ranks = np.empty(total, np.int64)
    for n in range(total):
        ranks[n] = board.jobs[queue[n]].rank
    queue[:total] = queue[:total][np.argsort(ranks)]
    board.counts[QUEUED] = total
    for j in jobs:
        board.watch[j] = FRESH
    board.counts[UNSEEN] += jobs.shape[0]
    measure_least(board)


@inlined
def enqueue(board: Board, j: int) -> bool:
    """Put a fresh job in its turn; True where that is the end of the queue."""
    jobs, queue = board.jobs, board.queue
    at = board.counts[QUEUED]
    last = at == 0 or jobs[queue[at - 1]].rank < jobs[j].rank
    while at > 0 and jobs[queue[at - 1]].rank > jobs[j].rank:
        queue[at] = queue[at - 1]
        at -= 1
    queue[at] = j
    board.counts[QUEUED] += 1
    board.watch[j] = FRESH
    board.counts[UNSEEN] += 1
    board.least[0] = min(board.least[0], jobs[j].cores)
    board.least[1] = min(board.least[1], jobs[j].memory_gb)
    board.least[2] = min(board.least[2], jobs[j].devices)
    return last
