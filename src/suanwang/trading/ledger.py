"""Accounts and transfers, and the rules by which a chain of transfers is posted or refused.

Owns double entry: every transfer takes from one account what it gives to another, so all balances always sum to zero.
`Book` decides; stores keep what it decided, and the database enforces the same limits by itself. Amounts are fen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType, TypeAlias

from suanwang.domain.errors import InvalidRequest

AccountId = NewType("AccountId", str)
"""`OWNER:NAME`, such as `project:demo`."""

CURRENCY = "CNY"
MOST_FEN = 10**15
"""Of one transfer, and of a credit limit: ten trillion yuan. 9,000 of them fit a balance."""
LARGEST_FEN = 2**63 - 1
"""Of a balance, either way: what a database's integer holds."""
MOST_ID = 400
MOST_IN_CHAIN = 100


class Owner(StrEnum):
    PROJECT = "project"
    PROVIDER = "provider"
    OPERATOR = "operator"
    ISSUER = "issuer"
    """Who gives vouchers: its balance is the budget that it has left."""
    VOUCHER = "voucher"
    DEPOSIT = "deposit"
    """What is kept back of a sale until it was delivered."""
    OUTSIDE = "outside"
    """Where money comes from and goes to: banks. It has no limit, and owes the network what the others own."""


def account_id(owner: Owner, name: str) -> AccountId:
    return AccountId(f"{owner}:{name}")


