"""Two Slurm sites, one by commands and one by REST, do real work for a user of the network from end to end."""

from __future__ import annotations

import pytest
from tests.services.network_fixture import RealNetwork, net, running_network, testbed

from suanwang.domain.lifecycle import ENDED, JobState

__all__ = ["net", "running_network", "testbed"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm")]


@pytest.mark.parametrize("site", ["gz", "nm"])
def test_devices_outputs_logs_and_the_bill(net: RealNetwork, site: str) -> None:
    job = net.submit(f"""\
name: train
run: |
  echo "$SUANWANG_SITE $SLURM_GPUS_ON_NODE $SLURM_JOB_PARTITION"
  echo oops >&2
  echo weights > model
  echo '{{"step": 1, "loss": 0.25}}' >> "$SUANWANG_METRICS"
  sleep 1
outputs: {{model: model}}
resources: {{cores: 2, memory: 200MB, devices: 3 x huawei-ascend-910b, time_limit: 5m}}
slurm: {{partition: short, account: lab}}
constraints: {{sites: [{site}]}}
""")[0]
    done = net.until_state(job.id, *ENDED)
    assert (done.state, done.site, done.exit_code, done.reason) == (JobState.SUCCEEDED, site, 0, "")
    (run,) = net.client.allocations(job.id)
    assert net.output(job.id, run.id) == f"{site} 3 short\n"
    assert [piece.text for piece in net.client.logs(job.id).items if piece.stream == "stderr"] == ["oops\n"]
    assert [(point.name, point.value) for point in net.client.points(job.id)] == [("loss", 0.25)]
    shown = net.cluster(site).command("scontrol", "show", "job", str(run.native_id))
    assert "gpu:ascend910b:3" in shown
    assert "Account=lab" in shown
    model = net.client.file("lab", f"{job.id}/model")
    target = net.folder / f"model-{site}"
    net.client.download(model.content.sha256, target)
    assert target.exists()
    assert (run.device_model, len(run.nodes)) == ("huawei-ascend-910b", 1)
    billed = net.assert_billed_once(job.id)
    assert billed.billed_fen > 0
    assert billed.usage.device_hours == pytest.approx(3 * billed.usage.wall_s / 3600)


def test_an_array_spreads_and_each_member_has_its_own_index_output_and_bill(net: RealNetwork) -> None:
    members = net.submit("""\
name: sweep
run: sleep 1; echo "$SUANWANG_ARRAY_INDEX of $SUANWANG_ARRAY_COUNT" > result; cat result
count: 6
outputs: {result: result}
resources: {cores: 4, memory: 200MB, time_limit: 5m}
""")
    assert len(members) == 6
    ended = [net.until_state(job.id, *ENDED) for job in members]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    # A node has four cores and a site two nodes: six at once need both sites.
    assert {job.site for job in ended} == {"gz", "nm"}
    for job in ended:
        assert job.array is not None
        (run,) = net.client.allocations(job.id)
        assert net.output(job.id, run.id) == f"{job.array.index} of 6\n"
        assert net.client.file("lab", f"{job.id}/result").content.size == len(f"{job.array.index} of 6\n")
        net.assert_billed_once(job.id)
    assert sorted(job.array.index for job in ended if job.array) == list(range(6))


@pytest.mark.parametrize("site", ["gz", "nm"])
def test_several_nodes_start_once_each_with_their_rank(net: RealNetwork, site: str) -> None:
    job = net.submit(f"""\
name: parallel
run: echo "rank $SUANWANG_NODE_RANK of $SUANWANG_NUM_NODES under $SUANWANG_MASTER_HOST"
nodes: 2
resources: {{cores: 1, memory: 200MB, time_limit: 5m}}
constraints: {{sites: [{site}]}}
""")[0]
    done = net.until_state(job.id, *ENDED)
    assert (done.state, done.reason) == (JobState.SUCCEEDED, "")
    (run,) = net.client.allocations(job.id)
    assert run.nodes == [f"{site}1", f"{site}2"]
    lines = net.output(job.id, run.id).splitlines()
    assert sorted(lines) == [f"rank {rank} of 2 under {site}1" for rank in range(2)]
    assert {record.cores for record in net.client.usage(job.id)} == {2}
    net.assert_billed_once(job.id)


def test_why_here_and_why_not_there(net: RealNetwork) -> None:
    job = net.submit("name: here\nrun: exit 3\nconstraints: {regions: [guizhou]}\n")[0]
    done = net.until_state(job.id, *ENDED)
    assert (done.state, done.exit_code) == (JobState.FAILED, 3)
    assert done.reason == "the program ended with status 3"
    why = net.client.explain(job.id).why
    assert why is not None
    assert why.chosen is not None
    assert why.chosen.site == "gz"
    assert {out.site: out.code for out in why.excluded}["nm"] == "region"


def test_what_no_site_can_run_is_refused_at_once_with_a_reason_from_each(net: RealNetwork) -> None:
    job = net.submit("name: huge\nrun: ':'\nresources: {devices: 9 x huawei-ascend-910b}\n")[0]
    assert job.state is JobState.REFUSED
    why = net.client.explain(job.id).why
    assert why is not None
    assert {"gz", "nm"} <= {out.site for out in why.excluded if "8" in out.text}


def test_a_partition_that_is_not_there_is_the_users_to_put_right(net: RealNetwork) -> None:
    task = "name: nowhere\nrun: ':'\nslurm: {partition: nowhere}\nconstraints: {sites: [gz, nm]}\n"
    job = net.submit(task)[0]
    done = net.until_state(job.id, *ENDED)
    assert done.state is JobState.FAILED
    assert "nowhere" in done.reason


def test_two_sites_on_one_cluster_leave_each_others_runs_alone(net: RealNetwork) -> None:
    net.join("gs", "gz", f"{{kind: slurm, conf: {net.cluster('gz').conf}, partition: short}}")
    try:
        witness = net.witness()
        jobs = {site: net.submit_steady(witness, f"constraints: {{sites: [{site}]}}\n").id for site in ("gz", "gs")}
        for job_id in jobs.values():
            net.until_state(job_id, JobState.RUNNING)
            (run,) = net.client.allocations(job_id)
            net.until_steps(witness, run.id, more=5)
        witness.release()
        for site, job_id in jobs.items():
            done = net.until_state(job_id, *ENDED)
            assert (done.state, done.site, done.attempts) == (JobState.SUCCEEDED, site, 1)
    finally:
        net.leave("gs")
