"""Energy of a run. Owns the power model; knows nothing of grids, prices or carbon."""

from __future__ import annotations

from suanwang.measuring.interval import Interval
from suanwang.measuring.workclass import WorkClass

HOST_SHARE = 1.1
"""Power of a card with its share of host, memory, network and fans over the card's rated power when training: Patterson
2021, table 4, measured 330 W for a V100 of 300 W, and 1.0 to 1.1 for TPUs."""

_LOAD = {
    WorkClass.DECODE: 0.75,
    WorkClass.PREFILL: 0.95,
    WorkClass.FP64_SIMULATION: 0.85,
}
"""Power drawn over that of training, by class: memory-bound work leaves the matrix units idle (Patel 2024, figure
6)."""

SPREAD = 1.1
"""Rated and real power differ by up to this factor either way (Patterson 2021, table 4)."""


def energy_kwh(card_hours: Interval, *, power_w: float, work_class: WorkClass, pue: float) -> Interval:
    """kWh at the meter of the site: card-hours × rated power × host share × load × PUE (Patterson 2021, section
    2.1)."""
    factor = power_w / 1e3 * HOST_SHARE * _LOAD.get(work_class, 1.0) * pue
    return Interval(
        low=card_hours.low * factor / SPREAD,
        mid=card_hours.mid * factor,
        high=card_hours.high * factor * SPREAD,
        level=card_hours.level,
    )