NETWORK = account_id(Owner.OPERATOR, "network")
BANK = account_id(Owner.OUTSIDE, "bank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was given to it minus what was taken from it, and how far that may fall."""

    id: AccountId
    owner: Owner
    name: str
    currency: str = CURRENCY
    floor_fen: int | None = 0
    """Lowest balance, holds counted as spent: 0 is prepaid, below is credit, None is no limit."""
    balance_fen: int = 0
    held_fen: int = 0
    """Promised to pending transfers."""

    @property
    def available_fen(self) -> int | None:
        """What it can still pay; None without a limit."""
        return None if self.floor_fen is None else self.balance_fen - self.held_fen - self.floor_fen


class Phase(StrEnum):
    DIRECT = "direct"
    PENDING = "pending"
    """Holds the amount until it is posted, voided or timed out."""
    POST = "post"
    """Pays from a pending transfer, at most what it holds; the rest is released."""
    VOID = "void"
    """Releases a pending transfer whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """`amount_fen` from `debit` to `credit`. The identifier is made by whoever asks, so that asking again is harmless."""

    id: str
    chain: str
    """Transfers of one chain are posted together or not at all."""
    debit: AccountId
    credit: AccountId
    amount_fen: int
    code: str
    """What it is for: `usage`, `commission`, `top_up`."""
    phase: Phase = Phase.DIRECT
    pending_id: str | None = None
    """The pending transfer that a `POST` or `VOID` ends."""
    timeout_at: datetime | None = None
    """When a `PENDING` one releases its hold by itself."""

    def __post_init__(self) -> None:
        if not 0 < self.amount_fen <= MOST_FEN:
            raise InvalidRequest(
                "a transfer moves a positive amount of fen", field="amount_fen", allowed=f"1 to {MOST_FEN}"
            )
        if self.debit == self.credit:
            raise InvalidRequest("a transfer needs two accounts", field="credit", allowed="another account than debit")
        if not 0 < len(self.id) <= MOST_ID or not 0 < len(self.chain) <= MOST_ID:
            raise InvalidRequest("this identifier is not possible", field="id", allowed=f"1 to {MOST_ID} characters")
        if (self.phase in (Phase.POST, Phase.VOID)) != (self.pending_id is not None):
            raise InvalidRequest("`post` and `void` name a pending transfer, others do not", field="pending_id")
        if (self.phase is Phase.PENDING) != (self.timeout_at is not None):
            raise InvalidRequest("a pending transfer, and no other, has a timeout", field="timeout_at")


Chain: TypeAlias = Sequence[Transfer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A posted transfer: when, and which leaf of the log it is."""

    transfer: Transfer
    at: datetime
    leaf: int


class Verdict(StrEnum):
    POSTED = "posted"
    EXISTS = "exists"
    """Posted earlier, with the same content: nothing was done."""
    CONFLICT = "conflict"
    """An identifier of it was used for something else."""
    SHORT = "short"
    """An account would fall below its limit."""
    BUDGET = "budget"
    """A budget does not bear what is asked for."""
    NO_ACCOUNT = "no_account"
    NO_HOLD = "no_hold"
    """The pending transfer is unknown, ended, of other accounts or smaller."""
    EXPIRED = "expired"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a chain, and where not posted, which transfer and account were in the way."""

    chain: str
    verdict: Verdict
    transfer: str = ""
    account: AccountId | None = None
    purse: str = ""
    """Of `BUDGET`, which one."""

    @property
    def done(self) -> bool:
        """Whether the chain stands in the ledger."""
        return self.verdict in (Verdict.POSTED, Verdict.EXISTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a pending transfer keeps of its debit account."""

    id: str
    debit: AccountId
    credit: AccountId
    amount_fen: int
    timeout_at: datetime


@dataclass(slots=True)
class _Standing:
    """Balance and held amount of an account while a chain is tried."""

    balance_fen: int
    held_fen: int


@dataclass(slots=True)
class Book:
    """The accounts, known transfers and open holds that some chains touch; `post` changes it.

    `known` has every transfer that shares an identifier or a chain with what will be posted.
    """

    accounts: dict[AccountId, Account] = field(default_factory=dict)
    known: dict[str, Transfer] = field(default_factory=dict)
    chains: dict[str, frozenset[str]] = field(default_factory=dict)
    """Chain → identifiers of its transfers."""
    holds: dict[str, Hold] = field(default_factory=dict)

    def post(self, chain: Chain, now: datetime) -> Outcome:
        """Post every transfer of the chain, in order, or none. Raises `InvalidRequest` for a chain that is none."""
        name = _name_of(chain)
        known = [self.known.get(transfer.id) for transfer in chain]
        if self.stands(chain):
            return Outcome(chain=name, verdict=Verdict.EXISTS)
        if name in self.chains or any(stored is not None for stored in known):
            used = next((stored.id for stored in known if stored is not None), name)
            return Outcome(chain=name, verdict=Verdict.CONFLICT, transfer=used)
        trial: dict[AccountId, _Standing] = {}
        ended: set[str] = set()
        for transfer in chain:
            refusal = self._try(transfer, trial, ended, now)
            if refusal is not None:
                verdict, account = refusal
                return Outcome(chain=name, verdict=verdict, transfer=transfer.id, account=account)
        self._keep(name, chain, trial, ended)
        return Outcome(chain=name, verdict=Verdict.POSTED)

    def stands(self, chain: Chain) -> bool:
        """Whether it was posted earlier, with the same content."""
        same = self.chains.get(chain[0].chain, frozenset()) == {transfer.id for transfer in chain}
        return same and all(self.known.get(transfer.id) == transfer for transfer in chain)

    def unborne(self, chain: Chain, purse: str) -> Outcome:
        """What becomes of a chain that a budget does not bear: nothing, unless it stands already."""
        if self.stands(chain):
            return Outcome(chain=chain[0].chain, verdict=Verdict.EXISTS)
        return Outcome(chain=chain[0].chain, verdict=Verdict.BUDGET, purse=purse)

    def _try(
        self, transfer: Transfer, trial: dict[AccountId, _Standing], ended: set[str], now: datetime
    ) -> tuple[Verdict, AccountId | None] | None:
        for account in (transfer.debit, transfer.credit):
            if account not in self.accounts:
                return Verdict.NO_ACCOUNT, account
            if account not in trial:
                stored = self.accounts[account]
                trial[account] = _Standing(stored.balance_fen, stored.held_fen)
        payer, payee = trial[transfer.debit], trial[transfer.credit]
        if transfer.pending_id is not None:
            hold = self.holds.get(transfer.pending_id)
            if hold is None or hold.id in ended or not _ends(transfer, hold):
                return Verdict.NO_HOLD, None
            if transfer.phase is Phase.POST and now >= hold.timeout_at:
                return Verdict.EXPIRED, None
            ended.add(hold.id)
            payer.held_fen -= hold.amount_fen
        match transfer.phase:
            case Phase.PENDING:
                payer.held_fen += transfer.amount_fen
            case Phase.DIRECT | Phase.POST:
                payer.balance_fen -= transfer.amount_fen
                payee.balance_fen += transfer.amount_fen
            case Phase.VOID:
                pass
        floor = self.accounts[transfer.debit].floor_fen
        if floor is not None and payer.balance_fen - payer.held_fen < floor:
            return Verdict.SHORT, transfer.debit
        if max(-payer.balance_fen, payer.held_fen, payee.balance_fen) > LARGEST_FEN:
            return Verdict.OVERFLOW, None
        return None

    def _keep(self, name: str, chain: Chain, trial: dict[AccountId, _Standing], ended: set[str]) -> None:
        for account, standing in trial.items():
            stored = self.accounts[account]
            self.accounts[account] = Account(
                id=stored.id,
                owner=stored.owner,
                name=stored.name,
                currency=stored.currency,
                floor_fen=stored.floor_fen,
                balance_fen=standing.balance_fen,
                held_fen=standing.held_fen,
            )
        for gone in ended:
            del self.holds[gone]
        for transfer in chain:
            self.known[transfer.id] = transfer
            if transfer.timeout_at is not None:
                self.holds[transfer.id] = Hold(
                    id=transfer.id,
                    debit=transfer.debit,
                    credit=transfer.credit,
                    amount_fen=transfer.amount_fen,
                    timeout_at=transfer.timeout_at,
                )
        self.chains[name] = frozenset(transfer.id for transfer in chain)


def _name_of(chain: Chain) -> str:
    if not 0 < len(chain) <= MOST_IN_CHAIN:
        raise InvalidRequest("a chain has transfers", field="transfers", allowed=f"1 to {MOST_IN_CHAIN}")
    name = chain[0].chain
    if any(transfer.chain != name for transfer in chain):
        raise InvalidRequest("transfers of one chain carry its name", field="chain", allowed=name)
    if len({transfer.id for transfer in chain}) != len(chain):
        raise InvalidRequest("each transfer of a chain has its own identifier", field="id")
    return name


def _ends(transfer: Transfer, hold: Hold) -> bool:
    """Whether this `POST` or `VOID` fits the hold."""
    if (transfer.debit, transfer.credit) != (hold.debit, hold.credit):
        return False
    return transfer.amount_fen == hold.amount_fen or (
        transfer.phase is Phase.POST and transfer.amount_fen < hold.amount_fen
    )


def release(hold: Hold) -> Transfer:
    """What voids a hold whose time is over; whoever finds it makes the same transfer."""
    name = f"{hold.id}/expired"
    return Transfer(
        id=name,
        chain=name,
        debit=hold.debit,
        credit=hold.credit,
        amount_fen=hold.amount_fen,
        code="expired",
        phase=Phase.VOID,
        pending_id=hold.id,
    )
