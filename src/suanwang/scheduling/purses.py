"""Money while a plan is made: what projects may still hold, what vouchers pay beside it, and what each start takes of both.

Owns the purses: accounts, budgets and vouchers by name. A job may draw on several accounts and budgets at once, and starts
only where all bear what its voucher does not pay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.vouching import Portion


@dataclass(frozen=True, slots=True, kw_only=True)
class Aid:
    """A voucher that may pay a part of a job's bill."""

    voucher: str
    purse: str
    portion: Portion
    until_at: datetime
    at: frozenset[tuple[SiteId, str | None]]
    """Where it pays: sites, with the device model, or None for cores alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What a snapshot knows of money."""

    span_s: float
    """A start holds what the run can come to in so many seconds, or until its time limit where that is sooner."""
    left: Mapping[str, int]
    """Purse → fen."""
    of: Mapping[tuple[ProjectId, str], tuple[str, ...]] = field(default_factory=dict)
    """(project, owner) → the purses that their jobs draw on; none where nothing limits them."""
    aids: Mapping[JobId, tuple[Aid, ...]] = field(default_factory=dict)
    """Of jobs that have any, in the order in which they are redeemed."""


def first_aid(
    aids: Iterable[Aid],
    left: Mapping[str, int],
    at: tuple[SiteId, str | None],
    before_fen: int,
    amount_fen: int,
    until: datetime,
) -> tuple[Aid, int] | None:
    """The first of these vouchers that pays of what a job's bill grows by until then, with what it pays of it as far as the
    `left` of its purse goes; None where none does."""
    for aid in aids:
        if at in aid.at and until <= aid.until_at:
            part = min(aid.portion.grown(before_fen, amount_fen), left[aid.purse])
            if part > 0:
                return aid, part
    return None


class Purses:
    """What is left in each, from one job of a plan to the next."""

    def __init__(self, money: Money | None) -> None:
        self._of = {} if money is None else money.of
        self._left = {} if money is None else dict(money.left)
        self._aids = {} if money is None else money.aids
        self.span_s = 0.0 if money is None else money.span_s

    def least(self, job: Job) -> tuple[str, int] | None:
        """The purse of `job` that has least, with what that is; None where nothing limits it."""
        names = self._of.get((job.project, job.owner))
        if not names:
            return None
        name = min(names, key=self._left.__getitem__)
        return name, self._left[name]

    def aid(
        self,
        job: Job,
        site: SiteId,
        model: str | None,
        amount_fen: int,
        until: datetime,
        *,
        owed_fen: int = 0,
        kept_fen: int = 0,
    ) -> tuple[Aid, int] | None:
        """The voucher that pays of the next `amount_fen` of the job's bill until then, with what it pays as far as its money
        goes; None where none does. `owed_fen` of the amount is billed and not settled, `kept_fen` of the voucher is held
        for the job already."""
        before_fen = job.billed_fen - owed_fen
        left = self._left if not kept_fen else {name: fen + kept_fen for name, fen in self._left.items()}
        return first_aid(self._aids.get(job.id, ()), left, (site, model), before_fen, amount_fen, until)

    def aided(self, job: Job) -> bool:
        """Whether any voucher may pay for it."""
        return job.id in self._aids

    def lent(self, aid: Aid, amount_fen: int) -> None:
        """A start holds so much of a voucher."""
        self._left[aid.purse] -= amount_fen

    def took(self, job: Job, amount_fen: int) -> None:
        """A start holds so much."""
        for name in self._of.get((job.project, job.owner), ()):
            self._left[name] -= amount_fen
