"""What keeps `joint` above the bound: one thing it does not know, or may not do, at a time.

Owns what is told or allowed in each of them; nothing of it is open to a policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.clairvoyant import planned
from benchmarks.twin.national import Week

from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import Outlook
from suanwang.twin.bound import FluidBound, scarcity

SHARE = 0.8


def gaps(made: Week, sharp: Outlook, fluid: FluidBound) -> Iterator[Figure]:
    """`sharp` is the outlook without errors."""
    jobs = made.jobs
    lengths = jobs._replace(expect_ms=np.repeat(made.truth.run_ms[:, None], 3, axis=1))
    for what, name, weights, floor in (
        ("energy cost", "yuan", (1.0, 0.0), fluid.electricity_yuan),
        ("carbon", "carbon_g", (0.0, 1.0), fluid.carbon_g / 1000),
    ):
        cases = {
            f"{what} above the fluid bound": made,
            "… run lengths known exactly": replace(made, jobs=lengths),
            "… forecasts exact": replace(made, outlook=sharp),
            "… both": replace(made, jobs=lengths, outlook=sharp),
            "… all that may wait may be suspended": replace(made, jobs=jobs._replace(interruptible=jobs.wait_ms > 0)),
            "… the fluid optimum's prices of room told": _priced(made, name),
        }
        for case, told in cases.items():
            weighed = told.weighing(*weights)
            found = made.accounted(weighed.played("joint"))[1]
            ours = found.electricity_yuan if name == "yuan" else found.carbon_location_kg
            yield Figure(name=case, value=100 * (ours / floor - 1), unit="%")
        series = made.feeds.weighted_yuan if name == "yuan" else made.feeds.weighted_carbon_g
        for case, by_arrival in (("order of arrival", True), ("the least flexible first", False)):
            ours = planned(made, series, by_arrival=by_arrival) / (1 if name == "yuan" else 1000)
            yield Figure(name=f"… a plan that knows all, {case}", value=100 * (ours / floor - 1), unit="%")


def _priced(made: Week, name: str) -> Week:
    """Policies are told, as part of price or carbon, what a core-hour of room is worth in the fluid optimum."""
    jobs, rows, told = made.jobs, made.rows, made.outlook
    series = made.feeds.weighted_yuan if name == "yuan" else made.feeds.weighted_carbon_g
    worth = SHARE * scarcity(jobs, made.truth.run_ms, rows, made.allowed, series) / (rows.power_w[:, :1] / 1000)
    issues, sites, steps = told.yuan.shape
    first = (int(jobs.ready_ms.min()) // HOUR_MS * HOUR_MS - told.start_ms) // HOUR_MS
    total = np.zeros((sites, first + worth.shape[1] + issues + steps))
    total[rows.site, first + 1 : first + 1 + worth.shape[1]] = worth
    total = np.cumsum(total, axis=1)
    added = np.stack([total[:, at : at + steps] - total[:, at : at + 1] for at in range(issues)])
    return replace(made, outlook=told._replace(**{name: getattr(told, name) + added}))
