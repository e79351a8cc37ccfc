"""The check of a bill by somebody who trusts nobody.

Owns every rule that a `bill.json` must keep. The check needs no network: it rates the usage records again,
splits the amounts again, hashes what it reads, follows the proofs to the signed checkpoint, and names whatever fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from suanwang.electricity.pricing import units
from suanwang.trading.billfile import Bill, Rated
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.following import followed
from suanwang.trading.ledger import Owner, Phase, Transfer
from suanwang.trading.paperfile import FORMAT as PAPER
from suanwang.trading.papers import verify_paper
from suanwang.trading.proven import Proven
from suanwang.trading.proving import (
    UNREADABLE,
    Check,
    Failure,
    Finding,
    continuity,
    failure,
    inclusion,
    signature,
    unread,
)
from suanwang.trading.published import name_of
from suanwang.trading.rating import billed_fen, drawn, rated_yuan
from suanwang.trading.settlement import Redeemed, chain_name, chain_of
from suanwang.trading.tallying import grown_fen, shared_fen


def verify(document: object, *, key: str | None = None, older: Checkpoint | None = None) -> Finding:
    """Check a bill, or another paper. `key` is the network's public key in hexadecimal, as the caller knows it from elsewhere;
    `older` is a checkpoint he kept, which the file's log must continue. Never raises for what the document says."""
    if isinstance(document, dict) and document.get("format") == PAPER:
        return verify_paper(document, key=key, older=older)
    try:
        bill = Bill.read(document)
        prices = followed(bill)
        failures = [
            *_records(bill),
            *_rating(bill),
            *prices.failures,
            *_transfers(bill),
            *inclusion(_leaves(bill), bill.checkpoint),
            *signature(bill.checkpoint, key, older),
            *continuity(bill.consistency, bill.checkpoint, older),
        ]
    except UNREADABLE as error:
        return unread("bill", error)
    paid = {each.transfer.chain for each in bill.transfers}
    return Finding(
        failures=tuple(failures),
        name=bill.job,
        amount_fen=bill.amount_fen,
        lines=len(bill.usage),
        voucher_fen=sum(each.transfer.amount_fen for each in bill.transfers if each.transfer.phase is Phase.POST),
        unsettled=tuple(
            each.line.usage_id
            for each in bill.usage
            if each.line.amount_fen and chain_name(each.line.usage_id) not in paid
        ),
        priced=prices.lines,
        sources=prices.sources,
        unproved=prices.unproved,
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
            failures.append(failure(Check.RECORDS, where, f"record {record.allocation_id}:{number} is missing here"))
        if record.job_id != bill.job or not record.allocation_id.startswith(f"{bill.job}-"):
            failures.append(failure(Check.RECORDS, where, f"it is of job {record.job_id}, the bill of {bill.job}"))
        if record.to_at <= record.from_at or record.from_at < each.started_at:
            failures.append(failure(Check.RECORDS, where, "its interval is not one of this run"))
        if record.corrects is not None:
            failures += [failure(Check.RECORDS, where, message) for message in _takes_back(bill, each)]
        elif ended is not None and record.from_at < ended:
            failures.append(failure(Check.RECORDS, where, "it overlaps the record before"))
        if each.proven.index <= leaf:
            failures.append(failure(Check.RECORDS, where, "records stand in the order of the log"))
        ended, leaf = record.to_at if record.corrects is None else ended, each.proven.index
    return failures


def _takes_back(bill: Bill, each: Rated) -> Iterator[str]:
    """What is wrong with a correction: it takes back a part of one earlier record, once, at what that was rated by."""
    mine = each.record
    earlier = bill.usage[: bill.usage.index(each)]
    found = next((other for other in earlier if other.record.id == mine.corrects and other.record.sign > 0), None)
    if found is None:
        yield f"there is no record {mine.corrects} before it"
        return
    part, other = (mine.from_at, mine.to_at), found.record
    if not other.from_at <= part[0] < part[1] <= other.to_at:
        yield f"it takes back what is not of record {other.id}"
    if (other.cores, other.memory_gb, other.devices, other.device_model, found.price, found.electricity) != (
        *(mine.cores, mine.memory_gb, mine.devices, mine.device_model, each.price, each.electricity),
    ):
        yield f"it is not rated as record {other.id}"
    for taken in (before.record for before in earlier if before.record.corrects == other.id):
        if taken.from_at < part[1] and part[0] < taken.to_at:
            yield f"record {taken.id} took a part of it back already"


def _rating(bill: Bill) -> list[Failure]:
    failures: list[Failure] = []
    billed = 0
    alone, job = Decimal(0), 0  # Of lines that are rounded by their job.
    for each in bill.usage:
        where = f"usage {each.record.id}"
        rated = rated_yuan(each.record, each.price, each.started_at, each.electricity)
        if rated != each.line.rated_yuan:
            failures.append(failure(Check.RATING, where, f"it rates to {rated:f} yuan, not {each.line.rated_yuan:f}"))
        if each.line.pricing is not None and not _follows(each):
            failures.append(failure(Check.RATING, where, "its unit prices are not those of its list and discounts"))
        if each.electricity is not None and not drawn(each.record, each.electricity.power_kw):
            failures.append(failure(Check.RATING, where, "its energy is not what its power draws in its time"))
        if each.line.tally_yuan is None:
            alone += rated
            due, before = billed_fen(alone) - job, job
            job += due
        else:
            due, before = grown_fen(each.line.tally_yuan, rated), shared_fen(each.line, 0)
        if due != each.line.amount_fen:
            failures.append(failure(Check.AMOUNT, where, f"it comes to {due} fen, not {each.line.amount_fen}"))
        if before != each.before_fen:
            failures.append(
                failure(Check.AMOUNT, where, f"what is before it comes to {before} fen, not {each.before_fen}")
            )
        billed += due
    if bill.amount_fen != billed:
        failures.append(failure(Check.AMOUNT, "bill", f"its lines sum to {billed} fen, not {bill.amount_fen}"))
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
            failures.append(failure(Check.SPLIT, f"usage {each.record.id}", message))
        else:
            failures.append(failure(Check.TRANSFERS, f"usage {each.record.id}", "its transfers are not those due"))
    failures.extend(
        failure(Check.TRANSFERS, f"transfer {transfer.id}", "it settles no record of this bill")
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


def _leaves(bill: Bill) -> list[tuple[str, Proven]]:
    named = [(f"usage {each.record.id}", each.proven) for each in bill.usage]
    named += [(f"transfer {paid.transfer.id}", paid.proven) for paid in (*bill.transfers, *bill.leases)]
    return named + [(" ".join(name_of(said.value)), said.proven) for said in bill.published]
