"""What if: the files made of the live network are ones that the twin's own readers take, with the change and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.browser.world import OPERATOR, USER, World, busy

from suanwang.control.leasing import files_of
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import Forbidden, InvalidRequest
from suanwang.ports import JobQuery
from suanwang.twin.experiment import changed, plays
from suanwang.twin.experimentfile import read_experiment
from suanwang.twin.laboratory import Laboratory
from suanwang.twin.network import Network
from suanwang.twin.networkfile import parse_network
from suanwang.twin.performing import load_trace, perform
from suanwang.twin.traces import read_trace
from suanwang.twin.whatif import PLAN, Change, what_if


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    busy(made)
    return made


def asked(world: World, home: Path, **change: Any) -> Path:
    """The folder of a what-if that nobody plays."""
    kept = Laboratory(home, world.clock.now, command=("true",))
    made = what_if(world.network, kept, OPERATOR, Change(**change))
    assert kept.settled(60)
    return home / made.id


def network(folder: Path, name: str) -> Network:
    return parse_network((folder / name).read_bytes(), filename=name)


def test_the_present_state_is_what_the_twin_reads(world: World, tmp_path: Path) -> None:
    folder = asked(world, tmp_path, lose_site="guian")
    now, changed = network(folder, "now.yaml"), network(folder, "changed.yaml")
    live = {view.site.id: view.site for view in world.network.sites.all(OPERATOR)}
    assert {site.id for site in now.sites} == set(live)
    for site in now.sites:
        offer, measured = live[site.id].offering, live[site.id].measured  # type: ignore[index]
        assert measured is not None
        assert sum(pool.cores for pool in site.pools) == pytest.approx(measured.cores - measured.foreign_cores)
        free = {model: count - measured.foreign_devices.get(model, 0) for model, count in measured.devices.items()}
        assert {pool.model: pool.devices for pool in site.pools if pool.model} == free
        assert (site.name_zh, site.cooling.base) == (offer.name_zh, offer.pue)
        assert site.power.carbon_g_per_kwh == offer.carbon_g_per_kwh
    assert {site.id for site in changed.sites} == set(live) - {"guian"}
    assert {place.id for place in changed.places} == set(live), "its users are still there"


def test_the_work_is_what_waits_runs_and_ran(world: World, tmp_path: Path) -> None:
    folder = asked(world, tmp_path, price_factor=2.0)
    trace = read_trace(folder / "live.csv")
    counts = world.network.jobs.counts(OPERATOR)
    waiting = sum(count for state, count in counts.items() if state in ("waiting", "queued", "leased", "running"))
    assert int((trace.submit_ms == 0).sum()) == waiting
    assert len(trace) == waiting + counts["succeeded"] + counts["failed"]  # type: ignore[index]
    assert trace.devices.max() == 4
    assert trace.groups == ("project 1", "project 2")
    text = "".join(path.read_text() for path in folder.iterdir())
    assert "weather" not in text.lower(), "names of projects stay where they are"
    plan = json.loads((folder / PLAN).read_text())
    for name in plan["files"]:
        assert read_experiment(folder / name).trace.path == folder / "live.csv"


def test_projects_go_by_their_weights_and_quotas(world: World, tmp_path: Path) -> None:
    (name, *_) = sorted({job.project for job in world.network.jobs.page(OPERATOR, JobQuery(), None, 500)[0]})
    allowance = Allowance(weight=3.0, cores=64, devices={"nvidia-a100-80gb": 1})
    assert world.network.store.put_allowance(name, allowance, ())
    folder = asked(world, tmp_path, price_factor=2.0)
    for file in json.loads((folder / PLAN).read_text())["files"]:
        experiment = read_experiment(folder / file)
        assert experiment.projects is not None
        assert experiment.projects.allowances == {"project 1": Allowance(weight=3.0, cores=64)}
        made = perform(experiment, load_trace(experiment.trace), plays(experiment)[0]).result.to_pylist()[0]
        assert made["ended_count"] > 0


def test_prices_links_and_sites_are_changed(world: World, tmp_path: Path) -> None:
    folder = asked(
        world, tmp_path, price_factor=2.0, price_site="wuhu", lose_link="shaoguan", add_like="wuhu", add_capacity=3.0
    )
    now, changed = network(folder, "now.yaml"), network(folder, "changed.yaml")
    before, after = ({site.id: site for site in each.sites} for each in (now, changed))
    assert after["wuhu"].pools[0].core_hour_yuan == pytest.approx(2 * before["wuhu"].pools[0].core_hour_yuan)
    assert after["guian"] == before["guian"]
    assert after["wuhu-2"].pools[0].cores == pytest.approx(3 * before["wuhu"].pools[0].cores)
    assert {(frozenset(cut.ends), cut.from_ms, cut.until_ms) for cut in changed.cuts} == {
        (frozenset(("shaoguan", other)), None, None) for other in after if other != "shaoguan"
    }
    assert not now.cuts


def test_no_data_cross_a_lost_link(world: World, tmp_path: Path) -> None:
    """Files are of the sizes that the jobs' inputs have; what is at the lost site's end stays there."""
    folder = asked(world, tmp_path, lose_link="wuhu", lose_site="guian")
    experiment = read_experiment(folder / "changed-experiment.yaml")
    rules = experiment.conditions.rules
    (total,) = (job for job in world.network.jobs.page(OPERATOR, JobQuery(), None, 500)[0] if job.task.name == "total")
    (record,) = (record for record, _ in files_of(world.network.store, total))
    assert rules.data_gb == pytest.approx(record.content.size / 1e9)
    assert 0 < rules.data_share < 0.5
    everywhere = replace(experiment, with_jobs=True, conditions=changed(experiment.conditions, {"data_share": 1.0}))
    made = perform(everywhere, load_trace(experiment.trace), plays(everywhere)[0])
    assert made.jobs is not None
    ran = [(job["place"], job["site"]) for job in made.jobs.to_pylist() if job["start_ms"] >= 0]
    assert ran
    assert all((place == "wuhu") == (site == "wuhu") for place, site in ran)


def test_data_go_by_way_of_another_site_where_one_link_is_lost(world: World, tmp_path: Path) -> None:
    folder = asked(world, tmp_path, lose_link="wuhu", lose_link_to="guian")
    assert [frozenset(cut.ends) for cut in network(folder, "changed.yaml").cuts] == [frozenset(("wuhu", "guian"))]
    experiment = read_experiment(folder / "changed-experiment.yaml")
    everywhere = replace(experiment, with_jobs=True, conditions=changed(experiment.conditions, {"data_share": 1.0}))
    made = perform(everywhere, load_trace(experiment.trace), plays(everywhere)[0])
    assert made.jobs is not None
    ran = made.jobs.to_pylist()
    long_way = [job for job in ran if {job["place"], job["site"]} == {"wuhu", "guian"}]
    assert {job["data_because"] for job in ran if job not in long_way} == {None}
    assert all(job["data_because"] == f"{job['place']} - {job['site']} is cut" for job in long_way)
    assert made.result.to_pylist()[0]["detours_count"] == len(long_way)


def test_a_link_that_no_data_would_cross_is_not_lost(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.network.store, "files", lambda *_: ([], None))
    with pytest.raises(InvalidRequest, match="no data would cross"):
        asked(world, tmp_path, lose_link="wuhu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "nothing is changed"),
        ({"lose_site": "nowhere"}, "no site 'nowhere'"),
        ({"add_like": "x"}, "no site 'x'"),
        ({"price_factor": 2.0, "price_site": "x"}, "no site 'x'"),
        ({"lose_link": "wuhu", "lose_link_to": "wuhu"}, "two ends"),
        ({"lose_link_to": "wuhu"}, "two ends"),
    ],
)
def test_changes_that_make_no_sense(world: World, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        asked(world, tmp_path, **change)
    with pytest.raises(Forbidden):
        what_if(world.network, Laboratory(tmp_path, world.clock.now), USER, Change(lose_site="guian"))


def test_without_work_there_is_nothing_to_play(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no work to play"):
        asked(World(), tmp_path, lose_site="guian")
