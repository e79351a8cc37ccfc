"""Time shifting beside what others published on the same data, and beside the bound that nobody can beat.

Owns the order of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.twin import eurosys, gaia, waiting
from benchmarks.twin.chapters import Table

TITLE = "Shifting work in time"
NEEDED = "needs --data with carbon/, workloads/ and reference-results/ of the published series"


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    if data is None:
        for title in ("EuroSys 2024", "Let's Wait Awhile", "GAIA"):
            yield Table(title, absent=NEEDED)
        return
    yield from eurosys.measure(data, quick=quick)
    yield from waiting.measure(data, quick=quick)
    yield from gaia.measure(data, quick=quick)
