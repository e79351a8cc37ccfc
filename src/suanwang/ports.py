"""Every Protocol the product's loops need. Concrete classes stand behind them in `adapters`, `sensing` and `twin`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.connector import Load, Observation, RunOrder
from suanwang.domain.exchange import JoinReply, SyncReply, SyncRequest
from suanwang.domain.file import FileRecord
from suanwang.domain.identity import Project, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    Allocation,
    BillLine,
    Event,
    Job,
    LogChunk,
    Place,
    Point,
    Step,
    UsageRecord,
)
from suanwang.domain.lifecycle import JobState
from suanwang.domain.quote import Quote, Taught
from suanwang.domain.sample import Sample
from suanwang.domain.site import Ending, Held, Price, Site
from suanwang.measuring.calibration import Belief, EfficiencyState
from suanwang.trading.agreements import Agreement
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.credits import Credit, Facts
from suanwang.trading.ledger import Account, AccountId, Chain, Entry, Outcome, Transfer
from suanwang.trading.listings import Copy, Kind, Listing, Use, UseState
from suanwang.trading.market.values import Auction, Offer, Order, Reservation, Trade
from suanwang.trading.merkle import Edge, Key
from suanwang.trading.vouchers import Voucher, VoucherUse


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, UTC."""


class Connector(Protocol):
    """A site's own scheduler. One suite of contract tests holds for every one of them and for the fake."""

    def submit(self, order: RunOrder) -> str:
        """Start `order` once and return the site's native identifier. Submitting a tag again returns the same run.

        Raises `InvalidRequest` when the site refuses it for good (the site's words in the message), `Unavailable` when
        nothing was sent, `OutcomeUnknown` when it was sent and no answer came.
        """

    def observe(self, tags: Sequence[str]) -> Mapping[str, Observation]:
        """What the site knows of each tag; every tag asked for is in the answer, unknown ones as `UNKNOWN`.

        Raises `Unavailable` when the site does not answer and `UnreadableReply` when nobody understands it.
        """

    def cancel(self, tag: str) -> None:
        """Ask for the end of a run. Cancelling what is ended or unknown is no error. Raises `Unavailable`."""

    def forget(self, tag: str) -> None:
        """The outcome was reported and stored: clean up what the connector itself keeps of `tag`. Idempotent."""

    def running(self) -> Sequence[str]:
        """Tags of every run of ours that the site still holds, pending ones too, whoever started this process."""

    def load(self) -> Load:
        """Capacity and use now. Raises `Unavailable` or `UnreadableReply`."""


class Link(Protocol):
    """An agent's line to the network. Every call may raise `Unavailable` (not sent) or `OutcomeUnknown` (no answer)."""

    def join(self) -> JoinReply:
        """Begin a session: older sessions of the same site are refused from now on."""

    def sync(self, request: SyncRequest) -> SyncReply: ...

    def received(self, sha256: str) -> int:
        """Bytes the network has of a file."""

    def append(self, sha256: str, offset: int, data: bytes) -> int: ...

    def finish(self, sha256: str, size: int) -> None: ...

    def read(self, sha256: str, start: int) -> Iterator[bytes]: ...


