"""The PyTorch path of the probe, against a small fake: this suite has no accelerator and no PyTorch.

The fake computes nothing. It keeps the two properties the reckoning depends on: work is queued and only `synchronize`
waits for it, and each precision has a rate. A probe that counted operations or time wrongly would not find those rates.
What real PyTorch names or refuses is not tested here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from suanwang.sensing.probing import Effort, ProbeReport, probe
from suanwang.sensing.probing.accelerators import accelerator_gauges, devices
from suanwang.sensing.probing.gauge import take

RATES = {"fp64": 30.0, "fp32": 60.0, "tf32": 400.0, "fp16": 800.0, "bf16": 790.0, "fp8": 1500.0, "int8": 1600.0}
BANDWIDTH_GB_S = 3000.0
EFFORT = Effort(measure_s=0.01, first_side=256, last_side=4096, array_bytes=1 << 20, disk_bytes=4096)


@dataclass
class FakeTensor:
    side: int
    dtype: str
    torch: FakeTorch

    def to(self, dtype: str) -> FakeTensor:
        return FakeTensor(self.side, dtype, self.torch)

    def t(self) -> FakeTensor:
        return self

    def copy_(self, source: FakeTensor) -> None:
        self.torch.queued_s += 2 * self.side / (BANDWIDTH_GB_S * 1e9)


@dataclass
class FakeTorch:
    """Two equal devices of one kind, whose work passes on a clock of its own."""

    now_s: float = 0.0
    queued_s: float = 0.0
    capability: int = 9
    hip: str | None = None
    released: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    __version__: str = "0.fake"
    float64: str = "fp64"
    float32: str = "fp32"
    float16: str = "fp16"
    bfloat16: str = "bf16"
    float8_e4m3fn: str = "fp8"
    int8: str = "int8"

    def __post_init__(self) -> None:
        self.version = SimpleNamespace(hip=self.hip)
        self.backends = SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)))
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 2,
            get_device_name=lambda ordinal: f"Fake Accelerator {ordinal}",
            get_device_capability=lambda ordinal: (self.capability, 0),
            synchronize=self._synchronize,
            empty_cache=self._release,
        )

    def timer(self) -> float:
        return self.now_s

    def _synchronize(self, ordinal: int) -> None:
        self.now_s += self.queued_s
        self.queued_s = 0.0

    def _release(self) -> None:
        self.released += 1

    def _work(self, side: int, precision: str) -> None:
        if precision in self.refused:
            raise RuntimeError(self.refused[precision])
        self.queued_s += 2 * side**3 / (RATES[precision] * 1e12)

    def randn(self, rows: int, columns: int, *, device: str) -> FakeTensor:
        return FakeTensor(rows, "fp32", self)

    def randint(self, low: int, high: int, shape: tuple[int, int], *, dtype: str, device: str) -> FakeTensor:
        return FakeTensor(shape[0], dtype, self)

    def ones(self, shape: tuple[()], *, device: str) -> FakeTensor:
        return FakeTensor(1, "fp32", self)

    def zeros(self, size: int, *, dtype: str, device: str) -> FakeTensor:
        return FakeTensor(size, dtype, self)

    def empty_like(self, like: FakeTensor) -> FakeTensor:
        return FakeTensor(like.side, like.dtype, self)

    def matmul(self, left: FakeTensor, right: FakeTensor) -> None:
        assert left.dtype == right.dtype
        tensor_cores = left.dtype == "fp32" and self.backends.cuda.matmul.allow_tf32
        self._work(left.side, "tf32" if tensor_cores else left.dtype)

    def _int_mm(self, left: FakeTensor, right: FakeTensor) -> None:
        self._work(left.side, left.dtype)

    def _scaled_mm(self, left: FakeTensor, right: FakeTensor, **_: Any) -> None:
        self._work(left.side, left.dtype)


def readings(torch: FakeTorch) -> Any:
    gauges = accelerator_gauges(torch, effort=EFFORT, timer=torch.timer)
    return take(gauges, repeats=3, budget_s=3600, timer=torch.timer)


def test_each_precision_of_each_device_is_found_at_its_rate() -> None:
    torch = FakeTorch()
    found = readings(torch)
    for index in (0, 1):
        for precision, rate in RATES.items():
            values = found.values[f"device.{index}.matmul.{precision}"]
            assert values == pytest.approx([rate] * 3)
        assert found.values[f"device.{index}.memory.bandwidth"] == pytest.approx([BANDWIDTH_GB_S] * 3)
    assert found.skipped == {}
    assert torch.released == 16


def test_the_switch_for_tf32_is_left_as_it_was() -> None:
    torch = FakeTorch()
    torch.backends.cuda.matmul.allow_tf32 = True
    found = readings(torch)
    assert torch.backends.cuda.matmul.allow_tf32 is True
    assert found.values["device.0.matmul.fp32"] == pytest.approx([RATES["fp32"]] * 3)


@pytest.mark.parametrize("torch", [FakeTorch(capability=7), FakeTorch(hip="6.2")], ids=["old chip", "rocm"])
def test_fp32_is_never_reported_as_tf32(torch: FakeTorch) -> None:
    found = readings(torch)
    assert "device.0.matmul.tf32" not in found.values
    assert "TF32" in found.skipped["device.0.matmul.tf32"]
    assert "device.0.matmul.fp16" in found.values


def test_what_a_device_refuses_is_left_out_with_pytorchs_first_words() -> None:
    found = readings(FakeTorch(refused={"fp8": "_scaled_mm needs compute capability 8.9\nstack …"}))
    assert found.skipped["device.0.matmul.fp8"] == "PyTorch: _scaled_mm needs compute capability 8.9"
    assert "device.0.matmul.int8" in found.values


def test_a_plug_ins_devices_are_not_looked_for_where_it_is_not_installed() -> None:
    torch = FakeTorch()
    assert [(device.index, device.backend, device.name) for device in devices(torch)] == [
        (0, "cuda", "Fake Accelerator 0"),
        (1, "cuda", "Fake Accelerator 1"),
    ]
    torch.cuda.is_available = lambda: False
    assert devices(torch) == ()


def test_a_driver_that_fails_hides_no_other_measurement(tmp_path: Path) -> None:
    torch = FakeTorch()

    def broken() -> int:
        raise RuntimeError("driver version is insufficient")

    torch.cuda.device_count = broken
    report = small_report(torch, tmp_path)
    assert report.host.devices == ()
    assert report.median("disk.write") is not None


def test_a_report_names_the_devices_and_the_library(tmp_path: Path) -> None:
    report = small_report(FakeTorch(), tmp_path)
    assert report.host.devices == ("Fake Accelerator 0", "Fake Accelerator 1")
    assert "PyTorch 0.fake" in report.host.software
    assert report.median("device.1.matmul.bf16") == pytest.approx(RATES["bf16"], rel=0.01)
    assert "device" not in report.skipped


def small_report(torch: FakeTorch, folder: Path) -> ProbeReport:
    class FixedClock:
        def now(self) -> datetime:
            return datetime(2025, 6, 1, tzinfo=UTC)

    def timer() -> float:
        torch.now_s += 1e-9  # the host's own gauges need a clock that moves
        return torch.now_s

    return probe(
        folder=folder,
        clock=FixedClock(),
        repeats=1,
        budget_s=3600,
        effort=replace(EFFORT, first_side=16, last_side=32),
        timer=timer,
        torch=lambda: torch,
    )
