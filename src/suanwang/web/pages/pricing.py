"""A new version of a site's price list: its form with the present list filled in, what it would change, and its publication.

A list is published only as it was previewed: the form carries a digest of what its preview showed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from suanwang import catalog
from suanwang.client.problems import problem_rows
from suanwang.control.billing.prices import MOST_DISCOUNTS, MOST_PACKAGES, with_lists
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, Unauthorized
from suanwang.domain.identity import Role
from suanwang.domain.ids import SiteId
from suanwang.domain.pricing import Asked, Discount, Formula, Package, Plan, PriceList
from suanwang.domain.site import Price, Site
from suanwang.electricity.pricing import posted
from suanwang.web.fields import amount_of, count_of, instant_of, rows_of, typed_instant, words_of
from suanwang.web.pages.market import PLANS, naming
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
FORMULA = ("base_yuan", "factor", "floor_yuan", "cap_yuan")
NAMES = ("brands", "projects", "organisations")
DISCOUNT = ("name", "percent", *NAMES, "from_at", "until", "above_device_hours")
PACKAGE = ("name", "device_hours", "fee_yuan")
EMPTY_ROWS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a list changes; None: it is not there."""

    kind: str
    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    made: PriceList
    before: Price
    """What everybody is asked just then without it, and with it."""
    after: Price
    changes: Sequence[Change]
    until: datetime | None
    """When another list, that is published already, takes over."""
    same: bool
    """Whether the newest list says just this already."""
    digest: str


@router.get("/sites/{site_id}/prices")
def show(visit: Visited, site_id: str) -> Response:
    site = _own(visit, site_id)
    return _page(visit, site, _filled(visit, site, _newest(visit, site)))


@router.post("/sites/{site_id}/prices")
def put(visit: Visited, site_id: str, sent: Form) -> Response:
    """A preview, or with the button of a preview its publication."""
    site = _own(visit, site_id)
    form = _compacted(sent, site)
    try:
        zone = visit.formats.zone
        asked, valid_from = _asked(form, site, zone), instant_of(form, "valid_from", zone)
        preview = _preview(visit, site, asked, valid_from)
        publishing = sent.get("do") == "publish"
        if not publishing or preview.same or sent.get("previewed") != preview.digest:
            return _page(visit, site, form, preview, again=publishing)
        visit.network.prices.publish(visit.caller, site.id, asked, valid_from)
    except (Forbidden, Unauthorized):
        raise
    except (InvalidRequest, Conflict) as error:
        return _page(visit, site, form, error=error)
    return RedirectResponse(f"/sites/{site.id}#lists", 303)


def may_publish(visit: Visit, site: Site) -> bool:
    caller = visit.caller
    return caller.role is Role.OPERATOR or (caller.role is Role.PROVIDER and caller.provider == site.offering.provider)


def _own(visit: Visit, site_id: str) -> Site:
    visit.needs_login()
    site = visit.network.sites.get(visit.caller, SiteId(site_id)).site
    if not may_publish(visit, site):
        raise Forbidden("only the site's provider sets its prices", field="site", allowed="a site of yours")
    return site


def _newest(visit: Visit, site: Site) -> PriceList | None:
    return next(iter(visit.network.prices.history(visit.caller, site.id, None, 1)), None)


def _declared(site: Site) -> Asked:
    """What the site asks before its first list, as a list."""
    price = site.offering.price
    return Asked(
        core_hour_yuan=price.core_hour_yuan,
        memory_gb_hour_yuan=price.memory_gb_hour_yuan,
        device_hour={model: Formula(base_yuan=yuan) for model, yuan in price.device_hour_yuan.items()},
    )


def _filled(visit: Visit, site: Site, newest: PriceList | None) -> dict[str, str]:
    """The newest list, or what the site declares, in the form's fields."""
    asked: Asked = newest or _declared(site)
    zone = visit.formats.zone
    form = {
        "core_hour_yuan": f"{asked.core_hour_yuan:f}",
        "memory_gb_hour_yuan": f"{asked.memory_gb_hour_yuan:f}",
        "note": asked.note,
    }
    for model, formula in asked.device_hour.items():
        for name in FORMULA:
            value = getattr(formula, name)
            form[f"device_hour.{model}.{name}"] = "" if value is None else f"{value:f}"
    for at, each in enumerate(asked.discounts):
        row = {
            "name": each.name,
            "percent": f"{each.percent:f}",
            **{name: ", ".join(getattr(each, name)) for name in NAMES},
            "from_at": typed_instant(each.from_at, zone),
            "until": typed_instant(each.until, zone),
            "above_device_hours": "" if each.above_device_hours is None else str(each.above_device_hours),
            "interruptible": "yes" if each.interruptible else "",
        }
        form |= {f"discounts.{at}.{name}": value for name, value in row.items()}
    for at, package in enumerate(asked.packages):
        row = {
            "name": package.name,
            "plan": package.plan.value,
            "device": package.device,
            "device_hours": str(package.device_hours),
            "fee_yuan": f"{package.fee_yuan:f}",
            "months": str(package.months),
        }
        form |= {f"packages.{at}.{name}": value for name, value in row.items()}
    return form


def _compacted(sent: Mapping[str, str], site: Site) -> dict[str, str]:
    """The fields that the form has, without the rows that are empty or left out: the n-th row is the n-th of the list."""
    names = ["core_hour_yuan", "memory_gb_hour_yuan", "note", "valid_from"]
    names += [f"device_hour.{pool.model}.{name}" for pool in site.offering.devices for name in FORMULA]
    form = {name: sent.get(name, "").strip() for name in names}
    for group, fields, typed in (
        ("discounts", (*DISCOUNT, "interruptible"), DISCOUNT),
        ("packages", (*PACKAGE, "plan", "device", "months"), PACKAGE),
    ):
        for at, row in enumerate(rows_of(sent, group, fields, typed)):
            form |= {f"{group}.{at}.{name}": row[name].strip() for name in fields}
    return form


