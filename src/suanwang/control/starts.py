"""When a site would have room, by what runs there now.

Owns the forecast: a run frees what it holds after the time it was expected to take, and after its limit where it has
passed that. What waits in the queue is not reckoned with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from suanwang.domain.ids import SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.site import Held, Site
from suanwang.ports import Store
from suanwang.scheduling.snapshot import NO_HELD, Snapshot


@dataclass(frozen=True, slots=True)
class _Freed:
    at: datetime
    cores: int
    devices: int
    model: str | None


@dataclass(slots=True)
class _AtSite:
    cores: int
    """Free now."""
    devices: dict[str, int]
    freed: list[_Freed] = field(default_factory=list)
    """In order of time."""


class Starts:
    """Answers for one instant; the store is asked once per site."""

    def __init__(self, store: Store, seen: Snapshot) -> None:
        self._store = store
        self._seen = seen
        self._sites: dict[SiteId, _AtSite] = {}

    def of(self, site: Site, model: str | None, devices: int, cores: int) -> datetime | None:
        """When so many devices of `model` and so many cores are free together.

        None where they are not when all that the network runs there has ended: others use the site, nobody knows how long.
        """
        here = self._sites.get(site.id)
        if here is None:
            here = self._sites[site.id] = self._at(site)
        free_cores = here.cores
        free_devices = here.devices.get(model, 0) if model is not None else 0
        at = self._seen.now
        waiting = iter(here.freed)
        while free_cores < cores or free_devices < devices:
            freed = next(waiting, None)
            if freed is None:
                return None
            at = freed.at
            free_cores += freed.cores
            if freed.model == model:
                free_devices += freed.devices
        return at

    def _at(self, site: Site) -> _AtSite:
        offer, measured = site.offering, site.measured
        held: Held = self._seen.held.get(site.id, NO_HELD)
        cores, foreign_cores = offer.cores, 0
        devices = {pool.model: pool.count for pool in offer.devices}
        if measured is not None:
            cores, foreign_cores = min(cores, measured.cores), measured.foreign_cores
            devices = {
                model: min(count, measured.devices.get(model, 0)) - measured.foreign_devices.get(model, 0)
                for model, count in devices.items()
            }
        now = self._seen.now
        return _AtSite(
            cores=cores - foreign_cores - held.cores,
            devices={model: count - held.devices.get(model, 0) for model, count in devices.items()},
            freed=sorted((_freed(*pair, now) for pair in self._store.live_at(site.id)), key=lambda freed: freed.at),
        )


def _freed(job: Job, allocation: Allocation, now: datetime) -> _Freed:
    need = job.task.resources
    begun = allocation.started_at or allocation.granted_at
    end = begun + timedelta(seconds=need.expected_s or need.time_limit_s)
    if end <= now:
        end = max(now, begun + timedelta(seconds=need.time_limit_s))
    return _Freed(
        at=end,
        cores=need.cores * job.task.nodes,
        devices=need.devices.count * job.task.nodes if need.devices else 0,
        model=allocation.device_model,
    )
