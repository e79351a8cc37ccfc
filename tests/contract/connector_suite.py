"""What every connector promises, as one suite that the fake and each real scheduler pass.

Owns the promises and the words a test run is described in. It must not know any scheduler: a test file gives it a
`Site` through a fixture named `site`, subclasses `ConnectorContract`, and gets every test.

    class TestLocalConnector(ConnectorContract):
        @pytest.fixture
        def site(self, tmp_path: Path) -> Iterator[Site]:
            yield RealSite(folder=tmp_path, opened=lambda: LocalConnector(...))
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from suanwang.domain.connector import Observation, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest
from suanwang.ports import Connector
from suanwang.sensing.wrapping import wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the program of a test run does, so that a fake can act it and a real site can run it."""

    say: str = ""
    complain: str = ""
    show_env: str | None = None
    """Prints the value of this environment variable."""
    last_s: float = 0.0
    status: int = 0
    on_term: int | None = None
    """It saves what it has when it is told of its end, and ends with this status."""

    def as_bash(self) -> str:
        lines = []
        if self.on_term is not None:
            lines.append(f"trap 'echo saved; exit {self.on_term}' TERM")
        if self.say:
            lines.append(f"printf '%s\\n' {shlex.quote(self.say)}")
        if self.complain:
            lines.append(f"printf '%s\\n' {shlex.quote(self.complain)} >&2")
        if self.show_env:
            lines.append(f"printf '%s\\n' \"${self.show_env}\"")
        if self.last_s:
            lines.append(f"sleep {self.last_s}")
        return "\n".join([*lines, f"exit {self.status}"])


class Site(Protocol):
    """One connector under test, with the means to make orders for it and to let time pass."""

    @property
    def connector(self) -> Connector: ...

    shortest_limit_s: int
    """The shortest time limit the site keeps."""
    polls: int
    """How often the suite may look before it gives up."""

    def order(self, work: Work, **changes: Any) -> RunOrder:
        """An order for `work` with a fresh tag; `changes` replace fields of it."""

    def reopened(self) -> Connector:
        """A second connector over the same site, as after a restart of the agent."""

    def tell(self, order: RunOrder) -> None:
        """Tell a run that its end is near, as an agent does, once it has said that it is ready."""

    def wait(self) -> None:
        """Let a little time pass."""


@dataclass(slots=True)
class RealSite:
    """A `Site` where programs really run: folders and a lease of an hour for every order."""

    folder: Path
    opened: Callable[[], Connector]
    shortest_limit_s: int = 1
    polls: int = 600
    pause_s: float = 0.05
    defaults: dict[str, Any] = field(default_factory=dict)
    connector: Connector = field(init=False)
    numbers: Iterator[int] = field(init=False, default_factory=count)

    def __post_init__(self) -> None:
        self.connector = self.opened()

    def order(self, work: Work, **changes: Any) -> RunOrder:
        tag = changes.pop("tag", f"run-{uuid4().hex[:12]}")
        folder = self.folder / f"run{next(self.numbers)}"
        folder.mkdir(parents=True)
        lease = folder / "lease"
        lease.write_text(f"{int(time.time()) + 3600}\n")
        order = RunOrder(
            tag=tag,
            name="contract",
            script=wrap(
                setup="",
                run=work.as_bash(),
                exit_path=folder / "exit",
                lease_path=lease,
                notice_path=lease.with_name("notice"),
                work_dir=folder,
                guard_interval_s=0.5,
                grace_s=1,
            ),
            work_dir=folder,
            stdout_path=folder / "out.log",
            stderr_path=folder / "err.log",
            exit_path=folder / "exit",
            lease_path=lease,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            memory_gb=0.25,
        )
        return replace(order, **{**self.defaults, **changes})

    def reopened(self) -> Connector:
        return self.opened()

    def tell(self, order: RunOrder) -> None:
        text_of(self, order.stdout_path, "ready")
        Path(order.lease_path).with_name("notice").touch()

    def wait(self) -> None:
        time.sleep(self.pause_s)


def look_until(site: Site, tag: str, wanted: Callable[[Observation], bool]) -> Observation:
    """Looks at `tag` until what is seen is wanted; fails with what was seen last when the site's patience is spent."""
    seen = site.connector.observe([tag])[tag]
    for _ in range(site.polls):
        if wanted(seen):
            return seen
        site.wait()
        seen = site.connector.observe([tag])[tag]
    pytest.fail(f"gave up waiting for {tag}; last seen: {seen}")


