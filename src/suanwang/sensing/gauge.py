"""What an agent senses beside its runs: the load now, and once a day what the host really does.

Owns when to measure. The probe runs beside the loop and only while nothing of the network runs here, because a busy host
measures low and a probe disturbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from suanwang.domain.connector import Load
from suanwang.domain.sample import Sample, Source
from suanwang.sensing.agent import Background

LOAD_EVERY = timedelta(seconds=15)
PROBE_EVERY = timedelta(days=1)
KEY = "probe"


class Gauge:
    """`sense` is the agent's source of samples and warnings."""

    def __init__(self, background: Background, probe: Callable[[], Sequence[Sample]] | None) -> None:
        """`probe` measures the host and takes up to minutes; None where the agent's host is not where runs go."""
        self._background = background
        self._probe = probe
        self._load_at: datetime | None = None
        self._probe_at: datetime | None = None
        self._warnings: tuple[str, ...] = ()

    def sense(self, now: datetime, load: Load | None, busy: bool) -> tuple[Sequence[Sample], Sequence[str]]:
        """New samples, and what the network should be warned of."""
        samples: list[Sample] = []
        if load is not None and (self._load_at is None or now - self._load_at >= LOAD_EVERY):
            self._load_at = now
            samples += load_samples(load, now)
        if self._probe is not None:
            samples += self._probed(now, busy)
        return samples, self._warnings

    def _probed(self, now: datetime, busy: bool) -> Sequence[Sample]:
        done = self._background.take(KEY)
        if done is not None:
            found, error = done
            if error is not None:
                self._warnings = (f"its probe failed: {error}",)
                return ()
            assert isinstance(found, Sequence), "a probe gives samples"
            self._warnings = ()
            return found
        due = self._probe_at is None or now - self._probe_at >= PROBE_EVERY
        if due and not busy and self._probe is not None and not self._background.busy(KEY):
            self._probe_at = now
            self._background.start(KEY, self._probe)
        return ()


def load_samples(load: Load, now: datetime) -> list[Sample]:
    """Capacity and use as samples."""
    figures: dict[str, tuple[str, float]] = {
        "compute.cores": ("cores", sum(shape.count * shape.cores for shape in load.nodes)),
        "compute.cores_free": ("cores", load.cores_free),
        "memory.total": ("GB", sum(shape.count * shape.memory_gb for shape in load.nodes)),
        "memory.free": ("GB", load.memory_free_gb),
        "queue.pending": ("runs", load.pending),
        "queue.running": ("runs", load.running),
    }
    for name, free in load.devices_free.items():
        figures[f"devices.{name}.free"] = ("devices", free)
    return [
        Sample(
            metric_type=name,
            unit=unit,
            value=float(value),
            source=Source.MEASURED,
            statistic="instant",
            observed_at=now,
        )
        for name, (unit, value) in figures.items()
    ]
