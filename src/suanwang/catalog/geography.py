"""Places of the programme: hubs, clusters, named centres, a gazetteer, and the grid factor of each province.

Owns where things are, at city level, and what the documents print of them. Knows nothing of networks or of sites that
have joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from suanwang.catalog.names import NameIndex
from suanwang.catalog.reading import Node, freeze, package_file, references_of
from suanwang.domain.device import (
    Centre,
    CentreReport,
    CentreState,
    Cluster,
    Figure,
    GridFactor,
    Hub,
    Place,
    Reference,
)
from suanwang.domain.errors import InvalidRequest

_SUFFIXES = ("市", "省", "自治区", "壮族自治区", "回族自治区", "维吾尔自治区", "特别行政区")
MAX_PFLOPS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Everything of the geography files and its names."""

    provinces: Mapping[str, tuple[str, str]]
    """Identifier → Chinese and English name."""
    places: Mapping[str, Place]
    hubs: Mapping[str, Hub]
    clusters: Mapping[str, Cluster]
    centres: Mapping[str, Centre]
    grid: Mapping[str, GridFactor]
    references: Mapping[str, Reference]
    place_names: NameIndex
    province_names: NameIndex


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Read the shipped geography, once per process."""
    land, built = package_file("geography.json"), package_file("centres.json")
    references = {**references_of(land), **references_of(built)}
    provinces = dict(_province(key, node) for key, node in land.child("provinces").children())
    places = {key: _place(key, node, provinces) for key, node in land.child("places").children()}
    clusters = {key: _cluster(key, node, references, places) for key, node in land.child("clusters").children()}
    hubs = {key: _hub(key, node, references, clusters, provinces) for key, node in land.child("hubs").children()}
    grid = {key: _grid(key, node, references, provinces) for key, node in land.child("grid_factors").children()}
    centres = {key: _centre(key, node, references, places) for key, node in built.child("centres").children()}
    land.done()
    built.done()
    return Atlas(
        provinces=freeze(provinces),
        places=freeze(places),
        hubs=freeze(hubs),
        clusters=freeze(clusters),
        centres=freeze(centres),
        grid=freeze(grid),
        references=freeze(references),
        place_names=_place_names(places, clusters, provinces),
        province_names=_province_names(provinces, hubs),
    )


def _province(key: str, node: Node) -> tuple[str, tuple[str, str]]:
    names = (node.text("name_zh"), node.text("name_en"))
    node.done()
    return key, names


def _one_of(node: Node, key: str, known: Mapping[str, object]) -> str:
    value = node.text(key)
    if value not in known:
        node.refuse(key, "an identifier that the file defines")
    return value


def _some_of(node: Node, key: str, known: Mapping[str, object]) -> tuple[str, ...]:
    values = node.texts(key)
    if not values or not all(value in known for value in values):
        node.refuse(key, "a list of identifiers that the file defines")
    return values


def _place(key: str, node: Node, provinces: Mapping[str, object]) -> Place:
    place = Place(
        id=key,
        name_zh=node.text("name_zh"),
        name_en=node.text("name_en"),
        province=_one_of(node, "province", provinces),
        position=node.position(),
        capital=node.get("capital") is not None and node.flag("capital"),
        aliases=node.texts("aliases"),
    )
    node.done()
    return place


def _cluster(key: str, node: Node, references: Mapping[str, Reference], places: Mapping[str, Place]) -> Cluster:
    cluster = Cluster(
        id=key,
        name_zh=node.text("name_zh"),
        name_en=node.text("name_en"),
        hub=node.text("hub"),
        places=_some_of(node, "places", places),
        position=node.position(),
        source=_one_of(node, "source", references),
        aliases=node.texts("aliases"),
    )
    node.done()
    return cluster


def _hub(
    key: str,
    node: Node,
    references: Mapping[str, Reference],
    clusters: Mapping[str, Cluster],
    provinces: Mapping[str, object],
) -> Hub:
    hub = Hub(
        id=key,
        name_zh=node.text("name_zh"),
        name_en=node.text("name_en"),
        side=_one_of(node, "side", {"east": None, "west": None}),
        provinces=_some_of(node, "provinces", provinces),
        clusters=_some_of(node, "clusters", clusters),
        position=node.position(),
        source=_one_of(node, "source", references),
        aliases=node.texts("aliases"),
    )
    if any(clusters[one].hub != key for one in hub.clusters):
        node.refuse("clusters", "clusters whose hub is this one")
    node.done()
    return hub


def _grid(key: str, node: Node, references: Mapping[str, Reference], provinces: Mapping[str, object]) -> GridFactor:
    if key not in provinces:
        node.refuse("", "named after a province that the file defines")
    years = node.child("kg_per_kwh")
    factors: dict[int, Figure] = {}
    for year in years.plain():
        figure = years.cited(year, references, None, 2.0)
        if figure is None or not year.isdecimal():
            years.refuse(year, "a year with its factor")
        factors[int(year)] = figure
    factor = GridFactor(
        province=key,
        name_zh=node.text("name_zh"),
        name_en=node.text("name_en"),
        grid_region=node.text("grid_region"),
        gbt2260=node.text("gbt2260"),
        kg_per_kwh=freeze(factors),
    )
    node.done()
    return factor


def _centre(key: str, node: Node, references: Mapping[str, Reference], places: Mapping[str, Place]) -> Centre:
    place = _one_of(node, "place", places)
    centre = Centre(
        id=key,
        name_zh=node.text("name_zh"),
        name_en=node.text("name_en"),
        place=place,
        position=places[place].position,
        operators=node.texts("operators"),
        reports=tuple(_report(report, references) for report in node.items("reports")),
        fp16_pflops=node.cited("fp16_pflops", references, None, MAX_PFLOPS),
    )
    if not centre.reports:
        node.refuse("reports", "at least one report with its source")
    node.done()
    return centre


def _report(node: Node, references: Mapping[str, Reference]) -> CentreReport:
    source = _one_of(node, "source", references)
    report = CentreReport(
        source=source,
        published_on=references[source].published_on,
        state=node.word("state", CentreState, f"one of {', '.join(CentreState)}"),
        state_as_printed=node.text("state_as_printed"),
        as_of=node.text("as_of", ""),
        size_as_printed=node.text("size_as_printed", ""),
        note=node.text("note", ""),
    )
    node.done()
    return report


def _place_names(
    places: Mapping[str, Place], clusters: Mapping[str, Cluster], provinces: Mapping[str, tuple[str, str]]
) -> NameIndex:
    """Cities by both names; a cluster's name means its first place where no city bears it."""
    index = NameIndex("place")
    for place in places.values():
        names = [place.id, place.name_zh, place.name_en, *place.aliases]
        if not place.name_zh.endswith(("市", "区", "县")):
            names.append(f"{place.name_zh}市")
        index.own(place.id, names, "geography.json")
        # Cities whose names are spelled alike carry their province behind; the bare spelling may mean any of them.
        bare = place.name_en.removesuffix(f" {provinces[place.province][1]}")
        if bare != place.name_en:
            index.share(place.id, (bare,))
    for cluster in clusters.values():
        index.share(cluster.places[0], (cluster.name_zh, cluster.name_en, *cluster.aliases))
    return index


