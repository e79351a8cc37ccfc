"""Vouchers (算力券): money that somebody gives for the use of computing, under rules.

Owns who may use one where, what part of a bill it pays, and how its part of a line is laid over those who are paid. A voucher
is an account of its own, filled from its issuer's budget: that it is never spent twice is the ledger's to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import BillLine
from suanwang.domain.vouching import WHOLE_BP, Portion
from suanwang.trading.ledger import MOST_FEN, AccountId, Chain, Owner, Phase, Transfer, account_id
from suanwang.trading.settlement import Party, Redeemed, due, voucher_parts

MOST_NAMES = 200
CODE = "voucher"
BUDGET = "budget"
ISSUED = "voucher_issued"
RETURNED = "voucher_returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """`amount_fen` for its holders, to be used within its dates and rules. An empty tuple does not restrict."""

    id: str
    issuer: str
    title: str
    amount_fen: int
    projects: tuple[ProjectId, ...] = ()
    organisations: tuple[str, ...] = ()
    """Holders: these projects, and all projects of these organisations."""
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Catalogue identifiers."""
    domestic: bool = False
    """For devices made in China alone."""
    from_at: datetime
    until_at: datetime
    share_bp: int = WHOLE_BP
    """At most this part of a job's bill, in basis points."""
    cap_fen: int | None = None
    """At most this much of a job's bill."""
    automatic: bool = True
    """Redeemed without being asked; else for the jobs its holders choose."""
    related: tuple[str, ...] = ()
    """Providers and owners related to the holders, whose sites it does not pay for."""
    issued_at: datetime
    issued_by: str
    closed_at: datetime | None = None
    """When what was left went back to the issuer."""

    @property
    def account(self) -> AccountId:
        return account_id(Owner.VOUCHER, self.id)

    @property
    def portion(self) -> Portion:
        return Portion(self.share_bp, self.cap_fen)

    @property
    def holders(self) -> tuple[str, ...]:
        """As stores look for them."""
        return (*(f"project:{name}" for name in self.projects), *(f"organisation:{n}" for n in self.organisations))

    def same_as(self, other: Voucher) -> bool:
        """Whether both were asked for in the same words, whenever that was."""
        return replace(self, issued_at=other.issued_at, issued_by=other.issued_by, closed_at=other.closed_at) == other

    def live(self, now: datetime) -> bool:
        return self.closed_at is None and now < self.until_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a bill line is for, as far as rules ask."""

    project: ProjectId
    organisation: str
    provider: str
    owners: tuple[str, ...]
    region: str
    device: str | None
    domestic: bool
    from_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherUse:
    """What one voucher paid of one project's use of one site."""

    voucher: str
    project: ProjectId
    provider: str
    site: SiteId
    jobs: int
    lines: int
    amount_fen: int
    billed_fen: int
    """What those lines came to in all."""
    first_at: datetime
    last_at: datetime


class Refusal(StrEnum):
    """Why a voucher does not pay a line."""

    HOLDER = "holder"
    PROVIDER = "provider"
    REGION = "region"
    DEVICE = "device"
    DOMESTIC = "domestic"
    DATES = "dates"
    RELATED = "related"


def check_voucher(voucher: Voucher) -> None:
    """Raises `InvalidRequest` naming the field of a voucher that cannot be."""
    if not 0 < voucher.amount_fen <= MOST_FEN:
        raise InvalidRequest("a voucher is worth something", field="amount_fen", allowed=f"1 to {MOST_FEN}")
    if not 0 < voucher.share_bp <= WHOLE_BP:
        raise InvalidRequest("this share is not possible", field="share_bp", allowed=f"1 to {WHOLE_BP}")
    if voucher.cap_fen is not None and not 0 < voucher.cap_fen <= MOST_FEN:
        raise InvalidRequest("this cap is not possible", field="cap_fen", allowed=f"1 to {MOST_FEN}, or none")
    if not voucher.holders:
        raise InvalidRequest("say who may use it", field="projects", allowed="projects or organisations")
    if voucher.until_at <= max(voucher.from_at, voucher.issued_at):
        raise InvalidRequest("it would end before it begins", field="until_at", allowed="a later instant")
    for field in ("projects", "organisations", "providers", "regions", "devices", "related"):
        names = getattr(voucher, field)
        if len(names) > MOST_NAMES or len(set(names)) != len(names) or any(not name.strip() for name in names):
            raise InvalidRequest("names are given once each", field=field, allowed=f"up to {MOST_NAMES} names")


