"""Gauges of the host itself, through NumPy: matrix product, memory bandwidth, disk.

Owns how a host is exercised. Knows nothing of accelerators, links or budgets.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from suanwang.measuring.plausibility import LARGEST_SIDE
from suanwang.sensing.probing.gauge import Gauge, NotMeasurable, Timer
from suanwang.sensing.probing.reckoning import gigabytes_per_second, matmul_flop, megabytes_per_second, tflops

_BLOCK_BYTES = 4 * 1024 * 1024
_MEMORY_SHARE = 0.25
_DISK_SHARE = 0.05
UNMEASURED = {
    f"compute.matmul.{name}": "NumPy has no BLAS for it: the figure would tell of NumPy, not of the processor"
    for name in ("fp16", "int8")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to try. The defaults fit a server; a test makes them small."""

    measure_s: float = 0.25
    """A product is enlarged, or repeated, until one measurement takes this long."""
    first_side: int = 512
    last_side: int = LARGEST_SIDE
    """Sides of the square matrices tried, doubling."""
    array_bytes: int = 256 * 1024 * 1024
    """Of each of the three arrays of the memory bandwidth; it is raised to four times the last-level cache."""
    disk_bytes: int = 256 * 1024 * 1024
    payload_bytes: int = 4 * 1024 * 1024
    """Sent to each link, and back."""


def processors() -> int:
    """Logical processors this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes(name: str) -> int:
    """`MemTotal` or `MemAvailable` of this host, as the kernel tells it."""
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise NotMeasurable(f"the kernel does not tell {name}")


def last_cache_bytes() -> int:
    """Size of the largest cache of the first processor; 0 where the kernel does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text(encoding="ascii").strip()
            sizes.append(int(text.rstrip("KMG")) * {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1], 1))
    return max(sizes)


def host_gauges(*, folder: Path, effort: Effort, timer: Timer) -> list[Gauge]:
    """Matrix product in FP64 and FP32, memory bandwidth (triad and copy, all processors), disk write and read."""
    gauges = [
        Gauge(
            metric_type=f"compute.matmul.{name}",
            unit="TFLOPS",
            label=f"matrix product {name}",
            prepare=partial(_matmul, dtype, effort, timer),
        )
        for name, dtype in (("fp64", np.float64), ("fp32", np.float32))
    ]
    gauges += [
        Gauge(metric_type=metric, unit="GB/s", label=label, prepare=partial(_streaming, work, arrays, effort, timer))
        for metric, label, work, arrays in (
            ("memory.bandwidth", "memory bandwidth, triad", _triad, 5),
            ("memory.bandwidth.copy", "memory bandwidth, copy", _copy, 2),
        )
    ]
    gauges += [
        Gauge(metric_type=f"disk.{way}", unit="MB/s", label=f"disk {way}", prepare=partial(work, folder, effort, timer))
        for way, work in (("write", _disk_write), ("read", _disk_read))
    ]
    return gauges


@contextlib.contextmanager
def _matmul(dtype: type[np.floating], effort: Effort, timer: Timer) -> Iterator[Callable[[], float]]:
    """Square matrices, doubled until a product lasts long enough or memory or the largest side says stop."""
    generator = np.random.default_rng(0)
    itemsize = np.dtype(dtype).itemsize
    side = effort.first_side
    while True:
        left = generator.random((side, side)).astype(dtype)
        right = generator.random((side, side)).astype(dtype)
        result = np.empty((side, side), dtype=dtype)
        np.matmul(left, right, out=result)  # the first product warms caches, clocks and the library's threads
        begun = timer()
        np.matmul(left, right, out=result)
        lasted = timer() - begun
        grown_bytes = 5 * (2 * side) ** 2 * max(itemsize, 8)
        if lasted >= effort.measure_s or 2 * side > effort.last_side:
            break
        if grown_bytes > _MEMORY_SHARE * memory_bytes("MemAvailable"):
            break
        side *= 2

    def measure() -> float:
        begun = timer()
        np.matmul(left, right, out=result)
        return tflops(operations=matmul_flop(rows=side, inner=side, columns=side), seconds=timer() - begun)

    yield measure


