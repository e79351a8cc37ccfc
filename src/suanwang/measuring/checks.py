"""Checks of numbers that come from outside. Owns the wording of what is allowed; knows nothing of what a number
means."""

from __future__ import annotations

import math

from suanwang.domain.errors import InvalidRequest

LARGEST = 1e18
"""No count or rate of this field is larger: 10^18 parameters or 10^18 TFLOPS exist nowhere. Operations have their own
limit."""


def number(
    value: object, field: str, *, least: float = 0.0, most: float = LARGEST, zero_allowed: bool = False
) -> float:
    """`value` as a finite float over `least` (or at it where `zero_allowed`) and up to `most`.

    Raises `InvalidRequest` naming `field` for text, truth values, NaN, infinities and anything out of range.
    """
    allowed = f"a number {'from' if zero_allowed else 'over'} {least:g} up to {most:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(f"{field} must be {allowed}, not {value!r}", field=field, allowed=allowed)
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float) or as_float > most or as_float < least or (as_float == least and not zero_allowed):
        raise InvalidRequest(f"{field} is {_shown(value)}; give {allowed}", field=field, allowed=allowed)
    return as_float


def whole(value: object, field: str, *, least: int = 1, most: int) -> int:
    """`value` as an integer from `least` to `most`. Raises `InvalidRequest` naming `field`."""
    as_float = number(value, field, least=least, most=most, zero_allowed=True)
    if as_float != int(as_float):
        allowed = f"a whole number from {least} to {most}"
        raise InvalidRequest(f"{field} is {_shown(value)}; give {allowed}", field=field, allowed=allowed)
    return int(as_float)


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
