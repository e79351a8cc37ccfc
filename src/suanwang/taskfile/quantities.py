"""Amounts as people write them: sizes, durations, money, instants.

Owns the friendly forms and their canonical spelling. Each parser raises `ValueError` whose message says what is
wrong; `*_FORMS` says what is allowed.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from suanwang.taskfile.problems import quoted

MEMORY_FORMS = "a number of GB, or a size such as 4GB, 512MB or 4GiB, up to 64 TB"
DURATION_FORMS = "a duration such as 90s, 10m, 1h30m or 2d, up to 365d"
MONEY_FORMS = "yuan such as 12.5 or ¥12.50, to the fen, up to 1,000,000,000"
INSTANT_FORMS = "an ISO 8601 instant with its zone, such as 2026-05-01T18:00+08:00 or 2026-05-01T10:00Z"

MOST_MEMORY_GB = 64_000.0
LONGEST_S = 365 * 86_400
MOST_YUAN = Decimal(1_000_000_000)
LONGEST_TEXT = 60
"""No amount is longer; the patterns below are only ever tried on short text."""

_BYTES = {
    "b": 1,
    "kb": 10**3,
    "k": 10**3,
    "mb": 10**6,
    "m": 10**6,
    "gb": 10**9,
    "g": 10**9,
    "tb": 10**12,
    "t": 10**12,
    "kib": 2**10,
    "ki": 2**10,
    "mib": 2**20,
    "mi": 2**20,
    "gib": 2**30,
    "gi": 2**30,
    "tib": 2**40,
    "ti": 2**40,
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]{0,3})", re.ASCII)
_DURATION = re.compile(
    r"(?:(\d{1,9})\s*d)?\s*(?:(\d{1,9})\s*h)?\s*(?:(\d{1,9})\s*(?:m|min))?\s*(?:(\d{1,9})\s*s)?", re.ASCII
)
_MONEY = re.compile(r"[¥￥]?\s*(\d{1,15}(?:\.\d{1,6})?)\s*(?:元|yuan|CNY|RMB)?", re.ASCII)


def parse_memory_gb(value: object) -> float:
    """GB of 10^9 bytes from a number of GB or a size with its unit. Raises `ValueError`."""
    if isinstance(value, str):
        match = _match(_SIZE, value)
        unit = match.group(2).lower() if match else "?"
        if match is None or (unit and unit not in _BYTES):
            raise ValueError(f"{quoted(value)} is not a size")
        number = float(match.group(1))
        size = number * _BYTES[unit] / 10**9 if unit else number
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) > 10**15:
            raise ValueError("no machine has that much memory")
        size = float(value)
    else:
        raise ValueError(f"{quoted(value)} is not a size")
    if not math.isfinite(size) or size <= 0:
        raise ValueError(f"{quoted(value)} is not a positive size")
    if size > MOST_MEMORY_GB:
        raise ValueError("no machine has that much memory")
    return size


def parse_duration_s(value: object) -> int:
    """Whole seconds from a duration such as `1h30m`; a bare number is refused, since its unit is unknown.

    Raises `ValueError`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return 0
        raise ValueError(
            f"{quoted(value)} has no unit: write {quoted(value)}s for seconds or {quoted(value)}m for minutes"
        )
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not a duration")
    match = _match(_DURATION, value)
    if match is None or not any(match.groups()):
        raise ValueError(f"{quoted(value)} is not a duration")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = days * 86_400 + hours * 3_600 + minutes * 60 + seconds
    if total > LONGEST_S:
        raise ValueError(f"{quoted(value)} is longer than 365 days")
    return total


def parse_yuan(value: object) -> Decimal:
    """Yuan to the fen. Raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{quoted(value)} is not an amount of money")
    text = value if isinstance(value, str) else repr(value)
    match = _match(_MONEY, text)
    if match is None:
        raise ValueError(f"{quoted(value)} is not a positive amount of money")
    try:
        amount = Decimal(match.group(1))
        fen = amount.quantize(Decimal("0.01"))
    except InvalidOperation as error:
        raise ValueError(f"{quoted(value)} is not an amount of money") from error
    if fen != amount:
        raise ValueError(f"{quoted(value)} is finer than a fen")
    if not 0 < fen <= MOST_YUAN:
        raise ValueError(f"{quoted(value)} is not a positive amount up to {MOST_YUAN:,} yuan")
    return fen


def parse_instant(value: object) -> datetime:
    """A UTC instant from an ISO text that names its zone. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not an instant")
    try:
        instant = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError(f"{quoted(value)} is not an ISO 8601 instant") from error
    if instant.tzinfo is None:
        raise ValueError(f"{quoted(value)} does not say its zone: add one, such as +08:00 or Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{quoted(value)} lies outside the calendar") from error


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.fullmatch(text.strip()) if len(text) <= LONGEST_TEXT else None


def spell_duration(seconds: int) -> str:
    """The canonical spelling: `5400` is `1h30m`, zero is `0s`."""
    text = ""
    rest = seconds
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def spell_instant(instant: datetime) -> str:
    """ISO in UTC with a `Z`."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
