"""Routes about vouchers: budgets, issuing, choosing, and the supervisor's report."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Cursor, Limit, Route, model_of, paged, possible_instant
from suanwang.api.describing import FAULT, takes
from suanwang.client import voucher_models
from suanwang.control.billing.vouchers import Standing
from suanwang.domain.ids import JobId, ProjectId
from suanwang.trading.vouchers import Voucher, VoucherUse

router = APIRouter(prefix="/v1/vouchers", tags=["vouchers"], route_class=Route, responses=FAULT)

_EXAMPLE = {
    "id": "chengdu-2026-001",
    "issuer": "Chengdu",
    "title": "Chengdu computing vouchers 2026",
    "amount_fen": 1_000_000,
    "projects": ["demo"],
    "domestic": True,
    "from_at": "2026-01-01T00:00:00+08:00",
    "until_at": "2027-01-01T00:00:00+08:00",
    "share_bp": 3000,
    "cap_fen": 200_000,
}


@router.post(
    "/budgets",
    status_code=201,
    response_model=voucher_models.BudgetView,
    openapi_extra=takes("NewBudget", {"id": "budget-2026-1", "issuer": "Chengdu", "amount_fen": 100_000_000}),
)
def fund(ask: Asked, body: Body) -> Response:
    """Budget that an issuer paid in. Sending the same `id` again changes nothing. For operators."""
    caller = ask.caller
    asked = model_of(voucher_models.NewBudget, body)
    account = ask.network.vouchers.fund(caller, asked.issuer, asked.amount_fen, asked.id)
    return answer({"issuer": account.name, "left_fen": account.available_fen}, 201)


@router.get("", response_model=voucher_models.VoucherPage)
def vouchers(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Vouchers the caller holds, or all for operator and regulator; newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.vouchers.every(caller, at, most), cursor, limit)
    return answer({"items": [voucher_row(each) for each in found], "next": after})


@router.get("/report", response_model=voucher_models.VoucherReport)
def report(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """What became of each voucher, and who used it where. For operators and regulators."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.vouchers.report(caller, at, most), cursor, limit)
    items = [{"voucher": voucher_row(each.standing), "uses": [_use(use) for use in each.uses]} for each in found]
    return answer({"items": items, "next": after})


@router.post(
    "", status_code=201, response_model=voucher_models.VoucherView, openapi_extra=takes("NewVoucher", _EXAMPLE)
)
def issue(ask: Asked, body: Body) -> Response:
    """Issue a voucher out of its issuer's budget. Sending the same again changes nothing. For operators."""
    caller = ask.caller
    asked = model_of(voucher_models.NewVoucher, body)
    now = ask.network.clock.now()
    wanted = Voucher(
        id=asked.id,
        issuer=asked.issuer,
        title=asked.title,
        amount_fen=asked.amount_fen,
        projects=tuple(ProjectId(name) for name in asked.projects),
        organisations=tuple(asked.organisations),
        providers=tuple(asked.providers),
        regions=tuple(asked.regions),
        devices=tuple(asked.devices),
        domestic=asked.domestic,
        from_at=possible_instant(asked.from_at, "from_at"),
        until_at=possible_instant(asked.until_at, "until_at"),
        share_bp=asked.share_bp,
        cap_fen=asked.cap_fen,
        automatic=asked.automatic,
        related=tuple(asked.related),
        issued_at=now,
        issued_by=caller.name,
    )
    return answer(voucher_row(ask.network.vouchers.issue(caller, wanted)), 201)


@router.post(
    "/{voucher_id}/jobs",
    status_code=201,
    response_model=voucher_models.VoucherView,
    openapi_extra=takes("NewRedemption", {"job": "j-0000000000000001"}),
)
def choose(ask: Asked, voucher_id: str, body: Body) -> Response:
    """Pay a job's bill with this voucher from now on. A job has one voucher for good."""
    caller = ask.caller
    asked = model_of(voucher_models.NewRedemption, body)
    return answer(voucher_row(ask.network.vouchers.choose(caller, voucher_id, JobId(asked.job))), 201)


def voucher_row(standing: Standing) -> dict[str, Any]:
    voucher = standing.voucher
    return {
        "id": voucher.id,
        "issuer": voucher.issuer,
        "title": voucher.title,
        "amount_fen": voucher.amount_fen,
        "used_fen": standing.used_fen,
        "held_fen": standing.held_fen,
        "left_fen": standing.left_fen,
        "returned_fen": standing.returned_fen,
        "projects": voucher.projects,
        "organisations": voucher.organisations,
        "providers": voucher.providers,
        "regions": voucher.regions,
        "devices": voucher.devices,
        "domestic": voucher.domestic,
        "from_at": voucher.from_at,
        "until_at": voucher.until_at,
        "share_bp": voucher.share_bp,
        "cap_fen": voucher.cap_fen,
        "automatic": voucher.automatic,
        "related": voucher.related,
        "issued_at": voucher.issued_at,
        "issued_by": voucher.issued_by,
        "closed_at": voucher.closed_at,
    }


def _use(use: VoucherUse) -> dict[str, Any]:
    return {
        "project": use.project,
        "provider": use.provider,
        "site": use.site,
        "jobs": use.jobs,
        "lines": use.lines,
        "amount_fen": use.amount_fen,
        "billed_fen": use.billed_fen,
        "first_at": use.first_at,
        "last_at": use.last_at,
    }
