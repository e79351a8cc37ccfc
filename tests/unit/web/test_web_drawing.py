"""The map: everything on the canvas, nothing on top of another, the same every time."""

from __future__ import annotations

import math

from suanwang.web.drawing import HEIGHT, WIDTH, Circle, Spot, around, chart, curve


def spot(name: str, longitude: float, latitude: float, weight: float = 1.0) -> Spot:
    return Spot(id=name, name=name, caption="50%", longitude=longitude, latitude=latitude, weight=weight)


SPOTS = [spot("guian", 106.63, 26.4, 8), spot("horinger", 111.82, 40.38, 4), spot("wuhu", 118.43, 31.35, 2)]


def by_id(circles: tuple[Circle, ...]) -> dict[str, Circle]:
    return {circle.spot.id: circle for circle in circles}


def test_east_is_right_north_is_up_and_capacity_is_area() -> None:
    found = by_id(chart(SPOTS, []).circles)
    assert found["guian"].x < found["horinger"].x < found["wuhu"].x
    assert found["horinger"].y < found["wuhu"].y < found["guian"].y
    assert found["guian"].r > found["horinger"].r > found["wuhu"].r


def test_sites_of_one_city_do_not_hide_each_other() -> None:
    crowd = [spot(f"s{n}", 106.6, 26.4) for n in range(6)] + SPOTS[1:]
    circles = chart(crowd, []).circles
    for index, one in enumerate(circles):
        assert one.x - one.r > 0
        assert one.x + one.r < WIDTH
        assert one.y - one.r > 0
        assert one.y + one.r < HEIGHT
        for other in circles[index + 1 :]:
            assert math.hypot(one.x - other.x, one.y - other.y) > one.r + other.r


def test_order_does_not_matter() -> None:
    assert chart(SPOTS, []) == chart(SPOTS[::-1], [])


def test_one_site_none_at_all_and_the_far_side_of_the_world() -> None:
    (only,) = chart(SPOTS[:1], []).circles
    assert (only.x, only.y) == (WIDTH / 2, HEIGHT / 2)
    assert chart([], []).circles == ()
    far = chart([*SPOTS, spot("pole", -179.9, 89.9, 0.0)], []).circles
    assert all(math.isfinite(circle.x) and 0 < circle.x < WIDTH and 0 < circle.y < HEIGHT for circle in far)


def test_signs_give_way_to_sites() -> None:
    drawn = chart(SPOTS, [("贵州", 106.63, 26.4), ("甘肃", 107.64, 35.73)])
    assert [sign.text for sign in drawn.signs] == ["甘肃"]


def test_jobs_stand_around_their_site_in_one_ring_at_most() -> None:
    circle = chart(SPOTS, []).circles[0]
    places = around(circle, 40)
    assert len(places) == 12
    assert len({(round(x), round(y)) for x, y in places}) == 12
    assert all(math.isclose(math.hypot(x - circle.x, y - circle.y), circle.r + 7) for x, y in places)
    assert around(circle, 0) == []


def test_an_arc_leaves_one_site_and_reaches_the_other() -> None:
    found = by_id(chart(SPOTS, []).circles)
    start, *_, end = curve(found["guian"], found["wuhu"]).replace("M", "").replace("Q", "|").split("|")
    x, y = map(float, start.split())
    assert math.hypot(x - found["guian"].x, y - found["guian"].y) < found["guian"].r + 15
    x, y = map(float, end.split()[-2:])
    assert math.hypot(x - found["wuhu"].x, y - found["wuhu"].y) < found["wuhu"].r + 17
