"""The client's calls about the ledger.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from suanwang.client import ledger_models
from suanwang.client.line import Line
from suanwang.trading.grouping import PaperKind


class LedgerCalls(Line):
    """Wallets, transfers, checkpoints, proofs and bills as evidence."""

    def accounts(self, *, page_size: int = 200) -> Iterator[ledger_models.AccountView]:
        """Accounts the caller may see, by identifier."""
        for page in self._pages("/v1/ledger/accounts", {"limit": page_size}, ledger_models.AccountPage):
            yield from page.items

    def unsettled(self) -> tuple[int, int]:
        """The caller's bill lines that are not settled, and how many of them a limit blocks."""
        page = self._get("/v1/ledger/accounts", ledger_models.AccountPage, {"limit": 1})
        return page.unsettled_lines, page.blocked_lines

    def account(self, account: str) -> ledger_models.AccountView:
        return self._get("/v1/ledger/account", ledger_models.AccountView, {"account": account})

    def transfers(self, account: str, *, page_size: int = 200) -> Iterator[ledger_models.TransferView]:
        """Transfers of an account, newest first."""
        params = {"account": account, "limit": page_size}
        for page in self._pages("/v1/ledger/transfers", params, ledger_models.TransferPage):
            yield from page.items

    def flows(self, account: str, months: int = 12) -> list[ledger_models.FlowView]:
        """What an account got, less what it gave, by month, purpose, project and provider."""
        params = {"account": account, "months": months}
        return self._get("/v1/ledger/flows", ledger_models.FlowList, params).items

    def checkpoints(self, *, limit: int = 100, before: int | None = None) -> list[ledger_models.CheckpointView]:
        """The checkpoints that were signed, largest first."""
        params = {"limit": limit, "before": before}
        return self._get("/v1/ledger/checkpoints", ledger_models.CheckpointList, params).items

    def top_up(self, project: str, amount_fen: int, *, key: str | None = None) -> ledger_models.AccountView:
        """Put money on a project's account. `key` makes repetition harmless; one is made where none is given."""
        body = {"id": key or uuid.uuid4().hex, "project": project, "amount_fen": amount_fen}
        return self._change("POST", "/v1/ledger/top-ups", ledger_models.AccountView, body)

    def set_limit(self, project: str, limit_fen: int | None) -> ledger_models.AccountView:
        """How far a project may owe; 0 makes it prepaid, None lets it pay by invoice later."""
        body = {"project": project, "limit_fen": limit_fen}
        return self._change("PUT", "/v1/ledger/limits", ledger_models.AccountView, body)

    def spending_budgets(self) -> list[ledger_models.SpendingBudget]:
        """Budgets that bind the caller, with what is spent, held and left of each."""
        return self._get("/v1/ledger/budgets", ledger_models.SpendingBudgets).items

    def set_budget(
        self, scope: str, name: str, limit_fen: int | None, *, period: str = "month"
    ) -> list[ledger_models.SpendingBudget]:
        """How much a person, a project or an organisation may spend; None takes the budget away. Answers with all there are."""
        body = {"scope": scope, "name": name, "limit_fen": limit_fen, "period": period}
        return self._change("PUT", "/v1/ledger/budgets", ledger_models.SpendingBudgets, body).items

    def checkpoint(self, size: int | None = None) -> ledger_models.CheckpointView:
        """The ledger as it is now, signed; or as it was signed at `size`."""
        return self._get("/v1/ledger/checkpoint", ledger_models.CheckpointView, {"size": size})

    def inclusion(self, index: int, size: int | None = None) -> ledger_models.InclusionView:
        return self._get("/v1/ledger/proof", ledger_models.InclusionView, {"index": index, "size": size})

    def consistency(self, from_size: int, size: int | None = None) -> ledger_models.ConsistencyView:
        params = {"from_size": from_size, "size": size}
        return self._get("/v1/ledger/consistency", ledger_models.ConsistencyView, params)

    def evidence(self, job_id: str, *, since: int | None = None) -> dict[str, Any]:
        """A job's bill that proves itself, as `bill.json` holds it; with `since`, that the log continues an older one."""
        path = f"/v1/bills/{quote(job_id, safe='')}/evidence"
        return self._get(path, ledger_models.BillDocument, {"since": since}).model_dump(mode="json")

    def paper(self, kind: PaperKind, name: str, *, since: int | None = None) -> dict[str, Any]:
        """An invoice, statement, order, voucher, credit or account that proves itself, as a file holds it."""
        path = f"/v1/evidence/{kind.value}"
        return self._get(path, ledger_models.PaperDocument, {"name": name, "since": since}).model_dump(mode="json")

    def trace(self, of: str) -> ledger_models.TraceView:
        """From a job's first event to the last fen; `of` is a job, a usage record or a transfer."""
        return self._get("/v1/trace", ledger_models.TraceView, {"of": of})

    def audit(self) -> ledger_models.AuditView:
        """The whole ledger against its own transfers; for operators and regulators."""
        return self._get("/v1/ledger/audit", ledger_models.AuditView)
