"""Strict reading of the catalogue's data files.

Owns the walk through untrusted JSON: every complaint names the file, the entry and the field, and says what is allowed.
Knows nothing of what the entries mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, TypeVar

from suanwang.domain.device import Fact, Figure, Position, Reference
from suanwang.domain.errors import InvalidRequest

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

MAX_FILE_BYTES = 2_000_000
MAX_TEXT = 400
MAX_NAME = 200
_KEY = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*\Z")
_WHEN = re.compile(r"(?:19|20)\d\d(?:-(?:Q[1-4]|H[12]|(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?))?\Z")


class Node:
    """One JSON object at a known place. A field that nobody asked for is an error when `done` is called."""

    __slots__ = ("_asked", "_raw", "file", "path")

    def __init__(self, raw: object, file: str, path: str) -> None:
        self.file = file
        self.path = path
        if not isinstance(raw, dict):
            self.refuse("", "an object")
        self._raw: dict[str, object] = raw
        self._asked: set[str] = set()

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """Raise for the field `key` of this object; an empty key means the object itself."""
        place = ".".join(part for part in (self.path, key) if part)
        message = f"{self.file}: {place or 'the file'} must be {allowed}"
        raise InvalidRequest(message, field=place or None, allowed=allowed)

    def get(self, key: str) -> object:
        """The raw value, None where it is absent or null."""
        self._asked.add(key)
        return self._raw.get(key)

    def inherit(self, defaults: Mapping[str, object]) -> Node:
        """This object over `defaults`."""
        return Node({**defaults, **self._raw}, self.file, self.path)

    def plain(self) -> Mapping[str, object]:
        """The raw fields, all of them taken as asked for."""
        self._asked.update(self._raw)
        return self._raw

    def done(self) -> None:
        """Raise where a field is not one that the reader knows."""
        for key in self._raw:
            if key not in self._asked:
                self.refuse(key, "left out: this field is unknown here; known are " + ", ".join(sorted(self._asked)))

    def text(self, key: str, default: str | None = None) -> str:
        """A printable text of at most 400 characters; required unless a default is given."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
            self.refuse(key, f"a printable text of 1 to {MAX_TEXT} characters")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts without repetition, empty where absent."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(map(_is_name, value)) or len(set(value)) != len(value):
            self.refuse(key, f"a list of different printable texts of 1 to {MAX_NAME} characters")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """A required true or false."""
        value = self.get(key)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def word(self, key: str, of: Callable[[str], T], allowed: str) -> T:
        """A text that `of` turns into a value, such as an enumeration."""
        try:
            return of(self.text(key))
        except ValueError:
            self.refuse(key, allowed)

    def number(self, key: str, low: float, high: float) -> float:
        """A required finite number within [low, high]."""
        return self._number(self.get(key), key, low, high)

    def _number(self, value: object, key: str, low: float, high: float) -> float:
        # An integer too large for a float compares without overflow; NaN fails every comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.refuse(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def position(self) -> Position:
        """`lat` and `lon` in degrees."""
        return Position(latitude=self.number("lat", -90, 90), longitude=self.number("lon", -180, 180))

    def child(self, key: str) -> Node:
        """A nested object, empty where absent."""
        value = self.get(key)
        return Node({} if value is None else value, self.file, f"{self.path}.{key}" if self.path else key)

    def children(self) -> Iterator[tuple[str, Node]]:
        """Every field as an object, the field's name being an identifier."""
        for key, value in self.plain().items():
            if not _KEY.match(key) or len(key) > 80:
                self.refuse(key[:80], "named with lower-case letters, digits, hyphens and dots")
            yield key, Node(value, self.file, f"{self.path}.{key}" if self.path else key)

    def items(self, key: str) -> Iterator[Node]:
        """A list of objects, empty where absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, list):
            self.refuse(key, "a list of objects")
        for at, item in enumerate(value or ()):
            yield Node(item, self.file, f"{self.path}.{key}[{at}]" if self.path else f"{key}[{at}]")

    def _cited(
        self, raw: object, key: str, known: Mapping[str, Reference], source: str | None
    ) -> tuple[object, Reference, str]:
        """Split `value`, `[value, source]` or `[value, source, note]`; a bare value has the entry's own source."""
        note = ""
        if isinstance(raw, list):
            if not 2 <= len(raw) <= 3 or not all(isinstance(part, str) for part in raw[1:]):
                self.refuse(key, "a value, [value, source] or [value, source, note]")
            source = raw[1]
            note = raw[2] if len(raw) == 3 else ""
            raw = raw[0]
        reference = known.get(source or "")
        if reference is None:
            self.refuse(key, f"from a source listed under `sources`; {source!r} is not")
        return raw, reference, note

    def cited(self, key: str, known: Mapping[str, Reference], source: str | None, high: float) -> Figure | None:
        """A figure above 0 and at most `high`, or None where absent."""
        raw = self.get(key)
        if raw is None:
            return None
        value, reference, note = self._cited(raw, key, known, source)
        number = self._number(value, key, math.ulp(0.0), high)
        return Figure(value=number, source=reference.key, published_on=reference.published_on, note=note)

    def fact(self, key: str, known: Mapping[str, Reference], source: str | None) -> Fact | None:
        """A dated word: an ISO year, quarter, half, month or day."""
        raw = self.get(key)
        if raw is None:
            return None
        value, reference, note = self._cited(raw, key, known, source)
        if not isinstance(value, str) or not _WHEN.match(value):
            self.refuse(key, "a date such as 2022, 2022-Q1, 2022-03 or 2022-03-22")
        return Fact(value=value, source=reference.key, published_on=reference.published_on, note=note)


