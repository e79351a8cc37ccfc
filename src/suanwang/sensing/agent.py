"""The agent's loop at one site: look, tell the network, do what its leases say.

Owns the life of a run at its site and the promise that no run outlives its lease. It talks to the world through ports
only, so the simulation runs this very loop. It must not know which scheduler or which network stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from suanwang.domain.connector import Load, Observation, RunOrder, RunState
from suanwang.domain.errors import (
    Conflict,
    InvalidRequest,
    OutcomeUnknown,
    SuanwangError,
    Unavailable,
    UnreadableReply,
)
from suanwang.domain.exchange import (
    CurvePoint,
    Known,
    Lease,
    LogPiece,
    OutputFile,
    Phase,
    RunReport,
    SiteReport,
    SyncReply,
    SyncRequest,
)
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId
from suanwang.domain.sample import Sample
from suanwang.ports import Clock, Connector, Extent, Link

UNKNOWN_GRACE_S = 60.0
"""How long a site may not know a run it took before the run is given up: accounting lags behind queues."""
LOAD_EVERY_S = 5.0
LEASE_FILE_STEP = timedelta(seconds=1)
"""A lease is on file in whole seconds, and so are most schedulers' times."""
LEASE_ENDED = "no contact with the network until the lease ended"
REPORT_BYTES = 4 * 2**20
"""Output that one call carries, over all runs; what is left over comes with the next calls."""
POINT_BYTES = 100
"""Reckoned for one point of a curve."""
LAST_LOOKS = 5
"""Tries to send the last checkpoint of a suspended run."""
STALLED_AFTER = 5
"""Answers without progress after which the rest of a log is given up: the network keeps only so much."""


class Ending(StrEnum):
    """Why the agent is ending a run."""

    NO = ""
    CANCELLED = "cancelled"
    SUSPENDED = "suspended"
    """Its work goes on later: its last checkpoint is sent before its end is told."""
    FENCED = "fenced"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the agent remembers of one lease, across restarts."""

    lease: Lease
    deadline: datetime
    """The run may live until then, by the agent's own clock."""
    phase: Phase = Phase.STAGING
    ending: Ending = Ending.NO
    told: bool = False
    """That it is to be ended soon for others: it may end by itself now."""
    unsure: bool = False
    """A submission was begun and has no answer yet: whether the site has it, only the site can say."""
    native_id: str | None = None
    started_at: datetime | None = None
    seen_from: datetime | None = None
    """When it was first seen running."""
    ended_at: datetime | None = None
    outcome: RunState | None = None
    exit_code: int | None = None
    reason: str = ""
    refused: bool = False
    nodes: tuple[str, ...] = ()
    cpu_s: float | None = None
    max_memory_gb: float | None = None
    unknown_since: datetime | None = None
    checkpoint: Content | None = None
    outputs: tuple[OutputFile, ...] = ()
    over_at: datetime | None = None
    """The site gave the run up without being able to say that it is over: its guard has ended it by then."""

    @property
    def id(self) -> AllocationId:
        return self.lease.allocation_id


class Spool(Protocol):
    """The agent's memory on disk. A record is whole or absent."""

    def all(self) -> Sequence[Kept]: ...

    def save(self, kept: Kept) -> None: ...

    def remove(self, allocation_id: AllocationId) -> None: ...


class Workshop(Protocol):
    """The site's folders: where inputs are laid and results are found. Calls may raise `Unavailable`."""

    def prepare(self, lease: Lease) -> RunOrder:
        """Folders, inputs, checkpoint and script of a run. Raises `InvalidRequest` where that can never work."""

    def extend(self, lease: Lease, until: datetime) -> None:
        """Tell the run's own guard how long it may live."""

    def tell(self, lease: Lease) -> None:
        """Tell the run that it is to be ended soon. Telling it again changes nothing."""

    def until(self, lease: Lease) -> datetime | None:
        """What `extend` said last, also before a restart."""

    def read(self, lease: Lease, extent: Extent) -> tuple[tuple[LogPiece, ...], tuple[CurvePoint, ...]]:
        """Logs and curve beyond what the network has; both empty when it has all."""

    def checkpoint(self, lease: Lease) -> Content | None:
        """Send the checkpoint where it changed and rests; None where there is nothing new."""

    def collect(self, lease: Lease) -> tuple[OutputFile, ...]:
        """Send the outputs. Raises `InvalidRequest` naming a missing one."""

    def clear(self, lease: Lease) -> None: ...


