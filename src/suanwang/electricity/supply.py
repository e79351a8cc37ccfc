"""What electricity costs and emits at a site over time, as its declaration says.

Owns the two series. Both are known ahead: a tariff is published, and the daily shape of carbon is a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.site import Offering, Price
from suanwang.domain.tariff import Tariff
from suanwang.electricity.daily import HOURS, factor_at
from suanwang.electricity.outlook import Expected, Issues, expected, known
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


def electricity_of(offering: Offering, from_ms: int, to_ms: int) -> tuple[Series, Series]:
    """Yuan per kWh and g CO2 per kWh at a site over [`from_ms`, `to_ms`).

    The price is 0 where the site names no tariff. Whether users pay it beside the posted price is
    `offering.price.electricity_passed_on`; where not, it is the provider's own cost. Raises `InvalidRequest`.
    """
    if to_ms <= from_ms:
        raise InvalidRequest("a series needs some time", field="to_ms", allowed="after from_ms")
    tariff = offering.price.electricity
    price = constant(0.0, from_ms, to_ms) if tariff is None else price_series(tariff, from_ms, to_ms)
    return price, carbon_series(offering, from_ms, to_ms)


def published(offers: Sequence[Offering], issues: Issues) -> Expected:
    """What is known ahead of every site, at each issue: tariffs are published, and the modelled day is the same each day."""
    until_ms = issues.start_ms + issues.count * issues.issue_ms + issues.steps * issues.step_ms
    pairs = [electricity_of(offer, issues.start_ms, until_ms) for offer in offers]
    return expected(
        issues, [known(price, issues) for price, _ in pairs], [known(carbon, issues) for _, carbon in pairs]
    )


def carbon_series(offering: Offering, from_ms: int, to_ms: int) -> Series:
    """g CO2 per kWh by the hour: the annual average, times the day's modelled shape where the site has one."""
    daily = offering.carbon_daily
    if not daily:
        return constant(offering.carbon_g_per_kwh, from_ms, to_ms)
    first, last = from_ms // HOUR_MS, -(-to_ms // HOUR_MS)
    begun = first * HOUR_MS
    shape = np.array([factor_at(daily, begun + hour * HOUR_MS) for hour in range(HOURS)], np.float64)
    values = offering.carbon_g_per_kwh * np.resize(shape, last - first)
    return Series(start_ms=begun, step_ms=HOUR_MS, values=values)


def constant(value: float, from_ms: int, to_ms: int) -> Series:
    """One step that holds from the hour of `from_ms` on."""
    first, last = from_ms // HOUR_MS, -(-to_ms // HOUR_MS)
    return Series(start_ms=first * HOUR_MS, step_ms=HOUR_MS, values=np.full(last - first, value))


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
