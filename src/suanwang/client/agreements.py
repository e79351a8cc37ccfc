"""The client's calls about agreements.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from suanwang.client import agreement_models as models
from suanwang.client.line import Line


class AgreementCalls(Line):
    """Keys of parties, versions, signatures, and service credits."""

    def agreements(self, *, page_size: int = 200) -> Iterator[models.AgreementView]:
        """Versions of the caller's side, or all that were offered for operator and regulator; newest first."""
        for page in self._pages("/v1/agreements", {"limit": page_size}, models.AgreementPage):
            yield from page.items

    def service_credits(self, *, page_size: int = 200) -> Iterator[models.CreditView]:
        """Months that were measured, newest first."""
        for page in self._pages("/v1/agreements/credits", {"limit": page_size}, models.CreditPage):
            yield from page.items

    def agreement(self, name: str, version: int | None = None) -> models.SeenAgreement:
        """One version, by default the newest."""
        return self._get(_path(name, version), models.SeenAgreement)

    def draft_agreement(self, wanted: models.NewAgreement) -> models.SeenAgreement:
        """Write a version; the same terms again change nothing."""
        return self._change("POST", "/v1/agreements", models.SeenAgreement, wanted.model_dump(mode="json"))

    def register_party_key(self, party: str, key: str, signature: str) -> models.PartyKeyView:
        """The key that a party signs with from now on."""
        body = {"party": party, "key": key, "signature": signature}
        return self._change("POST", "/v1/agreements/keys", models.PartyKeyView, body)

    def sign_agreement(self, name: str, version: int, key: str, signature: str) -> models.SeenAgreement:
        """Add the caller's side's signature; the same again changes nothing."""
        body = {"key": key, "signature": signature}
        return self._change("POST", f"{_path(name, version)}/signatures", models.SeenAgreement, body)

    def end_agreement(self, name: str, version: int) -> models.SeenAgreement:
        """Withdraw, decline, or give notice; repeating it is harmless."""
        return self._change("POST", f"{_path(name, version)}/end", models.SeenAgreement, {})


def _path(name: str, version: int | None) -> str:
    path = f"/v1/agreements/{quote(name, safe='')}"
    return path if version is None else f"{path}/{version}"
