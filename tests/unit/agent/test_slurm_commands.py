"""What Slurm is told: one option per value, nothing injected, scripts whose own options are inert."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from suanwang.domain.connector import DeviceSlots, RunOrder
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.connectors.slurm.commands import (
    check_order,
    comment_of,
    gres_option,
    minutes,
    sbatch,
    script_text,
)
from suanwang.sensing.connectors.slurm.facts import memory_mb


def order(**changes: Any) -> RunOrder:
    plain = RunOrder(
        tag="run-1",
        name="train",
        script="#!/bin/bash\n#SBATCH --partition=evil\necho hi\n",
        work_dir=PurePosixPath("/w"),
        stdout_path=PurePosixPath("/w/out"),
        stderr_path=PurePosixPath("/w/err"),
        exit_path=PurePosixPath("/w/exit"),
        lease_path=PurePosixPath("/w/lease"),
        env={},
    )
    return replace(plain, **changes)


def test_every_value_is_joined_to_its_own_option() -> None:
    argv = sbatch(
        order(partition="-p evil", account="--uid=0", qos="high", nodes=2, cores=3, memory_gb=2.0, time_limit_s=61),
        comment="suanwang:run-1 train",
        gres="gpu:ascend910b:8",
    )
    assert argv[0] == "sbatch"
    assert all(word.startswith("--") for word in argv[1:])
    assert {
        "--job-name=run-1",
        "--comment=suanwang:run-1 train",
        "--partition=-p evil",
        "--account=--uid=0",
        "--qos=high",
        "--nodes=2-2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=3",
        "--mem=1908M",
        "--time=2",
        "--gres=gpu:ascend910b:8",
        "--no-requeue",
    } <= set(argv)


def test_what_an_order_leaves_open_is_left_to_the_site() -> None:
    argv = sbatch(order(), comment="c", gres=None)
    assert not [word for word in argv if word.startswith(("--partition", "--account", "--qos", "--gres"))]


def test_percent_signs_in_paths_are_no_patterns() -> None:
    assert "--output=/w/%%j" in sbatch(order(stdout_path=PurePosixPath("/w/%j")), comment="c", gres=None)


def test_a_command_stands_before_every_option_line_of_the_user() -> None:
    lines = script_text(order()).splitlines()
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert first_command < lines.index("#SBATCH --partition=evil")


@pytest.mark.parametrize("value", ["plain", "a b", "quote ' \" \\ $HOME `id`", "two\nlines", "cr\r\nlf", "算力", ""])
def test_bash_reads_the_environment_back_unchanged(value: str) -> None:
    text = script_text(order(env={"WORD": value}, script='printf %s "$WORD"'))
    assert "\r\n" not in text
    done = subprocess.run(["bash", "-c", text], capture_output=True, check=True, timeout=10)
    assert done.stdout.decode() == value


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("tag", {"tag": "-p"}),
        ("tag", {"tag": "a,b"}),
        ("tag", {"tag": ""}),
        ("env", {"env": {"A=B": "c"}}),
        ("env", {"env": {"BASH_FUNC_x%%": "() { :; }"}}),
        ("env.A", {"env": {"A": "\0"}}),
        ("script", {"script": "\0"}),
        ("partition", {"partition": "a\nb"}),
        ("account", {"account": ""}),
        ("stdout_path", {"stdout_path": PurePosixPath("/w/a\nb")}),
        ("nodes", {"nodes": 0}),
        ("cores", {"cores": -1}),
        ("time_limit_s", {"time_limit_s": 0}),
        ("memory_gb", {"memory_gb": float("nan")}),
    ],
)
def test_what_could_be_misread_is_refused_by_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_order(order(**changes))
    assert refused.value.field == field
    assert refused.value.allowed


@pytest.mark.parametrize(("kind", "wanted"), [("ascend910b", "gpu:ascend910b:4"), ("npu:910b", "npu:910b:4")])
def test_devices_are_asked_for_in_the_sites_words(kind: str, wanted: str) -> None:
    slots = DeviceSlots(model="ascend-910b", kind=DeviceKind.NPU, count=4)
    assert gres_option(slots, {"ascend-910b": kind}) == wanted


def test_a_model_the_site_does_not_map_is_refused_with_what_it_has() -> None:
    with pytest.raises(InvalidRequest) as refused:
        gres_option(DeviceSlots(model="h100", kind=DeviceKind.GPU, count=1), {"ascend-910b": "ascend910b"})
    assert refused.value.allowed == "ascend-910b"


@pytest.mark.parametrize("kind", ["gpu:a:b", "a b", "gpu:x --uid=0", ""])
def test_a_mapping_that_is_no_gres_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest):
        gres_option(DeviceSlots(model="m", kind=DeviceKind.GPU, count=1), {"m": kind})


def test_comments_are_one_printable_line() -> None:
    assert comment_of("suanwang", order(name="two\nlines\x1f")) == "suanwang:run-1 two?lines?"
    assert comment_of("suanwang", order(name="")) == "suanwang:run-1"


@pytest.mark.parametrize(("seconds", "wanted"), [(1, 1), (60, 1), (61, 2), (3600, 60)])
def test_time_limits_are_rounded_up_to_minutes(seconds: int, wanted: int) -> None:
    assert minutes(seconds) == wanted


@pytest.mark.parametrize(("memory_gb", "wanted"), [(1.0, 954), (0.0001, 1), (1.048576, 1000)])
def test_memory_is_rounded_up_and_never_nothing(memory_gb: float, wanted: int) -> None:
    assert memory_mb(memory_gb) == wanted
