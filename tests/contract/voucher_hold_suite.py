"""What every store promises of leases whose vouchers pay a part: both are held, or neither, and end together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.hold_suite import holds
from tests.contract.ledger_suite import DEMO, NOW, OTHER, RULES, SELLER, a_transfer, assert_whole, filled, standing
from tests.contract.store_values import a_job, a_line, a_record, after, at_once, ending, fencing, leasing
from tests.contract.voucher_suite import a_voucher, issue, paid

from suanwang.control.billing.settling import settle
from suanwang.domain.job import Allocation, Job, Pledge, Step
from suanwang.ports import Store
from suanwang.trading.holding import LASTS, OUTLASTS, RUNS
from suanwang.trading.settlement import opened

VOUCHER = a_voucher(amount_fen=1000, share_bp=7000, until_at=after(50_000))


def pledging(job: Job, own_fen: int, voucher_fen: int, voucher: str = "v1") -> Step:
    pledge = Pledge(
        amount_fen=own_fen, at=NOW, voucher=voucher, voucher_fen=voucher_fen, voucher_until=VOUCHER.until_at
    )
    return replace(leasing(job), pledge=pledge)


def holding(store: Store, own_fen: int, voucher_fen: int) -> tuple[Job, Allocation]:
    job = a_job()
    store.add_jobs([job], [])
    step = pledging(job, own_fen, voucher_fen)
    assert store.apply([step]) == frozenset()
    assert step.allocation is not None
    return step.job, step.allocation


class VoucherHoldContract:
    @pytest.fixture(autouse=True)
    def accounts(self, store: Store) -> None:
        filled(store)
        store.open_accounts([opened(RUNS)])
        issue(store, VOUCHER)

    def test_a_lease_holds_of_both_and_its_job_has_the_voucher(self, store: Store) -> None:
        job, allocation = holding(store, 90, 210)
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((1000, 90), (1000, 210))
        assert store.bound_vouchers([job.id]) == {job.id: "v1"}
        (found,) = store.leases_held(NOW + LASTS, (), 10)
        assert found.voucher is not None
        assert (found.hold.amount_fen, found.voucher.amount_fen) == (90, 210)
        assert found.voucher.timeout_at == VOUCHER.until_at + OUTLASTS
        assert store.lent([allocation.id]) == {allocation.id: found.voucher}
        assert_whole(store)

    @pytest.mark.parametrize(("own_fen", "voucher_fen"), [(1001, 10), (10, 1001)])
    def test_where_one_is_short_neither_is_held(self, store: Store, own_fen: int, voucher_fen: int) -> None:
        job = a_job()
        store.add_jobs([job], [])
        assert store.apply([pledging(job, own_fen, voucher_fen)]) == {job.id}
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((1000, 0), (1000, 0))
        assert store.bound_vouchers([job.id]) == {}

    def test_a_job_that_has_another_voucher_is_refused(self, store: Store) -> None:
        issue(store, replace(VOUCHER, id="v2"))
        job = a_job()
        store.add_jobs([job], [])
        store.bind_vouchers({job.id: "v2"}, NOW)
        assert store.apply([pledging(job, 90, 210)]) == {job.id}
        assert standing(store, VOUCHER.account) == (1000, 0)

    def test_a_lease_that_a_voucher_pays_in_full_is_found(self, store: Store) -> None:
        _, allocation = holding(store, 0, 800)
        assert standing(store, DEMO) == (1000, 0)
        assert holds(store) == {allocation.id: 0}
        (found,) = store.leases_held(NOW, (), 10)
        assert found.allocation.id == allocation.id, "more of the voucher is held than left"

    def test_both_are_released_together(self, store: Store) -> None:
        job, allocation = holding(store, 90, 210)
        assert store.apply([fencing(job, allocation)]) == frozenset()
        assert (store.release_ended(NOW, 10), store.release_ended(NOW, 10)) == (1, 0)
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((1000, 0), (1000, 0))
        assert_whole(store)

    def test_lines_are_paid_from_what_both_have_left_then_from_their_own_holds(self, store: Store) -> None:
        job, allocation = holding(store, 200, 600)
        holding(store, 0, 300)
        holding(store, 770, 0)
        # 100 of the voucher and 30 of the project are left: 70 and 30 of the first line, 30 + 110 and 60 of the second.
        assert self._billed(store, job, allocation, 100, 200) == 2
        assert paid(store, job.id) == (90, 210)
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((910, 910), (790, 790))
        (mine,) = (each for each in store.leases_held(NOW, (), 10) if each.allocation.id == allocation.id)
        assert mine.voucher is not None
        assert (mine.hold.amount_fen, mine.voucher.amount_fen) == (140, 490)
        assert_whole(store)

    def test_the_last_line_takes_all_of_the_voucher_that_its_lease_holds(self, store: Store) -> None:
        job, allocation = holding(store, 300, 700)
        holding(store, 0, 300)
        record = a_record(job, allocation, 1)
        step = replace(ending(job, allocation), usage=(record,), bill_lines=(a_line(record, fen=1000),))
        assert store.apply([step]) == frozenset()
        assert settle(store, RULES, NOW) == 1
        store.release_ended(NOW, 10)
        assert paid(store, job.id) == (300, 700)
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((700, 0), (300, 300))
        assert_whole(store)

    def test_what_is_billed_late_is_paid_by_a_voucher_that_ended_meanwhile(self, store: Store) -> None:
        job, allocation = holding(store, 300, 700)
        record = a_record(job, allocation, 1)
        step = replace(ending(job, allocation), usage=(record,), bill_lines=(a_line(record, fen=100),))
        assert store.apply([step]) == frozenset()
        late = after(50_060)
        assert settle(store, RULES, late) == 1
        assert paid(store, job.id) == (30, 70)
        store.release_ended(late, 10)
        settle(store, RULES, late)
        assert standing(store, VOUCHER.account) == (0, 0), "the rest went back to its issuer"
        assert_whole(store)

    def test_starts_at_once_never_hold_more_of_a_voucher_than_there_is(self, store: Store) -> None:
        jobs = [a_job() for _ in range(12)]
        store.add_jobs(jobs, [])
        refused = at_once([lambda job=job: store.apply([pledging(job, 10, 150)]) for job in jobs])  # type: ignore[misc]
        assert sum(not each for each in refused) == 6
        assert (standing(store, DEMO), standing(store, VOUCHER.account)) == ((1000, 60), (1000, 900))
        bound = store.bound_vouchers([job.id for job in jobs])
        assert set(bound) == {job.id for job in jobs} - frozenset().union(*refused)
        assert_whole(store)

    def test_starts_bills_ends_and_payments_at_once_leave_no_hold_and_no_debt(self, store: Store) -> None:
        jobs = [a_job() for _ in range(8)]
        store.add_jobs(jobs, [])

        def live(job: Job) -> int:
            step = pledging(job, 45, 105)
            if store.apply([step]):
                return 0
            assert step.allocation is not None
            leased = step.job
            record = a_record(leased, step.allocation, 1, start_s=10)
            moved = replace(leased, revision=leased.revision + 1)
            bill = Step(job=moved, allocation=step.allocation, usage=(record,), bill_lines=(a_line(record, fen=100),))
            assert store.apply([bill]) == frozenset()
            settle(store, RULES, NOW)
            assert store.apply([fencing(moved, step.allocation)]) == frozenset()
            store.release_ended(NOW, 100)
            return 100

        def buy() -> int:
            return -sum(45 * store.post([(a_transfer(DEMO, SELLER, 45),)], NOW)[0].done for _ in range(3))

        found = at_once([*(lambda job=job: live(job) for job in jobs), buy])
        for _ in range(3):
            settle(store, RULES, after(10_000))
        store.release_ended(after(10_000), 100)
        billed, bought = sum(fen for fen in found if fen > 0), -sum(fen for fen in found if fen < 0)
        by_voucher = sum(paid(store, job.id)[1] for job in jobs)
        assert by_voucher == billed * 7 // 10, "each line of 100 fen has 70 of the voucher, as was held"
        assert standing(store, VOUCHER.account) == (1000 - by_voucher, 0)
        assert standing(store, DEMO) == (1000 - (billed - by_voucher) - bought, 0)
        assert (holds(store), store.count_open(), store.strays(NOW, 10)) == ({}, (0, 0), [])
        assert standing(store, OTHER)[1] == 0
        assert_whole(store)

    def _billed(self, store: Store, job: Job, allocation: Allocation, *fen: int) -> int:
        records = [a_record(job, allocation, at + 1, start_s=10 + 40 * at) for at in range(len(fen))]
        lines = tuple(a_line(record, fen=amount) for record, amount in zip(records, fen, strict=True))
        moved = replace(job, revision=job.revision + 1)
        assert (
            store.apply([Step(job=moved, allocation=allocation, usage=tuple(records), bill_lines=lines)]) == frozenset()
        )
        return settle(store, RULES, NOW)
