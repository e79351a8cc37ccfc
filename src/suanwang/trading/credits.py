"""Service credits: what a month under an agreement came to, found from events and bills alone, never from complaints.

Owns the measuring of service levels and what a miss costs. The same events and bills give the same credit, byte for byte.
Every miss names the events it was found from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.trading.agreements import (
    RIGHT_LAPSED,
    WHOLE_PPM,
    Agreement,
    Level,
    Measure,
    month_text,
    provider_account,
)
from suanwang.trading.ledger import Chain, Owner, Transfer, account_id
from suanwang.trading.settlement import WHOLE_BP

CODE = "service_credit"
MOST_SHOWN = 200
"""Misses of one level that are kept; all are counted."""
SITE_KINDS = tuple(f"site.{state}" for state in (SiteState.REACHABLE, SiteState.SUSPECT, SiteState.LOST))
READY_KINDS = ("job.accepted", "job.ready", "job.interrupted")
JOB_KINDS = (*READY_KINDS, "job.held", "job.started", "job.failed")
ENDING_KINDS = ("job.started", "job.failed")
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Room at a site that a job had bought, from `not_before` on."""

    site: SiteId
    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A quoted run that ended in one piece: what it was reckoned to take, and what it took."""

    job: JobId
    site: SiteId
    ended_at: datetime
    weight: int
    """Thousandths of a unit, all its cards together: of its class of work, by the published rule."""
    quoted_ms: int
    measured_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was written down. Events ascend in `seq`; those before the period say how it began."""

    site_events: Sequence[Event] = ()
    job_events: Sequence[Event] = ()
    works: Sequence[Work] = ()
    promises: Mapping[JobId, Promise] = field(default_factory=dict)
    billed_fen: Mapping[SiteId, int] = field(default_factory=dict)
    """What the project's use of each site within the period came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One interval without the site, or one late start, and the events (`seq`) that say so."""

    from_at: datetime
    to_at: datetime
    events: tuple[int, ...]
    job: JobId | None = None
    started: bool = True
    """False for a job whose bought hours ended before it could start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A level of one site in one period."""

    site: SiteId
    measure: Measure
    value: int | None
    """Millionths of a share (of throughput it may be more than all), or milliseconds; None where nothing was to measure."""
    number: int
    """Starts, runs, or milliseconds of the period, that it is of."""
    misses: tuple[Miss, ...]
    missed: int
    """How many there were; `misses` are the first of them."""
    bill_fen: int
    credit_bp: int
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A month of an agreement: the levels reached, and what the provider owes the project for those missed."""

    agreement: str
    version: int
    project: ProjectId
    provider: str
    month: int
    from_at: datetime
    to_at: datetime
    levels: tuple[Reached, ...]
    bill_fen: int
    amount_fen: int

    @property
    def key(self) -> str:
        return f"{self.agreement}/{self.version}/{month_text(self.month)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    job: JobId
    ready: Event
    end: Event
    since: datetime
    """From when the site owed it a start."""
    site: SiteId
    promised: bool
    held: bool

    @property
    def started(self) -> bool:
        return self.end.kind == "job.started"

    @property
    def delay_ms(self) -> int:
        return max(0, (self.end.at - self.since) // _MS)


def credit_of(agreement: Agreement, month: int, facts: Facts, until: datetime | None = None) -> Credit | None:
    """What a month came to, or its part before `until`; None where the agreement was not in force."""
    period = agreement.period(month)
    if period is None:
        return None
    begin, end = period[0], period[1] if until is None else min(period[1], until)
    if begin >= end:
        return None
    starts = [start for start in _starts(facts) if begin <= start.end.at < end]
    levels = tuple(
        _reached(level, site, facts, [start for start in starts if start.site == site], begin, end)
        for site in sorted(agreement.sites)
        for level in agreement.levels
    )
    bill = sum(_bill(facts, site) for site in agreement.sites)
    return Credit(
        agreement=agreement.id,
        version=agreement.version,
        project=agreement.project,
        provider=agreement.provider,
        month=month,
        from_at=begin,
        to_at=end,
        levels=levels,
        bill_fen=bill,
        amount_fen=sum(
            min(_bill(facts, site), sum(level.amount_fen for level in levels if level.site == site))
            for site in agreement.sites
        ),
    )


def _bill(facts: Facts, site: SiteId) -> int:
    return max(0, facts.billed_fen.get(site, 0))


def _reached(
    level: Level, site: SiteId, facts: Facts, starts: Sequence[_Start], begin: datetime, end: datetime
) -> Reached:
    match level.measure:
        case Measure.AVAILABILITY:
            value, number, misses = _availability(site, facts.site_events, begin, end)
        case Measure.PROMISED:
            value, number, misses = _promised([start for start in starts if start.promised], level.within_s or 0)
        case Measure.START:
            value, number, misses = _p95([s for s in starts if s.started and not s.held], level.steps[0].bound)
        case Measure.THROUGHPUT:
            here = [work for work in facts.works if work.site == site and begin <= work.ended_at < end]
            value, number, misses = _throughput(here, level.steps[0].bound)
    bill = _bill(facts, site)
    share = 0 if value is None else credit_bp(level, value)
    return Reached(
        site=site,
        measure=level.measure,
        value=value,
        number=number,
        misses=tuple(misses[:MOST_SHOWN]),
        missed=len(misses),
        bill_fen=bill,
        credit_bp=share,
        amount_fen=bill * share // WHOLE_BP,
    )


def credit_bp(level: Level, value: int) -> int:
    """What the worst step costs that `value` misses, in basis points of the site's bill."""
    if level.measure is Measure.START:
        return max((step.credit_bp for step in level.steps if value > step.bound * 1000), default=0)
    return max((step.credit_bp for step in level.steps if value < step.bound), default=0)


