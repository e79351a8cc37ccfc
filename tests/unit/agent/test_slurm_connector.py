"""The connector's promises where Slurm itself is hard to bring: lost replies, lost memory, other people's jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from suanwang.domain.connector import RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.sensing.connectors.slurm.cli import CommandGateway
from suanwang.sensing.connectors.slurm.connector import SlurmConnector
from suanwang.sensing.connectors.slurm.process import Call, Done

NODE = f"{'gz1':256}{'idle':64}{'0/4/0/4':64}{'4096':32}{'0':32}{'':2048}{'':2048}\n"
CONFIG = "AccountingStorageType = accounting_storage/none\nJobCompType = jobcomp/none\n"


def line(
    native_id: str, state: str, *, name: str = "run-1", comment: str = "suanwang:run-1 x", reason: str = "None"
) -> str:
    fields = (native_id, state, "2026-12-01T04:00:00", "2026-12-01T05:00:00", reason, "gz1", name, comment)
    return "\x1e" + "\x1f".join(fields) + "\n"


@dataclass(slots=True)
class ScriptedSlurm:
    """A `Run` that answers each program with the text set for it, and keeps what it was asked."""

    answers: dict[str, Done | Callable[[], Done]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers = {
            "sbatch": Done(status=0, out="12\n"),
            "squeue": Done(status=0),
            "scontrol": Done(status=0, out=CONFIG),
            "sinfo": Done(status=0, out=NODE),
            "scancel": Done(status=0),
            **self.answers,
        }

    def __call__(self, call: Call) -> Done:
        self.calls.append(call)
        answer = self.answers[call.argv[0]]
        return answer if isinstance(answer, Done) else answer()

    def count(self, program: str) -> int:
        return sum(call.argv[0] == program for call in self.calls)


@dataclass(slots=True)
class World:
    """A connector over a scripted Slurm."""

    folder: Path
    slurm: ScriptedSlurm = field(default_factory=ScriptedSlurm)

    def connector(self, **options: Any) -> SlurmConnector:
        gateway = CommandGateway(self.slurm, prepare=lambda order: None)
        return SlurmConnector(gateway, spool=self.folder / "spool", **options)

    def order(self, **changes: Any) -> RunOrder:
        order = RunOrder(
            tag="run-1",
            name="x",
            script="true",
            env={"SECRET": "s3cret"},
            work_dir=self.folder / "work",
            stdout_path=self.folder / "out",
            stderr_path=self.folder / "err",
            exit_path=self.folder / "exit_path",
            lease_path=self.folder / "lease",
        )
        return replace(order, **changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def state(connector: SlurmConnector, tag: str = "run-1") -> RunState:
    return connector.observe([tag])[tag].state


def test_a_lost_reply_is_never_answered_by_sending_again(world: World) -> None:
    world.slurm.answers["sbatch"] = Done(status=-1, timed_out=True)
    with pytest.raises(OutcomeUnknown) as lost:
        world.connector().submit(world.order())
    assert lost.value.tag == "run-1"
    with pytest.raises(OutcomeUnknown):
        world.connector().submit(world.order())
    assert world.slurm.count("sbatch") == 1


def test_a_run_whose_reply_was_lost_is_adopted_by_its_tag(world: World) -> None:
    world.slurm.answers["sbatch"] = Done(status=1, err="Socket timed out on send/recv operation")
    with pytest.raises(OutcomeUnknown):
        world.connector().submit(world.order())
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", "RUNNING"))
    assert world.connector().running() == ("run-1",)
    assert state(world.connector()) is RunState.RUNNING
    assert world.connector().submit(world.order()) == "12"
    assert world.slurm.count("sbatch") == 1


def test_an_id_nobody_can_read_is_a_lost_reply(world: World) -> None:
    world.slurm.answers["sbatch"] = Done(status=0, out="Welcome!\n")
    with pytest.raises(OutcomeUnknown):
        world.connector().submit(world.order())


def test_what_was_not_sent_may_be_sent_again(world: World) -> None:
    world.slurm.answers["sbatch"] = Done(status=1, err="Unable to contact slurm controller (connect failure)")
    with pytest.raises(Unavailable):
        world.connector().submit(world.order())
    world.slurm.answers["sbatch"] = Done(status=0, out="13\n")
    assert world.connector().submit(world.order()) == "13"


def test_a_refusal_carries_slurms_words_and_leaves_nothing(world: World) -> None:
    world.slurm.answers["sbatch"] = Done(status=1, err="sbatch: error: Batch job submission failed: Invalid qos")
    with pytest.raises(InvalidRequest, match="Invalid qos"):
        world.connector().submit(world.order())
    assert list((world.folder / "spool").iterdir()) == []


def test_nothing_is_sent_before_the_lookup_by_tag_was_answered(world: World) -> None:
    world.slurm.answers["squeue"] = Done(status=1, err="Unable to contact slurm controller")
    with pytest.raises(Unavailable):
        world.connector().submit(world.order())
    assert world.slurm.count("sbatch") == 0


def test_absence_is_unknown_then_the_status_on_file_counts_and_is_kept(world: World) -> None:
    world.connector().submit(world.order())
    assert state(world.connector()) is RunState.UNKNOWN
    (world.folder / "exit_path").write_text("5\n")
    seen = world.connector().observe(["run-1"])["run-1"]
    assert (seen.state, seen.exit_code, seen.native_id) == (RunState.FAILED, 5, "12")
    (world.folder / "exit_path").unlink()
    assert world.connector().observe(["run-1"])["run-1"] == seen


@pytest.mark.parametrize("text", ["", "none\n", "-1\n", "999\n"])
def test_a_status_that_is_none_ends_nothing(world: World, text: str) -> None:
    world.connector().submit(world.order())
    (world.folder / "exit_path").write_text(text)
    assert state(world.connector()) is RunState.UNKNOWN


def test_a_status_is_not_read_through_a_link(world: World) -> None:
    world.connector().submit(world.order())
    (world.folder / "other").write_text("0\n")
    (world.folder / "exit_path").symlink_to(world.folder / "other")
    assert state(world.connector()) is RunState.UNKNOWN


def test_a_cancelled_run_that_slurm_forgot_is_cancelled(world: World) -> None:
    connector = world.connector()
    connector.submit(world.order())
    connector.cancel("run-1")
    assert world.slurm.calls[-1].argv == ["scancel", "--quiet", "12"]
    assert state(world.connector()) is RunState.CANCELLED


@pytest.mark.parametrize("words", ["Invalid job id specified", "Job/step already completing or completed"])
def test_cancelling_what_has_ended_is_no_error(world: World, words: str) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["scancel"] = Done(status=1, err=f"scancel: error: {words}")
    world.connector().cancel("run-1")


def test_a_cancel_that_did_not_arrive_is_told(world: World) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["scancel"] = Done(status=1, err="scancel: error: Unable to contact slurm controller")
    with pytest.raises(Unavailable):
        world.connector().cancel("run-1")
    assert state(world.connector()) is RunState.UNKNOWN


def test_a_job_number_that_now_belongs_to_another_is_not_ours(world: World) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", "RUNNING", name="theirs", comment="(null)"))
    assert state(world.connector()) is RunState.UNKNOWN


def test_only_jobs_under_our_label_are_running_ones_of_ours(world: World) -> None:
    out = (
        line("1", "RUNNING", name="a", comment="suanwang:a")
        + line("2", "PENDING", name="b", comment="other-network:b")
        + line("3", "RUNNING", name="c", comment="(null)")
        + line("4", "RUNNING", name="d", comment="suanwang:../../etc x")
    )
    world.slurm.answers["squeue"] = Done(status=0, out=out)
    assert world.connector().running() == ("a",)
    assert world.connector(label="other-network").running() == ("b",)


def test_a_site_that_is_silent_is_not_a_site_without_jobs(world: World) -> None:
    world.connector().submit(world.order())
    for answer in (Done(status=-1, timed_out=True), Done(status=1, err="Socket timed out")):
        world.slurm.answers["squeue"] = answer
        with pytest.raises(Unavailable):
            world.connector().observe(["run-1"])
        with pytest.raises(Unavailable):
            world.connector().running()


def test_a_state_nobody_knows_decides_nothing(world: World) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", "SHINY"))
    with pytest.raises(UnreadableReply):
        world.connector().observe(["run-1"])


@pytest.mark.parametrize(("word", "wanted"), [("NODE_FAIL", RunState.SITE_FAILED), ("PREEMPTED", RunState.SITE_FAILED)])
def test_the_sites_fault_is_the_sites(world: World, word: str, wanted: RunState) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", word))
    assert state(world.connector()) is wanted


@pytest.mark.parametrize(("status", "wanted"), [(0, RunState.SUCCEEDED), (3, RunState.FAILED)])
def test_a_lost_job_that_came_to_its_end_is_not_lost(world: World, status: int, wanted: RunState) -> None:
    world.connector().submit(world.order())
    (world.folder / "exit_path").write_text(f"{status}\n")
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", "NODE_FAIL", reason="NodeDown"))
    seen = world.connector().observe(["run-1"])["run-1"]
    assert (seen.state, seen.exit_code, seen.native_id, seen.nodes) == (wanted, status, "12", ("gz1",))
    assert seen.started_at is not None


def test_what_the_status_says_already_is_no_reason(world: World) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["squeue"] = Done(status=0, out=line("12", "FAILED", reason="NonZeroExitCode"))
    world.slurm.answers["scontrol"] = Done(status=0, out="JobId=12 JobState=FAILED ExitCode=3:0\n")
    seen = world.connector().observe(["run-1"])["run-1"]
    assert (seen.state, seen.exit_code, seen.reason) == (RunState.FAILED, 3, "")


def test_accounting_is_asked_when_the_controller_forgot(world: World) -> None:
    world.connector().submit(world.order())
    world.slurm.answers["scontrol"] = Done(status=0, out="AccountingStorageType = accounting_storage/slurmdbd\n")
    row = ("12", "FAILED", "run-1", "2026-12-01T04:00:00", "2026-12-01T05:00:00", "3:0", "gz1", "00:01", "")
    world.slurm.answers["sacct"] = Done(status=0, out="\x1f".join(row) + "\n")
    seen = world.connector().observe(["run-1"])["run-1"]
    assert (seen.state, seen.exit_code, seen.cpu_s) == (RunState.FAILED, 3, 1.0)


def test_the_environment_travels_in_the_script_and_on_no_command_line(world: World) -> None:
    world.connector().submit(world.order())
    call = next(call for call in world.slurm.calls if call.argv[0] == "sbatch")
    assert "export SECRET=s3cret" in call.stdin
    assert not any("s3cret" in word for word in call.argv)
    assert "SECRET" not in call.env


@pytest.mark.parametrize(
    "changes", [{"cores": 5}, {"memory_gb": 5.0}, {"nodes": 2}, {"cores": 1_000_000}, {"nodes": 10**9}]
)
def test_what_the_empty_cluster_could_not_hold_is_refused_with_what_it_has(
    world: World, changes: Mapping[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        world.connector().submit(world.order(**changes))
    assert refused.value.allowed == "1 nodes of 4 cores, 4.3 GB"
    assert world.slurm.count("sbatch") == 0


def test_a_cluster_that_grew_is_looked_at_again_before_a_refusal(world: World) -> None:
    connector = world.connector()
    connector.submit(world.order())
    world.slurm.answers["sinfo"] = Done(status=0, out=NODE + NODE.replace("gz1", "gz2"))
    assert connector.submit(world.order(tag="run-2", nodes=2)) == "12"


def test_a_damaged_record_is_shown_and_not_guessed_from(world: World) -> None:
    world.connector().submit(world.order())
    (world.folder / "spool" / "run-1.json").write_text('{"native_id"')
    with pytest.raises(UnreadableReply, match=r"run-1\.json"):
        world.connector().observe(["run-1"])


@pytest.mark.parametrize("tag", ["", "../../etc/passwd", "a b", "-p", "a,b", "x" * 500])
def test_tags_that_are_none_reach_nothing(world: World, tag: str) -> None:
    connector = world.connector()
    assert state(connector, tag) is RunState.UNKNOWN
    connector.cancel(tag)
    connector.forget(tag)
    assert world.slurm.calls == []


def test_many_tags_are_asked_for_in_few_commands(world: World) -> None:
    tags: Sequence[str] = [f"run-{number}" for number in range(1000)]
    assert all(seen.state is RunState.UNKNOWN for seen in world.connector().observe(tags).values())
    assert world.slurm.count("squeue") == 2
