"""Hours, yuan and power of all rows for one shape: what hard limits, holds of money and the board's prices are made from.

What a start comes to beside others is `seating`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

import numpy as np

from suanwang.electricity.supply import EPOCH
from suanwang.electricity.tariff import STEP_MS
from suanwang.scheduling.ahead import HORIZON_STEPS, Integrals
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.paying import Course, Listed, Units, course_of, uncovered
from suanwang.scheduling.policies.compiled import plain
from suanwang.scheduling.policies.reckoning import until
from suanwang.scheduling.snapshot import Floats, Ints, Rows

_until = plain(until)


def run_s(of: Shape, rows: Rows) -> Floats | float:
    """`[r]`, or one figure for all rows: how long the run is reckoned to take; the time limit ends it."""
    need = of.resources
    if need.expected_s is None:
        return float(need.time_limit_s)
    if rows.even or of.bound_yuan is not None:
        return float(min(need.expected_s, need.time_limit_s))
    return np.minimum(need.expected_s * rows.slowness, float(need.time_limit_s))


def hourly_yuan(of: Shape, rows: Rows) -> Floats:
    """`[r]`: what does not change by the hour."""
    if of.bound_yuan is not None:
        return np.full(len(rows.pools), of.bound_yuan)
    core_yuan, gb_yuan, device_yuan = rows.core_yuan, rows.gb_yuan, rows.device_yuan
    if of.payer is not None and rows.paying is not None:
        core_yuan, gb_yuan, device_yuan = rows.paying.course(of.payer, of.devices).posted
    return core_yuan * of.cores + gb_yuan * of.memory_gb + device_yuan * of.devices


def course(of: Shape, rows: Rows, *, covered: bool = True) -> Course | None:
    """What price lists ask of such jobs over time, beside the hourly prices; None where none does. `covered`: with
    what plans have paid and volume takes off, as if nobody else of the project used it first."""
    if of.bound_yuan is not None:
        if of.bound_listed is None:
            return None
        listed = of.bound_listed if covered else uncovered(of.bound_listed)
        return _bound(listed, len(rows.pools), rows.ahead.now_ms)
    if of.payer is None or rows.paying is None:
        return None
    if not covered:
        return rows.paying.course(replace(of.payer, covers=(), used=()))
    return rows.paying.course(of.payer, of.devices)


@lru_cache(64)
def _bound(listed: Listed, count: int, now_ms: int) -> Course:
    """Of a job whose quote promised these lists: the same on every row."""
    return course_of([listed] * count, np.zeros((3, count)), EPOCH + timedelta(milliseconds=now_ms))


def units(of: Shape) -> Units:
    return Units(of.cores, of.memory_gb, of.devices)


def limit_yuan(of: Shape, rows: Rows) -> Floats:
    """`[r]`: what a run up to the time limit would cost, at the dearest hours of the week: it may start later than planned."""
    return _most_yuan(of, rows, of.resources.time_limit_s / 3600)


def hold_fen(of: Shape, rows: Rows, span_s: float) -> Floats:
    """`[r]`: whole fen that a run may come to in `span_s`, or by its time limit, at the dearest hours of the week."""
    yuan = _most_yuan(of, rows, min(span_s, of.resources.time_limit_s) / 3600)
    # A fen more, because bills round a running total.
    return np.where(yuan > 0, np.ceil((yuan * 100).round(6)) + 1, 0)


def _most_yuan(of: Shape, rows: Rows, hours: float) -> Floats:
    limit = hourly_yuan(of, rows) * hours
    follows = course(of, rows, covered=False)
    if follows is not None:
        limit = (limit + follows.most(units(of), hours)).round(6)
    due = electricity(of, rows)
    if due is not None:
        limit += power(of, rows) * due[0].most(due[1], hours)
        # Sums of many hours are off in their last digits; a budget that is just enough holds.
        limit = limit.round(6)
    return limit


def electricity(of: Shape, rows: Rows) -> tuple[Integrals, Ints] | None:
    """What users pay for a kWh beside other prices, and the function of it that each row has; None where nobody pays any."""
    if of.bound_yuan is None:
        return (rows.ahead.yuan, rows.tariff) if rows.ahead.charged else None
    return (rows.ahead.bound(of.bound_tariff), np.zeros_like(rows.tariff)) if of.bound_tariff is not None else None


def drawn_yuan_of(of: Shape, rows: Rows, row: int, ran_ms: float) -> float:
    """What users pay for the electricity of a run that starts now, beside other prices."""
    due = electricity(of, rows)
    if due is None:
        return 0.0
    total, begun_ms = due[0].totals(HORIZON_STEPS)[due[1].item(row)], rows.ahead.now_ms % STEP_MS
    kwh_yuan = _until(total, begun_ms + ran_ms, STEP_MS) - _until(total, begun_ms, STEP_MS)
    return power_kw(of, rows, row) * float(kwh_yuan)


def power(of: Shape, rows: Rows) -> Floats:
    return rows.core_kw * of.cores + rows.device_kw * of.devices


def power_kw(of: Shape, rows: Rows, row: int) -> float:
    return float(rows.core_kw.item(row) * of.cores + rows.device_kw.item(row) * of.devices)
