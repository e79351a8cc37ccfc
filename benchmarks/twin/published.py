"""Readers of the published series, workloads and results that the benchmarks are held to.

Owns their file formats; where the folder lies is said by the caller.
"""

from __future__ import annotations

import csv
import gzip
import lzma
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def rows(file: Path) -> Iterator[dict[str, str]]:
    """The lines of a CSV file, plain or packed, by their column's name."""
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    with opened(file, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
        yield from csv.DictReader(lines)


def zones(data: Path) -> tuple[tuple[str, ...], Floats]:
    """Names, and g/kWh `[hour, zone]`: 123 zones through 2022, without the year's last hour.

    Life-cycle averages of Electricity Maps, from umassos/decarbonization-potential.
    """
    lines = list(rows(data / "carbon/carbon_intensity_123zones_2022_hourly.csv.xz"))
    names = tuple(name for name in lines[0] if name != "datetime_utc")
    return names, np.array([[float(line[name]) for name in names] for line in lines])


def half_hours(data: Path, region: str) -> Floats:
    """g/kWh by half hour of local time from 2020-01-01 on: `ger`, `gb` or `fr`.

    ENTSO-E, from dos-group/lets-wait-awhile; finer values are passed over, as its authors do.
    """
    taken = []
    for line in rows(data / f"carbon/lets-wait-awhile-{region}_ci_2020.csv.gz"):
        at = datetime.fromisoformat(line["Time"])
        if at.year >= 2020 and at.minute % 30 == 0:
            taken.append(float(line["Carbon Intensity"]))
    return np.array(taken)


def gaia_jobs(data: Path, name: str) -> Floats:
    """`[job, 3]`: arrival, length (as the file counts them: hours, or seconds in `pai_1k`) and processors.

    From umassos/GAIA (MIT).
    """
    columns = ("arrival_time", "length", "cpus")
    return np.array(
        [[float(line[column]) for column in columns] for line in rows(data / f"workloads/gaia-{name}.csv.gz")]
    )
