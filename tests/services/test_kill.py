"""`kill -9` of every part in mid-run, on real Slurm: nothing is lost, nothing runs twice, nothing is billed twice.

The runs themselves bear witness: each writes a line when it begins and one for every step, outside its own folder.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from tests.services.network_fixture import SITES, RealNetwork, Witness, net, running_network, testbed

from suanwang.client import models
from suanwang.domain.connector import RunState
from suanwang.domain.job import AllocationState
from suanwang.domain.lifecycle import ENDED, JobState

__all__ = ["net", "running_network", "testbed"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm")]


def begin(net: RealNetwork, witness: Witness, more: str = "") -> tuple[str, str]:
    """A steady job in mid-run: its identifier, and that of its run."""
    job_id = net.submit_steady(witness, more).id
    net.until_state(job_id, JobState.RUNNING)
    (run,) = net.client.allocations(job_id)
    net.until_steps(witness, run.id)
    return job_id, run.id


def begin_everywhere(net: RealNetwork, witness: Witness) -> list[tuple[str, str]]:
    """One at each site."""
    return [begin(net, witness, f"constraints: {{sites: [{site}]}}\n") for site in SITES]


def assert_went_through(net: RealNetwork, witness: Witness, job_id: str, allocation: str) -> None:
    """The job ended well in the run it had from the beginning; its log is whole and its bill right."""
    witness.release()
    done = net.until_state(job_id, *ENDED)
    assert (done.state, done.reason, done.attempts) == (JobState.SUCCEEDED, "", 1)
    (run,) = net.client.allocations(job_id)
    assert (run.id, run.state, run.outcome) == (allocation, AllocationState.ENDED, RunState.SUCCEEDED)
    assert [begun.allocation for begun in witness.begun()].count(allocation) == 1
    assert len({process for _, process, _ in witness.steps(allocation)}) == 1
    net.assert_log_is_whole(witness, job_id, allocation)
    net.assert_billed_once(job_id)


def assert_one_at_a_time(net: RealNetwork, witness: Witness, job_id: str) -> list[models.AllocationView]:
    """Each of the job's runs began once, and none made a step before the one before it had made its last."""
    runs = sorted(net.client.allocations(job_id), key=lambda run: run.epoch)
    assert [begun.allocation for begun in witness.begun()] == [run.id for run in runs]
    spans = [(steps[0][0], steps[-1][0]) for run in runs if (steps := witness.steps(run.id))]
    assert len(spans) == len(runs)
    assert all(last_step < first_step for (_, last_step), (first_step, _) in pairwise(spans))
    for one, following in pairwise(runs):
        assert one.ended_at is not None
        assert following.started_at is not None
        assert one.ended_at <= following.started_at
    return runs


def test_control_plane(net: RealNetwork) -> None:
    witness = net.witness()
    work = begin_everywhere(net, witness)
    net.processes.kill("serve")
    for _, allocation in work:
        net.until_steps(witness, allocation)
    net.start_control_plane()
    for job_id, allocation in work:
        net.until_steps(witness, allocation)
        assert net.client.job(job_id).state is JobState.RUNNING
    for job_id, allocation in work:
        assert_went_through(net, witness, job_id, allocation)


def test_control_plane_while_work_is_being_given_out(net: RealNetwork) -> None:
    """Killed again and again at no particular moment; whatever was accepted is done once."""
    witness = net.witness()
    run = f'echo "$SUANWANG_JOB_ID" >> {witness.folder}/done; echo done'
    accepted: list[str] = []
    for _ in range(3):
        task = f"name: short\nrun: {run!r}\ncount: 3\nresources: {{cores: 1, memory: 100MB, time_limit: 5m}}\n"
        accepted += [job.id for job in net.submit(task)]
        net.processes.kill("serve")
        net.start_control_plane()
    for job_id in accepted:
        assert net.until_state(job_id, *ENDED).state is JobState.SUCCEEDED
        (only,) = net.client.allocations(job_id)
        assert net.output(job_id, only.id) == "done\n"
        net.assert_billed_once(job_id)
    assert sorted((witness.folder / "done").read_text().split()) == sorted(accepted)


