"""An experiment's folder: one set of part files per play, and the tables put together from them.

Owns names and layout, and that a reader, or a run that goes on after a kill, never sees half a file. Columns:
`results.parquet` has a row per play (play, experiment, what varied, network, policy, order, seed, measures),
`timeline.parquet` a row per play, site and hour, `jobs.parquet` one per play and job where jobs are kept,
`shares.parquet` one per play, project and hour where projects take turns, `bounds.parquet` one per case and seed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.twin.experiment import BOUND, Experiment, Play, Value, said
from suanwang.twin.measures import Interval, over_seeds
from suanwang.twin.performing import Tables

PARTS = "parts"
RESULTS, TIMELINE, JOBS, BOUNDS = "results.parquet", "timeline.parquet", "jobs.parquet", "bounds.parquet"
SHARES = "shares.parquet"
EXPERIMENT = "experiment.json"
COMPRESSION = "zstd"
TOGETHER = ("cost_yuan", "carbon_location_kg")
OF_BOUND = ("cost_yuan", "electricity_yuan", "carbon_location_kg")


class Folder:
    """Where an experiment's results lie."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep a second run out of the folder; the lock goes with the process. Raises `Conflict`, `InvalidRequest`."""
        import fcntl

        try:
            (self.path / PARTS).mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InvalidRequest(
                f"results cannot be written to {self.path}: {error.strerror or error}", field="out", allowed="a folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Conflict(f"another run writes into {self.path}", field="out", allowed="another folder") from None
        try:
            for stale in (self.path / PARTS).glob(".*.new"):
                stale.unlink(missing_ok=True)
            yield
        finally:
            os.close(lock)

    def has(self, play: Play) -> bool:
        """Whether the play came to its end here; its row is written last, so nothing of it is missing then."""
        try:
            return int(parquet.read_metadata(self._part(play, "result")).num_rows) == 1
        except (OSError, pa.ArrowException):
            return False

    def keep(self, play: Play, tables: Tables) -> None:
        """Write a play's tables, its row last."""
        side = (("timeline", tables.timeline), ("jobs", tables.jobs), ("shares", tables.shares))
        for name, table in (*side, ("result", tables.result)):
            if table is not None:
                _written(table, self._part(play, name))

    def row(self, play: Play) -> dict[str, Any]:
        found: list[dict[str, Any]] = parquet.read_table(self._part(play, "result")).to_pylist()
        return found[0]

    def put_together(
        self, experiment: Experiment, plays: Sequence[Play], facts: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Write the tables of the plays that are there, and what the experiment was; returns the rows of the results.

        Columns that no play of this experiment has any more vanish with their files.
        """
        there = [play for play in plays if self.has(play)]
        played = [play for play in there if play.policy != BOUND]
        rows = [self.row(play) for play in played]
        bounds = [self.row(play) for play in there if play.policy == BOUND]
        self._rows(rows, RESULTS)
        self._rows(bounds, BOUNDS)
        for name, file in (("timeline", TIMELINE), ("jobs", JOBS), ("shares", SHARES)):
            self._joined([self._part(play, name) for play in played], file)
        said_of = {**_described(experiment), "bounds": _bounds(experiment, bounds), **facts}
        _text(json.dumps(_finite(said_of), ensure_ascii=False, indent=1), self.path / EXPERIMENT)
        return rows

    def _part(self, play: Play, name: str) -> Path:
        return self.path / PARTS / f"{play.id}.{name}.parquet"

    def _rows(self, rows: Sequence[Mapping[str, Any]], file: str) -> None:
        if rows:
            _written(pa.Table.from_pylist(list(rows)), self.path / file)
        else:
            (self.path / file).unlink(missing_ok=True)

    def _joined(self, parts: Sequence[Path], file: str) -> None:
        """One after the other, so that no more than one part is in memory."""
        existing = [part for part in parts if part.exists()]
        if not existing:
            (self.path / file).unlink(missing_ok=True)
            return
        fresh = self.path / f".{file}.new"
        with parquet.ParquetWriter(fresh, parquet.read_schema(existing[0]), compression=COMPRESSION) as writer:
            for part in existing:
                writer.write_table(parquet.read_table(part))
        fresh.replace(self.path / file)


def _written(table: pa.Table, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.new")
    parquet.write_table(table, fresh, compression=COMPRESSION)
    fresh.replace(target)


def _text(text: str, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(target)


def _described(experiment: Experiment) -> dict[str, Any]:
    """What the report needs to know beside the tables."""
    name, _, order = experiment.baseline.partition("+")
    chosen = next(one for one in experiment.policies if said(one) == experiment.baseline)
    return {
        "name": experiment.name,
        "title": {"zh": experiment.title_zh, "en": experiment.title_en},
        "network": experiment.network.name,
        "note": experiment.network.note,
        "varied": list(experiment.varied),
        "baseline": {"policy": name, "order": order or chosen.order},
        "policies": [said(one) for one in experiment.policies],
        "seeds": list(experiment.seeds),
        "start_ms": experiment.start_ms,
        "text": experiment.text,
    }


def sites_of(experiment: Experiment, capacity: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "id": site.id,
            "name": {"zh": site.name_zh, "en": site.name_en},
            "longitude": site.longitude,
            "latitude": site.latitude,
            "hub": site.hub,
            "province": site.province,
            "capacity": capacity.get(site.id, 0.0),
        }
        for site in experiment.network.sites
    ]


def _bounds(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds, by case."""
    cases: dict[tuple[tuple[str, Value], ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        cases.setdefault(tuple((name, row[name]) for name in experiment.varied), []).append(row)
    return [
        {
            "name": {"en": "the fluid bound", "zh": "流体下界"},
            "case": dict(case) if case else None,
            "values": {key: sum(row[key] for row in found) / len(found) for key in OF_BOUND},
            "weighted": sum(row["weighted"] for row in found) / len(found),
            "both": {key: sum(row[f"both_{key}"] for row in found) / len(found) for key in TOGETHER},
            "widened_hours": max(row["widened_hours"] for row in found),
        }
        for case, found in cases.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One policy in one case, over the seeds."""

    case: tuple[tuple[str, Value], ...]
    policy: str
    order: str
    measures: Mapping[str, Interval]
    """Estimate and 95 % interval; the interval is not a number for a single seed."""

    @property
    def name(self) -> str:
        return self.policy if self.order in ("easy", self.policy) else f"{self.policy}+{self.order}"


def summarised(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> list[Summary]:
    """Rows of the results, together by case and policy, in the order they came in."""
    told = {"play", "experiment", "network", "policy", "order", "seed", *varied}
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        case = tuple((name, row[name]) for name in varied)
        groups.setdefault((case, row["policy"], row["order"]), []).append(row)
    return [
        Summary(
            case=case,
            policy=policy,
            order=order,
            measures={key: over_seeds([float(row[key]) for row in found]) for key in found[0] if key not in told},
        )
        for (case, policy, order), found in groups.items()
    ]


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
