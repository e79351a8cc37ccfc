"""The terms that capacity is sold under, and what stands behind a right that was sold.

Owns what is given back when a buyer cancels, the notice a provider gives, and how much of each sale is kept back as the
seller's deposit. Terms are dated: a right keeps those that were in force when it was bought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.ledger import AccountId
from suanwang.trading.market.product import EPOCH, begins
from suanwang.trading.settlement import WHOLE_BP

MOST_NOTICE_H = 744
MOST_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Given back of the price where a buyer cancels at least `hours` before the first hour that he gives back."""

    hours: int
    refund_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleTerms:
    """One set of terms for all that is sold from `from_at` on: what is alike must be sold alike."""

    from_at: datetime = EPOCH
    refunds: tuple[Refund, ...] = (
        Refund(hours=72, refund_bp=10_000),
        Refund(hours=24, refund_bp=5_000),
        Refund(hours=1, refund_bp=2_000),
    )
    """From the earliest to the latest; after the last nothing is given back, and nothing can be cancelled."""
    notice_h: int = 48
    """How long before its hours a provider may take back what he sold."""
    interruptible_notice_h: int = 1
    """The same for interruptible capacity, for which nothing is paid on top."""
    compensation_bp: int = 2_000
    """Paid to the holder beside the price, as a part of it, for what is taken back."""
    deposit_bp: int = 1_000
    """Part of each sale that is kept back until its hours were delivered."""
    pool_bp: int = 10_000
    """The most that the operator's guarantee pays of the price of hours that were not delivered, as a part of it."""
    replace_bp: int = 15_000
    """The most that hours bought in their place may cost, as a part of their price."""

    def refund_bp(self, first: int, at: datetime) -> int | None:
        """What part is given back of hours from window `first` on, cancelled at `at`; None where they cannot be."""
        for step in self.refunds:
            if begins(first) - at >= timedelta(hours=step.hours):
                return step.refund_bp
        return None

    def notice(self, *, interruptible: bool) -> timedelta:
        return timedelta(hours=self.interruptible_notice_h if interruptible else self.notice_h)


STANDARD = SaleTerms()
"""In force until an operator says otherwise."""


def check_terms(terms: SaleTerms) -> None:
    """Raises `InvalidRequest` naming the field of terms that cannot be."""
    for field, value, most in (
        ("notice_h", terms.notice_h, MOST_NOTICE_H),
        ("interruptible_notice_h", terms.interruptible_notice_h, MOST_NOTICE_H),
    ):
        if not 1 <= value <= most:
            raise InvalidRequest("this notice is not possible", field=field, allowed=f"1 to {most} hours")
    for field, value, most in (
        ("compensation_bp", terms.compensation_bp, 10 * WHOLE_BP),
        ("deposit_bp", terms.deposit_bp, WHOLE_BP // 2),
        ("pool_bp", terms.pool_bp, 10 * WHOLE_BP),
        ("replace_bp", terms.replace_bp, 10 * WHOLE_BP),
    ):
        if not 0 <= value <= most:
            raise InvalidRequest("this part is not possible", field=field, allowed=f"0 to {most} basis points")
    if len(terms.refunds) > MOST_STEPS:
        raise InvalidRequest("too many steps", field="refunds", allowed=f"up to {MOST_STEPS}")
    for step in terms.refunds:
        if not 1 <= step.hours <= MOST_NOTICE_H or not 0 <= step.refund_bp <= WHOLE_BP:
            allowed = f"1 to {MOST_NOTICE_H} hours before, and 0 to {WHOLE_BP} basis points"
            raise InvalidRequest("this step is not possible", field="refunds", allowed=allowed)
    for early, late in zip(terms.refunds, terms.refunds[1:], strict=False):
        if late.hours >= early.hours or late.refund_bp > early.refund_bp:
            raise InvalidRequest("each step is later than the one before and gives back no more", field="refunds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What stands behind units that were sold: what their provider first got for them, and what of it he left as deposit.

    Whoever sells a right on hands this on with it, so what a provider owes never grows by what others paid for it.
    """

    seller: AccountId
    worth_fen: int
    """Paid for them when the provider sold them, commission included."""
    commission_fen: int
    deposit_fen: int
    deposits: tuple[str, ...] = ()
    """The trades whose deposits these are."""
    terms: SaleTerms

    def part(self, unit_hours: int, whole: int) -> Sold:
        """What stands behind `unit_hours` of `whole`, rounded down: parts never come to more than the whole."""
        return replace(
            self,
            worth_fen=self.worth_fen * unit_hours // whole,
            commission_fen=self.commission_fen * unit_hours // whole,
            deposit_fen=self.deposit_fen * unit_hours // whole,
        )


def together(parts: Sequence[Sold]) -> Sold | None:
    """What stands behind units of one zone that came from several sellers; None where none has anything behind it."""
    if not parts:
        return None
    return replace(
        parts[0],
        worth_fen=sum(part.worth_fen for part in parts),
        commission_fen=sum(part.commission_fen for part in parts),
        deposit_fen=sum(part.deposit_fen for part in parts),
        deposits=tuple(dict.fromkeys(name for part in parts for name in part.deposits)),
    )
