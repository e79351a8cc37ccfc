# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Sums and trails on PostgreSQL.

Owns the statements. China's days and months are those of UTC+8, whatever the server's own zone is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Database
from suanwang.adapters.store.paging import page_size
from suanwang.adapters.store.record import SETTLED
from suanwang.adapters.store.rows import EVENT_COLUMNS, event_from, listed
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.ports import Flow, SiteDay, TrailQuery
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import NETWORK, AccountId

# What the network gets of a sale is named after its seller: of an order's trades, one after the other; of a right that ended,
# as it was sold; of a listing or a plan, whoever the chain pays right before the network.
_FLOWS = """
WITH moved AS (
    SELECT to_char(at AT TIME ZONE INTERVAL '8 hours', 'YYYY-MM') AS month, code, debit AS other, amount_fen AS amount,
        chain, leaf, NULL AS seller
    FROM ledger_transfers WHERE credit = %(account)s AND phase IN ('direct', 'post')
        AND at >= %(begin)s AND at < %(end)s AND NOT (%(network)s AND code = 'commission' AND chain LIKE 'trade/%%')
    UNION ALL
    SELECT to_char(at AT TIME ZONE INTERVAL '8 hours', 'YYYY-MM'), code, credit, -amount_fen, chain, leaf, NULL
    FROM ledger_transfers WHERE debit = %(account)s AND phase IN ('direct', 'post')
        AND at >= %(begin)s AND at < %(end)s
    UNION ALL
    SELECT to_char(l.at AT TIME ZONE INTERVAL '8 hours', 'YYYY-MM'), l.code, l.debit, (t.value->>'commission_fen')::bigint,
        l.chain, l.leaf, t.seller
    FROM ledger_transfers l JOIN market_trades t ON t.order_id = split_part(l.chain, '/', 2)
    WHERE %(network)s AND l.credit = %(account)s AND l.code = 'commission' AND l.chain LIKE 'trade/%%'
        AND l.phase IN ('direct', 'post') AND l.at >= %(begin)s AND l.at < %(end)s
        AND (t.value->>'commission_fen')::bigint > 0
), named AS (
    SELECT m.month, m.code, m.amount,
        coalesce(b.project, CASE WHEN m.other LIKE 'project:%%' THEN substr(m.other, 9) END, (
            SELECT substr(p.debit, 9) FROM ledger_transfers p
            WHERE b.project IS NULL AND p.chain = m.chain AND p.debit LIKE 'project:%%' ORDER BY p.leaf LIMIT 1
        )) AS project,
        coalesce(b.provider, substring(CASE WHEN m.other LIKE 'provider:%%' THEN m.other
            WHEN NOT %(network)s OR b.provider IS NOT NULL THEN NULL
            ELSE coalesce(m.seller, (SELECT e.seller FROM market_terminations e
                WHERE e.id = CASE WHEN m.chain LIKE 'termination/%%' THEN substr(m.chain, 13) END), (
                SELECT p.credit FROM ledger_transfers p
                WHERE p.chain = m.chain AND p.leaf < m.leaf ORDER BY p.leaf DESC LIMIT 1
            )) END FROM '^provider:(.*)$')) AS provider
    FROM moved m LEFT JOIN bill_lines b ON b.usage_id =
        CASE WHEN m.chain LIKE 'bill/%%' THEN substr(m.chain, 6) WHEN m.chain LIKE 'dispute/%%' THEN substr(m.chain, 9) END
)
SELECT month, code, project, provider, sum(amount)::bigint, count(*) FROM named
GROUP BY month, code, project, provider
ORDER BY month, code COLLATE "C", project COLLATE "C" NULLS FIRST, provider COLLATE "C" NULLS FIRST
"""
_LEFTOVERS = """
SELECT seller, sum(leftover)::bigint FROM (
    SELECT seller, (value->>'leftover')::bigint AS leftover, (value->>'at')::timestamptz AS at FROM market_trades
    UNION ALL SELECT seller, (value->>'leftover')::bigint, (value->>'at')::timestamptz FROM listing_copies
    UNION ALL SELECT seller, (value->>'leftover')::bigint, (value->>'at')::timestamptz FROM listing_uses
        WHERE value->>'state' = 'paid'
) AS sales WHERE at >= %s AND at < %s AND leftover <> 0 GROUP BY seller ORDER BY seller COLLATE "C"
"""
_SITE_DAYS = """
SELECT site_id, (from_at AT TIME ZONE INTERVAL '8 hours')::date AS day,
    sum(cores * extract(epoch FROM to_at - from_at) / 3600)::float8,
    sum(devices * extract(epoch FROM to_at - from_at) / 3600)::float8
FROM usage_records WHERE site_id = ANY(%s) AND from_at >= %s AND from_at < %s
GROUP BY site_id, day ORDER BY site_id COLLATE "C", day
"""


class OverviewStore:
    """The Protocol's sums and trails."""

    _database: Database

    def flows(self, account: AccountId, begin: datetime, end: datetime) -> Sequence[Flow]:
        values = {"account": clean(account), "begin": begin, "end": end, "network": account == NETWORK}
        with self._database.reading() as connection:
            rows = connection.execute(_FLOWS, values).fetchall()
        return [
            Flow(
                month=row[0],
                code=row[1],
                project=None if row[2] is None else ProjectId(row[2]),
                provider=row[3],
                amount_fen=row[4],
                transfers=row[5],
            )
            for row in rows
        ]

    def leftovers(self, begin: datetime, end: datetime) -> Mapping[AccountId, int]:
        with self._database.reading() as connection:
            rows = connection.execute(_LEFTOVERS, (begin, end)).fetchall()
        return {AccountId(row[0]): row[1] for row in rows}

    def site_days(self, sites: Collection[SiteId], begin: datetime, end: datetime) -> Sequence[SiteDay]:
        with self._database.reading() as connection:
            rows = connection.execute(_SITE_DAYS, (sorted(sites), begin, end)).fetchall()
        return [SiteDay(site_id=SiteId(row[0]), day=row[1], core_hours=row[2], device_hours=row[3]) for row in rows]

    def trail(self, query: TrailQuery, before: int | None, limit: int) -> Sequence[Event]:
        conditions = [f"seq < {SETTLED}"]
        values: list[Any] = []
        if query.kinds is None:
            conditions.append("NOT starts_with(kind, 'job.')")
        else:
            conditions.append("kind LIKE ANY(%s)")
            values.append([_like(kind) for kind in query.kinds])
            if not any("job.".startswith(kind) or kind.startswith("job.") for kind in query.kinds):
                conditions.append("NOT starts_with(kind, 'job.')")  # So that the index without jobs' events serves.
        for condition, value in (
            ("project = %s", None if query.project is None else clean(query.project)),
            ("actor = %s", None if query.actor is None else clean(query.actor)),
            ("at >= %s", query.from_at),
            ("at < %s", query.to_at),
            ("seq < %s", before),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {listed(EVENT_COLUMNS)} FROM events WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT %s",
                [*values, page_size(limit)],
            ).fetchall()
        return [event_from(row) for row in rows]

    def checkpoints(self, before: int | None, limit: int) -> Sequence[Checkpoint]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT size, root, at, key, signature FROM ledger_checkpoints WHERE %s::bigint IS NULL OR size < %s "
                "ORDER BY size DESC LIMIT %s",
                (before, before, page_size(limit)),
            ).fetchall()
        return [Checkpoint(size=row[0], root=row[1], at=row[2], key=row[3], signature=row[4]) for row in rows]


def _like(kind: str) -> str:
    escaped = clean(kind).replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"{escaped}%"
