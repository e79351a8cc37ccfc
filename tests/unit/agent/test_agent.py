"""The agent's loop over a fake site and the real network's side: restarts, lost answers, fences, long logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from tests.factories import OPERATOR, USER, SmallNetwork, offering, replace, task
from tests.simulation.world import Inline, MemorySpool, MemoryWorkshop

from suanwang.domain.connector import RunOrder, RunState
from suanwang.domain.errors import Conflict, InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.domain.exchange import CurvePoint, JoinReply, Lease, LogPiece, OutputFile, Phase, SyncReply, SyncRequest
from suanwang.domain.file import Content
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Checkpoint, Output
from suanwang.ports import Extent
from suanwang.sensing import agent as agents
from suanwang.sensing.agent import Agent, Ending
from suanwang.sensing.connectors.fake import Behaviour, FakeConnector

CONTENT = Content(sha256="c" * 64, size=3)


class Line:
    """An agent's line to the network of the test; `fault` is raised in place of the next answer, or before sending."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lost: list[Exception] = []
        self.cut = False
        self.requests: list[SyncRequest] = []

    def join(self) -> JoinReply:
        return self.site.small.network.sites.join(self.site.principal).reply

    def sync(self, request: SyncRequest) -> SyncReply:
        if self.cut:
            raise Unavailable("no line")
        self.requests.append(request)
        reply = self.site.small.network.sites.sync(self.site.principal, request)
        if self.lost:
            raise self.lost.pop(0)
        return reply

    def received(self, sha256: str) -> int:
        raise AssertionError("no file moves here")

    append = finish = read = received


@dataclass
class Shop(MemoryWorkshop):
    """Folders in memory that count and can fail."""

    def __init__(self) -> None:
        super().__init__(log="")
        self.prepared: list[str] = []
        self.cleared: list[str] = []
        self.fails: list[Exception] = []
        self.outputs: tuple[OutputFile, ...] | Exception = ()
        self.kept: Content | None = None
        self.logs: dict[str, str] = {}

    def prepare(self, lease: Lease) -> RunOrder:
        self.prepared.append(lease.allocation_id)
        if self.fails:
            raise self.fails.pop(0)
        return super().prepare(lease)

    def read(self, lease: Lease, extent: Extent) -> tuple[tuple[LogPiece, ...], tuple[CurvePoint, ...]]:
        text = self.logs.get(lease.allocation_id, "")[extent.stdout : extent.stdout + 256 * 1024]
        return ((LogPiece(stream="stdout", offset=extent.stdout, text=text, size=len(text)),) if text else ()), ()

    def checkpoint(self, lease: Lease) -> Content | None:
        return self.kept

    def collect(self, lease: Lease) -> tuple[OutputFile, ...]:
        if isinstance(self.outputs, Exception):
            raise self.outputs
        return self.outputs

    def clear(self, lease: Lease) -> None:
        self.cleared.append(lease.allocation_id)
        super().clear(lease)


class Later:
    """Background work that is done when the test says so."""

    def __init__(self) -> None:
        self.work: dict[str, Callable[[], object]] = {}
        self.done: dict[str, tuple[object, Exception | None]] = {}

    def busy(self, key: str) -> bool:
        return key in self.work or key in self.done

    def start(self, key: str, work: Callable[[], object]) -> None:
        self.work[key] = work

    def take(self, key: str) -> tuple[object, Exception | None] | None:
        return self.done.pop(key, None)

    def finish(self) -> None:
        for key, work in self.work.items():
            self.done[key] = (work(), None)
        self.work.clear()


class Site:
    """One site with its scheduler, folders, disk and agent."""

    def __init__(self, duration_s: float = 1000.0, background: Any = None, **behaviour: Any) -> None:
        self.small = SmallNetwork()
        self.principal = self.small.join("guian")
        self.connector = FakeConnector(
            clock=self.small.clock,
            behaviour=lambda _: Behaviour(duration_s=duration_s, **behaviour),
            nodes=2,
            cores=8,
            memory_gb=32.0,
        )
        self.submits: list[str] = []
        self.spool, self.shop, self.line = MemorySpool(), Shop(), Line(self)
        self.background = background or Inline()
        self.agent = self.start()

    def start(self) -> Agent:
        """A new process: nothing survives but the disk and the site."""
        submit = type(self.connector).submit

        def counted(order: RunOrder) -> str:
            self.submits.append(order.tag)
            return submit(self.connector, order)

        self.connector.submit = counted  # type: ignore[method-assign]
        self.agent = Agent(
            link=self.line,  # type: ignore[arg-type]
            connector=self.connector,
            spool=self.spool,
            workshop=self.shop,
            background=self.background,
            clock=self.small.clock,
        )
        self.agent.start()
        return self.agent

    def submit(self, **asked: Any) -> Job:
        (job,) = self.small.submit(task(**asked))
        self.small.network.turn()
        return job

    def step(self, times: int = 1, every_s: float = 2.0) -> None:
        for _ in range(times):
            self.small.clock.advance(every_s)
            self.agent.step()

    def state(self, job: Job) -> JobState:
        return self.small.job(job.id).state

    @property
    def phases(self) -> list[Phase]:
        return [kept.phase for kept in self.agent.kept.values()]

    @property
    def running(self) -> Sequence[str]:
        return self.connector.running()


