"""Gauges of accelerators, through PyTorch where it and they are there: product per precision, memory bandwidth.

Owns how PyTorch is asked, for CUDA, ROCm and the vendors' plug-ins alike. PyTorch is loaded only here and only when
asked; it is foreign and untyped, and what it refuses is left out with its own words. Knows nothing of the catalogue.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from suanwang.domain.precision import Precision
from suanwang.sensing.probing.gauge import Gauge, NotMeasurable, Timer
from suanwang.sensing.probing.host import Effort
from suanwang.sensing.probing.reckoning import gigabytes_per_second, matmul_flop, tflops

_BACKENDS: tuple[tuple[str, str | None], ...] = (
    ("cuda", None),
    ("npu", "torch_npu"),
    ("mlu", "torch_mlu"),
    ("musa", "torch_musa"),
    ("xpu", None),
)
"""A device type, and the plug-in that brings it (Ascend, Cambricon, Moore Threads); ROCm calls itself cuda."""
_DTYPES = {
    Precision.FP64: "float64",
    Precision.FP32: "float32",
    Precision.TF32: "float32",
    Precision.FP16: "float16",
    Precision.BF16: "bfloat16",
    Precision.FP8: "float8_e4m3fn",
    Precision.INT8: "int8",
}
_REFUSALS = (RuntimeError, AttributeError, TypeError, ValueError, NotImplementedError)
"""What PyTorch raises for what a device, a build or a version cannot do; out of memory is a RuntimeError."""
_AMPERE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator as PyTorch names it; `index` counts over all of them."""

    index: int
    backend: str
    ordinal: int
    name: str


def load_torch() -> Any | None:
    """PyTorch, or None where it is not installed or cannot be loaded."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError):
        return None


def devices(torch: Any) -> tuple[Device, ...]:
    """Every accelerator that PyTorch can use here."""
    found: list[Device] = []
    for backend, plugin in _BACKENDS:
        if plugin is not None:
            try:
                importlib.import_module(plugin)
            except (ImportError, OSError):
                continue
        module: Any = getattr(torch, backend, None)
        try:
            count = module.device_count() if module is not None and module.is_available() else 0
            for ordinal in range(count):
                name = str(module.get_device_name(ordinal))
                found.append(Device(index=len(found), backend=backend, ordinal=ordinal, name=name))
        except _REFUSALS:
            continue
    return tuple(found)


def accelerator_gauges(torch: Any, *, effort: Effort, timer: Timer) -> list[Gauge]:
    """Of each device the product per precision (`device.N.matmul.fp16`, TFLOPS) and `device.N.memory.bandwidth`."""
    gauges: list[Gauge] = []
    for device in devices(torch):
        gauges += [
            Gauge(
                metric_type=f"device.{device.index}.matmul.{precision.value}",
                unit="TFLOPS",
                label=f"{device.name} #{device.index} {precision.value}",
                prepare=partial(_matmul, torch, device, precision, effort, timer),
            )
            for precision in _DTYPES
        ]
        gauges.append(
            Gauge(
                metric_type=f"device.{device.index}.memory.bandwidth",
                unit="GB/s",
                label=f"{device.name} #{device.index} memory bandwidth",
                prepare=partial(_bandwidth, torch, device, effort, timer),
            )
        )
    return gauges


@contextlib.contextmanager
def _matmul(
    torch: Any, device: Device, precision: Precision, effort: Effort, timer: Timer
) -> Iterator[Callable[[], float]]:
    """Square products, doubled until one lasts a tenth of a measurement; a measurement is as many as fill its time."""
    with _released(torch, device), _refusals_told(), _tf32(torch, device, precision):
        side = effort.first_side
        while True:
            product = _product(torch, device, precision, side)
            _timed(torch, device, product, 2, timer)  # warm-up: kernels are chosen and compiled on first use
            lasted = _timed(torch, device, product, 1, timer)
            if lasted >= effort.measure_s / 10 or 2 * side > effort.last_side:
                break
            side *= 2
        times = max(1, math.ceil(effort.measure_s / max(lasted, 1e-6)))
        operations = times * matmul_flop(rows=side, inner=side, columns=side)

        def measure() -> float:
            return tflops(operations=operations, seconds=_timed(torch, device, product, times, timer))

        yield measure


@contextlib.contextmanager
def _bandwidth(torch: Any, device: Device, effort: Effort, timer: Timer) -> Iterator[Callable[[], float]]:
    """A copy inside the device's memory: each byte is read once and written once."""
    with _released(torch, device), _refusals_told():
        source = torch.zeros(effort.array_bytes, dtype=torch.int8, device=_place(device))
        target = torch.empty_like(source)
        copy = partial(target.copy_, source)
        _timed(torch, device, copy, 2, timer)
        lasted = _timed(torch, device, copy, 1, timer)
        times = max(1, math.ceil(effort.measure_s / max(lasted, 1e-6)))

        def measure() -> float:
            seconds = _timed(torch, device, copy, times, timer)
            return gigabytes_per_second(transferred_bytes=2 * times * effort.array_bytes, seconds=seconds)

        yield measure


def _product(torch: Any, device: Device, precision: Precision, side: int) -> Callable[[], object]:
    dtype = getattr(torch, _DTYPES[precision])
    place = _place(device)
    if precision is Precision.INT8:
        left, right = (torch.randint(-8, 8, (side, side), dtype=dtype, device=place) for _ in range(2))
        return partial(torch._int_mm, left, right)
    if precision is Precision.FP8:
        left, right = (torch.randn(side, side, device=place).to(dtype) for _ in range(2))
        one = torch.ones((), device=place)
        return partial(torch._scaled_mm, left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    left, right = (torch.randn(side, side, device=place).to(dtype) for _ in range(2))
    return partial(torch.matmul, left, right)


@contextlib.contextmanager
def _tf32(torch: Any, device: Device, precision: Precision) -> Iterator[None]:
    """Allow TF32 for that precision alone: a switch of the whole process says whether FP32 is computed with it."""
    if device.backend != "cuda":
        if precision is Precision.TF32:
            raise NotMeasurable(f"PyTorch has no TF32 for {device.backend}")
        yield
        return
    if precision is Precision.TF32 and (
        getattr(torch.version, "hip", None) or torch.cuda.get_device_capability(device.ordinal)[0] < _AMPERE
    ):
        raise NotMeasurable("this device has no TF32")
    switch = torch.backends.cuda.matmul
    before = switch.allow_tf32
    switch.allow_tf32 = precision is Precision.TF32
    try:
        yield
    finally:
        switch.allow_tf32 = before


def _timed(torch: Any, device: Device, work: Callable[[], object], times: int, timer: Timer) -> float:
    """Seconds of `times` rounds, from a still device to a still device: launches return before the work is done."""
    synchronize = getattr(torch, device.backend).synchronize
    synchronize(device.ordinal)
    begun = timer()
    for _ in range(times):
        work()
    synchronize(device.ordinal)
    return timer() - begun


@contextlib.contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotMeasurable(f"PyTorch: {first_line[:200]}") from error


@contextlib.contextmanager
def _released(torch: Any, device: Device) -> Iterator[None]:
    """Give the memory back to the device before the next gauge; not every plug-in can."""
    try:
        yield
    finally:
        with contextlib.suppress(*_REFUSALS):
            getattr(torch, device.backend).empty_cache()


def _place(device: Device) -> str:
    return f"{device.backend}:{device.ordinal}"
