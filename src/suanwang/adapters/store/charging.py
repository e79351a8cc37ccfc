# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Bill lines with their usage and terms, for invoices and exports, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import billed
from suanwang.adapters.store.rows import (
    BILL_COLUMNS,
    NO_PROGRESS,
    PROGRESS,
    TERMS,
    USAGE_COLUMNS,
    bill_from,
    listed,
    ran_of,
    usage_from,
)
from suanwang.ports import BillQuery, Charged

_CHARGES = (
    f"SELECT b.seq, {listed(BILL_COLUMNS, 'b.')}, {listed(USAGE_COLUMNS, 'u.')}, t.terms, a.progress, "
    "EXISTS (SELECT FROM settled_lines s WHERE s.usage_id = b.usage_id) "
    "FROM bill_lines b JOIN usage_records u ON u.id = b.usage_id "
    "JOIN allocation_terms t ON t.allocation_id = u.allocation_id JOIN allocations a ON a.id = u.allocation_id"
)


class Charging:
    """The Protocol's charges."""

    _database: Database

    def charges(self, query: BillQuery, cursor: str | None, limit: int) -> tuple[Sequence[Charged], str | None]:
        conditions, values = billed(query)
        if cursor is not None:
            conditions.append("b.seq > %s")
            values.append(position(cursor))
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_CHARGES} WHERE {' AND '.join(conditions)} ORDER BY b.seq LIMIT %s", [*values, size + 1]
            ).fetchall()
        return [_charged(row) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None


def _charged(row: Sequence[object]) -> Charged:
    width = 1 + len(BILL_COLUMNS)
    usage = usage_from(tuple(row[width : width + len(USAGE_COLUMNS)]))
    terms, progress, settled = row[-3:]
    granted = TERMS.load(str(terms))
    come = NO_PROGRESS if progress is None else PROGRESS.load(str(progress))
    return Charged(
        line=bill_from(tuple(row[1:width])),
        usage=usage,
        price=granted.price,
        started_at=come.started_at or usage.from_at,
        power_kw=granted.power_kw,
        settled=bool(settled),
        ran=ran_of(come),
        owners=granted.owners,
    )
