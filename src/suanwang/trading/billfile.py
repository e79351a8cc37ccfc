"""What `bill.json` holds, and its reading.

Owns the document's form. Everything in it is distrusted: a field that is missing, unknown, of the wrong type or written in
another way than the canonical one is refused, for what is not read would not be checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.pricing import Formula, Kind, Pricing, Taken
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate, Tier
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import canonical, instant, transfer_leaf, usage_leaf
from suanwang.trading.ledger import CURRENCY, AccountId, Phase, Transfer
from suanwang.trading.settlement import Party

FORMAT = "suanwang-bill/1"
_USAGE = (
    *("kind", "id", "allocation", "job", "project", "site", "from_at", "to_at", "cores", "memory_gb", "device_model"),
    *("devices", "energy_kwh", "carbon_g", "provider", "description", "rated_yuan", "amount_fen", "started_at"),
    *("price", "parties", "before_fen"),
)
_USAGE_MAY = ("electricity", "pricing")
"""In the leaf where the user paid it, and where a price list bound the run."""
_TRANSFER = (
    *("kind", "id", "chain", "phase", "debit", "credit", "amount_fen", "code", "pending_id", "timeout_at", "at"),
)
_HEX = re.compile(r"[0-9a-f]{64}")
_MONEY = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,30})?")
_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A leaf of the log and its audit path, deepest first."""

    index: int
    leaf: str
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What shows that the log of the bill's checkpoint begins with an older one."""

    size: int
    proof: tuple[bytes, ...]


def document(
    job: str,
    usage: Sequence[Proven],
    transfers: Sequence[Proven],
    checkpoint: Checkpoint,
    consistency: Consistency | None = None,
) -> dict[str, object]:
    """The bill of a job as plain JSON values. `usage` in the order of the log."""
    return {
        "format": FORMAT,
        "job": job,
        "currency": CURRENCY,
        "amount_fen": sum(_object(each.leaf)["amount_fen"] for each in usage),
        "usage": [_shown(each) for each in usage],
        "transfers": [_shown(each) for each in transfers],
        "checkpoint": checkpoint_document(checkpoint),
        "consistency": None
        if consistency is None
        else {"size": consistency.size, "proof": [step.hex() for step in consistency.proof]},
    }


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "size": checkpoint.size,
        "root": checkpoint.root,
        "at": instant(checkpoint.at),
        "key": checkpoint.key,
        "signature": checkpoint.signature,
    }


