"""Algorithms, models and data sets for sale: what is listed, what copies and uses of it come to.

Owns the values and the transfers that pay for them. A version never changes but by being withdrawn. A copy is paid at once;
a use is held when a site gets the job's lease, and posted when the job starts there or released when it never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.trading.ledger import NETWORK, AccountId, Owner, Phase, Transfer, account_id
from suanwang.trading.leftovers import leftover
from suanwang.trading.settlement import WHOLE_BP, split

SOURCE = "listing:"
"""What a task's input begins with where it reads a listing."""
MOST_TITLE = 100
MOST_WORDS = 4000
"""Characters of a description."""
MOST_LICENCE = 200
MOST_INVITED = 200
MOST_INPUTS = 20
"""Listings that one task reads: what they cost is one chain."""
HOLD_FOR = timedelta(days=3660)
"""The loop ends every hold itself; the ledger wants a time all the same."""


class Kind(StrEnum):
    ALGORITHM = "algorithm"
    MODEL = "model"
    DATASET = "dataset"


class Charge(StrEnum):
    USE = "use"
    """For each job that reads it, when it starts."""
    COPY = "copy"
    """Once; the file is the buyer's project's from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One version of a thing on sale: a file of the seller's project, or a data set that stays at its site."""

    id: str
    version: str
    seller: AccountId
    title_en: str
    title_zh: str
    description: str = ""
    kind: Kind
    licence: str
    """An SPDX expression, or the name of other terms."""
    content: Content | None = None
    """What is delivered; None for a data set that never leaves its site."""
    dataset: str = ""
    """Its name at `site`."""
    site: SiteId | None = None
    charge: Charge
    price_fen: int
    """What the buyer pays; the network's commission is a part of it."""
    invited: tuple[ProjectId, ...] | None = None
    """Who may see and have it; None where it is open to all."""
    listed_at: datetime
    listed_by: str
    withdrawn_at: datetime | None = None

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    @property
    def file_name(self) -> str:
        """Of a copy, and such as a task's input can say."""
        return f"{self.id}-{self.version}"

    @property
    def source(self) -> str:
        """How a task names it."""
        return f"{SOURCE}{self.name}"

    @property
    def sha256(self) -> str:
        return "" if self.content is None else self.content.sha256

    def same_as(self, other: Listing) -> bool:
        """Whether it says the same, whenever and by whomever it was said."""
        return self == replace(
            other, listed_at=self.listed_at, listed_by=self.listed_by, withdrawn_at=self.withdrawn_at
        )

    def open_to(self, project: ProjectId) -> bool:
        """Whether the project may see it."""
        mine = self.seller == account_id(Owner.PROJECT, project)
        return mine or self.invited is None or project in self.invited


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy that a project bought. `id` is the buyer's own: asking again is harmless."""

    id: str
    listing: str
    version: str
    project: ProjectId
    seller: AccountId
    price_fen: int
    leftover: int = 0
    """Of its commission (`trading.leftovers`)."""
    content: Content
    buyer: str
    at: datetime

    @property
    def file_name(self) -> str:
        """Of the buyer's project."""
        return f"{self.listing}-{self.version}"

    def same_as(self, other: Copy) -> bool:
        return self == replace(other, buyer=self.buyer, at=self.at, leftover=self.leftover)


class UseState(StrEnum):
    HELD = "held"
    """Its price is held until the job starts."""
    PAID = "paid"
    RELEASED = "released"
    """The job did not start there: nothing was paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A lease of a job that reads a listing."""

    allocation: AllocationId
    job: JobId
    project: ProjectId
    owner: str
    site: SiteId
    listing: str
    version: str
    sha256: str
    seller: AccountId
    price_fen: int
    """0 for the seller's own jobs, and for copies that were bought."""
    leftover: int = 0
    """Of its commission (`trading.leftovers`)."""
    state: UseState = UseState.HELD
    at: datetime
    """When it came into this state."""


def reference(source: str) -> tuple[str, str | None]:
    """(listing, version) of an input's source `listing:ID[@VERSION]`."""
    name, at, version = source.removeprefix(SOURCE).partition("@")
    return name, version if at else None


def parts(price_fen: int, commission_bp: int) -> tuple[int, int]:
    """What the seller and the network get of a price."""
    seller, fee = split(price_fen, (WHOLE_BP - commission_bp, commission_bp))
    return seller, fee


def left_of(price_fen: int, commission_bp: int) -> int:
    """The leftover of a sale at this price."""
    return leftover(price_fen, commission_bp, parts(price_fen, commission_bp)[1])


def copy_chain(copy: Copy, commission_bp: int) -> tuple[Transfer, ...]:
    """Pays for a copy; empty where it is free."""
    payer, name = account_id(Owner.PROJECT, copy.project), f"copy/{copy.id}"
    seller, fee = parts(copy.price_fen, commission_bp)
    paid = ((copy.seller, seller, "copy"), (NETWORK, fee, "commission"))
    return tuple(
        Transfer(id=f"{name}/{code}", chain=name, debit=payer, credit=to, amount_fen=amount, code=code)
        for to, amount, code in paid
        if amount
    )


def hold_chain(uses: Sequence[Use], commission_bp: int, granted_at: datetime) -> tuple[Transfer, ...]:
    """Holds what the uses of one lease cost; empty where all are free."""
    made: list[Transfer] = []
    for use in uses:
        seller, fee = parts(use.price_fen, commission_bp)
        for to, amount, code in ((use.seller, seller, "use"), (NETWORK, fee, "commission")):
            if amount:
                made.append(
                    Transfer(
                        id=f"use/{use.allocation}/{use.listing}@{use.version}/{code}",
                        chain=f"use/{use.allocation}",
                        debit=account_id(Owner.PROJECT, use.project),
                        credit=to,
                        amount_fen=amount,
                        code=code,
                        phase=Phase.PENDING,
                        timeout_at=granted_at + HOLD_FOR,
                    )
                )
    return tuple(made)


def end_chain(held: Sequence[Transfer], phase: Phase) -> tuple[Transfer, ...]:
    """Posts or voids what `hold_chain` made."""
    return tuple(
        replace(
            each,
            id=f"{each.id}/{phase}",
            chain=f"{each.chain}/{phase}",
            phase=phase,
            pending_id=each.id,
            timeout_at=None,
        )
        for each in held
    )
