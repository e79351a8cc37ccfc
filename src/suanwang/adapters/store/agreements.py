# ruff: noqa: S608 - statements are put together from names of this file; every value is a parameter
"""Agreements on PostgreSQL.

Owns their rows and the reading of what credits are found from. That two parties never have two versions signed is a key of
the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import errors as pg

from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.rows import EVENT_COLUMNS, TAUGHT, event_from, listed
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.quote import Taught
from suanwang.ports import PartyKey
from suanwang.trading.agreements import Agreement
from suanwang.trading.credits import JOB_KINDS, Credit, Facts
from suanwang.trading.ledger import AccountId

AGREEMENT: Codec[Agreement] = Codec(Agreement, shared=True)
CREDIT: Codec[Credit] = Codec(Credit)
_STANDING = "kind IN ('site.reachable', 'site.suspect', 'site.lost')"
_SITE_EVENTS = f"""
SELECT {listed(EVENT_COLUMNS)} FROM events WHERE site_id = ANY(%(sites)s) AND {_STANDING}
    AND at >= %(begin)s AND at < %(end)s
UNION ALL
(SELECT DISTINCT ON (site_id) {listed(EVENT_COLUMNS)} FROM events WHERE site_id = ANY(%(sites)s) AND {_STANDING}
    AND at < %(begin)s ORDER BY site_id, seq DESC)
"""
_JOB_EVENTS = f"""
SELECT {listed(EVENT_COLUMNS)} FROM events WHERE kind = ANY(%(kinds)s) AND job_id = ANY(ARRAY(
    SELECT DISTINCT job_id FROM events WHERE project = %(project)s AND kind IN ('job.started', 'job.failed')
    AND at >= %(begin)s AND at < %(end)s))
"""
_BILLED = """
SELECT site_id, sum(amount_fen)::bigint FROM bill_lines
WHERE project = %(project)s AND provider = %(provider)s AND site_id = ANY(%(sites)s)
    AND from_at >= %(begin)s AND from_at < %(end)s
