"""The form of a network file, checked strictly.

Owns field names and ranges, and which of them the catalogue fills in. What they mean is `network`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Tariff
from suanwang.electricity.daily import check_daily, modelled_day
from suanwang.electricity.series import HOUR_MS
from suanwang.taskfile.problems import InvalidTask, Problem, dotted
from suanwang.taskfile.problems import Path as Where
from suanwang.taskfile.yamltext import Document, checked_text, load_documents
from suanwang.twin.network import Cooling, Cut, Link, Network, Place, Pool, Power, Site

Form = TypeVar("Form", bound=BaseModel)
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Id = Annotated[str, Field(max_length=60, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]
Amount = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e9)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Yuan = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e6)]
PriceKwh = Annotated[Decimal, BeforeValidator(str), Field(ge=0, le=1000, allow_inf_nan=False)]
Pue = Annotated[float, Field(allow_inf_nan=False, ge=1, le=5)]
Celsius = Annotated[float, Field(allow_inf_nan=False, ge=-90, le=60)]
MINUTE_MS = 60_000


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Names(Section):
    zh: Line
    en: Line


class Position(Section):
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class CoolingSection(Section):
    base: Pue
    per_degree: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.0
    free_below_c: Celsius = 0.0
    monthly_c: Annotated[tuple[Celsius, ...], Field(min_length=12, max_length=12)]
    daily_range_c: Annotated[float, Field(ge=0, le=40, allow_inf_nan=False)] = 0.0


class ElectricitySection(Section):
    tariff: Line | None = None
    flat_yuan_per_kwh: PriceKwh | None = None
    fixed_yuan_per_kwh: PriceKwh | None = None
    carbon: Literal["grid"] | Annotated[float, Field(ge=0, le=2000, allow_inf_nan=False)] = "grid"
    shape: Literal["flat", "model"] | tuple[Amount, ...] = "flat"
    green_share: Share = 0.0

    @model_validator(mode="after")
    def _priced(self) -> ElectricitySection:
        if self.tariff is None and self.flat_yuan_per_kwh is None:
            raise ValueError("say the price: tariff, or flat_yuan_per_kwh for one that holds at all hours")
        return self


class Watts(Section):
    core: Amount
    gb: Amount = 0.0
    device: Amount = 0.0


class Price(Section):
    core_hour: Yuan = 0.0
    gb_hour: Yuan = 0.0
    device_hour: Yuan = 0.0
    electricity: Literal["beside", "included"] = "beside"


class PoolSection(Section):
    cores: Positive
    memory_gb: Positive
    devices: Amount = 0.0
    model: Line | None = None
    node_devices: Annotated[int, Field(ge=1, le=1024, strict=True)] | None = None
    watts: Watts
    price: Price = Price()
    slowness: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 1.0


class SiteSection(Section):
    id: Id
    cluster: Line | None = None
    name: Names | None = None
    hub: Line | None = None
    place: Line | None = None
    position: Position | None = None
    province: Line | None = None
    electricity: ElectricitySection
    pue: Pue | CoolingSection
    pools: Annotated[tuple[PoolSection, ...], Field(min_length=1, max_length=50)]


class PlaceSection(Section):
    id: Id | None = None
    place: Line | None = None
    site: Id | None = None
    name: Names | None = None
    position: Position | None = None
    share: Amount = 1.0

    @model_validator(mode="after")
    def _somewhere(self) -> PlaceSection:
        if (self.place is None) + (self.site is None) + (self.position is None) != 2:
            raise ValueError("say where: one of place, site, position")
        if self.position is not None and (self.id is None or self.name is None):
            raise ValueError("a position needs an id and a name")
        return self


class LinkSection(Section):
    between: Annotated[tuple[Id, ...], Field(min_length=2, max_length=2)]
    gbps: Positive
    yuan_per_gb: Yuan = 0.0


class CutSection(Section):
    """`from` and `until` as dates or times; from the beginning, and for good, where they are not said."""

    between: Annotated[tuple[Id, ...], Field(min_length=2, max_length=2)]
    begin: Annotated[Line | None, Field(alias="from")] = None
    until: Line | None = None


class LinksSection(Section):
    """`gbps` 0: there are no links but the special ones."""

    gbps: Amount = 1.0
    yuan_per_gb: Yuan = 0.0
    special: Annotated[tuple[LinkSection, ...], Field(max_length=10_000)] = ()
    cut: Annotated[tuple[CutSection, ...], Field(max_length=10_000)] = ()


class NetworkSection(Section):
    network: Id
    title: Names | None = None
    note: Annotated[str, Field(max_length=4000)] = ""
    utc_offset_hours: Annotated[float, Field(ge=-12, le=14, allow_inf_nan=False)] = 8.0
    links: LinksSection = LinksSection()
    places: Annotated[tuple[PlaceSection, ...], Field(max_length=1000)] = ()
    sites: Annotated[tuple[SiteSection, ...], Field(min_length=1, max_length=1000)]


def shipped() -> tuple[str, ...]:
    """Names of the networks that come with the product."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _shelf().iterdir() if entry.name.endswith(".yaml"))
    )


