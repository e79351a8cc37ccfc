"""Vouchers in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.errors import Conflict
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Event
from suanwang.trading.disputes import CODE, credit_name
from suanwang.trading.ledger import Account, Chain, Outcome, Phase, Verdict
from suanwang.trading.vouchers import Voucher, VoucherUse


class MemoryVouchers(MemoryLedger):
    """Implements `ports.Vouchers`; `MemoryStore` mixes it in."""

    _bills: list[BillLine]

    def __init__(self) -> None:
        super().__init__()
        self._vouchers: dict[str, Voucher] = {}
        self._voucher_jobs: dict[JobId, str] = {}

    def add_voucher(
        self, voucher: Voucher, accounts: Sequence[Account], chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome:
        with self._lock:
            known = self._vouchers.get(voucher.id)
            if known is not None and not voucher.same_as(known):
                raise Conflict("there is another voucher of this name", field="id", allowed="a new name")
            self.open_accounts(accounts)
            outcome = self._post(chain, now)
            if outcome.verdict is Verdict.POSTED:
                self._vouchers[voucher.id] = voucher
                self.append_events(events)
            return outcome

    def voucher(self, voucher_id: str) -> Voucher | None:
        return self._vouchers.get(voucher_id)

    def vouchers(
        self, holders: Collection[str] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Voucher], str | None]:
        with self._lock:
            every = list(enumerate(self._vouchers.values()))
            before = len(every) if cursor is None else int(cursor)
            found = [
                (at, each)
                for at, each in reversed(every[:before])
                if holders is None or not set(holders).isdisjoint(each.holders)
            ]
            return [each for _, each in found[:limit]], str(found[limit - 1][0]) if len(found) > limit else None

    def live_vouchers(self, holders: Collection[str], now: datetime) -> Sequence[Voucher]:
        with self._lock:
            wanted = set(holders)
            found = [v for v in self._vouchers.values() if v.live(now) and not wanted.isdisjoint(v.holders)]
            return sorted(found, key=lambda voucher: (voucher.until_at, voucher.id))

    def ended_vouchers(self, now: datetime, limit: int) -> Sequence[Voucher]:
        with self._lock:
            found = [v for v in self._vouchers.values() if v.closed_at is None and v.until_at <= now]
            return sorted(found, key=lambda voucher: (voucher.until_at, voucher.id))[:limit]

    def close_voucher(self, voucher_id: str, now: datetime, events: Sequence[Event]) -> bool:
        with self._lock:
            stored = self._vouchers.get(voucher_id)
            if stored is None or stored.closed_at is not None:
                return False
            self._vouchers[voucher_id] = replace(stored, closed_at=now)
            self.append_events(events)
            return True

    def bind_vouchers(self, chosen: Mapping[JobId, str], now: datetime, events: Sequence[Event] = ()) -> None:
        with self._lock:
            fresh = {job: voucher for job, voucher in chosen.items() if job not in self._voucher_jobs}
            self._voucher_jobs.update(fresh)
            if fresh:
                self.append_events(events)

    def bound_vouchers(self, jobs: Collection[JobId]) -> Mapping[JobId, str]:
        with self._lock:
            return {job: self._voucher_jobs[job] for job in jobs if job in self._voucher_jobs}

    def voucher_uses(self, vouchers: Collection[str]) -> Sequence[VoucherUse]:
        with self._lock:
            paid: dict[tuple[str, str], int] = defaultdict(int)
            for entry in self._entries.values():
                owner, _, name = entry.transfer.debit.partition(":")
                if entry.transfer.phase is Phase.POST and owner == "voucher" and name in vouchers:
                    paid[name, entry.transfer.chain.removeprefix("bill/")] += entry.transfer.amount_fen
                owner, _, name = entry.transfer.credit.partition(":")
                if entry.transfer.code == CODE and owner == "voucher" and name in vouchers:
                    paid[name, entry.transfer.chain.removeprefix(credit_name(""))] -= entry.transfer.amount_fen
            grouped: dict[tuple[str, ProjectId, str, SiteId], list[tuple[BillLine, int]]] = defaultdict(list)
            lines = {line.usage_id: line for line in self._bills}
            for (name, usage_id), amount in paid.items():
                line = lines[usage_id]
                grouped[name, line.project, line.provider, line.site_id].append((line, amount))
            return [
                VoucherUse(
                    voucher=name,
                    project=project,
                    provider=provider,
                    site=site,
                    jobs=len({line.job_id for line, _ in uses}),
                    lines=len(uses),
                    amount_fen=sum(amount for _, amount in uses),
                    billed_fen=sum(line.amount_fen for line, _ in uses),
                    first_at=min(line.from_at for line, _ in uses),
                    last_at=max(line.to_at for line, _ in uses),
                )
                for (name, project, provider, site), uses in sorted(grouped.items())
            ]
