"""A week of a federation on the national network: `joint` beside `nearest` with `easy`, and beside what nobody can beat.

Owns which weights are compared, and the bound that keeps work together: the fluid bound lets every hour of every job run
at another site, also of jobs that may not be suspended. Both are below every schedule; the larger one says more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.national import Week, log, week

from suanwang.electricity.series import HOUR_MS, Series
from suanwang.twin.bound import fluid_bound, scarcity
from suanwang.twin.network import Foresight
from suanwang.twin.workload import Rules

TITLE = "The national week"
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FIRM_SHARE, PAUSING_SHARE, WAIT_HOURS = 0.5, 0.5, 24.0
FRONT = ((8.0, 1.0), (4.0, 1.0), (2.0, 1.0), (1.0, 1.0))
"""Weights of price and carbon for both at once; carbon differs more between sites than price."""
CHUNK = 20_000
NOTES = [
    f"""Half of the jobs may be held for up to {WAIT_HOURS:.0f} hours, half of these may be suspended; which ones is drawn, as no log
tells it. Tariffs and grid factors are the catalogue's; the day's course of carbon, capacities, PUE and users' places are
modelled (see `networks/national.yaml`). Carbon is forecast with errors of 5 %, prices are posted. Users pay electricity.""".replace(
        "\n", " "
    )
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    yuan: float
    carbon_kg: float
    firm_p95_h: float
    late: int


def outcome(made: Week, name: str) -> Outcome:
    played = made.played(name)
    _, found, firm = made.accounted(played)
    latest = made.jobs.ready_ms + made.jobs.wait_ms
    late = int(((played.first_start_ms > latest) & (made.jobs.wait_ms > 0)).sum())
    return Outcome(yuan=found.electricity_yuan, carbon_kg=found.carbon_location_kg, firm_p95_h=firm, late=late)


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    days = 1.0 if quick else 7.0
    rules = Rules(flexible_share=1 - FIRM_SHARE, interruptible_share=PAUSING_SHARE, wait_hours=WAIT_HOURS)
    for title, trace in (
        ("the LHC Computing Grid's log", log(data, days) if data else None),
        ("the generated week", log(None, days)),
    ):
        if trace is not None:
            made = week(trace, rules, Foresight(carbon_error=0.05))
            yield _compared(f"{title}, {len(trace):,} jobs of {days:.0f} days", made)


def _compared(title: str, made: Week) -> Table:
    table = Table(title, notes=NOTES)
    before = outcome(made, "nearest+easy")
    table.figures += [
        Figure(name="nearest+easy: electricity", value=before.yuan, unit="yuan"),
        Figure(name="nearest+easy: carbon", value=before.carbon_kg, unit="kg"),
        Figure(name="nearest+easy: p95 wait of jobs that may not wait", value=before.firm_p95_h, unit="h"),
    ]
    given = made.feeds.weighted_yuan, made.feeds.weighted_carbon_g
    fluid = fluid_bound(made.jobs, made.truth.run_ms, made.rows, made.allowed, *given)
    for what, weights, series, floor in (
        ("energy cost", (1.0, 0.0), given[0], fluid.electricity_yuan),
        ("carbon", (0.0, 1.0), given[1], fluid.carbon_g / 1000),
    ):
        found = outcome(made.weighing(*weights), "joint")
        ours, theirs = (found.yuan, before.yuan) if weights[0] else (found.carbon_kg, before.carbon_kg)
        together = together_bound(made, series) / (1 if weights[0] else 1000)
        table.figures += [
            Figure(
                name=f"joint for {what} alone: less {what}", value=100 * (1 - ours / theirs), unit="%", bound="≥ 30"
            ),
            Figure(name="… above the fluid bound", value=100 * (ours / floor - 1), unit="%", bound="≤ 5"),
            Figure(
                name="… above the bound that keeps work together",
                value=100 * (ours / together - 1),
                unit="%",
                bound="≤ 5",
            ),
            Figure(name="… the fluid bound itself: less than nearest+easy", value=100 * (1 - floor / theirs), unit="%"),
            *_waits(found, before),
        ]
    for price, carbon in FRONT:
        found = outcome(made.weighing(price, carbon), "joint")
        table.figures += [
            Figure(
                name=f"joint, price {price:g} to carbon {carbon:g}: less energy cost",
                value=100 * (1 - found.yuan / before.yuan),
                unit="%",
            ),
            Figure(name="… less carbon", value=100 * (1 - found.carbon_kg / before.carbon_kg), unit="%"),
            *_waits(found, before),
        ]
    return table


def _waits(found: Outcome, before: Outcome) -> list[Figure]:
    bound = f"≤ {before.firm_p95_h:.4f}"
    return [
        Figure(name="… p95 wait of jobs that may not wait", value=found.firm_p95_h, unit="h", bound=bound),
        Figure(name="… jobs held longer than they allow", value=float(found.late), unit="", bound="≤ 0"),
    ]


def together_bound(made: Week, series: tuple[Series, ...]) -> float:
    """Below every schedule, as it prices what is scarce (Lagrange): every job takes its best of the energy's price and the
    cores' scarcity, and what the scarce cores would fetch is given back. Any prices give a bound; these are the fluid
    optimum's. Work that may not be suspended stays at one place, at once; the rest takes the best hours, wherever."""
    jobs, rows, run = made.jobs, made.rows, np.minimum(made.truth.run_ms, made.jobs.limit_ms)
    scarce = scarcity(jobs, made.truth.run_ms, rows, made.allowed, series)
    begin_ms = int(jobs.ready_ms.min()) // HOUR_MS * HOUR_MS
    hours = max(scarce.shape[1], int((jobs.ready_ms + jobs.wait_ms + run).max() - begin_ms) // HOUR_MS + 2)
    edges = begin_ms + HOUR_MS * np.arange(hours + 1)
    rate = np.array([np.diff(_upto(series[s], edges)) for s in rows.site]) * rows.power_w[:, :1] / 1000
    rate[:, : scarce.shape[1]] += scarce
    total = np.zeros((len(rows.site), hours + 1))
    total[:, 1:] = np.cumsum(rate, axis=1)
    best = -float((scarce * rows.capacity[:, :1]).sum())
    for begin in range(0, len(run), CHUNK):
        at = np.arange(begin, min(begin + CHUNK, len(run)))
        fits = made.allowed[jobs.kind[at]] & (jobs.need[at][:, None] <= rows.capacity[None]).all(axis=2)
        cores = np.where(fits, jobs.need[at, :1], np.inf)
        pausing = jobs.interruptible[at]
        of: tuple[npt.NDArray[Any], ...] = jobs.ready_ms[at] - begin_ms, jobs.wait_ms[at], run[at], cores
        if (~pausing).any():
            best += _whole(total, *(column[~pausing] for column in of))
        if pausing.any():
            best += _parts(rate, *(column[pausing] for column in of))
    return best


def _upto(series: Series, edges: Ints) -> Floats:
    return series.integral(np.full(len(edges), edges[0]), edges)


def _integral(total: Floats, start_ms: Ints, length_ms: Ints) -> Floats:
    """`[r, j]`: of a run from each start."""

    def upto(at_ms: Ints) -> Floats:
        hour, part = np.divmod(at_ms, HOUR_MS)
        found: Floats = total[:, hour] + (part / HOUR_MS) * (total[:, hour + 1] - total[:, hour])
        return found

    return upto(start_ms + length_ms) - upto(start_ms)


def _whole(total: Floats, ready: Ints, wait: Ints, run: Ints, cores: Floats) -> float:
    """A run's integral is least where it starts or ends at an edge of an hour, or at an end of its window."""
    last, least = ready + wait, np.full(cores.shape, np.inf)
    for n in range(int(wait.max()) // HOUR_MS + 3):
        starting = (ready // HOUR_MS + n) * HOUR_MS
        ending = ((ready + run) // HOUR_MS + n) * HOUR_MS - run
        for start in (starting, ending):
            least = np.minimum(least, _integral(total, np.clip(start, ready, last), run).T * cores)
    return float(least.min(axis=1).sum())


def _parts(rate: Floats, ready: Ints, wait: Ints, run: Ints, cores: Floats) -> float:
    """The cheapest parts of hours in the window, each wherever it is cheapest."""
    found = 0.0
    for first, most, length, width in zip(ready, wait, run, cores, strict=True):
        end = int(first + most + length)
        hour = np.arange(int(first) // HOUR_MS, -(-end // HOUR_MS))
        there = np.minimum((hour + 1) * HOUR_MS, end) - np.maximum(hour * HOUR_MS, first)
        fitting = np.isfinite(width)
        cost = (rate[fitting][:, hour] * width[fitting, None]).min(axis=0)
        order = np.argsort(cost, kind="stable")
        before = np.cumsum(there[order]) - there[order]
        used = np.clip(length - before, 0, there[order])
        found += float((cost[order] * used).sum()) / HOUR_MS
    return found
