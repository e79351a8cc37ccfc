"""What listings promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.contract.ledger_suite import DEMO, NOW, OTHER, assert_whole, filled, standing
from tests.contract.store_values import (
    PROJECT,
    SITE,
    a_file,
    after,
    an_event,
    at_once,
    ending,
    every_page,
    fencing,
    leased,
)

from suanwang.domain.errors import Conflict
from suanwang.domain.file import Content
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Allocation, AllocationState, Job, Step
from suanwang.domain.lifecycle import JobState
from suanwang.ports import ListingQuery, Store, Traces
from suanwang.trading.ledger import NETWORK, Outcome, Phase, Verdict
from suanwang.trading.listings import (
    Charge,
    Copy,
    Kind,
    Listing,
    Use,
    UseState,
    copy_chain,
    end_chain,
    hold_chain,
)

THING = Content(sha256="a" * 64, size=1000)


def a_listing(**changes: Any) -> Listing:
    values: dict[str, Any] = {
        "id": "digits-model",
        "version": "1.0",
        "seller": OTHER,
        "title_en": "Digits",
        "title_zh": "数字",
        "kind": Kind.MODEL,
        "licence": "MIT",
        "content": THING,
        "charge": Charge.COPY,
        "price_fen": 500,
        "listed_at": NOW,
        "listed_by": "bob",
    }
    return Listing(**{**values, **changes})


def a_copy(**changes: Any) -> Copy:
    values: dict[str, Any] = {
        "id": "copy-no-1",
        "listing": "digits-model",
        "version": "1.0",
        "project": PROJECT,
        "seller": OTHER,
        "price_fen": 500,
        "content": THING,
        "buyer": "li",
        "at": NOW,
    }
    return Copy(**{**values, **changes})


def sell(store: Store, copy: Copy) -> Outcome | None:
    record = a_file(copy.file_name, "a", project=copy.project, residency=())
    return store.sell_copy(copy, copy_chain(copy, 200), record, NOW, [an_event("listing.bought")])


def a_use(job: Job, allocation: Allocation, **changes: Any) -> Use:
    values: dict[str, Any] = {
        "allocation": allocation.id,
        "job": job.id,
        "project": job.project,
        "owner": job.owner,
        "site": SITE,
        "listing": "digits-model",
        "version": "1.0",
        "sha256": "a" * 64,
        "seller": OTHER,
        "price_fen": 300,
        "at": NOW,
    }
    return Use(**{**values, **changes})


def started(store: Store, job: Job, allocation: Allocation) -> None:
    running = replace(allocation, state=AllocationState.RUNNING, started_at=after(2))
    moved = replace(job, state=JobState.RUNNING, started_at=after(2), revision=job.revision + 1)
    assert store.apply([Step(job=moved, allocation=running)]) == frozenset()


class ListingContract:
    def test_a_version_is_kept_once_and_never_changes(self, store: Store) -> None:
        listing = a_listing(description="八乘八", invited=(PROJECT,))
        assert store.add_listing(listing, [an_event("listing.added")]) == listing
        again = replace(listing, listed_at=after(200), listed_by="eve")
        assert store.add_listing(again, [an_event("listing.added")]) == listing
        assert len(store.events(0, 10, kind="listing.")) == 1
        assert store.listing("digits-model", "1.0") == listing
        assert store.listing("digits-model", "2.0") is None
        assert store.listing("digits") is None
        with pytest.raises(Conflict, match="do not change"):
            store.add_listing(replace(listing, price_fen=1), [])
        with pytest.raises(Conflict, match="another seller"):
            store.add_listing(replace(listing, version="2.0", seller=DEMO), [])

    def test_the_newest_on_sale_is_meant_where_no_version_is_said(self, store: Store) -> None:
        for version in ("1.0", "1.1", "0.9"):
            store.add_listing(a_listing(version=version), [])
        assert getattr(store.listing("digits-model"), "version", "") == "0.9"
        assert store.withdraw_listing("digits-model", "0.9", after(1), [an_event("listing.withdrawn")]) == 1
        assert store.withdraw_listing("digits-model", "0.9", after(2), [an_event("listing.withdrawn")]) == 0
        assert getattr(store.listing("digits-model"), "version", "") == "1.1"
        assert getattr(store.listing("digits-model", "0.9"), "withdrawn_at", None) == after(1)
        assert store.withdraw_listing("digits-model", None, after(3), []) == 2
        assert getattr(store.listing("digits-model"), "version", "") == "0.9"
        assert len(store.events(0, 10, kind="listing.")) == 1

    def test_what_is_found(self, store: Store) -> None:
        for number in range(5):
            store.add_listing(a_listing(id=f"model-no-{number}", title_zh=f"模型 {number}"), [])
        closed = a_listing(id="hidden-set", kind=Kind.DATASET, invited=(ProjectId("friends"),), description="50% 海")
        store.add_listing(closed, [])
        store.withdraw_listing("model-no-0", None, NOW, [])

        def found(**query: Any) -> list[str]:
            return [e.id for e in every_page(lambda at: store.listings(ListingQuery(**query), at, 2))]

        assert found() == ["hidden-set", "model-no-4", "model-no-3", "model-no-2", "model-no-1"]
        assert "hidden-set" not in found(readers=(PROJECT,))
        assert found(readers=(ProjectId("friends"),), text="50% 海") == ["hidden-set"]
        assert found(readers=(), own=(OTHER,), kinds=(Kind.DATASET,)) == ["hidden-set"]
        assert found(sellers=(DEMO,)) == []
        assert found(text="MODEL-NO-3") == found(text="模型 3") == ["model-no-3"]
        assert "model-no-0" in found(open=False)

    def test_a_data_set_that_is_sold_is_known_by_its_name(self, store: Store) -> None:
        sold = a_listing(content=None, dataset="patients", site=SITE, charge=Charge.USE, kind=Kind.DATASET)
        store.add_listing(sold, [])
        store.add_listing(a_listing(id="other-thing"), [])
        assert store.sold_dataset("patients") == sold
        assert store.sold_dataset("") is None
        store.withdraw_listing("digits-model", None, NOW, [])
        assert store.sold_dataset("patients") is None

    def test_content_that_is_sold_is_known_even_when_withdrawn(self, store: Store) -> None:
        store.add_listing(a_listing(), [])
        store.withdraw_listing("digits-model", None, NOW, [])
        assert getattr(store.sold_content("a" * 64), "name", "") == "digits-model@1.0"
        assert store.sold_content("b" * 64) is None

    def test_a_copy_is_paid_delivered_and_told_once(self, store: Store) -> None:
        filled(store)
        store.add_listing(a_listing(), [])
        outcome = sell(store, a_copy())
        assert outcome is not None
        assert outcome.verdict is Verdict.POSTED
        assert sell(store, a_copy(at=after(9))) is None
        assert (standing(store, DEMO), standing(store, OTHER), standing(store, NETWORK)) == (
            (500, 0),
            (490, 0),
            (10, 0),
        )
        delivered = store.file(PROJECT, "digits-model-1.0")
        assert delivered is not None
        assert delivered.content == THING
        assert store.copy("copy-no-1") == store.copy_of(PROJECT, "digits-model", "1.0") == a_copy()
        assert store.copies(Traces(), None, 10) == ([a_copy()], None)
        assert len(store.events(0, 10, kind="listing.")) == 1
        with pytest.raises(Conflict, match="another copy"):
            sell(store, a_copy(price_fen=1))
        with pytest.raises(Conflict, match="has its copy"):
            sell(store, a_copy(id="copy-no-2"))
        assert_whole(store)

    def test_what_cannot_be_paid_or_was_withdrawn_is_not_delivered(self, store: Store) -> None:
        filled(store, demo_fen=400)
        store.add_listing(a_listing(), [])
        outcome = sell(store, a_copy())
        assert outcome is not None
        assert (outcome.verdict, outcome.account) == (Verdict.SHORT, DEMO)
        assert store.copy("copy-no-1") is None
        assert store.file(PROJECT, "digits-model-1.0") is None
        store.withdraw_listing("digits-model", None, NOW, [])
        with pytest.raises(Conflict, match="withdrawn"):
            sell(store, a_copy(price_fen=0))
        assert standing(store, DEMO) == (400, 0)

    def test_one_of_many_at_once_buys(self, store: Store) -> None:
        filled(store, demo_fen=10_000)
        store.add_listing(a_listing(), [])

        def buy(number: int) -> bool:
            try:
                return bool(sell(store, a_copy(id=f"copy-no-{number % 2}")))
            except Conflict:
                return False

        assert sum(at_once([lambda n=n: buy(n) for n in range(6)])) == 1  # type: ignore[misc]
        assert standing(store, DEMO) == (9_500, 0)
        assert_whole(store)

    def test_a_use_is_held_with_the_lease_and_paid_when_it_starts(self, store: Store) -> None:
        filled(store)
        job, allocation = leased(store)
        uses = (a_use(job, allocation), a_use(job, allocation, listing="free-model", price_fen=0))
        held = hold_chain(uses, 200, allocation.granted_at)
        outcome = store.hold_uses(uses, held, NOW)
        assert outcome is not None
        assert outcome.verdict is Verdict.POSTED
        assert store.hold_uses(uses, held, after(500)) is None
        assert standing(store, DEMO) == (1000, 300)
        assert store.held_uses(10) == []
        started(store, job, allocation)
        assert [(use.listing, lease.id) for use, lease in store.held_uses(10)] == [
            ("digits-model", allocation.id),
            ("free-model", allocation.id),
        ]
        chain = end_chain(held, Phase.POST)
        told = [an_event("listing.used")]
        assert store.end_uses(uses, UseState.PAID, chain, after(3), told)
        assert not store.end_uses(uses, UseState.PAID, chain, NOW, told)
        assert store.held_uses(10) == []
        assert {(use.state, use.at) for use in store.uses(Traces(), None, 10)[0]} == {(UseState.PAID, after(3))}
        assert len(store.events(0, 20, kind="listing.")) == 1
        assert (standing(store, DEMO), standing(store, OTHER), standing(store, NETWORK)) == ((700, 0), (294, 0), (6, 0))
        assert_whole(store)

    def test_replicas_at_once_hold_and_pay_a_use_once(self, store: Store) -> None:
        filled(store)
        job, allocation = leased(store)
        uses = (a_use(job, allocation), a_use(job, allocation, listing="other-model", price_fen=100))
        held = hold_chain(uses, 200, allocation.granted_at)
        outcomes = at_once([lambda: store.hold_uses(uses, held, NOW) for _ in range(6)])
        assert [each for each in outcomes if each is not None and not each.done] == []
        assert standing(store, DEMO) == (1000, 400)
        started(store, job, allocation)
        ends = [(UseState.PAID, Phase.POST), (UseState.RELEASED, Phase.VOID)] * 3

        def end(state: UseState, phase: Phase) -> bool:
            return store.end_uses(uses, state, end_chain(held, phase), NOW, [an_event("listing.used")])

        done = at_once([lambda s=state, p=phase: end(s, p) for state, phase in ends])  # type: ignore[misc]
        assert sum(done) == 1
        balance, left = standing(store, DEMO)
        assert (balance in (600, 1000), left) == (True, 0)
        assert len({use.state for use in store.uses(Traces(), None, 10)[0]}) == 1
        assert len(store.events(0, 20, kind="listing.")) == 1
        assert_whole(store)

    def test_a_use_that_never_starts_is_released(self, store: Store) -> None:
        filled(store)
        job, allocation = leased(store)
        uses = (a_use(job, allocation),)
        held = hold_chain(uses, 200, allocation.granted_at)
        store.hold_uses(uses, held, NOW)
        store.apply([fencing(job, allocation)])
        assert [use for use, _ in store.held_uses(10)] == list(uses)
        assert store.end_uses(uses, UseState.RELEASED, end_chain(held, Phase.VOID), after(9), [])
        assert standing(store, DEMO) == (1000, 0)
        found, _ = store.uses(Traces(projects=[PROJECT]), None, 10)
        assert found == [replace(uses[0], state=UseState.RELEASED, at=after(9))]
        assert_whole(store)

    def test_a_use_that_cannot_be_paid_is_not_noted(self, store: Store) -> None:
        filled(store, demo_fen=100)
        job, allocation = leased(store)
        uses = (a_use(job, allocation),)
        outcome = store.hold_uses(uses, hold_chain(uses, 200, allocation.granted_at), NOW)
        assert outcome is not None
        assert outcome.verdict is Verdict.SHORT
        assert store.uses(Traces(), None, 10) == ([], None)

    def test_traces_are_found_by_project_and_by_seller(self, store: Store) -> None:
        filled(store)
        for number in range(3):
            job, allocation = leased(store)
            store.hold_uses([a_use(job, allocation, listing=f"thing-no-{number}", price_fen=0)], (), NOW)
            store.apply([ending(job, allocation)])

        def found(**traces: Any) -> list[str]:
            return [use.listing for use in every_page(lambda at: store.uses(Traces(**traces), at, 2))]

        assert found() == found(projects=[PROJECT]) == found(sellers=[OTHER])
        assert found() == ["thing-no-2", "thing-no-1", "thing-no-0"]
        assert found(listing="thing-no-1") == ["thing-no-1"]
        assert found(projects=[ProjectId("nobody")]) == found(projects=[], sellers=[DEMO]) == []

    def test_a_file_is_found_by_its_content(self, store: Store) -> None:
        store.add_file(a_file("model", "a", residency=()))
        store.add_file(a_file("held", "b", site_id=SITE))
        store.add_file(a_file("theirs", "c", project=ProjectId("other")))
        assert getattr(store.file_of(PROJECT, "a" * 64), "name", "") == "model"
        assert store.file_of(PROJECT, "b" * 64) is None
        assert store.file_of(PROJECT, "c" * 64) is None
