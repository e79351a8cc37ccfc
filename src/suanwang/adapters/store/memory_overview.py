"""Sums and trails in memory: the reference for the Protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.ids import AllocationId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Event
from suanwang.ports import Flow, SiteDay, TrailQuery
from suanwang.trading.agreements import ZONE
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import NETWORK, AccountId, Entry, Owner, Phase
from suanwang.trading.listings import Copy, Use, UseState
from suanwang.trading.market.termination import Termination
from suanwang.trading.market.values import Trade


class MemoryOverview(MemoryLedger):
    """Implements `ports.Overview`; `MemoryStore` mixes it in."""

    _bills: list[BillLine]
    _events: list[Event]
    _trades: dict[str, Trade]
    _copies: dict[str, Copy]
    _uses: dict[tuple[AllocationId, str, str], Use]
    _terminations: dict[str, Termination]

    def flows(self, account: AccountId, begin: datetime, end: datetime) -> Sequence[Flow]:
        with self._lock:
            lines = {line.usage_id: line for line in self._bills}
            sums: dict[tuple[str, str, ProjectId | None, str | None], list[int]] = defaultdict(list)
            for entry in self._entries.values():
                made = entry.transfer
                mine = account in (made.debit, made.credit) and made.phase in (Phase.DIRECT, Phase.POST)
                if mine and begin <= entry.at < end:
                    for key, amount in self._parts(entry, account, lines):
                        sums[key].append(amount)
        return [
            Flow(
                month=month,
                code=code,
                project=project,
                provider=provider,
                amount_fen=sum(amounts),
                transfers=len(amounts),
            )
            for (month, code, project, provider), amounts in sorted(
                sums.items(), key=lambda item: (*item[0][:2], *((part is not None, part or "") for part in item[0][2:]))
            )
        ]

    def _parts(
        self, entry: Entry, account: AccountId, lines: dict[str, BillLine]
    ) -> Iterator[tuple[tuple[str, str, ProjectId | None, str | None], int]]:
        """What a transfer comes to, and for whom; what the network gets of a sale is named after its seller."""
        made = entry.transfer
        month, code, project, provider = self._flow_key(entry, account, lines)
        amount = made.amount_fen if made.credit == account else -made.amount_fen
        kind, _, name = made.chain.partition("/")
        if account != NETWORK or provider is not None:
            yield (month, code, project, provider), amount
            return
        trades = [trade for trade in self._trades.values() if trade.order_id == name.partition("/")[0]]
        if kind == "trade" and code == "commission" and any(trade.commission_fen for trade in trades):
            for seller in sorted({trade.seller for trade in trades if trade.commission_fen}):
                part = sum(trade.commission_fen for trade in trades if trade.seller == seller)
                yield (month, code, project, _named([seller], Owner.PROVIDER)), part
            return
        before = [each.transfer.credit for each in self.chain_entries([made.chain]) if each.leaf < entry.leaf]
        ended = self._terminations.get(name) if kind == "termination" else None
        sellers = [ended.seller] if ended is not None else before[-1:]
        yield (month, code, project, _named(sellers, Owner.PROVIDER)), amount

    def _flow_key(
        self, entry: Entry, account: AccountId, lines: dict[str, BillLine]
    ) -> tuple[str, str, ProjectId | None, str | None]:
        made, month = entry.transfer, entry.at.astimezone(ZONE).strftime("%Y-%m")
        kind, _, name = made.chain.partition("/")
        line = lines.get(name) if kind in ("bill", "dispute") else None
        if line is not None:
            return month, made.code, line.project, line.provider
        other = made.debit if made.credit == account else made.credit
        chain = [each.transfer.debit for each in self.chain_entries([made.chain])]
        project = _named([other, *chain], Owner.PROJECT)
        return month, made.code, None if project is None else ProjectId(project), _named([other], Owner.PROVIDER)

    def leftovers(self, begin: datetime, end: datetime) -> Mapping[AccountId, int]:
        with self._lock:
            uses = [use for use in self._uses.values() if use.state is UseState.PAID]
            sales: list[Trade | Copy | Use] = [*self._trades.values(), *self._copies.values(), *uses]
            sums: dict[AccountId, int] = defaultdict(int)
            for sale in sales:
                if begin <= sale.at < end and sale.leftover:
                    sums[sale.seller] += sale.leftover
        return dict(sorted(sums.items()))

    def site_days(self, sites: Collection[SiteId], begin: datetime, end: datetime) -> Sequence[SiteDay]:
        sums: dict[tuple[SiteId, date], list[tuple[float, float]]] = defaultdict(list)
        with self._lock:
            for record in self._usage.values():
                if record.site_id in sites and begin <= record.from_at < end:
                    hours = (record.to_at - record.from_at).total_seconds() / 3600
                    key = (record.site_id, record.from_at.astimezone(ZONE).date())
                    sums[key].append((record.cores * hours, record.devices * hours))
        return [
            SiteDay(site_id=site, day=day, core_hours=sum(c for c, _ in used), device_hours=sum(d for _, d in used))
            for (site, day), used in sorted(sums.items())
        ]

    def trail(self, query: TrailQuery, before: int | None, limit: int) -> Sequence[Event]:
        with self._lock:
            found: list[Event] = []
            for event in reversed(self._events):
                if (before is None or event.seq < before) and _asked_for(event, query):
                    found.append(event)
                    if len(found) == limit:
                        break
            return found

    def checkpoints(self, before: int | None, limit: int) -> Sequence[Checkpoint]:
        with self._lock:
            sizes = sorted((size for size in self._checkpoints if before is None or size < before), reverse=True)
            return [self._checkpoints[size] for size in sizes[:limit]]


def _named(accounts: Sequence[AccountId], owner: Owner) -> str | None:
    return next((name for kind, _, name in (account.partition(":") for account in accounts) if kind == owner), None)


def _asked_for(event: Event, query: TrailQuery) -> bool:
    wanted = ("",) if query.kinds is None else tuple(query.kinds)
    return (
        event.kind.startswith(wanted)
        and (query.kinds is not None or not event.kind.startswith("job."))
        and (query.project is None or event.project == query.project)
        and (query.actor is None or event.actor == query.actor)
        and (query.from_at is None or event.at >= query.from_at)
        and (query.to_at is None or event.at < query.to_at)
    )
