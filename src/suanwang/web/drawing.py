"""The schematic map: sites as circles by longitude and latitude, with their jobs around them and no borders.

Owns where everything lies on the canvas. Pure: the same sites give the same drawing. Lengths are canvas units; the
page scales the canvas, so labels are laid out twice, for wide and for narrow screens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 800.0, 520.0
_MARGIN_X, _MARGIN_Y = 92.0, 56.0
_SMALLEST, _LARGEST = 11.0, 28.0
_LEAST_SPAN_DEG = 8.0
_GAP, _ROUNDS, _MOST_SPREAD = 18.0, 60, 200
"""Least distance of two circles, how often they are pushed, and how many are worth the work."""
_RING = 12
"""Jobs drawn around one site; more are a number."""
WIDE_TEXT, NARROW_TEXT = 17.0, 29.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What is known of a site before it has a place on the canvas."""

    id: str
    name: str
    caption: str
    longitude: float
    latitude: float
    weight: float
    """Capacity; circles have an area in proportion to it, within bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    spot: Spot
    x: float
    y: float
    r: float
    wide: Label
    narrow: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A faint name that helps to find one's way."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A meridian (`x1 == x2`) or a parallel."""

    x1: float
    y1: float
    x2: float
    y2: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    circles: tuple[Circle, ...]
    signs: tuple[Sign, ...]
    lines: tuple[Line, ...]


class _Projection:
    """Plate carrée with true proportions at the middle latitude, fitted into the canvas."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        longitudes = [longitude for longitude, _ in points] or [105.0]
        latitudes = [latitude for _, latitude in points] or [34.0]
        self._lon = (min(longitudes) + max(longitudes)) / 2
        self._lat = (min(latitudes) + max(latitudes)) / 2
        self._squeeze = math.cos(math.radians(min(abs(self._lat), 80.0)))
        span_x = max(max(longitudes) - min(longitudes), _LEAST_SPAN_DEG) * self._squeeze
        span_y = max(max(latitudes) - min(latitudes), _LEAST_SPAN_DEG)
        self._scale = min((WIDTH - 2 * _MARGIN_X) / span_x, (HEIGHT - 2 * _MARGIN_Y) / span_y)

    def point(self, longitude: float, latitude: float) -> tuple[float, float]:
        x = WIDTH / 2 + (longitude - self._lon) * self._squeeze * self._scale
        return x, HEIGHT / 2 - (latitude - self._lat) * self._scale

    def lines(self, step: int) -> list[Line]:
        """Meridians and parallels every `step` degrees that cross the canvas."""
        found: list[Line] = []
        for degree in range(-180, 181, step):
            x, _ = self.point(degree, 0)
            if 0 < x < WIDTH:
                side = "E" if degree >= 0 else "W"
                found.append(Line(x1=x, y1=0, x2=x, y2=HEIGHT, text=f"{abs(degree)}°{side}"))
        for degree in range(-90, 91, step):
            _, y = self.point(0, degree)
            if 0 < y < HEIGHT:
                side = "N" if degree >= 0 else "S"
                found.append(Line(x1=0, y1=y, x2=WIDTH, y2=y, text=f"{abs(degree)}°{side}"))
        return found


def chart(spots: Sequence[Spot], signs: Iterable[tuple[str, float, float]]) -> Chart:
    """Everything with its place. `signs` are (text, longitude, latitude); those under a site's label are left out."""
    marks = list(signs)
    projection = _Projection(
        [(spot.longitude, spot.latitude) for spot in spots]
        + [(longitude, latitude) for _, longitude, latitude in marks]
    )
    most = max((spot.weight for spot in spots), default=0.0) or 1.0
    plain = [_circle(spot, projection, most) for spot in sorted(spots, key=lambda spot: spot.id)]
    apart = _spread(plain)
    wide, narrow = _labels(apart, WIDE_TEXT), _labels(apart, NARROW_TEXT)
    circles = [replace(c, wide=w, narrow=n) for c, w, n in zip(apart, wide, narrow, strict=True)]
    taken = [_disc(c) for c in circles] + [_box(c.spot, c.wide, WIDE_TEXT) for c in circles]
    shown: list[Sign] = []
    for text, longitude, latitude in marks:
        x, y = projection.point(longitude, latitude)
        box = (x - 40, y - 20, x + 40, y + 6)
        if not any(_overlap(box, other) for other in taken):
            shown.append(Sign(text=text, x=x, y=y))
            taken.append(box)
    return Chart(circles=tuple(circles), signs=tuple(shown), lines=tuple(projection.lines(5)))


def around(circle: Circle, count: int) -> list[tuple[float, float]]:
    """Places of the first jobs of a site, clockwise from the top; never more than a full ring."""
    shown = min(count, _RING)
    places = []
    for index in range(shown):
        angle = -math.pi / 2 + index * 2 * math.pi / _RING
        reach = circle.r + 7
        places.append((circle.x + reach * math.cos(angle), circle.y + reach * math.sin(angle)))
    return places


