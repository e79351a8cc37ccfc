"""A week of a federation on the national network: `joint` beside `nearest` with `easy`, and beside what nobody can beat.

Owns which weights are compared, and with which of two bounds: the fluid one lets every hour of every job run at another
site, also of jobs that may not be suspended; the other keeps those together. Both are below every schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.clairvoyant import planned
from benchmarks.twin.gap import gaps
from benchmarks.twin.national import Week, log, week
from benchmarks.twin.together import together_bound

from suanwang.twin.bound import FluidBound, fluid_bound
from suanwang.twin.network import Foresight
from suanwang.twin.workload import Rules

TITLE = "The national week"
FIRM_SHARE, PAUSING_SHARE, WAIT_HOURS = 0.5, 0.5, 24.0
FRONT = (32.0, 16.0, 8.0, 6.0, 4.0, 2.0, 1.0)
"""Weights of price beside 1 of carbon, for both at once; carbon differs more between sites than price."""
TOUCHING = (8.0, 4.0, 2.0, 1.5, 1.0, 0.5)
"""Weights of price beside 1 of carbon where the fluid bound's front is touched; shares of what each is at best."""
TOGETHER = (2.0, 1.5)
"""Likewise for the bound that keeps work together: there 30 % less of both is nearest to it."""
WANTED = 0.7
NOTES = [
    f"""Half of the jobs may be held for up to {WAIT_HOURS:.0f} hours, half of these may be suspended; which ones is drawn, as no log
tells it. Tariffs and grid factors are the catalogue's; the day's course of carbon, capacities, PUE and users' places are
modelled (see `networks/national.yaml`). Carbon is forecast with errors of 5 %, prices are posted. Users pay electricity.""".replace(
        "\n", " "
    )
]

