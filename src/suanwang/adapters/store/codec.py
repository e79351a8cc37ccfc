"""Frozen values to JSON text and back, and text that a database can hold.

Owns the JSON form of every value kept in a `json` column: one pydantic `TypeAdapter` per type, so that a field added
with a default reads rows written before it, and a field taken away is passed over. Equal texts of immutable values
decode to one shared object. Knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

import orjson
from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticSerializationError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands where a text had something that no UTF-8 text column can hold: a NUL or half a surrogate pair."""

_ESCAPED_NUL = b"\\u0000"
_CACHED_TEXTS = 4096


def clean(text: str) -> str:
    """`text` with every NUL and lone surrogate replaced, so that PostgreSQL accepts it."""
    if text.isascii():
        return text.replace("\0", REPLACEMENT) if "\0" in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join(REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text.replace("\0", REPLACEMENT)


def _cleaned(value: object) -> object:
    """A copy of plain JSON values in which every text is clean."""
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {clean(str(key)): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item) for item in value]
        case _:
            return value


T = TypeVar("T")


class Codec(Generic[T]):
    """The JSON form of `T`. A value that is None is SQL's NULL, never JSON's."""

    __slots__ = ("_adapter", "_latest", "load")

    def __init__(self, kind: type[T], *, shared: bool = False) -> None:
        """`shared` decodes equal texts to one object; only for values that nobody changes and that repeat."""
        # The union makes the configuration reach the dataclass: infinities travel as words, since JSON has none.
        optional: Any = kind | None
        self._adapter: TypeAdapter[T | None] = TypeAdapter(optional, config=ConfigDict(ser_json_inf_nan="strings"))
        self._latest: tuple[T | None, str] = (None, "")
        self.load: Callable[[str], T] = lru_cache(_CACHED_TEXTS)(self._parse) if shared else self._parse

    def dump(self, value: T) -> str:
        """JSON text without NUL or lone surrogates. One value stored in two places in a row is written once."""
        latest, text = self._latest
        if latest is not value:
            text = self._dump(value)
            self._latest = (value, text)
        return text

    def _dump(self, value: T) -> str:
        try:
            data = self._adapter.dump_json(value, fallback=_plain, warnings=False)
        except PydanticSerializationError:
            return self._dump_clean(value)
        return self._dump_clean(value) if _ESCAPED_NUL in data else data.decode()

    def dump_or_none(self, value: T | None) -> str | None:
        return None if value is None else self.dump(value)

    def load_or_none(self, text: str | None) -> T | None:
        return None if text is None else self.load(text)

    def _parse(self, text: str) -> T:
        value = self._adapter.validate_json(text)
        assert value is not None, "a JSON null was stored where SQL's NULL belongs"
        return value

    def _dump_clean(self, value: T) -> str:
        return orjson.dumps(
            _cleaned(self._adapter.dump_python(value, mode="json", fallback=_plain, warnings=False))
        ).decode()


def dump_free(value: Mapping[str, object]) -> str:
    """JSON text of a mapping of plain values, such as an event's data; dates and decimals become texts."""
    try:
        data = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        data = orjson.dumps(_cleaned(value), default=_plain, option=orjson.OPT_NON_STR_KEYS)
    if _ESCAPED_NUL in data:
        data = orjson.dumps(_cleaned(orjson.loads(data)))
    return data.decode()


def load_free(text: str) -> dict[str, object]:
    """The mapping that `dump_free` wrote."""
    value = orjson.loads(text)
    assert isinstance(value, dict), "only mappings are stored"
    return value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)
