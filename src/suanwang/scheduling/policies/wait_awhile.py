"""Time alone: on its own row, at the start that the outlook of its arrival holds for the greenest.

After Wiesner et al., "Let's Wait Awhile", Middleware 2021: the plan is made once and kept.
"""

from __future__ import annotations

from suanwang.scheduling.policies.board import Board
from suanwang.scheduling.policies.compiled import kernel
from suanwang.scheduling.policies.joint import last_start_ms
from suanwang.scheduling.policies.reckoning import grams, next_step_ms

CODE = 4


@kernel
def greenest_start(board: Board, j: int, r: int, now_ms: int) -> int:
    """The instant of the least emission on row `r`, now or at a later step; the earliest among equals."""
    best, at = grams(board, j, r, now_ms, now_ms), now_ms
    start, last = next_step_ms(board, now_ms), last_start_ms(board, j, r)
    while start <= last:
        emitted = grams(board, j, r, now_ms, start)
        if emitted < best:
            best, at = emitted, start
        start += board.clock[2]
    return at
