"""Alibaba's recommendation models on disaggregated GPUs of 2025: `disaggregated_DLRM_trace.csv`.

Columns after https://github.com/alibaba/clusterdata, cluster-trace-gpu-v2025; cite Yang et al., NSDI '25. An empty
`creation_time` or `scheduled_time` lies before the trace's window, an empty `deletion_time` behind it.
"""

from __future__ import annotations

import numpy as np

from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = (
    "instance_sn", "role", "app_name", "cpu_request", "cpu_limit", "gpu_request", "gpu_limit", "rdma_request", "rdma_limit",
    "memory_request", "memory_limit", "disk_request", "disk_limit", "max_instance_per_node", "creation_time",
    "scheduled_time", "deletion_time",
)  # fmt: skip
_GB = 2**30 * 1e-9


def read(path: Given, *, member: str | None = None) -> Trace:
    """Instances of services are cut to the window: one that was there before it begins with it, one that outlived it ends
    with it. Groups are the services."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    table.unique("instance_sn")
    created, begins, ends = (
        table.numbers(name, blank=0) for name in ("creation_time", "scheduled_time", "deletion_time")
    )
    last = float(max(created.max(), begins.max(), ends.max()))
    before, behind = ~table.filled("scheduled_time"), ~table.filled("deletion_time")
    ends = np.where(behind, last, ends)
    if (ends < begins).any():
        row = int(np.argmax(ends < begins))
        table.refuse(row, "deletion_time", f"{ends[row]:g}", f"a time from {begins[row]:g} on")
    cut = int((before | behind).sum())
    group, groups = table.coded("app_name")
    return trace_of(
        name=source.stem,
        source="alibaba/clusterdata, cluster-trace-gpu-v2025; cite Yang et al., NSDI '25",
        submit_ms=np.rint(created * 1000).astype(np.int64),
        run_ms=np.rint((ends - begins) * 1000).astype(np.int64),
        cores=table.numbers("cpu_request"),
        memory_gb=table.numbers("memory_request") * _GB,
        devices=table.numbers("gpu_request"),
        group=group,
        groups=groups,
        left_out=[f"the time outside the window of {cut} instances that were there before it or outlived it"]
        if cut
        else [],
    )
