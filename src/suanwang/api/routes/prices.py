"""Routes about price lists: publish one, every version, and what is asked now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from suanwang.api import answering_prices
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Route, Strict, model_of, possible_instant
from suanwang.api.describing import FAULT, takes
from suanwang.client import price_models
from suanwang.domain import pricing
from suanwang.domain.ids import ProjectId, SiteId

router = APIRouter(prefix="/v1", tags=["sites"], route_class=Route, responses=FAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPriceList:
    """What a site asks from an instant on; without one, at once."""

    asked: pricing.Asked
    valid_from: datetime | None = None


NEW_PRICE_LIST = Strict(NewPriceList)

_EXAMPLE: dict[str, Any] = {
    "valid_from": "2026-12-01T00:00:00+08:00",
    "asked": {
        "core_hour_yuan": "0.10",
        "memory_gb_hour_yuan": "0.005",
        "device_hour": {
            "huawei-ascend-910b": {"base_yuan": "3.00", "factor": "1.5", "floor_yuan": "3.20", "cap_yuan": "4.50"}
        },
        "discounts": [
            {"name": "Huawei", "percent": "5", "brands": ["Huawei"]},
            {"name": "Tsinghua", "percent": "8", "organisations": ["Tsinghua"]},
            {"name": "over 1,000 h", "percent": "10", "above_device_hours": 1000},
        ],
    },
}
_EXAMPLE["asked"]["packages"] = [
    {
        "name": "month of 100 h",
        "plan": "subscription",
        "device": "huawei-ascend-910b",
        "device_hours": 100,
        "fee_yuan": "350",
    }
]
_PLAN = {"plan": "march", "project": "demo", "site": "guian", "package": "month of 100 h", "months": 1}


@router.post(
    "/sites/{site_id}/prices",
    status_code=201,
    response_model=price_models.PriceListView,
    openapi_extra=takes("NewPriceList", _EXAMPLE),
)
def publish(ask: Asked, site_id: str, body: Body) -> Response:
    """A new version of what a site asks. What was granted or quoted before keeps its price."""
    caller = ask.caller
    wanted = NEW_PRICE_LIST.read(body)
    valid_from = None if wanted.valid_from is None else possible_instant(wanted.valid_from, "valid_from")
    made = ask.network.prices.publish(caller, SiteId(site_id), wanted.asked, valid_from)
    return answer(answering_prices.price_list(made), 201)


@router.get("/sites/{site_id}/prices", response_model=price_models.PriceHistory)
def history(
    ask: Asked,
    site_id: str,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only versions below this one")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Every version of a site's price list, newest first."""
    found = ask.network.prices.history(ask.caller, SiteId(site_id), before, limit)
    more = found[-1].version if len(found) == limit and found[-1].version > 1 else None
    return answer({"items": [answering_prices.price_list(each) for each in found], "next": more})


@router.get("/prices", response_model=price_models.AskingList)
def prices(
    ask: Asked,
    project: Annotated[str | None, Query(max_length=63, description="With its discounts")] = None,
    interruptible: Annotated[bool, Query(description="Of work that may be interrupted")] = False,
) -> Response:
    """What every site asks now, with how it came about."""
    payer = None if project is None else ProjectId(project)
    found = ask.network.prices.now(ask.caller, payer, interruptible=interruptible)
    return answer({"items": [answering_prices.asking(each) for each in found]})


@router.get("/packages", response_model=price_models.PackageList)
def packages(ask: Asked) -> Response:
    """What may be subscribed to or committed to, at every site."""
    return answer({"items": [answering_prices.on_offer(each) for each in ask.network.plans.on_offer(ask.caller)]})


@router.get("/plans", response_model=price_models.PlanList)
def plans(ask: Asked, project: Annotated[str | None, Query(max_length=63)] = None) -> Response:
    """Months of plans that the caller pays, earns or watches."""
    found = ask.network.plans.of(ask.caller, None if project is None else ProjectId(project))
    return answer({"items": [answering_prices.plan_month(each) for each in found]})


@router.post("/plans", status_code=201, response_model=price_models.PlanList, openapi_extra=takes("NewPlan", _PLAN))
def buy(ask: Asked, body: Body) -> Response:
    """Buy a package for some months. Sending the same `plan` again changes nothing."""
    caller, wanted = ask.caller, model_of(price_models.NewPlan, body)
    found = ask.network.plans.buy(
        caller,
        wanted.plan,
        ProjectId(wanted.project),
        SiteId(wanted.site),
        wanted.package,
        months=wanted.months,
        begins=None if wanted.begins is None else possible_instant(wanted.begins, "begins"),
    )
    return answer({"items": [answering_prices.plan_month(each) for each in found]}, 201)
