"""`probe`: what a host really does, as samples an agent can report.

Owns the order of the measurements and the report. Knows nothing of who asked, or of what the site declares.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.sample import Sample, Source
from suanwang.ports import Clock
from suanwang.sensing.probing.accelerators import accelerator_gauges, devices, load_torch
from suanwang.sensing.probing.gauge import Progress, Timer, take
from suanwang.sensing.probing.host import UNMEASURED, Effort, host_gauges, memory_bytes, processors
from suanwang.sensing.probing.links import Transport, http_transport, link_gauges
from suanwang.sensing.probing.reckoning import samples_of

_MOST_REPEATS = 100
_LINK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What was measured: the host, not the site."""

    name: str
    processor: str
    processors: int
    """Logical ones this process may use."""
    memory_gb: float
    devices: tuple[str, ...]
    """Accelerators as PyTorch names them; `device.N.…` is the N-th."""
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """Samples of each metric (`median` and `iqr`), and why a metric is missing."""

    host: HostFacts
    samples: tuple[Sample, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    repeats: int
    started_at: datetime
    duration_s: float

    def median(self, metric_type: str) -> float | None:
        """The median of one metric, None when it was not measured."""
        found = (sample.value for sample in self.samples if sample.metric_type == metric_type)
        return next(found, None)


def probe(
    *,
    folder: Path,
    clock: Clock,
    budget_s: float = 120.0,
    repeats: int = 5,
    links: Mapping[str, str] | None = None,
    effort: Effort | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    transport: Transport | None = None,
    timer: Timer = time.perf_counter,
    torch: Callable[[], Any | None] = load_torch,
) -> ProbeReport:
    """Measure this host, each figure `repeats` times, within about `budget_s` seconds.

    The disk under `folder` is measured with files that nobody sees and that are gone afterwards. `links` maps a name to
    the address of another site's echo. What cannot be measured, or not in time, is in `skipped` with the reason.

    Raises `InvalidRequest` for a folder that cannot be written, or for repeats or a budget that make no sense.
    """
    _check(folder, budget_s, repeats)
    effort = effort or Effort()
    started_at, begun = clock.now(), timer()
    library = torch()
    gauges = host_gauges(folder=folder, effort=effort, timer=timer)
    skipped = dict(UNMEASURED)
    with contextlib.ExitStack() as opened:
        if links:
            if transport is None:
                transport = http_transport(opened.enter_context(httpx.Client(timeout=_LINK_TIMEOUT_S)))
            gauges += link_gauges(links, transport=transport, payload_bytes=effort.payload_bytes, timer=timer)
        if library is None:
            skipped["device"] = "PyTorch is not installed: accelerators are measured through it"
        else:
            gauges += accelerator_gauges(library, effort=effort, timer=timer)
        readings = take(gauges, repeats=repeats, budget_s=budget_s, timer=timer, on_progress=on_progress)
    observed_at = clock.now()
    samples = [_processor_count(observed_at)]
    for metric_type, values in readings.values.items():
        samples += samples_of(metric_type, readings.units[metric_type], values, observed_at)
    return ProbeReport(
        host=_facts(library),
        samples=tuple(samples),
        skipped=skipped | readings.skipped,
        repeats=repeats,
        started_at=started_at,
        duration_s=timer() - begun,
    )


def _check(folder: Path, budget_s: float, repeats: int) -> None:
    if not 1 <= repeats <= _MOST_REPEATS:
        message = f"{repeats} repeats make no sense"
        raise InvalidRequest(message, field="repeats", allowed=f"1 to {_MOST_REPEATS}")
    if not 0 < budget_s < float("inf"):
        raise InvalidRequest(
            f"a budget of {budget_s} s makes no sense", field="budget_s", allowed="more than 0 seconds"
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        allowed = "an existing folder that can be written"
        raise InvalidRequest(f"{folder} cannot be written", field="folder", allowed=allowed)


def _processor_count(observed_at: datetime) -> Sample:
    return Sample(
        metric_type="compute.processors",
        unit="count",
        value=float(processors()),
        source=Source.MEASURED,
        statistic="instant",
        observed_at=observed_at,
    )


def _facts(library: Any | None) -> HostFacts:
    software = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if library is not None:
        software += f", PyTorch {getattr(library, '__version__', 'of unknown version')}"
    return HostFacts(
        name=socket.gethostname(),
        processor=_processor_model(),
        processors=processors(),
        memory_gb=memory_bytes("MemTotal") / 1e9,
        devices=() if library is None else tuple(device.name for device in devices(library)),
        software=software,
    )


def _processor_model() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(("model name", "Model Name", "CPU part")):
                return line.split(":", 1)[1].strip()
    return platform.machine()
