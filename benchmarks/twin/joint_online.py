"""How much of the EuroSys bound the production policy `joint` reaches in the engine, by what is known of the hours ahead.

Owns the three kinds of knowledge, the sample of hours of arrival, and how sure it is. The bound is the exact one of
`eurosys`, over the same arrivals; it knows the whole year.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.eurosys import LENGTHS, SLACKS
from benchmarks.twin.one_site import Ints, carbon_alone, emitted
from benchmarks.twin.published import Floats, zones
from benchmarks.twin.rules import best_starts, best_steps_costs

from suanwang.electricity.outlook import HOPE, Issues, accumulated, forecast, hoped, known, noised, spread
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import Outlook

NOISE = 0.05
DAY = 24
DRAWS = 32
"""Hours of arrival drawn of each zone."""
SOME, FEW = 6, 12
"""Every so many-th zone is taken, where not all are."""
HORIZONS = (72, 192, 720)
"""Hours: an experiment's own, the live network's, and a month."""
REACH = 336
"""Hours that forecasts which are made anew reach: behind them they would only repeat themselves."""
PUBLISHED = {
    "US-CAL-CISO": (9.70, 12.38, 13.18, 13.68),
    "US-MIDA-PJM": (2.72, 3.39, 3.77, 4.00),
    "US-TEX-ERCO": (11.53, 12.56, 13.06, 13.18),
    "US-NE-ISNE": (4.63, 7.13, 8.59, 9.56),
}
"""Mean absolute percentage error of CarbonCast (Maji and others, BuildSys 2022) on the first to the fourth day ahead, from
its authors' files `data/REGION/REGION_MAPE_iter0.txt` (carbonfirst/CarbonCast)."""


class Found(NamedTuple):
    """`[j]`: jobs of every length and slack at the hours of arrival that were drawn of each zone."""

    zone: Ints
    draw: Ints
    length: Ints
    slack: Ints
    broken: Ints
    saved: Floats
    """g/kWh less than at once."""
    bound: Floats


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    names, values = zones(data)
    series = {name: values[:, at] for at, name in enumerate(names) if np.ptp(values[:, at]) > 0}
    every = list(series)[:: 20 if quick else 1]
    some, error = every[::SOME], _published_share(series)
    noisy = over(series, every, lambda name: _with_noise(series, name))
    grown = over(series, some, lambda name: hourly(series[name], _growing(series[name], error)))
    alone = over(series, some, lambda name: hourly(series[name], past(series[name])))
    yield Table(
        "EuroSys 2024 online: `joint` in the engine",
        figures=[
            *_told("forecast with 5 % noise", noisy, bound="≥ 90"),
            *_parts(noisy),
            *_by_horizon(series, every[::FEW]),
            *_told(f"every {SOME}th zone, forecast whose error grows as published", grown),
            *_told(f"every {SOME}th zone, its own past alone", alone),
        ],
        notes=_notes(error),
    )


def _notes(error: Floats) -> list[str]:
    shares = ", ".join(f"{100 * share:.0f}" for share in error)
    return [
        (
            "Share of the bound's saving, summed over zones, lengths and slacks; broken and unbroken runs count alike. "
            f"{DRAWS} hours of arrival are drawn of each zone with a seed, each with every length and slack; the last two "
            f"kinds of knowledge are tried in every {SOME}th zone, shorter horizons in every {FEW}th. ± is the half-width of a "
            "95 % interval over such draws. Zones whose carbon never changes have nothing to save."
        ),
        (
            "The target is asked for at 5 % forecast noise, drawn as for Let's Wait Awhile, so it stands at that line. Such noise "
            "does not grow with the horizon: the year ahead is known nearly as well as the day, and the present is seen through "
            "it too. It measures the decision, not a forecast. Read the harder way, with the past alone or with forecasts as "
            "they are published, 90 % is missed by far, by `joint` and by the rules further down."
        ),
        (
            "Growing: what the past alone is off, times "
            f"{shares} % on the first to fourth day ahead, renewed each hour; behind, the past alone. That is what CarbonCast "
            "with its weather was off over what ours is off in the four zones whose figures its authors give "
            f"({', '.join(PUBLISHED)}; theirs of another year). The past alone is the product's "
            f"own forecast, renewed each hour, {REACH} hours ahead. In both the present hour is known, and `joint` hopes, as in the "
            f"product, for {HOPE} of what forecasts were off in the last four weeks."
        ),
    ]


def _with_noise(series: dict[str, Floats], name: str, horizon: int | None = None) -> Outlook:
    """The product's noisy feed. It does not change from hour to hour, so where all of it is seen one issue says it all."""
    truth = series[name]
    chance = np.random.default_rng([1, list(series).index(name)])
    noisy = noised(Series(start_ms=0, step_ms=HOUR_MS, values=truth), NOISE, chance)
    count, steps = (len(truth), horizon) if horizon else (1, len(truth))
    issue_ms = len(truth) // count * HOUR_MS
    ahead = Issues(start_ms=0, issue_ms=issue_ms, count=count, step_ms=HOUR_MS, steps=steps)
    return carbon_alone(known(noisy, ahead), issue_ms=issue_ms, step_ms=HOUR_MS)


def past(truth: Floats) -> Floats:
    """`[hour, k]`: what the product forecasts at the hour's end for the `k`-th hour from then on."""
    return forecast(*_issues(truth))


def _issues(truth: Floats) -> tuple[Series, Issues]:
    ahead = Issues(start_ms=HOUR_MS, issue_ms=HOUR_MS, count=len(truth) - 1, step_ms=HOUR_MS, steps=REACH - 1)
    return Series(start_ms=0, step_ms=HOUR_MS, values=truth), ahead


