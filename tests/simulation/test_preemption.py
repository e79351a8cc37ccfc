"""Histories with faults in which jobs of higher priority take the room of others: nothing is lost, doubled or overbilled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from suanwang.control.network import Network
from suanwang.domain.allowance import Allowance
from suanwang.domain.exchange import Lease
from suanwang.domain.task import Checkpoint, Flexibility, Priority, Task
from tests.simulation.test_suspension import Writing
from tests.simulation.world import PROJECT, RULES, Broken, Crashing, NoFiles, SimulatedSite, World

TAKING = replace(RULES, notice_s=15.0, protect_s=20.0, most_interruptions=2)


class Telling(Writing):
    """Every other run ends by itself when it is told that its room is needed; the others do not listen."""

    def __init__(self, site: SimulatedSite) -> None:
        super().__init__()
        self.site = site

    def tell(self, lease: Lease) -> None:
        if int(lease.job_id[2:]) % 2:
            self.site.connector.exit_now(lease.allocation_id, exit_code=143)


class TakingWorld(World):
    """Few sites, and jobs of every priority; most of those of low priority may be interrupted."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, sites=2, jobs=16)
        assert self.store.put_allowance(PROJECT, Allowance(may_be_high=True), ())

    def _network(self) -> Network:
        store: Any = Crashing(self.store, lambda: self.chance(0.004))
        return Network(
            store=store, clock=self.clock, files=NoFiles(), identities=self.identities, places={}, rules=TAKING
        )

    def _site(self, index: int) -> SimulatedSite:
        site = super()._site(index)
        site.workshop = Telling(site)
        return site

    def _shaped(self, task: Task) -> Task:
        priority = self.random.choice([Priority.LOW, Priority.LOW, Priority.HIGH])
        if priority is Priority.HIGH:
            return replace(task, needs=(), priority=priority)
        return replace(
            task,
            needs=(),
            priority=priority,
            run=str(self.random.choice([70, 150])),
            checkpoint=Checkpoint(path="state"),
            flexibility=Flexibility(may_be_interrupted=self.random.random() < 0.8),
        )

    def check_end(self) -> None:
        super().check_end()
        for key in self.submitted:
            job = self.store.job(key)
            assert job is not None
            kinds = Counter(event.kind for event in self.store.events(0, 100_000, job_id=key))
            taken = kinds["job.preempted"]
            if taken > TAKING.most_interruptions or (taken and not job.task.flexibility.may_be_interrupted):
                raise Broken(f"seed {self.seed}: {key} was taken {taken} times")
            if taken and job.task.priority is Priority.HIGH:
                raise Broken(f"seed {self.seed}: {key} is of high priority and was taken")
            if (
                taken > kinds["job.preempting"]
                or job.preemptions != taken
                or job.interruptions != taken + kinds["job.suspended"]
            ):
                raise Broken(f"seed {self.seed}: {key} was taken {taken} times, and told {kinds['job.preempting']}")


@pytest.mark.no_cover  # as the other histories
def test_no_history_in_which_room_is_taken_loses_doubles_or_overbills() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(25):
        world = TakingWorld(seed)
        world.run()
        kinds.update(event.kind for event in world.store.events(0, 100_000))
    assert kinds["job.preempted"] > 10, "it really happens"
    assert kinds["job.interrupted"] > 2
    assert kinds["job.preempting"] > kinds["job.preempted"], "some end in their notice, or are lost"


def test_the_same_seed_gives_the_same_events() -> None:
    assert TakingWorld(3).run() == TakingWorld(3).run()