def _availability(
    site: SiteId, events: Sequence[Event], begin: datetime, end: datetime
) -> tuple[int | None, int, list[Miss]]:
    """A site is away from the event that says so until the next that says otherwise, and before the first of all."""
    misses: list[Miss] = []
    since: datetime | None = begin
    seqs: tuple[int, ...] = ()
    for event in events:
        if event.site_id != site or event.kind not in SITE_KINDS or event.at >= end:
            continue
        back = event.kind == f"site.{SiteState.REACHABLE}"
        if back and since is not None:
            if event.at > begin:
                misses.append(Miss(from_at=max(since, begin), to_at=event.at, events=(*seqs, event.seq)))
            since, seqs = None, ()
        elif not back and since is None:
            since, seqs = event.at, (event.seq,)
        elif not back:
            seqs = (*seqs, event.seq)
    if since is not None:
        misses.append(Miss(from_at=max(since, begin), to_at=end, events=seqs))
    whole = (end - begin) // _MS
    misses = [miss for miss in misses if miss.from_at < miss.to_at]
    away = sum((miss.to_at - miss.from_at) // _MS for miss in misses)
    return (WHOLE_PPM * (whole - away) // whole if whole else None), whole, misses


def _promised(starts: Sequence[_Start], within_s: int) -> tuple[int | None, int, list[Miss]]:
    late = [start for start in starts if not start.started or start.delay_ms > within_s * 1000]
    value = WHOLE_PPM * (len(starts) - len(late)) // len(starts) if starts else None
    return value, len(starts), [_late(start) for start in late]


def _p95(starts: Sequence[_Start], bound_s: int) -> tuple[int | None, int, list[Miss]]:
    """By nearest rank: the smallest delay that at least 95 of 100 starts stay within."""
    if not starts:
        return None, 0, []
    delays = sorted(start.delay_ms for start in starts)
    value = delays[-(-95 * len(delays) // 100) - 1]
    return value, len(starts), [_late(start) for start in starts if start.delay_ms > bound_s * 1000]


def _throughput(works: Sequence[Work], bound: int) -> tuple[int | None, int, list[Miss]]:
    """Unit-hours that the quotes reckoned with, over the unit-hours of the time that was taken: millionths, over all runs
    together, so that a long run on many cards counts as what it is. A run misses where it alone is below the bound."""
    taken = sum(work.weight * work.measured_ms for work in works)
    if not taken:
        return None, 0, []
    value = WHOLE_PPM * sum(work.weight * work.quoted_ms for work in works) // taken
    misses = [
        Miss(from_at=work.ended_at - work.measured_ms * _MS, to_at=work.ended_at, events=(), job=work.job)
        for work in sorted(works, key=lambda each: (each.ended_at, each.job))
        if WHOLE_PPM * work.quoted_ms < bound * work.measured_ms
    ]
    return value, len(works), misses


def _late(start: _Start) -> Miss:
    return Miss(
        from_at=start.since,
        to_at=start.end.at,
        events=(start.ready.seq, start.end.seq),
        job=start.job,
        started=start.started,
    )


def _starts(facts: Facts) -> Iterator[_Start]:
    """Each start of each job from when it was last ready, and each bought hour that passed without one."""
    ready: dict[JobId, tuple[Event, bool]] = {}
    for event in facts.job_events:
        job = event.job_id
        if job is None:
            continue
        if event.kind in READY_KINDS:
            # Accepted, it may still wait for the jobs it needs.
            if event.data.get("state") != JobState.WAITING:
                ready[job] = (event, False)
        elif event.kind == "job.held" and job in ready:
            ready[job] = (ready[job][0], True)
        elif event.kind in ENDING_KINDS and job in ready:
            begun, held = ready.pop(job)
            promise = facts.promises.get(job)
            site = event.site_id
            if event.kind == "job.failed":
                if promise is None or event.data.get("reason") != RIGHT_LAPSED:
                    continue
                site = promise.site
            if site is None:
                continue
            since = begun.at if promise is None else max(begun.at, promise.not_before)
            yield _Start(
                job=job, ready=begun, end=event, since=since, site=site, promised=promise is not None, held=held
            )


def credit_chain(credit: Credit) -> Chain:
    """The one transfer that pays a credit; none where nothing is owed."""
    if not credit.amount_fen:
        return ()
    name = f"credit/{credit.key}"
    return (
        Transfer(
            id=name,
            chain=name,
            debit=provider_account(credit.provider),
            credit=account_id(Owner.PROJECT, credit.project),
            amount_fen=credit.amount_fen,
            code=CODE,
        ),
    )
