"""Running an experiment: real plays of a small federation, what is kept, what goes on after a failure or a kill."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from suanwang.cli.app import run as command_line
from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.twin import running
from suanwang.twin.experiment import BOUND, Experiment, Play, plays
from suanwang.twin.experimentfile import parse_experiment
from suanwang.twin.performing import Tables, drawn_trace, perform
from suanwang.twin.report import write_report
from suanwang.twin.results import Folder, summarised
from suanwang.twin.running import Happened, run
from suanwang.twin.trace import Trace

FILE = """
experiment: small
start: 2026-07-06
trace: {generated: federation-week, hours: 6, share: 0.02}
policies: [joint, nearest]
seeds: [1, 2]
conditions: {capacity: 0.02, interruptible_share: 0.5, deadline_share: 0.5}
vary: {wait_hours: [0, 12]}
record: {jobs: true}
"""


def read(text: str = FILE) -> Experiment:
    return parse_experiment(text, filename="small.yaml", folder=Path())


def numbers(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without what is not a number, which equals nothing."""
    return [{key: value for key, value in row.items() if value == value} for row in rows]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, running.Ran, list[Happened]]:
    out, told = tmp_path_factory.mktemp("played"), list[Happened]()
    return out, run(read(), out, jobs=1, told=told.append), told


