"""Requirements and quotes: how much is needed, what the network offers for it, and a price that binds.

Owns how long a quote holds, who may use it, and what a task becomes under an offer. The reckoning is `measuring`'s, the
ranking `scheduling`'s, the forecast of room `starts`'s.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang import catalog
from suanwang.control.billing.aiding import unbound
from suanwang.control.billing.foreseeing import foreseen
from suanwang.control.jobs import Jobs, Submitted
from suanwang.control.leasing import bound_to
from suanwang.control.standing import slowness
from suanwang.control.starts import Starts
from suanwang.control.tick import snapshot
from suanwang.control.wording import resolve
from suanwang.domain.device import Position
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.identity import Principal
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Exclusion, Job, Point, Rank, Span, Terms
from suanwang.domain.lifecycle import JobState
from suanwang.domain.pricing import Customer
from suanwang.domain.quote import Offer, Quote, Taught
from suanwang.domain.site import Price, Site
from suanwang.domain.task import DeviceRequest, Objective, Resources, Task
from suanwang.domain.vouching import Vouched
from suanwang.electricity.daily import mean_factor
from suanwang.electricity.pricing import bound, month_of
from suanwang.electricity.supply import drawn_yuan, milliseconds
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.need import Need
from suanwang.measuring.trial import Extrapolation, TrialPoint, extrapolate
from suanwang.ports import Clock, Identities, Store
from suanwang.scheduling.feasibility import suits
from suanwang.scheduling.paying import Units, customer, listed_yuan
from suanwang.scheduling.placing import explain
from suanwang.scheduling.purses import Aid, first_aid
from suanwang.scheduling.quoting import MOST_HOURS, Found, offers_for
from suanwang.scheduling.requirement import Requirement, requirement_of

VALID_FOR = timedelta(hours=1)
MOST_OFFERS = 20
MOST_SOURCE = 256 * 1024
"""Characters of a need or task that are kept with its quote."""
SAFETY = 2.0
"""A quoted run may take this much longer than the upper bound of its hours before it is stopped: what is stopped teaches
nothing, so slow runs need room."""
ELAPSED = "elapsed_s"
"""A figure of this name in a run's metrics file is its own clock: seconds since it began."""
MOST_POINTS = 200
"""Points a trial is extrapolated from; more are thinned out evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Prediction against outcome. `visible`: the caller may see the job it came from."""

    taught: Taught
    visible: bool


