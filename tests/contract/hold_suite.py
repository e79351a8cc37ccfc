"""What every store promises of the money that leases hold, as one suite for the one in memory and PostgreSQL's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.ledger_suite import DEMO, NOW, OTHER, RULES, SELLER, a_transfer, assert_whole, filled, standing
from tests.contract.store_values import a_job, a_line, a_record, after, at_once, ending, fencing, leasing

from suanwang.control.billing.settling import settle
from suanwang.domain.ids import AllocationId
from suanwang.domain.job import Allocation, Job, Pledge, Step
from suanwang.ports import Store
from suanwang.trading.holding import LASTS, RUNS, hold_id, renewed
from suanwang.trading.ledger import NETWORK, Hold
from suanwang.trading.settlement import opened


def pledging(job: Job, amount_fen: int) -> Step:
    return replace(leasing(job), pledge=Pledge(amount_fen=amount_fen, at=NOW))


def holding(store: Store, amount_fen: int) -> tuple[Job, Allocation]:
    """A job with a live lease that holds so much."""
    job = a_job()
    store.add_jobs([job], [])
    step = pledging(job, amount_fen)
    assert store.apply([step]) == frozenset()
    assert step.allocation is not None
    return step.job, step.allocation


def holds(store: Store) -> dict[AllocationId, int]:
    found = store.leases_held(NOW + 2 * LASTS, (), 100)
    return {each.allocation.id: each.hold.amount_fen for each in found}


class HoldContract:
    @pytest.fixture(autouse=True)
    def accounts(self, store: Store) -> None:
        filled(store)
        store.open_accounts([opened(RUNS)])

    def test_a_lease_holds_what_it_pledges(self, store: Store) -> None:
        job, allocation = holding(store, 300)
        assert standing(store, DEMO) == (1000, 300)
        (found,) = store.leases_held(NOW + LASTS, (), 10)
        assert (found.job, found.allocation.id, found.owed_fen) == (job, allocation.id, 0)
        assert found.hold.id == hold_id(allocation.id, 0)
        assert_whole(store)

    def test_what_an_account_cannot_bear_is_refused_in_the_order_of_the_plan(self, store: Store) -> None:
        jobs = [a_job(), a_job(), a_job()]
        store.add_jobs(jobs, [])
        steps = [pledging(jobs[2], 900), pledging(jobs[0], 200), pledging(jobs[1], 100)]
        assert store.apply(steps) == {jobs[0].id}
        assert store.job(jobs[0].id) == jobs[0]
        assert standing(store, DEMO) == (1000, 1000)

    def test_a_stale_step_holds_nothing(self, store: Store) -> None:
        job, _ = holding(store, 300)
        assert store.apply([pledging(replace(job, revision=7), 100)]) == {job.id}
        assert store.apply([pledging(a_job(), 100)]) != frozenset()
        assert standing(store, DEMO) == (1000, 300)

    def test_an_ended_lease_holds_nothing_once_its_lines_are_settled(self, store: Store) -> None:
        job, allocation = holding(store, 300)
        record = a_record(job, allocation, 1)
        step = replace(ending(job, allocation), usage=(record,), bill_lines=(a_line(record, fen=50),))
        assert store.release_ended(NOW, 10) == 0, "it lives"
        assert store.apply([step]) == frozenset()
        assert store.release_ended(NOW, 10) == 0, "it is owed by"
        assert standing(store, DEMO) == (1000, 300)
        assert settle(store, RULES, NOW) == 1
        assert standing(store, DEMO) == (950, 0)
        assert store.release_ended(NOW, 10) == 0
        assert_whole(store)

    def test_a_lease_that_ended_without_a_line_holds_nothing(self, store: Store) -> None:
        job, allocation = holding(store, 300)
        other, _ = holding(store, 100)
        assert store.apply([fencing(job, allocation)]) == frozenset()
        assert (store.release_ended(NOW, 10), store.release_ended(NOW, 10)) == (1, 0)
        assert standing(store, DEMO) == (1000, 100)
        assert list(holds(store)) == [other.allocation_id]

    def test_a_line_is_paid_from_what_is_left_first(self, store: Store) -> None:
        job, allocation = holding(store, 300)
        assert self._billed(store, job, allocation, 200) == 1
        assert (standing(store, DEMO), holds(store)) == ((800, 300), {allocation.id: 300})

    def test_where_nothing_is_left_a_line_is_paid_from_its_own_hold(self, store: Store) -> None:
        job, allocation = holding(store, 300)
        _, other = holding(store, 650)
        assert self._billed(store, job, allocation, 60, 30, 40) == 3
        # 50 were left: the second line is paid from them.
        assert (standing(store, DEMO), holds(store)) == ((870, 850), {allocation.id: 200, other.id: 650})
        assert standing(store, SELLER)[0] + standing(store, NETWORK)[0] == 130
        assert_whole(store)

    def test_a_line_over_the_hold_stays_open_and_a_fen_is_held(self, store: Store) -> None:
        job, allocation = holding(store, 100)
        holding(store, 900)
        assert self._billed(store, job, allocation, 400) == 0
        assert (store.count_open(), holds(store)[allocation.id]) == ((1, 1), 1)
        (found, _) = store.leases_held(NOW, [DEMO], 10)
        assert found.owed_fen == 400

    def test_leases_are_found_by_age_and_where_money_is_short(self, store: Store) -> None:
        _, allocation = holding(store, 400)
        assert store.leases_held(NOW, (), 10) == []
        assert [each.allocation.id for each in store.leases_held(NOW, [DEMO], 10)] == [allocation.id]
        assert store.leases_held(NOW, [OTHER], 10) == []
        holding(store, 200)
        assert len(store.leases_held(NOW, (), 10)) == 2, "more is held than left"

    def test_a_hold_that_is_made_anew_is_the_leases_only_one(self, store: Store) -> None:
        _, allocation = holding(store, 400)
        first = Hold(id=hold_id(allocation.id, 0), debit=DEMO, credit=RUNS, amount_fen=400, timeout_at=NOW + LASTS)
        outcomes = at_once([lambda: store.post([renewed(first, 250, after(101))], after(101))[0] for _ in range(4)])
        assert all(outcome.done for outcome in outcomes)
        assert (standing(store, DEMO), holds(store)) == ((1000, 250), {allocation.id: 250})
        assert_whole(store)

    def test_starts_and_payments_at_once_never_overdraw(self, store: Store) -> None:
        jobs = [a_job() for _ in range(12)]
        store.add_jobs(jobs, [])
        refused = at_once([lambda job=job: store.apply([pledging(job, 150)]) for job in jobs])  # type: ignore[misc]
        assert sum(not each for each in refused) == 6
        assert standing(store, DEMO) == (1000, 900)
        assert_whole(store)

    def test_starts_bills_renewals_ends_and_payments_at_once_leave_no_hold_and_no_debt(self, store: Store) -> None:
        jobs = [a_job() for _ in range(10)]
        store.add_jobs(jobs, [])

        def live(job: Job) -> int:
            """A whole lease: what it was billed, 0 where its start was refused."""
            step = pledging(job, 150)
            if store.apply([step]):
                return 0
            assert step.allocation is not None
            leased, fen = step.job, 20 + 10 * int(job.id[-1])
            record = a_record(leased, step.allocation, 1, start_s=10)
            moved = replace(leased, revision=leased.revision + 1)
            bill = Step(job=moved, allocation=step.allocation, usage=(record,), bill_lines=(a_line(record, fen=fen),))
            assert store.apply([bill]) == frozenset()
            settle(store, RULES, NOW)
            assert store.apply([fencing(moved, step.allocation)]) == frozenset()
            store.release_ended(NOW, 100)
            return fen

        def renew() -> int:
            for _ in range(4):
                held = store.leases_held(NOW + 2 * LASTS, (), 100)
                store.post([renewed(each.hold, each.hold.amount_fen, NOW) for each in held], NOW)
            return 0

        def buy() -> int:
            paid = [store.post([(a_transfer(DEMO, SELLER, 45),)], NOW)[0].done for _ in range(5)]
            return 45 * sum(paid)

        spent = at_once([*(lambda job=job: live(job) for job in jobs), renew, renew, buy, buy])
        settle(store, RULES, after(10_000))
        store.release_ended(after(10_000), 100)
        assert standing(store, DEMO) == (1000 - sum(spent), 0)
        assert (holds(store), store.count_open(), store.strays(NOW, 10)) == ({}, (0, 0), [])
        assert_whole(store)

    def _billed(self, store: Store, job: Job, allocation: Allocation, *fen: int) -> int:
        """Bill a run that goes on; returns how many lines are settled."""
        records = [a_record(job, allocation, at + 1, start_s=10 + 40 * at) for at in range(len(fen))]
        lines = tuple(a_line(record, fen=amount) for record, amount in zip(records, fen, strict=True))
        moved = replace(job, revision=job.revision + 1)
        step = Step(job=moved, allocation=allocation, usage=tuple(records), bill_lines=lines)
        assert store.apply([step]) == frozenset()
        return settle(store, RULES, NOW)
