"""Alibaba's jobs on spot GPUs of 2026: `job_info_df.csv`.

Columns after https://github.com/alibaba/clusterdata, cluster-trace-v2026-spot-gpu; cite Duan et al., ASPLOS '26.
"""

from __future__ import annotations

import numpy as np

from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = (
    "job_name", "organization", "gpu_model", "cpu_request", "gpu_request", "worker_num", "submit_time", "duration",
    "job_type",
)  # fmt: skip


def read(path: Given, *, member: str | None = None) -> Trace:
    """Requests are for each worker. Groups are the organisations, spot work and high-priority work apart."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    table.unique("job_name")
    workers = table.numbers("worker_num", least=1)
    owner = [
        f"{organization} {kind}"
        for organization, kind in zip(table.words("organization"), table.words("job_type"), strict=True)
    ]
    groups, group = np.unique(owner, return_inverse=True)
    return trace_of(
        name=source.stem,
        source="alibaba/clusterdata, cluster-trace-v2026-spot-gpu; cite Duan et al., ASPLOS '26",
        submit_ms=np.rint(table.numbers("submit_time") * 1000).astype(np.int64),
        run_ms=np.rint(table.numbers("duration") * 1000).astype(np.int64),
        cores=table.numbers("cpu_request") * workers,
        devices=table.numbers("gpu_request") * workers,
        group=group.astype(np.int64),
        groups=[str(name) for name in groups],
    )
