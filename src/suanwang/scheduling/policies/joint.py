"""The product's own: place and hour together, by the job's own weights of price, carbon and finish.

Owns the score, the better hour, and when an interruptible job pauses. What is known of the future is the outlook in
force; a job that is held is decided anew where it is meant to start and whenever an outlook is issued.
"""

from __future__ import annotations

from suanwang.scheduling.columns import NEVER_MS
from suanwang.scheduling.margins import WORTH_WAITING
from suanwang.scheduling.policies.board import AGAIN_MS, CARBON, FAR, FINISH, FRESH, PRICE, Board
from suanwang.scheduling.policies.compiled import kernel
from suanwang.scheduling.policies.reckoning import (
    DAY_MS,
    EARLY,
    HOUR_MS,
    LATE,
    MIDDLE,
    grams,
    hourly_yuan,
    hours_by,
    hours_of,
    issue_at,
    left_ms,
    next_step_ms,
    power_kw,
    remaining_ms,
    run_ms,
    transfer_ms,
    unmetered_yuan,
    yuan,
)
from suanwang.scheduling.policies.rooms import cut_off, fits, may_start

CODE = 5
MOVE = 0.95
"""A running job is moved only to a row that is better by more than this factor."""
STAY = 0.99
"""A running job is paused only for steps that are better by more than this factor."""
TOO_LATE = 1e6
"""Added to the score of a start that may miss the deadline: it is chosen only where every other may, too."""
ALIKE = 1e-9
BLOCKED, LATER = -1, -2


@kernel
def leasts(board: Board, j: int, now_ms: int) -> tuple[float, float, float]:
    """The least yuan, gCO2 and ms of a start now, over all rows that could run it; `board.figures` keeps each row's own."""
    figures = board.figures
    price = carbon = finish = FAR
    issue = issue_at(board, now_ms)
    start_ms = max(0, now_ms - (board.clock[0] + issue * board.clock[1]))
    for r in range(board.rows.shape[0]):
        if not fits(board, j, r):
            continue
        row = board.rows[r]
        kw = power_kw(board, j, r)
        yuan_hours, gram_hours = hours_by(board, j, r, issue, start_ms)
        figures[PRICE, r] = unmetered_yuan(board, j, r) + row.electricity_share * kw * yuan_hours
        figures[CARBON, r] = kw * gram_hours
        figures[FINISH, r] = run_ms(board, j, r) + transfer_ms(board, j, r)
        price = min(price, figures[PRICE, r])
        carbon = min(carbon, figures[CARBON, r])
        finish = min(finish, figures[FINISH, r])
    # Over 1 where there is nothing to divide by, so that the other figures still count.
    price, carbon, finish = (
        (price if price > 0 else 1.0),
        (carbon if carbon > 0 else 1.0),
        (finish if finish > 0 else 1.0),
    )
    width = board.rows.shape[0]
    figures[PRICE, width], figures[CARBON, width], figures[FINISH, width] = price, carbon, finish
    return price, carbon, finish


@kernel
def score_now(board: Board, j: int, r: int, price: float, carbon: float, finish: float) -> float:
    """Of the figures that `leasts` left of the row, over the least of each; 1 is best in everything."""
    job, figures = board.jobs[j], board.figures
    return (
        job.by_price * figures[PRICE, r] / price
        + job.by_carbon * figures[CARBON, r] / carbon
        + job.by_finish * figures[FINISH, r] / finish
    )


@kernel
def least_score(board: Board, j: int, price: float, carbon: float, finish: float) -> float:
    """The least of `score_now` over all rows that could run it, full or not."""
    least = FAR
    for r in range(board.rows.shape[0]):
        if fits(board, j, r):
            least = min(least, score_now(board, j, r, price, carbon, finish))
    return least


@kernel
def score_later(
    board: Board, j: int, r: int, now_ms: int, at_ms: int, price: float, carbon: float, finish: float
) -> tuple[float, float, float]:
    """The score of a start at `at_ms`, its yuan and its gCO2."""
    job = board.jobs[j]
    cost, emission = yuan(board, j, r, now_ms, at_ms), grams(board, j, r, now_ms, at_ms)
    long = at_ms - now_ms + run_ms(board, j, r) + transfer_ms(board, j, r)
    score = job.by_price * cost / price + job.by_carbon * emission / carbon + job.by_finish * long / finish
    return score, cost, emission


