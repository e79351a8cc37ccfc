"""The native task file: friendly forms, limits, and every problem named with its field and line."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.task import (
    Checkpoint,
    Circle,
    DeviceRequest,
    Flexibility,
    Input,
    Objective,
    Output,
    Priority,
    Resources,
    Signal,
    SlurmOptions,
    Task,
)
from suanwang.taskfile import InvalidTask, Problem, Upload, read_native, read_tasks

LEAST = "name: a\nrun: echo hi\n"


def only(text: str | bytes) -> Task:
    (task,) = read_tasks(text).tasks
    return task


def problems(text: str | bytes) -> dict[str, Problem]:
    with pytest.raises(InvalidTask) as caught:
        read_tasks(text)
    return {problem.field: problem for problem in caught.value.problems}


def test_the_least_task_has_the_domains_defaults() -> None:
    assert only(LEAST) == Task(name="a", run="echo hi")


def test_every_section_in_its_friendly_forms() -> None:
    task = only(
        """
name: train
setup: pip install -r requirements.txt
run: |
  python train.py
env: {RATE: 3.10, VERBOSE: true, ZERO: 010, WORD: x}
count: 8
nodes: 2
resources:
  cores: 4
  memory: 4 GiB
  devices: {count: 8, kind: NPU, min_memory: 64GB, precision: [bf16, FP64]}
  time_limit: 1h30m
  expected: 10m
