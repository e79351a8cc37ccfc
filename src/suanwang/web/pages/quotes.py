"""Quotes: say what is to be computed, see at once what it takes and where it would cost what, keep it, submit under it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang import catalog
from suanwang.client.problems import problem_rows
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, SuanwangError, Unauthorized
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.quote import Quote
from suanwang.domain.task import Objective
from suanwang.measuring.need import CoreHoursNeed, Need
from suanwang.needfile import read_need
from suanwang.scheduling.requirement import Requirement
from suanwang.web.labels import N_
from suanwang.web.loads import device_name
from suanwang.web.pages.submit import read_pasted
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
EXAMPLES = Path(__file__).parent.parent / "examples" / "needs"
TITLES: Mapping[str, str] = {
    "pretrain.yaml": N_("Pre-train a 7B model"),
    "finetune.yaml": N_("Fine-tune 70B with adapters"),
    "serve.yaml": N_("Serve an 8B model"),
    "vision.yaml": N_("Train ResNet-50"),
    "simulation.yaml": N_("FP64 simulation"),
    "cores.yaml": N_("Core-hours"),
}
OBJECTIVES: Mapping[str, tuple[str, Objective]] = {
    "cheapest": (N_("cheapest"), Objective()),
    "greenest": (N_("least carbon"), Objective(price=0, carbon=1)),
    "fastest": (N_("earliest finish"), Objective(price=0, finish=1)),
    "balanced": (N_("balanced"), Objective(price=1, carbon=1, finish=1)),
}
TASK = "name: {name}\nrun: |\n  python train.py\n"


@router.get("/quote")
def show(visit: Visited, example: Annotated[str, Query(max_length=50)] = "") -> Response:
    visit.needs_login()
    chosen = example if example in TITLES else ""
    return _page(visit, text=(EXAMPLES / chosen).read_text(encoding="utf-8") if chosen else "", example=chosen)


@router.post("/quote/preview")
def preview(visit: Visited, form: Form) -> Response:
    """The answer while typing."""
    visit.needs_login()
    text = form.get("need", "")
    if not text.strip():
        return visit.page("quote_answer.html", empty=True, problems=(), found=None, requirement=None)
    try:
        need = read_need(text.replace("\r\n", "\n"))
        devices = _devices(form)
        found = visit.network.quotes.offers(need, objective=_objective(form), devices=devices)
        requirement = _requirement(visit, need, devices)
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return visit.page("quote_answer.html", empty=False, problems=problem_rows(error), found=None, requirement=None)
    return visit.page(
        "quote_answer.html",
        empty=False,
        problems=(),
        found=found,
        requirement=requirement,
        names=visit.site_names(),
        device_name=device_name,
    )


@router.post("/quote")
def keep(visit: Visited, form: Form) -> Response:
    """Make the quote and go to its page."""
    visit.needs_login()
    text = form.get("need", "").replace("\r\n", "\n")
    try:
        made = visit.network.quotes.quote_need(
            visit.caller,
            read_need(text),
            title=form.get("title", "").strip()[:200] or _title(text),
            source=text,
            project=_project(form),
            objective=_objective(form),
            devices=_devices(form),
        )
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return _page(visit, text=text, problems=problem_rows(error), status=422, form=form)
    return RedirectResponse(f"/quotes/{made.id}", 303)


@router.get("/quotes/{quote_id}")
def quote(visit: Visited, quote_id: str, offer: Annotated[int, Query(ge=1, le=1000)] = 1) -> Response:
    """A kept quote: whoever has its address may read it."""
    visit.needs_login()
    return _quote_page(visit, visit.network.quotes.get(visit.caller, quote_id), offer)


@router.post("/quotes/{quote_id}/submit")
def submit(visit: Visited, quote_id: str, form: Form) -> Response:
    """Submit a task as the chosen offer says, at the prices quoted."""
    visit.needs_login()
    made = visit.network.quotes.get(visit.caller, quote_id)
    text, number = form.get("task", ""), form.get("offer", "1")
    chosen = int(number) if number.isascii() and number.isdecimal() and len(number) < 5 else 0
    digest = hashlib.sha256(f"{quote_id}\n{chosen}\n{text}".encode()).hexdigest()
    key = form.get("key", "")
    try:
        done = visit.network.quotes.submit(
            visit.caller,
            read_pasted(text).tasks,
            quote_id,
            chosen,
            key=f"quote-{key[:64]}-{digest[:24]}" if key.isascii() and key.isprintable() and key else None,
        )
    except (Forbidden, Unauthorized, NotFound):
        raise
    except (InvalidRequest, Conflict) as error:
        return _quote_page(visit, made, max(1, chosen), text=text, problems=_rows(error), status=422)
    return RedirectResponse(f"/jobs/{done.jobs[0].id}", 303)


def _rows(error: SuanwangError) -> Sequence[Mapping[str, object]]:
    if isinstance(error, InvalidRequest):
        return problem_rows(error)
    return [{"field": "quote", "message": error.message, "allowed": None, "line": None}]


def _page(
    visit: Visit,
    *,
    text: str,
    problems: Sequence[Mapping[str, object]] = (),
    status: int = 200,
    example: str = "",
    form: Mapping[str, str] | None = None,
) -> Response:
    caller = visit.caller
    chosen = {name: (form or {}).get(name, "") for name in ("device", "objective", "project")}
    projects = [known for known in visit.network.people.projects(caller) if caller.may_change(known.id)]
    if caller.projects:
        projects.sort(key=lambda known: known.id != caller.projects[0])
    models = {pool.model for view in visit.network.sites.all(caller) for pool in view.site.offering.devices}
    return visit.page(
        "quote.html",
        status,
        text=text,
        problems=problems,
        projects=projects,
        chosen=chosen,
        examples=TITLES,
        example=example,
        objectives=OBJECTIVES,
        devices=sorted((device_name(model), model) for model in models),
        may_quote=caller.role in (Role.USER, Role.OPERATOR) and bool(projects),
    )


def _quote_page(
    visit: Visit,
    made: Quote,
    offer: int,
    *,
    text: str = "",
    problems: Sequence[Mapping[str, object]] = (),
    status: int = 200,
) -> Response:
    return visit.page(
        "quoted.html",
        status,
        quote=made,
        offer=offer,
        expired=visit.network.clock.now() >= made.expires_at,
        may_submit=visit.caller.may_change(made.project),
        task=text or TASK.format(name="run"),
        problems=problems,
        key=secrets.token_urlsafe(16),
        names=visit.site_names(),
        device_name=device_name,
    )


def _requirement(visit: Visit, need: Need, devices: Sequence[str]) -> Requirement | None:
    """What it takes on each device; None where no device can do it, which the sites' reasons say already."""
    try:
        return visit.network.quotes.requirement(need, devices=() if isinstance(need, CoreHoursNeed) else devices)
    except InvalidRequest:
        return None


def _devices(form: Mapping[str, str]) -> tuple[str, ...]:
    name = form.get("device", "")
    return (catalog.accelerator(name, field="device").id,) if name else ()


def _objective(form: Mapping[str, str]) -> Objective:
    return OBJECTIVES.get(form.get("objective", ""), OBJECTIVES["cheapest"])[1]


def _project(form: Mapping[str, str]) -> ProjectId | None:
    name = form.get("project", "")
    return ProjectId(name) if name else None


def _title(text: str) -> str:
    """The comment on the first line, else the kind of work."""
    first = text.lstrip().partition("\n")[0]
    return first.removeprefix("#").strip()[:80] or "need"
