"""Columns of a table of text, checked: every complaint names the file, the line, the field and what is allowed.

Owns the reading of CSV and Parquet into arrays of numbers, words and instants. Knows no format of traces.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as papq

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.twin.traces import clock
from suanwang.twin.traces.source import MOST_BYTES, Source

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
LARGEST = 1e12
"""No duration, count or size in any log comes near it; what does is damage."""
MOST_ROWS = 20_000_000
MOST_CELLS = 200_000_000
MOST_COLUMNS = 10_000
_BLOCK = 16 << 20
_BLANK = ["", "nan", "NaN", "NULL", "null", "None", "NA", "N/A", "-"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """`[row]` columns of text or of Parquet's own types. `lines[row]` is where a row stands in its file."""

    file: str
    columns: pa.Table
    lines: Ints

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns.column_names)

    def has(self, column: str) -> bool:
        return column in self.columns.column_names

    def taken(self, keep: Bools) -> Table:
        """The rows where `keep` holds."""
        return Table(file=self.file, columns=self.columns.filter(pa.array(keep)), lines=self.lines[keep])

    def refuse(self, row: int, column: str, found: object, allowed: str) -> NoReturn:
        where = f"{self.file}: line {int(self.lines[row])}, {column}"
        raise InvalidRequest(f"{where}: {found!s:.80} is not {allowed}", field=column, allowed=allowed)

    def numbers(self, column: str, *, least: float = 0.0, most: float = LARGEST, blank: float | None = None) -> Floats:
        """A column of numbers from `least` to `most`; where it is empty, `blank` stands, and must be given."""
        raw = self._text(column)
        allowed = f"a number from {least:g} to {most:g}"
        try:
            cast = pc.cast(raw, pa.float64())
        except pa.ArrowInvalid:
            row = _first_bad_number(raw)
            self.refuse(row, column, repr(raw[row].as_py()), allowed)
        empty = np.asarray(pc.is_null(cast))
        values = np.array(pc.fill_null(cast, 0.0 if blank is None else blank), np.float64)
        if blank is None and empty.any():
            self.refuse(int(np.argmax(empty)), column, "an empty value", allowed)
        bad = ~((values >= least) & (values <= most)) & ~empty
        if bad.any():
            row = int(np.argmax(bad))
            self.refuse(row, column, f"{values[row]:g}", allowed)
        return values

    def filled(self, column: str) -> Bools:
        """Where a column is not empty."""
        return ~np.asarray(pc.is_null(self._text(column)), np.bool_)

    def words(self, column: str) -> list[str]:
        """A column of words; empty where it is."""
        return [value or "" for value in self._text(column).to_pylist()]

    def coded(self, column: str, *, blank: str = "unknown") -> tuple[Ints, tuple[str, ...]]:
        """A column of words as indexes into its different words, in the order of their first appearance."""
        encoded = pc.dictionary_encode(pc.fill_null(self._text(column), blank)).combine_chunks()
        indices = np.asarray(encoded.indices, np.int64)
        return indices, tuple(encoded.dictionary.to_pylist())

    def instants(self, column: str, *, zone: str | None, ordered: bool = False) -> clock.Instants:
        """A column of dates with times, all there and since 1970, as Unix ms. `zone` is what naive times are in.

        `ordered` says that rows follow each other in time, so that a repeated time is its hour's second coming.
        """
        raw = self.columns.column(column)
        stamps = pa.types.is_timestamp(raw.type)
        told = raw if stamps else self._text(column)

        def refuse(row: int, allowed: str) -> NoReturn:
            self.refuse(row, column, told[row] if stamps else repr(told[row].as_py()), allowed)

        empty = np.asarray(pc.is_null(told), np.bool_)
        if empty.any():
            self.refuse(int(np.argmax(empty)), column, "an empty value", "a date and time")
        found = (clock.of_timestamps if stamps else clock.of_text)(told, zone, refuse, ordered=ordered)
        if (found.unix_ms < 0).any():
            refuse(int(np.argmax(found.unix_ms < 0)), "a time since 1970")
        return found

    def unique(self, column: str) -> None:
        """Raise where a value of a column stands twice."""
        codes, words = self.coded(column)
        if len(words) == len(codes):
            return
        first = np.full(len(words), -1, np.int64)
        for row, code in enumerate(codes):
            if first[code] >= 0:
                self.refuse(row, column, f"{words[code]!r}, as on line {int(self.lines[first[code]])},", "unique")
            first[code] = row

    def _text(self, column: str) -> pa.ChunkedArray:
        raw = self.columns.column(column)
        if not pa.types.is_string(raw.type):
            raw = pc.cast(raw, pa.string())
        raw = pc.utf8_trim_whitespace(raw)
        return pc.if_else(pc.is_in(raw, value_set=pa.array(_BLANK)), pa.scalar(None, pa.string()), raw)


