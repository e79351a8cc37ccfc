"""What the API says and takes about vouchers, as pydantic models.

Owns these answers' field names. Amounts are whole fen, shares basis points.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field

from suanwang.client.ledger_models import KEY
from suanwang.client.models import Answer, Asked, Page
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.settlement import WHOLE_BP
from suanwang.trading.vouchers import MOST_NAMES

NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"


class NewBudget(Asked):
    """Money that an issuer paid in. `id` is the caller's own name for it: the same again changes nothing."""

    id: str = Field(pattern=KEY)
    issuer: str = Field(min_length=1, max_length=100)
    amount_fen: int = Field(ge=1, le=MOST_FEN)


class NewVoucher(Asked):
    """A voucher to issue. `id` is its name: the same again changes nothing. An empty list does not restrict."""

    id: str = Field(pattern=NAME)
    issuer: str = Field(min_length=1, max_length=100)
    title: str = Field(default="", max_length=200)
    amount_fen: int = Field(ge=1, le=MOST_FEN)
    projects: list[str] = Field(default=[], max_length=MOST_NAMES)
    organisations: list[str] = Field(default=[], max_length=MOST_NAMES)
    providers: list[str] = Field(default=[], max_length=MOST_NAMES)
    regions: list[str] = Field(default=[], max_length=MOST_NAMES)
    devices: list[str] = Field(default=[], max_length=MOST_NAMES)
    domestic: bool = False
    from_at: AwareDatetime = Field(strict=False)
    until_at: AwareDatetime = Field(strict=False)
    share_bp: int = Field(default=WHOLE_BP, ge=1, le=WHOLE_BP)
    cap_fen: int | None = Field(default=None, ge=1, le=MOST_FEN)
    automatic: bool = True
    related: list[str] = Field(default=[], max_length=MOST_NAMES)


class NewRedemption(Asked):
    """The job whose bill is paid with the voucher from now on."""

    job: str = Field(min_length=1, max_length=63)


class BudgetView(Answer):
    """An issuer's budget that is not in vouchers."""

    issuer: str
    left_fen: int


class VoucherView(Answer):
    """A voucher and its money: `amount_fen` = used + held + left + returned."""

    id: str
    issuer: str
    title: str
    amount_fen: int
    used_fen: int
    held_fen: int
    left_fen: int
    returned_fen: int
    projects: list[str]
    organisations: list[str]
    providers: list[str]
    regions: list[str]
    devices: list[str]
    domestic: bool
    from_at: datetime
    until_at: datetime
    share_bp: int
    cap_fen: int | None
    automatic: bool
    related: list[str]
    issued_at: datetime
    issued_by: str
    closed_at: datetime | None


class VoucherPage(Page):
    items: list[VoucherView]


class VoucherUseView(Answer):
    """What a voucher paid of one project's use of one site; `billed_fen` is what those lines came to in all."""

    project: str
    provider: str
    site: str
    jobs: int
    lines: int
    amount_fen: int
    billed_fen: int
    first_at: datetime
    last_at: datetime


class WatchedVoucher(Answer):
    voucher: VoucherView
    uses: list[VoucherUseView]


class VoucherReport(Page):
    """What became of each voucher, newest first, with what it was used for."""

    items: list[WatchedVoucher]
