"""The tallies that bill lines are rounded by, on PostgreSQL.

Owns their rows. Whoever writes lines of a tally holds its row until his transaction ends, so that lines of one tally follow
each other in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Connection
from suanwang.domain.job import Step
from suanwang.trading.tallying import ZERO, tallied, wanted

_KEY = "project, site_id, month, owners"
_ASKED = "unnest(%s::text[], %s::text[], %s::text[], %s::text[])"
_OPEN = f"INSERT INTO tallies ({_KEY}, rated_yuan) SELECT *, 0 FROM {_ASKED} ON CONFLICT DO NOTHING"  # noqa: S608
_LOCK = f"SELECT {_KEY}, rated_yuan FROM tallies WHERE ({_KEY}) IN (SELECT * FROM {_ASKED}) ORDER BY {_KEY} FOR UPDATE"  # noqa: S608
_KEEP = (
    "UPDATE tallies AS t SET rated_yuan = u.rated_yuan "
    "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[]) "
    "AS u(project, site_id, month, owners, rated_yuan) "
    "WHERE (t.project, t.site_id, t.month, t.owners) = (u.project, u.site_id, u.month, u.owners)"
)


def tally_steps(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps with their lines rounded; every one of them is applied in this transaction."""
    keys = wanted(steps)
    if not keys:
        return list(steps)
    columns = [[clean(getattr(key, name)) for key in keys] for name in ("project", "site", "month", "owners")]
    connection.execute(_OPEN, columns)
    stored = {tuple(row[:4]): row[4] for row in connection.execute(_LOCK, columns).fetchall()}
    totals = {key: stored.get(row, ZERO) for key, row in zip(keys, zip(*columns, strict=True), strict=True)}
    made = [tallied(step, totals) for step in steps]
    connection.execute(_KEEP, [*columns, [totals[key] for key in keys]])
    return made
