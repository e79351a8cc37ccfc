"""Time shifting beside what others published on the same data, and beside the bound that nobody can beat.

Owns the order of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.twin import eurosys, gaia, gaia_year, joint_waiting, replanned, waiting
from benchmarks.twin.chapters import Table

TITLE = "Shifting work in time"
PARTS = (eurosys, waiting, gaia, replanned, joint_waiting, gaia_year)


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    if data is None:
        needed = "needs --data with carbon/, workloads/ and reference-results/ of the published series"
        yield Table("EuroSys 2024, Let's Wait Awhile, GAIA", absent=needed)
        return
    for part in PARTS:
        yield from part.measure(data, quick=quick)
