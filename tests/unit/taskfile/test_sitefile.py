"""A provider's `site.yaml`: what the catalogue fills in, and what is refused with the field's name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from suanwang import catalog
from suanwang.control.sites import check_offering
from suanwang.domain.errors import InvalidRequest
from suanwang.sitefile import read_site

PLAIN = """
id: guian
name: {zh: 贵安, en: Guian}
provider: guian-dc
region: 贵州
place: 贵阳
nodes: 2
cores_per_node: 64
memory_per_node: 512GB
price: {core_hour: 0.10, memory_gb_hour: 0.005}
pue: 1.2
connector: {kind: local}
"""
DEVICES = (
    PLAIN
    + """
devices:
  - {model: ascend 910b, per_node: 8, price: 9.5, gres: ascend910b}
datasets: {scans: /data/scans}
accounts: {demo: slurm-demo, demo/li: li}
"""
)


def test_a_plain_site() -> None:
    site = read_site(PLAIN)
    offer = site.offering
    assert (site.id, offer.name_zh, offer.name_en, offer.provider) == ("guian", "贵安", "Guian", "guian-dc")
    assert (offer.nodes, offer.cores_per_node, offer.memory_gb_per_node) == (2, 64, 512.0)
    assert offer.price.core_hour_yuan == Decimal("0.10"), "money is never a float"
    assert site.connector.kind == "local"
    assert site.probe, "runs go where the agent is"
    check_offering(offer)


def test_the_catalogue_fills_in_place_and_grid() -> None:
    offer = read_site(PLAIN).offering
    place = catalog.place("贵阳")
    assert (offer.latitude, offer.longitude) == (place.position.latitude, place.position.longitude)
    assert offer.carbon_g_per_kwh == pytest.approx(catalog.grid_factor(place.province).latest.value * 1000)


def test_the_catalogue_fills_in_a_device() -> None:
    site = read_site(DEVICES)
    (pool,) = site.offering.devices
    known = catalog.accelerator("ascend 910b")
    assert pool.model == known.id
    assert (pool.count, pool.per_node) == (16, 8)
    assert known.memory_gb is not None
    assert pool.memory_gb == known.memory_gb.value
    assert site.offering.price.device_hour_yuan == {known.id: Decimal("9.5")}
    assert site.gres_types == {known.id: "ascend910b"}
    assert site.datasets == {"scans": "/data/scans"}
    assert [dataset.name for dataset in site.offering.datasets] == ["scans"]
    assert "/data/scans" not in repr(site.offering), "paths stay with the agent"
    assert site.offering.accounts == {"demo": "slurm-demo", "demo/li": "li"}
    check_offering(site.offering)


def test_what_is_said_wins_over_the_catalogue() -> None:
    text = DEVICES.replace("price: 9.5", "price: 9.5, count: 5, memory: 48GB, power_w: 250") + "carbon_g_per_kwh: 20\n"
    site = read_site(text + "position: {latitude: 26.0, longitude: 106.0}\n")
    (pool,) = site.offering.devices
    assert (pool.count, pool.memory_gb, pool.power_w) == (5, 48.0, 250.0)
    assert site.offering.carbon_g_per_kwh == 20
    assert (site.offering.latitude, site.offering.longitude) == (26.0, 106.0)


@pytest.mark.parametrize(
    ("connector", "kind", "partition"),
    [
        ("{kind: slurm, conf: /etc/slurm/slurm.conf, partition: gpu}", "slurm", "gpu"),
        ("{kind: slurmrestd, url: 'http://127.0.0.1:6820', user: sw, token_file: /run/jwt}", "slurmrestd", None),
    ],
)
def test_connectors(connector: str, kind: str, partition: str | None) -> None:
    site = read_site(PLAIN.replace("{kind: local}", connector))
    assert (site.connector.kind, site.offering.connector, site.offering.partition) == (kind, kind, partition)
    assert not site.probe, "the agent's host is not where runs go"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("nodes: 2", "nodes: 0", "nodes"),
        ("nodes: 2", "nodes: two", "nodes"),
        ("cores_per_node: 64", "cores_per_node: -1", "cores_per_node"),
        ("memory_per_node: 512GB", "memory_per_node: .nan", "memory_per_node"),
        ("memory_per_node: 512GB", "memory_per_node: 0", "memory_per_node"),
        ("pue: 1.2", "pue: .inf", "pue"),
        ("pue: 1.2", "pue: 0.5", "pue"),
        ("core_hour: 0.10", "core_hour: -1", "price.core_hour"),
        ("core_hour: 0.10", "core_hour: .nan", "price.core_hour"),
        ("provider: guian-dc", "provider: ''", "provider"),
        ("provider: guian-dc", 'provider: "a\\nb"', "provider"),
        ("pue: 1.2", "pue: 1.2\nprise: 3", "prise"),
        ("{kind: local}", "{kind: pbs}", "connector"),
        ("{kind: local}", "{kind: local, conf: x}", "connector.local.conf"),
        ("place: 贵阳", "place: Atlantis", "place"),
        ("place: 贵阳", "position: {latitude: 91, longitude: 0}", "position.latitude"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, field: str) -> None:
    assert old in PLAIN
    with pytest.raises(InvalidRequest) as caught:
        read_site(PLAIN.replace(old, new))
    assert caught.value.field == field
    assert caught.value.message


def test_a_site_without_a_place_or_a_grid() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_site(PLAIN.replace("place: 贵阳\n", ""))
    assert caught.value.field == "place"
    with pytest.raises(InvalidRequest) as caught:
        read_site(PLAIN.replace("place: 贵阳", "position: {latitude: 1, longitude: 2}"))
    assert caught.value.field == "carbon_g_per_kwh"


def test_an_unknown_device_gets_suggestions() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_site(DEVICES.replace("ascend 910b", "ascend 910z"))
    assert caught.value.field == "devices.0.model"
    assert "910" in (caught.value.allowed or "") + caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "[]", "a: 1\n---\nb: 2\n", "id: [", "id: guian\nid: twice\n", "&a [*a]", "!!python/object:os.system {}"],
)
def test_what_is_no_site_file(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_site(text)


def test_a_field_is_named_as_the_file_has_it() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_site(PLAIN.replace("name: {zh: 贵安, en: Guian}", "name: {zh: 贵安}"))
    assert caught.value.field == "name.en"
    assert "NameSection" not in caught.value.message
    assert "function-after" not in caught.value.message
