"""What a project has used of a device at a site in the month, for steps of volume.

Owns how one call of a site's agent counts it: read once, then with what the call itself meters. A site's calls come one after
the other, so lines that follow each other count on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from suanwang.control.billing.metering import device_us
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Allocation, Step
from suanwang.electricity.pricing import counts_volume, month_of, next_month
from suanwang.ports import Store


class Volumes:
    """Of one site, during one call."""

    def __init__(self, store: Store, site_id: SiteId, now: datetime) -> None:
        self._store = store
        self._site = site_id
        self._now = now
        self._used: dict[tuple[ProjectId, str, datetime], int] = {}

    def of(self, project: ProjectId, allocation: Allocation) -> Mapping[datetime, int]:
        """Device microseconds by the month's beginning, from what is not metered yet of the run on; empty where its price
        counts none."""
        device = allocation.device_model
        if device is None or not counts_volume(allocation.price):
            return {}
        found: dict[datetime, int] = {}
        month = month_of(allocation.metered_until or allocation.started_at or allocation.granted_at)
        while month <= self._now:
            key = (project, device, month)
            if key not in self._used:
                self._used[key] = self._store.device_us(project, self._site, device, month, next_month(month))
            found[month] = self._used[key]
            month = next_month(month)
        return found

    def add(self, step: Step) -> None:
        """Count what a step metered."""
        for record in step.usage:
            key = (record.project, record.device_model or "", month_of(record.from_at))
            if key in self._used:
                self._used[key] += device_us(record)
