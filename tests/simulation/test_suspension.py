"""Histories in which electricity becomes dear while jobs run that may be interrupted: they are suspended and taken up again,
and all that holds of other histories holds of these."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from suanwang.domain.exchange import Lease
from suanwang.domain.file import Content
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.domain.task import Checkpoint, Flexibility, Task
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import STEP_MS
from tests.simulation.world import EPOCH, Broken, MemoryWorkshop, SimulatedSite, World

SEEDS = 100
BEGIN = EPOCH + timedelta(minutes=31, seconds=15)
"""Electricity is flat for another 45 seconds, then dear for half an hour."""


class Writing(MemoryWorkshop):
    """Every look finds another checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def checkpoint(self, lease: Lease) -> Content | None:
        self.looks += 1
        return Content(sha256=hashlib.sha256(f"{lease.allocation_id} {self.looks}".encode()).hexdigest(), size=1)


class PausingWorld(World):
    """Two jobs in three may be interrupted and wait; once all is healed and all that is left is held, time leaps."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.clock.at = BEGIN

    def _site(self, index: int) -> SimulatedSite:
        site = super()._site(index)
        site.workshop = Writing()
        return site

    def _shaped(self, task: Task) -> Task:
        if self.random.random() < 1 / 3:
            return task
        return replace(
            task,
            run=str(self.random.choice([40, 70, 150])),
            checkpoint=Checkpoint(path="state"),
            flexibility=Flexibility(may_wait_s=2 * 3600, may_be_interrupted=True),
        )

    def round(self) -> None:
        if not self.faults:
            left = [job for key in self.submitted if (job := self.store.job(key)) and job.state not in ENDED]
            held = [job.hold for job in left if job.state is JobState.QUEUED and job.hold is not None]
            if held and all(job.state is JobState.WAITING or job.hold in held for job in left):
                self.clock.at = max(self.clock.at, min(hold.until for hold in held) - timedelta(seconds=5))
        super().round()

    def check_end(self) -> None:
        super().check_end()
        for key in self.submitted:
            job = self.store.job(key)
            assert job is not None
            events = self.store.events(0, 100_000, job_id=key)
            paused = [milliseconds(event.at) // STEP_MS for event in events if event.kind == "job.suspended"]
            if len(set(paused)) < len(paused):
                raise Broken(f"seed {self.seed}: {key} was suspended twice in one step")
            runs = self.store.allocations(key)
            if job.attempts != len(runs) - len(paused):
                raise Broken(f"seed {self.seed}: {key} used up {job.attempts} attempts in {len(runs)} runs")
            if paused and not job.task.flexibility.may_be_interrupted:
                raise Broken(f"seed {self.seed}: {key} was suspended, which its user did not allow")


@pytest.mark.no_cover  # as the other histories
@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_no_suspended_history_loses_doubles_or_overbills(first: int) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(first, first + 50):
        world = PausingWorld(seed)
        world.run()
        kinds.update(event.kind for event in world.store.events(0, 100_000))
    assert kinds["job.suspended"] > 20, "they really happen"
    assert kinds["job.interrupted"] > 5
    assert kinds["job.held"] > 5


def test_same_seed_same_events() -> None:
    assert PausingWorld(3).run() == PausingWorld(3).run()
