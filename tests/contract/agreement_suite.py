"""What agreements promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.contract.ledger_suite import DEMO, assert_whole, standing
from tests.contract.store_values import PROJECT, SITE, a_job, a_line, a_record, an_event, at_once, ending, leased

from suanwang.control.contracts.crediting import credit_due
from suanwang.control.rules import Rules
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import Event, Prediction, Span
from suanwang.domain.quote import Taught
from suanwang.domain.task import DeviceRequest
from suanwang.ports import PartyKey, Store
from suanwang.trading.agreements import (
    Agreement,
    AgreementMove,
    AgreementState,
    CreditStep,
    Level,
    Measure,
    Side,
    cut,
    in_force,
    month_begins,
    month_number,
    moved,
    with_notice,
)
from suanwang.trading.credits import Credit, credit_chain, credit_of
from suanwang.trading.ledger import BANK, AccountId, Owner, Transfer, account_id
from suanwang.trading.settlement import opened

PROVIDER = "贵安算力"
SELLER = account_id(Owner.PROVIDER, PROVIDER)
RULES = Rules()
MONTH = month_number(datetime(2026, 3, 15, tzinfo=UTC))
BEGIN, END = month_begins(MONTH), month_begins(MONTH + 1)
PREDICTION = Prediction(
    device="nvidia-a100-sxm-80gb",
    work_class="dense_training",
    published_hours=2.5,
    hours=Span(low=1.0, mid=2.0, high=4.0),
)
LEVELS = (
    Level(
        measure=Measure.AVAILABILITY,
        steps=(CreditStep(bound=999_000, credit_bp=1000), CreditStep(bound=900_000, credit_bp=5000)),
    ),
    Level(measure=Measure.START, steps=(CreditStep(bound=60, credit_bp=500),)),
)


def an_agreement(**changes: Any) -> Agreement:
    values: dict[str, Any] = {
        "id": "demo-guian",
        "version": 1,
        "project": PROJECT,
        "provider": PROVIDER,
        "sites": (SITE,),
        "first": MONTH,
        "last": MONTH + 11,
        "levels": LEVELS,
        "author": Side.PROJECT,
        "drafted_by": "alice",
        "drafted_at": BEGIN - timedelta(days=3),
    }
    return Agreement(**{**values, **changes})


def signed(store: Store, agreement: Agreement, now: datetime = BEGIN - timedelta(days=1)) -> Agreement:
    """The agreement in force, through every step that its table allows."""
    offered = moved(agreement, AgreementMove.OFFER)
    begun = in_force(offered, now)
    for each in (agreement, offered, begun):
        assert store.change_agreements([each], [an_event("agreement.test")])
    return begun


def site_event(state: str, at: datetime) -> Event:
    return Event(kind=f"site.{state}", at=at, site_id=SITE)


def a_month(store: Store, *, fen: int = 1000, away_h: float = 2) -> None:
    """A month in which the site was away for some hours, and the project was billed."""
    job, allocation = leased(store)
    record = replace(a_record(job, allocation), from_at=BEGIN + timedelta(days=1), to_at=BEGIN + timedelta(days=2))
    store.apply([replace(ending(job, allocation), usage=(record,), bill_lines=(a_line(record, fen=fen),))])
    gone = BEGIN + timedelta(days=5)
    store.append_events(
        [
            site_event("reachable", BEGIN - timedelta(days=9)),
            site_event("suspect", gone),
            site_event("lost", gone + timedelta(minutes=2)),
            site_event("reachable", gone + timedelta(hours=away_h)),
        ]
    )


def a_quoted_run(store: Store, hours: float, **changes: Any) -> JobId:
    """A run of two cards that was reckoned to take two hours, and what it taught at the month's middle."""
    task = a_job().task
    two = replace(task.resources, devices=DeviceRequest(count=2))
    job, allocation = leased(store, replace(a_job(), task=replace(task, nodes=1, resources=two)))
    store.apply([ending(job, allocation)])
    values: dict[str, Any] = {
        "job_id": job.id,
        "site": SITE,
        "prediction": PREDICTION,
        "measured_hours": hours,
        "z": 0.0,
        "outlier": False,
        "factor_before": 1.0,
        "factor_after": 1.0,
        "at": BEGIN + timedelta(days=10),
    }
    assert store.add_lesson(Taught(**{**values, **changes}), None)
    return job.id


def earn(store: Store, amount_fen: int = 10_000) -> None:
    """Money on the provider's account."""
    store.open_accounts([opened(BANK), opened(SELLER)])
    transfer = Transfer(id="e", chain="e", debit=BANK, credit=SELLER, amount_fen=amount_fen, code="usage")
    store.post([(transfer,)], BEGIN)


def owed(store: Store) -> Sequence[tuple[Credit, bool]]:
    return store.service_credits(None, None, 50)[0]


