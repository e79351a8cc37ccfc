# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""What leases hold of their projects' accounts and of vouchers, on PostgreSQL.

Owns the two questions the loop asks: which holds are to be made anew, and which are of leases that have ended. That a lease
has ended is noted with the step that ends it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Database
from suanwang.adapters.store.job_reads import BOTH, both_from
from suanwang.adapters.store.ledger import LEASE, LEASE_HOLDS, hold_from
from suanwang.adapters.store.paging import page_size
from suanwang.domain.ids import AllocationId, ProjectId
from suanwang.domain.job import Allocation, Event, Job
from suanwang.ports import Fault, HeldLease, Stray
from suanwang.trading.budgets import Draw
from suanwang.trading.holding import ended, joined, lease_of, nothing_held
from suanwang.trading.ledger import AccountId, Chain, Hold, Outcome, Transfer

_HOLD = "h.id, h.debit, h.credit, h.amount_fen, h.timeout_at"
_OWN, _LENT = "h.debit LIKE 'project:%%'", "h.debit LIKE 'voucher:%%'"
_WHOSE = LEASE.replace("id", "h.id")
# Lines that wait to be settled are few: they are found once for all leases.
_DUE = f"""
WITH hurried AS (
    SELECT id FROM ledger_accounts WHERE held_fen > 0 AND (id = ANY(%(tight)s)
    OR (floor_fen IS NOT NULL AND balance_fen::numeric - held_fen - floor_fen < held_fen))
), due AS (
    (SELECT {_WHOSE} AS lease, h.timeout_at FROM ledger_holds h WHERE h.{LEASE_HOLDS} AND h.timeout_at <= %(due)s
    ORDER BY h.timeout_at LIMIT %(limit)s)
    UNION (SELECT {_WHOSE}, h.timeout_at FROM hurried JOIN ledger_holds h ON h.debit = hurried.id
    WHERE h.{LEASE_HOLDS} ORDER BY h.timeout_at LIMIT %(limit)s)
), leases AS (SELECT lease, min(timeout_at) AS first FROM due GROUP BY lease), owed AS (
    SELECT u.allocation_id, sum(b.amount_fen)::bigint AS fen FROM unsettled_lines o
    JOIN usage_records u ON u.id = o.usage_id JOIN bill_lines b ON b.usage_id = o.usage_id
    WHERE EXISTS (SELECT FROM due) GROUP BY 1
)
SELECT own.*, lent.*, coalesce(owed.fen, 0), {BOTH} FROM leases d JOIN granted a ON a.id = d.lease
JOIN jobs j ON j.id = a.job_id LEFT JOIN owed ON owed.allocation_id = a.id
LEFT JOIN LATERAL (SELECT {_HOLD} FROM ledger_holds h WHERE h.{LEASE_HOLDS} AND {_WHOSE} = d.lease AND {_OWN}) own ON true
LEFT JOIN LATERAL (SELECT {_HOLD} FROM ledger_holds h WHERE h.{LEASE_HOLDS} AND {_WHOSE} = d.lease AND {_LENT}) lent ON true
WHERE a.state IN ('leased', 'running') ORDER BY d.first, d.lease COLLATE "C" LIMIT %(limit)s
"""
_OF_VOUCHERS = f"SELECT {_HOLD} FROM ledger_holds h WHERE h.{LEASE_HOLDS} AND {_LENT} AND {_WHOSE} = ANY(%s)"
_BARE = f"""
SELECT {BOTH} FROM jobs j JOIN granted a ON a.id = j.allocation_id
WHERE j.project = ANY(%s) AND j.state = 'running' AND a.state = 'running'
AND NOT EXISTS (SELECT FROM ledger_holds h WHERE h.{LEASE_HOLDS} AND {_WHOSE} = a.id) ORDER BY a.id LIMIT %s
"""
_ENDED = f"""
SELECT c.allocation_id, EXISTS (SELECT FROM usage_records u JOIN unsettled_lines o ON o.usage_id = u.id
    WHERE u.allocation_id = c.allocation_id), {_HOLD}
FROM (SELECT allocation_id FROM closing_leases ORDER BY allocation_id LIMIT %s) AS c
LEFT JOIN ledger_holds h ON h.{LEASE_HOLDS} AND {_WHOSE} = c.allocation_id
"""


