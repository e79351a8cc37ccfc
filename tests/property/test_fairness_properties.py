"""Shares over many turns and many worlds: weights are kept to, quotas never exceeded, nothing depends on what came in first."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, pool, seconds, site, snapshot, task

from suanwang.domain.allowance import Allowance, Amounts, Standing
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job
from suanwang.domain.site import Held
from suanwang.domain.task import DeviceRequest, Priority
from suanwang.scheduling.fairness import Fairness, averaged
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Place
from suanwang.scheduling.turns import dominant

DAY = timedelta(days=1)
WHOLE, NOTHING = (64.0, 256.0), (0.0, 0.0)
"""Cores and memory."""


def both(one: Amounts, other: Amounts) -> Amounts:
    models = {*one.devices, *other.devices}
    return Amounts(
        cores=one.cores + other.cores,
        memory_gb=one.memory_gb + other.memory_gb,
        devices={model: one.devices.get(model, 0.0) + other.devices.get(model, 0.0) for model in models},
    )


def amounts(jobs: list[Job]) -> Amounts:
    found = Amounts()
    for one in jobs:
        need = one.task.resources
        found = both(found, Amounts(cores=need.cores, memory_gb=need.memory_gb))
    return found


class Saturated:
    """One site on which every project always has more jobs than fit. A turn a minute; a run lasts some turns."""

    def __init__(self, seed: int, weights: dict[str, float], half_life_s: float) -> None:
        self.dice = random.Random(seed)
        self.weights = {ProjectId(name): weight for name, weight in weights.items()}
        # Each project's jobs are of a kind: one wants cores, another memory.
        self.kinds = {
            project: (self.dice.randint(1, 3), float(self.dice.choice([1, 4, 12]))) for project in self.weights
        }
        self.half_life_s = half_life_s
        self.running: list[tuple[int, Job]] = []
        self.lately = dict.fromkeys(self.weights, Amounts())
        self.number = 0
        self.got = dict.fromkeys(self.weights, 0.0)

    def turn(self, at: int, projects: list[ProjectId], *, count: bool) -> None:
        self.running = [one for one in self.running if one[0] > at]
        waiting = [self.job(project, at) for project in projects for _ in range(24)]
        held = {project: amounts([one for _, one in self.running if one.project == project]) for project in projects}
        standings = {
            project: Standing(
                allowance=Allowance(weight=weight), holds=held.get(project, Amounts()), lately=self.lately[project]
            )
            for project, weight in self.weights.items()
        }
        there = site("guian", nodes=1, cores_per_node=64, memory_gb_per_node=256.0)
        taken = amounts([one for _, one in self.running])
        seen = snapshot([there], waiting, held={"guian": Held(cores=int(taken.cores), memory_gb=taken.memory_gb)})
        for place in decide(replace(seen, fairness=Fairness(standings=standings, starved_after=DAY))).places:
            self.running.append((at + self.dice.randint(2, 10), place.job))
        for project in self.weights:
            now = amounts([one for _, one in self.running if one.project == project])
            self.lately[project] = averaged(self.lately[project], now, 60, self.half_life_s)
            if count:
                self.got[project] += dominant((now.cores, now.memory_gb), NOTHING, WHOLE, 1.0)

    def job(self, project: ProjectId, at: int) -> Job:
        self.number += 1
        cores, memory_gb = self.kinds[project]
        of = task("t", cores=cores, memory_gb=memory_gb, time_limit_s=600)
        return job(f"j-{self.number:06d}", of=of, project=project, ready_at=NOW - seconds(self.dice.randint(0, 3600)))


@pytest.mark.parametrize("seed", range(4))
def test_weighted_shares_converge_under_saturation(seed: int) -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    world = Saturated(seed, weights, half_life_s=1800)
    for at in range(80):
        world.turn(at, list(world.weights), count=at >= 20)
    shares = [world.got[project] / weight for project, weight in world.weights.items()]
    assert max(shares) / min(shares) < 1.25, world.kinds


def test_who_was_away_gets_more_until_shares_are_even_again() -> None:
    world = Saturated(1, {"a": 1.0, "b": 1.0}, half_life_s=1200)
    world.kinds = dict.fromkeys(world.weights, (1, 1.0))
    one, other = world.weights
    for at in range(40):
        world.turn(at, [one], count=False)
    for at in range(40, 60):
        world.turn(at, [one, other], count=True)
    assert world.got[other] > 1.3 * world.got[one], "it held nothing before"
    for at in range(60, 160):
        world.turn(at, [one, other], count=False)
    world.got = dict.fromkeys(world.weights, 0.0)
    for at in range(160, 200):
        world.turn(at, [one, other], count=True)
    assert 0.85 < world.got[other] / world.got[one] < 1.15


PROJECTS = [ProjectId(name) for name in ("a", "b", "c")]
JOBS = st.lists(
    st.builds(
        lambda project, cores, memory_gb, devices, priority, ready_s: (
            project,
            task(
                "t",
                cores=cores,
                memory_gb=memory_gb,
                devices=DeviceRequest(count=devices) if devices else None,
                priority=priority,
            ),
            ready_s,
        ),
        st.sampled_from(PROJECTS),
        st.integers(1, 6),
        st.sampled_from([0.1, 1.0, 7.5]),
        st.integers(0, 2),
        st.sampled_from(Priority),
        st.integers(-100_000, 0),
    ),
    max_size=24,
)
ALLOWANCES = st.builds(
    Allowance,
    weight=st.sampled_from([0.5, 1.0, 3.0]),
    cores=st.none() | st.integers(0, 20),
    memory_gb=st.none() | st.floats(0, 20),
    devices=st.dictionaries(st.sampled_from(["a100", "h100"]), st.integers(0, 4)),
)
STANDINGS = st.fixed_dictionaries(
    {}, optional={project: st.builds(Standing, allowance=ALLOWANCES) for project in PROJECTS}
)


def uses(places: tuple[Place, ...], project: ProjectId) -> Amounts:
    found = Amounts()
    for place in places:
        need = place.job.task.resources
        if place.job.project == project:
            devices = {place.device_model: float(need.devices.count)} if need.devices and place.device_model else {}
            found = both(found, Amounts(cores=need.cores, memory_gb=need.memory_gb, devices=devices))
    return found


@given(jobs=JOBS, standings=STANDINGS, seed=st.integers(0, 99))
@settings(max_examples=80)
def test_plans_keep_to_quotas_and_to_the_order(
    jobs: list[tuple[ProjectId, object, int]], standings: dict[ProjectId, Standing], seed: int
) -> None:
    pools = (pool("a100", count=4, per_node=4), pool("h100", count=4, per_node=4))
    there = [site(name, nodes=1, cores_per_node=24, devices=pools) for name in ("guian", "wuhu")]
    queue = [
        job(f"j-{n:03d}", of=of, project=project, ready_at=NOW + seconds(ready_s))  # type: ignore[arg-type]
        for n, (project, of, ready_s) in enumerate(jobs)
    ]
    seen = replace(snapshot(there, queue), fairness=Fairness(standings=standings, starved_after=DAY))
    plan = decide(seen)
    for project, standing in standings.items():
        used, allowed = uses(plan.places, project), standing.allowance
        assert allowed.cores is None or used.cores <= allowed.cores
        assert allowed.memory_gb is None or used.memory_gb <= allowed.memory_gb + 1e-6
        assert all(used.devices.get(model, 0) <= most for model, most in allowed.devices.items())
    random.Random(seed).shuffle(queue)
    again = decide(replace(seen, jobs=queue))
    assert [place.job.id for place in again.places] == [place.job.id for place in plan.places]
    ranks = [place.job.task.priority.rank for place in plan.places]
    assert ranks == sorted(ranks), "starts are decided in the order of priority"
    assert len(plan.places) + plan.stays + len(plan.hopeless) == len(queue)
