"""Routes about the network as a whole: its record, its health, the task file's schema."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import After, Asked, Route
from suanwang.api.describing import FAULT, OPEN, streams
from suanwang.api.streams import EventFilter, Streams, resumed_at, sse
from suanwang.client import models
from suanwang.domain.ids import JobId, SiteId
from suanwang.taskfile import json_schema

router = APIRouter(prefix="/v1", tags=["network"], route_class=Route, responses=FAULT)


@router.get(
    "/events",
    response_model=models.Events,
    responses={200: streams("The record; with `follow`, or where `text/event-stream` is asked for, as it grows")},
)
def events(
    ask: Asked,
    request: Request,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    job: Annotated[str | None, Query(max_length=63)] = None,
    site: Annotated[str | None, Query(max_length=63)] = None,
    kind: Annotated[str | None, Query(max_length=63, description="A prefix such as `job.`")] = None,
    follow: Annotated[bool, Query(description="Stay and send what comes")] = False,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> Response:
    """The network's record, oldest first, as far as the caller may see it. `Last-Event-ID` resumes a stream."""
    caller = ask.caller
    wanted = EventFilter(
        job_id=None if job is None else JobId(job), site_id=None if site is None else SiteId(site), kind=kind
    )
    if wanted.job_id is not None:
        ask.network.jobs.get(caller, wanted.job_id)
    if follow or "text/event-stream" in accept:
        following: Streams = request.app.state.streams
        return sse(following.events(ask, resumed_at(last_event_id, after), wanted))
    found = ask.network.jobs.events(
        caller, after, limit, job_id=wanted.job_id, site_id=wanted.site_id, kind=wanted.kind
    )
    rows = [answering.event(event) for event in found]
    return answer({"items": rows, "next": rows[-1]["seq"] if rows else after})


@router.get("/health", response_model=models.Health, openapi_extra=OPEN)
def health(ask: Asked) -> Response:
    """Whether the network answers and its store with it. Needs no token."""
    return answer({"status": "ok", "events": ask.network.jobs.last_seq()})


@router.get("/task-schema", response_model=dict[str, Any], openapi_extra=OPEN)
def task_schema(ask: Asked) -> Response:
    """JSON Schema of a task, for editors. Needs no token."""
    return answer(json_schema())
