"""When a job that may wait had better start: the later hour that the policy `joint` would choose, with the twin's own kernels.

Owns the turn from a shape and its rows to the board those kernels read. They are loaded only once a job may wait: most
networks have none such for long, and compiled code weighs some.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from suanwang.domain.job import Job
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling import figures
from suanwang.scheduling.columns import NEVER_MS, JobColumns, Outlook, RowColumns
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.margins import SLACK, WORTH_WAITING
from suanwang.scheduling.snapshot import Bools, Floats, Ints, Rows

if TYPE_CHECKING:
    from suanwang.scheduling.policies.board import Board

SPARE_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """The best later start of one job."""

    place: int
    """Index into the rows that were asked about."""
    at_ms: int
    until_ms: int
    """When it is decided anew."""
    score: float
    yuan: float
    carbon_g: float
    finish_s: float | None = None
    """From now to the end; None where that is the row's own time after the wait."""


def patience_ms(job: Job) -> int:
    """The last instant a job may be kept to, where it could start before."""
    ready = job.ready_at or job.submitted_at
    return milliseconds(ready) + job.task.flexibility.may_wait_s * 1000


def may_wait(job: Job, now: datetime) -> bool:
    """Whether prices may change before its patience ends: the next step begins before that."""
    return job.task.flexibility.may_wait_s > 0 and next_step_ms(milliseconds(now)) <= patience_ms(job)


def varies(of: Shape, rows: Rows) -> bool:
    """Whether price or carbon may depend on the hour for jobs of this shape."""
    return (
        rows.ahead.charged or rows.ahead.shaped or of.bound_tariff is not None or figures.course(of, rows) is not None
    )


