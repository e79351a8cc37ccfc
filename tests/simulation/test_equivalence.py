"""The same jobs through the live loop with simulated ports, and through the twin's engine: the same events, by their hash.

What is compared is the decision code as it runs: `control.tick` over a store on one side, compiled kernels on the other.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from suanwang.catalog.tariffs import tariff_area
from suanwang.control.rules import Rules
from suanwang.control.sharing import keep_means
from suanwang.control.wording import positions
from suanwang.domain.allowance import Allowance
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import Phase, RunReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.site import DevicePool, Offering, Price
from suanwang.domain.task import Checkpoint, Circle, Constraints, DeviceRequest, Flexibility, Objective, Priority, Task
from suanwang.electricity.daily import factor_at, modelled_day
from suanwang.electricity.outlook import Issues, expected, known
from suanwang.electricity.series import Series
from suanwang.electricity.supply import instant, milliseconds
from suanwang.electricity.tariff import STEP_MS, price_series
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.routing.paths import Ends, Links, Router
from suanwang.scheduling.columns import ENDED_PREEMPTED, NEVER_MS, JobColumns, Outlook, RowColumns, Sharing
from suanwang.scheduling.margins import DEPTH
from suanwang.scheduling.placing import decide
from suanwang.scheduling.policies import policy
from suanwang.twin.engine import Truth, play
from suanwang.twin.outages import rerouted
from suanwang.twin.routes import Routes, Span, routed
from tests.factories import (
    DEMO,
    NOW,
    OTHER,
    STRANGER,
    USER,
    SmallNetwork,
    job,
    offering,
    pool,
    site,
    snapshot,
    task,
)

PATIENT = Rules(
    lease_ttl_s=10**8,
    suspect_after_s=10**8,
    fence_margin_s=10,
    meter_every_s=10**8,
    half_life_s=4 * 3600,
    mean_every_s=600,
    starved_after_s=3 * 3600,
    protect_s=900,
    most_interruptions=2,
)
CALLERS = {DEMO: USER, OTHER: STRANGER}
PROJECTS = tuple(CALLERS)
AREAS = {
    "guian": ("贵州", "guizhou", 106.6, 26.4, "guizhou", "south"),
    "helingeer": ("蒙西", "neimenggu", 111.8, 40.4, "inner", "north"),
    "wuhu": ("安徽", "anhui", 118.4, 31.3, "yangtze", "west"),
}
MODEL = "ascend-910b"
DEVICES = pool(
    MODEL, kind=DeviceKind.NPU, count=4, per_node=4, power_w=310.0, precisions=(Precision.FP16, Precision.INT8)
)
POOLS: dict[str, tuple[DevicePool, ...]] = {
    "guian": (DEVICES,),
    "helingeer": (replace(DEVICES, memory_gb=32.0, precisions=(Precision.FP16,)),),
    "wuhu": (),
}
REQUESTS = (
    DeviceRequest(count=1, kind=DeviceKind.NPU),
    DeviceRequest(count=1, min_memory_gb=48.0),
    DeviceRequest(count=1, precisions=(Precision.INT8,)),
    DeviceRequest(count=1, models=(MODEL,)),
)
LIMITS = (
    Constraints(),
    Constraints(sites=(SiteId("guian"), SiteId("wuhu"))),
    Constraints(residency=("guizhou",)),
    Constraints(regions=("yangtze", "inner")),
    Constraints(circle=Circle(place="shanghai", within_ms=5.0)),
    Constraints(providers=("north", "west")),
)
ROWS: list[tuple[str, DevicePool | None]] = [
    *((name, None) for name in sorted(AREAS)),
    *((name, of) for name in sorted(AREAS) for of in POOLS[name]),
]
"""Each site's cores, then its devices."""
START_MS = milliseconds(NOW)


@dataclass(frozen=True, slots=True)
class Silence:
    """A site's line to the network's own store is cut: its agent is not heard, and no input reaches it."""

    site: str
    from_ms: int
    until_ms: int

    def cuts(self, now_ms: int) -> bool:
        return self.from_ms <= now_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class Work:
    task: Task
    at_ms: int
    run_ms: int
    project: ProjectId = DEMO

    @property
    def interruptible(self) -> bool:
        return self.task.flexibility.may_be_interrupted


