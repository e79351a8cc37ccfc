"""What was used and what it costs, for those who pay, earn or watch.

Owns who may see which bill lines. A user sees his projects', a provider his own sites', operator and regulator all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from suanwang.domain.errors import Forbidden
from suanwang.domain.identity import Principal, Role
from suanwang.domain.job import BillLine
from suanwang.ports import BillQuery, BillTotal, Store


class Bills:
    def __init__(self, store: Store) -> None:
        self._store = store

    def lines(
        self, caller: Principal, query: BillQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[BillLine], str | None]:
        """Newest first."""
        return self._store.bill_lines(_narrowed(caller, query), cursor, min(limit, 1000))

    def totals(self, caller: Principal, query: BillQuery) -> Sequence[BillTotal]:
        """Sums per project and provider."""
        return self._store.bill_totals(_narrowed(caller, query))


def _narrowed(caller: Principal, query: BillQuery) -> BillQuery:
    match caller.role:
        case Role.OPERATOR | Role.REGULATOR:
            return query
        case Role.PROVIDER if caller.provider:
            return replace(query, provider=caller.provider)
        case Role.USER:
            asked = (
                caller.projects if query.projects is None else tuple(p for p in query.projects if p in caller.projects)
            )
            return replace(query, projects=asked)
        case _:
            raise Forbidden(f"{caller.role} {caller.name!r} has no bills", field="token", allowed="user, provider, …")
