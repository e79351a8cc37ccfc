"""Invoices and statements: a month's charges summed for those who pay them.

Owns what a month is, how charges are summed, and the invoice's form, which the same charges always give byte for byte. Knows
nothing of where charges are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import orjson

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Ran, UsageRecord
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate
from suanwang.trading.grouping import By
from suanwang.trading.ledger import CURRENCY
from suanwang.trading.rating import billed_fen, rated_yuan
from suanwang.trading.tallying import reckoned

FORMAT = "suanwang-invoice/1"
ZONE = timezone(timedelta(hours=8), "UTC+08:00")
"""Months are those of China."""
_MONTH = re.compile(r"(20[0-9]{2}|21[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """`from_at` to before `to_at`. What was used belongs to the month in which its record begins."""

    name: str
    from_at: datetime
    to_at: datetime

    @classmethod
    def named(cls, text: str) -> Month:
        """From `2026-03`. Raises `InvalidRequest`."""
        found = _MONTH.fullmatch(text)
        if found is None:
            raise InvalidRequest(f"{text[:20]!r} is no month", field="month", allowed="such as 2026-03")
        year, month = int(found[1]), int(found[2])
        after = (year + month // 12, month % 12 + 1)
        return cls(
            name=text,
            from_at=datetime(year, month, 1, tzinfo=ZONE),
            to_at=datetime(after[0], after[1], 1, tzinfo=ZONE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A bill line with its usage, what it was rated by, and who runs and pays it."""

    line: BillLine
    usage: UsageRecord
    price: Price
    started_at: datetime
    electricity: ElectricityRate | None
    owner: str
    """Who submitted the job."""
    task: str
    ran: Ran
    voucher_fen: int = 0
    settled: bool = False
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who shared what its run earned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What was bought on the market."""

    id: str
    order: str
    site: SiteId
    device: str
    seller: str
    at: datetime
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What the decision of a dispute gave back of a bill line. It belongs to the month of the decision."""

    usage_id: str
    project: ProjectId
    job: JobId
    task: str
    owner: str
    site: SiteId
    provider: str
    at: datetime
    amount_fen: int
    voucher_fen: int
    """Of it, what went back to a voucher."""


@dataclass(slots=True)
class Sums:
    """What some charges come to."""

    jobs: set[JobId] = field(default_factory=set)
    records: int = 0
    core_hours: Decimal = Decimal(0)
    device_hours: Decimal = Decimal(0)
    energy_kwh: Decimal = Decimal(0)
    carbon_g: Decimal = Decimal(0)
    amount_fen: int = 0
    voucher_fen: int = 0
    unsettled_fen: int = 0
    credited_fen: int = 0

    def credit(self, credit: Adjustment) -> None:
        """Take a credit off what the charges come to."""
        self.amount_fen -= credit.amount_fen
        self.voucher_fen -= credit.voucher_fen
        self.credited_fen += credit.amount_fen

    def add(self, charge: Charge) -> None:
        usage, hours = charge.usage, _hours(charge.usage)
        self.jobs.add(usage.job_id)
        self.records += 1
        self.core_hours += usage.cores * hours
        self.device_hours += usage.devices * hours
        self.energy_kwh += Decimal(repr(float(usage.energy_kwh)))
        self.carbon_g += Decimal(repr(float(usage.carbon_g)))
        self.amount_fen += charge.line.amount_fen
        self.voucher_fen += charge.voucher_fen
        self.unsettled_fen += 0 if charge.settled else charge.line.amount_fen

    def row(self) -> dict[str, object]:
        """Plain values; quantities as texts, rounded to a millionth."""
        return {
            "jobs": len(self.jobs),
            "records": self.records,
            "core_hours": _plain(self.core_hours),
            "device_hours": _plain(self.device_hours),
            "energy_kwh": _plain(self.energy_kwh),
            "carbon_g": _plain(self.carbon_g),
            "amount_fen": self.amount_fen,
            "voucher_fen": self.voucher_fen,
            "unsettled_fen": self.unsettled_fen,
            **({"credited_fen": self.credited_fen} if self.credited_fen else {}),
        }


def statement(
    charges: Iterable[Charge],
    by: By,
    labels: Mapping[ProjectId, Mapping[str, str]],
    credits: Iterable[Adjustment] = (),  # noqa: A002 - the field's own word
) -> list[dict[str, object]]:
    """Sums by name, in the order of names; the name is empty where nobody said whose a project is. Credits are taken off."""
    sums: dict[str, Sums] = {}
    for charge in charges:
        line = charge.line
        sums.setdefault(_name(by, line.project, charge.owner, line.provider, line.site_id, labels), Sums()).add(charge)
    for each in credits:
        sums.setdefault(_name(by, each.project, each.owner, each.provider, each.site, labels), Sums()).credit(each)
    return [{"name": name, **sums[name].row()} for name in sorted(sums)]


def _name(
    by: By, project: ProjectId, person: str, provider: str, site: SiteId, labels: Mapping[ProjectId, Mapping[str, str]]
) -> str:
    match by:
        case By.PROJECT:
            return project
        case By.PERSON:
            return person
        case By.PROVIDER:
            return provider
        case By.SITE:
            return site
        case _:
            return labels.get(project, {}).get(by.value, "")