def test_each_play_has_a_row_and_all_tables_agree(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    out, ran, told = played
    rows = parquet.read_table(out / "results.parquet").to_pylist()
    assert numbers(rows) == numbers(ran.rows)
    assert len(rows) == 2 * 2 * 2
    assert [one.there for one in told] == list(range(1, 13))
    assert {(row["policy"], row["order"]) for row in rows} == {("joint", "easy"), ("nearest", "easy")}
    jobs, hours = (parquet.read_table(out / f"{name}.parquet").to_pylist() for name in ("jobs", "timeline"))
    for row in rows:
        mine = [one for one in jobs if one["play"] == row["play"]]
        assert len(mine) == row["jobs_count"] == row["ended_count"]
        assert sum(one["cost_yuan"] for one in mine) == pytest.approx(row["cost_yuan"])
        assert sum(one["energy_kwh"] for one in mine) == pytest.approx(row["energy_kwh"])
        assert sum(one["carbon_location_g"] for one in mine) == pytest.approx(row["carbon_location_kg"] * 1000)
        assert sum(one["kw"] for one in hours if one["play"] == row["play"]) == pytest.approx(row["energy_kwh"])
        assert all(one["start_ms"] >= one["ready_ms"] for one in mine)
        if row["policy"] == "nearest":
            assert row["interruptions_count"] == 0


def test_plays_of_one_case_and_seed_have_the_same_work(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    jobs = parquet.read_table(played[0] / "jobs.parquet").to_pylist()
    of = {row["play"]: (row["seed"], row["wait_hours"]) for row in played[1].rows}
    seen: dict[object, object] = {}
    for play, key in of.items():
        work = [
            (one["job"], one["ready_ms"], one["place"], one["wait_allowed_ms"]) for one in jobs if one["play"] == play
        ]
        assert seen.setdefault(key, work) == work


def test_no_play_that_kept_its_windows_lies_below_the_bound(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    bounds = {
        (one["seed"], one["wait_hours"]): one for one in parquet.read_table(played[0] / "bounds.parquet").to_pylist()
    }
    assert len(bounds) == 4
    held = 0
    for row in played[1].rows:
        bound = bounds[row["seed"], row["wait_hours"]]
        if row["began_late_count"] == 0 and row["interruptions_count"] == 0:
            held += 1
            for key in ("cost_yuan", "electricity_yuan", "carbon_location_kg"):
                assert row[key] >= bound[key] * (1 - 1e-6)
    assert held > 0


def test_seeds_come_together_with_their_intervals(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    found = summarised(played[1].rows, ["wait_hours"])
    assert [(dict(one.case)["wait_hours"], one.name) for one in found] == [
        (0, "joint"), (0, "nearest"), (12, "joint"), (12, "nearest"),
    ]  # fmt: skip
    costs = [row["cost_yuan"] for row in played[1].rows if row["wait_hours"] == 12 and row["policy"] == "joint"]
    cost = found[2].measures["cost_yuan"]
    assert cost.estimate == pytest.approx(sum(costs) / 2)
    assert cost.low < min(costs) < max(costs) < cost.high


def test_a_second_run_plays_nothing_and_says_the_same(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    out, ran, _ = played
    again = run(read(), out, jobs=1, told=lambda _: pytest.fail("nothing was left to play"))
    assert (again.found, again.made) == (12, 0)
    assert numbers(again.rows) == numbers(ran.rows)


def test_what_the_report_needs_is_there(played: tuple[Path, running.Ran, list[Happened]]) -> None:
    assert write_report(played[0]).stat().st_size > 10_000
    about = json.loads((played[0] / "experiment.json").read_text())
    assert about["varied"] == ["wait_hours"]
    assert len(about["sites"]) == 10
    assert "generated" in about["source"]
    assert {json.dumps(one["case"]) for one in about["bounds"]} == {'{"wait_hours": 0.0}', '{"wait_hours": 12.0}'}


def test_only_what_is_missing_is_played_and_gives_the_same_rows(
    played: tuple[Path, running.Ran, list[Happened]], tmp_path: Path
) -> None:
    out, ran, _ = played
    experiment = read()
    wanted = plays(experiment)
    (tmp_path / "parts").mkdir()
    for play in wanted[::2]:
        for part in (out / "parts").glob(f"{play.id}.*"):
            (tmp_path / "parts" / part.name).write_bytes(part.read_bytes())
    # A kill in the middle of a write leaves a file that is not whole under another name, or a part that is not read.
    (tmp_path / "parts" / ".half.result.parquet.new").write_bytes(b"PAR1")
    (tmp_path / "parts" / f"{wanted[1].id}.result.parquet").write_bytes(b"PAR1 cut short")
    again = run(experiment, tmp_path, jobs=1)
    assert (again.found, again.made) == (6, 6)
    assert numbers(again.rows) == numbers(ran.rows)
    assert not list((tmp_path / "parts").glob(".*"))


def test_a_play_that_fails_is_reported_and_the_others_go_on(
    played: tuple[Path, running.Ran, list[Happened]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = read()
    wrong, worse = plays(experiment)[0], plays(experiment)[3]

    def failing(experiment: Experiment, trace: Trace | None, play: Play) -> Tables:
        if play == wrong:
            raise InvalidRequest("the policy placed a job nowhere", field="policy")
        if play == worse:
            raise ZeroDivisionError("nothing to divide by")
        return perform(experiment, trace, play)

    monkeypatch.setattr(running, "perform", failing)
    ran = run(experiment, tmp_path, jobs=1)
    assert [(play, error) for play, error in ran.failed] == [
        (wrong, "the policy placed a job nowhere (policy)"),
        (worse, "ZeroDivisionError: nothing to divide by"),
    ]
    assert ran.made == 10
    assert len(json.loads((tmp_path / "experiment.json").read_text())["failed"]) == 2
    monkeypatch.undo()
    healed = run(experiment, tmp_path, jobs=1)
    assert (healed.found, healed.made, healed.failed) == (10, 2, [])
    assert numbers(healed.rows) == numbers(played[1].rows)


def test_what_had_ended_is_kept_when_a_run_is_interrupted(tmp_path: Path) -> None:
    experiment = replace(read(), varied={}, seeds=(1,))

    def enough(happened: Happened) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path, jobs=1, told=enough)
    assert len(parquet.read_table(tmp_path / "results.parquet")) == 1
    assert run(experiment, tmp_path, jobs=1).found == 1


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with Folder(tmp_path).kept(), pytest.raises(Conflict, match="another run"):
        run(read(), tmp_path, jobs=1)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="cannot be written") as told:
        run(read(), tmp_path / "file", jobs=1)
    assert told.value.field == "out"


def test_without_ray_its_option_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidRequest, match=r"suanwang\[ray\]") as told:
        run(read(), tmp_path, ray="auto")
    assert told.value.field == "ray"


class FakeRay(ModuleType):
    """As much of Ray as is used: tasks run where they are asked for, one of them is lost."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, lost: Play) -> None:
        super().__init__("ray")
        self.lost, self.open = lost, False

    def init(self, *, address: str, **_: Any) -> None:
        if address != "auto":
            raise ConnectionError("refused")
        self.open = True

    def shutdown(self) -> None:
        self.open = False

    def put(self, value: object) -> list[object]:
        return [value]

    def remote(self, **_: Any) -> Any:
        def decorated(function: Any) -> Any:
            class Task:
                @staticmethod
                def remote(experiment: list[Any], trace: list[Any], play: Play) -> Any:
                    return (play, lambda: function(experiment[0], trace[0], play))

            return Task

        return decorated

    def wait(self, running: Sequence[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        return [running[-1]], list(running[:-1])

    def get(self, task: Any) -> Any:
        play, call = task
        if play == self.lost:
            raise self.exceptions.RayError("the node is gone")
        return call()


def test_a_ray_cluster_gives_the_same_rows_and_a_lost_task_is_told(
    played: tuple[Path, running.Ran, list[Happened]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = plays(read())[0]
    ray = FakeRay(lost)
    monkeypatch.setitem(sys.modules, "ray", ray)
    ran = run(read(), tmp_path, ray="auto")
    assert ran.failed == [(lost, "Ray lost it: the node is gone")]
    assert not ray.open
    assert numbers([row for row in played[1].rows if row["play"] != lost.id]) == numbers(ran.rows)
    with pytest.raises(InvalidRequest, match="no Ray cluster answers"):
        run(read(), tmp_path, ray="ray://nowhere:10001")


def test_conditions_reach_the_play(tmp_path: Path) -> None:
    base = replace(read(), varied={}, seeds=(1,), with_bound=False, policies=read().policies[1:], baseline="nearest")
    text = FILE.replace(
        "conditions: {", "conditions: {price: 3, carbon: 2, outage_every_days: 0.1, checkpoint_minutes: 10, "
    )
    changed = replace(base, conditions=read(text).conditions)
    one = perform(base, None, plays(base)[0]).result.to_pylist()[0]
    calm = replace(
        changed,
        conditions=replace(changed.conditions, changes=replace(changed.conditions.changes, outage_every_days=0.0)),
    )
    dear = perform(calm, None, plays(calm)[0]).result.to_pylist()[0]
    assert dear["cost_yuan"] == pytest.approx(3 * one["cost_yuan"], rel=1e-6)
    assert dear["carbon_location_kg"] == pytest.approx(2 * one["carbon_location_kg"], rel=1e-6)
    assert one["interruptions_count"] == 0
    assert perform(changed, None, plays(changed)[0]).result.to_pylist()[0]["interruptions_count"] > 0


STAR = """
network: star
links:
  gbps: 0
  special:
    - {between: [hub, near], gbps: 1, yuan_per_gb: 0.1}
    - {between: [hub, far], gbps: 0.5, yuan_per_gb: 0.1}
    - {between: [near, far], gbps: 4, yuan_per_gb: 0.1}
  cut: [%s]
places: [{id: hub, name: {zh: 中, en: Hub}, position: {latitude: 31, longitude: 121}}]
sites:
  - {id: near, position: {latitude: 31, longitude: 120}, electricity: {flat_yuan_per_kwh: 1, carbon: 500}, pue: 1.2,
     pools: [{cores: 2000, memory_gb: 8000, watts: {core: 8}}]}
  - {id: far, position: {latitude: 40, longitude: 100}, electricity: {flat_yuan_per_kwh: 0.1, carbon: 100}, pue: 1.2,
     pools: [{cores: 2000, memory_gb: 8000, watts: {core: 8}}]}
"""


def starred(folder: Path, cut: str = "") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `joint` makes of a network of two sites that are reached over a third end: measures, and jobs."""
    (folder / "star.yaml").write_text(STAR % cut, encoding="utf-8")
    text = FILE.replace("policies:", "network: star.yaml\npolicies:").replace(
        "capacity: 0.02, ", "data_gb: 40, data_sigma: 0, "
    )
    made = parse_experiment(text, filename="small.yaml", folder=folder)
    tables = perform(made, None, plays(made)[0])
    assert tables.jobs is not None
    return tables.result.to_pylist()[0], tables.jobs.to_pylist()


def test_data_take_the_quicker_way_and_each_link_of_it_is_counted_and_paid(tmp_path: Path) -> None:
    row, jobs = starred(tmp_path)
    over = [one for one in jobs if one["data_by_way_of"] is not None]
    assert {one["data_by_way_of"] for one in over} == {"near"}
    assert {one["data_because"] for one in over} == {"quicker"}
    assert {one["site"] for one in over} == {"far"}
    assert len(over) == row["detours_count"] > len(jobs) / 2
    assert row["moved_gb"] == pytest.approx(40 * (len(jobs) + len(over)))
    # 1 Gbit/s to the site between and 4 from it to the far one: 8 + 2 seconds a GB, where 0.5 straight would take 16.
    assert all(one["end_ms"] - one["start_ms"] >= 400_000 for one in over)


def test_a_link_that_is_cut_sends_data_the_long_way_and_what_was_under_way_sets_out_anew(tmp_path: Path) -> None:
    calm, _ = starred(tmp_path)
    cut = "{between: [near, far], from: 2026-07-06T02:00, until: 2026-07-06T04:00}"
    row, jobs = starred(tmp_path, cut)
    assert row["ended_count"] == calm["ended_count"]
    assert row["link_waits_count"] == calm["transfers_broken_count"] == 0
    assert 0 < row["transfers_broken_count"] <= row["interruptions_count"]
    assert 0 < row["detours_count"] < calm["detours_count"], "straight while it lasts, slower though it is"
    assert {one["data_because"] for one in jobs} == {None, "quicker"}


def test_where_no_way_is_left_data_wait(tmp_path: Path) -> None:
    row, _ = starred(
        tmp_path, "{between: [hub, near], until: 2026-07-06T03:30}, {between: [hub, far], until: 2026-07-06T03:30}"
    )
    assert row["link_waits_count"] > 0
    assert row["ended_count"] == row["jobs_count"]


def test_links_that_are_cut_reach_the_play_and_are_counted() -> None:
    calm = read(FILE.replace("conditions: {", "conditions: {data_gb: 400, "))
    cut = read(FILE.replace("conditions: {", "conditions: {data_gb: 400, link_every_days: 0.2, link_hours: 2, "))
    before, after = (perform(one, None, plays(one)[1]).result.to_pylist()[0] for one in (calm, cut))
    assert after["policy"] == "nearest"
    assert before["detours_count"] == before["transfers_broken_count"] == 0
    assert after["detours_count"] > 0
    assert 0 < after["transfers_broken_count"] <= after["interruptions_count"]
    assert after["ended_count"] == before["ended_count"]
    assert after["moved_gb"] > before["moved_gb"] > 0


def test_sharing_and_priorities_reach_the_play() -> None:
    crowded = FILE.replace("capacity: 0.02", "capacity: 0.004, flexible_share: 0, high_share: 0.1, low_share: 0.1")
    crowded = crowded.replace("share: 0.02", "share: 0.2")
    projects = "centre-1: {weight: 50}, centre-2: {cores: 2}, centre-3: {priority: high}"

    def waited(text: str) -> list[float]:
        experiment = replace(read(text), varied={}, seeds=(1,), with_bound=False)
        (one,) = [play for play in plays(experiment) if play.policy == "joint"]
        jobs = perform(experiment, None, one).jobs
        assert jobs is not None
        home, waiting = drawn_trace(experiment.trace, 1).home[jobs["job"].to_numpy()], jobs["waiting_ms"].to_numpy()
        return [float(waiting[home == at].mean()) for at in range(3)]

    alone, beside = (
        waited(f"{crowded}sharing: {{by: homes}}"),
        waited(f"{crowded}sharing: {{by: homes, projects: {{{projects}}}}}"),
    )
    assert beside[0] < alone[0]
    assert beside[1] > alone[1]
    assert beside[2] < alone[2]


@pytest.mark.parametrize(
    ("projects", "said"),
    [
        ("nobody: {weight: 2}", "nothing called nobody among its groups: user-1"),
        ("user-1: {devices: {none: 1}}", "no pool of the network has none"),
    ],
)
def test_projects_that_are_not_there_are_said(projects: str, said: str) -> None:
    experiment = replace(read(f"{FILE}sharing: {{projects: {{{projects}}}}}"), varied={}, seeds=(1,))
    with pytest.raises(InvalidRequest, match=said) as told:
        perform(experiment, None, plays(experiment)[0])
    assert told.value.field is not None
    assert told.value.field.startswith("sharing.projects")


def test_no_policy_takes_a_job_away_from_where_it_must_stay_near() -> None:
    text = FILE.replace("conditions: {", "conditions: {near_share: 1, near_ms: 4, flexible_share: 0.2, ").replace(
        "[joint, nearest]", "[joint, cheapest, greenest, nearest, least_loaded, wait_awhile, fifo]"
    )
    experiment = replace(read(text), varied={}, seeds=(1,), with_bound=False)
    sites = experiment.network.sites
    north, east = np.array([site.latitude for site in sites]), np.array([site.longitude for site in sites])
    delay = {
        place.id: dict(
            zip(
                (site.id for site in sites),
                one_way_ms(distance_km(place.latitude, place.longitude, north, east)).tolist(),
                strict=True,
            )
        )
        for place in experiment.network.places
    }
    for one in plays(experiment):
        jobs = perform(experiment, None, one).jobs
        assert jobs is not None
        ran = [(delay[job["place"]], job["site"], job["wait_allowed_ms"] == 0) for job in jobs.to_pylist()]
        firm = [(near, site) for near, site, may_not_wait in ran if may_not_wait]
        assert len(firm) > len(ran) / 2
        assert all(near[site] <= max(4.0, *sorted(near.values())[:1]) for near, site in firm), one.policy
        far = [site for near, site, may_not_wait in ran if not may_not_wait and near[site] > 4.0]
        assert far or one.policy == "nearest"


def test_the_bound_is_no_policy() -> None:
    assert BOUND not in {one.name for one in read().policies}
    with pytest.raises(InvalidRequest, match="there is no policy"):
        read(FILE.replace("nearest", BOUND))


def shell(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str = "C.UTF-8",
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["suanwang", *arguments])
    monkeypatch.setenv("LC_ALL", language)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        command_line()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_commands_check_play_and_say_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(FILE.replace("seeds: [1, 2]", "seeds: 1").replace("vary: {wait_hours: [0, 12]}\n", ""))
    code, out, _ = shell(["twin", "check", str(file)], monkeypatch, capsys)
    assert code == 0
    assert "3 plays" in out
    code, out, _ = shell(["twin", "run", str(file), "--out", str(tmp_path / "out"), "--jobs", "1"], monkeypatch, capsys)
    assert code == 0
    assert "joint" in out
    assert "(bound)" in out
    assert str(tmp_path / "out" / "report.html") in out
    code, out, _ = shell(["twin", "run", str(file), "--out", str(tmp_path / "out"), "--json"], monkeypatch, capsys)
    said = json.loads(out)
    assert code == 0
    assert (said["found"], said["made"], said["failed"]) == (3, 0, [])
    assert [one["policy"] for one in said["results"]] == ["joint", "nearest"]
    file.write_text(FILE.replace("seeds", "seedz"))
    code, _, err = shell(["twin", "check", str(file)], monkeypatch, capsys)
    assert code == 3
    assert "line 6" in err
    assert "seedz" in err


def test_the_demo_plays_a_log_of_ones_own_and_says_what_its_network_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "own.swf"
    jobs = [f"{n} {n * 700} -1 {600 + 60 * n} 4 -1 -1 4 7200 -1 1 {n % 3} 1 -1 -1 {n % 14} -1 -1" for n in range(1, 60)]
    log.write_text("; Version: 2.2\n" + "\n".join(jobs) + "\n")
    told = ["twin", "demo", "--trace", str(log), "--out", str(tmp_path / "out"), "--jobs", "1"]
    code, out, _ = shell(told, monkeypatch, capsys)
    assert code == 0
    noon, west = out.splitlines()[:2]
    assert noon.index("Zhongwei (9-17)") < noon.index("at night in") < noon.index("Shaoguan (0-8)")
    assert "Horinger 685" in west
    assert "440 in Shaoguan" in west
    for policy in ("joint", "cheapest", "greenest", "nearest", "least_loaded", "wait_awhile", "fifo", "(bound)"):
        assert any(line.startswith(policy) for line in out.splitlines())
    assert "own.swf" in out or "own:" in out
    code, out, _ = shell(told, monkeypatch, capsys, "zh_CN.UTF-8")
    assert code == 0
    assert "电价低谷在中午" in out
    assert "和林格尔" in out
    code, _, err = shell(["twin", "demo", "--trace", str(tmp_path / "none.swf")], monkeypatch, capsys)
    assert code == 5
    assert "is not there" in err


def test_shares_of_projects_over_time_follow_from_the_runs() -> None:
    """Against the jobs of the play, hour by hour and slowly: cores alone are shared here."""
    crowded = FILE.replace("capacity: 0.02", "capacity: 0.004, flexible_share: 0")
    experiment = replace(
        read(f"{crowded}sharing: {{by: homes, projects: {{centre-1: {{weight: 3}}}}}}"),
        varied={}, seeds=(1,), with_bound=False,
    )  # fmt: skip
    (one,) = [play for play in plays(experiment) if play.policy == "joint"]
    tables = perform(experiment, None, one)
    assert tables.shares is not None
    assert tables.jobs is not None
    table = tables.shares.to_pylist()
    homes = drawn_trace(experiment.trace, 1).homes
    jobs, of = tables.jobs.to_pylist(), drawn_trace(experiment.trace, 1).home
    for row in table:
        assert 0 <= row["share"] <= 1 + 1e-9
    for hour in sorted({row["hour"] for row in table})[::20]:
        there = {
            homes[of[job["job"]]]
            for job in jobs
            if job["ready_ms"] < hour + 3_600_000 and (job["end_ms"] < 0 or job["end_ms"] > hour)
            and job["end_ms"] != job["ready_ms"]
        }  # fmt: skip
        rows = {row["project"]: row for row in table if row["hour"] == hour}
        assert {name for name, row in rows.items() if row["entitled"] > 0} == there
        assert sum(row["entitled"] for row in rows.values()) == pytest.approx(1.0 if there else 0.0)
    assert sum(row["share"] for row in table) > 0
