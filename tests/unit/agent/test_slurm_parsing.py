"""What Slurm prints, as captured from 22.05.8, read into facts; and what nobody should believe."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from suanwang.domain.connector import RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.sensing.connectors.slurm.facts import (
    STATES,
    JobFacts,
    NodeFacts,
    expand_hosts,
    load_of,
    parse_gres,
    run_state,
)
from suanwang.sensing.connectors.slurm.parsing import (
    config,
    exit_status,
    instant,
    job_id,
    jobcomp_jobs,
    memory_gb,
    sacct_jobs,
    seconds,
    shown_job,
    sinfo_nodes,
    squeue_jobs,
    submission_error,
)

SHOWN = (
    "JobId=1 JobName=tag-1 UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901759 Nice=0 Account=(null) "
    "QOS=(null) JobState=FAILED Reason=NonZeroExitCode Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 "
    "ExitCode=3:0 RunTime=00:00:02 TimeLimit=01:00:00 TimeMin=N/A SubmitTime=2026-12-01T04:46:35 "
    "StartTime=2026-12-01T04:46:35 EndTime=2026-12-01T04:46:37 Deadline=N/A Partition=main NodeList=gz1 "
    "CPUs/Task=1 ReqB:S:C:T=0:0:*:* Command=(null) WorkDir=/w Comment=suanwang:tag-1 JobState=COMPLETED "
)
JOBCOMP = (
    "JobId=2 UserId=root(0) GroupId=root(0) Name=tag-2 JobState=COMPLETED Partition=main TimeLimit=60 "
    "StartTime=2026-12-01T04:46:35 EndTime=2026-12-01T04:46:36 NodeList=gz[1-2] NodeCnt=2 ProcCnt=2 WorkDir=/w "
    "ReservationName= Tres=cpu=1,mem=64M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown "
    "SubmitTime=2026-12-01T04:46:35 EligibleTime=2026-12-01T04:46:35 DerivedExitCode=0:0 ExitCode=0:0 \n"
)


def squeue_line(*fields: str) -> str:
    return "\x1e" + "\x1f".join(fields) + "\n"


@pytest.mark.parametrize(("text", "wanted"), [("12\n", "12"), ("12;gz\n", "12"), ("a warning\n12\n", "12")])
def test_the_id_sbatch_prints(text: str, wanted: str) -> None:
    assert job_id(text) == wanted


@pytest.mark.parametrize("text", ["", "Submitted batch job", "12 13", "-1"])
def test_no_id_is_guessed(text: str) -> None:
    with pytest.raises(UnreadableReply):
        job_id(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", InvalidRequest),
        ("sbatch: error: invalid partition specified: nope", InvalidRequest),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
            InvalidRequest,
        ),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", OutcomeUnknown),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", OutcomeUnknown),
        ("", OutcomeUnknown),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            Unavailable,
        ),
        ("sbatch: error: s_p_parse_file: cannot stat file /nonexist: No such file or directory", Unavailable),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", Unavailable),
    ],
)
def test_slurms_words_about_a_failed_submission(text: str, kind: type[Exception]) -> None:
    error = submission_error(text, tag="run-1")
    assert type(error) is kind
    assert text.rpartition(": ")[2] in error.message


def test_a_queue_with_other_peoples_odd_names() -> None:
    text = (
        squeue_line("2", "COMPLETED", "2026-12-01T04:46:35", "2026-12-01T04:46:36", "None", "gz1", "a", "x:y\nz")
        + squeue_line("1", "RUNNING", "2026-12-01T04:46:35", "2026-12-01T05:46:35", "None", "gz[1-2]", "b", "c")
        + squeue_line("3", "PENDING", "2026-12-02T00:00:00", "N/A", "Resources", "", "t", "(null)")
    )
    done, running, pending = squeue_jobs(text)
    assert (done.state, done.exit_code, done.comment) == (RunState.SUCCEEDED, 0, "x:y\nz")
    assert done.ended_at == datetime(2026, 12, 1, 4, 46, 36, tzinfo=UTC)
    assert (running.state, running.ended_at, running.nodes) == (RunState.RUNNING, None, ("gz1", "gz2"))
    assert (pending.started_at, pending.reason, pending.comment) == (None, "Resources", "")


def test_a_record_nobody_can_read_is_passed_over_only_among_others() -> None:
    good = squeue_line("1", "RUNNING", "2026-12-01T04:46:35", "N/A", "None", "gz1", "b", "c")
    forged = squeue_line("9", "RUNNING", "soon")
    assert [job.native_id for job in squeue_jobs(good + forged, others=True)] == ["1"]
    with pytest.raises(UnreadableReply):
        squeue_jobs(good + forged)


def test_a_shown_job_is_told_by_the_first_mention_of_each_key() -> None:
    job = shown_job(SHOWN)
    assert (job.native_id, job.name, job.state, job.exit_code) == ("1", "tag-1", RunState.FAILED, 3)
    assert job.reason == "NonZeroExitCode"
    with pytest.raises(UnreadableReply):
        shown_job("slurm_load_jobs error: Invalid job id specified")


def test_the_completion_file_and_its_torn_first_line() -> None:
    text = "ame=tag-2 JobState=FAIL\n" + JOBCOMP + JOBCOMP.replace("tag-2", "other").replace("JobId=2", "JobId=22")
    (job,) = jobcomp_jobs(text, names=["tag-2"])
    assert list(jobcomp_jobs(text, native_ids=["2"])) == [job]
    assert list(jobcomp_jobs(text, names=["tag"], native_ids=["1"])) == []
    assert (job.native_id, job.name, job.state, job.exit_code) == ("2", "tag-2", RunState.SUCCEEDED, 0)
    assert job.nodes == ("gz1", "gz2")


def test_accounting_takes_peak_memory_from_the_steps() -> None:
    rows = [
        [
            "7",
            "CANCELLED by 1000",
            "tag-7",
            "2026-12-01T04:00:00",
            "2026-12-01T05:00:00",
            "0:15",
            "gz1",
            "01:02:03",
            "",
        ],
        ["7.batch", "CANCELLED", "batch", "2026-12-01T04:00:00", "2026-12-01T05:00:00", "0:15", "gz1", "", "2048K"],
        ["7.0", "CANCELLED", "bash", "2026-12-01T04:00:00", "2026-12-01T05:00:00", "0:15", "gz1", "", "1G"],
    ]
    (job,) = sacct_jobs("".join("\x1f".join(row) + "\n" for row in rows))
    assert (job.state, job.exit_code, job.cpu_s) == (RunState.CANCELLED, None, 3723.0)
    assert job.max_memory_gb == pytest.approx(1.073741824)
    with pytest.raises(UnreadableReply):
        sacct_jobs("7|COMPLETED\n")


@pytest.mark.parametrize(
    ("word", "reason", "wanted"),
    [
        ("NODE_FAIL", "", RunState.SITE_FAILED),
        ("BOOT_FAIL", "", RunState.SITE_FAILED),
        ("PREEMPTED", "", RunState.SITE_FAILED),
        ("TIMEOUT", "", RunState.TIMED_OUT),
        ("OUT_OF_MEMORY", "", RunState.OUT_OF_MEMORY),
        ("CANCELLED by 0", "", RunState.CANCELLED),
        ("CANCELLED+", "", RunState.CANCELLED),
        ("COMPLETING", "", RunState.RUNNING),
        ("FAILED", "NonZeroExitCode", RunState.FAILED),
        ("FAILED", "JobLaunchFailure", RunState.SITE_FAILED),
    ],
)
def test_states_mean(word: str, reason: str, wanted: RunState) -> None:
    assert run_state(word, reason=reason) is wanted


def test_no_state_is_guessed_and_none_means_unknown() -> None:
    assert RunState.UNKNOWN not in STATES.values()
    with pytest.raises(UnreadableReply):
        run_state("FINISHED")


@pytest.mark.parametrize(("text", "wanted"), [("0:0", 0), ("3:0", 3), ("0:9", 137), ("0:15", 143), ("x", None)])
def test_exit_codes(text: str, wanted: int | None) -> None:
    assert exit_status(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("01:02:03", 3723.0), ("1-00:00:01", 86401.0), ("00:01.500", 1.5)])
def test_durations(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


def test_times_and_sizes_that_are_none() -> None:
    assert instant("Unknown") is None
    assert instant("N/A") is None
    assert memory_gb("") is None
    with pytest.raises(UnreadableReply):
        instant("yesterday")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gpu:a100:4(S:0-1),gpu:ascend910b:2(IDX:0,3)", {"gpu:a100": 4, "gpu:ascend910b": 2}),
        ("gpu:ascend910b:0(IDX:N/A)", {"gpu:ascend910b": 0}),
        ("gpu:2", {"gpu": 2}),
        ("bandwidth:lustre:4K", {"bandwidth:lustre": 4096}),
        ("(null)", {}),
        ("", {}),
    ],
)
def test_gres(text: str, wanted: dict[str, int]) -> None:
    assert parse_gres(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ()),
        ("gz1", ("gz1",)),
        ("gz[1-2,07],nm3", ("gz1", "gz2", "gz07", "nm3")),
        ("r[1-2]-ib", ("r1-ib", "r2-ib")),
    ],
)
def test_host_lists(text: str, wanted: tuple[str, ...]) -> None:
    assert expand_hosts(text) == wanted


@pytest.mark.parametrize("text", ["n[a-b]", "n[1-999999999]"])
def test_host_lists_that_are_none(text: str) -> None:
    with pytest.raises(UnreadableReply):
        expand_hosts(text)


def sinfo_line(name: str, state: str, cores: str, memory: str, used: str, gres: str, gres_used: str) -> str:
    return f"{name:256}{state:64}{cores:64}{memory:32}{used:32}{gres:2048}{gres_used:2048}\n"


def test_load_counts_each_node_once_and_only_what_can_run() -> None:
    gres, idle = "gpu:ascend910b:8(S:0)", "gpu:ascend910b:0(IDX:N/A)"
    nodes = sinfo_nodes(
        sinfo_line("gz1", "mixed", "1/3/0/4", "4096", "64", gres, "gpu:ascend910b:2(IDX:0-1)") * 2
        + sinfo_line("gz2", "idle", "0/4/0/4", "4096", "0", gres, idle)
        + sinfo_line("gz3", "down*", "0/0/4/4", "4096", "0", gres, idle)
        + sinfo_line("gz4", "idle*", "0/4/0/4", "4096", "0", gres, idle)
        + sinfo_line("gz5", "drained", "0/0/4/4", "4096", "0", gres, idle)
    )
    assert len(nodes) == 5
    queue = [
        JobFacts(native_id=str(number), name="", state=state)
        for number, state in enumerate([RunState.RUNNING, RunState.PENDING, RunState.PENDING])
    ]
    load = load_of(nodes, queue, {"gpu:ascend910b": "ascend-910b"})
    assert [(shape.count, shape.cores, shape.devices) for shape in load.nodes] == [(2, 4, {"ascend-910b": 8})]
    assert load.cores_free == 7
    assert load.devices_free == {"ascend-910b": 14}
    assert load.memory_free_gb == pytest.approx((2 * 4096 - 64) * 2**20 / 1e9)
    assert (load.pending, load.running) == (2, 1)
    with pytest.raises(UnreadableReply):
        sinfo_nodes("slurm_load_partitions: Unable to contact slurm controller\n")


@pytest.mark.parametrize(
    ("state", "wanted"),
    [("idle", True), ("mixed", True), ("allocated+", True), ("idle~", True), ("idle*", False), ("maint$", False)],
)
def test_usable_nodes(state: str, wanted: bool) -> None:
    node = NodeFacts(name="n", state=state, cores=1, cores_idle=1, memory_mb=1, memory_used_mb=0)
    assert node.usable is wanted


def test_settings() -> None:
    text = "Configuration data as of x\nAccountingStorageType   = accounting_storage/none\nA = b=c\n"
    assert config(text) == {"AccountingStorageType": "accounting_storage/none", "A": "b=c"}
