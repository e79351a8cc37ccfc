"""The training rule against published runs: targets, sources, and that the shipped rule is the fitted one."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.published_runs.judging import Judgement, asked_plainly, leave_one_out, report, verdict, work_errors
from benchmarks.published_runs.published import HERE, judged, runs
from benchmarks.published_runs.refit import fitted, same

from suanwang.measuring.efficiency import training_rule
from suanwang.measuring.regression import predict

EVERY = runs()


@pytest.fixture(scope="module")
def left_out() -> list[Judgement]:
    return leave_one_out(judged(EVERY))


def test_enough_runs_are_collected_and_each_names_its_source() -> None:
    assert len(judged(EVERY)) >= 40
    for run in EVERY:
        assert run.sources, run.id
        assert all(source["locator"] and source["where"] for source in run.sources), run.id


def test_card_hours_of_unseen_runs_meet_the_targets(left_out: list[Judgement]) -> None:
    found = verdict(left_out)
    assert found.median_error <= 0.15
    assert found.within >= 0.9
    assert found.coverage >= 0.8
    assert found.holds


def test_a_user_who_says_little_is_told_as_well() -> None:
    """Model, tokens, context, precision, device and cards alone, by the shipped rule."""
    assert verdict(asked_plainly(judged(EVERY))).holds


def test_published_operations_are_met_within_three_percent() -> None:
    errors = work_errors(EVERY)
    assert len(errors) >= 8
    for run, error in errors:
        assert abs(error) <= 0.03, run.id


def test_the_shipped_rule_is_the_fitted_one() -> None:
    assert same(fitted(), training_rule())


def test_a_single_run_hardly_moves_the_rule(left_out: list[Judgement]) -> None:
    """No run has a constant of its own: without any one of them the median prediction stays within a fifth."""
    known = judged(EVERY)
    without = {judgement.run.id: judgement.predicted for judgement in left_out}
    rule = fitted()
    for run in known:
        with_it = run.work.hardware / run.peak_flops_per_h / predict(rule, run.conditions).efficiency
        assert without[run.id] == pytest.approx(with_it, rel=0.2), run.id


def test_the_report_is_the_committed_one() -> None:
    text, holds = report(EVERY)
    assert holds
    assert Path(HERE / "RESULTS.md").read_text("utf-8") == text