def read_csv(source: Source, *, needs: Collection[str], may: Collection[str] = ()) -> Table:
    """The table of a CSV file with a header that has all of `needs` and, beside them, nothing but `may`."""
    data = source.data.removeprefix(b"\xef\xbb\xbf")
    end = data.find(b"\n")
    header = _header(source.name, data[: end if end >= 0 else len(data)])
    check_columns(source.name, header, needs, may)
    if end < 0 or not data[end:].strip():
        raise InvalidRequest(f"{source.name} has a header and no rows", field=source.name, allowed="one row or more")
    return parse(source.name, data[end + 1 :], header, first_line=2)


def parse(
    file: str, data: bytes, header: Sequence[str], *, first_line: int, lines: Ints | None = None, quotes: bool = True
) -> Table:
    """Rows of comma-separated text without their header. `lines` says where they stand, else they follow `first_line`."""
    kept = data.rstrip(b"\r\n \t")
    blank = next((at for at in (kept.find(b"\n\n"), kept.find(b"\n\r\n")) if at >= 0), -1)
    if blank >= 0:
        line = first_line + kept.count(b"\n", 0, blank) + 1
        raise InvalidRequest(f"{file}: line {line} is empty", field=f"line {line}", allowed=", ".join(header)[:300])
    _check_amount(file, kept.count(b"\n") + 1, len(header))
    columns = _parsed(file, kept, list(header), first_line, lines, quotes)
    if lines is None:
        lines = np.arange(first_line, first_line + columns.num_rows, dtype=np.int64)
    return Table(file=file, columns=columns, lines=lines)


def read_parquet(source: Source, *, needs: Collection[str], may: Collection[str] | None = ()) -> Table:
    """The table of a Parquet file; `may` of None allows any further column. Rows are counted as lines from 1."""
    try:
        found = papq.ParquetFile(io.BytesIO(source.data))
        _check_amount(source.name, found.metadata.num_rows, len(found.schema_arrow.names))
        texts = [field.name for field in found.schema_arrow if pa.types.is_string(field.type)]
        # Texts stay coded until it is known how much they come to: a small file can repeat a long one very often.
        columns = _decoded(source.name, papq.read_table(io.BytesIO(source.data), read_dictionary=texts))
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(
            f"{source.name} is a damaged Parquet file: {str(error)[:120]}", field=source.name, allowed="a whole file"
        ) from None
    check_columns(source.name, columns.column_names, needs, columns.column_names if may is None else may)
    if not columns.num_rows:
        raise InvalidRequest(f"{source.name} has no rows", field=source.name, allowed="one row or more")
    return Table(file=source.name, columns=columns, lines=np.arange(1, columns.num_rows + 1, dtype=np.int64))


