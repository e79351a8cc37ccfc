"""Shanghai AI Laboratory's Acme: `trace_seren.csv` and `trace_kalos.csv`.

Schema after https://github.com/InternLM/AcmeTrace (CC-BY-4.0). A run lasts from `start_time` to `end_time`: the
`duration` of Kalos also holds the wait, as the repository's own example shows (18 s for a run of 8 s after 10 s).
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = (
    "job_id", "user", "node_num", "gpu_num", "cpu_num", "type", "state", "submit_time", "start_time", "end_time", "duration",
    "queue", "gpu_time",
)  # fmt: skip
MAY = ("mem_per_pod_GB", "shared_mem_per_pod", "fail_time", "stop_time")
ZONE = "Asia/Shanghai"


def read(path: Given, *, member: str | None = None, zone: str | None = ZONE) -> Trace:
    """Groups are the users. Memory is that of a pod times the nodes, where the log says it (Kalos); else 0."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS, may=MAY)
    table.unique("job_id")
    ran = table.filled("start_time") & table.filled("end_time")
    notes = [f"{int((~ran).sum())} jobs that never ran or had not ended"] if not ran.all() else []
    table = table.taken(ran)
    if not len(table):
        raise InvalidRequest(f"{source.name} has no job that ran", field=source.name, allowed="one job or more")
    at, begins, ends = (table.instants(name, zone=zone) for name in ("submit_time", "start_time", "end_time"))
    late = ends.unix_ms >= begins.unix_ms
    if not late.all():
        table.refuse(int(np.argmin(late)), "end_time", "a time before the start", "a time from start_time on")
    group, groups = table.coded("user")
    first = int(at.unix_ms.min())
    nodes = np.maximum(table.numbers("node_num", blank=1), 1)
    memory = table.numbers("mem_per_pod_GB", blank=0) * nodes if table.has("mem_per_pod_GB") else None
    return trace_of(
        name=source.stem,
        source="InternLM/AcmeTrace, CC-BY-4.0",
        submit_ms=at.unix_ms - first,
        run_ms=ends.unix_ms - begins.unix_ms,
        cores=table.numbers("cpu_num", blank=0),
        memory_gb=memory,
        devices=table.numbers("gpu_num", blank=0),
        group=group,
        groups=groups,
        epoch_ms=first,
        left_out=(*notes, *at.notes()),
    )