def test_a_run_goes_through_and_leaves_nothing() -> None:
    site = Site(duration_s=5)
    job = site.submit()
    site.step(10)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.small.job(job.id).usage.wall_s == pytest.approx(5)
    assert not site.agent.kept
    assert not site.spool.records
    assert site.shop.cleared == site.shop.prepared == site.submits == [f"{job.id}-1"]


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ({"exit_code": 3}, JobState.FAILED),
        ({"state": RunState.OUT_OF_MEMORY}, JobState.FAILED),
        ({"duration_s": 99_999.0}, JobState.FAILED),
    ],
)
def test_the_programs_own_failures_are_told(behaviour: dict[str, Any], state: JobState) -> None:
    site = Site(**({"duration_s": 3} | behaviour))
    job = site.submit(time_limit_s=60)
    site.step(50)
    assert site.state(job) is state
    assert site.small.job(job.id).reason


# restarts


def test_a_restart_adopts_what_runs() -> None:
    site = Site(duration_s=60)
    job = site.submit()
    site.step(3)
    site.start()
    site.step(40)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.submits == [f"{job.id}-1"], "never sent again"
    assert site.shop.prepared == [f"{job.id}-1"], "nor its folder made again"


def test_a_restart_takes_the_deadline_from_disk() -> None:
    site = Site()
    site.submit()
    site.step(3)
    (kept,) = site.agent.kept.values()
    site.spool.records[kept.id] = replace(kept, deadline=kept.deadline - (kept.deadline - site.small.clock.now()) * 2)
    site.start()
    (again,) = site.agent.kept.values()
    assert again.deadline == kept.deadline


def test_a_process_that_dies_while_it_submits_looks_before_it_does_anything_else() -> None:
    """The site has the run, the agent died before it could write that down: its folder must not be made anew."""
    site = Site(duration_s=60)
    job = site.submit()
    site.agent.step()
    submit = site.connector.submit

    def dies(order: RunOrder) -> str:
        submit(order)
        raise KeyboardInterrupt

    site.connector.submit = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        site.agent.step()
    assert len(site.running) == 1
    site.connector.faults.down = True
    site.start()
    site.step(2)
    site.connector.faults.down = False
    site.step(40)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.shop.prepared == [f"{job.id}-1"]
    assert len(site.submits) == 1


def test_a_begun_lease_without_traces_is_ended_and_given_back() -> None:
    """The disk was lost: the run must not be started a second time, and the job runs again under a new lease."""
    site = Site(duration_s=60)
    job = site.submit()
    site.step(3)
    assert len(site.running) == 1
    site.spool.records.clear()
    site.start()
    for _ in range(20):
        site.small.network.turn()
        site.step()
        assert len(site.running) <= 1
    assert site.small.job(job.id).epoch == 2
    site.step(60)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.submits == [f"{job.id}-1", f"{job.id}-2"]


def test_a_run_that_nobody_here_knows_is_ended() -> None:
    site = Site()
    job = site.submit()
    site.step(3)
    site.spool.records.clear()
    site.small.store._live.clear()
    site.start()
    site.step(2)
    assert not site.running
    assert site.small.job(job.id).id == job.id


# lost answers


def test_a_submission_without_an_answer_is_looked_up_and_never_sent_again() -> None:
    site = Site(duration_s=30)
    site.connector.faults.lost_submits = 1
    job = site.submit()
    site.step(30)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.submits == [f"{job.id}-1"]
    assert site.shop.prepared == [f"{job.id}-1"]


def test_a_submission_that_got_lost_itself_is_given_up_after_a_while() -> None:
    site = Site(duration_s=30)
    job = site.submit(max_attempts=2)
    submit = site.connector.submit

    def lost(order: RunOrder) -> str:
        site.submits.append(order.tag)
        site.connector.submit = submit  # type: ignore[method-assign]
        raise OutcomeUnknown("no answer", tag=order.tag)

    site.connector.submit = lost  # type: ignore[method-assign]
    site.step(25)
    assert site.state(job) is JobState.LEASED, "accounting may lag: it is waited for"
    for _ in range(60):
        site.small.network.turn()
        site.step()
    assert site.state(job) is JobState.SUCCEEDED
    assert site.submits == [f"{job.id}-1", f"{job.id}-2"]


