"""Routes about what work needs, what is offered for it, and what finished runs taught."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang.api import answering_quotes as telling
from suanwang.api.answering import Row, answer
from suanwang.api.asking import Asked, Body, Route
from suanwang.api.describing import FAULT, takes
from suanwang.api.routes.jobs import ContentType, PaysQuery
from suanwang.api.work import objective_of, read_only_need, read_work, with_objective
from suanwang.client import quote_models as models
from suanwang.client.problems import problem_rows
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.quote import Quote
from suanwang.domain.task import Task
from suanwang.scheduling.quoting import Found
from suanwang.taskfile import InvalidTask
from suanwang.translation import error_in_chinese

router = APIRouter(prefix="/v1", tags=["quotes"], route_class=Route, responses=FAULT)

_NEED = {"work": "pretrain", "model": {"parameters": "7B"}, "tokens": "2T", "context": 4096}
_NEED_TEXT = "work: pretrain\nmodel: {parameters: 7B}\ntokens: 2T\ncontext: 4096\n"
_TASK_TEXT = "name: hello\nrun: echo hello\nresources: {cores: 1, expected: 10m}\n"
_NEEDS = takes("Need", _NEED, also={"application/yaml": _NEED_TEXT, "text/plain": _NEED_TEXT})
_WORK = takes("Work", _NEED, also={"application/yaml": _NEED_TEXT, "text/plain": _TASK_TEXT})
Objective = Annotated[
    str | None,
    Query(
        max_length=200,
        description="cheapest, greenest, fastest, balanced, or weights such as `price=2,carbon=1`; by default the cheapest "
        "for a need and the task's own for a task",
    ),
]
Devices = Annotated[
    list[str] | None,
    Query(max_length=200, description="Offer a need only on these devices, by any names of the catalogue"),
]
Title = Annotated[str, Query(max_length=200, description="What people read above the quote")]


@router.post("/needs", response_model=models.RequirementView, openapi_extra=_NEEDS)
def need(
    ask: Asked,
    body: Body,
    content_type: ContentType = "",
    devices: Annotated[
        list[str] | None,
        Query(max_length=200, description="Any names of the catalogue; by default those the network has"),
    ] = None,
    count: Annotated[
        int | None,
        Query(ge=1, le=100_000_000, description="Cards (cores for core-hours); by default the fewest that hold it"),
    ] = None,
) -> Response:
    """What a need takes on each device: cards, hours as an interval, PD, kWh, and why other devices cannot."""
    _ = ask.caller
    found = ask.network.quotes.requirement(read_only_need(content_type, body), devices=devices or (), count=count)
    return answer(telling.requirement(found))


@router.post("/quotes", status_code=201, response_model=models.QuoteView, openapi_extra=_WORK)
def quote(
    ask: Asked,
    body: Body,
    content_type: ContentType = "",
    project: PaysQuery = None,
    objective: Objective = None,
    devices: Devices = None,
    title: Title = "",
) -> Response:
    """Offers for a need or a task, kept; their unit prices bind until the quote expires."""
    caller, quotes = ask.caller, ask.network.quotes
    work, weights = read_work(content_type, body), objective_of(objective)
    pays = None if project is None else ProjectId(project)
    if isinstance(work.of, Task):
        task = with_objective(work.of, weights)
        made = quotes.quote_task(caller, task, source=work.source, project=pays, title=title)
    else:
        made = quotes.quote_need(
            caller,
            work.of,
            title=title or "need",
            source=work.source,
            project=pays,
            objective=weights,
            devices=devices or (),
        )
    return answer(_told(ask, made), 201)


@router.post("/quotes/preview", response_model=models.QuotePreview, openapi_extra=_WORK)
def preview(
    ask: Asked,
    body: Body,
    content_type: ContentType = "",
    project: PaysQuery = None,
    objective: Objective = None,
    devices: Devices = None,
) -> Response:
    """What a quote would say, or everything that is wrong with the text; nothing is kept."""
    caller, quotes = ask.caller, ask.network.quotes
    weights = objective_of(objective)
    try:
        work = read_work(content_type, body)
        found: Found
        pays = None if project is None else ProjectId(project)
        if isinstance(work.of, Task):
            found = quotes.task_offers(caller, with_objective(work.of, weights), project=pays)
        else:
            payer = None if pays is None else ask.network.jobs.payer(caller, pays)
            found = quotes.offers(work.of, objective=weights, devices=devices or (), project=payer)
    except InvalidRequest as error:
        if type(error) not in (InvalidRequest, InvalidTask):
            raise  # Not allowed, too large: nothing that is wrong with the text.
        said = error_in_chinese(error) if ask.chinese else error
        return answer(telling.preview(None, chinese=ask.chinese, problems=problem_rows(said)))
    return answer(telling.preview(found, chinese=ask.chinese))


@router.get("/quotes/{quote_id}", response_model=models.QuoteView)
def show(ask: Asked, quote_id: str) -> Response:
    """One quote. Whoever has its address may read it; only its project may use it."""
    return answer(_told(ask, ask.network.quotes.get(ask.caller, quote_id)))


def _told(ask: Asked, made: Quote) -> Row:
    return telling.quote(made, ask.network.clock.now(), chinese=ask.chinese)


@router.post("/jobs/{job_id}/extrapolate", response_model=models.ExtrapolationView)
def extrapolate(
    ask: Asked,
    job_id: str,
    steps: Annotated[float, Query(gt=0, le=1e18, allow_inf_nan=False, description="Steps of the whole run")],
) -> Response:
    """How long the whole run takes, from the steps that a trial job wrote to `$SUANWANG_METRICS`."""
    return answer(telling.extrapolation(ask.network.quotes.trial(ask.caller, JobId(job_id), steps)))


@router.get("/lessons", response_model=models.Lessons)
def lessons(ask: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Response:
    """Predictions against outcomes of finished runs, newest first."""
    return answer({"items": [telling.lesson(item) for item in ask.network.quotes.lessons(ask.caller, limit)]})


@router.get("/beliefs", response_model=models.Beliefs)
def beliefs(ask: Asked) -> Response:
    """What finished runs have taught about each device and class of work."""
    return answer({"items": telling.beliefs(ask.network.quotes.beliefs(ask.caller))})


@router.get("/sites/{site_id}/capability", response_model=models.CapabilityView)
def capability(ask: Asked, site_id: str) -> Response:
    """A site's capability: nominal, measured and sold, never mixed, each with source and statistic."""
    return answer(telling.capability(ask.network.capabilities.site(ask.caller, SiteId(site_id))))


@router.get("/capability", response_model=models.CapabilityView)
def whole(ask: Asked) -> Response:
    """The capability of the network, and of each site."""
    return answer(telling.capability(ask.network.capabilities.network(ask.caller)))
