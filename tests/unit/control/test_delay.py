"""Kilometres to milliseconds, against distances anybody can look up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanwang.control.wording import positions
from suanwang.routing.delay import EARTH_RADIUS_KM, EQUIPMENT_MS, distance_km, one_way_ms

LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)


def between(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(distance_km(*a, np.array([b[0]]), np.array([b[1]]))[0])


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ("beijing", "shanghai", 1067),
        ("shanghai", "guiyang", 1525),
        ("beijing", "guangzhou", 1890),
        ("shanghai", "wuhu", 297),
    ],
)
def test_distances_between_cities(here: str, there: str, km: float) -> None:
    places = positions()
    a, b = places[here], places[there]
    found = between((a.latitude, a.longitude), (b.latitude, b.longitude))
    assert found == pytest.approx(km, rel=0.03)


def test_the_poles_and_the_other_side() -> None:
    half = math.pi * EARTH_RADIUS_KM
    assert between((90, 0), (-90, 77)) == pytest.approx(half)
    assert between((0, 0), (0, 180)) == pytest.approx(half)
    assert between((10, 179.999), (10, -179.999)) < 1


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_a_distance_is_one(a: float, b: float, c: float, d: float) -> None:
    there, back = between((a, b), (c, d)), between((c, d), (a, b))
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= math.pi * EARTH_RADIUS_KM + 1e-6
    assert between((a, b), (a, b)) == pytest.approx(0, abs=1e-6)


def test_delay_by_hand() -> None:
    # 1,000 km of great circle are 1,400 km of fibre at 200 km a millisecond, and 0.2 ms of equipment.
    assert one_way_ms(np.array([0.0, 1000.0])).tolist() == pytest.approx([EQUIPMENT_MS, 7.2])


def test_wuhu_lies_in_the_five_millisecond_circle_of_shanghai_and_guian_does_not() -> None:
    places = positions()
    shanghai = places["shanghai"]
    ms = {
        name: float(
            one_way_ms(
                distance_km(
                    shanghai.latitude,
                    shanghai.longitude,
                    np.array([places[name].latitude]),
                    np.array([places[name].longitude]),
                )
            )[0]
        )
        for name in ("wuhu", "guiyang")
    }
    assert ms["wuhu"] < 5 < ms["guiyang"]
