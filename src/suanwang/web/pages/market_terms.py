"""The terms of sale: those in force, those to come, and the operator's form for new ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, Unauthorized
from suanwang.domain.identity import Role
from suanwang.trading.market.terms import MOST_STEPS, Refund, SaleTerms
from suanwang.web.fields import amount_of, count_of, instant_of, rows_of
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
HOURS = ("notice_h", "interruptible_notice_h")
PARTS = ("compensation_bp", "deposit_bp", "pool_bp", "replace_bp")
STEP = ("hours", "percent")


@router.get("/market/terms")
def show(visit: Visited) -> Response:
    visit.needs_login()
    visit.caller.must_be(Role.OPERATOR)
    return _page(visit, _filled(visit.network.terminations.terms(visit.caller)[0]), None)


@router.post("/market/terms")
def put(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    visit.caller.must_be(Role.OPERATOR)
    steps = rows_of(form, "refunds", STEP, STEP)
    shown = {name: form.get(name, "") for name in ("from_at", *HOURS, *PARTS)}
    shown |= {f"refunds.{at}.{name}": row[name] for at, row in enumerate(steps) for name in STEP}
    try:
        visit.network.terminations.set_terms(visit.caller, _terms(visit, shown, len(steps)))
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return _page(visit, shown, error)
    return RedirectResponse("/market#terms", 303)


def _terms(visit: Visit, form: Mapping[str, str], steps: int) -> SaleTerms:
    whole_second = visit.network.clock.now().replace(microsecond=0) + timedelta(seconds=1)
    return SaleTerms(
        from_at=instant_of(form, "from_at", visit.formats.zone) or whole_second,
        refunds=tuple(
            Refund(
                hours=count_of(form, f"refunds.{at}.hours"),
                refund_bp=_basis_points(form, f"refunds.{at}.percent"),
            )
            for at in range(steps)
        ),
        **{name: count_of(form, name) for name in HOURS},
        **{name: _basis_points(form, name) for name in PARTS},
    )


def _basis_points(form: Mapping[str, str], field: str) -> int:
    points = amount_of(form, field) * 100
    if not 0 <= points <= 10**6 or points != int(points):
        raise InvalidRequest("a part in percent is needed here", field=field, allowed="such as 20 or 12.5")
    return int(points)


def _percent(points: int) -> str:
    return f"{(Decimal(points) / 100).normalize():f}"


def _filled(terms: SaleTerms) -> dict[str, str]:
    form = {name: str(getattr(terms, name)) for name in HOURS}
    form |= {name: _percent(getattr(terms, name)) for name in PARTS}
    for at, step in enumerate(terms.refunds):
        form |= {f"refunds.{at}.hours": str(step.hours), f"refunds.{at}.percent": _percent(step.refund_bp)}
    return form


def _page(visit: Visit, form: Mapping[str, str], error: InvalidRequest | Conflict | None) -> Response:
    now = visit.network.clock.now()
    known = visit.network.terminations.terms(visit.caller)
    steps = sum(name.endswith(".hours") for name in form)
    return visit.page(
        "market_terms.html",
        200 if error is None else 409 if isinstance(error, Conflict) else 422,
        form=form,
        steps=min(steps + 1, MOST_STEPS),
        later=[terms for terms in known if terms.from_at > now],
        problems=[] if error is None else problem_rows(error),
    )
