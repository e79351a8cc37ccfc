"""One sensed figure (算力感知), as agents report them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Where a figure comes from: what is printed, what was measured, what is for sale."""

    NOMINAL = "nominal"
    MEASURED = "measured"
    SOLD = "sold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`value` in `unit` of what `metric_type` names (`compute.cores_free`, `network.delay_ms`, …).

    `statistic` says how it was taken: `instant`, `median`, `p95`, `max`, `sum`, `declared`.
    """

    metric_type: str
    unit: str
    value: float
    source: Source
    statistic: str
    observed_at: datetime
