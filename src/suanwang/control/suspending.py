"""Runs that had better pause: once in each step of the prices they are looked for, and their sites asked to end them.

Owns when that is asked, and what a decision may know of runs that others may take. Which runs they are is
`scheduling.pausing`'s; what their ends come to is `steps`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from suanwang.control.rules import Rules
from suanwang.control.steps import suspend
from suanwang.domain.ids import AllocationId
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from suanwang.ports import Store
from suanwang.scheduling.pausing import pauses
from suanwang.scheduling.snapshot import Snapshot, Taking

LIMIT = 2000
"""Runs looked at in one reading."""


def taking(store: Store, rules: Rules) -> Taking:
    """By what runs are ended for jobs of higher priority."""
    return Taking(
        runs=lambda: store.checkpointed(LIMIT),
        notice=timedelta(seconds=rules.notice_s),
        protect=timedelta(seconds=rules.protect_s),
        most_interruptions=rules.most_interruptions,
    )


def suspend_due(store: Store, see: Callable[[], Snapshot], now: datetime, asked: int) -> tuple[int, int]:
    """Suspend what had better pause, unless that was asked in this step already (`asked`). Returns how many runs, and the
    step. Asking again, as another replica may, does no harm: who is being suspended is not found any more."""
    step = milliseconds(now) // STEP_MS
    if step == asked:
        return 0, step
    suspended = 0
    behind: AllocationId | None = None
    while running := store.checkpointed(LIMIT, behind):
        behind = running[-1][1].id
        steps = [suspend(found, now) for found in pauses(see(), running)]
        suspended += len(steps) - len(store.apply(steps)) if steps else 0
    return suspended, step
