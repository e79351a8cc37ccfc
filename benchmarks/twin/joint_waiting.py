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
from benchmarks.twin.published import Floats, half_hours
from benchmarks.twin.replanned import ERROR, THEIRS, WEEK, weekly
from benchmarks.twin.rules import cumulated
from benchmarks.twin.waiting import REGIONS, Ints, Jobs, machine_learning, noisy, planned_once, saving

from suanwang.scheduling.columns import NEVER_MS, JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies import policy
from suanwang.twin.engine import Truth, play

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
        emitted = []
        for seed in range(seeds):
            means, _ = weekly(noisy(truth, ERROR, seed), truth)
            emitted.append(_played(truth, means, jobs, slack))
        saved = saving(truth, jobs, float(np.mean(emitted)))
        yield Figure(name=f"{region}: saved", value=saved, unit="%", bound=f"≥ {THEIRS[region]}")
        yield Figure(
            name=f"{region}: of the clairvoyant {known:.2f} %", value=100 * saved / known, unit="%", bound="≥ 99"
        )


def _played(truth: Floats, means: Floats, jobs: Jobs, slack: Ints) -> float:
    """Emissions, in g/kWh × half hours."""
    count, nothing = len(jobs.start), np.zeros(len(jobs.start), np.int64)
    columns = JobColumns(
        ready_ms=jobs.start * STEP_MS,
        order=nothing,
        need=np.tile([1.0, 0.0, 0.0], (count, 1)),
        expect_ms=np.repeat((jobs.length * STEP_MS)[:, None], 3, axis=1),
        limit_ms=jobs.length * STEP_MS,
        kind=nothing,
        place=nothing,
        weight=np.tile([0.0, 1.0, 0.0], (count, 1)),
        wait_ms=(slack + 1) * STEP_MS,
        due_ms=np.full(count, NEVER_MS),
        interruptible=np.ones(count, np.bool_),
        data_gb=np.zeros(count),
        group=nothing,
    )
    place = RowColumns(
        site=np.zeros(1, np.int64),
        capacity=np.array([[1e9, 0.0, 0.0]]),
        power_w=np.array([[1000.0, 0.0, 0.0]]),
        yuan_hour=np.zeros((1, 3)),
        slowness=np.ones(1),
        electricity_share=np.ones(1),
        delay_ms=np.zeros((1, 1)),
        transfer_ms_per_gb=np.zeros((1, 1)),
        transfer_yuan_per_gb=np.zeros((1, 1)),
    )
    carbon = _outlook(truth, means)
    seen = Outlook(start_ms=0, issue_ms=STEP_MS, step_ms=STEP_MS, yuan=np.zeros_like(carbon), carbon_g=carbon)
    exact = Truth(run_ms=jobs.length * STEP_MS, checkpoint_ms=np.ones(count, np.int64), resume_ms=nothing)
    ran = play(columns, exact, place, np.ones((1, 1), np.bool_), seen, policy("joint")).segments
    total = cumulated(truth)
    return float((total[ran.end_ms // STEP_MS] - total[ran.start_ms // STEP_MS]).sum())


def _outlook(truth: Floats, means: Floats) -> Floats:
    """`[issue, site, k]` in g/kWh × hours; behind the series its last value holds on."""
    found = np.zeros((len(truth), 1, STEPS + 1))
    for issue in range(len(truth)):
        ahead = means[issue // WEEK, issue : issue + STEPS].copy()
        ahead[0] = truth[issue]
        found[issue, 0, 1 : len(ahead) + 1] = ahead
        found[issue, 0, len(ahead) + 1 :] = ahead[-1]
    return np.cumsum(found, axis=2) * (STEP_MS / 3_600_000)
