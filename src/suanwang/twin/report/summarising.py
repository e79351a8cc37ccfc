"""The report's tables as values for programs that draw their own.

Owns the shape of `summary.json`: figures in the units in which the report shows them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson

from suanwang.twin.report.comparing import mean_of
from suanwang.twin.report.results import Case, Results
from suanwang.twin.report.telling import case_name, summary
from suanwang.twin.report.words import Measure

FILE = "summary.json"


def write_summary(folder: Path, results: Results) -> Path:
    """Write `summary.json` into an experiment's folder; a reader never sees half of it."""
    target, fresh = folder / FILE, folder / f".{FILE}"
    fresh.write_bytes(orjson.dumps(summarised(results)))
    fresh.replace(target)
    return target


def summarised(results: Results) -> dict[str, Any]:
    """Cases with their contenders, and of each measure a mean with the half width of its interval (None: one seed)."""
    return {
        "name": results.name,
        "title": results.title._asdict(),
        "measures": [_measure(measure) for measure in results.measures],
        "cases": [_case(results, case) for case in results.cases],
    }


def _measure(measure: Measure) -> dict[str, Any]:
    factor = _factor(measure)
    return {
        "key": measure.key,
        "name": measure.name._asdict(),
        "unit": {"en": "%", "zh": "%"} if measure.share else measure.unit._asdict(),
        "share": measure.share,
        "more_is_better": measure.more_is_better,
        "floor": measure.floor * factor,
        "main": measure.main,
    }


def _case(results: Results, case: Case) -> dict[str, Any]:
    contenders = results.contenders(case)
    figures: dict[str, list[list[float | None]]] = {}
    for measure in results.measures:
        factor = _factor(measure)
        numbers = [mean_of(list(results.values(case, contender, measure.key).values())) for contender in contenders]
        figures[measure.key] = [[_plain(number.mean * factor), _plain(number.half * factor)] for number in numbers]
    return {
        "name": case_name(case)._asdict(),
        "values": dict(case),
        "contenders": [contender.name for contender in contenders],
        "baseline": contenders.index(results.baseline_of(case)),
        "told": [line._asdict() for line in summary(results, case)],
        "figures": figures,
    }


def _factor(measure: Measure) -> float:
    return measure.factor * (100 if measure.share else 1)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
