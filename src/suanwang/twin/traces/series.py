"""Readers of prices and carbon intensities over time, whatever table they stand in.

Owns the three layouts of the field: a time and one value; a time and a column for each area; an area, a time and values
in each row. A gap, an empty value or an instant that stands twice is an error unless `fill` says how to close it. Units
are the file's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.electricity.series import Series
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import LARGEST, Bools, Floats, Ints, Table, header_of, read_csv, read_parquet

Fill = Literal["hold", "linear"]
"""`hold`: the value before a gap lasts through it. `linear`: a straight line across it. Of several values for an instant
the last in the file stands, either way."""
MOST_STEPS = 5_000_000
_TIMES = ("datetime_utc", "timestamp_utc", "time_utc", "utc", "datetime", "timestamp", "time", "date")
_AREAS = ("zone", "area", "region")


def read_series(
    path: Given,
    *,
    area: str | None = None,
    value: str | None = None,
    zone: str | None = None,
    fill: Fill | None = None,
    step_ms: int | None = None,
    member: str | None = None,
) -> Series:
    """One area's series; `area` may be left out where the file has one. See `read_areas` for the rest."""
    found = read_areas(
        path, areas=None if area is None else (area,), value=value, zone=zone, fill=fill, step_ms=step_ms, member=member
    )
    if len(found) != 1:
        raise InvalidRequest(f"{path} has {len(found)} areas", field="area", allowed=_listed(tuple(found)))
    return next(iter(found.values()))


def read_areas(
    path: Given,
    *,
    areas: tuple[str, ...] | None = None,
    value: str | None = None,
    zone: str | None = None,
    fill: Fill | None = None,
    step_ms: int | None = None,
    member: str | None = None,
) -> Mapping[str, Series]:
    """The series of all areas, or of `areas`, by name.

    `value` is the column to read where rows have several. `zone` is what naive times are in, and must be said unless the
    column's name ends in `utc`. `step_ms` is the time between values; by default the most common one.
    Raises `InvalidRequest` with file, line and field.
    """
    if fill not in (None, "hold", "linear"):
        raise InvalidRequest(f"fill {fill!r}", field="fill", allowed="hold, linear")
    source = open_source(path, member=member)
    parquet = source.data.startswith(b"PAR1")
    table = read_parquet(source, needs=(), may=None) if parquet else read_csv(source, needs=header_of(source))
    when = _column(table, _TIMES, "a column of times")
    if zone is None and when.lower().endswith("utc"):
        zone = "UTC"
    place = next((name for name in table.names if name.lower() in _AREAS), None)
    rest = [name for name in table.names if name not in (when, place)]
    if place is None:
        return _of_columns(table, when, _wanted(table, rest, areas), zone, fill, step_ms, value)
    return _of_rows(table, when, place, _value(table, rest, value), areas, zone, fill, step_ms)


def _of_columns(
    table: Table,
    when: str,
    wanted: list[str],
    zone: str | None,
    fill: Fill | None,
    step_ms: int | None,
    value: str | None,
) -> Mapping[str, Series]:
    """Each further column is an area."""
    if value is not None:
        wanted = [_value(table, wanted, value)]
    at = table.instants(when, zone=zone, ordered=True).unix_ms
    return {name: _series(table, when, at, name, fill, step_ms) for name in wanted}


def _of_rows(
    table: Table,
    when: str,
    place: str,
    value: str,
    areas: tuple[str, ...] | None,
    zone: str | None,
    fill: Fill | None,
    step_ms: int | None,
) -> Mapping[str, Series]:
    """Each row names its area."""
    code, names = table.coded(place, blank="")
    made: dict[str, Series] = {}
    for name in names if areas is None else areas:
        if name not in names:
            raise NotFound(f"{table.file} has no area {name!r}", field="area", allowed=_listed(names))
        part = table.taken(code == names.index(name))
        at = part.instants(when, zone=zone, ordered=True).unix_ms
        made[name] = _series(part, when, at, value, fill, step_ms)
    return made


