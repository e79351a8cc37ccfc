"""How an agent tells ends apart: the program's own, the site's fault, and the guard that was first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.simulation.world import EPOCH, Inline, MemorySpool, MemoryWorkshop, VirtualClock

from suanwang.domain.connector import RunState
from suanwang.domain.errors import Unavailable
from suanwang.domain.exchange import JoinReply, Known, Lease, Phase, RunReport, SyncReply, SyncRequest
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.sensing.agent import LAST_LOOKS, LEASE_ENDED, Agent
from suanwang.sensing.connectors.fake import Behaviour, FakeConnector
from suanwang.sensing.workshop import guard_times

TTL_S, MARGIN_S = 30.0, 8.0
ID = AllocationId("j-1-1")
LEASE = Lease(
    allocation_id=ID,
    epoch=1,
    job_id=JobId("j-1"),
    project=ProjectId("lab"),
    owner="user",
    name="work",
    setup="",
    run="",
    env={},
    nodes=1,
    cores=1,
    memory_gb=1.0,
    devices=None,
    time_limit_s=600,
    array_index=0,
    array_count=1,
)


@dataclass
class Line:
    """A network that grants one lease and lets it stand."""

    clock: VirtualClock
    cut: bool = False
    suspend: bool = False
    notice: bool = False
    lease: Lease = LEASE
    told: list[RunReport] = field(default_factory=list)

    def join(self) -> JoinReply:
        return JoinReply(site_id=SiteId("here"), session=1, lease_ttl_s=TTL_S, poll_s=1.0, fence_margin_s=MARGIN_S)

    def sync(self, request: SyncRequest) -> SyncReply:
        if self.cut:
            raise Unavailable("no line")
        self.told = list(request.runs)
        known = tuple(
            Known(
                allocation_id=run.allocation_id,
                epoch=run.epoch,
                stdout=6,
                stderr=0,
                points=0,
                suspend=self.suspend,
                notice=self.notice,
            )
            for run in self.told
        )
        return SyncReply(now=self.clock.now(), lease_ttl_s=TTL_S, known=known, start=() if self.told else (self.lease,))

    def received(self, sha256: str) -> int:
        raise AssertionError("no files here")

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        raise AssertionError("no files here")

    def finish(self, sha256: str, size: int) -> None:
        raise AssertionError("no files here")

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        raise AssertionError("no files here")


class Here:
    """One site; `agent` may be replaced, what lies on its disk and in its scheduler stays."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.clock = VirtualClock()
        self.line = Line(self.clock)
        self.connector = FakeConnector(clock=self.clock, behaviour=lambda _: behaviour)
        self.spool = MemorySpool()
        self.workshop = MemoryWorkshop()
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        agent = Agent(
            link=self.line,
            connector=self.connector,
            spool=self.spool,
            workshop=self.workshop,
            background=Inline(),
            clock=self.clock,
        )
        agent.start()
        return agent

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.at += timedelta(seconds=1)
            self.agent.step()

    def said(self) -> RunReport:
        (run,) = self.line.told
        return run


def test_a_run_that_its_site_gave_up_is_told_once_its_guard_must_have_ended_it() -> None:
    here = Here(Behaviour(duration_s=500))
    here.go_on(5)
    assert here.said().phase is Phase.RUNNING
    here.connector.fail_site(ID)
    here.go_on(1)
    given_up_at = here.clock.now()
    assert here.workshop.deadlines[ID] == given_up_at
    here.go_on(int(MARGIN_S) - 1)
    assert here.said().phase is Phase.COLLECTING
    assert here.workshop.deadlines[ID] == given_up_at
    here.go_on(2)
    assert (here.said().phase, here.said().outcome, here.said().reason) == (
        Phase.ENDED,
        RunState.SITE_FAILED,
        "node failed",
    )


