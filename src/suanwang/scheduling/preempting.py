"""Whose room a job takes that finds none: runs of lower priority that may be interrupted, after a notice.

Owns the choice, for the live plan and the twin's engine alike. No more runs are taken than the job needs, those that lose
least first; none where its room comes by the end of the notice anyhow. What taking comes to is `control`'s and the engine's.
"""

from __future__ import annotations

from typing import NamedTuple

from suanwang.scheduling.columns import Bools, Floats, Ints
from suanwang.scheduling.margins import SLACK
from suanwang.scheduling.policies.board import FAR, Board
from suanwang.scheduling.policies.compiled import inlined, kernel

INTERRUPTION_MS = 600_000
"""Being interrupted counts as so much lost run time, beside all that the run has done: few runs are taken before many."""
NONE, IN_TIME = -1, -2


class Runs(NamedTuple):
    """`[n]`: runs that may be taken for others."""

    order: Ints
    """Of their priority; lower ones come first in the queue."""
    begun_ms: Ints
    row: Ints
    need: Floats
    """`[n, resource]`"""
    turn: Ints
    """Equal ones are taken by this, the last first."""


class Room(NamedTuple):
    """What is free by the end of the notice, whatever is taken."""

    cores: Floats
    """`[h]`, as the next."""
    memory_gb: Floats
    devices: Floats
    """`[r]`"""
    open: Bools
    """`[h]`: room there is made for nobody else."""


@inlined
def may_be_taken(
    begun_ms: int, end_ms: int, interruptions: int, now_ms: int, notice_ms: int, protect_ms: int, most: int
) -> bool:
    """Whether a run that may be interrupted is taken for others: not one that began just now or is over by itself at the end
    of the notice, not before the protected time of a job that was interrupted before, and not for ever the same job's."""
    if begun_ms >= now_ms or end_ms <= now_ms + notice_ms:
        return False
    return interruptions < most and (interruptions == 0 or now_ms - begun_ms >= protect_ms)


@kernel
def room_by(board: Board, at_ms: int, room: Room) -> None:
    """Fill `room` with what is free at `at_ms` at the latest, by when runs are over."""
    for r in range(room.devices.shape[0]):
        room.devices[r] = board.rows[r].free_devices
    for h in range(room.cores.shape[0]):
        hall = board.halls[h]
        room.open[h] = True
        room.cores[h], room.memory_gb[h] = hall.free_cores, hall.free_memory_gb
        for n in range(hall.first, hall.first + hall.busy):
            if board.ends[n] > at_ms:
                break
            job = board.jobs[board.running[n]]
            room.cores[h] += job.cores
            room.memory_gb[h] += job.memory_gb
            room.devices[job.row] += job.devices


@inlined
def _lost(board: Board, runs: Runs, n: int, r: int, now_ms: int) -> float:
    """What taking a run comes to: its time so far and an interruption, times the part it has of row `r`."""
    row = board.rows[r]
    part = runs.need[n, 0] / row.cores if row.cores > 0 else 0.0
    if row.memory_gb > 0:
        part = max(part, runs.need[n, 1] / row.memory_gb)
    if row.devices > 0 and runs.row[n] == r:
        part = max(part, runs.need[n, 2] / row.devices)
    return float((now_ms - runs.begun_ms[n] + INTERRUPTION_MS) * part)


