"""Plans over random networks, judged by an oracle that looks at one job and one site at a time.

Owns the oracle: plain Python over the domain's values, sharing no line with `scheduling`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, pool, seconds, site, snapshot

from suanwang.control.wording import positions
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Job
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.site import Dataset, DevicePool, Ending, Held, Measured, Price, Site
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
from suanwang.scheduling import seating
from suanwang.scheduling.margins import WORTH_WAITING
from suanwang.scheduling.placing import REASONS_KEPT, decide, explain
from suanwang.scheduling.plan import Hopeless, Keep, Place, Plan, Stay
from suanwang.scheduling.snapshot import Snapshot

MODELS = ("a100", "ascend910b", "mlu370")
PLACES = ("shanghai", "beijing", "guiyang")


@dataclass(frozen=True)
class Way:
    """One way to run at a site: without devices, or on one pool."""

    site: Site
    pool: DevicePool | None


def ways(of: Site) -> list[Way]:
    return [Way(of, None), *(Way(of, pool) for pool in sorted(of.offering.devices, key=lambda p: p.model))]


def delay_ms(circle: Circle, of: Site) -> float:
    """One way over 1.4 × the great circle at 200 km/ms, and 0.2 ms of equipment; by the spherical law of cosines."""
    place = positions()[circle.place]
    a, b = math.radians(place.latitude), math.radians(of.offering.latitude)
    c = math.radians(of.offering.longitude - place.longitude)
    cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(c)
    return 0.2 + 6371.0088 * math.acos(max(-1.0, min(1.0, cosine))) * 1.4 / 200


def price(of: Job, way: Way, hours: float) -> float:
    need, posted = of.task.resources, way.site.offering.price
    devices = need.devices.count if need.devices else 0
    device = float(posted.device_hour_yuan[way.pool.model]) if way.pool else 0.0
    hourly = need.cores * float(posted.core_hour_yuan) + need.memory_gb * float(posted.memory_gb_hour_yuan)
    return of.task.nodes * hours * (hourly + devices * device)


def carbon(of: Job, way: Way) -> float:
    need, offer = of.task.resources, way.site.offering
    devices = need.devices.count if need.devices else 0
    watts = need.cores * offer.core_power_w + (devices * way.pool.power_w if way.pool else 0.0)
    return of.task.nodes * watts / 1000 * offer.pue * hours(of) * offer.carbon_g_per_kwh


def hours(of: Job) -> float:
    return (of.task.resources.expected_s or of.task.resources.time_limit_s) / 3600


def suits(request: DeviceRequest, of: DevicePool) -> bool:
    return (
        (request.kind in (None, of.kind))
        and (not request.models or of.model in request.models)
        and of.memory_gb >= (request.min_memory_gb or 0)
        and set(request.precisions) <= set(of.precisions)
    )


def true(reason: Exclusion, of: Job, at: Site) -> bool:  # noqa: C901 - one case for each reason
    """Whether a reason that may be given before looking at what is free holds for this job and site."""
    offer, limits, need, nodes = at.offering, of.task.constraints, of.task.resources, of.task.nodes
    fit = [p for p in offer.devices if need.devices and suits(need.devices, p)]
    count = need.devices.count if need.devices else 0
    datasets = {i.source.removeprefix("dataset:") for i in of.task.inputs if i.source.startswith("dataset:")}
    large = [p for p in fit if count <= p.per_node and count * nodes <= p.count]
    some = [way for way in ways(at) if (way.pool in large if need.devices else way.pool is None)]
    match reason.code:
        case "site":
            return bool(limits.sites) and at.id not in limits.sites
        case "provider":
            return bool(limits.providers) and offer.provider not in limits.providers
        case "region":
            return bool(limits.regions) and offer.region not in limits.regions
        case "residency":
            return bool(limits.residency) and not {at.id, offer.region} & set(limits.residency)
        case "held":
            return (of.checkpoint_site or of.held_at) not in (None, at.id)
        case "dataset":
            return not datasets <= {d.name for d in offer.datasets}
        case "refused_here":
            return at.id in of.avoided
        case "circle":
            return limits.circle is not None and delay_ms(limits.circle, at) > limits.circle.within_ms
        case "multi_node":
            return nodes > 1 and offer.connector == "local"
        case "nodes":
            return nodes > offer.nodes
        case "cores":
            return need.cores > offer.cores_per_node
        case "memory":
            return need.memory_gb > offer.memory_gb_per_node
        case "device":
            return need.devices is not None and not fit
        case "device_count":
            return bool(fit) and all(count > p.per_node or count * nodes > p.count for p in fit)
        case "budget":
            assert limits.budget_yuan is not None
            return all(price(of, way, need.time_limit_s / 3600) > float(limits.budget_yuan) for way in some)
        case "deadline":
            return limits.deadline_at is not None and NOW + timedelta(hours=hours(of)) > limits.deadline_at
    raise AssertionError(f"{reason.code} is not a lasting reason")


LASTING = (
    "site", "provider", "region", "residency", "held", "dataset", "refused_here", "circle", "multi_node", "nodes",
    "cores", "memory", "device", "device_count", "budget", "deadline",
)  # fmt: skip


def possible(of: Job, way: Way) -> bool:
    """No lasting reason speaks against this very way."""
    need, nodes = of.task.resources, of.task.nodes
    if (way.pool is None) != (need.devices is None):
        return False
    if need.devices and way.pool:
        count = need.devices.count
        if not suits(need.devices, way.pool) or count > way.pool.per_node or count * nodes > way.pool.count:
            return False
    limit = of.task.constraints.budget_yuan
    if limit is not None and price(of, way, need.time_limit_s / 3600) > float(limit):
        return False
    skipped = ("device", "device_count", "budget")
    return not any(
        true(Exclusion(site=way.site.id, code=code), of, way.site) for code in LASTING if code not in skipped
    )


class Free:
    """What is left of each site, by the oracle's own book-keeping."""

    def __init__(self, seen: Snapshot) -> None:
        self.cores: dict[SiteId, int] = {}
        self.memory: dict[SiteId, float] = {}
        self.devices: dict[tuple[SiteId, str], int] = {}
        for at in seen.sites:
            held, offer, measured = seen.held.get(at.id, Held()), at.offering, at.measured
            cores, memory = offer.cores, offer.memory_gb
            if measured:
                cores = min(cores, measured.cores) - measured.foreign_cores
                memory = min(memory, measured.memory_gb) - measured.foreign_memory_gb
            self.cores[at.id] = cores - held.cores
            self.memory[at.id] = memory - held.memory_gb
            for of_model in offer.devices:
                count = of_model.count
                if measured:
                    count = min(count, measured.devices.get(of_model.model, 0))
                    count -= measured.foreign_devices.get(of_model.model, 0)
                self.devices[at.id, of_model.model] = count - held.devices.get(of_model.model, 0)

    def has(self, of: Job, way: Way) -> bool:
        need, nodes, at = of.task.resources, of.task.nodes, way.site
        if at.state is not SiteState.REACHABLE or not at.open:
            return False
        if need.devices and way.pool and self.devices[at.id, way.pool.model] < need.devices.count * nodes:
            return False
        return self.cores[at.id] >= need.cores * nodes and self.memory[at.id] >= need.memory_gb * nodes

    def take(self, of: Job, way: Way) -> None:
        need, nodes, at = of.task.resources, of.task.nodes, way.site
        self.cores[at.id] -= need.cores * nodes
        self.memory[at.id] -= need.memory_gb * nodes
        if need.devices and way.pool:
            self.devices[at.id, way.pool.model] -= need.devices.count * nodes


