"""The client's calls about disputes.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from suanwang.client import dispute_models as models
from suanwang.client.line import Line


class DisputeCalls(Line):
    """Disputes about bill lines."""

    def disputes(self, *, undecided: bool = False, page_size: int = 200) -> Iterator[models.DisputeView]:
        """Those the caller is a party of, or all for operator and regulator; newest first."""
        params = {"limit": page_size, "open": "true" if undecided else "false"}
        for page in self._pages("/v1/disputes", params, models.DisputePage):
            yield from page.items

    def dispute(self, usage: str) -> models.DisputeView:
        """The dispute about the line of this usage record."""
        return self._get(f"/v1/disputes/{quote(usage, safe='')}", models.DisputeView)

    def open_dispute(self, usage: str, text: str) -> models.DisputeView:
        """Say why a line is wrong; the same again changes nothing."""
        return self._change("POST", "/v1/disputes", models.DisputeView, {"usage": usage, "text": text})

    def state_dispute(self, usage: str, text: str) -> models.DisputeView:
        """Add a statement of the caller's side."""
        path = f"/v1/disputes/{quote(usage, safe='')}/statements"
        return self._change("POST", path, models.DisputeView, {"text": text})

    def decide_dispute(self, usage: str, credit_fen: int, text: str) -> models.DisputeView:
        """Reject it (0), or give back a part of the line. For operators."""
        path = f"/v1/disputes/{quote(usage, safe='')}/decision"
        return self._change("POST", path, models.DisputeView, {"credit_fen": credit_fen, "text": text})
