"""The plan: each queued job to the feasible site its own objective ranks best, while there is room.

Owns the order of jobs, the figures of a placement, the score, and the assignment. Jobs are taken by the time they
became ready; equal scores fall to the site whose identifier comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from suanwang.domain.job import Exclusion, Figures, Job, Rank, Why
from suanwang.scheduling.feasibility import (
    MEMORY_SLACK_GB,
    Least,
    Limits,
    Shape,
    lasting_reason,
    now_reason,
    shape,
    with_free,
)
from suanwang.scheduling.plan import Hopeless, Place, Plan, Stay
from suanwang.scheduling.snapshot import Bools, Floats, Rows, SiteTable, Snapshot, table

SHAPES_KEPT = 256
"""Figures of so many shapes are kept: the members of an array are of one shape and come one after the other."""
REASONS_KEPT = 24
"""A decision keeps the reason of every site in networks up to this size; `explain` makes the rest on request."""
OTHERS_KEPT = 3
WORTH_WAITING = 1.02
"""A job that may wait is held for a full site whose score is better than the best free one by more than this factor."""
HELD = "held for a better site that is full now"


@dataclass(slots=True)
class _Ranking:
    """What one shape of job comes to on every row of its kind."""

    shape: Shape
    rows: Rows
    fitting: Bools
    """`[r]`: large enough and allowed, whatever it costs and however long it takes."""
    score: Floats
    """`[r]`: infinite where any hard limit speaks against the row."""
    possible: bool
    """Whether any row is."""
    busy: dict[int, tuple[int, Exclusion]] = field(default_factory=dict)
    """Site → what it had taken when it was last found full, and the reason then."""
    ranks: dict[int, Rank] = field(default_factory=dict)
    """Row → its figures, once somebody asked."""
    lasting: dict[int, Exclusion] = field(default_factory=dict)
    """Site → why it can never take jobs of this shape, once somebody asked."""


def decide(snapshot: Snapshot) -> Plan:
    """The plan for every job of `snapshot`; the same set of jobs gives the same plan in whatever order it comes."""
    placer = _Placer(snapshot)
    places: list[Place] = []
    hopeless: list[Hopeless] = []
    jobs = sorted(snapshot.jobs, key=lambda job: (job.ready_at or job.submitted_at, job.id))
    for job in jobs:
        found = placer.take(job)
        if isinstance(found, Place):
            places.append(found)
        elif isinstance(found, Hopeless):
            hopeless.append(found)
    stays = len(jobs) - len(places) - len(hopeless)
    return Plan(places=tuple(places), hopeless=tuple(hopeless), stays=stays)


def explain(snapshot: Snapshot, job: Job) -> Place | Stay | Hopeless:
    """What would be decided about `job` alone, with the reason of every site."""
    every = len(snapshot.sites)
    placer = _Placer(snapshot, reasons_kept=every, others_kept=every)
    found = placer.take(job)
    return Stay(job=job, why=placer.why_not(job, found)) if isinstance(found, str) else found


class Judge:
    """Says which jobs no site of one snapshot could ever run. Made once for many jobs; free room plays no part."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._placer = _Placer(snapshot, reasons_kept=len(snapshot.sites))

    def hopeless(self, job: Job) -> Hopeless | None:
        """With the reason of every site, or None where some site could run `job` some day."""
        return self._placer.hopeless(job)