FRONT_NOTES = [
    """Beside each of ours stands the least energy cost that the fluid bound has with no more carbon than ours. The last two
lines are the bounds at 30 % less carbon: below 30 %, no schedule at all has 30 % less of both, as long as jobs that may not
wait start when they come, those that may do so within a day, and what may not be suspended runs in one piece.""".replace(
        "\n", " "
    )
]
GAP_NOTES = [
    """One thing at a time. Plans know all jobs beforehand and how long each runs, and fill quarters of an hour: in the order
of arrival, or first what may not wait, then what may, then what may be suspended. Prices of room are those of the fluid
optimum of the whole week, which knows the future; 0.8 of them are added to what `joint` is told of price or carbon.""".replace(
        "\n", " "
    ),
    """That work which may pause begins where the present step is best, as it may go on elsewhere in the next, was found on
both weeks, so neither is a test that was held out. Tried on both and not kept, for they brought little or nothing:
holding without the margin of 2 %; other rows' steps counting for work that pauses; work that pauses leaving 5 % of a row
to others, or making way for jobs that arrive; other numbers of earlier jobs to expect run times from.""".replace(
        "\n", " "
    ),
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
            before = outcome(made, "nearest+easy")
            floors = [_fluid(made, price) for price in TOUCHING]
            title = f"{title}, {len(trace):,} jobs of {days:.0f} days"
            yield Table(title, notes=NOTES, figures=list(_each(made, before, floors[0])))
            yield Table(f"Both at once: {title}", notes=FRONT_NOTES, figures=list(_front(made, before, floors)))
            sharp = week(trace, rules, Foresight(carbon_error=0.0)).outlook
            yield Table(
                f"What keeps `joint` above the bound: {title}",
                notes=GAP_NOTES,
                figures=list(gaps(made, sharp, floors[0])),
            )


def _fluid(made: Week, price: float) -> FluidBound:
    given = made.feeds.weighted_yuan, made.feeds.weighted_carbon_g
    return fluid_bound(
        made.jobs, made.truth.run_ms, made.rows, made.allowed, *given, price_weight=price, carbon_weight=1.0
    )


def _each(made: Week, before: Outcome, fluid: FluidBound) -> Iterator[Figure]:
    yield Figure(name="nearest+easy: electricity", value=before.yuan, unit="yuan")
    yield Figure(name="nearest+easy: carbon", value=before.carbon_kg, unit="kg")
    yield Figure(name="nearest+easy: p95 wait of jobs that may not wait", value=before.firm_p95_h, unit="h")
    for what, weights, series, floor, per in (
        ("energy cost", (1.0, 0.0), made.feeds.weighted_yuan, fluid.electricity_yuan, 1),
        ("carbon", (0.0, 1.0), made.feeds.weighted_carbon_g, fluid.carbon_g / 1000, 1000),
    ):
        found = outcome(made.weighing(*weights), "joint")
        ours, theirs = (found.yuan, before.yuan) if weights[0] else (found.carbon_kg, before.carbon_kg)
        together, known = together_bound(made, series) / per, planned(made, series, by_arrival=False) / per
        for name, value, bound in (
            (f"joint for {what} alone: less {what}", 1 - ours / theirs, "≥ 30"),
            ("… above the fluid bound", ours / floor - 1, "≤ 5"),
            ("… above the bound that keeps work together", ours / together - 1, "≤ 5"),
            ("… the fluid bound itself: less than nearest+easy", 1 - floor / theirs, ""),
            ("… the bound that keeps work together: above the fluid bound", together / floor - 1, ""),
            ("… a plan that knows every job and length beforehand: above the fluid bound", known / floor - 1, ""),
        ):
            yield Figure(name=name, value=100 * value, unit="%", bound=bound)
        yield from _waits([found], before)


def _front(made: Week, before: Outcome, floors: Sequence[FluidBound]) -> Iterator[Figure]:
    lines = [
        (price / floor.cost_yuan, 1000 / floor.carbon_g, floor.weighted * (price + 1))
        for price, floor in zip(TOUCHING, floors, strict=True)
    ]
    lines.append((1.0, 0.0, floors[0].electricity_yuan))
    seen = []
    for price in FRONT:
        found = outcome(made.weighing(price, 1.0), "joint")
        seen.append(found)
        least = _least_yuan(lines, found.carbon_kg)
        for name, value in (
            (f"joint, price {price:g} to carbon 1: less energy cost", found.yuan),
            ("… the fluid bound at that carbon: less energy cost", least),
        ):
            yield Figure(name=name, value=100 * (1 - value / before.yuan), unit="%")
        yield Figure(name="… less carbon", value=100 * (1 - found.carbon_kg / before.carbon_kg), unit="%")
    yield from _waits(seen, before)
    wanted = WANTED * before.carbon_kg
    for name, least in (
        ("30 % less carbon: the fluid bound has less energy cost by", _least_yuan(lines, wanted)),
        ("… the bound that keeps work together, by", _least_yuan(list(_together_lines(made, floors[0])), wanted)),
    ):
        yield Figure(name=name, value=100 * (1 - least / before.yuan), unit="%", bound="≥ 30")


def _together_lines(made: Week, floor: FluidBound) -> Iterator[tuple[float, float, float]]:
    for price in TOGETHER:
        by_yuan, by_kg = price / floor.cost_yuan, 1000 / floor.carbon_g
        mixed = tuple(
            replace(yuan, values=by_yuan * yuan.values + by_kg / 1000 * carbon.values)
            for yuan, carbon in zip(made.feeds.weighted_yuan, made.feeds.weighted_carbon_g, strict=True)
        )
        yield by_yuan, by_kg, together_bound(made, mixed)


def _least_yuan(lines: Sequence[tuple[float, float, float]], carbon_kg: float) -> float:
    """No schedule with so much carbon costs less: `by_yuan × yuan + by_kg × kg` is at least `least` on each line."""
    return max((least - by_kg * carbon_kg) / by_yuan for by_yuan, by_kg, least in lines)


def _waits(found: Sequence[Outcome], before: Outcome) -> list[Figure]:
    bound, latest = f"≤ {before.firm_p95_h:.4f}", max(one.firm_p95_h for one in found)
    late = float(max(one.late for one in found))
    return [
        Figure(name="… p95 wait of jobs that may not wait, at most", value=latest, unit="h", bound=bound),
        Figure(name="… jobs held longer than they allow, at most", value=late, unit="", bound="≤ 0"),
    ]
