"""The figures behind the report's pictures, as plain values for JSON.

Owns how much is drawn: hours are joined to bins, small sites to one, and of several seeds the first is shown, so that the
report of a year on a hundred sites is still a file that a phone can open. The tables are never thinned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from suanwang.twin.report.comparing import mean_of, unbeaten
from suanwang.twin.report.results import Case, Contender, Floats, Hours, Place, Results, Shares
from suanwang.twin.report.telling import CARBON, COST, WAITING, bounds_of, case_name
from suanwang.twin.report.words import Words, by_key

MOST_BINS, MOST_SITES, MOST_PLAYS, MOST_CASES, MOST_STEPS, MOST_PROJECTS = 336, 30, 48, 24, 60, 8
OTHERS = Words("other sites", "其他站点")

Row = dict[str, Any]


def drawn(results: Results) -> Row:
    """Everything the page's script draws from."""
    cases = results.cases[:MOST_CASES]
    names = list(dict.fromkeys(c.name for case in cases for c in results.contenders(case)))
    sites = _shown_sites(results)
    return {
        "contenders": names,
        "cases": [_case(results, case, names, sites) for case in cases],
        "sites": [_site(place) for place in sites],
        "capacity": [place.capacity for place in sites],
        "projects": drawn_projects(results),
        "sweep": _sweep(results, names),
    }


def _case(results: Results, case: Case, names: Sequence[str], sites: Sequence[Place]) -> Row:
    contenders = results.contenders(case)
    hours = {hours.play: hours for hours in results.hours}
    shares = {shares.play: shares for shares in results.shares}
    plays: list[Row] = []
    for contender in contenders:
        shown = next((play for play in results.of(case, contender) if play.id in hours), None)
        if shown is not None and len(plays) < MOST_PLAYS:
            course = _hours(hours[shown.id], sites)
            if shown.id in shares:
                course["shares"] = _shares(shares[shown.id], drawn_projects(results))
            plays.append({"of": names.index(contender.name), "seed": shown.seed, **course})
    return {
        "name": case_name(case)._asdict(),
        "capacity": _scale(results, case),
        "baseline": names.index(results.baseline_of(case).name),
        "pareto": _pareto(results, case, contenders, names),
        "waiting": _waiting(results, case, contenders, names),
        "plays": plays,
    }


def _scale(results: Results, case: Case) -> float:
    """How many times as large as it is described the network was in this case: from the share of it that was busy."""
    described = sum(place.capacity for place in results.places)
    hours = {hours.play: hours for hours in results.hours}
    for play in results.plays:
        share = play.values.get("devices_busy_share", 0.0) or play.values.get("cores_busy_share", 0.0)
        if play.case == case and play.id in hours and share > 0 and described > 0:
            found = float(np.nansum(hours[play.id].busy, axis=0).mean()) / share / described
            return _round(found) or 1.0
    return 1.0


def _pareto(results: Results, case: Case, contenders: Sequence[Contender], names: Sequence[str]) -> Row:
    measures = by_key(results.measures)
    if COST not in measures or CARBON not in measures:
        return {"points": [], "bounds": []}
    cost, carbon = measures[COST], measures[CARBON]
    points: list[Row] = []
    for contender in contenders:
        numbers = [mean_of(list(results.values(case, contender, key).values())) for key in (COST, CARBON, WAITING)]
        if all(math.isfinite(number.mean) for number in numbers[:2]):
            points.append(
                {
                    "of": names.index(contender.name),
                    "x": _round(numbers[0].mean * cost.factor),
                    "y": _round(numbers[1].mean * carbon.factor),
                    "dx": _round(numbers[0].half * cost.factor),
                    "dy": _round(numbers[1].half * carbon.factor),
                    "wait": _round(numbers[2].mean * 3600),
                }
            )
    bounds = [
        {
            "name": bound.name._asdict(),
            "x": _round(bound.values[COST] * cost.factor) if COST in bound.values else None,
            "y": _round(bound.values[CARBON] * carbon.factor) if CARBON in bound.values else None,
        }
        for bound in bounds_of(results, case)
    ]
    front = unbeaten([(point["x"], point["y"]) for point in points])
    return {
        "points": points,
        "front": front,
        "bounds": [bound for bound in bounds if bound["x"] is not None or bound["y"] is not None],
        "units": [cost.unit._asdict(), carbon.unit._asdict()],
    }


def _waiting(results: Results, case: Case, contenders: Sequence[Contender], names: Sequence[str]) -> list[Row]:
    """Shares of jobs against the longest wait among them, the mean over the seeds."""
    found: list[Row] = []
    for contender in contenders:
        curves = [results.waiting[play.id] for play in results.of(case, contender) if play.id in results.waiting]
        if curves:
            shares = [share for share, _ in curves[0]]
            seconds = np.mean(
                [[at_most for _, at_most in curve] for curve in curves if len(curve) == len(shares)], axis=0
            )
            points = [[_round(share), _round(float(at))] for share, at in zip(shares, seconds, strict=True)]
            found.append({"of": names.index(contender.name), "points": points})
    return found


