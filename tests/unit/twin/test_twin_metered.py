"""A site's meter beside its jobs: the law behind it is found, and the command says what to write down."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.twin.test_twin_power import week

from suanwang.cli.app import run
from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.twin.metered import busy_of, metered
from suanwang.twin.trace import trace_of

FIVE_MS = 300_000
T0 = "2026-03-02T00:00:00"
T0_MS = int(np.datetime64(T0, "ms").astype(np.int64))


def loads() -> np.ndarray:
    first, second = week()
    return np.stack((640 * first, 16 * second), axis=1)


def meter(values: np.ndarray, step_ms: int = FIVE_MS) -> Series:
    return Series(start_ms=T0_MS, step_ms=step_ms, values=values)


def test_the_watts_behind_a_meter_are_found() -> None:
    busy = loads()
    found = metered(busy, meter(5_000 + 9 * busy[:, 0] + 400 * busy[:, 1]))
    assert [found.watts.idle_w, found.watts.core_w, found.watts.device_w] == pytest.approx([5_000, 9, 400])
    assert [one.day for one in found.days] == [1, 2, 3, 4, 5]
    assert found.days[0].watts_percent is None, "nothing was known before the first day"
    assert found.days[4].watts_percent == pytest.approx(0, abs=1e-6)
    assert found.online_percent is not None
    assert found.online_percent < 0.05


def test_a_meter_that_drifts_is_followed_by_the_model_alone_and_tomorrow_changes_no_day() -> None:
    busy = loads()
    power_w = (5_000 + 9 * busy[:, 0]) * np.linspace(1, 1.2, len(busy))
    found = metered(busy, meter(power_w))
    assert found.online_percent is not None
    assert found.watts_percent is not None
    assert found.online_percent < found.watts_percent / 4
    poisoned = np.where(np.arange(len(busy)) < 3 * 288, power_w, 7 * power_w)
    assert metered(busy, meter(poisoned)).days[:3] == found.days[:3]


def test_what_was_busy_is_counted_exactly() -> None:
    """Two cores for half an hour, one device over the edge of two hours."""
    made = trace_of(
        name="two jobs", source="made up", submit_ms=np.array([0, HOUR_MS // 2]), run_ms=np.array([HOUR_MS // 2, HOUR_MS]),
        cores=np.array([2.0, 0]), devices=np.array([0, 1.0]), epoch_ms=T0_MS,
    )  # fmt: skip
    assert busy_of(made, meter(np.ones(3), HOUR_MS)).tolist() == [[1, 0.5], [0, 0.5], [0, 0]]
    with pytest.raises(InvalidRequest, match="when it begins"):
        busy_of(replace(made, epoch_ms=None), meter(np.ones(3), HOUR_MS))


def test_what_no_meter_says_is_refused() -> None:
    busy = loads()
    with pytest.raises(InvalidRequest, match="0 W"):
        metered(busy, meter(np.zeros(len(busy))))
    with pytest.raises(InvalidRequest, match="nothing runs"):
        metered(0 * busy, meter(np.ones(len(busy))))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    busy = loads()
    at = np.datetime64(T0) + np.arange(len(busy)) * np.timedelta64(5, "m")
    power_kw = 5 + 0.009 * busy[:, 0] + 0.4 * busy[:, 1]
    rows = zip(at.tolist(), busy.tolist(), power_kw.tolist(), strict=True)
    table = [(f"{t.isoformat()},{cores!r},{devices!r}", f"{t.isoformat()},{kw!r}") for t, (cores, devices), kw in rows]
    (tmp_path / "busy.csv").write_text("\n".join(("time_utc,cores,devices", *(one for one, _ in table))))
    (tmp_path / "meter.csv").write_text("\n".join(("time_utc,kw", *(one for _, one in table))))
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    return str(tmp_path / "busy.csv"), str(tmp_path / "meter.csv")


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["suanwang", "twin", "power", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def test_the_command(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *files, "--busy", "--unit", "kW") == 0
    shown = capsys.readouterr().out
    assert "watts: {core: 9, device: 400}" in shown
    assert "core_power_w: 9" in shown
    assert "5,000 W" in shown
    assert call(monkeypatch, *files, "--busy", "--unit", "kW", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["days"]) == 5
    assert told["days"][0]["watts_percent"] is None
    assert call(monkeypatch, files[1], files[1], "--busy") != 0
    assert "a time, cores, devices" in capsys.readouterr().err
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert call(monkeypatch, *files, "--busy", "--unit", "kW") == 0
    assert "空闲功率" in capsys.readouterr().out