def next_step_ms(now_ms: int) -> int:
    return (now_ms // STEP_MS + 1) * STEP_MS


def better_hour(job: Job, of: Shape, rows: Rows, index: Ints, now: datetime, best_now: float) -> Later | None:
    """The best start at a later step, or on a row that is full now, of the rows `index` that are awake, where that is worth
    waiting for."""
    from suanwang.scheduling.policies import joint
    from suanwang.scheduling.policies.reckoning import grams, yuan

    now_ms = milliseconds(now)
    board = _board(job, of, rows, index, now_ms)
    price, carbon, finish = joint.leasts(board, 0, now_ms)
    score, place, at_ms = joint.best_hour(board, 0, now_ms, price, carbon, finish)
    if place < 0 or score * WORTH_WAITING >= best_now:
        return None
    return Later(
        place=int(place),
        at_ms=int(at_ms),
        until_ms=int(joint.look_again_ms(board, now_ms, at_ms)),
        score=float(score),
        yuan=float(yuan(board, 0, place, now_ms, at_ms)),
        carbon_g=float(grams(board, 0, place, now_ms, at_ms)),
    )


def may_pause(job: Job) -> bool:
    """Whether the network may take its work up again in other steps: its user allows it, and a checkpoint keeps the work."""
    by_right = job.terms is not None and job.terms.reservation is not None
    return job.task.flexibility.may_be_interrupted and job.task.checkpoint is not None and not by_right


def row_of_step(
    job: Job, of: Shape, rows: Rows, index: Ints, now: datetime, has_room: Bools
) -> tuple[int, Later | None]:
    """Of a queued job that may pause: the row of `index`, of those that have room, to begin on; and, where its work had
    better be done in other steps than this one there, the first of those."""
    from suanwang.scheduling.policies import joint

    now_ms = milliseconds(now)
    board = _board(job, of, rows, index, now_ms, done_ms=_kept_ms(job))
    board.jobs["interruptible"] = 1
    board.rows["awake"] = has_room
    place = joint.choose(board, 0, now_ms, True)
    if place != joint.LATER:
        return int(place), None
    there, at_ms = int(board.jobs["aim_row"][0]), int(board.jobs["aim_ms"][0])
    return there, _later(board, there, now_ms, at_ms, joint.leasts(board, 0, now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A run whose remaining work had better be done in other steps."""

    later: Later
    now: Later
    """What it comes to where it goes on now."""


def pause(
    job: Job, of: Shape, rows: Rows, index: Ints, place: int, now: datetime, *, lasted_s: float, work_s: float
) -> Pause | None:
    """Of a run on row `index[place]` that has lasted `lasted_s`, of a job that has worked `work_s` in all: the step at which
    the rest of its work had better go on, by the policy's own rule. Its deadline is kept with the whole time limit ahead,
    for a job that is late has no way back."""
    from suanwang.scheduling.policies import joint

    now_ms = milliseconds(now)
    done_ms = int(1000 * work_s / rows.slowness.item(index.item(place)))
    board = _board(job, of, rows, index, now_ms, done_ms=done_ms, lasted_ms=int(1000 * lasted_s))
    board.jobs["row"] = place
    board.jobs["interruptible"] = 1
    board.rows["awake"] &= has_room(of, rows, index)
    board.jobs["due_ms"] -= np.maximum(0, board.jobs["limit_ms"] - (board.jobs["late_ms"] - done_ms))
    if not joint.pauses(board, 0, now_ms):
        return None
    figures_of = joint.leasts(board, 0, now_ms)
    at_ms = int(board.jobs["aim_ms"][0])
    return Pause(
        later=_later(board, place, now_ms, at_ms, figures_of), now=_later(board, place, now_ms, now_ms, figures_of)
    )


def has_room(of: Shape, rows: Rows, index: Ints) -> Bools:
    """`[k]`: whether the row has what one more such job needs free."""
    room = (rows.free_cores[index] >= of.cores) & (rows.free_memory_gb[index] >= of.memory_gb - SLACK)
    return room & (rows.free_devices[index] >= of.devices) if of.devices else room


def _later(board: Board, place: int, now_ms: int, at_ms: int, least: tuple[float, float, float]) -> Later:
    """What going on at `at_ms` comes to, as if it then ran through."""
    from suanwang.scheduling.policies import joint
    from suanwang.scheduling.policies.reckoning import grams, run_ms, yuan

    job = board.jobs[0]
    price, carbon = float(yuan(board, 0, place, now_ms, at_ms)), float(grams(board, 0, place, now_ms, at_ms))
    finish = at_ms - now_ms + float(run_ms(board, 0, place))
    score = (
        job["by_price"] * price / least[0] + job["by_carbon"] * carbon / least[1] + job["by_finish"] * finish / least[2]
    )
    until_ms = int(joint.look_again_ms(board, now_ms, at_ms))
    return Later(
        place=place,
        at_ms=at_ms,
        until_ms=until_ms,
        score=float(score),
        yuan=price,
        carbon_g=carbon,
        finish_s=finish / 1000,
    )


def _kept_ms(job: Job) -> int:
    """Work that a checkpoint keeps: all run time so far, as if the checkpoint were of its last moment and all sites alike."""
    return int(1000 * job.usage.wall_s) if job.checkpoint is not None else 0


def _board(job: Job, of: Shape, rows: Rows, index: Ints, now_ms: int, *, done_ms: int = 0, lasted_ms: int = 0) -> Board:
    """The job alone, with what it has worked so far; `lasted_ms` of that were no waiting since it became ready."""
    from suanwang.scheduling.policies.board import FRESH, board_for

    columns = _job(job, of)
    outlook = _outlook(of, rows, index, now_ms, int(columns.wait_ms[0] + columns.limit_ms[0]))
    board = board_for(columns, _ways(of, rows, index), np.ones((1, len(index)), np.bool_), outlook)
    board.rows["awake"] = rows.awake[index]
    board.watch[0] = FRESH
    board.jobs["done_ms"] = done_ms
    # The kernels take all work so far for time since the job became ready; `ready_at` moves on with every pause instead.
    board.jobs["ready_ms"] += lasted_ms - done_ms
    return board


def instant(at_ms: int, like: datetime) -> datetime:
    """`at_ms` in the zone of `like`."""
    whole = like.replace(microsecond=like.microsecond // 1000 * 1000)
    return whole + timedelta(milliseconds=at_ms - milliseconds(whole))


def _job(job: Job, of: Shape) -> JobColumns:
    """One job that needs one unit; what that is comes to in its rows."""
    need, wanted = of.resources, of.objective
    expected_ms = 1000 * min(need.expected_s or need.time_limit_s, need.time_limit_s)
    nothing = np.zeros(1, np.int64)
    return JobColumns(
        ready_ms=np.array([milliseconds(job.ready_at or job.submitted_at)], np.int64),
        order=nothing,
        need=np.array([[1.0, 0.0, 0.0]]),
        expect_ms=np.full((1, 3), expected_ms, np.int64),
        limit_ms=np.array([1000 * need.time_limit_s], np.int64),
        kind=nothing,
        place=nothing,
        weight=np.array([[wanted.price, wanted.carbon, wanted.finish]], np.float64),
        wait_ms=np.array([1000 * job.task.flexibility.may_wait_s], np.int64),
        due_ms=np.array([NEVER_MS if of.deadline_at is None else milliseconds(of.deadline_at)], np.int64),
        interruptible=np.zeros(1, np.bool_),
        data_gb=np.zeros(1),
        group=nothing,
    )


def _ways(of: Shape, rows: Rows, index: Ints) -> RowColumns:
    """Each row with room for one such job."""
    count = len(index)
    one = np.tile([1.0, 0.0, 0.0], (count, 1))
    charged = figures.electricity(of, rows, index) is not None or figures.course(of, rows) is not None
    return RowColumns(
        site=np.arange(count, dtype=np.int64),
        capacity=one,
        power_w=one * (1000 * _power_kw(of, rows, index))[:, None],
        yuan_hour=one * figures.hourly_yuan(of, rows, index)[:, None],
        slowness=rows.slowness[index] if of.bound_yuan is None else np.ones(count),
        electricity_share=np.full(count, 1.0 if charged else 0.0),
        delay_ms=np.zeros((1, count)),
        transfer_ms_per_gb=np.zeros((1, count)),
        transfer_yuan_per_gb=np.zeros((1, count)),
    )


def _outlook(of: Shape, rows: Rows, index: Ints, now_ms: int, span_ms: int) -> Outlook:
    """What is known of price and carbon from the step that holds `now_ms` on, decided anew at every step."""
    begun_ms = now_ms // STEP_MS * STEP_MS
    steps = span_ms // STEP_MS + SPARE_STEPS
    due = figures.electricity(of, rows, index)
    prices = due[0].totals(steps)[due[1]] if due is not None else np.zeros((len(index), steps + 1))
    follows = figures.course(of, rows)
    if follows is not None:
        # What lists ask changes by the hour as electricity does: the kernels take it for that of the power drawn.
        prices = prices + follows.totals(figures.units(of), index, steps) / _power_kw(of, rows, index)[:, None]
    shape = rows.ahead.carbon.totals(steps)[rows.day[index]]
    average = _average_g(of, rows, index)
    return Outlook(
        start_ms=begun_ms,
        issue_ms=STEP_MS,
        step_ms=STEP_MS,
        yuan=np.ascontiguousarray(prices[None]),
        carbon_g=np.ascontiguousarray((shape * average[:, None])[None]),
    )


def _power_kw(of: Shape, rows: Rows, index: Ints) -> Floats:
    """A milliwatt at least, so that prices can be told by what is drawn."""
    return np.maximum(figures.power(of, rows, index), 1e-6)


def _average_g(of: Shape, rows: Rows, index: Ints) -> Floats:
    """gCO2 per kWh on the annual average, of each row."""
    return np.array([rows.units[row].carbon_g_per_kwh for row in index.tolist()], np.float64)
