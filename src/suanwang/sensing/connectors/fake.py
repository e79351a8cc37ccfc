"""A site in memory that keeps the connector's promises, driven by a clock somebody else moves.

Owns how scripted runs queue, start and end as the clock advances, and the faults a test asks of them. It must not read
the real clock or start anything: the simulation and the benchmarks run on it, 100,000 runs at a time.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from suanwang.domain.connector import Load, NodeShape, Observation, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one run goes: how long it lasts once started, and how it ends."""

    duration_s: float = 0.0
    exit_code: int = 0
    state: RunState | None = None
    """An end other than the one `exit_code` says, such as `SITE_FAILED`."""
    stdout: str = ""
    stderr: str = ""


@dataclass(slots=True, kw_only=True)
class _Run:
    order: RunOrder
    behaviour: Behaviour
    native_id: str
    state: RunState = RunState.PENDING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Faults:
    """What shall go wrong next. Counters fall by one each time; a test or a simulation sets them between steps."""

    down: bool = False
    """Every call raises `Unavailable`; runs go on."""
    lost_submits: int = 0
    """So many submits take effect and then raise `OutcomeUnknown`."""
    refused_submits: int = 0
    """So many submits raise `Unavailable` and take no effect."""


@dataclass(slots=True, kw_only=True)
class _Books:
    """What the site itself holds: it outlives any connector that looks at it."""

    runs: dict[str, _Run] = field(default_factory=dict)
    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)
    live: dict[str, None] = field(default_factory=dict)
    ends: list[tuple[datetime, int, str]] = field(default_factory=list)
    sequence: int = 0


def _at_once(_: RunOrder) -> Behaviour:
    return Behaviour()


