"""The client's calls about vouchers.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from suanwang.client import voucher_models
from suanwang.client.line import Line


class VoucherCalls(Line):
    """Budgets, vouchers, and the supervisor's report."""

    def vouchers(self, *, page_size: int = 200) -> Iterator[voucher_models.VoucherView]:
        """Vouchers the caller holds, or all for operator and regulator; newest first."""
        for page in self._pages("/v1/vouchers", {"limit": page_size}, voucher_models.VoucherPage):
            yield from page.items

    def voucher_report(self, *, page_size: int = 200) -> Iterator[voucher_models.WatchedVoucher]:
        """What became of each voucher; for operators and regulators."""
        for page in self._pages("/v1/vouchers/report", {"limit": page_size}, voucher_models.VoucherReport):
            yield from page.items

    def fund_vouchers(self, issuer: str, amount_fen: int, *, key: str) -> voucher_models.BudgetView:
        """Budget that an issuer paid in; `key` makes repetition harmless. For operators."""
        body = {"id": key, "issuer": issuer, "amount_fen": amount_fen}
        return self._change("POST", "/v1/vouchers/budgets", voucher_models.BudgetView, body)

    def issue_voucher(self, voucher: voucher_models.NewVoucher) -> voucher_models.VoucherView:
        """Issue a voucher; the same again changes nothing. For operators."""
        return self._change("POST", "/v1/vouchers", voucher_models.VoucherView, voucher.model_dump(mode="json"))

    def choose_voucher(self, voucher: str, job: str) -> voucher_models.VoucherView:
        """Pay a job's bill with this voucher from now on."""
        path = f"/v1/vouchers/{quote(voucher, safe='')}/jobs"
        return self._change("POST", path, voucher_models.VoucherView, {"job": job})
