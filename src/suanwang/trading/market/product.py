"""What is traded: units of a device at a site, over whole hours.

Owns windows and zones. A *window* is one hour, numbered from 1970-01-01T00:00Z; a *zone* is where units are alike: one
device at one site, kept or interruptible. A *rectangle* is a number of units in a zone over windows without a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from suanwang.domain.errors import InvalidRequest

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CORE = "core"
"""The device name of a processor core."""
MOST_WINDOWS = 744
"""Of one rectangle: 31 days."""
MOST_UNITS = 1_000_000
MOST_PRICE_FEN = 1_000_000_000
"""Per unit and hour: ten million yuan."""


class Zone(NamedTuple):
    """Units of one zone may stand for each other. Sorts by its fields."""

    site: str
    device: str
    interruptible: bool = False


def window_of(at: datetime) -> int:
    """The window that an instant lies in."""
    return (at - EPOCH) // HOUR


def begins(window: int) -> datetime:
    return EPOCH + window * HOUR


def windows_between(start: datetime, end: datetime) -> tuple[int, int]:
    """(first window, how many). Raises `InvalidRequest` where either is not on the hour, or none or too many lie between."""
    for name, at in (("start", start), ("end", end)):
        if begins(window_of(at)) != at:
            raise InvalidRequest("windows begin on the hour (UTC)", field=name, allowed="such as 2026-03-01T14:00Z")
    count = window_of(end) - window_of(start)
    if not 0 < count <= MOST_WINDOWS:
        raise InvalidRequest(
            f"{count} hours are not a possible length", field="end", allowed=f"1 to {MOST_WINDOWS} hours after start"
        )
    return window_of(start), count


def added(first: int, counts: Sequence[int], other_first: int, other: Sequence[int], sign: int = 1) -> tuple[int, ...]:
    """`counts` with `sign` × `other` added where they overlap; each begins at its own window."""
    result = list(counts)
    for at in range(max(first, other_first), min(first + len(counts), other_first + len(other))):
        result[at - first] += sign * other[at - other_first]
    return tuple(result)
