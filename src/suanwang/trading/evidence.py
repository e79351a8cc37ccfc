"""A bill that proves itself: the document, and its check by somebody who trusts nobody.

Owns what `bill.json` holds and every rule it must keep. The check needs no network: it rates the usage records again,
splits the amounts again, hashes what it reads, follows the proofs to the signed checkpoint, and names whatever fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.site import Price
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import canonical, instant, transfer_leaf, usage_leaf
from suanwang.trading.ledger import CURRENCY, AccountId, Transfer
from suanwang.trading.merkle import continues, includes, leaf_hash
from suanwang.trading.rating import billed_fen, rated_yuan
from suanwang.trading.settlement import Party, chain_name, chain_of

FORMAT = "suanwang-bill/1"


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


class Check(StrEnum):
    FORMAT = "format"
    RECORDS = "records"
    """Numbered without a gap, of one job, in order, never overlapping."""
    RATING = "rating"
    AMOUNT = "amount"
    SPLIT = "split"
    TRANSFERS = "transfers"
    INCLUSION = "inclusion"
    SIGNATURE = "signature"
    KEY = "key"
    CONSISTENCY = "consistency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    check: Check
    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the check came to. `trusted` is False where no key of the caller's was given to hold the signature against."""

    failures: tuple[Failure, ...]
    job: str = ""
    amount_fen: int = 0
    lines: int = 0
    unsettled: tuple[str, ...] = ()
    """Records whose amount no transfer has paid at the checkpoint."""
    checkpoint: Checkpoint | None = None
    trusted: bool = False

    @property
    def holds(self) -> bool:
        return not self.failures


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


