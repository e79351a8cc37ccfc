"""Alibaba's PAI of July and August 2020: `pai_task_table`, with its header line or, as it is published, without.

Columns after https://github.com/alibaba/clusterdata, cluster-trace-gpu-v2020; cite Weng et al., NSDI '22. A job has one
task or several (workers, parameter servers, …). CPUs and GPUs are percent of one, for each instance.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, Source, open_source
from suanwang.twin.traces.table import Floats, Ints, Table, parse, read_csv

NEEDS = (
    "job_name", "task_name", "inst_num", "status", "start_time", "end_time", "plan_cpu", "plan_mem", "plan_gpu", "gpu_type",
)  # fmt: skip
STATES = ("Terminated", "Failed", "Running", "Waiting")


def read(path: Given, *, member: str | None = None) -> Trace:
    """A job begins with its first task and ends with its last; its needs are those of all instances together.

    The table does not say when a job was submitted, only when its tasks were launched: that is taken. Dates are shifted
    by the publisher so that hour and weekday hold in UTC+8. Users stand in another table: all jobs are one group.
    """
    source = open_source(path, member=member)
    table = _table(source)
    known = table.filled("start_time") & table.filled("end_time")
    job, names = table.coded("job_name")
    whole = np.bincount(job[~known], minlength=len(names)) == 0
    notes = [f"{int((~whole).sum())} jobs with a task that never ran or had not ended"] if not whole.all() else []
    table = table.taken(whole[job])
    if not len(table):
        raise InvalidRequest(f"{source.name} has no job that ran", field=source.name, allowed="one job or more")
    job, names = table.coded("job_name")
    begins, ends = table.numbers("start_time"), table.numbers("end_time")
    if (ends < begins).any():
        row = int(np.argmax(ends < begins))
        table.refuse(row, "end_time", f"{ends[row]:g}", f"a time from {begins[row]:g} on")
    instances = table.numbers("inst_num", blank=1)
    submit, end = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(submit, job, begins)
    np.maximum.at(end, job, ends)

    def over(column: str, scale: float) -> Floats:
        return _sum(job, table.numbers(column, blank=0) * instances * scale, len(names))

    return trace_of(
        name=source.stem,
        source="alibaba/clusterdata, cluster-trace-gpu-v2020; cite Weng et al., NSDI '22",
        submit_ms=np.rint(submit * 1000).astype(np.int64),
        run_ms=np.rint((end - submit) * 1000).astype(np.int64),
        cores=over("plan_cpu", 0.01),
        memory_gb=over("plan_mem", 1.0),
        devices=over("plan_gpu", 0.01),
        epoch_ms=0,
        left_out=notes,
    )


def _table(source: Source) -> Table:
    if source.data[:200].startswith(b"job_name,"):
        return read_csv(source, needs=NEEDS)
    return parse(source.name, source.data, NEEDS, first_line=1)


def _sum(index: Ints, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(index, weights=values, minlength=count), np.float64)
