"""What a user calls a place, a region or a site, in the network's own identifiers.

Owns the resolution of names in constraints: `贵州`, `Guizhou` and `guizhou` are one hub, `芜湖` is a site where one of
that name has joined and a place otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from suanwang import catalog
from suanwang.domain.device import Position
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Site
from suanwang.domain.task import Task


@lru_cache(maxsize=1)
def positions() -> Mapping[str, Position]:
    """Place identifier → position, of every place a circle may name."""
    return {place.id: place.position for place in catalog.places().values()}


def resolve(tasks: Sequence[Task], sites: Sequence[Site]) -> tuple[Task, ...]:
    """`tasks` with identifiers for names. Raises `InvalidRequest` for a name that means nothing here."""
    return tuple(_resolved(task, sites) for task in tasks)


def _resolved(task: Task, sites: Sequence[Site]) -> Task:
    limits = task.constraints
    if not (limits.regions or limits.residency or limits.sites or limits.providers or limits.circle):
        return task
    ids = {site.id.casefold(): site.id for site in sites}
    names, regions = _site_names(sites), _region_names(sites)
    providers = {site.offering.provider.casefold(): site.offering.provider for site in sites}
    circle = limits.circle
    if circle is not None:
        place = catalog.place(circle.place, field="constraints.circle.place")
        circle = replace(circle, place=place.id)

    def site(name: str) -> str | None:
        return ids.get(name) or _one(names.get(name, ()), name)

    def residence(name: str) -> str | None:
        # A hub's own name comes before what providers call their sites: none can take a hub's data by taking its name.
        return ids.get(name) or regions.get(name) or _one(names.get(name, ()), name)

    return replace(
        task,
        constraints=replace(
            limits,
            circle=circle,
            regions=_each(limits.regions, regions.get, "regions", regions.values()),
            residency=_each(limits.residency, residence, "residency", [*ids.values(), *regions.values()]),
            sites=tuple(SiteId(name) for name in _each(limits.sites, site, "sites", ids.values())),
            providers=_each(limits.providers, providers.get, "providers", providers.values()),
        ),
    )


def _one(found: Sequence[str], name: str) -> str | None:
    """The site that `name` means. Raises `InvalidRequest` where several bear it: a guess could move data."""
    if len(found) > 1:
        raise InvalidRequest(
            f"{name!r} is the name of several sites: say which by its identifier",
            field="constraints",
            allowed=", ".join(found),
        )
    return found[0] if found else None


def _each(names: Iterable[str], find: Callable[[str], str | None], field: str, known: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        identifier = find(name.strip().casefold())
        if identifier is None:
            allowed = ", ".join(sorted(set(known))[:20]) or "none has joined yet"
            raise InvalidRequest(
                f"constraints.{field} names {name!r}, which the network does not know",
                field=f"constraints.{field}",
                allowed=allowed,
            )
        found.append(identifier)
    return tuple(dict.fromkeys(found))


def _site_names(sites: Sequence[Site]) -> Mapping[str, Sequence[str]]:
    """What providers call their sites → the sites so called."""
    names: dict[str, list[str]] = {}
    for site in sites:
        for name in {site.offering.name_zh.casefold(), site.offering.name_en.casefold()}:
            names.setdefault(name, []).append(site.id)
    return names


@lru_cache(maxsize=1)
def _hub_names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    provinces = catalog.provinces()
    for hub in catalog.hubs().values():
        for province in hub.provinces:
            if len(hub.provinces) == 1:
                names |= {name.casefold(): hub.id for name in provinces[province]}
        names |= {name.casefold(): hub.id for name in (hub.id, hub.name_zh, hub.name_en, *hub.aliases)}
    return names


def _region_names(sites: Sequence[Site]) -> Mapping[str, str]:
    own = {site.offering.region.casefold(): site.offering.region for site in sites}
    return {**own, **_hub_names()}


def region_of(name: str) -> str:
    """The hub that `name` means, else `name` itself: a provider may lie outside the hubs."""
    return _hub_names().get(name.strip().casefold(), name.strip())
