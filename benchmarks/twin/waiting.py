"""*Let's Wait Awhile* (Wiesner and others, Middleware 2021), recomputed: its machine-learning and its nightly scenario.

Owns the scenarios, told from the authors' program (dos-group/lets-wait-awhile), and the comparison. Steps are half hours
from 2020-01-01 on. Where program and paper say different things, the program's way is taken and named in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.published import Floats, half_hours, rows
from benchmarks.twin.rules import best_start, best_steps, cumulated, until
from numba import njit

Ints = npt.NDArray[np.int64]
REGIONS = {"DE": "ger", "GB": "gb", "FR": "fr"}
START = datetime(2020, 1, 1)  # noqa: DTZ001 — the series count local hours and name no zone
SEEDS = 10
POINTS = 0.2
NOTES = [
    (
        "A window holds one step more than length + slack. So the reference that does not shift may still start half an hour "
        "late, and takes the better of two starts; savings are against that reference, as published."
    ),
    (
        "'Next workday' after 17:00 on a Friday is Saturday 9:00; work that would end between 9:00 and 17:00 on a workday has "
        "no slack. Holidays are workdays."
    ),
    (
        "The forecast is the true series plus white noise of 5 % of the year's mean, drawn once for the whole year (seeds 0 to "
        "9, the mean of ten runs): it neither grows with the horizon nor is it renewed, and the present is seen through it too."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """`[j]`, in half hours."""

    start: Ints
    length: Ints

    def slack(self, rule: str) -> Ints:
        """How far each may end later than it would."""
        rules = {"next_workday": _next_workday, "semi_weekly": _semi_weekly}
        ends = (START + timedelta(minutes=30 * int(end)) for end in self.start + self.length)
        return np.array([int((rules[rule](end) - end) / timedelta(minutes=30)) for end in ends])


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    series = {region: half_hours(data, name) for region, name in REGIONS.items()}
    yield Table("Let's Wait Awhile: machine learning", figures=list(_learning(data, series, quick)), notes=NOTES)
    yield Table(
        "Let's Wait Awhile: nightly jobs",
        figures=list(_nightly(data, series)),
        notes=[
            "Days whose window would begin before the year are left out, yet the mean is over 365 days; as published."
        ],
    )


def machine_learning(count: int = 3387) -> Jobs:
    """The authors' jobs, from their generator and seed: 4 to 90 hours long, sent in from 9:00 to 16:30 on weekdays."""
    chance = np.random.default_rng(0)
    weekdays = [day for day in range(366) if (START + timedelta(days=day)).weekday() < 5]
    per_day = dict(zip(weekdays, chance.multinomial(count, [1 / len(weekdays)] * len(weekdays)), strict=True))
    starts: list[int] = []
    for day in range(366):
        minutes = chance.choice(range(540, 1020, 30), size=per_day.get(day, 0))
        starts += [day * 48 + int(minute) // 30 for minute in np.sort(minutes)]
    lengths = chance.choice(range(240, 5400, 30), size=count) // 30
    return Jobs(start=np.array(starts), length=lengths.astype(np.int64))


def noisy(series: Floats, share: float, seed: int) -> Floats:
    """Their forecast: the series and white noise of `share` of its mean."""
    return series + np.random.default_rng(seed).normal(0, share * series.mean(), size=len(series))


@njit(cache=True)
def planned_once(truth: Floats, forecast: Floats, start: Ints, length: Ints, slack: Ints, broken: bool) -> float:
    """Emissions of all jobs where each is planned with the forecast at its arrival and never again."""
    total, emitted = cumulated(truth), 0.0
    for j in range(len(start)):
        end = start[j] + length[j] + slack[j] + 1
        if broken:
            share = best_steps(forecast, float(length[j]), start[j], end)[0]
            for k in range(len(share)):
                emitted += share[k] * truth[start[j] + k]
        else:
            at = best_start(forecast[:end], float(length[j]), float(start[j]), float(end))[0]
            emitted += until(total, at + length[j]) - until(total, at)
    return emitted


def _learning(data: Path, series: dict[str, Floats], quick: bool) -> Iterator[Figure]:
    jobs = machine_learning()
    for line in rows(data / "reference-results/lets-wait-awhile_ml_rerun.csv"):
        if line["region"] not in series:
            continue
        truth, broken, error = series[line["region"]], line["interruptible"] == "1", float(line["forecast_error"])
        slack = jobs.slack(line["strategy"])
        seeds = range(2 if quick else SEEDS) if error else range(1)
        emitted = [
            planned_once(truth, noisy(truth, error, seed), jobs.start, jobs.length, slack, broken) for seed in seeds
        ]
        saved = saving(truth, jobs, float(np.mean(emitted)))
        published = float(line["saving_pct"])
        name = f"{line['region']}, {line['strategy'].replace('_', ' ')}, {'broken' if broken else 'unbroken'}"
        name += f", {error:.0%} noise: saved {saved:.3f} %, published {published:.2f}; apart"
        yield Figure(name=name, value=abs(saved - published), unit="points", bound=f"≤ {POINTS}")


def saving(truth: Floats, jobs: Jobs, emitted: float) -> float:
    """Percent less than the published reference, which may itself start half an hour late."""
    reference = planned_once(truth, truth, jobs.start, jobs.length, np.zeros_like(jobs.start), False)
    return 100 * (1 - emitted / reference)


def _nightly(data: Path, series: dict[str, Floats]) -> Iterator[Figure]:
    """A half-hour job each night at 1:00 that may move by ± k half hours, k = 0 to 16."""
    published = list(rows(data / "reference-results/lets-wait-awhile_periodic_err0_rerun.csv"))
    for region, name in REGIONS.items():
        worst = 0.0
        for k, line in enumerate(published):
            begins = np.array([48 * day + 2 - k for day in range(365) if 48 * day + 2 >= k])
            length, slack = np.ones_like(begins), np.full_like(begins, 2 * k - 1)
            mean = planned_once(series[region], series[region], begins, length, slack, True) / 365
            worst = max(worst, abs(mean / float(line[name]) - 1))
        yield Figure(
            name=f"{region}, ± 0 to 8 h: largest difference of {len(published)}",
            value=round(100 * worst, 9),
            unit="%",
            bound=f"≤ {POINTS}",
        )


def _next_workday(end: datetime) -> datetime:
    nine, hour, day = end.replace(hour=9, minute=0), end.hour + end.minute / 60, end.weekday()
    if day == 5:
        return nine + timedelta(days=2)
    if day == 6 or hour > 17:
        return nine + timedelta(days=1)
    return nine if hour < 9 else end


def _semi_weekly(end: datetime) -> datetime:
    """Monday or Thursday 9:00, whichever comes next."""
    nine, hour, day = end.replace(hour=9, minute=0), end.hour + end.minute / 60, end.weekday()
    to_thursday = (day == 0 and hour > 9) or day in (1, 2) or (day == 3 and hour <= 9)
    return nine + timedelta(days=((10 if to_thursday else 7) - day) % 7)
