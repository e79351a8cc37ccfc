"""The product's forecast from the past alone beside a regression on the same past.

Owns the comparison: how far both are off, and what `joint` saves with each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.store import Figure
from benchmarks.twin.chapters import Table
from benchmarks.twin.foresight import AHEAD, DAY, FIRST, forecasts
from benchmarks.twin.joint_online import REACH, SOME, hourly, over, past, share
from benchmarks.twin.published import Floats, zones

LEADS = (1, 6, 24, 48, 96)


def measure(data: Path, *, quick: bool) -> Iterator[Table]:
    names, values = zones(data)
    series = {name: values[:, at] for at, name in enumerate(names) if np.ptp(values[:, at]) > 0}
    chosen = list(series)[:: 40 if quick else SOME]
    yield Table(
        "The past alone: the product's forecast beside a regression",
        figures=list(_compared(series, chosen)),
        notes=[
            (
                f"Every {SOME}th zone; forecasts made each hour, errors over the mean. The product takes the mean of the same "
                "hour over seven days and lets fade how far the last value was from it; the regression (not in the product) "
                "weighs the last two days and the last days' means, fitted anew each week. From a day ahead on neither knows "
                "the weather, and the product keeps its own: it is the nearer from there on. That `joint` saves more with the "
                "regression than above comes from its means, which are taken over four weeks and are steadier."
            )
        ],
    )


def _compared(series: dict[str, Floats], chosen: list[str]) -> Iterator[Figure]:
    kinds = {"product": past, "regression": _regressed}
    off = {
        kind: np.array([_off(series[name], guessed(series[name])) for name in chosen]).mean(axis=0)
        for kind, guessed in kinds.items()
    }
    for at, lead in enumerate(LEADS):
        for kind in kinds:
            yield Figure(name=f"{kind}: off {lead} h ahead", value=float(off[kind][at]), unit="% of the mean")
    found = over(series, chosen, lambda name: hourly(series[name], _regressed(series[name])))
    value, half = share(found)
    yield Figure(name=f"regression: `joint` saves (± {half:.2f})", value=value, unit="% of the bound's saving")


def _off(truth: Floats, guessed: Floats) -> list[float]:
    hours = np.arange(FIRST, len(truth) - AHEAD - 1)
    return [100 * float(np.abs(guessed[hours, k - 1] - truth[hours + k]).mean() / truth.mean()) for k in LEADS]


def _regressed(truth: Floats) -> Floats:
    """As `past`; behind its own reach the means of four weeks go on."""
    seen, hours = forecasts(truth), np.arange(len(truth))
    behind = (hours[:, None] + np.arange(AHEAD + 1, REACH)) % DAY
    return np.concatenate((seen.mean, np.take_along_axis(seen.profile, behind, axis=1)), axis=1)[:-1]
