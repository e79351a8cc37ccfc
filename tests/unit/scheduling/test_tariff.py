"""Published schedules, and prices from them: checked by hand at named hours, and minute by minute against plain arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang import catalog
from suanwang.catalog.tariffs import ASSUMED_MULTIPLIERS, hours, seasons
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Period, Tariff, Tier
from suanwang.electricity.tariff import check_tariff, next_change_ms, price_series, slot_at

CHINA = timezone(timedelta(hours=8))
PEAK = Period(tier=Tier.PEAK, hours=((600, 780),), multiplier=Decimal(2))


def ms(*when: int) -> int:
    """An instant by the clock of UTC+8."""
    return int(datetime(*when, tzinfo=CHINA).timestamp() * 1000)  # type: ignore[misc, arg-type]


def tier(area: str, *when: int) -> str:
    return slot_at(catalog.tariff_area(area).tariff, ms(*when)).tier


def test_every_area_has_a_document_and_a_schedule_without_contradiction() -> None:
    areas = catalog.tariff_areas()
    assert len(areas) == 33
    assert {area.province for area in areas.values()} == set(catalog.provinces()) - {"hongkong", "macau"}
    for area in areas.values():
        check_tariff(area.tariff, area.id)
        assert "号" in area.tariff.document
        assert "price" in area.tariff.assumed, "no official flat price is shipped"
        assert {period.tier for period in area.tariff.periods} >= {Tier.PEAK, Tier.VALLEY}


def test_the_hubs_clusters_all_have_a_tariff() -> None:
    places, provinces = catalog.places(), {area.province for area in catalog.tariff_areas().values()}
    for cluster in catalog.clusters().values():
        assert places[cluster.places[0]].province in provinces


@pytest.mark.parametrize(
    ("area", "when", "expected"),
    [
        ("贵州", (2026, 3, 1, 0), "valley"),
        ("贵州", (2026, 3, 1, 7, 59, 59), "valley"),
        ("贵州", (2026, 3, 1, 8), "flat"),
        ("Guizhou", (2026, 3, 1, 10), "peak"),
        ("guizhou", (2026, 3, 1, 13), "flat"),
        ("北京", (2026, 3, 1, 23), "valley"),  # 23-7 goes over midnight
        ("北京", (2026, 3, 1, 6, 59), "valley"),
        ("北京", (2026, 7, 1, 16, 30), "sharp"),  # outside the peak it may lie in
        ("北京", (2026, 7, 1, 12), "sharp"),  # overrides peak
        ("蒙西", (2026, 7, 1, 14), "deep"),  # overrides valley
        ("蒙西", (2026, 7, 1, 12), "valley"),
        ("蒙西", (2026, 1, 1, 12), "valley"),
        ("Hebei South", (2026, 1, 31, 18), "sharp"),  # 12-2 goes over New Year
        ("Hebei South", (2026, 12, 1, 18), "sharp"),
        ("Hebei South", (2026, 3, 1, 18), "peak"),
        ("江西", (2026, 7, 1, 20, 29), "peak"),
        ("江西", (2026, 7, 1, 20, 30), "sharp"),
        ("安徽", (2026, 7, 14, 20), "peak"),
        ("安徽", (2026, 7, 15, 20), "sharp"),
        ("安徽", (2026, 12, 31, 20), "sharp"),
        ("安徽", (2027, 1, 31, 20), "sharp"),
        ("安徽", (2027, 2, 1, 20), "peak"),
        ("安徽", (2028, 2, 29, 12), "valley"),
        ("宁夏", (2026, 7, 1, 12), "valley"),
    ],
)
def test_tiers_by_the_documents(area: str, when: tuple[int, ...], expected: str) -> None:
    assert tier(area, *when) == expected


def test_prices_are_fixed_plus_flat_times_multiplier() -> None:
    tariff = catalog.tariff_area("安徽").tariff
    assert slot_at(tariff, ms(2026, 7, 20, 20)).yuan_per_kwh == Decimal("0.20") + Decimal("0.38") * Decimal("2.2116")
    summer, winter = (slot_at(catalog.tariff_area("蒙西").tariff, ms(2026, m, 1, 6)).yuan_per_kwh for m in (7, 1))
    assert (summer, winter) == (Decimal("0.6312"), Decimal("0.6704"))


def test_what_no_document_gives_is_called_assumed() -> None:
    ningxia, guizhou = (catalog.tariff_area(name).tariff for name in ("宁夏", "贵州"))
    assert ningxia.assumed == ("price", "multipliers")
    assert guizhou.assumed == ("price",)
    assert {period.tier: period.multiplier for period in ningxia.periods} == {
        Tier.PEAK: ASSUMED_MULTIPLIERS[Tier.PEAK],
        Tier.VALLEY: ASSUMED_MULTIPLIERS[Tier.VALLEY],
    }
    assert ASSUMED_MULTIPLIERS[Tier.PEAK] / ASSUMED_MULTIPLIERS[Tier.VALLEY] == 3
    assert ASSUMED_MULTIPLIERS[Tier.SHARP] / ASSUMED_MULTIPLIERS[Tier.PEAK] == Decimal("1.2")


def test_a_province_with_two_areas_asks_which() -> None:
    with pytest.raises(InvalidRequest, match="say which one: hebei-south, hebei-north"):
        catalog.tariff_area("河北")
    with pytest.raises(InvalidRequest, match="guizhou"):
        catalog.tariff_area("gizhou")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ()),
        ("7-9", ((701, 930),)),
        ("1;12", ((101, 131), (1201, 1231))),
        ("12-2", ((1201, 229),)),
        ("7/15-8/31", ((715, 831),)),
        ("5/1", ((501, 501),)),
    ],
)
def test_seasons(text: str, expected: object) -> None:
    assert seasons(text, field="months") == expected


@pytest.mark.parametrize("text", ["", "0", "13", "7/32", "2/30-3", "7-", "summer", "7-9-10", "7;", "９"])
def test_what_is_no_season(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        seasons(text, field="months")
    assert caught.value.field == "months"


@pytest.mark.parametrize("text", ["", "10", "25-26", "8:15-9", "10-10", "24-2", "8-25", "8-9;", "-8", "8:60-9"])
def test_what_are_no_hours(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        hours(text, field="hours")
    assert caught.value.field == "hours"


def changed(**values: object) -> Tariff:
    fields: dict[str, object] = {"flat_yuan_per_kwh": Decimal("0.5"), "periods": (PEAK,)} | values
    return Tariff(**fields)  # type: ignore[arg-type]


def period(**values: object) -> Period:
    fields: dict[str, object] = {"tier": Tier.VALLEY, "hours": ((0, 480),), "multiplier": Decimal("0.4")} | values
    return Period(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tariff", "field"),
    [
        (changed(flat_yuan_per_kwh=Decimal(-1)), "t.flat_yuan_per_kwh"),
        (changed(flat_yuan_per_kwh=Decimal("NaN")), "t.flat_yuan_per_kwh"),
        (changed(flat_yuan_per_kwh=Decimal("0.1234567")), "t.flat_yuan_per_kwh"),
        (changed(fixed_yuan_per_kwh=Decimal("Infinity")), "t.fixed_yuan_per_kwh"),
        (changed(periods=(period(multiplier=Decimal("1.23456")),)), "t.periods[0].multiplier"),
        (changed(periods=(PEAK, period(hours=((0, 15),)))), "t.periods[1].hours"),
        (changed(periods=(period(hours=()),)), "t.periods[0].hours"),
        (changed(periods=(period(hours=((600, 600),)),)), "t.periods[0].hours"),
        (changed(periods=(period(tier=Tier.FLAT),)), "t.periods[0].tier"),
        (changed(periods=(period(seasons=((230, 301),)),)), "t.periods[0].seasons"),
        (changed(periods=(PEAK, period(hours=((720, 900),)))), "t.periods"),
        (changed(periods=(PEAK, period(tier=Tier.DEEP, hours=((720, 900),)))), "t.periods"),
        (changed(periods=(PEAK, period(tier=Tier.PEAK, hours=((720, 900),), seasons=((1201, 131),)))), "t.periods"),
        (changed(periods=(PEAK,) * 61), "t.periods"),
        (changed(area="x" * 81), "t.area"),
        (changed(document="a\nb"), "t.document"),
        (changed(assumed=("everything",)), "t.assumed"),
        (changed(assumed=("price",) * 3), "t.assumed"),
    ],
)
def test_tariffs_that_cannot_be_true(tariff: Tariff, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_tariff(tariff, "t")
    assert caught.value.field == field
    assert caught.value.allowed


def test_periods_of_other_months_may_bear_the_same_hours() -> None:
    check_tariff(changed(periods=(period(seasons=((1201, 131),)), period(tier=Tier.PEAK, seasons=((201, 1130),)))), "t")


AREAS = sorted(catalog.tariff_areas())
INSTANTS = st.integers(ms(2025, 1, 1), ms(2029, 1, 1))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(AREAS), INSTANTS, st.integers(1, 3 * 24 * 3_600_000))
def test_a_series_is_the_price_at_every_instant(area: str, at: int, long: int) -> None:
    tariff = catalog.tariff_area(area).tariff
    found = price_series(tariff, at, at + long)
    assert found.start_ms <= at
    assert found.end_ms >= at + long
    assert found.step_ms in (1_800_000, 3_600_000)
    for instant in range(at, at + long, 1_200_000):
        assert float(slot_at(tariff, instant).yuan_per_kwh) == found.at(instant)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(AREAS), INSTANTS, st.integers(1, 2 * 24 * 3_600_000))
def test_an_integral_is_the_sum_over_its_minutes(area: str, at: int, long: int) -> None:
    tariff = catalog.tariff_area(area).tariff
    edges = [at, *range(at - at % 60_000 + 60_000, at + long, 60_000), at + long]
    by_minute = sum(
        (slot_at(tariff, begun).yuan_per_kwh * (end - begun) for begun, end in pairwise(edges)),
        Decimal(0),
    )
    assert price_series(tariff, at, at + long).integral(at, at + long) * 3.6e6 == pytest.approx(float(by_minute))


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(AREAS), INSTANTS, st.integers(1, 2 * 24 * 3_600_000))
def test_changes_are_where_the_price_changes_and_nowhere_else(area: str, at: int, long: int) -> None:
    tariff = catalog.tariff_area(area).tariff
    until = at + long
    change = next_change_ms(tariff, at, until)
    assert at < change <= until
    now = slot_at(tariff, at)
    assert slot_at(tariff, change - 1) == now
    assert change == until or slot_at(tariff, change) != now


def test_the_year_of_a_tariff_has_its_hours() -> None:
    """Guizhou: 8 hours valley, 8 peak, 8 flat, all year: a kWh at an even draw costs their mean."""
    tariff = catalog.tariff_area("贵州").tariff
    year = price_series(tariff, ms(2026, 1, 1), ms(2027, 1, 1))
    assert len(year.values) == 8760
    assert year.values.mean() == pytest.approx(0.20 + 0.35 * (1.6 + 0.4 + 1) / 3)
    assert year.start_ms == int(datetime(2025, 12, 31, 16, tzinfo=UTC).timestamp() * 1000)


def test_no_time_is_refused() -> None:
    tariff = catalog.tariff_area("贵州").tariff
    with pytest.raises(InvalidRequest):
        price_series(tariff, 5, 5)
