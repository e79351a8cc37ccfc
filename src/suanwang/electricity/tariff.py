"""Time-of-use tariffs: the tier and the price at an instant, where they change, and what an energy costs.

Owns the turn from periods to prices. All areas keep UTC+8, whatever their longitude; boundaries lie on half hours. Holidays
and days called out by the weather are in no period: they are not known from the calendar alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import combinations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Period, Tariff, Tier
from suanwang.electricity.series import HOUR_MS, Floats, Series

STEP_MS = HOUR_MS // 2
"""Between instants at which a price may change."""
STEPS = 48
"""In a day."""
LOCAL_MS = 8 * HOUR_MS
"""UTC+8."""
MOST_YUAN, MOST_MULTIPLIER = Decimal(1000), Decimal(100)
MOST_DECIMALS, MOST_MULTIPLIER_DECIMALS = 5, 4
"""A price is their product: a bill carries at most nine digits behind the point."""
MOST_PERIODS, MOST_RANGES = 60, 24
MOST_NAME, MOST_TEXT = 80, 200
ASSUMED = ("price", "multipliers")
_EPOCH = date(1970, 1, 1).toordinal()
_WINS = (Tier.SHARP, Tier.DEEP, Tier.PEAK, Tier.VALLEY)
"""Of two periods at one instant the one whose tier stands first holds."""
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Slot:
    """What holds for one half hour."""

    tier: Tier
    yuan_per_kwh: Decimal


def slot_at(tariff: Tariff, at_ms: int) -> Slot:
    """Tier and price at an instant."""
    step = (at_ms + LOCAL_MS) // STEP_MS
    return _day(tariff, _month_day(step // STEPS))[step % STEPS]


def next_change_ms(tariff: Tariff, at_ms: int, until_ms: int) -> int:
    """The first instant after `at_ms` at which tier or price change, or `until_ms` where that is earlier."""
    now = slot_at(tariff, at_ms)
    edge = (at_ms // STEP_MS + 1) * STEP_MS
    while edge < until_ms and slot_at(tariff, edge) == now:
        edge += STEP_MS
    return min(edge, until_ms)


def price_series(tariff: Tariff, from_ms: int, to_ms: int) -> Series:
    """Yuan per kWh over [`from_ms`, `to_ms`), by the hour, or by the half hour where the tariff needs it.

    It begins with the step that holds `from_ms`.
    """
    if to_ms <= from_ms:
        raise InvalidRequest("a series needs some time", field="to_ms", allowed="after from_ms")
    stride = 1 if _needs_half_hours(tariff) else 2
    first, last = (from_ms + LOCAL_MS) // STEP_MS, -((-to_ms - LOCAL_MS) // STEP_MS)
    first -= first % stride
    days = range(first // STEPS, (last - 1) // STEPS + 1)
    values = np.concatenate([_prices(tariff, _month_day(day)) for day in days])
    begun = first - days[0] * STEPS
    return Series(
        start_ms=first * STEP_MS - LOCAL_MS,
        step_ms=stride * STEP_MS,
        values=values[begun : begun + last - first : stride],
    )


def check_tariff(tariff: Tariff, field: str) -> None:
    """Raises `InvalidRequest` naming the field for a tariff that cannot be true or is ambiguous."""
    for name in ("flat_yuan_per_kwh", "fixed_yuan_per_kwh"):
        _check_amount(getattr(tariff, name), MOST_YUAN, MOST_DECIMALS, f"{field}.{name}")
    for name, most in (("area", MOST_NAME), ("document", MOST_TEXT)):
        text = getattr(tariff, name)
        if len(text) > most or not text.isprintable():
            raise InvalidRequest(f"this {name} cannot be", field=f"{field}.{name}", allowed=f"up to {most} characters")
    if not set(tariff.assumed) <= set(ASSUMED) or len(tariff.assumed) > len(ASSUMED):
        raise InvalidRequest("this cannot be assumed", field=f"{field}.assumed", allowed=", ".join(ASSUMED))
    if len(tariff.periods) > MOST_PERIODS:
        raise InvalidRequest("too many periods", field=f"{field}.periods", allowed=f"up to {MOST_PERIODS}")
    for at, period in enumerate(tariff.periods):
        _check_period(period, f"{field}.periods[{at}]")
    _check_overlaps(tariff, field)


def _check_amount(value: Decimal, most: Decimal, decimals: int, field: str) -> None:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -decimals or not 0 <= value <= most:
        allowed = f"0 to {most}, at most {decimals} digits behind the point"
        raise InvalidRequest(f"{field} = {value} is not possible", field=field, allowed=allowed)


def _check_period(period: Period, field: str) -> None:
    _check_amount(period.multiplier, MOST_MULTIPLIER, MOST_MULTIPLIER_DECIMALS, f"{field}.multiplier")
    if period.tier is Tier.FLAT:
        allowed = "sharp, peak, valley, deep; all other hours are flat"
        raise InvalidRequest("a flat period is not written down", field=f"{field}.tier", allowed=allowed)
    if not 1 <= len(period.hours) <= MOST_RANGES or len(period.seasons) > MOST_RANGES:
        raise InvalidRequest("a period needs hours", field=f"{field}.hours", allowed=f"1 to {MOST_RANGES} ranges")
    for start, end in period.hours:
        if not (0 <= start < 1440 and 0 < end <= 1440 and start != end) or start % 30 or end % 30:
            allowed = "half hours from 0:00 to 24:00, such as 8:30-11:30; 23-7 goes over midnight"
            raise InvalidRequest("these hours are not possible", field=f"{field}.hours", allowed=allowed)
    for day in (day for season in period.seasons for day in season):
        month, of_month = divmod(day, 100)
        if not (1 <= month <= 12 and 1 <= of_month <= _DAYS[month - 1]):
            raise InvalidRequest(f"{day} is no day", field=f"{field}.seasons", allowed="month × 100 + day")


def _check_overlaps(tariff: Tariff, field: str) -> None:
    """Sharp may lie in peak and deep in valley; else two prices would hold at once."""
    for month_day in sorted(_turns(tariff.periods)):
        found: dict[int, list[Period]] = {}
        for period in tariff.periods:
            if _in_season(period, month_day):
                for step in _steps(period):
                    found.setdefault(step, []).append(period)
        for step, together in found.items():
            for one, other in combinations(together, 2):
                if not _go_together(one, other):
                    when = f"{step // 2}:{step % 2 * 30:02d} on {month_day // 100}/{month_day % 100}"
                    raise InvalidRequest(
                        f"{one.tier} and {other.tier} both hold at {when}",
                        field=f"{field}.periods",
                        allowed="one period at each hour; sharp may lie in peak, deep in valley",
                    )


def _go_together(one: Period, other: Period) -> bool:
    if one.tier is other.tier:
        return one.multiplier == other.multiplier
    return {one.tier, other.tier} in ({Tier.SHARP, Tier.PEAK}, {Tier.DEEP, Tier.VALLEY})


def _turns(periods: Sequence[Period]) -> set[int]:
    """A day of each part of the year in which the same periods are in season."""
    found = {101}
    for period in periods:
        for first, last in period.seasons:
            month, day = divmod(last, 100)
            after = last + 1 if day < _DAYS[month - 1] else (month % 12 + 1) * 100 + 1
            found |= {first, after}
    return found


def _month_day(day: int) -> int:
    on = date.fromordinal(_EPOCH + day)
    return on.month * 100 + on.day


def _in_season(period: Period, month_day: int) -> bool:
    if not period.seasons:
        return True
    return any(
        first <= month_day <= last if first <= last else month_day >= first or month_day <= last
        for first, last in period.seasons
    )


def _steps(period: Period) -> Sequence[int]:
    return [step for step in range(STEPS) if any(_holds(step * 30, start, end) for start, end in period.hours)]


def _holds(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end


@lru_cache(4096)
def _day(tariff: Tariff, month_day: int) -> tuple[Slot, ...]:
    """`[48]`"""
    slots = [_slot(tariff, Tier.FLAT, Decimal(1))] * STEPS
    for tier in reversed(_WINS):
        for period in tariff.periods:
            if period.tier is tier and _in_season(period, month_day):
                slot = _slot(tariff, tier, period.multiplier)
                for step in _steps(period):
                    slots[step] = slot
    return tuple(slots)


def _slot(tariff: Tariff, tier: Tier, multiplier: Decimal) -> Slot:
    # Without zeros at the end, so that equal tariffs written differently give the same digits.
    return Slot(tier, (tariff.fixed_yuan_per_kwh + tariff.flat_yuan_per_kwh * multiplier).normalize())


@lru_cache(4096)
def _prices(tariff: Tariff, month_day: int) -> Floats:
    return np.array([float(slot.yuan_per_kwh) for slot in _day(tariff, month_day)], np.float64)


def _needs_half_hours(tariff: Tariff) -> bool:
    return any(edge % 60 for period in tariff.periods for hours in period.hours for edge in hours)
