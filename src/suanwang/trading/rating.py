"""Rating: from a usage record and a price to yuan, and from yuan to fen.

Owns the one formula that bills are made and checked with. Pure, so that the same record and price give the same amount
at any time and in anybody's hands.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from suanwang.domain.job import UsageRecord
from suanwang.domain.site import Price

HOUR_US = Decimal(3_600_000_000)
FEN = Decimal(100)
EXACT = Decimal("0.00000001")


def rated_yuan(record: UsageRecord, price: Price, started_at: datetime) -> Decimal:
    """Yuan: quantity × hours × price.

    The difference of two running totals since the run's start, so that however its time is cut, the parts sum to the
    same.
    """
    device = price.device_hour_yuan.get(record.device_model, Decimal(0)) if record.device_model else Decimal(0)
    hourly = (
        record.cores * price.core_hour_yuan
        + Decimal(repr(record.memory_gb)) * price.memory_gb_hour_yuan
        + record.devices * device
    )
    return _until(hourly, record.to_at - started_at) - _until(hourly, record.from_at - started_at)


def _until(hourly: Decimal, run: timedelta) -> Decimal:
    return (hourly * Decimal(run // timedelta(microseconds=1)) / HOUR_US).quantize(EXACT, rounding=ROUND_HALF_EVEN)


def billed_fen(total_yuan: Decimal) -> int:
    """A job's running total in fen; a line's amount is what it adds to the last one, so that lines sum exactly."""
    return int((total_yuan * FEN).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
