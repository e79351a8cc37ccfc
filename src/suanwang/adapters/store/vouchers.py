"""Vouchers on PostgreSQL.

Owns their rows and the one transaction in which a voucher is kept and filled. What was paid with one is read from the
ledger; that a job has one voucher for good is a key of the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from psycopg import errors as pg

from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.ledger import decide, open_accounts, write_transfers
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.errors import Conflict, Unavailable
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import Account, Chain, Outcome, Owner, account_id
from suanwang.trading.vouchers import Voucher, VoucherUse

VOUCHER: Codec[Voucher] = Codec(Voucher, shared=True)
_TRIES = 3
_USES = """
WITH paid AS (
    SELECT debit, usage_id, sum(amount)::bigint AS amount FROM (
        SELECT debit, substr(chain, 6) AS usage_id, amount_fen AS amount FROM ledger_transfers
        WHERE debit = ANY(%(accounts)s) AND phase = 'post'
        UNION ALL
        SELECT credit, substr(chain, 9), -amount_fen FROM ledger_transfers
        WHERE credit = ANY(%(accounts)s) AND code = 'dispute_credit'
    ) moved GROUP BY debit, usage_id
)
SELECT p.debit, b.project, b.provider, b.site_id, count(DISTINCT b.job_id), count(*), sum(p.amount)::bigint,
    sum(b.amount_fen)::bigint, min(b.from_at), max(b.to_at)
