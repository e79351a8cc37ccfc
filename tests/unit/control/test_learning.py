"""Learning from finished runs: who teaches, once, by how much, and that nothing absurd stops the loop."""

from __future__ import annotations

import pytest
from tests.factories import OPERATOR, STRANGER, USER, replace, task
from tests.unit.quoted_runs import A100, CORES, QuotedNetwork, probed

from suanwang.control.learning import teach
from suanwang.domain.connector import RunState
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.measuring.calibration import NOTHING_LEARNT, Observation, learn
from suanwang.measuring.workclass import WorkClass


@pytest.fixture
def net() -> QuotedNetwork:
    return QuotedNetwork()


def ran(net: QuotedNetwork, times: float, outcome: RunState = RunState.SUCCEEDED) -> Job:
    """A quoted run that took `times` what was predicted."""
    job = net.start(net.quote())
    assert job.terms is not None
    assert job.terms.prediction is not None
    return net.run(job, job.terms.prediction.hours.mid * times, outcome=outcome)


def test_a_finished_run_corrects_what_is_expected_of_its_device(net: QuotedNetwork) -> None:
    before = net.quote().offers[0]
    job = ran(net, 1.25)
    (taught,) = net.store.lessons(10)
    assert taught.job_id == job.id
    assert taught.measured_hours == pytest.approx(before.hours.mid * 1.25, rel=1e-3)
    assert before.prediction is not None
    rule = learn(
        NOTHING_LEARNT,
        Observation(
            run=job.id,
            device=A100,
            work_class=WorkClass.VISION_TRAINING,
            predicted_hours=before.prediction.published_hours,
            measured_hours=taught.measured_hours,
        ),
    )
    assert taught.factor_before == 1.0
    assert taught.factor_after == pytest.approx(rule.after.factor)
    assert taught.z == pytest.approx(rule.z)
    assert taught.z < 0
    after = net.quote().offers[0]
    assert after.hours.mid == pytest.approx(before.hours.mid / rule.after.factor, rel=1e-3)
    assert after.hours.high / after.hours.low < before.hours.high / before.hours.low, "a run seen narrows the interval"
    assert after.prediction is not None
    assert after.prediction.published_hours == pytest.approx(before.prediction.published_hours)


def test_each_run_teaches_once(net: QuotedNetwork) -> None:
    ran(net, 1.1)
    believed = net.store.beliefs()
    assert teach(net.store, net.clock.now()) == 0
    net.network.turn()
    assert len(net.store.lessons(10)) == 1
    assert net.store.beliefs() == believed
    again = net.store.lessons(1)[0]
    assert net.store.add_lesson(replace(again, measured_hours=99.0), None) is False
    assert net.store.lessons(10) == [again]


def test_an_interrupted_run_is_noted_and_teaches_nothing(net: QuotedNetwork) -> None:
    job = net.start(net.quote())
    net.run(job, 0.2, outcome=RunState.SITE_FAILED)
    again = net.job(job.id)
    assert again.attempts == 2
    assert again.state is JobState.LEASED
    done = net.run(again, 0.3)
    assert done.state is JobState.SUCCEEDED
    (taught,) = net.store.lessons(10)
    assert taught.interrupted
    assert (taught.z, taught.outlier, taught.factor_after) == (0.0, False, taught.factor_before)
    assert net.store.beliefs().beliefs == {}
    assert net.store.unlearnt(10) == []


def test_failed_and_unquoted_runs_are_not_looked_at(net: QuotedNetwork) -> None:
    ran(net, 1.0, outcome=RunState.FAILED)
    plain = net.submit(task("plain"))[0]
    net.network.turn()
    net.run(net.job(plain.id), 0.5)
    quoted = net.network.quotes.quote_task(USER, task("as it stands"), source="")
    net.run(net.start(quoted), 0.5)
    assert net.store.lessons(10) == []


def test_a_run_far_off_is_named_and_moves_the_belief_little(net: QuotedNetwork) -> None:
    for _ in range(4):
        ran(net, 1.0)
    before = net.store.beliefs().of(A100, WorkClass.VISION_TRAINING)
    odd = ran(net, 0.05)
    taught = net.store.lessons(1)[0]
    assert taught.job_id == odd.id
    assert taught.outlier
    assert taught.z > 3
    after = net.store.beliefs().of(A100, WorkClass.VISION_TRAINING)
    assert after.outliers == (odd.id,)
    assert abs(after.mean - before.mean) <= 0.375 / (1 + 4) + 1e-9
    assert [t.outlier for t in net.store.lessons(10)] == [True, False, False, False, False]


def test_a_slow_run_teaches_though_it_is_billed_to_its_limit_alone(net: QuotedNetwork) -> None:
    job = net.start(net.quote())
    limit_hours = job.task.resources.time_limit_s / 3600
    done = net.run(job, limit_hours * 1.1)
    (taught,) = net.store.lessons(10)
    assert taught.measured_hours == pytest.approx(limit_hours * 1.1)
    assert done.usage.wall_s == pytest.approx(limit_hours * 3600)


def test_what_the_probe_explains_is_not_learnt_a_second_time(net: QuotedNetwork) -> None:
    net.declare("guian", device__matmul__bf16=200.0)
    net.sync(net.guian, samples=(probed("device.0.matmul.bf16", 100.0, observed_at=net.clock.now()),))
    slow = net.quote().offers[0]
    ran(net, 1.0)
    assert net.store.beliefs().of(A100, WorkClass.VISION_TRAINING).factor == pytest.approx(1.0, abs=1e-3)
    assert net.quote().offers[0].hours.mid == pytest.approx(slow.hours.mid, rel=1e-3)


def test_cores_are_learnt_about_site_by_site(net: QuotedNetwork) -> None:
    made = net.quote(CORES)
    number = next(offer.number for offer in made.offers if offer.site == "wuhu" and offer.cores_per_node == 8)
    job = net.start(made, number)
    net.run(job, made.offers[number - 1].hours.mid * 2)
    assert net.store.beliefs().of("cpu@wuhu", WorkClass.CPU).factor < 1
    hours = {str(offer.site): offer.hours.mid for offer in net.quote(CORES).offers if offer.cores_per_node == 8}
    assert hours["guian"] == pytest.approx(2.5)
    assert hours["wuhu"] > 2.6


def test_a_prediction_no_run_can_have_is_noted_and_the_loop_goes_on(net: QuotedNetwork) -> None:
    job = net.start(net.quote())
    assert job.terms is not None
    assert job.terms.prediction is not None
    absurd = replace(job.terms, prediction=replace(job.terms.prediction, published_hours=1e300))
    done = net.run(job, 1.0)
    net.store._lessons.clear()
    net.store._jobs[done.id] = replace(done, terms=absurd)
    net.network.turn()
    (taught,) = net.store.lessons(10)
    assert taught.factor_after == taught.factor_before


def test_whose_run_it_was_is_the_projects_own_affair(net: QuotedNetwork) -> None:
    job = ran(net, 1.0)
    for caller, visible in ((USER, True), (OPERATOR, True), (STRANGER, False)):
        (lesson,) = net.network.quotes.lessons(caller, 10)
        assert lesson.visible is visible
        assert lesson.taught.job_id == job.id
    assert net.network.quotes.beliefs(STRANGER) == net.store.beliefs()
