"""Requirements and quotes: how much is needed, what the network offers for it, and a price that binds.

Owns how long a quote holds, who may use it, and when a full site would have room. The reckoning is `measuring`'s, the
ranking `scheduling`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang import catalog
from suanwang.control.jobs import Jobs
from suanwang.control.standing import slowness
from suanwang.control.tick import snapshot
from suanwang.control.wording import resolve
from suanwang.domain.device import Position
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.identity import Principal
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job, Rank, Span, Terms
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.quote import Offer, Quote, Taught
from suanwang.domain.site import Site
from suanwang.domain.task import DeviceRequest, Objective, Resources, Task
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.estimating import estimate
from suanwang.measuring.need import CoreHoursNeed, Need
from suanwang.measuring.outcome import Estimate
from suanwang.measuring.profile import REFERENCE, profile_of
from suanwang.measuring.trial import MOST_POINTS, Extrapolation, TrialPoint, extrapolate
from suanwang.ports import Clock, Identities, Store
from suanwang.scheduling.placing import explain
from suanwang.scheduling.quoting import Found, offers_for
from suanwang.scheduling.snapshot import Snapshot

VALID_FOR = timedelta(hours=1)
MOST_OFFERS = 20
SAFETY = 1.5
"""A quoted run may take this much longer than the upper bound of its hours before it is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a need takes on each kind of device: estimates by card-hours, and why the other devices cannot."""

    estimates: tuple[Estimate, ...]
    unfit: Mapping[str, str]


class Quotes:
    def __init__(
        self, store: Store, clock: Clock, identities: Identities, jobs: Jobs, places: Mapping[str, Position]
    ) -> None:
        self._store = store
        self._clock = clock
        self._identities = identities
        self._jobs = jobs
        self._places = places

    def requirement(self, need: Need, *, devices: Sequence[str] = (), count: int | None = None) -> Requirement:
        """What `need` takes on the named devices, else on those the network has, else on the reference card.

        Raises `InvalidRequest` for an unknown device, and where nothing can do the work.
        """
        if isinstance(need, CoreHoursNeed):
            return self._core_hours(need, devices, count)
        learnt = self._store.beliefs()
        names = [catalog.accelerator(name, field="devices").id for name in devices]
        if not names:
            names = sorted({pool.model for site in self._store.sites() for pool in site.offering.devices})
        if not names:
            names = [catalog.accelerator(REFERENCE.name).id]
        found: list[Estimate] = []
        unfit: dict[str, str] = {}
        for name in names:
            try:
                found.append(estimate(need, profile_of(catalog.accelerator(name)), count, learnt))
            except InvalidRequest as error:
                unfit[name] = error.message
        if not found:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in unfit.items())
            raise InvalidRequest(
                f"no device can do this work: {reasons}", field="devices", allowed="another device or need"
            )
        return Requirement(estimates=tuple(sorted(found, key=lambda e: e.card_hours.mid)), unfit=unfit)

    def _core_hours(self, need: CoreHoursNeed, devices: Sequence[str], count: int | None) -> Requirement:
        from suanwang.measuring.cores import ProcessorProfile, processor_profile_of

        profiles = [processor_profile_of(catalog.processor(name, field="devices")) for name in devices]
        if not profiles:
            profiles = [ProcessorProfile(name="cpu", cores=count or 1)]
        found = [estimate(need, profile, count, self._store.beliefs()) for profile in profiles]
        return Requirement(estimates=tuple(found), unfit={})

    def quote_need(
        self,
        caller: Principal,
        need: Need,
        *,
        title: str,
        source: str,
        project: ProjectId | None = None,
        objective: Objective | None = None,
    ) -> Quote:
        """Offers for `need` over all sites and chips, stored; its prices bind until it expires."""
        now = self._clock.now()
        found = self.offers(need, objective=objective or Objective(), now=now)
        return self._keep(caller, project, title, source, found, now)

    def offers(self, need: Need, *, objective: Objective, now: datetime) -> Found:
        """As `quote_need`, without keeping anything: what a form shows while one types."""
        sites = [site for site in self._store.sites() if site.open and site.state is SiteState.REACHABLE]
        if not sites:
            raise InvalidRequest("no site can be reached now, so nothing can be offered", field="need", allowed="later")
        return offers_for(
            need,
            sites,
            catalog.accelerators(),
            now=now,
            objective=objective,
            start=_Starts(self._store, snapshot(self._store, (), self._places, now)).of,
            efficiencies=self._store.beliefs(),
            slowness=slowness(sites),
            most=MOST_OFFERS,
        )

    def quote_task(self, caller: Principal, task: Task, *, source: str, project: ProjectId | None = None) -> Quote:
        """Offers for a task as it stands: one for each site that could run it, by the task's own objective."""
        now = self._clock.now()
        seen = snapshot(self._store, (), self._places, now)
        task = resolve([task], seen.sites)[0]
        payer = self._jobs.payer(caller, project)
        job = Job(
            id=JobId("j-quote"),
            project=payer,
            owner=caller.name,
            task=task,
            state=JobState.QUEUED,
            submitted_at=now,
            ready_at=now,
        )
        # Full sites are offered too, with the time at which they would have room.
        why = explain(replace(seen, jobs=(job,), held={}), job).why
        ranks = [rank for rank in (why.chosen, *why.others) if rank is not None]
        starts = _Starts(self._store, seen)
        offers = tuple(
            self._task_offer(number, rank, task, seen, starts)
            for number, rank in enumerate(ranks[:MOST_OFFERS], start=1)
        )
        found = Found(offers=offers, excluded=why.excluded, assumptions=_assumed(task), work_pd=None)
        return self._keep(caller, payer, task.name, source, found, now)

    def _task_offer(self, number: int, rank: Rank, task: Task, seen: Snapshot, starts: _Starts) -> Offer:
        site = next(site for site in seen.sites if site.id == rank.site)
        need, figures = task.resources, rank.figures
        pool = next((p for p in site.offering.devices if p.model == rank.device_model), None)
        devices = need.devices.count if need.devices else 0
        start_at = starts.of(site, rank.device_model, devices * task.nodes, need.cores * task.nodes)
        hours = figures.finish_s / 3600
        return Offer(
            number=number,
            site=site.id,
            device_model=pool.model if pool else None,
            nodes=task.nodes,
            devices_per_node=devices,
            cores_per_node=need.cores,
            memory_gb_per_node=need.memory_gb,
            start_at=start_at,
            hours=_exact(hours),
            finish_at=start_at + timedelta(hours=hours),
            price_yuan=_exact(figures.price_yuan),
            energy_kwh=_exact(figures.energy_kwh),
            carbon_g=_exact(figures.carbon_g),
            score=rank.score,
            price=site.offering.price,
        )

    def get(self, caller: Principal, quote_id: str) -> Quote:
        """Whoever has the link and a token may read a quote; only its project may use it."""
        quote = self._store.quote(quote_id)
        if quote is None:
            raise NotFound(f"no quote {quote_id!r}", field="quote", allowed="the identifier `suanwang quote` printed")
        return quote

    def accept(self, caller: Principal, task: Task, quote_id: str, number: int = 1) -> tuple[Task, Terms, ProjectId]:
        """`task` made into what offer `number` says, and the terms that bind. Raises `Conflict` once it has expired."""
        quote = self.get(caller, quote_id)
        if not caller.may_change(quote.project):
            raise NotFound(f"no quote {quote_id!r} of yours", field="quote", allowed="a quote of your project")
        now = self._clock.now()
        if now >= quote.expires_at:
            raise Conflict(f"quote {quote_id} expired at {quote.expires_at:%Y-%m-%d %H:%M} UTC: ask for a new one")
        if not 1 <= number <= len(quote.offers):
            raise InvalidRequest(
                f"quote {quote_id} has no offer {number}", field="offer", allowed=f"1 to {len(quote.offers)}"
            )
        offer = quote.offers[number - 1]
        terms = Terms(quote_id=quote.id, offer=number, price=offer.price, prediction=offer.prediction)
        return _shaped(task, offer), terms, quote.project

    def trial(self, caller: Principal, job_id: JobId, steps: float) -> Extrapolation:
        """The whole run of `steps`, from the steps a trial job wrote to its metrics file.

        Raises `InvalidRequest` where it wrote too few, `NotFound`.
        """
        job = self._jobs.get(caller, job_id)
        points = self._store.points(job.id)
        if job.started_at is None or not points:
            raise InvalidRequest(
                f"job {job_id} has written no steps yet",
                field="points",
                allowed='lines such as {"step": 1, "loss": 0.5}',
            )
        name = points[-1].name
        begun = job.started_at
        # A step reported late by a slow call is seen late: the extrapolation's rule bears such points.
        seen = [
            TrialPoint(steps=point.step, seconds=max(0.0, (point.at - begun).total_seconds()))
            for point in points
            if point.name == name
        ]
        return extrapolate(_last_of_each_moment(seen), steps)

    def lessons(self, caller: Principal, limit: int) -> Sequence[Taught]:
        """Predictions against outcomes, newest first."""
        return self._store.lessons(min(limit, 1000))

    def beliefs(self, caller: Principal) -> EfficiencyState:
        """What finished runs have taught about each device and class of work."""
        return self._store.beliefs()

    def _keep(
        self, caller: Principal, project: ProjectId | None, title: str, source: str, found: Found, now: datetime
    ) -> Quote:
        identifier, _ = self._identities.token()
        quote = Quote(
            id="q" + identifier[1:],
            project=self._jobs.payer(caller, project),
            owner=caller.name,
            title=title[:200],
            source=source,
            created_at=now,
            expires_at=now + VALID_FOR,
            offers=found.offers,
            excluded=found.excluded,
            assumptions=found.assumptions,
            work_pd=found.work_pd,
        )
        self._store.add_quote(quote)
        return quote


