"""Time shifting beside what others published on the same data, and beside the bound that nobody can beat.

Owns the order of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.twin.chapters import Table

TITLE = "Shifting work in time"


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    if data is None:
        yield Table("Published results of time shifting", absent="needs --data")