@kernel
def patience_ms(board: Board, j: int) -> int:
    """When its patience ends; what has run already adds to it."""
    job = board.jobs[j]
    return int(job.ready_ms + job.wait_ms + job.done_ms)


@kernel
def last_start_ms(board: Board, j: int, r: int) -> int:
    """The latest start that patience and deadline allow on this row."""
    job = board.jobs[j]
    safe = job.due_ms - transfer_ms(board, j, r) - left_ms(board, j, r, job.late_ms)
    return min(patience_ms(board, j), safe)


@kernel
def lateness(board: Board, j: int, r: int, now_ms: int) -> float:
    """What a deadline adds to the score of a start now."""
    job = board.jobs[j]
    if job.due_ms < NEVER_MS and now_ms + transfer_ms(board, j, r) + left_ms(board, j, r, job.late_ms) > job.due_ms:
        return TOO_LATE
    return 0.0


@kernel
def score_of_now(board: Board, j: int, r: int, now_ms: int, price: float, carbon: float, finish: float) -> float:
    """`score_now`, with what a deadline adds to it."""
    return score_now(board, j, r, price, carbon, finish) + lateness(board, j, r, now_ms)


@kernel
def look_again_ms(board: Board, now_ms: int, aim_ms: int) -> int:
    """When a held job is decided anew: where it is meant to start, or where the next outlook is issued."""
    next_issue = board.clock[0] + (issue_at(board, now_ms) + 1) * board.clock[1]
    return max(next_step_ms(board, now_ms), min(aim_ms, next_issue))


@kernel
def patient(board: Board, j: int, now_ms: int) -> bool:
    """Whether a step begins before its patience ends. It changes only where a step begins."""
    return board.jobs[j].wait_ms > 0 and next_step_ms(board, now_ms) <= patience_ms(board, j)


@kernel
def best_step(
    board: Board, j: int, r: int, now_ms: int, by_price: float, by_carbon: float, by_step: float
) -> tuple[float, int]:
    """The later step to start at with the least `by_price` × (yuan/kWh × h) + `by_carbon` × (g/kWh × h) + `by_step` × steps
    waited, over the run that begins there; its value and instant. `FAR` where patience ends before a step begins."""
    job, step = board.jobs[j], board.clock[2]
    issue = issue_at(board, now_ms)
    base = board.clock[0] + issue * board.clock[1]
    site, size = board.rows[r].site, board.ahead.shape[3] - 1
    costs, emits = board.ahead[PRICE, issue, site], board.ahead[CARBON, issue, site]
    early, middle = left_ms(board, j, r, job.early_ms), left_ms(board, j, r, job.middle_ms)
    late = left_ms(board, j, r, job.late_ms)
    early_steps, middle_steps, late_steps = early // step, middle // step, late // step
    early_part, middle_part = early / step - early_steps, middle / step - middle_steps
    late_part = late / step - late_steps
    first = (next_step_ms(board, now_ms) - base) // step
    last = (last_start_ms(board, j, r) - base) // step
    best, at = FAR, -1
    for k in range(first, last + 1):
        if k + late_steps < size:
            e, m, n = k + early_steps, k + middle_steps, k + late_steps
            value = by_price * (
                EARLY * (costs[e] + early_part * (costs[e + 1] - costs[e]))
                + MIDDLE * (costs[m] + middle_part * (costs[m + 1] - costs[m]))
                + LATE * (costs[n] + late_part * (costs[n + 1] - costs[n]))
                - costs[k]
            ) + by_carbon * (
                EARLY * (emits[e] + early_part * (emits[e + 1] - emits[e]))
                + MIDDLE * (emits[m] + middle_part * (emits[m + 1] - emits[m]))
                + LATE * (emits[n] + late_part * (emits[n + 1] - emits[n]))
                - emits[k]
            )
        else:
            start = base + k * step
            yuan_hours, gram_hours = hours_of(board, j, r, now_ms, start)
            value = by_price * yuan_hours + by_carbon * gram_hours
        value += by_step * (k - first + 1)
        # The earliest of hours that are alike: sums of many hours are off in their last digits.
        if value < best - abs(best) * ALIKE:
            best, at = value, base + k * step
    return best, at


