"""What `bill.json` holds, and its reading.

Owns the document's form. Everything in it is distrusted: a field that is missing, unknown, of the wrong type or written in
another way than the canonical one is refused, for what is not read would not be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.pricing import Formula, Kind, Pricing, Taken
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate, Tier
from suanwang.trading import plainform
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import canonical, usage_leaf
from suanwang.trading.ledger import CURRENCY, AccountId, Phase
from suanwang.trading.proven import (
    Consistency,
    Paid,
    Proven,
    checkpoint_document,
    checkpoint_of,
    consistency_document,
    consistency_of,
    content,
    paid_of,
    proven_of,
    shown,
)
from suanwang.trading.published import Bound, Stated, stated
from suanwang.trading.settlement import Party
from suanwang.trading.strict import amount, count, exactly, hashes, instant_of, listed, mapping, text, whole

FORMAT, EARLIER = "suanwang-bill/2", "suanwang-bill/1"
"""The earlier one had no leaves of what prices follow from."""
_USAGE = (
    *("kind", "id", "allocation", "job", "project", "site", "from_at", "to_at", "cores", "memory_gb", "device_model"),
    *("devices", "energy_kwh", "carbon_g", "provider", "description", "rated_yuan", "amount_fen", "started_at"),
    *("price", "parties", "before_fen"),
)
_USAGE_MAY = ("electricity", "pricing", "corrects", "bound", "tally_yuan")
"""In the leaf where the user paid it, where a price list bound the run, where it takes time back, where the log has what its
price follows from, and where it is rounded by its tally rather than its job."""


def document(
    job: str,
    usage: Sequence[Proven],
    transfers: Sequence[Proven],
    published: Sequence[Proven],
    leases: Sequence[Proven],
    checkpoint: Checkpoint,
    consistency: Consistency | None = None,
) -> dict[str, object]:
    """The bill of a job as plain JSON values. `usage` in the order of the log; `published` is what its prices follow from,
    `leases` are the first holds of its leases."""
    return {
        "format": FORMAT,
        "job": job,
        "currency": CURRENCY,
        "amount_fen": sum(content(each.leaf)["amount_fen"] for each in usage),
        "usage": [shown(each) for each in usage],
        "transfers": [shown(each) for each in transfers],
        "published": [shown(each) for each in published],
        "leases": [shown(each) for each in leases],
        "checkpoint": checkpoint_document(checkpoint),
        "consistency": consistency_document(consistency),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A usage leaf, read."""

    proven: Proven
    record: UsageRecord
    line: BillLine
    price: Price
    started_at: datetime
    shared: tuple[Party, ...]
    before_fen: int
    electricity: ElectricityRate | None
    bound: Bound | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A leaf of what a site published, read."""

    proven: Proven
    value: Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    job: str
    amount_fen: int
    usage: tuple[Rated, ...]
    transfers: tuple[Paid, ...]
    published: tuple[Said, ...]
    leases: tuple[Paid, ...]
    checkpoint: Checkpoint
    consistency: Consistency | None

    @classmethod
    def read(cls, value: object) -> Bill:
        earlier = mapping(value).get("format") == EARLIER
        top = exactly(
            value,
            *("format", "job", "currency", "amount_fen", "usage", "transfers", "checkpoint", "consistency"),
            *(() if earlier else ("published", "leases")),
        )
        if top["format"] not in (FORMAT, EARLIER) or top["currency"] != CURRENCY:
            raise ValueError(f"the format is {FORMAT} and the currency {CURRENCY}")
        return cls(
            job=text(top["job"]),
            amount_fen=whole(top["amount_fen"]),
            usage=tuple(_rated(each) for each in listed(top["usage"])),
            transfers=tuple(_settling(each) for each in listed(top["transfers"])),
            published=tuple(_said(each) for each in listed(top.get("published", []))),
            leases=tuple(_lease(each) for each in listed(top.get("leases", []))),
            checkpoint=checkpoint_of(top["checkpoint"]),
            consistency=consistency_of(top["consistency"]),
        )


def _rated(value: object) -> Rated:
    proven, leaf = proven_of(value, "usage", _USAGE, _USAGE_MAY)
    device = leaf["device_model"]
    record = UsageRecord(
        id=text(leaf["id"]),
        allocation_id=AllocationId(text(leaf["allocation"])),
        job_id=JobId(text(leaf["job"])),
        project=ProjectId(text(leaf["project"])),
        site_id=SiteId(text(leaf["site"])),
        from_at=instant_of(leaf["from_at"]),
        to_at=instant_of(leaf["to_at"]),
        cores=count(leaf["cores"]),
        memory_gb=float(text(leaf["memory_gb"])),
        device_model=None if device is None else text(device),
        devices=count(leaf["devices"]),
        energy_kwh=float(text(leaf["energy_kwh"])),
        carbon_g=float(text(leaf["carbon_g"])),
        corrects=text(leaf["corrects"]) if "corrects" in leaf else None,
    )
    posted = exactly(leaf["price"], "core_hour_yuan", "memory_gb_hour_yuan", "device_hour_yuan")
    price = Price(
        core_hour_yuan=amount(posted["core_hour_yuan"]),
        memory_gb_hour_yuan=amount(posted["memory_gb_hour_yuan"]),
        device_hour_yuan={name: amount(yuan) for name, yuan in mapping(posted["device_hour_yuan"]).items()},
    )
    line = BillLine(
        usage_id=record.id,
        project=record.project,
        job_id=record.job_id,
        site_id=record.site_id,
        provider=text(leaf["provider"]),
        from_at=record.from_at,
        to_at=record.to_at,
        description=text(leaf["description"]),
        rated_yuan=amount(leaf["rated_yuan"]),
        amount_fen=whole(leaf["amount_fen"]),
        tally_yuan=amount(leaf["tally_yuan"]) if "tally_yuan" in leaf else None,
        pricing=_pricing(leaf["pricing"]) if "pricing" in leaf else None,
    )
    shared = tuple(Party(account=AccountId(text(who)), weight=count(weight)) for who, weight in listed(leaf["parties"]))
    read = Rated(
        proven=proven,
        record=record,
        line=line,
        price=price,
        started_at=instant_of(leaf["started_at"]),
        shared=shared,
        before_fen=whole(leaf["before_fen"]),
        electricity=_electricity(leaf["electricity"]) if "electricity" in leaf else None,
        bound=plainform.read(Bound, leaf["bound"]) if "bound" in leaf else None,
    )
    bound = None if read.bound is None else plainform.shown(read.bound)
    written = usage_leaf(record, line, price, read.started_at, shared, read.before_fen, read.electricity, bound)
    if written != proven.leaf:
        raise ValueError(f"usage {record.id} is not written canonically")
    return read


def _electricity(value: object) -> ElectricityRate:
    rate = exactly(value, "yuan_per_kwh", "power_kw", "tier")
    return ElectricityRate(
        yuan_per_kwh=amount(rate["yuan_per_kwh"]),
        power_kw=float(text(rate["power_kw"])),
        tier=Tier(text(rate["tier"])),
    )


def _pricing(value: object) -> Pricing:
    read = exactly(
        value, *("version", "core_hour_yuan", "memory_gb_hour_yuan", "device", "yuan_per_kwh", "kw", "taken", "used_us")
    )
    device = exactly(read["device"], "base_yuan", "factor", "floor_yuan", "cap_yuan")
    cap, kwh, used = device["cap_yuan"], read["yuan_per_kwh"], read["used_us"]
    return Pricing(
        version=count(read["version"]),
        core_hour_yuan=amount(read["core_hour_yuan"]),
        memory_gb_hour_yuan=amount(read["memory_gb_hour_yuan"]),
        device=Formula(
            base_yuan=amount(device["base_yuan"]),
            factor=amount(device["factor"]),
            floor_yuan=amount(device["floor_yuan"]),
            cap_yuan=None if cap is None else amount(cap),
        ),
        yuan_per_kwh=None if kwh is None else amount(kwh),
        kw=amount(read["kw"]),
        taken=tuple(
            Taken(name=text(name), kind=Kind(text(kind)), percent=amount(percent), device_only=device_only is True)
            for name, kind, percent, device_only in listed(read["taken"])
        ),
        used_us=None if used is None else count(used),
    )


def _said(value: object) -> Said:
    top = exactly(value, "index", "leaf", "proof")
    proven = Proven(index=count(top["index"]), leaf=canonical(mapping(top["leaf"])), proof=hashes(top["proof"]))
    return Said(proven=proven, value=stated(top["leaf"]))


def _lease(value: object) -> Paid:
    paid = paid_of(value)
    if paid.transfer.phase is not Phase.PENDING:
        raise ValueError("a lease holds by a pending transfer")
    return paid


def _settling(value: object) -> Paid:
    paid = paid_of(value)
    if paid.transfer.phase not in (Phase.DIRECT, Phase.POST):
        raise ValueError("a bill is settled by direct transfers and posted holds")
    return paid
