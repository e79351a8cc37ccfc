"""From the text of a `site.yaml` to a checked declaration.

Owns what the catalogue fills in: a device's memory, precisions and power, a place's position, a province's grid factor.
Reads no file and contacts no site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from suanwang import catalog
from suanwang.catalog.geography import atlas
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Dataset, DevicePool, Offering, Price
from suanwang.electricity.daily import modelled_day
from suanwang.sitefile.electricity import tariff_of
from suanwang.sitefile.model import (
    DeviceSection,
    LocalSection,
    NameSection,
    RestSection,
    SiteSection,
    SlurmSection,
    refusal,
)
from suanwang.sitefile.prices import PriceListDeclaration, PriceListSection, prices_of
from suanwang.taskfile.yamltext import checked_text, load_documents
from suanwang.trading.owning import checked_owners


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorOptions:
    """How the agent reaches the site's scheduler; fields that a kind does not use are None."""

    kind: str
    pin_cores: bool = True
    conf: str | None = None
    url: str | None = None
    user: str | None = None
    token_file: str | None = None
    label: str = "suanwang"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDeclaration:
    """`offering` is what the network is told; the rest stays with the agent."""

    id: SiteId
    offering: Offering
    connector: ConnectorOptions
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Name → path."""
    gres_types: Mapping[str, str] = field(default_factory=dict)
    """Catalogue identifier → Slurm's own type."""
    probe: bool = False
    """Whether the agent measures its host once a day, while it is idle."""
    price_list: PriceListDeclaration | None = None
    """To be published when the site is invited or changed."""


def read_site(text: str | bytes, *, filename: str = "site.yaml") -> SiteDeclaration:
    """Raises `InvalidRequest` naming the first offending field and what is allowed."""
    documents = load_documents(checked_text(text, filename=filename), filename=filename)
    if len(documents) != 1:
        raise InvalidRequest(f"{filename}: one site per file", field="file", allowed="one YAML document")
    try:
        section = PricedSiteSection.model_validate(documents[0].value)
    except ValidationError as error:
        raise refusal(error, filename) from None
    return _declaration(section)


class PricedSiteSection(SiteSection):
    price_list: PriceListSection | None = None


def _declaration(section: PricedSiteSection) -> SiteDeclaration:
    devices = [(_pool(device, section.nodes, index), device) for index, device in enumerate(section.devices)]
    latitude, longitude, province = _where(section)
    name = section.name if isinstance(section.name, NameSection) else NameSection(zh=section.name, en=section.name)
    offering = Offering(
        name_zh=name.zh,
        name_en=name.en,
        provider=section.provider,
        owners=checked_owners(section.owners),
        region=section.region,
        latitude=latitude,
        longitude=longitude,
        connector=section.connector.kind,
        nodes=section.nodes,
        cores_per_node=section.cores_per_node,
        memory_gb_per_node=section.memory_per_node,
        devices=tuple(pool for pool, _ in devices),
        price=Price(
            core_hour_yuan=section.price.core_hour,
            memory_gb_hour_yuan=section.price.memory_gb_hour,
            device_hour_yuan={pool.model: device.price for pool, device in devices},
            electricity=tariff_of(section.electricity) if section.electricity else None,
            electricity_passed_on=section.electricity is not None and section.electricity.passed_on,
        ),
        pue=section.pue,
        carbon_g_per_kwh=_carbon(section, province),
        carbon_daily=_daily(section, province, longitude),
        core_power_w=section.core_power_w,
        datasets=tuple(Dataset(name=name, size=0) for name in section.datasets),
        declares=section.declares,
        partition=section.connector.partition if not isinstance(section.connector, LocalSection) else None,
        accounts=section.accounts,
    )
    return SiteDeclaration(
        id=SiteId(section.id),
        offering=offering,
        connector=_connector(section.connector, section.id),
        datasets=section.datasets,
        probe=section.probe if section.probe is not None else isinstance(section.connector, LocalSection),
        gres_types={pool.model: device.gres for pool, device in devices if device.gres},
        price_list=prices_of(section.price_list, "price_list.") if section.price_list is not None else None,
    )


def _pool(device: DeviceSection, nodes: int, index: int) -> DevicePool:
    known = catalog.accelerator(device.model, field=f"devices.{index}.model")
    memory = device.memory if device.memory is not None else known.memory_gb.value if known.memory_gb else None
    power = device.power_w if device.power_w is not None else known.power_w.value if known.power_w else None
    for name, value in (("memory", memory), ("power_w", power)):
        if value is None:
            raise InvalidRequest(
                f"the catalogue does not know the {name} of {known.id}: say it", field=f"devices.{index}.{name}"
            )
    assert memory is not None
    assert power is not None
    return DevicePool(
        model=known.id,
        kind=known.kind,
        count=device.count if device.count is not None else device.per_node * nodes,
        per_node=device.per_node,
        memory_gb=memory,
        precisions=tuple(sorted(known.rates)),
        power_w=power,
    )


def _where(section: SiteSection) -> tuple[float, float, str | None]:
    if section.place is not None:
        place = catalog.place(section.place)
        position = section.position
        latitude = position.latitude if position else place.position.latitude
        longitude = position.longitude if position else place.position.longitude
        return latitude, longitude, section.province or place.province
    if section.position is None:
        raise InvalidRequest("say where the site is", field="place", allowed="`place: 贵安`, or `position`")
    return section.position.latitude, section.position.longitude, section.province


def _carbon(section: SiteSection, province: str | None) -> float:
    if section.carbon_g_per_kwh is not None:
        return section.carbon_g_per_kwh
    if province is None:
        raise InvalidRequest(
            "say the carbon intensity, or the province whose grid factor holds",
            field="carbon_g_per_kwh",
            allowed="0 to 2000",
        )
    return catalog.grid_factor(province).latest.value * 1000


def _daily(section: SiteSection, province: str | None, longitude: float) -> tuple[float, ...]:
    if section.carbon.daily == "constant":
        return ()
    if province is None:
        raise InvalidRequest("say the province: the modelled day follows its sun", field="province", allowed="`甘肃`")
    return modelled_day(atlas().province_names.one(province, "province"), longitude)


def _connector(section: LocalSection | SlurmSection | RestSection, site: str) -> ConnectorOptions:
    # An agent ends what carries its label and is not its own: two sites on one cluster must not share one.
    own = f"suanwang-{site}"
    match section:
        case LocalSection():
            return ConnectorOptions(kind=section.kind, pin_cores=section.pin_cores)
        case SlurmSection():
            return ConnectorOptions(kind=section.kind, conf=section.conf, label=section.label or own)
        case RestSection():
            return ConnectorOptions(
                kind=section.kind,
                url=section.url,
                user=section.user,
                token_file=section.token_file,
                label=section.label or own,
            )