class Files(Protocol):
    """Content-addressed bytes shared by all sites; uploads resume, and only what hashes right becomes visible."""

    def received(self, sha256: str) -> int:
        """Bytes held of an unfinished upload, or the size once whole."""

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        """Add bytes at `offset`; returns the new offset. Raises `Conflict` naming the right one, `TooLarge`, `Unavailable`."""

    def finish(self, sha256: str, size: int) -> None:
        """Check and publish. Raises `InvalidRequest` where the bytes do not hash to `sha256`."""

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start`. Raises `NotFound`."""

    def size(self, sha256: str) -> int | None:
        """Bytes of a published content, else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A caller's own key for one request. The same key with another `digest` of the request is a `Conflict`."""

    principal: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """None means no restriction."""

    projects: Collection[ProjectId] | None = None
    states: Collection[JobState] | None = None
    site_id: SiteId | None = None
    owner: str | None = None
    array_id: JobId | None = None
    name: str | None = None
    """Exact task name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What each project held lately, older times counting less, as of one instant."""

    at: datetime
    of: Mapping[ProjectId, Amounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillQuery:
    projects: Collection[ProjectId] | None = None
    job_id: JobId | None = None
    site_id: SiteId | None = None
    provider: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTotal:
    """Sums over bill lines that agree in project and provider."""

    project: ProjectId
    provider: str
    jobs: int
    amount_fen: int
    energy_kwh: float
    carbon_g: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of an allocation's output is stored."""

    stdout: int = 0
    stderr: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told outside, at least once."""

    id: int
    payload: Mapping[str, object]
    attempts: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A bill line with what it was rated from."""

    line: BillLine
    usage: UsageRecord
    price: Price
    started_at: datetime
    power_kw: float
    settled: bool


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

    def post(self, chains: Sequence[Chain], now: datetime, events: Sequence[Event] = ()) -> Sequence[Outcome]:
        """Post each chain wholly or not at all, in this order; `events` are told where any was posted now."""

    def release_expired(self, now: datetime, limit: int) -> int:
        """Void pending transfers whose time is over; returns how many."""

    def entries(self, account_id: AccountId, cursor: str | None, limit: int) -> tuple[Sequence[Entry], str | None]:
        """Transfers of an account, newest first."""

    def chain_entries(self, chains: Collection[str]) -> Sequence[Entry]:
        """Transfers of these chains, by leaf."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Guards how much of a device a site has put on the market: whoever lists more of it moves `revision` on by one."""

    site: SiteId
    device: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """One change of the market: all of it happens, or nothing does.

    Offers, orders and reservations carry revision 0 where they are new, else the stored one plus 1. With `auction`, the
    orders are all those that stood sealed for it.
    """

    offers: tuple[Offer, ...] = ()
    orders: tuple[Order, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    trades: tuple[Trade, ...] = ()
    auction: Auction | None = None
    stock: Stock | None = None
    """Its `revision` is the stored one plus 1; of a stock that nobody listed from yet 1."""
    chains: tuple[Chain, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Whether a deal was done; where not, `refused` are the chains that the ledger did not take, none where something of it
    has moved on: read again, decide again."""

    done: bool
    refused: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferQuery:
    """None means no restriction. An offer counts where its windows overlap `first` to `end`."""

    sites: Collection[SiteId] | None = None
    devices: Collection[str] | None = None
    sellers: Collection[AccountId] | None = None
    first: int | None = None
    end: int | None = None
    open: bool = True
    """Without those that were withdrawn or sold out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeQuery:
    projects: Collection[ProjectId] | None = None
    sellers: Collection[AccountId] | None = None
    order_id: str | None = None
    site: SiteId | None = None
    device: str | None = None


class Market(Protocol):
    """Offers, orders, trades, rights and calls. Every method is one transaction."""

    def deal(self, deal: Deal, now: datetime) -> Dealt:
        """Carry it out wholly or not at all. A new open order whose call was made already, and a call without one of its
        orders or made before, are refused as moved on."""

    def offer(self, offer_id: str) -> Offer | None: ...

    def offers(self, query: OfferQuery, cursor: str | None, limit: int) -> tuple[Sequence[Offer], str | None]:
        """Newest first."""

    def listed(
        self, site: SiteId, device: str, first: int, end: int
    ) -> tuple[int, Sequence[Offer], Sequence[Reservation]]:
        """The stock's revision (0 for none), and the open offers and reservations of it that overlap these windows, as of
        one instant."""

    def order(self, order_id: str) -> Order | None: ...

    def orders(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Order], str | None]:
        """Newest first."""

    def sealed(self, first: int) -> Sequence[Order]:
        """Orders that stand open for the call of this window, by identifier."""

    def calls_waiting(self, until: int, limit: int) -> Sequence[int]:
        """Windows up to `until` for which an order stands open, ascending."""

    def reservation(self, reservation_id: str) -> Reservation | None: ...

    def reservations(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Reservation], str | None]:
        """Newest first."""

    def reserved(self, first: int, end: int) -> Sequence[Reservation]:
        """Rights that have units left in any of these windows, by identifier."""

    def trades(self, query: TradeQuery, cursor: str | None, limit: int) -> tuple[Sequence[Trade], str | None]:
        """Newest first."""

    def auction(self, first: int) -> Auction | None: ...

    def auctions(self, before: int | None, limit: int) -> Sequence[Auction]:
        """Calls that were made, latest window first, those before window `before`."""


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
        """What these vouchers paid: by voucher, project, provider and site."""


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

    def service_credits(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[tuple[Credit, bool]], str | None]:
        """Newest first, each with whether it still waits to be paid."""

    def unpaid_credits(self, now: datetime, limit: int) -> Sequence[Credit]:
        """Those to be paid now, oldest first."""

    def credit_paid(self, key: str, retry_at: datetime | None) -> None:
        """It was paid, or with `retry_at` it could not be and waits until then."""


class Store(Ledger, Market, Vouchers, Agreements, Listings, Protocol):
    """The network's memory. Every method is one transaction. Raises `Unavailable` where the database does not answer.

    Cursors are opaque strings; None starts at the front and comes back at the end.
    """

    # jobs
    def add_jobs(
        self, jobs: Sequence[Job], events: Sequence[Event], idempotency: Idempotency | None = None
    ) -> tuple[tuple[JobId, ...], bool]:
        """Insert jobs (revision 0) with their events. A known key with the same digest changes nothing and returns the
        earlier identifiers and True. Raises `Conflict` for a key used for another request."""

    def jobs_of_key(self, idempotency: Idempotency) -> tuple[JobId, ...] | None:
        """Jobs that a request with this key was given, None for a new key. Raises `Conflict` as `add_jobs`."""

    def job(self, job_id: JobId) -> Job | None: ...

    def jobs(self, query: JobQuery, cursor: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
        """Newest first."""

    def jobs_by_id(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]: ...

    def count_jobs(self, projects: Collection[ProjectId] | None = None) -> Mapping[JobState, int]:
        """Jobs per state (states with none may be missing)."""

    def queued(self, limit: int, after: Place | None = None, now: datetime | None = None) -> Sequence[Job]:
        """Jobs in `QUEUED`, by `place_of`; with `after`, those behind that place; with `now`, without those that a hold
        keeps beyond it."""

    def decided_waiting(self, limit: int) -> Sequence[tuple[Job, Mapping[JobId, JobState]]]:
        """Jobs in `WAITING` whose needs have all succeeded, or one of whose needs ended otherwise; with their needs' states."""

    def live_at(self, site_id: SiteId) -> Sequence[tuple[Job, Allocation]]:
        """Jobs whose live allocation (`LEASED` or `RUNNING`) is at the site, by allocation identifier."""

    def checkpointed(self, limit: int, after: AllocationId | None = None) -> Sequence[tuple[Job, Allocation]]:
        """Jobs in `RUNNING` with a checkpoint and no hold, with their live allocations, by allocation identifier; those behind
        `after`."""

    def overdue(self, before: datetime, limit: int) -> Sequence[tuple[Job, Allocation]]:
        """Live allocations with `lease_until` before the instant."""

    def allocation(self, allocation_id: AllocationId) -> Allocation | None: ...

    def allocations(self, job_id: JobId) -> Sequence[Allocation]:
        """By epoch."""

    def apply(self, steps: Sequence[Step]) -> frozenset[JobId]:
        """Carry out each step wholly or not at all; returns the jobs whose step was refused.

        A step is refused where the stored job revision is not `step.job.revision - 1`, and, where it fences
        (`allocation.state` FENCED), where the stored `lease_until` is no longer the allocation's. Two steps of one job in
        one call are not allowed. Events, usage records, bill lines and notices of applied steps are appended; a usage
        record whose id exists already refuses its step.
        """

    def renew(self, allocation_ids: Sequence[AllocationId], lease_until: datetime) -> frozenset[AllocationId]:
        """Move `lease_until` (never backwards) of those that are still live; returns which."""

    # sites
    def add_site(self, site: Site, events: Sequence[Event]) -> None:
        """Raises `Conflict` where the identifier is taken."""

    def site(self, site_id: SiteId) -> Site | None: ...

    def sites(self) -> Sequence[Site]:
        """By identifier."""

    def put_site(self, site: Site, events: Sequence[Event] = (), *, unhold: bool = False) -> None:
        """Replace; `site.revision` is the stored one plus 1, else `Conflict`. With `unhold`, queued jobs that are held for
        this site lose their hold in the same step, so that they are decided anew."""

    def held(self) -> Mapping[SiteId, Held]:
        """Sums over live allocations: nodes × per-node figures of their jobs. Sites with none may be missing."""

    def endings(self) -> Mapping[SiteId, Sequence[Ending]]:
        """When live allocations are over at the latest: granted or started plus their time limit. Where there are many, those
        of one minute are put together at its end."""

    def add_samples(self, site_id: SiteId, samples: Sequence[Sample]) -> None: ...

    def samples(self, site_id: SiteId) -> Sequence[Sample]:
        """The newest of each (metric_type, source, statistic), by metric_type."""

    # output
    def add_output(self, chunks: Sequence[LogChunk], points: Sequence[Point]) -> None:
        """Append. A chunk that does not begin where its stream ends, and a line that exists, are passed over."""

    def extents(self, allocation_ids: Sequence[AllocationId]) -> Mapping[AllocationId, Extent]:
        """Every identifier asked for is in the answer."""

    def logs(self, job_id: JobId, after: int, limit: int) -> Sequence[tuple[int, LogChunk]]:
        """(sequence number, chunk) with sequence > `after`, ascending."""

    def points(self, job_id: JobId) -> Sequence[Point]:
        """By arrival."""

    # the record
    def append_events(self, events: Sequence[Event]) -> None: ...

    def events(
        self,
        after: int,
        limit: int,
        *,
        projects: Collection[ProjectId] | None = None,
        job_id: JobId | None = None,
        site_id: SiteId | None = None,
        kind: str | None = None,
    ) -> Sequence[Event]:
        """With `seq` > `after`, ascending; `kind` is a prefix such as `job.`."""

    def last_seq(self) -> int: ...

    def usage_records(self, job_id: JobId) -> Sequence[UsageRecord]: ...

    def bill_lines(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[BillLine], str | None]:
        """Newest first."""

    def charges(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[Charged], str | None]:
        """Bill lines with what they were rated from, oldest first."""

    def bill_totals(self, query: BillQuery) -> Sequence[BillTotal]: ...

    # quotes and learning
    def add_quote(self, quote: Quote) -> None: ...

    def quote(self, quote_id: str) -> Quote | None: ...

    def unlearnt(self, limit: int) -> Sequence[tuple[Job, Allocation]]:
        """Succeeded jobs whose terms hold a prediction and that nothing was learnt from yet, with their last allocation."""

    def add_lesson(self, taught: Taught, belief: Belief | None) -> bool:
        """Keep what a job taught and, where it did, the new belief about its (device, class). False where the job taught before."""

    def lessons(self, limit: int) -> Sequence[Taught]:
        """Newest first."""

    def beliefs(self) -> EfficiencyState: ...

    # files
    def add_file(self, record: FileRecord) -> FileRecord:
        """Store under the next version of (project, name); the same content again returns the version that has it."""

    def file(self, project: ProjectId, name: str) -> FileRecord | None:
        """The newest version."""

    def files(self, project: ProjectId, cursor: str | None, limit: int) -> tuple[Sequence[FileRecord], str | None]: ...

    def file_of(self, project: ProjectId, sha256: str) -> FileRecord | None:
        """A file of the project that has this content and may leave its site."""

    def file_readers(self, sha256: str) -> Collection[ProjectId]:
        """Projects that have a record of this content."""

    # people
    def add_token(self, token: Token, events: Sequence[Event]) -> None: ...

    def token(self, digest: str) -> Token | None: ...

    def tokens(self) -> Sequence[Token]: ...

    def revoke_token(self, token_id: str, at: datetime, events: Sequence[Event]) -> bool:
        """False where there is none of that identifier."""

    def add_project(self, project: Project, events: Sequence[Event]) -> None:
        """Adding one that exists changes nothing."""

    def label_project(self, project_id: ProjectId, labels: Mapping[str, str], events: Sequence[Event]) -> bool:
        """Say whose a project is; False where there is none."""

    def projects(self) -> Sequence[Project]: ...

    # allowances of projects
    def put_allowance(self, project_id: ProjectId, allowance: Allowance, events: Sequence[Event]) -> bool:
        """Replace what a project may have; False where there is no such project."""

    def allowances(self) -> Mapping[ProjectId, Allowance]:
        """Of the projects somebody decided about."""

    def held_by_project(self) -> Mapping[ProjectId, Amounts]:
        """Sums over live allocations, as `held`, by project. Projects with none may be missing."""

    def lately(self) -> Lately | None: ...

    def put_lately(self, lately: Lately, before: datetime | None) -> bool:
        """Replace the means; False where what is stored is not as of `before` (None: nothing is stored)."""

    # outbox
    def notices_due(self, now: datetime, limit: int) -> Sequence[Notice]: ...

    def notice_done(self, notice_id: int) -> None: ...

    def notice_failed(self, notice_id: int, next_at: datetime) -> None: ...

    def turn(self, name: str) -> AbstractContextManager[bool]:
        """True for one replica at a time: who gets False lets this round pass."""


class Identities(Protocol):
    """Chance, as values: identifiers and secrets are made outside and handed in."""

    def job_id(self) -> JobId:
        """A new job identifier, `j-` and at least 16 letters and digits; later ones sort after earlier ones."""

    def token(self) -> tuple[str, str]:
        """(identifier, secret) of a new credential."""


class Signer(Protocol):
    """Signs for the network (Ed25519) with a key that never leaves it."""

    @property
    def key(self) -> str:
        """The public key, hexadecimal."""

    def sign(self, data: bytes) -> str:
        """The signature, hexadecimal."""
