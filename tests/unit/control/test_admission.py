"""Tasks become jobs, or the caller hears which field is wrong."""

from __future__ import annotations

import pytest
from tests.factories import DEMO, NOW, OTHER, STRANGER, Input, SmallNetwork, replace, task

from suanwang.control import admission
from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.lifecycle import JobState


@pytest.fixture
def small() -> SmallNetwork:
    made = SmallNetwork()
    made.join("guian")
    return made


def refused(small: SmallNetwork, *tasks: object, **changes: object) -> InvalidRequest:
    before = len(small.store.events(0, 1000))
    with pytest.raises(InvalidRequest) as caught:
        small.submit(*tasks, **changes)  # type: ignore[arg-type]
    assert not small.store.count_jobs(), "nothing of a refused submission is kept"
    assert len(small.store.events(0, 1000)) == before
    return caught.value


def test_a_job_is_accepted_with_its_event(small: SmallNetwork) -> None:
    (job,) = small.submit(task("train"))
    assert job.state is JobState.QUEUED
    assert job.ready_at == NOW
    assert (job.array_id, job.array_index) == (None, 0)
    assert small.kinds(job.id) == ["job.accepted"]


def test_an_array_has_a_job_for_each_index(small: SmallNetwork) -> None:
    jobs = small.submit(task(count=4))
    assert [job.array_index for job in jobs] == [0, 1, 2, 3]
    assert {job.array_id for job in jobs} == {jobs[0].id}
    assert len({job.id for job in jobs}) == 4


def test_needs_become_identifiers_and_wait(small: SmallNetwork) -> None:
    tasks = task("last", needs=("first", "middle")), task("middle", needs=("first",)), task("first")
    jobs = {job.task.name: job for job in small.submit(*tasks)}
    assert jobs["last"].needs == (jobs["first"].id, jobs["middle"].id)
    assert [jobs[name].state for name in ("first", "middle", "last")] == [
        JobState.QUEUED,
        JobState.WAITING,
        JobState.WAITING,
    ]


def test_every_member_needs_every_member(small: SmallNetwork) -> None:
    jobs = small.submit(task("sweep", count=3), task("best", needs=("sweep",), count=2))
    assert [len(job.needs) for job in jobs] == [0, 0, 0, 3, 3]


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"a": ("a",)}, "a → a"),
        ({"a": ("b",), "b": ("a",)}, "a → b → a|b → a → b"),
        ({"a": ("b",), "b": ("c",), "c": ("b",)}, "b → c → b|c → b → c"),
    ],
)
def test_a_circle_is_named_in_full(small: SmallNetwork, needs: dict[str, tuple[str, ...]], circle: str) -> None:
    error = refused(small, *(task(name, needs=of) for name, of in needs.items()))
    assert error.field == "needs"
    assert error.message.removeprefix("`needs` goes in a circle: ") in circle.split("|")


def test_a_chain_of_thousands_is_no_circle(small: SmallNetwork) -> None:
    names = [f"t{n}" for n in range(3000)]
    jobs = small.submit(*(task(name, needs=names[n + 1 : n + 2]) for n, name in enumerate(names)))
    assert sum(job.state is JobState.QUEUED for job in jobs) == 1


def test_arrays_that_need_arrays_are_bounded(small: SmallNetwork) -> None:
    error = refused(small, task("a", count=2000), task("b", count=2000, needs=("a",)))
    assert error.field == "needs"
    assert "4000000 pairs" in error.message


