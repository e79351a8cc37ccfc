"""Hubs, clusters, centres, places and grid factors."""

from __future__ import annotations

import pytest

from suanwang import catalog
from suanwang.domain.device import CentreState
from suanwang.domain.errors import InvalidRequest

HUBS = {"京津冀", "长三角", "粤港澳大湾区", "成渝", "内蒙古", "贵州", "甘肃", "宁夏"}
CLUSTERS = {
    "和林格尔", "中卫", "庆阳", "天府", "重庆", "贵安", "张家口", "芜湖", "长三角生态绿色一体化发展示范区", "韶关",
}  # fmt: skip


def test_the_eight_hubs_and_ten_clusters() -> None:
    hubs, clusters = catalog.hubs(), catalog.clusters()
    assert {hub.name_zh for hub in hubs.values()} == HUBS
    assert {cluster.name_zh for cluster in clusters.values()} == CLUSTERS
    assert sum(len(hub.clusters) for hub in hubs.values()) == 10
    for cluster in clusters.values():
        assert cluster.id in hubs[cluster.hub].clusters
        assert all(place in catalog.places() for place in cluster.places)
    assert {hub.name_zh for hub in hubs.values() if hub.side == "west"} == {"成渝", "内蒙古", "贵州", "甘肃", "宁夏"}


def test_every_hub_lies_in_its_provinces() -> None:
    places = catalog.places()
    for cluster in catalog.clusters().values():
        hub = catalog.hubs()[cluster.hub]
        assert {places[place].province for place in cluster.places} <= set(hub.provinces)


def test_the_gazetteer_is_wide_and_lies_in_china() -> None:
    places = catalog.places()
    assert len(places) >= 120
    for place in places.values():
        assert 18 <= place.position.latitude <= 54
        assert 73 <= place.position.longitude <= 135
        assert any("\u4e00" <= letter <= "\u9fff" for letter in place.name_zh)
        assert place.name_en.isascii()


def test_every_province_has_its_capital() -> None:
    capitals = {place.province for place in catalog.places().values() if place.capital}
    assert capitals == set(catalog.provinces())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("上海", "shanghai"), ("上海市", "shanghai"), ("Shanghai", "shanghai"), ("SHANGHAI", "shanghai"), ("贵安", "guian"),
        ("贵安新区", "guian"), ("Gui'an", "guian"), ("和林格尔", "horinger"), ("芜湖", "wuhu"), ("Wuhu", "wuhu"),
        ("苏州", "suzhou"), ("宿州", "suzhou-anhui"), ("榆林", "yulin-shaanxi"), ("芜湖集群", "wuhu"), ("Xi'an", "xian"),
        ("长三角生态绿色一体化发展示范区", "qingpu"),
    ],
)  # fmt: skip
def test_names_of_places(name: str, expected: str) -> None:
    assert catalog.place(name).id == expected


@pytest.mark.parametrize(
    ("name", "near"), [("Shanghia", "shanghai"), ("Taizhou", "taizhou-jiangsu"), ("上海滩", "shanghai")]
)
def test_an_unknown_place_gets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.place(name, field="constraints.circle.place")
    assert caught.value.field == "constraints.circle.place"
    assert caught.value.allowed is not None
    assert near in caught.value.allowed


def test_centres_keep_every_report_as_printed() -> None:
    centres = catalog.centres()
    assert len(centres) >= 60
    by_name = {centre.name_zh: centre for centre in centres.values()}
    wuhan = by_name["武汉人工智能计算中心"]
    assert wuhan.operators == ("华为昇腾",)
    assert wuhan.reports[0].size_as_printed == "100P FLOPS"
    assert wuhan.reports[0].state is CentreState.BUILT
    assert wuhan.fp16_pflops is not None
    assert wuhan.fp16_pflops.value == 100
    assert wuhan.position == catalog.place("武汉").position
    dalian = by_name["大连人工智能计算中心"]
    assert [report.state_as_printed for report in dalian.reports] == ["建设中", "投入使用"]
    assert [report.source for report in dalian.reports] == ["s1-table-2", "s2-table-1"]
    references = catalog.geography_references()
    for centre in centres.values():
        assert centre.place in catalog.places()
        for report in centre.reports:
            assert references[report.source].published_on == report.published_on
        if centre.fp16_pflops:
            assert centre.fp16_pflops.note


def test_both_tables_are_complete() -> None:
    """53 rows of the white paper's table 2 and 23 of the observation report's table 1, merged where they name one centre."""
    sources = [report.source for centre in catalog.centres().values() for report in centre.reports]
    assert sources.count("s1-table-2") == 53
    assert sources.count("s2-table-1") == 23


@pytest.mark.parametrize(
    ("province", "year", "factor"),
    [
        ("贵州", 2022, 0.4989),
        ("Inner Mongolia", 2022, 0.6849),
        ("内蒙古自治区", 2021, 0.7025),
        ("anhui", 2022, 0.6782),
        ("青海省", 2022, 0.1567),
    ],
)
def test_grid_factors(province: str, year: int, factor: float) -> None:
    assert catalog.grid_factor(province).kg_per_kwh[year].value == factor


def test_grid_factors_of_thirty_provinces_with_source() -> None:
    factors = catalog.grid_factors()
    assert len(factors) == 30
    for factor in factors.values():
        assert set(factor.kg_per_kwh) == {2021, 2022}
        assert factor.latest is factor.kg_per_kwh[2022]
        assert 0.05 < factor.latest.value < 0.9
        assert factor.latest.source == "mee-2022"


@pytest.mark.parametrize("province", ["西藏", "Atlantis", "", "香港"])
def test_a_province_without_a_factor_is_refused(province: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.grid_factor(province, field="site.province")
    assert caught.value.field == "site.province"
