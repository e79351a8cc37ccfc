"""The plan: each queued job to the feasible site its own objective ranks best, while there is room.

Owns the assignment and its reasons; what each way comes to is `figures`'s, whose turn it is `fairness`'s. Equal scores fall to
the site whose identifier comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import takewhile

import numpy as np

from suanwang.domain.allowance import Allowance, Amounts, Exceeded, Standing
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Exclusion, Figures, Hold, InForce, Job, Rank, Why
from suanwang.domain.vouching import Vouched
from suanwang.electricity.supply import instant, milliseconds
from suanwang.electricity.tariff import slot_at
from suanwang.scheduling import figures
from suanwang.scheduling.fairness import Shares, in_turn
from suanwang.scheduling.feasibility import (
    Least,
    Limits,
    Shape,
    lasting_reason,
    now_reason,
    shape,
)
from suanwang.scheduling.plan import Hopeless, Keep, Place, Plan, Preempt, Stay
from suanwang.scheduling.policies.board import FAR
from suanwang.scheduling.purses import Aid, Purses
from suanwang.scheduling.ranking import Barred, Ranking
from suanwang.scheduling.seating import BLOCKED, LATER, Seating, Weighed
from suanwang.scheduling.snapshot import Bools, Floats, SiteTable, Snapshot, table
from suanwang.scheduling.taking import Blocked, preempts

SHAPES_KEPT = 64
"""Figures of so many shapes are kept: the members of an array are of one shape and come one after the other."""
REASONS_KEPT = 24
"""A decision keeps the reason of every site in networks up to this size; `explain` makes the rest on request."""
FEW_REASONS = 4
"""Kept in larger networks of a job that no site can ever run."""
OTHERS_KEPT = 3
"""Next best sites in a decision; in larger networks the second best alone."""
HOUR_MS = 3_600_000.0
MOST_YUAN = 1e12
"""Vouchers pay of prices below it."""
LONGEST_S = 3e9
"""No voucher is asked whether it lasts longer."""
HELD = "held for a better site that is full now"
KEPT = "held for a better hour"
UNPAID = "there is not enough money for it now"
NEVER = "more than its project's quota allows at once"


def decide(snapshot: Snapshot) -> Plan:
    """The plan for every job of `snapshot`; the same set of jobs gives the same plan in whatever order it comes."""
    placer = _Placer(snapshot)
    places: list[Place] = []
    hopeless: list[Hopeless] = []
    keeps: list[Keep] = []
    for job in placer.in_turn():
        found = placer.take(job)
        if isinstance(found, Place):
            places.append(found)
        elif isinstance(found, Hopeless):
            hopeless.append(found)
        elif isinstance(found, Keep):
            keeps.append(found)
    stays = len(snapshot.jobs) - len(places) - len(hopeless)
    return Plan(
        places=tuple(places),
        hopeless=tuple(hopeless),
        stays=stays,
        keeps=tuple(keeps),
        preempts=tuple(placer.preempts()),
        gap=placer.gap(len(places)),
    )


def explain(snapshot: Snapshot, job: Job) -> Place | Stay | Keep | Hopeless:
    """What would be decided about `job`, when its turn comes among the other jobs of `snapshot`, with every site's reason."""
    others = [other for other in snapshot.jobs if other.id != job.id]
    placer = _Placer(replace(snapshot, jobs=[*others, job]), in_full=True)
    for other in takewhile(lambda other: other.id != job.id, placer.in_turn()):
        placer.take(other)
    found = placer.take(job)
    return Stay(job=job, why=placer.why_not(job, found)) if isinstance(found, str) else found


class Judge:
    """Says which jobs no site of one snapshot could ever run. Made once for many jobs; free room plays no part."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._placer = _Placer(snapshot, in_full=True)

    def hopeless(self, job: Job) -> Hopeless | None:
        """With the reason of every site, or None where some site could run `job` some day."""
        return self._placer.hopeless(job)

    def beyond(self, job: Job, allowance: Allowance) -> tuple[Why, Exceeded] | None:
        """Why `job` could never start under its project's quota, whatever else ends; None where it could."""
        return self._placer.beyond(job, allowance)


