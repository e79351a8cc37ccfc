"""What a job would cost, emit and take on a row from an instant on, by the outlook of that instant."""

from __future__ import annotations

from suanwang.scheduling.columns import Floats
from suanwang.scheduling.policies.board import CARBON, PRICE, TRANSFER_MS, TRANSFER_YUAN, WAY_MS, Board
from suanwang.scheduling.policies.compiled import inlined, kernel

DAY_MS = 86_400_000
HOUR_MS = 3_600_000.0
EARLY, MIDDLE, LATE = 0.3, 0.4, 0.3
"""Weights of the 10 %, 50 % and 90 % point of a run time (extended Swanson-Megill; Keefer and Bodily 1983)."""


@kernel
def issue_at(board: Board, now_ms: int) -> int:
    """The issue in force at `now_ms`."""
    return min(max((now_ms - board.clock[0]) // board.clock[1], 0), board.ahead.shape[1] - 1)


@kernel
def next_step_ms(board: Board, now_ms: int) -> int:
    """The first step that begins after `now_ms`."""
    return board.clock[0] + ((now_ms - board.clock[0]) // board.clock[2] + 1) * board.clock[2]


@kernel
def until(total: Floats, ahead_ms: float, step_ms: int) -> float:
    """`total[k]` at `ahead_ms`, straight between steps; behind the last step its last day goes on as its mean."""
    count = total.shape[0] - 1
    part = ahead_ms / step_ms
    if part >= count:
        day = 1 if count == 1 else min(count, max(1, DAY_MS // step_ms))
        return total[count] + (total[count] - total[count - day]) * ((part - count) / day)
    step = int(part)
    return total[step] + (total[step + 1] - total[step]) * (part - step)


@kernel
def way_ms(board: Board, j: int, r: int) -> int:
    """`transfer_ms` of a job that has data; few have, so it is kept out of those that it would be put into."""
    job = board.jobs[j]
    return int(board.near[WAY_MS, job.place, r] + job.data_gb * board.near[TRANSFER_MS, job.place, r])


@inlined
def transfer_ms(board: Board, j: int, r: int) -> int:
    """How long the job's data take to the row's site, by the way that is best now."""
    return way_ms(board, j, r) if board.jobs[j].data_gb > 0 else 0


@kernel
def power_kw(board: Board, j: int, r: int) -> float:
    job, row = board.jobs[j], board.rows[r]
    return job.cores * row.core_kw + job.memory_gb * row.memory_kw + job.devices * row.device_kw


@kernel
def hourly_yuan(board: Board, j: int, r: int) -> float:
    """By the posted price."""
    job, row = board.jobs[j], board.rows[r]
    return job.cores * row.core_yuan + job.memory_gb * row.memory_yuan + job.devices * row.device_yuan


@kernel
def left_ms(board: Board, j: int, r: int, expected_ms: int) -> int:
    """How much of `expected_ms`, one of the job's three points, is still to run on this row."""
    job = board.jobs[j]
    return max(1, min(int((expected_ms - job.done_ms) * board.rows[r].slowness), job.limit_ms - job.done_ms))


@kernel
def remaining_ms(board: Board, j: int, r: int) -> int:
    """How much longer it is expected to run on this row, given what it has run: until the next of its points that it has
    not outrun, or as long again where it has outrun them all, as run times with heavy tails do."""
    job = board.jobs[j]
    point = job.middle_ms if job.done_ms < job.middle_ms else job.late_ms
    return left_ms(board, j, r, point if job.done_ms < point else 2 * job.done_ms)


@kernel
def run_ms(board: Board, j: int, r: int) -> float:
    """Expected, over the three points."""
    job = board.jobs[j]
    late = left_ms(board, j, r, job.late_ms)
    if job.early_ms == job.late_ms:
        return float(late)
    return EARLY * left_ms(board, j, r, job.early_ms) + MIDDLE * left_ms(board, j, r, job.middle_ms) + LATE * late


@kernel
def hours_of(board: Board, j: int, r: int, now_ms: int, at_ms: int) -> tuple[float, float]:
    """(yuan/kWh × h, g/kWh × h) of a run that starts at `at_ms`, over the three points, as reckoned at `now_ms`."""
    issue = issue_at(board, now_ms)
    return hours_by(board, j, r, issue, max(0, at_ms - (board.clock[0] + issue * board.clock[1])))


@kernel
def hours_by(board: Board, j: int, r: int, issue: int, start_ms: int) -> tuple[float, float]:
    """`hours_of` by an issue's own outlook, of a run that starts so long after it."""
    job, step = board.jobs[j], board.clock[2]
    site, count = board.rows[r].site, board.ahead.shape[3] - 1
    costs, emits = board.ahead[PRICE, issue, site], board.ahead[CARBON, issue, site]
    yuan_hours = gram_hours = 0.0
    alike = job.early_ms == job.late_ms
    for point in range(2 if alike else 4):
        if point == 0:
            weight, ahead = -1.0, start_ms
        elif alike:
            weight, ahead = 1.0, start_ms + left_ms(board, j, r, job.late_ms)
        elif point == 1:
            weight, ahead = EARLY, start_ms + left_ms(board, j, r, job.early_ms)
        elif point == 2:
            weight, ahead = MIDDLE, start_ms + left_ms(board, j, r, job.middle_ms)
        else:
            weight, ahead = LATE, start_ms + left_ms(board, j, r, job.late_ms)
        part = ahead / step  # Exact enough for its whole part, and several times quicker than integers are divided.
        k = int(part)
        if k < count:
            part -= k
            yuan_hours += weight * (costs[k] + part * (costs[k + 1] - costs[k]))
            gram_hours += weight * (emits[k] + part * (emits[k + 1] - emits[k]))
        else:
            yuan_hours += weight * until(costs, ahead, step)
            gram_hours += weight * until(emits, ahead, step)
    return yuan_hours, gram_hours


@kernel
def unmetered_yuan(board: Board, j: int, r: int) -> float:
    """What does not depend on the hour: the posted price and the data's way."""
    job = board.jobs[j]
    price = hourly_yuan(board, j, r) * run_ms(board, j, r) / HOUR_MS
    return price + job.data_gb * board.near[TRANSFER_YUAN, job.place, r] if job.data_gb > 0 else price


@kernel
def yuan(board: Board, j: int, r: int, now_ms: int, at_ms: int) -> float:
    """Expected price of a start at `at_ms`, as reckoned at `now_ms`: posted price, electricity, and the data's way."""
    share = board.rows[r].electricity_share
    price = unmetered_yuan(board, j, r)
    if share > 0:
        price += share * power_kw(board, j, r) * hours_of(board, j, r, now_ms, at_ms)[0]
    return price


@kernel
def grams(board: Board, j: int, r: int, now_ms: int, at_ms: int) -> float:
    """Expected emission of a start at `at_ms`, gCO2."""
    return power_kw(board, j, r) * hours_of(board, j, r, now_ms, at_ms)[1]


@inlined
def load(board: Board, r: int) -> float:
    """The fullest resource's share in use."""
    row = board.rows[r]
    hall = board.halls[row.hall]
    most = 1.0 - hall.free_cores / row.cores if row.cores > 0 else 0.0
    if row.memory_gb > 0:
        most = max(most, 1.0 - hall.free_memory_gb / row.memory_gb)
    if row.devices > 0:
        most = max(most, 1.0 - row.free_devices / row.devices)
    return most