def curve(start: Circle, end: Circle) -> str:
    """The path of an arc from one site's edge to another's."""
    dx, dy = end.x - start.x, end.y - start.y
    length = math.hypot(dx, dy) or 1.0
    ux, uy = dx / length, dy / length
    x1, y1 = start.x + ux * (start.r + 14), start.y + uy * (start.r + 14)
    x2, y2 = end.x - ux * (end.r + 16), end.y - uy * (end.r + 16)
    bend = min(60.0, length / 4)
    return f"M{x1:.1f} {y1:.1f} Q{(x1 + x2) / 2 - uy * bend:.1f} {(y1 + y2) / 2 + ux * bend:.1f} {x2:.1f} {y2:.1f}"


_NOWHERE = Label(x=0, y=0, anchor="start")


def _circle(spot: Spot, projection: _Projection, most: float) -> Circle:
    x, y = projection.point(spot.longitude, spot.latitude)
    r = _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(max(spot.weight, 0.0) / most)
    return Circle(spot=spot, x=x, y=y, r=r, wide=_NOWHERE, narrow=_NOWHERE)


def _spread(circles: list[Circle]) -> list[Circle]:
    """Push apart what lies on one another: sites of one city stay neighbours and all can be seen."""
    xs, ys = [c.x for c in circles], [c.y for c in circles]
    reach = [c.r + 16 for c in circles]
    pairs = [(i, j) for i in range(len(circles)) for j in range(i + 1, len(circles))]
    for _ in range(_ROUNDS if len(circles) <= _MOST_SPREAD else 0):
        crowded = [pair for pair in pairs if _push(*pair, xs, ys, circles)]
        for i, least in enumerate(reach):
            xs[i] = min(max(xs[i], least), WIDTH - least)
            ys[i] = min(max(ys[i], least), HEIGHT - least)
        if not crowded:
            break
    return [replace(circle, x=x, y=y) for circle, x, y in zip(circles, xs, ys, strict=True)]


def _push(i: int, j: int, xs: list[float], ys: list[float], circles: Sequence[Circle]) -> bool:
    """Move two circles that are too close, each half of what is missing; False where there was room."""
    dx, dy = xs[j] - xs[i], ys[j] - ys[i]
    away = math.hypot(dx, dy)
    missing = circles[i].r + circles[j].r + _GAP - away
    if missing <= 0:
        return False
    # Sites at the very same place part in directions that differ from pair to pair.
    angle = math.atan2(dy, dx) if away > 1e-6 else (i + j) * 2.4
    xs[i] -= math.cos(angle) * missing / 2
    ys[i] -= math.sin(angle) * missing / 2
    xs[j] += math.cos(angle) * missing / 2
    ys[j] += math.sin(angle) * missing / 2
    return True


Box = tuple[float, float, float, float]


def _labels(circles: Sequence[Circle], size: float) -> list[Label]:
    """For each circle the side where its two lines hit least."""
    discs = [_disc(c) for c in circles]
    taken: list[Box] = []
    found: list[Label] = []
    for index, circle in enumerate(circles):
        gap = circle.r + 15
        options = [
            Label(x=circle.x + gap, y=circle.y - size * 0.1, anchor="start"),
            Label(x=circle.x - gap, y=circle.y - size * 0.1, anchor="end"),
            Label(x=circle.x, y=circle.y + gap + size, anchor="middle"),
            Label(x=circle.x, y=circle.y - gap - size * 1.1, anchor="middle"),
        ]
        others = discs[:index] + discs[index + 1 :]
        costs = [_cost(_box(circle.spot, option, size), others, taken) for option in options]
        best = options[costs.index(min(costs))]
        found.append(best)
        taken.append(_box(circle.spot, best, size))
    return found


def _cost(box: Box, discs: Sequence[Box], labels: Sequence[Box]) -> float:
    outside = max(0.0, 4 - box[0]) + max(0.0, box[2] - WIDTH + 4) + max(0.0, 4 - box[1]) + max(0.0, box[3] - HEIGHT + 4)
    return outside * 3 + 40 * sum(_overlap(box, disc) for disc in discs) + 90 * sum(_overlap(box, b) for b in labels)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _disc(circle: Circle) -> Box:
    reach = circle.r + 11
    return circle.x - reach, circle.y - reach, circle.x + reach, circle.y + reach


def _box(spot: Spot, label: Label, size: float) -> Box:
    width = max(_text_width(spot.name, size), _text_width(spot.caption, size * 0.86))
    left = {"start": label.x, "end": label.x - width, "middle": label.x - width / 2}[label.anchor]
    return left, label.y - size, left + width, label.y + size * 1.3


def _text_width(text: str, size: float) -> float:
    return sum(size if ord(character) > 0x2E7F else size * 0.57 for character in text)
