# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""The record: events, usage records and bill lines, which are only ever added to.

Owns how events are numbered so that a follower misses none. `events.seq` is the writing transaction's number (shifted by
`event_clock`, 20 bits up) plus the event's place in that transaction, and readers see only what lies below the oldest
transaction still under way. So whatever becomes visible later has a greater `seq`, and no writer waits for another. The
price: a transaction held open on the same server delays the feed until it ends. Knows nothing of what events mean.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.rows import (
    BILL_COLUMNS,
    EVENT_COLUMNS,
    USAGE_COLUMNS,
    bill_from,
    event_from,
    event_rows,
    listed,
    usage_from,
)
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Event, UsageRecord
from suanwang.ports import BillQuery, BillTotal

MAX_EVENTS = 1 << 20
"""In one transaction."""

SETTLED = "((pg_snapshot_xmin(pg_current_snapshot())::text::bigint + (SELECT shift FROM event_clock)) << 20)"
_INSERT = f"COPY events ({listed(EVENT_COLUMNS)}) FROM STDIN"


def insert_events(connection: Connection, events: Sequence[Event]) -> None:
    """Append `events` within the caller's transaction, at most once in each."""
    if not events:
        return
    assert len(events) < MAX_EVENTS, "a transaction numbers its events with 20 bits"
    row = connection.execute("SELECT (pg_current_xact_id()::text::bigint + shift) << 20 FROM event_clock").fetchone()
    assert row is not None, "the migrations fill event_clock"
    copy_rows(connection, _INSERT, event_rows(events, row[0]))


def copy_rows(connection: Connection, statement: str, rows: Any) -> None:
    """COPY `rows` in; one statement however many they are."""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


class Record:
    """The Protocol's record section."""

    _database: Database

    def append_events(self, events: Sequence[Event]) -> None:
        self._database.write(lambda connection: insert_events(connection, events), tag="append_events")

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
        conditions = ["seq > %s", f"seq < {SETTLED}"]
        values: list[Any] = [after]
        if projects is not None:
            conditions.append("project = ANY(%s)")
            values.append(list(projects))
        if job_id is not None:
            conditions.append("job_id = %s")
            values.append(job_id)
        if site_id is not None:
            conditions.append("site_id = %s")
            values.append(site_id)
        if kind is not None:
            conditions.append("starts_with(kind, %s)")
            values.append(kind)
            if not "job.".startswith(kind) and not kind.startswith("job."):
                conditions.append("NOT starts_with(kind, 'job.')")
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {listed(EVENT_COLUMNS)} FROM events WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT %s",
                [*values, page_size(limit)],
            ).fetchall()
        return [event_from(row) for row in rows]

    def last_seq(self) -> int:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT max(seq) FROM events WHERE seq < {SETTLED}").fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    def usage_records(self, job_id: JobId) -> Sequence[UsageRecord]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {listed(USAGE_COLUMNS)} FROM usage_records WHERE job_id = %s ORDER BY from_at, id", (job_id,)
            ).fetchall()
        return [usage_from(row) for row in rows]

    def bill_lines(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[BillLine], str | None]:
        conditions, values = billed(query)
        if cursor is not None:
            conditions.append("b.seq < %s")
            values.append(position(cursor))
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT b.seq, {listed(BILL_COLUMNS, 'b.')} FROM bill_lines b "
                f"WHERE {' AND '.join(conditions)} ORDER BY b.seq DESC LIMIT %s",
                [*values, size + 1],
            ).fetchall()
        return [bill_from(row[1:]) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None

    def bill_totals(self, query: BillQuery) -> Sequence[BillTotal]:
        conditions, values = billed(query)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT b.project, b.provider, count(DISTINCT b.job_id), sum(b.amount_fen)::bigint, "
                "coalesce(sum(u.energy_kwh), 0), coalesce(sum(u.carbon_g), 0) "
                "FROM bill_lines b LEFT JOIN usage_records u ON u.id = b.usage_id "
                f"WHERE {' AND '.join(conditions)} GROUP BY b.project, b.provider "
                'ORDER BY b.project COLLATE "C", b.provider COLLATE "C"',
                values,
            ).fetchall()
        return [
            BillTotal(
                project=project,
                provider=provider,
                jobs=jobs,
                amount_fen=amount_fen,
                energy_kwh=energy_kwh,
                carbon_g=carbon_g,
            )
            for project, provider, jobs, amount_fen, energy_kwh, carbon_g in rows
        ]


def billed(query: BillQuery) -> tuple[list[str], list[Any]]:
    """Conditions on `bill_lines b`; a line counts where its interval overlaps the one asked for."""
    conditions, values = ["true"], list[Any]()
    for condition, value in (
        ("b.project = ANY(%s)", None if query.projects is None else list(query.projects)),
        ("b.job_id = %s", query.job_id),
        ("b.site_id = %s", query.site_id),
        ("b.provider = %s", query.provider),
        ("b.to_at > %s", query.from_at),
        ("b.from_at < %s", query.to_at),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return conditions, values