def _count(form: Mapping[str, str], group: str) -> int:
    return sum(name.startswith(f"{group}.") and name.endswith(".name") for name in form)


def _asked(form: Mapping[str, str], site: Site, zone: tzinfo) -> Asked:
    formulas = {}
    for pool in site.offering.devices:
        field = f"device_hour.{pool.model}"
        if any(form[f"{field}.{name}"] for name in FORMULA):
            formulas[pool.model] = Formula(
                base_yuan=amount_of(form, f"{field}.base_yuan", Decimal(0)),
                factor=amount_of(form, f"{field}.factor", Decimal(0)),
                floor_yuan=amount_of(form, f"{field}.floor_yuan", Decimal(0)),
                cap_yuan=amount_of(form, f"{field}.cap_yuan") if form[f"{field}.cap_yuan"] else None,
            )
    return Asked(
        core_hour_yuan=amount_of(form, "core_hour_yuan"),
        memory_gb_hour_yuan=amount_of(form, "memory_gb_hour_yuan", Decimal(0)),
        device_hour=formulas,
        discounts=tuple(_discount(form, f"discounts.{at}", zone) for at in range(_count(form, "discounts"))),
        packages=tuple(_package(form, f"packages.{at}") for at in range(_count(form, "packages"))),
        note=form["note"],
    )


def _discount(form: Mapping[str, str], field: str, zone: tzinfo) -> Discount:
    above = f"{field}.above_device_hours"
    return Discount(
        name=form[f"{field}.name"],
        percent=amount_of(form, f"{field}.percent"),
        interruptible=form[f"{field}.interruptible"] == "yes",
        brands=words_of(form, f"{field}.brands"),
        projects=words_of(form, f"{field}.projects"),
        organisations=words_of(form, f"{field}.organisations"),
        from_at=instant_of(form, f"{field}.from_at", zone),
        until=instant_of(form, f"{field}.until", zone),
        above_device_hours=count_of(form, above) if form[above] else None,
    )


def _package(form: Mapping[str, str], field: str) -> Package:
    plan = form[f"{field}.plan"]
    if plan not in list(Plan):
        raise InvalidRequest("this is none of the choices", field=f"{field}.plan", allowed=", ".join(Plan))
    return Package(
        name=form[f"{field}.name"],
        plan=Plan(plan),
        device=form[f"{field}.device"],
        device_hours=count_of(form, f"{field}.device_hours"),
        fee_yuan=amount_of(form, f"{field}.fee_yuan"),
        months=count_of(form, f"{field}.months") if form[f"{field}.months"] else 1,
    )


def _preview(visit: Visit, site: Site, asked: Asked, valid_from: datetime | None) -> Preview:
    """What publishing would change. Raises as publishing does."""
    made = visit.network.prices.publish(visit.caller, site.id, asked, valid_from, trial=True)
    lists = [each for each in site.offering.price.lists if each.version != made.version]
    before = [each for each in lists if each.valid_from <= made.valid_from]
    after = replace(site, offering=with_lists(site.offering, (*before, made)))
    return Preview(
        made=made,
        before=posted(site, made.valid_from),
        after=posted(after, made.valid_from),
        changes=_changes(before[-1] if before else _declared(site), made),
        until=min((each.valid_from for each in lists if each.valid_from > made.valid_from), default=None),
        same=len(lists) < len(site.offering.price.lists),
        digest=hashlib.sha256(repr((asked, valid_from, made.version)).encode()).hexdigest(),
    )


def _changes(before: Asked, after: Asked) -> list[Change]:
    """Of what a list says by name: formulas, discounts, packages."""
    found = []
    for kind, old, new in (
        ("device", before.device_hour, after.device_hour),
        ("discount", {each.name: each for each in before.discounts}, {each.name: each for each in after.discounts}),
        ("package", {each.name: each for each in before.packages}, {each.name: each for each in after.packages}),
    ):
        for name in dict.fromkeys((*old, *new)):
            was, will = old.get(name), new.get(name)
            if was != will:
                found.append(Change(kind=kind, name=name, before=was, after=will))
    return found


def _page(
    visit: Visit,
    site: Site,
    form: Mapping[str, str],
    preview: Preview | None = None,
    *,
    again: bool = False,
    error: InvalidRequest | Conflict | None = None,
) -> Response:
    problems = [] if error is None else problem_rows(error)
    discounts, packages = _count(form, "discounts"), _count(form, "packages")
    fields = {*form, "valid_from"}
    fields |= {f"device_hour.{pool.model}.{name}" for pool in site.offering.devices for name in FORMULA}
    return visit.page(
        "prices.html",
        200 if error is None else 409 if isinstance(error, Conflict) else 422,
        site=site,
        name=visit.site_name(site),
        form=form,
        models=[pool.model for pool in site.offering.devices],
        declared=site.offering.price.device_hour_yuan,
        follows=site.offering.price.electricity is not None,
        discounts=min(discounts + EMPTY_ROWS, MOST_DISCOUNTS),
        packages=min(packages + 1, MOST_PACKAGES) if site.offering.devices else 0,
        brands=sorted({each.vendor for each in catalog.accelerators().values()}),
        preview=preview,
        again=again,
        problems=problems,
        beside=bool(problems) and problems[0]["field"] in fields,
        device_name=naming(visit),
        plans={plan: PLANS[plan] for plan in Plan},
    )
