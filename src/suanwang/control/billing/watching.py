"""A look through the ledger by the loop itself, once a minute: overdrafts, budgets that are passed, holds past their time, what
nobody owns.

Owns when that is done, what is told of it, and what is put right: a hold that nobody owns is released, and a run that holds nothing
though a budget binds it by now gets a hold. Once a month it takes what rounding left of commissions. Each thing is told
once, as an event that operators see; a process that starts tells what it finds again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from suanwang.control.billing.budgets import used_of
from suanwang.control.billing.holding import hold_bare
from suanwang.control.rules import Rules
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.ports import Fault, Store, Stray
from suanwang.trading.agreements import month_begins, month_number, month_text
from suanwang.trading.budgets import Scope, Used, month_name
from suanwang.trading.holding import ended
from suanwang.trading.ledger import NETWORK, Chain, Owner, Verdict
from suanwang.trading.leftovers import collected
from suanwang.trading.settlement import opened

LIMIT = 1000
"""Things told in one look."""
AFTER = timedelta(hours=1)
"""A month's sales are all written by then."""
LATE = timedelta(minutes=1)
"""The loop releases what is past its time in every turn: what is later than this was passed over."""


class MoneyWatch:
    """Keeps what it has told."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._looked_at: datetime | None = None
        self._told: set[tuple[Fault, str]] = set()
        self._passed: set[tuple[str, str]] = set()
        self._collected = -1
        self._due: tuple[Chain, ...] = ()

    def look(self, now: datetime) -> int:
        """Tell what is newly wrong, where a look is due; returns how much."""
        every = timedelta(seconds=self._rules.watch_every_s)
        if self._looked_at is not None and now - self._looked_at < every:
            return 0
        found = self._store.strays(now - LATE, LIMIT)
        fresh = [stray for stray in found if (stray.fault, stray.what) not in self._told]
        if fresh:
            self._store.append_events([_event(stray, now) for stray in fresh])
        passed = {
            (each.budget.purse, month_name(now)): each for each in used_of(self._store, self._store.budgets(), now)
        }
        passed = {
            key: each for key, each in passed.items() if each.left_fen < 0 and each.spent_fen > each.budget.limit_fen
        }
        news = [_passed(each, now) for key, each in passed.items() if key not in self._passed]
        if news:
            self._store.append_events(news)
        hold_bare(self._store, self._rules, now)
        self._collect(now)
        orphans = [stray.what for stray in found if stray.fault is Fault.ORPHAN]
        if orphans:
            self._store.post([(ended(hold),) for hold in self._store.holds(orphans)], now)
        self._looked_at, self._told = now, {(stray.fault, stray.what) for stray in found}
        self._passed = set(passed)
        return len(fresh) + len(news)

    def _collect(self, now: datetime) -> None:
        """Take what rounding left of last month's commissions; of a seller who has too little as soon as he has it."""
        last = month_number(now - AFTER) - 1
        if last != self._collected:
            sums = self._store.leftovers(month_begins(last), month_begins(last + 1))
            self._due, self._collected = collected(sums, month_text(last)), last
        if self._due:
            self._store.open_accounts([opened(NETWORK)])
            outcomes = self._store.post(self._due, now)
            short = {outcome.chain for outcome in outcomes if outcome.verdict is Verdict.SHORT}
            self._due = tuple(chain for chain in self._due if chain[0].chain in short)


def _passed(used: Used, now: datetime) -> Event:
    """More was used than was held: it is owed, and nothing starts until the budget bears it."""
    budget = used.budget
    return Event(
        kind="budget.passed",
        at=now,
        project=ProjectId(budget.name) if budget.scope is Scope.PROJECT else None,
        data={
            "scope": budget.scope,
            "name": budget.name,
            "limit_fen": budget.limit_fen,
            "spent_fen": used.spent_fen,
            "over_fen": used.spent_fen - budget.limit_fen,
        },
    )


def _event(stray: Stray, now: datetime) -> Event:
    owner, _, name = stray.account.partition(":")
    return Event(
        kind="ledger.overdrawn" if stray.fault is Fault.OVERDRAWN else "ledger.stray",
        at=now,
        project=ProjectId(name) if owner == Owner.PROJECT else None,
        data={"fault": stray.fault, "what": stray.what, "account": stray.account, "amount_fen": stray.amount_fen},
    )