FROM paid p JOIN bill_lines b ON b.usage_id = p.usage_id
GROUP BY p.debit, b.project, b.provider, b.site_id
ORDER BY p.debit COLLATE "C", b.project COLLATE "C", b.provider COLLATE "C", b.site_id COLLATE "C"
"""


class VoucherStore:
    """The Protocol's vouchers."""

    _database: Database

    def add_voucher(
        self, voucher: Voucher, accounts: Sequence[Account], chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome:
        for _ in range(_TRIES):
            try:
                return self._database.write(lambda connection: _add(connection, voucher, accounts, chain, now, events))
            except pg.UniqueViolation:
                continue  # Somebody keeps the same voucher just now: look again.
        raise Unavailable("others issue the same voucher: try again")

    def voucher(self, voucher_id: str) -> Voucher | None:
        with self._database.reading() as connection:
            return _one(connection, voucher_id)

    def vouchers(
        self, holders: Collection[str] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Voucher], str | None]:
        size = page_size(limit)
        wanted = None if holders is None else [clean(name) for name in holders]
        before = None if cursor is None else position(cursor)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, value FROM vouchers WHERE (%s::text[] IS NULL OR holders && %s::text[]) "
                "AND (%s::bigint IS NULL OR seq < %s) ORDER BY seq DESC LIMIT %s",
                (wanted, wanted, before, before, size + 1),
            ).fetchall()
        return [VOUCHER.load(row[1]) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None

    def live_vouchers(self, holders: Collection[str], now: datetime) -> Sequence[Voucher]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM vouchers WHERE NOT closed AND until_at > %s AND holders && %s::text[] "
                'ORDER BY until_at, id COLLATE "C"',
                (now, [clean(name) for name in holders]),
            ).fetchall()
        return [VOUCHER.load(row[0]) for row in rows]

    def ended_vouchers(self, now: datetime, limit: int) -> Sequence[Voucher]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM vouchers WHERE NOT closed AND until_at <= %s "
                'ORDER BY until_at, id COLLATE "C" LIMIT %s',
                (now, page_size(limit)),
            ).fetchall()
        return [VOUCHER.load(row[0]) for row in rows]

    def close_voucher(self, voucher_id: str, now: datetime, events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(
                "SELECT value FROM vouchers WHERE id = %s AND NOT closed FOR UPDATE", (clean(voucher_id),)
            ).fetchone()
            if row is None:
                return False
            value = VOUCHER.dump(replace(VOUCHER.load(row[0]), closed_at=now))
            connection.execute(
                "UPDATE vouchers SET closed = true, value = %s WHERE id = %s", (value, clean(voucher_id))
            )
            insert_events(connection, events)
            return True

        return self._database.write(work)

    def bind_vouchers(self, chosen: Mapping[JobId, str], now: datetime, events: Sequence[Event] = ()) -> None:
        def work(connection: Connection) -> None:
            if bind(connection, chosen, now):
                insert_events(connection, events)

        if chosen:
            self._database.write(work)

    def bound_vouchers(self, jobs: Collection[JobId]) -> Mapping[JobId, str]:
        with self._database.reading() as connection:
            return _bound(connection, jobs)

    def voucher_uses(self, vouchers: Collection[str]) -> Sequence[VoucherUse]:
        accounts = [account_id(Owner.VOUCHER, clean(name)) for name in vouchers]
        with self._database.reading() as connection:
            rows = connection.execute(_USES, {"accounts": accounts}).fetchall()
        return [
            VoucherUse(
                voucher=row[0].partition(":")[2],
                project=ProjectId(row[1]),
                provider=row[2],
                site=SiteId(row[3]),
                jobs=row[4],
                lines=row[5],
                amount_fen=row[6],
                billed_fen=row[7],
                first_at=row[8],
                last_at=row[9],
            )
            for row in rows
        ]


def bind(connection: Connection, chosen: Mapping[JobId, str], now: datetime) -> int:
    """Pay these jobs' bills with these vouchers, where none was chosen yet, within the caller's transaction; returns how many
    had none."""
    if not chosen:
        return 0
    jobs = sorted(chosen)
    return connection.execute(
        "INSERT INTO voucher_jobs (job_id, voucher_id, at) "
        "SELECT j, v, %s FROM unnest(%s::text[], %s::text[]) AS c(j, v) ON CONFLICT DO NOTHING",
        (now, jobs, [clean(chosen[job]) for job in jobs]),
    ).rowcount


def paid_with_others(connection: Connection, chosen: Mapping[JobId, str]) -> Collection[JobId]:
    """Those of these jobs whose bills are paid with another voucher."""
    known = _bound(connection, chosen) if chosen else {}
    return {job for job, voucher in known.items() if voucher != chosen[job]}


def _bound(connection: Connection, jobs: Collection[JobId]) -> Mapping[JobId, str]:
    rows = connection.execute(
        "SELECT job_id, voucher_id FROM voucher_jobs WHERE job_id = ANY(%s)", (sorted(jobs),)
    ).fetchall()
    return {JobId(row[0]): row[1] for row in rows}


def _one(connection: Connection, voucher_id: str) -> Voucher | None:
    row = connection.execute("SELECT value FROM vouchers WHERE id = %s", (clean(voucher_id),)).fetchone()
    return None if row is None else VOUCHER.load(row[0])


def _add(
    connection: Connection,
    voucher: Voucher,
    accounts: Sequence[Account],
    chain: Chain,
    now: datetime,
    events: Sequence[Event],
) -> Outcome:
    known = _one(connection, voucher.id)
    if known is not None and not voucher.same_as(known):
        raise Conflict("there is another voucher of this name", field="id", allowed="a new name")
    open_accounts(connection, accounts)
    posted = decide(connection, [chain], now)
    if posted.fresh:
        connection.execute(
            "INSERT INTO vouchers (id, holders, until_at, closed, value) VALUES (%s, %s, %s, false, %s)",
            (
                clean(voucher.id),
                [clean(name) for name in voucher.holders],
                voucher.until_at,
                VOUCHER.dump(voucher),
            ),
        )
        first = append_leaves(connection, [transfer_leaf(transfer, now) for transfer in chain])
        write_transfers(connection, list(zip(chain, range(first, first + len(chain)), strict=True)), now)
        insert_events(connection, events)
    return posted.outcomes[0]
