"""What a trace is like at a glance: counts, load and quantiles, ready for JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from suanwang.twin.trace import Trace

QUANTILES = {"least": 0.0, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
_HOUR_MS = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def summary(trace: Trace) -> dict[str, Any]:
    """`load` is the mean number busy, from the first submission to the last end if every job began at once."""
    run_h = trace.run_ms / _HOUR_MS
    over_h = max(float((trace.submit_ms + trace.run_ms).max() - trace.submit_ms[0]) / _HOUR_MS, 1e-9)
    hours = {
        "core_hours": float(trace.cores @ run_h),
        "device_hours": float(trace.devices @ run_h),
        "memory_gb_hours": float(trace.memory_gb @ run_h),
    }
    begins = None if trace.epoch_ms is None else _dated(trace.epoch_ms + int(trace.submit_ms[0]))
    return {
        "name": trace.name,
        "source": trace.source,
        "digest": trace.digest,
        "jobs": len(trace),
        "begins": begins,
        "days": trace.span_ms / _HOUR_MS / 24,
        "groups": len(np.unique(trace.group)),
        "homes": len(np.unique(trace.home[trace.home >= 0])),
        **hours,
        "load": {key.removesuffix("_hours"): value / over_h for key, value in hours.items()},
        "quantiles": {
            "run_s": _quantiles(trace.run_ms / 1000),
            "limit_s": _quantiles(trace.limit_ms / 1000),
            "gap_s": _quantiles(np.diff(trace.submit_ms) / 1000),
            "cores": _quantiles(trace.cores),
            "devices": _quantiles(trace.devices),
            "memory_gb": _quantiles(trace.memory_gb),
        },
        "left_out": list(trace.left_out),
    }


def _quantiles(values: np.ndarray[Any, Any]) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.quantile(values, list(QUANTILES.values()))
    return {**dict(zip(QUANTILES, map(float, found), strict=True)), "mean": float(values.mean())}


def _dated(unix_ms: int) -> str | None:
    try:
        return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat()
    except OverflowError:
        return None
