"""The Standard Workload Format of the Parallel Workloads Archive.

Fields after https://www.cs.huji.ac.il/labs/parallel/workload/swf.html, version 2.2: eighteen numbers a line, -1 where
the log does not say, comments behind `;`.
"""

from __future__ import annotations

import io
import re

import numpy as np

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, Source, open_source
from suanwang.twin.traces.table import LARGEST, MOST_ROWS, Bools, Floats, Ints, Table, parse

FIELDS = (
    "job number",
    "submit time",
    "wait time",
    "run time",
    "allocated processors",
    "average cpu time",
    "used memory",
    "requested processors",
    "requested time",
    "requested memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding job",
    "think time",
)
_PARTIAL = (2, 3, 4)
"""Statuses of lines that are parts of a job which was checkpointed; the job has a line of its own."""
_MOST_MEMORY_KB = 2.0**34
"""16 TiB for one processor: logs that say more write bytes where kilobytes belong."""
_UNIX_SINCE = 631_152_000
"""1990-01-01: a log without a header whose first submission lies after it counts from 1970."""
_WHOLE = re.compile(r"[0-9]{1,11}\Z")
_COMMENT = re.compile(r";\s*([A-Za-z]+)\s*:\s*(.*?)\s*\Z")


def read(path: Given, *, member: str | None = None, lenient: bool = False) -> Trace:
    """Cores are the processors a job got, else those it asked for. Homes are the partitions, where a log has several.

    A run time below -1 is an error; with `lenient` that job is left out.
    """
    source = open_source(path, member=member)
    header, partitions = _header(source.data)
    table, extra = _table(source)
    notes = [f"{extra} lines with more than {len(FIELDS)} fields, of which the rest"] if extra else []
    status = table.numbers("status", least=-1, most=5)
    table = _kept(table, ~np.isin(status, _PARTIAL), notes, "lines of parts of jobs")
    table.unique("job number")
    run_s = table.numbers("run time", least=-LARGEST if lenient else -1)
    table = _kept(table, (run_s >= 0) | (run_s == -1), notes, "jobs with a negative run time")
    table = _kept(table, table.numbers("run time", least=-1) >= 0, notes, "jobs that never ran")
    cores = _first_said(table, "allocated processors", "requested processors")
    table = _kept(table, cores > 0, notes, "jobs without a number of processors")
    if not len(table):
        raise InvalidRequest(f"{source.name} has no job that ran", field=source.name, allowed="one job or more")
    cores = _first_said(table, "allocated processors", "requested processors")
    submit_ms, epoch_ms = _submitted(table, header)
    run_s, limit_s = table.numbers("run time"), table.numbers("requested time", least=-1)
    outran = (limit_s > 0) & (limit_s < run_s)
    if outran.any():
        notes.append(f"the limits of {int(outran.sum())} jobs that outran them")
    group, groups = _groups(table)
    home, homes = _homes(table, partitions)
    return trace_of(
        name=source.stem,
        source=_credit(header),
        submit_ms=submit_ms,
        run_ms=_ms(run_s),
        limit_ms=_ms(np.where(limit_s > 0, limit_s, run_s)),
        cores=cores,
        memory_gb=_memory_gb(table, cores, notes),
        group=group,
        groups=groups,
        home=home,
        homes=homes,
        epoch_ms=epoch_ms,
        left_out=notes,
    )


def _header(data: bytes) -> tuple[dict[str, str], dict[int, str]]:
    """The first value of each header comment, and the names of partitions by number."""
    said: dict[str, str] = {}
    partitions: dict[int, str] = {}
    for line in data[: 1 << 20].splitlines()[:20_000]:
        found = _COMMENT.match(line.decode("utf-8", "replace"))
        if found is None:
            continue
        key, value = found.groups()
        if key == "Partition":
            number, _, name = value.partition(" ")
            if _WHOLE.match(number) and name.strip():
                partitions[int(number)] = name.strip()[:80]
        said.setdefault(key, value[:200])
    return said, partitions


def _table(source: Source) -> tuple[Table, int]:
    kept: list[bytes] = []
    lines: list[int] = []
    extra = 0
    for number, line in enumerate(io.BytesIO(source.data), start=1):
        if number > MOST_ROWS:
            raise TooLarge(f"{source.name} is too long", field=source.name, allowed=f"up to {MOST_ROWS:,} lines")
        fields = line.split(None, len(FIELDS))
        if not fields or fields[0][:1] == b";":
            continue
        if len(fields) > len(FIELDS):
            extra += 1
        kept.append(b",".join(fields[: len(FIELDS)]))
        lines.append(number)
    if not kept:
        raise InvalidRequest(f"{source.name} has comments and no jobs", field=source.name, allowed="one job or more")
    return parse(
        source.name, b"\n".join(kept), FIELDS, first_line=1, lines=np.array(lines, np.int64), quotes=False
    ), extra


def _kept(table: Table, keep: Bools, notes: list[str], what: str) -> Table:
    if keep.all():
        return table
    notes.append(f"{int((~keep).sum())} {what}")
    return table.taken(keep)


def _first_said(table: Table, *names: str) -> Floats:
    value = table.numbers(names[0], least=-1)
    for name in names[1:]:
        value = np.where(value > 0, value, table.numbers(name, least=-1))
    return value


def _submitted(table: Table, header: dict[str, str]) -> tuple[Ints, int | None]:
    submit_s = table.numbers("submit time")
    begins = header.get("UnixStartTime", "")
    if _WHOLE.match(begins):
        return _ms(submit_s), int(begins) * 1000
    first = float(submit_s.min())
    if first >= _UNIX_SINCE:
        return _ms(submit_s - first), int(first * 1000)
    return _ms(submit_s), None


def _groups(table: Table) -> tuple[Ints, tuple[str, ...]]:
    number = _first_said(table, "user", "group")
    values, index = np.unique(number, return_inverse=True)
    return index.astype(np.int64), tuple("unknown" if value < 0 else f"user {value:g}" for value in values)


def _homes(table: Table, partitions: dict[int, str]) -> tuple[Ints | None, tuple[str, ...]]:
    number = table.numbers("partition", least=-1).astype(np.int64)
    values = [int(value) for value in np.unique(number) if value > 0]
    if len(values) < 2:
        return None, ()
    index = np.full(int(number.max()) + 1 if number.max() < 1_000_000 else 0, -1, np.int64)
    if not len(index):
        table.refuse(int(np.argmax(number)), "partition", int(number.max()), "a number up to 1,000,000")
    index[values] = np.arange(len(values))
    return np.where(number > 0, index[number], -1), tuple(
        partitions.get(value, f"partition {value}") for value in values
    )


def _memory_gb(table: Table, cores: Floats, notes: list[str]) -> Floats:
    each_kb = _first_said(table, "requested memory", "used memory")
    absurd = each_kb > _MOST_MEMORY_KB
    if absurd.any():
        notes.append(f"the memory of {int(absurd.sum())} jobs, more than 16 TiB for each processor")
    return np.where((each_kb > 0) & ~absurd, each_kb * cores * 1024e-9, 0.0)


def _credit(header: dict[str, str]) -> str:
    parts = [header[key] for key in ("Computer", "Installation") if header.get(key)]
    thanks = f"thanks to {header['Acknowledge']}" if header.get("Acknowledge") else ""
    return "; ".join([*parts, *([thanks] if thanks else [])]) or "a log in the Standard Workload Format"


def _ms(seconds: Floats) -> Ints:
    return np.rint(seconds * 1000).astype(np.int64)
