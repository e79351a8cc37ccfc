"""Whether a job may start on a row now, and taking and giving back its room."""

from __future__ import annotations

from suanwang.scheduling.policies.board import PAUSABLE, SLACK, Board
from suanwang.scheduling.policies.compiled import inlined
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
    return (
        row.awake != 0
        and job.cores <= row.free_cores + SLACK
        and job.memory_gb <= row.free_memory_gb + SLACK
        and job.devices <= row.free_devices + SLACK
    )


@inlined
def latest_end_ms(board: Board, j: int, r: int, now_ms: int) -> int:
    """When a run that starts now is over at the latest."""
    job = board.jobs[j]
    return now_ms + transfer_ms(board, j, r) + max(1, job.limit_ms - job.done_ms)


@inlined
def may_start(board: Board, j: int, r: int, now_ms: int, backfill: bool) -> bool:
    """Room now, and no delay for the job that waits there in front: over before it begins, or beside it."""
    job, row = board.jobs[j], board.rows[r]
    if not has_room(board, j, r) or not board.allowed[job.kind, r]:
        return False
    if row.reserved < 0:
        return True
    if not backfill:
        return False
    if latest_end_ms(board, j, r, now_ms) <= row.shadow_ms:
        return True
    return (
        job.cores <= row.extra_cores + SLACK
        and job.memory_gb <= row.extra_memory_gb + SLACK
        and job.devices <= row.extra_devices + SLACK
    )


@inlined
def take(board: Board, j: int, r: int, now_ms: int) -> None:
    """The job holds its room from now on."""
    job, row = board.jobs[j], board.rows[r]
    end = latest_end_ms(board, j, r, now_ms)
    row.free_cores -= job.cores
    row.free_memory_gb -= job.memory_gb
    row.free_devices -= job.devices
    if row.reserved >= 0 and end > row.shadow_ms:
        row.extra_cores -= job.cores
        row.extra_memory_gb -= job.memory_gb
        row.extra_devices -= job.devices
    insert(board, j, r, end)
    job.row = r
    board.counts[PAUSABLE] += job.interruptible


@inlined
def insert(board: Board, j: int, r: int, end_ms: int) -> None:
    """Put the job among those that run on the row."""
    ends, running = board.ends, board.running
    first = board.rows[r].first
    at = first + board.rows[r].busy
    while at > first and ends[at - 1] > end_ms:
        ends[at], running[at] = ends[at - 1], running[at - 1]
        at -= 1
    ends[at], running[at] = end_ms, j
    board.rows[r].busy += 1


@inlined
def give_back(board: Board, j: int) -> None:
    """The job's room is free again."""
    job = board.jobs[j]
    row = board.rows[job.row]
    ends, running = board.ends, board.running
    at, last = row.first, row.first + row.busy - 1
    while running[at] != j:
        at += 1
    while at < last:
        ends[at], running[at] = ends[at + 1], running[at + 1]
        at += 1
    row.busy -= 1
    board.counts[PAUSABLE] -= job.interruptible
    row.free_cores += job.cores
    row.free_memory_gb += job.memory_gb
    row.free_devices += job.devices
    board.dirty[job.row] = 1


@inlined
def foresee(board: Board, j: int, r: int) -> tuple[int, float, float, float]:
    """When the row will have room for the job at the latest, -1 for never; and cores, GB, devices free beside it then."""
    job, row = board.jobs[j], board.rows[r]
    cores, memory_gb, devices = row.free_cores, row.free_memory_gb, row.free_devices
    at, last = row.first, row.first + row.busy
    shadow = 0
    while job.cores > cores + SLACK or job.memory_gb > memory_gb + SLACK or job.devices > devices + SLACK:
        if at == last:
            return -1, 0.0, 0.0, 0.0
        shadow = board.ends[at]
        while at < last and board.ends[at] == shadow:
            other = board.jobs[board.running[at]]
            cores += other.cores
            memory_gb += other.memory_gb
            devices += other.devices
            at += 1
    return shadow, cores - job.cores, memory_gb - job.memory_gb, devices - job.devices
