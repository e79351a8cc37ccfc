"""Routes about algorithms, models and data sets for sale: listings, copies, uses."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Cursor, Limit, Route, model_of, paged
from suanwang.api.describing import FAULT, takes
from suanwang.client import listing_models
from suanwang.control.contracts.listings import Listings, NewListing
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.listings import Copy, Kind, Listing, Use

router = APIRouter(prefix="/v1/listings", tags=["listings"], route_class=Route, responses=FAULT)

_LISTING = {
    "id": "digits-classifier",
    "version": "1.0",
    "title_en": "Classifier of handwritten digits",
    "title_zh": "手写数字分类模型",
    "description": "Logistic regression on 8 by 8 pixels.",
    "kind": "model",
    "licence": "Apache-2.0",
    "project": "demo",
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "charge": "copy",
    "price_fen": 5000,
}
_COPY = {"id": "copy-of-digits-1", "project": "other", "version": "1.0", "price_fen": 5000}
Of = Annotated[str | None, Query(max_length=100, description="Of this listing")]


@router.get("", response_model=listing_models.ListingPage)
def listings(
    ask: Asked,
    text: Annotated[str, Query(max_length=200, description="In its name, titles or description")] = "",
    kind: Kind | None = None,
    mine: Annotated[bool, Query(description="Only what the caller sells")] = False,
    closed: Annotated[bool, Query(description="Also versions that were withdrawn")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """What is for sale to the caller, newest first."""
    caller, shop = ask.caller, ask.network.listings
    found, after = paged(
        lambda at, most: shop.every(caller, text=text, kind=kind, mine=mine, closed=closed, cursor=at, limit=most),
        cursor,
        limit,
    )
    return answer({"items": [listing_row(each, caller, shop) for each in found], "next": after})


@router.post(
    "", status_code=201, response_model=listing_models.ListingView, openapi_extra=takes("NewListing", _LISTING)
)
def add(ask: Asked, body: Body) -> Response:
    """Put a version on sale: a project's file by its hash, or a data set of a provider's site. Sending it again changes
    nothing."""
    caller, shop = ask.caller, ask.network.listings
    asked = model_of(listing_models.NewListing, body)
    values: dict[str, Any] = asked.model_dump(exclude={"project", "site", "invited"})
    wanted = NewListing(
        **values,
        project=None if asked.project is None else ProjectId(asked.project),
        site=None if asked.site is None else SiteId(asked.site),
        invited=None if asked.invited is None else tuple(ProjectId(name) for name in asked.invited),
    )
    return answer(listing_row(shop.add(caller, wanted), caller, shop), 201)


@router.get("/copies", response_model=listing_models.CopyPage)
def copies(ask: Asked, listing: Of = None, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Copies that the caller's projects bought, or that he sold; newest first."""
    caller, shop = ask.caller, ask.network.listings
    found, after = paged(lambda at, most: shop.copies(caller, listing, at, most), cursor, limit)
    return answer({"items": [copy_row(each) for each in found], "next": after})


@router.get("/uses", response_model=listing_models.ListingUsePage)
def uses(ask: Asked, listing: Of = None, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Uses by jobs of the caller's projects, and of what he sells; all for operator and regulator; newest first."""
    caller, shop = ask.caller, ask.network.listings
    found, after = paged(lambda at, most: shop.uses(caller, listing, at, most), cursor, limit)
    return answer({"items": [use_row(each) for each in found], "next": after})


@router.get("/{listing_id}", response_model=listing_models.ListingView)
def listing(ask: Asked, listing_id: str, version: Annotated[str | None, Query(max_length=40)] = None) -> Response:
    """One version; the newest on sale where none is named."""
    caller, shop = ask.caller, ask.network.listings
    return answer(listing_row(shop.show(caller, listing_id, version), caller, shop))


@router.post(
    "/{listing_id}/copies",
    status_code=201,
    response_model=listing_models.CopyView,
    openapi_extra=takes("NewCopy", _COPY),
)
def buy(ask: Asked, listing_id: str, body: Body) -> Response:
    """Buy a copy: paid and delivered as a file of the project, in one step. Sending it again changes nothing."""
    caller = ask.caller
    asked = model_of(listing_models.NewCopy, body)
    project = asked.project or next(iter(caller.projects), None)
    if project is None:
        raise InvalidRequest("name the project that pays", field="project", allowed="see `project list`")
    made = ask.network.listings.buy(
        caller,
        copy_id=asked.id,
        listing_id=listing_id,
        project=ProjectId(project),
        price_fen=asked.price_fen,
        version=asked.version,
    )
    return answer(copy_row(made), 201)


@router.post(
    "/{listing_id}/withdraw",
    response_model=listing_models.Withdrawn,
    openapi_extra=takes("Withdrawal", {"version": "1.0"}),
)
def withdraw(ask: Asked, listing_id: str, body: Body) -> Response:
    """Take a version, or all of them, off sale. Copies that were bought stay. Sending it again changes nothing."""
    caller = ask.caller
    asked = model_of(listing_models.Withdrawal, body)
    return answer({"versions": ask.network.listings.withdraw(caller, listing_id, asked.version)})


def listing_row(value: Listing, caller: Principal, shop: Listings) -> dict[str, Any]:
    knows = shop.sells(caller, value) or caller.role is Role.REGULATOR
    content = value.content
    return {
        "id": value.id,
        "version": value.version,
        "source": value.source,
        "seller": value.seller,
        "title_en": value.title_en,
        "title_zh": value.title_zh,
        "description": value.description,
        "kind": value.kind,
        "licence": value.licence,
        "sha256": value.sha256 or None,
        "size": None if content is None else content.size,
        "folder": content is not None and content.folder,
        "dataset": value.dataset or None,
        "site": value.site,
        "charge": value.charge,
        "price_fen": value.price_fen,
        "invited": None if value.invited is None or not knows else list(value.invited),
        "listed_at": value.listed_at,
        "withdrawn_at": value.withdrawn_at,
    }


def copy_row(value: Copy) -> dict[str, Any]:
    return {
        "id": value.id,
        "listing": value.listing,
        "version": value.version,
        "project": value.project,
        "name": value.file_name,
        "seller": value.seller,
        "price_fen": value.price_fen,
        "sha256": value.content.sha256,
        "buyer": value.buyer,
        "at": value.at,
    }


def use_row(value: Use) -> dict[str, Any]:
    return {
        "listing": value.listing,
        "version": value.version,
        "sha256": value.sha256 or None,
        "job": value.job,
        "project": value.project,
        "owner": value.owner,
        "site": value.site,
        "seller": value.seller,
        "price_fen": value.price_fen,
        "state": value.state,
        "at": value.at,
    }
