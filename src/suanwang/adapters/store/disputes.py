"""Disputes on PostgreSQL.

Owns their rows, and the one transaction in which a step is kept, logged and paid. That a line has one dispute, and that a
decided one never changes, are rules of the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from psycopg import errors as pg

from suanwang.adapters.store.agreements import sides_named
from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.ledger import decide, wake, write_transfers
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.errors import Conflict
from suanwang.domain.job import Event
from suanwang.trading.disputes import Dispute, credit_name
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import AccountId, Chain, Outcome

DISPUTE: Codec[Dispute] = Codec(Dispute)


class DisputeStore:
    """The Protocol's disputes."""

    _database: Database

    def change_dispute(
        self, dispute: Dispute, leaf: str, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        try:
            return self._database.write(lambda connection: _change(connection, dispute, leaf, chain, now, events))
        except pg.UniqueViolation:
            raise _moved() from None

    def dispute(self, usage_id: str) -> Dispute | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM disputes WHERE usage_id = %s", (clean(usage_id),)).fetchone()
        return None if row is None else DISPUTE.load(row[0])

    def dispute_credits(
        self, parties: Collection[AccountId] | None, from_at: datetime, to_at: datetime
    ) -> Sequence[Dispute]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM (SELECT usage_id, value, value->'steps'->-1 AS last FROM disputes "
                "WHERE NOT undecided AND (%s OR project = ANY(%s) OR provider = ANY(%s))) AS decided "
                "WHERE last->>'act' = 'credited' AND (last->>'at')::timestamptz >= %s "
                "AND (last->>'at')::timestamptz < %s ORDER BY (last->>'at')::timestamptz, usage_id COLLATE \"C\"",
                (
                    parties is None,
                    sides_named(parties, "project"),
                    sides_named(parties, "provider"),
                    from_at,
                    to_at,
                ),
            ).fetchall()
        return [DISPUTE.load(row[0]) for row in rows]

    def disputes(
        self, parties: Collection[AccountId] | None, undecided: bool, cursor: str | None, limit: int
    ) -> tuple[Sequence[Dispute], str | None]:
        size = page_size(limit)
        before = None if cursor is None else position(cursor)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, value FROM disputes WHERE (%s OR project = ANY(%s) OR provider = ANY(%s)) "
                "AND (NOT %s OR undecided) AND (%s::bigint IS NULL OR seq < %s) ORDER BY seq DESC LIMIT %s",
                (
                    parties is None,
                    sides_named(parties, "project"),
                    sides_named(parties, "provider"),
                    *(undecided, before, before, size + 1),
                ),
            ).fetchall()
        return [DISPUTE.load(row[1]) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None


def _change(
    connection: Connection, dispute: Dispute, leaf: str, chain: Chain, now: datetime, events: Sequence[Event]
) -> Outcome | None:
    key = clean(dispute.usage_id)
    row = connection.execute("SELECT revision FROM disputes WHERE usage_id = %s FOR UPDATE", (key,)).fetchone()
    if dispute.revision != (0 if row is None else row[0] + 1):
        raise _moved()
    outcome = None
    if chain:
        wake(connection, {transfer.credit for transfer in chain})
        outcome = decide(connection, [chain], now).outcomes[0]
        if not outcome.done:
            return outcome
    first = append_leaves(connection, [*(transfer_leaf(transfer, now) for transfer in chain), leaf])
    write_transfers(
        connection, [(transfer, first + at) for at, transfer in enumerate(chain)], now, _persons(connection, dispute)
    )
    kept = replace(dispute, steps=(*dispute.steps[:-1], replace(dispute.steps[-1], leaf=first + len(chain))))
    values = (dispute.decision is None, dispute.revision, DISPUTE.dump(kept), key)
    if row is None:
        connection.execute(
            "INSERT INTO disputes (undecided, revision, value, usage_id, project, provider) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            (*values, clean(dispute.project), clean(dispute.provider)),
        )
    else:
        connection.execute("UPDATE disputes SET undecided = %s, revision = %s, value = %s WHERE usage_id = %s", values)
    insert_events(connection, events)
    return outcome


def _moved() -> Conflict:
    return Conflict("somebody else said something about this line just now: read it again", field="usage")


def _persons(connection: Connection, dispute: Dispute) -> dict[str, str]:
    """A credit counts for who asked for the job, as the line did."""
    row = connection.execute("SELECT owner FROM jobs WHERE id = %s", (clean(dispute.job_id),)).fetchone()
    return {} if row is None else {credit_name(dispute.usage_id): row[0]}