def holds(voucher: Voucher, project: ProjectId, organisation: str) -> bool:
    return project in voucher.projects or (bool(organisation) and organisation in voucher.organisations)


def refusal(voucher: Voucher, use: Use) -> Refusal | None:
    """Why the voucher may not pay for this use; None where it may."""
    paid = {use.provider, *use.owners}
    refused = (
        (Refusal.HOLDER, not holds(voucher, use.project, use.organisation)),
        (Refusal.DATES, not voucher.from_at <= use.from_at <= use.to_at <= voucher.until_at),
        (Refusal.PROVIDER, bool(voucher.providers) and use.provider not in voucher.providers),
        (Refusal.REGION, bool(voucher.regions) and use.region not in voucher.regions),
        (Refusal.DEVICE, bool(voucher.devices) and use.device not in voucher.devices),
        (Refusal.DOMESTIC, voucher.domestic and not use.domestic),
        (Refusal.RELATED, not paid.isdisjoint((use.organisation, use.project, *voucher.related, voucher.issuer))),
    )
    return next((reason for reason, holds_ in refused if holds_), None)


def payable_fen(voucher: Voucher, before_fen: int, amount_fen: int) -> int:
    """What the voucher pays of a line, as far as its money goes: what its part of the job's bill grows by.

    The part is its share of the running total, rounded down, and at most its cap. A negative line, a correction, is the
    project's alone.
    """
    return voucher.portion.grown(before_fen, amount_fen)


def hold_chain(
    voucher: Voucher,
    line: BillLine,
    shared: Sequence[Party],
    before_fen: int,
    paid_fen: int,
    until: datetime | None = None,
) -> Chain:
    """Transfers that hold `paid_fen` of the voucher for a line until it is settled, or until then: the voucher's end."""
    amounts = due(before_fen, line.amount_fen, [party.weight for party in shared])
    return tuple(
        Transfer(
            id=f"{line.usage_id}/v{number}",
            chain=hold_name(line.usage_id),
            debit=voucher.account,
            credit=party.account,
            amount_fen=part,
            code=CODE,
            phase=Phase.PENDING,
            timeout_at=until or voucher.until_at,
        )
        for number, (party, part) in enumerate(zip(shared, voucher_parts(amounts, paid_fen), strict=True))
        if part
    )


def hold_name(usage_id: str) -> str:
    return f"voucher/{usage_id}"


def void_chain(held: Sequence[Transfer]) -> Chain:
    """Gives back what was held for a line that somebody else settled meanwhile."""
    return tuple(
        Transfer(
            id=f"{hold.id}/void",
            chain=f"{hold.chain}/void",
            debit=hold.debit,
            credit=hold.credit,
            amount_fen=hold.amount_fen,
            code=CODE,
            phase=Phase.VOID,
            pending_id=hold.id,
        )
        for hold in held
    )


def redeemed(held: Sequence[Transfer]) -> Redeemed:
    """What the held transfers of one line come to."""
    return Redeemed(account=held[0].debit, amount_fen=sum(transfer.amount_fen for transfer in held))


def issue_chain(voucher: Voucher) -> Chain:
    """Fills the voucher's account from its issuer's budget."""
    name = f"voucher/{voucher.id}/issue"
    issuer = account_id(Owner.ISSUER, voucher.issuer)
    return (
        Transfer(id=name, chain=name, debit=issuer, credit=voucher.account, amount_fen=voucher.amount_fen, code=ISSUED),
    )


def return_chain(voucher: Voucher, left_fen: int) -> Chain:
    """Gives what is left of a voucher that ended back to its issuer."""
    name = f"voucher/{voucher.id}/return"
    issuer = account_id(Owner.ISSUER, voucher.issuer)
    return (Transfer(id=name, chain=name, debit=voucher.account, credit=issuer, amount_fen=left_fen, code=RETURNED),)
