"""Rating: from a usage record and a price to yuan, and from yuan to fen.

Owns the one formula that bills are made and checked with. Pure, so that the same record and price give the same amount
at any time and in anybody's hands.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate
from suanwang.electricity.supply import milliseconds, passed_on
from suanwang.electricity.tariff import slot_at

HOUR_US = Decimal(3_600_000_000)
FEN = Decimal(100)
EXACT = Decimal("0.00000001")
_BEGUN = Decimal("0.0001")


def electricity_rate(price: Price, power_kw: float, at: datetime) -> ElectricityRate | None:
    """What the electricity of a record that begins at `at` is rated with, where users pay it."""
    tariff = passed_on(price)
    if tariff is None:
        return None
    slot = slot_at(tariff, milliseconds(at))
    return ElectricityRate(yuan_per_kwh=slot.yuan_per_kwh, power_kw=power_kw, tier=slot.tier)


def rated_yuan(
    record: UsageRecord, price: Price, started_at: datetime, electricity: ElectricityRate | None = None
) -> Decimal:
    """Yuan: quantity × hours × price, of which energy is power × hours.

    The difference of two running totals since the run's start, so that however its time is cut, the parts sum to the
    same; negative where time is taken back.
    Where electricity is paid, a record lies within hours of one price: each stretch of one price sums by itself.
    """
    device = price.device_hour_yuan.get(record.device_model, Decimal(0)) if record.device_model else Decimal(0)
    hourly = (
        record.cores * price.core_hour_yuan
        + Decimal(repr(record.memory_gb)) * price.memory_gb_hour_yuan
        + record.devices * device
    )
    if electricity is not None:
        hourly += Decimal(repr(float(electricity.power_kw))) * electricity.yuan_per_kwh
    return record.sign * (_until(hourly, record.to_at - started_at) - _until(hourly, record.from_at - started_at))


def used_us(line: BillLine) -> int | None:
    """What its project had used in the month before a line's record, as the line says."""
    return None if line.pricing is None else line.pricing.used_us


def _until(hourly: Decimal, run: timedelta) -> Decimal:
    return (hourly * Decimal(run // timedelta(microseconds=1)) / HOUR_US).quantize(EXACT, rounding=ROUND_HALF_EVEN)


def drawn(record: UsageRecord, power_kw: float) -> bool:
    """Whether the record's energy is what `power_kw` draws in its time, but for the last digits of floats."""
    energy = record.sign * power_kw * ((record.to_at - record.from_at) / timedelta(hours=1))
    return math.isclose(record.energy_kwh, energy, rel_tol=1e-9, abs_tol=1e-15)


def billed_fen(total_yuan: Decimal) -> int:
    """A running total in fen; a line's amount is what it adds to the last one, so that lines sum exactly.

    A fen that was begun is due, so that work cut into ever so many tiny jobs costs no less than in one. What is below a
    ten-thousandth of a fen is of the rounding of records, and begins none.
    """
    return int((total_yuan * FEN).quantize(_BEGUN, rounding=ROUND_HALF_EVEN).to_integral_value(rounding=ROUND_CEILING))
