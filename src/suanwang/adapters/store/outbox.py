"""What must be told outside, until it has been told.

Owns the outbox rows; who tells them, and how often, is another room's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from suanwang.adapters.store.codec import load_free
from suanwang.adapters.store.database import Database
from suanwang.adapters.store.paging import page_size
from suanwang.ports import Notice


class Outbox:
    """The Protocol's outbox section, without `turn`."""

    _database: Database

    def notices_due(self, now: datetime, limit: int) -> Sequence[Notice]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, payload, attempts FROM outbox WHERE next_at IS NULL OR next_at <= %s ORDER BY id LIMIT %s",
                (now, page_size(limit)),
            ).fetchall()
        return [Notice(id=row[0], payload=load_free(row[1]), attempts=row[2]) for row in rows]

    def notice_done(self, notice_id: int) -> None:
        self._database.write(lambda connection: connection.execute("DELETE FROM outbox WHERE id = %s", (notice_id,)))

    def notice_failed(self, notice_id: int, next_at: datetime) -> None:
        self._database.write(
            lambda connection: connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_at = %s WHERE id = %s", (next_at, notice_id)
            )
        )
