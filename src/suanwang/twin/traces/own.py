"""The product's own form of a trace: Parquet, or CSV with one line of JSON before its header.

Owns both directions; what is written is read back exactly.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NoReturn

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
    epoch_ms = about.get("epoch_ms")
    if about.get("version") != _VERSION or not (epoch_ms is None or isinstance(epoch_ms, int)):
        _refuse(source, "version", str(_VERSION))
    return Trace(
        name=_text(source, about, "name"),
        source=_text(source, about, "source"),
        submit_ms=_whole(table, "submit_ms", numbers["submit_ms"]),
        run_ms=_whole(table, "run_ms", numbers["run_ms"]),
        limit_ms=_whole(table, "limit_ms", numbers["limit_ms"]),
        cores=numbers["cores"],
        memory_gb=numbers["memory_gb"],
        devices=numbers["devices"],
        group=_whole(table, "group", numbers["group"]),
        groups=_texts(source, about, "groups"),
        home=_whole(table, "home", table.numbers("home", least=-1)),
        homes=_texts(source, about, "homes"),
        epoch_ms=epoch_ms,
        left_out=_texts(source, about, "left_out"),
    )


def _text(source: Source, about: dict[str, Any], key: str) -> str:
    value = about.get(key)
    return value if isinstance(value, str) else _refuse(source, key, "text")


def _texts(source: Source, about: dict[str, Any], key: str) -> tuple[str, ...]:
    value = about.get(key)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        _refuse(source, key, "a list of texts")
    return tuple(value)


def _refuse(source: Source, key: str, allowed: str) -> NoReturn:
    raise InvalidRequest(f"{source.name}: its description is not one of ours: {key}", field=key, allowed=allowed)


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
