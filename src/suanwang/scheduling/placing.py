"""The plan: each queued job to the feasible site its own objective ranks best, while there is room.

Owns the order of jobs, the figures of a placement, the score, and the assignment. Jobs are taken by the time they
became ready; equal scores fall to the site whose identifier comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from suanwang.domain.job import Exclusion, Figures, Job, Rank, Why
from suanwang.domain.reasons import TEMPORARY
from suanwang.scheduling.feasibility import (
    Where,
    delays_ms,
    excluded_by_place,
    now_reason,
    rows_for,
    size_reason,
    where,
)
from suanwang.scheduling.plan import Hopeless, Place, Plan, Stay
from suanwang.scheduling.snapshot import Bools, Floats, Ints, SiteTable, Snapshot, table

BLOCK = 256
"""Jobs evaluated together: a block of figures stays in the processor's cache for networks of a thousand sites."""
REASONS_KEPT = 64
"""A decision keeps the reason of every site in networks up to this size; `explain` makes the rest on request."""
OTHERS_KEPT = 3
WORTH_WAITING = 1.02
"""A job that may wait is held for a full site whose score is better than the best free one by more than this factor."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Figures of `jobs[j]` on every row."""

    jobs: Sequence[Job]
    possible: Bools
    """`possible[j, r]`: no hard limit speaks against it, whatever is free now."""
    score: Floats
    price: Floats
    limit_price: Floats
    power: Floats
    hours: Floats
    cores: Ints
    memory_gb: Floats
    devices: Ints
    within_money_and_time: Bools


def decide(snapshot: Snapshot) -> Plan:
    """The plan for every job of `snapshot`; the same set of jobs gives the same plan in whatever order it comes."""
    sites = table(snapshot)
    places: list[Place] = []
    hopeless: list[Hopeless] = []
    stays = 0
    jobs = sorted(snapshot.jobs, key=lambda job: (job.ready_at or job.submitted_at, job.id))
    placer = _Placer(snapshot, sites)
    for start in range(0, len(jobs), BLOCK):
        block = placer.evaluate(jobs[start : start + BLOCK])
        for index in range(len(block.jobs)):
            match placer.take(block, index):
                case Place() as place:
                    places.append(place)
                case Hopeless() as refused:
                    hopeless.append(refused)
                case _:
                    stays += 1
    return Plan(places=tuple(places), hopeless=tuple(hopeless), stays=stays)


def explain(snapshot: Snapshot, job: Job) -> Place | Stay | Hopeless:
    """What would be decided about `job` alone, with the reason of every site."""
    placer = _Placer(snapshot, table(snapshot), reasons_kept=len(snapshot.sites), others_kept=len(snapshot.sites))
    block = placer.evaluate([job])
    found = placer.take(block, 0)
    return found if found is not None else Stay(job=job, why=placer.why(block, 0, None, "no room now"))


