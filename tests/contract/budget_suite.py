"""What every store promises of budgets and of what is spent, as one suite for the one in memory and PostgreSQL's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.contract.hold_suite import holding, pledging
from tests.contract.ledger_suite import DEMO, NOW, RULES, SELLER, a_hold, a_transfer, assert_whole, billed, filled
from tests.contract.market_suite import an_order
from tests.contract.store_values import PROJECT, a_job, a_line, a_record, after, an_event, at_once, leased

from suanwang.control.billing.settling import settle
from suanwang.domain.identity import Project
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Allocation, AllocationState, Job, Pledge, Step
from suanwang.domain.lifecycle import JobState
from suanwang.ports import Deal, Fault, Store
from suanwang.trading.budgets import Budget, Draw, Period, Scope, Spent, used
from suanwang.trading.holding import LASTS, RUNS, pledge_chain, renewed
from suanwang.trading.ledger import BANK, Verdict
from suanwang.trading.market.dealing import MARKET, hold
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

    @pytest.mark.parametrize("scope", Scope)
    def test_what_a_budget_does_not_bear_is_refused_where_it_is_written(self, store: Store, scope: Scope) -> None:
        _limited(store, scope, 500)
        jobs = [a_job(), a_job(), a_job()]
        store.add_jobs(jobs, [])
        assert store.apply([pledging(jobs[0], 300), pledging(jobs[1], 201), pledging(jobs[2], 150)]) == {jobs[1].id}
        assert store.job(jobs[1].id) == jobs[1]
        dealt = store.deal(_ordering("order-0051", 51), NOW)
        assert (dealt.done, dealt.refused[0].verdict) == (False, Verdict.BUDGET)
        assert dealt.refused[0].purse.startswith(f"budget {scope}:")
        assert store.order("order-0051") is None
        (outcome,) = store.post([(a_transfer(DEMO, SELLER, 51),)], NOW, draw=_draw(51))
        assert (outcome.verdict, store.count_open()) == (Verdict.BUDGET, (0, 0))
        assert store.deal(_ordering("order-0050", 50), NOW).done
        assert self._of(store) == {"li": (0, 0, 500)}
        assert_whole(store)

    def test_a_payment_counts_for_who_asked_for_it(self, store: Store) -> None:
        paid = (a_transfer(DEMO, SELLER, 51),)
        assert store.post([paid], NOW, draw=_draw(51))[0].verdict is Verdict.POSTED
        assert self._of(store) == {"li": (51, 51, 0)}
        _limited(store, Scope.PERSON, 60)
        assert store.post([paid], NOW, draw=_draw(51))[0].verdict is Verdict.EXISTS, "it is paid already"

    def test_orders_and_starts_at_one_instant_never_pass_a_budget(self, store: Store) -> None:
        _limited(store, Scope.PROJECT, 450)
        _limited(store, Scope.PERSON, 500)
        jobs = [a_job() for _ in range(12)]
        store.add_jobs(jobs, [])

        def write(number: int) -> int:
            if number % 3 == 0:
                return 40 * store.deal(_ordering(f"order-at-once-{number}", 40), NOW).done
            if number % 3 == 1:
                return 50 * store.post([(a_transfer(DEMO, SELLER, 50),)], NOW, draw=_draw(50))[0].done
            return 60 * (not store.apply([pledging(jobs[number // 3], 60)]))

        took = sum(at_once([partial(write, number) for number in range(36)]))
        (found,) = store.spent(NOW)
        assert found.month_fen + found.held_fen == took
        assert 450 - 40 < took <= 450, "no room is left for any of them"
        assert_whole(store)

    def test_what_a_run_held_pays_its_lines_without_passing_a_budget(self, store: Store) -> None:
        _limited(store, Scope.PROJECT, 500)
        job, allocation = holding(store, 300)
        assert store.post([(a_transfer(DEMO, SELLER, 200),)], NOW, draw=_draw(200))[0].done
        for number, (fen, spent, held) in enumerate([(100, 300, 200), (150, 450, 50), (70, 520, 1)], 1):
            _bill(store, job, allocation, number, fen)
            assert settle(store, RULES, NOW) == 1
            (found,) = used(store.budgets(), store.spent(NOW), {})
            assert (found.spent_fen, found.held_fen) == (spent, held)
            job = replace(job, revision=job.revision + 1)
        assert found.left_fen == -21, "more was used than was held: it is owed, and shown"
        fresh = a_job()
        store.add_jobs([fresh], [])
        assert store.apply([pledging(fresh, 1)]) == {fresh.id}
        assert_whole(store)

    def test_a_hold_grows_no_further_than_a_budget_bears(self, store: Store) -> None:
        _limited(store, Scope.PERSON, 500)
        holding(store, 300)
        (held,) = store.leases_held(NOW + LASTS, (), 9)
        assert store.deal(_ordering("order-0150", 150), NOW).done
        draw = Draw(project=PROJECT, person="li", amount_fen=51)
        (outcome,) = store.post([renewed(held.hold, 351, NOW)], NOW, draw=draw)
        assert outcome.verdict is Verdict.BUDGET
        assert [each.hold for each in store.leases_held(NOW + LASTS, (), 9)] == [held.hold]
        (outcome,) = store.post([renewed(held.hold, 350, NOW)], NOW, draw=replace(draw, amount_fen=50))
        assert (outcome.done, self._of(store)) == (True, {"li": (0, 0, 500)})
        assert_whole(store)

    def test_runs_that_hold_nothing_are_found_by_project(self, store: Store) -> None:
        bare, allocation = leased(store)
        assert store.leases_bare([PROJECT], 9) == [], "it does not run yet"
        running = replace(allocation, state=AllocationState.RUNNING, started_at=after(5))
        moved = replace(bare, state=JobState.RUNNING, revision=bare.revision + 1)
        store.apply([Step(job=moved, allocation=running)])
        assert store.leases_bare([PROJECT], 9) == [(moved, running)]
        assert store.leases_bare([ProjectId("other")], 9) == []
        store.post([pledge_chain(PROJECT, allocation.id, Pledge(amount_fen=1, at=NOW))], NOW)
        assert store.leases_bare([PROJECT], 9) == []

    def _of(self, store: Store) -> dict[str, tuple[int, int, int]]:
        found = store.spent(NOW)
        assert all(each.project == PROJECT for each in found)
        return {each.person: (each.month_fen, each.total_fen, each.held_fen) for each in found}


def _limited(store: Store, scope: Scope, limit_fen: int) -> None:
    """One budget of this scope that binds what Li asks for in the project."""
    if scope is Scope.ORGANISATION and not any(each.id == PROJECT for each in store.projects()):
        store.add_project(Project(id=PROJECT, title="", created_at=NOW, labels={"organisation": "清华大学"}), [])
    name = {Scope.PERSON: "li", Scope.PROJECT: PROJECT, Scope.ORGANISATION: "清华大学"}[scope]
    store.put_budget(a_budget(scope, name, limit_fen), [])


def _bill(store: Store, job: Job, allocation: Allocation, number: int, fen: int) -> None:
    record = a_record(job, allocation, number, start_s=10 + 40 * number)
    step = Step(
        job=replace(job, revision=job.revision + 1),
        allocation=allocation,
        usage=(record,),
        bill_lines=(a_line(record, fen=fen),),
    )
    assert store.apply([step]) == frozenset()


def _draw(amount_fen: int) -> Draw:
    return Draw(project=PROJECT, person="li", amount_fen=amount_fen)


def _ordering(name: str, amount_fen: int) -> Deal:
    order = an_order(id=name, project=PROJECT, owner="li", count=1, windows=1, limit_fen=amount_fen)
    assert hold(order).amount_fen == order.hold_fen
    return Deal(orders=(order,), chains=((hold(order),),), draw=_draw(order.hold_fen), accounts=(opened(MARKET),))
