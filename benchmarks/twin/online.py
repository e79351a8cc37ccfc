"""Time shifting where the hours ahead are guessed, beside the bound that knows the whole year.

Owns the order of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.twin import joint_online, online_rules, past_forecasts
from benchmarks.twin.chapters import Table

TITLE = "Shifting work in time online"
PARTS = (joint_online, past_forecasts, online_rules)


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    if data is None:
        yield Table("EuroSys 2024 online", absent="needs --data with carbon/ of the published series")
        return
    for part in PARTS:
        yield from part.measure(data, quick=quick)