@kernel
def best_hour(board: Board, j: int, now_ms: int, price: float, carbon: float, finish: float) -> tuple[float, int, int]:
    """The best score of a start at a later step, its row and instant; or of one now, on rows that may be full."""
    best, chosen, at = FAR, -1, now_ms
    job = board.jobs[j]
    ahead = next_step_ms(board, now_ms) - now_ms
    varies = board.ahead.shape[3] > 2  # Where one step is all that is known, no hour is better than another.
    for r in range(board.rows.shape[0]):
        row = board.rows[r]
        if row.awake == 0 or not fits(board, j, r) or cut_off(board, j, r):
            continue
        score = score_of_now(board, j, r, now_ms, price, carbon, finish)
        if score < best - abs(best) * ALIKE:
            best, chosen, at = score, r, now_ms
        if not varies:
            continue
        kw = power_kw(board, j, r)
        by_step = job.by_finish * board.clock[2] / finish
        value, start = best_step(
            board, j, r, now_ms, job.by_price * row.electricity_share * kw / price, job.by_carbon * kw / carbon, by_step
        )
        if start < 0:
            continue
        # What stays the same at every step: the posted price, the data's way, the run itself and the way to the first step.
        fixed = job.by_finish * (board.figures[FINISH, r] + ahead) / finish - by_step
        if job.by_price > 0:
            fixed += job.by_price * unmetered_yuan(board, j, r) / price
        if value + fixed < best - abs(best) * ALIKE:
            best, chosen, at = value + fixed, r, start
    return best, chosen, at


