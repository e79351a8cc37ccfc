"""Submitting: paste a task, see at once what is wrong with it or where it would run, and send it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.control.jobs import Preview
from suanwang.domain.errors import Forbidden, InvalidRequest, Unauthorized
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Exclusion, Rank
from suanwang.taskfile import InvalidTask, Problem, Submission, read_tasks
from suanwang.web.labels import N_
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
EXAMPLES = Path(__file__).parent.parent / "examples"
TITLES: Mapping[str, str] = {
    "hello.yaml": N_("First task"),
    "training.yaml": N_("Training with a checkpoint"),
    "array.yaml": N_("Array of eight"),
    "workflow.yaml": N_("Workflow of two steps"),
    "circle.yaml": N_("Within 5 ms of Shanghai"),
    "devices.yaml": N_("Accelerators by what they can do"),
    "job.sh": N_("sbatch script"),
    "sky.yaml": N_("SkyPilot task"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One site in an answer: a rank with its figures, or the reason against it."""

    site: str
    rank: Rank | None = None
    exclusion: Exclusion | None = None
    chosen: bool = False


@router.get("/submit")
def show(visit: Visited, example: Annotated[str, Query(max_length=50)] = "") -> Response:
    visit.needs_login()
    text = (EXAMPLES / example).read_text() if example in TITLES else ""
    return _page(visit, text=text, example=example if example in TITLES else "")


@router.post("/submit/preview")
def preview(visit: Visited, form: Form) -> Response:
    """The answer while typing."""
    visit.needs_login()
    text = form.get("task", "")
    if not text.strip():
        return visit.page("answer.html", problems=(), answers=(), notes=(), empty=True)
    try:
        submission = read_pasted(text)
        found = visit.network.jobs.preview(visit.caller, submission.tasks, project=_project(form))
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return visit.page("answer.html", problems=problem_rows(error), answers=(), notes=(), empty=False)
    answers = [(preview, options_of(preview, visit)) for preview in found]
    return visit.page(
        "answer.html", problems=(), answers=answers, notes=submission.notes, empty=False, names=visit.site_names()
    )


@router.post("/submit")
def submit(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    text, project = form.get("task", ""), _project(form)
    try:
        submission = read_pasted(text)
        done = visit.network.jobs.submit(
            visit.caller, submission.tasks, project=project, key=_key(form, text), digest=_digest(text, project)
        )
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return _page(visit, text=text, problems=problem_rows(error), status=422, project=project)
    first = done.jobs[0]
    several = len({job.task.name for job in done.jobs}) > 1
    where = "/jobs" if several else f"/jobs?array={first.array_id}" if first.array_id else f"/jobs/{first.id}"
    return RedirectResponse(where, 303)


def _page(
    visit: Visit,
    *,
    text: str,
    problems: Sequence[Mapping[str, object]] = (),
    status: int = 200,
    example: str = "",
    project: ProjectId | None = None,
) -> Response:
    caller = visit.caller
    projects = [known for known in visit.network.people.projects(caller) if caller.may_change(known.id)]
    if caller.projects:
        projects.sort(key=lambda known: known.id != caller.projects[0])
    return visit.page(
        "submit.html",
        status,
        text=text,
        problems=problems,
        projects=projects,
        chosen=project,
        examples=TITLES,
        example=example,
        key=secrets.token_urlsafe(16),
        may_submit=caller.role in (Role.USER, Role.OPERATOR) and bool(projects),
    )


def read_pasted(text: str) -> Submission:
    """Raises `InvalidTask`, also for files of the visitor's own machine, which nobody here can open."""
    submission = read_tasks(text.replace("\r\n", "\n"), filename="task")
    if submission.uploads:
        raise InvalidTask(
            [
                Problem(
                    field="inputs",
                    message=f"{upload.local_path[:200]!r} is a file of your own machine",
                    allowed="submit this task with `suanwang submit`, which uploads it",
                )
                for upload in submission.uploads
            ],
            filename="task",
        )
    return submission


def _project(form: Mapping[str, str]) -> ProjectId | None:
    name = form.get("project", "")
    return ProjectId(name) if name else None


def _digest(text: str, project: ProjectId | None) -> str:
    return hashlib.sha256(f"{project}\n{text}".encode()).hexdigest()


def _key(form: Mapping[str, str], text: str) -> str | None:
    """One key per form and text: sending a form twice submits once, a changed text is another request."""
    key = form.get("key", "")
    return (
        f"page-{key[:64]}-{_digest(text, _project(form))[:24]}" if key.isascii() and key.isprintable() and key else None
    )


def options_of(preview: Preview, visit: Visit) -> list[Option]:
    """Every site of an answer: the choice, then the next best, then those that are out."""
    return options(preview.why.chosen, preview.why.others, preview.why.excluded, visit)


def options(chosen: Rank | None, others: Sequence[Rank], excluded: Sequence[Exclusion], visit: Visit) -> list[Option]:
    names = visit.site_names()
    found = [Option(site=names[chosen.site], rank=chosen, chosen=True)] if chosen else []
    found += [Option(site=names[rank.site], rank=rank) for rank in others]
    return found + [Option(site=names[exclusion.site], exclusion=exclusion) for exclusion in excluded]
