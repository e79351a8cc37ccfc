"""Accounts, transfers, their log, and the lines that wait to be settled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from suanwang.domain.ids import AllocationId, JobId, ProjectId
from suanwang.domain.job import Allocation, BillLine, Event, Job, Ran, UsageRecord
from suanwang.domain.site import Price
from suanwang.trading.budgets import Draw, taken_fen
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import Account, AccountId, Chain, Entry, Hold, Outcome, Transfer
from suanwang.trading.merkle import Edge, Key
from suanwang.trading.published import Name
from suanwang.trading.tallying import shared_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLine:
    """A bill line that is not settled yet, with what it was rated from."""

    line: BillLine
    usage: UsageRecord
    price: Price
    started_at: datetime
    power_kw: float
    """Drawn by the run all the time; where users pay it, electricity is rated with it."""
    before_fen: int
    """What earlier lines of its job sum to."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shares what its run earns; the provider alone where empty."""
    over: bool = False
    """Whether its run has ended: what its lease holds is not needed any more."""
    person: str = ""
    """Whose job it was."""

    @property
    def shared_fen(self) -> int:
        """From where its parts count."""
        return shared_fen(self.line, self.before_fen)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """A live lease and what it holds of its project's account and of a voucher."""

    hold: Hold
    """Of 0 fen where the voucher pays all."""
    voucher: Hold | None = None
    job: Job
    allocation: Allocation
    owed_fen: int
    """Billed and not settled yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A bill line with what it was rated from."""

    line: BillLine
    usage: UsageRecord
    price: Price
    started_at: datetime
    power_kw: float
    settled: bool
    ran: Ran
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shared what its run earned, as in `OpenLine`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How an open line is to be settled."""

    usage_id: str
    leaf: str
    """What the log says of the record; logged with the first try, whatever becomes of it."""
    chain: tuple[Transfer, ...]
    """Empty for a line of zero fen, which is settled without a transfer."""
    blocked: Event
    """Told once where the chain cannot be posted."""
    lease: AllocationId | None = None
    """Whose hold pays where the project's account is short."""
    over: bool = False
    """Whether that hold is released whole with it."""
    person: str = ""
    """Who asked for what it pays."""

    @property
    def draw(self) -> Draw:
        """What it takes of its project. A budget that does not bear that beside what runs hold has the line paid from the hold
        of its lease, which was made for it."""
        project = self.blocked.project
        assert project is not None, "a line is of a project"
        return Draw(project=project, person=self.person, amount_fen=taken_fen(self.chain, project))


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The ledger against its own transfers. All but `accounts` and `transfers` are zero or empty where it is whole."""

    accounts: int
    transfers: int
    sum_fen: int
    """Of all balances."""
    wrong: tuple[AccountId, ...]
    """Accounts whose balance or held amount is not what their transfers and open holds come to."""
    unlogged: int
    """Transfers that are not in the log."""


class Fault(StrEnum):
    """What a look through the ledger may find wrong."""

    OVERDRAWN = "overdrawn"
    """An account is below its limit, holds counted as spent."""
    OVERDUE = "overdue"
    """A hold is past its time, and nobody released it."""
    ORPHAN = "orphan"
    """A hold is of a lease that there is not, or that ended without being noted."""
    OWNERLESS = "ownerless"
    """A line waits to be settled whose project there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """One thing that was found: the account, hold or line `what`."""

    fault: Fault
    what: str
    account: AccountId
    amount_fen: int
    """How far below its limit, or what is held or owed."""


class Ledger(Protocol):
    """Accounts, transfers and their log. Every method is one transaction."""

    def open_accounts(self, accounts: Sequence[Account]) -> None:
        """Open those that there are not, with balance 0."""

    def account(self, account_id: AccountId) -> Account | None: ...

    def accounts(
        self, only: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Account], str | None]:
        """By identifier; `only` these."""

    def set_floor(self, account_id: AccountId, floor_fen: int | None, events: Sequence[Event]) -> Account:
        """Change a lower limit. Raises `NotFound`, and `Conflict` where the balance is below it already."""

    def post(
        self, chains: Sequence[Chain], now: datetime, events: Sequence[Event] = (), draw: Draw | None = None
    ) -> Sequence[Outcome]:
        """Post each chain wholly or not at all, in this order; `events` are told where any was posted now.

        Where budgets do not bear `draw`, none is posted (`Verdict.BUDGET`).
        """

    def release_expired(self, now: datetime, limit: int) -> int:
        """Void pending transfers whose time is over; returns how many."""

    def leases_held(self, due: datetime, tight: Collection[AccountId], limit: int) -> Sequence[HeldLease]:
        """Live leases of which a hold times out by `due`, and all of `tight` accounts and of accounts that hold more than
        they have left. By timeout."""

    def lent(self, leases: Collection[AllocationId]) -> Mapping[AllocationId, Hold]:
        """What these leases hold of vouchers."""

    def leases_bare(self, projects: Collection[ProjectId], limit: int) -> Sequence[tuple[Job, Allocation]]:
        """Running leases of these projects that hold nothing, by identifier."""

    def release_ended(self, now: datetime, limit: int) -> int:
        """Void the holds of leases that have ended and whose lines are all settled; returns how many."""

    def strays(self, before: datetime, limit: int) -> Sequence[Stray]:
        """What is wrong, by fault and name; holds are overdue whose time was over by `before`."""

    def holds(self, ids: Collection[str]) -> Sequence[Hold]:
        """Of these that are open."""

    def entries(self, account_id: AccountId, cursor: str | None, limit: int) -> tuple[Sequence[Entry], str | None]:
        """Transfers of an account, newest first."""

    def chain_entries(self, chains: Collection[str]) -> Sequence[Entry]:
        """Transfers of these chains, by leaf."""

    def entry(self, transfer_id: str) -> Entry | None: ...

    def open_lines(self, now: datetime, limit: int) -> Sequence[OpenLine]:
        """Lines to settle now: oldest first, those put off until now after them."""

    def settle(self, claims: Sequence[Claim], now: datetime, retry_at: datetime) -> Sequence[Outcome]:
        """Settle open lines, each wholly or not at all; lines that are not open any more are passed over.

        What cannot be posted stays open, is put off to `retry_at`, or until its project's account changes.
        """

    def count_open(self, projects: Collection[ProjectId] | None = None) -> tuple[int, int]:
        """Lines that are not settled, and how many of them could not be."""

    def usage_leaves(self, job_id: JobId) -> Sequence[int]:
        """Leaves of a job's logged usage records, ascending."""

    def seal(self, kind: str, name: str, sha256: str) -> int:
        """The leaf of the log that seals this; appended where there is none yet."""

    def published(self, names: Collection[Name]) -> Mapping[Name, int]:
        """The leaf of each that was published with a site, a price list or a plan; the first one where there are several."""

    def leaves(self, indexes: Collection[int]) -> Mapping[int, str]:
        """What the log says at these places."""

    def edge(self) -> Edge:
        """The log's size and peaks now."""

    def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        """Hashes of perfect subtrees of the log."""

    def add_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep it; where one of its size is kept already, that one is returned."""

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """The one of this size; the newest where None."""

    def audit(self) -> Audit: ...
