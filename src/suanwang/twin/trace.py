"""A workload as columns, whatever log it was read from.

Owns the columns and their checks. Where it came from is the readers' business, what is made of it the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
                raise InvalidRequest(f"{self.name}: {field.name} has {len(value)} values for {count} jobs", field=field.name)
            if field.name != "home" and count and not (value >= 0).all():
                raise InvalidRequest(
                    f"{self.name}: {field.name} of job {int(np.argmax(~(value >= 0)))} is negative or no number",
                    field=field.name,
                    allowed="0 or more",
                )
        if count and (np.diff(self.submit_ms) < 0).any():
            raise InvalidRequest(f"{self.name}: jobs are not in the order of their submission", field="submit_ms")
