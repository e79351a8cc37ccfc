"""Time alone: on its own row, at the start that the outlook of its arrival holds for the greenest.

After Wiesner et al., "Let's Wait Awhile", Middleware 2021: the plan is made once and kept.
"""

from __future__ import annotations

from suanwang.scheduling.policies.board import Board
from suanwang.scheduling.policies.compiled import kernel
from suanwang.scheduling.policies.joint import best_step
from suanwang.scheduling.policies.reckoning import hours_of

CODE = 4


@kernel
def greenest_start(board: Board, j: int, r: int, now_ms: int) -> int:
    """The instant of the least emission on row `r`, now or at a later step; the earliest among equals."""
    emitted = hours_of(board, j, r, now_ms, now_ms)[1]
    best, at = best_step(board, j, r, now_ms, 0.0, 1.0, 0.0)
    return at if best < emitted else now_ms
