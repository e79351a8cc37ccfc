"""Plans, vouchers, listings, agreements and disputes, as a store keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from suanwang.domain.file import FileRecord
from suanwang.domain.ids import JobId, ProjectId
from suanwang.domain.job import (
    Allocation,
    Event,
)
from suanwang.domain.pricing import PlanMonth
from suanwang.domain.quote import Taught
from suanwang.trading.agreements import Agreement
from suanwang.trading.credits import Credit, Facts
from suanwang.trading.disputes import Dispute
from suanwang.trading.ledger import Account, AccountId, Chain, Outcome
from suanwang.trading.listings import Copy, Kind, Listing, Use, UseState
from suanwang.trading.published import Published
from suanwang.trading.vouchers import Voucher, VoucherUse


class Plans(Protocol):
    """Months of plans that projects have bought. Every method is one transaction."""

    def add_plan(
        self, months: Sequence[PlanMonth], events: Sequence[Event], published: Sequence[Published] = ()
    ) -> None:
        """Raises `Conflict` where the project has a plan for one of these months, site and device. The log gets `published`."""

    def plan_months(
        self, projects: Collection[ProjectId] | None, after: datetime | None
    ) -> Sequence[tuple[PlanMonth, bool]]:
        """With whether the fee is paid; of these projects, or all; those that end after an instant. By month, then name."""

    def plan_fees(self, now: datetime, limit: int) -> Sequence[PlanMonth]:
        """Months that have begun and are not paid, and are not put off beyond `now`."""

    def plan_paid(self, month: PlanMonth, retry_at: datetime | None) -> None:
        """Its fee is paid; with `retry_at` it is put off until then."""


class Vouchers(Protocol):
    """Vouchers, and the one that each job's bill is paid with. Every method is one transaction."""

    def add_voucher(
        self, voucher: Voucher, accounts: Sequence[Account], chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome:
        """Keep a voucher and post the chain that fills it, or neither. The same voucher again changes nothing; another
        under its identifier is a `Conflict`."""

    def voucher(self, voucher_id: str) -> Voucher | None: ...

    def vouchers(
        self, holders: Collection[str] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Voucher], str | None]:
        """Newest first; of these `Voucher.holders`, or all."""

    def live_vouchers(self, holders: Collection[str], now: datetime) -> Sequence[Voucher]:
        """Those of these holders that have not ended, which end first in front."""

    def ended_vouchers(self, now: datetime, limit: int) -> Sequence[Voucher]:
        """Those that ended and are not closed."""

    def close_voucher(self, voucher_id: str, now: datetime, events: Sequence[Event]) -> bool:
        """Mark it closed; False where it was already."""

    def bind_vouchers(self, chosen: Mapping[JobId, str], now: datetime, events: Sequence[Event] = ()) -> None:
        """Pay these jobs' bills with these vouchers, where none was chosen yet: a job keeps its first one."""

    def bound_vouchers(self, jobs: Collection[JobId]) -> Mapping[JobId, str]:
        """Job → the voucher that its bill is paid with."""

    def voucher_uses(self, vouchers: Collection[str]) -> Sequence[VoucherUse]:
        """What these vouchers paid, less what disputes gave back: by voucher, project, provider and site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingQuery:
    """None means no restriction."""

    readers: Collection[ProjectId] | None = None
    """Only what is open to all or to one of these projects, or sold by one of `own`."""
    own: Collection[AccountId] = ()
    sellers: Collection[AccountId] | None = None
    kinds: Collection[Kind] | None = None
    text: str = ""
    """In its names, titles or description, in any case."""
    open: bool = True
    """Without versions that were withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Which copies and uses: those of these projects or sellers; all where both are None."""

    projects: Collection[ProjectId] | None = None
    sellers: Collection[AccountId] | None = None
    listing: str | None = None


class Listings(Protocol):
    """Things on sale that are no capacity, their copies and uses. Every method is one transaction."""

    def add_listing(self, listing: Listing, events: Sequence[Event]) -> Listing:
        """Keep a version and return it. The same again returns the stored one; another under its name, and a version of
        somebody else's listing, is a `Conflict`."""

    def listing(self, listing_id: str, version: str | None = None) -> Listing | None:
        """This version; without one the newest that is not withdrawn, else the newest."""

    def listings(self, query: ListingQuery, cursor: str | None, limit: int) -> tuple[Sequence[Listing], str | None]:
        """Newest first."""

    def sold_dataset(self, name: str) -> Listing | None:
        """A listing that is not withdrawn of a data set of this name at a site."""

    def sold_content(self, sha256: str) -> Listing | None:
        """A listing of this content, also one that was withdrawn."""

    def withdraw_listing(self, listing_id: str, version: str | None, at: datetime, events: Sequence[Event]) -> int:
        """Take a version, or all of them, off sale; returns how many were on sale. Tells `events` where any was."""

    def sell_copy(
        self, copy: Copy, chain: Chain, record: FileRecord, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        """Keep a copy, post its chain and give the buyer's project the file, or nothing of it; what the ledger said, None
        where there was nothing to pay. The same copy again changes nothing. Another under its identifier, a second one for
        a project that has it, and a version that was withdrawn meanwhile are a `Conflict`."""

    def copy(self, copy_id: str) -> Copy | None: ...

    def copy_of(self, project: ProjectId, listing_id: str, version: str) -> Copy | None: ...

    def copies(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Copy], str | None]:
        """Newest first."""

    def hold_uses(self, uses: Sequence[Use], chain: Chain, now: datetime) -> Outcome | None:
        """Note the uses of one lease and hold their price, or neither. A lease whose uses are noted changes nothing."""

    def held_uses(self, limit: int) -> Sequence[tuple[Use, Allocation]]:
        """Uses whose price is held though their lease is not `LEASED` any more, with it; those noted first in front."""

    def end_uses(
        self, uses: Sequence[Use], state: UseState, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> bool:
        """End the held uses of one lease and post `chain`, or neither; False where they are ended or it was refused."""

    def uses(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Use], str | None]:
        """Newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyKey:
    """A public key (Ed25519, hexadecimal) that a party signs agreements with from `at` on."""

    party: AccountId
    key: str
    by: str
    at: datetime


class Agreements(Protocol):
    """Agreements, the keys of their parties, and service credits. Every method is one transaction."""

    def add_party_key(self, key: PartyKey, events: Sequence[Event]) -> None:
        """The party's key from now on; earlier ones are kept. One that it has already changes nothing."""

    def party_keys(self, parties: Collection[AccountId]) -> Mapping[AccountId, PartyKey]:
        """The newest of each party."""

    def change_agreements(
        self, changed: Sequence[Agreement], events: Sequence[Event], credit: Credit | None = None
    ) -> bool:
        """Write all of them, with a month's `credit`, or nothing and False: where a stored revision is not one less than
        here (0: there is none), or where two parties would have two versions signed, or two that are not."""

    def agreement(self, agreement_id: str, version: int) -> Agreement | None: ...

    def agreement_versions(self, agreement_id: str) -> Sequence[Agreement]:
        """By version."""

    def agreements_between(self, project: ProjectId, provider: str) -> Sequence[Agreement]:
        """All of two parties, oldest first."""

    def agreements(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Agreement], str | None]:
        """Newest first; of these parties, or all."""

    def agreements_due(self, month: int, limit: int) -> Sequence[Agreement]:
        """Those whose month up to this one is to be credited, by month."""

    def agreement_facts(self, agreement: Agreement, begin: datetime, end: datetime) -> Facts:
        """What was written down of the agreement's sites, and of its project's jobs and bills there, within a period,
        and how the period began. Without promises."""

    def agreement_lessons(self, agreement: Agreement, begin: datetime, end: datetime) -> Sequence[Taught]:
        """What the project's finished quoted runs at the agreement's sites taught within a period, by job."""

    def service_credits(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[tuple[Credit, bool]], str | None]:
        """Newest first, each with whether it still waits to be paid."""

    def unpaid_credits(self, now: datetime, limit: int) -> Sequence[Credit]:
        """Those to be paid now, oldest first."""

    def credit_paid(self, key: str, retry_at: datetime | None) -> None:
        """It was paid, or with `retry_at` it could not be and waits until then."""


class Disputes(Protocol):
    """Disputes about bill lines. Every method is one transaction."""

    def change_dispute(
        self, dispute: Dispute, leaf: str, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        """Keep it with its last step, log `leaf`, whose number that step gets, and post `chain`, or nothing of it; what the
        ledger said, None without a chain. Raises `Conflict` where the stored revision is not one less (0: there is none)."""

    def dispute(self, usage_id: str) -> Dispute | None: ...

    def dispute_credits(
        self, parties: Collection[AccountId] | None, from_at: datetime, to_at: datetime
    ) -> Sequence[Dispute]:
        """Those of these parties, or all, that were decided with a credit within the time; by that instant and line."""

    def disputes(
        self, parties: Collection[AccountId] | None, undecided: bool, cursor: str | None, limit: int
    ) -> tuple[Sequence[Dispute], str | None]:
        """Newest first; of these parties, or all; with `undecided` the open ones alone."""