class Quotes:
    def __init__(
        self, store: Store, clock: Clock, identities: Identities, jobs: Jobs, places: Mapping[str, Position]
    ) -> None:
        self._store = store
        self._clock = clock
        self._identities = identities
        self._jobs = jobs
        self._places = places

    # how much is needed, and where

    def requirement(self, need: Need, *, devices: Sequence[str] = (), count: int | None = None) -> Requirement:
        """What `need` takes on the named devices, else on those the network has, else on the reference card.

        Raises `InvalidRequest` for an unknown device, and where nothing can do the work.
        """
        present = sorted({pool.model for site in self._store.sites() for pool in site.offering.devices})
        return requirement_of(need, named=devices, present=present, count=count, learnt=self._store.beliefs())

    def offers(
        self,
        need: Need,
        *,
        objective: Objective | None = None,
        devices: Sequence[str] = (),
        project: ProjectId | None = None,
    ) -> Found:
        """Offers for `need` over all sites and chips; a site without one stands in `excluded`. Nothing is kept.

        Prices are those that `project` would be billed, where it is given; work under a need is not interruptible.
        `devices` are the only ones wanted, by any of their names, where any are given.
        """
        models = frozenset(catalog.accelerator(name, field="devices").id for name in devices)
        known = () if project is None else (project,)
        seen = snapshot(self._store, (), self._places, self._clock.now(), projects=known)
        payer = Customer() if project is None else seen.payers.get(project, Customer(project))
        found = offers_for(
            need,
            seen.sites,
            catalog.accelerators(),
            now=seen.now,
            objective=objective or Objective(),
            start=Starts(self._store, seen).of,
            efficiencies=self._store.beliefs(),
            slowness=slowness(seen.sites),
            price_of=lambda site, device: bound(site, device, payer, seen.now),
            used_of=lambda site, device: {month_of(seen.now): payer.used_us(site.id, device)},
            models=models,
            most=MOST_OFFERS,
        )
        sites = {site.id: site for site in seen.sites}
        offers = tuple(_foreseen(each, sites, payer, seen.now) for each in found.offers)
        found = replace(found, offers=offers)
        return found if project is None else self._vouched(found, project, seen.now)

    def task_offers(self, caller: Principal, task: Task, *, project: ProjectId | None = None) -> Found:
        """Offers for a task as it stands, one for each site that could run it. Nothing is kept."""
        pays = self._jobs.payer(caller, project)
        seen = snapshot(self._store, (), self._places, self._clock.now(), projects=(pays,))
        task = resolve([task], seen.sites)[0]
        job = self._as_job(caller, task, pays, seen.now)
        # Full sites are offered too, with the time at which they would have room.
        why = explain(replace(seen, jobs=(job,), held={}), job).why
        payer = customer(job, seen.payers)
        ranks = [rank for rank in (why.chosen, *why.others) if rank is not None]
        sites, starts = {site.id: site for site in seen.sites}, Starts(self._store, seen)
        offers: list[Offer] = []
        taken: list[Exclusion] = []
        for rank in ranks[:MOST_OFFERS]:
            price = bound(sites[rank.site], rank.device_model, payer, seen.now)
            offer = _task_offer(len(offers) + 1, rank, task, sites[rank.site], price, starts, seen.now)
            if offer is None:
                taken.append(Exclusion(site=rank.site, code="taken", need=_held(rank, task)))
            else:
                offers.append(_foreseen(offer, sites, payer, seen.now))
        excluded = (*why.excluded, *taken)
        found = Found(offers=tuple(offers), excluded=excluded, assumptions=_assumed(task), work_pd=None)
        return self._vouched(found, job.project, seen.now)

    def _vouched(self, found: Found, project: ProjectId, now: datetime) -> Found:
        """With what a voucher of the project would pay of each offer."""
        aids, left = unbound(self._store, project, now)
        return replace(found, offers=tuple(_with_voucher(each, aids, left) for each in found.offers)) if aids else found

    def _as_job(self, caller: Principal, task: Task, payer: ProjectId, now: datetime) -> Job:
        job = Job(
            id=JobId("j-quote"),
            project=payer,
            owner=caller.name,
            task=task,
            state=JobState.QUEUED,
            submitted_at=now,
            ready_at=now,
        )
        try:
            return replace(job, held_at=bound_to(self._store, job))
        except InvalidRequest:
            return job  # Its files may come later; whether they are there is asked when it is submitted.

    # quotes

    def quote_need(
        self,
        caller: Principal,
        need: Need,
        *,
        title: str,
        source: str,
        project: ProjectId | None = None,
        objective: Objective | None = None,
        devices: Sequence[str] = (),
    ) -> Quote:
        """Offers for `need`, stored; their unit prices bind until the quote expires."""
        payer = self._jobs.payer(caller, project)
        found = self.offers(need, objective=objective, devices=devices, project=payer)
        return self._keep(caller, payer, title, source, found)

    def quote_task(
        self, caller: Principal, task: Task, *, source: str, project: ProjectId | None = None, title: str = ""
    ) -> Quote:
        """Offers for a task as it stands, by its own objective, stored; their unit prices bind."""
        payer = self._jobs.payer(caller, project)
        return self._keep(caller, payer, title or task.name, source, self.task_offers(caller, task, project=payer))

    def get(self, caller: Principal, quote_id: str) -> Quote:
        """Whoever has the link and a token may read a quote; only its project may use it."""
        quote = self._store.quote(quote_id)
        if quote is None:
            raise NotFound(f"no quote {quote_id!r}", field="quote", allowed="the identifier `suanwang quote` printed")
        return quote

    def accept(self, caller: Principal, task: Task, quote_id: str, number: int = 1) -> tuple[Task, Terms, ProjectId]:
        """`task` made into what offer `number` says, and the terms that bind.

        Raises `Conflict` once it has expired, `NotFound` for another project's quote, and `InvalidRequest` for a task
        that wants more than was offered.
        """
        quote = self.get(caller, quote_id)
        if not caller.may_change(quote.project):
            raise NotFound(f"no quote {quote_id!r} of yours", field="quote", allowed="a quote of your project")
        if self._clock.now() >= quote.expires_at:
            raise Conflict(f"quote {quote_id} expired at {quote.expires_at:%Y-%m-%d %H:%M} UTC: ask for a new one")
        if not 1 <= number <= len(quote.offers):
            allowed = f"1 to {len(quote.offers)}" if quote.offers else "a quote that has offers"
            raise InvalidRequest(f"quote {quote_id} has no offer {number}", field="offer", allowed=allowed)
        offer = quote.offers[number - 1]
        site = self._store.site(offer.site)
        _check(task, offer, site)
        terms = Terms(quote_id=quote.id, offer=number, price=offer.price, prediction=offer.prediction)
        return _shaped(task, offer), terms, quote.project

    def submit(
        self,
        caller: Principal,
        tasks: Sequence[Task],
        quote_id: str,
        number: int = 1,
        *,
        project: ProjectId | None = None,
        key: str | None = None,
    ) -> Submitted:
        """Submit the one task of a file under an offer of a quote; the quote's project pays.

        Raises as `accept` and `Jobs.submit` do.
        """
        if len(tasks) != 1:
            message = f"{len(tasks)} tasks in the file: a quote is for one"
            raise InvalidRequest(message, field="tasks", allowed="exactly one task")
        shaped, terms, payer = self.accept(caller, tasks[0], quote_id, number)
        if project is not None and project != payer:
            message = f"quote {quote_id} was made for project {payer}"
            raise InvalidRequest(message, field="project", allowed=payer)
        digest = hashlib.sha256(repr((payer, tasks, quote_id, number)).encode()).hexdigest()
        return self._jobs.submit(caller, [shaped], project=payer, key=key, digest=digest, terms=terms)

    def _keep(self, caller: Principal, payer: ProjectId, title: str, source: str, found: Found) -> Quote:
        if len(source) > MOST_SOURCE:
            message = f"the text has {len(source)} characters, which is too long to keep with a quote"
            raise InvalidRequest(message, field="file", allowed=f"up to {MOST_SOURCE} characters")
        identifier, _ = self._identities.token()
        now = self._clock.now()
        quote = Quote(
            id="q" + identifier[1:],
            project=payer,
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

    # trials and learning

    def trial(self, caller: Principal, job_id: JobId, steps: float) -> Extrapolation:
        """The whole run of `steps`, from the steps a trial job wrote to its metrics file.

        Where the run wrote `elapsed_s` beside its steps, that is its clock; otherwise steps count as done when the network
        heard of them. Raises `InvalidRequest` where it wrote too few, `NotFound`.
        """
        job = self._jobs.get(caller, job_id)
        points = self._store.points(job.id)
        if not points:
            raise InvalidRequest(
                f"job {job_id} has written no steps yet",
                field="points",
                allowed='lines such as {"step": 1, "elapsed_s": 0.5} in $SUANWANG_METRICS',
            )
        last = [point for point in points if point.allocation_id == points[-1].allocation_id]
        clocked = [TrialPoint(steps=p.step, seconds=p.value) for p in last if p.name == ELAPSED]
        return extrapolate(_thinned(clocked or self._heard(job, last)), steps)

    def _heard(self, job: Job, points: Sequence[Point]) -> list[TrialPoint]:
        """Steps that arrived in one call share its moment; the last of them is the one that was just done."""
        allocation = self._store.allocation(points[-1].allocation_id)
        begun = allocation.started_at if allocation else job.started_at
        if begun is None:
            return []
        most: dict[float, float] = {}
        for point in points:
            seconds = max(0.0, (point.at - begun).total_seconds())
            most[seconds] = max(point.step, most.get(seconds, point.step))
        return [TrialPoint(steps=step, seconds=seconds) for seconds, step in most.items()]

    def lessons(self, caller: Principal, limit: int) -> Sequence[Lesson]:
        """Predictions against outcomes, newest first; whose job it was is its own project's affair."""
        found = self._store.lessons(min(limit, 1000))
        jobs = self._store.jobs_by_id([taught.job_id for taught in found])
        return [
            Lesson(taught=t, visible=(job := jobs.get(t.job_id)) is not None and caller.may_see(job.project))
            for t in found
        ]

    def beliefs(self, caller: Principal) -> EfficiencyState:
        """What finished runs have taught about each device and class of work."""
        return self._store.beliefs()


def _foreseen(offer: Offer, sites: Mapping[SiteId, Site], payer: Customer, now: datetime) -> Offer:
    used_us = {month_of(now): payer.used_us(offer.site, offer.device_model)}
    return foreseen(offer, sites[offer.site], ProjectId(payer.project), used_us)


def _with_voucher(offer: Offer, aids: Sequence[Aid], left: Mapping[str, int]) -> Offer:
    at, fen = (offer.site, offer.device_model), math.ceil(offer.price_yuan.mid * 100)
    paying = first_aid(aids, left, at, 0, fen, offer.finish_at)
    return replace(offer, voucher=Vouched(voucher=paying[0].voucher, yuan=paying[1] / 100)) if paying else offer


def _held(rank: Rank, task: Task) -> str:
    need = task.resources
    return f"{need.devices.count * task.nodes} × {rank.device_model}" if need.devices else f"{need.cores} cores"


def _task_offer(
    number: int, rank: Rank, task: Task, site: Site, price: Price, starts: Starts, now: datetime
) -> Offer | None:
    """None where nobody can tell when the site has room."""
    need, figures = task.resources, rank.figures
    devices = need.devices.count if need.devices else 0
    start_at = starts.of(site, rank.device_model, devices * task.nodes, need.cores * task.nodes)
    if start_at is None:
        return None
    hours = figures.finish_s / 3600
    paid = Units(need.cores * task.nodes, need.memory_gb * task.nodes, devices * task.nodes)
    later_yuan = _later_yuan(rank, price, paid, now, start_at)
    begun = milliseconds(start_at)
    factor = mean_factor(site.offering.carbon_daily, begun, begun + round(figures.finish_s * 1000))
    carbon_g_per_kwh = site.offering.carbon_g_per_kwh * factor
    return Offer(
        number=number,
        site=site.id,
        device_model=rank.device_model,
        nodes=task.nodes,
        devices_per_node=devices,
        cores_per_node=need.cores,
        memory_gb_per_node=need.memory_gb,
        start_at=start_at,
        hours=_exact(hours),
        finish_at=start_at + timedelta(hours=hours),
        price_yuan=_exact(figures.price_yuan + later_yuan),
        energy_kwh=_exact(figures.energy_kwh),
        carbon_g=_exact(figures.energy_kwh * carbon_g_per_kwh),
        score=rank.score,
        price=price,
    )


def _later_yuan(rank: Rank, price: Price, paid: Units, now: datetime, start_at: datetime) -> float:
    """What the hours of a later start cost more than those of one now, by lists and electricity."""
    figures, begun, later = rank.figures, milliseconds(now), milliseconds(start_at)
    long = round(figures.finish_s * 1000)
    more = listed_yuan(price, paid, later, later + long) - listed_yuan(price, paid, begun, begun + long)
    if figures.electricity is None or not figures.finish_s:
        return more
    power_kw = figures.energy_kwh / (figures.finish_s / 3600)
    return more + drawn_yuan(price, power_kw, later, later + long) - drawn_yuan(price, power_kw, begun, begun + long)


def _thinned(points: Sequence[TrialPoint]) -> Sequence[TrialPoint]:
    """At most `MOST_POINTS`, evenly, the last one among them: every pair of points is looked at."""
    if len(points) <= MOST_POINTS:
        return points
    stride = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(index * stride)] for index in range(MOST_POINTS)]


