"""The check of a bill by somebody who trusts nobody.

Owns every rule that a `bill.json` must keep. The check needs no network: it rates the usage records again,
splits the amounts again, hashes what it reads, follows the proofs to the signed checkpoint, and names whatever fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.pricing import units
from suanwang.trading.billfile import Bill, Rated
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import Owner, Phase, Transfer
from suanwang.trading.merkle import continues, includes, leaf_hash
from suanwang.trading.rating import billed_fen, drawn, rated_yuan
from suanwang.trading.settlement import Redeemed, chain_name, chain_of


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
    voucher_fen: int = 0
    """What vouchers paid of it."""
    unsettled: tuple[str, ...] = ()
    """Records whose amount no transfer has paid at the checkpoint."""
    checkpoint: Checkpoint | None = None
    trusted: bool = False

    @property
    def holds(self) -> bool:
        return not self.failures


def verify(document: object, *, key: str | None = None, older: Checkpoint | None = None) -> Finding:
    """Check a bill. `key` is the network's public key in hexadecimal, as the caller knows it from elsewhere; `older` is a
    checkpoint he kept, which the bill's log must continue. Never raises for what the document says."""
    try:
        bill = Bill.read(document)
        failures = [
            *_records(bill),
            *_rating(bill),
            *_transfers(bill),
            *_inclusion(bill),
            *_signature(bill, key, older),
            *_consistency(bill, older),
        ]
    except (ValueError, TypeError, KeyError, ArithmeticError, InvalidRequest) as error:
        message = str(error)[:300] or type(error).__name__
        return Finding(failures=(Failure(check=Check.FORMAT, where="bill", message=message),))
    paid = {each.transfer.chain for each in bill.transfers}
    return Finding(
        failures=tuple(failures),
        job=bill.job,
        amount_fen=bill.amount_fen,
        lines=len(bill.usage),
        voucher_fen=sum(each.transfer.amount_fen for each in bill.transfers if each.transfer.phase is Phase.POST),
        unsettled=tuple(
            each.line.usage_id
            for each in bill.usage
            if each.line.amount_fen and chain_name(each.line.usage_id) not in paid
        ),
        checkpoint=bill.checkpoint,
        trusted=key is not None,
    )


# the rules


def _records(bill: Bill) -> list[Failure]:
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


def _rating(bill: Bill) -> list[Failure]:
    failures: list[Failure] = []
    total, billed = Decimal(0), 0
    for each in bill.usage:
        where = f"usage {each.record.id}"
        rated = rated_yuan(each.record, each.price, each.started_at, each.electricity)
        if rated != each.line.rated_yuan:
            failures.append(_failure(Check.RATING, where, f"it rates to {rated:f} yuan, not {each.line.rated_yuan:f}"))
        if each.line.pricing is not None and not _follows(each):
            failures.append(_failure(Check.RATING, where, "its unit prices are not those of its list and discounts"))
        if each.electricity is not None and not drawn(each.record, each.electricity.power_kw):
            failures.append(_failure(Check.RATING, where, "its energy is not what its power draws in its time"))
        total += rated
        due = billed_fen(total) - billed
        if due != each.line.amount_fen:
            failures.append(_failure(Check.AMOUNT, where, f"it comes to {due} fen, not {each.line.amount_fen}"))
        if billed != each.before_fen:
            failures.append(
                _failure(Check.AMOUNT, where, f"lines before it sum to {billed} fen, not {each.before_fen}")
            )
        billed += due
    if bill.amount_fen != billed:
        failures.append(_failure(Check.AMOUNT, "bill", f"its lines sum to {billed} fen, not {bill.amount_fen}"))
    return failures


def _follows(each: Rated) -> bool:
    assert each.line.pricing is not None, "asked where a price list binds"
    last, price = units(each.line.pricing)[-1], each.price
    device = price.device_hour_yuan.get(each.record.device_model or "", last.device)
    return (last.core, last.gb, last.device) == (price.core_hour_yuan, price.memory_gb_hour_yuan, device)


def _transfers(bill: Bill) -> list[Failure]:
    failures: list[Failure] = []
    found: dict[str, list[Transfer]] = {}
    for paid in bill.transfers:
        found.setdefault(paid.transfer.chain, []).append(paid.transfer)
    for each in bill.usage:
        name = chain_name(each.line.usage_id)
        made = found.pop(name, [])
        due = chain_of(each.line, each.shared, each.before_fen, _redeemed(made))
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


def _redeemed(made: Sequence[Transfer]) -> Redeemed | None:
    """What a voucher paid of a line: transfers of a line's chain that are posted from holds of one voucher's account."""
    posts = [transfer for transfer in made if transfer.phase is Phase.POST]
    if not posts or not posts[0].debit.startswith(f"{Owner.VOUCHER}:"):
        return None
    return Redeemed(account=posts[0].debit, amount_fen=sum(transfer.amount_fen for transfer in posts))


def _inclusion(bill: Bill) -> list[Failure]:
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


def _signature(bill: Bill, key: str | None, older: Checkpoint | None) -> list[Failure]:
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


def _consistency(bill: Bill, older: Checkpoint | None) -> list[Failure]:
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
