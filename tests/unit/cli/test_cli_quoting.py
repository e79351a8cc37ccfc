"""The commands about needs, quotes, trials, devices and lessons, by the real command line over a network in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.api.api_world import world
from tests.unit.api.test_api_quotes import Net
from tests.unit.cli.cli_shell import Shell
from tests.unit.quoted_runs import A100, CORES, HUGE, VISION

from suanwang.control.quotes import VALID_FOR
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import CurvePoint, Phase, RunReport
from suanwang.ports import JobQuery

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "need"


@pytest.fixture
def net() -> Iterator[Net]:
    with world() as made:
        yield Net(made)


@pytest.fixture
def shell(net: Net, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    for name, text in (
        ("vision.yaml", VISION),
        ("cores.yaml", CORES),
        ("huge.yaml", HUGE),
        ("task.yaml", "name: run\nrun: ./run\n"),
        ("bad.yaml", "work: network\nnetwork: resnet50\nsamples: -3\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Shell(net.world, monkeypatch, capsys, tmp_path)


def test_a_need_is_reckoned_by_the_network_or_here(shell: Shell) -> None:
    asked = shell("need", "vision.yaml", "--json")
    here = shell("need", "vision.yaml", "--local", "--device", "A100 SXM4 80GB", "--json", by=None)
    assert (asked.code, here.code) == (0, 0)
    assert asked.json == here.json, "nothing was learnt yet, so both reckon alike"
    assert asked.json["estimates"][0]["device"] == A100
    table = shell("need", "vision.yaml", "--device", "h100 sxm", "--device", "910B", "--count", "8")
    assert table.code == 0
    assert "nvidia-h100-sxm" in table.out
    assert "huawei-ascend-910b" in table.out
    assert "Assumed" in table.out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_of_the_documents_is_reckoned(shell: Shell, path: Path) -> None:
    done = shell("need", str(path), "--local", "--json", by=None)
    assert done.code == 0, done.err
    estimate = done.json["estimates"][0]
    assert 0 < estimate["hours"]["low"] <= estimate["hours"]["mid"] <= estimate["hours"]["high"]


def test_a_wrong_need_ends_with_its_own_code(shell: Shell) -> None:
    for arguments in (["need", "bad.yaml"], ["need", "bad.yaml", "--local"], ["quote", "bad.yaml"]):
        done = shell(*arguments)
        assert done.code == 3
        assert "samples" in done.err
        assert done.out == ""
    unknown = shell("need", "vision.yaml", "--device", "h1000")
    assert unknown.code == 3
    assert "nearest names" in unknown.err
    assert shell("need", "missing.yaml").code == 3
    assert shell("need", "vision.yaml", "--local", by=None).code == 0
    assert shell("need", "vision.yaml", by=None).code == 4, "without --local it asks a network"


def test_a_quote_is_a_table_with_its_link_and_is_submitted_under(shell: Shell, net: Net) -> None:
    table = shell("quote", "vision.yaml", "--objective", "fastest")
    assert table.code == 0, table.err
    assert "Horinger" in table.out
    assert "2 × 4 nvidia-a100-sxm-80gb" in table.out.splitlines()[1]
    assert "✕ Guian" in table.out
    assert "has no accelerator" in table.out
    quote_id = next(word for word in table.out.split() if word.startswith("q-"))
    assert f"http://network/quotes/{quote_id}" in table.out
    done = shell("submit", "task.yaml", "--quote", quote_id, "--offer", "2", "--json")
    assert done.code == 0, done.err
    job = net.world.network.jobs.get(net.world.operator, done.json["jobs"][0]["id"])
    assert job.terms is not None
    assert (job.terms.quote_id, job.terms.offer) == (quote_id, 2)
    net.world.clock.at += VALID_FOR
    assert shell("submit", "task.yaml", "--quote", quote_id).code == 6
    assert shell("submit", "task.yaml", "--quote", "q-nothing").code == 5
    assert shell("submit", "task.yaml", "--offer", "2").code == 2
    assert shell("submit", "task.yaml", "--quote", quote_id, "--preview").code == 2


def test_what_nobody_offers_ends_as_a_failure_with_every_reason(shell: Shell) -> None:
    done = shell("quote", "huge.yaml")
    assert done.code == 8
    assert "✕ Horinger" in done.out
    assert "has 8 for one job" in done.out
    as_json = shell("quote", "huge.yaml", "--json")
    assert as_json.code == 8
    assert as_json.json["offers"] == []
    assert {out["site"] for out in as_json.json["excluded"]} == {"guian", "horinger"}


def test_a_task_and_core_hours_are_quoted_too(shell: Shell) -> None:
    cores = shell("quote", "cores.yaml", "--json").json
    assert cores["offers"][0]["cores_per_node"] == 8
    task = shell("quote", "task.yaml", "--json", "--title", "ours").json
    assert {offer["site"] for offer in task["offers"]} == {"guian", "horinger"}
    assert task["title"] == "ours"
    only = shell("quote", "vision.yaml", "--device", "h100 sxm", "--json")
    assert only.code == 8
    assert "not one of the devices asked for" in only.json["excluded"][1]["text"]


def test_chinese_tables(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    done = shell("quote", "vision.yaml")
    assert "和林格尔" in done.out
    assert "没有加速卡" in done.out
    assert "价格有效至" in done.out


def test_a_trial_runs_for_its_limit_and_says_how_long_the_whole_takes(
    shell: Shell, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: _run_trial(net, RunState.TIMED_OUT, steps=30))
    done = shell("trial", "task.yaml", "--steps", "10000", "--limit", "1m")
    assert done.code == 0, done.err
    assert "trial j-" in done.err
    assert "5.56 (" in done.out, "10,000 steps of 2 s are 5.56 hours"
    assert "Price" in done.out
    job = net.world.network.jobs.page(net.world.operator, JobQuery(), None, 1)[0][0]
    assert job.task.resources.time_limit_s == 60
    as_json = shell("trial", "task.yaml", "--steps", "10000", "--json")
    assert as_json.json["seconds"]["mid"] == pytest.approx(20_000)
    assert as_json.json["sure"] is True


def test_a_trial_that_wrote_nothing_fails_and_says_why(shell: Shell, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: _run_trial(net, RunState.FAILED, steps=0))
    done = shell("trial", "task.yaml", "--steps", "100")
    assert done.code == 8
    assert "no steps yet" in done.err
    assert "the program ended with status 1" in done.err
    assert shell("trial", "task.yaml", "--steps", "0").code == 2
    assert shell("trial", "task.yaml", "--steps", "10", "--limit", "soon").code == 2
    (shell.home / "array.yaml").write_text("name: a\nrun: x\ncount: 4\n", encoding="utf-8")
    assert shell("trial", "array.yaml", "--steps", "10").code == 2


def _run_trial(net: Net, outcome: RunState, *, steps: int) -> None:
    """What happens while the command waits: the job is placed, runs for a minute and ends."""
    net.world.network.turn()
    for speaker in (net.guian.tell, net.tell):
        for lease in speaker().start:
            begun = net.world.clock.at
            net.world.clock.at += VALID_FOR / 60
            speaker(
                RunReport(
                    allocation_id=lease.allocation_id,
                    epoch=lease.epoch,
                    phase=Phase.ENDED,
                    started_at=begun,
                    ended_at=net.world.clock.at,
                    outcome=outcome,
                    exit_code=1,
                    points=tuple(
                        CurvePoint(line=n, name="elapsed_s", step=float(n), value=2.0 * n) for n in range(1, steps + 1)
                    ),
                )
            )


def test_devices_are_listed_and_shown_with_their_sources(shell: Shell) -> None:
    listed = shell("device", "list")
    assert listed.code == 0
    assert len(listed.out.splitlines()) > 80
    assert len(shell("device", "list", "910b", "--json").json) >= 4
    shown = shell("device", "show", "h100 sxm")
    assert shown.code == 0
    assert "1,979" in shown.out
    assert "989.4" in shown.out
    assert "with sparsity" in shown.out
    assert "nv-h100" in shown.out
    unknown = shell("device", "show", "h1000 sxm")
    assert unknown.code == 5
    assert "nearest names" in unknown.err


def test_lessons_are_listed(shell: Shell, net: Net) -> None:
    made = shell("quote", "vision.yaml", "--json").json
    assert shell("submit", "task.yaml", "--quote", made["id"]).code == 0
    net.world.network.turn()
    net.run_one(hours=made["offers"][0]["hours"]["mid"] * 1.2)
    net.world.network.turn()
    done = shell("lesson", "list")
    assert done.code == 0
    assert A100 in done.out
    assert "1.000 → 0." in done.out
    both = shell("lesson", "list", "--json").json
    assert [len(both["lessons"]), len(both["beliefs"])] == [1, 1]
