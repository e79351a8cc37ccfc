"""Always the row nearest to its user, and in line there: every centre for its own users."""

from __future__ import annotations

from suanwang.scheduling.policies.board import DELAY, Board
from suanwang.scheduling.policies.compiled import kernel

CODE = 3


@kernel
def rank(board: Board, j: int, r: int, now_ms: int) -> float:
    """The least is chosen."""
    return board.near[DELAY, board.jobs[j].place, r]
