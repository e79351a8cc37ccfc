"""Budgets: how much a person, a project or an organisation may spend, in a month or in all, and what counts as spent.

Owns the values. What is spent follows from the transfers of projects' accounts, and from who asked for what they pay; what
runs and standing orders hold counts as spent until it is paid or released.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum

from suanwang.domain.ids import ProjectId
from suanwang.trading.ledger import BANK, Owner, Phase, Transfer, account_id
from suanwang.trading.market.dealing import MARKET

ZONE = timezone(timedelta(hours=8))
"""Of months, as for invoices."""


class Scope(StrEnum):
    PERSON = "person"
    """What jobs and orders of this name come to, in whatever project."""
    PROJECT = "project"
    ORGANISATION = "organisation"
    """Of all projects that are labelled so."""


class Period(StrEnum):
    MONTH = "month"
    """Of the calendar in UTC+8: what was spent in it."""
    TOTAL = "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    scope: Scope
    name: str
    limit_fen: int
    period: Period
    set_by: str
    set_at: datetime

    @property
    def purse(self) -> str:
        """What users are told is empty."""
        return f"budget {self.scope}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one person's work in one project came to; `person` is empty where nobody asked for it."""

    project: ProjectId
    person: str
    month_fen: int = 0
    total_fen: int = 0
    held_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A budget and what there is of it."""

    budget: Budget
    spent_fen: int
    held_fen: int

    @property
    def left_fen(self) -> int:
        """Below 0 where it was lowered since, or bills came to more than was held."""
        return self.budget.limit_fen - self.spent_fen - self.held_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What somebody asks to take or to hold of a project's account."""

    project: ProjectId
    person: str
    amount_fen: int


class Bearing:
    """What budgets still bear, of one draw after another."""

    def __init__(self, found: Iterable[Used], organisations: Mapping[ProjectId, str]) -> None:
        """`found` as of one instant at which nobody else draws on these budgets; `organisations`: whose each project is."""
        self._left = {each.budget: each.left_fen for each in found}
        self._organisations = organisations

    def take(self, draw: Draw) -> str:
        """Count it where all budgets that bind it bear it; else the purse that does not, and nothing is counted."""
        organisation = self._organisations.get(draw.project, "")
        mine = [each for each in self._left if binds(each, draw.project, draw.person, organisation)]
        for each in mine:
            if self._left[each] < draw.amount_fen:
                return each.purse
        for each in mine:
            self._left[each] -= draw.amount_fen
        return ""


def taken_fen(chain: Iterable[Transfer], project: ProjectId) -> int:
    """What a chain newly takes or holds of the project's account."""
    payer, new = account_id(Owner.PROJECT, project), (Phase.DIRECT, Phase.PENDING)
    return sum(each.amount_fen for each in chain if each.debit == payer and each.phase in new)


def month_name(at: datetime) -> str:
    local = at.astimezone(ZONE)
    return f"{local.year:04d}-{local.month:02d}"


def used(
    budgets: Iterable[Budget], spent: Collection[Spent], organisations: Mapping[ProjectId, str]
) -> tuple[Used, ...]:
    """`spent` is as of one instant; `organisations` is whose each project is."""
    found: list[Used] = []
    for budget in budgets:
        mine = [each for each in spent if _is_of(budget, each, organisations)]
        month = budget.period is Period.MONTH
        found.append(
            Used(
                budget=budget,
                spent_fen=sum(each.month_fen if month else each.total_fen for each in mine),
                held_fen=sum(each.held_fen for each in mine),
            )
        )
    return tuple(found)


def binds(budget: Budget, project: ProjectId, person: str, organisation: str) -> bool:
    """Whether what this person does in this project draws on the budget."""
    match budget.scope:
        case Scope.PERSON:
            return budget.name == person
        case Scope.PROJECT:
            return budget.name == project
        case Scope.ORGANISATION:
            return bool(organisation) and budget.name == organisation


def spending(transfers: Iterable[Transfer], persons: Mapping[str, str], at: datetime) -> Counter[tuple[str, str, str]]:
    """(month, project, person) → fen that these transfers take from projects' accounts, less what they give back.

    `persons` says who asked for what a chain pays, by `asked_for` of it. Money from the bank, from sales and between
    projects gives nothing back.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    month = month_name(at)
    for transfer in transfers:
        if transfer.phase not in (Phase.DIRECT, Phase.POST):
            continue
        (paying, _, payer), (paid, _, payee) = transfer.debit.partition(":"), transfer.credit.partition(":")
        person = persons.get(asked_for(transfer.chain), "")
        if paying == Owner.PROJECT:
            found[month, payer, person] += transfer.amount_fen
        elif paid == Owner.PROJECT and transfer.debit not in (BANK, MARKET) and transfer.code != "top_up":
            found[month, payee, person] -= transfer.amount_fen
    return found


def asked_for(chain: str) -> str:
    """`bill/USAGE`, `trade/ORDER`, `use/LEASE`, `copy/COPY`: the part of a chain's name that says what it pays."""
    return "/".join(chain.split("/")[:2])


def _is_of(budget: Budget, spent: Spent, organisations: Mapping[ProjectId, str]) -> bool:
    return binds(budget, spent.project, spent.person, organisations.get(spent.project, ""))