def test_agent_that_comes_back_within_the_lease(net: RealNetwork) -> None:
    witness = net.witness()
    work = begin_everywhere(net, witness)
    for site in SITES:
        net.processes.kill(f"agent-{site}")
    for _, allocation in work:
        net.until_steps(witness, allocation)
    for site in SITES:
        net.start_agent(site)
    for job_id, allocation in work:
        until = net.client.allocations(job_id)[0].lease_until
        net.until("its lease is renewed", lambda: net.client.allocations(job_id)[0].lease_until > until)  # noqa: B023
        net.until_steps(witness, allocation)
    for job_id, allocation in work:
        assert_went_through(net, witness, job_id, allocation)


def test_agent_that_comes_back_after_its_run_has_ended(net: RealNetwork) -> None:
    witness = net.witness()
    job_id, allocation = begin(net, witness, "constraints: {sites: [gz]}\n")
    net.processes.kill("agent-gz")
    witness.release()
    net.until("the run has ended", lambda: not net.processes_of(allocation))
    net.start_agent("gz")
    assert_went_through(net, witness, job_id, allocation)


@pytest.mark.parametrize(("site", "other"), [("gz", "nm"), ("nm", "gz")])
def test_agent_that_stays_away_beyond_the_lease(net: RealNetwork, site: str, other: str) -> None:
    """The guard ends the run on its node, then the job goes on from its checkpoint at the other site."""
    witness = net.witness()
    net.operator.drain_site(other)
    try:
        job_id, first = begin(net, witness)
        net.until("a checkpoint is kept", lambda: net.client.job(job_id).checkpoint)
    finally:
        net.operator.open_site(other)
    net.processes.kill(f"agent-{site}")
    second = until_it_goes_on_in_another_run(net, witness, first)
    witness.release()
    done = net.until_state(job_id, *ENDED)
    assert (done.state, done.site, done.attempts) == (JobState.SUCCEEDED, other, 2)
    runs = assert_one_at_a_time(net, witness, job_id)
    assert [(run.site, run.state) for run in runs] == [(site, AllocationState.FENCED), (other, AllocationState.ENDED)]
    assert "JobState=FAILED" in net.cluster(site).command("scontrol", "show", "job", str(runs[0].native_id))
    net.assert_log_is_whole(witness, job_id, second)
    net.assert_billed_once(job_id)
    # The old agent comes back, is told that its lease is over, and lets go.
    net.start_agent(site)
    net.until("the old run is forgotten", lambda: not list((net.folder / "agents" / site / "leases").glob("*.json")))
    assert len(witness.begun()) == 2


def until_it_goes_on_in_another_run(net: RealNetwork, witness: Witness, first: str) -> str:
    """Waits for the job's second run, of which nothing may be alive beside the first; its identifier."""
    net.until("it begins again", lambda: len(witness.begun()) == 2)
    assert net.processes_of(first) == []
    fresh, again = witness.begun()
    assert (fresh.allocation, fresh.step) == (first, 0)
    assert again.allocation != first
    assert again.step > 0
    net.until_steps(witness, again.allocation)
    return again.allocation


@pytest.mark.parametrize("every", [True, False], ids=["every process", "its first process"])
def test_postgres(net: RealNetwork, every: bool) -> None:
    witness = net.witness()
    work = begin_everywhere(net, witness)
    before = net.postgres()
    first = min(before, key=lambda process: process.create_time())
    for process in before if every else [first]:
        process.kill()
    old = {process.pid for process in before}
    # Orphans of the first process still answer for a moment.
    net.until("the old server is gone", lambda: not old & {process.pid for process in net.postgres()}, parts=("serve",))
    net.until("the network is back by itself", lambda: net.operator.health().status == "ok", parts=("serve",))
    later = net.submit("name: later\nrun: ':'\n")[0]
    assert net.until_state(later.id, *ENDED).state is JobState.SUCCEEDED
    for job_id, allocation in work:
        net.until_steps(witness, allocation)
        assert net.client.job(job_id).state is JobState.RUNNING
    for job_id, allocation in work:
        assert_went_through(net, witness, job_id, allocation)