class _Placer:
    """Carries what is free from one job to the next."""

    def __init__(self, snapshot: Snapshot, *, in_full: bool = False) -> None:
        """`in_full`: with the reason or rank of every site, however many there are, and at once: who asks waits for the
        answer, and would wait for the compiler."""
        self._in_full = in_full
        self._now: datetime = snapshot.now
        self._table: SiteTable = table(snapshot)
        self._limits = Limits(self._table, snapshot.places)
        total = len(self._table.sites)
        self._reasoned = in_full or total <= REASONS_KEPT
        self._others_kept = total if in_full else OTHERS_KEPT if self._reasoned else 1
        self._rankings: dict[Shape, Ranking] = {}
        self._snapshot = snapshot
        self._numbers = {job.id: number for number, job in enumerate(snapshot.jobs)}
        self._above = 0.0
        """Of the starts so far: scores over the best of each, summed."""
        self._taken = [0] * len(self._table.sites)
        """Jobs this plan has given each site."""
        fairness = snapshot.fairness
        self._shares = Shares(fairness.standings if fairness else None, self._whole() if fairness else Amounts())
        self._purses = Purses(snapshot.money)
        self._barred: tuple[Barred, ...] = ()
        """Of the job that is looked at."""
        self._job: Job | None = None
        """That job, where a voucher may pay for it."""
        self._blocked: list[tuple[Job, Ranking]] = []
        """Jobs that found no room, in their turns: as many as may have room kept for them."""

    # assignment

    def gap(self, starts: int) -> float:
        """See `Plan.gap`."""
        return self._above / starts - 1 if starts else 0.0

    def in_turn(self) -> Iterator[Job]:
        """The jobs of the snapshot; take each before asking for the next."""
        return in_turn(self._snapshot.jobs, self._snapshot.fairness, self._shares, self._now)

    def _whole(self) -> Amounts:
        """What works in the network."""
        devices: dict[str, float] = {}
        for pool, working in zip(self._table.pooled.pools, self._table.pooled.working_devices.tolist(), strict=True):
            if pool is not None:
                devices[pool.model] = devices.get(pool.model, 0) + working
        return Amounts(
            cores=sum(self._table.working_cores), memory_gb=sum(self._table.working_memory_gb), devices=devices
        )

    def beyond(self, job: Job, allowance: Allowance) -> tuple[Why, Exceeded] | None:
        """With every site's reason, where even an empty network would not let it start under `allowance`."""
        ranking = self._ranking(self._shape(job))
        unused = Shares({job.project: Standing(allowance=allowance)}, Amounts())
        barred = self._bars(ranking, job.project, unused)
        if not ranking.some or barred is None or (ranking.possible & ~barred.rows).any():
            return None
        self._barred = (barred,)
        why = self._why(ranking, np.full(len(ranking.possible), FAR), None, NEVER)
        return why, barred.words(ranking.rows.pools[ranking.possible.argmax()])

    def _bars(self, ranking: Ranking, project: ProjectId, shares: Shares) -> Barred | None:
        allowance, of = shares.allowance(project), ranking.shape
        if allowance is None:
            return None
        over = shares.exceeded(project, of.cores, of.memory_gb)
        if over is not None:
            return Barred(np.ones(len(ranking.possible), np.bool_), over)
        found = {model: shares.exceeded_devices(project, model, of.devices) for model in allowance.devices}
        models = {model: words for model, words in found.items() if words is not None}
        if not of.devices or not models:
            return None
        rows = np.logical_or.reduce([ranking.of_model(model) for model in models])
        return Barred(rows, None, models) if (rows & ranking.possible).any() else None

    def _unpaid(self, ranking: Ranking, job: Job) -> Barred | None:
        """The rows where a start would hold more than is left of the job's money."""
        purse = self._purses.least(job)
        if purse is None:
            return None
        (name, left), holds = purse, self._holds(ranking)
        rows = holds > left
        short = rows & ranking.possible
        if short.any() and self._purses.aided(job):
            holds = holds.copy()
            for row in short.nonzero()[0].tolist():
                aided = self._aid(ranking, job, row, int(holds.item(row)))
                holds[row] -= aided[1] if aided else 0
            rows = holds > left
            short = rows & ranking.possible
        if not short.any():
            return None
        asked = f"¥{holds[ranking.possible].min().item() / 100:.2f}"
        words = Exceeded(used=f"¥{max(left, 0) / 100:.2f}", asked=asked, allowed=name)
        return Barred(rows, words, note=UNPAID, asked=holds)

    def _aid(self, ranking: Ranking, job: Job, row: int, hold_fen: int) -> tuple[Aid, int] | None:
        """The voucher that pays a part of what a start on the row would hold, with that."""
        span_s = min(self._purses.span_s, ranking.shape.resources.time_limit_s)
        return self._vouched(ranking, job, row, hold_fen, span_s)

    def _vouched(self, ranking: Ranking, job: Job, row: int, amount_fen: int, seconds: float) -> tuple[Aid, int] | None:
        site, pool = self._table.sites[ranking.rows.site_of.item(row)], ranking.rows.pools[row]
        until = self._now + timedelta(seconds=min(seconds, LONGEST_S))
        return self._purses.aid(job, site.id, pool.model if pool else None, amount_fen, until)

    def _holds(self, ranking: Ranking) -> Floats:
        if ranking.hold_fen is None:
            ranking.hold_fen = figures.hold_fen(ranking.shape, ranking.rows, self._purses.span_s)
        return ranking.hold_fen

    def _barred_rows(self) -> Bools | None:
        """`[r]`, of the job that is looked at."""
        return np.logical_or.reduce([barred.rows for barred in self._barred]) if self._barred else None

    def hopeless(self, job: Job) -> Hopeless | None:
        """`job` with every site's reason, where no site can ever run it."""
        ranking = self._ranking(self._shape(job))
        return None if ranking.some else Hopeless(job=job, why=self._why_hopeless(ranking))

    def take(self, job: Job) -> Place | Keep | Hopeless | str:
        """Give `job` its row and take what it holds off what is free; where it stays queued, say why."""
        number = self._numbers[job.id]
        self._job = job if self._purses.aided(job) else None
        ranking = self._ranking(self._shapes[number])
        if not ranking.some:
            return Hopeless(job=job, why=self._why_hopeless(ranking))
        bars = self._bars(ranking, job.project, self._shares), self._unpaid(ranking, job)
        self._barred = tuple(one for one in bars if one is not None)
        barred = self._barred_rows()
        if barred is not None and not (ranking.possible & ~barred).any():
            return self._barred[-1].note
        held = job.hold is not None and job.hold.until > self._now
        if job.hold is not None and held and job.hold.start_at > self._now:
            return KEPT
        of, seating = self._weighed(ranking), self._seating
        chosen, scores = seating.choose(number, of, barred)
        if job.hold is not None and held:
            row = self._row_of(ranking, job.hold.expect)
            if row is not None and scores[row] < FAR:
                return self._placed(job, ranking, scores, row)
            seating.stays()
            return HELD
        if chosen == BLOCKED:
            if seating.keep(number, of, barred):
                self._blocked.append((job, ranking))
            return "no room now"
        if chosen == LATER:
            kept = self._kept(job, ranking, scores)
            if kept.hold.start_at <= self._now:
                seating.stays()
            return kept
        return self._placed(job, ranking, scores, chosen)

    def preempts(self) -> Iterator[Preempt]:
        """The runs that end for jobs that found no room; asked when all jobs have been taken."""
        if self._snapshot.taking is None or not self._blocked:
            return
        blocked = []
        for job, ranking in self._blocked:
            # Others of its project may have started behind it.
            barred = self._bars(ranking, job.project, self._shares), self._unpaid(ranking, job)
            free = ranking.possible.copy()
            for one in barred:
                free &= True if one is None else ~one.rows
            if free.any():
                blocked.append(Blocked(job, self._numbers[job.id], ranking.rows, free.nonzero()[0]))
        yield from preempts(self._snapshot.taking, blocked, self._table, lambda: self._seating, self._now)

    def _row_of(self, ranking: Ranking, expect: Rank) -> int | None:
        """The row that a job waits for room on."""
        site = self._site_numbers.get(expect.site)
        for row in range(*ranking.rows.span[site]) if site is not None else ():
            pool = ranking.rows.pools[row]
            if (pool.model if pool else None) == expect.device_model:
                return row
        return None

    def _placed(self, job: Job, ranking: Ranking, scores: Floats, row: int) -> Place:
        number, rows, of = self._numbers[job.id], ranking.rows, ranking.shape
        weighed = self._weighed(ranking)
        site, pool = rows.site_of.item(row), rows.pools[row]
        least = self._least_score(number, ranking)
        self._above += scores.item(row) / least if least > 0 else 1.0
        why = self._why(ranking, scores, row, "")
        self._seating.take(number, weighed, row)
        self._taken[site] += 1
        self._shares.took(job.project, of.cores, of.memory_gb, pool.model if pool else None, of.devices)
        hold_fen, aid, aid_fen = 0, None, 0
        if self._purses.least(job) is not None:
            hold_fen = int(self._holds(ranking).item(row))
            aided = self._aid(ranking, job, row, hold_fen) if self._purses.aided(job) else None
            if aided is not None:
                aid, aid_fen = aided
                self._purses.lent(aid, aid_fen)
            hold_fen -= aid_fen
            self._purses.took(job, hold_fen)
        return Place(
            job=job,
            site=self._table.sites[site].id,
            device_model=pool.model if pool else None,
            power_kw=figures.power_kw(of, rows, row),
            why=why,
            hold_fen=hold_fen,
            aid=aid,
            aid_fen=aid_fen,
        )

    def _kept(self, job: Job, ranking: Ranking, scores: Floats) -> Keep:
        """`job` kept for a later hour or a full row."""
        number, row = self._numbers[job.id], int(scores.argmin())
        later = self._seating.later(number, self._weighed(ranking))
        there = self._rank(ranking, later.row, later.score)
        expected = replace(
            there.figures, price_yuan=later.yuan, carbon_g=later.carbon_g, finish_s=later.finish_s, electricity=None
        )
        return Keep(
            job=job,
            hold=Hold(
                expect=replace(there, figures=self._with_voucher(ranking, later.row, expected)),
                start_at=instant(later.at_ms, self._now),
                until=instant(later.until_ms, self._now),
                instead=self._rank(ranking, row, scores.item(row)),
            ),
            why=self._why(ranking, scores, None, KEPT if later.at_ms > milliseconds(self._now) else HELD),
        )

    def _shape(self, job: Job) -> Shape:
        return shape(job, self._table.plain.paying)

    @cached_property
    def _shapes(self) -> list[Shape]:
        return [self._shape(job) for job in self._snapshot.jobs]

    @cached_property
    def _site_numbers(self) -> dict[SiteId, int]:
        return {site.id: number for number, site in enumerate(self._table.sites)}

    @cached_property
    def _seating(self) -> Seating:
        return Seating(
            self._table, self._snapshot.jobs, self._shapes, self._now, self._snapshot.endings, plainly=self._in_full
        )

    def _weighed(self, ranking: Ranking) -> Weighed:
        found = ranking.weighed
        if found is None:
            found = ranking.weighed = self._seating.weighed(ranking.rows, ranking.possible)
        return found

    def _least_score(self, number: int, ranking: Ranking) -> float:
        found = ranking.least_score
        if found is None:
            found = ranking.least_score = self._seating.least_score(number, self._weighed(ranking))
        return found

    # figures

    def _ranking(self, of: Shape) -> Ranking:
        found = self._rankings.get(of)
        if found is None:
            if len(self._rankings) >= SHAPES_KEPT:
                self._rankings.clear()
            found = self._rankings[of] = self._ranked(of)
        return found

    def _ranked(self, of: Shape) -> Ranking:
        rows = self._table.plain if of.resources.devices is None else self._table.pooled
        fitting = self._limits.fitting(of, rows)
        possible = fitting
        if of.deadline_at is not None:
            possible = possible & (figures.run_s(of, rows) <= (of.deadline_at - self._now).total_seconds())
        limit_yuan = None
        if of.budget_yuan is not None:
            limit_yuan = figures.limit_yuan(of, rows)
            possible = possible & (limit_yuan <= float(of.budget_yuan))
        return Ranking(of, rows, fitting, possible, bool(possible.any()), limit_yuan)

    # reasons

    def why_not(self, job: Job, note: str) -> Why:
        """The answer for a job that `take` left in the queue."""
        number = self._numbers[job.id]
        ranking = self._ranking(self._shapes[number])
        _, scores = self._seating.choose(number, self._weighed(ranking), self._barred_rows())
        return self._why(ranking, scores, None, note)

    def _why(self, ranking: Ranking, scores: Floats, row: int | None, note: str) -> Why:
        """Figures and reasons, as things are before the job takes its room. Spoils `scores`, those with room."""
        chosen = None
        excluded: list[Exclusion] = []
        if self._reasoned:
            # In larger networks the next best rows only; `explain` has the rest.
            excluded = self._excluded(ranking, scores)
        if row is not None:
            chosen = self._rank(ranking, row, scores.item(row))
            self._without_site_of(ranking, row, scores)
        others: list[Rank] = []
        while len(others) < self._others_kept and len(scores):
            row = int(scores.argmin())
            if scores[row] >= FAR:
                break
            others.append(self._rank(ranking, row, scores.item(row)))
            self._without_site_of(ranking, row, scores)
        return Why(
            chosen=chosen,
            others=tuple(others),
            excluded=tuple(excluded),
            excluded_total=len(excluded),
            decided_at=self._now,
            note=note,
        )

    def _without_site_of(self, ranking: Ranking, row: int, scores: Floats) -> None:
        first, end = ranking.rows.span[ranking.rows.site_of.item(row)]
        scores[first:end] = FAR

    def _excluded(self, ranking: Ranking, scores: Floats) -> list[Exclusion]:
        """A reason for every site without a row that has room."""
        possible, has_room = self._sites_of(ranking, ranking.possible), self._sites_of(ranking, scores < FAR)
        return [
            self._busy(ranking, site) if possible[site] else self._lasting(ranking, site)
            for site in np.flatnonzero(~has_room).tolist()
        ]

    def _sites_of(self, ranking: Ranking, rows: Bools) -> Bools:
        """`[s]`: sites with one of the rows that are true."""
        found = np.zeros(len(self._table.sites), np.bool_)
        found[ranking.rows.site_of[rows]] = True
        return found

    def _busy(self, ranking: Ranking, index: int) -> Exclusion:
        """Why a site takes no job of this shape now. It stays true until the site is given another job."""
        over = self._over(ranking, index)
        if over is not None:
            return over
        taken = self._taken[index]
        known = ranking.busy.get(index)
        if known is not None and known[0] == taken:
            return known[1]
        fitting = self._fitting(ranking, index)
        free = self._seating.free(index, fitting if ranking.shape.devices else ())
        found = now_reason(ranking.shape, index, fitting, self._table, ranking.rows, free)
        ranking.busy[index] = (taken, found)
        return found

    def _over(self, ranking: Ranking, index: int) -> Exclusion | None:
        """Where the project's quota, or its money, keeps the job from every row of a site that it might take."""
        barred, site = self._barred_rows(), self._table.sites[index].id
        some = [row for row in range(*ranking.rows.span[index]) if ranking.possible[row]]
        if barred is None or not some or not barred[some].all():
            return None
        by = next((one for one in self._barred if one.rows[some].all()), self._barred[-1])
        words = by.words(ranking.rows.pools[some[0]])
        if by.note == UNPAID:
            assert by.asked is not None, "of money"
            row = min(some, key=by.asked.item)
            need, given = f"¥{by.asked.item(row) / 100:.2f}", self._holds(ranking).item(row) - by.asked.item(row)
            if given and self._job is not None and (aided := self._aid(ranking, self._job, row, int(given))):
                need += f" + ¥{given / 100:.2f} ({aided[0].purse})"
            return Exclusion(site=site, code="money", need=need, have=f"{words.used} ({words.allowed})")
        return Exclusion(site=site, code="quota", need=words.asked, have=f"{words.used} / {words.allowed}")

    def _lasting(self, ranking: Ranking, index: int) -> Exclusion:
        """Why a site can never take jobs of this shape."""
        found = ranking.lasting.get(index)
        if found is None:
            found = ranking.lasting[index] = self._reason(ranking, index)
        return found

    def _fitting(self, ranking: Ranking, index: int) -> list[int]:
        first, end = ranking.rows.span[index]
        return [row for row in range(first, end) if ranking.fitting[row]]

    def _reason(self, ranking: Ranking, index: int) -> Exclusion:
        of, fitting, limit = ranking.shape, self._fitting(ranking, index), ranking.limit_yuan
        took_s = np.broadcast_to(figures.run_s(of, ranking.rows), len(ranking.possible))
        left_s = np.inf if of.deadline_at is None else (of.deadline_at - self._now).total_seconds()
        least = Least(
            min((took_s.item(row) for row in fitting), default=None),
            min((limit.item(row) for row in fitting if took_s.item(row) <= left_s), default=None)
            if limit is not None
            else None,
        )
        found = lasting_reason(of, index, self._table, self._limits, least, self._now)
        assert found is not None, "a site without a possible row has a reason: both go by the same comparisons"
        return found

    def _why_hopeless(self, ranking: Ranking) -> Why:
        total = len(self._table.sites)
        kept = total if self._reasoned else FEW_REASONS
        return Why(
            chosen=None,
            excluded=tuple(self._lasting(ranking, index) for index in range(kept)),
            excluded_total=total,
            decided_at=self._now,
            note="no site can run it",
        )

    def _rank(self, ranking: Ranking, row: int, score: float) -> Rank:
        """By the figures that were weighed, with what a voucher would pay of the price."""
        found = self._weighed_rank(ranking, row, score)
        return found if self._job is None else replace(found, figures=self._with_voucher(ranking, row, found.figures))

    def _with_voucher(self, ranking: Ranking, row: int, known: Figures) -> Figures:
        """With what a voucher would pay of their price, for the job that is looked at."""
        if self._job is None or not 0 < known.price_yuan < MOST_YUAN:
            return known
        aided = self._vouched(ranking, self._job, row, math.ceil(known.price_yuan * 100), known.finish_s)
        vouched = None if aided is None else Vouched(voucher=aided[0].voucher, yuan=aided[1] / 100)
        return replace(known, voucher=vouched)

    def _weighed_rank(self, ranking: Ranking, row: int, score: float) -> Rank:
        found = ranking.ranks.get(row)
        if found is not None and found.score == score:
            return found
        of, rows, circle = ranking.shape, ranking.rows, ranking.shape.where.circle
        weighed = self._weighed(ranking)
        yuan, carbon_g, finish_ms = weighed.figures[:, weighed.first + row].tolist()
        site, pool = rows.site_of.item(row), rows.pools[row]
        found = ranking.ranks[row] = Rank(
            site=self._table.sites[site].id,
            score=score,
            figures=Figures(
                price_yuan=yuan,
                energy_kwh=figures.power_kw(of, rows, row) * finish_ms / HOUR_MS,
                carbon_g=carbon_g,
                finish_s=finish_ms / 1000,
                delay_ms=self._limits.delays_ms(circle.place).item(site) if circle else None,
                electricity=self._in_force(ranking, row, finish_ms),
            ),
            device_model=pool.model if pool else None,
        )
        return found

    def _in_force(self, ranking: Ranking, row: int, ran_ms: float) -> InForce | None:
        of, rows, site = ranking.shape, ranking.rows, ranking.rows.site_of.item(row)
        tariff = of.bound_tariff if of.bound_yuan is not None else self._table.sites[site].offering.price.electricity
        if tariff is None:
            return None
        slot = slot_at(tariff, self._table.plain.ahead.now_ms)
        drawn_yuan = figures.drawn_yuan_of(of, rows, row, ran_ms)
        return InForce(tier=slot.tier, yuan_per_kwh=slot.yuan_per_kwh, drawn_yuan=drawn_yuan)
