"""What electricity costs users and emits from the instant of a decision on, for the tariffs and days that sites have.

Owns integrals over the days ahead, for all sites at once: sites share tariffs, so there are few different ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

import numpy as np

from suanwang.domain.site import Offering
from suanwang.domain.tariff import Tariff
from suanwang.electricity.daily import factor_at
from suanwang.electricity.series import HOUR_MS, Floats, Ints
from suanwang.electricity.supply import milliseconds, passed_on
from suanwang.electricity.tariff import STEP_MS, STEPS, price_series

T = TypeVar("T", bound=Hashable)
HORIZON_DAYS = 8
HORIZON_STEPS = HORIZON_DAYS * STEPS
_STEP_H = STEP_MS / HOUR_MS


class Integrals:
    """Integrals of several step functions from the present half hour on, in value × hours."""

    __slots__ = ("_columns", "_daily", "_day", "_most", "_total_columns", "_totals")

    def __init__(self, values: Floats) -> None:
        """`values[p, k]`: in the `k`-th half hour."""
        self._totals = np.concatenate((np.zeros((len(values), 1)), np.cumsum(values, axis=1) * _STEP_H), axis=1)
        self._day = self._totals[:, -1] - self._totals[:, -1 - STEPS]
        self._columns, self._total_columns = np.ascontiguousarray(values.T), np.ascontiguousarray(self._totals.T)
        self._daily = bool((values[:, STEPS:] == values[:, :-STEPS]).all())
        self._most: dict[float, Floats] = {}

    def totals(self, steps: int) -> Floats:
        """`[p, k]`: from the beginning of the present half hour until `k` half hours later, within the horizon."""
        return self._totals[:, : steps + 1]

    def most(self, profile: Ints, hours: float) -> Floats:
        """`[r]`: the most over so many hours, whenever in the next week they begin."""
        found = self._most.get(hours)
        if found is None:
            found = self._most[hours] = self._dearest(hours)
        return found.take(profile)

    def _dearest(self, hours: float) -> Floats:
        """`[p]`: the dearest stretch begins or ends where the function steps."""
        whole = int(hours // _STEP_H)
        rest, days = hours - whole * _STEP_H, 1 if self._daily else HORIZON_DAYS - 1
        edges = np.arange(days * STEPS)
        ends = edges + whole
        rounds = np.maximum(0, (ends - len(self._columns)) // STEPS + 1)
        inside = ends - rounds * STEPS
        before = self._columns[(edges - 1) % STEPS if self._daily else np.maximum(edges - 1, 0)]
        total = self._total_columns[inside] - self._total_columns[edges] + rounds[:, None] * self._day
        found: Floats = (total + np.maximum(self._columns[inside], before) * rest).max(axis=0)
        return found


class Ahead:
    """For each site the price that its users pay beside the posted one, and its carbon over its annual average."""

    __slots__ = ("_begun_ms", "_bound", "carbon", "charged", "day", "now_ms", "shaped", "tariff", "yuan")

    def __init__(self, offers: Sequence[Offering], now: datetime) -> None:
        self.now_ms = milliseconds(now)
        self._begun_ms = begun_ms = self.now_ms // STEP_MS * STEP_MS
        self._bound: dict[Tariff, Integrals] = {}
        tariffs, self.tariff = _numbered([passed_on(offer.price) for offer in offers])
        days, self.day = _numbered([offer.carbon_daily for offer in offers])
        self.charged = any(tariff is not None for tariff in tariffs)
        """Whether users pay electricity anywhere."""
        self.shaped = any(days)
        """Whether carbon follows the hour anywhere."""
        self.yuan = Integrals(_stacked([_prices(tariff, begun_ms) for tariff in tariffs]))
        """By `tariff[s]`."""
        self.carbon = Integrals(_stacked([_factors(day, begun_ms) for day in days]))
        """By `day[s]`."""

    def bound(self, tariff: Tariff) -> Integrals:
        """One function: of a tariff that a quote promised, whatever the site has now."""
        found = self._bound.get(tariff)
        if found is None:
            found = self._bound[tariff] = Integrals(_stacked([_prices(tariff, self._begun_ms)]))
        return found


def _numbered(values: Sequence[T]) -> tuple[list[T], Ints]:
    """The different values, and for each its number."""
    numbers: dict[T, int] = {}
    found = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(found, np.int64)


def _stacked(rows: Sequence[Floats]) -> Floats:
    return np.stack(rows) if rows else np.zeros((0, HORIZON_STEPS))


@lru_cache(1024)
def _prices(tariff: Tariff | None, begun_ms: int) -> Floats:
    if tariff is None:
        return np.zeros(HORIZON_STEPS)
    at = begun_ms + np.arange(HORIZON_STEPS, dtype=np.int64) * STEP_MS
    return price_series(tariff, begun_ms, begun_ms + HORIZON_STEPS * STEP_MS).at(at)


@lru_cache(1024)
def _factors(day: tuple[float, ...], begun_ms: int) -> Floats:
    return np.array([factor_at(day, begun_ms + at * STEP_MS) for at in range(HORIZON_STEPS)], np.float64)
