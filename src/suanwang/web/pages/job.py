"""One job: where it stands, its log and curve as they grow, why it runs where it does, and what it costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse

from suanwang.control.leasing import output_name
from suanwang.domain.errors import Forbidden, NotFound
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import AllocationId, JobId, SiteId
from suanwang.domain.job import Allocation, Event, Job, Point
from suanwang.domain.lifecycle import ENDED, LIVE
from suanwang.ports import BillQuery
from suanwang.taskfile import write_task
from suanwang.web import labels
from suanwang.web.loads import device_name
from suanwang.web.pages.network import STREAM
from suanwang.web.pages.submit import options
from suanwang.web.power import in_force
from suanwang.web.terminal import plain
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(prefix="/jobs/{job_id}", route_class=PageRoute)
EVENTS_READ = 5
LINES_SHOWN = 20
MOST_DRAWN = 1500
"""Points of one line of a curve; more are thinned out."""
_EVENT_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timeline."""

    at: datetime
    kind: str
    text: str
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A promised output and, once it exists, its file."""

    name: str
    record: FileRecord | None


@router.get("")
def show(visit: Visited, job_id: str) -> Response:
    visit.needs_login()
    job = visit.network.jobs.get(visit.caller, JobId(job_id))
    context = _context(visit, job)
    if visit.partial:
        return visit.page("job_body.html", **context)
    return visit.page("job.html", **context, has_points=bool(visit.network.jobs.points(visit.caller, job.id)))


@router.get("/stream")
def follow(
    visit: Visited,
    job_id: str,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> Response:
    visit.needs_login()
    job = visit.network.jobs.get(visit.caller, JobId(job_id))
    after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
    return StreamingResponse(
        visit.web.live.job(visit.caller, visit.secret, job.id, after, visit.site_names()),
        media_type="text/event-stream",
        headers=STREAM,
    )


@router.get("/points")
def points(visit: Visited, job_id: str) -> Response:
    """The curve for the drawing script: per figure, the points of each run, and where a run resumed."""
    visit.needs_login()
    found = visit.network.jobs.points(visit.caller, JobId(job_id))
    runs = {a.id: a for a in visit.network.jobs.allocations(visit.caller, JobId(job_id))}
    names = visit.site_names()
    body = {"figures": curves(found, runs, names)}
    return JSONResponse(body, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


@router.get("/log.txt")
def log(visit: Visited, job_id: str) -> Response:
    """The whole log as text."""
    visit.needs_login()
    job = visit.network.jobs.get(visit.caller, JobId(job_id))
    return StreamingResponse(
        _log_text(visit, job.id),
        media_type="text/plain; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


@router.get("/outputs/{name}")
def output(visit: Visited, job_id: str, name: str) -> Response:
    """An output's bytes, always as a download: what a job wrote is never shown as a page."""
    visit.needs_login()
    job = visit.network.jobs.get(visit.caller, JobId(job_id))
    record = visit.network.artefacts.find(visit.caller, job.project, output_name(job.id, name))
    if record.site_id is not None:
        raise Forbidden(
            f"this output is held at {record.site_id} and may not leave it",
            field="output",
            allowed="use it in a job there",
        )
    body = visit.network.artefacts.read(visit.caller, record.content.sha256)
    filename = name + (".tar" if record.content.folder else "")
    return StreamingResponse(
        body,
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "Content-Length": str(record.content.size),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


@router.post("/cancel")
def cancel(visit: Visited, job_id: str, form: Form) -> Response:
    visit.needs_login()
    visit.network.jobs.cancel(visit.caller, JobId(job_id), whole_array=form.get("whole") == "1")
    return RedirectResponse(f"/jobs/{quote(job_id, safe='')}", 303)


def _context(visit: Visit, job: Job) -> dict[str, Any]:
    network, caller, names = visit.network, visit.caller, visit.site_names()
    explanation = network.jobs.explain(caller, job.id)
    why = explanation.why
    runs = list(reversed(network.jobs.allocations(caller, job.id)))
    lines, more = network.bills.lines(caller, BillQuery(job_id=job.id), None, LINES_SHOWN)
    return {
        "job": job,
        "names": names,
        "moments": timeline(visit, _events(visit, job), names),
        "verdict": explanation.verdict,
        "hold": explanation.hold,
        "needs": explanation.needs,
        "why": why,
        "options": options(why.chosen, why.others, why.excluded, visit) if why else (),
        "allocations": runs,
        "power": in_force(runs[0].price, network.clock.now()) if runs and job.state in LIVE else None,
        "device_name": device_name,
        "lines": lines,
        "more_lines": more is not None,
        "outputs": _outputs(visit, job),
        "task_text": write_task(job.task),
        "live": job.state in LIVE,
        "ended": job.state in ENDED,
        "may_cancel": caller.may_change(job.project) and job.state not in ENDED,
        "now": network.clock.now(),
    }


def _events(visit: Visit, job: Job) -> list[Event]:
    found: list[Event] = []
    after = 0
    for _ in range(EVENTS_READ):
        batch = visit.network.jobs.events(visit.caller, after, _EVENT_BATCH, job_id=job.id)
        found += batch
        if len(batch) < _EVENT_BATCH:
            break
        after = batch[-1].seq
    return found


def timeline(visit: Visit, events: Sequence[Event], names: Mapping[SiteId, str]) -> list[Moment]:
    """Events in words, newest first; checkpoints in a row are one line, a start after a checkpoint is a resumption."""
    moments: list[Moment] = []
    saved = False
    for event in events:
        kind = event.kind
        if kind == "job.checkpointed":
            saved = True
        if kind == "job.started" and saved:
            kind = "job.resumed"
        sentence = labels.EVENTS.get(kind)
        # A held job is at no site yet.
        site_id = SiteId(str(event.data.get("site"))) if kind in ("job.held", "job.room_made") else event.site_id
        site = names[site_id] if site_id is not None else "–"
        text = visit.translate(sentence).format(site=site) if sentence else kind
        count = 1
        if moments and moments[-1].kind == kind == "job.checkpointed":
            count = moments.pop().count + 1
        detail = visit.reason(str(event.data.get("reason") or ""), names)
        told = event.data.get("ends_at" if kind == "job.preempting" else "start_at")
        if kind in ("job.held", "job.suspended", "job.preempting", "job.room_made") and told:
            start = visit.formats.instant(datetime.fromisoformat(str(told)))
            detail = f"{detail}, {start}" if detail else start
        moments.append(Moment(at=event.at, kind=kind, text=text, detail=plain(detail), count=count))
    return moments[::-1]


def curves(
    points: Sequence[Point], runs: Mapping[AllocationId, Allocation], names: Mapping[SiteId, str]
) -> list[dict[str, object]]:
    """Figures by name, each with one line per run in the order of the runs."""
    figures: dict[str, dict[AllocationId, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        figures[point.name][point.allocation_id].append((point.step, point.value))
    drawn: list[dict[str, object]] = []
    for name in sorted(figures):
        lines = []
        for key in sorted(figures[name], key=lambda key: runs[key].epoch if key in runs else 0):
            run = runs.get(key)
            line = sorted(figures[name][key])
            lines.append(
                {
                    "run": run.epoch if run else 0,
                    "site": names[run.site_id] if run else "",
                    "points": _thinned(line),
                    "first": line[0][0],
                }
            )
        drawn.append({"name": plain(name), "lines": lines})
    return drawn


def _thinned(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stride = -(-len(line) // MOST_DRAWN)
    return line if stride <= 1 else [*line[:-1:stride], line[-1]]


def _outputs(visit: Visit, job: Job) -> list[Kept]:
    kept: list[Kept] = []
    for wanted in job.task.outputs:
        try:
            record = visit.network.artefacts.find(visit.caller, job.project, output_name(job.id, wanted.name))
        except NotFound:
            record = None
        kept.append(Kept(name=wanted.name, record=record))
    return kept


def _log_text(visit: Visit, job_id: JobId) -> Iterator[str]:
    after = 0
    while True:
        found = visit.network.jobs.logs(visit.caller, job_id, after, 500)
        for _, chunk in found:
            yield plain(chunk.text)
        if len(found) < 500:
            return
        after = found[-1][0]