def _decoded(file: str, columns: pa.Table) -> pa.Table:
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type):
            longest = max((pc.max(pc.binary_length(part.dictionary)).as_py() or 0 for part in column.chunks), default=0)
            if longest * len(column) > MOST_BYTES:
                raise TooLarge(f"{file}: {name} holds too much text", field=name, allowed=f"up to {MOST_BYTES:,} bytes")
            columns = columns.set_column(columns.column_names.index(name), name, pc.cast(column, pa.string()))
        elif not (pa.types.is_primitive(kind) and not pa.types.is_duration(kind)):
            raise InvalidRequest(f"{file}: {name} is of kind {kind}", field=name, allowed="numbers, times, texts")
    return columns


def _check_amount(file: str, rows: int, columns: int) -> None:
    """Raise before a table is made that memory may not hold."""
    if columns > MOST_COLUMNS or rows > MOST_ROWS or rows * columns > MOST_CELLS:
        raise TooLarge(
            f"{file} has {rows:,} rows of {columns:,} columns",
            field=file,
            allowed=f"up to {MOST_ROWS:,} rows, {MOST_COLUMNS:,} columns and {MOST_CELLS:,} values",
        )


def check_columns(file: str, header: Sequence[str], needs: Collection[str], may: Collection[str]) -> None:
    """Raise for a column that is missing, doubled or unknown."""
    known = (*needs, *(name for name in may if name not in needs))
    if "" in header:
        place = list(header).index("") + 1
        raise InvalidRequest(
            f"{file}: line 1: column {place} has no name", field="header", allowed=", ".join(known)[:400]
        )
    missing = [name for name in needs if name not in header]
    doubled = [name for name in header if list(header).count(name) > 1]
    unknown = [name for name in header if name not in known]
    for what, names in (
        ("has no column", missing),
        ("has twice the column", doubled),
        ("has an unknown column", unknown),
    ):
        if names:
            raise InvalidRequest(f"{file}: line 1 {what} {names[0]!r}", field=names[0], allowed=", ".join(known)[:400])


def header_of(source: Source) -> tuple[str, ...]:
    """The names in the first line of a CSV file."""
    return tuple(_header(source.name, source.data.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]))


def _header(file: str, line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file}: line 1 is no text", field=file, allowed="UTF-8") from None
    _check_amount(file, 1, text.count(",") + 1)
    return [name.strip().strip('"') for name in text.split(",")]


def _parsed(file: str, data: bytes, header: list[str], first_line: int, lines: Ints | None, quotes: bool) -> pa.Table:
    def parsed(threads: bool, handler: Any = None) -> pa.Table:
        return pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(column_names=header, block_size=_BLOCK, use_threads=threads),
            parse_options=pacsv.ParseOptions(
                ignore_empty_lines=False, invalid_row_handler=handler, quote_char='"' if quotes else False
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )

    def wrong(row: int, told: str, allowed: str) -> InvalidRequest:
        line = first_line + row if lines is None else int(lines[row])
        return InvalidRequest(f"{file}: line {line} {told}", field=f"line {line}", allowed=allowed)

    try:
        columns = parsed(threads=True)
    except pa.ArrowInvalid as error:
        problem = str(error)
    else:
        if columns.num_rows == data.count(b"\n") + 1:
            return columns
        raise InvalidRequest(f"{file} has a value over several lines", field=file, allowed="one row on each line")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = data[error.start : error.start + 4]
        raise wrong(data.count(b"\n", 0, error.start), f"is no text: {found!r}", "UTF-8") from None
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "error"

    try:
        # Only without threads does the parser know which row it is at.
        parsed(threads=False, handler=note)
    except pa.ArrowInvalid as error:
        problem = str(error)
    if not bad:
        raise InvalidRequest(f"{file}: {problem[:160]}", field=file, allowed="rows of text in UTF-8")
    told = f"has {bad[0].actual_columns} fields: {bad[0].text[:80]!r}"
    raise wrong(int(bad[0].number) - 1, told, f"{len(header)} fields: {', '.join(header)[:300]}")


def _first_bad_number(raw: pa.ChunkedArray) -> int:
    """The first row that is no number, found by halving: the parser does not say."""
    low, high = 0, len(raw)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(raw.slice(low, middle - low), pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