def test_the_wait_outlasts_a_restart() -> None:
    here = Here(Behaviour(duration_s=500))
    here.go_on(5)
    here.connector.fail_site(ID)
    here.go_on(2)
    here.agent = here.new_agent()
    here.go_on(int(MARGIN_S) - 3)
    assert here.said().phase is Phase.COLLECTING
    here.go_on(4)
    assert here.said().phase is Phase.ENDED


@pytest.mark.parametrize("exit_code", [0, 1, 143])
def test_an_end_before_the_lease_was_over_is_the_programs_own(exit_code: int) -> None:
    here = Here(Behaviour(duration_s=10, exit_code=exit_code))
    here.go_on(5)
    here.line.cut = True
    here.go_on(3)
    here.clock.at += timedelta(seconds=TTL_S)
    here.line.cut = False
    here.agent = here.new_agent()
    here.go_on(3)
    outcome = RunState.FAILED if exit_code else RunState.SUCCEEDED
    assert (here.said().phase, here.said().outcome, here.said().exit_code) == (Phase.ENDED, outcome, exit_code)


def test_an_end_by_the_guard_is_not_the_programs_failure() -> None:
    """The agent was away and comes back before the network has given the lease to another site."""
    here = Here(Behaviour(duration_s=4 + TTL_S, exit_code=143))
    here.go_on(5)
    assert here.workshop.deadlines[ID] == EPOCH + timedelta(seconds=5 + TTL_S)
    here.clock.at += timedelta(seconds=TTL_S + 2)
    here.agent = here.new_agent()
    here.go_on(2)
    assert (here.said().phase, here.said().outcome, here.said().reason) == (
        Phase.ENDED,
        RunState.SITE_FAILED,
        LEASE_ENDED,
    )


@pytest.mark.parametrize("margin_s", [1, 2, 3, 6, 20, 600])
def test_the_guard_is_done_well_within_the_margin(margin_s: float) -> None:
    interval_s, grace_s = guard_times(margin_s)
    assert 0 < interval_s <= 5
    assert interval_s + grace_s <= 0.6 * margin_s + 1e-9


class Writing(MemoryWorkshop):
    """Its run writes a checkpoint that grows until the run is over; `failing` sends fail first."""

    def __init__(self, here: Here, failing: int = 0) -> None:
        super().__init__()
        self.here = here
        self.failing = failing
        self.looks = 0
        self.sent = -1

    def checkpoint(self, lease: Lease) -> Content | None:
        self.looks += 1
        if self.failing > 0 and not self.here.connector.running():
            self.failing -= 1
            raise Unavailable("the network takes no files")
        seen = self.here.connector.observe([lease.allocation_id])[lease.allocation_id]
        assert seen.started_at is not None
        written = int(((seen.ended_at or self.here.clock.now()) - seen.started_at).total_seconds())
        if written == self.sent:
            return None
        self.sent = written
        return Content(sha256=f"{written:064d}", size=written)


def suspended(failing: int = 0) -> tuple[Here, int]:
    """A run that the network suspends after some seconds; for how long it ran."""
    here = Here(Behaviour(duration_s=500))
    here.line.lease = replace(LEASE, checkpoint_path="state")
    here.workshop = Writing(here, failing)
    here.agent = here.new_agent()
    here.go_on(5)
    here.line.suspend = True
    here.go_on(2)
    assert not here.connector.running()
    seen = here.connector.observe([ID])[ID]
    assert seen.ended_at is not None
    assert seen.started_at is not None
    return here, int((seen.ended_at - seen.started_at).total_seconds())


def test_a_suspended_run_sends_its_last_checkpoint_before_its_end() -> None:
    here, ran_s = suspended()
    here.go_on(5)
    said = here.said()
    assert (said.phase, said.outcome) == (Phase.ENDED, RunState.CANCELLED)
    assert said.checkpoint is not None
    assert said.checkpoint.size == ran_s


