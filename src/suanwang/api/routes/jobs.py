"""Routes about jobs: submit, look, explain, cancel."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from suanwang.api import answering, submitting
from suanwang.api.answering import answer
from suanwang.api.asking import After, Asked, Body, Cursor, Key, Limit, Route, key_of, paged
from suanwang.api.describing import FAULT, streams, takes
from suanwang.api.streams import Streams, resumed_at, sse
from suanwang.client import models
from suanwang.client.problems import problem_rows
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.ports import JobQuery
from suanwang.taskfile import InvalidTask
from suanwang.translation import error_in_chinese

MOST_LISTED = 1000
"""Jobs an answer lists; an array may have a hundred times as many."""

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=Route, responses=FAULT)

_EXAMPLE = {"tasks": [{"name": "hello", "run": "echo hello", "resources": {"cores": 1}}], "project": "demo"}
_TASKS = takes(
    "NewJobs",
    _EXAMPLE,
    also={
        "application/yaml": "name: hello\nrun: echo hello\nresources: {cores: 1}\n",
        "text/plain": "#!/bin/bash\n#SBATCH --job-name=hello\n#SBATCH --time=10\necho hello\n",
    },
)
ContentType = Annotated[str, Header(alias="Content-Type", include_in_schema=False)]
PaysQuery = Annotated[str | None, Query(max_length=63, description="The project that pays; by default your first")]
QuoteQuery = Annotated[str | None, Query(max_length=63, description="The quote whose terms bind; its project pays")]
RightQuery = Annotated[str | None, Query(max_length=100, description="The right to run on; its project pays")]
OfferQuery = Annotated[int | None, Query(ge=1, le=1000, description="Which offer of the quote; by default the first")]


@router.post(
    "",
    status_code=201,
    response_model=models.Submitted,
    openapi_extra=_TASKS,
    responses={
        200: {
            "model": models.Submitted,
            "description": "This Idempotency-Key was used before: the jobs of that request",
        }
    },
)
def submit(
    ask: Asked,
    body: Body,
    content_type: ContentType = "",
    project: PaysQuery = None,
    quote: QuoteQuery = None,
    offer: OfferQuery = None,
    reservation: RightQuery = None,
    idempotency_key: Key = None,
) -> Response:
    """Submit tasks: JSON, or a task file's text (native YAML, sbatch script, SkyPilot task).

    With `quote`, the one task runs where and as the offer says, at the prices quoted; with `reservation` on a right to
    capacity that was bought, within its hours.
    """
    caller, key = ask.caller, key_of(idempotency_key)
    submission, pays = submitting.read(content_type, body, project)
    submitting.must_be_uploaded(submission)
    if quote is not None and reservation is not None:
        raise InvalidRequest("a task runs under a quote or a right", field="reservation", allowed="one of the two")
    if reservation is not None:
        done = ask.network.reserved.submit(caller, submission.tasks, reservation, project=pays, key=key)
    elif quote is not None:
        done = ask.network.quotes.submit(caller, submission.tasks, quote, offer or 1, project=pays, key=key)
    elif offer is not None:
        raise InvalidRequest("an offer belongs to a quote", field="offer", allowed="quote=… beside it")
    else:
        digest = hashlib.sha256(repr((pays, submission.tasks)).encode()).hexdigest()
        done = ask.network.jobs.submit(caller, submission.tasks, project=pays, key=key, digest=digest)
    row = {
        "jobs": [answering.job(job) for job in done.jobs[:MOST_LISTED]],
        "count": len(done.jobs),
        "replayed": done.replayed,
        "notes": submission.notes,
    }
    return answer(row, 200 if done.replayed else 201)


@router.post("/preview", response_model=models.Preview, openapi_extra=_TASKS)
def preview(ask: Asked, body: Body, content_type: ContentType = "", project: PaysQuery = None) -> Response:
    """What submitting would find: where each task would run now and why, or everything that is wrong with the file."""
    caller = ask.caller
    try:
        submission, pays = submitting.read(content_type, body, project)
        found = ask.network.jobs.preview(caller, submission.tasks, project=pays)
    except InvalidRequest as error:
        if type(error) not in (InvalidRequest, InvalidTask):
            raise  # Not allowed, too large: nothing that is wrong with the file.
        said = error_in_chinese(error) if ask.chinese else error
        return answer({"tasks": [], "problems": problem_rows(said), "notes": [], "uploads": []})
    return answer(answering.preview(found, submission, chinese=ask.chinese))


@router.get("", response_model=models.JobPage)
def page(
    ask: Asked,
    state: Annotated[list[JobState] | None, Query(description="Any of these states")] = None,
    site: Annotated[str | None, Query(max_length=63)] = None,
    owner: Annotated[str | None, Query(max_length=63)] = None,
    name: Annotated[str | None, Query(max_length=200, description="The task's exact name")] = None,
    array: Annotated[str | None, Query(max_length=63, description="Identifier of an array's first member")] = None,
    project: Annotated[list[str] | None, Query(max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Jobs, newest first. A provider names one of his sites and sees what runs or ran there."""
    query = JobQuery(
        projects=None if project is None else tuple(ProjectId(p) for p in project),
        states=None if state is None else frozenset(state),
        site_id=None if site is None else SiteId(site),
        owner=owner,
        array_id=None if array is None else JobId(array),
        name=name,
    )
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.jobs.page(caller, query, at, most), cursor, limit)
    return answer({"items": [answering.job(job) for job in found], "next": after})