class _Starts:
    """When a site would have room, by the time limits of what runs there now."""

    def __init__(self, store: Store, seen: Snapshot) -> None:
        self._store = store
        self._seen = seen
        self._ends: dict[SiteId, list[tuple[datetime, int, dict[str, int]]]] = {}

    def of(self, site: Site, model: str | None, devices: int, cores: int) -> datetime:
        held = self._seen.held.get(site.id)
        free_cores = site.offering.cores - (held.cores if held else 0)
        pool = next((p.count for p in site.offering.devices if p.model == model), 0)
        free_devices = pool - (held.devices.get(model, 0) if held and model else 0)
        at = self._seen.now
        for end, freed, models in self._freed(site.id):
            if free_cores >= cores and free_devices >= devices:
                break
            at = end
            free_cores += freed
            free_devices += models.get(model, 0) if model else 0
        return at

    def _freed(self, site_id: SiteId) -> list[tuple[datetime, int, dict[str, int]]]:
        if site_id not in self._ends:
            rows: list[tuple[datetime, int, dict[str, int]]] = []
            for job, allocation in self._store.live_at(site_id):
                need = job.task.resources
                begun = allocation.started_at or allocation.granted_at
                end = begun + timedelta(seconds=need.expected_s or need.time_limit_s)
                models = {}
                if allocation.device_model and need.devices:
                    models[allocation.device_model] = need.devices.count * job.task.nodes
                rows.append((max(end, self._seen.now), need.cores * job.task.nodes, models))
            self._ends[site_id] = sorted(rows, key=lambda row: row[0])
        return self._ends[site_id]


