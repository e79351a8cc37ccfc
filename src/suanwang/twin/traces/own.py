"""The product's own form of a trace: Parquet, or CSV with one line of JSON before its header.

Owns both directions; what is written is read back exactly.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as papq

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import COLUMNS, Trace
from suanwang.twin.traces.source import Given, Source, open_source
from suanwang.twin.traces.table import Floats, Ints, Table, check_columns, parse, read_parquet

KEY = b"suanwang_trace"
MARK = b"# suanwang trace "
_VERSION = 1
_WHOLE = ("submit_ms", "run_ms", "limit_ms")
_MOST_MS = 2.0**52
"""Beyond it a float no longer tells milliseconds apart."""


def write_trace(trace: Trace, path: Path | str) -> None:
    """Write a trace; the path's ending, `.parquet` or `.csv`, says how."""
    path = Path(path)
    about = json.dumps(
        {
            "version": _VERSION,
            "name": trace.name,
            "source": trace.source,
            "epoch_ms": trace.epoch_ms,
            "left_out": trace.left_out,
            "groups": trace.groups,
            "homes": trace.homes,
        },
        ensure_ascii=False,
    )
    columns = pa.table({name: getattr(trace, name) for name in COLUMNS})
    if path.suffix == ".parquet":
        papq.write_table(columns.replace_schema_metadata({KEY: about.encode()}), path, compression="zstd")
    elif path.suffix == ".csv":
        held = io.BytesIO()
        held.write(MARK + about.encode() + b"\n")
        pacsv.write_csv(columns, held, pacsv.WriteOptions(quoting_style="none", quoting_header="none"))
        path.write_bytes(held.getvalue())
    else:
        raise InvalidRequest(f"a trace is not written as {path.suffix!r}", field=str(path), allowed=".parquet, .csv")


def read(path: Given, *, member: str | None = None) -> Trace:
    """What `write_trace` wrote."""
    source = open_source(path, member=member)
    table, about = _parquet(source) if source.data.startswith(b"PAR1") else _csv(source)
    numbers = {name: table.numbers(name, most=_MOST_MS) for name in COLUMNS if name != "home"}
    texts = {key: about.get(key) for key in ("name", "source")}
    lists = {key: about.get(key) for key in ("groups", "homes", "left_out")}
    epoch_ms = about.get("epoch_ms")
    whole = epoch_ms is None or isinstance(epoch_ms, int)
    if (
        about.get("version") != _VERSION
        or not whole
        or not all(isinstance(text, str) for text in texts.values())
        or not all(isinstance(value, list) and all(isinstance(one, str) for one in value) for value in lists.values())
    ):
        raise InvalidRequest(
            f"{source.name}: its description is not one of ours", field="version", allowed=f"{_VERSION}"
        )
    return Trace(
        **{str(key): text for key, text in texts.items()},
        **{key: tuple(value) for key, value in lists.items()},  # type: ignore[arg-type]  # checked above
        epoch_ms=epoch_ms,
        **{name: _whole(table, name, numbers[name]) for name in (*_WHOLE, "group")},
        home=_whole(table, "home", table.numbers("home", least=-1)),
        **{name: numbers[name] for name in ("cores", "memory_gb", "devices")},
    )


def _parquet(source: Source) -> tuple[Table, dict[str, Any]]:
    table = read_parquet(source, needs=COLUMNS)
    return table, _about(source, (table.columns.schema.metadata or {}).get(KEY, b""))


def _csv(source: Source) -> tuple[Table, dict[str, Any]]:
    first, _, rest = source.data.partition(b"\n")
    header, _, rows = rest.partition(b"\n")
    names = header.decode("utf-8", "replace").strip().split(",")
    check_columns(source.name, names, COLUMNS, ())
    if not rows.strip():
        raise InvalidRequest(f"{source.name} has a header and no rows", field=source.name, allowed="one row or more")
    return parse(source.name, rows, names, first_line=3), _about(source, first.removeprefix(MARK))


def _about(source: Source, text: bytes) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InvalidRequest(f"{source.name} does not say what it is", field=source.name, allowed="a trace we wrote")
    return about


def _whole(table: Table, name: str, values: Floats) -> Ints:
    whole = values == np.rint(values)
    if not whole.all():
        row = int(np.argmin(whole))
        table.refuse(row, name, f"{values[row]:g}", "a whole number")
    return values.astype(np.int64)
