"""SenseTime's Helios (Earth, Saturn, Uranus, Venus): `cluster_log.csv` as Slurm wrote it.

Schema after https://github.com/S-Lab-System-Group/HeliosData; free for academic purposes, cite Hu et al., SC '21.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = (
    "job_id", "user", "vc", "gpu_num", "cpu_num", "node_num", "state", "submit_time", "start_time", "end_time", "duration",
    "queue",
)  # fmt: skip
ZONE = "Asia/Shanghai"
"""Assumed: the log does not say; its clusters stand in China."""


def read(path: Given, *, member: str | None = None, zone: str | None = ZONE) -> Trace:
    """Groups are the virtual clusters; GPUs and CPUs are over all of a job's nodes; memory is not said."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    table.unique("job_id")
    ran = table.filled("start_time") & table.filled("end_time") & table.filled("duration")
    notes = [f"{int((~ran).sum())} jobs that never ran or had not ended"] if not ran.all() else []
    table = table.taken(ran)
    if not len(table):
        raise InvalidRequest(f"{source.name} has no job that ran", field=source.name, allowed="one job or more")
    at = table.instants("submit_time", zone=zone)
    group, groups = table.coded("vc")
    first = int(at.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="S-Lab-System-Group/HeliosData; cite Hu et al., SC '21",
        submit_ms=at.unix_ms - first,
        run_ms=np.rint(table.numbers("duration") * 1000).astype(np.int64),
        cores=table.numbers("cpu_num"),
        devices=table.numbers("gpu_num"),
        group=group,
        groups=groups,
        epoch_ms=first,
        left_out=(*notes, *at.notes()),
    )
