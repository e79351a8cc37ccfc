"""What the log says of usage, transfers and sealed papers, as texts that anybody can hash.

Owns the canonical form: JSON in UTF-8, keys sorted, no spaces, and no numbers but integers (others are texts), instants in
UTC with microseconds. The log keeps these texts themselves, so a later form never changes an older hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import orjson

from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.pricing import Pricing
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate
from suanwang.trading.ledger import Transfer
from suanwang.trading.settlement import Party


def canonical(value: Mapping[str, object]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def plain(amount: Decimal) -> str:
    return format(amount, "f")


def usage_leaf(
    record: UsageRecord,
    line: BillLine,
    price: Price,
    started_at: datetime,
    shared: Sequence[Party],
    before_fen: int,
    electricity: ElectricityRate | None = None,
    bound: Mapping[str, object] | None = None,
) -> str:
    """A usage record with all that its bill line and the line's transfers follow from; `electricity` where it is paid.

    `price` are the unit prices of the record; with a price list the line says how they came about. `bound` names what of the
    log they follow from. `before_fen`: from where its parts count.
    """
    drawn = {} if electricity is None else {"electricity": _electricity(electricity)}
    built = {} if line.pricing is None else {"pricing": _pricing(line.pricing)}
    return canonical(
        {
            **drawn,
            **built,
            **({} if bound is None else {"bound": bound}),
            **({} if record.corrects is None else {"corrects": record.corrects}),
            **({} if line.tally_yuan is None else {"tally_yuan": plain(line.tally_yuan)}),
            "kind": "usage",
            "id": record.id,
            "allocation": record.allocation_id,
            "job": record.job_id,
            "project": record.project,
            "site": record.site_id,
            "from_at": instant(record.from_at),
            "to_at": instant(record.to_at),
            "cores": record.cores,
            "memory_gb": repr(float(record.memory_gb)),
            "device_model": record.device_model,
            "devices": record.devices,
            "energy_kwh": repr(float(record.energy_kwh)),
            "carbon_g": repr(float(record.carbon_g)),
            "provider": line.provider,
            "description": line.description,
            "rated_yuan": plain(line.rated_yuan),
            "amount_fen": line.amount_fen,
            "before_fen": before_fen,
            "started_at": instant(started_at),
            "price": {
                "core_hour_yuan": plain(price.core_hour_yuan),
                "memory_gb_hour_yuan": plain(price.memory_gb_hour_yuan),
                "device_hour_yuan": {
                    name: plain(yuan) for name, yuan in price.device_hour_yuan.items() if name == record.device_model
                },
            },
            "parties": [[party.account, party.weight] for party in shared],
        }
    )


def _electricity(rate: ElectricityRate) -> Mapping[str, object]:
    return {
        "yuan_per_kwh": plain(rate.yuan_per_kwh),
        "power_kw": repr(float(rate.power_kw)),
        "tier": rate.tier.value,
    }


def _pricing(value: Pricing) -> Mapping[str, object]:
    cap, kwh = value.device.cap_yuan, value.yuan_per_kwh
    return {
        "version": value.version,
        "core_hour_yuan": plain(value.core_hour_yuan),
        "memory_gb_hour_yuan": plain(value.memory_gb_hour_yuan),
        "device": {
            "base_yuan": plain(value.device.base_yuan),
            "factor": plain(value.device.factor),
            "floor_yuan": plain(value.device.floor_yuan),
            "cap_yuan": None if cap is None else plain(cap),
        },
        "yuan_per_kwh": None if kwh is None else plain(kwh),
        "kw": plain(value.kw),
        "taken": [[each.name, each.kind.value, plain(each.percent), each.device_only] for each in value.taken],
        "used_us": value.used_us,
    }


def transfer_leaf(transfer: Transfer, at: datetime) -> str:
    return canonical(
        {
            "kind": "transfer",
            "id": transfer.id,
            "chain": transfer.chain,
            "phase": transfer.phase.value,
            "debit": transfer.debit,
            "credit": transfer.credit,
            "amount_fen": transfer.amount_fen,
            "code": transfer.code,
            "pending_id": transfer.pending_id,
            "timeout_at": None if transfer.timeout_at is None else instant(transfer.timeout_at),
            "at": instant(at),
        }
    )


def seal_leaf(of: str, name: str, sha256: str) -> str:
    """That the network said, in a paper of this kind and name, what hashes to `sha256`."""
    return canonical({"kind": "seal", "of": of, "name": name, "sha256": sha256})
