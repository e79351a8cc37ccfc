"""Frozen values as plain JSON values that anybody can hash, and their strict reading.

Owns the form: a value is an object of its fields; what has its default is left out, so that a field which is added later, with
a default, leaves every older text as it is. Decimals and floats are texts, instants are in UTC with microseconds.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from suanwang.trading.leaves import instant, plain
from suanwang.trading.strict import amount, instant_of, listed, mapping, text, whole

T = TypeVar("T")


def shown(value: object) -> Any:
    """A value of the kinds that `read` knows, as plain JSON values."""
    match value:
        case StrEnum():
            return value.value
        case bool() | int() | str() | None:
            return value
        case float():
            return repr(value)
        case Decimal():
            return plain(value)
        case datetime():
            return instant(value)
        case Mapping():
            return {str(name): shown(each) for name, each in value.items()}
        case tuple():
            return [shown(each) for each in value]
    assert is_dataclass(value), "values are made of the kinds above"
    stated = ((each, getattr(value, each.name)) for each in fields(value))
    return {each.name: shown(said) for each, said in stated if said != _default(each)}


def read(kind: type[T], value: object) -> T:
    """A `kind` of what `shown` wrote. Raises `ValueError`, `TypeError` for what is missing, unknown or of another type; whoever
    needs the one canonical text shows it again and compares."""
    return cast(T, _read(kind, value))


def _read(kind: Any, value: object) -> Any:
    kind = getattr(kind, "__supertype__", kind)
    if get_origin(kind) in (Union, types.UnionType):
        inner = next(each for each in get_args(kind) if each is not type(None))
        return None if value is None else _read(inner, value)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), listed(value))
    if get_origin(kind) is not None:
        return {text(name): _read(get_args(kind)[1], each) for name, each in mapping(value).items()}
    if is_dataclass(kind):
        return _fields(cast(type, kind), mapping(value))
    if issubclass(kind, StrEnum):
        return kind(text(value))
    return _PLAIN[kind](value)


def _tuple(kinds: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    if kinds[1:] == (...,):
        return tuple(_read(kinds[0], each) for each in values)
    return tuple(_read(kind, each) for kind, each in zip(kinds, values, strict=True))


def _fields(kind: type, value: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    missing = {each.name for each in fields(kind) if _default(each) is MISSING} - value.keys()
    odd = sorted(missing | (value.keys() - hints.keys()))
    if odd:
        raise ValueError(f"fields {', '.join(odd)[:200]} are missing or unknown")
    return kind(**{name: _read(hints[name], each) for name, each in value.items()})


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _number(value: object) -> float:
    return float(text(value))


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is wanted")
    return value


_PLAIN: Mapping[type, Any] = {
    str: text,
    int: whole,
    bool: _truth,
    float: _number,
    Decimal: amount,
    datetime: instant_of,
}
