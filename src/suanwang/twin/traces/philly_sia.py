"""Microsoft's Philly as Sia's simulator has it: one line a job, derived from msr-fiddle/philly-traces (CC-BY-4.0)."""

from __future__ import annotations

import numpy as np

from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = ("timestamp", "duration", "num_gpus", "gpu_time", "cluster")
ZONE = "America/Los_Angeles"
"""The log's own machines write PST and PDT."""


def read(path: Given, *, member: str | None = None, zone: str | None = ZONE) -> Trace:
    """Groups are the virtual clusters; cores and memory are not said. `zone` is what its naive times are in."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    at = table.instants("timestamp", zone=zone)
    group, groups = table.coded("cluster")
    first = int(at.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="msr-fiddle/philly-traces by way of siasosp23/artifacts, CC-BY-4.0",
        submit_ms=at.unix_ms - first,
        run_ms=np.rint(table.numbers("duration") * 1000).astype(np.int64),
        devices=table.numbers("num_gpus"),
        group=group,
        groups=groups,
        epoch_ms=first,
        left_out=at.notes(),
    )
