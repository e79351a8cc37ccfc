"""Counts as people write them: `7B`, `1.5T`, `300M`, `8K`, `2e12`. Owns the suffixes."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_WRITTEN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([KkMmBbGgTtPp]?)\s*")
_FACTOR = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}


def _count(value: object) -> object:
    if isinstance(value, str):
        found = _WRITTEN.fullmatch(value)
        if found is None:
            raise ValueError("write a number, such as 7e9, 7B or 1.5T")
        return float(found[1]) * _FACTOR[found[2].lower()]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("write a number, such as 7e9, 7B or 1.5T")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    return value if abs(value) <= 1e300 else math.inf


Count = Annotated[
    float,
    BeforeValidator(_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[KMBGTP]?$"},
            ],
            "examples": ["7B", "1.5T", 2e12],
        }
    ),
]
"""A count that may carry a suffix: K, M, B or G, T, P for 10^3 to 10^15. Its range is the need's own affair."""