def _series(table: Table, when: str, at: Ints, column: str, fill: Fill | None, step_ms: int | None) -> Series:
    values = table.numbers(column, least=-LARGEST, blank=np.nan)
    if fill is None and np.isnan(values).any():
        table.refuse(int(np.argmax(np.isnan(values))), column, "an empty value", "a number; or say how to fill gaps")
    order = np.argsort(at, kind="stable")
    last = np.append(np.diff(at[order]) > 0, True)
    if fill is None and not last.all():
        row = int(order[int(np.argmin(last)) + 1])
        table.refuse(row, when, "an instant that stands twice", "one row for each; or say how to fill")
    order = order[last]
    step = step_ms or _step(table, at[order])
    index, off = np.divmod(at[order] - at[order[0]], step)
    if off.any():
        row = int(order[int(np.argmax(off != 0))])
        fits = int(np.gcd.reduce(np.diff(at[order])))
        told = f"one every {step} ms after {_told(int(at[order[0]]))}; a step_ms of {fits} would fit"
        table.refuse(row, when, "a time between steps", told)
    count = int(index[-1]) + 1
    if count > MOST_STEPS:
        raise InvalidRequest(
            f"{table.file}: {when} spans {count:,} steps",
            field=when,
            allowed=f"up to {MOST_STEPS:,} steps of {step} ms",
        )
    if fill is None and count > len(index):
        row = int(order[int(np.argmax(np.diff(index) > 1)) + 1])
        missing = count - len(index)
        table.refuse(
            row, when, f"a row behind a gap ({missing} steps are missing in all)", "next; or say how to fill gaps"
        )
    full = np.full(count, np.nan)
    full[index] = values[order]
    return Series(start_ms=int(at[order[0]]), step_ms=step, values=_closed(table, column, full, fill))


def _step(table: Table, at: Ints) -> int:
    if len(at) < 2:
        raise InvalidRequest(f"{table.file} has one instant only", field="step_ms", allowed="the time between values")
    steps, counts = np.unique(np.diff(at), return_counts=True)
    return int(steps[np.argmax(counts)])


def _closed(table: Table, column: str, values: Floats, fill: Fill | None) -> Floats:
    known: Bools = ~np.isnan(values)
    if known.all():
        return values
    if not known.any():
        raise InvalidRequest(f"{table.file}: {column} has no value", field=column, allowed="one number or more")
    at = np.arange(len(values))
    if fill == "linear":
        return np.interp(at, at[known], values[known])
    behind = np.maximum.accumulate(np.where(known, at, -1))
    return values[np.where(behind < 0, int(np.argmax(known)), behind)]


def _column(table: Table, names: tuple[str, ...], what: str) -> str:
    lowered = {name.lower(): name for name in reversed(table.names)}
    for name in names:
        if name in lowered:
            return lowered[name]
    raise InvalidRequest(f"{table.file} has not {what}", field=table.file, allowed=f"one called {', '.join(names)}")


def _value(table: Table, rest: list[str], value: str | None) -> str:
    if value is None and len(rest) == 1:
        return rest[0]
    if value in rest:
        return value
    told = "has several columns of values" if value is None else f"has no column {value!r}"
    raise InvalidRequest(f"{table.file} {told}", field="value", allowed=_listed(tuple(rest)))


def _wanted(table: Table, rest: list[str], areas: tuple[str, ...] | None) -> list[str]:
    if areas is None:
        return rest
    for name in areas:
        if name not in rest:
            raise NotFound(f"{table.file} has no area {name!r}", field="area", allowed=_listed(tuple(rest)))
    return list(areas)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:60]) + (", …" if len(names) > 60 else "")


def _told(unix_ms: int) -> str:
    return f"{np.datetime64(unix_ms, 'ms')} UTC"
