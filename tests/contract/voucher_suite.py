"""What vouchers promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.contract.ledger_suite import DEMO, NOW, RULES, assert_whole, standing
from tests.contract.store_values import PROJECT, SITE, a_line, a_record, after, an_event, at_once, ending, leased

from suanwang.control.billing.settling import settle
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict
from suanwang.domain.identity import Project
from suanwang.domain.ids import JobId, ProjectId
from suanwang.ports import BillQuery, Claim, Store
from suanwang.trading.disputes import credit_chain
from suanwang.trading.ledger import BANK, Outcome, Owner, Phase, Transfer, Verdict, account_id
from suanwang.trading.settlement import chain_name, opened, parties
from suanwang.trading.vouchers import Voucher, hold_chain, issue_chain

ISSUER = account_id(Owner.ISSUER, "成都")
RICH = replace(RULES, project_credit_fen=10**9)


def a_voucher(**changes: Any) -> Voucher:
    values: dict[str, Any] = {
        "id": "v1",
        "issuer": "成都",
        "title": "",
        "amount_fen": 1000,
        "projects": (PROJECT,),
        "from_at": after(0),
        "until_at": after(500),
        "issued_at": after(0),
        "issued_by": "olga",
    }
    return Voucher(**{**values, **changes})


def issue(store: Store, voucher: Voucher, *, budget_fen: int = 10_000) -> Outcome:
    store.add_project(Project(id=PROJECT, title="Demo", created_at=NOW), ())
    store.open_accounts([opened(BANK), opened(ISSUER)])
    budget = Transfer(id="b", chain="b", debit=BANK, credit=ISSUER, amount_fen=budget_fen, code="budget")
    store.post([(budget,)], NOW)
    accounts = [opened(ISSUER), opened(voucher.account)]
    return store.add_voucher(voucher, accounts, issue_chain(voucher), NOW, [an_event("voucher.issued")])


def a_bill(store: Store, *amounts: int) -> JobId:
    """A job with lines of these amounts, none of them settled."""
    job, allocation = leased(store)
    records = [a_record(job, allocation, number, start_s=10 + 40 * number) for number in range(1, len(amounts) + 1)]
    lines = tuple(a_line(record, fen=fen) for record, fen in zip(records, amounts, strict=True))
    step = ending(job, allocation)
    store.apply([replace(step, usage=tuple(records), bill_lines=lines)])
    return job.id


def paid(store: Store, job: JobId) -> tuple[int, int]:
    """(by the project, by vouchers) for a job."""
    chains = [f"bill/{record.id}" for record in store.usage_records(job)]
    entries = [entry.transfer for entry in store.chain_entries(chains)]
    voucher = sum(transfer.amount_fen for transfer in entries if transfer.phase is Phase.POST)
    return sum(transfer.amount_fen for transfer in entries) - voucher, voucher


class VoucherContract:
    def test_a_voucher_is_filled_once_and_never_over_its_issuers_budget(self, store: Store) -> None:
        voucher = a_voucher()
        assert issue(store, voucher).verdict is Verdict.POSTED
        assert issue(store, replace(voucher, issued_at=after(9))).verdict is Verdict.EXISTS
        with pytest.raises(Conflict):
            issue(store, replace(voucher, domestic=True))
        assert issue(store, a_voucher(id="v2", amount_fen=9001)).verdict is Verdict.SHORT
        assert store.voucher("v2") is None
        assert store.voucher("v1") == voucher
        assert standing(store, voucher.account) == (1000, 0)
        assert standing(store, ISSUER) == (9000, 0)
        assert [event.kind for event in store.events(0, 10) if event.kind.startswith("voucher")] == ["voucher.issued"]
        assert_whole(store)

    def test_vouchers_are_found_by_holder_and_time(self, store: Store) -> None:
        every: tuple[dict[str, Any], ...] = (
            {},
            {"projects": (), "organisations": ("清华",)},
            {"until_at": after(100)},
            {"projects": ("other",)},
        )
        for number, changes in enumerate(every):
            issue(store, a_voucher(id=f"v{number}", amount_fen=1, **changes))
        assert [v.id for v in store.live_vouchers(["project:demo"], after(50))] == ["v2", "v0"]
        assert [v.id for v in store.live_vouchers(["organisation:清华", "project:x"], after(50))] == ["v1"]
        assert [v.id for v in store.live_vouchers(["project:demo"], after(100))] == ["v0"]
        assert [v.id for v in store.ended_vouchers(after(100), 9)] == ["v2"]
        first, cursor = store.vouchers(None, None, 3)
        assert [v.id for v in first] == ["v3", "v2", "v1"]
        assert [v.id for v in store.vouchers(None, cursor, 3)[0]] == ["v0"]
        assert [v.id for v in store.vouchers(["project:other"], None, 3)[0]] == ["v3"]

    def test_a_part_of_each_line_is_paid_until_the_money_is_gone(self, store: Store) -> None:
        issue(store, a_voucher(amount_fen=40, share_bp=3000))
        job = a_bill(store, 101, 50, 3)
        other = a_bill(store, 500)
        assert settle(store, RICH, NOW) == 4
        assert sum(paid(store, job)) == 154
        assert sum(paid(store, other)) == 500
        assert paid(store, job)[1] + paid(store, other)[1] == 40, "never more than it has"
        assert standing(store, account_id(Owner.VOUCHER, "v1")) == (0, 0)
        (use,) = store.voucher_uses(["v1"])
        assert (use.project, use.site, use.amount_fen) == (PROJECT, SITE, 40)
        assert_whole(store)

    def test_what_a_dispute_gave_back_is_not_used(self, store: Store) -> None:
        issue(store, a_voucher(share_bp=5000))
        job = a_bill(store, 100)
        settle(store, RICH, NOW)
        (leaf,) = store.usage_leaves(job)
        usage_id = json.loads(store.leaves([leaf])[leaf])["id"]
        settled = [entry.transfer for entry in store.chain_entries([chain_name(usage_id)])]
        chain = credit_chain(usage_id, account_id(Owner.PROJECT, PROJECT), settled, 60, {})
        assert store.post([chain], NOW)[0].done
        (use,) = store.voucher_uses(["v1"])
        assert (use.lines, use.amount_fen, use.billed_fen) == (1, 20, 100)
        assert_whole(store)

    def test_share_and_cap_are_of_the_jobs_bill_however_it_is_cut(self, store: Store) -> None:
        issue(store, a_voucher(share_bp=3333, cap_fen=70))
        job = a_bill(store, 1, 1, 1, 97, 500)
        settle(store, replace(RICH, settle_limit=2), NOW)
        while settle(store, replace(RICH, settle_limit=1), NOW):
            pass
        assert paid(store, job) == (600 - 70, 70)
        assert_whole(store)

    def test_a_turn_that_dies_after_the_hold_pays_once(self, store: Store) -> None:
        voucher = a_voucher(share_bp=5000)
        issue(store, voucher)
        job = a_bill(store, 100)
        store.bind_vouchers({job: "v1"}, NOW)
        (line,) = store.open_lines(NOW, 5)
        shared = parties(line.line.provider, 200)
        store.open_accounts([opened(party.account) for party in shared])
        assert store.post([hold_chain(voucher, line.line, shared, 0, 50)], NOW)[0].done
        assert standing(store, voucher.account) == (1000, 50)
        for _ in range(2):
            settle(store, RICH, NOW)
        assert paid(store, job) == (50, 50)
        assert standing(store, voucher.account) == (950, 0)
        assert_whole(store)

    def test_what_the_project_cannot_pay_keeps_the_hold_until_it_can(self, store: Store) -> None:
        issue(store, a_voucher(share_bp=1000))
        job = a_bill(store, 3000)
        for _ in range(2):
            assert settle(store, RULES, NOW) == 0
            assert standing(store, account_id(Owner.VOUCHER, "v1")) == (1000, 300)
        store.set_floor(DEMO, -2700, ())
        assert settle(store, RULES, NOW) == 1
        assert paid(store, job) == (2700, 300)
        assert_whole(store)

    def test_a_hold_ends_with_the_voucher_and_the_rest_goes_back(self, store: Store) -> None:
        voucher = a_voucher(share_bp=1000)
        issue(store, voucher)
        poor: Rules = replace(RULES, project_credit_fen=100)
        job = a_bill(store, 3000)
        assert settle(store, poor, NOW) == 0
        assert standing(store, voucher.account) == (1000, 300)
        assert settle(store, poor, after(600)) == 0
        assert standing(store, voucher.account) == (0, 0)
        assert standing(store, ISSUER) == (10_000, 0)
        kept = store.voucher("v1")
        assert kept is not None
        assert kept.closed_at == after(600)
        settle(store, poor, after(601))
        assert [event.kind for event in store.events(0, 50)].count("voucher.closed") == 1
        store.set_floor(DEMO, -5000, ())
        assert settle(store, poor, after(700)) == 1
        assert paid(store, job) == (3000, 0)
        assert_whole(store)

    def test_a_line_settled_by_somebody_else_gives_the_hold_back(self, store: Store) -> None:
        voucher = a_voucher()
        issue(store, voucher)
        job = a_bill(store, 100)
        settle(Overtaken(store), RICH, NOW)
        assert paid(store, job) == (100, 0)
        assert standing(store, voucher.account) == (1000, 0)
        assert_whole(store)

    def test_a_job_has_one_voucher_for_good(self, store: Store) -> None:
        issue(store, a_voucher(id="a", automatic=False))
        issue(store, a_voucher(id="b"))
        job = a_bill(store, 10)
        store.bind_vouchers({job: "a"}, NOW, [an_event("voucher.chosen")])
        store.bind_vouchers({job: "b"}, NOW, [an_event("voucher.chosen")])
        assert store.bound_vouchers([job, JobId("x")]) == {job: "a"}
        settle(store, RICH, NOW)
        assert standing(store, account_id(Owner.VOUCHER, "a")) == (990, 0)
        assert standing(store, account_id(Owner.VOUCHER, "b")) == (1000, 0)
        assert [event.kind for event in store.events(0, 50)].count("voucher.chosen") == 1

    def test_used_at_once_by_many_it_pays_no_more_than_it_has(self, store: Store) -> None:
        issue(store, a_voucher(amount_fen=100))
        jobs = [a_bill(store, 60) for _ in range(6)]
        at_once([lambda: settle(store, RICH, NOW) for _ in range(4)])
        settle(store, RICH, NOW)
        assert all(sum(paid(store, job)) == 60 for job in jobs)
        balance, held = standing(store, account_id(Owner.VOUCHER, "v1"))
        assert balance + sum(paid(store, job)[1] for job in jobs) == 100
        assert (balance, held) == (0, 0)
        assert_whole(store)

    def test_charges_come_oldest_first_with_what_they_were_rated_from(self, store: Store) -> None:
        first, second = a_bill(store, 10, 20, 30), a_bill(store, 5)
        settle(store, replace(RICH, settle_limit=2), NOW)
        page, cursor = store.charges(BillQuery(projects=(PROJECT,)), None, 3)
        rest, end = store.charges(BillQuery(projects=(PROJECT,)), cursor, 3)
        assert end is None
        found = [*page, *rest]
        assert [each.line.amount_fen for each in found] == [10, 20, 30, 5]
        assert [each.settled for each in found] == [True, True, False, False]
        assert [each.line.job_id for each in found] == [first, first, first, second]
        for each in found:
            assert each.usage.id == each.line.usage_id
            assert each.price.device_hour_yuan["ascend-910b"] == Decimal("9.50")
            assert each.started_at <= each.usage.from_at
        assert [each.line for each in store.charges(BillQuery(job_id=second), None, 9)[0]] == [found[3].line]
        assert store.charges(BillQuery(projects=()), None, 9) == ([], None)
        for each in found:
            run = store.allocation(each.usage.allocation_id)
            assert run is not None
            assert each.ran == run.ran

    def test_labels_say_whose_a_project_is(self, store: Store) -> None:
        store.add_project(Project(id=PROJECT, title="Demo", created_at=NOW), ())
        assert store.projects()[0].labels == {}
        assert store.label_project(PROJECT, {"organisation": "清华"}, [an_event("project.labelled")])
        assert store.projects()[0].organisation == "清华"
        assert not store.label_project(ProjectId("none"), {}, [])


class Overtaken:
    """A store whose lines are settled by somebody else, without vouchers, just before."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle(self, claims: Sequence[Claim], now: datetime, retry_at: datetime) -> Sequence[Outcome]:
        bare = [
            replace(
                claim,
                chain=tuple(
                    replace(transfer, debit=DEMO, phase=Phase.DIRECT, pending_id=None) for transfer in claim.chain
                ),
            )
            for claim in claims
        ]
        self._store.settle(bare, now, retry_at)
        return self._store.settle(claims, now, retry_at)
