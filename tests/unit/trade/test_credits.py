"""Service credits, case by case: what counts as away, late, promised and never started, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.contract.store_values import a_job

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.contracts.crediting import facts_of
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event, Terms
from suanwang.domain.site import Price
from suanwang.trading.agreements import (
    RIGHT_LAPSED,
    Agreement,
    AgreementMove,
    CreditStep,
    Level,
    Measure,
    Side,
    in_force,
    month_begins,
    month_number,
    moved,
)
from suanwang.trading.credits import Facts, Promise, Reached, credit_chain, credit_of

SITE = SiteId("guian")
MONTH = month_number(datetime(2026, 4, 15, tzinfo=UTC))
BEGIN = month_begins(MONTH)
HOURS = 30 * 24


def agreed(*levels: Level) -> Agreement:
    drafted = Agreement(
        id="x",
        version=1,
        project=ProjectId("demo"),
        provider="p",
        sites=(SITE,),
        first=MONTH,
        last=MONTH,
        levels=levels,
        author=Side.PROJECT,
        drafted_by="alice",
        drafted_at=BEGIN - timedelta(days=1),
    )
    return in_force(moved(drafted, AgreementMove.OFFER), BEGIN - timedelta(days=1))


def level(measure: Measure, *steps: tuple[int, int], within_s: int | None = None) -> Level:
    return Level(measure=measure, within_s=within_s, steps=tuple(CreditStep(bound=b, credit_bp=c) for b, c in steps))


def told(*said: tuple[str, float, str]) -> Sequence[Event]:
    """(kind, seconds into the month, job) as events in their order."""
    return [
        Event(
            kind=kind,
            at=BEGIN + timedelta(seconds=at),
            job_id=JobId(job) if job else None,
            site_id=None if kind == "job.failed" else SITE,
            data={"reason": RIGHT_LAPSED} if kind == "job.failed" else {},
            seq=seq,
        )
        for seq, (kind, at, job) in enumerate(said, 1)
    ]


def reached(agreed_level: Level, facts: Facts) -> Reached:
    credit = credit_of(agreed(agreed_level), MONTH, replace(facts, billed_fen={SITE: 10_000}))
    assert credit is not None
    return credit.levels[0]


def test_a_site_is_away_from_suspect_to_reachable() -> None:
    wanted = level(Measure.AVAILABILITY, (999_000, 1000), (990_000, 2500))
    hour = 3600
    events = told(("site.reachable", -hour, ""), ("site.suspect", hour, ""), ("site.lost", 2 * hour, ""))
    back = told(("site.reachable", 8.2 * hour, ""))
    found = reached(wanted, Facts(site_events=[*events, *(replace(e, seq=9) for e in back)]))
    (miss,) = found.misses
    assert (miss.events, miss.to_at - miss.from_at) == ((2, 3, 9), timedelta(hours=7.2))
    assert found.value == 1_000_000 - 1_000_000 * 72 // (HOURS * 10)
    assert (found.value, found.credit_bp, found.amount_fen) == (990_000, 1000, 1000), "just not below the second step"


def test_a_site_that_never_came_or_was_away_before_is_away() -> None:
    wanted = level(Measure.AVAILABILITY, (500_000, 1000))
    assert reached(wanted, Facts()).value == 0
    lost = told(("site.lost", -99, ""))
    assert reached(wanted, Facts(site_events=lost)).misses[0].events == (1,)
    kept = told(("site.reachable", -99, ""))
    assert (reached(wanted, Facts(site_events=kept)).value, reached(wanted, Facts(site_events=kept)).missed) == (
        10**6,
        0,
    )


def test_of_twenty_starts_one_may_be_late() -> None:
    wanted = level(Measure.START, (60, 500), (600, 1000))
    soon = [(kind, at, f"j{n}") for n in range(19) for kind, at in (("job.ready", 0), ("job.started", 10))]
    one = told(*soon, ("job.ready", 0, "late"), ("job.started", 5000, "late"))
    found = reached(wanted, Facts(job_events=one))
    assert (found.value, found.number, found.missed, found.credit_bp) == (10_000, 20, 1, 0)
    two = told(*soon, *(s for j in "ab" for s in (("job.ready", 0.0, j), ("job.started", 61.0, j))))
    found = reached(wanted, Facts(job_events=two))
    assert (found.value, found.number, found.missed, found.credit_bp) == (61_000, 21, 2, 500)
    assert [miss.job for miss in found.misses] == ["a", "b"]


def test_waiting_by_ones_own_wish_is_nobodys_delay() -> None:
    wanted = level(Measure.START, (60, 500))
    held = told(("job.ready", 0, "j"), ("job.held", 1, "j"), ("job.started", 9000, "j"))
    assert reached(wanted, Facts(job_events=held)).value is None
    again = told(
        ("job.ready", 0, "j"), ("job.started", 10, "j"), ("job.interrupted", 500, "j"), ("job.started", 700, "j")
    )
    found = reached(wanted, Facts(job_events=again))
    assert (found.number, found.value, found.misses[0].events) == (2, 200_000, (3, 4))


def test_a_job_that_waits_for_another_is_not_ready_when_it_is_accepted() -> None:
    first = told(("job.accepted", 0, "j"), ("job.ready", 5000, "j"), ("job.started", 5001, "j"))
    waiting = [replace(first[0], data={"state": "waiting"}), *first[1:]]
    assert reached(level(Measure.START, (60, 1)), Facts(job_events=waiting)).value == 1000


def test_what_was_promised_counts_from_when_the_right_begins() -> None:
    wanted = level(Measure.PROMISED, (990_000, 1000), within_s=60)
    promise = Promise(site=SITE, not_before=BEGIN + timedelta(seconds=1000))
    events = told(
        *(("job.accepted", 0.0, "a"), ("job.started", 1060.0, "a"), ("job.accepted", 0.0, "b")),
        *(("job.started", 1061.0, "b"), ("job.accepted", 0.0, "c"), ("job.failed", 4600.0, "c")),
        *(("job.accepted", 0.0, "other"), ("job.started", 9000.0, "other")),
    )
    promises = {JobId(name): promise for name in "abc"}
    found = reached(wanted, Facts(job_events=events, promises=promises))
    assert (found.number, found.missed, found.value) == (3, 2, 333_333)
    assert [(miss.job, miss.started) for miss in found.misses] == [("b", True), ("c", False)]
    assert found.amount_fen == 1000


def test_credits_of_one_site_never_exceed_its_bill() -> None:
    dear = (level(Measure.AVAILABILITY, (1_000_000, 8000)), level(Measure.START, (1, 8000)))
    late = told(("job.ready", 0, "j"), ("job.started", 50, "j"))
    credit = credit_of(agreed(*dear), MONTH, Facts(job_events=late, billed_fen={SITE: 1001}))
    assert credit is not None
    assert [each.amount_fen for each in credit.levels] == [800, 800]
    assert credit.amount_fen == 1001
    (transfer,) = credit_chain(credit)
    assert (transfer.id, transfer.debit, transfer.credit) == ("credit/x/1/2026-04", "provider:p", "project:demo")
    assert credit_of(agreed(*dear), MONTH + 1, Facts()) is None


def test_promises_are_read_from_the_terms_of_jobs() -> None:
    store = MemoryStore()
    job = a_job()
    begin = BEGIN + timedelta(hours=1)
    terms = Terms(price=Price(core_hour_yuan=0), reservation="r", not_before=begin, until=begin + timedelta(hours=1))  # type: ignore[arg-type]
    task = replace(job.task, constraints=replace(job.task.constraints, sites=(SITE,)))
    job = replace(job, terms=terms, task=task)
    accepted = Event(kind="job.accepted", at=BEGIN, project=job.project, job_id=job.id)
    lapsed = replace(accepted, kind="job.failed", at=begin + timedelta(hours=1), data={"reason": RIGHT_LAPSED})
    store.add_jobs([job], [accepted, lapsed])
    made = agreed(level(Measure.PROMISED, (990_000, 1000), within_s=60))
    made = replace(made, project=job.project)
    facts = facts_of(store, made, BEGIN, month_begins(MONTH + 1))
    assert facts.promises == {job.id: Promise(site=SITE, not_before=begin)}
    credit = credit_of(made, MONTH, facts)
    assert credit is not None
    assert (credit.levels[0].value, credit.levels[0].misses[0].started) == (0, False)
