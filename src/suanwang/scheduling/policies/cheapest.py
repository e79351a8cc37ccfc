"""Where it costs least by the prices of the moment it is placed: what a price broker such as SkyPilot does."""

from __future__ import annotations

from suanwang.scheduling.policies.board import Board
from suanwang.scheduling.policies.compiled import kernel
from suanwang.scheduling.policies.reckoning import yuan

CODE = 1


@kernel
def rank(board: Board, j: int, r: int, now_ms: int) -> float:
    """The least is chosen."""
    return yuan(board, j, r, now_ms, now_ms)
