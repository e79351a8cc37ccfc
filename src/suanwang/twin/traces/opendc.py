"""OpenDC's table of tasks, as SURF's week is published: Parquet with submission, duration, cores and memory.

Columns after https://github.com/atlarge-research/opendc (MIT). How much of its cores a task used stands in a second
table, of fragments, which this reader does not read.
"""

from __future__ import annotations

import numpy as np

from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_parquet

NEEDS = ("id", "submission_time", "duration", "cpu_count", "cpu_capacity", "mem_capacity")
MAY = ("nature", "deadline", "parents", "children", "gpu_count", "gpu_capacity")


def read(path: Given, *, member: str | None = None, zone: str | None = "UTC") -> Trace:
    """Durations are milliseconds, memory MB."""
    source = open_source(path, member=member)
    table = read_parquet(source, needs=NEEDS, may=MAY)
    table.unique("id")
    at = table.instants("submission_time", zone=zone)
    first = int(at.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="a workload in OpenDC's form",
        submit_ms=at.unix_ms - first,
        run_ms=np.rint(table.numbers("duration")).astype(np.int64),
        cores=table.numbers("cpu_count"),
        memory_gb=table.numbers("mem_capacity") / 1000,
        devices=table.numbers("gpu_count", blank=0) if table.has("gpu_count") else None,
        epoch_ms=first,
    )