GROUP BY site_id
"""


class AgreementStore:
    """The Protocol's agreements."""

    _database: Database

    def add_party_key(self, key: PartyKey, events: Sequence[Event]) -> None:
        def work(connection: Connection) -> None:
            done = connection.execute(
                "INSERT INTO party_keys (party, key, by, at) SELECT %s, %s, %s, %s "
                "WHERE %s IS DISTINCT FROM (SELECT key FROM party_keys WHERE party = %s ORDER BY seq DESC LIMIT 1)",
                (clean(key.party), key.key, clean(key.by), key.at, key.key, clean(key.party)),
            )
            if done.rowcount:
                insert_events(connection, events)

        self._database.write(work)

    def party_keys(self, parties: Collection[AccountId]) -> Mapping[AccountId, PartyKey]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT ON (party) party, key, by, at FROM party_keys WHERE party = ANY(%s) "
                "ORDER BY party, seq DESC",
                ([clean(party) for party in parties],),
            ).fetchall()
        return {AccountId(row[0]): PartyKey(party=AccountId(row[0]), key=row[1], by=row[2], at=row[3]) for row in rows}

    def change_agreements(
        self, changed: Sequence[Agreement], events: Sequence[Event], credit: Credit | None = None
    ) -> bool:
        try:
            self._database.write(lambda connection: _change(connection, changed, events, credit))
        except (_Moved, pg.UniqueViolation):
            return False
        return True

    def agreement(self, agreement_id: str, version: int) -> Agreement | None:
        found = self._agreements("id = %s AND version = %s", (clean(agreement_id), version))
        return found[0] if found else None

    def agreement_versions(self, agreement_id: str) -> Sequence[Agreement]:
        return self._agreements("id = %s ORDER BY version", (clean(agreement_id),))

    def agreements_between(self, project: ProjectId, provider: str) -> Sequence[Agreement]:
        return self._agreements("project = %s AND provider = %s ORDER BY seq", (clean(project), clean(provider)))

    def agreements_due(self, month: int, limit: int) -> Sequence[Agreement]:
        return self._agreements("due <= %s ORDER BY due, seq LIMIT %s", (month, page_size(limit)))

    def _agreements(self, condition: str, values: tuple[object, ...]) -> list[Agreement]:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT value FROM agreements WHERE {condition}", values).fetchall()
        return [AGREEMENT.load(row[0]) for row in rows]

    def agreements(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Agreement], str | None]:
        rows, after = self._page_of("agreements a", "value", parties, cursor, limit)
        return [AGREEMENT.load(row[1]) for row in rows], after

    def service_credits(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[tuple[Credit, bool]], str | None]:
        waits = "EXISTS (SELECT FROM unpaid_credits u WHERE u.key = a.key)"
        rows, after = self._page_of("agreement_credits a", f"value, {waits}", parties, cursor, limit)
        return [(CREDIT.load(row[1]), row[2]) for row in rows], after

    def _page_of(
        self, table: str, columns: str, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[list[Any], str | None]:
        size = page_size(limit)
        before = None if cursor is None else position(cursor)
        projects, providers = sides_named(parties, "project"), sides_named(parties, "provider")
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT seq, {columns} FROM {table} WHERE (%s OR project = ANY(%s) OR provider = ANY(%s)) "
                "AND (%s::bigint IS NULL OR seq < %s) ORDER BY seq DESC LIMIT %s",
                (parties is None, projects, providers, before, before, size + 1),
            ).fetchall()
        return rows[:size], str(rows[size - 1][0]) if len(rows) > size else None

    def agreement_facts(self, agreement: Agreement, begin: datetime, end: datetime) -> Facts:
        values = {
            "project": clean(agreement.project),
            "provider": clean(agreement.provider),
            "sites": [clean(site) for site in agreement.sites],
            "begin": begin,
            "end": end,
            "kinds": list(JOB_KINDS),
        }
        with self._database.reading() as connection:
            sites = [event_from(row) for row in connection.execute(_SITE_EVENTS, values).fetchall()]
            jobs = [event_from(row) for row in connection.execute(_JOB_EVENTS, values).fetchall()]
            billed = connection.execute(_BILLED, values).fetchall()
        return Facts(
            site_events=sorted(sites, key=lambda event: event.seq),
            job_events=sorted(jobs, key=lambda event: event.seq),
            billed_fen={SiteId(row[0]): row[1] for row in billed},
        )

    def agreement_lessons(self, agreement: Agreement, begin: datetime, end: datetime) -> Sequence[Taught]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT l.lesson FROM lessons l JOIN jobs j ON j.id = l.job_id WHERE j.project = %s "
                "AND l.lesson->>'site' = ANY(%s) AND (l.lesson->>'at')::timestamptz >= %s "
                "AND (l.lesson->>'at')::timestamptz < %s ORDER BY l.job_id COLLATE \"C\"",
                (clean(agreement.project), [clean(site) for site in agreement.sites], begin, end),
            ).fetchall()
        return [TAUGHT.load(row[0]) for row in rows]

    def unpaid_credits(self, now: datetime, limit: int) -> Sequence[Credit]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT c.value FROM unpaid_credits u JOIN agreement_credits c ON c.key = u.key "
                "WHERE u.retry_at <= %s ORDER BY c.seq LIMIT %s",
                (now, page_size(limit)),
            ).fetchall()
        return [CREDIT.load(row[0]) for row in rows]

    def credit_paid(self, key: str, retry_at: datetime | None) -> None:
        def work(connection: Connection) -> None:
            if retry_at is None:
                connection.execute("DELETE FROM unpaid_credits WHERE key = %s", (clean(key),))
            else:
                connection.execute("UPDATE unpaid_credits SET retry_at = %s WHERE key = %s", (retry_at, clean(key)))

        self._database.write(work)


class _Moved(Exception):
    """Somebody changed it meanwhile; undoes the transaction."""


def _change(
    connection: Connection, changed: Sequence[Agreement], events: Sequence[Event], credit: Credit | None
) -> None:
    for agreement in changed:
        values = (
            agreement.state,
            agreement.due,
            agreement.revision,
            AGREEMENT.dump(agreement),
            clean(agreement.id),
            agreement.version,
        )
        if agreement.revision:
            done = connection.execute(
                "UPDATE agreements SET state = %s, due = %s, revision = %s, value = %s "
                "WHERE id = %s AND version = %s AND revision = %s",
                (*values, agreement.revision - 1),
            )
            if not done.rowcount:
                raise _Moved
        else:
            connection.execute(
                "INSERT INTO agreements (state, due, revision, value, id, version, project, provider) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (*values, clean(agreement.project), clean(agreement.provider)),
            )
    if credit is not None:
        connection.execute(
            "INSERT INTO agreement_credits (key, project, provider, value) VALUES (%s, %s, %s, %s)",
            (clean(credit.key), clean(credit.project), clean(credit.provider), CREDIT.dump(credit)),
        )
        if credit.amount_fen:
            connection.execute(
                "INSERT INTO unpaid_credits (key, retry_at) VALUES (%s, %s)", (clean(credit.key), credit.to_at)
            )
    insert_events(connection, events)


def sides_named(parties: Collection[AccountId] | None, owner: str) -> list[str]:
    prefix = f"{owner}:"
    return [clean(party.removeprefix(prefix)) for party in parties or () if party.startswith(prefix)]
