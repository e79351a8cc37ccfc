"""The sites: all in a table, and each on a page of its own with what it declares, measures and sells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from suanwang.control.billing.prices import Asking
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event, Job
from suanwang.domain.sample import Sample, Source
from suanwang.electricity.pricing import Units, units
from suanwang.ports import JobQuery
from suanwang.web import labels
from suanwang.web.asked import asked_over
from suanwang.web.loads import device_name, load_of, region_name
from suanwang.web.pages.pricing import may_publish
from suanwang.web.power import area_name, day_of, now_of
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(prefix="/sites", route_class=PageRoute)
JOBS_SHOWN = 20
HISTORY_SHOWN = 30
LISTS_SHOWN, LISTS_DRAWN = 10, 200
_HISTORY_READS, _BATCH = 5, 1000


@router.get("")
def table(visit: Visited) -> Response:
    loads = [load_of(view, visit.network.clock.now()) for view in visit.network.sites.all(visit.caller)]
    names = visit.site_names()
    context: dict[str, Any] = {
        "loads": sorted(loads, key=lambda load: names[load.site.id]),
        "names": names,
        "regions": {load.site.id: region_name(load.site.offering.region, chinese=visit.chinese) for load in loads},
    }
    return visit.page("sites_list.html" if visit.partial else "sites.html", **context)


@router.get("/{site_id}")
def show(visit: Visited, site_id: str) -> Response:
    view = visit.network.sites.get(visit.caller, SiteId(site_id))
    site = view.site
    jobs: Sequence[Job] = ()
    if visit.logged_in:
        jobs, _ = visit.network.jobs.page(visit.caller, JobQuery(site_id=site.id), None, JOBS_SHOWN)
    context: dict[str, Any] = {
        "load": load_of(view, visit.network.clock.now()),
        "held": view.held,
        "site": site,
        "offer": site.offering,
        "power": now_of(site.offering, visit.network.clock.now()),
        "area": area_name(tariff, chinese=visit.chinese) if (tariff := site.offering.price.electricity) else "",
        "name": visit.site_name(site),
        "region": region_name(site.offering.region, chinese=visit.chinese),
        "capability": visit.network.capabilities.site(visit.caller, site.id),
        "device_name": device_name,
        "figures": figures_of(visit.network.sites.samples(visit.caller, site.id)),
        "history": [
            (event, visit.translate(labels.EVENTS.get(event.kind, event.kind))) for event in _history(visit, site.id)
        ],
        "jobs": jobs,
        "names": visit.site_names(),
        "lists": visit.network.prices.history(visit.caller, site.id, None, LISTS_SHOWN),
        "publishes": may_publish(visit, site),
        "asked": _asked(visit, site.id) if site.offering.price.lists else (),
    }
    return visit.page("site_body.html" if visit.partial else "site.html", **context)


def _asked(visit: Visit, site_id: SiteId) -> list[tuple[Asking, Units | None]]:
    """What the site asks the visitor's own project now, by device."""
    projects = visit.caller.projects if visit.logged_in else ()
    asked = visit.network.prices.now(visit.caller, projects[0] if projects else None, site=site_id)
    return [(each, None if each.pricing is None else units(each.pricing)[-1]) for each in asked]


@router.get("/{site_id}/day")
def day(visit: Visited, site_id: str) -> Response:
    """Today's hours of price and carbon, for the drawing script."""
    offer = visit.network.sites.get(visit.caller, SiteId(site_id)).site.offering
    body = day_of(offer, visit.network.clock.now(), visit.translate)
    return JSONResponse(body, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


@router.get("/{site_id}/asked")
def asked(visit: Visited, site_id: str) -> Response:
    """What it asked and will ask, for the drawing script."""
    site = visit.network.sites.get(visit.caller, SiteId(site_id)).site
    lists = visit.network.prices.history(visit.caller, site.id, None, LISTS_DRAWN)
    body = asked_over(site, lists, visit.network.clock.now(), visit.translate)
    return JSONResponse(body, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def figures_of(samples: Sequence[Sample]) -> list[tuple[str, dict[Source, list[Sample]]]]:
    """Per metric, what is printed, what was measured and what is for sale, kept apart."""
    grouped: dict[str, dict[Source, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        grouped[sample.metric_type][sample.source].append(sample)
    return sorted((metric, dict(by_source)) for metric, by_source in grouped.items())


def _history(visit: Visit, site_id: SiteId) -> Sequence[Event]:
    """The site's own events, newest first. Who did what is for the record, not for this page."""
    found: list[Event] = []
    after = 0
    for _ in range(_HISTORY_READS):
        batch = visit.network.store.events(after, _BATCH, site_id=site_id, kind="site.")
        found = [*found, *batch][-HISTORY_SHOWN:]
        if len(batch) < _BATCH:
            break
        after = batch[-1].seq
    return found[::-1]
