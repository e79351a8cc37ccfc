"""Whose turn it is, and what a quota keeps from starting."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.factories import DEMO, NOW, OTHER, job, pool, seconds, site, snapshot, task

from suanwang.domain.allowance import Allowance, Amounts, Standing
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job
from suanwang.domain.reasons import sentence
from suanwang.domain.site import Ending, Held
from suanwang.domain.task import DeviceRequest, Priority
from suanwang.scheduling.fairness import Fairness, averaged
from suanwang.scheduling.placing import Judge, decide, explain
from suanwang.scheduling.plan import Place, Stay
from suanwang.scheduling.snapshot import Snapshot
from suanwang.scheduling.turns import dominant

DAY = timedelta(days=1)


def of(project: ProjectId, name: str, ready_s: float = 0.0, **changes: Any) -> Job:
    return job(f"j-{name}", of=task(name, **changes), project=project, ready_at=NOW + seconds(ready_s))


def fair(standings: dict[ProjectId, Standing], *, by_share: bool = True) -> Fairness:
    return Fairness(standings=standings, by_share=by_share, starved_after=DAY)


def seen(jobs: list[Job], fairness: Fairness | None, **held: Held) -> Snapshot:
    # One site of 32 cores and 128 GB, with four devices.
    devices = (pool("a100", count=4, per_node=4),)
    there = site("guian", nodes=1, cores_per_node=32, memory_gb_per_node=128.0, devices=devices)
    return replace(snapshot([there], jobs, held=held), fairness=fairness)


def started(of: Snapshot) -> list[str]:
    return [place.job.task.name for place in decide(of).places]


def test_without_projects_to_compare_the_first_ready_comes_first() -> None:
    jobs = [of(DEMO, "b", 2), of(OTHER, "a", 1), of(DEMO, "c", 1)]
    assert started(seen(jobs, None)) == ["a", "c", "b"]


def test_the_least_dominant_share_comes_first() -> None:
    nothing, whole = [0.0] * 4, [32.0, 128.0, 4.0, 0.0]
    assert dominant([8.0, 64.0, 0.0, 0.0], nothing, whole, 1.0) == 0.5
    assert dominant([8.0, 0.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0], whole, 3.0) == 0.25
    assert dominant([0.0, 0.0, 0.0, 3.0], nothing, whole, 1.0) == 0, "the network has none of it"
    jobs = [
        *(of(DEMO, f"d{n}", n, cores=8) for n in range(4)),
        of(OTHER, "o0", 9, cores=8),
        of(OTHER, "o1", 9, cores=8),
    ]
    # Four fit. After one start of each both have a quarter, and readiness decides.
    assert started(seen(jobs, fair({}))) == ["d0", "o0", "d1", "o1"]


def test_a_project_of_twice_the_weight_starts_twice_as_much() -> None:
    jobs = [of(project, f"{project}{n}", n, cores=1) for project in (DEMO, OTHER) for n in range(40)]
    standings = {OTHER: Standing(allowance=Allowance(weight=3.0))}
    names = started(seen(jobs, fair(standings)))
    assert len(names) == 32
    assert sum(name.startswith("other") for name in names) == 24


def test_who_held_much_lately_waits_for_others() -> None:
    jobs = [of(DEMO, "first", 0, cores=32), of(OTHER, "second", 5, cores=32)]
    standings = {DEMO: Standing(lately=Amounts(cores=3.0))}
    assert started(seen(jobs, fair(standings))) == ["second"]
    assert started(seen(jobs, fair(standings, by_share=False))) == ["first"]


def test_a_mean_halves_in_its_half_life() -> None:
    then = averaged(Amounts(cores=8, devices={"a100": 2}), Amounts(), 3600, 3600)
    assert then == Amounts(cores=4, devices={"a100": 1})
    assert averaged(Amounts(), Amounts(cores=8), 3600, 3600) == Amounts(cores=4)
    in_steps = Amounts(cores=1)
    for _ in range(60):
        in_steps = averaged(in_steps, Amounts(cores=5), 60, 3600)
    assert in_steps.cores == pytest.approx(averaged(Amounts(cores=1), Amounts(cores=5), 3600, 3600).cores)
    assert averaged(Amounts(devices={"a100": 1e-6}), Amounts(), 60, 30) == Amounts()


def test_priority_comes_before_shares_and_readiness() -> None:
    jobs = [
        of(DEMO, "low", 0, cores=32, priority=Priority.LOW),
        of(DEMO, "normal", 1, cores=32),
        of(OTHER, "high", 2, cores=32, priority=Priority.HIGH),
    ]
    assert started(seen(jobs, None)) == ["high"]
    assert started(seen(jobs, fair({OTHER: Standing(lately=Amounts(cores=30))}))) == ["high"]
    assert started(seen(jobs[:2], None)) == ["normal"]


def test_who_waited_a_day_comes_first_of_its_priority() -> None:
    jobs = [of(DEMO, "old", -86400, cores=32), of(OTHER, "new", 0, cores=32)]
    heavy = {DEMO: Standing(lately=Amounts(cores=30))}
    assert started(seen(jobs, fair(heavy))) == ["old"]
    jobs[0] = of(DEMO, "old", -86399, cores=32)
    assert started(seen(jobs, fair(heavy))) == ["new"]


def test_a_starved_job_has_room_kept_for_it() -> None:
    jobs = [of(DEMO, "old", -90000, cores=32), of(OTHER, "new", 0, cores=4)]
    heavy = {DEMO: Standing(lately=Amounts(cores=30))}
    # Four cores are used by nobody knows whom: nothing is known to end, so nothing can be kept.
    assert started(seen(jobs, fair(heavy), guian=Held(cores=4))) == ["new"]
    ending = Ending(at=NOW + seconds(60), cores=4, memory_gb=1.0, device_model=None, devices=0)
    there = seen(jobs, fair(heavy), guian=Held(cores=4))
    there = replace(there, endings=lambda: {there.sites[0].id: [ending]})
    assert started(there) == []


class TestQuotas:
    def test_no_more_starts_than_the_quota_leaves(self) -> None:
        jobs = [of(DEMO, f"d{n}", n, cores=4) for n in range(5)]
        standings = {DEMO: Standing(allowance=Allowance(cores=10), holds=Amounts(cores=2))}
        assert started(seen(jobs, fair(standings))) == ["d0", "d1"]

    def test_a_smaller_job_behind_still_fits(self) -> None:
        jobs = [of(DEMO, "big", 0, cores=8), of(DEMO, "small", 1, cores=2)]
        assert started(seen(jobs, fair({DEMO: Standing(allowance=Allowance(cores=4))}))) == ["small"]

    def test_memory_in_tenths_adds_up(self) -> None:
        jobs = [of(DEMO, f"d{n}", n, cores=1, memory_gb=0.1) for n in range(12)]
        assert len(started(seen(jobs, fair({DEMO: Standing(allowance=Allowance(memory_gb=1.0))})))) == 10

    def test_devices_are_limited_by_model(self) -> None:
        jobs = [of(DEMO, f"d{n}", n, cores=1, devices=DeviceRequest(count=1)) for n in range(4)]
        standings = {DEMO: Standing(allowance=Allowance(devices={"a100": 3, "h100": 0}))}
        assert started(seen(jobs, fair(standings))) == ["d0", "d1", "d2"]

    def test_the_reason_says_what_is_used_asked_and_allowed(self) -> None:
        waiting = of(DEMO, "d", 0, cores=4)
        standings = {DEMO: Standing(allowance=Allowance(cores=10), holds=Amounts(cores=8))}
        found = explain(seen([waiting], fair(standings)), waiting)
        assert isinstance(found, Stay)
        (why,) = found.why.excluded
        assert (why.code, why.need, why.have) == ("quota", "4", "8 / 10 × core")
        assert sentence(why) == "the project's quota does not allow it: 8 / 10 × core; the job needs 4"
        assert sentence(why, chinese=True) == "超出项目配额：8 / 10 × core；作业需要 4"
        assert found.why.note == "its project's quota does not allow it now"

    def test_room_is_not_kept_for_whom_only_a_quota_stops(self) -> None:
        jobs = [of(DEMO, "stopped", 0, cores=16), of(OTHER, "free", 1, cores=32)]
        standings = {DEMO: Standing(allowance=Allowance(cores=8), holds=Amounts(cores=8))}
        assert started(seen(jobs, fair(standings))) == ["free"]
        assert isinstance(explain(seen(jobs, fair(standings)), jobs[1]), Place)

    def test_what_never_fits_is_known_beforehand(self) -> None:
        judge = Judge(seen([], None))
        devices = of(DEMO, "d", 0, cores=2, devices=DeviceRequest(count=2))
        assert judge.beyond(devices, Allowance(cores=2, devices={"a100": 2})) is None
        assert judge.beyond(devices, Allowance(devices={"h100": 0})) is None
        for short in (Allowance(cores=1), Allowance(memory_gb=0.5), Allowance(devices={"a100": 1})):
            found = judge.beyond(devices, short)
            assert found is not None
            assert [one.code for one in found[0].excluded] == ["quota"]
