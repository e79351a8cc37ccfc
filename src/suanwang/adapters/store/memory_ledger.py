"""The ledger in memory: the reference for the Protocol, and what the simulation runs on.

Owns the same rules that PostgreSQL enforces with triggers and constraints. The memory store's lock stands for
transactions.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from suanwang.domain.errors import Conflict, NotFound
from suanwang.domain.identity import Project
from suanwang.domain.ids import AllocationId, JobId, ProjectId
from suanwang.domain.job import Allocation, AllocationState, BillLine, Event, Job, Step, UsageRecord
from suanwang.ports import Audit, Claim, Fault, HeldLease, OpenLine, Stray
from suanwang.trading.budgets import Draw, asked_for, spending
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.holding import RUNS, ended, joined, lease_of, nothing_held, pay, pledge_chain
from suanwang.trading.leaves import seal_leaf, transfer_leaf
from suanwang.trading.ledger import (
    Account,
    AccountId,
    Book,
    Chain,
    Entry,
    Hold,
    Outcome,
    Owner,
    Phase,
    Verdict,
    account_id,
    release,
)
from suanwang.trading.merkle import Edge, Key, leaf_hash
from suanwang.trading.published import Name, Published
from suanwang.trading.settlement import chain_name
from suanwang.trading.tallying import Tally


@dataclass(slots=True)
class _Open:
    """A line's place in the work list."""

    line: BillLine
    before_fen: int
    retry_at: datetime | None = None
    leaf: int | None = None
    told: bool = False


