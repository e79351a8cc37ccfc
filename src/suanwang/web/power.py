"""Electricity at a site as pages show it: what holds now, and today's hours for the picture.

Owns the day in UTC+8. How a price follows is `electricity`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from suanwang import catalog
from suanwang.domain.site import Offering, Price
from suanwang.domain.tariff import Tariff, Tier
from suanwang.electricity.daily import factor_at
from suanwang.electricity.series import HOUR_MS
from suanwang.electricity.supply import EPOCH, milliseconds
from suanwang.electricity.tariff import LOCAL_MS, STEP_MS, STEPS, Slot, next_change_ms, slot_at
from suanwang.web.labels import TIERS, Translate

_DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Electricity at a site at an instant. `tier` and `yuan_per_kwh` are None where it names no tariff."""

    tier: Tier | None
    yuan_per_kwh: Decimal | None
    until: datetime
    """When that changes, at most a day later."""
    carbon_g_per_kwh: float
    modelled: bool
    """Whether that is off a modelled day, not the annual average."""


def in_force(price: Price, now: datetime) -> Slot | None:
    """Tier and price at an instant, where the tariff is known."""
    return None if price.electricity is None else slot_at(price.electricity, milliseconds(now))


def now_of(offer: Offering, now: datetime) -> Now:
    at, tariff = milliseconds(now), offer.price.electricity
    slot = in_force(offer.price, now)
    until = at + _DAY_MS if tariff is None else next_change_ms(tariff, at, at + _DAY_MS)
    return Now(
        tier=slot.tier if slot else None,
        yuan_per_kwh=slot.yuan_per_kwh if slot else None,
        until=EPOCH + timedelta(milliseconds=until),
        carbon_g_per_kwh=offer.carbon_g_per_kwh * factor_at(offer.carbon_daily, at),
        modelled=bool(offer.carbon_daily),
    )


def day_of(offer: Offering, now: datetime, translate: Translate) -> dict[str, object]:
    """Today's half hours in UTC+8 for the drawing script: hours from midnight, yuan and tiers, g/kWh; None where unknown."""
    at, tariff = milliseconds(now), offer.price.electricity
    begun = (at + LOCAL_MS) // _DAY_MS * _DAY_MS - LOCAL_MS
    instants = [begun + step * STEP_MS for step in range(STEPS)]
    slots = None if tariff is None else [slot_at(tariff, instant) for instant in instants]
    return {
        "now_h": (at - begun) / HOUR_MS,
        "step_h": STEP_MS / HOUR_MS,
        "yuan": None if slots is None else [float(slot.yuan_per_kwh) for slot in slots],
        "tiers": None if slots is None else [translate(TIERS[slot.tier]) for slot in slots],
        "carbon": [offer.carbon_g_per_kwh * factor_at(offer.carbon_daily, instant) for instant in instants],
    }


def area_name(tariff: Tariff, *, chinese: bool) -> str:
    """Name of the schedule's area; empty for a site's own periods."""
    area = catalog.tariff_areas().get(tariff.area)
    return tariff.area if area is None else area.name_zh if chinese else area.name_en
