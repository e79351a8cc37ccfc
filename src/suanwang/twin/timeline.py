"""The course of a play over time: what was busy, what it drew, who waited, at what price and carbon.

Owns exact overlaps of many intervals with equal steps of time. Memory grows with rows × steps, never with jobs × steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import NEVER_MS, RESOURCES, JobColumns, Segments
from suanwang.twin.accounting import MICRO, MILLI, Accounts, Millionths

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WATTS_PER_KW = 1_000
QUARTER_MS = 900_000
"""Grids measure demand over quarters of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """Means over each step, `[row, t]` and `[site, t]`."""

    from_ms: int
    step_ms: int
    busy: Floats
    """`[row, resource, t]`: units at work."""
    energy: Millionths
    """`[row, t]`: exact, in W·ms."""
    quarters: Millionths
    """`[row, quarter]`: the same by quarters of an hour."""
    queue: Floats
    """`[row, t]`: jobs that waited for where they ran next; the last row holds those that never ran again."""
    row_site: Ints
    yuan_per_kwh: Floats
    """`[site, t]`"""
    carbon_g_per_kwh: Floats
    """`[site, t]`"""

    @property
    def power_kw(self) -> Floats:
        """`[row, t]`"""
        return self.energy.floats() / (self.step_ms * WATTS_PER_KW)

    def quarter_kw_by_site(self) -> Floats:
        """`[site, quarter]`"""
        total: Floats = np.zeros((len(self.yuan_per_kwh), self.quarters.whole.shape[1]))
        np.add.at(total, self.row_site, self.quarters.floats() / (QUARTER_MS * WATTS_PER_KW))
        return total

    def peak_kw_by_site(self) -> Floats:
        """`[site]`: highest mean over a quarter of an hour, as demand charges count it."""
        peaks: Floats = self.quarter_kw_by_site().max(axis=1, initial=0.0)
        return peaks


class Steps(NamedTuple):
    """Equal steps of time."""

    from_ms: int
    step_ms: int
    steps: int


def overlaps(row: Ints, start_ms: Ints, end_ms: Ints, rate: Ints, rows: int, span: Steps) -> Ints:
    """`[row, step]`: rate × milliseconds that fell into each step, exactly; what lies outside the steps is left out."""
    from_ms, step_ms, steps = span
    last = from_ms + steps * step_ms
    start = np.clip(start_ms, from_ms, last) - from_ms
    end = np.maximum(np.clip(end_ms, from_ms, last) - from_ms, start)
    width = steps + 2
    edge, slope = np.zeros(rows * width, np.int64), np.zeros(rows * width, np.int64)
    # Sums wrap at 64 bits on the way; what remains of them at the end is small again, so nothing is lost.
    for instant, sign in ((start, 1), (end, -1)):
        step = instant // step_ms
        at = row * width + step
        np.add.at(edge, at, sign * rate * ((step + 1) * step_ms - instant))
        np.add.at(slope, at + 1, sign * rate)
    total = edge.reshape(rows, width) + step_ms * np.cumsum(slope.reshape(rows, width), axis=1)
    return np.ascontiguousarray(total[:, :steps])


