"""Budgets and what was spent of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from suanwang.domain.job import Event
from suanwang.trading.budgets import Budget, Scope, Spent


class Budgets(Protocol):
    """Every method is one transaction. What is spent is counted with the transfers that pay it."""

    def put_budget(self, budget: Budget, events: Sequence[Event]) -> None:
        """Replace that of its scope and name."""

    def drop_budget(self, scope: Scope, name: str, events: Sequence[Event]) -> bool:
        """False where there is none."""

    def budgets(self) -> Sequence[Budget]:
        """By scope and name."""

    def spent(self, now: datetime) -> Sequence[Spent]:
        """By project and person: in the month of `now`, in all, and held by leases, uses of listings and standing orders."""