def read_network(name: str, *, beside: Path | None = None) -> Network:
    """A shipped network by its name, or a file, relative to the folder `beside`. Raises `InvalidRequest`."""
    if name in shipped():
        return parse_network((_shelf() / f"{name}.yaml").read_text(encoding="utf-8"), filename=f"{name}.yaml")
    path = (beside or Path()) / name
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"the network {name} cannot be read: {error.strerror or error}",
            field="network",
            allowed=f"a file, or one of {', '.join(shipped())}",
        ) from error
    return parse_network(text, filename=path.name)


def parse_network(text: str | bytes, *, filename: str) -> Network:
    """Raises `InvalidTask` with every problem, its field and its line."""
    document = only_document(text, filename=filename)
    section = checked(NetworkSection, document, filename)
    return _network(section, filename)


def only_document(text: str | bytes, *, filename: str) -> Document:
    documents = load_documents(checked_text(text, filename=filename), filename=filename)
    if len(documents) != 1:
        raise InvalidRequest(f"{filename}: {len(documents)} documents", field="file", allowed="one YAML document")
    return documents[0]


def checked(form: type[Form], document: Document, filename: str) -> Form:
    """The document as a form; every problem at once, with lines."""
    try:
        return form.model_validate(document.value)
    except ValidationError as error:
        raise InvalidTask(problems_of(error, document), filename=filename) from None


def problems_of(error: ValidationError, document: Document, within: Where = ()) -> list[Problem]:
    """Pydantic's complaints with the file's lines; what only follows from another one is left out."""
    found: dict[Where, Problem] = {}
    for one in error.errors(include_url=False, include_input=False):
        path = within + _written(one["loc"], document.value, missing=one["type"] == "missing")
        if path in found:
            continue
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            message = "this key is not known"
        found[path] = Problem(field=dotted(path), message=message, line=document.line(path))
    return [
        one for path, one in found.items() if not any(path == other[: len(path)] for other in found if other != path)
    ]


def _written(location: Where, value: object, *, missing: bool) -> Where:
    """A location without the names of forms, which stand in it where a value may have one of several."""
    path: list[str | int] = []
    for at, part in enumerate(location):
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if inside:
            value = value[part]  # type: ignore[index]
        elif not (missing and at == len(location) - 1):
            continue
        path.append(part)
    return tuple(path)


def _network(section: NetworkSection, filename: str) -> Network:
    sites = tuple(_site(one, f"sites[{at}]") for at, one in enumerate(section.sites))
    by_id = {site.id: site for site in sites}
    if section.places:
        places = tuple(_place(one, by_id, f"places[{at}]") for at, one in enumerate(section.places))
    else:
        places = tuple(_at_site(site, sum(pool.cores for pool in site.pools)) for site in sites)
    title = section.title or Names(zh=section.network, en=section.network)
    return Network(
        name=section.network,
        title_zh=title.zh,
        title_en=title.en,
        note=section.note.strip(),
        offset_hours=section.utc_offset_hours,
        sites=sites,
        places=places,
        gbps=section.links.gbps,
        yuan_per_gb=section.links.yuan_per_gb,
        links=tuple(
            Link(ends=(one.between[0], one.between[1]), gbps=one.gbps, yuan_per_gb=one.yuan_per_gb)
            for one in section.links.special
        ),
        cuts=tuple(_cut(one, section.utc_offset_hours, f"links.cut[{at}]") for at, one in enumerate(section.links.cut)),
    )


