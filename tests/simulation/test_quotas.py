"""Histories with faults in which the project has a quota, and jobs of every priority: at no instant does it hold more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suanwang.domain.allowance import Allowance
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Priority, Task
from tests.simulation.world import PROJECT, Broken, World

QUOTA = Allowance(weight=2.0, cores=5, memory_gb=3.0, may_be_high=True)


class LimitedWorld(World):
    """The project is held to `QUOTA`; every other job has a priority by chance, and needs nobody."""

    quota = QUOTA

    def __init__(self, seed: int) -> None:
        super().__init__(seed, sites=2, jobs=14)
        assert self.store.put_allowance(PROJECT, QUOTA, ())
        self.most = 0.0
        self.stopped = 0

    def _shaped(self, task: Task) -> Task:
        if self.to_submit % 2:
            return task
        priority = self.random.choice(list(Priority))
        return replace(super()._shaped(task), needs=(), priority=priority)

    def check(self) -> None:
        super().check()
        held = self.store.held_by_project().get(PROJECT)
        if held is None:
            return
        self.most = max(self.most, held.cores)
        assert self.quota.cores is not None
        assert self.quota.memory_gb is not None
        if held.cores > self.quota.cores or held.memory_gb > self.quota.memory_gb:
            raise Broken(f"seed {self.seed}: {held} is over the quota")
        self.stopped += any(job.state is JobState.QUEUED for job in self.store.queued(20)) and held.cores == 5


def play(seeds: int) -> list[LimitedWorld]:
    worlds = [LimitedWorld(seed) for seed in range(seeds)]
    for one in worlds:
        one.run()
    return worlds


def test_no_history_exceeds_a_quota() -> None:
    played = play(30)
    assert max(one.most for one in played) == 5, "the quota is used in full"
    assert sum(one.stopped for one in played) > 20, "and stops jobs"


def test_a_loop_that_forgets_quotas_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suanwang.control.tick.fairness", lambda *_: None)
    with pytest.raises(Broken, match="over the quota"):
        play(20)


def test_the_same_seed_gives_the_same_events() -> None:
    assert LimitedWorld(3).run() == LimitedWorld(3).run()
