"""Experiments of a control plane: who may start them, that they end, how they fail, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.twin.checking import Checked
from suanwang.twin.laboratory import Laboratory, Limits, State

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE_S = 60.0
OPERATOR = Principal(name="olga", role=Role.OPERATOR)
REGULATOR = Principal(name="rita", role=Role.REGULATOR)
USER = Principal(name="alice", role=Role.USER)
PLAYER = """
import json, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
text = (folder / "experiment.yaml").read_text()
(folder / "progress.json").write_text(json.dumps({"done": 1, "of": 3}))
if "hang" in text:
    print("playing", flush=True)
    (folder / "began").write_text("")
    signal.pause()
if "say" in text:
    (folder / "failure.json").write_text(json.dumps({"message": "no jobs there"}))
    sys.exit(1)
if "crash" in text:
    raise RuntimeError("out of luck")
if "quit" not in text:
    (folder / "report.html").write_text("<!doctype html>")
    (folder / "summary.json").write_text("{}")
"""
COMMAND = (sys.executable, "-S", "-c", PLAYER)


def checked(text: str) -> Checked:
    if "wrong" in text:
        raise InvalidRequest("no such policy", field="policies[0]")
    return Checked(name="n", title_en="A week", title_zh="一周", plays=3, policies=("joint",), seeds=1)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Laboratory]]:
    made: list[Laboratory] = []

    def laboratory(**changes: object) -> Laboratory:
        made.append(Laboratory(tmp_path, lambda: NOW, command=COMMAND, check=checked, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield laboratory
    for each in made:
        each.close()


def test_an_experiment_is_played_and_its_report_kept(make: Callable[..., Laboratory]) -> None:
    kept = make()
    made = kept.start_text(OPERATOR, "fine")
    assert kept.settled(PATIENCE_S)
    found = kept.get(USER, made.id)
    assert (found.state, found.title, found.by, found.done, found.plays) == (State.DONE, "A week", "olga", 1, 3)
    assert kept.report(USER, made.id).read_text() == "<!doctype html>"
    assert kept.text(USER, made.id) == "fine"
    assert [each.id for each in make().all(USER)] == [made.id], "another control plane finds it again"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("say", "no jobs there"),
        ("crash", "it ended with status 1: RuntimeError: out of luck"),
        ("quit", "it ended with status 0"),
    ],
)
def test_a_failure_is_told(make: Callable[..., Laboratory], text: str, reason: str) -> None:
    kept = make()
    made = kept.start_text(REGULATOR, text)
    assert kept.settled(PATIENCE_S)
    assert (kept.get(USER, made.id).state, kept.get(USER, made.id).reason) == (State.FAILED, reason)
    with pytest.raises(NotFound, match="no report"):
        kept.report(USER, made.id)


def test_one_plays_at_a_time_and_few_wait(make: Callable[..., Laboratory], tmp_path: Path) -> None:
    kept = make(limits=Limits(waiting=2))
    first, second, third = (kept.start_text(OPERATOR, text) for text in ("hang", "fine", "fine"))
    assert [kept.get(USER, each.id).state for each in (first, second, third)] == ["running", "queued", "queued"]
    with pytest.raises(Conflict, match="2 experiments wait already"):
        kept.start_text(OPERATOR, "fine")
    kept.delete(OPERATOR, second.id)
    kept.delete(OPERATOR, first.id)
    assert kept.settled(PATIENCE_S)
    assert [each.id for each in kept.all(USER)] == [third.id]
    assert kept.get(USER, third.id).state is State.DONE
    assert [path.name for path in tmp_path.iterdir()] == [third.id]


def test_what_takes_too_long_is_ended(make: Callable[..., Laboratory]) -> None:
    kept = make(limits=Limits(longest_s=0.2))
    made = kept.start_text(OPERATOR, "hang")
    assert kept.settled(PATIENCE_S)
    assert kept.get(USER, made.id).reason.startswith("it took longer than")


def test_it_ends_with_the_control_plane(make: Callable[..., Laboratory]) -> None:
    kept = make()
    made, waiting = kept.start_text(OPERATOR, "hang"), kept.start_text(OPERATOR, "fine")
    kept.close()
    assert kept.get(USER, made.id).reason == "the control plane stopped while it was played"
    again = make()
    assert [again.get(USER, each.id).state for each in (made, waiting)] == [State.FAILED, State.FAILED]
    with pytest.raises(Conflict):
        kept.start_text(OPERATOR, "fine")


def test_who_may_do_what(make: Callable[..., Laboratory]) -> None:
    kept = make()
    for who in (USER, Principal(name="p", role=Role.PROVIDER)):
        with pytest.raises(Forbidden):
            kept.start_text(who, "fine")
        with pytest.raises(Forbidden):
            kept.check(who, "fine")
    with pytest.raises(Forbidden):
        kept.all(Principal(name="agent", role=Role.AGENT))
    made = kept.start_text(OPERATOR, "fine")
    for who in (USER, REGULATOR):
        with pytest.raises(Forbidden):
            kept.delete(who, made.id)
    own = kept.start_text(REGULATOR, "fine")
    kept.delete(REGULATOR, own.id)
    with pytest.raises(InvalidRequest, match="no such policy"):
        kept.start_text(OPERATOR, "wrong")


@pytest.mark.parametrize("name", ["x-000000000000", "..", "../x", "", "x-\0"])
def test_other_names_are_not_there(make: Callable[..., Laboratory], name: str) -> None:
    with pytest.raises(NotFound):
        make().get(OPERATOR, name)


def test_without_a_home_there_are_none() -> None:
    nowhere = Laboratory(None, lambda: NOW, check=checked)
    assert nowhere.all(USER) == []
    with pytest.raises(Conflict, match="keeps no experiments"):
        nowhere.start_text(OPERATOR, "fine")


def test_unreadable_leftovers_are_passed_over(make: Callable[..., Laboratory], tmp_path: Path) -> None:
    for name, text in (("x-00000000000a", "{"), ("x-00000000000b", '{"id": 3}'), ("else", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(text)
    assert make().all(USER) == []


def test_secrets_stay_with_the_control_plane(make: Callable[..., Laboratory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUANWANG_OPERATOR_TOKEN", "swordfish")
    kept = make()
    made = kept.start_text(OPERATOR, "hang")
    folder = kept._folder(made.id)
    while not (folder / "began").exists():
        assert kept.get(USER, made.id).state is State.RUNNING
    process = kept._process
    assert process is not None
    assert b"swordfish" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert os.getpgid(process.pid) == process.pid
    os.kill(process.pid, signal.SIGKILL)
    assert kept.settled(PATIENCE_S)
    assert "memory" in kept.get(USER, made.id).reason


def test_the_control_plane_loads_nothing_that_only_playing_needs() -> None:
    code = (
        "import sys; import suanwang.control.network; before = set(sys.modules);"
        "import suanwang.twin.whatif, suanwang.api.routes.twin, suanwang.web.pages.twin, suanwang.twin.replay;"
        "print({name.partition('.')[0] for name in set(sys.modules) - before} & {'numba', 'pyarrow', 'scipy', 'pandas'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