class Kept:
    """What is kept for jobs in front, by the oracle's own book-keeping: instants are tried one after the other."""

    def __init__(self, seen: Snapshot) -> None:
        self.ends = [
            ((end.at - seen.now).total_seconds(), site, end.cores, end.memory_gb, end.device_model, end.devices)
            for site, ends in seen.endings().items()
            for end in ends
        ]
        self.of_site: dict[SiteId, tuple[float, Way, float, float, float]] = {}

    def allows(self, of: Job, way: Way) -> bool:
        if way.site.id not in self.of_site:
            return True
        after_s, other, cores, memory, devices = self.of_site[way.site.id]
        need, nodes = of.task.resources, of.task.nodes
        if need.time_limit_s <= after_s:
            return True
        same = need.devices is not None and way.pool == other.pool
        beside = not same or (need.devices is not None and devices >= need.devices.count * nodes)
        return beside and cores >= need.cores * nodes and memory >= need.memory_gb * nodes - 1e-6

    def took(self, of: Job, way: Way) -> None:
        need, nodes, at = of.task.resources, of.task.nodes, way.site.id
        model = way.pool.model if way.pool and need.devices else None
        used = need.devices.count * nodes if need.devices else 0
        self.ends.append((need.time_limit_s, at, need.cores * nodes, need.memory_gb * nodes, model, used))
        if at in self.of_site and need.time_limit_s > self.of_site[at][0]:
            after_s, other, cores, memory, devices = self.of_site[at]
            taken = used if other.pool == way.pool else 0
            self.of_site[at] = (
                after_s,
                other,
                cores - need.cores * nodes,
                memory - need.memory_gb * nodes,
                devices - taken,
            )

    def keep(self, of: Job, some: Sequence[Way], free: Free) -> None:
        need, nodes = of.task.resources, of.task.nodes
        wanted = (need.cores * nodes, need.memory_gb * nodes, need.devices.count * nodes if need.devices else 0)
        found: list[tuple[float, int, Way, list[float]]] = []
        for turn, way in enumerate(some):
            at = way.site
            if at.id in self.of_site or at.state is not SiteState.REACHABLE or not at.open:
                continue
            for after_s in sorted({0.0, *(end[0] for end in self.ends if end[1] == at.id)}):
                over = [end for end in self.ends if end[1] == at.id and end[0] <= after_s]
                model = way.pool.model if way.pool else ""
                left = [
                    free.cores[at.id] + sum(end[2] for end in over) - wanted[0],
                    free.memory[at.id] + sum(end[3] for end in over) - wanted[1],
                    free.devices.get((at.id, model), 0) + sum(e[5] for e in over if e[4] == model) - wanted[2],
                ]
                if left[0] >= 0 and left[1] >= -1e-6 and (left[2] >= 0 or not wanted[2]):
                    found.append((after_s, turn, way, left))
                    break
        if found:
            after_s, _, way, left = min(found, key=lambda one: one[:2])
            self.of_site[way.site.id] = after_s, way, left[0], left[1], left[2]


