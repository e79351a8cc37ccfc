"""Jobs, places to run and outlooks as columns: what policies decide over, live and in the twin.

Owns the layout alone. Instants are integer milliseconds since 1970-01-01 UTC, durations milliseconds. A *row* is a way
to run at a site: its cores alone, or one of its device pools. Resources stand in the order cores, GB of memory, devices
(`CORES`, `MEMORY_GB`, `DEVICES`), all over the whole job or the whole row; devices may be fractions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CORES, MEMORY_GB, DEVICES = 0, 1, 2
RESOURCES = 3
PRICE, CARBON, FINISH = 0, 1, 2
NEVER_MS = 1 << 62
"""An instant that does not come: the deadline of a job that has none."""


class JobColumns(NamedTuple):
    """`[j]`. Nothing in here may come from a job's future: how long it really runs is known to the twin's engine alone."""

    ready_ms: Ints
    """When it could first start."""
    order: Ints
    """Jobs are taken by this, then by `ready_ms`, then by index; smaller first."""
    need: Floats
    """`[j, resource]`"""
    expect_ms: Ints
    """`[j, 3]`: how long it is expected to run: the 10 %, 50 % and 90 % point. Weighed 0.3, 0.4, 0.3 (Keefer and Bodily
    1983, extended Swanson-Megill)."""
    limit_ms: Ints
    """It never runs longer; reservations count with it."""
    kind: Ints
    """Row of `fits`."""
    place: Ints
    """Row of `delay_ms` and the like: where its user and its data are."""
    weight: Floats
    """`[j, 3]`: of price, carbon and finish; only ratios count."""
    wait_ms: Ints
    """How long after `ready_ms` it may be held though it could start."""
    due_ms: Ints
    """By when it must end, or `NEVER_MS`."""
    interruptible: Bools
    """May be suspended and taken up again."""
    data_gb: Floats
    """Moved to the site before it starts, where that is not where the data are."""
    group: Ints
    """Project or user, for fair shares."""


class RowColumns(NamedTuple):
    """`[r]`"""

    site: Ints
    """Row of the outlooks."""
    capacity: Floats
    """`[r, resource]`"""
    power_w: Floats
    """`[r, resource]`: drawn by one busy unit of it, PUE included."""
    yuan_hour: Floats
    """`[r, resource]`: posted price of one unit for an hour, electricity not included where `electricity_share` is 1."""
    slowness: Floats
    """Factor on run times."""
    electricity_share: Floats
    """1 where the user pays the electricity beside the posted price, 0 where it is in it."""
    delay_ms: Floats
    """`[place, r]`: one way, in network milliseconds; infinite where it may not run for that place."""
    transfer_ms_per_gb: Floats
    """`[place, r]`: by the way that the data take while every link is up."""
    transfer_yuan_per_gb: Floats
    """`[place, r]`"""
    hall: Ints | None = None
    """Rows of one hall share their cores and memory, as the device pools of a site do: 0, 1, …; None where none do."""


class Ways(NamedTuple):
    """`[w]`: every way by which data come to a row at some time, over whatever links are up then."""

    delay_ms: Floats
    ms_per_gb: Floats
    yuan_per_gb: Floats
    links: Ints
    """`[w, k]`: those it crosses, one after the other; -1 behind the last."""
    first: Ints
    """`[place, r]`: by which the data of a place come to a row while every link is up."""

    @property
    def hops(self) -> Ints:
        """`[w]`: how many links it crosses; 0 where the data are there already."""
        found: Ints = (self.links >= 0).sum(axis=1)
        return found

    def transfer_ms(self, way: Ints, data_gb: Floats) -> Ints:
        """How long that much data take by each way, to the whole millisecond, as kernels have it; 0 for no way."""
        ms = (self.delay_ms[way] + data_gb * self.ms_per_gb[way]).astype(np.int64)
        return np.where((way >= 0) & (data_gb > 0), ms, 0)

    def longest_ms(self, data_gb: Floats) -> Ints:
        """How long that much data take at most, by whichever way."""
        ms = self.delay_ms.max(initial=0.0) + data_gb * self.ms_per_gb.max(initial=0.0)
        return np.where(data_gb > 0, np.ceil(ms), 0).astype(np.int64)


def direct(rows: RowColumns) -> Ways:
    """Each place and row with a link of their own, that no other data cross."""
    count = rows.transfer_ms_per_gb.size
    away = ((rows.transfer_ms_per_gb > 0) | (rows.transfer_yuan_per_gb > 0)).ravel()
    every = np.arange(count)
    return Ways(
        delay_ms=np.zeros(count),
        ms_per_gb=rows.transfer_ms_per_gb.ravel(),
        yuan_per_gb=rows.transfer_yuan_per_gb.ravel(),
        links=np.where(away, every, -1)[:, None],
        first=every.reshape(rows.transfer_ms_per_gb.shape),
    )


class Outlook(NamedTuple):
    """What is expected of price and carbon, as it is known at each issue; only the past went into it."""

    start_ms: int
    """Of the first issue."""
    issue_ms: int
    """Between issues; the issue in force at `t` is the last one not after `t`."""
    step_ms: int
    """Between values; issues fall on steps."""
    yuan: Floats
    """`[issue, site, k]`: yuan/kWh × hours from the issue's own instant until `k` steps later; `k` from 0."""
    carbon_g: Floats
    """`[issue, site, k]`: g/kWh × hours, likewise."""


class Sharing(NamedTuple):
    """Projects beside each other, where a play has any: by what they take turns, and what each may have at most.

    Amounts `[…, k]` stand in the order cores, GB of memory, devices of each model.
    """

    project: Ints
    """`[j]`"""
    weight: Floats
    """`[p]`: of its share beside the others'."""
    most: Floats
    """`[p, k]`: in use at once; infinite where there is no quota."""
    model: Ints
    """`[r]`: the `k` of the row's devices; -1 where it has none."""
    half_life_ms: int
    """After this long, what a project held counts half in its share."""
    mean_every_ms: int
    """How often what projects hold is added to what they held lately."""
    starved_after_ms: int
    """Who has waited longer goes in front of everything of its priority."""
    notice_ms: int = -1
    """How long before its end a run is told that others need its room; negative where no run is taken for others."""
    protect_ms: int = 0
    """A job that was interrupted once runs at least so long before it is taken again."""
    most_interruptions: int = 0
    """A job that was interrupted so often is not taken any more."""


class Segments(NamedTuple):
    """`[n]`: what ran where and when, in the order of ends. A job has several where it was suspended or lost."""

    job: Ints
    row: Ints
    start_ms: Ints
    end_ms: Ints
    how: Ints
    """One of the `ENDED_…` below."""
    way: Ints
    """By which its job's data were sent before it; -1 where it has none."""


ENDED_DONE, ENDED_LIMIT, ENDED_SUSPENDED, ENDED_LOST, ENDED_OPEN, ENDED_PREEMPTED = 0, 1, 2, 3, 4, 5
"""Finished; stopped at its limit; suspended; lost with its node, its site or its data's link; still running where the play
stops; ended with notice for a job of higher priority."""
