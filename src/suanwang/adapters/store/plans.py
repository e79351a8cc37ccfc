"""Plans on PostgreSQL.

Owns their rows. That a project has one plan at most for a month, site and device is a key of the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from psycopg import errors as pg

from suanwang.adapters.store.codec import Codec
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.tree import publish
from suanwang.domain.errors import Conflict
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.pricing import PlanMonth
from suanwang.trading.published import Published

PLAN_MONTH: Codec[PlanMonth] = Codec(PlanMonth, shared=True)
_INSERT = (
    "INSERT INTO plan_months (project, site_id, device, from_at, to_at, plan, retry_at, value) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
_KEY = "project = %s AND site_id = %s AND device = %s AND from_at = %s"


class PlanStore:
    """The Protocol's plans."""

    _database: Database

    def add_plan(
        self, months: Sequence[PlanMonth], events: Sequence[Event], published: Sequence[Published] = ()
    ) -> None:
        def work(connection: Connection) -> None:
            for each in months:
                row = (*_key(each), each.to_at, each.plan, each.from_at, PLAN_MONTH.dump(each))
                connection.execute(_INSERT, row)
            insert_events(connection, events)
            publish(connection, published)

        try:
            self._database.write(work)
        except pg.UniqueViolation as error:
            raise taken(months[0]) from error

    def plan_months(
        self, projects: Collection[ProjectId] | None, after: datetime | None
    ) -> Sequence[tuple[PlanMonth, bool]]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value, paid FROM plan_months WHERE (%s OR project = ANY(%s)) "
                'AND (%s::timestamptz IS NULL OR to_at > %s) ORDER BY from_at, plan COLLATE "C"',
                (projects is None, list(projects or ()), after, after),
            ).fetchall()
        return [(PLAN_MONTH.load(value), paid) for value, paid in rows]

    def plan_fees(self, now: datetime, limit: int) -> Sequence[PlanMonth]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM plan_months WHERE NOT paid AND retry_at <= %s ORDER BY retry_at, plan LIMIT %s",
                (now, limit),
            ).fetchall()
        return [PLAN_MONTH.load(value) for (value,) in rows]

    def plan_paid(self, month: PlanMonth, retry_at: datetime | None) -> None:
        def work(connection: Connection) -> None:
            if retry_at is None:
                connection.execute(f"UPDATE plan_months SET paid = true WHERE {_KEY}", _key(month))  # noqa: S608
            else:
                put_off = f"UPDATE plan_months SET retry_at = %s WHERE {_KEY}"  # noqa: S608
                connection.execute(put_off, (retry_at, *_key(month)))

        self._database.write(work)


def taken(month: PlanMonth) -> Conflict:
    return Conflict(
        f"project {month.project} has a plan for {month.package.device} at {month.site_id} in one of these months",
        field="from_at",
        allowed="months without one; see `price plans`",
    )


def _key(month: PlanMonth) -> tuple[ProjectId, SiteId, str, datetime]:
    return month.project, month.site_id, month.package.device, month.from_at
