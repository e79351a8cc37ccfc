"""The demo's own verdict: a run as it should be passes, and each thing that goes wrong is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from suanwang.client import models
from suanwang.demo.checking import Evidence, Stopped, problems
from suanwang.demo.showing import final_report
from suanwang.demo.work import IMPOSSIBLE, PIECES, Look, may_be_stopped
from suanwang.domain.job import AllocationState

AT = datetime(2026, 3, 1, 2, tzinfo=UTC)
PLACES = {"train-digits": "horinger", "prepare": "horinger", "score": "wuhu", "diagnose": "wuhu", "answer": "wuhu"}
CODES = {"diagnose": "residency", "answer": "circle", "too-much": "device"}
STOPPED = Stopped(site="guian", epoch=12)


def why(site: str | None, code: str) -> models.WhyView:
    figures = models.FiguresView(price_yuan=0.1, carbon_g=1, energy_kwh=0.1, finish_s=10, delay_ms=2.3)
    excluded = [
        models.ExclusionView(site=name, code=code, text="cannot", need="", have="")
        for name in ("guian", "horinger", "wuhu")
        if name != site
    ]
    chosen = models.RankView(site=site, score=1, figures=figures) if site else None
    return models.WhyView(
        chosen=chosen, others=[], excluded=excluded, excluded_total=len(excluded), decided_at=AT, note=""
    )


def job(name: str, site: str | None, index: int | None = None, **changes: Any) -> models.JobDetail:
    job_id = f"j-{name}-{index or 0}"
    ran = site is not None
    values: dict[str, Any] = {
        "id": job_id,
        "name": name,
        "project": "digits",
        "owner": "xiaosuan",
        "state": "succeeded" if ran else "refused",
        "site": site,
        "array": None if index is None else models.ArrayPlace(id="j-sweep-0", index=index, count=8),
        "submitted_at": AT,
        "ready_at": AT,
        "started_at": AT if ran else None,
        "ended_at": AT + timedelta(seconds=10),
        "reason": "",
        "exit_code": 0,
        "usage": models.UsageView(
            wall_s=10.0 if ran else 0.0,
            core_hours=0.1,
            device_hours=0,
            energy_kwh=0.1,
            carbon_g=1,
            cost_yuan=Decimal("0.01"),
        ),
        "billed_fen": 1 if ran else 0,
        "needs": [],
        "checkpoint": None,
        "attempts": 1,
        "task": {},
        "why": why(site, CODES.get(name, "site")),
    }
    return models.JobDetail(**{**values, **changes})


def allocation(site: str, epoch: int, state: str) -> models.AllocationView:
    return models.AllocationView.model_construct(
        site=site, epoch=epoch, state=AllocationState(state), why=why(site, "device")
    )


def evidence() -> Evidence:
    jobs: dict[str, list[models.JobDetail]] = {name: [job(name, site)] for name, site in PLACES.items()}
    jobs["sweep"] = [job("sweep", ("guian", "horinger")[index % 2], index) for index in range(8)]
    jobs["too-much"] = [job("too-much", None)]
    every = [one for members in jobs.values() for one in members]
    output = {one.id: "" for one in every}
    output["j-train-digits-0"] = "fresh start\nepoch 12\nresumed from epoch 12\n"
    output["j-score-0"] = "read 1797 digits from the other site"
    output["j-diagnose-0"] = "569 patients read"
    look = Look(
        jobs=jobs,
        sites={},
        epoch=36,
        sites_of_training=("guian", "horinger"),
        submitted=frozenset(one.id for one in every),
    )
    allocations = {one.id: [allocation(str(one.site), 1, "ended")] for one in every}
    allocations["j-train-digits-0"] = [allocation("guian", 1, "fenced"), allocation("horinger", 2, "ended")]
    return Evidence(
        look=look,
        details={one.id: one for one in every},
        allocations=allocations,
        output=output,
        usage={one.id: [] for one in every},
        bill_fen=sum(one.billed_fen for one in every),
        refused_at_once=True,
    )


def with_job(found: Evidence, job_id: str, **changes: Any) -> Evidence:
    changed = found.details[job_id].model_copy(update=changes)
    jobs = {
        name: [changed if one.id == job_id else one for one in members] for name, members in found.look.jobs.items()
    }
    return replace(found, look=replace(found.look, jobs=jobs), details={**found.details, job_id: changed})


def with_output(found: Evidence, job_id: str, text: str) -> Evidence:
    return replace(found, output={**found.output, job_id: text})


def twice_metered(found: Evidence) -> Evidence:
    def record(start: int, end: int) -> models.UsageRecordView:
        begin, stop = AT + timedelta(seconds=start), AT + timedelta(seconds=end)
        return models.UsageRecordView.model_construct(from_at=begin, to_at=stop)

    return replace(found, usage={**found.usage, "j-score-0": [record(0, 5), record(4, 8)]})


def one_site_only(found: Evidence) -> Evidence:
    for index in range(8):
        found = with_job(found, f"j-sweep-{index}", site="guian")
    return found


TRAINING, SCORE = "j-train-digits-0", "j-score-0"
WRONG: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "failed": (lambda e: with_job(e, TRAINING, state="failed", reason="boom"), "is failed, not succeeded: boom"),
    "not resumed": (lambda e: with_output(e, TRAINING, "fresh start\n"), "did not go on from its checkpoint"),
    "resumed at 0": (lambda e: with_output(e, TRAINING, "fresh start\nresumed from epoch 0\n"), "not in its middle"),
    "began anew": (
        lambda e: with_output(e, TRAINING, "fresh start\nfresh start\nresumed from epoch 3\n"),
        "began anew somewhere",
    ),
    "did not move": (
        lambda e: replace(e, allocations={**e.allocations, TRAINING: [allocation("guian", 1, "ended")]}),
        "did not move from guian",
    ),
    "not fenced": (
        lambda e: replace(
            e,
            allocations={**e.allocations, TRAINING: [allocation("guian", 1, "ended"), allocation("wuhu", 2, "ended")]},
        ),
        "ended, not fenced",
    ),
    "sweep stayed": (one_site_only, "did not spread"),
    "same site": (lambda e: with_job(e, SCORE, site="horinger"), "both steps of the workflow ran at horinger"),
    "not read": (lambda e: with_output(e, SCORE, ""), "did not read what the first wrote"),
    "data left": (lambda e: with_job(e, "j-diagnose-0", site="guian"), "ran at guian, not at wuhu"),
    "no reason": (lambda e: with_job(e, "j-answer-0", why=why("wuhu", "busy")), "does not say why not at guian"),
    "refused late": (lambda e: replace(e, refused_at_once=False), "not at once"),
    "not refused": (lambda e: with_job(e, "j-too-much-0", state="queued"), "is queued, not refused"),
    "no reasons": (lambda e: with_job(e, "j-too-much-0", why=None), "has reasons for no site"),
    "bill": (lambda e: replace(e, bill_fen=e.bill_fen + 1), "the bill says"),
    "twice": (twice_metered, "was metered twice"),
    "lost": (lambda e: replace(e, look=replace(e.look, jobs={})), "does not know train-digits"),
}


def test_a_run_as_it_should_be_has_no_problems() -> None:
    assert problems(evidence(), STOPPED) == []


@pytest.mark.parametrize("name", WRONG)
def test_each_thing_that_goes_wrong_is_named(name: str) -> None:
    change, expected = WRONG[name]
    found = problems(change(evidence()), STOPPED)
    assert any(expected in line for line in found), found


def test_a_training_that_was_never_stopped_is_no_success() -> None:
    assert "ended before its site could be stopped" in problems(evidence(), None)[0]


def test_the_site_is_stopped_only_once_a_checkpoint_is_kept() -> None:
    kept = models.ContentView(sha256="0" * 64, size=1)
    running = job("train-digits", "guian", state="running", ended_at=None, checkpoint=kept)
    other = job("sweep", "guian", 0, state="running", ended_at=None)

    def at(epoch: int, *jobs: models.JobDetail) -> str | None:
        return may_be_stopped(Look(jobs={one.name: [one] for one in jobs}, sites={}, epoch=epoch))

    assert at(6, running) == "guian"
    assert at(3, running) is None, "too early"
    assert at(6, running, other) is None, "others' work there would be lost"
    assert at(30, running, other) == "guian", "it cannot wait for ever"
    assert at(6, running.model_copy(update={"checkpoint": None})) is None


@pytest.mark.parametrize("width", [80, 160])
def test_the_final_table_has_every_job_and_its_reason(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    out = Console(width=width, record=True, file=io.StringIO())
    out.print(final_report(evidence(), chinese=False, width=width))
    shown = out.export_text()
    for piece in PIECES:
        for name in piece.jobs:
            assert name in shown
    assert "cannot" in shown
    assert "refused" in shown
    assert IMPOSSIBLE.jobs[0] in shown
