"""The year-long traces of GAIA (umassos/GAIA, MIT): arrival, length and CPUs, made from Alibaba PAI 2020, the Azure VMs
of 2017 and LANL's Mustang.

The files carry no unit: those of a year count hours, the sample of a week seconds.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import Floats, read_csv

NEEDS = ("arrival_time", "length", "cpus")
Unit = Literal["hours", "seconds"]
_MS = {"hours": 3_600_000, "seconds": 1000}
_YEAR_H = 8784


def read(path: Given, *, member: str | None = None, unit: Unit | None = None) -> Trace:
    """Without `unit`, times with fractions are hours and whole times beyond a year's hours are seconds."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    arrival, length = table.numbers("arrival_time"), table.numbers("length")
    if unit is not None and unit not in _MS:
        raise InvalidRequest(f"a unit of {unit!r}", field="unit", allowed="hours, seconds")
    scale = _MS[unit or _unit(source.name, arrival, length)]
    return trace_of(
        name=source.stem,
        source="umassos/GAIA, MIT",
        submit_ms=np.rint(arrival * scale).astype(np.int64),
        run_ms=np.rint(length * scale).astype(np.int64),
        cores=table.numbers("cpus"),
    )


def _unit(file: str, arrival: Floats, length: Floats) -> Unit:
    last = float(arrival.max())
    whole = bool((arrival == np.rint(arrival)).all() and (length == np.rint(length)).all())
    if not whole and last <= _YEAR_H:
        return "hours"
    if whole and last > _YEAR_H:
        return "seconds"
    raise InvalidRequest(
        f"{file}: its times may be hours or seconds (last arrival {last:g})", field="unit", allowed="hours, seconds"
    )
