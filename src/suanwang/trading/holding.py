"""What a lease holds of its project's account: how much, under which name, and how a hold is made anew or ended.

Owns the names. A lease has one hold at a time, `lease/ALLOCATION/N`: each time it is made anew the next
number. Its credit side is an account of the network's that nothing is ever posted to: bills are paid by transfers of their
own, from what the project has left, and where that is too little the hold gives way to them.
"""

from __future__ import annotations

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


def hold_id(allocation: AllocationId, number: int) -> str:
    return f"lease/{allocation}/{number}"


def lease_of(hold: str) -> AllocationId:
    """The lease that a hold of `RUNS` is of."""
    return AllocationId(hold.split("/")[1])


def pledge_hold(project: ProjectId, allocation: AllocationId, pledge: Pledge) -> Transfer:
    """The first hold of a lease."""
    payer = account_id(Owner.PROJECT, project)
    return _pending(payer, allocation, 0, pledge.amount_fen, pledge.at + LASTS)


def ended(hold: Hold) -> Transfer:
    """What releases a hold whole; whoever finds it to be over makes the same transfer."""
    return _void(hold, f"{hold.id}/end")


def renewed(hold: Hold, amount_fen: int, now: datetime) -> tuple[Transfer, ...]:
    """The chain that ends a hold and makes the next one; only ends it where that is of nothing."""
    return _again(hold, amount_fen, now + LASTS)


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
    book: Book, chain: Chain, leases: dict[AllocationId, Hold], lease: AllocationId | None, over: bool, now: datetime
) -> tuple[Outcome, tuple[Transfer, ...]]:
    """Post what settles a line. Where its project is short of it, the line's lease gives of its hold; one that is `over`
    gives all. Returns also the transfers by which it did; `leases` follows them."""
    hold = None if lease is None else leases.get(lease)
    if hold is None or not over:
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
    number = int(hold.id.rpartition("/")[2]) + 1
    name = hold_id(lease_of(hold.id), number)
    over = _void(hold, name)
    if amount_fen <= 0:
        return (over,)
    return (over, _pending(hold.debit, lease_of(hold.id), number, amount_fen, timeout_at))


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


def _pending(
    debit: AccountId, allocation: AllocationId, number: int, amount_fen: int, timeout_at: datetime
) -> Transfer:
    name = hold_id(allocation, number)
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