def _growing(truth: Floats, error: Floats) -> Floats:
    """What the past says, so much nearer to the truth on the first days."""
    found = past(truth)
    for k in range(DAY * len(error)):
        true = truth[k + 1 :]
        found[: len(true), k] = true + error[k // DAY] * (found[: len(true), k] - true)
    return found


def hourly(truth: Floats, later: Floats) -> Outlook:
    """Issued each hour: the present one as it is, then `later[hour, k]` with its uncertainty."""
    later = hoped(later, spread(*_issues(truth), later))
    mean = np.concatenate((truth[:, None], np.concatenate((later, later[-1:]))), axis=1)
    return carbon_alone(accumulated(mean, HOUR_MS), issue_ms=HOUR_MS, step_ms=HOUR_MS)


def _published_share(series: dict[str, Floats]) -> Floats:
    """`[day]`: their error over ours, as means over the zones for which theirs is known."""
    ours = np.array([_day_errors(series[zone]) for zone in PUBLISHED]).mean(axis=0)
    found: Floats = np.array(list(PUBLISHED.values())).mean(axis=0) / ours
    return found


def _day_errors(truth: Floats) -> Floats:
    """`[day ahead]`: mean absolute percentage error of what is forecast each midnight, but for the first two weeks."""
    days = len(next(iter(PUBLISHED.values())))
    midnights = np.arange(14 * DAY, len(truth) - DAY * days, DAY)
    wanted = truth[midnights[:, None] + np.arange(DAY * days)]
    off = np.abs(past(truth)[midnights - 1, : DAY * days] - wanted) / wanted
    by_day: Floats = 100 * off.reshape(len(midnights), days, DAY).mean(axis=(0, 2))
    return by_day


def over(series: dict[str, Floats], chosen: list[str], knowing: Callable[[str], Outlook]) -> Found:
    """`joint` in each chosen zone, at hours that are drawn with the zone's place in `series` as seed."""
    found = []
    for number, name in enumerate(chosen):
        chance, seen = np.random.default_rng([0, list(series).index(name)]), knowing(name)
        hours = np.sort(chance.choice(len(series[name]), DRAWS, replace=False))
        found += [_played(number, series[name], seen, hours, broken) for broken in (True, False)]
    return Found(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _played(zone: int, truth: Floats, seen: Outlook, hours: Ints, broken: bool) -> Found:
    """Every length and slack at every hour at which such a job can still end within the year."""
    draw, length, slack = (
        part.reshape(-1) for part in np.meshgrid(np.arange(len(hours)), LENGTHS, SLACKS, indexing="ij")
    )
    fits = hours[draw] + length <= len(truth)
    draw, length, slack = draw[fits], length[fits], slack[fits]
    start = hours[draw]
    best, once = np.empty(len(start)), np.empty(len(start))
    for hours_long in LENGTHS:
        these = length == hours_long
        once[these] = best_starts(truth, float(hours_long), 0)[1][start[these]]
        for hours_more in SLACKS:
            those = these & (slack == hours_more)
            costs = (
                best_steps_costs(truth, hours_long, hours_more)
                if broken
                else best_starts(truth, float(hours_long), hours_more)[1]
            )
            best[those] = costs[start[those]]
    wait = np.minimum(slack, len(truth) - length - start)
    ours = emitted(truth, seen, start, length, wait, broken=broken)
    same = np.full(len(start), zone), draw, length, slack, np.full(len(start), int(broken))
    return Found(*same, saved=(once - ours) / length, bound=(once - best) / length)


def share(found: Found, part: np.ndarray | slice = slice(None)) -> tuple[float, float]:
    """Percent of the bound's saving, and the half-width of its 95 % interval.

    Hours of arrival are drawn within each zone: a ratio of sums over strata, each hour with all its jobs a cluster
    (Cochran 1977, sections 6.10 and 9A).
    """
    saved, bound = found.saved[part], found.bound[part]
    ratio = saved.sum() / bound.sum()
    size = int(found.zone.max() + 1), int(found.draw.max() + 1)
    cluster = found.zone[part] * size[1] + found.draw[part]
    off = np.bincount(cluster, saved - ratio * bound, size[0] * size[1]).reshape(size)
    half = 1.96 * np.sqrt(size[1] * off.var(axis=1, ddof=1).sum()) / bound.sum()
    return 100 * float(ratio), 100 * float(half)


def _told(name: str, found: Found, *, bound: str = "") -> Iterator[Figure]:
    for words, part in (
        (name, slice(None)),
        ("… broken", found.broken == 1),
        ("… unbroken", found.broken == 0),
    ):
        value, half = share(found, part)
        yield Figure(
            name=f"{words} (± {half:.2f})",
            value=value,
            unit="% of the bound's saving" if words == name else "%",
            bound=bound if words == name else "",
        )


def _parts(found: Found) -> Iterator[Figure]:
    for broken, word in ((1, "broken"), (0, "unbroken")):
        for column, words, choices in ((found.slack, "slack {} h", SLACKS), (found.length, "{} h long", LENGTHS)):
            for choice in choices:
                value, half = share(found, (found.broken == broken) & (column == choice))
                yield Figure(name=f"… {word}, {words.format(choice)} (± {half:.2f})", value=value, unit="%")


def _by_horizon(series: dict[str, Floats], chosen: list[str]) -> Iterator[Figure]:
    for horizon in (*HORIZONS, None):
        found = over(series, chosen, lambda name, far=horizon: _with_noise(series, name, far))  # type: ignore[misc]
        value, half = share(found)
        words = f"horizon of {horizon} h" if horizon else "horizon at the end of the year"
        yield Figure(name=f"… every {FEW}th zone, {words} (± {half:.2f})", value=value, unit="%")
