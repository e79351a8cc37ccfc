"""What projects may have: said by operators, seen by members, held to at admission and by the loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.factories import DEMO, NOW, OPERATOR, OTHER, REGULATOR, STRANGER, USER, SmallNetwork, pool, task
from tests.unit.api.api_world import World, world
from tests.unit.cli.cli_shell import Shell

from suanwang.control.rules import Rules
from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.ids import ProjectId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import DeviceRequest, Priority


@pytest.fixture
def small() -> SmallNetwork:
    made = SmallNetwork()
    made.join("guian")  # 16 cores and 64 GB on two nodes.
    return made


def allow(small: SmallNetwork, **changes: object) -> None:
    small.network.allowances.put(OPERATOR, DEMO, Allowance(**changes))  # type: ignore[arg-type]
    small.clock.advance(1)


class TestDeciding:
    def test_operators_decide_and_members_see(self, small: SmallNetwork) -> None:
        allowance = Allowance(weight=2.0, cores=8, devices={"A100-80GB": 4}, queued=9, may_be_high=True)
        shown = small.network.allowances.put(OPERATOR, DEMO, allowance)
        assert shown.standing.allowance.devices == {"nvidia-a100-sxm-80gb": 4}
        assert small.network.allowances.of(USER, DEMO) == shown == small.network.allowances.of(REGULATOR, DEMO)
        for who in (USER, REGULATOR):
            with pytest.raises(Forbidden):
                small.network.allowances.put(who, DEMO, allowance)
        with pytest.raises(NotFound):
            small.network.allowances.of(STRANGER, DEMO)
        with pytest.raises(NotFound):
            small.network.allowances.put(OPERATOR, ProjectId("none"), allowance)
        (event,) = [event for event in small.store.events(0, 100) if event.kind == "project.allowed"]
        assert (event.project, event.actor, event.data["cores"]) == (DEMO, OPERATOR.name, 8)

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            (Allowance(weight=0.0), "weight"),
            (Allowance(weight=float("nan")), "weight"),
            (Allowance(cores=-1), "cores"),
            (Allowance(memory_gb=float("inf")), "memory_gb"),
            (Allowance(devices={"abacus": 1}), "devices"),
            (Allowance(queued=10**10), "queued"),
        ],
    )
    def test_figures_out_of_bounds_are_refused(self, small: SmallNetwork, wrong: Allowance, field: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            small.network.allowances.put(OPERATOR, DEMO, wrong)
        assert caught.value.field == field
        assert small.store.allowances() == {}

    def test_what_is_held_and_waits_is_shown(self, small: SmallNetwork) -> None:
        small.submit(task(cores=8, count=3))
        small.network.turn()
        shown = small.network.allowances.of(USER, DEMO)
        assert (shown.standing.holds, shown.waiting) == (Amounts(cores=16, memory_gb=2), 1)


class TestAdmission:
    def test_a_job_beyond_the_quota_is_refused_with_the_reason(self, small: SmallNetwork) -> None:
        allow(small, cores=4)
        fits, beyond = small.submit(task("fits", cores=4), task("beyond", cores=5))
        assert (fits.state, beyond.state) == (JobState.QUEUED, JobState.REFUSED)
        assert beyond.reason == "more than the quota of project demo allows at once: 5 asked, 4 × core allowed"
        assert beyond.why is not None
        assert [one.code for one in beyond.why.excluded] == ["quota"]
        assert [found.verdict for found in small.network.jobs.preview(USER, [task(cores=5)])] == ["refused"]

    def test_high_priority_is_for_those_who_may(self, small: SmallNetwork) -> None:
        for ask in (small.network.jobs.submit, small.network.jobs.preview):
            with pytest.raises(InvalidRequest, match="may not be of high priority") as caught:
                ask(USER, [task(priority=Priority.HIGH)])
            assert caught.value.field == "priority"
        allow(small, may_be_high=True)
        assert small.submit(task(priority=Priority.HIGH))[0].state is JobState.QUEUED

    def test_no_more_jobs_wait_than_the_quota_allows(self, small: SmallNetwork) -> None:
        allow(small, queued=3)
        small.submit(task(count=2))
        with pytest.raises(InvalidRequest, match="has 2 jobs that wait, and this asks for 2 more"):
            small.submit(task(count=2))
        small.submit(task("last"))
        small.network.turn()
        assert len(small.submit(task("again", count=3))) == 3, "those that run do not wait"


class TestTheLoop:
    def test_a_job_over_the_quota_stays_until_another_ends(self, small: SmallNetwork) -> None:
        allow(small, cores=8)
        one, two = small.submit(task("one", cores=5), task("two", cores=5))
        assert (small.network.turn().leased, small.network.turn().leased) == (1, 0)
        why = small.network.jobs.explain(USER, two.id).why
        assert why is not None
        assert (why.excluded[0].code, why.excluded[0].need, why.excluded[0].have) == ("quota", "5", "5 / 8 × core")
        small.network.jobs.cancel(USER, one.id)
        assert small.job(one.id).state is JobState.CANCELLING, "its site has to let go of it first"
        assert small.network.turn().leased == 0
        allow(small, cores=10)
        assert small.network.turn().leased == 1

    def test_another_project_is_not_held_to_it(self, small: SmallNetwork) -> None:
        allow(small, cores=0)
        assert small.submit(task())[0].state is JobState.REFUSED
        small.submit(task(count=4), caller=STRANGER)
        assert small.network.turn().leased == 4

    def test_projects_take_turns_by_their_weights(self, small: SmallNetwork) -> None:
        allow(small, weight=3.0)
        small.submit(task("theirs", count=40), caller=STRANGER)
        small.submit(task("mine", count=40))
        small.network.turn()
        held = small.store.held_by_project()
        assert (held[DEMO].cores, held[OTHER].cores) == (12, 4)

    def test_without_fair_share_the_first_ready_come_first(self) -> None:
        small = SmallNetwork(Rules(fair_share=False))
        small.join("guian")
        small.submit(task("theirs", count=40), caller=STRANGER)
        small.submit(task("mine", count=40))
        small.network.turn()
        assert list(small.store.held_by_project()) == [OTHER]
        assert small.store.lately() is None

    def test_means_are_kept_once_a_minute(self, small: SmallNetwork) -> None:
        small.network.turn()
        small.submit(task(cores=8))
        small.network.turn()
        small.clock.advance(59)
        small.network.turn()
        lately = small.store.lately()
        assert lately is not None
        assert (lately.at, lately.of) == (NOW, {})
        small.clock.advance(1)
        small.network.turn()
        lately = small.store.lately()
        assert lately is not None
        assert lately.of[DEMO].cores == pytest.approx(8 * (1 - 0.5 ** (60 / 86400)))

    def test_parts_of_a_long_queue_go_by_priority(self) -> None:
        small = SmallNetwork(Rules(plan_limit=2))
        small.join("guian", nodes=1, cores_per_node=1)
        small.submit(task("low", count=3, priority=Priority.LOW), task("normal"))
        assert [small.network.turn().leased for _ in range(2)] == [1, 0]
        assert small.store.held_by_project()[DEMO].cores == 1
        assert [job.task.name for job in small.store.queued(9)] == ["low"] * 3

    def test_high_priority_is_looked_at_in_every_part(self) -> None:
        small = SmallNetwork(Rules(plan_limit=2))
        small.join("guian", nodes=1, cores_per_node=4)
        allow(small, may_be_high=True)
        small.submit(task("running", cores=3))
        small.network.turn()
        small.submit(task("wide", cores=4, count=6))
        assert small.network.turn().behind is not None
        (high,) = small.submit(task("high", priority=Priority.HIGH))
        turn = small.network.turn()
        assert (turn.leased, turn.behind is None) == (1, False)
        assert small.job(high.id).state is JobState.LEASED
        (late,) = small.submit(task("late", priority=Priority.HIGH))
        assert small.network.turn().waiting == 3, "two of the part, and the one in front"
        assert small.job(late.id).state is JobState.QUEUED

    def test_devices_of_one_model_may_be_closed_to_a_project(self) -> None:
        small = SmallNetwork()
        small.join("guian", devices=(pool("nvidia-a100-sxm-80gb"), pool("nvidia-h100-80gb-sxm")))
        allow(small, devices={"nvidia-a100-sxm-80gb": 0})
        (job,) = small.submit(task(devices=DeviceRequest(count=1)))
        small.network.turn()
        (allocation,) = small.store.allocations(job.id)
        assert allocation.device_model == "nvidia-h100-80gb-sxm"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def test_operators_allow_by_the_command_line(shell: Shell) -> None:
    done = shell(
        "project", "allow", "demo", "--weight", "2", "--cores", "64", "--device", "nvidia-a100-sxm-80gb=4", "--high",
        "--json", by="olga",
    ).json  # fmt: skip
    assert (done["weight"], done["cores"], done["devices"]) == (2.0, 64, {"nvidia-a100-sxm-80gb": 4})
    done = shell("project", "allow", "demo", "--cores", "none", "--queued", "100", "--json", by="olga").json
    assert (done["weight"], done["cores"], done["queued"], done["may_be_high"]) == (2.0, None, 100, True)
    shown = shell("project", "show", "demo").out
    assert "nvidia-a100-sxm-80gb" in shown
    assert "high priority allowed" in shown
    assert shell("project", "allow", "demo", "--cores", "1", by="lin").code == 4
    assert shell("project", "allow", "demo", "--cores", "1.5", by="olga").code == 2
    assert json.loads(shell("project", "show", "demo", "--json").out)["held"]["cores"] == 0


def test_pages_show_what_projects_may_have(net: World) -> None:
    from suanwang.web import mount_web
    from suanwang.web.visiting import SESSION

    mount_web(net.app, net.network)
    allowance = Allowance(weight=2.5, cores=640, devices={"nvidia-a100-sxm-80gb": 4}, queued=1, may_be_high=True)
    net.network.allowances.put(OPERATOR, DEMO, allowance)

    def page(path: str, by: str, language: str = "en") -> str:
        headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}", "Accept-Language": language}
        return net.ask("GET", path, by=None, headers=headers).text

    mine = page("/projects", "alice")
    assert "640" in mine
    assert "2.5" in mine
    assert "nvidia-a100-sxm-80gb" in mine
    assert "at most 1 job waits" in mine
    assert "up to high" in mine
    assert ">other" not in mine, "which is nobody's business"
    assert ">other" in page("/projects", "olga")
    assert "权重" in page("/projects", "alice", "zh")
    (job,) = net.network.jobs.submit(USER, [task(priority=Priority.HIGH)]).jobs
    assert "High priority" in page(f"/jobs/{job.id}", "olga")
    assert net.ask("GET", f"/v1/jobs/{job.id}", by="olga").json()["priority"] == "high"