def invoice(
    project: ProjectId,
    title: str,
    labels: Mapping[str, str],
    month: Month,
    charges: Sequence[Charge],
    purchases: Sequence[Purchase],
    credits: Sequence[Adjustment] = (),  # noqa: A002 - the field's own word
) -> dict[str, object]:
    """The month of one project, as plain values: one line for each job at each site, what was bought, and where disputes were
    decided so, a line for each credit.

    `due_fen` is what the project itself pays: all charges and purchases less credits, without what vouchers paid.
    """
    rows: dict[tuple[str, str], tuple[Charge, Sums]] = {}
    total = Sums()
    for charge in sorted(charges, key=lambda each: (each.line.from_at, each.line.usage_id)):
        total.add(charge)
        key = (charge.line.job_id, charge.line.site_id)
        rows.setdefault(key, (charge, Sums()))[1].add(charge)
    bought = sum(purchase.amount_fen for purchase in purchases)
    credited = sum(each.amount_fen for each in credits)
    amount = total.amount_fen + bought - credited
    voucher = total.voucher_fen - sum(each.voucher_fen for each in credits)
    # A month without one has the bytes that it had before there were any.
    back = {"credits": [_credit(each) for each in credits], "credited_fen": credited} if credits else {}
    return {
        "format": FORMAT,
        "number": f"{project}/{month.name}",
        "project": project,
        "title": title,
        "labels": dict(sorted(labels.items())),
        "month": month.name,
        "zone": "UTC+08:00",
        "currency": CURRENCY,
        "lines": [_row(job, site, first, sums) for (job, site), (first, sums) in rows.items()],
        "purchases": [_purchase(purchase) for purchase in sorted(purchases, key=lambda each: (each.at, each.id))],
        "usage": total.row(),
        "purchased_fen": bought,
        **back,
        "amount_fen": amount,
        "voucher_fen": voucher,
        "due_fen": amount - voucher,
        "unsettled_fen": total.unsettled_fen,
    }


def encoded(value: Mapping[str, object]) -> bytes:
    """The invoice's own bytes: keys sorted, no floats."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def rerated(month: Sequence[Charge]) -> list[Charge]:
    """Charges of a project's month, in the order they were written in, with yuan and fen reckoned anew from records and prices
    alone. Those that were rounded by their job are left out."""
    kept = [charge for charge in month if charge.line.tally_yuan is not None]
    anew = [replace(each.line, rated_yuan=_rated(each)) for each in kept]
    lines = reckoned((line, each.owners) for line, each in zip(anew, kept, strict=True))
    return [replace(each, line=line) for each, line in zip(kept, lines, strict=True)]


def rerated_job(history: Sequence[Charge]) -> list[Charge]:
    """The same of one job's charges that were rounded by it, from its first record on."""
    total, billed = Decimal(0), 0
    made: list[Charge] = []
    alone = [charge for charge in history if charge.line.tally_yuan is None]
    for charge in sorted(alone, key=lambda each: _written(each.line.usage_id)):
        rated = _rated(charge)
        total += rated
        amount = billed_fen(total) - billed
        billed += amount
        made.append(replace(charge, line=replace(charge.line, rated_yuan=rated, amount_fen=amount)))
    return made


def _written(usage_id: str) -> tuple[int, int]:
    """Records of a job in the order they were written in: by run, then by number."""
    run, _, number = usage_id.rpartition(":")
    return int(run.rpartition("-")[2]), int(number)


def _rated(charge: Charge) -> Decimal:
    return rated_yuan(charge.usage, charge.price, charge.started_at, charge.electricity)


def _row(job: str, site: str, first: Charge, sums: Sums) -> dict[str, object]:
    return {
        "job": job,
        "task": first.task,
        "owner": first.owner,
        "site": site,
        "provider": first.line.provider,
        "device": first.usage.device_model if first.usage.devices else None,
        **sums.row(),
    }


def _purchase(purchase: Purchase) -> dict[str, object]:
    return {
        "trade": purchase.id,
        "order": purchase.order,
        "site": purchase.site,
        "device": purchase.device,
        "seller": purchase.seller,
        "at": purchase.at.astimezone(ZONE).isoformat(timespec="microseconds"),
        "amount_fen": purchase.amount_fen,
    }


def _credit(credit: Adjustment) -> dict[str, object]:
    """Amounts are below 0, for they are taken off."""
    return {
        "usage": credit.usage_id,
        "job": credit.job,
        "task": credit.task,
        "owner": credit.owner,
        "site": credit.site,
        "provider": credit.provider,
        "at": credit.at.astimezone(ZONE).isoformat(timespec="microseconds"),
        "amount_fen": -credit.amount_fen,
        "voucher_fen": -credit.voucher_fen,
    }


def _hours(usage: UsageRecord) -> Decimal:
    return Decimal(usage.us) / Decimal(3_600_000_000)


def _plain(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.000001")), "f")
