"""Settlement: who gets which part of a bill line.

Owns the split. Parts are whole fen and sum to the line exactly, by largest remainder. A line gets what the split of its
tally's running total grew by: split by itself, a line of a few fen would never carry a commission. Several owners of one
site may share its part by weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suanwang.domain import vouching
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.job import BillLine
from suanwang.trading.ledger import NETWORK, Account, AccountId, Owner, Phase, Transfer, account_id

WHOLE_BP = vouching.WHOLE_BP
"""Basis points in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An account that is paid, and its weight in the split."""

    account: AccountId
    weight: int


def split(amount_fen: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`amount_fen` (≥ 0) in whole parts proportional to `weights`, by largest remainder; of equal ones the first gains.

    The parts sum to the amount, and each is less than one fen from its exact share. Raises `InvalidRequest`.
    """
    total = sum(weights)
    if amount_fen < 0 or total <= 0 or min(weights) < 0:
        raise InvalidRequest("this cannot be split", field="weights", allowed="weights of 0 and more, not all 0")
    parts = [amount_fen * weight // total for weight in weights]
    left = amount_fen - sum(parts)
    byremainder = sorted(range(len(weights)), key=lambda at: (-(amount_fen * weights[at] % total), at))
    for at in byremainder[:left]:
        parts[at] += 1
    return tuple(parts)


def parties(provider: str, commission_bp: int, owners: Mapping[str, int] | None = None) -> tuple[Party, ...]:
    """Who shares a line: the provider, or each of a site's `owners` (provider → share), and the network's operator."""
    if not 0 <= commission_bp <= WHOLE_BP:
        raise InvalidRequest("this commission is not possible", field="commission_bp", allowed=f"0 to {WHOLE_BP}")
    shares = owners or {provider: 1}
    paid = [
        Party(account=account_id(Owner.PROVIDER, name), weight=share * (WHOLE_BP - commission_bp))
        for name, share in shares.items()
    ]
    return (*paid, Party(account=NETWORK, weight=sum(shares.values()) * commission_bp))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """What a voucher pays of a line."""

    account: AccountId
    amount_fen: int


def voucher_parts(amounts: Sequence[int], paid_fen: int) -> tuple[int, ...]:
    """A voucher's leg over those who are paid, by what each gets of the line; none is more than that."""
    wanted = [max(amount, 0) for amount in amounts]
    if paid_fen > sum(wanted):
        raise InvalidRequest(
            "a voucher pays no more than the line", field="voucher", allowed=f"up to {sum(wanted)} fen"
        )
    return split(paid_fen, wanted) if paid_fen else (0,) * len(wanted)


def chain_name(usage_id: str) -> str:
    return f"bill/{usage_id}"


def due(before_fen: int, amount_fen: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Parts of a line whose tally was billed `before_fen` until then; they sum to `amount_fen`.

    Whatever way a total is cut into lines, the parts of its lines sum to the parts of the total. A part may be negative:
    of a correction, or by a fen where three and more share.
    """
    before, after = _split_signed(before_fen, weights), _split_signed(before_fen + amount_fen, weights)
    return tuple(new - old for old, new in zip(before, after, strict=True))


def _split_signed(amount_fen: int, weights: Sequence[int]) -> tuple[int, ...]:
    parts = split(abs(amount_fen), weights)
    return parts if amount_fen >= 0 else tuple(-part for part in parts)


def chain_of(
    line: BillLine, shared: Sequence[Party], before_fen: int, voucher: Redeemed | None = None
) -> tuple[Transfer, ...]:
    """The transfers that settle a line, one for each party with a part; none for a line of zero fen.

    `before_fen` is from where its parts count. Negative parts go back the same ways. What a voucher pays is posted
    from its holds, beside the project's transfers, which are so much less.
    """
    if not line.amount_fen:
        return ()
    payer = account_id(Owner.PROJECT, line.project)
    amounts = due(before_fen, line.amount_fen, [party.weight for party in shared])
    given = voucher_parts(amounts, voucher.amount_fen) if voucher is not None else (0,) * len(amounts)
    own = tuple(
        Transfer(
            id=f"{line.usage_id}/{number}",
            chain=chain_name(line.usage_id),
            debit=payer if amount > 0 else party.account,
            credit=party.account if amount > 0 else payer,
            amount_fen=abs(amount),
            code="commission" if party.account == NETWORK else "usage",
        )
        for number, (party, amount) in enumerate(
            (party, amount - part) for party, amount, part in zip(shared, amounts, given, strict=True)
        )
        if amount
    )
    return own if voucher is None else (*own, *_posted(line, shared, given, voucher.account))


def _posted(line: BillLine, shared: Sequence[Party], given: Sequence[int], account: AccountId) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(
            id=f"{line.usage_id}/v{number}/paid",
            chain=chain_name(line.usage_id),
            debit=account,
            credit=party.account,
            amount_fen=part,
            code="voucher",
            phase=Phase.POST,
            pending_id=f"{line.usage_id}/v{number}",
        )
        for number, (party, part) in enumerate(zip(shared, given, strict=True))
        if part
    )


def accounts_of(line: BillLine, shared: Sequence[Party], credit_fen: int) -> tuple[Account, ...]:
    """The accounts that a line needs, as they are opened where there are none: a project gets `credit_fen` of credit."""
    project = Account(
        id=account_id(Owner.PROJECT, line.project), owner=Owner.PROJECT, name=line.project, floor_fen=-credit_fen
    )
    return (project, *(opened(party.account) for party in shared))


def opened(account: AccountId) -> Account:
    """A new account without credit."""
    owner, _, name = account.partition(":")
    kind = Owner(owner)
    return Account(id=account, owner=kind, name=name, floor_fen=None if kind is Owner.OUTSIDE else 0)