class MemoryLedger(ABC):
    """Implements `ports.Ledger`; `MemoryStore` mixes it in."""

    _lock: threading.RLock
    _usage: dict[str, UsageRecord]
    _allocations: dict[AllocationId, Allocation]
    _jobs: dict[JobId, Job]
    _live: dict[AllocationId, JobId]
    _projects: dict[ProjectId, Project]
    _voucher_jobs: dict[JobId, str]

    def __init__(self) -> None:
        self._book = Book()
        self._entries: dict[str, Entry] = {}
        self._log: list[str] = []
        self._edge = Edge()
        self._hashes: dict[Key, bytes] = {}
        self._checkpoints: dict[int, Checkpoint] = {}
        self._open_lines: dict[str, _Open] = {}
        self._settled: dict[str, int] = {}
        self._seals: dict[tuple[str, str, str], int] = {}
        self._billed: dict[JobId, int] = defaultdict(int)
        self._tallies: dict[Tally, Decimal] = {}
        self._closing: set[AllocationId] = set()
        """Leases that ended, until what they held is released."""
        self._persons: dict[str, str] = {}
        """Who asked for what a chain pays."""
        self._spending: Counter[tuple[str, str, str]] = Counter()

    @abstractmethod
    def append_events(self, events: Sequence[Event]) -> None: ...

    @abstractmethod
    def _passed(self, draw: Draw, now: datetime) -> str: ...

    def _owe(self, lines: Sequence[BillLine]) -> None:
        for line in lines:
            self._open_lines[line.usage_id] = _Open(line, self._billed[line.job_id])
            self._billed[line.job_id] += line.amount_fen

    # accounts

    def open_accounts(self, accounts: Sequence[Account]) -> None:
        with self._lock:
            for account in accounts:
                self._book.accounts.setdefault(account.id, replace(account, balance_fen=0, held_fen=0))

    def account(self, account_id: AccountId) -> Account | None:
        return self._book.accounts.get(account_id)

    def accounts(
        self, only: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Account], str | None]:
        with self._lock:
            names = sorted(key for key in self._book.accounts if only is None or key in only)
            start = bisect_right(names, cursor) if cursor else 0
            page = names[start : start + limit]
            return [self._book.accounts[key] for key in page], page[-1] if start + limit < len(names) else None

    def set_floor(self, account_id: AccountId, floor_fen: int | None, events: Sequence[Event]) -> Account:
        with self._lock:
            stored = self._book.accounts.get(account_id)
            if stored is None:
                raise NotFound(f"there is no account {account_id!r}", field="account")
            changed = replace(stored, floor_fen=floor_fen)
            if changed.available_fen is not None and changed.available_fen < 0:
                raise Conflict("the account is below this limit already: settle it first", field="limit_fen")
            self._book.accounts[account_id] = changed
            self._wake({account_id})
            self.append_events(events)
            return changed

    def _wake(self, accounts: Collection[AccountId]) -> None:
        for waiting in self._open_lines.values():
            if account_id(Owner.PROJECT, waiting.line.project) in accounts:
                waiting.retry_at = None

    # transfers

    def post(
        self, chains: Sequence[Chain], now: datetime, events: Sequence[Event] = (), draw: Draw | None = None
    ) -> Sequence[Outcome]:
        with self._lock:
            if draw is not None:
                purse = self._passed(draw, now)
                if purse:
                    return [self._book.unborne(chain, purse) for chain in chains]
                self._persons.update({asked_for(chain[0].chain): draw.person for chain in chains})
            outcomes = [self._post(chain, now) for chain in chains]
            if any(outcome.verdict is Verdict.POSTED for outcome in outcomes):
                self.append_events(events)
            for chain, outcome in zip(chains, outcomes, strict=True):
                if outcome.verdict is Verdict.POSTED:
                    self._wake({transfer.credit for transfer in chain})
            return outcomes

    def _post(self, chain: Chain, now: datetime) -> Outcome:
        outcome = self._book.post(chain, now)
        if outcome.verdict is Verdict.POSTED:
            self._enter(chain, now)
        return outcome

    def _enter(self, chain: Chain, now: datetime) -> None:
        for transfer in chain:
            leaf = self._append(transfer_leaf(transfer, now))
            self._entries[transfer.id] = Entry(transfer=transfer, at=now, leaf=leaf)
        self._spending.update(spending(chain, self._persons, now))

    def _append(self, leaf: str) -> int:
        index, value = len(self._log), leaf_hash(leaf.encode())
        self._edge, made = self._edge.grown([value])
        self._hashes.update(made)
        self._hashes[0, index] = value
        self._log.append(leaf)
        return index

    def release_expired(self, now: datetime, limit: int) -> int:
        with self._lock:
            over = sorted(
                (h for h in self._book.holds.values() if h.timeout_at <= now), key=lambda h: (h.timeout_at, h.id)
            )
            return sum(self._post((release(hold),), now).verdict is Verdict.POSTED for hold in over[:limit])

    # what leases hold

    def _lease_holds(self, owner: Owner) -> dict[AllocationId, Hold]:
        return {
            lease_of(hold.id): hold
            for hold in self._book.holds.values()
            if hold.credit == RUNS and hold.debit.startswith(f"{owner}:")
        }

    def _pledge(self, step: Step) -> bool:
        """Whether the step's budgets and project bear what its new lease holds; it is held then."""
        if step.pledge is None or step.allocation is None:
            return True
        draw = Draw(project=step.job.project, person=step.job.owner, amount_fen=step.pledge.amount_fen)
        if self._passed(draw, step.allocation.granted_at):
            return False
        made = pledge_chain(step.job.project, step.allocation.id, step.pledge)
        voucher = step.pledge.voucher
        if voucher and self._voucher_jobs.get(step.job.id, voucher) != voucher:
            return False
        done = self._post(made, step.allocation.granted_at).done
        if done and voucher:
            self._voucher_jobs[step.job.id] = voucher
        return done

    def leases_held(self, due: datetime, tight: Collection[AccountId], limit: int) -> Sequence[HeldLease]:
        with self._lock:
            found: list[HeldLease] = []
            own, lent = self._lease_holds(Owner.PROJECT), self._lease_holds(Owner.VOUCHER)
            first: dict[AllocationId, datetime] = {}
            for hold in (*own.values(), *lent.values()):
                account, lease = self._book.accounts[hold.debit], lease_of(hold.id)
                left = account.available_fen
                hurried = hold.debit in tight or (left is not None and left < account.held_fen)
                if lease in self._live and (hurried or hold.timeout_at <= due):
                    first[lease] = min(hold.timeout_at, first.get(lease, hold.timeout_at))
            for lease in sorted(first, key=lambda lease: (first[lease], lease))[:limit]:
                lines = [o.line for key, o in self._open_lines.items() if key.rpartition(":")[0] == lease]
                job = self._jobs[self._live[lease]]
                found.append(
                    HeldLease(
                        hold=own.get(lease) or nothing_held(job.project, lease, lent[lease].timeout_at),
                        voucher=lent.get(lease),
                        job=job,
                        allocation=self._allocations[lease],
                        owed_fen=sum(line.amount_fen for line in lines),
                    )
                )
            return found

    def lent(self, leases: Collection[AllocationId]) -> Mapping[AllocationId, Hold]:
        with self._lock:
            return {lease: hold for lease, hold in self._lease_holds(Owner.VOUCHER).items() if lease in leases}

    def leases_bare(self, projects: Collection[ProjectId], limit: int) -> Sequence[tuple[Job, Allocation]]:
        with self._lock:
            held = {**self._lease_holds(Owner.PROJECT), **self._lease_holds(Owner.VOUCHER)}
            bare = sorted(lease for lease in self._live if lease not in held)
            found = [(self._jobs[self._live[lease]], self._allocations[lease]) for lease in bare]
            return [
                (job, allocation)
                for job, allocation in found
                if job.project in projects and allocation.state is AllocationState.RUNNING
            ][:limit]

    def release_ended(self, now: datetime, limit: int) -> int:
        with self._lock:
            both, released = (self._lease_holds(Owner.PROJECT), self._lease_holds(Owner.VOUCHER)), 0
            for lease in sorted(self._closing)[:limit]:
                holds = [found[lease] for found in both if lease in found]
                if holds and any(key.rpartition(":")[0] == lease for key in self._open_lines):
                    continue
                if holds:
                    released += self._post(joined([ended(hold) for hold in holds]), now).done
                self._closing.discard(lease)
            return released

    def strays(self, before: datetime, limit: int) -> Sequence[Stray]:
        with self._lock:
            found: list[Stray] = []
            for account in self._book.accounts.values():
                left = account.available_fen
                if left is not None and left < 0:
                    found.append(Stray(fault=Fault.OVERDRAWN, what=account.id, account=account.id, amount_fen=-left))
            for hold in self._book.holds.values():
                kept = hold.credit != RUNS or lease_of(hold.id) in self._live or lease_of(hold.id) in self._closing
                fault = Fault.OVERDUE if hold.timeout_at <= before else None if kept else Fault.ORPHAN
                if fault is not None:
                    found.append(Stray(fault=fault, what=hold.id, account=hold.debit, amount_fen=hold.amount_fen))
            for waiting in self._open_lines.values():
                line = waiting.line
                if line.project not in self._projects:
                    payer = account_id(Owner.PROJECT, line.project)
                    found.append(
                        Stray(fault=Fault.OWNERLESS, what=line.usage_id, account=payer, amount_fen=line.amount_fen)
                    )
            return sorted(found, key=lambda stray: (stray.fault, stray.what))[:limit]

    def holds(self, ids: Collection[str]) -> Sequence[Hold]:
        with self._lock:
            return [self._book.holds[name] for name in sorted(ids) if name in self._book.holds]

    def entries(self, account_id: AccountId, cursor: str | None, limit: int) -> tuple[Sequence[Entry], str | None]:
        with self._lock:
            end = int(cursor) if cursor else len(self._log)
            found = [
                entry
                for entry in reversed(self._entries.values())
                if entry.leaf < end and account_id in (entry.transfer.debit, entry.transfer.credit)
            ]
            return found[:limit], str(found[limit - 1].leaf) if len(found) > limit else None

    def chain_entries(self, chains: Collection[str]) -> Sequence[Entry]:
        with self._lock:
            found = [self._entries[key] for chain in chains for key in self._book.chains.get(chain, ())]
            return sorted(found, key=lambda entry: entry.leaf)

    def entry(self, transfer_id: str) -> Entry | None:
        return self._entries.get(transfer_id)

    # settlement

    def open_lines(self, now: datetime, limit: int) -> Sequence[OpenLine]:
        with self._lock:
            due = [each for each in self._open_lines.values() if each.retry_at is None]
            put_off = [each for each in self._open_lines.values() if each.retry_at is not None and each.retry_at <= now]
            put_off.sort(key=lambda each: each.retry_at or now)
            return [self._open_line(each) for each in (due + put_off)[:limit]]

    def _open_line(self, waiting: _Open) -> OpenLine:
        line, usage = waiting.line, self._usage[waiting.line.usage_id]
        allocation = self._allocations[usage.allocation_id]
        return OpenLine(
            line=line,
            usage=usage,
            price=allocation.price,
            started_at=allocation.started_at or usage.from_at,
            power_kw=allocation.power_kw,
            before_fen=waiting.before_fen,
            owners=allocation.owners,
            over=allocation.id not in self._live,
            person=self._jobs[usage.job_id].owner,
        )

    def settle(self, claims: Sequence[Claim], now: datetime, retry_at: datetime) -> Sequence[Outcome]:
        with self._lock:
            mine, holds = (
                [claim for claim in claims if claim.usage_id in self._open_lines],
                self._lease_holds(Owner.PROJECT),
            )
            return [self._settle(claim, holds, now, retry_at) for claim in mine]

    def _settle(self, claim: Claim, holds: dict[AllocationId, Hold], now: datetime, retry_at: datetime) -> Outcome:
        waiting = self._open_lines[claim.usage_id]
        if waiting.leaf is None:
            waiting.leaf = self._append(claim.leaf)
        name = chain_name(claim.usage_id)
        outcome = Outcome(chain=name, verdict=Verdict.POSTED)
        if claim.chain:
            self._persons[name] = claim.person
            tight = claim.lease is not None and bool(self._passed(claim.draw, now))
            outcome, freed = pay(self._book, claim.chain, holds, claim.lease, claim.over, now, tight=tight)
            self._enter(freed, now)
            if outcome.verdict is Verdict.POSTED:
                self._enter(claim.chain, now)
        if outcome.done:
            self._settled[claim.usage_id] = waiting.leaf
            del self._open_lines[claim.usage_id]
            return outcome
        waiting.retry_at = retry_at
        if not waiting.told:
            waiting.told = True
            self.append_events([claim.blocked])
        return outcome

    def count_open(self, projects: Collection[ProjectId] | None = None) -> tuple[int, int]:
        with self._lock:
            found = [o for o in self._open_lines.values() if projects is None or o.line.project in projects]
            return len(found), sum(each.told for each in found)

    # the log

    def usage_leaves(self, job_id: JobId) -> Sequence[int]:
        with self._lock:
            logged = [leaf for usage_id, leaf in self._settled.items() if self._usage[usage_id].job_id == job_id]
            tried = [o.leaf for o in self._open_lines.values() if o.leaf is not None and o.line.job_id == job_id]
            return sorted(logged + tried)

    def seal(self, kind: str, name: str, sha256: str) -> int:
        with self._lock:
            key = (kind, name, sha256)
            if key not in self._seals:
                self._seals[key] = self._append(seal_leaf(*key))
            return self._seals[key]

    def _publish(self, published: Sequence[Published]) -> None:
        for each in published:
            self._seals[each.kind, each.name, each.sha256] = self._append(each.leaf)

    def published(self, names: Collection[Name]) -> Mapping[Name, int]:
        with self._lock:
            found: dict[Name, int] = {}
            for (kind, name, _), leaf in self._seals.items():
                if (kind, name) in names:
                    found[kind, name] = min(leaf, found.get((kind, name), leaf))
            return found

    def leaves(self, indexes: Collection[int]) -> Mapping[int, str]:
        return {index: self._log[index] for index in indexes if index < len(self._log)}

    def edge(self) -> Edge:
        return self._edge

    def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        return {key: self._hashes[key] for key in keys}

    def add_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        with self._lock:
            return self._checkpoints.setdefault(checkpoint.size, checkpoint)

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        with self._lock:
            wanted = max(self._checkpoints, default=-1) if size is None else size
            return self._checkpoints.get(wanted)

    def audit(self) -> Audit:
        with self._lock:
            balances: dict[AccountId, int] = defaultdict(int)
            held: dict[AccountId, int] = defaultdict(int)
            for entry in self._entries.values():
                if entry.transfer.phase in (Phase.DIRECT, Phase.POST):
                    balances[entry.transfer.debit] -= entry.transfer.amount_fen
                    balances[entry.transfer.credit] += entry.transfer.amount_fen
            for hold in self._book.holds.values():
                held[hold.debit] += hold.amount_fen
            accounts = self._book.accounts
            return Audit(
                accounts=len(accounts),
                transfers=len(self._entries),
                sum_fen=sum(account.balance_fen for account in accounts.values()),
                wrong=tuple(
                    sorted(
                        a.id for a in accounts.values() if (a.balance_fen, a.held_fen) != (balances[a.id], held[a.id])
                    )
                ),
                unlogged=sum(
                    self._log[entry.leaf] != transfer_leaf(entry.transfer, entry.at) for entry in self._entries.values()
                ),
            )
