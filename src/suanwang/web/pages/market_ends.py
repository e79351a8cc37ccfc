"""What people decide on the market's page about orders and rights: approving, giving back, taking back, the guarantee."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from suanwang.control.market.reclaiming import Reclaim
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, Unauthorized
from suanwang.domain.identity import Principal
from suanwang.domain.ids import SiteId
from suanwang.trading.market.product import HOUR
from suanwang.web.pages.market import again, fen_of, hour_of, number_of
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)


@router.post("/market/rights/{right_id}/cancel")
def give_back(visit: Visited, right_id: str, form: Form) -> Response:
    visit.needs_login()
    try:
        count = number_of(form, "count") if form.get("count") else None
        visit.network.terminations.cancel(visit.caller, right_id, form.get("id", ""), count)
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    return RedirectResponse("/market#ended", 303)


@router.post("/market/orders/{order_id}/approve")
def approve(visit: Visited, order_id: str, form: Form) -> Response:
    return _decided(visit, form, visit.network.approvals.approve, order_id)


@router.post("/market/orders/{order_id}/decline")
def decline(visit: Visited, order_id: str, form: Form) -> Response:
    return _decided(visit, form, visit.network.approvals.decline, order_id)


def _decided(
    visit: Visit, form: Mapping[str, str], decide: Callable[[Principal, str], object], order_id: str
) -> Response:
    """One named person's word about an order that waits for it."""
    visit.needs_login()
    try:
        decide(visit.caller, order_id)
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    return RedirectResponse("/market#mine", 303)


@router.post("/market/reclaims")
def reclaim(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    try:
        start = hour_of(visit, form.get("at", ""))
        visit.network.terminations.reclaim(
            visit.caller,
            Reclaim(
                id=form.get("id", ""),
                site=SiteId(form.get("site", "")),
                device=form.get("device", ""),
                count=number_of(form, "count"),
                start=start,
                end=start + number_of(form, "hours") * HOUR,
            ),
        )
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    return RedirectResponse("/market#ended", 303)


@router.post("/market/guarantee")
def fund(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    try:
        visit.network.terminations.fund(visit.caller, fen_of(form, "amount"), form.get("id", ""))
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return again(visit, form, error)
    return RedirectResponse("/market#terms", 303)
