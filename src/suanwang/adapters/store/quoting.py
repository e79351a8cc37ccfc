# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Quotes, and what finished runs taught.

Owns their rows. A job teaches once: the key of `lessons` says so, and the belief changes in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size
from suanwang.adapters.store.rows import (
    ALLOCATION_READ,
    BELIEF,
    JOB_COLUMNS,
    QUOTE,
    TAUGHT,
    allocation_from,
    job_from,
    listed,
)
from suanwang.domain.job import Allocation, Job
from suanwang.domain.quote import Quote, Taught
from suanwang.measuring.calibration import Belief, EfficiencyState
from suanwang.measuring.workclass import WorkClass

_UNLEARNT = (
    f"SELECT {listed(JOB_COLUMNS, 'j.')}, {listed(ALLOCATION_READ, 'a.')} FROM jobs j "
    "JOIN granted a ON a.job_id = j.id AND a.epoch = j.epoch "
    "WHERE j.state = 'succeeded' AND j.terms IS NOT NULL AND j.terms->>'prediction' IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM lessons l WHERE l.job_id = j.id) ORDER BY j.seq LIMIT %s"
)


class Quoting:
    """The Protocol's section on quotes and learning."""

    _database: Database

    def add_quote(self, quote: Quote) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO quotes (id, project, expires_at, quote) VALUES (%s, %s, %s, %s)",
                (quote.id, quote.project, quote.expires_at, QUOTE.dump(quote)),
            )

        self._database.write(work, tag=f"quote {quote.id}")

    def quote(self, quote_id: str) -> Quote | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT quote FROM quotes WHERE id = %s", (clean(quote_id),)).fetchone()
        return None if row is None else QUOTE.load(row[0])

    def unlearnt(self, limit: int) -> Sequence[tuple[Job, Allocation]]:
        with self._database.reading() as connection:
            rows = connection.execute(_UNLEARNT, (page_size(limit),)).fetchall()
        width = len(JOB_COLUMNS)
        return [(job_from(row[:width]), allocation_from(row[width:])) for row in rows]

    def add_lesson(self, taught: Taught, belief: Belief | None) -> bool:
        prediction = taught.prediction

        def work(connection: Connection) -> bool:
            row = connection.execute(
                "INSERT INTO lessons (job_id, lesson) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING true",
                (taught.job_id, TAUGHT.dump(taught)),
            ).fetchone()
            if row is not None and belief is not None:
                connection.execute(
                    "INSERT INTO beliefs (device, work_class, belief) VALUES (%s, %s, %s) "
                    "ON CONFLICT (device, work_class) DO UPDATE SET belief = excluded.belief",
                    (prediction.device, prediction.work_class, BELIEF.dump(belief)),
                )
            return row is not None

        return self._database.write(work, tag=f"lesson {taught.job_id}")

    def lessons(self, limit: int) -> Sequence[Taught]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT lesson FROM lessons ORDER BY seq DESC LIMIT %s", (page_size(limit),)
            ).fetchall()
        return [TAUGHT.load(row[0]) for row in rows]

    def beliefs(self) -> EfficiencyState:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT device, work_class, belief FROM beliefs").fetchall()
        return EfficiencyState(
            beliefs={(device, WorkClass(work_class)): BELIEF.load(belief) for device, work_class, belief in rows}
        )
