"""The exact bound of time shifting in 123 zones (Sukprasert and others, EuroSys 2024), every figure recomputed.

Owns the comparison. Their tables say, for each zone, job length and slack, the mean over all hours of arrival of: not
waiting, the cheapest unbroken run, the cheapest broken one. A window is length + slack hours, cut at the year's end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.published import Floats, rows, zones
from benchmarks.twin.rules import best_starts, best_steps_costs

HOURS = 8760
LENGTHS = (1, 6, 12, 24, 48, 96, 168)
SLACKS = (24, 168, 480, 720, 8760)
"""Of the published tables, in hours."""
ROUNDED = 0.00005 + 1e-6
"""The published figures have four decimals."""
Row = tuple[int, int, int, float, float, float]
"""Length, slack, starts, and the three means."""


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    names, values = zones(data)
    published = _published(data)
    figures, wrong, lines, empty = 0, 0, 0, 0
    for zone, name in list(enumerate(names))[:: 20 if quick else 1]:
        wanted = published[name]
        empty += sum(row[2] == 0 for row in wanted)
        wanted = [row for row in wanted if row[2]]
        series = _completed(values[:, zone], wanted)
        for row in wanted:
            differences = np.abs(np.array(means(series, row[0], row[1], row[2])) - np.array(row[3:]))
            lines, figures, wrong = lines + 1, figures + 3, wrong + int((differences > ROUNDED).sum())
    yield Table(
        "EuroSys 2024: the exact bound of time shifting",
        figures=[
            Figure(name="rows recomputed (zone × length × slack)", value=lines, unit=""),
            Figure(name="figures recomputed", value=figures, unit=""),
            Figure(name="figures that differ in the fourth decimal or more", value=wrong, unit="", bound="≤ 0"),
            Figure(name="rows that are empty as published (SE-SE1, 168 h, slack 24 h)", value=empty, unit=""),
        ],
        notes=[
            (
                "The series lacks the last hour of the year, the published figures do not. Its value is the one unknown of a zone: "
                "the figures of a zone (up to 105) are held to a series whose last hour is chosen, to two decimals, so that they "
                "agree if any value lets them."
            )
        ],
    )


def means(series: Floats, length: int, slack: int, starts: int) -> tuple[float, float, float]:
    """Mean g/kWh over the first `starts` hours of arrival: at once, best unbroken run, best broken run."""
    at_once = best_starts(series, float(length), 0)[1]
    unbroken = best_starts(series, float(length), slack)[1]
    broken = best_steps_costs(series, length, slack)
    return tuple(float(costs[:starts].mean()) / length for costs in (at_once, unbroken, broken))  # type: ignore[return-value]


def _published(data: Path) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for line in rows(data / "reference-results/eurosys24_oracle_temporal_2022.csv.gz"):
        columns = ("no_wait_g_per_kwh", "best_contiguous", "best_interruptible")
        at_once, unbroken, broken = (float(line[column] or "nan") for column in columns)
        shape = int(line["job_hours"]), int(line["slack_hours"]), int(line["starts"])
        found[line["zone"]].append((*shape, at_once, unbroken, broken))
    return found


def _completed(series: Floats, published: list[Row]) -> Floats:
    """The series with its last hour, to two decimals.

    The mean over a year of one-hour jobs that do not wait says it within half a gram. Every mean rises with it, so where a
    figure is too high it is lower, where one is too low higher: bisection, over the rows of one-hour jobs, then over all.
    """
    whole = next(row for row in published if row[0] == 1 and row[2] == HOURS)
    middle = round(100 * (whole[3] * HOURS - series.sum()))
    low, high = middle - 46, middle + 46
    for held in ([row for row in published if row[0] == 1], published):
        low, high = _narrowed(series, held, low, high)
    return np.append(series, (low + high) // 2 / 100)


def _narrowed(series: Floats, published: list[Row], low: int, high: int) -> tuple[int, int]:
    """The bounds in hundredths, as far as these rows narrow them down; both ends are taken to be possible."""
    bounds = []
    for sign in (1, -1):
        outside, inside = (low - 1, high) if sign == 1 else (high + 1, low)
        while abs(inside - outside) > 1:
            tried = (inside + outside) // 2
            if _off(np.append(series, tried / 100), published, sign):
                outside = tried
            else:
                inside = tried
        bounds.append(inside)
    return (bounds[0], bounds[1]) if bounds[0] <= bounds[1] else (low, high)


def _off(series: Floats, published: list[Row], sign: int) -> bool:
    """Whether a figure is too low (sign 1) or too high (-1)."""
    for row in published:
        found = means(series, *row[:3])
        if any(sign * (wanted - value) > ROUNDED for value, wanted in zip(found, row[3:], strict=True)):
            return True
    return False
