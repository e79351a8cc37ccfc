"""A small results folder as an experiment leaves it, with figures that are made up, for the tests of the report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000 - 8 * HOUR_MS
"""2026-01-01 in China."""
SITES = (
    ("zhongwei", "Zhongwei", "中卫", 105.19, 37.51, 600.0, 1.1),
    ("guian", "Gui'an", "贵安", 106.63, 26.40, 400.0, 0.9),
    ("horinger", "Horinger", "和林格尔", 111.82, 40.38, 500.0, 1.3),
    ("wuhu", "Wuhu", "芜湖", 118.43, 31.35, 200.0, 1.0),
    ("qingpu", "Qingpu", "青浦", 121.12, 31.15, 120.0, 0.8),
    ("shaoguan", "Shaoguan", "韶关", 113.60, 24.80, 180.0, 0.7),
)
POLICIES = (("nearest", "easy"), ("cheapest", "easy"), ("greenest", "easy"), ("joint", "easy"))


def write_results(
    folder: Path,
    *,
    policies: Sequence[tuple[str, str]] = POLICIES,
    seeds: int = 3,
    loads: Sequence[float] = (1.0, 1.5),
    hours: int = 168,
    title: str = "A made-up week",
    names: Sequence[str] = (),
    **changes: Any,
) -> Path:
    """`folder` with parquet files and `experiment.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, timeline = [], []
    for load in loads:
        for at, (policy, order) in enumerate(policies):
            for seed in range(seeds):
                play = f"{load:g}-{policy}-{order}-{seed}"
                chance = np.random.default_rng((seed, at))
                rows.append(
                    {
                        "play": play,
                        "policy": policy,
                        "order": order,
                        "seed": seed,
                        "load": load,
                        **_figures(at, load, chance),
                    }
                )
                if seed == 0:
                    timeline += _timeline(play, at, load, hours, chance)
    parquet.write_table(pa.Table.from_pylist([{**row, **changes} for row in rows]), folder / "results.parquet")
    parquet.write_table(pa.Table.from_pylist(timeline), folder / "timeline.parquet")
    shown = list(names) or [zh for _, _, zh, *_ in SITES]
    experiment = {
        "name": "made-up",
        "title": {"en": title, "zh": "虚构的一周"},
        "source": "generated in the tests",
        "varied": ["load"] if len(loads) > 1 else [],
        "sites": [
            {"id": site, "name": {"en": en, "zh": zh}, "longitude": lon, "latitude": lat, "capacity": size}
            for (site, en, _, lon, lat, size, _), zh in zip(SITES, shown, strict=True)
        ],
        "bounds": [
            {
                "name": {"en": "the fluid bound", "zh": "流体下界"},
                "values": {"cost_yuan": 9_000.0, "carbon_location_kg": 6_900.0},
            }
        ],
    }
    (folder / "experiment.json").write_text(json.dumps(experiment, ensure_ascii=False), encoding="utf-8")
    return folder


def _figures(at: int, load: float, chance: np.random.Generator) -> dict[str, float]:
    cost = (16_000.0, 10_400.0, 13_900.0, 10_900.0)[at % 4] * load
    carbon = (12_500.0, 11_800.0, 8_050.0, 8_600.0)[at % 4] * load
    wait = (0.4, 2.1, 2.6, 1.2)[at % 4] * load**2
    near = float(chance.normal(1.0, 0.01))
    return {
        "jobs_count": 5000.0,
        "ended_count": 5000.0,
        "cost_yuan": cost * near,
        "electricity_yuan": cost * near,
        "energy_kwh": 21_000.0 * load * near,
        "carbon_location_kg": carbon * near,
        "carbon_market_kg": carbon * near * 0.8,
        "peak_kw": 310.0 * load * near,
        "waiting_mean_h": wait * near,
        "waiting_p50_h": wait * near * 0.3,
        "waiting_p95_h": wait * near * 4,
        "waiting_p99_h": wait * near * 9,
        "slowdown_mean_ratio": 1 + wait * 3 * near,
        "cores_busy_share": 0.43 * load + 0.001 * at,
        "deadlines_missed_count": float(at),
        "deadlines_missed_share": at / 500,
        "moved_gb": 0.0 if at == 0 else 4_200.0 * at * near,
        "fair_slowdown_jain": 0.9 - 0.01 * at,
        "fragmentation_share": float("nan"),
        "unseated_starts_count": float("nan"),
    }


def _timeline(play: str, at: int, load: float, hours: int, chance: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    clock = np.arange(hours)
    for index, (site, *_, size, factor) in enumerate(SITES):
        wave = 0.5 + 0.4 * np.sin((clock + 3 * index + 5 * at) * 2 * np.pi / 24)
        busy = size * np.clip(
            wave * load * factor * (0.4 + 0.2 * ((index + at) % 4)) + chance.normal(0, 0.03, hours), 0, 1
        )
        price = 0.35 + 0.2 * (((clock + index) % 24) > 15)
        carbon = 400 + 60 * index - 150 * np.exp(-(((clock % 24) - 12) ** 2) / 12)
        rows += [
            {
                "play": play,
                "site": site,
                "hour": START_MS + int(hour) * HOUR_MS,
                "busy": float(busy[hour]),
                "kw": float(busy[hour] * 0.2),
                "queue": float(max(0.0, busy[hour] / size - 0.8) * 40),
                "price": float(price[hour]),
                "carbon": float(carbon[hour]),
            }
            for hour in clock.tolist()
        ]
    return rows


def main() -> None:
    """Plays the part of the process that plays: `python -m tests.unit.twin.twin_results FOLDER`."""
    from suanwang.twin.report import write_report

    folder = Path(sys.argv[-1])
    (folder / "progress.json").write_text('{"done": 1, "of": 2}')
    wanted = (folder / "experiment.yaml").read_text(encoding="utf-8")
    if "hang" in wanted:
        time.sleep(600)
    if "fail" in wanted:
        (folder / "failure.json").write_text('{"message": "the trace has no jobs there"}')
        sys.exit(2)
    if "crash" in wanted:
        raise RuntimeError("out of luck")
    variants = (folder / "variants.json").exists()
    write_results(folder, title="made up", loads=(1.0, 1.3), seeds=1 if variants else 3, hours=24)
    write_report(folder)
    (folder / "progress.json").write_text('{"done": 2, "of": 2}')


if __name__ == "__main__":
    main()
