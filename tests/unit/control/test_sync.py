"""The network's side of an agent's call: what an honest agent is given, and what a liar gains (nothing)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.factories import DEMO, NOW, USER, SmallNetwork, pool, replace, seconds, task

from suanwang.control.rules import Rules
from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest
from suanwang.domain.exchange import CurvePoint, LogPiece, OutputFile, Phase, RunReport, SiteReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal
from suanwang.domain.ids import AllocationId, SiteId
from suanwang.domain.job import Allocation, AllocationState, Job
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.sample import Sample, Source
from suanwang.domain.task import Checkpoint, Input, Output

NAN, INF = float("nan"), float("inf")
GUIAN = SiteId("guian")


class Running:
    """One job leased to `guian`, and its agent."""

    def __init__(self, rules: Rules | None = None, **asked: Any) -> None:
        self.small = SmallNetwork(rules or Rules(meter_every_s=60))
        self.agent = self.small.join("guian")
        (self.accepted,) = self.small.submit(task(**asked))
        self.small.network.turn()

    @property
    def job(self) -> Job:
        return self.small.job(self.accepted.id)

    def state(self) -> JobState:
        return self.job.state

    @property
    def lease(self) -> Allocation:
        return self.small.store.allocations(self.accepted.id)[-1]

    def report(self, phase: Phase = Phase.RUNNING, **changes: Any) -> RunReport:
        values: dict[str, Any] = {"allocation_id": self.lease.id, "epoch": self.lease.epoch, "phase": phase}
        if phase is Phase.ENDED:
            values |= {"outcome": RunState.SUCCEEDED, "exit_code": 0, "ended_at": self.small.clock.now()}
        return RunReport(**(values | changes))

    def say(self, phase: Phase = Phase.RUNNING, **changes: Any) -> Any:
        return self.small.sync(self.agent, runs=(self.report(phase, **changes),))


# an honest agent


def test_a_lease_comes_in_full_until_it_is_mentioned() -> None:
    run = Running()
    for _ in range(2):
        (lease,) = run.small.sync(run.agent).start
        assert (lease.allocation_id, lease.epoch, lease.run, lease.begun) == (run.lease.id, 1, "python train.py", False)
    reply = run.say(Phase.STAGING)
    assert reply.start == ()
    assert [known.allocation_id for known in reply.known] == [run.lease.id]


def test_a_lease_that_was_heard_of_and_is_silent_comes_as_begun() -> None:
    run = Running()
    run.say(Phase.SUBMITTED)
    (lease,) = run.small.sync(run.agent).start
    assert lease.begun, "an agent that lost its memory must not start it a second time"


def test_a_run_from_start_to_end() -> None:
    run = Running()
    run.say(Phase.SUBMITTED, native_id="4711")
    assert run.state() is JobState.LEASED
    begun = run.small.clock.advance(5)
    run.say(started_at=begun, seen_at=begun)
    assert run.state() is JobState.RUNNING
    assert run.job.started_at == begun
    run.small.clock.advance(90)
    run.say(started_at=begun, seen_at=run.small.clock.now())
    assert [record.to_at for record in run.small.store.usage_records(run.job.id)] == [begun + seconds(60)]
    run.small.clock.advance(10)
    reply = run.say(Phase.ENDED, started_at=begun)
    assert reply.ended == (run.lease.id,)
    ended = run.job
    assert (ended.state, ended.exit_code, ended.allocation_id) == (JobState.SUCCEEDED, 0, None)
    assert ended.usage.wall_s == pytest.approx(100)
    assert run.small.kinds(ended.id) == ["job.accepted", "job.leased", "job.started", "job.succeeded"]


def test_telling_the_end_again_is_confirmed_again_and_bills_once() -> None:
    run = Running()
    begun = run.small.clock.now()
    run.small.clock.advance(100)
    report = run.report(Phase.ENDED, started_at=begun)
    for _ in range(3):
        assert run.small.sync(run.agent, runs=(report,)).ended == (run.lease.id,)
        run.small.clock.advance(1)
    assert run.job.usage.wall_s == pytest.approx(100)
    assert run.small.kinds(run.job.id).count("job.succeeded") == 1
    assert len(run.small.store.notices_due(run.small.clock.now(), 10)) == 1


def test_a_late_copy_of_an_older_report_takes_nothing_back() -> None:
    run = Running()
    begun = run.small.clock.now()
    early = run.report(started_at=begun, seen_at=begun + seconds(61))
    run.small.clock.advance(200)
    run.say(started_at=begun, seen_at=run.small.clock.now())
    before = run.job
    run.small.sync(run.agent, runs=(early,))
    assert run.job.usage == before.usage
    assert run.state() is JobState.RUNNING


def test_an_instant_that_changes_nothing_writes_nothing() -> None:
    run = Running()
    run.say(Phase.SUBMITTED)
    before = (run.job.revision, len(run.small.store.events(0, 1000)))
    run.say(Phase.SUBMITTED, cpu_s=3.0)
    assert (run.job.revision, len(run.small.store.events(0, 1000))) == before


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (RunState.SUCCEEDED, JobState.SUCCEEDED),
        (RunState.FAILED, JobState.FAILED),
        (RunState.TIMED_OUT, JobState.FAILED),
        (RunState.OUT_OF_MEMORY, JobState.FAILED),
        (RunState.CANCELLED, JobState.QUEUED),
        (RunState.SITE_FAILED, JobState.QUEUED),
    ],
)
def test_each_outcome(outcome: RunState, state: JobState) -> None:
    run = Running()
    run.say(Phase.ENDED, outcome=outcome, exit_code=3)
    assert run.state() is state
    assert run.lease.state is AllocationState.ENDED
    if state is JobState.FAILED:
        assert run.job.reason


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (RunState.SUCCEEDED, JobState.SUCCEEDED),
        (RunState.FAILED, JobState.CANCELLED),
        (RunState.CANCELLED, JobState.CANCELLED),
        (RunState.SITE_FAILED, JobState.CANCELLED),
    ],
)
def test_each_outcome_of_a_job_being_cancelled(outcome: RunState, state: JobState) -> None:
    run = Running()
    run.small.network.jobs.cancel(USER, run.job.id)
    (known,) = run.say(Phase.RUNNING).known
    assert known.cancel
    run.say(Phase.ENDED, outcome=outcome, exit_code=3)
    assert run.state() is state
    assert run.job.ended_at == run.small.clock.now()


def test_a_site_that_fails_a_job_too_often_fails_it() -> None:
    run = Running(max_attempts=2)
    for attempt in (1, 2):
        assert run.lease.epoch == attempt
        run.say(Phase.ENDED, outcome=RunState.SITE_FAILED, reason="node failed")
        run.small.network.turn()
    assert run.state() is JobState.FAILED
    assert run.job.reason == "node failed; 2 of 2 attempts used"


def test_a_site_that_refuses_a_job_is_avoided_from_then_on() -> None:
    run = Running()
    run.small.join("wuhu")
    run.say(Phase.ENDED, outcome=RunState.SITE_FAILED, refused=True, reason="no such QoS")
    assert run.job.avoided == (GUIAN,)
    run.small.network.turn()
    assert run.job.site_id == "wuhu"


def test_a_job_every_site_refused_fails_and_says_so() -> None:
    run = Running()
    run.say(Phase.ENDED, outcome=RunState.SITE_FAILED, refused=True, reason="no such QoS")
    run.small.network.turn()
    assert run.state() is JobState.FAILED
    assert "refused_here" in run.job.reason
    assert "no such QoS" in run.job.reason


def test_outputs_count_only_with_success_and_only_those_asked_for() -> None:
    content = Content(sha256="a" * 64, size=3)
    files = tuple(OutputFile(name=name, content=content) for name in ("model", "smuggled"))
    run = Running(outputs=(Output(name="model", path="out"),))
    run.say(Phase.ENDED, outcome=RunState.FAILED, exit_code=1, outputs=files)
    assert run.small.store.files(DEMO, None, 10)[0] == []
    run = Running(outputs=(Output(name="model", path="out"),))
    run.say(Phase.ENDED, outputs=files)
    (record,) = run.small.store.files(DEMO, None, 10)[0]
    assert (record.name, record.content, record.site_id) == (f"{run.job.id}/model", content, None)


def test_what_may_not_leave_is_recorded_at_its_site() -> None:
    run = Running(outputs=(Output(name="model", path="out"),), residency=("guian",))
    (lease,) = run.small.sync(run.agent).start
    assert lease.hold_files
    held = OutputFile(name="model", content=Content(sha256="a" * 64, size=3), held=True)
    run.say(Phase.ENDED, outputs=(held,))
    (record,) = run.small.store.files(DEMO, None, 10)[0]
    assert (record.site_id, record.residency) == (GUIAN, ("guian",))


def test_a_checkpoint_follows_the_job_and_a_held_one_binds_it() -> None:
    content = Content(sha256="c" * 64, size=9, folder=True)
    run = Running(checkpoint=Checkpoint(path="ckpt"))
    run.small.join("wuhu")
    run.say(checkpoint=content, checkpoint_held=False)
    assert (run.job.checkpoint, run.job.checkpoint_site) == (content, None)
    run.say(checkpoint=replace(content, sha256="d" * 64), checkpoint_held=True)
    run.say(Phase.ENDED, outcome=RunState.SITE_FAILED)
    assert run.job.checkpoint_site == "guian"
    run.small.network.turn()
    assert run.job.site_id == "guian"
    (lease,) = run.small.sync(run.agent).start
    assert lease.checkpoint == replace(content, sha256="d" * 64)


def test_an_input_that_is_gone_ends_the_lease_and_says_which() -> None:
    run = Running()
    gone = replace(run.job.task, inputs=(Input(source="gone", path="x"),))
    run.small.store._jobs[run.job.id] = replace(run.job, task=gone)
    assert run.small.sync(run.agent).start == ()
    assert run.state() is JobState.FAILED
    assert "'gone'" in run.job.reason


def test_logs_and_curves_are_stored_once_and_answered_with_their_extent() -> None:
    run = Running()
    logs = (LogPiece(stream="stdout", offset=0, text="epoch 1\n", size=8),)
    points = (CurvePoint(line=1, name="loss", step=1, value=0.5), CurvePoint(line=3, name="loss", step=2, value=0.4))
    for _ in range(2):
        (known,) = run.say(logs=logs, points=points).known
        assert (known.stdout, known.stderr, known.points) == (8, 0, 3)
    run.say(logs=(LogPiece(stream="stdout", offset=20, text="gap", size=3),))
    assert "".join(chunk.text for _, chunk in run.small.store.logs(run.job.id, 0, 10)) == "epoch 1\n"
    assert [(point.line, point.value) for point in run.small.store.points(run.job.id)] == [(1, 0.5), (3, 0.4)]


def test_a_log_and_a_curve_are_kept_up_to_their_limit() -> None:
    run = Running(Rules(log_limit=10, points_limit=2))
    run.say(logs=(LogPiece(stream="stdout", offset=0, text="x" * 11, size=11),))
    assert run.small.store.logs(run.job.id, 0, 10) == []
    run.say(points=tuple(CurvePoint(line=n, name="loss", step=n, value=n) for n in (1, 2, 3)))
    assert [point.line for point in run.small.store.points(run.job.id)] == [1, 2]


# agents that lie


def test_a_lease_that_is_anothers_is_fenced_and_nothing_moves() -> None:
    run = Running()
    thief = run.small.join("wuhu")
    before = run.job
    reply = run.small.sync(thief, runs=(run.report(Phase.ENDED, started_at=NOW),))
    assert reply.fenced == (run.lease.id,)
    assert reply.ended == ()
    assert run.job == before
    assert run.small.store.usage_records(run.job.id) == []


def test_a_lease_that_never_was_is_fenced() -> None:
    run = Running()
    invented = RunReport(allocation_id=AllocationId("j-999-1"), epoch=1, phase=Phase.RUNNING)
    assert run.small.sync(run.agent, runs=(invented,)).fenced == ("j-999-1",)


@pytest.mark.parametrize("epoch", [0, 2, -1])
def test_another_epoch_is_fenced(epoch: int) -> None:
    run = Running()
    reply = run.small.sync(run.agent, runs=(run.report(Phase.ENDED, epoch=epoch),))
    assert reply.fenced == (run.lease.id,)
    assert run.state() is JobState.LEASED


def test_a_lease_that_was_taken_back_stays_so() -> None:
    run = Running()
    old = run.report(Phase.ENDED, started_at=run.small.clock.now())
    run.small.clock.advance(1000)
    run.small.network.turn()
    run.small.sync(run.agent)
    run.small.network.turn()
    assert run.lease.epoch == 2
    reply = run.small.sync(run.agent, runs=(old,))
    assert reply.fenced == (old.allocation_id,)
    assert run.state() is JobState.LEASED
    assert run.small.store.usage_records(run.job.id) == []


def test_an_older_session_is_refused_before_anything_is_believed() -> None:
    run = Running()
    before = run.small.store.site(GUIAN)
    for session in (0, 99, -1):
        with pytest.raises(Conflict) as caught:
            run.small.sync(run.agent, session=session, runs=(run.report(Phase.ENDED),))
        assert caught.value.field == "session"
    assert run.small.store.site(GUIAN) == before
    assert run.state() is JobState.LEASED


@pytest.mark.parametrize("caller", [USER])
def test_only_agents_report(caller: Principal) -> None:
    run = Running()
    with pytest.raises(Forbidden):
        run.small.sync(replace(caller, site_id=GUIAN))


def test_more_than_declared_is_marked_and_never_used() -> None:
    small = SmallNetwork()
    agent = small.join("guian", devices=(pool("chip", count=2, per_node=2),))
    small.sync(agent, site=SiteReport(cores=1000, memory_gb=9999.0, devices={"chip": 64, "ghost": 8}))
    site = small.store.site(GUIAN)
    assert site is not None
    assert any("more than it declares" in warning for warning in site.warnings)
    small.submit(task(cores=8, count=5))
    assert small.network.turn().leased == 2
    small.sync(agent, site=SiteReport(cores=16, memory_gb=64.0, devices={"chip": 2}))
    site = small.store.site(GUIAN)
    assert site is not None
    assert site.warnings == ()


def test_less_than_declared_is_believed() -> None:
    small = SmallNetwork()
    agent = small.join("guian")
    small.sync(agent, site=SiteReport(cores=8, memory_gb=64.0, foreign_cores=3))
    (job,) = small.submit(task(cores=6))
    assert small.network.turn().leased == 0
    found = small.network.jobs.explain(USER, job.id).why
    assert found is not None
    assert [(out.code, out.have) for out in found.excluded] == [("busy", "5 cores, 64 GB")]


def at(field: str, value: float) -> SiteReport:
    values: dict[str, Any] = {"cores": 8, "memory_gb": 32.0}
    return SiteReport(**(values | {field: {"chip": value} if "devices" in field else value}))


@pytest.mark.parametrize(
    "field", ["cores", "memory_gb", "foreign_cores", "foreign_memory_gb", "devices", "foreign_devices"]
)
@pytest.mark.parametrize("value", [-1, NAN, INF, 1e30])
def test_a_capacity_that_cannot_be_is_refused(field: str, value: float) -> None:
    run = Running()
    before = run.small.store.site(GUIAN)
    with pytest.raises(InvalidRequest) as caught:
        run.small.sync(run.agent, site=at(field, value), runs=(run.report(Phase.ENDED),))
    assert caught.value.field is not None
    assert caught.value.field.startswith(f"site.{field}")
    assert run.small.store.site(GUIAN) == before
    assert run.state() is JobState.LEASED, "one lie, and nothing of the report is believed"


LIES: list[tuple[dict[str, Any], str]] = [
    ({"phase": Phase.ENDED, "outcome": None}, "outcome"),
    ({"phase": Phase.ENDED, "outcome": RunState.RUNNING}, "outcome"),
    ({"phase": Phase.ENDED, "outcome": RunState.UNKNOWN}, "outcome"),
    ({"started_at": NOW, "ended_at": NOW - seconds(1)}, "ended_at"),
    ({"points": (CurvePoint(line=1, name="loss", step=1, value=NAN),)}, "points"),
    ({"points": (CurvePoint(line=1, name="loss", step=INF, value=1),)}, "points"),
    ({"points": (CurvePoint(line=0, name="loss", step=1, value=1),)}, "points"),
    ({"logs": (LogPiece(stream="stdin", offset=0, text="x", size=1),)}, "logs"),
    ({"logs": (LogPiece(stream="stdout", offset=-1, text="x", size=1),)}, "logs"),
    ({"logs": (LogPiece(stream="stdout", offset=0, text="much more than that", size=1),)}, "logs"),
    ({"logs": (LogPiece(stream="stdout", offset=0, text="", size=0),)}, "logs"),
]


@pytest.mark.parametrize(("changes", "field"), LIES)
def test_a_report_that_cannot_be_is_refused_whole(changes: dict[str, Any], field: str) -> None:
    run = Running()
    before = (run.job, run.small.store.site(GUIAN))
    with pytest.raises(InvalidRequest) as caught:
        run.say(**({"phase": Phase.RUNNING} | changes))
    assert caught.value.field == f"runs[0].{field}"
    assert (run.job, run.small.store.site(GUIAN)) == before


def test_an_allocation_reported_twice_in_one_call() -> None:
    run = Running()
    with pytest.raises(InvalidRequest, match="reported twice"):
        run.small.sync(run.agent, runs=(run.report(), run.report(Phase.ENDED)))
    assert run.state() is JobState.LEASED


def test_a_sample_that_is_no_number() -> None:
    run = Running()
    sample = Sample(metric_type="x", unit="1", value=NAN, source=Source.MEASURED, statistic="instant", observed_at=NOW)
    with pytest.raises(InvalidRequest) as caught:
        run.small.sync(run.agent, samples=(sample,))
    assert caught.value.field == "samples[0].value"


def test_time_before_the_lease_or_in_the_future_is_not_billed() -> None:
    run = Running()
    granted = run.small.clock.now()
    run.small.clock.advance(100)
    run.say(started_at=granted - timedelta(days=9), seen_at=granted + timedelta(days=9))
    assert run.lease.started_at == granted
    run.say(Phase.ENDED, started_at=granted - timedelta(days=9), ended_at=granted + timedelta(days=9))
    assert run.job.usage.wall_s == pytest.approx(100)


def test_more_than_the_time_limit_is_not_billed() -> None:
    """The budget was checked for the time limit; a site that lets a run go on beyond it does so for nothing."""
    run = Running(time_limit_s=120)
    begun = run.small.clock.now()
    for _ in range(5):
        run.small.clock.advance(100)
        run.say(started_at=begun, seen_at=run.small.clock.now())
    run.say(Phase.ENDED, started_at=begun)
    assert run.job.usage.wall_s == pytest.approx(120)


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0, 30.0, 0.0])
def test_a_clock_that_is_off_is_corrected(skew_s: float) -> None:
    run = Running()
    skew, sent_late_s = seconds(skew_s), 0.2

    def say(phase: Phase = Phase.RUNNING, **changes: Any) -> None:
        moved = {k: v + skew if isinstance(v, datetime) else v for k, v in changes.items()}
        sent = run.small.clock.now() - seconds(sent_late_s) + skew
        run.small.sync(run.agent, sent_at=sent, runs=(run.report(phase, **moved),))

    run.small.network.sites.join(run.agent)
    begun = run.small.clock.advance(10)
    say(started_at=begun, seen_at=begun)
    run.small.clock.advance(100)
    say(Phase.ENDED, started_at=begun, ended_at=run.small.clock.now())
    assert run.job.started_at is not None
    assert abs(run.job.started_at - begun) <= seconds(sent_late_s), "by the delay of the call and no more"
    assert run.job.usage.wall_s == pytest.approx(100, abs=0.5)
    site = run.small.store.site(GUIAN)
    assert site is not None
    assert site.state is SiteState.REACHABLE
    assert any("clock is off" in w for w in site.warnings) == (abs(skew_s) > 30)


def test_a_clock_that_is_set_in_mid_session_is_noticed() -> None:
    run = Running()
    run.small.sync(run.agent, sent_at=run.small.clock.now() + seconds(3600))
    run.small.sync(run.agent, sent_at=run.small.clock.now())
    site = run.small.store.site(GUIAN)
    assert site is not None
    assert site.clock_offset_s == 0


@pytest.mark.parametrize("year", [1, 9999])
def test_instants_at_the_end_of_the_calendar_are_refused_not_fatal(year: int) -> None:
    run = Running()
    before = run.job
    far = datetime(year, 6, 1, tzinfo=UTC)
    near = datetime(10_000 - year, 6, 1, tzinfo=UTC)
    with pytest.raises(InvalidRequest):
        run.small.sync(run.agent, sent_at=far, runs=(run.report(started_at=near, seen_at=near),))
    assert run.job == before


def test_a_site_that_leaves_is_given_no_more() -> None:
    run = Running()
    run.small.sync(run.agent, leaving=True)
    site = run.small.store.site(GUIAN)
    assert site is not None
    assert site.state is SiteState.LOST
    run.small.submit()
    assert run.small.network.turn().leased == 0


def test_a_late_first_call_does_not_shorten_the_run() -> None:
    """Its delay looks like a slow clock until a quicker call shows better; the start is set right as long as it is free."""
    run = Running()
    begun = run.small.clock.now()
    run.small.network.sites.join(run.agent)
    late = {"sent_at": begun + seconds(1), "session": run.small.session(run.agent)}
    run.small.clock.advance(6)
    run.small.sync(run.agent, runs=(run.report(started_at=begun, seen_at=begun + seconds(1)),), **late)
    assert run.lease.started_at == begun + seconds(5)
    run.small.clock.advance(1)
    run.say(started_at=begun, seen_at=run.small.clock.now())
    assert run.lease.started_at == run.job.started_at == begun
    run.small.clock.advance(60)
    run.say(started_at=begun, seen_at=run.small.clock.now())
    assert run.lease.metered_until == begun + seconds(60)
    run.small.clock.advance(10)
    run.say(Phase.ENDED, started_at=begun)
    assert run.job.usage.wall_s == pytest.approx(77)