def scores(of: Job, seen: Snapshot) -> dict[tuple[SiteId, str | None], float]:
    """The documented score of every possible way: each weighted figure over its best; 1 is best in all."""
    some = [way for at in seen.sites for way in ways(at) if possible(of, way)]
    if not some:
        return {}
    weights = of.task.objective
    whole = weights.price + weights.carbon + weights.finish
    best_price = min(price(of, way, hours(of)) for way in some) or 1.0
    best_carbon = min(carbon(of, way) for way in some) or 1.0
    return {
        (way.site.id, way.pool.model if way.pool else None): (
            weights.finish
            + weights.price * price(of, way, hours(of)) / best_price
            + weights.carbon * carbon(of, way) / best_carbon
        )
        / whole
        for way in some
    }


# random networks


def a_site(dice: random.Random, name: str) -> Site:
    nodes, per_node = dice.randint(1, 3), dice.choice([2, 4, 8])
    devices = tuple(
        pool(
            model,
            kind=dice.choice([DeviceKind.GPU, DeviceKind.NPU]),
            per_node=(each := dice.choice([1, 2, 8])),
            count=dice.randint(1, each * nodes),
            memory_gb=dice.choice([24.0, 64.0, 80.0]),
            precisions=tuple(dice.sample([Precision.FP16, Precision.BF16, Precision.INT8], dice.randint(1, 3))),
            power_w=dice.choice([0.0, 150.0, 310.0]),
        )
        for model in dice.sample(MODELS, dice.randint(0, 2))
    )
    measured = None
    if dice.random() < 0.3:
        measured = Measured(
            cores=dice.randint(0, 2 * nodes * per_node),
            memory_gb=float(dice.randint(0, 64)),
            devices={model: dice.randint(0, 9) for model in dice.sample(MODELS, 2)},
            foreign_cores=dice.randint(0, 3),
            foreign_memory_gb=float(dice.randint(0, 8)),
            foreign_devices={dice.choice(MODELS): dice.randint(0, 2)},
            observed_at=NOW,
        )
    return site(
        name,
        state=dice.choice([SiteState.REACHABLE] * 6 + [SiteState.SUSPECT, SiteState.LOST, SiteState.INVITED]),
        is_open=dice.random() < 0.9,
        measured=measured,
        provider=f"p{dice.randint(0, 2)}",
        region=dice.choice(["guizhou", "yangtze", "gansu"]),
        latitude=dice.uniform(22, 42),
        longitude=dice.uniform(100, 122),
        connector=dice.choice(["local", "slurm"]),
        nodes=nodes,
        cores_per_node=per_node,
        memory_gb_per_node=dice.choice([8.0, 16.5, 32.0]),
        devices=devices,
        datasets=tuple(Dataset(name=name, size=1) for name in dice.sample(["scans", "maps"], dice.randint(0, 2))),
        price=Price(
            core_hour_yuan=Decimal(dice.randint(0, 50)) / 100,
            memory_gb_hour_yuan=Decimal(dice.randint(0, 5)) / 100,
            device_hour_yuan={d.model: Decimal(dice.randint(1, 900)) / 30 for d in devices},
        ),
        pue=dice.choice([1.05, 1.2, 1.5]),
        carbon_g_per_kwh=dice.choice([0.0, 30.0, 581.0]),
    )