@router.get("/counts", response_model=models.Counts)
def counts(ask: Asked) -> Response:
    """Jobs in each state, of the caller's projects."""
    found = ask.network.jobs.counts(ask.caller)
    return answer({"counts": {state: found.get(state, 0) for state in JobState}})


@router.get("/{job_id}", response_model=models.JobDetail)
def show(ask: Asked, job_id: str) -> Response:
    """One job in full."""
    job = ask.network.jobs.get(ask.caller, JobId(job_id))
    return answer(answering.job_in_full(job, chinese=ask.chinese))


@router.post("/{job_id}/cancel", response_model=models.Cancelled)
def cancel(
    ask: Asked,
    job_id: str,
    array: Annotated[bool, Query(description="Every member of the job's array")] = False,
) -> Response:
    """End a job. One that has ended stays as it is, so repeating this is harmless."""
    found = ask.network.jobs.cancel(ask.caller, JobId(job_id), whole_array=array)
    return answer({"jobs": [answering.job(job) for job in found[:MOST_LISTED]], "count": len(found)})


@router.get("/{job_id}/explain", response_model=models.Explanation)
def explain(ask: Asked, job_id: str) -> Response:
    """Why here, why now, why not elsewhere."""
    found = ask.network.jobs.explain(ask.caller, JobId(job_id))
    return answer(answering.explanation(found, chinese=ask.chinese))


@router.get(
    "/{job_id}/logs",
    response_model=models.Logs,
    responses={200: streams("Pieces of output; with `follow`, server-sent `log`, `state` and `end` events")},
)
def logs(
    ask: Asked,
    request: Request,
    job_id: str,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    follow: Annotated[bool, Query(description="Stay and send what comes, until the job has ended")] = False,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> Response:
    """A job's output, oldest first. `Last-Event-ID` resumes a stream."""
    caller, jobs = ask.caller, ask.network.jobs
    if follow:
        jobs.get(caller, JobId(job_id))
        following: Streams = request.app.state.streams
        return sse(following.logs(ask, JobId(job_id), resumed_at(last_event_id, after)))
    found = jobs.logs(caller, JobId(job_id), after, limit)
    rows = [answering.log(seq, chunk) for seq, chunk in found]
    return answer({"items": rows, "next": rows[-1]["seq"] if rows else after})


@router.get("/{job_id}/points", response_model=models.Points)
def points(ask: Asked, job_id: str) -> Response:
    """Figures the job wrote to its metrics file."""
    found = ask.network.jobs.points(ask.caller, JobId(job_id))
    return answer({"items": [answering.point(point) for point in found]})


@router.get("/{job_id}/allocations", response_model=models.Allocations)
def allocations(ask: Asked, job_id: str) -> Response:
    """Every lease the job had, oldest first, with the decision behind each."""
    found = ask.network.jobs.allocations(ask.caller, JobId(job_id))
    return answer({"items": [answering.allocation(item, chinese=ask.chinese) for item in found]})


@router.get("/{job_id}/usage", response_model=models.UsageRecords)
def usage(ask: Asked, job_id: str) -> Response:
    """What was metered, interval by interval."""
    found = ask.network.jobs.usage(ask.caller, JobId(job_id))
    return answer({"items": [answering.usage_record(record) for record in found]})


@router.get("/{job_id}/events", response_model=models.Events)
def events(ask: Asked, job_id: str, after: After = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Response:
    """The job's own record, oldest first."""
    found = ask.network.jobs.events(ask.caller, after, limit, job_id=JobId(job_id))
    rows = [answering.event(event) for event in found]
    return answer({"items": rows, "next": rows[-1]["seq"] if rows else after})
