"""The client's calls about rights that end early, deposits and terms of sale."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from suanwang.client import termination_models
from suanwang.client.line import Line


class TerminationCalls(Line):
    """Cancelling, taking back, deposits, terms, the guarantee; `Client` mixes them in."""

    def cancel_right(
        self,
        right: str,
        *,
        count: int | None = None,
        trial: bool = False,
        id: str | None = None,  # noqa: A002 - the field's own name
    ) -> termination_models.TerminationView:
        """Give units of a right back for what its terms give back of the price; with `trial` only say what that is."""
        body = {"id": id or uuid.uuid4().hex, "count": count, "trial": trial}
        path = f"/v1/market/rights/{quote(right, safe='')}/cancel"
        return self._change("POST", path, termination_models.TerminationView, body)

    def reclaim(
        self,
        *,
        site: str,
        device: str,
        count: int,
        start: datetime,
        end: datetime,
        id: str | None = None,  # noqa: A002
    ) -> Sequence[termination_models.TerminationView]:
        """Take capacity of one's site back from the market, with the notice of its terms."""
        body = {
            "id": id or uuid.uuid4().hex,
            "site": site,
            "device": device,
            "count": count,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }
        return self._change("POST", "/v1/market/reclaims", termination_models.ReclaimView, body).items

    def terminations(self, *, page_size: int = 200) -> Iterator[termination_models.TerminationView]:
        """Rights of the caller's projects, or that he sold, that ended early; newest first."""
        for page in self._pages("/v1/market/terminations", {"limit": page_size}, termination_models.TerminationPage):
            yield from page.items

    def deposits(self, *, page_size: int = 200) -> Iterator[termination_models.DepositView]:
        """What is kept back of the caller's sales, newest first."""
        for page in self._pages("/v1/market/deposits", {"limit": page_size}, termination_models.DepositPage):
            yield from page.items

    def sale_terms(self) -> Sequence[termination_models.TermsView]:
        """Those in force, then all others, the latest first."""
        return self._get("/v1/market/terms", termination_models.TermsHistory).items

    def set_sale_terms(self, terms: termination_models.NewTerms) -> termination_models.TermsView:
        return self._change("POST", "/v1/market/terms", termination_models.TermsView, terms.model_dump(mode="json"))

    def guarantee(self) -> termination_models.GuaranteeView:
        return self._get("/v1/market/guarantee", termination_models.GuaranteeView)

    def fund_guarantee(self, amount_fen: int, *, id: str | None = None) -> termination_models.GuaranteeView:  # noqa: A002
        """Move what the network earned into its guarantee."""
        body = {"id": id or uuid.uuid4().hex, "amount_fen": amount_fen}
        return self._change("POST", "/v1/market/guarantee", termination_models.GuaranteeView, body)
