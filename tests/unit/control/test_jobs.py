"""Who sees and does what with a job."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.factories import (
    DEMO,
    OPERATOR,
    OTHER,
    OTHER_PROVIDER,
    PROVIDER,
    REGULATOR,
    STRANGER,
    USER,
    SmallNetwork,
    replace,
    seconds,
    task,
)

from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.ports import JobQuery

AGENT = Principal(name="agent-guian", role=Role.AGENT, site_id=SiteId("guian"))


@pytest.fixture
def small() -> SmallNetwork:
    made = SmallNetwork()
    made.join("guian")
    return made


@pytest.fixture
def leased(small: SmallNetwork) -> Job:
    (job,) = small.submit()
    small.network.turn()
    return small.job(job.id)


@pytest.mark.parametrize("caller", [USER, OPERATOR, REGULATOR, PROVIDER])
def test_those_it_concerns_see_a_job(small: SmallNetwork, leased: Job, caller: Principal) -> None:
    jobs = small.network.jobs
    assert jobs.get(caller, leased.id) == leased
    assert [a.site_id for a in jobs.allocations(caller, leased.id)] == ["guian"]
    assert [e.kind for e in jobs.events(caller, 0, 100, job_id=leased.id)] == ["job.accepted", "job.leased"]


@pytest.mark.parametrize("caller", [STRANGER, OTHER_PROVIDER, AGENT])
def test_for_all_others_it_does_not_exist(small: SmallNetwork, leased: Job, caller: Principal) -> None:
    jobs = small.network.jobs
    for ask in (
        jobs.get,
        jobs.allocations,
        jobs.points,
        jobs.usage,
        jobs.explain,
        jobs.cancel,
        lambda who, job_id: jobs.logs(who, job_id, 0, 10),
        lambda who, job_id: jobs.events(who, 0, 10, job_id=job_id),
    ):
        with pytest.raises(NotFound) as caught:
            ask(caller, leased.id)
        assert caught.value.message == f"no job {leased.id!r}"
    with pytest.raises(NotFound) as caught:
        jobs.get(caller, JobId("j-nothing"))
    assert caught.value.message == "no job 'j-nothing'", "the same words as for one that is there"


def test_a_provider_does_not_see_a_job_that_is_nowhere_yet(small: SmallNetwork) -> None:
    (job,) = small.submit(task(cores=8, count=1))
    with pytest.raises(NotFound):
        small.network.jobs.get(PROVIDER, job.id)


@pytest.mark.parametrize("caller", [PROVIDER, REGULATOR])
def test_seeing_is_not_cancelling(small: SmallNetwork, leased: Job, caller: Principal) -> None:
    with pytest.raises(Forbidden):
        small.network.jobs.cancel(caller, leased.id)
    assert small.job(leased.id) == leased


def test_pages_show_only_what_the_caller_may_see(small: SmallNetwork, leased: Job) -> None:
    (theirs,) = small.submit(caller=STRANGER)
    page = small.network.jobs.page

    def seen(caller: Principal, query: JobQuery | None = None) -> list[JobId]:
        return [job.id for job in page(caller, query or JobQuery(), None, 10)[0]]

    assert seen(USER) == [leased.id]
    assert seen(STRANGER) == [theirs.id]
    assert seen(OPERATOR) == seen(REGULATOR) == [theirs.id, leased.id]
    assert seen(USER, JobQuery(projects=[OTHER])) == []
    assert seen(USER, JobQuery(projects=[OTHER, DEMO])) == [leased.id]
    assert seen(PROVIDER) == []
    assert seen(PROVIDER, JobQuery(site_id=SiteId("guian"))) == [leased.id]
    assert seen(OTHER_PROVIDER, JobQuery(site_id=SiteId("guian"))) == []
    assert seen(AGENT) == []
    assert small.network.jobs.counts(USER) == {JobState.LEASED: 1}
    assert small.network.jobs.counts(AGENT) == {}
    assert {e.project for e in small.network.jobs.events(USER, 0, 100)} == {DEMO}
    assert list(small.network.jobs.events(PROVIDER, 0, 100)) == []


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_page_has_a_possible_size(small: SmallNetwork, limit: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.jobs.page(USER, JobQuery(), None, limit)
    assert caught.value.field == "limit"


@pytest.mark.parametrize(
    ("caller", "project"),
    [(USER, OTHER), (PROVIDER, DEMO), (REGULATOR, DEMO), (AGENT, DEMO), (replace(USER, role=Role.REGULATOR), DEMO)],
)
def test_who_may_not_submit_is_told(small: SmallNetwork, caller: Principal, project: ProjectId) -> None:
    with pytest.raises(Forbidden) as caught:
        small.submit(caller=caller, project=project)
    assert caught.value.field == "project"
    with pytest.raises(Forbidden):
        small.network.jobs.preview(caller, [task()], project=project)
    assert not small.store.count_jobs()


def test_an_operator_says_which_project(small: SmallNetwork) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.submit(caller=OPERATOR)
    assert caught.value.field == "project"
    assert small.submit(caller=OPERATOR, project=DEMO)[0].project == DEMO
    with pytest.raises(NotFound) as missing:
        small.submit(caller=OPERATOR, project=ProjectId("typo"))
    assert missing.value.field == "project"


def test_cancelling_a_queued_job_ends_it_at_once(small: SmallNetwork) -> None:
    (job,) = small.submit()
    (cancelled,) = small.network.jobs.cancel(USER, job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.ended_at == small.clock.now()
    assert cancelled.reason == "cancelled by li"
    assert small.kinds(job.id) == ["job.accepted", "job.cancelled"]


def test_cancelling_a_leased_job_asks_its_site(small: SmallNetwork, leased: Job) -> None:
    (asked,) = small.network.jobs.cancel(USER, leased.id)
    assert asked.state is JobState.CANCELLING
    assert small.network.jobs.cancel(USER, leased.id) == (asked,), "asking again changes nothing"


def test_cancelling_what_has_ended_changes_nothing(small: SmallNetwork) -> None:
    (job,) = small.submit(task(cores=99))
    assert small.network.jobs.cancel(USER, job.id) == (job,)


def test_cancelling_one_member_leaves_the_others(small: SmallNetwork) -> None:
    jobs = small.submit(task(count=3))
    small.network.jobs.cancel(USER, jobs[1].id)
    assert [small.job(job.id).state for job in jobs] == [JobState.QUEUED, JobState.CANCELLED, JobState.QUEUED]
    small.network.jobs.cancel(USER, jobs[0].id, whole_array=True)
    assert {small.job(job.id).state for job in jobs} == {JobState.CANCELLED}


def test_a_whole_array_larger_than_a_page_is_cancelled(small: SmallNetwork) -> None:
    jobs = small.submit(task(count=1101))
    assert len(small.network.jobs.cancel(USER, jobs[7].id, whole_array=True)) == 1101
    assert small.store.count_jobs()[JobState.CANCELLED] == 1101


# explanations


def test_a_queued_job_is_explained_as_of_now(small: SmallNetwork) -> None:
    (job,) = small.submit(task(cores=8, count=1))
    found = small.network.jobs.explain(USER, job.id)
    assert found.verdict == "runs"
    assert found.why is not None
    assert found.why.chosen is not None
    assert found.why.chosen.site == "guian"


def test_a_job_without_room_waits_and_says_what_is_missing(small: SmallNetwork) -> None:
    jobs = small.submit(task(cores=8, count=3))
    small.network.turn()
    last = [job for job in jobs if small.job(job.id).state is JobState.QUEUED]
    assert len(last) == 1
    found = small.network.jobs.explain(USER, last[0].id)
    assert found.verdict == "waits"
    assert found.why is not None
    assert [(out.code, out.need, out.have) for out in found.why.excluded] == [
        ("busy", "8 cores, 1 GB", "0 cores, 62 GB")
    ]


def test_a_waiting_job_is_blocked_by_what_it_needs(small: SmallNetwork) -> None:
    first, second = small.submit(task("a"), task("b", needs=("a",)))
    found = small.network.jobs.explain(USER, second.id)
    assert found.verdict == "blocked"
    assert found.needs == {first.id: JobState.QUEUED}


def test_a_placed_job_keeps_the_reasons_of_its_decision(small: SmallNetwork) -> None:
    small.join("wuhu", region="yangtze", provider="wuhu-dc")
    (job,) = small.submit(task(regions=("贵州",)))
    small.network.turn()
    found = small.network.jobs.explain(USER, job.id)
    assert found.verdict == "placed"
    assert found.why is not None
    assert [(out.site, out.code) for out in found.why.excluded] == [("wuhu", "region")]
    small.network.sites.drain(OPERATOR, SiteId("guian"), open_=False)
    assert small.network.jobs.explain(USER, job.id).why == found.why


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [({}, "runs"), ({"cores": 9}, "refused"), ({"nodes": 3}, "refused"), ({"sites": (SiteId("guian"),)}, "runs")],
)
def test_a_preview_says_what_submitting_would_find(small: SmallNetwork, asked: dict[str, Any], verdict: str) -> None:
    (found,) = small.network.jobs.preview(USER, [task(**asked)])
    assert found.verdict == verdict
    assert not small.store.count_jobs()


def test_what_was_billed_before_counts_against_the_budget(small: SmallNetwork) -> None:
    (job,) = small.submit(task(cores=1, budget_yuan=Decimal("0.15")))
    spent = replace(small.job(job.id).usage, cost_yuan=Decimal("0.10"))
    small.store._jobs[job.id] = replace(small.job(job.id), usage=spent)
    found = small.network.jobs.explain(USER, job.id)
    assert found.verdict == "refused"
    assert found.why is not None
    assert [(out.code, out.need, out.have) for out in found.why.excluded] == [("budget", "0.05", "0.11")]


def test_a_deadline_that_passes_ends_the_wait(small: SmallNetwork) -> None:
    small.network.sites.drain(OPERATOR, SiteId("guian"), open_=False)
    (job,) = small.submit(task(time_limit_s=600, deadline_at=small.clock.now() + seconds(700)))
    small.network.turn()
    assert small.job(job.id).state is JobState.QUEUED
    small.clock.advance(101)
    small.network.turn()
    ended = small.job(job.id)
    assert ended.state is JobState.FAILED
    assert "deadline" in ended.reason
    assert ended.why is not None
