"""A quantity that is constant over each step of time, such as a price by the hour.

Owns the step function and its exact integral. Times are integer milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """`values[k]` holds from `start_ms + k * step_ms` for one step; its unit is said by the name that holds the series.

    Before its start the first value holds, after its end the last day (or all there is) repeats.
    """

    start_ms: int
    step_ms: int
    values: Floats
    cumulative: Floats = field(init=False)
    """`[k]`: the integral from the start to step `k`, in value × hours; one longer than `values`."""

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, np.float64)
        if self.step_ms <= 0:
            raise InvalidRequest(f"a step of {self.step_ms} ms", field="step_ms", allowed="1 or more")
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise InvalidRequest("a series needs one or more finite values", field="values", allowed="numbers, no gaps")
        total = np.concatenate(([0.0], np.cumsum(values))) * (self.step_ms / HOUR_MS)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "cumulative", total)

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.values) * self.step_ms

    def at(self, instant_ms: Ints | int) -> Floats:
        """The value at each instant."""
        step = (np.asarray(instant_ms, np.int64) - self.start_ms) // self.step_ms
        return self.values[self._folded(np.maximum(step, 0))]

    def integral(self, from_ms: Ints | int, to_ms: Ints | int) -> Floats:
        """Value × hours between each pair of instants."""
        return self._until(np.asarray(to_ms, np.int64)) - self._until(np.asarray(from_ms, np.int64))

    def window(self, from_ms: int, steps: int) -> Floats:
        """The values of `steps` steps, beginning with the step that holds `from_ms`."""
        first = (from_ms - self.start_ms) // self.step_ms
        return self.values[self._folded(np.maximum(np.arange(first, first + steps), 0))]

    @property
    def _tail(self) -> int:
        """Steps at the end that repeat."""
        return min(len(self.values), max(1, 24 * HOUR_MS // self.step_ms))

    def _folded(self, step: Ints) -> Ints:
        count, tail = len(self.values), self._tail
        return np.where(step < count, step, count - tail + (step - count) % tail)

    def _until(self, instant_ms: Ints) -> Floats:
        """The integral from the start; negative before it."""
        ahead = instant_ms - self.start_ms
        step = ahead // self.step_ms
        count, tail = len(self.values), self._tail
        rounds = np.where(step >= count, (step - count) // tail + 1, 0)
        folded = np.clip(step - rounds * tail, 0, count - 1)
        part = np.where(ahead < 0, ahead, ahead - step * self.step_ms) / HOUR_MS
        day = self.cumulative[count] - self.cumulative[count - tail]
        total: Floats = self.cumulative[folded] + rounds * day + self.values[folded] * part
        return total
