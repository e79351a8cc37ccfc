"""The first page: the map of sites, their load, price and carbon, and the caller's jobs on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from suanwang import catalog
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import LIVE, JobState
from suanwang.ports import BillQuery, JobQuery
from suanwang.web import drawing
from suanwang.web.drawing import HEIGHT, WIDTH, Circle
from suanwang.web.loads import CARBON_STEPS, LOAD_STEPS, SiteLoad, load_of, region_name, utilisation
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
Colour = Annotated[Literal["load", "carbon"], Query()]
STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
MOST_JOBS = 300
MOST_ARCS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A job drawn at its site."""

    job: Job
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arc:
    """A live job that ran elsewhere before."""

    job: Job
    path: str
    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    sites: int
    sites_up: int
    running: int
    queued: int
    load: float
    energy_kwh: float
    carbon_g: float


@router.get("/")
def show(visit: Visited, colour: Colour = "load") -> Response:
    loads = [load_of(view, visit.network.clock.now()) for view in visit.network.sites.all(visit.caller)]
    jobs = _live_jobs(visit)
    chart = drawing.chart([_spot(visit, load, colour) for load in loads], _signs(visit, loads))
    circles = {SiteId(circle.spot.id): circle for circle in chart.circles}
    by_site: dict[SiteId, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.site_id is not None:
            by_site[job.site_id].append(job)
    names = visit.site_names()
    context: dict[str, Any] = {
        "colour": colour,
        "chart": chart,
        "width": WIDTH,
        "height": HEIGHT,
        "loads": sorted(loads, key=lambda load: names[load.site.id]),
        "by_id": {load.site.id: load for load in loads},
        "names": names,
        "regions": {load.site.id: region_name(load.site.offering.region, chinese=visit.chinese) for load in loads},
        "steps": LOAD_STEPS if colour == "load" else CARBON_STEPS,
        "dots": _dots(circles, by_site),
        "arcs": _arcs(visit, circles, jobs, names),
        "jobs_at": {site: len(found) for site, found in by_site.items()},
        "totals": _totals(visit, loads),
    }
    return visit.page("network_body.html" if visit.partial else "network.html", **context)


@router.get("/live")
def live(visit: Visited) -> Response:
    secret = visit.secret if visit.logged_in else None
    return StreamingResponse(
        visit.web.live.changes(visit.caller, secret), media_type="text/event-stream", headers=STREAM
    )


def _live_jobs(visit: Visit) -> Sequence[Job]:
    if not visit.logged_in:
        return ()
    found, _ = visit.network.jobs.page(visit.caller, JobQuery(states=LIVE), None, MOST_JOBS)
    return sorted(found, key=lambda job: (job.started_at or job.submitted_at, job.id))


def _spot(visit: Visit, load: SiteLoad, colour: str) -> drawing.Spot:
    offer = load.site.offering
    if colour == "carbon":
        caption = f"{visit.formats.number(offer.carbon_g_per_kwh)} g/kWh"
    elif load.load is None:
        caption = "–"
    else:
        caption = visit.formats.percent(load.load)
    return drawing.Spot(
        id=load.site.id,
        name=visit.site_name(load.site),
        caption=caption,
        longitude=offer.longitude,
        latitude=offer.latitude,
        weight=load.power_kw,
    )


def _signs(visit: Visit, loads: Sequence[SiteLoad]) -> list[tuple[str, float, float]]:
    """The national hubs, for orientation; one that has a site is told by it."""
    taken = {load.site.offering.region for load in loads}
    return [
        (hub.name_zh if visit.chinese else hub.name_en, hub.position.longitude, hub.position.latitude)
        for hub in catalog.hubs().values()
        if hub.id not in taken
    ]


def _dots(circles: dict[SiteId, Circle], by_site: dict[SiteId, list[Job]]) -> list[Dot]:
    dots: list[Dot] = []
    for site_id, jobs in by_site.items():
        circle = circles.get(site_id)
        if circle is not None:
            places = drawing.around(circle, len(jobs))
            dots += [Dot(job=job, x=x, y=y) for job, (x, y) in zip(jobs, places, strict=False)]
    return dots


def _arcs(visit: Visit, circles: dict[SiteId, Circle], jobs: Sequence[Job], names: dict[SiteId, str]) -> list[Arc]:
    """The last move of each live job that changed its site."""
    arcs: list[Arc] = []
    for job in jobs:
        if job.attempts < 2 or job.site_id is None or len(arcs) >= MOST_ARCS:
            continue
        before = _site_before(visit, job.id, job.site_id)
        start, end = circles.get(before) if before else None, circles.get(job.site_id)
        if before is not None and start is not None and end is not None:
            path = drawing.curve(start, end)
            arcs.append(Arc(job=job, path=path, start=names[before], end=names[job.site_id]))
    return arcs


def _site_before(visit: Visit, job_id: JobId, now_at: SiteId) -> SiteId | None:
    sites = [allocation.site_id for allocation in visit.network.jobs.allocations(visit.caller, job_id)]
    return sites[-2] if len(sites) > 1 and sites[-2] != now_at else None


def _totals(visit: Visit, loads: list[SiteLoad]) -> Totals:
    counts = visit.network.jobs.counts(visit.caller)
    today = BillQuery(from_at=visit.formats.day_start(visit.network.clock.now()))
    bills = visit.network.bills.totals(visit.caller, today) if visit.logged_in else ()
    return Totals(
        sites=len(loads),
        sites_up=sum(load.usable for load in loads),
        running=counts.get(JobState.RUNNING, 0) if visit.logged_in else sum(load.runs for load in loads),
        queued=counts.get(JobState.QUEUED, 0) + counts.get(JobState.LEASED, 0),
        load=utilisation(loads),
        energy_kwh=sum(total.energy_kwh for total in bills),
        carbon_g=sum(total.carbon_g for total in bills),
    )
