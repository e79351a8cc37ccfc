"""Learning: what was predicted against what came, and what is believed since."""

from __future__ import annotations

import math

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from suanwang.measuring.interval import NORMAL_80
from suanwang.web.loads import device_name
from suanwang.web.visiting import PageRoute, Visited

router = APIRouter(prefix="/learning", route_class=PageRoute)
SHOWN, DRAWN = 100, 1000


@router.get("")
def show(visit: Visited) -> Response:
    visit.needs_login()
    lessons = visit.network.quotes.lessons(visit.caller, SHOWN)
    beliefs = sorted(visit.network.quotes.beliefs(visit.caller).beliefs.items())
    return visit.page(
        "learning.html",
        lessons=lessons,
        beliefs=[
            (device, work_class, belief, math.exp(NORMAL_80 * belief.sd)) for (device, work_class), belief in beliefs
        ],
        names=visit.site_names(),
        device_name=_named,
    )


@router.get("/points")
def points(visit: Visited) -> Response:
    """For the drawing script: hours predicted with their interval, hours measured, and what each point is."""
    visit.needs_login()
    rows = [
        {
            "predicted": lesson.taught.prediction.hours.mid,
            "low": lesson.taught.prediction.hours.low,
            "high": lesson.taught.prediction.hours.high,
            "measured": lesson.taught.measured_hours,
            "label": _named(lesson.taught.prediction.device),
            "kind": "interrupted" if lesson.taught.interrupted else "outlier" if lesson.taught.outlier else "counted",
            "job": lesson.taught.job_id if lesson.visible else None,
        }
        for lesson in visit.network.quotes.lessons(visit.caller, DRAWN)
    ]
    return JSONResponse({"points": rows}, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def _named(device: str) -> str:
    """A catalogue name; a site's own cores are called by the site."""
    return device.removeprefix("cpu@") if device.startswith("cpu@") else device_name(device)
