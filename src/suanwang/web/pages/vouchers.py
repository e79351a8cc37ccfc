"""Vouchers: what one holds, and for who watches, what became of each: issued, used, by whom, where, what is left."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang.control.billing.vouchers import Watched
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Role
from suanwang.web.visiting import PageRoute, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50


@router.get("/vouchers")
def show(visit: Visited, cursor: Annotated[str, Query(max_length=300)] = "") -> Response:
    visit.needs_login()
    vouchers = visit.network.vouchers
    watches = visit.caller.role in (Role.OPERATOR, Role.REGULATOR)
    try:
        if watches:
            rows, after = vouchers.report(visit.caller, cursor or None, PAGE)
        else:
            held, after = vouchers.every(visit.caller, cursor or None, PAGE)
            rows = [Watched(standing=standing, uses=()) for standing in held]
    except (ValueError, LookupError):
        raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    standings = [row.standing for row in rows]
    return visit.page(
        "vouchers.html",
        standings=standings,
        uses=[use for row in rows for use in row.uses],
        watches=watches,
        sums={
            "issued": sum(each.voucher.amount_fen for each in standings),
            "used": sum(each.used_fen for each in standings),
            "held": sum(each.held_fen for each in standings),
            "left": sum(each.left_fen for each in standings),
            "returned": sum(each.returned_fen for each in standings),
        },
        sites=visit.site_names(),
        next=after,
        first=bool(cursor),
    )
