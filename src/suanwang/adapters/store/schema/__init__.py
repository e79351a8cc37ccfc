"""The tables, as SQLAlchemy sees them: the one description that migrations are checked against.

Owns names, types, keys and indexes. Values that are only read whole are `json` (kept as written, no second parse),
what a query filters or sums by is a column. Hot tables carry no foreign keys: a lease step would pay a lookup and a row
lock for each, while every identifier in them comes from a row the same transaction has just guarded. Triggers and
functions are in the migrations.
"""

from __future__ import annotations

from suanwang.adapters.store.schema import ledger, trade, work
from suanwang.adapters.store.schema.base import metadata

__all__ = ["ledger", "metadata", "trade", "work"]
