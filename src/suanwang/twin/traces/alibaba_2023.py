"""Alibaba's pods with shared GPUs of 2023: `openb_pod_list_*.csv`.

Columns after https://github.com/alibaba/clusterdata, cluster-trace-gpu-v2023; cite Weng et al., ATC '23.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import check_columns, header_of, read_csv

TIMES = ("creation_time", "deletion_time", "scheduled_time")
NEEDS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", *TIMES)
MAY = ("gpu_spec", "qos", "pod_phase")
_GB = 2**20 * 1e-9


def read(path: Given, *, member: str | None = None) -> Trace:
    """A pod runs from being scheduled to its deletion: a container's lifetime, not its work. Groups are the classes of
    service; part of a GPU stays a part."""
    source = open_source(path, member=member)
    header = header_of(source)
    if not set(TIMES) & set(header) and {"name", "gpu_milli"} <= set(header):
        raise InvalidRequest(
            f"{source.name} lists pods without times and cannot be played",
            field="creation_time",
            allowed="a list with creation_time, deletion_time and scheduled_time, such as openb_pod_list_default.csv",
        )
    check_columns(source.name, header, NEEDS, MAY)
    table = read_csv(source, needs=NEEDS, may=MAY)
    table.unique("name")
    ran = table.filled("scheduled_time") & table.filled("deletion_time")
    notes = [f"{int((~ran).sum())} pods that were never scheduled"] if not ran.all() else []
    table = table.taken(ran)
    if not len(table):
        raise InvalidRequest(f"{source.name} has no pod that ran", field=source.name, allowed="one pod or more")
    created, begins, ends = (table.numbers(name) for name in ("creation_time", "scheduled_time", "deletion_time"))
    if (ends < begins).any():
        row = int(np.argmax(ends < begins))
        table.refuse(row, "deletion_time", f"{ends[row]:g}", f"a time from {begins[row]:g} on")
    group, groups = table.coded("qos") if table.has("qos") else (None, ("all",))
    return trace_of(
        name=source.stem,
        source="alibaba/clusterdata, cluster-trace-gpu-v2023; cite Weng et al., ATC '23",
        submit_ms=np.rint(created * 1000).astype(np.int64),
        run_ms=np.rint((ends - begins) * 1000).astype(np.int64),
        cores=table.numbers("cpu_milli") / 1000,
        memory_gb=table.numbers("memory_mib") * _GB,
        devices=table.numbers("num_gpu", most=1024) * table.numbers("gpu_milli", most=1000) / 1000,
        group=group,
        groups=groups,
        left_out=notes,
    )
