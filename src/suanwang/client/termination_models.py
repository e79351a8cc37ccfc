"""What the API says and takes about rights that end early, deposits and terms of sale, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from suanwang.client.market_models import Hour, Id, Name, Units
from suanwang.client.models import Answer, Asked, Page
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.market.termination import TerminationKind

Bp = Annotated[int, Field(ge=0, le=100_000, description="Basis points: 10000 are the whole")]
Notice = Annotated[int, Field(ge=1, le=744)]


class RefundStep(Asked):
    """Cancelled at least `hours` before the first hour given back, `refund_bp` of the price are given back."""

    hours: Notice
    refund_bp: Bp


class NewTerms(Asked):
    """Terms for what is sold from `from_at` on, by default from now on."""

    from_at: datetime | None = Field(default=None, strict=False)
    refunds: list[RefundStep] = Field(max_length=10)
    notice_h: Notice
    interruptible_notice_h: Notice = 1
    compensation_bp: Bp
    deposit_bp: Bp
    pool_bp: Bp = 10_000
    replace_bp: Bp = 15_000


class RefundView(Answer):
    hours: int
    refund_bp: int


class TermsView(Answer):
    """What holders get back, the notice of providers, what is kept back of sales, and what the guarantee pays at most."""

    from_at: datetime
    refunds: list[RefundView]
    notice_h: int
    interruptible_notice_h: int
    compensation_bp: int
    deposit_bp: int
    pool_bp: int
    replace_bp: int


class TermsHistory(Answer):
    """Those in force stand first."""

    items: list[TermsView]


class NewCancellation(Asked):
    """`count` units, by default all that are free. With `trial` nothing is cancelled: the answer says what it would come to."""

    id: Id
    count: Units | None = None
    trial: bool = False


class NewReclaim(Asked):
    """Units of a device at the caller's site that are wanted back, whether on sale or sold."""

    id: Id
    site: Name
    device: Name
    count: Units
    start: Hour
    end: Hour


class TerminationView(Answer):
    """Units of a right that ended early. `worth_fen` is what the provider sold them for, `due_fen` what the holder is owed;
    deposit, seller, network and guarantee (`pool_fen`) paid it. `right` is None for units that were only on sale."""

    id: str
    kind: TerminationKind
    right: str | None
    project: str | None
    seller: str
    site: str
    device: str
    start: datetime
    end: datetime
    counts: list[int]
    worth_fen: int
    due_fen: int
    deposit_fen: int
    seller_fen: int
    network_fen: int
    pool_fen: int
    unpaid_fen: int
    replacement: str | None
    away_at: datetime | None
    at: datetime


class TerminationPage(Page):
    items: list[TerminationView]


class ReclaimView(Answer):
    """What was taken back: first what was only on sale, then of each right."""

    items: list[TerminationView]


class DepositView(Answer):
    """What is kept back of a trade until its hours were delivered; `open` until it was given back."""

    trade: str
    seller: str
    site: str
    amount_fen: int
    until: datetime
    open: bool


class DepositPage(Page):
    items: list[DepositView]


class NewGuarantee(Asked):
    """What the operator moves from what the network earned into its guarantee."""

    id: Id
    amount_fen: int = Field(ge=1, le=MOST_FEN)


class GuaranteeView(Answer):
    """What stands behind rights that are not delivered, after the seller's own means."""

    account: str
    balance_fen: int
