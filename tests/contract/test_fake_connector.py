"""The fake keeps every connector's promises, and the few things only it can do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.connector_suite import ConnectorContract, Site, Work, ended

from suanwang.domain.connector import DeviceSlots, RunOrder, RunState
from suanwang.domain.errors import OutcomeUnknown, Unavailable
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.connectors.fake import Behaviour, FakeConnector


@dataclass(slots=True)
class HandClock:
    """A clock the test moves."""

    instant: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant


@dataclass(slots=True)
class FakeSite:
    """The fake under the suite: works are acted, and waiting moves the clock by a second."""

    folder: Path
    clock: HandClock = field(default_factory=HandClock)
    shortest_limit_s: int = 60
    polls: int = 200
    works: dict[str, Work] = field(default_factory=dict)
    connector: FakeConnector = field(init=False)

    def __post_init__(self) -> None:
        self.connector = FakeConnector(
            clock=self.clock, behaviour=self._act, nodes=2, cores=2, memory_gb=4.0, devices={"ascend-910b": 8}
        )

    def order(self, work: Work, **changes: Any) -> RunOrder:
        tag = f"run-{len(self.works)}"
        self.works[tag] = work
        order = RunOrder(
            tag=tag,
            name="contract",
            script="",
            work_dir=self.folder,
            stdout_path=self.folder / f"{tag}.out",
            stderr_path=self.folder / f"{tag}.err",
            exit_path=self.folder / f"{tag}.exit",
            lease_path=self.folder / f"{tag}.lease",
            env={},
        )
        return replace(order, **changes)

    def reopened(self) -> FakeConnector:
        return self.connector

    def tell(self, order: RunOrder) -> None:
        status = self.works[order.tag].on_term
        assert status is not None
        self.connector.exit_now(order.tag, exit_code=status)

    def wait(self) -> None:
        self.clock.instant += timedelta(seconds=1)

    def _act(self, order: RunOrder) -> Behaviour:
        work = self.works[order.tag]
        lines = [work.say] if work.say else []
        lines += ["saved"] if work.on_term is not None else []
        if work.show_env:
            lines.append(order.env[work.show_env])
        return Behaviour(
            duration_s=work.last_s,
            exit_code=work.status,
            stdout="".join(f"{line}\n" for line in lines),
            stderr=f"{work.complain}\n" if work.complain else "",
        )


class TestFakeConnector(ConnectorContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return FakeSite(tmp_path)


@pytest.fixture
def fake(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


def test_a_lost_reply_leaves_one_run_that_can_be_looked_up(fake: FakeSite) -> None:
    order = fake.order(Work(last_s=5))
    fake.connector.faults.lost_submits = 1
    with pytest.raises(OutcomeUnknown) as lost:
        fake.connector.submit(order)
    assert lost.value.tag == order.tag
    assert fake.connector.running() == (order.tag,)


def test_a_site_that_is_down_answers_nothing_and_its_runs_go_on(fake: FakeSite) -> None:
    order = fake.order(Work(last_s=5))
    fake.connector.submit(order)
    fake.connector.faults.down = True
    fake.clock.instant += timedelta(seconds=10)
    with pytest.raises(Unavailable):
        fake.connector.observe([order.tag])
    fake.connector.faults.down = False
    assert ended(fake, order.tag).ended_at == datetime(2025, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_runs_wait_for_devices_and_start_at_the_instant_they_are_freed(fake: FakeSite) -> None:
    slots = DeviceSlots(model="ascend-910b", kind=DeviceKind.NPU, count=8)
    orders = [fake.order(Work(last_s=5), devices=slots) for _ in range(3)]
    for order in orders:
        fake.connector.submit(order)
    assert fake.connector.load().devices_free == {"ascend-910b": 0}
    assert fake.connector.load().pending == 1
    fake.clock.instant += timedelta(seconds=60)
    assert ended(fake, orders[2].tag).started_at == datetime(2025, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert fake.connector.load().devices_free == {"ascend-910b": 16}


def test_the_sites_own_fault_is_told_apart_from_the_users(fake: FakeSite) -> None:
    order = fake.order(Work(last_s=5))
    fake.connector.submit(order)
    fake.connector.fail_site(order.tag)
    assert fake.connector.observe([order.tag])[order.tag].state is RunState.SITE_FAILED
    assert fake.connector.load().cores_free == 4