def _last_of_each_moment(points: Sequence[TrialPoint]) -> list[TrialPoint]:
    """Steps that arrived in one call share its moment; the last of them is the one that was just done."""
    last: dict[float, TrialPoint] = {}
    for point in points:
        known = last.get(point.seconds)
        if known is None or point.steps > known.steps:
            last[point.seconds] = point
    return list(last.values())[-MOST_POINTS:]


def _shaped(task: Task, offer: Offer) -> Task:
    """The user's script and files, with the offer's site, devices and hours."""
    limit_s = math.ceil(offer.hours.high * 3600 * SAFETY) if offer.prediction else task.resources.time_limit_s
    devices = None
    if offer.device_model is not None:
        devices = DeviceRequest(count=offer.devices_per_node, models=(offer.device_model,))
    return replace(
        task,
        nodes=offer.nodes,
        resources=Resources(
            cores=offer.cores_per_node,
            memory_gb=offer.memory_gb_per_node,
            devices=devices,
            time_limit_s=max(60, limit_s),
            expected_s=max(1, round(offer.hours.mid * 3600)),
        ),
        constraints=replace(task.constraints, sites=(offer.site,)),
    )


def _exact(value: float) -> Span:
    return Span(low=value, mid=value, high=value)


def _assumed(task: Task) -> tuple[str, ...]:
    if task.resources.expected_s is not None:
        return ()
    return (f"hours are the time limit of {task.resources.time_limit_s} s: say `expected` for a closer figure",)
