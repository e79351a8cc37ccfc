"""Whether a job may start on a row now, and taking and giving back its room."""

from __future__ import annotations

from suanwang.scheduling.margins import SLACK
from suanwang.scheduling.policies.board import PAUSABLE, WAY, Board
from suanwang.scheduling.policies.compiled import inlined, kernel
from suanwang.scheduling.policies.reckoning import transfer_ms


@inlined
def fits(board: Board, j: int, r: int) -> bool:
    """Whether the row, empty, could run the job at all."""
    job, row = board.jobs[j], board.rows[r]
    return (
        board.allowed[job.kind, r]
        and job.cores <= row.cores + SLACK
        and job.memory_gb <= row.memory_gb + SLACK
        and job.devices <= row.devices + SLACK
    )


@inlined
def has_room(board: Board, j: int, r: int) -> bool:
    job, row = board.jobs[j], board.rows[r]
    hall = board.halls[row.hall]
    return (
        row.awake != 0
        and job.cores <= hall.free_cores + SLACK
        and job.memory_gb <= hall.free_memory_gb + SLACK
        and job.devices <= row.free_devices + SLACK
    )


@inlined
def cut_off(board: Board, j: int, r: int) -> bool:
    """Whether the job has data that no way leads to the row now. When one does again, nobody knows."""
    job = board.jobs[j]
    return job.data_gb > 0 and board.near[WAY, job.place, r] < 0


@inlined
def latest_end_ms(board: Board, j: int, r: int, now_ms: int) -> int:
    """When a run that starts now is over at the latest."""
    job = board.jobs[j]
    return now_ms + transfer_ms(board, j, r) + max(1, job.limit_ms - job.done_ms)


@inlined
def may_start(board: Board, j: int, r: int, now_ms: int, backfill: bool) -> bool:
    """Room now, and no delay for the job that waits there in front: over before it begins, or beside it."""
    job = board.jobs[j]
    if not board.allowed[job.kind, r] or not has_room(board, j, r) or cut_off(board, j, r):
        return False
    hall = board.halls[board.rows[r].hall]
    if hall.reserved < 0:
        return True
    if not backfill:
        return False
    if latest_end_ms(board, j, r, now_ms) <= hall.shadow_ms:
        return True
    return (
        job.cores <= hall.extra_cores + SLACK
        and job.memory_gb <= hall.extra_memory_gb + SLACK
        and (hall.reserved_row != r or job.devices <= hall.extra_devices + SLACK)
    )


@inlined
def may_find_room(board: Board, j: int, r: int, now_ms: int) -> bool:
    """What `may_start` asks, in short, for what is asked of every queued job: false only where that is."""
    job, row = board.jobs[j], board.rows[r]
    hall = board.halls[row.hall]
    return (
        job.cores <= hall.free_cores + SLACK
        and job.devices <= row.free_devices + SLACK
        and job.memory_gb <= hall.free_memory_gb + SLACK
        and (
            hall.reserved < 0
            or now_ms + job.limit_ms - job.done_ms <= hall.shadow_ms
            or (job.cores <= hall.extra_cores + SLACK and job.memory_gb <= hall.extra_memory_gb + SLACK)
        )
    )


@inlined
def take(board: Board, j: int, r: int, now_ms: int) -> None:
    """The job holds its room from now on."""
    job, row = board.jobs[j], board.rows[r]
    hall = board.halls[row.hall]
    end = latest_end_ms(board, j, r, now_ms)
    if hall.reserved >= 0 and end > hall.shadow_ms:
        hall.extra_cores -= job.cores
        hall.extra_memory_gb -= job.memory_gb
        if hall.reserved_row == r:
            hall.extra_devices -= job.devices
    hold(board, j, r, end)
    board.counts[PAUSABLE] += job.interruptible


@inlined
def hold(board: Board, j: int, r: int, end_ms: int) -> None:
    """The job is among those that run on the row, until `end_ms` at the latest."""
    job, ends, running = board.jobs[j], board.ends, board.running
    hall = board.halls[board.rows[r].hall]
    occupy(board, j, r)
    at = hall.first + hall.busy
    while at > hall.first and ends[at - 1] > end_ms:
        ends[at], running[at] = ends[at - 1], running[at - 1]
        at -= 1
    ends[at], running[at] = end_ms, j
    job.end_ms = end_ms
    hall.busy += 1


@inlined
def occupy(board: Board, j: int, r: int) -> None:
    job, row = board.jobs[j], board.rows[r]
    hall = board.halls[row.hall]
    hall.free_cores -= job.cores
    hall.free_memory_gb -= job.memory_gb
    row.free_devices -= job.devices
    job.row = r


@inlined
def give_back(board: Board, j: int) -> None:
    """The job's room is free again."""
    job = board.jobs[j]
    row = board.rows[job.row]
    hall = board.halls[row.hall]
    ends, running = board.ends, board.running
    at, last = hall.first, hall.first + hall.busy - 1
    high = last
    while at < high:
        middle = (at + high) // 2
        if ends[middle] < job.end_ms:
            at = middle + 1
        else:
            high = middle
    while running[at] != j:
        at += 1
    while at < last:
        ends[at], running[at] = ends[at + 1], running[at + 1]
        at += 1
    hall.busy -= 1
    board.counts[PAUSABLE] -= job.interruptible
    hall.free_cores += job.cores
    hall.free_memory_gb += job.memory_gb
    row.free_devices += job.devices
    freer(board, row.hall)


@kernel
def shorten(board: Board, j: int, end_ms: int) -> None:
    """A run is over earlier than it might have been."""
    job, ends, running = board.jobs[j], board.ends, board.running
    at = board.halls[board.rows[job.row].hall].first
    first = at
    while running[at] != j:
        at += 1
    while at > first and ends[at - 1] > end_ms:
        ends[at], running[at] = ends[at - 1], running[at - 1]
        at -= 1
    ends[at], running[at] = end_ms, j
    job.end_ms = end_ms


@inlined
def freer(board: Board, h: int) -> None:
    """The rows of the hall have more room, or less of it is kept, than when the queue was last looked through."""
    for r in range(board.rows.shape[0]):
        if board.rows[r].hall == h:
            board.dirty[r] = 1


@inlined
def foresee(board: Board, j: int, r: int) -> tuple[int, float, float, float]:
    """When the row will have room for the job at the latest, -1 for never; and cores, GB, devices free beside it then."""
    job, row = board.jobs[j], board.rows[r]
    hall = board.halls[row.hall]
    cores, memory_gb, devices = hall.free_cores, hall.free_memory_gb, row.free_devices
    at, last = hall.first, hall.first + hall.busy
    shadow = 0
    while job.cores > cores + SLACK or job.memory_gb > memory_gb + SLACK or job.devices > devices + SLACK:
        if at == last:
            shadow = -1
            break
        shadow = board.ends[at]
        while at < last and board.ends[at] == shadow:
            other = board.jobs[board.running[at]]
            cores += other.cores
            memory_gb += other.memory_gb
            if other.row == r:
                devices += other.devices
            at += 1
    return shadow, cores - job.cores, memory_gb - job.memory_gb, devices - job.devices