def _hours(hours: Hours, sites: Sequence[Place]) -> Row:
    """`[site][bin]` lists over the sites that are shown; sums go to the others together, prices as means."""
    bins = hours.busy.shape[1]
    width = max(1, math.ceil(bins / MOST_BINS))
    joined = {name: _binned(getattr(hours, name), width) for name in ("busy", "kw", "queue", "price", "carbon")}
    at = {site: row for row, site in enumerate(hours.sites)}
    shown = {place.id for place in sites}
    rest = [row for site, row in at.items() if site not in shown]
    rows: dict[str, list[list[float | None]]] = {name: [] for name in joined}
    for place in sites:
        chosen = [at[place.id]] if place.id in at else rest if place.id == "" else []
        for name, values in joined.items():
            total = name in ("busy", "kw", "queue")
            rows[name].append(_listed(_together(values[chosen], total=total, bins=values.shape[1])))
    return {"start": hours.start_ms, "step": hours.step_ms * width, **rows}


def largest_projects(results: Results, most: int) -> list[str]:
    """Those that held most on average, in any play; the largest first."""
    held: dict[str, float] = {}
    for shares in results.shares:
        for project, mean in zip(shares.projects, shares.held.mean(axis=1).tolist(), strict=True):
            held[project] = max(held.get(project, 0.0), mean)
    return sorted(held, key=lambda project: (-held[project], project))[:most]


def drawn_projects(results: Results) -> list[str]:
    return largest_projects(results, MOST_PROJECTS)


def _shares(shares: Shares, projects: Sequence[str]) -> Row:
    """`[project][bin]` lists, None throughout for a project that had no jobs in this play."""
    width = max(1, math.ceil(shares.held.shape[1] / MOST_BINS))
    held, entitled = _binned(shares.held, width), _binned(shares.entitled, width)
    at = {project: row for row, project in enumerate(shares.projects)}
    return {
        name: [_listed(values[at[project]]) if project in at else [None] * values.shape[1] for project in projects]
        for name, values in (("held", held), ("entitled", entitled))
    }


def _together(values: Floats, *, total: bool, bins: int) -> Floats:
    if not len(values):
        return np.full(bins, np.nan)
    if len(values) == 1:
        return np.asarray(values[0], np.float64)
    return np.asarray(values.sum(axis=0) if total else values.mean(axis=0), np.float64)


def _binned(values: Floats, width: int) -> Floats:
    """Means over `width` hours; the last bin is the mean of what is left."""
    if width == 1:
        return values
    starts = np.arange(0, values.shape[1], width)
    counts = np.diff(np.append(starts, values.shape[1]))
    return np.asarray(np.add.reduceat(values, starts, axis=1) / counts, np.float64)


def _shown_sites(results: Results) -> list[Place]:
    """The sites that did most, in the order of the network; the rest is one more, with an empty identifier."""
    done: dict[str, float] = {place.id: 0.0 for place in results.places}
    peak = dict.fromkeys(done, 0.0)
    for hours in results.hours:
        for site, row in zip(hours.sites, hours.busy, strict=True):
            if len(row) and site in done:
                done[site] += float(np.nansum(row))
                peak[site] = max(peak[site], float(np.nanmax(row, initial=0.0)))
    kept = sorted(done, key=lambda site: -done[site])[: MOST_SITES if len(done) <= MOST_SITES else MOST_SITES - 1]
    places = [place for place in results.places if place.id in kept]
    sized = [place if place.capacity > 0 else _sized(place, peak[place.id]) for place in places]
    left = [place for place in results.places if place.id not in kept]
    if left:
        sized.append(Place(id="", name=OTHERS, capacity=sum(place.capacity or peak[place.id] for place in left)))
    return sized


def _sized(place: Place, capacity: float) -> Place:
    return Place(
        id=place.id, name=place.name, longitude=place.longitude, latitude=place.latitude, capacity=capacity or 1.0
    )


def _site(place: Place) -> Row:
    return {"id": place.id, "name": place.name._asdict(), "lon": place.longitude, "lat": place.latitude}


def _sweep(results: Results, names: Sequence[str]) -> list[Row]:
    """For each varied number, the main measures along it; other varied keys at their first value."""
    cases = results.cases
    if len(cases) < 2:
        return []
    first = dict(cases[0])
    found: list[Row] = []
    for key in first:
        along = [case for case in cases if all(value == first.get(k) for k, value in case if k != key)]
        steps = [(case, _number(dict(case).get(key, ""))) for case in along[:MOST_STEPS]]
        if len(steps) < 2 or any(step is None for _, step in steps):
            continue
        steps.sort(key=lambda pair: pair[1] or 0.0)
        found.append({"key": key, "steps": [step for _, step in steps], "lines": _lines(results, steps, names)})
    return found


def _lines(results: Results, steps: Sequence[tuple[Case, float | None]], names: Sequence[str]) -> list[Row]:
    lines: list[Row] = []
    contenders = list(dict.fromkeys(c for case, _ in steps for c in results.contenders(case)))
    for measure in results.measures:
        if not measure.main:
            continue
        factor = (100 if measure.share else 1) * measure.factor
        unit = Words("%", "%") if measure.share else measure.unit
        values = [
            {
                "of": names.index(contender.name),
                "means": [
                    _round(mean_of(list(results.values(case, contender, measure.key).values())).mean * factor)
                    for case, _ in steps
                ],
            }
            for contender in contenders
            if contender.name in names
        ]
        lines.append({"name": measure.name._asdict(), "unit": unit._asdict(), "values": values})
    return lines


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _listed(values: Floats) -> list[float | None]:
    return [_round(value) for value in values.tolist()]


def _round(value: float) -> float | None:
    """Four significant digits; None for what is no number, which JSON lacks."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