class _Placer:
    """Carries what is free from one job to the next."""

    def __init__(self, snapshot: Snapshot, *, reasons_kept: int = REASONS_KEPT, others_kept: int = OTHERS_KEPT) -> None:
        self._now: datetime = snapshot.now
        self._table: SiteTable = table(snapshot)
        self._limits = Limits(self._table, snapshot.places)
        self._plain, self._pooled = with_free(self._table.plain), with_free(self._table.pooled)
        self._reasons_kept = reasons_kept
        self._others_kept = others_kept
        self._rankings: dict[Shape, _Ranking] = {}
        self._taken = [0] * len(self._table.sites)
        """Jobs this plan has given each site."""

    # assignment

    def hopeless(self, job: Job) -> Hopeless | None:
        """`job` with every site's reason, where no site can ever run it."""
        ranking = self._ranking(shape(job))
        return None if ranking.possible else Hopeless(job=job, why=self._why_hopeless(ranking))

    def take(self, job: Job) -> Place | Hopeless | str:
        """Give `job` its row and take what it holds off what is free; where it stays queued, say why."""
        ranking = self._ranking(shape(job))
        if not ranking.possible:
            return Hopeless(job=job, why=self._why_hopeless(ranking))
        scores = self._with_room(ranking)
        row = int(scores.argmin())
        best = scores.item(row)
        if best == np.inf:
            return "no room now"
        if self._waits(job, ranking, best):
            return HELD
        rows, of = ranking.rows, ranking.shape
        site, pool = rows.site_of.item(row), rows.pools[row]
        why = self._why(ranking, scores, row, "")
        self._take(site, row, of, rows)
        return Place(
            job=job,
            site=self._table.sites[site].id,
            device_model=pool.model if pool else None,
            power_kw=_power_kw(of, rows, row),
            why=why,
        )

    def _with_room(self, ranking: _Ranking) -> Floats:
        """`scores[r]` where there is room now, else infinite; a fresh array."""
        rows, of = ranking.rows, ranking.shape
        room = rows.free_cores >= of.cores
        room &= rows.free_memory_gb >= of.memory_gb - MEMORY_SLACK_GB
        if of.resources.devices is not None:
            room &= rows.free_devices >= of.devices
        return np.where(room, ranking.score, np.inf)

    def _take(self, site: int, row: int, of: Shape, rows: Rows) -> None:
        first, end = self._pooled.span[site]
        for kind, begin, stop in ((self._plain, site, site + 1), (self._pooled, first, end)):
            kind.free_cores[begin:stop] -= of.cores
            kind.free_memory_gb[begin:stop] -= of.memory_gb
        rows.free_devices[row] -= of.devices
        self._taken[site] += 1

    def _waits(self, job: Job, ranking: _Ranking, best_now: float) -> bool:
        allowed = job.task.flexibility.may_wait_s
        if not allowed or self._now >= (job.ready_at or job.submitted_at) + timedelta(seconds=allowed):
            return False
        best = float(np.where(ranking.rows.awake, ranking.score, np.inf).min())
        return best * WORTH_WAITING < best_now

    # figures

    def _ranking(self, of: Shape) -> _Ranking:
        found = self._rankings.get(of)
        if found is None:
            if len(self._rankings) >= SHAPES_KEPT:
                self._rankings.clear()
            found = self._rankings[of] = self._ranked(of)
        return found

    def _ranked(self, of: Shape) -> _Ranking:
        rows = self._plain if of.resources.devices is None else self._pooled
        fitting = self._limits.fitting(of, rows)
        possible = fitting
        run_s = _run_s(of, rows)
        if of.deadline_at is not None:
            possible = possible & (run_s <= (of.deadline_at - self._now).total_seconds())
        if of.budget_yuan is not None:
            possible = possible & (_limit_yuan(of, rows) <= float(of.budget_yuan))
        if not possible.any():
            return _Ranking(of, rows, fitting, np.full(len(possible), np.inf), False)
        return _Ranking(of, rows, fitting, _score(of, rows, run_s / 3600, np.where(possible, 0.0, np.inf)), True)

    # reasons

    def why_not(self, job: Job, note: str) -> Why:
        """The answer for a job that `take` left in the queue."""
        ranking = self._ranking(shape(job))
        return self._why(ranking, self._with_room(ranking), None, note)

    def _why(self, ranking: _Ranking, scores: Floats, row: int | None, note: str) -> Why:
        """Figures and reasons, as things are before the job takes its room. Spoils `scores`, those with room."""
        chosen = None
        excluded: list[Exclusion] = []
        if len(self._table.sites) <= self._reasons_kept:
            # In larger networks the next best rows only; `explain` has the rest.
            excluded = self._excluded(ranking, scores)
        if row is not None:
            chosen = self._rank(ranking, row)
            self._without_site_of(ranking.rows, row, scores)
        others: list[Rank] = []
        while len(others) < self._others_kept:
            next_best = int(scores.argmin())
            if scores[next_best] == np.inf:
                break
            others.append(self._rank(ranking, next_best))
            self._without_site_of(ranking.rows, next_best, scores)
        return Why(
            chosen=chosen,
            others=tuple(others),
            excluded=tuple(excluded),
            excluded_total=len(excluded),
            decided_at=self._now,
            note=note,
        )

    def _without_site_of(self, rows: Rows, row: int, scores: Floats) -> None:
        first, end = rows.span[rows.site_of.item(row)]
        scores[first:end] = np.inf

    def _excluded(self, ranking: _Ranking, scores: Floats) -> list[Exclusion]:
        """A reason for every site without a row that has room."""
        possible, has_room = self._sites_of(ranking.rows, ranking.score), self._sites_of(ranking.rows, scores)
        return [
            self._busy(ranking, index) if possible[index] else self._lasting(ranking, index)
            for index in np.flatnonzero(~has_room).tolist()
        ]

    def _sites_of(self, rows: Rows, scores: Floats) -> Bools:
        """`[s]`: sites with a row whose score is finite."""
        found = np.zeros(len(self._table.sites), np.bool_)
        found[rows.site_of[scores < np.inf]] = True
        return found

    def _busy(self, ranking: _Ranking, index: int) -> Exclusion:
        """Why a site takes no job of this shape now. It stays true until the site is given another job."""
        taken = self._taken[index]
        known = ranking.busy.get(index)
        if known is not None and known[0] == taken:
            return known[1]
        found = now_reason(ranking.shape, index, self._fitting(ranking, index), self._table, ranking.rows)
        ranking.busy[index] = (taken, found)
        return found

    def _lasting(self, ranking: _Ranking, index: int) -> Exclusion:
        """Why a site can never take jobs of this shape."""
        found = ranking.lasting.get(index)
        if found is None:
            found = ranking.lasting[index] = self._reason(ranking, index)
        return found

    def _fitting(self, ranking: _Ranking, index: int) -> list[int]:
        first, end = ranking.rows.span[index]
        return [row for row in range(first, end) if ranking.fitting[row]]

    def _reason(self, ranking: _Ranking, index: int) -> Exclusion:
        of, rows, fitting = ranking.shape, ranking.rows, self._fitting(ranking, index)
        left_s = np.inf if of.deadline_at is None else (of.deadline_at - self._now).total_seconds()
        least = Least(
            min((_run_s_of(of, rows, row) for row in fitting), default=None),
            min((_limit_yuan_of(of, rows, row) for row in fitting if _run_s_of(of, rows, row) <= left_s), default=None),
        )
        found = lasting_reason(of, index, self._table, self._limits, least, self._now)
        assert found is not None, "a site without a possible row has a reason: both go by the same comparisons"
        return found

    def _why_hopeless(self, ranking: _Ranking) -> Why:
        total = len(self._table.sites)
        return Why(
            chosen=None,
            excluded=tuple(self._lasting(ranking, index) for index in range(min(total, self._reasons_kept))),
            excluded_total=total,
            decided_at=self._now,
            note="no site can run it",
        )

    def _rank(self, ranking: _Ranking, row: int) -> Rank:
        found = ranking.ranks.get(row)
        if found is None:
            found = ranking.ranks[row] = self._figures(ranking, row)
        return found

    def _figures(self, ranking: _Ranking, row: int) -> Rank:
        of, rows = ranking.shape, ranking.rows
        site, pool, circle = rows.site_of.item(row), rows.pools[row], of.where.circle
        hours = _run_s_of(of, rows, row) / 3600
        energy = _power_kw(of, rows, row) * hours
        return Rank(
            site=self._table.sites[site].id,
            score=ranking.score.item(row),
            figures=Figures(
                price_yuan=_hourly_yuan_of(of, rows, row) * hours,
                energy_kwh=energy,
                carbon_g=energy * rows.carbon_g_per_kwh.item(row),
                finish_s=hours * 3600,
                delay_ms=self._limits.delays_ms(circle.place).item(site) if circle else None,
            ),
            device_model=pool.model if pool else None,
        )


