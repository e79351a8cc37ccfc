"""What a voucher pays of a bill, as numbers: its part of a running total, and what somebody is told of it.

Owns the one formula by which a voucher's part is held, quoted and settled. Whose it is and where it pays is `trading.vouchers`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_BP = 10_000
"""Basis points in one."""


@dataclass(frozen=True, slots=True)
class Portion:
    """At most `share_bp` of a job's bill, rounded down to the fen, and at most `cap_fen` of it."""

    share_bp: int
    cap_fen: int | None

    def of(self, total_fen: int) -> int:
        """The part of a job's bill of `total_fen`."""
        part = max(total_fen, 0) * self.share_bp // WHOLE_BP
        return part if self.cap_fen is None else min(part, self.cap_fen)

    def grown(self, before_fen: int, amount_fen: int) -> int:
        """What it grows by, from `before_fen` by `amount_fen`; a correction, which is negative, is the project's alone."""
        return max(0, min(self.of(before_fen + amount_fen) - self.of(before_fen), amount_fen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """What a voucher would pay of an expected price, as things stand."""

    voucher: str
    yuan: float