class _Placer:
    """Carries what is free from one job to the next."""

    def __init__(
        self, snapshot: Snapshot, sites: SiteTable, *, reasons_kept: int = REASONS_KEPT, others_kept: int = OTHERS_KEPT
    ) -> None:
        self.snapshot = snapshot
        self.now: datetime = snapshot.now
        self.sites = sites
        self.reasons_kept = reasons_kept
        self.others_kept = others_kept
        self.awake = ~(sites.silent | sites.closed)[sites.site_of]
        self.free_cores = np.where(~(sites.silent | sites.closed), sites.free_cores, -1)[sites.site_of]
        self.free_memory = sites.free_memory_gb[sites.site_of]
        self.free_devices = sites.free_devices.copy()
        self.rows_of_site = [np.flatnonzero(sites.site_of == index) for index in range(len(sites.sites))]
        self.node_cores = sites.node_cores[sites.site_of]
        self.node_memory = sites.node_memory_gb[sites.site_of]
        self.nodes = np.where(sites.single_node, 1, sites.nodes)[sites.site_of]
        self.pool_count = np.array([pool.count if pool else 0 for pool in sites.pools], np.int64)
        self._where: dict[Where, tuple[Bools, tuple[Exclusion | None, ...]]] = {}
        self._rows: dict[object, Bools] = {}

    # figures

    def evaluate(self, jobs: Sequence[Job]) -> _Block:
        """Figures of `jobs` on every row."""
        needs = [job.task.resources for job in jobs]
        nodes = np.array([job.task.nodes for job in jobs], np.int64)
        cores = np.array([need.cores for need in needs], np.int64)
        memory = np.array([need.memory_gb for need in needs], np.float64)
        devices = np.array([need.devices.count if need.devices else 0 for need in needs], np.int64)
        limit_h = np.array([need.time_limit_s for need in needs], np.float64) / 3600
        hours = np.array([(need.expected_s or need.time_limit_s) for need in needs], np.float64) / 3600
        amounts = np.column_stack([cores, memory, devices]) * nodes[:, None]
        hourly = amounts @ self.sites.unit_price.T
        power = amounts[:, [0, 2]] @ self.sites.unit_power.T
        price = hourly * hours[:, None]
        possible = np.empty(price.shape, np.bool_)
        for index, job in enumerate(jobs):
            np.logical_and(self._allowed(where(job))[0][self.sites.site_of], self._suitable(job), out=possible[index])
        possible &= self.node_cores >= cores[:, None]
        possible &= self.node_memory >= memory[:, None]
        possible &= self.nodes >= nodes[:, None]
        possible &= self.pool_count >= (devices * nodes)[:, None]
        within = self._within(jobs, hourly * limit_h[:, None], hours, possible.shape)
        possible &= within
        return _Block(
            jobs=jobs,
            possible=possible,
            score=self._score(jobs, price, power * hours[:, None] * self.sites.carbon_g_per_kwh, hours, possible),
            price=price,
            limit_price=hourly * limit_h[:, None],
            power=power,
            hours=hours,
            cores=cores * nodes,
            memory_gb=memory * nodes,
            devices=devices * nodes,
            within_money_and_time=within,
        )

    def _allowed(self, need: Where) -> tuple[Bools, tuple[Exclusion | None, ...]]:
        if need not in self._where:
            self._where[need] = excluded_by_place(need, self.sites, self.snapshot.places)
        return self._where[need]

    def _suitable(self, job: Job) -> Bools:
        request = job.task.resources.devices
        if request not in self._rows:
            self._rows[request] = rows_for(request, self.sites)
        return self._rows[request]

    def _within(self, jobs: Sequence[Job], worst_price: Floats, hours: Floats, shape: tuple[int, ...]) -> Bools:
        """Budget and deadline. The budget holds for the time limit, so that no run can pass it."""
        within = np.ones(shape, np.bool_)
        for index, job in enumerate(jobs):
            limits = job.task.constraints
            if limits.budget_yuan is not None:
                within[index] &= worst_price[index] <= float(limits.budget_yuan)
            if limits.deadline_at is not None:
                within[index] &= self.now + timedelta(hours=float(hours[index])) <= limits.deadline_at
        return within

    def _score(self, jobs: Sequence[Job], price: Floats, carbon: Floats, hours: Floats, possible: Bools) -> Floats:
        """Weighted sum of each figure over its own best possible one; 1 is best in everything, infinite is impossible."""
        weights = np.array([(j.task.objective.price, j.task.objective.carbon, j.task.objective.finish) for j in jobs])
        weights = weights / weights.sum(axis=1, keepdims=True)
        # Finish is the same everywhere until sites differ in speed or distance to the data.
        score = np.broadcast_to(weights[:, 2:3], price.shape).copy()
        for column, figure in ((0, price), (1, carbon)):
            best = np.min(figure, axis=1, where=possible, initial=np.inf)
            best = np.where(np.isfinite(best) & (best > 0), best, 1.0)
            score += figure * (weights[:, column] / best)[:, None]
        score[~possible] = np.inf
        return score

    # assignment

    def take(self, block: _Block, index: int) -> Place | Hopeless | Stay | None:
        """Give job `index` its row and take what it holds off what is free; None where there is no room now."""
        job, possible = block.jobs[index], block.possible[index]
        if not possible.any():
            return self._without_site(block, index)
        room = possible & (self.free_cores >= block.cores[index])
        room &= self.free_memory >= block.memory_gb[index]
        if block.devices[index]:
            room &= self.free_devices >= block.devices[index]
        score = np.where(room, block.score[index], np.inf)
        row = int(score.argmin())
        if not room[row]:
            return None
        if self._waits(job, float(score[row]), block.score[index]):
            return Stay(job=job, why=self.why(block, index, None, "held for a better site that is full now"))
        site = int(self.sites.site_of[row])
        why = self.why(block, index, row, "")
        rows = self.rows_of_site[site]
        self.free_cores[rows] -= block.cores[index]
        self.free_memory[rows] -= block.memory_gb[index]
        self.free_devices[row] -= block.devices[index]
        pool = self.sites.pools[row]
        return Place(
            job=job,
            site=self.sites.sites[site].id,
            device_model=pool.model if pool else None,
            power_kw=float(block.power[index, row]),
            why=why,
        )

    def _waits(self, job: Job, best_now: float, scores: Floats) -> bool:
        allowed = job.task.flexibility.may_wait_s
        if not allowed or self.now >= (job.ready_at or job.submitted_at) + timedelta(seconds=allowed):
            return False
        best = float(np.min(scores, where=self.awake, initial=np.inf))
        return best * WORTH_WAITING < best_now

    def _without_site(self, block: _Block, index: int) -> Hopeless | None:
        why = self.why(block, index, None, "no site can run it", every=True)
        lasting = all(exclusion.code not in TEMPORARY for exclusion in why.excluded)
        kept = why.excluded[: self.reasons_kept]
        shown = Why(chosen=None, excluded=kept, excluded_total=len(why.excluded), decided_at=self.now, note=why.note)
        return Hopeless(job=block.jobs[index], why=shown) if lasting else None

    # reasons

    def why(self, block: _Block, index: int, row: int | None, note: str, *, every: bool = False) -> Why:
        """The decision about job `index` in figures and reasons, as things are before it takes its room."""
        scores = block.score[index]
        chosen = self._rank(block, index, row) if row is not None else None
        excluded: list[Exclusion] = []
        others: list[int] = []
        if every or len(self.sites.sites) <= self.reasons_kept:
            excluded, others = self._sift(block, index)
        else:
            # Large networks: the next best rows only; `explain` has the rest.
            nearest = np.argpartition(scores, min(OTHERS_KEPT + 1, len(scores) - 1))[: OTHERS_KEPT + 1]
            others = [int(r) for r in nearest if np.isfinite(scores[r])]
        chosen_site = None if row is None else int(self.sites.site_of[row])
        ranked = sorted(
            (r for r in others if int(self.sites.site_of[r]) != chosen_site), key=lambda r: (float(scores[r]), r)
        )
        return Why(
            chosen=chosen,
            others=tuple(self._rank(block, index, r) for r in ranked[: self.others_kept]),
            excluded=tuple(excluded),
            excluded_total=len(excluded),
            decided_at=self.now,
            note=note,
        )

    def _sift(self, block: _Block, index: int) -> tuple[list[Exclusion], list[int]]:
        """Each site either gives a reason or its best row with room."""
        job = block.jobs[index]
        allowed, reasons = self._allowed(where(job))
        suitable = self._suitable(job)
        excluded: list[Exclusion] = []
        others: list[int] = []
        for site, rows in enumerate(self.rows_of_site):
            reason = reasons[site] if not allowed[site] else size_reason(job, site, self.sites)
            if reason is None:
                fit = [int(r) for r in rows if suitable[r]]
                reason = self._money_or_time(block, index, site, fit)
                best = self._best_free(block, index, fit)
                if reason is None and best is not None:
                    others.append(best)
                    continue
                reason = reason or now_reason(job, site, fit, self._as_now())
            if reason is not None:
                excluded.append(reason)
        return excluded, others

    def _best_free(self, block: _Block, index: int, rows: list[int]) -> int | None:
        free = [
            r
            for r in rows
            if block.possible[index, r]
            and self.free_cores[r] >= block.cores[index]
            and self.free_memory[r] >= block.memory_gb[index]
            and self.free_devices[r] >= block.devices[index]
        ]
        return min(free, key=lambda r: float(block.score[index, r]), default=None)

    def _money_or_time(self, block: _Block, index: int, site: int, rows: list[int]) -> Exclusion | None:
        if not rows or any(block.within_money_and_time[index, r] for r in rows):
            return None
        limits, identifier = block.jobs[index].task.constraints, self.sites.sites[site].id
        least = min(float(block.limit_price[index, r]) for r in rows)
        if limits.budget_yuan is not None and least > float(limits.budget_yuan):
            return Exclusion(site=identifier, code="budget", need=f"{limits.budget_yuan}", have=f"{least:.2f}")
        end = self.now + timedelta(hours=float(block.hours[index]))
        need = limits.deadline_at.isoformat(timespec="minutes") if limits.deadline_at else ""
        return Exclusion(site=identifier, code="deadline", need=need, have=end.isoformat(timespec="minutes"))

    def _as_now(self) -> SiteTable:
        """The table with what earlier jobs of this plan already took."""
        count = len(self.sites.sites)
        return replace(
            self.sites,
            free_cores=self.free_cores[:count],
            free_memory_gb=self.free_memory[:count],
            free_devices=self.free_devices,
        )

    def _rank(self, block: _Block, index: int, row: int) -> Rank:
        site, job = int(self.sites.site_of[row]), block.jobs[index]
        hours = float(block.hours[index])
        energy = float(block.power[index, row]) * hours
        circle = job.task.constraints.circle
        delay = float(delays_ms(circle, self.sites, self.snapshot.places)[site]) if circle else None
        return Rank(
            site=self.sites.sites[site].id,
            score=float(block.score[index, row]),
            figures=Figures(
                price_yuan=float(block.price[index, row]),
                energy_kwh=energy,
                carbon_g=energy * float(self.sites.carbon_g_per_kwh[row]),
                finish_s=hours * 3600,
                delay_ms=delay,
            ),
        )
