"""Room kept for jobs in front: the first ones that find none are promised the next room, and nobody behind may delay it.

Owns EASY backfill over sites (Lifka 1995), by the rules of `policies.passing`: a job that finds no room has a site kept for it
where it will have room soonest, one job per site; jobs behind start there only where they are over before that, or fit beside.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Ending
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.margins import DEPTH, SLACK
from suanwang.scheduling.snapshot import Bools, Ints, Rows, SiteTable

WIDE = 64
DEPTH_WIDE = 16
"""In networks of more sites than `WIDE`, in place of `DEPTH`."""
NO_POOL = -1


@dataclass(order=True, frozen=True, slots=True)
class _End:
    """When a run is over at the latest, in seconds from the decision on, and what it frees."""

    after_s: float
    cores: int = field(compare=False)
    memory_gb: float = field(compare=False)
    model: str | None = field(compare=False)
    devices: int = field(compare=False)


class Backfill:
    """What is kept of each site of one plan."""

    def __init__(self, table: SiteTable, endings: Mapping[SiteId, Sequence[Ending]], now: datetime) -> None:
        count = len(table.sites)
        self._ends = [
            sorted(
                _End((end.at - now).total_seconds(), end.cores, end.memory_gb, end.device_model, end.devices)
                for end in endings.get(site.id, ())
            )
            for site in table.sites
        ]
        self._left = DEPTH if count <= WIDE else DEPTH_WIDE
        self._kept = np.zeros(count, np.bool_)
        self._shadow_s = np.full(count, np.inf)
        self._cores = np.zeros(count)
        self._memory_gb = np.zeros(count)
        self._devices = np.zeros(count)
        self._pool = np.full(count, NO_POOL, np.int64)

    def allowed(self, of: Shape, rows: Rows, index: Ints) -> Bools:
        """`[k]`: rows of `index` where a start now delays nobody who waits in front."""
        site = rows.site_of[index]
        beside = (self._cores[site] >= of.cores) & (self._memory_gb[site] >= of.memory_gb - SLACK)
        if of.devices:
            beside &= (self._pool[site] != index) | (self._devices[site] >= of.devices)
        return beside | (of.resources.time_limit_s <= self._shadow_s[site]) | ~self._kept[site]

    def took(self, site: int, pool: int, model: str | None, of: Shape) -> None:
        """A job starts now on the site, on row `pool` of the device pools where it has devices."""
        limit_s = float(of.resources.time_limit_s)
        if self._kept[site] and limit_s > self._shadow_s[site]:
            self._cores[site] -= of.cores
            self._memory_gb[site] -= of.memory_gb
            if self._pool[site] == pool:
                self._devices[site] -= of.devices
        insort(self._ends[site], _End(limit_s, of.cores, of.memory_gb, model, of.devices))

    def keep(self, of: Shape, rows: Rows, index: Ints) -> None:
        """Keep the next room for a job that found none, on the row of `index` where it has it soonest."""
        if self._left <= 0:
            return
        self._left -= 1
        best: tuple[float, int, float, float, float] | None = None
        chosen = NO_POOL
        for row in index.tolist():
            site = rows.site_of.item(row)
            if self._kept[site] or not rows.awake[row]:
                continue
            found = self._foreseen(of, rows, row, site)
            if found is not None and (best is None or found[0] < best[0]):
                best, chosen = (found[0], site, *found[1:]), row
        if best is None:
            return
        shadow_s, site, cores, memory_gb, devices = best
        self._kept[site] = True
        self._shadow_s[site] = shadow_s
        self._cores[site], self._memory_gb[site], self._devices[site] = cores, memory_gb, devices
        self._pool[site] = chosen if of.devices else NO_POOL

    def _foreseen(self, of: Shape, rows: Rows, row: int, site: int) -> tuple[float, float, float, float] | None:
        """After how many seconds the row has room at the latest, and what is free beside the job then."""
        cores, memory_gb = float(rows.free_cores.item(row)), rows.free_memory_gb.item(row)
        devices = float(rows.free_devices.item(row))
        pool = rows.pools[row]
        ends, at, shadow_s = self._ends[site], 0, 0.0
        while cores < of.cores or memory_gb < of.memory_gb - SLACK or (of.devices and devices < of.devices):
            if at == len(ends):
                return None
            shadow_s = ends[at].after_s
            while at < len(ends) and ends[at].after_s == shadow_s:
                end = ends[at]
                cores += end.cores
                memory_gb += end.memory_gb
                if pool is not None and end.model == pool.model:
                    devices += end.devices
                at += 1
        return shadow_s, cores - of.cores, memory_gb - of.memory_gb, devices - of.devices