def test_program_on_its_node(net: RealNetwork) -> None:
    """The user's own program is gone: that is its end, and not the site's fault."""
    witness = net.witness()
    work = begin_everywhere(net, witness)
    for _, allocation in work:
        net.processes_of(allocation)[0].kill()
    for job_id, allocation in work:
        done = net.until_state(job_id, *ENDED)
        assert (done.state, done.exit_code, done.attempts) == (JobState.FAILED, 137, 1)
        assert done.reason == "the program was ended by signal 9 (status 137)"
        assert [begun.allocation for begun in witness.begun()].count(allocation) == 1
        assert net.processes_of(allocation) == []
        net.assert_log_is_whole(witness, job_id, allocation)
        net.assert_billed_once(job_id)


def test_node_daemon(net: RealNetwork) -> None:
    """Slurm gives the node up while the run goes on there: the run is ended before the job begins again."""
    witness = net.witness()
    job_id, first = begin(net, witness)
    (run,) = net.client.allocations(job_id)
    net.until("a checkpoint is kept", lambda: net.client.job(job_id).checkpoint)
    net.cluster(run.site).daemons[run.nodes[0]].kill()
    until_it_goes_on_in_another_run(net, witness, first)
    witness.release()
    done = net.until_state(job_id, *ENDED)
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 2)
    runs = assert_one_at_a_time(net, witness, job_id)
    assert [(run.state, run.outcome) for run in runs] == [
        (AllocationState.ENDED, RunState.SITE_FAILED),
        (AllocationState.ENDED, RunState.SUCCEEDED),
    ]
    net.assert_billed_once(job_id)


def test_step_daemon(net: RealNetwork) -> None:
    """Slurm learns from the node that its job is gone, while the program goes on there."""
    witness = net.witness()
    job_id, first = begin(net, witness)
    net.until("a checkpoint is kept", lambda: net.client.job(job_id).checkpoint)
    lose_step(net, job_id)
    until_it_goes_on_in_another_run(net, witness, first)
    witness.release()
    done = net.until_state(job_id, *ENDED)
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 2)
    assert_one_at_a_time(net, witness, job_id)
    net.assert_billed_once(job_id)


def test_step_daemon_of_a_program_that_comes_to_its_end(net: RealNetwork) -> None:
    """Slurm says the job failed with its node; the run's own status says that it is done, and it is not run again."""
    witness = net.witness()
    job_id, allocation = begin(net, witness)
    lose_step(net, job_id, before=lambda: release_and_wait(net, witness, allocation))
    done = net.until_state(job_id, *ENDED)
    assert (done.state, done.exit_code, done.attempts) == (JobState.SUCCEEDED, 0, 1)
    assert len(witness.begun()) == 1
    net.assert_log_is_whole(witness, job_id, allocation)
    net.assert_billed_once(job_id)


def release_and_wait(net: RealNetwork, witness: Witness, allocation: str) -> None:
    witness.release()
    net.until("the program has ended", lambda: not net.processes_of(allocation))


def lose_step(net: RealNetwork, job_id: str, before: Callable[[], None] = lambda: None) -> None:
    """Kill the daemon of a run's job, do `before`, and have Slurm look at its nodes until it misses the job.

    It would by itself, minutes later.
    """
    (run,) = net.client.allocations(job_id)
    cluster = net.cluster(run.site)
    net.step_daemon(run.id).kill()
    before()

    def missed() -> bool:
        cluster.command("scontrol", "reconfigure")
        return "JobState=NODE_FAIL" in cluster.command("scontrol", "show", "job", str(run.native_id))

    net.until("Slurm misses the job", missed, pause_s=2.0)