def draw(accounts: Accounts, from_ms: int, until_ms: int, step_ms: int = HOUR_MS) -> Timeline:
    """The timeline of a play between two instants; steps begin at `from_ms`, the last one may reach over the end.

    Raises InvalidRequest where a step does not consist of whole quarters of an hour.
    """
    if step_ms <= 0 or step_ms % QUARTER_MS:
        raise InvalidRequest(f"steps of {step_ms} ms", field="step_ms", allowed=f"multiples of {QUARTER_MS}")
    segments, site = accounts.segments, accounts.rows.site
    rows, steps = len(site), max(1, -(-(until_ms - from_ms) // step_ms))
    when = (segments.row, segments.start_ms, segments.end_ms)
    per_step = step_ms // QUARTER_MS
    span, quarters = Steps(from_ms, step_ms, steps), Steps(from_ms, QUARTER_MS, steps * per_step)
    drawn = _weighed(accounts, overlaps(*when, accounts.power_mw, rows, quarters), quarters)
    busy = [overlaps(*when, accounts.busy_milli[:, k], rows, span) for k in range(RESOURCES)]
    waiting = waits(segments, accounts.jobs, rows, until_ms)
    queue = overlaps(*waiting, np.ones_like(waiting[0]), rows + 1, span)
    return Timeline(
        from_ms=from_ms,
        step_ms=step_ms,
        busy=np.stack(busy, axis=1) / (step_ms * MILLI),
        energy=_together(drawn, per_step),
        quarters=drawn,
        queue=queue / step_ms,
        row_site=site,
        yuan_per_kwh=_means(accounts, "yuan_per_kwh", from_ms, step_ms, steps),
        carbon_g_per_kwh=_means(accounts, "carbon_g_per_kwh", from_ms, step_ms, steps),
    )


def _weighed(accounts: Accounts, drawn_mw_ms: Ints, quarters: Steps) -> Millionths:
    """What rows drew in each quarter of an hour at its PUE. Raises InvalidRequest where PUE changes within a quarter."""
    milli = np.full(drawn_mw_ms.shape, MILLI, np.int64)
    edges = quarters.from_ms + QUARTER_MS * np.arange(quarters.steps)
    for row, site in enumerate(accounts.rows.site.tolist()):
        pue = accounts.supplies[site].relative_pue
        if pue is None:
            continue
        if pue.step_ms % QUARTER_MS or (pue.start_ms - quarters.from_ms) % QUARTER_MS:
            raise InvalidRequest("PUE changes within the timeline's quarters of an hour", field="from_ms")
        milli[row] = np.rint(pue.at(edges) * MILLI).astype(np.int64)
    # Milliwatts × milliseconds × thousandths, in two parts that stay below 64 bits.
    small = drawn_mw_ms % MILLI * milli
    middle = drawn_mw_ms // MILLI * milli + small // MILLI
    return Millionths(middle // MILLI, middle % MILLI * MILLI + small % MILLI)


def _together(drawn: Millionths, per_step: int) -> Millionths:
    shape = (drawn.whole.shape[0], -1, per_step)
    rest = drawn.rest.reshape(shape).sum(axis=2)
    return Millionths(drawn.whole.reshape(shape).sum(axis=2) + rest // MICRO, rest % MICRO)


def waits(segments: Segments, jobs: JobColumns, nowhere: int, until_ms: int) -> tuple[Ints, Ints, Ints]:
    """Row, start and end of every stretch in which a job was ready and did not run, however it came to wait.

    A stretch counts for the row that the job ran on next. Jobs that never ran wait at `nowhere` until `until_ms`.
    """
    count = np.bincount(segments.job, minlength=len(jobs.ready_ms))
    before = jobs.ready_ms[segments.job]
    several = np.flatnonzero(count[segments.job] > 1)
    several = several[np.lexsort((segments.start_ms[several], segments.job[several]))]
    again = np.flatnonzero(segments.job[several[1:]] == segments.job[several[:-1]]) + 1
    before[several[again]] = segments.end_ms[several[again - 1]]
    ready = jobs.ready_ms[(count == 0) & (jobs.ready_ms < NEVER_MS)]
    return (
        np.concatenate((segments.row, np.full(len(ready), nowhere, np.int64))),
        np.concatenate((before, ready)),
        np.concatenate((segments.start_ms, np.full(len(ready), until_ms, np.int64))),
    )


def _means(accounts: Accounts, name: str, from_ms: int, step_ms: int, steps: int) -> Floats:
    edges = from_ms + step_ms * np.arange(steps + 1)
    found = [getattr(supply, name).integral(edges[:-1], edges[1:]) for supply in accounts.supplies]
    return np.array(found).reshape(len(found), steps) * (HOUR_MS / step_ms)