def _cut(section: CutSection, offset_hours: float, field: str) -> Cut:
    begin, until = (
        None if text is None else instant_ms(text, offset_hours, field=f"{field}.{name}", step_ms=MINUTE_MS)
        for name, text in (("from", section.begin), ("until", section.until))
    )
    if until is not None and begin is not None and until <= begin:
        raise InvalidRequest("the cut ends before it begins", field=f"{field}.until", allowed="later than from")
    return Cut(ends=(section.between[0], section.between[1]), from_ms=begin, until_ms=until)


def instant_ms(text: str, offset_hours: float, *, field: str, step_ms: int) -> int:
    """A date or a time, by the network's clock where it names no zone. Raises `InvalidRequest` off whole `step_ms`, an
    hour or a minute."""
    whole = "hour" if step_ms == HOUR_MS else "minute"
    allowed = f"a whole {whole} such as 2026-07-06 or 2026-07-06T08:00+08:00"
    try:
        found = datetime.combine(date.fromisoformat(text), time()) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{text} is no time", field=field, allowed=allowed) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone(timedelta(hours=offset_hours)))
    since = (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if since < 0 or since % step_ms:
        raise InvalidRequest(f"{text} is before 1970 or off the {whole}", field=field, allowed=allowed)
    return since


def _site(section: SiteSection, field: str) -> Site:
    name, hub, latitude, longitude, province = _where(section, field)
    power = section.electricity
    if power.carbon == "grid":
        if not province:
            raise InvalidRequest(
                f"{section.id}: say the province whose grid factor holds, or the carbon",
                field=f"{field}.electricity.carbon",
                allowed="grams per kWh, or a province",
            )
        carbon = catalog.grid_factor(province, field=f"{field}.province").latest.value * 1000
    else:
        carbon = float(power.carbon)
    pue = section.pue
    return Site(
        id=section.id,
        name_zh=name.zh,
        name_en=name.en,
        province=province,
        hub=hub,
        latitude=latitude,
        longitude=longitude,
        power=Power(
            tariff=_tariff(power, f"{field}.electricity"),
            carbon_g_per_kwh=carbon,
            carbon_daily=_shape(power.shape, province, longitude, f"{field}.electricity.shape"),
            green_share=power.green_share,
        ),
        cooling=Cooling(**pue.model_dump()) if isinstance(pue, CoolingSection) else Cooling(base=pue),
        pools=tuple(_pool(pool, f"{field}.pools[{at}]") for at, pool in enumerate(section.pools)),
    )


def _shape(shape: str | tuple[float, ...], province: str, longitude: float, field: str) -> tuple[float, ...]:
    if isinstance(shape, str):
        return modelled_day(province, longitude) if shape == "model" else ()
    check_daily(shape, field)
    return shape


def _tariff(section: ElectricitySection, field: str) -> Tariff:
    """The area's schedule, with the prices of the file where it says them."""
    flat, fixed = section.flat_yuan_per_kwh, section.fixed_yuan_per_kwh
    if section.tariff is None:
        assert flat is not None
        return Tariff(flat_yuan_per_kwh=flat, fixed_yuan_per_kwh=fixed or Decimal(0))
    found = catalog.tariff_area(section.tariff, field=f"{field}.tariff").tariff
    return replace(
        found,
        flat_yuan_per_kwh=found.flat_yuan_per_kwh if flat is None else flat,
        fixed_yuan_per_kwh=found.fixed_yuan_per_kwh if fixed is None else fixed,
        assumed=found.assumed if flat is None else tuple(one for one in found.assumed if one != "price"),
    )


def _where(section: SiteSection, field: str) -> tuple[Names, str, float, float, str]:
    """Names, hub, position and province: what the file says, else what the catalogue knows."""
    name, hub, position, province = section.name, section.hub or "", section.position, section.province
    if section.cluster is not None:
        clusters = catalog.clusters()
        cluster = clusters.get(section.cluster)
        if cluster is None:
            allowed = ", ".join(sorted(clusters))
            raise InvalidRequest(f"no cluster is called {section.cluster}", field=f"{field}.cluster", allowed=allowed)
        name = name or Names(zh=cluster.name_zh, en=cluster.name_en)
        hub = hub or cluster.hub
        position = position or Position(latitude=cluster.position.latitude, longitude=cluster.position.longitude)
        province = province or catalog.places()[cluster.places[0]].province
    elif section.place is not None:
        place = catalog.place(section.place, field=f"{field}.place")
        name = name or Names(zh=place.name_zh, en=place.name_en)
        position = position or Position(latitude=place.position.latitude, longitude=place.position.longitude)
        province = province or place.province
    if position is None:
        raise InvalidRequest(
            f"{section.id}: say where it is", field=f"{field}.position", allowed="a cluster, a place or a position"
        )
    return (
        name or Names(zh=section.id, en=section.id),
        hub,
        position.latitude,
        position.longitude,
        _province(province, f"{field}.province"),
    )


def _province(name: str | None, field: str) -> str:
    if name is None:
        return ""
    if name in catalog.provinces():
        return name
    return catalog.grid_factor(name, field=field).province


def _pool(section: PoolSection, field: str) -> Pool:
    if section.model is not None:
        catalog.accelerator(section.model, field=f"{field}.model")
    if section.devices > 0 and section.watts.device == 0:
        raise InvalidRequest("devices that draw no power", field=f"{field}.watts.device", allowed="above 0")
    if section.node_devices is not None and (section.devices == 0 or section.devices % section.node_devices):
        raise InvalidRequest(
            f"{section.devices:g} devices are not on whole nodes of {section.node_devices}",
            field=f"{field}.node_devices",
            allowed="a number that divides devices",
        )
    return Pool(
        cores=section.cores,
        memory_gb=section.memory_gb,
        devices=section.devices,
        model=section.model,
        node_devices=section.node_devices or 0,
        core_w=section.watts.core,
        gb_w=section.watts.gb,
        device_w=section.watts.device,
        core_hour_yuan=section.price.core_hour,
        gb_hour_yuan=section.price.gb_hour,
        device_hour_yuan=section.price.device_hour,
        electricity_included=section.price.electricity == "included",
        slowness=section.slowness,
    )


def _place(section: PlaceSection, sites: dict[str, Site], field: str) -> Place:
    if section.site is not None:
        if section.site not in sites:
            allowed = ", ".join(sites)
            raise InvalidRequest(f"no site is called {section.site}", field=f"{field}.site", allowed=allowed)
        return _at_site(sites[section.site], section.share)
    if section.place is not None:
        known = catalog.place(section.place, field=f"{field}.place")
        return Place(
            id=section.id or known.id,
            name_zh=section.name.zh if section.name else known.name_zh,
            name_en=section.name.en if section.name else known.name_en,
            latitude=known.position.latitude,
            longitude=known.position.longitude,
            share=section.share,
        )
    assert section.position is not None
    assert section.id is not None
    assert section.name is not None
    return Place(
        id=section.id,
        name_zh=section.name.zh,
        name_en=section.name.en,
        latitude=section.position.latitude,
        longitude=section.position.longitude,
        share=section.share,
    )


def _at_site(site: Site, share: float) -> Place:
    return Place(
        id=site.id,
        name_zh=site.name_zh,
        name_en=site.name_en,
        latitude=site.latitude,
        longitude=site.longitude,
        share=share,
        site=site.id,
    )


def _shelf() -> Path:
    return Path(str(files("suanwang.twin"))) / "networks"
