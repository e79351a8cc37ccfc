"""What projects may have, beside what they have: weights, quotas, and who may ask for high priority."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from suanwang.control.allowances import Shown
from suanwang.domain.identity import Role
from suanwang.web.visiting import PageRoute, Visited

router = APIRouter(route_class=PageRoute)
MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One resource of one project."""

    name: str
    """`cores`, `memory`, or a model of device."""
    used: float
    lately: float
    most: float | None


@router.get("/projects")
def show(visit: Visited) -> Response:
    visit.needs_login()
    shown = visit.network.allowances.every(visit.caller)
    return visit.page(
        "projects.html",
        projects=[(each, lines(each)) for each in shown[:MOST]],
        more=len(shown) > MOST,
        decides=visit.caller.role is Role.OPERATOR,
    )


def lines(of: Shown) -> list[Line]:
    """Cores and memory, and each model of device that the project has, had lately, or is limited in."""
    allowance, holds, lately = of.standing.allowance, of.standing.holds, of.standing.lately
    models = sorted({*allowance.devices, *holds.devices, *lately.devices})
    return [
        Line(name="cores", used=holds.cores, lately=lately.cores, most=allowance.cores),
        Line(name="memory", used=holds.memory_gb, lately=lately.memory_gb, most=allowance.memory_gb),
        *(
            Line(
                name=model,
                used=holds.devices.get(model, 0),
                lately=lately.devices.get(model, 0),
                most=allowance.devices.get(model),
            )
            for model in models
        ),
    ]
