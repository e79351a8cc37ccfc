"""What was used and what it costs, for those who pay, earn or watch.

Owns who may see which bill lines. A user sees his projects', a provider his own sites' and single ones
that paid him as a co-owner, operator and regulator all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from suanwang.control.billing.meters import DIFFERS
from suanwang.domain.errors import Forbidden, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId
from suanwang.domain.job import BillLine, Event
from suanwang.ports import BillQuery, BillTotal, Store
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.settlement import chain_name

_FINDINGS = 500


class Bills:
    def __init__(self, store: Store) -> None:
        self._store = store

    def lines(
        self, caller: Principal, query: BillQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[BillLine], str | None]:
        """Newest first."""
        return self._store.bill_lines(narrowed(caller, query), cursor, min(limit, 1000))

    def line(self, caller: Principal, usage_id: str) -> BillLine:
        """One line, for whoever pays it, earns a part of it, or watches. Raises `NotFound`."""
        job_id = JobId(usage_id.partition(":")[0].rpartition("-")[0])
        found = next((each for each in self.of_job(job_id) if each.usage_id == usage_id), None)
        if found is None or not self._party(caller, found):
            raise NotFound("there is no such bill line of yours", field="usage", allowed="follow a link of the bills")
        return found

    def of_job(self, job_id: JobId) -> Iterator[BillLine]:
        """Every line of a job, newest first, for a caller that was checked."""
        cursor: str | None = None
        while True:
            lines, cursor = self._store.bill_lines(BillQuery(job_id=job_id), cursor, 1000)
            yield from lines
            if cursor is None:
                return

    def _party(self, caller: Principal, line: BillLine) -> bool:
        if caller.role is not Role.PROVIDER or caller.provider is None:
            return caller.may_see(line.project)
        if caller.provider == line.provider:
            return True
        own = account_id(Owner.PROVIDER, caller.provider)
        entries = self._store.chain_entries([chain_name(line.usage_id)])
        return any(own in (entry.transfer.credit, entry.transfer.debit) for entry in entries)

    def findings(self, caller: Principal, after: int, limit: int) -> Sequence[Event]:
        """Runs whose two meters differed by more than the tolerance, oldest first: a user's, those of a provider's sites, all."""
        visible = narrowed(caller, BillQuery())
        sites = {site.id for site in self._store.sites() if site.offering.provider == visible.provider}
        found: list[Event] = []
        while len(found) < limit:
            page = self._store.events(after, _FINDINGS, kind=DIFFERS, projects=visible.projects)
            found += [event for event in page if visible.provider is None or event.site_id in sites]
            if len(page) < _FINDINGS:
                break
            after = page[-1].seq
        return found[:limit]

    def totals(self, caller: Principal, query: BillQuery) -> Sequence[BillTotal]:
        """Sums per project and provider."""
        return self._store.bill_totals(narrowed(caller, query))


def narrowed(caller: Principal, query: BillQuery) -> BillQuery:
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