def works(seed: int, count: int, *, shared: bool = False, busy: int = 1) -> list[Work]:
    """Instants on whole seconds, so that both sides can tell them; half of the jobs may wait, some need devices. `shared`:
    of two projects, and of every priority."""
    dice = random.Random(seed)
    found: list[Work] = []
    at_s = 0
    for n in range(count):
        at_s += dice.choice([0, 1, 60, 600, 1800]) // busy
        limit_s = dice.choice([600, 1800, 3600, 7200])
        devices = DeviceRequest(count=dice.randint(1, 4), kind=DeviceKind.NPU) if dice.random() < 0.3 else None
        made = task(
            f"t{n}",
            cores=dice.randint(1, 8),
            memory_gb=float(dice.choice([1, 2, 8])),
            devices=devices,
            time_limit_s=limit_s,
            expected_s=dice.choice([None, limit_s // 2]),
            objective=Objective(
                price=dice.choice([1.0, 0.5]), carbon=dice.choice([0.0, 1.0]), finish=dice.choice([0.0, 0.1])
            ),
            flexibility=Flexibility(may_wait_s=dice.choice([0, 0, 600, 1500, 3600, 6 * 3600, 20 * 3600])),
        )
        work = Work(made, START_MS + 1000 * at_s, 1000 * dice.randint(1, limit_s))
        if shared:
            made = replace(made, priority=dice.choice([Priority.NORMAL, Priority.NORMAL, *Priority]))
            work = replace(work, task=made, project=dice.choice([DEMO, DEMO, OTHER]))
        found.append(work)
    return found


def urgent(seed: int, count: int) -> list[Work]:
    """Jobs of every priority that may not wait, most of which may be interrupted; prices are the same at all hours."""
    dice = random.Random(seed)
    found = []
    for work in works(seed, count, shared=True, busy=6):
        flexibility = Flexibility(may_be_interrupted=dice.random() < 0.7)
        task = replace(work.task, flexibility=flexibility, objective=Objective(), checkpoint=Checkpoint(path="state"))
        found.append(replace(work, task=replace(task, priority=dice.choice(list(Priority)))))
    return found


def silence(seed: int) -> Silence:
    dice = random.Random(seed)
    from_ms = START_MS + 1000 * dice.randint(1, 4 * 3600)
    return Silence(dice.choice(list(AREAS)), from_ms, from_ms + 1000 * dice.randint(600, 8 * 3600))


def limited(seed: int, count: int, *, flat: bool = False) -> list[Work]:
    """Jobs that may run at some sites only, by each of the hard limits; some are gangs, some arrays, some have a deadline."""
    dice = random.Random(seed)
    found: list[Work] = []
    for one in works(seed, count, busy=2):
        of, gang = one.task, dice.random() < 0.15
        need, limit_s = of.resources, of.resources.time_limit_s
        if gang:
            need = replace(need, devices=None, cores=min(need.cores, 4))
        if need.devices is not None:
            need = replace(need, devices=replace(dice.choice(REQUESTS), count=need.devices.count))
        elif dice.random() < 0.15:
            need = replace(need, memory_gb=24.0)  # More than a node of wuhu has.
        limits = dice.choice(LIMITS)
        made = replace(of, resources=need, nodes=2 if gang else 1, constraints=limits)
        if of.flexibility.may_wait_s > 6 * 3600:
            # Sooner than its patience ends, and later than it waits for room here.
            deadline_at = instant(one.at_ms, NOW) + timedelta(seconds=limit_s + 14 * 3600)
            made = replace(made, constraints=replace(made.constraints, deadline_at=deadline_at))
        if flat and need.devices is None:
            yuan = Decimal("0.051") * need.cores * made.nodes * limit_s / 3600
            made = replace(made, constraints=replace(made.constraints, budget_yuan=yuan))  # Too little for wuhu.
        if not any(may_run(made, *row) for row in ROWS):
            made = of
        found += [
            replace(one, task=made, run_ms=1000 * dice.randint(1, limit_s)) for _ in range(dice.choice([1, 1, 3]))
        ]
    return found


def may_run(of: Task, name: str, pooled: DevicePool | None) -> bool:
    """By every hard limit but quotas: at the prices of `flat`, budgets let nobody without devices run at wuhu."""
    offer, need, limits = offerings()[name], of.resources, of.constraints
    if (pooled is None) != (need.devices is None) or (of.nodes > offer.nodes):
        return False
    if need.cores > offer.cores_per_node or need.memory_gb > offer.memory_gb_per_node:
        return False
    if pooled is not None and need.devices is not None:
        asked = need.devices
        if pooled.memory_gb < (asked.min_memory_gb or 0) or not set(asked.precisions) <= set(pooled.precisions):
            return False
    if limits.circle is not None:
        place = positions()[limits.circle.place]
        far = distance_km(place.latitude, place.longitude, np.array([offer.latitude]), np.array([offer.longitude]))
        if one_way_ms(far)[0] > limits.circle.within_ms:
            return False
    return (
        (not limits.sites or name in limits.sites)
        and (not limits.regions or offer.region in limits.regions)
        and (not limits.providers or offer.provider in limits.providers)
        and (not limits.residency or offer.region in limits.residency)
        and (limits.budget_yuan is None or name != "wuhu")
    )


@cache
def offerings(*, flat: bool = False) -> dict[str, Offering]:
    return {
        name: offering(
            name_zh=name,
            provider=provider,
            region=region,
            latitude=latitude,
            longitude=longitude,
            nodes=2 if name == "wuhu" else 1,
            memory_gb_per_node=16.0 if name == "wuhu" else 32.0,
            devices=POOLS[name],
            price=Price(
                core_hour_yuan=Decimal("0.052") if name == "wuhu" else Decimal("0.05"),
                device_hour_yuan={pool.model: Decimal(2) for pool in POOLS[name]},
                electricity=None if flat else tariff_area(area).tariff,
                electricity_passed_on=not flat,
            ),
            carbon_daily=() if flat else modelled_day(province, longitude),
        )
        for name, (area, province, longitude, latitude, region, provider) in AREAS.items()
    }


def declared(name: str, *, flat: bool) -> dict[str, Any]:
    of = offerings(flat=flat)[name]
    return {field: getattr(of, field) for field in Offering.__dataclass_fields__}


def allowances(seed: int) -> dict[ProjectId, Allowance]:
    """Weights and quotas that no job exceeds alone."""
    dice = random.Random(seed)
    return {
        project: Allowance(
            weight=dice.choice([0.5, 1.0, 3.0]),
            cores=dice.choice([None, 8, 12, 20]),
            memory_gb=dice.choice([None, None, 16.0]),
            devices=dice.choice([{}, {}, {DEVICES.model: 4}]),
            may_be_high=True,
        )
        for project in PROJECTS
    }


def lived(
    jobs: Sequence[Work],
    of: Mapping[ProjectId, Allowance] | None = None,
    *,
    flat: bool = False,
    cut: Silence | None = None,
) -> list[tuple[int, str, int, str]]:
    """(instant, what, job, site) as the live network's own events and leases have it."""
    small = SmallNetwork(PATIENT if cut is None else replace(PATIENT, suspect_after_s=0.5))
    for project, allowance in (of or {}).items():
        assert small.store.put_allowance(project, allowance, ())
    began_ms = jobs[0].at_ms
    agents = {name: small.join(name, **declared(name, flat=flat)) for name in AREAS}
    ids: list[JobId] = []
    ends: list[tuple[int, int]] = []
    left_ms = [work.run_ms for work in jobs]
    events: list[tuple[int, str, int, str]] = []
    coming = list(enumerate(jobs))
    untold: list[RunReport] = []
    turns = [] if cut is None else [cut.from_ms, cut.until_ms]
    while coming or ends or untold or any(small.job(one).state is JobState.QUEUED for one in ids):
        now_ms = milliseconds(small.clock.now())
        step = (now_ms // STEP_MS + 1) * STEP_MS
        queued = [job for one in ids if (job := small.job(one)).state is JobState.QUEUED]
        held_ms = [milliseconds(job.hold.until) for job in queued if job.hold is not None]
        next_ms = min(
            [
                *(work.at_ms for _, work in coming[:1]),
                *(end for end, _ in ends),
                *([step] if queued else []),
                *(until for until in held_ms if until > now_ms),
                *(at for at in turns if at > now_ms),
            ]
        )
        for at_ms in means_due(began_ms, now_ms, next_ms):
            keep_means(small.store, PATIENT, NOW + timedelta(milliseconds=at_ms - START_MS))
        small.clock.at = NOW + timedelta(milliseconds=next_ms - START_MS)
        for end_ms, number in sorted(one for one in ends if one[0] == next_ms):
            ends.remove((end_ms, number))
            job = small.job(ids[number])
            assert job.allocation_id is not None
            assert job.site_id is not None
            run = small.store.allocation(job.allocation_id)
            assert run is not None
            assert run.started_at is not None
            left_ms[number] -= next_ms - milliseconds(run.started_at)
            report = RunReport(
                allocation_id=AllocationId(job.allocation_id), epoch=job.epoch, phase=Phase.ENDED,
                started_at=run.started_at, ended_at=small.clock.now(), seen_at=small.clock.now(),
                outcome=RunState.CANCELLED if left_ms[number] else RunState.SUCCEEDED,
                exit_code=None if left_ms[number] else 0,
            )  # fmt: skip
            if cut is not None and job.site_id == cut.site and cut.cuts(next_ms):
                untold.append(report)
            else:
                small.sync(agents[job.site_id], runs=(report,))
            events.append((next_ms, "taken" if left_ms[number] else "end", number, job.site_id))
        while coming and coming[0][1].at_ms == next_ms:
            ids += arrive(small, coming)
        if cut is not None:
            hear(small, agents, cut, next_ms, untold)
        small.network.turn()
        for number, job_id in enumerate(ids):
            job = small.job(job_id)
            if job.state is JobState.LEASED:
                assert job.site_id is not None
                assert job.allocation_id is not None
                begun = RunReport(
                    allocation_id=AllocationId(job.allocation_id), epoch=job.epoch, phase=Phase.RUNNING,
                    native_id="1", started_at=small.clock.now(), seen_at=small.clock.now(),
                    checkpoint=Content(sha256="0" * 64, size=1) if jobs[number].interruptible else None,
                )  # fmt: skip
                small.sync(agents[job.site_id], runs=(begun,))
                events.append((next_ms, "start", number, job.site_id))
                ends.append((next_ms + left_ms[number], number))
            elif job.allocation_id is not None:
                # Who was told ends when the notice is over, unless it ends before.
                run = small.store.allocation(job.allocation_id)
                assert run is not None
                if run.ends_by is not None:
                    told_ms = milliseconds(run.ends_by)
                    ends = [(min(at, told_ms) if who == number else at, who) for at, who in ends]
    return events


def arrive(small: SmallNetwork, coming: list[tuple[int, Work]]) -> list[JobId]:
    """The next work is submitted; what has one task is one array."""
    work, members = coming[0][1], 1
    while len(coming) > members and coming[members][1].task is work.task:
        members += 1
    del coming[:members]
    array = replace(work.task, count=members)
    return [one.id for one in small.submit(array, caller=CALLERS[work.project])]


def hear(
    small: SmallNetwork, agents: Mapping[str, Principal], cut: Silence, now_ms: int, untold: list[RunReport]
) -> None:
    """Agents call, but the one whose line is cut; when that is mended, it tells of the runs that ended meanwhile."""
    for name, agent in agents.items():
        if name != cut.site:
            small.sync(agent)
        elif not cut.cuts(now_ms):
            small.sync(agent, runs=tuple(untold))
            untold.clear()


def means_due(began_ms: int, now_ms: int, next_ms: int) -> range:
    """Instants between two turns at which a network that turns all the time adds to what projects held lately."""
    every_ms = int(1000 * PATIENT.mean_every_s)
    first = max(0, now_ms - began_ms) // every_ms + 1
    return range(began_ms + first * every_ms, next_ms, every_ms)


def sharing_of(jobs: Sequence[Work], of: Mapping[ProjectId, Allowance], models: Sequence[bool]) -> Sharing:
    """The same allowances and rules, as columns."""
    every = [of[project] for project in PROJECTS]
    most = [[a.cores, a.memory_gb, a.devices.get(DEVICES.model)] for a in every]
    return Sharing(
        project=np.array([PROJECTS.index(work.project) for work in jobs], np.int64),
        weight=np.array([allowance.weight for allowance in every]),
        most=np.array([[np.inf if value is None else value for value in row] for row in most], np.float64),
        model=np.where(models, 2, -1).astype(np.int64),
        half_life_ms=int(1000 * PATIENT.half_life_s),
        mean_every_ms=int(1000 * PATIENT.mean_every_s),
        starved_after_ms=int(1000 * PATIENT.starved_after_s),
        notice_ms=int(1000 * PATIENT.notice_s),
        protect_ms=int(1000 * PATIENT.protect_s),
        most_interruptions=PATIENT.most_interruptions,
    )


def linked(sites: int, site: npt.NDArray[np.int64], spans: Iterable[Span]) -> Routes:
    """A star, as the live network's files go: every site has a line to the store, which is no site's, and no other."""
    every = np.arange(sites)
    lines = Links(np.stack((every, np.full(sites, sites)), axis=1), np.zeros(sites), np.ones(sites), np.zeros(sites))
    router = Router(lines, Ends(np.arange(sites + 1) < sites, np.arange(sites + 1)), np.array([sites]))
    return routed(router, [str(end) for end in range(sites + 1)], sites, site, spans)


def played(
    jobs: Sequence[Work],
    shared: Mapping[ProjectId, Allowance] | None = None,
    *,
    flat: bool = False,
    cut: Silence | None = None,
    until_ms: int = NEVER_MS,
) -> list[tuple[int, str, int, str]]:
    """The same from the engine: one row for each site's cores, one for its devices, in one hall. With `cut`, each job has data,
    too few to take any time."""
    offers, rows = offerings(flat=flat), ROWS
    names = sorted(offers)
    at = np.array([names.index(name) for name, _ in rows], np.int64)
    count, width = len(jobs), len(rows)
    zero = np.zeros(count, np.int64)
    need, nodes = [w.task.resources for w in jobs], [w.task.nodes for w in jobs]
    due = [w.task.constraints.deadline_at for w in jobs]
    expected = [1000 * (n.expected_s or n.time_limit_s) for n in need]
    columns = JobColumns(
        ready_ms=np.array([w.at_ms for w in jobs], np.int64),
        order=np.array([w.task.priority.rank for w in jobs], np.int64),
        need=np.array(
            [
                (many * n.cores, many * n.memory_gb, many * n.devices.count if n.devices else 0)
                for n, many in zip(need, nodes, strict=True)
            ],
            np.float64,
        ),
        expect_ms=np.repeat(np.array(expected, np.int64)[:, None], 3, axis=1),
        limit_ms=np.array([1000 * n.time_limit_s for n in need], np.int64),
        kind=np.arange(count),
        place=zero,
        weight=np.array([[o.price, o.carbon, o.finish] for o in (w.task.objective for w in jobs)], np.float64),
        wait_ms=np.array([1000 * w.task.flexibility.may_wait_s for w in jobs], np.int64),
        due_ms=np.array([NEVER_MS if at is None else milliseconds(at) for at in due], np.int64),
        interruptible=np.array([w.interruptible for w in jobs], np.bool_),
        data_gb=np.full(count, 0.0 if cut is None else 1e-6),
        group=zero,
    )
    spans = [] if cut is None else [Span((names.index(cut.site), len(names)), cut.from_ms, cut.until_ms)]
    found = linked(len(names), at, spans)
    of = [offers[name] for name, _ in rows]
    ways = RowColumns(
        site=at,
        hall=at,
        capacity=np.array(
            [[o.cores, o.memory_gb, p.count if p else 0] for o, (_, p) in zip(of, rows, strict=True)], np.float64
        ),
        power_w=np.array(
            [[o.core_power_w * o.pue, 0, p.power_w * o.pue if p else 0] for o, (_, p) in zip(of, rows, strict=True)]
        ),
        yuan_hour=np.array(
            [
                [float(o.price.core_hour_yuan), 0, float(o.price.device_hour_yuan[p.model]) if p else 0]
                for o, (_, p) in zip(of, rows, strict=True)
            ]
        ),
        slowness=np.ones(width),
        electricity_share=np.ones(width),
        delay_ms=np.zeros((1, width)),
        transfer_ms_per_gb=np.ones((1, width)),
        transfer_yuan_per_gb=np.zeros((1, width)),
    )
    begun_ms = START_MS // STEP_MS * STEP_MS
    issues = Issues(start_ms=begun_ms, issue_ms=STEP_MS, count=14 * 48, step_ms=STEP_MS, steps=48)
    outlook = ahead([offers[name] for name in names], issues)
    allowed = np.array([[may_run(w.task, *row) for row in rows] for w in jobs])
    truth = Truth(np.array([w.run_ms for w in jobs], np.int64), zero, zero)
    sharing = None if shared is None else sharing_of(jobs, shared, [p is not None for _, p in rows])
    segments = play(
        columns, truth, ways, allowed, outlook, policy("joint"),
        faults=rerouted(found, at), ways=found.ways, sharing=sharing, until_ms=until_ms,
    ).segments  # fmt: skip
    events = []
    for number, row, start_ms, end_ms, how in zip(*(column.tolist() for column in segments[:5]), strict=True):
        ended = "taken" if how == ENDED_PREEMPTED else "end"
        events += [(start_ms, "start", number, rows[row][0]), (end_ms, ended, number, rows[row][0])]
    return events


def ahead(offers: Sequence[Offering], issues: Issues) -> Outlook:
    """What is known at each issue: tariffs are published, and the modelled day is the same each day."""
    begun_ms, steps = issues.start_ms, issues.count + issues.steps
    at = begun_ms + STEP_MS * np.arange(steps)
    prices, carbons = [], []
    for offer in offers:
        tariff = offer.price.electricity
        yuan = np.zeros(steps) if tariff is None else price_series(tariff, begun_ms, int(at[-1]) + STEP_MS).at(at)
        grams = [offer.carbon_g_per_kwh * factor_at(offer.carbon_daily, one) for one in at.tolist()]
        series = [Series(start_ms=begun_ms, step_ms=STEP_MS, values=np.array(values)) for values in (yuan, grams)]
        prices.append(known(series[0], issues))
        carbons.append(known(series[1], issues))
    return Outlook(*expected(issues, prices, carbons))


def digest(events: Iterable[tuple[int, str, int, str]]) -> str:
    return hashlib.sha256(repr(sorted(events)).encode()).hexdigest()


@pytest.mark.parametrize("seed", range(24))
def test_live_and_twin_decide_alike(seed: int) -> None:
    jobs = works(seed, 40)
    live, twin = sorted(lived(jobs)), sorted(played(jobs))
    for ours, theirs in zip(live, twin, strict=False):
        assert ours == theirs, (NOW + timedelta(milliseconds=ours[0] - START_MS), jobs[ours[2]].task)
    assert digest(live) == digest(twin)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_they_decide_alike_under_every_hard_limit(seed: int, flat: bool) -> None:
    jobs = limited(seed, 30, flat=flat)
    live, twin = sorted(lived(jobs, flat=flat)), sorted(played(jobs, flat=flat))
    for ours, theirs in zip(live, twin, strict=False):
        assert ours == theirs, (NOW + timedelta(milliseconds=ours[0] - START_MS), jobs[ours[2]].task)
    assert digest(live) == digest(twin)
    assert len(live) == 2 * len(jobs)


@pytest.mark.parametrize("seed", range(24))
def test_they_decide_alike_where_projects_take_turns_under_quotas(seed: int) -> None:
    jobs, of = works(seed, 40, shared=True, busy=3), allowances(seed)
    live, twin = sorted(lived(jobs, of)), sorted(played(jobs, of))
    for ours, theirs in zip(live, twin, strict=False):
        assert ours == theirs, (NOW + timedelta(milliseconds=ours[0] - START_MS), jobs[ours[2]])
    assert digest(live) == digest(twin)


@pytest.mark.parametrize("seed", range(24))
def test_they_take_the_same_runs_for_jobs_of_higher_priority(seed: int) -> None:
    jobs, of = urgent(seed, 40), allowances(seed)
    live, twin = sorted(lived(jobs, of, flat=True)), sorted(played(jobs, of, flat=True))
    for ours, theirs in zip(live, twin, strict=False):
        assert ours == theirs, (NOW + timedelta(milliseconds=ours[0] - START_MS), jobs[ours[2]])
    assert digest(live) == digest(twin)


@pytest.mark.parametrize("seed", range(24))
def test_they_decide_alike_while_a_sites_line_is_cut(seed: int) -> None:
    jobs, cut = works(seed, 40), silence(seed)
    live, twin = sorted(lived(jobs, cut=cut)), sorted(played(jobs, cut=cut))
    for ours, theirs in zip(live, twin, strict=False):
        assert ours == theirs, (NOW + timedelta(milliseconds=ours[0] - START_MS), jobs[ours[2]].task, cut)
    assert digest(live) == digest(twin)


def test_lines_that_are_cut_change_what_happens_in_the_worlds_that_are_compared() -> None:
    changed = sum(sorted(played(works(n, 40))) != sorted(played(works(n, 40), cut=silence(n))) for n in range(24))
    assert changed > 12


def test_runs_are_taken_in_the_worlds_that_are_compared() -> None:
    what = Counter(one[1] for seed in range(24) for one in played(urgent(seed, 40), allowances(seed), flat=True))
    assert what["taken"] > 48


def test_shares_and_quotas_change_what_happens_in_the_worlds_that_are_compared() -> None:
    free = dict.fromkeys(PROJECTS, Allowance(may_be_high=True))
    ordered = limited = 0
    for seed in range(24):
        jobs = works(seed, 40, shared=True, busy=3)
        ordered += sorted(played(jobs)) != sorted(played(jobs, free))
        limited += sorted(played(jobs, free)) != sorted(played(jobs, allowances(seed)))
    assert ordered > 12
    assert limited > 12


def test_the_worlds_that_are_compared_hold_and_block() -> None:
    """They would prove little if every job started at once."""
    waited = held = briefly = 0
    for seed in range(24):
        jobs = works(seed, 40)
        starts = {job: at for at, what, job, _ in played(jobs) if what == "start"}
        late = [job for job, at in starts.items() if at > jobs[job].at_ms]
        waited += sum(jobs[job].task.flexibility.may_wait_s == 0 for job in late)
        held += sum(jobs[job].task.flexibility.may_wait_s >= STEP_MS // 1000 for job in late)
        briefly += sum(starts[job] == jobs[job].at_ms + 1000 * jobs[job].task.flexibility.may_wait_s for job in late)
    assert waited > 20
    assert held > 50
    assert briefly > 5, "their patience ends between two steps"


@pytest.mark.parametrize("before", [DEPTH - 1, DEPTH])
def test_room_is_kept_for_as_many_of_the_first_jobs(before: int) -> None:
    """Of a full site: many that may wait, one that may not, and one behind that would delay it."""
    whole, long_s = offerings(flat=True)["guian"].cores, 7200
    filler = work("filler", cores=whole - 1, run_s=3600)
    waiting = [work(f"w{n}", cores=whole, run_s=long_s, may_wait_s=20 * 3600) for n in range(before)]
    jobs = [filler, *waiting, work("first", cores=whole, run_s=long_s), work("behind", cores=1, run_s=long_s)]
    began = {number for at, what, number, _ in played(jobs, flat=True, until_ms=START_MS + 1) if what == "start"}
    seen = snapshot(
        [site("guian", **declared("guian", flat=True))],
        [job(f"j-{number:04d}", of=one.task, ready_at=NOW) for number, one in enumerate(jobs)],
    )
    assert {int(place.job.id[2:]) for place in decide(seen).places} == began
    assert began == ({0} if before < DEPTH else {0, len(jobs) - 1})


def work(name: str, *, cores: int, run_s: int, may_wait_s: int = 0) -> Work:
    made = task(name, cores=cores, memory_gb=1.0, time_limit_s=run_s, flexibility=Flexibility(may_wait_s=may_wait_s))
    return Work(replace(made, constraints=Constraints(sites=(SiteId("guian"),))), START_MS, 1000 * run_s)


def instants(events: Sequence[tuple[int, str, int, str]]) -> list[datetime]:
    return [NOW + timedelta(milliseconds=at - START_MS) for at, *_ in events]


def test_time_goes_forward() -> None:
    assert all(a <= b for a, b in pairwise(instants(lived(works(1, 10)))))
