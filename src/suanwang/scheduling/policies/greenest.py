"""Where it emits least by the carbon intensity of the moment it is placed."""

from __future__ import annotations

from suanwang.scheduling.policies.board import Board
from suanwang.scheduling.policies.compiled import kernel
from suanwang.scheduling.policies.reckoning import grams

CODE = 2


@kernel
def rank(board: Board, j: int, r: int, now_ms: int) -> float:
    """The least is chosen."""
    return grams(board, j, r, now_ms, now_ms)
