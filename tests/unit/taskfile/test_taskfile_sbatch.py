"""sbatch scripts: Slurm's own rules for options, what each becomes, and that nothing is dropped in silence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from suanwang.domain.precision import DeviceKind
from suanwang.domain.task import Signal, Task
from suanwang.taskfile import InvalidTask, Problem, Submission, read_sbatch, read_tasks
from suanwang.taskfile.problems import Findings
from suanwang.taskfile.sbatch_options import options_of
from suanwang.taskfile.slurm_amounts import parse_array, parse_gres, parse_size_gb, parse_time_s


def script(*options: str, body: str = "true") -> str:
    return "\n".join(["#!/bin/bash", *(f"#SBATCH {option}" for option in options), body, ""])


def read(*options: str, body: str = "true") -> Submission:
    return read_tasks(script(*options, body=body), filename="job.sh")


def task(*options: str) -> Task:
    (found,) = read(*options).tasks
    return found


def problems(*options: str) -> dict[str, Problem]:
    with pytest.raises(InvalidTask) as caught:
        read(*options)
    return {problem.field: problem for problem in caught.value.problems}


def said(submission: Submission, word: str) -> str:
    (note,) = [note for note in submission.notes if note.startswith(word)]
    return note


def run(found: Task, folder: Path, **env: str) -> str:
    """What bash prints when it runs the task as a site would."""
    path = {"PATH": "/usr/bin:/bin", **env}
    done = subprocess.run(
        ["bash", "-c", found.run], cwd=folder, env=path, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("1:30", 120),
        ("02:30:00", 9000),
        ("1-0", 86_400),
        ("1-12:30", 131_400),
        ("1-12:30:15", 131_460),
        ("90:00:00", 324_000),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert parse_time_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "x", "-5", "1:2:3:4", "1-", "UNLIMITED", "1.5", "0:00"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time_s(text)


@pytest.mark.parametrize(("text", "mib"), [("4096", 4096), ("4G", 4096), ("1t", 2**20), ("2048K", 2), ("16GB", 16384)])
def test_sizes_are_binary(text: str, mib: int) -> None:
    assert parse_size_gb(text) == mib * 2**20 / 1e9


def test_generic_resources() -> None:
    named = [(gres.name, gres.type, gres.count) for gres in parse_gres("gpu,gpu:2,gpu:a100,gpu:a100:4,none")]
    assert named == [("gpu", None, 1), ("gpu", None, 2), ("gpu", "a100", 1), ("gpu", "a100", 4)]


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("0-3", [0, 1, 2, 3]), ("1-10:3,20%2", [1, 4, 7, 10, 20]), ("5", [5]), ("3,1,2,2", [1, 2, 3]), ("7-7", [7])],
)
def test_arrays(text: str, indexes: list[int]) -> None:
    assert list(parse_array(text, most=100).indexes) == indexes


@pytest.mark.parametrize("text", ["", "a", "3-1", "0-3:0", "0-1000", "1,,2", "-1", "0-3%0"])
def test_arrays_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_array(text, most=100)


def test_a_whole_script() -> None:
    found = task(
        "--job-name=train -N 2",
        "--ntasks=8 --ntasks-per-node 4   # a comment",
        "-c2 --mem=16G",
        '--time="1-12:00:00" --gres=gpu:a100:2',
        "-p gpu --account 'lab' -q high",
        "--dependency=afterok:j-abc:j-def --export=NONE,LEVEL=3",
    )
    assert (found.name, found.nodes, found.count) == ("train", 2, 1)
    assert (found.resources.cores, found.resources.memory_gb) == (8, 16 * 2**30 / 1e9)
    assert found.resources.time_limit_s == 129_600
    assert found.resources.devices is not None
    assert found.resources.devices.count == 2
    assert "nvidia-a100-sxm-80gb" in found.resources.devices.models
    assert (found.slurm.partition, found.slurm.account, found.slurm.qos) == ("gpu", "lab", "high")
    assert found.needs == ("j-abc", "j-def")
    assert dict(found.env) == {"LEVEL": "3"}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("-J a\\b", "ab"),
        ("-J 'a\\'b'", "a'b"),
        ("-J a#b", "a"),
        ('-J "a b"c', "a bc"),
        ('-J "My \\"Run"', 'My "Run'),
        ("--job-name='a#b'#c", "a#b"),
        ("-Jx", "x"),
    ],
)
def test_words_are_what_sbatch_22_05_printed_for_them(written: str, name: str) -> None:
    (given,) = options_of(script(written), Findings("job.sh"))
    assert (given.name, given.value) == ("job-name", name)


def test_no_devices_are_no_request() -> None:
    assert task("--gres=gpu:0").resources.devices is None


def test_where_options_end_and_what_a_comment_is() -> None:
    text = (
        "#!/bin/bash\n\n# words\n##SBATCH --nodes=9\n# SBATCH --nodes=8\n#SBATCH --nodes=2\n"
        "echo start\n#SBATCH --nodes=7\n"
    )
    assert read_tasks(text).tasks[0].nodes == 2


def test_the_last_of_several_wins_and_options_may_be_short_or_abbreviated() -> None:
    assert task("--nodes=2", "-N3").nodes == 3
    assert task("--cpus-per-t=3").resources.cores == 3
    assert task("-Qn4").resources.cores == 4
    assert task("-J a", "--job-n=b").name == "b"


@pytest.mark.parametrize(
    ("options", "nodes", "cores"),
    [
        (("-n 8",), 1, 8),
        (("-n 8", "--ntasks-per-node=4"), 2, 4),
        (("-N 3", "-n 8"), 3, 3),
        (("-N 4", "-n 2"), 2, 1),
        (("-N 2-4", "-c 6"), 2, 6),
        (("--gpus=4", "--cpus-per-gpu=8"), 1, 32),
        (("--mincpus=16",), 1, 16),
    ],
)
def test_layout(options: tuple[str, ...], nodes: int, cores: int) -> None:
    found = task(*options)
    assert (found.nodes, found.resources.cores) == (nodes, cores)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--gres=gpu:2",), 2),
        (("--gpus-per-node=4",), 4),
        (("-N 2", "-G 8"), 4),
        (("-n 4", "--gpus-per-task=2"), 8),
        (("--gres=gpu:2", "--gpus-per-node=2"), 2),
    ],
)
def test_devices_per_node(options: tuple[str, ...], count: int) -> None:
    devices = task(*options).resources.devices
    assert devices is not None
    assert (devices.count, devices.kind) == (count, DeviceKind.GPU)


def test_other_kinds_of_devices() -> None:
    devices = task("--gres=npu:ascend910b:8").resources.devices
    assert devices is not None
    assert (devices.count, devices.models[0]) == (8, "huawei-ascend-910b")


def test_memory_may_be_per_core_or_per_device() -> None:
    assert task("-c 4", "--mem-per-cpu=1G").resources.memory_gb == 4 * 2**30 / 1e9
    assert task("--gpus=2", "--mem-per-gpu=8G").resources.memory_gb == 16 * 2**30 / 1e9


def test_what_is_assumed_is_said() -> None:
    submission = read("-c 4")
    assert (submission.tasks[0].name, submission.tasks[0].resources.memory_gb) == ("job", 8.0)
    assert submission.tasks[0].resources.time_limit_s == 86_400
    assert "8 GB" in said(submission, "--mem")
    assert "24 hours" in said(submission, "--time")
    assert "job" in said(submission, "--job-name")


@pytest.mark.parametrize(
    "option",
    [
        "--output=x.%j",
        "-e err",
        "--mail-type=ALL",
        "--constraint=avx512",
        "--exclusive",
        "--exclusive=user",
        "-w node7",
        "--reservation=maint",
        "--signal=B:INT@60",
        "--array=0-7%2",
        "--chdir=/home/me",
        "--gres=nvme:1",
        "--export=ALL",
        "--hint=nomultithread",
        "--partition=gpu",
        "--nodes=2-4",
    ],
)
def test_what_cannot_be_honoured_is_named(option: str) -> None:
    plain = set(read("-J a", "-t 5", "--mem=1G").notes)
    told = set(read("-J a", "-t 5", "--mem=1G", option).notes) - plain
    assert len(told) == 1


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--frobnicate=3", "--frobnicate"),
        ("--nods=3", "--nods"),
        ("-Z", "-Z"),
        ("stray", "#SBATCH"),
        ("-N 2 : -N 3", "#SBATCH"),
        ('--job-name="open', "#SBATCH"),
        ("--nodes", "--nodes"),
        ("--nodes=0", "--nodes"),
        ("--nodes=4-2", "--nodes"),
        ("--nodes=20000", "--nodes"),
        ("--mem=0", "--mem"),
        ("--mem=lots", "--mem"),
        ("--mem=90000G", "--mem"),
        ("--time=0", "--time"),
        ("--time=400-0", "--time"),
        ("--begin=now+1hour", "--begin"),
        ("--deadline=2026-05-01T18:00", "--deadline"),
        ("--dependency=afterany:j-abc", "--dependency"),
        ("--dependency=afterok:12345", "--dependency"),
        ("--dependency=singleton", "--dependency"),
        ("--gres=gpu:a100:2,gpu:h100:2", "--gres"),
        ("--gres=gpu:a1000000:2", "--gres"),
        ("--gres=shard:4", "--gres"),
        ("--hold", "--hold"),
        ("--uid=root", "--uid"),
        ("hetjob", "#SBATCH"),
        ("--array=9-1", "--array"),
        ("--array=0-200000", "--array"),
        ("--export=1X=3", "--export"),
        ("--partition='a;b'", "--partition"),
        ("--quiet=3", "--quiet"),
        ("--signal=FRED", "--signal"),
        ("--signal=USR1@soon", "--signal"),
        ("--signal=99", "--signal"),
        ("--signal=USR1@65535 --time=10", "--signal"),
    ],
)
def test_what_cannot_be_or_must_not_be_is_refused_with_its_line(option: str, field: str) -> None:
    found = problems("--job-name=a", option)
    assert list(found) == [field]
    assert found[field].line == 3


def test_a_misspelt_option_comes_with_the_right_one() -> None:
    assert "--ntasks" in problems("--ntaks=3")["--ntaks"].message


def test_no_requeue_means_one_attempt() -> None:
    assert task("--no-requeue").max_attempts == 1
    assert task("--requeue").max_attempts == 3


@pytest.mark.parametrize(
    ("written", "signal"),
    [
        ("USR1", Signal(name="USR1", before_s=60)),
        ("sigterm@120", Signal(name="TERM", before_s=120)),
        ("B:10@300", Signal(name="USR1", before_s=300, shell_only=True)),
        ("RB:HUP@5", Signal(name="HUP", before_s=5, shell_only=True)),
        ("R:USR2@0", Signal(name="USR2", before_s=1)),
    ],
)
def test_the_signal_that_a_run_is_told_by(written: str, signal: Signal) -> None:
    assert task(f"--signal={written}").signal == signal


def test_on_several_nodes_there_is_no_signal_for_the_shell_alone() -> None:
    assert "every process" in said(read("-N 2", "--signal=B:USR1"), "--signal")


def test_a_script_that_is_no_yaml_is_recognised_with_and_without_a_shebang() -> None:
    assert read_tasks("# words\n#SBATCH -N 2\necho hi\n").tasks[0].nodes == 2
    assert read_tasks("#!/bin/sh\necho hi\n").format == "sbatch"


def test_dos_line_ends_are_taken_out_and_said() -> None:
    submission = read_sbatch("#!/bin/bash\r\n#SBATCH -N 2\r\necho hi\r\n")
    assert submission.tasks[0].nodes == 2
    assert "\r" not in submission.tasks[0].run
    assert any("DOS" in note for note in submission.notes)


def test_an_array_maps_its_index(tmp_path: Path) -> None:
    listed = read("-a 1-10:3,20", body='echo "$SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT"').tasks[0]
    ranged = read("-a 10-30:10", body='echo "$SLURM_ARRAY_TASK_ID to $SLURM_ARRAY_TASK_MAX"').tasks[0]
    assert (listed.count, ranged.count) == (5, 3)
    assert run(listed, tmp_path, SUANWANG_ARRAY_INDEX="4") == "20 of 5"
    assert run(ranged, tmp_path, SUANWANG_ARRAY_INDEX="1") == "20 to 30"


def test_the_script_sees_slurms_variables(tmp_path: Path) -> None:
    body = 'echo "$SLURM_JOB_NAME $SLURM_CPUS_PER_TASK $SLURM_NTASKS $(( SLURM_JOB_ID % 1 )) $SLURM_SUBMIT_DIR"'
    found = read('-J "My Run"', "-c 4", "-n 2", body=body).tasks[0]
    assert found.name == "my-run"
    assert run(found, tmp_path, SUANWANG_ALLOCATION_ID="a-x") == f"My Run 4 2 0 {tmp_path}"


def test_a_script_for_several_nodes_starts_on_the_first_only(tmp_path: Path) -> None:
    found = read("-N 2", body="echo here").tasks[0]
    assert run(found, tmp_path, SUANWANG_NODE_RANK="0") == "here"
    assert run(found, tmp_path, SUANWANG_NODE_RANK="1") == ""


def test_other_interpreters_run_the_script_as_a_file(tmp_path: Path) -> None:
    text = "#!/usr/bin/env python3\n#SBATCH -J py\nimport os\nprint(os.environ['SLURM_JOB_NAME'], 'it''s $HOME')\n"
    assert run(read_sbatch(text).tasks[0], tmp_path) == "py its $HOME"
    strict = "#!/bin/bash -e\nfalse\necho never\n"
    with pytest.raises(subprocess.CalledProcessError):
        run(read_sbatch(strict).tasks[0], tmp_path)


def test_a_folder_inside_the_work_folder_is_entered(tmp_path: Path) -> None:
    assert run(read("--chdir=sub/x", body="pwd").tasks[0], tmp_path) == str(tmp_path / "sub/x")
