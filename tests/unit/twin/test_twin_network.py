"""A twin's network: what a file must say, and the columns that come of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.twin.engine import LINK
from suanwang.twin.findings import find
from suanwang.twin.network import (
    DEVICES,
    EVERYWHERE,
    PLAIN,
    Cooling,
    Foresight,
    Network,
    feeds,
    kinds,
    outlook,
    resized,
    rows,
)
from suanwang.twin.networkfile import parse_network, read_network, shipped
from suanwang.twin.outages import cuts
from suanwang.twin.routes import Lines, Routes, Span, routes

MONDAY_MS = 1_783_267_200_000
"""2026-07-06 00:00 at UTC+8."""
SMALL = """
network: small
links: {gbps: 2, yuan_per_gb: 0.5, special: [{between: [a, far], gbps: 8, yuan_per_gb: 0.1}]}
places:
  - {site: a, share: 1}
  - {id: far, name: {zh: 远, en: Far}, position: {latitude: 23.1, longitude: 113.3}, share: 3}
sites:
  - id: a
    position: {latitude: 40, longitude: 116}
    electricity: {flat_yuan_per_kwh: 0.5, carbon: 700, green_share: 0.25}
    pue: 1.5
    pools:
      - {cores: 10, memory_gb: 40, watts: {core: 8, gb: 0.5}, price: {core_hour: 0.1}}
      - {cores: 8, memory_gb: 64, devices: 4, watts: {core: 8, device: 400}, price: {device_hour: 3, electricity: included}}
  - id: b
    position: {latitude: 23, longitude: 113}
    electricity: {tariff: jilin, fixed_yuan_per_kwh: 0, flat_yuan_per_kwh: 1, carbon: 100}
    pue: {base: 1.1, per_degree: 0.01, free_below_c: 10, daily_range_c: 10, monthly_c: [0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0]}
    pools: [{cores: 20, memory_gb: 80, watts: {core: 6}, slowness: 2}]
