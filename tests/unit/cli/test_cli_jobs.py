"""Submitting and looking at jobs by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell, running_job

from suanwang.client import Client

TASK = "name: hello\nrun: echo hello\nresources: {cores: 2, memory: 2GB}\n"
IMPOSSIBLE = "name: huge\nrun: echo\nresources: {cores: 512}\n"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def test_a_file_is_submitted_and_its_job_listed_and_shown(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(TASK)
    done = shell("submit", "task.yaml")
    assert (done.code, done.err) == (0, "")
    job_id, name = done.out.split()
    assert (job_id[:2], name) == ("j-", "hello")
    assert job_id in shell("job", "list").out
    shown = shell("job", "show", job_id, "--json").json
    assert (shown["id"], shown["state"], shown["project"]) == (job_id, "queued", "demo")
    assert shown["task"]["resources"]["cores"] == 2


def test_standard_input_is_read_for_a_dash(shell: Shell) -> None:
    script = b"#!/bin/bash\n#SBATCH --job-name=legacy\n#SBATCH --time=10\necho hello\n"
    done = shell("submit", "-", "--json", stdin=script)
    assert done.code == 0
    assert [job["name"] for job in done.json["jobs"]] == ["legacy"]


def test_local_files_are_uploaded_first_folders_too(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("print(1)\n")
    (tmp_path / "train.py").write_text("print(2)\n")
    (tmp_path / "task.yaml").write_text("name: t\nrun: ls\ninputs: {train.py: ./train.py, lib: ./code}\n")
    assert shell("submit", "task.yaml").code == 0
    files = {row["name"]: row["content"] for row in shell("file", "list", "--json").json}
    assert {name: content["folder"] for name, content in files.items()} == {"t.train.py": False, "t.code": True}


def test_a_local_file_that_is_missing_is_named_and_nothing_is_submitted(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: t\nrun: ls\ninputs: {train.py: ./train.py}\n")
    done = shell("submit", "task.yaml")
    assert done.code == 3
    assert "./train.py does not exist here" in done.err
    assert shell("job", "list", "--json").json == []


def test_every_problem_of_a_file_is_named_with_its_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: t\nrun: ls\nresources: {cores: -1}\nnodse: 2\n")
    done = shell("submit", "task.yaml")
    assert (done.code, done.out) == (3, "")
    assert "resources.cores" in done.err
    assert "line 4" in done.err
    assert "Traceback" not in done.err


def test_a_job_no_site_can_run_ends_with_8_and_the_reason_of_each_site(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(IMPOSSIBLE)
    done = shell("submit", "task.yaml")
    assert done.code == 8
    assert "guian: a node has 8 cores; the job needs 512" in done.err


def test_the_same_key_submits_once(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(TASK)
    first = shell("submit", "task.yaml", "--key", "k", "--json").json
    second = shell("submit", "task.yaml", "--key", "k", "--json").json
    assert first["jobs"][0]["id"] == second["jobs"][0]["id"]
    assert (first["replayed"], second["replayed"]) == (False, True)


def test_the_same_key_for_other_work_is_a_conflict(shell: Shell) -> None:
    assert shell("submit", "-", "--key", "k", stdin=TASK.encode()).code == 0
    assert shell("submit", "-", "--key", "k", stdin=b"name: other\nrun: ls\n").code == 6


def test_a_preview_submits_nothing(shell: Shell, net: World) -> None:
    net.agent().tell()
    done = shell("submit", "-", "--preview", "--json", stdin=TASK.encode())
    assert done.code == 0
    assert [task["verdict"] for task in done.json["tasks"]] == ["runs"]
    assert shell("submit", "-", "--preview", stdin=IMPOSSIBLE.encode()).code == 8
    assert shell("job", "list", "--json").json == []


def test_watching_prints_the_output_and_ends_as_the_job_ended(
    shell: Shell, net: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(self: Client, job_id: str, *, after: int = 0) -> Iterator[object]:
        agent = net.agent()
        agent.tell()
        net.network.turn()
        agent.run_all("line one\n", outcome=outcome)
        yield from follow(self, job_id, after=after)

    follow = Client.follow_logs
    monkeypatch.setattr(Client, "follow_logs", at_once)
    outcome = "succeeded"
    done = shell("submit", "-", "--watch", stdin=TASK.encode())
    assert (done.code, "line one\n" in done.out) == (0, True)
    outcome = "failed"
    done = shell("submit", "-", "--watch", "--json", stdin=TASK.encode())
    assert done.code == 8
    assert "did not succeed" in done.err
    assert [job["state"] for job in done.json] == ["failed"]


def test_watch_and_preview_exclude_each_other(shell: Shell) -> None:
    assert shell("submit", "-", "--watch", "--preview", stdin=TASK.encode()).code == 2


def test_logs_are_the_jobs_own_bytes(shell: Shell, net: World) -> None:
    job, _ = net.run("hello\n", "世界\n")
    assert shell("logs", job["id"]).out == "hello\n世界\n"
    lines = [json.loads(line) for line in shell("logs", "-f", job["id"], "--json").out.splitlines()]
    assert "".join(line["text"] for line in lines if line["kind"] == "log") == "hello\n世界\n"
    assert lines[-1]["state"] == "succeeded"


def test_explain_names_the_site_and_why_not_the_others(shell: Shell, net: World) -> None:
    net.network.sites.invite(net.operator, "small", offering(name_zh="小站", name_en="Small", cores_per_node=1))
    with running_job(net) as job:
        found = shell("explain", job["id"], "--json").json
        assert found["verdict"] == "placed"
        assert found["why"]["chosen"]["site"] == "guian"
        said = shell("explain", job["id"]).out
        assert "Guian" in said
        assert "Small" in said


def test_a_job_is_cancelled_by_either_command(shell: Shell, net: World) -> None:
    first, second = net.submit("a"), net.submit("b")
    assert shell("cancel", first["id"], "--json").json["jobs"][0]["state"] == "cancelled"
    assert shell("job", "cancel", second["id"]).code == 0
    assert {job["state"] for job in shell("job", "list", "--json").json} == {"cancelled"}


def test_an_array_is_cancelled_whole(shell: Shell, net: World) -> None:
    first = net.submit("sweep", count=3)
    assert shell("cancel", first["id"], "--array", "--json").json["count"] == 3


def test_a_list_keeps_to_its_limit_and_filters(shell: Shell, net: World) -> None:
    for number in range(5):
        net.submit(f"n{number}")
    assert len(shell("job", "list", "--limit", "3", "--json").json) == 3
    assert [job["name"] for job in shell("job", "list", "--name", "n2", "--json").json] == ["n2"]
    assert shell("job", "list", "--state", "running", "--json").json == []
    assert shell("job", "list", "--state", "flying").code == 2


def test_the_terminals_language_is_used(shell: Shell, net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = net.submit("huge", resources={"cores": 512})
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    said = shell("explain", job["id"]).out
    assert "贵安" in said
    assert "每节点 8 核；作业需要 512 核" in said
    assert "状态" in shell("job", "list").out


def test_points_are_listed(shell: Shell, net: World) -> None:
    with running_job(net) as job:
        assert shell("job", "points", job["id"], "--json").json == []
        assert shell("job", "points", job["id"]).code == 0


def test_what_another_project_has_is_not_found(shell: Shell, net: World) -> None:
    job = net.submit(by="bob")
    done = shell("job", "show", job["id"])
    assert (done.code, done.out) == (5, "")
