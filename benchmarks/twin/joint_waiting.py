"""*Let's Wait Awhile*'s interruptible jobs by the production policy itself, in the twin's engine.

Owns how the scenario is put to the engine: one site that is never full, carbon alone counts, and the outlook of each half
hour is the paper's noisy forecast as `calibrated` believes it, the present half hour as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.one_site import carbon_alone, emitted
from benchmarks.twin.published import Floats, half_hours
from benchmarks.twin.replanned import ERROR, THEIRS, WEEK, weekly
from benchmarks.twin.waiting import REGIONS, Ints, Jobs, machine_learning, noisy, planned_once, saving

STEP_MS = 1_800_000
STEPS = 300
"""Ahead: more than the longest job and its slack."""
SEEDS = 3


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    yield Table(
        "Beside Let's Wait Awhile: `joint` in the engine at 5 % noise",
        figures=list(_compared(data, 1 if quick else SEEDS)),
        notes=[
            f"Broken runs, next workday, the mean of {SEEDS} seeds. Lengths are told exactly, as the paper's rule has them."
        ],
    )


def _compared(data: Path, seeds: int) -> Iterator[Figure]:
    jobs = machine_learning()
    slack = jobs.slack("next_workday")
    for region, name in REGIONS.items():
        truth = half_hours(data, name)
        known = saving(truth, jobs, planned_once(truth, truth, jobs.start, jobs.length, slack, True))
        ours = []
        for seed in range(seeds):
            means, _ = weekly(noisy(truth, ERROR, seed), truth)
            ours.append(_played(truth, means, jobs, slack))
        saved = saving(truth, jobs, float(np.mean(ours)))
        yield Figure(name=f"{region}: saved", value=saved, unit="%", bound=f"≥ {THEIRS[region]}")
        yield Figure(
            name=f"{region}: of the clairvoyant {known:.2f} %", value=100 * saved / known, unit="%", bound="≥ 99"
        )


def _played(truth: Floats, means: Floats, jobs: Jobs, slack: Ints) -> float:
    """Emissions, in g/kWh × half hours."""
    seen = carbon_alone(_integrals(truth, means), issue_ms=STEP_MS, step_ms=STEP_MS)
    return float(emitted(truth, seen, jobs.start, jobs.length, slack + 1, broken=True).sum())


def _integrals(truth: Floats, means: Floats) -> Floats:
    """`[issue, k]` in g/kWh × hours; behind the series its last value holds on."""
    found = np.zeros((len(truth), STEPS + 1))
    for issue in range(len(truth)):
        ahead = means[issue // WEEK, issue : issue + STEPS].copy()
        ahead[0] = truth[issue]
        found[issue, 1 : len(ahead) + 1] = ahead
        found[issue, len(ahead) + 1 :] = ahead[-1]
    return np.cumsum(found, axis=1) * (STEP_MS / 3_600_000)