@kernel
def step_score(board: Board, j: int, r: int, now_ms: int, at: int, price: float, carbon: float, finish: float) -> float:
    """What one step of the job's work costs on this row, `at` steps from the present one."""
    job, row = board.jobs[j], board.rows[r]
    issue, step = issue_at(board, now_ms), board.clock[2]
    base = board.clock[0] + issue * board.clock[1]
    k, last = max(0, now_ms - base) // step + at, board.ahead.shape[3] - 1
    if k >= last:
        # Behind the outlook its last day repeats.
        day = min(last, max(1, DAY_MS // step))
        k = last - day + (k - last) % day
    kw = power_kw(board, j, r)
    costs, emits = board.ahead[PRICE, issue, row.site], board.ahead[CARBON, issue, row.site]
    yuan = row.electricity_share * kw * (costs[k + 1] - costs[k]) + hourly_yuan(board, j, r) * step / HOUR_MS
    score = job.by_price / price * yuan + job.by_carbon / carbon * kw * (emits[k + 1] - emits[k])
    return score * row.slowness + job.by_finish * step / finish * (at + row.slowness)


@kernel
def step_of_now(board: Board, j: int, r: int, now_ms: int, price: float, carbon: float, finish: float) -> float:
    """`step_score` of the present step, with what a deadline adds to it."""
    return step_score(board, j, r, now_ms, 0, price, carbon, finish) + lateness(board, j, r, now_ms)


@kernel
def better_steps(
    board: Board, j: int, r: int, now_ms: int, price: float, carbon: float, finish: float, margin: float
) -> tuple[bool, int]:
    """Whether the remaining work of an interruptible job had better be done in other steps than this one on row `r`, and
    when the first of those begins. There must be enough of them before its last start and its run time are over.

    Other rows' steps do not count: they may be full by then, and where they are better now, `moves` tells.
    """
    step = board.clock[2]
    base = board.clock[0] + issue_at(board, now_ms) * board.clock[1]
    now = max(0, now_ms - base) // step
    left = remaining_ms(board, j, r)
    wanted = (left + step - 1) // step
    end = min((last_start_ms(board, j, r) + left - base) // step, board.ahead.shape[3] - 1)
    if now + 1 > end:
        return False, -1
    bar = step_score(board, j, r, now_ms, 0, price, carbon, finish)
    bar -= abs(bar) * (1.0 - margin)
    found, first = 0, -1
    for at in range(1, end - now):
        if step_score(board, j, r, now_ms, at, price, carbon, finish) < bar:
            found += 1
            if first < 0:
                first = base + (now + at) * step
            if found >= wanted:
                return True, first
    return False, first


@kernel
def moves(board: Board, j: int, now_ms: int, price: float, carbon: float, finish: float) -> bool:
    """Whether a running job without data would do this step's work elsewhere for less, where there is room now."""
    job = board.jobs[j]
    if job.data_gb > 0:
        return False
    bar = step_score(board, j, job.row, now_ms, 0, price, carbon, finish)
    bar -= abs(bar) * (1.0 - MOVE)
    for r in range(board.rows.shape[0]):
        there = r != job.row and fits(board, j, r) and may_start(board, j, r, now_ms, True)
        if there and step_of_now(board, j, r, now_ms, price, carbon, finish) < bar:
            return True
    return False


@kernel
def pauses(board: Board, j: int, now_ms: int) -> bool:
    """Whether a running job that may be interrupted had better go on in other steps, or at once on another row; sets when
    it is looked at again."""
    job = board.jobs[j]
    if job.interruptible == 0:
        return False
    price, carbon, finish = leasts(board, j, now_ms)
    elsewhen, first = False, -1
    # Moving on at once asks no patience.
    if patient(board, j, now_ms):
        elsewhen, first = better_steps(board, j, job.row, now_ms, price, carbon, finish, STAY)
    if elsewhen:
        job.aim_row, job.aim_ms, job.until_ms = job.row, first, look_again_ms(board, now_ms, first)
    elif moves(board, j, now_ms, price, carbon, finish):
        job.aim_row, job.aim_ms, job.until_ms = -1, now_ms, now_ms
        elsewhen = True
    return elsewhen


@kernel
def choose(board: Board, j: int, now_ms: int, backfill: bool) -> int:
    """The row to start on now, `BLOCKED`, or `LATER` with `aim_row`, `aim_ms` and `until_ms` set.

    Work that may go on elsewhere in any step takes the row that is best in this one; other work that for its whole run.
    """
    board.figures[FINISH, board.rows.shape[0]] = 0.0
    return weigh(board, j, now_ms, backfill)


@kernel
def weigh(board: Board, j: int, now_ms: int, backfill: bool) -> int:
    """`choose`, by `board.figures` where they are this job's already; fills `board.scores`."""
    job, width = board.jobs[j], board.rows.shape[0]
    some = False
    for r in range(width):
        if (board.watch[j] == FRESH or board.dirty[r] != 0) and may_start(board, j, r, now_ms, backfill):
            some = True
            break
    if not some:
        return BLOCKED
    figures = board.figures
    if figures[FINISH, width] == 0.0:
        leasts(board, j, now_ms)
    price, carbon, finish = figures[PRICE, width], figures[CARBON, width], figures[FINISH, width]
    roams = job.interruptible != 0 and job.data_gb == 0
    best, chosen = FAR, BLOCKED
    for r in range(width):
        board.scores[r] = FAR
        if (board.watch[j] != FRESH and board.dirty[r] == 0) or not may_start(board, j, r, now_ms, backfill):
            continue
        score = score_of_now(board, j, r, now_ms, price, carbon, finish)
        board.scores[r] = score
        if roams:
            score = step_of_now(board, j, r, now_ms, price, carbon, finish)
        if score < best - abs(best) * ALIKE:
            best, chosen = score, r
    if chosen < 0:
        return chosen
    waits, ends = patient(board, j, now_ms), patience_ms(board, j)
    if not waits and (job.wait_ms >= board.clock[2] or now_ms >= ends):
        return chosen
    if waits and job.interruptible != 0:
        elsewhen, first = better_steps(board, j, chosen, now_ms, price, carbon, finish, 1.0 - ALIKE)
        if elsewhen:
            job.aim_row, job.aim_ms, job.until_ms = chosen, first, look_again_ms(board, now_ms, first)
            return LATER
        return chosen
    later, aim, at = best_hour(board, j, now_ms, price, carbon, finish)
    if later * WORTH_WAITING >= board.scores[chosen]:
        return chosen
    job.aim_row, job.aim_ms, job.until_ms = aim, at, ends
    if waits:
        job.until_ms = look_again_ms(board, now_ms, at)
    else:  # Its patience is shorter than a step: it waits for a full row to its end.
        board.counts[AGAIN_MS] = min(board.counts[AGAIN_MS], ends)
    return LATER
