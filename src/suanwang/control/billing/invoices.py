"""Invoices, statements and exports of what was billed.

Owns how a month's charges are gathered, and who may see which. What was used belongs to the month in which its record begins.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from suanwang.control.billing.bills import narrowed
from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.electricity.pricing import flat
from suanwang.ports import BillQuery, Charged, Clock, Store, TradeQuery
from suanwang.trading.cloudevents import batch, credit_event, event
from suanwang.trading.disputes import CODE, credit_name
from suanwang.trading.focus import Known, credit_rows, csv_pieces, rows
from suanwang.trading.grouping import By, Export
from suanwang.trading.invoicing import (
    Adjustment,
    Charge,
    Month,
    Purchase,
    encoded,
    invoice,
    rerated,
    rerated_job,
    statement,
)
from suanwang.trading.ledger import Owner, Phase, account_id
from suanwang.trading.ogf_usage import records
from suanwang.trading.rating import electricity_rate, used_us
from suanwang.trading.settlement import chain_name

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerated:
    """What became of rating a month anew."""

    lines: int
    billed_sha256: str
    rerated_sha256: str

    @property
    def identical(self) -> bool:
        return self.billed_sha256 == self.rerated_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that an invoice says."""

    project: Project
    month: Month
    charges: Sequence[Charge]
    purchases: Sequence[Purchase]
    credits: Sequence[Adjustment]

    def invoice(self) -> dict[str, object]:
        project = self.project
        return invoice(
            project.id, project.title, project.labels, self.month, self.charges, self.purchases, self.credits
        )


