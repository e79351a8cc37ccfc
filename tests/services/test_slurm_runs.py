"""What only a real cluster can show: devices, several nodes, other accounts, lost nodes, restarts, and a clean end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.connector_suite import RealSite, Work, ended, look_until, started, text_of
from tests.services.slurm_fixture import need_slurm, reachable_folder, slurm

from suanwang.domain.connector import DeviceSlots, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.connectors.slurm import SlurmConnector, by_commands, by_rest
from suanwang.sensing.connectors.slurm.cli import CommandGateway
from suanwang.sensing.connectors.slurm.process import Call, Done, Runner
from suanwang.sensing.wrapping import wrap
from suanwang.testbed.slurm import Cluster, ClusterSpec, SlurmTestbed

__all__ = ["slurm"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm")]

SLOTS = DeviceSlots(model="ascend-910b", kind=DeviceKind.NPU, count=3)


def site_on(cluster: Cluster, folder: Path) -> RealSite:
    return RealSite(
        folder=folder,
        opened=lambda: by_commands(
            spool=folder / "spool", gres_types={"ascend-910b": "ascend910b"}, slurm_conf=cluster.conf
        ),
        polls=900,
        pause_s=0.1,
    )


def running_script(order: RunOrder, run: str, *, nodes: int = 1) -> RunOrder:
    script = wrap(
        setup="",
        run=run,
        exit_path=order.exit_path,
        lease_path=order.lease_path,
        notice_path=order.lease_path.with_name("notice"),
        work_dir=order.work_dir,
        nodes=nodes,
        guard_interval_s=0.5,
        grace_s=1,
    )
    return replace(order, script=script, nodes=nodes)


@pytest.fixture
def gz(slurm: SlurmTestbed, tmp_path: Path) -> RealSite:
    return site_on(slurm.clusters["gz"], tmp_path)


def test_devices_are_the_runs_own_while_it_lasts(gz: RealSite) -> None:
    before = gz.connector.load()
    assert before.devices_free["ascend-910b"] == 16
    assert [(shape.count, shape.cores, dict(shape.devices)) for shape in before.nodes] == [(2, 4, {"ascend-910b": 8})]
    order = gz.order(Work(show_env="SLURM_GPUS_ON_NODE", last_s=60), devices=SLOTS)
    gz.connector.submit(order)
    started(gz, order.tag)
    assert gz.connector.load().devices_free["ascend-910b"] == 13
    text_of(gz, order.stdout_path, "3")
    gz.connector.cancel(order.tag)
    ended(gz, order.tag)
    assert gz.connector.load().devices_free["ascend-910b"] == 16


def test_more_devices_than_a_node_has_are_refused(gz: RealSite) -> None:
    with pytest.raises(InvalidRequest) as refused:
        gz.connector.submit(gz.order(Work(), devices=replace(SLOTS, count=9)))
    assert "2 nodes of 4 cores" in str(refused.value.allowed)


def test_several_nodes_each_know_their_rank_and_all_hosts(gz: RealSite) -> None:
    run = 'echo "rank $SUANWANG_NODE_RANK of $SUANWANG_NUM_NODES at $SUANWANG_MASTER_HOST of" $SUANWANG_NODE_LIST'
    order = running_script(gz.order(Work(), cores=2), run, nodes=2)
    gz.connector.submit(order)
    seen = ended(gz, order.tag)
    assert (seen.state, seen.nodes) == (RunState.SUCCEEDED, ("gz1", "gz2"))
    lines = Path(order.stdout_path).read_text().splitlines()
    assert sorted(lines) == [f"rank {rank} of 2 at gz1 of gz1 gz2" for rank in range(2)]


def test_one_failed_node_ends_the_run_on_all(gz: RealSite) -> None:
    order = running_script(gz.order(Work()), '[ "$SUANWANG_NODE_RANK" = 1 ] && exit 9; sleep 300', nodes=2)
    gz.connector.submit(order)
    seen = ended(gz, order.tag)
    assert seen.state is RunState.FAILED


def test_on_several_nodes_each_is_told_of_the_end(gz: RealSite) -> None:
    run = "trap 'echo saved $SUANWANG_NODE_RANK; exit 9' TERM; echo ready; sleep 300"
    order = running_script(gz.order(Work()), run, nodes=2)
    gz.connector.submit(order)
    text_of(gz, order.stdout_path, "ready\nready\n")
    gz.tell(order)
    assert ended(gz, order.tag).state is RunState.FAILED
    assert sorted(Path(order.stdout_path).read_text().splitlines())[2:] == ["saved 0", "saved 1"]


def test_a_users_own_option_lines_change_nothing(gz: RealSite) -> None:
    order = gz.order(Work())
    script = (
        '#!/bin/bash\n#SBATCH --job-name=evil\n#SBATCH --partition=short\necho "$SLURM_JOB_NAME $SLURM_JOB_PARTITION"'
    )
    order = replace(order, script=script)
    gz.connector.submit(order)
    assert ended(gz, order.tag).state is RunState.SUCCEEDED
    text_of(gz, order.stdout_path, f"{order.tag} main\n")


def test_the_named_partition_is_used_and_an_unknown_one_refused(gz: RealSite) -> None:
    order = gz.order(Work(show_env="SLURM_JOB_PARTITION"), partition="short")
    gz.connector.submit(order)
    ended(gz, order.tag)
    text_of(gz, order.stdout_path, "short")
    with pytest.raises(InvalidRequest) as refused:
        gz.connector.submit(gz.order(Work(), partition="nowhere"))
    assert refused.value.field == "partition"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


def test_a_run_belongs_to_the_users_own_account(slurm: SlurmTestbed, open_folder: Path) -> None:
    belongs_to_its_account(site_on(slurm.clusters["gz"], open_folder))


def test_a_run_sent_by_rest_belongs_to_the_users_own_account(slurm: SlurmTestbed, open_folder: Path) -> None:
    need_slurm(rest=True)
    cluster = slurm.clusters["nm"]
    url, token = cluster.rest_url, cluster.token()
    assert url is not None

    def opened() -> SlurmConnector:
        return by_rest(url=url, user="root", token=lambda: token, spool=open_folder / "spool")

    belongs_to_its_account(RealSite(folder=open_folder, opened=opened, polls=900, pause_s=0.1))


def belongs_to_its_account(site: RealSite) -> None:
    order = running_script(site.order(Work()), 'id -un; echo mine > file; echo "$HOME"')
    order = replace(order, posix_user="daemon")
    site.connector.submit(order)
    seen = ended(site, order.tag)
    assert (seen.state, seen.exit_code) == (RunState.SUCCEEDED, 0)
    assert Path(order.stdout_path).read_text().splitlines() == ["daemon", "/usr/sbin"]
    assert (Path(order.work_dir) / "file").owner() == "daemon"
    for account in ("root", "nobody-of-that-name"):
        with pytest.raises(InvalidRequest) as refused:
            site.connector.submit(replace(order, tag=f"{order.tag}-b", posix_user=account))
        assert refused.value.field == "posix_user"


def test_a_lost_lease_ends_the_run_without_any_agent(gz: RealSite) -> None:
    order = running_script(gz.order(Work()), "trap '' TERM; while :; do sleep 0.2; done")
    Path(order.lease_path).write_text(f"{int(time.time()) + 3}\n")
    gz.connector.submit(order)
    seen = ended(gz, order.tag)
    assert (seen.state, seen.exit_code) == (RunState.FAILED, 143)
    text_of(gz, order.stderr_path, "the lease of this run ended")


def test_a_lost_reply_leaves_one_run_and_it_is_adopted(slurm: SlurmTestbed, tmp_path: Path) -> None:
    cluster = slurm.clusters["gz"]
    real = Runner(env=dict(cluster.env))
    sent = []

    def losing(call: Call) -> Done:
        done = real(call)
        if call.argv[0] == "sbatch":
            sent.append(done)
            return Done(status=-1, timed_out=True)
        return done

    site = site_on(cluster, tmp_path)
    order = site.order(Work(last_s=30))
    with pytest.raises(OutcomeUnknown):
        SlurmConnector(CommandGateway(losing), spool=tmp_path / "spool").submit(order)
    again = SlurmConnector(CommandGateway(losing), spool=tmp_path / "spool")
    assert again.running().count(order.tag) == 1
    assert again.submit(order) == sent[0].out.strip()
    assert len(sent) == 1
    again.cancel(order.tag)
    ended(site, order.tag)


class TestOnAClusterOfItsOwn:
    """Here daemons are killed, so nobody else may be using them."""

    @pytest.fixture
    def testbed(self, tmp_path: Path) -> Iterator[SlurmTestbed]:
        need_slurm(rest=False)
        with SlurmTestbed(tmp_path / "testbed", [ClusterSpec(name="own", min_job_age_s=2)]) as testbed:
            yield testbed
        # Shown where the test failed: what the daemons themselves say of it.
        for log in sorted((tmp_path / "testbed" / "own").glob("slurm*.log")):
            print(f"{log.name}:\n{log.read_text(errors='replace')[-3000:]}")

    def test_a_killed_controller_is_unavailable_and_then_remembers(self, testbed: SlurmTestbed, tmp_path: Path) -> None:
        cluster = testbed.clusters["own"]
        site = site_on(cluster, tmp_path)
        order = site.order(Work(last_s=25, status=4))
        site.connector.submit(order)
        started(site, order.tag)
        # A controller that dies before it has written down a start would start the job again, and its node refuses that.
        began_at = time.time()
        state = cluster.folder / "state" / "job_state"
        for _ in range(site.polls):
            if state.exists() and state.stat().st_mtime > began_at:
                break
            site.wait()
        else:
            pytest.fail("the controller never wrote down that the job runs")
        cluster.daemons["slurmctld"].kill()
        cluster.daemons["slurmctld"].wait()
        with pytest.raises(Unavailable):
            site.connector.observe([order.tag])
        testbed.start_controller("own")

        def answers() -> bool:
            try:
                site.connector.running()
            except Unavailable:
                return False
            return True

        for _ in range(site.polls):
            if answers():
                break
            site.wait()
        seen = ended(site, order.tag)
        assert (seen.state, seen.exit_code) == (RunState.FAILED, 4)

    def test_a_deep_folder_is_no_hindrance(self, tmp_path: Path) -> None:
        """A step's socket may have 107 bytes of path, and pytest's folders under xdist leave too few of them."""
        need_slurm(rest=False)
        deep = tmp_path / ("d" * 100)
        with SlurmTestbed(deep, [ClusterSpec(name="deep", nodes=1)]) as testbed:
            site = site_on(testbed.clusters["deep"], tmp_path)
            order = site.order(Work(say="here"))
            site.connector.submit(order)
            assert ended(site, order.tag).state is RunState.SUCCEEDED

    def test_what_the_controller_forgot_is_read_from_its_completion_file(
        self, testbed: SlurmTestbed, tmp_path: Path
    ) -> None:
        cluster = testbed.clusters["own"]
        site = site_on(cluster, tmp_path)
        order = site.order(Work(last_s=600))
        native = site.connector.submit(order)
        started(site, order.tag)
        cluster.command("scancel", native)
        for _ in range(site.polls):
            if native not in cluster.command("squeue", "--noheader", "--states=all", "--format=%i").split():
                break
            site.wait()
        else:
            pytest.fail("the controller never forgot the job")
        seen = site.reopened().observe([order.tag])[order.tag]
        assert seen.state is RunState.CANCELLED
        assert seen.ended_at is not None
        assert abs(seen.ended_at.timestamp() - time.time()) < 600

    def test_a_node_that_dies_is_the_sites_fault(self, testbed: SlurmTestbed, tmp_path: Path) -> None:
        cluster = testbed.clusters["own"]
        site = site_on(cluster, tmp_path)
        order = site.order(Work(last_s=600))
        site.connector.submit(order)
        node = look_until(site, order.tag, lambda seen: seen.state is RunState.RUNNING and bool(seen.nodes)).nodes[0]
        cluster.daemons[node].send_signal(signal.SIGKILL)
        cluster.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=died")
        assert ended(site, order.tag).state is RunState.SITE_FAILED
        assert sum(shape.count for shape in site.connector.load().nodes) == 1

    def test_stopping_leaves_no_process(self, tmp_path: Path) -> None:
        need_slurm(rest=False)
        testbed = SlurmTestbed(tmp_path / "testbed", [ClusterSpec(name="short", nodes=1)])
        with testbed:
            cluster = testbed.clusters["short"]
            site = site_on(cluster, tmp_path)
            order = running_script(site.order(Work()), "trap '' TERM; setsid sleep 600 & sleep 600")
            site.connector.submit(order)
            started(site, order.tag)
            conf = f"SLURM_CONF={cluster.conf}".encode()
            assert _processes_with(conf)
        assert _processes_with(conf) == []


def test_a_testbed_that_cannot_come_up_stops_what_it_started(tmp_path: Path) -> None:
    need_slurm(rest=False)
    # A controller refuses the state that another cluster left behind; by then munge and the nodes' daemons run.
    state = tmp_path / "testbed" / "one" / "state"
    state.mkdir(parents=True)
    (state / "clustername").write_text("another", encoding="utf-8")
    testbed = SlurmTestbed(tmp_path / "testbed", [ClusterSpec(name="one")])
    try:
        with pytest.raises(Unavailable, match="cluster one did not come up"):
            testbed.start()
        conf = f"SLURM_CONF={tmp_path}/testbed/one/slurm.conf".encode()
        assert _processes_with(conf) == []
        assert testbed.clusters == {}
    finally:
        testbed.stop()


def _processes_with(entry: bytes) -> list[int]:
    """Processes with this entry in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found
