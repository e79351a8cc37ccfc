"""Budgets in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.ids import AllocationId, ProjectId
from suanwang.domain.job import Event
from suanwang.trading.budgets import Bearing, Budget, Draw, Scope, Spent, binds, month_name, used
from suanwang.trading.ledger import Owner
from suanwang.trading.market.values import Order


class MemoryBudgets(MemoryLedger):
    """The Protocol's section of that name; `MemoryStore` mixes it in."""

    _orders: dict[str, Order]

    def __init__(self) -> None:
        super().__init__()
        self._budgets: dict[tuple[Scope, str], Budget] = {}

    def put_budget(self, budget: Budget, events: Sequence[Event]) -> None:
        with self._lock:
            self._budgets[budget.scope, budget.name] = budget
            self.append_events(events)

    def drop_budget(self, scope: Scope, name: str, events: Sequence[Event]) -> bool:
        with self._lock:
            if self._budgets.pop((scope, name), None) is None:
                return False
            self.append_events(events)
            return True

    def budgets(self) -> Sequence[Budget]:
        with self._lock:
            return [self._budgets[key] for key in sorted(self._budgets)]

    def spent(self, now: datetime) -> Sequence[Spent]:
        with self._lock:
            month, whole, held = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
            for (name, project, person), fen in self._spending.items():
                whole[project, person] += fen
                month[project, person] += fen if name == month_name(now) else 0
            for hold in self._book.holds.values():
                owner, _, project = hold.debit.partition(":")
                if owner == Owner.PROJECT:
                    held[project, self._holder(hold.id)] += hold.amount_fen
            return [
                Spent(
                    project=ProjectId(project),
                    person=person,
                    month_fen=month[project, person],
                    total_fen=whole[project, person],
                    held_fen=held[project, person],
                )
                for project, person in sorted({*whole, *held})
            ]

    def _passed(self, draw: Draw, now: datetime) -> str:
        """The purse of a budget that does not bear it, empty where all do."""
        if not self._budgets:
            return ""
        of = {project.id: project.organisation for project in self._projects.values()}
        mine = [each for each in self.budgets() if binds(each, draw.project, draw.person, of.get(draw.project, ""))]
        return Bearing(used(mine, self.spent(now), of), of).take(draw) if mine else ""

    def _holder(self, hold: str) -> str:
        kind, name = hold.split("/")[:2] if "/" in hold else ("", "")
        if kind == "order":
            return self._orders[name].owner if name in self._orders else ""
        allocation = self._allocations.get(AllocationId(name))
        return "" if allocation is None else self._jobs[allocation.job_id].owner
