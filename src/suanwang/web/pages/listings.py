"""The shop: algorithms, models and data sets for sale, copies that were bought, who used what, and listing one's own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.control.contracts.listings import NewListing
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthorized
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.listings import MOST_LICENCE, MOST_TITLE, Charge, Kind, UseState
from suanwang.web.labels import N_
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50
SHOWN = 50

KINDS: Mapping[str, str] = {
    Kind.ALGORITHM: N_("algorithm"),
    Kind.MODEL: N_("model"),
    Kind.DATASET: N_("data set"),
}
CHARGES: Mapping[str, str] = {Charge.USE: N_("per use"), Charge.COPY: N_("per copy")}
STATES: Mapping[str, str] = {
    UseState.HELD: N_("amount held"),
    UseState.PAID: N_("paid"),
    UseState.RELEASED: N_("not started, nothing paid"),
}


@router.get("/listings")
def show(
    visit: Visited,
    text: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[str, Query(max_length=20)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    visit.needs_login()
    return _page(visit, text=text, kind=kind, cursor=cursor)


@router.post("/listings")
def add(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    thing, _, where = form.get("thing", "").partition("|")
    site = where if form.get("thing", "").startswith("dataset:") else None
    project, _, sha256 = thing.partition("/")
    invited = tuple(ProjectId(name) for name in form.get("invited", "").replace(",", " ").split())
    try:
        visit.network.listings.add(
            visit.caller,
            NewListing(
                id=form.get("id", ""),
                version=form.get("version", ""),
                title_en=form.get("title_en", ""),
                title_zh=form.get("title_zh", ""),
                description=form.get("description", ""),
                kind=_kind(form.get("kind", "")) or Kind.MODEL,
                licence=form.get("licence", ""),
                project=None if site is not None else ProjectId(project),
                sha256=None if site is not None else sha256,
                site=None if site is None else SiteId(site),
                dataset=None if site is None else thing.removeprefix("dataset:"),
                charge=Charge.COPY if form.get("charge") == "copy" else Charge.USE,
                price_fen=_fen(form),
                invited=invited or None,
            ),
        )
    except (Forbidden, Unauthorized, NotFound):
        raise
    except (InvalidRequest, Conflict) as error:
        return _again(visit, form, error)
    return RedirectResponse("/listings", 303)


@router.post("/listings/{listing_id}/buy")
def buy(visit: Visited, listing_id: str, form: Form) -> Response:
    visit.needs_login()
    price = form.get("price_fen", "")
    try:
        visit.network.listings.buy(
            visit.caller,
            copy_id=form.get("id", ""),
            listing_id=listing_id,
            project=ProjectId(form.get("project", "")),
            price_fen=int(price) if price.isascii() and price.isdecimal() and len(price) < 17 else -1,
            version=form.get("version") or None,
        )
    except (Forbidden, Unauthorized, NotFound):
        raise
    except (InvalidRequest, Conflict) as error:
        return _again(visit, form, error)
    return RedirectResponse("/listings#copies", 303)


@router.post("/listings/{listing_id}/withdraw")
def withdraw(visit: Visited, listing_id: str, form: Form) -> Response:
    visit.needs_login()
    visit.network.listings.withdraw(visit.caller, listing_id, form.get("version") or None)
    return RedirectResponse("/listings", 303)


def _again(visit: Visit, form: Mapping[str, str], error: InvalidRequest | Conflict) -> Response:
    """The page once more with what is wrong."""
    if isinstance(error, InvalidRequest):
        problems: Sequence[Mapping[str, object]] = problem_rows(error)
    else:
        problems = [{"field": error.field, "message": error.message, "allowed": error.allowed, "line": None}]
    return _page(visit, form=form, problems=problems, status=409 if isinstance(error, Conflict) else 422)


def _page(
    visit: Visit,
    *,
    text: str = "",
    kind: str = "",
    cursor: str = "",
    form: Mapping[str, str] | None = None,
    problems: Sequence[Mapping[str, object]] = (),
    status: int = 200,
) -> Response:
    caller, shop = visit.caller, visit.network.listings
    try:
        found, after = shop.every(caller, text=text, kind=_kind(kind), cursor=cursor or None, limit=PAGE)
    except (ValueError, LookupError):
        raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    copies, _ = shop.copies(caller, None, None, SHOWN)
    uses, _ = shop.uses(caller, None, None, SHOWN)
    projects = [known.id for known in visit.network.people.projects(caller) if caller.may_change(known.id)]
    return visit.page(
        "listings.html",
        status,
        rows=found,
        next=after,
        first=bool(cursor),
        text=text,
        kind=kind,
        kinds=KINDS,
        charges=CHARGES,
        states=STATES,
        sells=lambda listing: shop.sells(caller, listing),
        buyers=lambda listing: [p for p in projects if listing.open_to(p) and listing.seller != f"project:{p}"],
        copies=copies,
        uses=uses,
        things=_things(visit, projects),
        names=visit.site_names(),
        form=form or {},
        problems=problems,
        most_title=MOST_TITLE,
        most_licence=MOST_LICENCE,
        fresh=lambda: secrets.token_hex(16),
    )


def _things(visit: Visit, projects: Sequence[ProjectId]) -> list[tuple[str, str]]:
    """What the caller could list: (value, name) of files of his projects, and of data sets of his sites."""
    caller, found = visit.caller, list[tuple[str, str]]()
    for project in projects[:SHOWN]:
        records, _ = visit.network.artefacts.page(caller, project, None, SHOWN)
        found += [
            (f"{project}/{record.content.sha256}", f"{project}/{record.name}")
            for record in records
            if record.site_id is None and not record.residency
        ]
    if caller.role in (Role.PROVIDER, Role.OPERATOR):
        for view in visit.network.sites.all(caller):
            site = view.site
            if caller.role is Role.OPERATOR or site.offering.provider == caller.provider:
                found += [
                    (f"dataset:{data.name}|{site.id}", f"dataset:{data.name} ({site.id})")
                    for data in site.offering.datasets
                ]
    return found


def _kind(text: str) -> Kind | None:
    try:
        return Kind(text) if text else None
    except ValueError:
        raise InvalidRequest("this is none of the choices", field="kind", allowed=", ".join(Kind)) from None


def _fen(form: Mapping[str, str]) -> int:
    try:
        amount = Decimal(form.get("price", "").strip()) * 100
        whole = int(amount) if abs(amount) <= MOST_FEN else -1
    except (ArithmeticError, ValueError):
        whole, amount = -1, Decimal(0)
    if whole < 0 or whole != amount:
        raise InvalidRequest("a price in yuan is needed here", field="price", allowed="such as 12.50, or 0")
    return whole
