"""A replay of what was decided gives the bills that were sent; another policy gives others, for the same work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from tests.browser.world import OPERATOR, START, USER
from tests.browser.world import World as Network
from tests.simulation.world import EPOCH, World
from tests.simulation.world import OPERATOR as WATCHER

from suanwang.cli.app import app
from suanwang.cli.exits import UsageError
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import Forbidden, InvalidRequest
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.ports import JobQuery
from suanwang.twin.rebilling import Run, invoices
from suanwang.twin.recording import Recording, record
from suanwang.twin.replay import OBJECTIVES, as_recorded, replayed, with_objective

DAY = timedelta(days=1)
TURN = timedelta(seconds=30)
WORKING = frozenset(JobState) - ENDED


@pytest.fixture(scope="module")
def network() -> Network:
    """A morning of sixty jobs on three sites, more than fit at once, some of which need others."""
    world = Network(["guian", "qingyang", "shanghai"])
    for number in range(20):
        world.submit(
            f"name: fit-{number}\nrun: x\nresources: {{cores: {8 + number % 5}, memory: 4GB, expected: 10m}}\n"
            f"objective: {('cheapest', 'greenest', 'fastest')[number % 3]}\n"
        )
        world.submit(
            f"name: first-{number}\nrun: x\nresources: {{cores: 4}}\n---\nname: then-{number}\nneeds: first-{number}\nrun: x\n"
        )
    for beat in range(400):
        world.beat(30)
        for at, site in enumerate(world.sites.values()):
            for run in list(site.runs.values())[(beat + at) % 7 :: 7]:
                world.finish(run.lease.job_id)
        counts = world.network.jobs.counts(OPERATOR)
        if not any(counts.get(state) for state in WORKING):
            return world
    raise AssertionError("the jobs came to no end")


@pytest.fixture(scope="module")
def recording(network: Network) -> Recording:
    return record(network.network, OPERATOR, START, START + DAY)


def test_what_was_decided_gives_the_bills_that_were_sent(network: Network, recording: Recording) -> None:
    assert len(recording.jobs) == 60
    assert recording.left_out == ()
    real = recording.billed
    assert sum(real.values()) > 150
    assert invoices(recording, as_recorded(recording)).by_job == real


def test_the_live_policy_decides_the_same_again(network: Network, recording: Recording) -> None:
    runs = replayed(recording)
    before = {one.job.id: one.allocations[0] for one in recording.jobs}
    for run in runs:
        then = before[run.job.id]
        assert (run.allocation.site_id, run.allocation.granted_at) == (then.site_id, then.granted_at), run.job.task.name
    found = invoices(recording, runs)
    assert found.by_job == recording.billed
    assert sum(found.by_project.values()) == sum(found.by_provider.values()) == sum(found.by_job.values())


def test_quotas_of_now_hold_in_a_replay(recording: Recording) -> None:
    project = recording.jobs[0].job.project
    assert _most_cores(replayed(recording, turn=TURN), None) > 24
    limited = replace(recording, allowances={project: Allowance(cores=24)})
    runs = replayed(limited, turn=TURN)
    assert _most_cores(runs, None) == 24
    assert sorted(run.job.id for run in runs) == sorted(one.job.id for one in recording.jobs)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_another_policy_runs_the_same_work(recording: Recording, name: str) -> None:
    runs = replayed(recording, with_objective(OBJECTIVES[name]), turn=TURN)
    assert sorted(run.job.id for run in runs) == sorted(one.job.id for one in recording.jobs)
    work = {one.job.id: one.work for one in recording.jobs}
    for run in runs:
        assert run.allocation.started_at is not None
        assert run.until - run.allocation.started_at == work[run.job.id]
    for site in recording.sites:
        assert _most_cores(runs, site.id) <= site.offering.cores


def test_policies_do_what_they_say(recording: Recording) -> None:
    found = {
        name: invoices(recording, replayed(recording, with_objective(OBJECTIVES[name]), turn=TURN))
        for name in OBJECTIVES
    }
    assert min(found, key=lambda name: sum(found[name].by_job.values())) == "cheapest"
    assert min(found, key=lambda name: found[name].carbon_g) == "greenest"


def test_prices_as_they_were_are_billed(recording: Recording) -> None:
    dearer = [
        replace(site, offering=replace(site.offering, price=replace(site.offering.price, core_hour_yuan=Decimal(9))))
        for site in recording.sites
    ]
    moved = replace(recording, sites=tuple(dearer), asking={})
    assert invoices(moved, as_recorded(moved)).by_job == invoices(recording, as_recorded(recording)).by_job
    assert sum(invoices(moved, replayed(moved)).by_job.values()) > sum(
        invoices(recording, replayed(recording)).by_job.values()
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 8, 13, 21, 34])
def test_histories_full_of_faults_are_billed_alike(seed: int) -> None:
    world = World(seed)
    world.run()
    world.faults = False
    recording = record(world.network, WATCHER, EPOCH, EPOCH + 30 * DAY)
    assert invoices(recording, as_recorded(recording)).by_job == {
        job: fen for job, fen in recording.billed.items() if _ran(recording, job)
    }


def test_who_may_replay_and_what(network: Network) -> None:
    with pytest.raises(Forbidden):
        record(network.network, USER, START, START + DAY)
    with pytest.raises(InvalidRequest, match="empty"):
        record(network.network, OPERATOR, START + DAY, START)
    with pytest.raises(InvalidRequest, match="no job came and ended"):
        record(network.network, OPERATOR, START + DAY, START + 2 * DAY)


def test_what_has_not_ended_is_counted_and_left_out(network: Network) -> None:
    ended = sorted(
        job.ended_at
        for job in network.network.jobs.page(OPERATOR, JobQuery(), None, 500)[0]
        if job.ended_at is not None
    )
    found = record(network.network, OPERATOR, START, ended[30])
    assert found.left_out == (f"{60 - len(found.jobs)} jobs that had not ended by then",)
    assert {one.job.state for one in found.jobs} == {JobState.SUCCEEDED}


def _ran(recording: Recording, job: JobId) -> bool:
    return any(one.job.id == job and one.ran for one in recording.jobs)


def _most_cores(runs: Sequence[Run], site: SiteId | None) -> int:
    moves: list[tuple[datetime, int, int]] = []
    for run in runs:
        if site in (None, run.allocation.site_id):
            cores = run.job.task.resources.cores * run.job.task.nodes
            moves += [(run.allocation.granted_at, 1, cores), (run.until, 0, -cores)]
    held = most = 0
    for _, _, cores in sorted(moves):
        held += cores
        most = max(most, held)
    return most


def test_the_command_prints_what_was_billed_and_what_would_be(
    network: Network, recording: Recording, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def opened(_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(network=network.network)

    monkeypatch.setattr("suanwang.wiring.network.open_network", opened)
    app(["twin", "replay", "--from", "2026-03-02", "--to", "2026-03-03", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    real = sum(recording.billed.values())
    assert told["billed_fen"] == real
    for name in ("recorded", "live"):
        assert sum(told["policies"][name]["by_project_fen"].values()) == real
    assert sum(told["policies"]["cheapest"]["by_project_fen"].values()) <= real
    app(["twin", "replay", "--from", "2026-03-02", "--to", "2026-03-03", "--policy", "greenest"], standalone_mode=False)
    assert f"{real / 100:.2f}" in capsys.readouterr().out
    for wrong in (["--policy", "x"], ["--from", "x"]):
        with pytest.raises(UsageError):
            app(["twin", "replay", "--from", "2026-03-02", "--to", "2026-03-03", *wrong], standalone_mode=False)