def read_checkpoint(value: object) -> Checkpoint:
    """A checkpoint from `checkpoint_document`. Raises `InvalidRequest`."""
    try:
        return _checkpoint(_exactly(value, "size", "root", "at", "key", "signature"))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"this is no checkpoint: {error}", field="checkpoint") from None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A transfer leaf, read."""

    proven: Proven
    transfer: Transfer
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    job: str
    amount_fen: int
    usage: tuple[Rated, ...]
    transfers: tuple[Paid, ...]
    checkpoint: Checkpoint
    consistency: Consistency | None

    @classmethod
    def read(cls, value: object) -> Bill:
        top = _exactly(
            value, "format", "job", "currency", "amount_fen", "usage", "transfers", "checkpoint", "consistency"
        )
        if top["format"] != FORMAT or top["currency"] != CURRENCY:
            raise ValueError(f"the format is {FORMAT} and the currency {CURRENCY}")
        consistency = None
        if top["consistency"] is not None:
            part = _exactly(top["consistency"], "size", "proof")
            consistency = Consistency(size=_count(part["size"]), proof=_hashes(part["proof"]))
        return cls(
            job=_text(top["job"]),
            amount_fen=_whole(top["amount_fen"]),
            usage=tuple(_rated(each) for each in _list(top["usage"])),
            transfers=tuple(_paid(each) for each in _list(top["transfers"])),
            checkpoint=_checkpoint(_exactly(top["checkpoint"], "size", "root", "at", "key", "signature")),
            consistency=consistency,
        )


def _rated(value: object) -> Rated:
    proven, leaf = _proven(value, "usage", _USAGE, _USAGE_MAY)
    device = leaf["device_model"]
    record = UsageRecord(
        id=_text(leaf["id"]),
        allocation_id=AllocationId(_text(leaf["allocation"])),
        job_id=JobId(_text(leaf["job"])),
        project=ProjectId(_text(leaf["project"])),
        site_id=SiteId(_text(leaf["site"])),
        from_at=_instant(leaf["from_at"]),
        to_at=_instant(leaf["to_at"]),
        cores=_count(leaf["cores"]),
        memory_gb=float(_text(leaf["memory_gb"])),
        device_model=None if device is None else _text(device),
        devices=_count(leaf["devices"]),
        energy_kwh=float(_text(leaf["energy_kwh"])),
        carbon_g=float(_text(leaf["carbon_g"])),
    )
    posted = _exactly(leaf["price"], "core_hour_yuan", "memory_gb_hour_yuan", "device_hour_yuan")
    price = Price(
        core_hour_yuan=_amount(posted["core_hour_yuan"]),
        memory_gb_hour_yuan=_amount(posted["memory_gb_hour_yuan"]),
        device_hour_yuan={name: _amount(yuan) for name, yuan in _mapping(posted["device_hour_yuan"]).items()},
    )
    line = BillLine(
        usage_id=record.id,
        project=record.project,
        job_id=record.job_id,
        site_id=record.site_id,
        provider=_text(leaf["provider"]),
        from_at=record.from_at,
        to_at=record.to_at,
        description=_text(leaf["description"]),
        rated_yuan=_amount(leaf["rated_yuan"]),
        amount_fen=_whole(leaf["amount_fen"]),
        pricing=_pricing(leaf["pricing"]) if "pricing" in leaf else None,
    )
    shared = tuple(
        Party(account=AccountId(_text(who)), weight=_count(weight)) for who, weight in _list(leaf["parties"])
    )
    read = Rated(
        proven=proven,
        record=record,
        line=line,
        price=price,
        started_at=_instant(leaf["started_at"]),
        shared=shared,
        before_fen=_whole(leaf["before_fen"]),
        electricity=_electricity(leaf["electricity"]) if "electricity" in leaf else None,
    )
    written = usage_leaf(record, line, price, read.started_at, shared, read.before_fen, read.electricity)
    if written != proven.leaf:
        raise ValueError(f"usage {record.id} is not written canonically")
    return read


def _electricity(value: object) -> ElectricityRate:
    rate = _exactly(value, "yuan_per_kwh", "power_kw", "tier")
    return ElectricityRate(
        yuan_per_kwh=_amount(rate["yuan_per_kwh"]),
        power_kw=float(_text(rate["power_kw"])),
        tier=Tier(_text(rate["tier"])),
    )


def _pricing(value: object) -> Pricing:
    read = _exactly(
        value, *("version", "core_hour_yuan", "memory_gb_hour_yuan", "device", "yuan_per_kwh", "kw", "taken", "used_us")
    )
    device = _exactly(read["device"], "base_yuan", "factor", "floor_yuan", "cap_yuan")
    cap, kwh, used = device["cap_yuan"], read["yuan_per_kwh"], read["used_us"]
    return Pricing(
        version=_count(read["version"]),
        core_hour_yuan=_amount(read["core_hour_yuan"]),
        memory_gb_hour_yuan=_amount(read["memory_gb_hour_yuan"]),
        device=Formula(
            base_yuan=_amount(device["base_yuan"]),
            factor=_amount(device["factor"]),
            floor_yuan=_amount(device["floor_yuan"]),
            cap_yuan=None if cap is None else _amount(cap),
        ),
        yuan_per_kwh=None if kwh is None else _amount(kwh),
        kw=_amount(read["kw"]),
        taken=tuple(
            Taken(name=_text(name), kind=Kind(_text(kind)), percent=_amount(percent), device_only=device_only is True)
            for name, kind, percent, device_only in _list(read["taken"])
        ),
        used_us=None if used is None else _count(used),
    )


def _paid(value: object) -> Paid:
    proven, leaf = _proven(value, "transfer", _TRANSFER)
    phase, pending = Phase(_text(leaf["phase"])), leaf["pending_id"]
    if phase not in (Phase.DIRECT, Phase.POST):
        raise ValueError("a bill is settled by direct transfers and posted holds")
    transfer = Transfer(
        id=_text(leaf["id"]),
        chain=_text(leaf["chain"]),
        debit=AccountId(_text(leaf["debit"])),
        credit=AccountId(_text(leaf["credit"])),
        amount_fen=_count(leaf["amount_fen"]),
        code=_text(leaf["code"]),
        phase=phase,
        pending_id=None if pending is None else _text(pending),
    )
    read = Paid(proven=proven, transfer=transfer, at=_instant(leaf["at"]))
    if transfer_leaf(transfer, read.at) != proven.leaf:
        raise ValueError(f"transfer {transfer.id} is not written canonically")
    return read


def _proven(
    value: object, kind: str, fields: Sequence[str], may: Sequence[str] = ()
) -> tuple[Proven, Mapping[str, Any]]:
    top = _exactly(value, "index", "leaf", "proof")
    leaf = _exactly(top["leaf"], *fields, *(name for name in may if name in _mapping(top["leaf"])))
    if leaf["kind"] != kind:
        raise ValueError(f"a leaf of kind {kind} is wanted")
    return Proven(index=_count(top["index"]), leaf=canonical(leaf), proof=_hashes(top["proof"])), leaf


def _shown(each: Proven) -> dict[str, object]:
    return {"index": each.index, "leaf": _object(each.leaf), "proof": [step.hex() for step in each.proof]}


def _object(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _checkpoint(value: Mapping[str, Any]) -> Checkpoint:
    read = Checkpoint(
        size=_count(value["size"]),
        root=_hash(value["root"]),
        at=_instant(value["at"]),
        key=_hash(value["key"]),
        signature=_text(value["signature"]),
    )
    if instant(read.at) != value["at"] or not re.fullmatch(r"[0-9a-f]{128}", read.signature):
        raise ValueError("the checkpoint is not written canonically")
    return read


def _exactly(value: object, *names: str) -> Mapping[str, Any]:
    found = _mapping(value)
    if set(found) != set(names):
        odd = sorted(set(found) ^ set(names))
        raise ValueError(f"fields {', '.join(odd)[:200]} are missing or unknown")
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return value


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError("a list is wanted")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a whole number is wanted")
    return value


def _count(value: object) -> int:
    if _whole(value) < 0:
        raise ValueError("a number of 0 or more is wanted")
    return _whole(value)


def _amount(value: object) -> Decimal:
    # By its digits, because a short exponent stands for gigabytes of them.
    if not _MONEY.fullmatch(_text(value)):
        raise ValueError("an amount of money is wanted")
    return Decimal(_text(value))


def _instant(value: object) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError("an instant needs its offset")
    return at


def _hash(value: object) -> str:
    if not _HEX.fullmatch(_text(value)):
        raise ValueError("64 hexadecimal digits are wanted")
    return _text(value)


def _hashes(value: object) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(_hash(step)) for step in _list(value))
