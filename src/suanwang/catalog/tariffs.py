"""Published time-of-use schedules of electricity, by area, and the notation they are written in.

Owns what the documents say, and what stands in where they say nothing. How a price follows is `electricity`'s.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

from suanwang.catalog.geography import atlas
from suanwang.catalog.names import NameIndex
from suanwang.catalog.reading import freeze
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Period, Tariff, Tier

ASSUMED_MULTIPLIERS: Mapping[Tier, Decimal] = freeze(
    {Tier.SHARP: Decimal("1.8"), Tier.PEAK: Decimal("1.5"), Tier.VALLEY: Decimal("0.5"), Tier.DEEP: Decimal("0.4")}
)
"""Where a schedule is published without them. The National Development and Reform Commission asks for peak at 3 times valley
or more (4 times where the load swings by over 40 %), and for sharp at 1.2 times peak or more (发改价格〔2021〕1093号): these
are the least spread it allows, around flat. Deep below valley by the same fifth is ours."""
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SEASON = re.compile(r"(\d{1,2})(?:/(\d{1,2}))?(?:-(\d{1,2})(?:/(\d{1,2}))?)?\Z", re.ASCII)
_HOURS = re.compile(r"(\d{1,2})(?::([0-5]\d))?-(\d{1,2})(?::([0-5]\d))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffArea:
    """An area with a schedule of its own."""

    id: str
    province: str
    name_zh: str
    name_en: str
    tariff: Tariff
    """`tariff.assumed` says what no document gave."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Schedules:
    areas: Mapping[str, TariffArea]
    names: NameIndex


@lru_cache(maxsize=1)
def _schedules() -> _Schedules:
    """Read the shipped schedules, once per process."""
    periods: dict[str, list[Period]] = {}
    unsaid: set[str] = set()
    for row in _rows("tariff_periods.csv"):
        tier = Tier(row["tier"])
        if not row["multiplier"]:
            unsaid.add(row["area"])
        period = Period(
            tier=tier,
            hours=hours(row["hours"], field="tariff_periods.csv"),
            seasons=seasons(row["months"], field="tariff_periods.csv"),
            multiplier=Decimal(row["multiplier"]) if row["multiplier"] else ASSUMED_MULTIPLIERS[tier],
        )
        periods.setdefault(row["area"], []).append(period)
    areas: dict[str, TariffArea] = {}
    names = NameIndex("tariff area")
    for row in _rows("tariff_areas.csv"):
        key = row["area"]
        areas[key] = TariffArea(
            id=key,
            province=row["province"],
            name_zh=row["name_zh"],
            name_en=row["name_en"],
            note=row["note"],
            tariff=Tariff(
                flat_yuan_per_kwh=Decimal(row["flat_yuan_per_kwh"]),
                fixed_yuan_per_kwh=Decimal(row["fixed_yuan_per_kwh"]),
                periods=tuple(periods.pop(key)),
                area=key,
                document=row["document"],
                assumed=("price", "multipliers") if key in unsaid else ("price",),
            ),
        )
        names.own(key, (key, row["name_zh"], row["name_en"]), "tariff_areas.csv")
        names.share(key, (row["province"], *atlas().provinces[row["province"]]))
    assert not periods, "every period is of an area that is listed"
    return _Schedules(freeze(areas), names)


def _rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of a shipped CSV file; lines with # are its notes."""
    text = files("suanwang.catalog").joinpath("data", name).read_text("utf-8")
    return csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def tariff_areas() -> Mapping[str, TariffArea]:
    """Every area with a published schedule, by identifier."""
    return _schedules().areas


def tariff_area(name: str, *, field: str = "area") -> TariffArea:
    """The area that `name` means: `guizhou`, `贵州`, `蒙西`. Raises `InvalidRequest` with the nearest, or with the choice."""
    found = _schedules()
    return found.areas[found.names.one(name, field)]


# notation


def seasons(text: str, *, field: str) -> tuple[tuple[int, int], ...]:
    """`7-9`, `1;12`, `12-2`, `7/15-8/31` or `all` as (first, last) days, month × 100 + day. Raises `InvalidRequest`."""
    if text.strip() == "all":
        return ()
    return tuple(_season(part.strip(), field) for part in text.split(";"))


def _season(text: str, field: str) -> tuple[int, int]:
    found = _SEASON.match(text)
    if found:
        month, day, until, until_day = (int(part) if part else 0 for part in found.groups())
        if not until:
            until, until_day = month, day
        if 1 <= month <= 12 and 1 <= until <= 12:
            day, until_day = day or 1, until_day or _LAST_DAYS[until - 1]
            if day <= _LAST_DAYS[month - 1] and until_day <= _LAST_DAYS[until - 1]:
                return month * 100 + day, until * 100 + until_day
    raise InvalidRequest(
        f"{text[:40]!r} is no part of the year", field=field, allowed="all, 7-9, 1;12, 12-2 or 7/15-8/31"
    )


def hours(text: str, *, field: str) -> tuple[tuple[int, int], ...]:
    """`10-13;17-22`, `7:30-10:30` or `23-7` as (from, until) minutes after midnight. Raises `InvalidRequest`."""
    return tuple(_hours(part.strip(), field) for part in text.split(";"))


def _hours(text: str, field: str) -> tuple[int, int]:
    found = _HOURS.match(text)
    if found:
        hour, minute, until, until_minute = (int(part or 0) for part in found.groups())
        start, end = hour * 60 + minute, until * 60 + until_minute
        if start < 1440 and 0 < end <= 1440 and start != end and not (start % 30 or end % 30):
            return start, end
    raise InvalidRequest(
        f"{text[:40]!r} are no hours",
        field=field,
        allowed="10-13;17-22, 7:30-10:30 or 23-7: whole or half hours from 0 to 24",
    )