def test_a_suspended_run_tries_again_to_send_its_checkpoint() -> None:
    here, ran_s = suspended(failing=3)
    here.go_on(10)
    said = here.said()
    assert said.phase is Phase.ENDED
    assert said.checkpoint is not None
    assert said.checkpoint.size == ran_s


def test_a_suspended_run_ends_without_its_last_checkpoint_where_that_cannot_be_sent() -> None:
    here, ran_s = suspended(failing=100)
    here.go_on(LAST_LOOKS + 5)
    said = here.said()
    assert said.phase is Phase.ENDED
    assert said.checkpoint is not None
    assert said.checkpoint.size < ran_s


def test_a_suspended_run_is_looked_at_again_by_an_agent_that_restarts() -> None:
    here, ran_s = suspended(failing=2)
    here.agent = here.new_agent()
    here.go_on(10)
    said = here.said()
    assert (said.phase, said.outcome) == (Phase.ENDED, RunState.CANCELLED)
    assert said.checkpoint is not None
    assert said.checkpoint.size == ran_s


def test_a_run_that_ended_by_itself_is_not_suspended_any_more() -> None:
    here = Here(Behaviour(duration_s=4))
    here.go_on(4)
    here.line.suspend = True
    here.go_on(5)
    assert (here.said().phase, here.said().outcome) == (Phase.ENDED, RunState.SUCCEEDED)


class Telling(Writing):
    """Its run ends by itself with `status` when it is told; None: it does not listen."""

    def __init__(self, here: Here, status: int | None) -> None:
        super().__init__(here)
        self.status = status
        self.told = 0

    def tell(self, lease: Lease) -> None:
        self.told += 1
        if self.status is not None:
            self.here.connector.exit_now(lease.allocation_id, exit_code=self.status)


def noticed(status: int | None) -> tuple[Here, Telling]:
    """A run that is to be ended for others after some seconds."""
    here = Here(Behaviour(duration_s=500))
    here.line.lease = replace(LEASE, checkpoint_path="state")
    here.workshop = shop = Telling(here, status)
    here.agent = here.new_agent()
    here.go_on(5)
    here.line.notice = True
    here.go_on(1)
    return here, shop


def test_a_run_that_ends_by_itself_in_its_notice_is_suspended_and_sends_its_last_checkpoint() -> None:
    here, shop = noticed(143)
    ended_at = here.connector.observe([ID])[ID].ended_at
    here.go_on(5)
    said = here.said()
    assert (said.phase, said.outcome, said.exit_code, said.ended_at) == (
        Phase.ENDED,
        RunState.CANCELLED,
        143,
        ended_at,
    )
    assert said.checkpoint is not None
    assert said.checkpoint.size == shop.sent


def test_a_run_that_is_done_in_its_notice_has_succeeded() -> None:
    here, _ = noticed(0)
    here.go_on(5)
    assert (here.said().phase, here.said().outcome) == (Phase.ENDED, RunState.SUCCEEDED)


def test_a_run_that_does_not_listen_runs_on_until_it_is_ended() -> None:
    here, shop = noticed(None)
    here.go_on(5)
    assert shop.told == 6
    assert here.said().phase is Phase.RUNNING
    here.line.suspend = True
    here.go_on(7)
    assert (here.said().phase, here.said().outcome) == (Phase.ENDED, RunState.CANCELLED)


def test_an_agent_that_restarts_knows_whom_it_told() -> None:
    here, shop = noticed(None)
    here.line.notice = False
    shop.here.connector.exit_now(ID, exit_code=1)
    here.agent = here.new_agent()
    here.go_on(6)
    assert (here.said().phase, here.said().outcome) == (Phase.ENDED, RunState.CANCELLED)


def test_a_run_that_fails_before_it_is_told_has_failed() -> None:
    here = Here(Behaviour(duration_s=500))
    here.go_on(4)
    here.connector.exit_now(ID, exit_code=1)
    here.line.notice = True
    here.go_on(5)
    assert (here.said().phase, here.said().outcome) == (Phase.ENDED, RunState.FAILED)
