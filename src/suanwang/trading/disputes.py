"""Disputes: a party says that a bill line is wrong, both sides are heard, the operator decides.

Owns the steps of a dispute, what the log says of each, and the chain by which a credit goes back. A credit never changes what
was billed: it is a chain of its own, which gives back the same shares of everything that the line moved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.trading.agreements import Side
from suanwang.trading.leaves import canonical, instant
from suanwang.trading.ledger import AccountId, Owner, Transfer, account_id
from suanwang.trading.vouchers import RETURNED

CODE = "dispute_credit"
MOST_TEXT = 4000
MOST_STATEMENTS = 20


class Act(StrEnum):
    OPENED = "opened"
    STATED = "stated"
    REJECTED = "rejected"
    CREDITED = "credited"


DECISIONS = frozenset({Act.REJECTED, Act.CREDITED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeStep:
    """What somebody did: a side, or where `side` is None the operator."""

    act: Act
    side: Side | None
    by: str
    at: datetime
    text: str
    credit_fen: int = 0
    """What was given back; of `CREDITED` alone."""
    leaf: int | None = None
    """Which leaf of the log tells it; known once it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """About one bill line, which has one dispute at most. `revision` guards every change."""

    usage_id: str
    project: ProjectId
    provider: str
    job_id: JobId
    site_id: SiteId
    amount_fen: int
    """Of the line."""
    steps: tuple[DisputeStep, ...]
    revision: int = 0

    @property
    def decision(self) -> DisputeStep | None:
        """None while it is open."""
        return self.steps[-1] if self.steps[-1].act in DECISIONS else None

    @property
    def state(self) -> str:
        """`open`, `rejected` or `credited`."""
        return "open" if self.decision is None else self.decision.act.value

    @property
    def credit_fen(self) -> int:
        return 0 if self.decision is None else self.decision.credit_fen

    def concerns(self, parties: Collection[AccountId]) -> bool:
        sides = {account_id(Owner.PROJECT, self.project), account_id(Owner.PROVIDER, self.provider)}
        return not sides.isdisjoint(parties)


def stepped(dispute: Dispute, step: DisputeStep) -> Dispute:
    """The dispute with one more step. Raises `Conflict` where it was decided, `InvalidRequest` for a step that cannot be."""
    check_text(step.text)
    if dispute.decision is not None:
        raise Conflict(f"this dispute was decided: {dispute.state}", field="usage")
    if step.act is Act.STATED and len(dispute.steps) > MOST_STATEMENTS:
        raise InvalidRequest("enough was said", field="text", allowed=f"{MOST_STATEMENTS} statements in all")
    if step.act is Act.CREDITED and not 0 < step.credit_fen <= dispute.amount_fen:
        raise InvalidRequest("a credit is a part of the line", field="credit_fen", allowed=f"1 to {dispute.amount_fen}")
    return replace(dispute, steps=(*dispute.steps, step), revision=dispute.revision + 1)


def check_text(text: str) -> None:
    if not text.strip() or len(text) > MOST_TEXT or "\0" in text:
        raise InvalidRequest("say why, in words", field="text", allowed=f"1 to {MOST_TEXT} characters")


def dispute_leaf(dispute: Dispute) -> str:
    """What the log says of the last step."""
    step = dispute.steps[-1]
    return canonical(
        {
            "kind": "dispute",
            "usage": dispute.usage_id,
            "number": len(dispute.steps),
            "act": step.act.value,
            "side": None if step.side is None else step.side.value,
            "by": step.by,
            "at": instant(step.at),
            "text": step.text,
            "credit_fen": step.credit_fen,
        }
    )


def credit_name(usage_id: str) -> str:
    return f"dispute/{usage_id}"


def credit_shares(credit_fen: int, moved: Sequence[int]) -> tuple[int, ...]:
    """`credit_fen` over what a line moved, by largest remainder; of equal remainders the first gains.

    The shares sum to the credit exactly, none is larger than what it gives back, and the whole line gives back all of it. An
    amount of `moved` may be negative: a fen that went the other way (`settlement.due`) comes back the other way.
    """
    total = sum(moved)
    if not 0 < credit_fen <= total:
        raise InvalidRequest("a credit is a part of what was paid", field="credit_fen", allowed=f"1 to {total}")
    shares = [credit_fen * amount // total for amount in moved]
    order = sorted(range(len(moved)), key=lambda at: (-(credit_fen * moved[at] % total), at))
    for at in order[: credit_fen - sum(shares)]:
        shares[at] += 1
    return tuple(shares)


def credit_chain(
    usage_id: str,
    payer: AccountId,
    settled: Sequence[Transfer],
    credit_fen: int,
    issuers: Mapping[AccountId, AccountId],
) -> tuple[Transfer, ...]:
    """Transfers that give back the same share of each transfer that settled the line: provider, co-owners, commission,
    and a voucher's leg to the voucher. What goes to a voucher that ended goes on to its issuer (`issuers`).
    """
    payers = {payer, *(each.debit for each in settled if each.debit.startswith(f"{Owner.VOUCHER}:"))}
    moved = [each.amount_fen if each.debit in payers else -each.amount_fen for each in settled]
    chain, name = list[Transfer](), credit_name(usage_id)
    back: dict[AccountId, int] = {}
    parts = list(zip(settled, credit_shares(credit_fen, moved), strict=True))
    # What comes back to the payer goes first, so that he can give a fen of it on.
    for each, share in sorted(parts, key=lambda part: part[1] < 0):
        if share:
            chain.append(_made(name, len(chain), each.credit, each.debit, abs(share), CODE))
            if each.debit in issuers:
                back[each.debit] = back.get(each.debit, 0) + abs(share)
    for voucher, amount in back.items():
        chain.append(_made(name, len(chain), voucher, issuers[voucher], amount, RETURNED))
    return tuple(chain)


def _made(chain: str, number: int, debit: AccountId, credit: AccountId, amount_fen: int, code: str) -> Transfer:
    return Transfer(id=f"{chain}/{number}", chain=chain, debit=debit, credit=credit, amount_fen=amount_fen, code=code)
