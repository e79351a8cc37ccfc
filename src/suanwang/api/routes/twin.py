"""Routes about the digital twin: experiments that this control plane plays, their progress and their reports."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Route, model_of
from suanwang.api.describing import FAULT, takes
from suanwang.client import twin_models
from suanwang.domain.errors import InvalidRequest
from suanwang.twin.laboratory import REPORT_POLICY, Experiment, Laboratory
from suanwang.twin.whatif import Change, what_if

router = APIRouter(prefix="/v1/twin", tags=["twin"], route_class=Route, responses=FAULT)
REPORT_HEADERS = {
    "Content-Security-Policy": REPORT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_TEXT = "experiment: first-week\ntrace: federation-week\nnetwork: national\npolicies: [joint, nearest]\nseeds: 3\n"
_HTML: dict[int | str, dict[str, Any]] = {
    200: {"description": "One HTML file", "content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.get("/experiments", response_model=twin_models.ExperimentList)
def experiments(request: Request, ask: Asked) -> Response:
    """Experiments of this control plane, newest first, and the shipped ones that can be started by name."""
    kept = _laboratory(request)
    return answer({"items": [_told(each) for each in kept.all(ask.caller)], "examples": sorted(kept.examples)})


@router.post(
    "/experiments",
    status_code=201,
    response_model=twin_models.ExperimentView,
    openapi_extra=takes("NewExperiment", {"title": "A first week", "text": _TEXT}),
)
def start(request: Request, ask: Asked, body: Body) -> Response:
    """Start an experiment; it is played beside the network, one after the other. For operators and regulators."""
    caller, kept = ask.caller, _laboratory(request)
    asked = model_of(twin_models.NewExperiment, body)
    match asked:
        case twin_models.NewExperiment(text=str(text), example=None, what_if=None):
            made = kept.start_text(caller, text, asked.title)
        case twin_models.NewExperiment(text=None, example=str(name), what_if=None):
            made = kept.start_text(caller, kept.example(name), asked.title)
        case twin_models.NewExperiment(text=None, example=None, what_if=twin_models.WhatIf() as wanted):
            made = what_if(ask.network, kept, caller, _change(wanted), asked.title)
        case _:
            raise InvalidRequest("say what to play", field="body", allowed="exactly one of text, example and what_if")
    return answer(_told(made), 201)


@router.get("/experiments/{experiment_id}", response_model=twin_models.ExperimentView)
def show(request: Request, ask: Asked, experiment_id: str) -> Response:
    """One experiment and how far it is."""
    return answer(_told(_laboratory(request).get(ask.caller, experiment_id)))


@router.get("/experiments/{experiment_id}/report", responses=_HTML, response_class=Response)
def report(request: Request, ask: Asked, experiment_id: str) -> Response:
    """The report of an experiment that is done: one HTML file that needs nothing else."""
    path = _laboratory(request).report(ask.caller, experiment_id)
    return Response(path.read_bytes(), media_type="text/html; charset=utf-8", headers=REPORT_HEADERS)


@router.delete("/experiments/{experiment_id}", status_code=204)
def delete(request: Request, ask: Asked, experiment_id: str) -> Response:
    """Stop it where it plays, and remove it with all it wrote. For operators, and for who started it."""
    _laboratory(request).delete(ask.caller, experiment_id)
    return Response(status_code=204)


def _laboratory(request: Request) -> Laboratory:
    kept: Laboratory = request.app.state.laboratory
    return kept


def _told(made: Experiment) -> dict[str, Any]:
    return asdict(made)


def _change(wanted: twin_models.WhatIf) -> Change:
    return Change(
        hours=wanted.hours,
        add_like=wanted.add_site.like if wanted.add_site else None,
        add_capacity=wanted.add_site.capacity if wanted.add_site else 1.0,
        lose_site=wanted.lose_site,
        lose_link=wanted.lose_link,
        lose_link_to=wanted.lose_link_to,
        price_factor=wanted.price_factor,
        price_site=wanted.price_site,
        policies=tuple(wanted.policies),
    )
