"""Rights that end before their hours: cancelled by their holder, taken back by the provider, or not delivered.

Owns who pays what then. Whatever the reason, a deposit is never drawn beyond the share of it that stands behind the units,
the guarantee never beyond its limit, and what the holder gets is one chain of transfers that sums to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.ledger import MOST_IN_CHAIN, NETWORK, AccountId, Owner, Transfer, account_id
from suanwang.trading.market.terms import Sold
from suanwang.trading.market.values import Reservation
from suanwang.trading.settlement import WHOLE_BP, split

GUARANTEE = account_id(Owner.OPERATOR, "guarantee")
"""The operator's pool: he fills it, and no default takes it below zero."""
MOST_DEPOSITS = MOST_IN_CHAIN - 10


class TerminationKind(StrEnum):
    CANCELLED = "cancelled"
    RECLAIMED = "reclaimed"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """What is kept back of one trade's price until its hours were delivered."""

    id: str
    """The trade's."""
    seller: AccountId
    site: SiteId
    amount_fen: int
    until: int
    """One past the last window that it stands for."""
    open: bool = True
    revision: int = 0

    @property
    def account(self) -> AccountId:
        return deposit_account(self.id)


def deposit_account(trade: str) -> AccountId:
    return account_id(Owner.DEPOSIT, trade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """Units of a right that ended early, and who paid the holder how much for it."""

    id: str
    """Names its chain of transfers."""
    kind: TerminationKind
    right: str | None
    """None for units that were only on sale."""
    project: ProjectId
    seller: AccountId
    site: SiteId
    device: str
    first: int
    counts: tuple[int, ...]
    """Units taken from the right per window."""
    worth_fen: int
    """What the provider sold them for, commission included."""
    due_fen: int
    """What the holder is owed."""
    deposit_fen: int
    seller_fen: int
    network_fen: int
    pool_fen: int
    replacement: str | None = None
    """The order that bought other hours with it."""
    away_at: datetime | None = None
    """Of a default: since when the site was lost, by its event `site.lost`."""
    at: datetime

    @property
    def end(self) -> int:
        return self.first + len(self.counts)

    @property
    def paid_fen(self) -> int:
        return self.deposit_fen + self.seller_fen + self.network_fen + self.pool_fen

    @property
    def unpaid_fen(self) -> int:
        """What none of them had."""
        return self.due_fen - self.paid_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What may be drawn on."""

    deposits: Mapping[AccountId, int]
    """What each deposit account has."""
    seller_fen: int = 0
    pool_fen: int = 0
    network_fen: int = 0
    """The commission that the network gives back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Who pays how much."""

    deposits: Mapping[AccountId, int]
    seller_fen: int
    network_fen: int
    pool_fen: int

    @property
    def deposit_fen(self) -> int:
        return sum(self.deposits.values())

    @property
    def paid_fen(self) -> int:
        return self.deposit_fen + self.seller_fen + self.network_fen + self.pool_fen


def behind(right: Reservation, counts: Sequence[int]) -> Sold | None:
    """What stands behind these units of a right."""
    if right.sold is None:
        return None
    return right.sold.part(sum(counts), right.bought * len(right.counts))


def drawn(due_fen: int, share_fen: int, means: Means) -> Drawn:
    """The waterfall: the network's own part, then the deposits as far as the share that stands behind the units, then the
    seller's account, then the guarantee. None pays more than it has, all together no more than is due."""
    network = min(due_fen, max(0, means.network_fen))
    left = due_fen - network
    deposits: dict[AccountId, int] = {}
    share = min(share_fen, left)
    for account, has in means.deposits.items():
        part = min(share, max(0, has))
        if part:
            deposits[account] = part
            share -= part
            left -= part
    seller = min(left, max(0, means.seller_fen))
    pool = min(left - seller, max(0, means.pool_fen))
    return Drawn(deposits=deposits, seller_fen=seller, network_fen=network, pool_fen=pool)


def pool_limit(worth_fen: int, sold: Sold) -> int:
    """The most that the guarantee pays for units of this worth."""
    return worth_fen * sold.terms.pool_bp // WHOLE_BP


def chain_of(
    termination_id: str, kind: TerminationKind, project: ProjectId, seller: AccountId, paid: Drawn
) -> Sequence[Transfer]:
    """What the holder gets, as one chain; empty where nobody pays."""
    name = f"termination/{termination_id}"
    moves = [*paid.deposits.items(), (seller, paid.seller_fen), (NETWORK, paid.network_fen), (GUARANTEE, paid.pool_fen)]
    return [
        Transfer(
            id=f"{name}/{number}",
            chain=name,
            debit=account,
            credit=account_id(Owner.PROJECT, project),
            amount_fen=amount,
            code=f"right_{kind}",
        )
        for number, (account, amount) in enumerate(((a, f) for a, f in moves if f), 1)
    ]


def rest_of(ended: Termination) -> Transfer:
    """What was not paid when it ended, from its seller, once he has it."""
    name = f"termination/{ended.id}/rest"
    return Transfer(
        id=name,
        chain=name,
        debit=ended.seller,
        credit=account_id(Owner.PROJECT, ended.project),
        amount_fen=ended.unpaid_fen,
        code=f"right_{ended.kind}",
    )


def returned(deposit: Deposit, balance_fen: int, shares: Mapping[str, int] | None) -> Sequence[Transfer]:
    """What is left of a deposit, back to its seller, or to a co-owned site's owners by share."""
    if not balance_fen:
        return ()
    parts = {deposit.seller: balance_fen}
    if shares:
        names = [account_id(Owner.PROVIDER, name) for name in shares]
        parts = dict(zip(names, split(balance_fen, tuple(shares.values())), strict=True))
    name = f"deposit/{deposit.id}"
    return [
        Transfer(
            id=f"{name}/{number}", chain=name, debit=deposit.account, credit=account, amount_fen=amount, code="deposit"
        )
        for number, (account, amount) in enumerate(((a, f) for a, f in parts.items() if f), 1)
    ]
