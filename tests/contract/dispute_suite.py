"""What disputes promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.contract.ledger_suite import DEMO, NOW, OTHER, SELLER, a_transfer, filled
from tests.contract.store_values import PROJECT, SITE, after, an_event, at_once, every_page

from suanwang.domain.errors import Conflict
from suanwang.domain.ids import JobId, ProjectId
from suanwang.ports import Store
from suanwang.trading.agreements import Side
from suanwang.trading.disputes import Act, Dispute, DisputeStep, credit_name, dispute_leaf, stepped
from suanwang.trading.ledger import AccountId, Owner, Transfer, Verdict, account_id

PROVIDER = SELLER.partition(":")[2]
JOB = JobId("j-0000000000000001")


def a_step(act: Act, *, side: Side | None = Side.PROJECT, credit_fen: int = 0, text: str = "never ran") -> DisputeStep:
    return DisputeStep(act=act, side=side, by="alice", at=NOW, text=text, credit_fen=credit_fen)


def a_dispute(usage_id: str = f"{JOB}-1:1", **changes: Any) -> Dispute:
    values: dict[str, Any] = {
        "usage_id": usage_id,
        "project": PROJECT,
        "provider": PROVIDER,
        "job_id": JOB,
        "site_id": SITE,
        "amount_fen": 100,
        "steps": (a_step(Act.OPENED),),
    }
    return Dispute(**{**values, **changes})


def keep(store: Store, dispute: Dispute, chain: Sequence[Transfer] = ()) -> Verdict | None:
    outcome = store.change_dispute(dispute, dispute_leaf(dispute), chain, NOW, [an_event("dispute.test")])
    return None if outcome is None else outcome.verdict


class DisputeContract:
    def test_steps_are_kept_logged_and_told(self, store: Store) -> None:
        opened = a_dispute()
        assert store.dispute(opened.usage_id) is None
        assert keep(store, opened) is None
        stated = stepped(opened, a_step(Act.STATED, side=Side.PROVIDER, text="它运行过。"))
        keep(store, stated)
        kept = store.dispute(opened.usage_id)
        assert kept is not None
        assert replace(kept, steps=stated.steps) == stated
        leaves = [step.leaf for step in kept.steps[-1:]]
        assert leaves == [1]
        told = store.leaves([0, 1])
        assert [json.loads(told[at])["act"] for at in (0, 1)] == ["opened", "stated"]
        assert json.loads(told[1])["text"] == "它运行过。"
        assert [event.kind for event in store.events(0, 10)].count("dispute.test") == 2

    def test_a_step_that_others_overtook_is_refused(self, store: Store) -> None:
        opened = a_dispute()
        keep(store, opened)
        with pytest.raises(Conflict, match="read it again"):
            keep(store, opened)
        keep(store, stepped(opened, a_step(Act.REJECTED, side=None)))
        with pytest.raises(Conflict, match="read it again"):
            keep(store, stepped(opened, a_step(Act.STATED)))
        assert store.edge().size == 2

    def test_credits_are_found_by_when_they_were_decided(self, store: Store) -> None:
        for number, act, fen in ((1, Act.CREDITED, 60), (2, Act.REJECTED, 0), (3, Act.CREDITED, 1)):
            opened = a_dispute(f"{JOB}-1:{number}")
            keep(store, opened)
            keep(store, stepped(opened, replace(a_step(act, side=None, credit_fen=fen), at=after(10 * number))))
        keep(store, a_dispute(f"{JOB}-1:4"))

        def found(*parties: AccountId, begin: int = 0, end: int = 99) -> list[int]:
            decided = store.dispute_credits(parties or None, after(begin), after(end))
            return [each.credit_fen for each in decided]

        assert found() == found(DEMO) == found(SELLER, OTHER) == [60, 1]
        assert (found(OTHER), found(begin=11), found(end=30), found(begin=10, end=31)) == ([], [1], [60], [60, 1])

    def test_a_decision_and_its_credit_are_one(self, store: Store) -> None:
        filled(store)
        opened = a_dispute()
        keep(store, opened)
        decided = stepped(opened, a_step(Act.CREDITED, side=None, credit_fen=60))
        back = a_transfer(SELLER, DEMO, 60)
        size = store.edge().size
        assert keep(store, decided, [back]) is Verdict.SHORT
        assert store.edge().size == size
        found = store.dispute(opened.usage_id)
        assert found is not None
        assert found.state == "open"
        store.post([(a_transfer(DEMO, SELLER, 100),)], NOW)
        assert keep(store, decided, [back]) is Verdict.POSTED
        found = store.dispute(opened.usage_id)
        assert found is not None
        assert (found.state, found.credit_fen) == ("credited", 60)
        account = store.account(SELLER)
        assert account is not None
        assert account.balance_fen == 40
        audit = store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)

    def test_of_two_decisions_at_once_one_is_made(self, store: Store) -> None:
        filled(store)
        store.post([(a_transfer(DEMO, SELLER, 200),)], NOW)
        opened = a_dispute()
        keep(store, opened)

        def decide(fen: int) -> Verdict | str | None:
            decided = stepped(opened, a_step(Act.CREDITED, side=None, credit_fen=fen))
            back = replace(a_transfer(SELLER, DEMO, fen), id=f"{credit_name(opened.usage_id)}/0")
            back = replace(back, chain=credit_name(opened.usage_id))
            try:
                return keep(store, decided, [back])
            except Conflict:
                return "late"

        done = at_once([partial(decide, fen) for fen in (10, 20, 30, 40)])
        assert sorted(str(each) for each in done) == ["late", "late", "late", "posted"]
        found, account = store.dispute(opened.usage_id), store.account(SELLER)
        assert found is not None
        assert account is not None
        assert account.balance_fen == 200 - found.credit_fen
        assert store.audit().wrong == ()

    def test_each_sees_his_own_newest_first(self, store: Store) -> None:
        for number in range(1, 6):
            project = PROJECT if number % 2 else ProjectId("other")
            keep(store, a_dispute(f"{JOB}-1:{number}", project=project))
        keep(store, stepped(a_dispute(f"{JOB}-1:5"), a_step(Act.REJECTED, side=None)))

        def numbers(parties: list[Any] | None, undecided: bool = False) -> list[int]:
            found = every_page(lambda cursor: store.disputes(parties, undecided, cursor, 2))
            return [int(each.usage_id[-1]) for each in found]

        assert numbers(None) == [5, 4, 3, 2, 1]
        assert numbers([DEMO]) == [5, 3, 1]
        assert numbers([OTHER], undecided=True) == [4, 2]
        assert numbers([SELLER], undecided=True) == [4, 3, 2, 1]
        assert numbers([account_id(Owner.PROVIDER, "nobody")]) == []
        assert store.disputes([], False, None, 5) == ([], None)