Array = npt.NDArray[np.float64]


def _triad(target: Array, first: Array, second: Array) -> None:
    """target = first + 3 · second as NumPy does it, in two passes that read three arrays and write two."""
    np.multiply(second, 3.0, out=target)
    np.add(target, first, out=target)


def _copy(target: Array, first: Array, second: Array) -> None:
    del second
    np.copyto(target, first)


@contextlib.contextmanager
def _streaming(
    work: Callable[[Array, Array, Array], None], arrays_moved: int, effort: Effort, timer: Timer
) -> Iterator[Callable[[], float]]:
    """Arrays far larger than any cache, a slice for each processor; bytes counted as McCalpin's STREAM does, without
    the reads that some caches add before a write."""
    wanted = max(effort.array_bytes, 4 * last_cache_bytes() if effort.array_bytes >= _BLOCK_BYTES else 0)
    array_bytes = min(wanted, int(memory_bytes("MemAvailable") * _MEMORY_SHARE / 3))
    length = max(1, array_bytes // 8)
    arrays = [np.full(length, value) for value in (0.0, 1.0, 2.0)]
    threads = processors()
    bounds = [length * index // threads for index in range(threads + 1)]
    slices = [[array[low:high] for array in arrays] for low, high in pairwise(bounds)]
    with ThreadPoolExecutor(max_workers=threads) as pool:  # NumPy lets go of the interpreter's lock inside each pass

        def measure() -> float:
            begun = timer()
            for done in [pool.submit(work, *parts) for parts in slices]:
                done.result()
            return gigabytes_per_second(transferred_bytes=arrays_moved * length * 8, seconds=timer() - begun)

        measure()
        yield measure


def _disk_size(folder: Path, effort: Effort) -> int:
    free = shutil.disk_usage(folder).free
    if effort.disk_bytes > _DISK_SHARE * free:
        raise NotMeasurable(
            f"{folder} has {free / 1e9:.3g} GB free, too little to write {effort.disk_bytes / 1e6:.0f} MB"
        )
    return effort.disk_bytes


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[int]:
    """An open file in `folder` that nobody sees and that is gone when it is closed, however this ends."""
    with tempfile.TemporaryFile(dir=folder, prefix=".suanwang-probe-", buffering=0) as file:
        yield file.fileno()


def _blocks(size: int) -> Sequence[memoryview]:
    """Views of one random block that add up to `size`: what cannot be compressed is really written."""
    block = memoryview(np.random.default_rng(0).bytes(min(size, _BLOCK_BYTES)))
    whole, rest = divmod(size, len(block))
    return [block] * whole + ([block[:rest]] if rest else [])


def _write(handle: int, blocks: Sequence[memoryview]) -> None:
    os.lseek(handle, 0, os.SEEK_SET)
    for block in blocks:
        view = block
        while view:
            view = view[os.write(handle, view) :]
    os.fsync(handle)


@contextlib.contextmanager
def _disk_write(folder: Path, effort: Effort, timer: Timer) -> Iterator[Callable[[], float]]:
    """A new file each time, until the disk says that it is written."""
    size = _disk_size(folder, effort)
    blocks = _blocks(size)

    def measure() -> float:
        with _scratch(folder) as handle:
            begun = timer()
            _write(handle, blocks)
            return megabytes_per_second(transferred_bytes=size, seconds=timer() - begun)

    yield measure


@contextlib.contextmanager
def _disk_read(folder: Path, effort: Effort, timer: Timer) -> Iterator[Callable[[], float]]:
    """The written file, after the kernel was asked to drop it from memory; what it keeps all the same reads faster."""
    size = _disk_size(folder, effort)
    buffer = bytearray(min(size, _BLOCK_BYTES))
    with _scratch(folder) as handle:
        _write(handle, _blocks(size))

        def measure() -> float:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.lseek(handle, 0, os.SEEK_SET)
            begun, got = timer(), 0
            while count := os.readv(handle, [buffer]):
                got += count
            return megabytes_per_second(transferred_bytes=got, seconds=timer() - begun)

        yield measure