def _province_names(provinces: Mapping[str, tuple[str, str]], hubs: Mapping[str, Hub]) -> NameIndex:
    """Provinces by both names, and by that of a hub that lies in one province."""
    index = NameIndex("province")
    for key, (name_zh, name_en) in provinces.items():
        index.own(key, (key, name_zh, name_en, *(name_zh + suffix for suffix in _SUFFIXES)), "geography.json")
    for hub in hubs.values():
        if len(hub.provinces) == 1:
            index.share(hub.provinces[0], (hub.id, hub.name_zh, hub.name_en, *hub.aliases))
    return index


def places() -> Mapping[str, Place]:
    """The gazetteer by identifier."""
    return atlas().places


def place(name: str, *, field: str = "place") -> Place:
    """The place that `name` means, in Chinese or English. Raises `InvalidRequest` with the nearest names."""
    on = atlas()
    return on.places[on.place_names.one(name, field)]


def hubs() -> Mapping[str, Hub]:
    """The eight national hubs by identifier."""
    return atlas().hubs


def clusters() -> Mapping[str, Cluster]:
    """The ten national clusters by identifier."""
    return atlas().clusters


def centres() -> Mapping[str, Centre]:
    """The centres that the documents name, by identifier."""
    return atlas().centres


def provinces() -> Mapping[str, tuple[str, str]]:
    """Identifier of a province → its Chinese and English name."""
    return atlas().provinces


def grid_factors() -> Mapping[str, GridFactor]:
    """Every province's grid emission factor by the province's identifier; Tibet, Hong Kong and Macau have none."""
    return atlas().grid


def grid_factor(province: str, *, field: str = "province") -> GridFactor:
    """The grid emission factor of `province`, by identifier, Chinese or English name, in kgCO2 per kWh and by year.

    Raises `InvalidRequest` where the province is unknown or the announcements give no factor for it. Source: the
    ministry's announcements 2024 No. 12 and No. 33; annual averages, not hourly ones.
    """
    on = atlas()
    key = on.province_names.one(province, field)
    if key not in on.grid:
        allowed = ", ".join(on.grid)
        raise InvalidRequest(f"no grid factor is published for {on.provinces[key][1]}", field=field, allowed=allowed)
    return on.grid[key]


def geography_references() -> Mapping[str, Reference]:
    """Every document that the geography cites, by key."""
    return atlas().references