def test_a_site_that_takes_nothing_now_is_asked_again() -> None:
    site = Site(duration_s=5)
    site.connector.faults.refused_submits = 3
    job = site.submit()
    site.step(20)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.submits == [f"{job.id}-1"] * 4


def test_an_answer_that_is_lost_changes_nothing() -> None:
    site = Site(duration_s=5)
    job = site.submit()
    site.line.lost = [OutcomeUnknown("lost", tag="sync"), Unavailable("lost"), OutcomeUnknown("lost", tag="sync")]
    assert site.agent.step() is False
    site.step(20)
    assert site.state(job) is JobState.SUCCEEDED
    assert site.small.kinds(job.id).count("job.started") == 1


def test_a_newer_agent_ends_this_one() -> None:
    site = Site()
    site.small.network.sites.join(site.principal)
    with pytest.raises(Conflict):
        site.agent.step()


# leases


def test_a_site_without_contact_ends_its_runs_when_their_leases_end() -> None:
    site = Site()
    job = site.submit()
    site.step(3)
    site.line.cut = True
    ttl_s = site.small.network.rules.lease_ttl_s
    site.step(int(ttl_s / 2) - 2)
    assert len(site.running) == 1
    site.step(3)
    assert not site.running, "before the network gives the job to another site"
    site.small.network.turn()
    assert site.state(job) is JobState.RUNNING
    site.line.cut = False
    site.step(30)
    site.small.network.turn()
    assert site.small.job(job.id).epoch == 2


def test_a_fenced_run_is_ended_and_forgotten() -> None:
    site = Site()
    job = site.submit()
    site.step(3)
    site.line.cut = True
    site.small.clock.advance(10_000)
    site.small.network.turn()
    assert site.state(job) is JobState.QUEUED
    site.line.cut = False
    site.step(4)
    assert not site.running
    assert not site.agent.kept
    assert f"{job.id}-1" in site.shop.cleared


def test_a_job_cancelled_before_it_started_never_starts() -> None:
    site = Site()
    job = site.submit()
    site.small.network.jobs.cancel(USER, job.id)
    site.step(5)
    assert site.state(job) is JobState.CANCELLED
    assert site.submits == []


def test_a_running_job_is_cancelled_at_its_site() -> None:
    site = Site()
    job = site.submit()
    site.step(3)
    site.small.network.jobs.cancel(USER, job.id)
    site.step(5)
    assert site.state(job) is JobState.CANCELLED
    assert not site.running
    assert site.small.job(job.id).usage.wall_s > 0


def test_a_site_that_refuses_a_run_is_avoided() -> None:
    site = Site()
    site.small.network.sites.invite(OPERATOR, "wuhu", offering())
    job = site.submit(cores=8, memory_gb=32.0)

    def refuse(order: RunOrder) -> str:
        raise InvalidRequest("no such partition", field="partition")

    site.connector.submit = refuse  # type: ignore[method-assign]
    site.step(4)
    found = site.small.job(job.id)
    assert found.avoided == (SiteId("guian"),)
    assert found.state is JobState.QUEUED
    assert "no such partition" in found.reason


# preparing and collecting


def test_what_can_never_be_prepared_fails_the_job_and_what_fails_here_goes_elsewhere() -> None:
    site = Site()
    site.shop.fails = [InvalidRequest("the path '../x' leads out of the work folder", field="path")]
    job = site.submit()
    site.step(4)
    assert site.state(job) is JobState.FAILED
    assert "leads out" in site.small.job(job.id).reason
    site = Site()
    site.shop.fails = [OSError("disk full")]
    job = site.submit()
    site.step(4)
    assert site.state(job) is JobState.QUEUED
    assert "disk full" in site.small.job(job.id).reason


def test_a_transfer_that_breaks_off_is_tried_again() -> None:
    site = Site(duration_s=5)
    site.shop.fails = [Unavailable("cut"), OutcomeUnknown("cut", tag="x")]
    job = site.submit()
    site.step(15)
    assert site.state(job) is JobState.SUCCEEDED
    assert len(site.shop.prepared) == 3


def test_outputs_are_told_with_the_end() -> None:
    site = Site(duration_s=5)
    site.shop.outputs = (OutputFile(name="model", content=CONTENT),)
    job = site.submit(outputs=(Output(name="model", path="out"),))
    site.step(10)
    assert site.state(job) is JobState.SUCCEEDED
    record = site.small.store.file(job.project, f"{job.id}/model")
    assert record is not None
    assert record.content == CONTENT


def test_a_success_without_its_output_is_a_failure() -> None:
    site = Site(duration_s=5)
    site.shop.outputs = InvalidRequest("did not leave its output 'model'", field="outputs.model")
    job = site.submit(outputs=(Output(name="model", path="out"),))
    site.step(10)
    assert site.state(job) is JobState.FAILED
    assert "did not leave its output" in site.small.job(job.id).reason


