"""Networks and jobs to measure with: many sites, many jobs, the same ones each time.

Owns their shapes. Chance is seeded, so that two runs of a benchmark measure the same work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from suanwang.control.wording import positions
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.site import Dataset, DevicePool, Offering, Price, Site
from suanwang.domain.task import (
    Circle,
    Constraints,
    DeviceRequest,
    Flexibility,
    Input,
    Objective,
    Resources,
    Task,
)
from suanwang.scheduling.snapshot import Snapshot

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PROJECT = ProjectId("bench")
REGIONS = (
    "guizhou",
    "gansu",
    "ningxia",
    "inner-mongolia",
    "yangtze",
    "greater-bay",
    "jing-jin-ji",
    "chengdu-chongqing",
)
MODELS = ("nvidia-a100-80gb", "nvidia-h100-sxm", "ascend-910b", "mlu370-x8", "dcu-z100", "br100")


def offering(dice: random.Random, number: int, *, nodes: int, cores: int = 64, devices: bool = True) -> Offering:
    """A site with 0 to 3 pools of devices, somewhere in China."""
    pools = tuple(
        DevicePool(
            model=model,
            kind=DeviceKind.NPU if model.startswith("ascend") else DeviceKind.GPU,
            count=8 * nodes,
            per_node=8,
            memory_gb=dice.choice([32.0, 64.0, 80.0]),
            precisions=(Precision.FP16, Precision.BF16, Precision.INT8)[: dice.randint(1, 3)],
            power_w=dice.uniform(200, 700),
        )
        for model in dice.sample(MODELS, dice.randint(0, 3) if devices else 0)
    )
    return Offering(
        name_zh=f"站点{number}",
        name_en=f"Site {number}",
        provider=f"provider{number % 40}",
        region=dice.choice(REGIONS),
        latitude=dice.uniform(22, 42),
        longitude=dice.uniform(98, 122),
        connector="slurm",
        nodes=nodes,
        cores_per_node=cores,
        memory_gb_per_node=256.0,
        devices=pools,
        price=Price(
            core_hour_yuan=Decimal(dice.randint(5, 30)) / 100,
            memory_gb_hour_yuan=Decimal(dice.randint(1, 5)) / 1000,
            device_hour_yuan={pool.model: Decimal(dice.randint(200, 3000)) / 100 for pool in pools},
        ),
        pue=dice.uniform(1.05, 1.5),
        carbon_g_per_kwh=dice.uniform(20, 900),
        datasets=(Dataset(name=f"set{number % 25}", size=10**9),),
    )


def site(dice: random.Random, number: int, *, nodes: int) -> Site:
    return Site(
        id=SiteId(f"site{number:04d}"),
        offering=offering(dice, number, nodes=nodes),
        state=SiteState.REACHABLE,
        state_since=NOW,
        seen_at=NOW,
    )


def queued(number: int, task: Task) -> Job:
    ready_at = NOW - timedelta(seconds=60) + timedelta(milliseconds=number)
    return Job(
        id=JobId(f"j-{number:016d}"),
        project=PROJECT,
        owner="bench",
        task=task,
        state=JobState.QUEUED,
        submitted_at=ready_at,
        ready_at=ready_at,
    )


def plain(dice: random.Random) -> Task:
    """Some cores, some memory, some minutes."""
    return Task(
        name="plain",
        run="true",
        resources=Resources(
            cores=dice.randint(1, 16),
            memory_gb=dice.uniform(0.5, 32.0),
            time_limit_s=dice.randint(60, 86_400),
        ),
        objective=Objective(price=dice.uniform(0.1, 1), carbon=dice.uniform(0, 1), finish=dice.uniform(0, 1)),
    )


def varied(dice: random.Random) -> Task:
    """Everything a task may ask for, now and then."""
    limit_s = dice.randint(60, 86_400)
    request = DeviceRequest(
        count=dice.randint(1, 8),
        kind=dice.choice([None, DeviceKind.GPU]),
        models=tuple(dice.sample(MODELS, 2)) if dice.random() < 0.3 else (),
        min_memory_gb=dice.choice([None, dice.uniform(16, 70)]),
        precisions=dice.choice([(), (Precision.FP16,), (Precision.BF16,)]),
    )
    return Task(
        name="varied",
        run="true",
        nodes=dice.choice([1, 1, 1, 2, 4]),
        resources=Resources(
            cores=dice.randint(1, 16),
            memory_gb=dice.uniform(0.5, 64.0),
            devices=request if dice.random() < 0.6 else None,
            time_limit_s=limit_s,
            expected_s=dice.choice([None, max(1, limit_s // dice.randint(2, 9))]),
        ),
        inputs=(Input(source=f"dataset:set{dice.randint(0, 24)}", path="data"),) if dice.random() < 0.1 else (),
        constraints=Constraints(
            deadline_at=NOW + timedelta(seconds=dice.randint(600, 200_000)) if dice.random() < 0.2 else None,
            budget_yuan=Decimal(dice.randint(100, 500_000)) / 100 if dice.random() < 0.3 else None,
            circle=Circle(
                place=dice.choice(("shanghai", "beijing", "shenzhen", "chengdu")), within_ms=dice.uniform(2, 25)
            )
            if dice.random() < 0.3
            else None,
            regions=tuple(dice.sample(REGIONS, dice.randint(2, 6))) if dice.random() < 0.3 else (),
            providers=tuple(f"provider{n}" for n in dice.sample(range(40), 20)) if dice.random() < 0.1 else (),
        ),
        objective=Objective(price=dice.uniform(0.1, 1), carbon=dice.uniform(0, 1), finish=dice.uniform(0, 1)),
        flexibility=Flexibility(may_wait_s=dice.choice([0, 0, 3600])),
    )


def identical(_: random.Random) -> Task:
    return IDENTICAL


IDENTICAL = Task(name="same", run="true", resources=Resources(cores=4, memory_gb=8.0))


def few(dice: random.Random) -> Task:
    """One of twenty tasks."""
    return varied(random.Random(dice.randint(0, 19)))


def crowded(dice: random.Random) -> Task:
    """Different each time, and for a network that fills up: most find no room."""
    return Task(
        name="crowded",
        run="true",
        resources=Resources(cores=dice.randint(30, 64), memory_gb=dice.uniform(64, 256.0), time_limit_s=3600),
        objective=Objective(price=dice.uniform(0.1, 1), carbon=dice.uniform(0, 1)),
    )


MIXES: Mapping[str, tuple[Callable[[random.Random], Task], int]] = {
    "10,000 of one array": (identical, 20),
    "twenty shapes": (few, 100),
    "every job different: cores, memory, time, objective": (plain, 20),
    "every job different, with devices and every constraint": (varied, 100),
    "every job different, and few find room": (crowded, 1),
}
"""Name → (task of the next job, nodes of each site)."""


def snapshot(mix: str, *, jobs: int, sites: int, seed: int = 1) -> Snapshot:
    dice = random.Random(seed)
    task, nodes = MIXES[mix]
    return Snapshot(
        now=NOW,
        jobs=[queued(number, task(dice)) for number in range(jobs)],
        sites=[site(dice, number, nodes=nodes) for number in range(sites)],
        held={},
        places=positions(),
    )
