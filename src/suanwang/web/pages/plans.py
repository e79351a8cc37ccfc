"""Plans: what may be subscribed to or committed to, what it comes to before one confirms it, and the months one has bought."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.electricity.pricing import HOUR_US, month_of, next_month
from suanwang.web.fields import count_of
from suanwang.web.pages.market import PLANS, naming
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
AHEAD, MOST_MONTHS = 12, 60
_ZONE = timezone(timedelta(hours=8))
Text = Annotated[str, Query(max_length=100)]


@router.get("/plans")
def show(visit: Visited) -> Response:
    visit.needs_login()
    return _page(visit, {}, None)


@router.get("/plans/confirm")
def confirm(
    visit: Visited, site: Text = "", package: Text = "", project: Text = "", months: Text = "", begins: Text = ""
) -> Response:
    """What a purchase would be: each month's fee, the term, and what it comes to."""
    visit.needs_login()
    form = {"site": site, "package": package, "project": project, "months": months, "begins": begins}
    try:
        bought = visit.network.plans.buy(
            visit.caller,
            plan := f"p-{secrets.token_hex(6)}",
            ProjectId(project),
            SiteId(site),
            package,
            months=count_of(form, "months") if months else None,
            begins=month_named(begins) if begins else None,
            trial=True,
        )
    except (InvalidRequest, Conflict) as error:
        return _page(visit, form, error)
    return visit.page(
        "plan_confirm.html",
        bought=bought,
        package=bought[0].month.package,
        total_fen=sum(each.month.fee_fen for each in bought),
        now=visit.network.clock.now(),
        plan=plan,
        form=form,
        device_name=naming(visit),
        names=visit.site_names(),
        plans=PLANS,
    )


@router.post("/plans")
def buy(visit: Visited, form: Form) -> Response:
    """What was confirmed; the same form again changes nothing."""
    visit.needs_login()
    try:
        visit.network.plans.buy(
            visit.caller,
            form.get("plan", ""),
            ProjectId(form.get("project", "")),
            SiteId(form.get("site", "")),
            form.get("package", ""),
            months=count_of(form, "months"),
            begins=month_named(form.get("begins", "")),
            version=count_of(form, "version"),
        )
    except (InvalidRequest, Conflict) as error:
        return _page(visit, form, error)
    return RedirectResponse("/plans#bought", 303)


def month_named(text: str) -> datetime:
    """The beginning of a month such as 2026-03, of UTC+8. Raises `InvalidRequest`."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=_ZONE)
    except ValueError:
        raise InvalidRequest("this is no month", field="begins", allowed="such as 2026-03") from None


def _page(visit: Visit, form: Form, error: InvalidRequest | Conflict | None) -> Response:
    plans, caller, now = visit.network.plans, visit.caller, visit.network.clock.now()
    projects = [each.id for each in visit.network.people.projects(caller) if caller.may_change(each.id)]
    first = month_of(now)
    months = [first]
    for _ in range(AHEAD - 1):
        months.append(next_month(months[-1]))
    status = (
        200 if error is None else 409 if isinstance(error, Conflict) else 404 if isinstance(error, NotFound) else 422
    )
    return visit.page(
        "plans.html",
        status,
        on_offer=plans.on_offer(caller),
        bought=sorted(plans.of(caller), key=lambda each: (each.month.to_at <= now, each.month.from_at)),
        hour_us=HOUR_US,
        projects=projects,
        begins=[f"{month.astimezone(_ZONE):%Y-%m}" for month in months],
        most=MOST_MONTHS,
        device_name=naming(visit),
        names=visit.site_names(),
        plans=PLANS,
        form=form,
        problems=[] if error is None else problem_rows(error),
    )
