"""What every store promises about quotes, lessons and beliefs; a test file gives the class a fixture named `store`."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.contract.store_values import PRICE, PROJECT, SITE, START, a_job, a_site, after, at_once, ending, leased

from suanwang.domain.job import Exclusion, Job, Prediction, Span, Terms
from suanwang.domain.lifecycle import JobState
from suanwang.domain.quote import Offer, Quote, Taught
from suanwang.domain.site import Shortfall
from suanwang.measuring.calibration import NOTHING_LEARNT, Observation, learn
from suanwang.measuring.workclass import WorkClass
from suanwang.ports import Store

DEVICE = "huawei-ascend-910b"
PREDICTION = Prediction(
    device=DEVICE, work_class="dense_training", published_hours=2.5, hours=Span(low=1.75, mid=2.25, high=3.125)
)
TERMS = Terms(quote_id="q-1", offer=2, price=PRICE, prediction=PREDICTION)


def a_quote(quote_id: str = "q-1") -> Quote:
    """A quote in which every kind of field is set."""
    offer = Offer(
        number=1,
        site=SITE,
        device_model=DEVICE,
        nodes=2,
        devices_per_node=8,
        cores_per_node=32,
        memory_gb_per_node=64.5,
        start_at=after(60),
        hours=Span(low=1.0, mid=2.0, high=4.0),
        finish_at=after(7260),
        price_yuan=Span(low=0.1, mid=0.2, high=0.4),
        energy_kwh=Span(low=3.0, mid=6.0, high=12.0),
        carbon_g=Span(low=300.0, mid=600.0, high=1200.0),
        score=1.0,
        price=PRICE,
        prediction=PREDICTION,
    )
    return Quote(
        id=quote_id,
        project=PROJECT,
        owner="li",
        title="预训练 \N{GRINNING FACE}",
        source="work: pretrain\n",
        created_at=START,
        expires_at=after(3600),
        offers=(offer, replace(offer, number=2, device_model=None, prediction=None)),
        excluded=(Exclusion(site=SITE, code="unfit", have="too small"),),
        assumptions=("vocabulary of 32000 assumed",),
        work_pd=972.25,
    )


def succeeded(store: Store, terms: Terms | None = TERMS, state: JobState = JobState.SUCCEEDED) -> Job:
    """A job that ran once and ended."""
    job, allocation = leased(store, replace(a_job(), terms=terms))
    step = ending(job, allocation, state)
    assert store.apply([step]) == frozenset()
    return step.job


def taught(job: Job, number: int = 1) -> Taught:
    return Taught(
        job_id=job.id,
        site=SITE,
        prediction=PREDICTION,
        measured_hours=2.0 + number,
        z=-1.25,
        outlier=number == 2,
        factor_before=1.0,
        factor_after=0.9,
        at=after(number),
        interrupted=number == 3,
    )


class QuotingContract:
    def test_a_quote_comes_back_as_it_was_given(self, store: Store) -> None:
        store.add_quote(a_quote())
        store.add_quote(replace(a_quote("q-2"), offers=(), work_pd=None, title="NUL \0 and half a pair \ud800"))
        assert store.quote("q-1") == a_quote()
        assert store.quote("q-3") is None
        assert store.quote("q-\0") is None
        odd = store.quote("q-2")
        assert odd is not None
        assert odd.offers == ()

    def test_terms_stay_with_their_job(self, store: Store) -> None:
        job = replace(a_job(), terms=TERMS)
        store.add_jobs([job], [])
        found = store.job(job.id)
        assert found is not None
        assert found.terms == TERMS
        assert found.terms is not None
        assert found.terms.price.device_hour_yuan == {"ascend-910b": Decimal("9.50")}
        assert store.queued(10)[0].terms == TERMS

    def test_only_predicted_jobs_that_succeeded_may_teach(self, store: Store) -> None:
        teaching = succeeded(store)
        succeeded(store, None)
        succeeded(store, replace(TERMS, prediction=None))
        succeeded(store, state=JobState.FAILED)
        leased(store, replace(a_job(), terms=TERMS))
        ((job, allocation),) = store.unlearnt(10)
        assert job == teaching
        assert allocation.job_id == job.id
        assert allocation.ended_at == after(50)
        assert store.unlearnt(10) == [(job, allocation)], "looking changes nothing"

    def test_a_job_teaches_once(self, store: Store) -> None:
        job = succeeded(store)
        observation = Observation(
            run=job.id, device=DEVICE, work_class=WorkClass.DENSE_TRAINING, predicted_hours=2.5, measured_hours=2.0
        )
        lesson = learn(NOTHING_LEARNT, observation)
        assert store.beliefs().beliefs == {}
        assert store.add_lesson(taught(job), lesson.after) is True
        assert store.unlearnt(10) == []
        assert store.add_lesson(replace(taught(job), measured_hours=9.0), None) is False
        assert store.lessons(10) == [taught(job)]
        believed = store.beliefs()
        assert dict(believed.beliefs) == {(DEVICE, WorkClass.DENSE_TRAINING): lesson.after}
        assert believed.of(DEVICE, WorkClass.DENSE_TRAINING).residuals[0].run == job.id

    def test_a_lesson_without_a_belief_leaves_what_was_believed(self, store: Store) -> None:
        first, second = succeeded(store), succeeded(store)
        observation = Observation(
            run=first.id, device=DEVICE, work_class=WorkClass.DENSE_TRAINING, predicted_hours=2.5, measured_hours=2.0
        )
        after_one = learn(NOTHING_LEARNT, observation).after
        store.add_lesson(taught(first), after_one)
        store.add_lesson(taught(second, 3), None)
        assert store.beliefs().of(DEVICE, WorkClass.DENSE_TRAINING) == after_one

    def test_lessons_come_newest_first(self, store: Store) -> None:
        jobs = [succeeded(store) for _ in range(4)]
        for number, job in enumerate(jobs, start=1):
            store.add_lesson(taught(job, number), None)
        assert [lesson.job_id for lesson in store.lessons(3)] == [job.id for job in jobs[:0:-1]]
        assert [lesson.interrupted for lesson in store.lessons(10)] == [False, True, False, False]

    def test_one_of_many_replicas_teaches(self, store: Store) -> None:
        job = succeeded(store)
        won = at_once([lambda: store.add_lesson(taught(job), None) for _ in range(6)])
        assert sorted(won) == [False] * 5 + [True]
        assert len(store.lessons(10)) == 1

    def test_marks_of_a_probe_stay_with_the_site(self, store: Store) -> None:
        fell = Shortfall(metric_type="device.matmul.bf16", declared=250.0, measured=150.5, at=START)
        site = replace(a_site(), shortfalls=(fell,))
        store.add_site(site, ())
        assert store.sites() == [site]
        store.put_site(replace(site, shortfalls=(), revision=site.revision + 1))
        found = store.site(site.id)
        assert found is not None
        assert found.shortfalls == ()