inputs: {data/x.csv: raw, w: dataset:weights}
outputs: {model: ./out//model.pt}
checkpoint: ckpt/
constraints:
  deadline: 2026-05-01T18:00+08:00
  budget: ¥12.50
  circle: within 5 ms of 上海
  regions: 贵州
  residency: [芜湖, 芜湖]
  providers: [p]
  sites: [s1, s2]
objective: {price: 2, carbon: 1}
flexibility: {may_wait: 2h, may_be_interrupted: true}
slurm: {partition: gpu, account: lab, qos: high}
priority: High
signal: sigusr1@90s
max_attempts: 5
"""
    )
    assert dict(task.env) == {"RATE": "3.10", "VERBOSE": "true", "ZERO": "010", "WORD": "x"}
    assert task.resources == Resources(
        cores=4,
        memory_gb=4 * 2**30 / 1e9,
        devices=DeviceRequest(
            count=8, kind=DeviceKind.NPU, min_memory_gb=64.0, precisions=(Precision.BF16, Precision.FP64)
        ),
        time_limit_s=5400,
        expected_s=600,
    )
    assert task.inputs == (Input(source="raw", path="data/x.csv"), Input(source="dataset:weights", path="w"))
    assert task.outputs == (Output(name="model", path="out/model.pt"),)
    assert task.checkpoint == Checkpoint(path="ckpt")
    assert task.constraints.deadline_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert task.constraints.budget_yuan == Decimal("12.50")
    assert task.constraints.circle == Circle(place="上海", within_ms=5.0)
    assert (task.constraints.regions, task.constraints.residency) == (("贵州",), ("芜湖",))
    assert (task.constraints.providers, task.constraints.sites) == (("p",), ("s1", "s2"))
    assert task.objective == Objective(price=2.0, carbon=1.0, finish=0.0)
    assert task.flexibility == Flexibility(may_wait_s=7200, may_be_interrupted=True)
    assert task.slurm == SlurmOptions(partition="gpu", account="lab", qos="high")
    assert (task.count, task.nodes, task.max_attempts) == (8, 2, 5)
    assert task.priority is Priority.HIGH
    assert task.signal == Signal(name="USR1", before_s=90)


@pytest.mark.parametrize(
    ("written", "memory_gb"),
    [("4", 4.0), ("'4'", 4.0), ("4GB", 4.0), ("512MB", 0.512), ("1.5 TB", 1500.0), ("2Gi", 2**31 / 1e9), ("0.5", 0.5)],
)
def test_memory(written: str, memory_gb: float) -> None:
    assert only(f"{LEAST}resources: {{memory: {written}}}").resources.memory_gb == memory_gb


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("1d 2h", 93_600)]
)
def test_durations(written: str, seconds: int) -> None:
    assert only(f"{LEAST}resources: {{time_limit: {written}}}").resources.time_limit_s == seconds


@pytest.mark.parametrize(
    ("written", "count", "kind", "some_model"),
    [
        ("2 x nvidia-a100-80gb", 2, None, "nvidia-a100-sxm-80gb"),
        ("ascend-910b", 1, None, "huawei-ascend-910b"),
        ("H100:8", 8, None, "nvidia-h100-sxm"),
        ("4 × npu", 4, DeviceKind.NPU, None),
        ("{count: 3, model: [ascend-910b, A100-80GB]}", 3, None, "nvidia-a100-sxm-80gb"),
    ],
)
def test_devices(written: str, count: int, kind: DeviceKind | None, some_model: str | None) -> None:
    devices = only(f"{LEAST}resources: {{devices: {written}}}").resources.devices
    assert devices is not None
    assert (devices.count, devices.kind) == (count, kind)
    assert some_model in devices.models if some_model else devices.models == ()


def test_a_family_name_allows_each_of_its_models() -> None:
    devices = only(f"{LEAST}resources: {{devices: 1 x A100}}").resources.devices
    assert devices is not None
    assert {"nvidia-a100-sxm-40gb", "nvidia-a100-pcie-80gb"} <= set(devices.models)


@pytest.mark.parametrize(
    ("word", "weights"),
    [("cheapest", (1, 0, 0)), ("greenest", (0, 1, 0)), ("fastest", (0, 0, 1)), ("balanced", (1, 1, 1))],
)
def test_objectives_in_one_word(word: str, weights: tuple[float, float, float]) -> None:
    objective = only(f"{LEAST}objective: {word}").objective
    assert (objective.price, objective.carbon, objective.finish) == weights


def test_lists_of_inputs_and_outputs() -> None:
    task = only(f"{LEAST}inputs: [raw, {{from: b, to: x/b}}]\noutputs: [out/m.pt, {{name: log, path: l.txt}}]")
    assert task.inputs == (Input(source="raw", path="raw"), Input(source="b", path="x/b"))
    assert task.outputs == (Output(name="m.pt", path="out/m.pt"), Output(name="log", path="l.txt"))


def test_local_inputs_become_uploads_named_without_their_content() -> None:
    submission = read_native(f"{LEAST}inputs: {{d.csv: ./in/d.csv, e.csv: /data/d.csv, code: .}}")
    assert submission.uploads == (
        Upload(local_path="./in/d.csv", name="a.d.csv", to="d.csv"),
        Upload(local_path="/data/d.csv", name="a.d.csv-2", to="e.csv"),
        Upload(local_path=".", name="a.folder", to="code"),
    )
    assert [item.source for item in submission.tasks[0].inputs] == ["a.d.csv", "a.d.csv-2", "a.folder"]


def test_a_workflow_and_the_needs_its_inputs_imply() -> None:
    submission = read_tasks(
        "name: a\nrun: x\noutputs: {m: m}\n---\nname: b\nrun: y\nneeds: [j-abc1]\ninputs: {m: a/m, o: j-xyz/o}\n"
    )
    assert submission.tasks[1].needs == ("j-abc1", "a", "j-xyz")
    assert submission.notes == (
        "needs: b reads a/m, so it waits for a.",
        "needs: b reads j-xyz/o, so it waits for j-xyz.",
    )


def test_json_is_read_too() -> None:
    assert only('{"name": "a", "run": "echo \\ud83d\\ude00", "env": {"N": 3}}') == Task(
        name="a", run="echo 😀", env={"N": "3"}
    )


def test_empty_keys_are_as_if_absent() -> None:
    assert only(f"{LEAST}env:\nresources:\n  devices:\nneeds:\n") == Task(name="a", run="echo hi")


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ("resources: {cores: 0}", "resources.cores"),
        ("resources: {cores: 4097}", "resources.cores"),
        ("resources: {cores: 1.5}", "resources.cores"),
        ("resources: {cores: true}", "resources.cores"),
        ("resources: {cores: '4'}", "resources.cores"),
        ("resources: {memory: -1}", "resources.memory"),
        ("resources: {memory: .nan}", "resources.memory"),
        ("resources: {memory: .inf}", "resources.memory"),
        ("resources: {memory: 65TB}", "resources.memory"),
        ("resources: {memory: 4 parsecs}", "resources.memory"),
        ("resources: {time_limit: 3600}", "resources.time_limit"),
        ("resources: {time_limit: 0s}", "resources.time_limit"),
        ("resources: {time_limit: 366d}", "resources.time_limit"),
        ("resources: {time_limit: 1h, expected: 2h}", "resources.expected"),
        ("resources: {devices: 2}", "resources.devices"),
        ("resources: {devices: {count: 2}}", "resources.devices"),
        ("resources: {devices: 0 x gpu}", "resources.devices.count"),
        ("resources: {devices: 1025 x gpu}", "resources.devices.count"),
        ("resources: {devices: 2 x a1000000}", "resources.devices.model[0]"),
        ("resources: {devices: {kind: quantum}}", "resources.devices.kind"),
        ("nodes: 10001", "nodes"),
        ("count: 100001", "count"),
        ("count: -1", "count"),
        ("max_attempts: 0", "max_attempts"),
        ("priority: urgent", "priority"),
        ("signal: KILL", "signal"),
        ("signal: 10", "signal"),
        ("signal: USR1@90", "signal"),
        ("signal: USR1@0s", "signal"),
        ("signal: A:USR1", "signal"),
        ("signal: USR1@1h", "signal"),
        ("env: {1A: x}", "env.1A"),
        ("env: {SUANWANG_SITE: x}", "env.SUANWANG_SITE"),
        ("env: {A: [x]}", "env.A"),
        ("env: {A: }", "env.A"),
        ("inputs: {../x: raw}", "inputs[0].to"),
        ("inputs: {/etc/x: raw}", "inputs[0].to"),
        ("inputs: {~/x: raw}", "inputs[0].to"),
        ("inputs: {'a\\b': raw}", "inputs[0].to"),
        ('inputs: {"a\\tb": raw}', "inputs[0].to"),
        ("inputs: {x: s3://b/x}", "inputs[0].from"),
        ("inputs: {x: 'C:\\x'}", "inputs[0].from"),
        ("inputs: {x: other/x}", "inputs[0].from"),
        ("inputs: {x: '..\\x'}", "inputs[0].from"),
        ("inputs: [{from: r, to: x}, {from: s, to: ./x}]", "inputs[1].to"),
        ("outputs: {m: ../m}", "outputs[0].from"),
        ("outputs: {m: .}", "outputs[0].from"),
        ("outputs: {a/b: m}", "outputs[0].to"),
        ("outputs: [m, {from: x/m, to: m}]", "outputs[1].to"),
        ("checkpoint: /scratch", "checkpoint"),
        ("checkpoint: .", "checkpoint"),
        ("needs: [a]", "needs[0]"),
        ("needs: [b]", "needs[0]"),
        ("needs: [B!]", "needs[0]"),
        ("constraints: {deadline: 2026-05-01T18:00}", "constraints.deadline"),
        ("constraints: {deadline: 2026-05-01}", "constraints.deadline"),
        ("constraints: {deadline: tomorrow}", "constraints.deadline"),
        ("constraints: {budget: -1}", "constraints.budget"),
        ("constraints: {budget: .nan}", "constraints.budget"),
        ("constraints: {budget: 0.001}", "constraints.budget"),
        ("constraints: {circle: near 上海}", "constraints.circle"),
        ("constraints: {circle: {place: 上海, within_ms: 0}}", "constraints.circle.within_ms"),
        ("constraints: {circle: {place: 上海}}", "constraints.circle.within_ms"),
        ("constraints: {regions: ['']}", "constraints.regions[0]"),
        ("objective: {price: 0, carbon: 0}", "objective"),
        ("objective: {price: -1}", "objective.price"),
        ("objective: {price: .inf}", "objective.price"),
        ("objective: best", "objective"),
        ("flexibility: {may_be_interrupted: 1}", "flexibility.may_be_interrupted"),
        ("slurm: {partition: 'a; rm -rf /'}", "slurm.partition"),
        ("slurm: {partition: '--uid=0'}", "slurm.partition"),
        ("resources: 4", "resources"),
        ("inputs: 4", "inputs"),
    ],
)
def test_each_bad_value_is_named_with_its_line(extra: str, field: str) -> None:
    found = problems(LEAST + extra)
    assert list(found) == [field]
    assert found[field].line == 3


def test_unknown_keys_are_refused_with_the_nearest_allowed_one() -> None:
    found = problems("name: a\nrnu: x\nrun: y\nresources:\n  core: 3\n  devices: {coutn: 2, kind: gpu}\n")
    assert found["rnu"].message == "unknown key: did you mean run?"
    assert found["resources.core"].message == "unknown key: did you mean cores?"
    assert found["resources.core"].line == 5
    assert found["resources.devices.coutn"].allowed == "count, kind, model, min_memory, precision"


def test_a_bad_name_comes_with_a_good_one() -> None:
    found = problems("name: My Café_Task\nrun: x")
    assert "'my-cafe-task' would do" in found["name"].message


def test_all_problems_of_all_tasks_come_at_once() -> None:
    found = problems("name: A\nrun: x\n---\nname: b\nrun: ' '\nresources: {devices: 2 x a1000000}\n")
    assert set(found) == {"tasks[0].name", "tasks[1].run", "tasks[1].resources.devices.model[0]"}
    assert found["tasks[1].resources.devices.model[0]"].line == 6


def test_what_does_not_fit_together() -> None:
    text = "name: a\nrun: x\nneeds: [c]\n---\nname: b\nrun: x\nneeds: [a]\n---\nname: c\nrun: x\nneeds: [b, zz]\n"
    found = problems(text)
    assert found["tasks[2].needs[1]"].message == "there is no task zz in this file"
    assert found["tasks[0].needs"].message == "the tasks wait for each other: a → c → b → a"


def test_names_are_used_once_and_outputs_must_exist() -> None:
    found = problems(
        "name: a\nrun: x\noutputs: {m: m}\n---\nname: b\nrun: x\ninputs: {n: a/n}\n"
        "---\nname: a\nrun: x\noutputs: {m: m}"
    )
    assert found["tasks[2].name"].message == "another task of this file is already called a"
    assert found["tasks[1].inputs[0].from"].allowed == "m"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no task"),
        ("# nothing\n", "no task"),
        ("- 1\n", "mapping"),
        ("just words", "mapping"),
        ("name: [a\n", "not YAML"),
        ("name: a\nname: b\n", "already given in line 1"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", "tag"),
        ("a: !!binary aGk=\n", "tag"),
        ("? [a, b]\n: c\n", "plain text"),
        ("a: " + "[" * 30 + "]" * 30, "deep"),
        ("a: " + "9" * 5000, "digits"),
        ('a: "\\0"\n', "no text may hold"),
        ("name: a\0\n", "NUL"),
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"a": NaN}', "not a number"),
        ('{"a": ' + "[" * 30 + "]" * 30 + "}", "deep"),
        ('{"a": "\\u0000"}', "no text may hold"),
        ("a: \x07\n", "not YAML"),
        ("\ud800", "surrogate"),
    ],
)
def test_hostile_files(text: str, says: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        read_tasks(text)
    assert says in caught.value.message


def test_bytes_must_be_utf8() -> None:
    assert "byte 6" in problems(b"name: \xff")["file"].message
    assert only("name: a\nrun: x".encode("utf-8-sig")).name == "a"


def test_a_large_file_is_too_large_and_an_invalid_request() -> None:
    with pytest.raises(TooLarge):
        read_tasks(LEAST + "#" * (1 << 20))
    assert issubclass(InvalidTask, InvalidRequest)


def test_yaml_words_that_only_old_yaml_takes_for_something_else_stay_words() -> None:
    task = only("name: on\nrun: yes\nenv: {A: 12:30, B: 0x10, C: 2026-01-01}\n")
    assert (task.name, task.run) == ("on", "yes")
    assert dict(task.env) == {"A": "12:30", "B": "0x10", "C": "2026-01-01"}


def test_errors_shorten_and_escape_what_they_quote() -> None:
    found = problems("name: " + "x" * 5000 + "\nrun: y\nneeds: ['\u202e!']")
    assert len(found["name"].message) < 300
    assert "\u202e" not in found["needs[0]"].message
