"""The client's calls about invoices, statements and exports.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from suanwang.client import invoice_models
from suanwang.client.line import Line
from suanwang.trading.grouping import By, Export


class InvoiceCalls(Line):
    """Invoices as data and as files, statements."""

    def invoice(self, project: str, month: str) -> invoice_models.InvoiceView:
        """A project's month, such as `2026-03`, of China's time."""
        return self._get(_invoice(project, month), invoice_models.InvoiceView)

    def invoice_file(self, project: str, month: str, *, pdf: bool = False, chinese: bool = True) -> bytes:
        """The invoice's own bytes: JSON, or PDF in Chinese or English."""
        if pdf:
            return self._bytes(f"{_invoice(project, month)}/pdf", {"lang": "zh" if chinese else "en"})
        return self._bytes(_invoice(project, month), {})

    def rerated(self, project: str, month: str) -> invoice_models.ReratedView:
        """Whether rating the month anew gives the same invoice."""
        return self._get(f"{_invoice(project, month)}/rerated", invoice_models.ReratedView)

    def export(
        self,
        from_at: datetime,
        to_at: datetime,
        *,
        form: Export = Export.FOCUS,
        projects: Sequence[str] = (),
        site: str | None = None,
        job: str | None = None,
    ) -> Iterator[bytes]:
        """Charges whose usage begins in this time, in pieces as they come: FOCUS, CloudEvents or OGF usage records."""
        params = {
            "format": form.value,
            "from_at": from_at.isoformat(),
            "to_at": to_at.isoformat(),
            "project": list(projects) or None,
            "site": site,
            "job": job,
        }
        yield from self._stream("/v1/bills/export", params)

    def statement(self, month: str, by: By = By.PROJECT) -> invoice_models.StatementView:
        """Sums by whom or where."""
        path = f"/v1/statements/{quote(month, safe='')}"
        return self._get(path, invoice_models.StatementView, {"by": by.value})


def _invoice(project: str, month: str) -> str:
    return f"/v1/invoices/{quote(project, safe='')}/{quote(month, safe='')}"