_STRAYS = f"""
(SELECT 'overdrawn', id, id, (floor_fen - balance_fen + held_fen)::bigint FROM ledger_accounts
    WHERE floor_fen IS NOT NULL AND balance_fen::numeric - held_fen < floor_fen)
UNION ALL (SELECT 'overdue', h.id, h.debit, h.amount_fen FROM ledger_holds h WHERE h.timeout_at <= %(before)s)
UNION ALL (SELECT 'orphan', h.id, h.debit, h.amount_fen FROM ledger_holds h
    LEFT JOIN allocations a ON a.id = {_WHOSE} AND a.state IN ('leased', 'running')
    LEFT JOIN closing_leases c ON c.allocation_id = {_WHOSE}
    WHERE h.{LEASE_HOLDS} AND h.timeout_at > %(before)s AND a.id IS NULL AND c.allocation_id IS NULL)
UNION ALL (SELECT 'ownerless', o.usage_id, 'project:' || o.project, b.amount_fen FROM unsettled_lines o
    JOIN bill_lines b ON b.usage_id = o.usage_id WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = o.project))
ORDER BY 1, 2 LIMIT %(limit)s
"""


class LeaseHolds(ABC):
    """The Protocol's questions about them."""

    _database: Database

    @abstractmethod
    def post(
        self, chains: Sequence[Chain], now: datetime, events: Sequence[Event] = (), draw: Draw | None = None
    ) -> Sequence[Outcome]: ...

    def leases_held(self, due: datetime, tight: Collection[AccountId], limit: int) -> Sequence[HeldLease]:
        values = {"due": due, "tight": list(tight), "limit": page_size(limit)}
        with self._database.reading() as connection:
            rows = connection.execute(_DUE, values).fetchall()
        found: list[HeldLease] = []
        for row in rows:
            job, allocation = both_from(row[11:])
            voucher = None if row[5] is None else hold_from(row[5:10])
            if row[0] is not None:
                own = hold_from(row[:5])
            elif voucher is not None:
                own = nothing_held(job.project, allocation.id, voucher.timeout_at)
            else:
                continue  # Both ended just now.
            found.append(HeldLease(hold=own, voucher=voucher, job=job, allocation=allocation, owed_fen=row[10]))
        return found

    def lent(self, leases: Collection[AllocationId]) -> Mapping[AllocationId, Hold]:
        if not leases:
            return {}
        with self._database.reading() as connection:
            rows = connection.execute(_OF_VOUCHERS, (sorted(leases),)).fetchall()
        return {lease_of(row[0]): hold_from(row) for row in rows}

    def leases_bare(self, projects: Collection[ProjectId], limit: int) -> Sequence[tuple[Job, Allocation]]:
        with self._database.reading() as connection:
            rows = connection.execute(_BARE, ([clean(name) for name in projects], page_size(limit))).fetchall()
        return [both_from(row) for row in rows]

    def strays(self, before: datetime, limit: int) -> Sequence[Stray]:
        with self._database.reading() as connection:
            rows = connection.execute(_STRAYS, {"before": before, "limit": page_size(limit)}).fetchall()
        return [Stray(fault=Fault(row[0]), what=row[1], account=AccountId(row[2]), amount_fen=row[3]) for row in rows]

    def holds(self, ids: Collection[str]) -> Sequence[Hold]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f'SELECT {_HOLD} FROM ledger_holds h WHERE h.id = ANY(%s) ORDER BY h.id COLLATE "C"', (list(ids),)
            ).fetchall()
        return [hold_from(row) for row in rows]

    def release_ended(self, now: datetime, limit: int) -> int:
        with self._database.reading() as connection:
            rows = connection.execute(_ENDED, (page_size(limit),)).fetchall()
        if not rows:
            return 0
        held: dict[AllocationId, list[Transfer]] = {}
        for row in rows:
            if row[2] is not None and not row[1]:
                held.setdefault(AllocationId(row[0]), []).append(ended(hold_from(row[2:])))
        outcomes = self.post([joined(legs) for legs in held.values()], now) if held else ()
        done = [lease for lease, outcome in zip(held, outcomes, strict=True) if outcome.done]
        over = [*(row[0] for row in rows if row[2] is None), *done]
        if over:
            statement = "DELETE FROM closing_leases WHERE allocation_id = ANY(%s)"
            self._database.write(lambda connection: connection.execute(statement, (over,)))
        return len(done)
