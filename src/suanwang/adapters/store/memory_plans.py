"""Plans in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.adapters.store.plans import taken
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.pricing import PlanMonth
from suanwang.trading.published import Published

_Key: TypeAlias = tuple[ProjectId, SiteId, str, datetime]


@dataclass(slots=True)
class _Row:
    month: PlanMonth
    retry_at: datetime
    paid: bool = False


class MemoryPlans(MemoryLedger):
    """Implements `ports.Plans`; `MemoryStore` mixes it in."""

    def __init__(self) -> None:
        super().__init__()
        self._plans: dict[_Key, _Row] = {}

    def add_plan(
        self, months: Sequence[PlanMonth], events: Sequence[Event], published: Sequence[Published] = ()
    ) -> None:
        with self._lock:
            if any(_key(each) in self._plans for each in months):
                raise taken(months[0])
            self._plans.update({_key(each): _Row(each, each.from_at) for each in months})
            self.append_events(events)
            self._publish(published)

    def plan_months(
        self, projects: Collection[ProjectId] | None, after: datetime | None
    ) -> Sequence[tuple[PlanMonth, bool]]:
        with self._lock:
            found = [
                (row.month, row.paid)
                for row in self._plans.values()
                if (projects is None or row.month.project in projects) and (after is None or row.month.to_at > after)
            ]
        return sorted(found, key=lambda each: (each[0].from_at, each[0].plan))

    def plan_fees(self, now: datetime, limit: int) -> Sequence[PlanMonth]:
        with self._lock:
            due = [row for row in self._plans.values() if not row.paid and row.retry_at <= now]
        return [row.month for row in sorted(due, key=lambda row: (row.retry_at, row.month.plan))][:limit]

    def plan_paid(self, month: PlanMonth, retry_at: datetime | None) -> None:
        with self._lock:
            row = self._plans[_key(month)]
            if retry_at is None:
                row.paid = True
            else:
                row.retry_at = retry_at


def _key(month: PlanMonth) -> _Key:
    return month.project, month.site_id, month.package.device, month.from_at