def ended(site: Site, tag: str) -> Observation:
    return look_until(site, tag, lambda seen: seen.state.ended)


def started(site: Site, tag: str) -> Observation:
    return look_until(site, tag, lambda seen: seen.state is not RunState.PENDING)


def text_of(site: Site, path: object, wanted: str) -> str:
    """The file's text once it holds `wanted`; a site may hand the last lines over a moment after the end."""
    file = Path(str(path))
    text = ""
    for _ in range(site.polls):
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if wanted in text:
            return text
        site.wait()
    pytest.fail(f"{file} never held {wanted!r}; it holds {text!r}")


HOSTILE_NAMES: Sequence[str] = (
    "--help",
    "-p gpu",
    "two\nlines --uid=0",
    "quotes ' \" ` $(touch hacked) ; # \\",
    "算力网 ümlaut",
    "",
    "x" * 400,
)


class ConnectorContract:
    """Subclass it, give it a fixture `site`, and every promise is checked."""

    def test_success_is_seen_with_its_status(self, site: Site) -> None:
        order = site.order(Work(say="hello"))
        native = site.connector.submit(order)
        assert native
        seen = ended(site, order.tag)
        assert (seen.tag, seen.state, seen.exit_code) == (order.tag, RunState.SUCCEEDED, 0)
        assert seen.native_id == native

    def test_failure_keeps_the_programs_own_status(self, site: Site) -> None:
        order = site.order(Work(status=7))
        site.connector.submit(order)
        seen = ended(site, order.tag)
        assert (seen.state, seen.exit_code) == (RunState.FAILED, 7)

    def test_times_are_utc_and_in_order(self, site: Site) -> None:
        order = site.order(Work(last_s=1))
        site.connector.submit(order)
        seen = ended(site, order.tag)
        assert seen.started_at is not None
        assert seen.ended_at is not None
        for instant in (seen.started_at, seen.ended_at):
            assert instant.utcoffset() is not None
            assert instant.utcoffset() == instant.utcoffset() * 0  # type: ignore[operator]
        assert seen.started_at <= seen.ended_at

    def test_submit_is_idempotent_by_tag(self, site: Site) -> None:
        order = site.order(Work(last_s=30))
        first = site.connector.submit(order)
        assert site.connector.submit(order) == first
        assert site.reopened().submit(order) == first
        assert list(site.connector.running()).count(order.tag) == 1
        site.connector.cancel(order.tag)
        ended(site, order.tag)

    def test_submitting_an_ended_tag_does_not_run_it_again(self, site: Site) -> None:
        order = site.order(Work(say="once"))
        first = site.connector.submit(order)
        ended(site, order.tag)
        assert site.connector.submit(order) == first
        assert site.connector.observe([order.tag])[order.tag].state is RunState.SUCCEEDED
        assert text_of(site, order.stdout_path, "once").count("once") == 1

    def test_observe_answers_every_tag_asked_for(self, site: Site) -> None:
        order = site.order(Work())
        site.connector.submit(order)
        ended(site, order.tag)
        answer = site.connector.observe([order.tag, "never-heard-of"])
        assert set(answer) == {order.tag, "never-heard-of"}
        assert answer["never-heard-of"].state is RunState.UNKNOWN
        assert answer["never-heard-of"].exit_code is None
        assert site.connector.observe([]) == {}

    def test_a_running_run_is_listed_and_seen_after_a_restart(self, site: Site) -> None:
        order = site.order(Work(last_s=30))
        native = site.connector.submit(order)
        again = site.reopened()
        assert order.tag in again.running()
        seen = again.observe([order.tag])[order.tag]
        assert seen.state in (RunState.PENDING, RunState.RUNNING)
        assert seen.native_id == native
        again.cancel(order.tag)
        assert ended(site, order.tag).state is RunState.CANCELLED

    def test_an_outcome_is_still_known_after_a_restart(self, site: Site) -> None:
        order = site.order(Work(status=5))
        site.connector.submit(order)
        ended(site, order.tag)
        seen = site.reopened().observe([order.tag])[order.tag]
        assert (seen.state, seen.exit_code) == (RunState.FAILED, 5)

    def test_cancel_ends_a_running_run(self, site: Site) -> None:
        order = site.order(Work(last_s=120))
        site.connector.submit(order)
        assert started(site, order.tag).state is RunState.RUNNING
        site.connector.cancel(order.tag)
        assert ended(site, order.tag).state is RunState.CANCELLED
        assert order.tag not in site.connector.running()

    def test_a_run_that_is_told_of_its_end_may_end_by_itself(self, site: Site) -> None:
        order = site.order(Work(say="ready", last_s=120, on_term=9))
        site.connector.submit(order)
        started(site, order.tag)
        site.tell(order)
        seen = ended(site, order.tag)
        assert (seen.state, seen.exit_code) == (RunState.FAILED, 9)
        text_of(site, order.stdout_path, "saved")

    def test_cancel_of_what_is_ended_or_unknown_is_no_error(self, site: Site) -> None:
        order = site.order(Work())
        site.connector.submit(order)
        ended(site, order.tag)
        site.connector.cancel(order.tag)
        site.connector.cancel("never-heard-of")
        assert site.connector.observe([order.tag])[order.tag].state is RunState.SUCCEEDED

    def test_forget_is_idempotent_and_ends_no_other_run(self, site: Site) -> None:
        kept, gone = site.order(Work(last_s=30)), site.order(Work())
        site.connector.submit(kept)
        site.connector.submit(gone)
        ended(site, gone.tag)
        site.connector.forget(gone.tag)
        site.connector.forget(gone.tag)
        site.connector.forget("never-heard-of")
        assert gone.tag not in site.connector.running()
        assert kept.tag in site.connector.running()
        site.connector.cancel(kept.tag)
        ended(site, kept.tag)

    def test_a_time_limit_ends_the_run(self, site: Site) -> None:
        order = site.order(Work(last_s=600), time_limit_s=site.shortest_limit_s)
        site.connector.submit(order)
        assert ended(site, order.tag).state is RunState.TIMED_OUT

    def test_logs_land_where_the_order_says(self, site: Site) -> None:
        order = site.order(Work(say="到标准输出", complain="to standard error"))
        site.connector.submit(order)
        ended(site, order.tag)
        assert "to standard error" not in text_of(site, order.stdout_path, "到标准输出")
        assert "到标准输出" not in text_of(site, order.stderr_path, "to standard error")

    @pytest.mark.parametrize("value", ["plain", "with space, comma=and 'quotes\" $HOME", "two\nlines", "算力"])
    def test_environment_reaches_the_run_unchanged(self, site: Site, value: str) -> None:
        order = site.order(Work(show_env="SUANWANG_TEST"))
        order = replace(order, env={**order.env, "SUANWANG_TEST": value})
        site.connector.submit(order)
        assert ended(site, order.tag).state is RunState.SUCCEEDED
        assert text_of(site, order.stdout_path, value) == value + "\n"

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_a_name_is_never_read_as_anything_else(self, site: Site, name: str) -> None:
        order = site.order(Work(say="ran"), name=name)
        site.connector.submit(order)
        assert ended(site, order.tag).state is RunState.SUCCEEDED
        text_of(site, order.stdout_path, "ran")
        assert not (Path(str(order.work_dir)) / "hacked").exists()

    def test_an_impossible_order_is_refused_or_never_claimed_to_run(self, site: Site) -> None:
        order = site.order(Work(), cores=1_000_000)
        with pytest.raises(InvalidRequest):
            site.connector.submit(order)
        assert order.tag not in site.connector.running()
        assert site.connector.observe([order.tag])[order.tag].state is RunState.UNKNOWN

    def test_load_is_sane(self, site: Site) -> None:
        order = site.order(Work(last_s=30))
        site.connector.submit(order)
        started(site, order.tag)
        load = site.connector.load()
        cores = sum(shape.count * shape.cores for shape in load.nodes)
        memory_gb = sum(shape.count * shape.memory_gb for shape in load.nodes)
        assert cores >= 1
        assert 0 <= load.cores_free <= cores
        assert 0 <= load.memory_free_gb <= memory_gb
        assert load.running >= 1
        assert load.pending >= 0
        for model, free in load.devices_free.items():
            assert 0 <= free <= sum(shape.count * shape.devices.get(model, 0) for shape in load.nodes)
        site.connector.cancel(order.tag)
        ended(site, order.tag)
