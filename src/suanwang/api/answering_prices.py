"""How price lists look on the wire, and how a bill line's unit prices came about.

Owns the field names together with `client.price_models`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from suanwang.control.billing.prices import Asking
from suanwang.control.contracts.plans import Bought, OnOffer
from suanwang.domain.pricing import DatedPrice, Discount, Formula, Package, PriceList, Pricing
from suanwang.electricity.pricing import HOUR_US, units

Row = dict[str, Any]


def price_list(value: PriceList) -> Row:
    return {
        "version": value.version,
        "valid_from": value.valid_from,
        "published_at": value.published_at,
        "published_by": value.published_by,
        "core_hour_yuan": _plain(value.core_hour_yuan),
        "memory_gb_hour_yuan": _plain(value.memory_gb_hour_yuan),
        "device_hour": {model: _formula(formula) for model, formula in value.device_hour.items()},
        "discounts": [_discount(each) for each in value.discounts],
        "packages": [package(each) for each in value.packages],
        "note": value.note,
    }


def package(value: Package) -> Row:
    return {
        "name": value.name,
        "plan": value.plan,
        "device": value.device,
        "device_hours": value.device_hours,
        "fee_yuan": _plain(value.fee_yuan),
        "months": value.months,
    }


def on_offer(value: OnOffer) -> Row:
    return {"site": value.site, "version": value.version, "package": package(value.package)}


def plan_month(value: Bought) -> Row:
    month = value.month
    return {
        "plan": month.plan,
        "project": month.project,
        "site": month.site_id,
        "package": package(month.package),
        "month": month.month,
        "from_at": month.from_at,
        "to_at": month.to_at,
        "fee_fen": month.fee_fen,
        "paid": value.paid,
        "used_device_hours": _plain(Decimal(value.used_us) / HOUR_US),
    }


def dated(value: DatedPrice) -> Row:
    return {
        "version": value.version,
        "from_at": value.from_at,
        "core_hour_yuan": _plain(value.core_hour_yuan),
        "memory_gb_hour_yuan": _plain(value.memory_gb_hour_yuan),
        "device": _formula(value.device),
        "kw": _plain(value.kw),
        "discounts": [_discount(each) for each in value.discounts],
    }


def pricing(value: Pricing) -> Row:
    made = units(value)
    named = [("list", None, Decimal(0)), *((each.name, each.kind, each.percent) for each in value.taken)]
    return {
        "version": value.version,
        "device": _formula(value.device),
        "yuan_per_kwh": None if value.yuan_per_kwh is None else _plain(value.yuan_per_kwh),
        "kw": _plain(value.kw),
        "used_device_hours": None if value.used_us is None else _plain(Decimal(value.used_us) / HOUR_US),
        "steps": [
            {
                "name": name,
                "kind": kind,
                "percent": _plain(percent),
                "core_hour_yuan": _plain(step.core),
                "memory_gb_hour_yuan": _plain(step.gb),
                "device_hour_yuan": _plain(step.device),
            }
            for (name, kind, percent), step in zip(named, made, strict=True)
        ],
    }


def asking(value: Asking) -> Row:
    price = value.price
    posted = price.device_hour_yuan.get(value.device, Decimal(0)) if value.device is not None else Decimal(0)
    last = None if value.pricing is None else units(value.pricing)[-1]
    return {
        "site": value.site,
        "device": value.device,
        "core_hour_yuan": _plain(price.core_hour_yuan if last is None else last.core),
        "memory_gb_hour_yuan": _plain(price.memory_gb_hour_yuan if last is None else last.gb),
        "device_hour_yuan": _plain(posted if last is None else last.device),
        "pricing": None if value.pricing is None else pricing(value.pricing),
        "used_device_hours": _plain(value.used_hours),
        "changes_at": value.changes_at,
    }


def _formula(value: Formula) -> Row:
    return {
        "base_yuan": _plain(value.base_yuan),
        "factor": _plain(value.factor),
        "floor_yuan": _plain(value.floor_yuan),
        "cap_yuan": None if value.cap_yuan is None else _plain(value.cap_yuan),
    }


def _discount(value: Discount) -> Row:
    return {
        "name": value.name,
        "kind": value.kind,
        "percent": _plain(value.percent),
        "interruptible": value.interruptible,
        "brands": value.brands,
        "projects": value.projects,
        "organisations": value.organisations,
        "from_at": value.from_at,
        "until": value.until,
        "above_device_hours": value.above_device_hours,
        "below_us": value.below_us,
    }


def _plain(value: Decimal) -> str:
    return f"{value:f}"
