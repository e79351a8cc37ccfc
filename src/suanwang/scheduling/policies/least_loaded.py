"""Where the fullest resource has the most left: what a round-robin or load-balancing broker does."""

from __future__ import annotations

from suanwang.scheduling.policies.board import Board
from suanwang.scheduling.policies.compiled import inlined
from suanwang.scheduling.policies.reckoning import load

CODE = 0


@inlined
def rank(board: Board, j: int, r: int, now_ms: int) -> float:
    """The least is chosen."""
    return load(board, r)
