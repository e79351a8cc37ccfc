"""A time-of-use tariff of electricity: which tier holds at which hour of which day, and what a kWh costs in it.

Owns the values. Hours and days are those of UTC+8, which all areas keep. How a price at an instant follows is
`electricity.tariff`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Tier(StrEnum):
    """Dearest first; a dearer one overrides a cheaper one, but deep overrides valley."""

    SHARP = "sharp"
    """尖峰"""
    PEAK = "peak"
    """高峰"""
    FLAT = "flat"
    """平段: all hours that no period names."""
    VALLEY = "valley"
    """低谷"""
    DEEP = "deep"
    """深谷"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Hours that bear one tier in some part of the year."""

    tier: Tier
    hours: tuple[tuple[int, int], ...]
    """(from, until) in minutes after midnight, until not included; 1380 to 420 goes over midnight."""
    multiplier: Decimal
    """On the flat price."""
    seasons: tuple[tuple[int, int], ...] = ()
    """(first, last) day as month × 100 + day, both included; 1201 to 229 goes over New Year. Empty: the whole year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Yuan per kWh = fixed + flat × multiplier of the period that holds, 1 where none does."""

    flat_yuan_per_kwh: Decimal
    fixed_yuan_per_kwh: Decimal = Decimal(0)
    """What does not float with the hour: transmission, funds, losses."""
    periods: tuple[Period, ...] = ()
    area: str = ""
    """The catalogue's identifier, where it is a published schedule."""
    document: str = ""
    """Number of the document it follows."""
    assumed: tuple[str, ...] = ()
    """What of it no document gave: `price`, `multipliers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityRate:
    """What the electricity of one bill line is rated with."""

    yuan_per_kwh: Decimal
    power_kw: float
    """Drawn all the time."""
    tier: Tier