class FakeConnector:
    """A `Connector` over a site in memory with `nodes` nodes of one shape, first come, first served.

    `behaviour` says how each order goes. `memory_gb`, `cores` and `devices` (catalogue identifier → count) are per
    node; a run takes the whole site's sum into account, not single nodes. `faults` is open to the test.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        behaviour: Callable[[RunOrder], Behaviour] = _at_once,
        nodes: int = 1,
        cores: int = 8,
        memory_gb: float = 64.0,
        devices: Mapping[str, int] | None = None,
    ) -> None:
        self.faults = Faults()
        self._clock = clock
        self._behaviour = behaviour
        self._shape = NodeShape(count=nodes, cores=cores, memory_gb=memory_gb, devices=dict(devices or {}))
        self._cores_free = nodes * cores
        self._memory_free_gb = nodes * memory_gb
        self._devices_free = {model: nodes * number for model, number in self._shape.devices.items()}
        self._books = _Books()

    def submit(self, order: RunOrder) -> str:
        self._check_up()
        if self.faults.refused_submits > 0:
            self.faults.refused_submits -= 1
            raise Unavailable("the site did not take the submission: retry")
        self._advance()
        books = self._books
        run = books.runs.get(order.tag)
        if run is None:
            self._check_fits(order)
            books.sequence += 1
            run = _Run(order=order, behaviour=self._behaviour(order), native_id=str(books.sequence))
            books.runs[order.tag] = run
            books.waiting[order.tag] = None
            self._start_waiting(self._clock.now())
        if self.faults.lost_submits > 0:
            self.faults.lost_submits -= 1
            raise OutcomeUnknown("the reply to the submission was lost: look the run up by its tag", tag=order.tag)
        return run.native_id

    def observe(self, tags: Sequence[str]) -> Mapping[str, Observation]:
        self._check_up()
        self._advance()
        runs = self._books.runs
        return {tag: _seen(tag, runs.get(tag)) for tag in tags}

    def cancel(self, tag: str) -> None:
        self._check_up()
        self._end(tag, RunState.CANCELLED, reason="cancelled")

    def forget(self, tag: str) -> None:
        run = self._books.runs.get(tag)
        if run is not None and run.state.ended:
            del self._books.runs[tag]

    def running(self) -> Sequence[str]:
        self._check_up()
        self._advance()
        return (*self._books.live, *self._books.waiting)

    def load(self) -> Load:
        self._check_up()
        self._advance()
        return Load(
            nodes=(self._shape,),
            cores_free=self._cores_free,
            memory_free_gb=min(max(self._memory_free_gb, 0.0), self._shape.count * self._shape.memory_gb),
            devices_free=dict(self._devices_free),
            pending=len(self._books.waiting),
            running=len(self._books.live),
        )

    def fail_site(self, tag: str, *, reason: str = "node failed") -> None:
        """The site loses this run by its own fault, now; an ended or unknown run stays as it is."""
        self._end(tag, RunState.SITE_FAILED, reason=reason)

    def exit_now(self, tag: str, *, exit_code: int) -> None:
        """The program of this run ends by itself, now; one that waits, ended or is unknown stays as it is."""
        self._advance()
        run = self._books.runs.get(tag)
        if run is not None and run.state is RunState.RUNNING:
            self._finish(run, self._clock.now(), RunState.FAILED if exit_code else RunState.SUCCEEDED, exit_code, "")
            self._start_waiting(self._clock.now())

    def _check_up(self) -> None:
        if self.faults.down:
            raise Unavailable("the site does not answer: retry")

    def _check_fits(self, order: RunOrder) -> None:
        shape = self._shape
        if order.nodes > shape.count or order.cores > shape.cores or order.memory_gb > shape.memory_gb:
            raise InvalidRequest(
                "no node of this site is that large",
                field="resources",
                allowed=f"{shape.count} nodes of {shape.cores} cores and {shape.memory_gb:g} GB",
            )
        wanted = order.devices
        if wanted is not None and wanted.count > shape.devices.get(wanted.model, 0):
            raise InvalidRequest(
                f"no node of this site has {wanted.count} × {wanted.model}",
                field="resources.devices",
                allowed=", ".join(f"{model}: {number}" for model, number in shape.devices.items()) or "none",
            )

    def _advance(self) -> None:
        """Ends and starts everything up to now, in the order of the instants: an end frees room at its own instant."""
        now = self._clock.now()
        ends = self._books.ends
        while ends and ends[0][0] <= now:
            instant, _, tag = heapq.heappop(ends)
            run = self._books.runs.get(tag)
            if run is None or run.state is not RunState.RUNNING or run.ended_at != instant:
                continue
            self._finish(run, instant, *_outcome(run))
            self._start_waiting(instant)
        self._start_waiting(now)

    def _start_waiting(self, now: datetime) -> None:
        waiting = self._books.waiting
        while waiting:
            run = self._books.runs[next(iter(waiting))]
            if not self._take(run.order):
                return
            waiting.popitem(last=False)
            self._books.live[run.order.tag] = None
            run.state = RunState.RUNNING
            run.started_at = now
            lasts_s = min(run.behaviour.duration_s, float(run.order.time_limit_s))
            run.ended_at = now + timedelta(seconds=lasts_s)
            self._books.sequence += 1
            heapq.heappush(self._books.ends, (run.ended_at, self._books.sequence, run.order.tag))

    def _take(self, order: RunOrder) -> bool:
        cores, memory_gb = order.nodes * order.cores, order.nodes * order.memory_gb
        devices = order.nodes * order.devices.count if order.devices else 0
        if cores > self._cores_free or memory_gb > self._memory_free_gb:
            return False
        if order.devices is not None:
            if devices > self._devices_free.get(order.devices.model, 0):
                return False
            self._devices_free[order.devices.model] -= devices
        self._cores_free -= cores
        self._memory_free_gb -= memory_gb
        return True

    def _end(self, tag: str, state: RunState, *, reason: str) -> None:
        self._advance()
        run = self._books.runs.get(tag)
        if run is None or run.state.ended:
            return
        now = self._clock.now()
        if run.state is RunState.PENDING:
            del self._books.waiting[tag]
            run.state, run.ended_at, run.reason = state, now, reason
            return
        self._finish(run, now, state, None, reason)
        self._start_waiting(now)

    def _finish(self, run: _Run, now: datetime, state: RunState, exit_code: int | None, reason: str) -> None:
        order = run.order
        self._books.live.pop(order.tag, None)
        self._cores_free += order.nodes * order.cores
        self._memory_free_gb += order.nodes * order.memory_gb
        if order.devices is not None:
            self._devices_free[order.devices.model] += order.nodes * order.devices.count
        run.state, run.ended_at, run.exit_code, run.reason = state, now, exit_code, reason
        for path, text in ((order.stdout_path, run.behaviour.stdout), (order.stderr_path, run.behaviour.stderr)):
            if text:
                Path(path).write_text(text, encoding="utf-8")


def _outcome(run: _Run) -> tuple[RunState, int | None, str]:
    behaviour = run.behaviour
    if behaviour.duration_s > run.order.time_limit_s:
        return RunState.TIMED_OUT, None, f"time limit of {run.order.time_limit_s} s"
    if behaviour.state is not None:
        return behaviour.state, None, behaviour.state.value
    return (RunState.FAILED if behaviour.exit_code else RunState.SUCCEEDED), behaviour.exit_code, ""


def _seen(tag: str, run: _Run | None) -> Observation:
    if run is None:
        return Observation(tag=tag, state=RunState.UNKNOWN)
    return Observation(
        tag=tag,
        state=run.state,
        native_id=run.native_id,
        started_at=run.started_at,
        ended_at=run.ended_at if run.state.ended else None,
        exit_code=run.exit_code,
        reason=run.reason,
    )
