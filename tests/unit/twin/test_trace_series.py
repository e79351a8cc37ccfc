"""Prices and carbon over time: three layouts, and every way in which a table is not whole."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as papq
import pytest

from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.twin.traces.series import read_areas, read_series

H = 3_600_000
WIDE = "datetime_utc,AT,DE\n2022-01-01T00:00Z,84.73,216.56\n2022-01-01T01:00Z,77.38,218\n2022-01-01T02:00Z,70,219\n"
LONG = "zone,datetime_utc,usd_per_mwh\nAT,2020-01-01 00:00:00+00:00,43\nAT,2020-01-01 01:00:00+00:00,-40\n"
LOCAL = "Time,Carbon Intensity\n{}"
Y2020 = 1_577_836_800_000


def put(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(text)
    return path


def refused(path: Path, **options: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read_areas(path, **options)  # type: ignore[arg-type]  # each test's own
    assert caught.value.field
    assert caught.value.allowed
    return caught.value


def test_a_column_for_each_area(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv.gz"
    path.write_bytes(gzip.compress(WIDE.encode()))
    found = read_areas(path)
    assert list(found) == ["AT", "DE"]
    series = read_series(path, area="DE")
    assert (series.start_ms, series.step_ms, series.values.tolist()) == (1_640_995_200_000, H, [216.56, 218, 219])
    with pytest.raises(NotFound) as caught:
        read_series(path, area="FR")
    assert caught.value.allowed == "AT, DE"
    with pytest.raises(InvalidRequest, match="has 2 areas"):
        read_series(path)


def test_a_row_for_each_area(tmp_path: Path) -> None:
    path = put(tmp_path, LONG + "BE,2020-01-01 00:30:00+00:00,1\nBE,2020-01-01 01:30:00+00:00,2\n")
    found = read_areas(path)
    assert found["AT"].values.tolist() == [43, -40], "prices may be negative"
    assert found["BE"].start_ms == Y2020 + H // 2
    assert list(read_areas(path, areas=("BE",))) == ["BE"]
    with pytest.raises(NotFound):
        read_series(path, area="FR")


def test_rows_with_several_values_need_a_choice(tmp_path: Path) -> None:
    text = "zone,datetime_utc,ci_direct,ci_lca\nX,2021-01-01 00:00:00,5,6\nX,2021-01-01 01:00:00,7,8\n"
    path = put(tmp_path, text)
    assert refused(path).allowed == "ci_direct, ci_lca"
    assert read_series(path, value="ci_lca").values.tolist() == [6, 8]
    assert refused(path, value="ci").field == "value"


def test_parquet_and_naive_times(tmp_path: Path) -> None:
    at = pa.array([Y2020, Y2020 + 900_000, Y2020 + 1_800_000], pa.timestamp("ms"))
    papq.write_table(pa.table({"timestamp": at, "carbon_intensity": [1.0, 2.0, 3.0]}), tmp_path / "c.parquet")
    assert "zone" in refused(tmp_path / "c.parquet").message
    assert read_series(tmp_path / "c.parquet", zone="UTC").step_ms == 900_000
    assert read_series(tmp_path / "c.parquet", zone="+08:00").start_ms == Y2020 - 8 * H


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 01:00,3\n", "line 4, Time: an instant that stands twice"),
        ("2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 04:00,3\n2020-01-01 05:00,4\n", "line 4, Time: a row behind a gap (2"),
        ("2020-01-01 00:00,1\n2020-01-01 01:00,\n2020-01-01 02:00,3\n", "line 3, Carbon Intensity: an empty value"),
        ("2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 02:00,3\n2020-01-01 02:30,3\n", "a step_ms of 1800000"),
        ("2020-01-01 00:00,1\n2020-01-01 01:00,x\n", "line 3, Carbon Intensity: 'x'"),
        ("2020-01-01 00:00,1\nyesterday,2\n", "line 3, Time: 'yesterday'"),
        ("2020-01-01 00:00,1\n2020-01-01 01:00+00:00,2\n", "all with one or none"),
        ("2020-01-01 00:00,1\n,2\n", "line 3, Time: an empty value"),
        ("2020-01-01 00:00,1\n", "one instant only"),
        ("1901-01-01 00:00,1\n2020-01-01 00:00,1\n", "since 1970"),
        ("2020-01-01 00:00:00,1\n2020-01-01 00:00:01,1\n2020-01-01 00:00:02,1\n2090-01-01 00:00:00,1\n", "spans"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused(tmp_path: Path, rows: str, says: str) -> None:
    error = refused(put(tmp_path, LOCAL.format(rows)), zone="UTC")
    assert says in f"{error.message} {error.allowed}"


def test_gaps_and_doubles_are_closed_when_somebody_says_how(tmp_path: Path) -> None:
    rows = "2020-01-01 00:00,1\n2020-01-01 01:00,9\n2020-01-01 01:00,2\n2020-01-01 03:00,\n2020-01-01 04:00,5\n2020-01-01 05:00,7\n"
    path = put(tmp_path, LOCAL.format(rows))
    assert read_series(path, zone="UTC", fill="hold").values.tolist() == [1, 2, 2, 2, 5, 7]
    assert read_series(path, zone="UTC", fill="linear").values.tolist() == [1, 2, 3, 4, 5, 7]
    assert refused(path, zone="UTC", fill="guess").allowed == "hold, linear"
    empty = put(tmp_path, LOCAL.format("2020-01-01 00:00,\n2020-01-01 01:00,\n"))
    assert "has no value" in refused(empty, zone="UTC", fill="hold").message


def test_a_finer_step_holds_what_was_coarser(tmp_path: Path) -> None:
    rows = "2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 01:30,3\n2020-01-01 02:00,4\n2020-01-01 03:00,5\n"
    series = read_series(put(tmp_path, LOCAL.format(rows)), zone="UTC", step_ms=H // 2, fill="hold")
    assert series.values.tolist() == [1, 1, 2, 3, 4, 4, 5]


def test_daylight_saving_in_a_table_that_follows_the_clock(tmp_path: Path) -> None:
    autumn = [f"2020-10-25 {h}:00,{v}" for v, h in enumerate(("00", "01", "02", "02", "03", "04"))]
    series = read_series(put(tmp_path, LOCAL.format("\n".join(autumn))), zone="Europe/Berlin")
    assert series.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.diff([series.start_ms, series.end_ms]) == 6 * H
    spring = [f"2020-03-29 {h}:00,{v}" for v, h in enumerate(("00", "01", "03", "04"))]
    assert len(read_series(put(tmp_path, LOCAL.format("\n".join(spring))), zone="Europe/Berlin").values) == 4
    steady = [f"2020-03-29 0{h}:00,{h}" for h in range(5)]
    path = put(tmp_path, LOCAL.format("\n".join(steady)))
    assert "stands twice" in refused(path, zone="Europe/Berlin").message, "this table's clock does not change"
    assert len(read_series(path, zone="+01:00").values) == 5
