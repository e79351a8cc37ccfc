"""What holds of every agreement and month: bounds, sums, and the same answer however its events are told."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.trading.agreements import (
    AGREEMENT_MOVES,
    Agreement,
    AgreementMove,
    AgreementState,
    CreditStep,
    Level,
    Measure,
    Side,
    check_agreement,
    credited,
    cut,
    in_force,
    month_begins,
    month_number,
    month_of,
    month_text,
    moved,
    with_notice,
)
from suanwang.trading.credits import Credit, Facts, Promise, credit_chain, credit_of

MONTH = month_number(datetime(2026, 3, 15, tzinfo=UTC))
BEGIN, END = month_begins(MONTH), month_begins(MONTH + 1)
SITES = (SiteId("a"), SiteId("b"))
WHOLE_S = int((END - BEGIN).total_seconds())


@st.composite
def levels(draw: st.DrawFn, measure: Measure) -> Level:
    most = 10_000 if measure is Measure.START else 1_000_000
    bounds = draw(st.lists(st.integers(1, most), min_size=1, max_size=3, unique=True))
    bounds.sort(reverse=measure is not Measure.START)
    credit = sorted(draw(st.lists(st.integers(1, 10_000), min_size=len(bounds), max_size=len(bounds), unique=True)))
    return Level(
        measure=measure,
        within_s=draw(st.integers(1, 600)) if measure is Measure.PROMISED else None,
        steps=tuple(CreditStep(bound=b, credit_bp=c) for b, c in zip(bounds, credit, strict=True)),
    )


@st.composite
def agreements(draw: st.DrawFn) -> Agreement:
    measures = draw(st.lists(st.sampled_from(Measure), unique=True))
    drafted = Agreement(
        id="x",
        version=1,
        project=ProjectId("demo"),
        provider="p",
        sites=SITES,
        first=MONTH,
        last=MONTH + draw(st.integers(0, 5)),
        levels=tuple(draw(levels(measure)) for measure in measures),
        notice_months=draw(st.integers(0, 3)),
        author=Side.PROJECT,
        drafted_by="alice",
        drafted_at=BEGIN - timedelta(days=1),
    )
    check_agreement(drafted)
    signed_at = BEGIN + timedelta(seconds=draw(st.integers(-WHOLE_S, WHOLE_S - 1)))
    return in_force(moved(drafted, AgreementMove.OFFER), signed_at)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Events of two sites and a few jobs around a month, in the order of their instants."""
    made: list[Event] = []
    for at, site, state in draw(
        st.lists(
            st.tuples(
                st.integers(-WHOLE_S // 10, WHOLE_S + 1000),
                st.sampled_from(SITES),
                st.sampled_from(["reachable", "suspect", "lost"]),
            ),
            max_size=25,
        )
    ):
        made.append(Event(kind=f"site.{state}", at=BEGIN + timedelta(seconds=at), site_id=site))
    promises: dict[JobId, Promise] = {}
    for number, (at, delay, site, kind, promised) in enumerate(
        draw(
            st.lists(
                st.tuples(
                    st.integers(-1000, WHOLE_S),
                    st.integers(0, 20_000),
                    st.sampled_from(SITES),
                    st.sampled_from(["job.started", "job.failed"]),
                    st.booleans(),
                ),
                max_size=25,
            )
        )
    ):
        job, ready = JobId(f"j{number}"), BEGIN + timedelta(seconds=at)
        made.append(Event(kind="job.ready", at=ready, job_id=job))
        data = {"reason": "its right to capacity ends before it could"}
        made.append(Event(kind=kind, at=ready + timedelta(seconds=delay), job_id=job, site_id=site, data=data))
        if promised:
            promises[job] = Promise(site=site, not_before=ready)
    made.sort(key=lambda event: event.at)
    numbered = [replace(event, seq=seq) for seq, event in enumerate(made, 1)]
    return Facts(
        site_events=[event for event in numbered if event.kind.startswith("site.")],
        job_events=[event for event in numbered if event.kind.startswith("job.")],
        promises=promises,
        billed_fen={site: draw(st.integers(-100, 10**9)) for site in SITES},
    )


def reckoned(agreement: Agreement, seen: Facts) -> Credit:
    credit = credit_of(agreement, MONTH, seen)
    assert credit is not None
    return credit


@given(agreements(), facts())
def test_a_credit_is_bounded_by_the_bill_and_is_the_sum_of_its_levels(agreement: Agreement, seen: Facts) -> None:
    credit = reckoned(agreement, seen)
    assert 0 <= credit.amount_fen <= credit.bill_fen == sum(max(0, fen) for fen in seen.billed_fen.values())
    by_site = [
        min(max(0, seen.billed_fen[site]), sum(level.amount_fen for level in credit.levels if level.site == site))
        for site in SITES
    ]
    assert credit.amount_fen == sum(by_site)
    assert bool(credit_chain(credit)) == bool(credit.amount_fen)
    for level in credit.levels:
        assert level.amount_fen == level.bill_fen * level.credit_bp // 10_000
        assert bool(level.credit_bp) <= bool(level.missed)


@given(agreements(), facts())
def test_the_same_events_give_the_same_credit_and_those_of_others_none(agreement: Agreement, seen: Facts) -> None:
    credit = reckoned(agreement, seen)
    foreign = Event(kind="site.lost", at=BEGIN + timedelta(days=1), site_id=SiteId("elsewhere"), seq=10**6)
    more = replace(seen, site_events=[*seen.site_events, foreign], billed_fen={**seen.billed_fen, SiteId("c"): 9})
    assert repr(reckoned(agreement, more)) == repr(credit)


@given(agreements(), facts(), st.integers(1, WHOLE_S - 1))
def test_time_away_is_additive(agreement: Agreement, seen: Facts, cut_s: int) -> None:
    """What a site was away in a period is what it was away in the two parts of it."""
    measured = replace(
        agreement,
        levels=(Level(measure=Measure.AVAILABILITY, steps=(CreditStep(bound=1, credit_bp=1),)),),
        from_at=BEGIN,
        until_at=END,
    )
    middle = BEGIN + timedelta(seconds=cut_s)

    def away(part: Agreement) -> timedelta:
        found = reckoned(part, seen)
        assert all(level.missed == len(level.misses) for level in found.levels)
        return sum((m.to_at - m.from_at for level in found.levels for m in level.misses), timedelta())

    assert away(measured) == away(replace(measured, until_at=middle)) + away(replace(measured, from_at=middle))


@given(agreements(), st.lists(st.integers(1, 200), max_size=4))
def test_months_are_due_one_after_the_other_while_it_is_in_force(agreement: Agreement, notices: list[int]) -> None:
    months: list[int] = []
    for days in [*notices, None]:
        if days is not None:
            try:
                agreement = with_notice(agreement, BEGIN + timedelta(days=days))
            except Conflict:
                break
        if agreement.due is not None:
            assert agreement.period(agreement.due) is not None
            months.append(agreement.due)
            agreement = credited(agreement)
    assert months == list(range(months[0], months[0] + len(months))) if months else True


@given(agreements(), st.integers(-100, 400))
def test_two_versions_never_overlap(older: Agreement, days: int) -> None:
    at = BEGIN + timedelta(days=days)
    assert older.from_at is not None
    try:
        shorter = cut(older, at)
    except Conflict:
        assert at <= older.from_at
    else:
        assert shorter.until_at is not None
        assert shorter.until_at <= at
        assert shorter.state is AgreementState.SUPERSEDED


@given(st.integers(2000 * 12, 2099 * 12 + 11))
def test_months_read_back(month: int) -> None:
    assert month_of(month_text(month), "month") == month
    assert month_number(month_begins(month)) == month
    assert month_number(month_begins(month + 1) - timedelta(microseconds=1)) == month


@given(st.sampled_from(AgreementState), st.sampled_from(AgreementMove))
def test_only_moves_of_the_table_are_made(state: AgreementState, move: AgreementMove) -> None:
    agreement = Agreement(
        id="x",
        version=1,
        project=ProjectId("demo"),
        provider="p",
        sites=SITES,
        first=MONTH,
        last=MONTH,
        levels=(),
        author=Side.PROJECT,
        state=state,
        drafted_by="alice",
        drafted_at=BEGIN,
    )
    try:
        after = moved(agreement, move).state
    except Conflict:
        assert (state, move) not in AGREEMENT_MOVES
    else:
        assert after is AGREEMENT_MOVES[state, move]


@given(st.text(max_size=8))
def test_what_is_no_month_is_said(text: str) -> None:
    with suppress(InvalidRequest):
        assert month_text(month_of(text, "month")) == text