class Invoices:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def invoice(self, caller: Principal, project: ProjectId, month_name: str) -> dict[str, object]:
        """A project's month. Raises `NotFound` for a project that the caller may not see."""
        return self.parts(caller, project, month_name).invoice()

    def parts(self, caller: Principal, project: ProjectId, month_name: str) -> Parts:
        """What a project's month is made of. Raises as `invoice`."""
        month, found = Month.named(month_name), self._project(caller, project)
        return Parts(
            project=found,
            month=month,
            charges=list(self._charges(_query(project, month), month.from_at, month.to_at)),
            purchases=[*self._purchases(project, month), *self._fees(project, month)],
            credits=self._credits(_query(project, month)),
        )

    def rerate(self, caller: Principal, project: ProjectId, month_name: str) -> Rerated:
        """Rate a month anew from its usage records and prices, and hold the invoice against that which was billed."""
        billed = self.parts(caller, project, month_name)
        jobs = dict.fromkeys(charge.line.job_id for charge in billed.charges if charge.line.tally_yuan is None)
        alone = chain.from_iterable(rerated_job(self._history(job)) for job in jobs)
        anew = {charge.line.usage_id: charge for charge in chain(rerated(billed.charges), alone)}
        charges = [replace(anew[each.line.usage_id], voucher_fen=each.voucher_fen) for each in billed.charges]
        made = replace(billed, charges=charges)
        digests = [hashlib.sha256(encoded(each.invoice())).hexdigest() for each in (billed, made)]
        return Rerated(lines=len(charges), billed_sha256=digests[0], rerated_sha256=digests[1])

    def statement(self, caller: Principal, month_name: str, by: By) -> list[dict[str, object]]:
        """Sums of what the caller pays, earns or watches, by whom or where."""
        month = Month.named(month_name)
        labels = {project.id: project.labels for project in self._store.projects()}
        query = narrowed(caller, BillQuery(from_at=month.from_at, to_at=month.to_at))
        return statement(self._charges(query, month.from_at, month.to_at), by, labels, self._credits(query))

    def charges(self, caller: Principal, query: BillQuery) -> Iterator[Charge]:
        """Charges whose records begin in the query's time, oldest first, for an export."""
        if query.from_at is None or query.to_at is None or query.to_at <= query.from_at:
            raise InvalidRequest("say which time is exported", field="to_at", allowed="an instant after `from_at`")
        return self._charges(narrowed(caller, query), query.from_at, query.to_at)

    def exported(self, caller: Principal, query: BillQuery, form: Export) -> Iterator[str]:
        """Charges whose records begin in the query's time, in pieces."""
        charges, given = self.charges(caller, query), self._credits(narrowed(caller, query))
        match form:
            case Export.FOCUS:
                known = Known(projects=self.projects(), sites={site.id: site.offering for site in self._store.sites()})
                return csv_pieces(chain(rows(charges, known), credit_rows(given, known)))
            case Export.CLOUDEVENTS:
                return batch(chain(map(event, charges), map(credit_event, given)))
            case Export.OGF:
                return records(charges, given, self.projects(), self._clock.now())

    def projects(self) -> dict[ProjectId, Project]:
        return {project.id: project for project in self._store.projects()}

    def _project(self, caller: Principal, project: ProjectId) -> Project:
        found = self.projects().get(project)
        if found is None or caller.role is Role.PROVIDER or not caller.may_see(project):
            raise NotFound(
                f"there is no project {project[:100]!r} of yours", field="project", allowed="see `project list`"
            )
        return found

    def _purchases(self, project: ProjectId, month: Month) -> Iterator[Purchase]:
        cursor: str | None = None
        while True:
            trades, cursor = self._store.trades(TradeQuery(projects=(project,)), cursor, _PAGE)
            for trade in trades:
                if month.from_at <= trade.at < month.to_at:
                    yield Purchase(
                        id=trade.id,
                        order=trade.order_id,
                        site=SiteId(trade.zone.site),
                        device=trade.zone.device,
                        seller=trade.seller,
                        at=trade.at,
                        amount_fen=trade.amount_fen,
                    )
            if cursor is None or (trades and trades[-1].at < month.from_at):
                return

    def _fees(self, project: ProjectId, month: Month) -> Iterator[Purchase]:
        for each, paid in self._store.plan_months((project,), month.from_at):
            if paid and month.from_at <= each.from_at < month.to_at:
                yield Purchase(
                    id=each.key,
                    order=each.plan,
                    site=each.site_id,
                    device=each.package.device,
                    seller=each.provider,
                    at=each.from_at,
                    amount_fen=each.fee_fen,
                )

    def _credits(self, query: BillQuery) -> list[Adjustment]:
        """What disputes gave back within the query's time, by instant."""
        assert query.from_at is not None and query.to_at is not None, "a month or an export has a time"  # noqa: PT018
        parties = None if query.projects is None else [account_id(Owner.PROJECT, name) for name in query.projects]
        found = [
            each
            for each in self._store.dispute_credits(parties, query.from_at, query.to_at)
            if query.provider in (None, each.provider)
            and query.site_id in (None, each.site_id)
            and query.job_id in (None, each.job_id)
        ]
        if not found:
            return []
        jobs = self._store.jobs_by_id(sorted({each.job_id for each in found}))
        vouchers: Counter[str] = Counter()
        for entry in self._store.chain_entries([credit_name(each.usage_id) for each in found]):
            moved = entry.transfer
            if moved.code == CODE and moved.credit.startswith(f"{Owner.VOUCHER}:"):
                vouchers[moved.chain] += moved.amount_fen
        return [
            Adjustment(
                usage_id=each.usage_id,
                project=each.project,
                job=each.job_id,
                task=jobs[each.job_id].task.name,
                owner=jobs[each.job_id].owner,
                site=each.site_id,
                provider=each.provider,
                at=each.steps[-1].at,
                amount_fen=each.credit_fen,
                voucher_fen=vouchers[credit_name(each.usage_id)],
            )
            for each in found
        ]

    def _history(self, job_id: JobId) -> list[Charge]:
        return list(self._charges(BillQuery(job_id=job_id), None, None))

    def _charges(self, query: BillQuery, begin: datetime | None, end: datetime | None) -> Iterator[Charge]:
        cursor: str | None = None
        while True:
            page, cursor = self._store.charges(query, cursor, _PAGE)
            kept = [
                each
                for each in page
                if (begin is None or begin <= each.line.from_at) and (end is None or each.line.from_at < end)
            ]
            yield from self._with_payment(kept)
            if cursor is None:
                return

    def _with_payment(self, page: Sequence[Charged]) -> Iterator[Charge]:
        jobs = self._store.jobs_by_id(sorted({each.line.job_id for each in page}))
        vouchers: dict[str, int] = {}
        for entry in self._store.chain_entries([chain_name(each.line.usage_id) for each in page]):
            if entry.transfer.phase is Phase.POST:
                usage_id = entry.transfer.chain.removeprefix(chain_name(""))
                vouchers[usage_id] = vouchers.get(usage_id, 0) + entry.transfer.amount_fen
        for each in page:
            job = jobs[each.line.job_id]
            yield Charge(
                line=each.line,
                usage=each.usage,
                price=flat(each.price, each.usage.device_model, each.usage.from_at, used_us(each.line)),
                started_at=each.started_at,
                electricity=electricity_rate(each.price, each.power_kw, each.usage.from_at),
                owner=job.owner,
                task=job.task.name,
                ran=each.ran,
                voucher_fen=vouchers.get(each.line.usage_id, 0),
                settled=each.settled,
                owners=each.owners,
            )


def _query(project: ProjectId, month: Month) -> BillQuery:
    return BillQuery(projects=(project,), from_at=month.from_at, to_at=month.to_at)