def test_an_output_that_cannot_be_sent_yet_is_not_forgotten() -> None:
    site = Site(duration_s=5)
    site.shop.outputs = Unavailable("the store is down")
    job = site.submit(outputs=(Output(name="model", path="out"),))
    site.step(20)
    assert site.state(job) is JobState.RUNNING
    assert site.phases == [Phase.COLLECTING]
    site.shop.outputs = (OutputFile(name="model", content=CONTENT),)
    site.step(3)
    assert site.state(job) is JobState.SUCCEEDED


def test_the_newest_checkpoint_follows_the_job() -> None:
    site = Site()
    job = site.submit(checkpoint=Checkpoint(path="ckpt"))
    site.step(3)
    site.shop.kept = CONTENT
    site.step(3)
    assert site.small.job(job.id).checkpoint == CONTENT


def test_a_lease_is_not_forgotten_while_files_move_in_its_folder() -> None:
    background = Later()
    site = Site(background=background)
    job = site.submit()
    site.step(2)
    assert background.work
    site.small.network.jobs.cancel(USER, job.id)
    site.step(4)
    assert site.state(job) is JobState.CANCELLED
    assert site.shop.cleared == [], "the folder would be made again behind its back"
    background.finish()
    site.step(2)
    assert site.shop.cleared == [f"{job.id}-1"]
    assert not background.busy(f"prepare {job.id}-1")


# logs


def test_a_log_is_sent_whole_before_the_end_is_told() -> None:
    site = Site(duration_s=5)
    job = site.submit()
    text = "0123456789abcdef" * 50_000
    site.shop.logs[f"{job.id}-1"] = text
    site.step(20)
    assert site.state(job) is JobState.SUCCEEDED
    chunks = site.small.store.logs(job.id, 0, 1000)
    assert "".join(chunk.text for _, chunk in chunks) == text


def test_a_log_beyond_the_limit_does_not_hold_the_end_back() -> None:
    site = Site(duration_s=5)
    site.small.network.sites._rules = replace(site.small.network.rules, log_limit=1000)
    job = site.submit()
    site.shop.logs[f"{job.id}-1"] = "x" * 5000
    site.step(20)
    assert site.state(job) is JobState.SUCCEEDED


def test_one_call_carries_only_so_much_and_every_run_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "REPORT_BYTES", 1000)
    site = Site(duration_s=10)
    jobs = site.small.submit(task(count=6))
    site.small.network.turn()
    for job in jobs:
        site.shop.logs[f"{job.id}-1"] = "y" * 900
    site.step(60)
    assert max(sum(piece.size for run in r.runs for piece in run.logs) for r in site.line.requests) == 1800
    for job in jobs:
        assert site.state(job) is JobState.SUCCEEDED
        chunks = site.small.store.logs(job.id, 0, 100)
        assert "".join(chunk.text for _, chunk in chunks) == "y" * 900, "no log is given up for want of a turn"


# the site's figures


def test_what_others_use_is_told_apart_from_our_own() -> None:
    site = Site()
    site.submit(cores=4)
    site.step(3)
    report = site.line.requests[-1].site
    assert report is not None
    assert (report.cores, report.foreign_cores) == (16, 0)
    site.connector._cores_free -= 3
    site.step(4)
    report = site.line.requests[-1].site
    assert report is not None
    assert report.foreign_cores == 3


def test_a_scheduler_that_does_not_answer_ends_nothing() -> None:
    site = Site(duration_s=30)
    job = site.submit()
    site.step(3)
    site.connector.faults.down = True
    site.step(5)
    assert site.state(job) is JobState.RUNNING
    site.connector.faults.down = False
    site.step(30)
    assert site.state(job) is JobState.SUCCEEDED


def test_only_what_was_seen_to_run_is_metered() -> None:
    site = Site(duration_s=1000)
    job = site.submit()
    site.step(3)
    seen_at = site.small.clock.now()
    site.connector.faults.down = True
    site.step(100)
    until = [record.to_at for record in site.small.store.usage_records(job.id)]
    assert all(at <= seen_at for at in until)


def test_an_ending_is_kept_across_a_restart() -> None:
    site = Site()
    job = site.submit()
    site.step(3)
    site.small.network.jobs.cancel(USER, job.id)
    site.connector.faults.down = True
    site.step(2)
    assert [kept.ending for kept in site.spool.records.values()] == [Ending.CANCELLED]
    site.start()
    site.connector.faults.down = False
    site.step(4)
    assert site.state(job) is JobState.CANCELLED
    assert isinstance(site.small.job(job.id).ended_at, datetime)