"""


def small() -> Network:
    return parse_network(SMALL, filename="small.yaml")


def ways_of(text: str) -> Routes:
    network = parse_network(text, filename="small.yaml")
    site = rows(network, np.ones(len(network.sites)))[0].site
    return cuts(network, site, 5, 10, every_days=0, hours=1, chance=np.random.default_rng(1))[1]


def told(found: Routes, place: int, site: int) -> tuple[float, float, str, str]:
    """What the data of a place take and cost per GB, by way of what, and why."""
    way = found.ways.first[place, site]
    for change in found.changes:
        way = next((new for p, s, new in change.ways if (p, s) == (place, site)), way)
    if way < 0:
        return (np.inf, np.inf, "", "")
    return float(found.ways.ms_per_gb[way]), float(found.ways.yuan_per_gb[way]), found.over[way], found.because[way]


def test_data_go_by_way_of_a_third_site_while_a_link_is_cut() -> None:
    cut = "links: {cut: [{between: [far, b], from: 2026-07-06T00:30, until: 2026-07-06T02:00}, %s], "
    mended = ways_of(SMALL.replace("links: {", cut % ""))
    half = MONDAY_MS + HOUR_MS // 2
    assert [(change.at_ms, change.cut) for change in mended.changes] == [(half, [2]), (MONDAY_MS + 2 * HOUR_MS, [])]
    (_, _, over), (_, _, straight) = (change.ways[0] for change in mended.changes)
    # The place far is number 1, the site b too: 8 Gbit/s to a, then 2 to b.
    assert [len(change.ways) for change in mended.changes] == [1, 1]
    assert mended.ways.ms_per_gb[[over, straight]].tolist() == [5000, 4000]
    assert mended.ways.yuan_per_gb[[over, straight]].tolist() == [0.6, 0.5]
    assert mended.ways.delay_ms[over] > 2 * mended.ways.delay_ms[straight], "by way of the north"
    assert (mended.over[over], mended.because[over]) == ("a", "far - b is cut")
    # Users at the site a lose their only link to b: places pass on nothing for others.
    lost = ways_of(SMALL.replace("links: {", cut % "{between: [b, a]}"))
    assert told(lost, 0, 1) == (np.inf, np.inf, "", "")


def test_data_go_by_way_of_a_third_site_where_that_is_quicker() -> None:
    slow = SMALL.replace("special: [", "special: [{between: [far, b], gbps: 1}, ")
    assert told(ways_of(slow), 1, 1) == (5000, 0.6, "a", "quicker")
    alike = SMALL.replace("special: [", "special: [{between: [far, b], gbps: 1.6, yuan_per_gb: 9}, ")
    assert told(ways_of(alike), 1, 1) == (5000, 9, "", ""), "as long without the second link's delay"


def test_numbering_sites_and_places_another_way_changes_no_way() -> None:
    network = read_network("national")
    turned = replace(network, sites=network.sites[::-1], places=network.places[::-1])
    found = []
    for one in (network, turned):
        site = np.arange(len(one.sites))
        sites, places = [each.id for each in one.sites], [each.id for each in one.places]
        links = [Span(ends, 10, None) for ends in Lines(one).between(("beijing", "horinger"))]
        links += [Span(ends, 20, 30) for pair in (("beijing", "zhongwei"), ("beijing", "zhangjiakou"))
                  for ends in Lines(one).between(pair)]  # fmt: skip
        ways = routes(one, site, links)
        found.append(
            {
                (change.at_ms, places[p], sites[s], ways.over[way], ways.because[way], ways.ways.ms_per_gb[way])
                for change in ways.changes
                for p, s, way in change.ways
            }
        )
    assert found[0] == found[1]
    assert len(found[0]) > 3


def test_cuts_are_drawn_for_every_link_and_all_of_them_end() -> None:
    site = rows(small(), np.ones(2), devices=True)[0].site
    faults, found = cuts(small(), site, 0, 30 * 24 * HOUR_MS, every_days=2, hours=5, chance=np.random.default_rng(1))
    assert set(faults.row[faults.place == LINK].tolist()) == {0, 1, 2}
    last = {(p, r): way for p, r, way in zip(faults.place.tolist(), faults.row.tolist(), faults.way.tolist(), strict=True)
            if p >= 0}  # fmt: skip
    assert {pair for pair in last if last[pair] < 0} == set()
    assert all(way == found.ways.first[place, row] for (place, row), way in last.items())


def test_a_network_may_have_no_links_but_those_that_it_names() -> None:
    star = SMALL.replace("gbps: 2, ", "gbps: 0, ")
    with pytest.raises(InvalidRequest, match="no links lead from") as refused:
        parse_network(star, filename="small.yaml")
    assert refused.value.field == "links"
    joined = ways_of(star.replace("special: [", "special: [{between: [a, b], gbps: 4}, "))
    assert told(joined, 1, 1) == (3000, 0.1, "a", "no direct link")


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ("{between: [a, nowhere]}", "no data cross"),
        ("{between: [a, a]}", "no data cross"),
        ("{between: [a, far], from: 2026-07-06, until: 2026-07-06}", "ends before it begins"),
        ("{between: [a, far], from: yesterday}", "yesterday is no time"),
        ("{between: [a, far], from: 2026-07-06T00:00:30}", "off the minute"),
        ("{between: [a, far], hours: 3}", "not known"),
    ],
)
def test_cuts_that_make_no_sense(cut: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_network(SMALL.replace("links: {", f"links: {{cut: [{cut}], "), filename="small.yaml")


def test_the_national_network_is_the_catalogues() -> None:
    network = read_network("national")
    assert "national" in shipped()
    assert {site.id for site in network.sites} == set(catalog.clusters())
    assert {site.hub for site in network.sites} == set(catalog.hubs())
    for site in network.sites:
        assert site.power.carbon_g_per_kwh == pytest.approx(catalog.grid_factor(site.province).latest.value * 1000)
        assert site.power.tariff.document
        assert site.power.tariff.periods
        assert sum(site.power.carbon_daily) == pytest.approx(24)


def test_noon_is_the_valley_in_the_north_west_and_night_in_the_south_and_west_is_not_always_greener() -> None:
    found = find(read_network("national"), MONDAY_MS)
    assert {"horinger", "qingyang", "zhongwei"} == {one.site.id for one in found.noon}
    assert {"shaoguan", "guian", "tianfu"} <= {one.site.id for one in found.night}
    valleys = {one.site.id: one.valley for one in found.sites}
    assert valleys["zhongwei"] == ((9, 17),)
    assert valleys["zhangjiakou"] == ((23, 7),)
    assert found.greenest.site.id == "tianfu"
    west, east = found.dirtier_in_the_west[0]
    assert (west.site.id, east.site.id) == ("horinger", "shaoguan")
    assert west.carbon_g_per_kwh > east.carbon_g_per_kwh


@pytest.mark.parametrize(
    ("before", "after", "field", "line"),
    [
        ("network: small", "network: Small One", "network", 2),
        ("pue: 1.5", "pue: 0.9", "sites[0].pue", 11),
        ("cores: 10,", "cores: -1,", "sites[0].pools[0].cores", 13),
        ("cores: 10,", "cores: 10, gpus: 3,", "sites[0].pools[0].gpus", 13),
        ("flat_yuan_per_kwh: 0.5, ", "", "sites[0].electricity", 10),
        ("monthly_c: [0, ", "monthly_c: [", "sites[1].pue.monthly_c", 18),
        ("carbon: 100}", "carbon: .nan}", "sites[1].electricity.carbon", 17),
        ("{site: a, share: 1}", "{site: a, place: beijing}", "places[0]", 5),
    ],
)
def test_what_a_network_file_may_not_say(before: str, after: str, field: str, line: int) -> None:
    assert before in SMALL
    with pytest.raises(InvalidRequest) as told:
        parse_network(SMALL.replace(before, after), filename="small.yaml")
    assert told.value.field == field
    assert f"line {line}," in told.value.message


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("between: [a, far]", "between: [a, farther]", "links[0]"),
        ("- id: b", "- id: a", "sites"),
        ("{site: a, share: 1}", "{site: c, share: 1}", "places[0].site"),
        ("tariff: jilin", "tariff: atlantis", "sites[1].electricity.tariff"),
        ("carbon: 700, ", "", "sites[0].electricity.carbon"),
        ("device: 400", "device: 0", "sites[0].pools[1].watts.device"),
        ("carbon: 100}", "carbon: 100, shape: [1, 2]}", "sites[1].electricity.shape"),
        ("    position: {latitude: 40, longitude: 116}\n", "", "sites[0].position"),
    ],
)
def test_what_does_not_go_together_in_a_network(before: str, after: str, field: str) -> None:
    assert before in SMALL
    with pytest.raises(InvalidRequest) as told:
        parse_network(SMALL.replace(before, after), filename="small.yaml")
    assert told.value.field == field


def test_a_network_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(InvalidRequest, match="cannot be read") as told:
        read_network("nowhere.yaml")
    assert "national" in (told.value.allowed or "")


def test_rows_hold_pools_power_with_pue_and_prices() -> None:
    network = small()
    made, fits = rows(network, np.array([1.5, 1.2]), devices=True)
    assert made.site.tolist() == [0, 0, 1]
    assert made.capacity.tolist() == [[10, 40, 0], [8, 64, 4], [20, 80, 0]]
    assert made.power_w.tolist() == [[12, 0.75, 0], [12, 0, 600], [pytest.approx(7.2), 0, 0]]
    assert made.electricity_share.tolist() == [1, 0, 1]
    assert made.slowness.tolist() == [1, 1, 2]
    assert fits[[PLAIN, DEVICES]].tolist() == [[True, False, True], [False, True, False]]
    plain, _ = rows(network, np.array([1.5, 1.2]))
    assert plain.site.tolist() == [0, 1]


def test_data_need_no_moving_where_they_are_and_links_say_what_moving_takes() -> None:
    made, _ = rows(small(), np.ones(2))
    assert made.transfer_ms_per_gb[:2].tolist() == [[0, 4000], [1000, 4000]]
    assert made.transfer_yuan_per_gb[:2].tolist() == [[0, 0.5], [0.1, 0.5]]


def test_jobs_that_must_stay_near_have_a_kind_for_each_place_and_always_one_site() -> None:
    plain, near = np.zeros(2, bool), np.array([0, 1])
    for near_ms in (1.0, 0.0):
        _, fits = rows(small(), np.ones(2), near_ms=near_ms)
        assert fits[kinds(plain, near)].tolist() == [[True, False], [False, True]]
        assert fits[kinds(plain, np.full(2, EVERYWHERE))].all()
    _, fits = rows(small(), np.ones(2), near_ms=1000.0)
    assert fits[kinds(plain, near)].all()


def test_work_of_a_kind_that_no_pool_takes_is_refused() -> None:
    network = small()
    bare = replace(network, sites=network.sites[1:], places=network.places[1:], links=())
    with pytest.raises(InvalidRequest, match="no pool with devices"):
        rows(bare, np.ones(1), plain=False, devices=True)


def test_pue_follows_the_temperature_of_month_and_hour() -> None:
    cooling = Cooling(
        base=1.1, per_degree=0.01, free_below_c=10, daily_range_c=10, monthly_c=(*[0.0] * 6, 20, *[0.0] * 5)
    )
    july = cooling.pue(MONDAY_MS, 24, 8.0)
    # Warmest at 15:00: the hours that touch it lie half an hour away.
    peak = 1.1 + 0.01 * (20 + 5 * np.cos(0.5 * np.pi / 12) - 10)
    assert july[14] == july[15] == july.max() == pytest.approx(peak)
    assert july.min() == pytest.approx(1.1 + 0.01 * (20 - 5 * np.cos(0.5 * np.pi / 12) - 10))
    winter = cooling.pue(MONDAY_MS - 180 * 24 * HOUR_MS, 24, 8.0)
    assert (winter == 1.1).all()


def test_feeds_follow_the_tariff_hour_by_hour_and_move_the_hours_pue_into_the_price() -> None:
    given = feeds(small(), MONDAY_MS, 24, price=2.0, carbon=3.0)
    assert set(given.yuan[0].values.tolist()) == {1.0}
    # Jilin: valley at 0-5, 11-14 and 23-24 (0.45), peak at 8-10 and 16-21 (1.55).
    assert given.yuan[1].values.round(9).tolist() == [
        *[0.9] * 5, *[2.0] * 3, *[3.1] * 2, 2.0, *[0.9] * 3, *[2.0] * 2, *[3.1] * 5, *[2.0] * 2, 0.9,
    ]  # fmt: skip
    assert set(given.carbon_g[1].values.tolist()) == {300.0}
    paid = given.weighted_yuan[1].values * given.mean_pue[1]
    assert paid == pytest.approx(given.yuan[1].values * given.pue[1].values)
    assert given.relative_pue[1].values.mean() == pytest.approx(1.0)
    with pytest.raises(InvalidRequest, match="whole hour"):
        feeds(small(), MONDAY_MS + 1, 24)


def test_an_outlook_without_error_is_the_truth_and_one_with_error_is_not() -> None:
    given = feeds(small(), MONDAY_MS, 96)
    made = outlook(given, MONDAY_MS, 24, Foresight(carbon_error=0.0, horizon_hours=12), np.random.default_rng(1))
    assert made.yuan.shape == (24, 2, 13)
    assert made.yuan[:, :, 0].max() == 0
    for issue in (0, 7, 23):
        at = MONDAY_MS + issue * HOUR_MS
        for site in range(2):
            truth = given.weighted_yuan[site].integral(at, at + 5 * HOUR_MS)
            assert made.yuan[issue, site, 5] == pytest.approx(float(truth))
    noisy = outlook(given, MONDAY_MS, 24, Foresight(carbon_error=0.1, horizon_hours=12), np.random.default_rng(1))
    assert (noisy.yuan == made.yuan).all()
    off = np.diff(noisy.carbon_g, axis=2) / np.diff(made.carbon_g, axis=2) - 1
    assert 0.05 < off.std() < 0.15


@pytest.mark.parametrize(
    ("chosen", "held_h", "steps"), [(None, 0, 72), (None, 24, 72), (None, 100, 148), (None, 8760, 720), (12, 100, 12)]
)
def test_an_outlook_reaches_beyond_the_longest_hold_where_nobody_chose_how_far(
    chosen: int | None, held_h: int, steps: int
) -> None:
    given, seen = feeds(small(), MONDAY_MS, 96), Foresight(horizon_hours=chosen)
    made = outlook(given, MONDAY_MS, 2, seen, np.random.default_rng(1), held_ms=held_h * HOUR_MS)
    assert made.yuan.shape == made.carbon_g.shape == (2, 2, steps + 1)


def test_a_forecast_from_the_past_does_not_know_the_future() -> None:
    given = feeds(small(), MONDAY_MS, 400)
    start = MONDAY_MS + 200 * HOUR_MS
    later = tuple(replace(one, values=np.where(np.arange(400) >= 200, 1e6, one.values)) for one in given.carbon_g)
    poisoned = replace(given, carbon_g=later)
    seen = Foresight(forecast="past", horizon_hours=24)
    one, other = (outlook(feed, start, 1, seen, np.random.default_rng(0)) for feed in (given, poisoned))
    assert (one.carbon_g == other.carbon_g).all()
    assert one.carbon_g[0, 0, -1] > 0


def test_resizing_keeps_what_a_core_draws_and_costs() -> None:
    network = resized(small(), 0.5)
    assert network.sites[0].pools[1].devices == 2
    assert network.sites[0].pools[0].core_w == 8
