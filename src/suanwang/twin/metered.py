"""A site's meter beside what its jobs had: the watts of a busy core and device, and how wrong they would have been.

Owns what of a trace was busy while the meter read, and the errors by day of two ways to say power, neither of which looks
ahead. The model is `power`'s, files are the readers'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.twin.power import calibrated, mape_percent
from suanwang.twin.timeline import Steps, overlaps
from suanwang.twin.trace import Trace

Floats = npt.NDArray[np.float64]
DAY_MS = 24 * HOUR_MS
MILLI = 1_000
LOADS = ("cores", "devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watts:
    """What is drawn whatever runs, and by one busy core and device: least squares over all readings, none below 0."""

    idle_w: float
    core_w: float
    device_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredDay:
    """Mean absolute errors in percent over 24 hours from the meter's first reading or a day later; None where nothing
    was known yet."""

    day: int
    mean_kw: float
    online_percent: float | None
    """The calibrated model, the meter read so often."""
    watts_percent: float | None
    """Watts fitted to the days before alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    watts: Watts
    days: tuple[MeteredDay, ...]
    online_percent: float | None
    """From the second day on, or over all where there is one day."""
    watts_percent: float | None


def busy_of(trace: Trace, meter: Series) -> Floats:
    """`[t, 2]`: mean cores and devices in use in each step of the meter.

    A trace does not keep how long its jobs waited: each is taken to run from its submission. Raises `InvalidRequest` where
    it does not say when it begins.
    """
    if trace.epoch_ms is None:
        raise InvalidRequest(
            f"{trace.name} does not say when it begins",
            field="trace",
            allowed="a trace with dates, or a table of loads",
        )
    start = trace.submit_ms + trace.epoch_ms
    span = Steps(meter.start_ms, meter.step_ms, len(meter.values))
    row = np.zeros(len(trace), np.int64)
    loads = [
        overlaps(row, start, start + trace.run_ms, np.rint(units * MILLI).astype(np.int64), 1, span)[0]
        for units in (trace.cores, trace.devices)
    ]
    return np.stack(loads, axis=1) / (MILLI * meter.step_ms)


def metered(busy: Floats, meter: Series, every_ms: int = HOUR_MS) -> Metered:
    """Hold `busy[t, 2]`, cores and devices, against the meter's watts. The model is calibrated every `every_ms`.

    The largest load stands for the site's size. Raises `InvalidRequest` where nothing ran or the meter reads no power.
    """
    power_w, step_ms = meter.values, meter.step_ms
    if not (power_w > 0).all():
        raise InvalidRequest("the meter reads 0 W or less", field="meter", allowed="readings above 0 W")
    size = busy.max(axis=0)
    if not (np.isfinite(busy) & (busy >= 0)).all() or not (size > 0).any():
        raise InvalidRequest("nothing runs while the meter reads", field="trace", allowed="loads above 0 at its times")
    used = size > 0
    share = busy[:, used] / size[used]
    online = calibrated(share, power_w, step_ms, max(1, every_ms // step_ms))
    per_day = max(1, DAY_MS // step_ms)
    fixed = np.full(len(power_w), np.nan)
    for begin in range(per_day, len(power_w), per_day):
        now = slice(begin, begin + per_day)
        fixed[now] = _terms(share[now]) @ _fitted(share[:begin], power_w[:begin])
    days = tuple(
        MeteredDay(
            day=begin // per_day + 1,
            mean_kw=float(power_w[begin : begin + per_day].mean()) / 1000,
            online_percent=_error(online[begin : begin + per_day], power_w[begin : begin + per_day]),
            watts_percent=_error(fixed[begin : begin + per_day], power_w[begin : begin + per_day]),
        )
        for begin in range(0, len(power_w), per_day)
    )
    later = slice(per_day if len(power_w) > per_day else 0, None)
    found = np.zeros(len(LOADS))
    idle_w, *slopes = _fitted(share, power_w).tolist()
    found[used] = np.array(slopes) / size[used]
    return Metered(
        watts=Watts(idle_w=idle_w, core_w=float(found[0]), device_w=float(found[1])),
        days=days,
        online_percent=_error(online[later], power_w[later]),
        watts_percent=_error(fixed[later], power_w[later]),
    )


def _fitted(share: Floats, power_w: Floats) -> Floats:
    """Non-negative least squares (Lawson and Hanson 1974), `[1 + k]`: what is drawn by nothing, and by all of each load."""
    from scipy.optimize import nnls

    found: Floats = nnls(_terms(share), power_w)[0]
    return found


def _terms(share: Floats) -> Floats:
    return np.concatenate((np.ones((len(share), 1)), share), axis=1)


def _error(predicted: Floats, measured: Floats) -> float | None:
    known = np.isfinite(predicted)
    return mape_percent(predicted[known], measured[known]) if known.any() else None
