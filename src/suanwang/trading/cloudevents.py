"""Usage records as CloudEvents 1.0 (cloudevents.io), in the JSON batch format of their specification.

Owns their form. `source` is the site, `id` the record, so the pair is unique, as the database has it; the event's time is the
instant at which the record's interval ends. Records are never changed, so the same record gives the same event for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from suanwang.trading.disputes import credit_name
from suanwang.trading.invoicing import Adjustment, Charge
from suanwang.trading.leaves import canonical, instant, plain

MEDIA_TYPE = "application/cloudevents-batch+json"
RECORDED = "suanwang.usage.recorded"
CORRECTED = "suanwang.usage.corrected"
"""Takes its interval back; the extension attribute `corrects` names the record that had it."""
CREDITED = "suanwang.usage.credited"
"""What a dispute gave back of the record that `credits` names; its time is that of the decision."""
_PIECE = 65_536


def event(charge: Charge) -> dict[str, object]:
    """One record with what it was rated to. Numbers that are not whole are texts, as in the ledger's log."""
    usage, line = charge.usage, charge.line
    return {
        "specversion": "1.0",
        "id": usage.id,
        "source": source(usage.site_id),
        "type": RECORDED if usage.corrects is None else CORRECTED,
        **({} if usage.corrects is None else {"corrects": usage.corrects}),
        "subject": usage.job_id,
        "time": instant(usage.to_at),
        "datacontenttype": "application/json",
        "data": {
            "allocation": usage.allocation_id,
            "job": usage.job_id,
            "project": usage.project,
            "owner": charge.owner,
            "site": usage.site_id,
            "provider": line.provider,
            "from_at": instant(usage.from_at),
            "to_at": instant(usage.to_at),
            "cores": usage.cores,
            "memory_gb": repr(float(usage.memory_gb)),
            "device_model": usage.device_model,
            "devices": usage.devices,
            "energy_kwh": repr(float(usage.energy_kwh)),
            "carbon_g": repr(float(usage.carbon_g)),
            "rated_yuan": plain(line.rated_yuan),
            "amount_fen": line.amount_fen,
        },
    }


def credit_event(credit: Adjustment) -> dict[str, object]:
    """What the decision of a dispute gave back."""
    return {
        "specversion": "1.0",
        "id": credit_name(credit.usage_id),
        "source": source(credit.site),
        "type": CREDITED,
        "credits": credit.usage_id,
        "subject": credit.job,
        "time": instant(credit.at),
        "datacontenttype": "application/json",
        "data": {
            "job": credit.job,
            "project": credit.project,
            "owner": credit.owner,
            "site": credit.site,
            "provider": credit.provider,
            "amount_fen": -credit.amount_fen,
            "voucher_fen": -credit.voucher_fen,
        },
    }


def source(site: str) -> str:
    return f"urn:suanwang:site:{quote(site, safe='')}"


def batch(events: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """A JSON array in pieces, one event a line."""
    part, size = ["["], 1
    for number, one in enumerate(events):
        text = (",\n" if number else "\n") + canonical(one)
        part.append(text)
        size += len(text)
        if size > _PIECE:
            yield "".join(part)
            part, size = [], 0
    yield "".join([*part, "\n]\n"])
