"""What a lease holds of its project's account and of a voucher: how much, under which name, and how that is made anew or ended.

Owns the names. A lease has at most one hold of each at a time, `lease/ALLOCATION/N` and `lease/ALLOCATION/vN`: each time it is
made anew the next number. Their credit side is an account of the network's that nothing is ever posted to: bills are paid by
transfers of their own, from what project and voucher have left, and where that is too little the hold gives way to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.domain.ids import AllocationId, ProjectId
from suanwang.domain.job import Pledge
from suanwang.trading.ledger import AccountId, Book, Chain, Hold, Outcome, Owner, Phase, Transfer, Verdict, account_id

RUNS = account_id(Owner.OPERATOR, "runs")
"""The other side of every hold of a lease. Its balance is always 0."""
LASTS = timedelta(days=2)
"""When a hold times out; the loop ends it or makes it anew long before."""
AGES = timedelta(days=1)
"""When it is made anew."""
OUTLASTS = timedelta(hours=20)
"""By how much the hold of a voucher outlasts it: its lease is looked at from four hours before the voucher ends."""


def hold_id(allocation: AllocationId, number: int, kind: str = "") -> str:
    """`kind`: `v` of a voucher's."""
    return f"lease/{allocation}/{kind}{number}"


def first_holds(allocation: AllocationId) -> tuple[str, str]:
    """Of its project's account and of a voucher: a lease begins with one of them, or with both."""
    return hold_id(allocation, 0), hold_id(allocation, 0, "v")


def lease_of(hold: str) -> AllocationId:
    """The lease that a hold of `RUNS` is of."""
    return AllocationId(hold.split("/")[1])


def pledge_chain(project: ProjectId, allocation: AllocationId, pledge: Pledge) -> tuple[Transfer, ...]:
    """The first holds of a lease, of both or of neither."""
    legs: list[Transfer] = []
    if pledge.amount_fen:
        payer = account_id(Owner.PROJECT, project)
        legs.append(_pending(payer, hold_id(allocation, 0), pledge.amount_fen, pledge.at + LASTS))
    if pledge.voucher_fen:
        account, timeout_at = account_id(Owner.VOUCHER, pledge.voucher), lent_until(pledge.at, pledge.voucher_until)
        legs.append(_pending(account, hold_id(allocation, 0, "v"), pledge.voucher_fen, timeout_at))
    return joined(legs)


def lent_until(now: datetime, voucher_until: datetime | None) -> datetime:
    """When a voucher's hold that is made now times out."""
    return now + LASTS if voucher_until is None else min(now + LASTS, voucher_until + OUTLASTS)


def nothing_held(project: ProjectId, allocation: AllocationId, now: datetime) -> Hold:
    """Of a lease that a voucher pays in full, what it holds of its project's account."""
    payer = account_id(Owner.PROJECT, project)
    return Hold(id=hold_id(allocation, -1), debit=payer, credit=RUNS, amount_fen=0, timeout_at=now + LASTS)


def joined(*parts: Sequence[Transfer], name: str = "") -> tuple[Transfer, ...]:
    """The transfers of these chains as one, which happen together or not at all, under this name or that of the first."""
    every = [transfer for part in parts for transfer in part]
    return tuple(replace(transfer, chain=name or every[0].chain) for transfer in every)


def ended(hold: Hold) -> Transfer:
    """What releases a hold whole; whoever finds it to be over makes the same transfer."""
    return _void(hold, f"{hold.id}/end")


def renewed(hold: Hold, amount_fen: int, now: datetime) -> tuple[Transfer, ...]:
    """The chain that ends a hold and makes the next one; only ends it where that is of nothing."""
    return _again(hold, amount_fen, now + LASTS)


def lent(hold: Hold, amount_fen: int, now: datetime, voucher_until: datetime | None) -> tuple[Transfer, ...]:
    """As `renewed`, of a voucher's hold."""
    return _again(hold, amount_fen, lent_until(now, voucher_until))


def lessened(hold: Hold, by_fen: int) -> tuple[Transfer, ...]:
    """The chain that frees `by_fen` of a hold for a bill that it was made for."""
    return _again(hold, hold.amount_fen - by_fen, hold.timeout_at)


def following(hold: Hold, chain: tuple[Transfer, ...]) -> Hold | None:
    """What is held after such a chain."""
    made = chain[-1]
    if made.timeout_at is None:
        return None
    return Hold(
        id=made.id, debit=made.debit, credit=made.credit, amount_fen=made.amount_fen, timeout_at=made.timeout_at
    )


def pay(
    book: Book,
    chain: Chain,
    leases: dict[AllocationId, Hold],
    lease: AllocationId | None,
    over: bool,
    now: datetime,
    *,
    tight: bool = False,
) -> tuple[Outcome, tuple[Transfer, ...]]:
    """Post what settles a line. Where its project is short of it, or a budget is `tight`, the line's lease gives of its hold;
    one that is `over` gives all. Returns also the transfers by which it did; `leases` follows them."""
    hold = None if lease is None else leases.get(lease)
    if hold is None or not (over or tight):
        outcome = book.post(chain, now)
        if hold is None or outcome.verdict is not Verdict.SHORT:
            return outcome, ()
    asked = sum(each.amount_fen for each in chain if each.debit == hold.debit and each.phase is Phase.DIRECT)
    # A live lease keeps a fen, by which it is found: it must stop.
    by_fen = hold.amount_fen if over else min(asked, hold.amount_fen - 1)
    freed = lessened(hold, by_fen)
    if by_fen <= 0 or book.post(freed, now).verdict is not Verdict.POSTED:
        return book.post(chain, now), ()
    del leases[lease_of(hold.id)]
    left = following(hold, freed)
    if left is not None:
        leases[lease_of(hold.id)] = left
    return book.post(chain, now), freed


def _again(hold: Hold, amount_fen: int, timeout_at: datetime) -> tuple[Transfer, ...]:
    last = hold.id.rpartition("/")[2]
    kind = "v" if last.startswith("v") else ""
    name = hold_id(lease_of(hold.id), int(last.removeprefix("v")) + 1, kind)
    over = (_void(hold, name),) if hold.amount_fen else ()
    return (*over, _pending(hold.debit, name, amount_fen, timeout_at)) if amount_fen > 0 else over


def _void(hold: Hold, chain: str) -> Transfer:
    return Transfer(
        id=f"{hold.id}/end",
        chain=chain,
        debit=hold.debit,
        credit=hold.credit,
        amount_fen=hold.amount_fen,
        code="lease",
        phase=Phase.VOID,
        pending_id=hold.id,
    )


def _pending(debit: AccountId, name: str, amount_fen: int, timeout_at: datetime) -> Transfer:
    return Transfer(
        id=name,
        chain=name,
        debit=debit,
        credit=RUNS,
        amount_fen=amount_fen,
        code="lease",
        phase=Phase.PENDING,
        timeout_at=timeout_at,
    )