class AgreementContract:
    def test_a_change_happens_whole_and_once(self, store: Store) -> None:
        first = an_agreement()
        assert store.change_agreements([first], [an_event("agreement.drafted")])
        assert not store.change_agreements([first], [an_event("agreement.drafted")])
        offered = moved(first, AgreementMove.OFFER)
        assert not store.change_agreements([offered, replace(offered, version=2, revision=7)], [])
        assert store.agreement("demo-guian", 1) == first
        assert store.change_agreements([offered], [])
        assert not store.change_agreements([offered], [])
        assert store.agreement("demo-guian", 1) == offered
        assert store.agreement("demo-guian", 2) is None
        assert [event.kind for event in store.events(0, 50)].count("agreement.drafted") == 1

    def test_two_parties_have_one_version_signed_and_one_being_written(self, store: Store) -> None:
        first = signed(store, an_agreement())
        second = an_agreement(version=2, first=MONTH + 2)
        assert store.change_agreements([second], [])
        assert not store.change_agreements([an_agreement(id="other")], [])
        offered = moved(second, AgreementMove.OFFER)
        assert store.change_agreements([offered], [])
        begun = in_force(offered, BEGIN)
        assert not store.change_agreements([begun], []), "the first stands signed"
        assert begun.from_at is not None
        assert store.change_agreements([cut(first, begun.from_at), begun], [])
        versions = store.agreement_versions("demo-guian")
        assert [each.state for each in versions] == [AgreementState.SUPERSEDED, AgreementState.SIGNED]
        assert versions[0].until_at == versions[1].from_at
        assert store.change_agreements([an_agreement(id="other")], [])
        assert [each.id for each in store.agreements_between(PROJECT, PROVIDER)] == ["demo-guian"] * 2 + ["other"]

    def test_agreements_are_found_by_party(self, store: Store) -> None:
        for number in range(3):
            assert store.change_agreements([an_agreement(id=f"a{number}", provider=f"p{number}")], [])
        page, cursor = store.agreements(None, None, 2)
        assert [each.id for each in page] == ["a2", "a1"]
        assert [each.id for each in store.agreements(None, cursor, 2)[0]] == ["a0"]
        assert [each.id for each in store.agreements([AccountId("provider:p1")], None, 9)[0]] == ["a1"]
        assert len(store.agreements([DEMO], None, 9)[0]) == 3
        assert store.agreements([AccountId("project:p1")], None, 9) == ([], None)

    def test_the_newest_key_of_a_party_counts(self, store: Store) -> None:
        for number in ("aa", "aa", "bb"):
            key = PartyKey(party=DEMO, key=number * 32, by="alice", at=BEGIN)
            store.add_party_key(key, [an_event("agreement.key")])
        assert store.party_keys([DEMO, SELLER]) == {DEMO: key}
        assert [event.kind for event in store.events(0, 50)].count("agreement.key") == 2

    def test_a_month_is_found_from_what_was_written_down(self, store: Store) -> None:
        agreement = signed(store, an_agreement())
        a_month(store)
        store.append_events(
            [
                Event(
                    kind=kind, at=BEGIN + timedelta(days=3, seconds=s), project=PROJECT, job_id=JobId("j"), site_id=SITE
                )
                for kind, s in (("job.accepted", 0), ("job.leased", 1), ("job.started", 90))
            ]
        )
        credit = credit_of(agreement, MONTH, store.agreement_facts(agreement, BEGIN, END))
        assert credit is not None
        away, start = credit.levels
        assert (away.missed, away.credit_bp, away.amount_fen) == (1, 1000, 100)
        assert away.misses[0].to_at - away.misses[0].from_at == timedelta(hours=2)
        assert len(away.misses[0].events) == 3
        assert (start.value, start.number, start.misses[0].job) == (90_000, 1, "j")
        assert start.misses[0].events[0] < start.misses[0].events[1]
        assert (credit.bill_fen, credit.amount_fen) == (1000, 150)
        again = credit_of(agreement, MONTH, store.agreement_facts(agreement, BEGIN, END))
        assert repr(again) == repr(credit)

    def test_throughput_is_found_from_what_quoted_runs_taught(self, store: Store) -> None:
        steps = (CreditStep(bound=900_000, credit_bp=500), CreditStep(bound=500_000, credit_bp=2000))
        level = Level(measure=Measure.THROUGHPUT, steps=steps)
        agreement = signed(store, an_agreement(levels=(level,)))
        a_month(store, fen=1000, away_h=2)
        # Reckoned to take two hours on two cards: one run took four, the other one, twice as long as both is nobody's.
        slow, fast = (a_quoted_run(store, hours) for hours in (4.0, 1.0))
        for other in (
            {"interrupted": True},
            {"at": BEGIN - timedelta(seconds=1)},
            {"at": END},
            {"site": SiteId("wuhu")},
            {"prediction": replace(PREDICTION, device="cpu@guian", work_class="cpu")},
        ):
            a_quoted_run(store, 100.0, **other)
        assert len(store.agreement_lessons(agreement, BEGIN, END)) == 4
        credit_due(store, RULES, END + timedelta(hours=2))
        ((credit, _),) = owed(store)
        (reached,) = credit.levels
        assert (reached.value, reached.number, reached.missed) == (800_000, 2, 1)
        assert [miss.job for miss in reached.misses] == [slow]
        assert slow != fast
        assert (reached.credit_bp, credit.amount_fen) == (500, 50)

    def test_a_month_that_is_over_is_paid_once(self, store: Store) -> None:
        signed(store, an_agreement())
        a_month(store)
        earn(store)
        assert credit_due(store, RULES, END + timedelta(minutes=59)) == 0
        assert owed(store) == []
        assert credit_due(store, RULES, END + timedelta(hours=1)) == 1
        assert credit_due(store, RULES, END + timedelta(hours=2)) == 0
        ((credit, waits),) = owed(store)
        assert (credit.amount_fen, waits) == (100, False)
        assert standing(store, SELLER) == (9900, 0)
        assert standing(store, DEMO) == (100, 0)
        assert [entry.transfer.code for entry in store.chain_entries([f"credit/{credit.key}"])] == ["service_credit"]
        assert_whole(store)

    def test_replicas_at_once_pay_once(self, store: Store) -> None:
        signed(store, an_agreement())
        a_month(store)
        earn(store)
        at_once([lambda: credit_due(store, RULES, END + timedelta(hours=2)) for _ in range(6)])
        assert credit_due(store, RULES, END + timedelta(hours=2)) == 0
        assert standing(store, DEMO) == (100, 0)
        assert len(owed(store)) == 1
        kinds = [event.kind for event in store.events(0, 90)]
        assert (kinds.count("agreement.measured"), kinds.count("agreement.credited")) == (1, 1)
        assert_whole(store)

    @pytest.mark.parametrize("step", ["change_agreements", "post", "credit_paid"])
    def test_a_turn_that_dies_anywhere_is_finished_by_the_next(self, store: Store, step: str) -> None:
        signed(store, an_agreement())
        a_month(store)
        earn(store)
        with pytest.raises(Died):
            credit_due(Dying(store, step), RULES, END + timedelta(hours=2))
        credit_due(store, RULES, END + timedelta(hours=2))
        assert standing(store, DEMO) == (100, 0)
        assert [waits for _, waits in owed(store)] == [False]
        assert_whole(store)

    def test_what_the_provider_cannot_pay_waits_until_it_can(self, store: Store) -> None:
        signed(store, an_agreement())
        a_month(store)
        assert credit_due(store, RULES, END + timedelta(hours=1)) == 0
        assert [waits for _, waits in owed(store)] == [True]
        earn(store)
        assert credit_due(store, RULES, END + timedelta(hours=1, minutes=59)) == 0, "it is not tried at every turn"
        assert credit_due(store, RULES, END + timedelta(hours=2)) == 1
        assert standing(store, DEMO) == (100, 0)

    def test_every_month_is_measured_until_the_last(self, store: Store) -> None:
        signed(store, an_agreement(last=MONTH + 1))
        for month in range(1, 4):
            credit_due(store, RULES, month_begins(MONTH + month) + timedelta(hours=1))
        assert [credit.month for credit, _ in owed(store)] == [MONTH + 1, MONTH]
        kept = store.agreement("demo-guian", 1)
        assert kept is not None
        assert (kept.state, kept.due) == (AgreementState.ENDED, None)

    def test_notice_ends_it_and_its_last_months_are_measured(self, store: Store) -> None:
        begun = signed(store, an_agreement())
        ended = with_notice(begun, BEGIN + timedelta(days=3))
        assert store.change_agreements([ended], [])
        for month in range(1, 5):
            credit_due(store, RULES, month_begins(MONTH + month) + timedelta(hours=1))
        assert [credit.month for credit, _ in owed(store)] == [MONTH + 1, MONTH]

    def test_a_statement_names_its_one_transfer(self, store: Store) -> None:
        signed(store, an_agreement())
        a_month(store, fen=0)
        credit_due(store, RULES, END + timedelta(hours=1))
        ((credit, waits),) = owed(store)
        assert (credit.amount_fen, waits, credit_chain(credit)) == (0, False, ())


class Died(Exception):
    pass


class Dying:
    """A store behind which the process dies right after one step was done."""

    def __init__(self, store: Store, step: str) -> None:
        self._store = store
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._step:
            return found

        def last(*args: Any, **kwargs: Any) -> Any:
            found(*args, **kwargs)
            raise Died

        return last
