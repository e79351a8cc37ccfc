"""Outages drawn with a seed: rows lose a share of their capacity and get it back.

Owns the model: of each row, times to failure and to repair are exponential and independent.
"""

from __future__ import annotations

import numpy as np

from suanwang.electricity.series import HOUR_MS
from suanwang.twin.engine import NO_FAULTS, Faults

MILLION = 1_000_000


def outages(
    rows: int, start_ms: int, end_ms: int, *, every_days: float, hours: float, share: float, chance: np.random.Generator
) -> Faults:
    """Outages of `rows` rows that begin within the span; every one of them ends, if later."""
    if every_days <= 0:
        return NO_FAULTS
    found: list[tuple[int, int, int]] = []
    part = round(share * MILLION)
    for row in range(rows):
        at = float(start_ms)
        while True:
            at += chance.exponential(every_days * 24 * HOUR_MS)
            if at >= end_ms:
                break
            back = at + max(1.0, chance.exponential(hours * HOUR_MS))
            found += [(round(at), row, part), (round(back), row, -part)]
            at = back
    found.sort()
    columns = np.array(found, np.int64).reshape(-1, 3)
    return Faults(at_ms=columns[:, 0].copy(), row=columns[:, 1].copy(), share=columns[:, 2].copy())
