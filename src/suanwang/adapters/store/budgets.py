"""Budgets and what was spent of them, on PostgreSQL.

Owns their rows. `spend` counts what transfers take from projects, in the transaction that posts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import insert_events
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.trading.budgets import Bearing, Budget, Draw, Scope, Spent, month_name, spending, used
from suanwang.trading.ledger import Transfer

BUDGET: Codec[Budget] = Codec(Budget)

_SPEND = (
    "INSERT INTO spending AS s (month, project, person, amount_fen) "
    "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) "
    "ON CONFLICT (month, project, person) DO UPDATE SET amount_fen = s.amount_fen + excluded.amount_fen"
)
_SPENT = """
WITH held AS (
    SELECT substr(h.debit, 9) AS project, coalesce(j.owner, o.value->>'owner', '') AS person, sum(h.amount_fen) AS fen
    FROM ledger_holds h LEFT JOIN allocations a ON h.id NOT LIKE 'order/%%' AND a.id = split_part(h.id, '/', 2)
    LEFT JOIN jobs j ON j.id = a.job_id
    LEFT JOIN market_orders o ON h.id LIKE 'order/%%' AND o.id = split_part(h.id, '/', 2)
    WHERE h.debit LIKE 'project:%%' GROUP BY 1, 2
), whole AS (
    SELECT project, person, coalesce(sum(amount_fen) FILTER (WHERE month = %s), 0) AS month_fen, sum(amount_fen) AS fen
    FROM spending GROUP BY 1, 2
)
SELECT project, person, coalesce(month_fen, 0)::bigint, coalesce(whole.fen, 0)::bigint, coalesce(held.fen, 0)::bigint
FROM whole FULL JOIN held USING (project, person) ORDER BY 1, 2
"""

_BIND = """
SELECT b.value FROM budgets b WHERE (b.scope = 'person' AND b.name = ANY(%(persons)s))
OR (b.scope = 'project' AND b.name = ANY(%(projects)s)) OR (b.scope = 'organisation' AND b.name IN (
    SELECT p.labels->>'organisation' FROM projects p WHERE p.id = ANY(%(projects)s)))
ORDER BY b.scope COLLATE "C", b.name COLLATE "C" FOR UPDATE OF b
"""


def borne(connection: Connection, draws: Sequence[Draw], now: datetime) -> list[str]:
    """What each of these draws would pass, in their order: the purse of a budget, empty where it fits.

    Budgets that bind them are locked until the transaction ends, so that of two who draw at once the second sees what the
    first took. Before accounts are locked. Where no budget binds them this is one statement.
    """
    if not draws:
        return []
    projects, persons = {clean(each.project) for each in draws}, {clean(each.person) for each in draws}
    rows = connection.execute(_BIND, {"projects": sorted(projects), "persons": sorted(persons)}).fetchall()
    if not rows:
        return [""] * len(draws)
    labels = connection.execute(
        "SELECT id, coalesce(labels->>'organisation', '') FROM projects WHERE labels->>'organisation' <> ''"
    ).fetchall()
    of = {ProjectId(row[0]): str(row[1]) for row in labels}
    bearing = Bearing(used([BUDGET.load(row[0]) for row in rows], spent_by(connection, now), of), of)
    return [bearing.take(draw) for draw in draws]


def spent_by(connection: Connection, now: datetime) -> list[Spent]:
    rows = connection.execute(_SPENT, (month_name(now),)).fetchall()
    return [
        Spent(project=ProjectId(row[0]), person=row[1], month_fen=row[2], total_fen=row[3], held_fen=row[4])
        for row in rows
    ]


def spend(connection: Connection, transfers: Iterable[Transfer], persons: Mapping[str, str], now: datetime) -> None:
    """Count what these transfers, posted at `now`, take from projects; their accounts are locked."""
    found = sorted((key, fen) for key, fen in spending(transfers, persons, now).items() if fen)
    if found:
        keys = [[clean(part) for part in column] for column in zip(*(key for key, _ in found), strict=True)]
        connection.execute(_SPEND, (*keys, [fen for _, fen in found]))


class BudgetStore:
    """The Protocol's budgets."""

    _database: Database

    def put_budget(self, budget: Budget, events: Sequence[Event]) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO budgets (scope, name, value) VALUES (%s, %s, %s) "
                "ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
                (budget.scope.value, clean(budget.name), BUDGET.dump(budget)),
            )
            insert_events(connection, events)

        self._database.write(work, tag=budget.purse)

    def drop_budget(self, scope: Scope, name: str, events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(
                "DELETE FROM budgets WHERE scope = %s AND name = %s RETURNING true", (scope.value, clean(name))
            ).fetchone()
            if row is not None:
                insert_events(connection, events)
            return row is not None

        return self._database.write(work)

    def budgets(self) -> Sequence[Budget]:
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT value FROM budgets ORDER BY scope COLLATE "C", name COLLATE "C"'
            ).fetchall()
        return [BUDGET.load(row[0]) for row in rows]

    def spent(self, now: datetime) -> Sequence[Spent]:
        with self._database.reading() as connection:
            return spent_by(connection, now)