@pytest.mark.parametrize(
    ("tasks", "field"),
    [
        ((task("same"), task("same")), "name"),
        ((task("a", needs=("nobody",)),), "needs"),
        ((task("a", needs=("j-0000000000000099",)),), "needs"),
        ((task("many", count=admission.MAX_JOBS + 1),), "count"),
        ((task("a", inputs=(Input(source="nofile", path="x"),)),), "inputs"),
        ((task("a", inputs=(Input(source="b/out", path="x"),)), task("b")), "inputs"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_kept(small: SmallNetwork, tasks: tuple[object, ...], field: str) -> None:
    assert refused(small, *tasks).field == field


def test_an_empty_submission_is_refused(small: SmallNetwork) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.jobs.submit(STRANGER, [])
    assert caught.value.field == "tasks"


def test_needs_may_name_an_earlier_job_of_the_project_only(small: SmallNetwork) -> None:
    (first,) = small.submit(task("first"))
    (later,) = small.submit(task("later", needs=(first.id,)))
    assert later.state is JobState.WAITING
    with pytest.raises(InvalidRequest, match="neither a task"):
        small.submit(task("foreign", needs=(first.id,)), caller=STRANGER)


def test_needing_what_has_failed_is_refused_and_what_succeeded_is_ready(small: SmallNetwork) -> None:
    (first,) = small.submit(task("first"))
    small.network.jobs.cancel(STRANGER.__class__(name="li", role=STRANGER.role, projects=(DEMO,)), first.id)
    with pytest.raises(InvalidRequest, match="ended cancelled: it can never succeed"):
        small.submit(task("later", needs=(first.id,)))
    (second,) = small.submit(task("second"))
    small.store._jobs[second.id] = replace(small.job(second.id), state=JobState.SUCCEEDED)
    (later,) = small.submit(task("later", needs=(second.id,)))
    assert later.state is JobState.QUEUED


def test_a_job_no_site_can_run_is_refused_with_every_reason(small: SmallNetwork) -> None:
    small.join("wuhu", cores_per_node=4)
    (job,) = small.submit(task(cores=9))
    assert job.state is JobState.REFUSED
    assert job.ended_at == NOW
    assert job.why is not None
    assert [(out.site, out.code, out.need, out.have) for out in job.why.excluded] == [
        ("guian", "cores", "9", "8"),
        ("wuhu", "cores", "9", "4"),
    ]
    assert small.kinds(job.id) == ["job.refused"]


def test_a_refused_task_takes_only_those_that_need_it_along(small: SmallNetwork) -> None:
    jobs = {
        job.task.name: job.id
        for job in small.submit(task("huge", cores=99), task("after", needs=("huge",)), task("free"))
    }
    small.network.turn()
    states = {name: small.job(job_id).state for name, job_id in jobs.items()}
    assert states == {"huge": JobState.REFUSED, "after": JobState.FAILED, "free": JobState.LEASED}
    assert f"needs {jobs['huge']}, which ended refused" in small.job(jobs["after"]).reason


def test_a_file_held_at_a_site_binds_the_job_to_it(small: SmallNetwork) -> None:
    small.join("wuhu")
    content = Content(sha256="a" * 64, size=1)
    small.store.add_file(
        FileRecord(project=DEMO, name="scans", version=0, content=content, site_id=SiteId("wuhu"), created_at=NOW)
    )
    (job,) = small.submit(task(inputs=(Input(source="scans", path="in"),)))
    assert job.held_at == "wuhu"
    small.network.turn()
    assert small.job(job.id).site_id == "wuhu"


def test_files_held_at_two_sites_can_be_read_nowhere(small: SmallNetwork) -> None:
    for name, at in (("a", "guian"), ("b", "wuhu")):
        small.store.add_file(
            FileRecord(
                project=DEMO,
                name=name,
                version=0,
                content=Content(sha256=name * 64, size=1),
                site_id=SiteId(at),
                created_at=NOW,
            )
        )
    error = refused(small, task(inputs=(Input(source="a", path="a"), Input(source="b", path="b"))))
    assert error.field == "inputs"


def test_another_projects_file_is_no_input(small: SmallNetwork) -> None:
    small.store.add_file(
        FileRecord(project=OTHER, name="theirs", version=0, content=Content(sha256="a" * 64, size=1), created_at=NOW)
    )
    assert refused(small, task(inputs=(Input(source="theirs", path="x"),))).field == "inputs"


# repetition


def test_a_key_makes_repeating_harmless(small: SmallNetwork) -> None:
    first = small.network.jobs.submit(STRANGER, [task()], key="k")
    again = small.network.jobs.submit(STRANGER, [task()], key="k")
    assert (first.replayed, again.replayed) == (False, True)
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]
    assert sum(small.store.count_jobs().values()) == 1


def test_a_key_used_for_another_request_is_a_conflict(small: SmallNetwork) -> None:
    small.network.jobs.submit(STRANGER, [task()], key="k")
    with pytest.raises(Conflict) as caught:
        small.network.jobs.submit(STRANGER, [task("other")], key="k")
    assert caught.value.field == "Idempotency-Key"


def test_a_repetition_is_answered_though_it_could_not_be_accepted_now(small: SmallNetwork) -> None:
    """The reply was lost, and meanwhile the job it needs has failed: the caller still learns what he was given."""
    (first,) = small.submit(task("first"))
    later = task("later", needs=(first.id,))
    given = small.submit(later, key="k")
    small.store._jobs[first.id] = replace(small.job(first.id), state=JobState.FAILED)
    assert [job.id for job in small.submit(later, key="k")] == [JobId(given[0].id)]


def test_two_callers_may_use_one_key(small: SmallNetwork) -> None:
    ours = small.submit(task(), key="k")
    theirs = small.submit(task(), key="k", caller=STRANGER)
    assert ours[0].id != theirs[0].id
