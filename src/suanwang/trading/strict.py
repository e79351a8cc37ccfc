"""Strict readers of JSON values that somebody else wrote.

Owns the refusal of what is missing, unknown, of the wrong type or out of bounds: each raises `ValueError` or `TypeError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

_HEX = re.compile(r"[0-9a-f]{64}")
_MONEY = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,30})?")
_MOST = 1_000_000


def exactly(value: object, *names: str) -> Mapping[str, Any]:
    found = mapping(value)
    if set(found) != set(names):
        odd = sorted(set(found) ^ set(names))
        raise ValueError(f"fields {', '.join(odd)[:200]} are missing or unknown")
    return found


def mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return value


def listed(value: object) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError("a list is wanted")
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a whole number is wanted")
    return value


def count(value: object) -> int:
    if whole(value) < 0:
        raise ValueError("a number of 0 or more is wanted")
    return whole(value)


def amount(value: object) -> Decimal:
    # By its digits, because a short exponent stands for gigabytes of them.
    if not _MONEY.fullmatch(text(value)):
        raise ValueError("an amount of money is wanted")
    return Decimal(text(value))


def instant_of(value: object) -> datetime:
    at = datetime.fromisoformat(text(value))
    if at.tzinfo is None:
        raise ValueError("an instant needs its offset")
    return at


def hash_of(value: object) -> str:
    if not _HEX.fullmatch(text(value)):
        raise ValueError("64 hexadecimal digits are wanted")
    return text(value)


def hashes(value: object) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(hash_of(step)) for step in listed(value))
