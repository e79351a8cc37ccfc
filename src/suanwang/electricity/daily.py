"""A day's shape of carbon intensity around the official annual factor. A model, and to be called one wherever it shows.

Owns the model: hourly intensity of Chinese provinces is published nowhere, only its annual average is. The sun's share of a
province's electricity comes when the sun shines and emits nothing; the rest emits evenly. So with share `s` and sunshine
`sun[h]` of mean 1, intensity over its average is `(1 - s * sun[h]) / (1 - s)`, whose mean is 1: the annual factor holds.
Seasons, weather, wind, load and exchange between grids are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS

HOURS = 24
SUNNY_SHARE, MILD_SHARE = 0.20, 0.05
"""Assumed shares of solar electricity: in the sunny provinces of the north and west, and elsewhere."""
SHARES: Mapping[str, float] = MappingProxyType(
    dict.fromkeys(
        ("inner-mongolia", "shaanxi", "gansu", "qinghai", "ningxia", "xinjiang", "tibet"),
        SUNNY_SHARE,
    )
)
"""By the catalogue's identifier of a province; `MILD_SHARE` where it is not named."""
DAY_LENGTH_H = 13.0
"""From the first light on a panel to the last, over the year."""
_LOCAL_MS, _DAY_MS = 8 * HOUR_MS, HOURS * HOUR_MS
_MERIDIAN_DEG, _DEG_PER_HOUR = 120.0, 15.0
"""UTC+8 is the sun's time at 120°E; each 15° further west noon is an hour later."""
_PARTS = 60
"""Points an hour's mean is taken over."""


def modelled_day(province: str, longitude: float) -> tuple[float, ...]:
    """`[24]`: factors on the annual average for the hours of a day in UTC+8, in thousandths, with mean exactly 1."""
    if not -180 <= longitude <= 180:
        raise InvalidRequest(f"longitude {longitude} is not possible", field="longitude", allowed="-180 to 180")
    share = SHARES.get(province, MILD_SHARE)
    noon = 12.0 + (_MERIDIAN_DEG - longitude) / _DEG_PER_HOUR
    sun = [sum(_sun(hour + (part + 0.5) / _PARTS - noon) for part in range(_PARTS)) for hour in range(HOURS)]
    mean = sum(sun) / HOURS
    return _thousandths([max(0.0, (1 - share * light / mean) / (1 - share)) for light in sun])


def _sun(after_noon_h: float) -> float:
    """Sunlight on a clear day, over that at noon: half a wave of a cosine."""
    away = abs((after_noon_h + 12) % 24 - 12)
    return math.cos(math.pi * away / DAY_LENGTH_H) if away < DAY_LENGTH_H / 2 else 0.0


def _thousandths(values: Sequence[float]) -> tuple[float, ...]:
    """Rounded so that they sum to 24 exactly, by largest remainder; of equal ones the first gains."""
    scale = 1000 * HOURS / sum(values)
    whole = [int(value * scale) for value in values]
    order = sorted(range(HOURS), key=lambda hour: (whole[hour] - values[hour] * scale, hour))
    for hour in order[: 1000 * HOURS - sum(whole)]:
        whole[hour] += 1
    return tuple(part / 1000 for part in whole)


def check_daily(daily: Sequence[float], field: str) -> None:
    """Raises `InvalidRequest` unless it is empty, or 24 factors of at least 0 whose mean is 1."""
    if not daily:
        return
    fits = len(daily) == HOURS and all(0 <= factor <= HOURS for factor in daily)
    if not fits or abs(sum(daily) - HOURS) > 0.001:
        raise InvalidRequest("this is no daily shape", field=field, allowed="24 factors of 0 or more with mean 1")


def factor_at(daily: Sequence[float], at_ms: int) -> float:
    """The factor on the annual average at an instant; 1 where no shape is given."""
    return daily[(at_ms + _LOCAL_MS) // HOUR_MS % HOURS] if daily else 1.0


def mean_factor(daily: Sequence[float], from_ms: int, to_ms: int) -> float:
    """The mean factor over [`from_ms`, `to_ms`)."""
    if not daily or to_ms <= from_ms:
        return factor_at(daily, from_ms)
    begun_ms = from_ms // _DAY_MS * _DAY_MS  # All days are alike; sums since 1970 would leave a millisecond few digits.
    return (_until(daily, to_ms - begun_ms) - _until(daily, from_ms - begun_ms)) / (to_ms - from_ms)


def _until(daily: Sequence[float], at_ms: int) -> float:
    """Factor × ms since the local midnight on or before instant 0."""
    hours, part = divmod(at_ms + _LOCAL_MS, HOUR_MS)
    days, hour = divmod(hours, HOURS)
    return (days * sum(daily) + sum(daily[:hour])) * HOUR_MS + daily[hour] * part
