"""Budgets as people set and see them, and the checks of what would pass one.

Owns who may set and see which. Starts and runs are held to them by `billing.holding`, orders by `check_order`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.ports import Clock, Store
from suanwang.trading.budgets import Budget, Period, Scope, Used, binds, used
from suanwang.trading.ledger import MOST_FEN

MOST_NAME = 200


class Budgets:
    """Operators set them; users see those that bind them, operators and regulators all."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def put(self, caller: Principal, scope: Scope, name: str, limit_fen: int, period: Period) -> Used:
        """Set how much may be spent; what is spent already counts. Raises `InvalidRequest`, `NotFound`."""
        caller.must_be(Role.OPERATOR)
        if not 0 <= limit_fen <= MOST_FEN:
            raise InvalidRequest("this budget is not possible", field="limit_fen", allowed=f"0 to {MOST_FEN}")
        if not 0 < len(name) <= MOST_NAME or not name.isprintable():
            raise InvalidRequest("this is no name", field="name", allowed=f"1 to {MOST_NAME} characters")
        projects = self._store.projects()
        if scope is Scope.PROJECT and all(project.id != name for project in projects):
            raise NotFound(f"there is no project {name[:100]!r}", field="name", allowed="see `project list`")
        if scope is Scope.ORGANISATION and all(project.organisation != name for project in projects):
            raise NotFound(f"no project is labelled {name[:100]!r}", field="name", allowed="see `project list`")
        now = self._clock.now()
        budget = Budget(scope=scope, name=name, limit_fen=limit_fen, period=period, set_by=caller.name, set_at=now)
        self._store.put_budget(budget, [_event("budget.set", budget, caller, now)])
        return used_of(self._store, [budget], now)[0]

    def drop(self, caller: Principal, scope: Scope, name: str) -> None:
        """Raises `NotFound`."""
        caller.must_be(Role.OPERATOR)
        now = self._clock.now()
        known = next((each for each in self._store.budgets() if (each.scope, each.name) == (scope, name)), None)
        if known is None or not self._store.drop_budget(scope, name, [_event("budget.dropped", known, caller, now)]):
            raise NotFound(f"there is no budget {scope}:{name[:100]}", field="name", allowed="see `budget list`")

    def every(self, caller: Principal) -> Sequence[Used]:
        """Those that the caller may see, by scope and name."""
        if caller.role not in (Role.OPERATOR, Role.REGULATOR, Role.USER):
            return ()
        of = organisations(self._store)
        mine = [budget for budget in self._store.budgets() if _sees(caller, budget, of)]
        return used_of(self._store, mine, self._clock.now())


def organisations(store: Store) -> Mapping[ProjectId, str]:
    return {project.id: project.organisation for project in store.projects()}


def used_of(store: Store, budgets: Sequence[Budget], now: datetime) -> tuple[Used, ...]:
    """The store is asked only where there are any."""
    return used(budgets, store.spent(now), organisations(store)) if budgets else ()


def binding(
    found: Iterable[Used], pairs: Iterable[tuple[ProjectId, str]], of: Mapping[ProjectId, str]
) -> Mapping[tuple[ProjectId, str], tuple[str, ...]]:
    """(project, person) → the purses of these budgets that bind them."""
    every = [each.budget for each in found]
    return {
        (project, person): tuple(
            budget.purse for budget in every if binds(budget, project, person, of.get(project, ""))
        )
        for project, person in pairs
    }


def check_order(store: Store, project: ProjectId, person: str, amount_fen: int, now: datetime) -> None:
    """Raises `Conflict` where a budget does not bear `amount_fen` more; any amount where nothing is left of it."""
    budgets = store.budgets()
    if not budgets:
        return
    of = organisations(store)
    mine = [budget for budget in budgets if binds(budget, project, person, of.get(project, ""))]
    for each in used_of(store, mine, now):
        if each.left_fen < max(amount_fen, 1):
            raise Conflict(
                f"{each.budget.purse} has ¥{max(each.left_fen, 0) / 100:.2f} left of ¥{each.budget.limit_fen / 100:.2f}"
                + (f", and this takes ¥{amount_fen / 100:.2f}" if amount_fen else ""),
                field="project",
                allowed="less, a higher budget, or the next month"
                if each.budget.period is Period.MONTH
                else "less, or a higher budget",
            )


def passed(purse: str, amount_fen: int) -> Conflict:
    """Of an order that came at the same instant as something else, which the budget bore."""
    return Conflict(
        f"{purse} does not bear ¥{amount_fen / 100:.2f} more: somebody else drew on it just now",
        field="project",
        allowed="less, or a higher budget",
    )


def _sees(caller: Principal, budget: Budget, of: Mapping[ProjectId, str]) -> bool:
    if caller.role in (Role.OPERATOR, Role.REGULATOR):
        return True
    return any(binds(budget, project, caller.name, of.get(project, "")) for project in caller.projects)


def _event(kind: str, budget: Budget, caller: Principal, now: datetime) -> Event:
    return Event(
        kind=kind,
        at=now,
        project=ProjectId(budget.name) if budget.scope is Scope.PROJECT else None,
        actor=caller.name,
        data={
            "scope": budget.scope,
            "name": budget.name,
            "limit_fen": budget.limit_fen,
            "period": budget.period,
        },
    )
