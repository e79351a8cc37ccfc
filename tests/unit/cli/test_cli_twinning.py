"""`suanwang twin trace` and `suanwang twin generate`, as they are typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from suanwang.cli.app import run
from suanwang.twin.traces import read_trace

DATA = Path(__file__).parents[2] / "data" / "traces"


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.chdir(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["suanwang", "twin", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def test_a_trace_is_shown_and_converted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "trace", str(DATA / "federation.swf"), "--to", "out.parquet") == 0
    shown = capsys.readouterr()
    assert "Two made-up clusters" in shown.out
    assert "left out: 1 jobs that never ran" in shown.out
    assert "written to out.parquet" in shown.err
    assert read_trace(tmp_path / "out.parquet").digest == read_trace(DATA / "federation.swf").digest
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert call(monkeypatch, "trace", "out.parquet") == 0
    assert "作业数" in capsys.readouterr().out


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "trace", str(DATA / "gaia-pai_1k.csv.gz"), "--head", "10", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["jobs"] == 10
    assert told["quantiles"]["run_s"]["least"] > 0


def test_formats_and_profiles_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "trace", "list") == 0
    assert "swf: Standard Workload Format" in capsys.readouterr().out
    assert call(monkeypatch, "trace", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["gaia"]["options"] == ["unit"]
    assert call(monkeypatch, "generate", "list", "--json") == 0
    assert "philly" in json.loads(capsys.readouterr().out)


def test_a_profile_is_fitted_and_drawn_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "trace", str(DATA / "gaia-pai_1k.csv.gz"), "--fit", "own.yaml", "--json") == 0
    assert "core_hours 0.0" in capsys.readouterr().err, "how close is said"
    for output in ("one.csv", "two.csv"):
        assert call(monkeypatch, "generate", "own.yaml", "--jobs", "200", "--seed", "4", "-o", output, "--json") == 0
    capsys.readouterr()
    one, two = (read_trace(tmp_path / name) for name in ("one.csv", "two.csv"))
    assert len(one) == 200
    assert one.digest == two.digest


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("generate", "pai"), 2, "--jobs N"),
        (("generate", "nothing", "--jobs", "3"), 3, "philly"),
        (("trace", "nowhere.csv"), 5, "nowhere.csv"),
        (("trace", str(DATA / "README.md")), 3, "format is not recognised"),
        (("trace", str(DATA / "federation.swf"), "--to", "out.xlsx"), 2, ".parquet"),
        (("trace", str(DATA / "federation.swf"), "--zone", "UTC"), 3, "takes no zone"),
        (("trace", str(DATA / "helios.csv"), "--zone", "Nowhere"), 3, "no zone 'Nowhere'"),
    ],
)
def test_what_is_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, says: str
) -> None:
    assert call(monkeypatch, *words) == code
    assert says in capsys.readouterr().err