def verify(document: object, *, key: str | None = None, older: Checkpoint | None = None) -> Finding:
    """Check a bill. `key` is the network's public key in hexadecimal, as the caller knows it from elsewhere; `older` is a
    checkpoint he kept, which the bill's log must continue. Never raises for what the document says."""
    try:
        bill = _Bill.read(document)
    except (ValueError, TypeError, KeyError, ArithmeticError, InvalidRequest) as error:
        return Finding(failures=(Failure(check=Check.FORMAT, where="bill", message=_words(error)),))
    failures = [
        *_records(bill),
        *_rating(bill),
        *_transfers(bill),
        *_inclusion(bill),
        *_signature(bill, key, older),
        *_consistency(bill, older),
    ]
    paid = {each.transfer.chain for each in bill.transfers}
    return Finding(
        failures=tuple(failures),
        job=bill.job,
        amount_fen=bill.amount_fen,
        lines=len(bill.usage),
        unsettled=tuple(
            each.line.usage_id
            for each in bill.usage
            if each.line.amount_fen and chain_name(each.line.usage_id) not in paid
        ),
        checkpoint=bill.checkpoint,
        trusted=key is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """A usage leaf, read."""

    proven: Proven
    record: UsageRecord
    line: BillLine
    price: Price
    started_at: datetime
    shared: tuple[Party, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paid:
    """A transfer leaf, read."""

    proven: Proven
    transfer: Transfer
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    job: str
    amount_fen: int
    usage: tuple[_Rated, ...]
    transfers: tuple[_Paid, ...]
    checkpoint: Checkpoint
    consistency: Consistency | None

    @classmethod
    def read(cls, value: object) -> _Bill:
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


# the rules


def _records(bill: _Bill) -> list[Failure]:
    failures: list[Failure] = []
    counted: dict[str, int] = {}
    ended: datetime | None = None
    leaf = -1
    for each in bill.usage:
        record, where = each.record, f"usage {each.record.id}"
        number = counted[record.allocation_id] = counted.get(record.allocation_id, 0) + 1
        if record.id != f"{record.allocation_id}:{number}":
            failures.append(_failure(Check.RECORDS, where, f"record {record.allocation_id}:{number} is missing here"))
        if record.job_id != bill.job or not record.allocation_id.startswith(f"{bill.job}-"):
            failures.append(_failure(Check.RECORDS, where, f"it is of job {record.job_id}, the bill of {bill.job}"))
        if record.to_at <= record.from_at or record.from_at < each.started_at:
            failures.append(_failure(Check.RECORDS, where, "its interval is not one of this run"))
        if ended is not None and record.from_at < ended:
            failures.append(_failure(Check.RECORDS, where, "it overlaps the record before"))
        if each.proven.index <= leaf:
            failures.append(_failure(Check.RECORDS, where, "records stand in the order of the log"))
        ended, leaf = record.to_at, each.proven.index
    return failures


def _rating(bill: _Bill) -> list[Failure]:
    failures: list[Failure] = []
    total, billed = Decimal(0), 0
    for each in bill.usage:
        where = f"usage {each.record.id}"
        rated = rated_yuan(each.record, each.price, each.started_at)
        if rated != each.line.rated_yuan:
            failures.append(_failure(Check.RATING, where, f"it rates to {rated:f} yuan, not {each.line.rated_yuan:f}"))
        total += rated
        due = billed_fen(total) - billed
        if due != each.line.amount_fen:
            failures.append(_failure(Check.AMOUNT, where, f"it comes to {due} fen, not {each.line.amount_fen}"))
        billed += due
    if bill.amount_fen != billed:
        failures.append(_failure(Check.AMOUNT, "bill", f"its lines sum to {billed} fen, not {bill.amount_fen}"))
    return failures


def _transfers(bill: _Bill) -> list[Failure]:
    failures: list[Failure] = []
    found: dict[str, list[Transfer]] = {}
    for paid in bill.transfers:
        found.setdefault(paid.transfer.chain, []).append(paid.transfer)
    for each in bill.usage:
        name = chain_name(each.line.usage_id)
        made = found.pop(name, [])
        due = chain_of(each.line, each.shared)
        if not made or list(due) == made:
            continue
        parts, asked = [t.amount_fen for t in made], [t.amount_fen for t in due]
        if parts != asked:
            message = f"its parts are {asked} fen, the transfers {parts}"
            failures.append(_failure(Check.SPLIT, f"usage {each.record.id}", message))
        else:
            failures.append(_failure(Check.TRANSFERS, f"usage {each.record.id}", "its transfers are not those due"))
    failures.extend(
        _failure(Check.TRANSFERS, f"transfer {transfer.id}", "it settles no record of this bill")
        for left in found.values()
        for transfer in left
    )
    return failures


def _inclusion(bill: _Bill) -> list[Failure]:
    root, size = bytes.fromhex(bill.checkpoint.root), bill.checkpoint.size
    named = [(f"usage {each.record.id}", each.proven) for each in bill.usage]
    named += [(f"transfer {paid.transfer.id}", paid.proven) for paid in bill.transfers]
    return [
        _failure(Check.INCLUSION, where, f"it is not leaf {proven.index} of the log that the checkpoint signs")
        for where, proven in named
        if not includes(
            index=proven.index, size=size, leaf=leaf_hash(proven.leaf.encode()), proof=proven.proof, root=root
        )
    ]


def _signature(bill: _Bill, key: str | None, older: Checkpoint | None) -> list[Failure]:
    failures: list[Failure] = []
    if not bill.checkpoint.holds():
        failures.append(_failure(Check.SIGNATURE, "checkpoint", "its signature is not by its key"))
    if key is not None and key.strip().lower() != bill.checkpoint.key:
        failures.append(_failure(Check.KEY, "checkpoint", f"its key is {bill.checkpoint.key}, not the one given"))
    if older is not None and not older.holds():
        failures.append(_failure(Check.SIGNATURE, "older checkpoint", "its signature is not by its key"))
    if older is not None and older.key != bill.checkpoint.key:
        failures.append(_failure(Check.KEY, "older checkpoint", "it is signed with another key than the bill's"))
    return failures


def _consistency(bill: _Bill, older: Checkpoint | None) -> list[Failure]:
    given, new = bill.consistency, bill.checkpoint
    if older is None:
        if given is None:
            return []
        message = f"the proof from size {given.size} needs that older checkpoint: give it"
        return [_failure(Check.CONSISTENCY, "consistency", message)]
    if older.size > new.size:
        message = f"the older checkpoint has {older.size} leaves, the bill's only {new.size}: fetch the bill again"
        return [_failure(Check.CONSISTENCY, "checkpoint", message)]
    if older.size == 0:
        return []
    proof = given.proof if given is not None and given.size == older.size else ()
    if given is not None and given.size != older.size:
        message = f"its proof is from size {given.size}, the older checkpoint has {older.size}"
        return [_failure(Check.CONSISTENCY, "consistency", message)]
    if given is None and older.size != new.size:
        message = f"the bill has no proof from size {older.size}: fetch it with `--since`"
        return [_failure(Check.CONSISTENCY, "consistency", message)]
    if continues(
        old=older.size, old_root=bytes.fromhex(older.root), size=new.size, root=bytes.fromhex(new.root), proof=proof
    ):
        return []
    return [_failure(Check.CONSISTENCY, "checkpoint", "the log does not continue that of the older checkpoint")]


def _failure(check: Check, where: str, message: str) -> Failure:
    return Failure(check=check, where=where, message=message)


# reading, strictly: whatever is not read would not be checked

_USAGE = (
    *("kind", "id", "allocation", "job", "project", "site", "from_at", "to_at", "cores", "memory_gb", "device_model"),
    *("devices", "energy_kwh", "carbon_g", "provider", "description", "rated_yuan", "amount_fen", "started_at"),
    *("price", "parties"),
)
_TRANSFER = (
    *("kind", "id", "chain", "phase", "debit", "credit", "amount_fen", "code", "pending_id", "timeout_at", "at"),
)
_HEX = re.compile(r"[0-9a-f]{64}")
_MOST = 1_000_000


def _rated(value: object) -> _Rated:
    proven, leaf = _proven(value, "usage", _USAGE)
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
    )
    shared = tuple(
        Party(account=AccountId(_text(who)), weight=_count(weight)) for who, weight in _list(leaf["parties"])
    )
    read = _Rated(
        proven=proven,
        record=record,
        line=line,
        price=price,
        started_at=_instant(leaf["started_at"]),
        shared=shared,
    )
    if usage_leaf(record, line, price, read.started_at, shared) != proven.leaf:
        raise ValueError(f"usage {record.id} is not written canonically")
    return read


def _paid(value: object) -> _Paid:
    proven, leaf = _proven(value, "transfer", _TRANSFER)
    transfer = Transfer(
        id=_text(leaf["id"]),
        chain=_text(leaf["chain"]),
        debit=AccountId(_text(leaf["debit"])),
        credit=AccountId(_text(leaf["credit"])),
        amount_fen=_count(leaf["amount_fen"]),
        code=_text(leaf["code"]),
    )
    read = _Paid(proven=proven, transfer=transfer, at=_instant(leaf["at"]))
    if transfer_leaf(transfer, read.at) != proven.leaf:
        raise ValueError(f"transfer {transfer.id} is not a direct one, written canonically")
    return read


def _proven(value: object, kind: str, fields: Sequence[str]) -> tuple[Proven, Mapping[str, Any]]:
    top = _exactly(value, "index", "leaf", "proof")
    leaf = _exactly(top["leaf"], *fields)
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
    amount = Decimal(_text(value))
    if not amount.is_finite():
        raise ValueError("an amount of money is wanted")
    return amount


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


def _words(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__
