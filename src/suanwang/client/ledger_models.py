"""What the API says and takes about the ledger, as pydantic models.

Owns these answers' field names, as `client.models` does for the rest. Amounts are whole fen; hashes, keys and signatures
are hexadecimal. Instants in checkpoints and bills are texts, since they are signed as they are written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from suanwang.client.models import Answer, Asked, BillLineView, EventView, Page, UsageRecordView
from suanwang.domain.lifecycle import JobState
from suanwang.trading.budgets import Period, Scope
from suanwang.trading.ledger import MOST_FEN, Owner, Phase

KEY = r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$"


class AccountView(Answer):
    """`limit_fen` is how far it may owe, None without a limit; `available_fen` what it can still pay."""

    id: str
    owner: Owner
    name: str
    currency: str
    balance_fen: int
    held_fen: int
    limit_fen: int | None
    available_fen: int | None


class AccountPage(Page):
    """Accounts, with the caller's bill lines that are not settled, and how many of them a limit blocks."""

    items: list[AccountView]
    unsettled_lines: int
    blocked_lines: int


class TransferView(Answer):
    """`amount_fen` went from `debit` to `credit`; `leaf` is its place in the log."""

    id: str
    chain: str
    phase: Phase
    debit: str
    credit: str
    amount_fen: int
    code: str
    pending_id: str | None
    timeout_at: datetime | None
    at: datetime
    leaf: int


class TransferPage(Page):
    items: list[TransferView]


class NewTopUp(Asked):
    """Money from outside. `id` is the caller's own name for it: the same again changes nothing."""

    id: str = Field(pattern=KEY)
    project: str = Field(max_length=63)
    amount_fen: int = Field(ge=1, le=MOST_FEN)


class NewLimit(Asked):
    """How far a project may owe; 0 makes it prepaid, null lets it pay by invoice later."""

    project: str = Field(max_length=63)
    limit_fen: int | None = Field(ge=0, le=MOST_FEN)


class SpendingBudget(Answer):
    """A budget and what there is of it. `spent_fen` is of its period; `held_fen` is held by runs and standing orders."""

    scope: Scope
    name: str
    period: Period
    limit_fen: int
    spent_fen: int
    held_fen: int
    left_fen: int
    set_by: str
    set_at: datetime


class SpendingBudgets(Answer):
    items: list[SpendingBudget]


class NewSpendingBudget(Asked):
    """How much may be spent; a `limit_fen` of null takes the budget away."""

    scope: Scope = Field(strict=False)
    name: str = Field(min_length=1, max_length=200)
    limit_fen: int | None = Field(ge=0, le=MOST_FEN)
    period: Period = Field(Period.MONTH, strict=False)


class CheckpointView(Answer):
    """The log's size and root, signed with Ed25519."""

    size: int
    root: str
    at: str
    key: str
    signature: str


class FlowView(Answer):
    """What an account got, less what it gave, in a month (`2026-03`, UTC+8), of transfers that agree in the rest."""

    month: str
    code: str
    project: str | None
    provider: str | None
    amount_fen: int
    transfers: int


class FlowList(Answer):
    items: list[FlowView]


class CheckpointList(Answer):
    """Largest first."""

    items: list[CheckpointView]


class InclusionView(Answer):
    """What proves that leaf `index` is in the checkpoint's log (RFC 9162, 2.1.3), deepest first."""

    index: int
    proof: list[str]
    checkpoint: CheckpointView


class ConsistencyView(Answer):
    """What proves that the checkpoint's log begins with that of `from_size` leaves (RFC 9162, 2.1.4)."""

    from_size: int
    proof: list[str]
    checkpoint: CheckpointView


class BillDocument(Answer):
    """A job's bill that proves itself: `suanwang verify` checks it without the network."""

    format: str
    job: str
    currency: str
    amount_fen: int
    usage: list[dict[str, Any]]
    transfers: list[dict[str, Any]]
    published: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    checkpoint: CheckpointView
    consistency: dict[str, Any] | None


class OriginView(Answer):
    """What a transfer is of: `of` says of what kind (`bill`, `order`, `credit`, ...), `usage` which record where it is of one."""

    transfer: TransferView
    of: str
    name: str
    usage: str | None


class TracedRecord(Answer):
    """A usage record, its bill line, and every transfer that moved or held money for it."""

    usage: UsageRecordView
    line: BillLineView
    settled: bool
    transfers: list[TransferView]


class ChangeView(Answer):
    account: str
    change_fen: int


class TraceView(Answer):
    """From a job's first event to the last fen. `accounts` is what each gained by all of it: they sum to zero.

    Of a transfer that is of no job, `origin` alone is there.
    """

    job: str | None
    project: str | None
    owner: str | None
    name: str | None
    state: JobState | None
    origin: OriginView | None
    events: list[EventView]
    records: list[TracedRecord]
    uses: list[TransferView]
    accounts: list[ChangeView]
    billed_fen: int


class PaperDocument(Answer):
    """An invoice, statement, order, voucher, credit or account that proves itself: `suanwang verify` checks it."""

    format: str
    kind: str
    name: str
    currency: str
    document: dict[str, Any]
    seal: dict[str, Any]
    transfers: list[dict[str, Any]]
    checkpoint: CheckpointView
    consistency: dict[str, Any] | None


class AuditView(Answer):
    """The ledger against its own transfers; `whole` where nothing is wrong."""

    whole: bool
    accounts: int
    transfers: int
    sum_fen: int
    wrong: list[str]
    unlogged: int
