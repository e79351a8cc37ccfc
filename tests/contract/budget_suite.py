"""What every store promises of budgets and of what is spent, as one suite for the one in memory and PostgreSQL's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.hold_suite import pledging
from tests.contract.ledger_suite import DEMO, NOW, RULES, SELLER, a_hold, a_transfer, billed, filled
from tests.contract.store_values import PROJECT, a_job, after, an_event

from suanwang.control.billing.settling import settle
from suanwang.ports import Fault, Store
from suanwang.trading.budgets import Budget, Period, Scope, Spent
from suanwang.trading.holding import LASTS, RUNS
from suanwang.trading.ledger import BANK
from suanwang.trading.settlement import opened


def a_budget(scope: Scope = Scope.PERSON, name: str = "li", limit_fen: int = 500) -> Budget:
    return Budget(scope=scope, name=name, limit_fen=limit_fen, period=Period.MONTH, set_by="olga", set_at=NOW)


class BudgetContract:
    @pytest.fixture(autouse=True)
    def accounts(self, store: Store) -> None:
        filled(store)
        store.open_accounts([opened(RUNS)])

    def test_a_budget_is_kept_replaced_and_dropped(self, store: Store) -> None:
        first, other = a_budget(), a_budget(Scope.ORGANISATION, "清华大学")
        store.put_budget(first, [an_event("budget.set")])
        store.put_budget(other, [])
        assert store.budgets() == [other, first]
        again = replace(first, limit_fen=7, period=Period.TOTAL)
        store.put_budget(again, [])
        assert store.budgets() == [other, again]
        assert store.drop_budget(Scope.PERSON, "li", [an_event("budget.dropped")])
        assert not store.drop_budget(Scope.PERSON, "li", [an_event("budget.dropped")])
        assert store.budgets() == [other]
        assert [event.kind for event in store.events(0, 9, kind="budget.")] == ["budget.set", "budget.dropped"]

    def test_what_is_settled_counts_for_who_asked_and_what_comes_back_is_given_back(self, store: Store) -> None:
        billed(store, 300, -100)
        settle(store, RULES, NOW)
        assert self._of(store) == {"li": (200, 200, 0)}
        store.post([(a_transfer(DEMO, SELLER, 50),), (a_transfer(SELLER, DEMO, 20),)], NOW)
        store.post([(a_transfer(BANK, DEMO, 500),)], NOW)
        assert self._of(store) == {"": (30, 30, 0), "li": (200, 200, 0)}

    def test_months_are_apart(self, store: Store) -> None:
        billed(store, 300)
        settle(store, RULES, NOW)
        (found,) = store.spent(after(40 * 86400))
        assert found == Spent(project=PROJECT, person="li", month_fen=0, total_fen=300, held_fen=0)

    def test_what_is_held_counts_for_whose_run_it_is(self, store: Store) -> None:
        job = a_job()
        store.add_jobs([job], [])
        assert store.apply([pledging(job, 300)]) == frozenset()
        store.post([(a_hold(40),)], NOW)
        assert self._of(store) == {"": (0, 0, 40), "li": (0, 0, 300)}

    def test_what_is_wrong_is_found(self, store: Store) -> None:
        job = a_job()
        store.add_jobs([job], [])
        store.apply([pledging(job, 300)])
        late = a_hold(40, timeout_at=after(150))
        store.post([(late,)], NOW)
        assert [stray.fault for stray in store.strays(NOW, 9)] in ([], [Fault.OWNERLESS])
        found = {stray.what: (stray.fault, stray.account, stray.amount_fen) for stray in store.strays(after(151), 9)}
        assert found[late.id] == (Fault.OVERDUE, DEMO, 40)
        found = {stray.what: (stray.fault, stray.account, stray.amount_fen) for stray in store.strays(NOW + LASTS, 9)}
        (hold,) = [name for name in found if name.startswith("lease/")]
        assert found[hold] == (Fault.OVERDUE, DEMO, 300)
        assert [each.id for each in store.holds([hold, "nothing"])] == [hold]

    def test_a_hold_of_a_lease_that_there_is_not_is_found(self, store: Store) -> None:
        nobody = replace(a_hold(70), id="lease/j-nobody-1/0", chain="lease/j-nobody-1/0", credit=RUNS)
        store.post([(nobody,)], NOW)
        (found,) = store.strays(NOW, 9)
        assert (found.fault, found.what, found.amount_fen) == (Fault.ORPHAN, nobody.id, 70)

    def test_a_line_of_a_project_that_there_is_not_is_found(self, store: Store) -> None:
        _, (line,) = billed(store, 300)
        (found,) = store.strays(NOW, 9)
        assert (found.fault, found.what, found.amount_fen) == (Fault.OWNERLESS, line.usage_id, 300)

    def _of(self, store: Store) -> dict[str, tuple[int, int, int]]:
        found = store.spent(NOW)
        assert all(each.project == PROJECT for each in found)
        return {each.person: (each.month_fen, each.total_fen, each.held_fen) for each in found}