def _run_s(of: Shape, rows: Rows) -> Floats | float:
    """`[r]`, or one figure for all rows: how long the run is reckoned to take; the time limit ends it."""
    need = of.resources
    if need.expected_s is None:
        return float(need.time_limit_s)
    if rows.even or of.bound_yuan is not None:
        return float(min(need.expected_s, need.time_limit_s))
    return np.minimum(need.expected_s * rows.slowness, float(need.time_limit_s))


def _run_s_of(of: Shape, rows: Rows, row: int) -> float:
    need = of.resources
    if need.expected_s is None:
        return float(need.time_limit_s)
    slowness = rows.slowness.item(row) if of.bound_yuan is None else 1.0
    return min(need.expected_s * slowness, float(need.time_limit_s))


def _hourly_yuan(of: Shape, rows: Rows) -> Floats:
    if of.bound_yuan is not None:
        return np.full(len(rows.pools), of.bound_yuan)
    hourly = rows.core_yuan * of.cores
    hourly += rows.gb_yuan * of.memory_gb
    if of.devices:
        hourly += rows.device_yuan * of.devices
    return hourly


def _hourly_yuan_of(of: Shape, rows: Rows, row: int) -> float:
    if of.bound_yuan is not None:
        return of.bound_yuan
    hourly = rows.core_yuan.item(row) * of.cores + rows.gb_yuan.item(row) * of.memory_gb
    return hourly + rows.device_yuan.item(row) * of.devices if of.devices else hourly


