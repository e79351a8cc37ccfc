"""What must hold for every text and every task: only readable errors, and exact round trips."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.task import (
    SIGNALS,
    Checkpoint,
    Circle,
    Constraints,
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
from suanwang.taskfile import (
    read_native,
    read_sbatch,
    read_skypilot,
    read_tasks,
    task_from_json,
    task_to_json,
    write_task,
)
from suanwang.taskfile.slurm_amounts import parse_array

quiet = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
scripts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80).filter(
    lambda text: bool(text.strip())
)
parts = st.text("abcXYZ 01._-数é", min_size=1, max_size=8).filter(lambda text: text.strip(" .") != "")
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
artefacts = st.from_regex(r"[a-z][A-Za-z0-9_.-]{0,20}", fullmatch=True)
sources = st.one_of(artefacts, artefacts.map(lambda name: f"dataset:{name}"))
labels = st.text("abc 0123贵州-.:~!", min_size=1, max_size=12).map(str.strip).filter(bool)
label_tuples = st.lists(labels, max_size=3, unique=True).map(tuple)
seconds = st.integers(1, 365 * 86_400)
models = st.lists(
    st.sampled_from(["nvidia-a100-sxm-80gb", "nvidia-h100-sxm", "huawei-ascend-910b"]), max_size=3, unique=True
).map(tuple)
gigabytes = st.floats(0.001, 64_000)


@st.composite
def device_requests(draw: st.DrawFn) -> DeviceRequest:
    request = DeviceRequest(
        count=draw(st.integers(1, 1024)),
        kind=draw(st.none() | st.sampled_from(list(DeviceKind))),
        models=draw(models),
        min_memory_gb=draw(st.none() | gigabytes),
        precisions=draw(st.lists(st.sampled_from(list(Precision)), max_size=3, unique=True).map(tuple)),
    )
    if request == DeviceRequest(count=request.count):
        return DeviceRequest(count=request.count, kind=DeviceKind.GPU)
    return request


@st.composite
def resources(draw: st.DrawFn) -> Resources:
    limit = draw(seconds.filter(lambda s: s > 1))
    return Resources(
        cores=draw(st.integers(1, 4096)),
        memory_gb=draw(gigabytes),
        devices=draw(st.none() | device_requests()),
        time_limit_s=limit,
        expected_s=draw(st.none() | st.integers(1, limit)),
    )


constraints = st.builds(
    Constraints,
    deadline_at=st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - naive by rule
    budget_yuan=st.none() | st.integers(1, 10**11).map(lambda fen: Decimal(fen) / 100),
    circle=st.none() | st.builds(Circle, place=labels, within_ms=st.floats(0.001, 1000)),
    regions=label_tuples,
    residency=label_tuples,
    providers=label_tuples,
    sites=st.lists(labels.map(SiteId), max_size=2, unique=True).map(tuple),
)
weights = st.floats(0, 1e6)
words = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True)
tasks = st.builds(
    Task,
    name=names,
    run=scripts,
    setup=st.just("") | scripts,
    env=st.dictionaries(st.from_regex(r"[A-RT-Z_][A-Z0-9_]{0,8}", fullmatch=True), scripts | st.just(""), max_size=3),
    count=st.integers(1, 100_000),
    nodes=st.integers(1, 10_000),
    resources=resources(),
    inputs=st.lists(st.builds(Input, source=sources, path=paths), max_size=3, unique_by=lambda item: item.path).map(
        tuple
    ),
    outputs=st.lists(st.builds(Output, name=artefacts, path=paths), max_size=3, unique_by=lambda item: item.name).map(
        tuple
    ),
    checkpoint=st.none() | st.builds(Checkpoint, path=paths),
    needs=st.lists(names.map(lambda name: f"j-{name}"[:40]), max_size=3, unique=True).map(tuple),
    constraints=constraints,
    objective=st.builds(Objective, price=weights, carbon=weights, finish=weights).filter(
        lambda objective: objective.price + objective.carbon + objective.finish > 0
    ),
    flexibility=st.builds(Flexibility, may_wait_s=st.integers(0, 365 * 86_400), may_be_interrupted=st.booleans()),
    slurm=st.builds(SlurmOptions, partition=words, account=words, qos=words),
    signal=st.none()
    | st.builds(Signal, name=st.sampled_from(SIGNALS), before_s=st.sampled_from((None, 1)), shell_only=st.booleans()),
    max_attempts=st.integers(1, 20),
    priority=st.sampled_from(Priority),
)

keys = st.sampled_from(
    [
        "name",
        "run",
        "setup",
        "env",
        "count",
        "nodes",
        "resources",
        "inputs",
        "outputs",
        "checkpoint",
        "needs",
        "constraints",
        "objective",
        "flexibility",
        "slurm",
        "cores",
        "memory",
        "devices",
        "time_limit",
        "deadline",
        "budget",
        "circle",
        "kind",
        "model",
        "num_nodes",
        "envs",
        "secrets",
        "workdir",
        "file_mounts",
        "accelerators",
        "cpus",
        "use_spot",
        "any_of",
        "from",
        "to",
        "service",
    ]
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    names,
    st.sampled_from(
        ["1h", "4GB", "¥3", "2 x gpu", "A100:8", "../x", "/x", "~/x", "./x", "j-a", "s3://b", "a/b", "${X}"]
    ),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=5), inner, max_size=5)
)
documents = st.dictionaries(keys, values, max_size=8)


def reads_or_refuses(text: str | bytes) -> None:
    """The only thing a reader may raise is an error for the user, which names a field."""
    for read in (read_tasks, read_native, read_sbatch, read_skypilot):
        refusal: InvalidRequest | None = None
        found: tuple[Task, ...] = ()
        try:
            found = read(text).tasks
        except InvalidRequest as error:
            refusal = error
        assert found or (refusal is not None and refusal.field and refusal.message)
        for task in found:
            assert task_from_json(orjson.loads(orjson.dumps(task_to_json(task)))) == task


@quiet
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    reads_or_refuses(text)


@quiet
@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    reads_or_refuses(content)


@quiet
@given(st.text("{}[]:,-&*!|>'\"#%@`?~ \n\t\r\\0a\x85\u2028\ufeff", max_size=60))
def test_any_tangle_of_yaml_is_read_or_refused(text: str) -> None:
    reads_or_refuses(text)


@quiet
@given(documents)
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    whole = {"name": "a", "run": "x", **document}
    reads_or_refuses(yaml.safe_dump(whole, allow_unicode=True))
    reads_or_refuses(yaml.safe_dump_all([document, whole]))
    reads_or_refuses(json.dumps(whole))


@quiet
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds(
                "--{}={}".format,
                st.sampled_from(
                    [
                        "nodes",
                        "ntasks",
                        "mem",
                        "time",
                        "gres",
                        "gpus",
                        "array",
                        "dependency",
                        "export",
                        "chdir",
                        "job-name",
                        "begin",
                    ]
                ),
                st.text("0123456789-:,%kMG=agpunow/.", max_size=12),
            ),
        ),
        max_size=6,
    )
)
def test_any_options_are_read_or_refused(options: list[str]) -> None:
    reads_or_refuses("#!/bin/bash\n" + "".join(f"#SBATCH {option}\n" for option in options) + "true\n")


@quiet
@given(tasks)
def test_what_is_written_is_read_back(task: Task) -> None:
    (back,) = read_tasks(write_task(task)).tasks
    assert back == task


@quiet
@given(tasks)
def test_what_is_stored_comes_back_exactly(task: Task) -> None:
    back = task_from_json(orjson.loads(orjson.dumps(task_to_json(task))))
    assert back == task
    assert str(back.constraints.budget_yuan) == str(task.constraints.budget_yuan)


@quiet
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=5))
def test_arrays_have_the_indexes_of_their_parts(ranges: list[tuple[int, int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}:{step}" for first, more, step in ranges)
    expected = {index for first, more, step in ranges for index in range(first, first + more + 1, step)}
    assert list(parse_array(text, most=1000).indexes) == sorted(expected)
