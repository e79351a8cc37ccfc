"""Routes about invoices and statements."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from suanwang.adapters.printing import invoice_pdf
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Route
from suanwang.api.describing import FAULT
from suanwang.client import invoice_models
from suanwang.domain.ids import ProjectId
from suanwang.trading.grouping import By
from suanwang.trading.invoicing import encoded

router = APIRouter(prefix="/v1", tags=["bills"], route_class=Route, responses=FAULT)
Month = Annotated[str, Path(description="A month of China's time, such as 2026-03")]
_PDF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/invoices/{project}/{month}", response_model=invoice_models.InvoiceView)
def invoice(ask: Asked, project: str, month: Month) -> Response:
    """A project's invoice. The same month gives the same bytes, once it is over and settled."""
    made = ask.network.invoices.invoice(ask.caller, ProjectId(project), month)
    return Response(encoded(made), media_type="application/json")


@router.get("/invoices/{project}/{month}/pdf", response_class=Response, responses=_PDF)
def invoice_as_pdf(
    ask: Asked, project: str, month: Month, lang: Annotated[str, Query(pattern="^(zh|en)$")] = "zh"
) -> Response:
    """The same as PDF, in Chinese or English."""
    made = ask.network.invoices.invoice(ask.caller, ProjectId(project), month)
    headers = {"Content-Disposition": f'attachment; filename="invoice-{month}.pdf"'}
    return Response(invoice_pdf(made, chinese=lang == "zh"), media_type="application/pdf", headers=headers)


@router.get("/invoices/{project}/{month}/rerated", response_model=invoice_models.ReratedView)
def rerated(ask: Asked, project: str, month: Month) -> Response:
    """Rate the month anew from its usage records and prices, and say whether the invoice is the same."""
    found = ask.network.invoices.rerate(ask.caller, ProjectId(project), month)
    return answer(
        {
            "identical": found.identical,
            "lines": found.lines,
            "billed_sha256": found.billed_sha256,
            "rerated_sha256": found.rerated_sha256,
        }
    )


@router.get("/statements/{month}", response_model=invoice_models.StatementView)
def statement(ask: Asked, month: Month, by: By = By.PROJECT) -> Response:
    """What the caller pays, earns or watches, summed by whom or where."""
    items = ask.network.invoices.statement(ask.caller, month, by)
    return answer({"month": month, "by": by.value, "items": items})
