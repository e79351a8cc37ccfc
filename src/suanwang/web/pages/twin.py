"""The digital twin: start experiments, watch them, read their reports, compare two, and ask what if."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from suanwang.client.problems import problem_rows
from suanwang.domain.errors import Forbidden, InvalidRequest, Unauthorized
from suanwang.twin.laboratory import ENDED, REPORT_POLICY, STARTERS, Experiment, Laboratory, State
from suanwang.twin.whatif import Change, what_if
from suanwang.web.labels import N_
from suanwang.web.rendering import HEADERS
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(prefix="/twin", route_class=PageRoute)
STATES: Mapping[State, str] = {
    State.QUEUED: N_("waiting for its turn"),
    State.RUNNING: N_("being played"),
    State.DONE: N_("done"),
    State.FAILED: N_("failed"),
}
LOOKS: Mapping[State, str] = {
    State.QUEUED: "job-queued",
    State.RUNNING: "job-running",
    State.DONE: "job-succeeded",
    State.FAILED: "job-failed",
}
HOURS = (24, 48, 168)
MOST_PERCENT = 300.0
MOST_CASES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure of one contender on both sides, in the measure's unit."""

    contender: str
    left: str
    right: str
    apart: str
    better: bool | None
    """Whether the right one is; None where they are the same, or the seeds do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One case of an experiment."""

    experiment: Experiment
    summary: Mapping[str, Any]
    case: int

    @property
    def shown(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.summary["cases"][self.case]
        return found


@router.get("")
def show(visit: Visited, example: Annotated[str, Query(max_length=63)] = "") -> Response:
    visit.needs_login()
    kept = _laboratory(visit)
    if visit.partial:
        return visit.page("twin_list.html", **_listed(visit))
    text = kept.example(example) if example in kept.examples else ""
    return _page(visit, text=text, example=example)


@router.post("/check")
def check(visit: Visited, form: Form) -> Response:
    """The answer while typing."""
    visit.needs_login()
    text = form.get("text", "")
    if not text.strip():
        return visit.page("twin_answer.html", empty=True, problems=(), found=None)
    try:
        found = _laboratory(visit).check(visit.caller, text.replace("\r\n", "\n"))
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return visit.page("twin_answer.html", empty=False, problems=problem_rows(error), found=None)
    return visit.page("twin_answer.html", empty=False, problems=(), found=found)


@router.post("")
def start(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    text = form.get("text", "").replace("\r\n", "\n")
    try:
        made = _laboratory(visit).start_text(visit.caller, text)
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return _page(visit, text=text, problems=problem_rows(error), status=422)
    return RedirectResponse(f"/twin/{made.id}", 303)


@router.post("/what-if")
def ask_what_if(visit: Visited, form: Form) -> Response:
    visit.needs_login()
    try:
        made = what_if(visit.network, _laboratory(visit), visit.caller, _change(form))
    except (Forbidden, Unauthorized):
        raise
    except InvalidRequest as error:
        return _page(visit, asked=problem_rows(error), form=form, status=422)
    return RedirectResponse(f"/twin/{made.id}", 303)


@router.get("/compare")
def compare(
    visit: Visited,
    a: Annotated[str, Query(max_length=63)] = "",
    b: Annotated[str, Query(max_length=63)] = "",
    case_a: Annotated[int, Query(ge=0, le=10_000)] = 0,
    case_b: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    visit.needs_login()
    kept = _laboratory(visit)
    done = [each for each in kept.all(visit.caller) if each.state is State.DONE]
    if not a or not b:
        return visit.page("twin_compare.html", done=done, sides=None, rows=(), a=a, b=b)
    sides = _side(visit, a, case_a), _side(visit, b, case_b)
    return visit.page("twin_compare.html", done=done, sides=sides, rows=_compared(visit, *sides), a=a, b=b)


@router.get("/{experiment_id}")
def detail(visit: Visited, experiment_id: str) -> Response:
    visit.needs_login()
    kept = _laboratory(visit)
    found = kept.get(visit.caller, experiment_id)
    context: dict[str, Any] = {
        "found": found,
        "states": STATES,
        "looks": LOOKS,
        "watched": found.state not in ENDED,
        "told": (),
        "rows": (),
        "sides": None,
        "text": "" if visit.partial else kept.text(visit.caller, found.id),
        "may_delete": visit.caller.role in STARTERS
        and (visit.caller.role == "operator" or visit.caller.name == found.by),
    }
    if found.state is State.DONE:
        summary = kept.summary(visit.caller, found.id)
        language = "zh" if visit.chinese else "en"
        if found.kind == "what-if" and len(summary["cases"]) == 2:
            sides = tuple(Side(experiment=found, summary=summary, case=case) for case in (0, 1))
            context |= {"sides": sides, "rows": _compared(visit, *sides)}
        else:
            context["told"] = [
                (case["name"][language], [line[language] for line in case["told"]])
                for case in summary["cases"][:MOST_CASES]
            ]
    return visit.page("twin_experiment_body.html" if visit.partial else "twin_experiment.html", **context)


@router.get("/{experiment_id}/report")
def report(visit: Visited, experiment_id: str) -> Response:
    """The report as the experiment wrote it, shut off from everything else of this address."""
    visit.needs_login()
    path = _laboratory(visit).report(visit.caller, experiment_id)
    headers = {**HEADERS, "Content-Security-Policy": REPORT_POLICY}
    return Response(path.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)


@router.post("/{experiment_id}/delete")
def delete(visit: Visited, form: Form, experiment_id: str) -> Response:
    visit.needs_login()
    _laboratory(visit).delete(visit.caller, experiment_id)
    return RedirectResponse("/twin", 303)


def _laboratory(visit: Visit) -> Laboratory:
    kept: Laboratory = visit.request.app.state.laboratory
    return kept


def _listed(visit: Visit) -> dict[str, Any]:
    experiments = _laboratory(visit).all(visit.caller)
    return {
        "experiments": experiments,
        "states": STATES,
        "looks": LOOKS,
        "watched": any(each.state not in ENDED for each in experiments),
        "comparable": sum(each.state is State.DONE for each in experiments) > 1,
    }


def _page(
    visit: Visit,
    *,
    text: str = "",
    example: str = "",
    problems: Sequence[Mapping[str, object]] = (),
    asked: Sequence[Mapping[str, object]] = (),
    form: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    return visit.page(
        "twin.html",
        status,
        **_listed(visit),
        text=text,
        example=example,
        examples={name: _titled(visit, title) for name, title in _laboratory(visit).examples.items()},
        problems=problems,
        asked=asked,
        form=form or {},
        names=visit.site_names(),
        hours=HOURS,
        may_start=visit.caller.role in STARTERS,
    )


def _titled(visit: Visit, title: str) -> str:
    """One of the two languages of `English · 中文`."""
    en, _, zh = title.partition(" · ")
    return zh if visit.chinese and zh else en


def _change(form: Mapping[str, str]) -> Change:
    return Change(
        hours=int(_number(form, "hours", 48, (6, 336))),
        add_like=form.get("add_like") or None,
        add_capacity=_number(form, "add_capacity", 1.0, (0.01, 100)),
        lose_site=form.get("lose_site") or None,
        lose_link=form.get("lose_link") or None,
        lose_link_to=form.get("lose_link_to") or None,
        price_factor=_number(form, "price_factor", 1.0, (0, 100)) if form.get("price_factor") else None,
        price_site=form.get("price_site") or None,
    )


def _number(form: Mapping[str, str], name: str, otherwise: float, within: tuple[float, float]) -> float:
    text = form.get(name, "").strip()
    if not text:
        return otherwise
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not within[0] <= value <= within[1]:
        raise InvalidRequest(
            f"{text[:40]!r} is not possible", field=name, allowed=f"a number from {within[0]:g} to {within[1]:g}"
        )
    return value


def _side(visit: Visit, experiment_id: str, case: int) -> Side:
    kept = _laboratory(visit)
    found = kept.get(visit.caller, experiment_id)
    summary = kept.summary(visit.caller, found.id)
    if case >= len(summary["cases"]):
        raise InvalidRequest("there is no such case", field="case", allowed=f"0 to {len(summary['cases']) - 1}")
    return Side(experiment=found, summary=summary, case=case)


def _compared(visit: Visit, left: Side, right: Side) -> list[tuple[str, str, list[Row]]]:
    """(measure, unit, rows) for the main measures and the contenders that both sides have."""
    language = "zh" if visit.chinese else "en"
    both = [name for name in left.shown["contenders"] if name in right.shown["contenders"]]
    known = {measure["key"] for measure in right.summary["measures"]}
    found: list[tuple[str, str, list[Row]]] = []
    for measure in left.summary["measures"]:
        if measure["main"] and measure["key"] in known:
            rows = [_row(visit, measure, name, left.shown, right.shown) for name in both]
            found.append((measure["name"][language], measure["unit"][language], rows))
    return found


def _row(visit: Visit, measure: Mapping[str, Any], name: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Row:
    (one, one_half), (other, other_half) = (
        side["figures"][measure["key"]][side["contenders"].index(name)] for side in (left, right)
    )
    texts = [_figure(visit, mean, half) for mean, half in ((one, one_half), (other, other_half))]
    if one is None or other is None or abs(other - one) <= max((one_half or 0) + (other_half or 0), 1e-12 * abs(one)):
        return Row(contender=name, left=texts[0], right=texts[1], apart="", better=None)
    apart = other - one
    percent = 100 * apart / abs(one) if abs(one) > measure["floor"] else math.inf
    if measure["share"] or abs(percent) > MOST_PERCENT:
        told = _signed(visit, apart) + (" pp" if measure["share"] else "")
    else:
        told = f"{_signed(visit, percent)} %"
    better = (apart > 0) == measure["more_is_better"]
    return Row(contender=name, left=texts[0], right=texts[1], apart=told, better=better)


def _figure(visit: Visit, mean: float | None, half: float | None) -> str:
    if mean is None:
        return "–"
    tail = f" ± {visit.formats.significant(half)}" if half else ""
    return visit.formats.significant(mean) + tail


def _signed(visit: Visit, value: float) -> str:
    return ("+" if value > 0 else "−") + visit.formats.significant(abs(value))