@kernel
def on_row(
    board: Board, j: int, order: int, r: int, now_ms: int, room: Room, runs: Runs, tried: Ints
) -> tuple[int, float]:
    """Mark in `tried` the runs to take so that `j` has room on row `r`; the most urgent of them and what they lose together.
    (0, `FAR`) where all of lower priority do not suffice."""
    job, row = board.jobs[j], board.rows[r]
    cores = job.cores - room.cores[row.hall] - SLACK
    memory_gb = job.memory_gb - room.memory_gb[row.hall] - SLACK
    devices = job.devices - room.devices[r] - SLACK
    tried[:] = 0
    while cores > 0 or memory_gb > 0 or devices > 0:
        best = -1
        for n in range(tried.shape[0]):
            own = runs.row[n] == r
            if tried[n] != 0 or runs.order[n] <= order or board.rows[runs.row[n]].hall != row.hall:
                continue
            if not (
                (cores > 0 and runs.need[n, 0] > 0)
                or (memory_gb > 0 and runs.need[n, 1] > 0)
                or (devices > 0 and own and runs.need[n, 2] > 0)
            ):
                continue
            if best >= 0 and runs.order[n] < runs.order[best]:
                continue
            if best >= 0 and runs.order[n] == runs.order[best]:
                lost, least = _lost(board, runs, n, r, now_ms), _lost(board, runs, best, r, now_ms)
                if lost > least or (lost == least and runs.turn[n] < runs.turn[best]):
                    continue
            best = n
        if best < 0:
            return 0, FAR
        tried[best] = 1
        cores -= runs.need[best, 0]
        memory_gb -= runs.need[best, 1]
        devices -= runs.need[best, 2] if runs.row[best] == r else 0.0
    return _spared(board, r, now_ms, runs, tried, cores, memory_gb, devices)


@kernel
def _spared(
    board: Board, r: int, now_ms: int, runs: Runs, tried: Ints, cores: float, memory_gb: float, devices: float
) -> tuple[int, float]:
    """Spare those of `tried` that what is freed beyond the need does not want, who loses most first; what `on_row` says."""
    while True:
        best, most = -1, -1.0
        for n in range(tried.shape[0]):
            if tried[n] == 0 or cores + runs.need[n, 0] > 0 or memory_gb + runs.need[n, 1] > 0:
                continue
            if runs.row[n] == r and devices + runs.need[n, 2] > 0:
                continue
            lost = _lost(board, runs, n, r, now_ms)
            if lost > most or (lost == most and runs.turn[n] < runs.turn[best]):
                best, most = n, lost
        if best < 0:
            break
        tried[best] = 0
        cores += runs.need[best, 0]
        memory_gb += runs.need[best, 1]
        devices += runs.need[best, 2] if runs.row[best] == r else 0.0
    urgent, whole = 1 << 62, 0.0
    for n in range(tried.shape[0]):
        if tried[n] != 0:
            urgent = min(urgent, runs.order[n])
            whole += _lost(board, runs, n, r, now_ms)
    return urgent, whole


@kernel
def make_room(
    board: Board, j: int, order: int, now_ms: int, allowed: Bools, room: Room, runs: Runs, taken: Ints, tried: Ints
) -> int:
    """The row on which room is made for `j`, of priority `order`, with the runs to take marked in `taken`; `IN_TIME` where
    it comes by itself, `NONE` where none can be made. `allowed[r]` are the rows it may run on. Then room is made there for
    nobody else.

    Of several rows that one whose runs are least urgent, then lose least; the first of equals.
    """
    chosen, urgent, least = NONE, 0, FAR
    for r in range(allowed.shape[0]):
        job, row = board.jobs[j], board.rows[r]
        if not allowed[r] or not room.open[row.hall]:
            continue
        if (
            job.cores <= room.cores[row.hall] + SLACK
            and job.memory_gb <= room.memory_gb[row.hall] + SLACK
            and job.devices <= room.devices[r] + SLACK
        ):
            room.open[row.hall] = False
            taken[:] = 0
            return IN_TIME
        found, lost = on_row(board, j, order, r, now_ms, room, runs, tried)
        if lost < FAR and (chosen < 0 or found > urgent or (found == urgent and lost < least)):
            chosen, urgent, least = r, found, lost
            for n in range(taken.shape[0]):
                taken[n] = tried[n]
    if chosen >= 0:
        room.open[board.rows[chosen].hall] = False
    return chosen
