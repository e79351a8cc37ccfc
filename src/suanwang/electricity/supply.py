"""What users pay for electricity as a site declares it, and instants as whole milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from suanwang.domain.site import Price
from suanwang.domain.tariff import Tariff
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.electricity.tariff import price_series

_DAY_MS = 24 * HOUR_MS
_BLOCK_MS, _YEAR_MS = 32 * _DAY_MS, 367 * _DAY_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    """Since 1970-01-01 UTC."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def instant(at_ms: int, like: datetime) -> datetime:
    """`at_ms` in the zone of `like`."""
    whole = like.replace(microsecond=like.microsecond // 1000 * 1000)
    return whole + timedelta(milliseconds=at_ms - milliseconds(whole))


def passed_on(price: Price) -> Tariff | None:
    """The tariff by which users pay electricity beside the posted price, if they do."""
    return price.electricity if price.electricity_passed_on else None


def drawn_yuan(price: Price, power_kw: float, from_ms: int, to_ms: int) -> float:
    """What users pay for `power_kw` drawn over [`from_ms`, `to_ms`), for plans and quotes; bills are rated in decimals."""
    tariff = passed_on(price)
    if tariff is None or to_ms <= from_ms:
        return 0.0
    return power_kw * float(_months(tariff, from_ms // _BLOCK_MS).integral(from_ms, to_ms))


@lru_cache(128)
def _months(tariff: Tariff, block: int) -> Series:
    """Prices of a block of days and a year on, made once for the many runs that are weighed against each other."""
    return price_series(tariff, block * _BLOCK_MS, (block + 1) * _BLOCK_MS + _YEAR_MS)
