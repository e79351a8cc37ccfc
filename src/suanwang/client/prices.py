"""The client's calls about price lists.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from suanwang.client import price_models
from suanwang.client.line import Line
from suanwang.domain.pricing import Asked


class PriceCalls(Line):
    """Publishing a list, what is asked now, and every version."""

    def publish_prices(self, site: str, asked: Asked, valid_from: datetime | None = None) -> price_models.PriceListView:
        """A new version, from `valid_from` on, or at once. What the newest one says already changes nothing."""
        body = {"asked": asked, "valid_from": None if valid_from is None else valid_from.isoformat()}
        return self._change("POST", f"/v1/sites/{quote(site, safe='')}/prices", price_models.PriceListView, body)

    def packages(self) -> Sequence[price_models.OnOfferView]:
        """What may be subscribed to or committed to, at every site."""
        return self._get("/v1/packages", price_models.PackageList).items

    def plans(self, project: str | None = None) -> Sequence[price_models.PlanMonthView]:
        """Months of plans that the caller pays, earns or watches."""
        return self._get("/v1/plans", price_models.PlanList, {"project": project}).items

    def buy_plan(self, wanted: price_models.NewPlan) -> Sequence[price_models.PlanMonthView]:
        """Buy a package; the same `plan` again changes nothing."""
        return self._change("POST", "/v1/plans", price_models.PlanList, wanted.model_dump(mode="json")).items

    def price_history(self, site: str) -> Iterator[price_models.PriceListView]:
        """Every version of a site, newest first."""
        before: int | None = None
        while True:
            page = self._get(f"/v1/sites/{quote(site, safe='')}/prices", price_models.PriceHistory, {"before": before})
            yield from page.items
            before = page.next
            if before is None:
                return

    def asked_prices(
        self, project: str | None = None, *, interruptible: bool = False
    ) -> Sequence[price_models.AskingView]:
        """What every site asks a project now, its discounts taken."""
        params = {"project": project, "interruptible": "true" if interruptible else None}
        return self._get("/v1/prices", price_models.AskingList, params).items
