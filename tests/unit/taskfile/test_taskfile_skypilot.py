"""SkyPilot tasks: the meaning their users expect, and every key that is not honoured named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from suanwang.domain.task import Checkpoint, Input, Task
from suanwang.taskfile import InvalidTask, Problem, Submission, Upload, read_skypilot, read_tasks

LEAST = "name: a\nnum_nodes: 1\nrun: echo hi\n"


def read(text: str) -> Submission:
    submission = read_tasks(text, filename="sky.yaml")
    assert submission.format == "skypilot"
    return submission


def only(text: str) -> Task:
    (task,) = read(text).tasks
    return task


def problems(text: str) -> dict[str, Problem]:
    with pytest.raises(InvalidTask) as caught:
        read_skypilot(text, filename="sky.yaml")
    return {problem.field: problem for problem in caught.value.problems}


def run(task: Task, folder: Path, **env: str) -> str:
    """What bash prints when setup and run are sourced one after the other, as a site does."""
    (folder / "setup.sh").write_text(task.setup)
    (folder / "run.sh").write_text(task.run)
    done = subprocess.run(
        ["bash", "-c", "source ./setup.sh && source ./run.sh"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **task.env, **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


def test_resources() -> None:
    task = only(f"{LEAST}resources: {{accelerators: 'A100-80GB:8', cpus: 32+, memory: 256+, use_spot: true}}")
    assert task.resources.cores == 32
    assert task.resources.memory_gb == 256 * 2**30 / 1e9
    assert task.resources.devices is not None
    assert task.resources.devices.count == 8
    assert task.resources.devices.models == ("nvidia-a100-sxm-80gb",)
    assert task.flexibility.may_be_interrupted


@pytest.mark.parametrize(("written", "gib"), [("64", 64), ("64GB", 64), ("2048MB", 2), ("4x", 16), ("1.5", 1.5)])
def test_memory_is_binary(written: str, gib: float) -> None:
    assert only(f"{LEAST}resources: {{cpus: 4, memory: {written}}}").resources.memory_gb == gib * 2**30 / 1e9


@pytest.mark.parametrize(
    "accelerators",
    [
        "{V100: 2, T4: 2}",
        "{'V100:2', 'T4:2'}",
        "['V100:2', 'T4:2']",
        "[{V100: 2}, {T4: 2}]",
        "\"{'V100': 2, 'T4': 2}\"",
    ],
)
def test_accelerators_to_choose_from(accelerators: str) -> None:
    devices = only(f"{LEAST}resources: {{accelerators: {accelerators}}}").resources.devices
    assert devices is not None
    assert devices.count == 2
    assert {"nvidia-v100-sxm-16gb", "nvidia-t4"} <= set(devices.models)


def test_alternatives_of_resources() -> None:
    submission = read(f"{LEAST}resources: {{any_of: [{{accelerators: T4}}, {{accelerators: L4, region: x}}]}}")
    devices = submission.tasks[0].resources.devices
    assert devices is not None
    assert devices.models == ("nvidia-t4", "nvidia-l4")
    assert "resources.any_of[1].region is not honoured: the network chooses among its own sites." in submission.notes


def test_another_count_is_left_out_and_said() -> None:
    submission = read(f"{LEAST}resources: {{accelerators: {{T4: 4, L4: 2}}}}")
    devices = submission.tasks[0].resources.devices
    assert devices is not None
    assert (devices.count, devices.models) == (4, ("nvidia-t4",))
    assert any("L4:2 left out" in note for note in submission.notes)


def test_variables_are_text_and_secrets_are_told_apart() -> None:
    submission = read(f"{LEAST}envs: {{A: 3, B: true, C: x}}\nsecrets: {{TOKEN: hush, KEY: 1.50}}")
    assert dict(submission.tasks[0].env) == {"A": "3", "B": "True", "C": "x", "TOKEN": "hush", "KEY": "1.50"}
    assert submission.secret_names == ("TOKEN", "KEY")
    assert "hush" not in repr(submission.notes)


def test_a_variable_without_a_value_is_asked_for_and_no_secret_is_shown() -> None:
    found = problems(f"{LEAST}secrets: {{TOKEN: null, 1BAD: hush, LIST: [hush]}}\nenvs: {{A: }}\n")
    assert set(found) == {"secrets.TOKEN", "secrets.LIST", "secrets.1BAD", "envs.A"}
    assert "hush" not in repr(found)


def test_folders_and_mounts_become_uploads() -> None:
    submission = read(
        f"{LEAST}envs: {{D: set}}\nworkdir: ~/code\n"
        "file_mounts:\n  ~/data: ./data-${D}\n  conf/x: /etc/x\n  ~/sky_workdir/y: y\n"
    )
    assert submission.uploads == (
        Upload(local_path="~/code", name="a.code", to="."),
        Upload(local_path="./data-set", name="a.data-set", to="sky_home/data"),
        Upload(local_path="/etc/x", name="a.x", to="conf/x"),
        Upload(local_path="./y", name="a.y", to="y"),
    )
    assert submission.tasks[0].inputs[0] == Input(source="a.code", path=".")


def test_a_bucket_for_checkpoints_is_the_checkpoint() -> None:
    submission = read(f"{LEAST}file_mounts: {{~/checkpoints: {{name: b, mode: MOUNT}}}}")
    assert submission.tasks[0].checkpoint == Checkpoint(path="sky_home/checkpoints")
    assert any("checkpoint" in note for note in submission.notes)


@pytest.mark.parametrize(
    ("mount", "field"),
    [
        ("/data: ./data", "file_mounts./data"),
        ("~/x: s3://bucket/x", "file_mounts.~/x"),
        ("~/x: {source: s3://bucket/x, mode: MOUNT}", "file_mounts.~/x"),
        ("~/x: {name: b}", "file_mounts.~/x"),
        ("../x: ./x", "file_mounts['../x']"),
        ("~/../x: ./x", "file_mounts['~/../x']"),
        ("~/x: 3", "file_mounts.~/x"),
    ],
)
def test_data_that_cannot_be_placed_is_refused(mount: str, field: str) -> None:
    found = problems(f"{LEAST}file_mounts:\n  {mount}\n")
    assert list(found) == [field]
    assert found[field].line == 5


def test_a_repository_is_fetched() -> None:
    submission = read(f"{LEAST}workdir: {{url: 'https://example.org/x.git', ref: 'a b'}}")
    assert "git fetch -q --depth 1 https://example.org/x.git 'a b'" in submission.tasks[0].setup
    assert any("git" in note for note in submission.notes)


@pytest.mark.parametrize(
    "key",
    [
        "cloud",
        "region",
        "zone",
        "infra",
        "instance_type",
        "disk_size",
        "disk_tier",
        "network_tier",
        "ports",
        "image_id",
        "labels",
        "autostop",
    ],
)
def test_resources_that_are_not_honoured_are_named(key: str) -> None:
    notes = read(f"{LEAST}resources: {{{key}: x}}").notes
    assert len([note for note in notes if note.startswith(f"resources.{key} is not honoured")]) == 1


def test_config_is_named_and_a_service_refused() -> None:
    assert any(note.startswith("config is not honoured") for note in read(f"{LEAST}config: {{x: 1}}").notes)
    assert "service" in problems(f"{LEAST}service: {{port: 80}}")


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ("num_nods: 3", "num_nods"),
        ("resources: {acelerators: T4}", "resources.acelerators"),
        ("resources: {accelerators: Q9000}", "resources.accelerators"),
        ("resources: {accelerators: 'T4:0.5'}", "resources.accelerators"),
        ("resources: {accelerators: 'T4:0'}", "resources.accelerators"),
        ("resources: {accelerators: 7}", "resources.accelerators"),
        ("resources: {cpus: many}", "resources.cpus"),
        ("resources: {cpus: 9999}", "resources.cpus"),
        ("resources: {memory: 0}", "resources.memory"),
        ("resources: {memory: 9PB}", "resources.memory"),
        ("resources: {use_spot: maybe}", "resources.use_spot"),
        ("resources: [x]", "resources"),
        ("resources: {any_of: 3}", "resources.any_of"),
        ("envs: [x]", "envs"),
        ("setup: [x]", "setup"),
        ("workdir: 3", "workdir"),
    ],
)
def test_bad_values_are_named_in_skypilots_words_with_their_line(extra: str, field: str) -> None:
    found = problems(LEAST + extra)
    assert list(found) == [field]
    assert found[field].line == 4


def test_a_pipeline_is_a_chain() -> None:
    submission = read("name: p\n---\nrun: a\nresources: {cpus: 2}\n---\nname: Two\nrun: b\n---\nrun: c\n")
    assert [(task.name, task.needs) for task in submission.tasks] == [
        ("p-1", ()),
        ("two", ("p-1",)),
        ("p-3", ("two",)),
    ]


def test_what_is_assumed_is_said() -> None:
    submission = read("num_nodes: 1\nrun: x\nresources: {accelerators: 'T4:2'}")
    task = submission.tasks[0]
    assert (task.name, task.resources.cores, task.resources.memory_gb) == ("sky", 8, 32.0)
    for field in ("name", "resources.cpus", "resources.memory", "SkyPilot tasks have no time limit"):
        assert len([note for note in submission.notes if note.startswith(field)]) == 1


def test_a_script_sees_skypilots_variables_and_its_home(tmp_path: Path) -> None:
    task = only(
        "num_nodes: 2\nresources: {accelerators: 'T4:4'}\nfile_mounts: {~/d: ./d}\n"
        "setup: |\n  cd /\n  LEFT=over\n"
        "run: |\n"
        '  echo "$SKYPILOT_NODE_RANK $SKYPILOT_NUM_NODES $SKYPILOT_NUM_GPUS_PER_NODE $SKYPILOT_TASK_ID ${LEFT:-none}"\n'
        '  echo "$SKYPILOT_NODE_IPS" | wc -l\n'
        "  pwd\n  echo ~/d\n  cd ~/sky_workdir && pwd -P\n"
    )
    env = {"SUANWANG_NODE_RANK": "1", "SUANWANG_NUM_NODES": "2", "SUANWANG_JOB_ID": "j-1"}
    printed = run(task, tmp_path, **env, SUANWANG_NODE_LIST="127.0.0.1\n127.0.0.2")
    assert printed.split("\n") == [
        "1 2 4 j-1 none",
        "2",
        str(tmp_path),
        f"{tmp_path}/sky_home/d",
        str(tmp_path.resolve()),
    ]


def test_a_file_with_words_of_both_formats_is_native() -> None:
    with pytest.raises(InvalidTask) as caught:
        read_tasks("name: a\nrun: x\ncount: 2\nenvs: {A: 1}\n")
    assert caught.value.problems[0].message == "unknown key: did you mean env?"
