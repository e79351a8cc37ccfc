"""A workload as columns, whatever log it was read from.

Owns the columns and their checks. Where it came from is the readers' business, what is made of it the engine's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COLUMNS = ("submit_ms", "run_ms", "limit_ms", "cores", "memory_gb", "devices", "group", "home")
"""The columns of a trace, as they also stand in its own file format."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """`[j]`, by `submit_ms`. Instants count from the trace's own beginning unless `epoch_ms` says what 0 is."""

    name: str
    source: str
    """Where it comes from and under what licence."""
    submit_ms: Ints
    run_ms: Ints
    """How long the job really ran, 0 or more."""
    limit_ms: Ints
    """How long it was allowed; the run time where the log does not say."""
    cores: Floats
    memory_gb: Floats
    devices: Floats
    """May be fractions of one."""
    group: Ints
    """Index into `groups`."""
    groups: tuple[str, ...]
    """Users, projects or virtual clusters."""
    home: Ints
    """Index into `homes`: the site it was sent to, -1 where the log does not say."""
    homes: tuple[str, ...] = ()
    epoch_ms: int | None = None
    """Milliseconds since 1970-01-01 UTC of instant 0, where the log says."""
    left_out: tuple[str, ...] = ()
    """What the reader passed over, in words with counts (`12 jobs that never ran`)."""

    def __len__(self) -> int:
        return len(self.submit_ms)

    def __post_init__(self) -> None:
        count = len(self.submit_ms)
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, np.ndarray):
                continue
            if value.shape != (count,):
                raise InvalidRequest(
                    f"{self.name}: {field.name} has {len(value)} values for {count} jobs", field=field.name
                )
            if field.name != "home" and count and not (value >= 0).all():
                raise InvalidRequest(
                    f"{self.name}: {field.name} of job {int(np.argmax(~(value >= 0)))} is negative or no number",
                    field=field.name,
                    allowed="0 or more",
                )
        if count and (np.diff(self.submit_ms) < 0).any():
            raise InvalidRequest(f"{self.name}: jobs are not in the order of their submission", field="submit_ms")
        for name, index, names in (("group", self.group, self.groups), ("home", self.home, self.homes)):
            if count and not (int(index.min()) >= -1 and int(index.max()) < max(1, len(names))):
                raise InvalidRequest(
                    f"{self.name}: a {name} that has no name", field=name, allowed=f"below {len(names)}"
                )

    @property
    def span_ms(self) -> int:
        """From the first submission to the last."""
        return int(self.submit_ms[-1] - self.submit_ms[0]) if len(self) else 0

    @property
    def digest(self) -> str:
        """SHA-256 over everything that a play depends on: columns, names of groups and homes, and what 0 is."""
        made = hashlib.sha256(json.dumps([self.groups, self.homes, self.epoch_ms], ensure_ascii=True).encode())
        for name in COLUMNS:
            made.update(name.encode() + np.ascontiguousarray(getattr(self, name)).tobytes())
        return made.hexdigest()

    def taken(self, which: Ints | npt.NDArray[np.bool_] | slice) -> Trace:
        """Some of the jobs, in their order; groups and homes keep their names."""
        return replace(self, **{name: getattr(self, name)[which] for name in COLUMNS})

    def head(self, count: int) -> Trace:
        """The first jobs."""
        return self.taken(slice(0, max(0, count)))

    def between(self, from_ms: int, to_ms: int) -> Trace:
        """The jobs submitted from one instant until before the other."""
        low, high = np.searchsorted(self.submit_ms, [from_ms, to_ms])
        return self.taken(slice(int(low), int(high)))

    def at_load(self, factor: float) -> Trace:
        """The same jobs, submitted `factor` times as fast: the time between submissions is divided by it."""
        if not (np.isfinite(factor) and factor > 0):
            raise InvalidRequest(f"a load of {factor} times", field="load", allowed="more than 0")
        first = self.submit_ms[0] if len(self) else 0
        return replace(self, submit_ms=first + np.rint((self.submit_ms - first) / factor).astype(np.int64))


def trace_of(
    *,
    name: str,
    source: str,
    submit_ms: Ints,
    run_ms: Ints,
    limit_ms: Ints | None = None,
    cores: Floats | None = None,
    memory_gb: Floats | None = None,
    devices: Floats | None = None,
    group: Ints | None = None,
    groups: Sequence[str] = ("all",),
    home: Ints | None = None,
    homes: Sequence[str] = (),
    epoch_ms: int | None = None,
    left_out: Sequence[str] = (),
) -> Trace:
    """A trace of columns in any order: they are sorted by submission, jobs of one instant staying as they stood.

    A limit that is not said, or that a job outran, is its run time.
    """
    count = len(submit_ms)
    if not count:
        raise InvalidRequest(f"{name} has no job that ran", field=name, allowed="one job or more")
    for values in (run_ms, limit_ms, cores, memory_gb, devices, group, home):
        if values is not None and len(values) != count:
            raise InvalidRequest(
                f"{name}: a column of {len(values)} values for {count} jobs", field=name, allowed=f"{count}"
            )
    order = np.argsort(submit_ms, kind="stable")

    def whole(values: Ints | None, blank: int) -> Ints:
        return np.full(count, blank, np.int64) if values is None else values.astype(np.int64)[order]

    def parts(values: Floats | None) -> Floats:
        return np.zeros(count) if values is None else values.astype(np.float64)[order]

    ran = whole(run_ms, 0)
    return Trace(
        name=name,
        source=source,
        submit_ms=whole(submit_ms, 0),
        run_ms=ran,
        limit_ms=np.maximum(whole(limit_ms, 0), ran),
        cores=parts(cores),
        memory_gb=parts(memory_gb),
        devices=parts(devices),
        group=whole(group, 0),
        groups=tuple(groups),
        home=whole(home, -1),
        homes=tuple(homes),
        epoch_ms=epoch_ms,
        left_out=tuple(left_out),
    )
