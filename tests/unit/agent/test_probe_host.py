"""The probe of a real host, with everything small: each figure is there, positive, in its unit, and nothing stays behind."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.plausibility import doubts, unit_of
from suanwang.sensing.probing import Effort, ProbeReport, probe
from suanwang.sensing.probing.gauge import NotMeasurable
from suanwang.sensing.probing.links import http_transport, link_gauges

NOW = datetime(2025, 6, 1, tzinfo=UTC)
SMALL = Effort(
    measure_s=0.0001, first_side=16, last_side=32, array_bytes=1 << 16, disk_bytes=100_003, payload_bytes=10_000
)


class FixedClock:
    def now(self) -> datetime:
        return NOW


def small_probe(folder: Path, **changes: Any) -> ProbeReport:
    settings: dict[str, Any] = {"clock": FixedClock(), "repeats": 3, "effort": SMALL, "torch": lambda: None}
    return probe(folder=folder, **{**settings, **changes})


def test_a_host_reports_each_figure_with_median_and_spread(tmp_path: Path) -> None:
    report = small_probe(tmp_path)
    medians = {sample.metric_type for sample in report.samples if sample.statistic == "median"}
    spreads = {sample.metric_type for sample in report.samples if sample.statistic == "iqr"}
    assert medians == spreads
    assert medians == {
        "compute.matmul.fp64",
        "compute.matmul.fp32",
        "memory.bandwidth",
        "memory.bandwidth.copy",
        "disk.write",
        "disk.read",
    }
    for sample in report.samples:
        assert sample.unit == unit_of(sample.metric_type)
        assert sample.observed_at == NOW
    processors = report.median("compute.processors")
    assert processors == report.host.processors
    assert report.host.memory_gb > 0
    assert report.host.devices == ()
    assert report.median("network.delay_ms") is None
    assert list(tmp_path.iterdir()) == []


def test_an_honest_report_raises_no_doubt(tmp_path: Path) -> None:
    assert doubts(small_probe(tmp_path).samples, now=NOW) == ()


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    skipped = small_probe(tmp_path).skipped
    assert "NumPy" in skipped["compute.matmul.int8"]
    assert "PyTorch" in skipped["device"]


def test_a_full_disk_is_not_filled_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 10**6, 10**6))
    report = small_probe(tmp_path)
    assert report.median("disk.write") is None
    assert "too little" in report.skipped["disk.write"]
    assert report.median("memory.bandwidth") is not None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"repeats": 0}, "repeats"),
        ({"repeats": 1000}, "repeats"),
        ({"budget_s": 0}, "budget_s"),
        ({"budget_s": float("nan")}, "budget_s"),
        ({"budget_s": float("inf")}, "budget_s"),
        ({"links": {"guian": "ftp://127.0.0.1/"}}, "links"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        small_probe(tmp_path, **changes)
    assert refused.value.field == field


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        small_probe(tmp_path / "missing")
    assert refused.value.field == "folder"


class Echo(BaseHTTPRequestHandler):
    """GET gives a short answer, POST gives back the body; the path `/liar` gives back another one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"ok")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(body[::-1] if self.path == "/liar" else body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Stay quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_links_are_measured_against_a_real_echo(tmp_path: Path, echo: str) -> None:
    report = small_probe(tmp_path, links={"helinger": f"{echo}/echo", "": f"{echo}/echo"})
    for metric in (
        "network.delay_ms.helinger",
        "network.throughput.helinger",
        "network.delay_ms",
        "network.throughput",
    ):
        value = report.median(metric)
        assert value is not None, report.skipped
        assert value > 0
        assert unit_of(metric) in ("ms", "Mbps")


def test_an_echo_that_lies_or_is_gone_gives_no_figure(tmp_path: Path, echo: str) -> None:
    report = small_probe(tmp_path, links={"liar": f"{echo}/liar", "gone": "http://127.0.0.1:1/"})
    assert "did not send back" in report.skipped["network.throughput.liar"]
    assert "did not answer" in report.skipped["network.delay_ms.gone"]


def test_delay_and_throughput_are_reckoned_from_the_time_of_the_exchange() -> None:
    now_s = [0.0]

    def transport(method: str, url: str, body: bytes, *, most_bytes: int) -> bytes:
        now_s[0] += 0.025 if method == "GET" else 0.5
        return body

    gauges = link_gauges({"a": "http://a"}, transport=transport, payload_bytes=1_000_000, timer=lambda: now_s[0])
    values = {}
    for gauge in gauges:
        with gauge.prepare() as measure:
            values[gauge.metric_type] = measure()
    assert values["network.delay_ms.a"] == pytest.approx(25)
    assert values["network.throughput.a"] == pytest.approx(32)


def test_an_endless_answer_is_cut_off() -> None:
    def endless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=(b"x" * 1000 for _ in range(10**9)))

    with (
        httpx.Client(transport=httpx.MockTransport(endless)) as client,
        pytest.raises(NotMeasurable, match="more than"),
    ):
        http_transport(client)("GET", "http://endless", b"", most_bytes=5000)