class Background(Protocol):
    """Long work beside the loop. One piece per key; its result is taken once."""

    def busy(self, key: str) -> bool: ...

    def start(self, key: str, work: Callable[[], object]) -> None: ...

    def take(self, key: str) -> tuple[object, Exception | None] | None:
        """(result, error) of finished work, else None."""


Sense = Callable[[datetime, Load | None, bool], tuple[Sequence[Sample], Sequence[str]]]
"""(now, the site's load if known, whether runs of ours are here) → samples to report, and warnings."""


@dataclass(slots=True)
class _Memory:
    """What the agent may forget."""

    extents: dict[AllocationId, Extent] = field(default_factory=dict)
    stalls: dict[AllocationId, int] = field(default_factory=dict)
    sent: set[AllocationId] = field(default_factory=set)
    """Runs whose output the last call carried."""
    calls: int = 0
    load: Load | None = None
    load_at: datetime | None = None
    running_of_ours: frozenset[AllocationId] = frozenset()
    seen_at: dict[AllocationId, datetime] = field(default_factory=dict)
    last_looks: dict[AllocationId, int] = field(default_factory=dict)
    """Looks begun at the checkpoints of suspended runs since they are over; -1 once that is done."""


class Agent:
    """One site's agent. `start` once, then `step` again and again."""

    def __init__(
        self,
        *,
        link: Link,
        connector: Connector,
        spool: Spool,
        workshop: Workshop,
        background: Background,
        clock: Clock,
        sense: Sense | None = None,
        device_names: Mapping[str, str] | None = None,
    ) -> None:
        """`device_names` maps the site's words for devices to catalogue identifiers."""
        self._link = link
        self._connector = connector
        self._spool = spool
        self._workshop = workshop
        self._background = background
        self._clock = clock
        self._sense = sense
        self._device_names = device_names or {}
        self._kept: dict[AllocationId, Kept] = {}
        self._memory = _Memory()
        self._session = 0
        self._margin = timedelta()
        self.leaving = False

    @property
    def kept(self) -> Mapping[AllocationId, Kept]:
        return self._kept

    @property
    def session(self) -> int:
        return self._session

    def start(self) -> None:
        """Begin a session and take up what an earlier process left. Raises as `Link.join`."""
        for kept in self._spool.all():
            until = self._workshop.until(kept.lease)
            self._kept[kept.id] = kept if until is None else replace(kept, deadline=max(until, kept.deadline))
        joined = self._link.join()
        self._session, self._margin = joined.session, timedelta(seconds=joined.fence_margin_s)

    def step(self) -> bool:
        """One round. False where the network did not answer; runs then go on until their leases end.

        Raises `Conflict` when another agent took over this site, and whatever says that the credential is no longer good.
        """
        self._look()
        for kept in list(self._kept.values()):
            self._advance(kept)
        request = self._request()
        try:
            reply = self._link.sync(request)
        except (Unavailable, OutcomeUnknown, UnreadableReply):
            return False
        self._obey(request, reply)
        return True

    # look

    def _look(self) -> None:
        """Ask the site about every run it took, and end those it holds that nobody here knows."""
        asked = [
            key for key, kept in self._kept.items() if kept.phase in (Phase.SUBMITTED, Phase.RUNNING) or kept.unsure
        ]
        try:
            seen = self._connector.observe(asked) if asked else {}
            for tag in self._connector.running():
                if AllocationId(tag) not in self._kept:
                    self._connector.cancel(tag)
        except (Unavailable, UnreadableReply):
            return
        now = self._clock.now()
        self._memory.running_of_ours = frozenset(key for key in asked if seen[key].state is RunState.RUNNING)
        self._memory.seen_at |= dict.fromkeys(self._memory.running_of_ours, now)
        for key in asked:
            self._learn(self._kept[key], seen[key], now)
        if self._memory.load_at is None or (now - self._memory.load_at).total_seconds() >= LOAD_EVERY_S:
            try:
                self._memory.load, self._memory.load_at = self._connector.load(), now
            except (Unavailable, UnreadableReply):
                self._memory.load = None

    def _learn(self, kept: Kept, seen: Observation, now: datetime) -> None:
        if seen.state is RunState.UNKNOWN:
            since = kept.unknown_since or now
            if kept.ending is not Ending.NO or (now - since).total_seconds() >= UNKNOWN_GRACE_S:
                # Should it turn up after all, it is a run that nobody here knows, and is ended as one.
                reason = "the site does not know the run it was sent"
                self._close(kept, replace(seen, state=RunState.SITE_FAILED, reason=reason), now)
            elif kept.unknown_since is None:
                self._save(replace(kept, unknown_since=now))
            return
        moved = replace(
            kept,
            unsure=False,
            unknown_since=None,
            phase=Phase.SUBMITTED if kept.phase is Phase.STAGING else kept.phase,
            native_id=seen.native_id or kept.native_id,
            started_at=kept.started_at or seen.started_at,
            nodes=seen.nodes or kept.nodes,
        )
        if seen.state is RunState.RUNNING:
            began, first = moved.started_at or now, moved.seen_from or now
            moved = replace(moved, phase=Phase.RUNNING, started_at=began, seen_from=first)
        if moved != kept:
            self._save(moved)
        self._kept[kept.id] = replace(
            moved, cpu_s=seen.cpu_s or moved.cpu_s, max_memory_gb=seen.max_memory_gb or moved.max_memory_gb
        )
        if seen.state.ended:
            self._close(self._kept[kept.id], seen, now)

    def _close(self, kept: Kept, seen: Observation, now: datetime) -> None:
        """The run is over at the site, or the site has given it up."""
        outcome, reason, over_at = seen.state, seen.reason, None
        if outcome is RunState.SITE_FAILED:
            over_at = self._cut_short(kept, now)
        if kept.ending is Ending.NO and (seen.ended_at or now) >= kept.deadline - LEASE_FILE_STEP:
            # Its guard was first: what looks like the program's failure is the end of its lease.
            kept = replace(kept, ending=Ending.FENCED, reason=LEASE_ENDED)
        if kept.ending is Ending.NO and kept.told and outcome in (RunState.FAILED, RunState.CANCELLED):
            # It ended by itself, as it was asked to: its work goes on from what it has saved.
            kept = replace(kept, ending=Ending.SUSPENDED)
        if kept.ending in (Ending.FENCED, Ending.LOST) and outcome is not RunState.SUCCEEDED:
            outcome, reason = RunState.SITE_FAILED, kept.reason
        elif kept.ending in (Ending.CANCELLED, Ending.SUSPENDED) and outcome is not RunState.SUCCEEDED:
            outcome = RunState.CANCELLED
        self._save(
            replace(
                kept,
                phase=Phase.COLLECTING,
                unsure=False,
                started_at=kept.started_at or seen.started_at,
                ended_at=seen.ended_at or now,
                outcome=outcome,
                exit_code=seen.exit_code,
                reason=reason,
                cpu_s=seen.cpu_s or kept.cpu_s,
                max_memory_gb=seen.max_memory_gb or kept.max_memory_gb,
                over_at=over_at,
            )
        )

    def _cut_short(self, kept: Kept, now: datetime) -> datetime:
        """End the lease of a run that the site gave up: a lost node may run on, and the job must not begin beside it."""
        try:
            self._workshop.extend(kept.lease, now)
        except Unavailable:
            return max(kept.deadline, now) + self._margin
        return now + self._margin

    # advance

    def _advance(self, kept: Kept) -> None:
        kept = self._fence_by_time(kept)
        match kept.phase:
            case Phase.STAGING:
                self._stage(kept)
            case Phase.SUBMITTED | Phase.RUNNING:
                self._attend(kept)
            case Phase.COLLECTING:
                self._collect(kept)
            case Phase.ENDED:
                pass

    def _fence_by_time(self, kept: Kept) -> Kept:
        """A lease that ran out ends its run here, whatever the network thinks: it may already run elsewhere."""
        if kept.ending is Ending.NO and self._clock.now() >= kept.deadline and kept.phase is not Phase.ENDED:
            moved = replace(kept, ending=Ending.FENCED, reason=LEASE_ENDED)
            if kept.phase is Phase.COLLECTING:
                # It is over already; what it made may no longer count, but that is the network's to say.
                moved = replace(moved, reason=kept.reason)
            self._save(moved)
            return moved
        return kept

    def _stage(self, kept: Kept) -> None:
        if kept.ending is not Ending.NO and not kept.unsure:
            outcome = RunState.CANCELLED if kept.ending is Ending.CANCELLED else RunState.SITE_FAILED
            self._finish(kept, outcome, kept.reason or "cancelled before it started")
            return
        if kept.unsure:
            # Sent, perhaps: it is looked for by its tag, and neither sent nor prepared again, for it may be running.
            if kept.ending is not Ending.NO:
                self._quietly_cancel(kept)
            return
        done = self._background.take(f"prepare {kept.id}")
        if done is None:
            if not self._background.busy(f"prepare {kept.id}"):
                lease = kept.lease
                self._background.start(f"prepare {kept.id}", lambda: self._workshop.prepare(lease))
                # Work that is done at once need not wait for the next round.
                done = self._background.take(f"prepare {kept.id}")
            if done is None:
                return
        order, error = done
        match error:
            case None:
                assert isinstance(order, RunOrder), "prepare makes an order"
                self._submit(kept, order)
            case Unavailable() | OutcomeUnknown() | Conflict():
                pass  # Tried again in the next round; the lease bounds how often.
            case SuanwangError():
                self._finish(kept, RunState.FAILED, error.message)
            case _:
                self._finish(kept, RunState.SITE_FAILED, f"the site could not prepare the run: {error}")

    def _submit(self, kept: Kept, order: RunOrder) -> None:
        # On disk before it is sent: a process that dies in between must look before it does anything else.
        self._save(replace(kept, unsure=True))
        try:
            self._workshop.extend(kept.lease, kept.deadline)
            native = self._connector.submit(order)
        except OutcomeUnknown:
            return
        except Unavailable:
            self._save(kept)
        except InvalidRequest as error:
            reason = f"the site refused the run: {error.message}"
            self._finish(replace(kept, refused=True), RunState.SITE_FAILED, reason)
        else:
            self._save(replace(kept, phase=Phase.SUBMITTED, native_id=native))

    def _attend(self, kept: Kept) -> None:
        if kept.ending is not Ending.NO:
            self._quietly_cancel(kept)
        elif kept.lease.checkpoint_path is not None and kept.phase is Phase.RUNNING:
            self._keep_checkpoint(kept)

    def _quietly_cancel(self, kept: Kept) -> None:
        try:
            self._connector.cancel(kept.id)
        except Unavailable:
            return  # The next round tries again, and the run's own guard watches the lease.

    def _keep_checkpoint(self, kept: Kept) -> None:
        key = f"checkpoint {kept.id}"
        done = self._background.take(key)
        if done is not None and done[1] is None and isinstance(done[0], Content):
            self._save(replace(kept, checkpoint=done[0]))
        if not self._background.busy(key):
            lease = kept.lease
            self._background.start(key, lambda: self._workshop.checkpoint(lease))

    def _has_last_checkpoint(self, kept: Kept) -> bool:
        """Whether the folder was looked at since the run is over, and what changed was sent. Given up after some tries:
        then the work goes on from the checkpoint before."""
        key, tries = f"checkpoint {kept.id}", self._memory.last_looks.get(kept.id, 0)
        if tries < 0 or kept.lease.checkpoint_path is None:
            return True
        done = self._background.take(key)
        if done is not None and done[1] is None and isinstance(done[0], Content):
            self._save(replace(kept, checkpoint=done[0]))
        if done is not None and tries > 0 and (done[1] is None or tries >= LAST_LOOKS):
            self._memory.last_looks[kept.id] = -1
            return True
        if not self._background.busy(key):
            # What was under way before is done now, and may have begun before the run was over.
            self._memory.last_looks[kept.id] = tries + 1
            lease = kept.lease
            self._background.start(key, lambda: self._workshop.checkpoint(lease))
        return False

    def _collect(self, kept: Kept) -> None:
        """Send what the run left. Its end is told once it is certain and all is sent, the log too."""
        if kept.outcome is RunState.SUCCEEDED and not self._collected(kept):
            return
        kept = self._kept[kept.id]
        if kept.outcome is RunState.SITE_FAILED and kept.lease.checkpoint_path and kept.ending is Ending.NO:
            self._keep_checkpoint(kept)
            kept = self._kept[kept.id]
        if kept.over_at is not None and self._clock.now() < kept.over_at:
            return
        if kept.ending is Ending.SUSPENDED and kept.outcome is RunState.CANCELLED:
            if not self._has_last_checkpoint(kept):
                return
            kept = self._kept[kept.id]
        if self._log_is_sent(kept):
            self._save(replace(kept, phase=Phase.ENDED))

    def _collected(self, kept: Kept) -> bool:
        if not kept.lease.outputs or kept.outputs:
            return True
        key, lease = f"collect {kept.id}", kept.lease
        if not self._background.busy(key):
            self._background.start(key, lambda: self._workshop.collect(lease))
        done = self._background.take(key)
        if done is None:
            return False
        outputs, error = done
        if error is None:
            assert isinstance(outputs, tuple), "collect gives a tuple"
            self._save(replace(kept, outputs=outputs))
            return True
        if isinstance(error, SuanwangError) and not isinstance(error, (Unavailable, OutcomeUnknown)):
            self._save(replace(kept, outcome=RunState.FAILED, reason=error.message))
            return True
        return False

    def _log_is_sent(self, kept: Kept) -> bool:
        extent = self._memory.extents.get(kept.id)
        if extent is None:
            return False
        pieces, points = self._workshop.read(kept.lease, extent)
        return not (pieces or points) or self._memory.stalls.get(kept.id, 0) >= STALLED_AFTER

    def _finish(self, kept: Kept, outcome: RunState, reason: str) -> None:
        """The end of a lease whose run never was."""
        self._save(
            replace(
                kept, phase=Phase.ENDED, outcome=outcome, reason=reason, ended_at=kept.ended_at or self._clock.now()
            )
        )

    # tell

    def _request(self) -> SyncRequest:
        now, busy = self._clock.now(), any(kept.phase is not Phase.ENDED for kept in self._kept.values())
        samples, warnings = self._sense(now, self._memory.load, busy) if self._sense else ((), ())
        return SyncRequest(
            session=self._session,
            sent_at=now,
            runs=tuple(self._reports()),
            site=self._site_report(),
            samples=tuple(samples),
            warnings=tuple(warnings),
            leaving=self.leaving,
        )

    def _reports(self) -> Iterator[RunReport]:
        """Every run, and as much output as one call may carry; whose turn it is to send moves on from call to call."""
        runs = list(self._kept.values())
        first = self._memory.calls % len(runs) if runs else 0
        self._memory.calls += 1
        self._memory.sent.clear()
        left = REPORT_BYTES
        for kept in (*runs[first:], *runs[:first]):
            logs: tuple[LogPiece, ...] = ()
            points: tuple[CurvePoint, ...] = ()
            extent = self._memory.extents.get(kept.id)
            if left > 0 and extent is not None and kept.phase not in (Phase.STAGING, Phase.ENDED):
                logs, points = self._workshop.read(kept.lease, extent)
            if logs or points:
                left -= sum(piece.size for piece in logs) + POINT_BYTES * len(points)
                self._memory.sent.add(kept.id)
            yield self._report(kept, logs, points)

    def _report(self, kept: Kept, logs: tuple[LogPiece, ...], points: tuple[CurvePoint, ...]) -> RunReport:
        return RunReport(
            allocation_id=kept.id,
            epoch=kept.lease.epoch,
            phase=kept.phase,
            native_id=kept.native_id,
            started_at=kept.started_at,
            seen_from=kept.seen_from,
            seen_at=self._memory.seen_at.get(kept.id),
            ended_at=kept.ended_at,
            outcome=kept.outcome,
            exit_code=kept.exit_code,
            reason=kept.reason,
            refused=kept.refused,
            nodes=kept.nodes,
            cpu_s=kept.cpu_s,
            max_memory_gb=kept.max_memory_gb,
            logs=logs,
            points=points,
            checkpoint=kept.checkpoint,
            checkpoint_held=kept.lease.hold_files,
            outputs=kept.outputs,
        )

    def _site_report(self) -> SiteReport | None:
        load = self._memory.load
        if load is None:
            return None
        cores = sum(shape.count * shape.cores for shape in load.nodes)
        memory = sum(shape.count * shape.memory_gb for shape in load.nodes)
        devices: dict[str, int] = {}
        for shape in load.nodes:
            for name, count in shape.devices.items():
                model = self._device_names.get(name, name)
                devices[model] = devices.get(model, 0) + shape.count * count
        ours = [self._kept[key].lease for key in self._memory.running_of_ours if key in self._kept]
        foreign = {}
        for name, free in load.devices_free.items():
            model = self._device_names.get(name, name)
            mine = sum(o.devices.count * o.nodes for o in ours if o.devices and o.devices.model == model)
            foreign[model] = max(0, devices.get(model, 0) - free - mine)
        return SiteReport(
            cores=cores,
            memory_gb=memory,
            devices=devices,
            foreign_cores=max(0, cores - load.cores_free - sum(o.cores * o.nodes for o in ours)),
            foreign_memory_gb=max(0.0, memory - load.memory_free_gb - sum(o.memory_gb * o.nodes for o in ours)),
            foreign_devices=foreign,
        )

    # obey

    def _obey(self, request: SyncRequest, reply: SyncReply) -> None:
        deadline = request.sent_at + timedelta(seconds=reply.lease_ttl_s)
        for known in reply.known:
            self._note(known, deadline)
        for allocation_id in reply.ended:
            self._forget(allocation_id)
        for allocation_id in reply.fenced:
            self._give_up(allocation_id)
        for lease in reply.start:
            if lease.allocation_id not in self._kept:
                self._take(lease, deadline)

    def _note(self, known: Known, deadline: datetime) -> None:
        kept = self._kept.get(known.allocation_id)
        if kept is None or kept.lease.epoch != known.epoch:
            return
        extent = Extent(stdout=known.stdout, stderr=known.stderr, points=known.points)
        if self._memory.extents.get(known.allocation_id) != extent:
            self._memory.stalls[known.allocation_id] = 0
        elif kept.phase is Phase.COLLECTING and known.allocation_id in self._memory.sent:
            self._memory.stalls[known.allocation_id] = self._memory.stalls.get(known.allocation_id, 0) + 1
        self._memory.extents[known.allocation_id] = extent
        if kept.ending is Ending.FENCED:
            return  # Ended by time: the lease is not taken up again, the end will be told.
        if kept.phase is not Phase.ENDED and kept.over_at is None:
            self._workshop.extend(kept.lease, deadline)
        kept = replace(kept, deadline=deadline)
        self._kept[kept.id] = kept
        if known.cancel and kept.ending is Ending.NO:
            self._save(replace(kept, ending=Ending.CANCELLED))
        elif known.suspend and kept.ending is Ending.NO and kept.phase in (Phase.SUBMITTED, Phase.RUNNING):
            self._save(replace(kept, ending=Ending.SUSPENDED))
        elif known.notice and kept.ending is Ending.NO and kept.phase is Phase.RUNNING:
            self._tell(kept)

    def _tell(self, kept: Kept) -> None:
        """On disk before it is told, and told again in each round, which changes nothing."""
        if not kept.told:
            self._save(replace(kept, told=True))
        with suppress(Unavailable):
            self._workshop.tell(kept.lease)

    def _take(self, lease: Lease, deadline: datetime) -> None:
        """A new lease, on disk before anything is done about it."""
        kept = Kept(lease=lease, deadline=deadline)
        self._memory.extents[lease.allocation_id] = Extent()
        if lease.begun:
            # It was here before and this agent has lost its traces: make sure it is over, then say so.
            kept = replace(kept, phase=Phase.SUBMITTED, ending=Ending.LOST, reason="the site lost track of the run")
        elif lease.cancel:
            kept = replace(kept, ending=Ending.CANCELLED)
        self._save(kept)

    def _give_up(self, allocation_id: AllocationId) -> None:
        """No longer this site's: end it, and forget it once the site does not hold it any more."""
        kept = self._kept.get(allocation_id)
        if kept is None:
            return
        if kept.phase in (Phase.SUBMITTED, Phase.RUNNING) or kept.unsure:
            if kept.ending is not Ending.FENCED:
                self._save(replace(kept, ending=Ending.FENCED, reason="the lease went to another site"))
            self._quietly_cancel(kept)
            return
        self._forget(allocation_id)

    def _forget(self, allocation_id: AllocationId) -> None:
        if self._carrying(allocation_id):
            return  # Files are on the move in its folder; the network says again what it said.
        kept = self._kept.pop(allocation_id, None)
        if kept is None:
            return
        self._connector.forget(allocation_id)
        self._workshop.clear(kept.lease)
        self._spool.remove(allocation_id)
        self._memory.extents.pop(allocation_id, None)
        self._memory.stalls.pop(allocation_id, None)
        self._memory.seen_at.pop(allocation_id, None)
        self._memory.last_looks.pop(allocation_id, None)

    def _carrying(self, allocation_id: AllocationId) -> bool:
        """Whether work beside the loop goes on for this lease; what is done is dropped."""
        keys = [f"{work} {allocation_id}" for work in ("prepare", "checkpoint", "collect")]
        for key in keys:
            self._background.take(key)
        return any(self._background.busy(key) for key in keys)

    def _save(self, kept: Kept) -> None:
        self._spool.save(kept)
        self._kept[kept.id] = kept