def a_request(dice: random.Random) -> DeviceRequest | None:
    if dice.random() < 0.5:
        return None
    return DeviceRequest(
        count=dice.choice([1, 1, 2, 4]),
        kind=dice.choice([None, None, DeviceKind.GPU]),
        models=tuple(dice.sample(MODELS, dice.randint(1, 2))) if dice.random() < 0.3 else (),
        min_memory_gb=dice.choice([None, None, 60.0]),
        precisions=dice.choice([(), (), (Precision.BF16,)]),
    )


def some(dice: random.Random, values: list[str], odds: float = 0.15) -> tuple[str, ...]:
    return tuple(dice.sample(values, dice.randint(1, len(values)))) if dice.random() < odds else ()


def a_job(dice: random.Random, name: str, names: list[str]) -> Job:
    limit = dice.choice([600, 3600, 7200])
    weights = [dice.choice([0.0, 0.2, 1.0]) for _ in range(3)]
    of = Task(
        name=f"t{name}",
        run="true",
        nodes=dice.choice([1, 1, 1, 2]),
        resources=Resources(
            cores=dice.choice([1, 1, 2, 4]),
            memory_gb=dice.choice([0.5, 1.0, 4.0, 12.0]),
            devices=a_request(dice),
            time_limit_s=limit,
            expected_s=dice.choice([None, limit // 2]),
        ),
        inputs=(Input(source="dataset:scans", path="d"),) if dice.random() < 0.1 else (),
        constraints=Constraints(
            deadline_at=NOW + seconds(dice.choice([900, 3600, 5400])) if dice.random() < 0.15 else None,
            budget_yuan=Decimal(dice.randint(0, 40)) / 4 if dice.random() < 0.15 else None,
            circle=Circle(place=dice.choice(PLACES), within_ms=dice.choice([1.0, 5.0, 9.0]))
            if dice.random() < 0.15
            else None,
            regions=some(dice, ["guizhou", "yangtze"]),
            residency=some(dice, [*names[:1], "gansu"], 0.1),
            providers=some(dice, ["p0", "p1"], 0.1),
            sites=tuple(SiteId(n) for n in some(dice, names, 0.1)),
        ),
        objective=Objective(price=weights[0] + (0.1 if not any(weights) else 0), carbon=weights[1], finish=weights[2]),
        flexibility=Flexibility(may_wait_s=dice.choice([0, 0, 300])),
    )
    return job(
        f"j-{name}",
        of=of,
        ready_at=NOW - seconds(dice.choice([0, 10, 600])),
        held_at=SiteId(dice.choice(names)) if dice.random() < 0.05 else None,
        avoided=(SiteId(dice.choice(names)),) if dice.random() < 0.1 else (),
    )


def a_network(seed: int, *, sites: int = 6, jobs: int = 12) -> Snapshot:
    dice = random.Random(seed)
    names = [f"s{n}" for n in range(dice.randint(0, sites))]
    held = {
        name: Held(cores=dice.randint(0, 4), memory_gb=float(dice.randint(0, 6)), devices={dice.choice(MODELS): 1})
        for name in names
        if dice.random() < 0.3
    }
    seen = snapshot(
        [a_site(dice, name) for name in names],
        [a_job(dice, f"{n:02d}", names or ["s0"]) for n in range(dice.randint(1, jobs))],
        held=held,
    )
    ends: dict[SiteId, Sequence[Ending]] = {SiteId(name): [ending(dice, of)] for name, of in held.items()}
    return replace(seen, endings=lambda: ends)


def ending(dice: random.Random, held: Held) -> Ending:
    ((model, devices),) = held.devices.items()
    at = NOW + timedelta(minutes=dice.randint(1, 240))
    return Ending(at=at, cores=held.cores, memory_gb=held.memory_gb, device_model=model, devices=devices)


SEEDS = st.integers(0, 2**32)


def in_order(seen: Snapshot) -> list[Job]:
    return sorted(seen.jobs, key=lambda of: (of.ready_at or of.submitted_at, of.id))


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_each_decision_is_the_best_there_was_room_for(seed: int) -> None:
    replay(a_network(seed))


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_so_it_is_in_large_networks(seed: int) -> None:
    """They keep fewer reasons, and decide the same."""
    seen = a_network(seed, sites=60, jobs=60)
    plan = replay(seen)
    if len(seen.sites) > REASONS_KEPT:
        assert all(len(place.why.others) <= 1 and not place.why.excluded for place in plan.places)
        assert all(found.why.excluded_total == len(seen.sites) > len(found.why.excluded) for found in plan.hopeless)


def replay(seen: Snapshot) -> Plan:
    """Goes through the plan job by job: capacity is never exceeded, the chosen way has the least documented score of those
    with room, a job stays only without room or for a better site, and is hopeless only where no site could ever run it."""
    plan = decide(seen)
    places = {place.job.id: place for place in plan.places}
    hopeless = {found.job.id for found in plan.hopeless}
    free, kept, stays = Free(seen), Kept(seen), 0
    for of in in_order(seen):
        scored = scores(of, seen)
        every = {(w.site.id, w.pool.model if w.pool else None): w for at in seen.sites for w in ways(at)}
        room = {key: score for key, score in scored.items() if free.has(of, every[key]) and kept.allows(of, every[key])}
        awake = [
            score
            for key, score in scored.items()
            if every[key].site.open and every[key].site.state is SiteState.REACHABLE
        ]
        if not scored:
            assert of.id in hopeless
            continue
        assert of.id not in hopeless
        if of.id in places:
            key = (places[of.id].site, places[of.id].device_model)
            assert key in room
            assert room[key] <= min(room.values()) * (1 + 1e-9)
            chosen = places[of.id].why.chosen
            assert chosen is not None
            assert math.isclose(chosen.score, room[key], rel_tol=1e-9)
            assert math.isclose(chosen.figures.price_yuan, price(of, every[key], hours(of)), abs_tol=1e-9)
            assert math.isclose(chosen.figures.carbon_g, carbon(of, every[key]), rel_tol=1e-9, abs_tol=1e-9)
            free.take(of, every[key])
            kept.took(of, every[key])
            continue
        stays += 1
        waiting = of.task.flexibility.may_wait_s > (NOW - (of.ready_at or NOW)).total_seconds()
        if not room:
            kept.keep(of, [every[key] for key in sorted(scored, key=lambda key: (key[0], key[1] or ""))], free)
        assert not room or (waiting and min(awake) * WORTH_WAITING < min(room.values()))
    assert plan.stays == stays
    assert all(left >= 0 for left, at in ((free.cores[p.site], p.site) for p in plan.places))
    assert all(free.memory[p.site] >= -1e-9 for p in plan.places)
    assert all(free.devices[p.site, p.device_model] >= 0 for p in plan.places if p.device_model)
    return plan


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_compiled_kernels_decide_as_their_lines_stand(seed: int) -> None:
    seen = a_network(seed)
    with patch.object(seating, "PLAIN", 0):
        compiled = decide(seen)
    assert compiled == decide(seen)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_order_of_jobs_and_sites_changes_nothing(seed: int) -> None:
    seen = a_network(seed)
    dice = random.Random(seed + 1)
    other = Snapshot(
        now=seen.now,
        jobs=dice.sample(list(seen.jobs), len(seen.jobs)),
        sites=dice.sample(list(seen.sites), len(seen.sites)),
        held=seen.held,
        places=seen.places,
        endings=seen.endings,
    )
    assert decide(other) == decide(seen)


def test_every_order_of_a_small_network() -> None:
    seen = next(
        seen for n in seeds() if len((seen := a_network(n)).sites) == len(seen.jobs) == 4 and decide(seen).places
    )
    plans = [
        decide(Snapshot(now=seen.now, jobs=jobs, sites=sites, held=seen.held, places=seen.places, endings=seen.endings))
        for jobs in permutations(seen.jobs)
        for sites in permutations(seen.sites)
    ]
    assert len(plans) == 24 * 24
    assert all(plan == plans[0] for plan in plans)


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_every_site_is_ranked_or_has_one_true_reason(seed: int) -> None:
    seen = a_network(seed, jobs=3)
    free = Free(seen)
    sites = {at.id: at for at in seen.sites}
    for of in seen.jobs:
        found = explain(replace(seen, jobs=(of,)), of)
        ranked = [found.why.chosen.site] if found.why.chosen else []
        named = [*ranked, *(rank.site for rank in found.why.others), *(out.site for out in found.why.excluded)]
        assert sorted(named) == sorted(sites), "each site exactly once"
        assert found.why.excluded_total == len(found.why.excluded)
        for out in found.why.excluded:
            at = sites[out.site]
            fits_some = any(possible(of, way) for way in ways(at))
            match out.code:
                case "closed":
                    assert fits_some
                    assert not at.open
                case "silent":
                    assert fits_some
                    assert at.state is not SiteState.REACHABLE
                case "short" | "busy":
                    assert fits_some
                    assert not any(possible(of, way) and free.has(of, way) for way in ways(at))
                    assert at.open
                    assert at.state is SiteState.REACHABLE
                case _:
                    assert true(out, of, at), out
        for rank in found.why.others:
            assert any(possible(of, way) and free.has(of, way) for way in ways(sites[rank.site]))
        assert isinstance(found, Hopeless) == (not scores(of, seen))


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_explaining_alone_agrees_with_planning_alone(seed: int) -> None:
    seen = a_network(seed, jobs=1)
    plan, found = decide(seen), explain(seen, seen.jobs[0])
    match found:
        case Place():
            assert [(p.site, p.device_model, p.power_kw) for p in plan.places] == [
                (found.site, found.device_model, found.power_kw)
            ]
        case Hopeless():
            assert len(plan.hopeless) == 1
        case Stay():
            assert plan.stays == 1


def seeds() -> Iterator[int]:
    return iter(range(400))


def test_the_random_networks_meet_every_case() -> None:
    """The properties above would say little if some reason or outcome never came up."""
    codes: set[str] = set()
    kinds: set[str] = set()
    for seed in seeds():
        seen = a_network(seed)
        plan = decide(seen)
        kinds |= {"place"} if plan.places else set()
        kinds |= {"stay"} if plan.stays else set()
        for of in seen.jobs:
            found = explain(seen, of)
            kinds.add(type(found).__name__)
            if isinstance(found, (Stay, Keep)):
                kinds.add(found.why.note)
            codes |= {out.code for out in found.why.excluded}
    assert codes == {*LASTING, "closed", "silent", "short", "busy", "kept"}
    assert kinds == {
        "place", "stay", "Place", "Stay", "Keep", "Hopeless", "no room now", "held for a better site that is full now",
    }  # fmt: skip
