"""From a job's first event to the last fen, and back: events, usage records, bill lines, transfers, accounts.

Owns how they hang together. What a transfer is of follows from its chain's name. Who may see what is as on the pages: lines as
`Bills` shows them, transfers of an account as `Wallets` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from suanwang.control.billing.bills import Bills, narrowed
from suanwang.control.billing.wallets import Wallets
from suanwang.domain.errors import NotFound
from suanwang.domain.identity import Principal
from suanwang.domain.ids import JobId
from suanwang.domain.job import Event, Job
from suanwang.ports import BillQuery, Charged, Store
from suanwang.trading.disputes import credit_name
from suanwang.trading.ledger import AccountId, Entry, Phase
from suanwang.trading.settlement import chain_name
from suanwang.trading.vouchers import hold_name

_PAGE = 1000
_OF_LINES = ("bill", "voucher", "dispute")
_OF_RUNS = ("lease", "use")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a transfer is of: `kind` is the first word of its chain's name, `name` the rest."""

    entry: Entry
    kind: str
    name: str
    usage_id: str | None = None
    """The usage record, where it pays, holds or gives back a bill line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A usage record with its line and every transfer that moved or held money for it."""

    charged: Charged
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`events` are empty for who sees the job's lines alone. `origin`: the transfer that was asked about."""

    job: Job | None
    events: tuple[Event, ...] = ()
    records: tuple[Rated, ...] = ()
    uses: tuple[Entry, ...] = ()
    """What was held and paid for the use of listings."""
    origin: Origin | None = None

    @property
    def changes(self) -> dict[AccountId, int]:
        """Account → what it gained by all of it; they sum to zero."""
        found: dict[AccountId, int] = {}
        for entry in (*(each for record in self.records for each in record.entries), *self.uses):
            moved = entry.transfer
            if moved.phase in (Phase.DIRECT, Phase.POST):
                found[moved.debit] = found.get(moved.debit, 0) - moved.amount_fen
                found[moved.credit] = found.get(moved.credit, 0) + moved.amount_fen
        return dict(sorted(found.items()))


class Traces:
    def __init__(self, store: Store, bills: Bills, wallets: Wallets) -> None:
        self._store = store
        self._bills = bills
        self._wallets = wallets

    def trace(self, caller: Principal, of: str) -> Trace:
        """Of a job, a usage record (`ALLOCATION:N`) or a transfer. Raises `NotFound` for what the caller may not see."""
        if "/" in of:
            return self._transfer(caller, of)
        if ":" in of:
            return self._job(caller, self._bills.line(caller, of).job_id)
        return self._job(caller, JobId(of))

    def _transfer(self, caller: Principal, transfer_id: str) -> Trace:
        entry = self._store.entry(transfer_id)
        if entry is None or not self._seen(caller, entry):
            raise NotFound(
                f"there is no transfer {transfer_id[:100]!r} of yours", field="of", allowed="see `wallet show`"
            )
        origin = origin_of(entry)
        job_id = None
        if origin.usage_id is not None:
            job_id = _job_of(origin.usage_id.partition(":")[0])
        elif origin.kind in _OF_RUNS:
            job_id = _job_of(origin.name.partition("/")[0])
        if job_id is None:
            return Trace(job=None, origin=origin)
        try:
            return replace(self._job(caller, job_id), origin=origin)
        except NotFound:  # A co-owner sees what paid him, and no more of the job.
            return Trace(job=None, origin=origin)

    def _seen(self, caller: Principal, entry: Entry) -> bool:
        """Whose account it is on, and whoever sees the line it pays, as a voucher's leg."""
        if any(self._wallets.sees(caller, side) for side in (entry.transfer.debit, entry.transfer.credit)):
            return True
        usage_id = origin_of(entry).usage_id
        try:
            return usage_id is not None and bool(self._bills.line(caller, usage_id))
        except NotFound:
            return False

    def _job(self, caller: Principal, job_id: JobId) -> Trace:
        job = self._store.job(job_id)
        charged = list(self._charged(caller, job_id)) if job is not None else []
        whole = job is not None and caller.may_see(job.project)
        if job is None or not (whole or charged):
            raise NotFound(f"there is no job {job_id[:100]!r} of yours", field="of", allowed="see `job list`")
        chains = {name: each.usage.id for each in charged for name in _chains(each.usage.id)}
        entries: dict[str, list[Entry]] = {}
        for entry in self._store.chain_entries(list(chains)):
            entries.setdefault(chains[entry.transfer.chain], []).append(entry)
        uses: Sequence[Entry] = ()
        if whole:
            runs = [run.id for run in self._store.allocations(job_id)]
            uses = self._store.chain_entries(
                [name for run in runs for name in (f"use/{run}", f"use/{run}/post", f"use/{run}/void")]
            )
        return Trace(
            job=job,
            events=tuple(self._events(job_id)) if whole else (),
            records=tuple(Rated(charged=each, entries=tuple(entries.get(each.usage.id, ()))) for each in charged),
            uses=tuple(uses),
        )

    def _charged(self, caller: Principal, job_id: JobId) -> Iterator[Charged]:
        query, cursor = narrowed(caller, BillQuery(job_id=job_id)), None
        while True:
            page, cursor = self._store.charges(query, cursor, _PAGE)
            yield from page
            if cursor is None:
                return

    def _events(self, job_id: JobId) -> Iterator[Event]:
        after = 0
        while True:
            page = self._store.events(after, _PAGE, job_id=job_id)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].seq


def origin_of(entry: Entry) -> Origin:
    kind, _, name = entry.transfer.chain.partition("/")
    usage_id = name.removesuffix("/void") if kind in _OF_LINES and ":" in name else None
    return Origin(entry=entry, kind=kind, name=name, usage_id=usage_id)


def _chains(usage_id: str) -> tuple[str, ...]:
    hold = hold_name(usage_id)
    return chain_name(usage_id), hold, f"{hold}/void", credit_name(usage_id)


def _job_of(allocation: str) -> JobId:
    return JobId(allocation.rpartition("-")[0])
