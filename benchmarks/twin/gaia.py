"""GAIA's six policies (Hanafy and others, ASPLOS 2024) on its 1,000-job trace, recomputed.

Owns the policies, told from the authors' program (umassos/GAIA), and the comparison. Steps are 5 s, as there: AU-SA from
hour 7000 of 2022, 1 kW per processor, jobs under 2 h may wait 6 h and others 24 h. A policy knows a job's class and the
class's mean length, the two that are called oracles know its length, and all know the future's carbon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.published import Floats, gaia_jobs, rows, zones
from benchmarks.twin.rules import best_steps, cumulated

Ints = npt.NDArray[np.int64]
STEP_S = 5
HOUR = 3600 // STEP_S
SHORT = 2 * HOUR
WAITS = (6 * HOUR, 24 * HOUR)
FIRST_HOUR, HOURS = 7000, 720
USD_HOUR = 0.0624
"""What it charges for a processor on demand."""
POINTS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a policy is told of one job: arrival, length, the wait it allows, and its class's mean length; in steps."""

    at: int
    length: int
    wait: int
    mean: int
    mean_wait: int
    """What a job of the mean length may wait."""


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    names, values = zones(data)
    hourly = values[FIRST_HOUR : FIRST_HOUR + HOURS, names.index("AU-SA")]
    carbon = np.repeat(hourly / 1000, HOUR) / HOUR
    figures = list(_compared(data, carbon))
    yield Table(
        "GAIA: its policies on 1,000 jobs",
        figures=figures,
        notes=[
            (
                "Lengths and arrivals are cut to whole steps of 5 s, so not waiting gives 562.17 kg where direct integration gives "
                "562.29. Nothing is reserved, so the cost is that of the processor hours, whatever the policy. The result file "
                "holds no waiting times; ours are given for later comparison."
            )
        ],
    )


def _compared(data: Path, carbon: Floats) -> Iterator[Figure]:
    jobs = gaia_jobs(data, "pai_1k")
    known, processors = told(jobs), jobs[:, 2].astype(np.int64)
    total = cumulated(carbon)
    dollars = sum(job.length * count for job, count in zip(known, processors, strict=True)) * USD_HOUR / HOUR
    dearer = 0.0
    for line in rows(data / "reference-results/gaia_pai1k_AU-SA_i7000_rerun.csv"):
        policy, title = _policy(line["scheduling_policy"], line["carbon_policy"], line["max_wait_h(short x long)"])
        steps = [policy(job, carbon, total) for job in known]
        emitted = sum(carbon[used].sum() * count for used, count in zip(steps, processors, strict=True))
        waited = np.mean([used[-1] + 1 - job.at - job.length for used, job in zip(steps, known, strict=True)]) / HOUR
        published = float(line["carbon_cost"])
        off = abs(100 * (emitted / published - 1))
        name = f"{title}: {emitted:.4f} kg, published {published:.4f}; apart"
        yield Figure(name=name, value=round(off, 9), unit="%", bound=f"≤ {POINTS}")
        yield Figure(name=f"{title}: mean waiting", value=float(waited), unit="h")
        dearer = max(dearer, abs(100 * (dollars / float(line["dollar_cost"]) - 1)))
    yield Figure(name=f"cost of each: {dollars:.4f} USD; apart at most", value=dearer, unit="%", bound=f"≤ {POINTS}")


def told(jobs: Floats) -> list[Known]:
    """What the policies know of the jobs of a trace in seconds."""
    lengths = jobs[:, 1] / STEP_S
    means = int(lengths[lengths <= SHORT].mean()), int(lengths[lengths >= SHORT].mean())
    known = []
    for at, length in zip((jobs[:, 0] / STEP_S).astype(int).tolist(), lengths.astype(int).tolist(), strict=True):
        mean = means[length >= SHORT]
        wait, mean_wait = WAITS[length >= SHORT], WAITS[mean >= SHORT]
        known.append(Known(at=at, length=length, wait=wait, mean=mean, mean_wait=mean_wait))
    return known


Policy = Callable[[Known, Floats, Floats], Ints]


def _policy(scheduling: str, carbon: str, wait: str) -> tuple[Policy, str]:
    if wait == "0x0":
        return at_once, "at once"
    return {
        ("carbon", "lowest"): (lowest_slot, "lowest slot"),
        ("carbon", "waiting"): (lowest_window, "lowest window"),
        ("carbon", "cst_average"): (saved_per_time, "saving per time"),
        ("suspend-resume-threshold", "oracle"): (below_threshold, "threshold"),
        ("suspend-resume", "oracle"): (wait_awhile, "wait awhile"),
    }[scheduling, carbon]


def at_once(job: Known, carbon: Floats, total: Floats) -> Ints:
    return np.arange(job.at, job.at + job.length)


def lowest_slot(job: Known, carbon: Floats, total: Floats) -> Ints:
    """Begins with the cleanest step that its wait reaches."""
    first = job.at + int(np.argmin(carbon[job.at : job.at + job.wait + 1]))
    return np.arange(first, first + job.length)


def lowest_window(job: Known, carbon: Floats, total: Floats) -> Ints:
    """Begins a whole number of hours after its arrival, where a job of the mean length would emit least."""
    starts = job.at + np.arange(0, job.mean_wait + 1, HOUR)
    first = starts[np.argmin(total[starts + job.mean] - total[starts])]
    return np.arange(first, first + job.length)


def saved_per_time(job: Known, carbon: Floats, total: Floats) -> Ints:
    """Likewise, where a job of the mean length would save most per hour from arrival to end."""
    starts = job.at + np.arange(0, job.mean_wait + 1, HOUR)
    costs = total[starts + job.mean] - total[starts]
    first = starts[np.argmax((costs[0] - costs) / (starts - job.at + job.mean))]
    return np.arange(first, first + job.length)


def below_threshold(job: Known, carbon: Floats, total: Floats) -> Ints:
    """Runs where carbon is below the 30 % point of the 24 h after its arrival, until its wait is used up."""
    window = carbon[job.at : job.at + job.length + job.wait]
    good = window < np.quantile(carbon[job.at : job.at + 24 * HOUR], 0.3)
    held_before: Ints = np.cumsum(~good) - ~good
    return job.at + np.flatnonzero(good | (held_before >= job.wait))[: job.length]


def wait_awhile(job: Known, carbon: Floats, total: Floats) -> Ints:
    """The cleanest steps up to its latest end."""
    share, _ = best_steps(carbon, float(job.length), job.at, job.at + job.length + job.wait)
    return job.at + np.flatnonzero(share)
