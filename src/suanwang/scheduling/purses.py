"""Money while a plan is made: what projects may still hold, and what each start takes of it.

Owns the purses: accounts and budgets by name. A job may draw on several at once, and starts only where all bear it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What a snapshot knows of money."""

    span_s: float
    """A start holds what the run can come to in so many seconds, or until its time limit where that is sooner."""
    left: Mapping[str, int]
    """Purse → fen."""
    of: Mapping[tuple[ProjectId, str], tuple[str, ...]] = field(default_factory=dict)
    """(project, owner) → the purses that their jobs draw on; none where nothing limits them."""


class Purses:
    """What is left in each, from one job of a plan to the next."""

    def __init__(self, money: Money | None) -> None:
        self._of = {} if money is None else money.of
        self._left = {} if money is None else dict(money.left)
        self.span_s = 0.0 if money is None else money.span_s

    def least(self, job: Job) -> tuple[str, int] | None:
        """The purse of `job` that has least, with what that is; None where nothing limits it."""
        names = self._of.get((job.project, job.owner))
        if not names:
            return None
        name = min(names, key=self._left.__getitem__)
        return name, self._left[name]

    def took(self, job: Job, amount_fen: int) -> None:
        """A start holds so much."""
        for name in self._of.get((job.project, job.owner), ()):
            self._left[name] -= amount_fen
