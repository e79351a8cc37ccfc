"""What a way to run comes to: hours, yuan, carbon, and the score that makes sites comparable.

Owns the formulas, over all rows of a shape at once and for a single one; both do the same operations in the same order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from suanwang.electricity.supply import EPOCH
from suanwang.scheduling.ahead import Integrals
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.paying import Course, Listed, Units, course_of, uncovered
from suanwang.scheduling.snapshot import Floats, Ints, Rows, Unit

N = TypeVar("N", np.int64, np.float64, np.bool_)


def run_s(of: Shape, rows: Rows) -> Floats | float:
    """`[r]`, or one figure for all rows: how long the run is reckoned to take; the time limit ends it."""
    need = of.resources
    if need.expected_s is None:
        return float(need.time_limit_s)
    if rows.even or of.bound_yuan is not None:
        return float(min(need.expected_s, need.time_limit_s))
    return np.minimum(need.expected_s * rows.slowness, float(need.time_limit_s))


def run_s_of(of: Shape, unit: Unit) -> float:
    need = of.resources
    if need.expected_s is None:
        return float(need.time_limit_s)
    slowness = unit.slowness if of.bound_yuan is None else 1.0
    return min(need.expected_s * slowness, float(need.time_limit_s))


def hourly_yuan(of: Shape, rows: Rows, pick: Ints | slice) -> Floats:
    if of.bound_yuan is not None:
        return np.full(len(rows.pools), of.bound_yuan)[pick]
    core_yuan, gb_yuan, device_yuan = rows.core_yuan, rows.gb_yuan, rows.device_yuan
    if of.payer is not None and rows.paying is not None:
        core_yuan, gb_yuan, device_yuan = rows.paying.course(of.payer).posted
    hourly = picked(core_yuan, pick) * of.cores
    hourly += picked(gb_yuan, pick) * of.memory_gb
    if of.devices:
        hourly += picked(device_yuan, pick) * of.devices
    return hourly


def course(of: Shape, rows: Rows, *, covered: bool = True) -> Course | None:
    """What price lists ask of such jobs over time, beside the hourly prices; None where none does. `covered`: as if what
    plans have paid sufficed."""
    if of.bound_yuan is not None:
        if of.bound_listed is None:
            return None
        listed = of.bound_listed if covered else uncovered(of.bound_listed)
        return _bound(listed, len(rows.pools), rows.ahead.now_ms)
    if of.payer is None or rows.paying is None:
        return None
    return rows.paying.course(of.payer if covered else replace(of.payer, covers=()))


@lru_cache(64)
def _bound(listed: Listed, count: int, now_ms: int) -> Course:
    """Of a job whose quote promised these lists: the same on every row."""
    return course_of([listed] * count, np.zeros((3, count)), EPOCH + timedelta(milliseconds=now_ms))


def units(of: Shape) -> Units:
    return Units(of.cores, of.memory_gb, of.devices)


def run_yuan_of(of: Shape, rows: Rows, row: int, hours: float) -> float:
    """What a run from now on costs, without electricity that is paid beside its price."""
    follows = course(of, rows)
    if follows is None:
        return hourly_yuan_of(of, rows.units[row]) * hours
    index = np.array([row])
    return (hourly_yuan(of, rows, index) * hours + follows.over(units(of), index, hours)).item()


def hourly_yuan_of(of: Shape, unit: Unit) -> float:
    if of.bound_yuan is not None:
        return of.bound_yuan
    hourly = unit.core_yuan * of.cores + unit.gb_yuan * of.memory_gb
    return hourly + unit.device_yuan * of.devices if of.devices else hourly


def limit_yuan(of: Shape, rows: Rows) -> Floats:
    """`[r]`: what a run up to the time limit would cost, at the dearest hours of the week: it may start later than planned."""
    return _most_yuan(of, rows, of.resources.time_limit_s / 3600)


def hold_fen(of: Shape, rows: Rows, span_s: float) -> Floats:
    """`[r]`: whole fen that a run may come to in `span_s`, or by its time limit, at the dearest hours of the week."""
    yuan = _most_yuan(of, rows, min(span_s, of.resources.time_limit_s) / 3600)
    # A fen more, because bills round a running total.
    return np.where(yuan > 0, np.ceil((yuan * 100).round(6)) + 1, 0)


def _most_yuan(of: Shape, rows: Rows, hours: float) -> Floats:
    limit = hourly_yuan(of, rows, slice(None)) * hours
    follows = course(of, rows, covered=False)
    if follows is not None:
        limit = (limit + follows.most(units(of), hours)).round(6)
    due = electricity(of, rows, slice(None))
    if due is not None:
        limit += power(of, rows, slice(None)) * due[0].most(due[1], hours)
        # Sums of many hours are off in their last digits; a budget that is just enough holds.
        limit = limit.round(6)
    return limit


def electricity(of: Shape, rows: Rows, pick: Ints | slice) -> tuple[Integrals, Ints] | None:
    """What users pay for a kWh, and the function of it that each picked row has; None where nobody pays any."""
    if of.bound_yuan is not None:
        if of.bound_tariff is None:
            return None
        return rows.ahead.bound(of.bound_tariff), np.zeros(len(picked(rows.tariff, pick)), np.int64)
    return (rows.ahead.yuan, picked(rows.tariff, pick)) if rows.ahead.charged else None


def drawn_yuan_of(of: Shape, rows: Rows, row: int, hours: float) -> float:
    """What users pay for the electricity of a run that starts now, beside the posted price."""
    due = electricity(of, rows, np.array([row]))
    return power_kw(of, rows.units[row]) * due[0].over(due[1], hours).item() if due is not None else 0.0


def carbon_hours_of(rows: Rows, row: int, hours: float) -> float:
    """Hours of average carbon that a run emits as much as."""
    return rows.ahead.carbon.over(rows.day[row : row + 1], hours).item() if rows.ahead.shaped else hours


def power(of: Shape, rows: Rows, pick: Ints | slice) -> Floats:
    drawn = picked(rows.core_kw, pick) * of.cores
    if of.devices:
        drawn += picked(rows.device_kw, pick) * of.devices
    return drawn


def power_kw(of: Shape, unit: Unit) -> float:
    return unit.core_kw * of.cores + unit.device_kw * of.devices


def score(of: Shape, rows: Rows, pick: Ints | slice, count: int, run_s: Floats | float) -> Floats:
    """`[k]`: weighted sum over the `count` picked rows of each figure over the least of it; 1 is best in everything."""
    wanted = of.objective
    whole = wanted.price + wanted.carbon + wanted.finish
    hours = run_s / 3600 if isinstance(run_s, float) else picked(run_s, pick) / 3600
    found = np.zeros(count, np.float64)
    if wanted.price:
        yuan = hourly_yuan(of, rows, pick) * hours
        follows = course(of, rows)
        if follows is not None:
            yuan = yuan + follows.over(units(of), pick, hours)
        due = electricity(of, rows, pick)
        if due is not None:
            yuan += power(of, rows, pick) * due[0].over(due[1], hours)
        add(found, yuan, wanted.price / whole)
    if wanted.carbon:
        carbon = picked(rows.core_carbon_g, pick) * of.cores
        if of.devices:
            carbon += picked(rows.device_carbon_g, pick) * of.devices
        carbon *= rows.ahead.carbon.over(picked(rows.day, pick), hours) if rows.ahead.shaped else hours
        add(found, carbon, wanted.carbon / whole)
    if isinstance(hours, float):
        found += wanted.finish / whole
    elif wanted.finish:
        add(found, hours, wanted.finish / whole)
    return found


def picked(values: npt.NDArray[N], pick: Ints | slice) -> npt.NDArray[N]:
    """`values[pick]`, the quicker way."""
    return values[pick] if isinstance(pick, slice) else values.take(pick)


def add(score: Floats, figure: Floats, weight: float) -> None:
    """Add `figure` over the least of it; over 1 where that is nothing, so that the others count in their own unit."""
    least = float(figure.min())
    figure *= weight / (least if least > 0 else 1.0)
    score += figure
