"""Small columns of jobs and rows for tests of the twin: everything that a test does not name is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import ENDED_DONE, NEVER_MS, JobColumns, RowColumns, Segments
from suanwang.twin.accounting import Supply


def jobs(ready_ms: Sequence[int], **named: Any) -> JobColumns:
    """Jobs of one core."""
    count = len(ready_ms)
    nothing = np.zeros(count, np.int64)
    columns: dict[str, Any] = {
        "ready_ms": np.array(ready_ms, np.int64),
        "order": nothing,
        "need": np.tile([1.0, 0.0, 0.0], (count, 1)),
        "expect_ms": np.full((count, 3), HOUR_MS, np.int64),
        "limit_ms": np.full(count, 1 << 50, np.int64),
        "kind": nothing,
        "place": nothing,
        "weight": np.ones((count, 3)),
        "wait_ms": nothing,
        "due_ms": np.full(count, NEVER_MS, np.int64),
        "interruptible": np.zeros(count, np.bool_),
        "data_gb": np.zeros(count),
        "group": nothing,
    }
    return JobColumns(**columns | {name: np.asarray(value) for name, value in named.items()})


def rows(site: Sequence[int], **named: Any) -> RowColumns:
    """Rows of 100 cores that draw 1 kW each and cost nothing, electricity in the price; one place, data everywhere."""
    count = len(site)
    columns: dict[str, Any] = {
        "site": np.array(site, np.int64),
        "capacity": np.tile([100.0, 0.0, 0.0], (count, 1)),
        "power_w": np.tile([1000.0, 0.0, 0.0], (count, 1)),
        "yuan_hour": np.zeros((count, 3)),
        "slowness": np.ones(count),
        "electricity_share": np.zeros(count),
        "delay_ms": np.zeros((1, count)),
        "transfer_ms_per_gb": np.zeros((1, count)),
        "transfer_yuan_per_gb": np.zeros((1, count)),
    }
    return RowColumns(**columns | {name: np.asarray(value) for name, value in named.items()})


def segments(*ran: Sequence[int]) -> Segments:
    """Each is job, row, start, end, and how it ended where that is not `ENDED_DONE`; data come from the only place."""
    table = np.array([[*one, ENDED_DONE][:5] for one in ran], np.int64).reshape(-1, 5)
    return Segments(*(table[:, k].copy() for k in (0, 1, 2, 3, 4, 1)))


def hourly(*values: float) -> Series:
    return Series(start_ms=0, step_ms=HOUR_MS, values=np.array(values, np.float64))


def supply(yuan: Sequence[float] = (0.5,), carbon: Sequence[float] = (400.0,), **named: Any) -> Supply:
    return Supply(yuan_per_kwh=hourly(*yuan), carbon_g_per_kwh=hourly(*carbon), **named)
