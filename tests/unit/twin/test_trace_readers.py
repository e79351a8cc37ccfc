"""Every format's reader on a small sample: what stands in it, in our units, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as papq
import pytest

from suanwang.twin.trace import Trace
from suanwang.twin.traces import FORMATS, Demand, detect, read_trace, write_trace
from suanwang.twin.traces.summary import summary

DATA = Path(__file__).parents[2] / "data" / "traces"
H = 3_600_000


def read(name: str, **options: object) -> Trace:
    return read_trace(DATA / name, **options)  # type: ignore[arg-type]  # options are each format's own


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("federation.swf", "swf"),
        ("alibaba-2020-tasks.csv", "alibaba-2020"),
        ("alibaba-2023-pods.csv", "alibaba-2023"),
        ("alibaba-2025-instances.csv", "alibaba-2025"),
        ("alibaba-2026-requests.csv", "alibaba-2026-requests"),
        ("alibaba-2026-spot.csv", "alibaba-2026-spot"),
        ("philly-sia.csv", "philly-sia"),
        ("philly.json", "philly"),
        ("helios.csv", "helios"),
        ("acme-kalos.csv", "acme"),
        ("acme-seren.csv", "acme"),
        ("gaia-pai_1k.csv.gz", "gaia"),
        ("gaia-mustang-2000.csv.gz", "gaia"),
        ("azure-llm-600.csv", "azure-llm"),
        ("mooncake-40.jsonl", "mooncake"),
    ],
)
def test_a_format_is_known_by_what_a_file_begins_with(name: str, kind: str) -> None:
    assert detect(DATA / name) == kind
    found, told = read(name), read_trace(DATA / name, kind)
    assert found.digest == told.digest
    assert found.submit_ms[0] >= 0
    assert set(FORMATS) >= {kind}


def test_swf() -> None:
    trace = read("federation.swf")
    assert trace.submit_ms.tolist() == [0, 10_000, 20_000, 30_000]
    assert trace.run_ms.tolist() == [100_000, 60_000, 50_000, 90_000]
    assert trace.limit_ms.tolist() == [200_000, 60_000, 50_000, 100_000], "not said: its run; outrun: its run"
    assert trace.cores.tolist() == [4, 2, 8, 1], "what it got, else what it asked for"
    assert trace.memory_gb.tolist() == pytest.approx([4 * 2000 * 1024e-9, 0, 8 * 1000 * 1024e-9, 0])
    assert [trace.groups[code] for code in trace.group] == ["user 7", "user 9", "user 7", "unknown"]
    assert [trace.homes[code] if code >= 0 else None for code in trace.home] == [
        "beta.example",
        "alpha.example",
        "beta.example",
        None,
    ]
    assert trace.epoch_ms == 1_132_444_805_000
    assert trace.source == "Two made-up clusters; nowhere; thanks to nobody"
    assert trace.left_out == (
        "1 lines of parts of jobs",
        "1 jobs that never ran",
        "the limits of 1 jobs that outran them",
    )


def test_a_log_without_header_that_counts_from_1970(tmp_path: Path) -> None:
    line = "{} {} 0 60 1 -1 -1 1 90 68719476736 1 1 1 -1 -1 1 -1 -1 {{1,2}} q_1d"
    (tmp_path / "log.swf").write_text(f"{line.format(0, 1356996147)}\n{line.format(1, 1356996200)}\n")
    trace = read_trace(tmp_path / "log.swf")
    assert (trace.epoch_ms, trace.submit_ms.tolist(), trace.homes) == (1_356_996_147_000, [0, 53_000], ())
    assert trace.memory_gb.tolist() == [0, 0], "64 TiB for one processor is no memory"
    assert len(trace.left_out) == 2


def test_lenient_leaves_out_what_is_broken(tmp_path: Path) -> None:
    line = "{} {} 0 {} 1 -1 -1 1 90 -1 1 1 1 -1 -1 1 -1 -1\n"
    (tmp_path / "log.swf").write_text(line.format(1, 0, 60) + line.format(2, 5, -1359980917))
    assert read_trace(tmp_path / "log.swf", lenient=True).left_out == ("1 jobs with a negative run time",)


def test_alibaba_2020_adds_up_the_tasks_of_a_job() -> None:
    trace = read("alibaba-2020-tasks.csv")
    assert trace.submit_ms.tolist() == [90_000, 100_000]
    assert trace.run_ms.tolist() == [5_000, 400_000]
    assert trace.cores.tolist() == [6.0, 14.0]
    assert trace.devices.tolist() == [1.0, 1.0]
    assert trace.memory_gb.tolist() == pytest.approx([29.296875, 49.296875])
    assert trace.left_out == ("2 jobs with a task that never ran or had not ended",)


def test_alibaba_2023_keeps_parts_of_devices() -> None:
    trace = read("alibaba-2023-pods.csv")
    assert trace.submit_ms.tolist() == [50_000, 70_000, 100_000, 120_000]
    assert trace.run_ms.tolist() == [340_000, 10_000, 900_000, 1_000]
    assert trace.devices.tolist() == pytest.approx([0.22, 1, 8, 0])
    assert [trace.groups[code] for code in trace.group] == ["BE", "LS", "Burstable", "LS"]
    assert trace.left_out == ("1 pods that were never scheduled",)


def test_alibaba_2025_cuts_services_to_the_window() -> None:
    trace = read("alibaba-2025-instances.csv")
    assert trace.submit_ms.tolist() == [0, 0, 1_000_000, 1_400_000]
    assert trace.run_ms.tolist() == [1_500_000, 700_000, 490_000, 100_000]
    assert trace.memory_gb[0] == pytest.approx(120 * 2**30 / 1e9)
    assert "3 instances" in trace.left_out[0]


def test_alibaba_2026() -> None:
    requests = read("alibaba-2026-requests.csv")
    assert requests.run_ms.tolist() == [4_500, 32_000]
    assert requests.submit_ms.tolist() == [0, 10_000]
    assert requests.left_out == ("1 requests that had not ended",)
    spot = read("alibaba-2026-spot.csv")
    assert spot.devices.tolist() == [1, 16, 16]
    assert spot.cores.tolist() == [20, 30, 240]
    assert [spot.groups[code] for code in spot.group] == ["13 HP", "57 HP", "57 Spot"]


def test_philly_in_both_forms() -> None:
    table = read("philly-sia.csv")
    assert table.epoch_ms == 1_507_554_783_000
    assert table.submit_ms.tolist() == [0, 2_315_817_000, 2_323_017_000], "01:30 came twice: its first coming"
    assert "1 times stood in an hour that came twice" in table.left_out[0]
    log = read("philly.json")
    assert log.run_ms.tolist() == [30_000, (74 + 3600) * 1000]
    assert log.devices.tolist() == [0, 4]
    assert log.left_out == ("1 jobs that never ran", "1 jobs still running")
    assert log.epoch_ms == 1_507_356_000_000


def test_helios_and_acme() -> None:
    helios = read("helios.csv")
    assert helios.epoch_ms == 1_591_699_261_000, "18:41:01 in China is 10:41:01 UTC"
    assert (helios.run_ms.tolist(), helios.devices.tolist()) == ([36_848_000, 249_000], [1, 4])
    assert read("helios.csv", zone="UTC").epoch_ms == 1_591_728_061_000
    kalos = read("acme-kalos.csv")
    assert kalos.run_ms.tolist() == [8_000, 70_000], "the duration column also holds the wait"
    assert kalos.memory_gb.tolist() == [8_000, 8_000]
    assert kalos.left_out == ("1 jobs that never ran or had not ended",)
    assert read("acme-seren.csv").run_ms.tolist() == [117_000, 2_693_000]


def test_gaia_counts_hours_or_seconds() -> None:
    week, year = read("gaia-pai_1k.csv.gz"), read("gaia-mustang-2000.csv.gz")
    assert (len(week), week.run_ms[0], week.submit_ms[1]) == (1000, 6_302_000, 68_000)
    assert week.span_ms == 604_756_000
    assert (len(year), year.run_ms[0], year.cores[0]) == (2000, round(4.1625 * H), 128)
    hours = read("gaia-pai_1k.csv.gz", unit="hours")
    assert hours.run_ms[0] == 6302 * H


def test_requests_to_language_models_ask_for_what_their_tokens_take() -> None:
    azure = read("azure-llm-600.csv")
    assert len(azure) == 600
    assert azure.epoch_ms == 1_700_158_546_680
    demand = Demand(prompt_ms=1.0, token_ms=10.0, devices=2.0, batch=10)
    run_ms, devices = demand.of(np.array([100.0, 1000.0]), np.array([10.0, 0.0]))
    assert run_ms.tolist() == [200, 1000]
    assert (devices * run_ms).tolist() == pytest.approx([2 * (100 + 100 / 10), 2 * 1000]), "device time holds"
    mooncake = read("mooncake-40.jsonl", demand=demand)
    assert (len(mooncake), mooncake.run_ms[0]) == (40, 40_160 + 6 * 10)


def test_opendc(tmp_path: Path) -> None:
    columns = {
        "id": ["a", "b"],
        "submission_time": pa.array([1_665_093_600_000, 1_665_093_000_000], pa.timestamp("ms")),
        "duration": [27_935_000, 1],
        "cpu_count": pa.array([16, 4], pa.int32()),
        "cpu_capacity": [33_600.0, 1.0],
        "mem_capacity": [100_000, 1],
    }
    papq.write_table(pa.table(columns), tmp_path / "tasks.parquet")
    trace = read_trace(tmp_path / "tasks.parquet")
    assert (trace.epoch_ms, trace.cores.tolist(), trace.memory_gb.tolist()) == (
        1_665_093_000_000,
        [4, 16],
        [0.001, 100],
    )


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("name", ["federation.swf", "alibaba-2023-pods.csv", "azure-llm-600.csv"])
def test_our_own_form_gives_back_what_was_written(tmp_path: Path, name: str, ending: str) -> None:
    trace = read(name)
    write_trace(trace, tmp_path / f"trace.{ending}")
    again = read_trace(tmp_path / f"trace.{ending}")
    assert again.digest == trace.digest
    assert (again.name, again.source, again.left_out) == (trace.name, trace.source, trace.left_out)


def test_a_summary_adds_up() -> None:
    told = summary(read("federation.swf"))
    assert told["jobs"] == 4
    assert told["core_hours"] == pytest.approx((400 + 120 + 400 + 90) / 3600)
    assert told["load"]["core"] == pytest.approx(1010 / 120), "from 0 s to 120 s"
    assert told["quantiles"]["run_s"]["most"] == 100
    assert told["begins"] == "2005-11-20T00:00:05+00:00"