def references_of(node: Node) -> dict[str, Reference]:
    """The `sources` table of a file."""
    found: dict[str, Reference] = {}
    for key, entry in node.child("sources").children():
        when = entry.text("date")
        if not _WHEN.match(when):
            entry.refuse("date", "a date such as 2022, 2022-03 or 2022-03-22")
        found[key] = Reference(
            key=key,
            title=entry.text("title"),
            publisher=entry.text("publisher"),
            published_on=when,
            locator=entry.text("locator", ""),
            licence=entry.text("licence", ""),
        )
        entry.done()
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= MAX_NAME


def freeze(table: Mapping[K, V]) -> Mapping[K, V]:
    """A read-only view of a copy."""
    return MappingProxyType(dict(table))


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = sorted(key for key in table if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"{twice[0][:80]!r} is there twice")
    return table


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number here")


def parse(text: str, file: str) -> Node:
    """Parse one data file. Raises `InvalidRequest` naming the file for anything that is not plain JSON."""
    try:
        raw = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{file}: cannot be read as JSON: {error}", field=file, allowed="a JSON object") from error
    return Node(raw, file, "")


@lru_cache(maxsize=1)
def _data() -> Traversable:
    return files("suanwang.catalog").joinpath("data")


def package_files(folder: str) -> tuple[str, ...]:
    """Names of the shipped data files under `data/FOLDER`, sorted."""
    here = _data().joinpath(folder)
    return tuple(sorted(f"{folder}/{item.name}" for item in here.iterdir() if item.name.endswith(".json")))


def package_file(name: str) -> Node:
    """One shipped data file."""
    return parse(_data().joinpath(name).read_text("utf-8"), name)


def outside_file(path: Path) -> Node:
    """A provider's own data file. Raises `InvalidRequest` where it is missing, too large or not UTF-8 JSON."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise InvalidRequest(message, field=str(path), allowed="a readable file") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(f"{path}: is too large", field=str(path), allowed=f"at most {MAX_FILE_BYTES} bytes")
    try:
        return parse(content.decode("utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: is not UTF-8", field=str(path), allowed="UTF-8 text") from error
