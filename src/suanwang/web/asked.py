"""What a site asked and will ask, for its chart: the price of each thing at each instant at which it changes.

Owns the span and the points. Prices are those for everybody, promotions included, without anybody's own discounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.domain.pricing import Customer, PriceList
from suanwang.domain.site import Site
from suanwang.electricity.pricing import bound, flat, next_change
from suanwang.electricity.supply import milliseconds
from suanwang.web.labels import Translate
from suanwang.web.loads import device_name

BEHIND, AHEAD = timedelta(days=14), timedelta(days=7)
MOST_POINTS = 2000


def asked_over(site: Site, lists: Sequence[PriceList], now: datetime, translate: Translate) -> dict[str, object]:
    """`lists` are all versions of the time. Of a device, or of cores where a site has none: [milliseconds, yuan an hour]."""
    ordered = tuple(sorted(lists, key=lambda each: (each.valid_from, each.version)))
    offering = replace(site.offering, price=replace(site.offering.price, lists=ordered))
    listed = replace(site, offering=offering)
    models: list[str | None] = [*(pool.model for pool in offering.devices)] or [None]
    return {
        "now": milliseconds(now),
        "series": [
            {
                "name": translate("Core") if model is None else device_name(model),
                "points": _points(listed, model, now - BEHIND, now + AHEAD),
            }
            for model in models
        ],
    }


def _points(site: Site, model: str | None, begin: datetime, end: datetime) -> list[tuple[int, float]]:
    price, at = bound(site, model, Customer(), begin), begin
    found: list[tuple[int, float]] = []
    while at < end and len(found) < MOST_POINTS:
        now = flat(price, model, at)
        yuan = float(now.core_hour_yuan if model is None else now.device_hour_yuan[model])
        if not found or found[-1][1] != yuan:
            found.append((milliseconds(at), yuan))
        at = next_change(price, at, end)
    return [*found, (milliseconds(end), found[-1][1])]
