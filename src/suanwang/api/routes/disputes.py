"""Routes about disputes: opening one about a bill line, statements, the operator's decision."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Cursor, Limit, Route, model_of, paged
from suanwang.api.describing import FAULT, takes
from suanwang.client import dispute_models as models
from suanwang.domain.errors import NotFound
from suanwang.trading.disputes import Dispute

router = APIRouter(prefix="/v1/disputes", tags=["disputes"], route_class=Route, responses=FAULT)
_WHY = "The run was stopped before it began."
Undecided = Annotated[bool, Query(alias="open", description="Only those that are not decided")]


@router.get("", response_model=models.DisputePage)
def disputes(ask: Asked, undecided: Undecided = False, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Disputes the caller is a party of, or all for operator and regulator; newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.disputes.every(caller, undecided, at, most), cursor, limit)
    return answer({"items": [dispute_row(each) for each in found], "next": after})


@router.post(
    "",
    status_code=201,
    response_model=models.DisputeView,
    openapi_extra=takes("NewDispute", {"usage": "j-0000000000000001-1:1", "text": _WHY}),
)
def open_dispute(ask: Asked, body: Body) -> Response:
    """Dispute a bill line, as its payer or its provider. Sending the same again changes nothing."""
    caller = ask.caller
    asked = model_of(models.NewDispute, body)
    return answer(dispute_row(ask.network.disputes.open(caller, asked.usage, asked.text)), 201)


@router.get("/{usage_id}", response_model=models.DisputeView)
def dispute(ask: Asked, usage_id: str) -> Response:
    """The dispute about one line."""
    found = ask.network.disputes.find(ask.caller, usage_id)
    if found is None:
        raise NotFound("this line is not disputed", field="usage", allowed="a line with a dispute")
    return answer(dispute_row(found))


@router.post(
    "/{usage_id}/statements",
    status_code=201,
    response_model=models.DisputeView,
    openapi_extra=takes("NewStatement", {"text": "The site's log shows that it ran."}),
)
def state(ask: Asked, usage_id: str, body: Body) -> Response:
    """Add a statement of the caller's side, while it is open."""
    caller = ask.caller
    asked = model_of(models.NewStatement, body)
    return answer(dispute_row(ask.network.disputes.state(caller, usage_id, asked.text)), 201)


@router.post(
    "/{usage_id}/decision",
    status_code=201,
    response_model=models.DisputeView,
    openapi_extra=takes("NewDecision", {"credit_fen": 1, "text": "A part of it did not run."}),
)
def decide(ask: Asked, usage_id: str, body: Body) -> Response:
    """Reject a dispute (`credit_fen` 0), or give a part of the line back, once for good. For operators."""
    caller = ask.caller
    asked = model_of(models.NewDecision, body)
    return answer(dispute_row(ask.network.disputes.decide(caller, usage_id, asked.credit_fen, asked.text)), 201)


def dispute_row(dispute: Dispute) -> dict[str, Any]:
    return {
        "usage": dispute.usage_id,
        "project": dispute.project,
        "provider": dispute.provider,
        "job": dispute.job_id,
        "site": dispute.site_id,
        "amount_fen": dispute.amount_fen,
        "credit_fen": dispute.credit_fen,
        "state": dispute.state,
        "steps": [
            {
                "act": step.act.value,
                "side": None if step.side is None else step.side.value,
                "by": step.by,
                "at": step.at,
                "text": step.text,
                "credit_fen": step.credit_fen,
                "leaf": step.leaf,
            }
            for step in dispute.steps
        ],
    }
