"""Judges the estimate on published runs, each predicted by a rule fitted without it; writes RESULTS.md.

python benchmarks/published_runs/evaluate.py           # prints the verdict and writes RESULTS.md
python benchmarks/published_runs/evaluate.py --check   # the same, and exits with 1 where a target is missed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.published_runs.published import PublishedRun, judged

from suanwang.measuring.estimating import estimate
from suanwang.measuring.flops import FLOPS_PER_PD
from suanwang.measuring.interval import around
from suanwang.measuring.need import TrainingNeed
from suanwang.measuring.regression import fit, predict

MEDIAN_TARGET, WITHIN, WITHIN_TARGET, COVERAGE_TARGET, WORK_TARGET = 0.15, 0.35, 0.9, 0.8, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One run predicted without itself."""

    run: PublishedRun
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        assert self.run.card_hours is not None
        return self.predicted / self.run.card_hours - 1

    @property
    def covered(self) -> bool:
        assert self.run.card_hours is not None
        return self.low <= self.run.card_hours <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The three figures the targets are about."""

    median_error: float
    within: float
    coverage: float

    @property
    def holds(self) -> bool:
        return (
            self.median_error <= MEDIAN_TARGET
            and self.within >= WITHIN_TARGET
            and self.coverage >= COVERAGE_TARGET - 1e-9
        )


def leave_out(known: Sequence[PublishedRun], same: Callable[[PublishedRun, PublishedRun], bool]) -> list[Judgement]:
    """Each run predicted by the rule fitted on all runs that are not `same` as it."""
    return [_judge(run, [other for other in known if not same(run, other)]) for run in known]


def leave_one_out(known: Sequence[PublishedRun]) -> list[Judgement]:
    """As the targets ask."""
    return leave_out(known, lambda run, other: run.id == other.id)


def leave_family_out(known: Sequence[PublishedRun]) -> list[Judgement]:
    """The harder question: nothing by the same makers in the same series is known."""
    return leave_out(known, lambda run, other: run.family == other.family)


def asked_plainly(known: Sequence[PublishedRun]) -> list[Judgement]:
    """Each run as a user would ask: model, tokens, context, precision, device and cards, no word of recomputation. The
    shipped rule has seen these runs, so this judges what is assumed, not the rule."""
    judgements = []
    for run in known:
        need = TrainingNeed(model=run.model, tokens=run.tokens, context=run.context, precision=run.precision)
        hours = estimate(need, run.device, run.cards).card_hours
        judgements.append(Judgement(run=run, predicted=hours.mid, low=hours.low, high=hours.high))
    return judgements


def verdict(judgements: Sequence[Judgement]) -> Verdict:
    errors = [abs(judgement.error) for judgement in judgements]
    return Verdict(
        median_error=median(errors),
        within=sum(error <= WITHIN for error in errors) / len(errors),
        coverage=sum(judgement.covered for judgement in judgements) / len(judgements),
    )


def work_errors(every: Sequence[PublishedRun]) -> list[tuple[PublishedRun, float]]:
    """Relative error of the work, by the source's own convention, where a source prints it."""
    return [
        (run, run.counted(run.published.convention) / run.published.flops - 1)
        for run in every
        if run.published is not None
    ]


def _judge(run: PublishedRun, rest: Sequence[PublishedRun]) -> Judgement:
    rule = fit([other.conditions for other in rest], [other.efficiency for other in rest])
    prediction = predict(rule, run.conditions)
    ideal = run.work.hardware / run.peak_flops_per_h
    interval = around(ideal / prediction.efficiency, prediction.half_width)
    return Judgement(run=run, predicted=interval.mid, low=interval.low, high=interval.high)


def report(every: Sequence[PublishedRun]) -> tuple[str, bool]:
    """RESULTS.md, and whether every target holds."""
    one, family = leave_one_out(judged(list(every))), leave_family_out(judged(list(every)))
    first, second, plain = verdict(one), verdict(family), verdict(asked_plainly(judged(list(every))))
    works = work_errors(every)
    worst = max(abs(error) for _, error in works)
    lines = [
        "# Published runs",
        "",
        "Written by `evaluate.py`. Every run is predicted by the one rule of `suanwang.measuring.regression`, fitted",
        "on the other runs: five coefficients for all, none per run. Sources are in `runs/`.",
        "",
        "| question | target | leave one run out | leave its whole family out | asked plainly |",
        "| --- | --- | --- | --- | --- |",
        f"| median error of card-hours | ≤ 15 % | {first.median_error:.1%} | {second.median_error:.1%} | {plain.median_error:.1%} |",
        f"| runs within 35 % | ≥ 90 % | {first.within:.1%} | {second.within:.1%} | {plain.within:.1%} |",
        f"| runs inside their 80 % interval | ≥ 80 % | {first.coverage:.1%} | {second.coverage:.1%} | {plain.coverage:.1%} |",
        f"| largest error of PD, {len(works)} runs with published operations | ≤ 3 % | {worst:.1%} | | |",
        "",
        "`asked plainly` gives the estimate what a user knows, without a word of recomputation, and uses the shipped rule,",
        "which has seen these runs: it judges what is assumed. Runs of 2020 to 2022 that recomputed every layer come out",
        "too short there.",
        "",
        f"## Card-hours of {len(one)} runs",
        "",
        "| run | device | published | predicted | 80 % interval | error | inside | known by |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
        *(_row(judgement) for judgement in sorted(one, key=lambda j: abs(j.error))),
        "",
        "## Operations",
        "",
        "| run | published PD | counted PD | error | convention | source |",
        "| --- | ---: | ---: | ---: | --- | --- |",
        *(_work_row(run, error) for run, error in works),
        "",
        "Conventions: `6nd` is 6·N·D with activated parameters; `full_attention` counts matrix parameters and the",
        "whole attention matrix (PaLM 2022, appendix B); `hardware` counts what recomputation repeats too.",
        "",
    ]
    return "\n".join(lines), first.holds and worst <= WORK_TARGET


def _row(judgement: Judgement) -> str:
    run = judgement.run
    inside = "yes" if judgement.covered else "no"
    how = {"run": "whole run", "throughput": "measured rate"}[run.kind]
    return (
        f"| {run.name} | {run.device.name} | {run.card_hours:,.0f} | {_round(judgement.predicted):,.0f} | "
        f"{_round(judgement.low):,.0f} – {_round(judgement.high):,.0f} | {judgement.error:+.0%} | {inside} | {how} |"
    )


def _work_row(run: PublishedRun, error: float) -> str:
    assert run.published is not None
    counted = run.counted(run.published.convention) / FLOPS_PER_PD
    return (
        f"| {run.name} | {run.published.flops / FLOPS_PER_PD:,.0f} | {counted:,.0f} | "
        f"{error:+.1%} | {run.published.convention} | {run.published.where} |"
    )


def _round(value: float) -> float:
    """Three significant digits: more would claim what the interval denies."""
    return round(value, 2 - math.floor(math.log10(value)))
