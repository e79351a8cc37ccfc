"""Dates with times, in whatever zone a log was written, as Unix milliseconds.

Owns the rule of daylight saving. A time with an offset, or with `Z`, needs no zone. A naive one is read in the zone that
is given: an hour that came twice is its first coming, or, in a table whose rows follow each other in time, its second
where that very time is repeated; a time that never came (the clocks sprang over it) is moved forward by the gap, as if
the clock had not been changed yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from suanwang.domain.errors import InvalidRequest

Ints = npt.NDArray[np.int64]
Refuse = Callable[[int, str], NoReturn]
_FIXED = re.compile(r"([+-])(\d\d):?([0-5]\d)\Z")
_WHEN = "a date and time such as 2020-10-25 02:30:00, with or without an offset"
_ENDS_WITH_OFFSET = r"(?:[zZ]|[+-]\d\d:?\d\d)$"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instants:
    """`unix_ms[row]`, -1 where there was none; and how many times a rule had to decide."""

    unix_ms: Ints
    twice: int = 0
    """Stood in an hour that came twice."""
    never: int = 0
    """Never came."""

    def notes(self) -> tuple[str, ...]:
        told = []
        if self.twice:
            told.append(f"{self.twice} times stood in an hour that came twice and were read as its first coming")
        if self.never:
            told.append(f"{self.never} times never came, as the clocks sprang over them, and were moved forward")
        return tuple(told)


def of_text(text: pa.ChunkedArray, zone: str | None, refuse: Refuse, *, ordered: bool = False) -> Instants:
    """Instants of a column of text; either all its times carry an offset or none does."""
    filled = pc.drop_null(text)
    if not len(filled):
        return Instants(unix_ms=np.full(len(text), -1, np.int64))
    with_offset = bool(pc.any(pc.match_substring_regex(filled, _ENDS_WITH_OFFSET)).as_py())
    # A date's own dashes look like an offset only without a time behind them.
    kind = pa.timestamp("ns", "UTC") if with_offset else pa.timestamp("ns")
    try:
        stamps = pc.cast(text, kind)
    except pa.ArrowInvalid:
        refuse(_first_bad(text, kind), _WHEN + (": all with one or none" if with_offset else ""))
    return of_timestamps(stamps, zone, refuse, ordered=ordered)


def of_timestamps(stamps: pa.ChunkedArray, zone: str | None, refuse: Refuse, *, ordered: bool = False) -> Instants:
    """Instants of a column of timestamps; naive ones are read in `zone`. `ordered` lets a repeated time be the second."""
    empty = np.asarray(pc.is_null(stamps), np.bool_)
    naive = stamps.type.tz is None
    local = np.array(
        pc.fill_null(pc.cast(pc.cast(stamps, pa.timestamp("ms", stamps.type.tz), safe=False), pa.int64()), 0)
    )
    if not naive:
        return Instants(unix_ms=np.where(empty, -1, local))
    if zone is None:
        refuse(int(np.argmax(~empty)), "a time with an offset; say which zone naive times are in")
    found = _of_local(local, zone, ordered=ordered)
    return Instants(unix_ms=np.where(empty, -1, found.unix_ms), twice=found.twice, never=found.never)


def _of_local(local_ms: Ints, zone: str, *, ordered: bool) -> Instants:
    fixed = _FIXED.match(zone)
    if zone.upper() in ("UTC", "GMT", "Z"):
        return Instants(unix_ms=local_ms)
    if fixed:
        sign, hours, minutes = fixed.groups()
        return Instants(unix_ms=local_ms - int(sign + "1") * (int(hours) * 60 + int(minutes)) * 60_000)
    naive = pa.array(local_ms, pa.timestamp("ms"))
    try:
        first = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="earliest")
        last = pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="latest")
        shown = np.asarray(pc.cast(pc.local_timestamp(first), pa.int64()), np.int64)
    except pa.ArrowInvalid as error:
        raise InvalidRequest(
            f"no zone {zone!r}: {str(error)[:100]}", field="zone", allowed="UTC, +08:00, Asia/Shanghai, …"
        ) from None
    early = np.asarray(pc.cast(first, pa.int64()), np.int64)
    late = np.asarray(pc.cast(last, pa.int64()), np.int64)
    never = shown != local_ms
    twice = (late != early) & ~never
    unix = np.where(never, early + (local_ms - shown), early)
    if ordered and twice.any():
        second = twice & _repeated(local_ms)
        unix = np.where(second, late, unix)
        twice &= False
    return Instants(unix_ms=unix, twice=int(twice.sum()), never=int(never.sum()))


def _repeated(values: Ints) -> npt.NDArray[np.bool_]:
    """Where a value stands for the second time or more."""
    repeated = np.ones(len(values), np.bool_)
    repeated[np.unique(values, return_index=True)[1]] = False
    return repeated


def _first_bad(text: pa.ChunkedArray, kind: pa.DataType) -> int:
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(text.slice(low, middle - low), kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
