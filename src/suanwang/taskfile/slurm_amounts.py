"""Amounts as Slurm writes them: times, sizes, node counts, arrays, generic resources.

Owns the pure parsers; each raises `ValueError` saying what is wrong. The formats are those of `man sbatch`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from suanwang.domain.task import SIGNALS
from suanwang.taskfile.problems import quoted

TIME_FORMS = "minutes, m:s, h:m:s, d-h, d-h:m or d-h:m:s"
SIZE_FORMS = "a number of MiB, or one with K, M, G or T"
ARRAY_FORMS = "indexes such as 0-7, 1,3,5-7 or 0-15:4, with %k for how many at once"
GRES_FORMS = "gpu:2, gpu:a100:2, and the like"
SIGNAL_FORMS = "[B:]signal[@seconds], such as USR1@300 or B:TERM@60, up to 65535 seconds"
MOST_LISTED = 5_000

_SIZE = re.compile(r"(\d{1,15})\s*([KMGTkmgt]?)[Bb]?", re.ASCII)
_COUNT = re.compile(r"(\d{1,9})([kKmM]?)", re.ASCII)
_PART = re.compile(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", re.ASCII)
_SIGNAL = re.compile(r"(?:([RB]{1,2}):)?(?:SIG)?([A-Z]{2,6}\d?|\d{1,2})(?:@(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_SIGNAL_NUMBERS = {1: "HUP", 2: "INT", 3: "QUIT", 9: "KILL", 10: "USR1", 12: "USR2", 14: "ALRM", 15: "TERM", 18: "CONT"}
"""As Linux counts them."""
_SIGNAL_NAMES = frozenset(
    (*SIGNALS, "INT", "QUIT", "ABRT", "KILL", "STOP", "TSTP", "TTIN", "TTOU")  # those that can tell nothing here too
)
_TOLD_BEFORE_S = 60
_MIB = {"K": 2**-10, "M": 1, "G": 2**10, "T": 2**20, "": 1}


def parse_time_s(text: str) -> int:
    """Seconds of a time limit, which Slurm rounds up to whole minutes."""
    if not re.fullmatch(r"(\d{1,6}-)?\d{1,8}(:\d{1,8}){0,2}", text, re.ASCII):
        raise ValueError(f"{quoted(text)} is not a time limit")
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        total = int(days) * 86_400 + hours * 3_600 + minutes * 60 + seconds
    elif len(parts) == 3:
        total = parts[0] * 3_600 + parts[1] * 60 + parts[2]
    else:
        total = parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)
    if total == 0:
        raise ValueError("no limit at all cannot be priced")
    return -(-total // 60) * 60


def parse_size_gb(text: str) -> float:
    """GB of 10^9 bytes; Slurm counts in binary units, MiB without one."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size")
    size_mib = int(match.group(1)) * _MIB[match.group(2).upper()]
    if size_mib == 0:
        raise ValueError("0 asks for all memory of a node, whose size is not known beforehand")
    return size_mib * 2**20 / 10**9


def parse_count(text: str) -> int:
    """A positive count; `1k` is 1024 as in Slurm."""
    match = _COUNT.fullmatch(text.strip())
    count = int(match.group(1)) * {"": 1, "K": 1024, "M": 1024**2}[match.group(2).upper()] if match else 0
    if count < 1:
        raise ValueError(f"{quoted(text)} is not a count of 1 or more")
    return count


def parse_nodes(text: str) -> tuple[int, int]:
    """The least and the most nodes; equal where one number is given."""
    low, dash, high = text.strip().partition("-")
    least = parse_count(low)
    most = parse_count(high) if dash else least
    if most < least:
        raise ValueError(f"{quoted(text)} has its larger number first")
    return least, most


@dataclass(frozen=True, slots=True)
class ArrayIndexes:
    """Indexes of an array, ascending and each once, and how many may run at a time."""

    indexes: range | tuple[int, ...]
    at_once: int | None = None


def parse_array(text: str, *, most: int) -> ArrayIndexes:
    """The indexes of `--array`. At most `most` of them."""
    listed, percent, limit = text.strip().partition("%")
    at_once = parse_count(limit) if percent else None
    ranges = [_range(part) for part in listed.split(",")]
    if sum(len(part) for part in ranges) > most:
        raise ValueError(f"more than {most} indexes")
    if len(ranges) == 1:
        return ArrayIndexes(ranges[0], at_once)
    indexes = tuple(sorted({index for part in ranges for index in part}))
    steady = range(indexes[0], indexes[-1] + 1)
    if len(steady) == len(indexes):
        return ArrayIndexes(steady, at_once)
    if len(indexes) > MOST_LISTED:
        raise ValueError(f"more than {MOST_LISTED} indexes that are not one range")
    return ArrayIndexes(indexes, at_once)


def _range(text: str) -> range:
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not an index or a range of them")
    first = int(match.group(1))
    last = int(match.group(2) or first)
    step = int(match.group(3) or 1)
    if last < first or step < 1:
        raise ValueError(f"{quoted(text)} is a range without indexes")
    return range(first, last + 1, step)


@dataclass(frozen=True, slots=True)
class Gres:
    """Some of a node's generic resources."""

    name: str
    type: str | None
    count: int


def parse_gres(text: str) -> tuple[Gres, ...]:
    """Generic resources such as `gpu:a100:2,nvme:1`; `none` and `gpu:0` are nothing."""
    found = []
    for part in text.strip().split(","):
        pieces = part.strip().removeprefix("gres/").replace("=", ":").split(":")
        if not all(pieces) or len(pieces) > 3:
            raise ValueError(f"{quoted(part)} is not a generic resource")
        name, *rest = pieces
        counted = rest.pop() if rest and _COUNT.fullmatch(rest[-1]) else "1"
        if len(rest) > 1:
            raise ValueError(f"{quoted(part)} is not a generic resource")
        count = parse_count(counted) if counted.strip("0") else 0
        if count and name.lower() != "none":
            found.append(Gres(name.lower(), rest[0] if rest else None, count))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Told:
    """`--signal`: which signal, so long before the time limit, and whether the batch shell alone hears it."""

    name: str
    before_s: int
    shell_only: bool


def parse_signal(text: str) -> Told:
    """`[{R|B}:]<signal>[@seconds]`, 60 s where none are given; `R` speaks of reservations, which sites alone have."""
    match = _SIGNAL.fullmatch(text.strip())
    flags, written, before = match.groups() if match else ("", "", None)
    name = _SIGNAL_NUMBERS.get(int(written), "") if written.isdigit() else written.upper()
    before_s = _TOLD_BEFORE_S if before is None else int(before)
    if name not in _SIGNAL_NAMES or before_s > 65_535:
        raise ValueError(f"{quoted(text)} is not a signal")
    return Told(name, max(1, before_s), "B" in (flags or "").upper())
