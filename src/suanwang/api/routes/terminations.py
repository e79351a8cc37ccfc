"""Routes about rights that end early, deposits, terms of sale and the guarantee."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Cursor, Limit, Route, model_of, paged, possible_instant
from suanwang.api.describing import FAULT, takes
from suanwang.client import termination_models
from suanwang.control.market.reclaiming import Reclaim
from suanwang.domain.ids import SiteId
from suanwang.trading.ledger import Account
from suanwang.trading.market.product import begins
from suanwang.trading.market.termination import Deposit, Termination
from suanwang.trading.market.terms import Refund, SaleTerms

router = APIRouter(prefix="/v1/market", tags=["market"], route_class=Route, responses=FAULT)

_TERMS = {
    "refunds": [{"hours": 72, "refund_bp": 10_000}, {"hours": 24, "refund_bp": 5_000}],
    "notice_h": 48,
    "compensation_bp": 2_000,
    "deposit_bp": 1_000,
}
_RECLAIM = {
    "id": "reclaim-cores-1",
    "site": "guian",
    "device": "core",
    "count": 2,
    "start": "2026-03-05T14:00:00Z",
    "end": "2026-03-06T00:00:00Z",
}


@router.get("/terms", response_model=termination_models.TermsHistory)
def terms(ask: Asked) -> Response:
    """The terms of sale: those in force stand first."""
    return answer({"items": [terms_row(each) for each in ask.network.terminations.terms(ask.caller)]})


@router.post(
    "/terms", status_code=201, response_model=termination_models.TermsView, openapi_extra=takes("NewTerms", _TERMS)
)
def set_terms(ask: Asked, body: Body) -> Response:
    """Terms for what is sold from an instant on; what was sold keeps its own. For operators."""
    caller = ask.caller
    asked = model_of(termination_models.NewTerms, body)
    values = asked.model_dump(exclude={"from_at", "refunds"})
    made = SaleTerms(
        from_at=ask.network.clock.now() if asked.from_at is None else possible_instant(asked.from_at, "from_at"),
        refunds=tuple(Refund(hours=each.hours, refund_bp=each.refund_bp) for each in asked.refunds),
        **values,
    )
    return answer(terms_row(ask.network.terminations.set_terms(caller, made)), 201)


@router.get("/guarantee", response_model=termination_models.GuaranteeView)
def guarantee(ask: Asked) -> Response:
    """What the operator keeps for rights that are not delivered."""
    return answer(_guarantee(ask.network.terminations.guarantee(ask.caller)))


@router.post(
    "/guarantee",
    status_code=201,
    response_model=termination_models.GuaranteeView,
    openapi_extra=takes("NewGuarantee", {"id": "guarantee-2026-1", "amount_fen": 100_000}),
)
def fund(ask: Asked, body: Body) -> Response:
    """Move what the network earned into its guarantee. The same `id` again changes nothing. For operators."""
    caller = ask.caller
    asked = model_of(termination_models.NewGuarantee, body)
    return answer(_guarantee(ask.network.terminations.fund(caller, asked.amount_fen, asked.id)), 201)


@router.get("/deposits", response_model=termination_models.DepositPage)
def deposits(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """What is kept back of a provider's sales until their hours were delivered; newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.terminations.deposits(caller, at, most), cursor, limit)
    return answer({"items": [_deposit(each) for each in found], "next": after})


@router.get("/terminations", response_model=termination_models.TerminationPage)
def terminations(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Rights that ended early, of the caller's projects or sold by him, with who paid for it; newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.terminations.terminations(caller, at, most), cursor, limit)
    owed = ask.network.terminations.owed(found)
    return answer({"items": [_termination(each, owed=each.id in owed) for each in found], "next": after})


@router.post(
    "/rights/{right_id}/cancel",
    status_code=201,
    response_model=termination_models.TerminationView,
    openapi_extra=takes("NewCancellation", {"id": "cancel-cores-1", "count": 1}),
)
def cancel(ask: Asked, right_id: str, body: Body) -> Response:
    """Give units of a right back, over all its hours that have not begun. Sending it again changes nothing."""
    caller = ask.caller
    asked = model_of(termination_models.NewCancellation, body)
    made = ask.network.terminations.cancel(caller, right_id, asked.id, asked.count, trial=asked.trial)
    return answer(_termination(made), 201)


@router.post(
    "/reclaims",
    status_code=201,
    response_model=termination_models.ReclaimView,
    openapi_extra=takes("NewReclaim", _RECLAIM),
)
def reclaim(ask: Asked, body: Body) -> Response:
    """Take capacity back from the market, with the notice of its terms; holders are paid. Sending it again changes nothing."""
    caller = ask.caller
    asked = model_of(termination_models.NewReclaim, body)
    wanted = Reclaim(
        id=asked.id,
        site=SiteId(asked.site),
        device=asked.device,
        count=asked.count,
        start=possible_instant(asked.start, "start"),
        end=possible_instant(asked.end, "end"),
    )
    return answer({"items": [_termination(each) for each in ask.network.terminations.reclaim(caller, wanted)]}, 201)


def terms_row(value: SaleTerms) -> dict[str, Any]:
    return {
        "from_at": value.from_at,
        "refunds": [{"hours": step.hours, "refund_bp": step.refund_bp} for step in value.refunds],
        "notice_h": value.notice_h,
        "interruptible_notice_h": value.interruptible_notice_h,
        "compensation_bp": value.compensation_bp,
        "deposit_bp": value.deposit_bp,
        "pool_bp": value.pool_bp,
        "replace_bp": value.replace_bp,
    }


def _guarantee(value: Account) -> dict[str, Any]:
    return {"account": value.id, "balance_fen": value.balance_fen}


def _deposit(value: Deposit) -> dict[str, Any]:
    return {
        "trade": value.id,
        "seller": value.seller,
        "site": value.site,
        "amount_fen": value.amount_fen,
        "until": begins(value.until),
        "open": value.open,
    }


def _termination(value: Termination, *, owed: bool = True) -> dict[str, Any]:
    return {
        "id": value.id,
        "kind": value.kind,
        "right": value.right,
        "project": value.project or None,
        "seller": value.seller,
        "site": value.site,
        "device": value.device,
        "start": begins(value.first),
        "end": begins(value.end),
        "counts": list(value.counts),
        "worth_fen": value.worth_fen,
        "due_fen": value.due_fen,
        "deposit_fen": value.deposit_fen,
        "seller_fen": value.seller_fen + (0 if owed else value.unpaid_fen),
        "network_fen": value.network_fen,
        "pool_fen": value.pool_fen,
        "unpaid_fen": value.unpaid_fen if owed else 0,
        "replacement": value.replacement,
        "away_at": value.away_at,
        "at": value.at,
    }