def _limit_yuan(of: Shape, rows: Rows) -> Floats:
    """`[r]`: what a run up to the time limit would cost."""
    return _hourly_yuan(of, rows) * (of.resources.time_limit_s / 3600)


def _limit_yuan_of(of: Shape, rows: Rows, row: int) -> float:
    return _hourly_yuan_of(of, rows, row) * (of.resources.time_limit_s / 3600)


def _power_kw(of: Shape, rows: Rows, row: int) -> float:
    return rows.core_kw.item(row) * of.cores + rows.device_kw.item(row) * of.devices


def _score(of: Shape, rows: Rows, hours: Floats | float, barred: Floats) -> Floats:
    """`[r]`: weighted sum of each figure over its own best possible one; 1 is best in everything.

    `barred[r]` is infinite where the row is not possible, else 0.
    """
    wanted = of.objective
    whole = wanted.price + wanted.carbon + wanted.finish
    score = barred
    if wanted.price:
        price = _hourly_yuan(of, rows) * hours
        score = score + price * (wanted.price / whole / _best(price + barred))
    if wanted.carbon:
        power_kw = rows.core_kw * of.cores
        if of.devices:
            power_kw += rows.device_kw * of.devices
        carbon = power_kw * hours * rows.carbon_g_per_kwh
        score = score + carbon * (wanted.carbon / whole / _best(carbon + barred))
    if wanted.finish:
        score = score + hours * (wanted.finish / whole / _best(hours + barred))
    return score


def _best(possible: Floats) -> float:
    """The least figure; 1 where it is nothing, so that the others count in their own unit."""
    best = float(possible.min())
    return best if best > 0 else 1.0