def _check(task: Task, offer: Offer, site: Site | None) -> None:
    """Raises `InvalidRequest` where the task asks for what the offer does not give: nothing of it is dropped silently."""
    need = task.resources
    wanted = {"cores": (need.cores, offer.cores_per_node), "memory": (need.memory_gb, offer.memory_gb_per_node)}
    for field, (asked, offered) in wanted.items():
        if asked > offered:
            raise InvalidRequest(
                f"the task asks for {asked:g} {field}{' GB' if field == 'memory' else ''} on a node, the offer has {offered:g}",
                field=f"resources.{field}",
                allowed=f"up to {offered:g}, or a quote of the task itself",
            )
    if task.nodes > offer.nodes:
        message = f"the task asks for {task.nodes} nodes, the offer has {offer.nodes}"
        raise InvalidRequest(message, field="nodes", allowed=f"up to {offer.nodes}, or a quote of the task itself")
    if offer.prediction is not None and task.count != 1:
        message = f"the offer is for one run, the task is an array of {task.count}"
        raise InvalidRequest(message, field="count", allowed="1, or a quote of the task itself")
    if need.devices is not None and not _gives(offer, need.devices, site):
        raise InvalidRequest(
            f"the task asks for other devices than the offer's {offer.devices_per_node} × {offer.device_model or 'none'}",
            field="resources.devices",
            allowed="none, those of the offer, or a quote of the task itself",
        )


def _gives(offer: Offer, request: DeviceRequest, site: Site | None) -> bool:
    pools = site.offering.devices if site else ()
    pool = next((pool for pool in pools if pool.model == offer.device_model), None)
    return pool is not None and request.count <= offer.devices_per_node and suits(request, pool)


def _shaped(task: Task, offer: Offer) -> Task:
    """The user's script and files, with the offer's site, devices and hours."""
    limit_s = task.resources.time_limit_s
    if offer.prediction is not None:
        limit_s = math.ceil(min(MOST_HOURS, offer.hours.high * SAFETY) * 3600)
    limit_s = max(60, limit_s)
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
            time_limit_s=limit_s,
            expected_s=min(limit_s, max(1, round(offer.hours.mid * 3600))),
        ),
        constraints=replace(task.constraints, sites=(offer.site,)),
    )


def _exact(value: float) -> Span:
    return Span(low=value, mid=value, high=value)


def _assumed(task: Task) -> tuple[str, ...]:
    found = []
    if task.count > 1:
        found.append(f"figures are those of one of the {task.count} members")
    if task.resources.expected_s is None:
        found.append(f"hours are the time limit of {task.resources.time_limit_s} s: say `expected` for a closer figure")
    return tuple(found)
