"""From an experiment's folder to `Results`.

Owns which files and columns are read, and what is said when they are not there. Columns that are not known as measures
are shown under their own names, so that a new measure needs no change here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.report.results import Bound, Case, Contender, Hours, Place, Play, Results, Shares
from suanwang.twin.report.words import MEASURES, Measure, Words, plain_measure

IDENTITY = ("play", "experiment", "policy", "order", "seed")
QUANTILES = ((0.5, "waiting_p50_h"), (0.95, "waiting_p95_h"), (0.99, "waiting_p99_h"))
SHARES = np.concatenate((np.linspace(0.0, 0.95, 39), [0.96, 0.97, 0.98, 0.99, 0.995, 1.0]))
COURSES = ("busy", "kw", "queue", "price", "carbon")
HOUR_MS = 3_600_000
CHINA = timezone(timedelta(hours=8))
NOTES = (
    Words(
        "Modelled: power is a line in what is in use, PUE follows a model of the outdoor temperature, prices are the tariff's, "
        "carbon is the grid's factor with the day's course where one is known, run times are the log's own.",
        "均为模型：功率与占用量成线性关系，PUE 取自室外温度模型，电价取自分时电价，碳强度取自电网因子及其日内曲线，运行时间取自日志。",
    ),
    Words(
        "Waiting is all the time from ready to end in which a job did not do work that counted: queueing, held, data on "
        "their way, suspended, or redoing.",
        "等待时间指作业从就绪到结束之间未做有效工作的全部时间：排队、推迟、数据传输、挂起或重做。",
    ),
    Words(
        "Bounded slowdown is completion over run time, at least 1, runs below 10 s counted as 10 s (Feitelson and Rudolph 1998).",
        "有界减速比 = 完成时间 / 运行时间，不小于 1，短于 10 秒的运行按 10 秒计（Feitelson 与 Rudolph，1998）。",
    ),
    Words(
        "Location-based carbon counts the grid's intensity; market-based carbon counts nothing for what certificates cover "
        "(GHG Protocol Scope 2 Guidance 2015).",
        "基于位置的碳排放按电网强度计；基于市场的碳排放对绿证覆盖部分不计（GHG Protocol 范围二指南，2015）。",
    ),
)


def read(folder: Path) -> Results:
    """Raises `InvalidRequest` where the folder holds no results that can be read."""
    experiment = _json(folder / "experiment.json")
    rows = _rows(folder / "results.parquet")
    if not rows:
        raise InvalidRequest(f"{folder.name}: no play has ended yet", field="results", allowed="one or more plays")
    varied = [name for name in experiment.get("varied", []) if name in rows[0]]
    plays = [_play(at, row, varied) for at, row in enumerate(rows)]
    places = [_place(site) for site in experiment.get("sites", [])]
    hours = _hours(folder / "timeline.parquet", plays)
    if not places:
        places = [Place(id=site, name=Words(site, site)) for site in dict.fromkeys(s for h in hours for s in h.sites)]
    return Results(
        name=str(experiment.get("name", folder.name)),
        title=_words(experiment.get("title"), str(experiment.get("name", folder.name))),
        source=str(experiment.get("source", "")),
        plays=plays,
        measures=_measures(plays),
        places=places,
        hours=hours,
        shares=_shares(folder / "shares.parquet", plays),
        waiting=_waiting(folder, plays),
        bounds=tuple(_bounds(experiment.get("bounds", []))),
        baseline=_contender(experiment.get("baseline")),
        failed=tuple(str(line) for line in experiment.get("failed", [])),
        notes=(*NOTES, *([_words(experiment["note"], "")] if experiment.get("note") else [])),
        text=str(experiment.get("text", "")),
        facts=_facts(experiment, plays, places),
    )


def _facts(experiment: Mapping[str, Any], plays: Sequence[Play], places: Sequence[Place]) -> list[tuple[Words, str]]:
    """What was played, in a few words."""
    found = [
        (Words("Plays", "运行次数"), f"{len(plays):,}"),
        (Words("Seeds", "随机种子"), f"{len({play.seed for play in plays}):,}"),
        (Words("Sites", "站点"), f"{len(places):,}"),
    ]
    jobs = [play.values["jobs_count"] for play in plays if "jobs_count" in play.values]
    if jobs:
        found.insert(0, (Words("Jobs in a play, at most", "单次运行作业数（最多）"), f"{max(jobs):,.0f}"))
    if experiment.get("network"):
        found.append((Words("Network", "网络"), str(experiment["network"])))
    start_ms = experiment.get("start_ms")
    if isinstance(start_ms, int):
        found.append((Words("Begins", "开始于"), datetime.fromtimestamp(start_ms / 1000, CHINA).strftime("%Y-%m-%d")))
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (OSError, ArrowException) as error:
        raise InvalidRequest(
            f"{path.name} of {path.parent.name} cannot be read: {str(error)[:200]}",
            field=path.name,
            allowed="the folder that an experiment wrote",
        ) from error
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"{path.name} of {path.parent.name} cannot be read: {str(error)[:200]}",
            field=path.name,
            allowed="the folder that an experiment wrote",
        ) from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path.name} is no object", field=path.name, allowed="what an experiment wrote")
    return found


def _play(at: int, row: Mapping[str, Any], varied: Sequence[str]) -> Play:
    skipped = {*IDENTITY, *varied}
    values = {
        name: float(value)
        for name, value in row.items()
        if name not in skipped and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return Play(
        id=str(row.get("play", at)),
        case=tuple((name, _text(row.get(name))) for name in varied),
        contender=Contender(str(row.get("policy", "")), str(row.get("order", "") or "")),
        seed=int(row.get("seed", 0) or 0),
        values=values,
    )


def _measures(plays: Sequence[Play]) -> list[Measure]:
    """Known ones in their order, then the others; those without a number in any play are left out."""
    there = {name for play in plays for name, value in play.values.items() if math.isfinite(value)}
    known = [measure for measure in MEASURES if measure.key in there]
    return known + [plain_measure(name) for name in sorted(there - {measure.key for measure in MEASURES})]


def _waiting(folder: Path, plays: Sequence[Play]) -> dict[str, list[tuple[float, float]]]:
    """By play: shares of the jobs that ended against the longest wait among them, from the jobs where they were kept."""
    found = {play.id: _quantiles(play.values) for play in plays}
    if (folder / "jobs.parquet").exists():
        from pyarrow import parquet

        table = parquet.read_table(folder / "jobs.parquet", columns=["play", "waiting_ms", "end_ms"])
        play, waited = table["play"].to_numpy(), table["waiting_ms"].to_numpy() / 1000
        ended = table["end_ms"].to_numpy() >= 0
        for name in found:
            chosen = waited[(play == name) & ended]
            if len(chosen):
                points = zip(SHARES.tolist(), np.quantile(chosen, SHARES).tolist(), strict=True)
                found[name] = list(points)
    return {name: curve for name, curve in found.items() if curve}


def _quantiles(values: Mapping[str, float]) -> list[tuple[float, float]]:
    return [(share, values[key] * 3600) for share, key in QUANTILES if math.isfinite(values.get(key, math.nan))]


def _first(plays: Sequence[Play]) -> list[str]:
    """The first seed of each contender in each case."""
    return list({(play.case, play.contender): play.id for play in reversed(plays)}.values())


def _shares(path: Path, plays: Sequence[Play]) -> list[Shares]:
    """Of the first seed of each contender in each case: what is told."""
    if not path.exists():
        return []
    from pyarrow import parquet

    found: list[Shares] = []
    for name in _first(plays):
        table = parquet.read_table(path, filters=[("play", "=", name)])
        if not len(table):
            continue
        projects, row = np.unique(table["project"].to_numpy().astype(str), return_inverse=True)
        hour = table["hour"].to_numpy()
        at = (hour - hour.min()) // HOUR_MS
        held, entitled = np.zeros((2, len(projects), int(at.max()) + 1))
        held[row, at], entitled[row, at] = table["share"].to_numpy(), table["entitled"].to_numpy()
        found.append(Shares(play=name, projects=tuple(projects.tolist()), held=held, entitled=entitled))
    return found


def _hours(path: Path, plays: Sequence[Play]) -> list[Hours]:
    """Of the first seed of each contender in each case: what is drawn."""
    if not path.exists():
        return []
    from pyarrow import parquet

    first = _first(plays)
    table = parquet.read_table(path, filters=[("play", "in", first)])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    found: list[Hours] = []
    for name in first:
        chosen = columns["play"] == name
        if chosen.any():
            found.append(_course(name, {key: column[chosen] for key, column in columns.items()}))
    return found


def _course(name: str, columns: Mapping[str, Any]) -> Hours:
    sites, row = np.unique(columns["site"].astype(str), return_inverse=True)
    hour = columns["hour"].astype(np.int64)
    first = int(hour.min())
    at = (hour - first) // HOUR_MS
    grids = {}
    for key in COURSES:
        grids[key] = np.full((len(sites), int(at.max()) + 1), np.nan)
        if key in columns:
            grids[key][row, at] = columns[key]
    return Hours(play=name, sites=tuple(sites.tolist()), start_ms=first, step_ms=HOUR_MS, **grids)


def _place(site: Mapping[str, Any]) -> Place:
    return Place(
        id=str(site["id"]),
        name=_words(site.get("name"), str(site["id"])),
        longitude=_float(site.get("longitude")),
        latitude=_float(site.get("latitude")),
        capacity=_float(site.get("capacity")) or 0.0,
    )


def _bounds(found: Sequence[Mapping[str, Any]]) -> list[Bound]:
    bounds: list[Bound] = []
    for each in found:
        values = {
            str(key): float(value) for key, value in dict(each.get("values", {})).items() if _float(value) is not None
        }
        case: Case | None = None
        if each.get("case") is not None:
            case = tuple((str(key), _text(value)) for key, value in dict(each["case"]).items())
        bounds.append(Bound(name=_words(each.get("name"), "bound"), values=values, case=case))
    return bounds


def _contender(found: Any) -> Contender | None:
    if not isinstance(found, Mapping):
        return None
    return Contender(str(found.get("policy", "")), str(found.get("order", "")))


def _words(found: Any, otherwise: str) -> Words:
    if isinstance(found, Mapping):
        return Words(str(found.get("en", otherwise)), str(found.get("zh", otherwise)))
    return Words(str(found), str(found)) if found else Words(otherwise, otherwise)


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
