"""The client's calls about algorithms, models and data sets for sale.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from suanwang.client import listing_models
from suanwang.client.line import Line
from suanwang.trading.listings import Charge, Kind


class ListingCalls(Line):
    """Listings, copies and uses."""

    def listings(
        self,
        *,
        text: str = "",
        kind: Kind | None = None,
        mine: bool = False,
        closed: bool = False,
        page_size: int = 200,
    ) -> Iterator[listing_models.ListingView]:
        """What is for sale, newest first; `mine` what you sell, `closed` also what was withdrawn."""
        params = {
            "text": text or None,
            "kind": None if kind is None else kind.value,
            "mine": "true" if mine else None,
            "closed": "true" if closed else None,
            "limit": page_size,
        }
        for page in self._pages("/v1/listings", params, listing_models.ListingPage):
            yield from page.items

    def listing(self, listing_id: str, version: str | None = None) -> listing_models.ListingView:
        """A version; the newest on sale where none is named."""
        return self._get(f"/v1/listings/{_part(listing_id)}", listing_models.ListingView, {"version": version})

    def add_listing(
        self,
        listing_id: str,
        version: str,
        *,
        title_en: str,
        title_zh: str,
        kind: Kind,
        licence: str,
        charge: Charge,
        price_fen: int,
        description: str = "",
        project: str | None = None,
        sha256: str | None = None,
        site: str | None = None,
        dataset: str | None = None,
        invited: Sequence[str] | None = None,
    ) -> listing_models.ListingView:
        """Put a version on sale: a project's file by its hash, or a data set of a site. The same again changes nothing."""
        body = {
            "id": listing_id,
            "version": version,
            "title_en": title_en,
            "title_zh": title_zh,
            "description": description,
            "kind": kind.value,
            "licence": licence,
            "project": project,
            "sha256": sha256,
            "site": site,
            "dataset": dataset,
            "charge": charge.value,
            "price_fen": price_fen,
            "invited": None if invited is None else list(invited),
        }
        return self._change("POST", "/v1/listings", listing_models.ListingView, body)

    def withdraw_listing(self, listing_id: str, version: str | None = None) -> int:
        """Take a version, or all, off sale; returns how many were."""
        path = f"/v1/listings/{_part(listing_id)}/withdraw"
        return self._change("POST", path, listing_models.Withdrawn, {"version": version}).versions

    def buy_copy(
        self,
        listing_id: str,
        *,
        price_fen: int,
        version: str | None = None,
        project: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's own name
    ) -> listing_models.CopyView:
        """Buy a copy at the price that was shown; it is the project's file from then on."""
        body = {"id": id or uuid.uuid4().hex, "project": project, "version": version, "price_fen": price_fen}
        return self._change("POST", f"/v1/listings/{_part(listing_id)}/copies", listing_models.CopyView, body)

    def copies(self, *, listing: str | None = None, page_size: int = 200) -> Iterator[listing_models.CopyView]:
        """Copies that your projects bought, or that you sold; newest first."""
        params = {"listing": listing, "limit": page_size}
        for page in self._pages("/v1/listings/copies", params, listing_models.CopyPage):
            yield from page.items

    def listing_uses(self, *, listing: str | None = None, page_size: int = 200) -> Iterator[listing_models.ListingUse]:
        """Uses by jobs of your projects, and of what you sell; newest first."""
        params = {"listing": listing, "limit": page_size}
        for page in self._pages("/v1/listings/uses", params, listing_models.ListingUsePage):
            yield from page.items


def _part(text: str) -> str:
    return quote(text, safe="")
