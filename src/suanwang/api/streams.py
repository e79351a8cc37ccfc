"""Server-sent events: what is new, as it comes, until there will be nothing new or the listener has gone.

Owns how often the store is asked for listeners and how many there may be. All listeners of a process share a few threads
and, for the record, one reader of its end. Listeners are checked again while they listen: a revoked token ends a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio import to_thread
from fastapi.responses import StreamingResponse

from suanwang.api import answering
from suanwang.api.asking import LARGEST_NUMBER, Ask
from suanwang.control.network import Network
from suanwang.domain.errors import InvalidRequest, SuanwangError, Unavailable
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import Event, Job, LogChunk
from suanwang.domain.lifecycle import ENDED, JobState

T = TypeVar("T")
_BATCH = 200
_SLOWER = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Seconds. A stream is ended after `longest_s`; the listener resumes with the last number it saw."""

    poll_s: float = 0.4
    quiet_poll_s: float = 2.0
    heartbeat_s: float = 15.0
    longest_s: float = 3600.0
    listeners: int = 1000
    threads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    job_id: JobId | None = None
    site_id: SiteId | None = None
    kind: str | None = None


class Streams:
    """The listeners of one process."""

    def __init__(self, network: Network, limits: StreamLimits | None = None) -> None:
        self._network = network
        self._limits = limits or StreamLimits()
        self._threads: anyio.CapacityLimiter | None = None
        self._listeners = 0
        self._end = _End(lambda: self._in_thread(network.jobs.last_seq), self._limits.poll_s)
        self._closed = False

    def close(self) -> None:
        """End every stream soon; the server is about to stop."""
        self._closed = True

    @property
    def listeners(self) -> int:
        return self._listeners

    def logs(self, ask: Ask, job_id: JobId, after: int) -> AsyncIterator[bytes]:
        """`state` events when the job moves, `log` events in order, then one `end`. Raises `Unavailable` when full."""
        self._check_room()
        return self._counted(self._logs(ask, job_id, after))

    def events(self, ask: Ask, after: int, wanted: EventFilter) -> AsyncIterator[bytes]:
        """The record as it grows. Raises `Unavailable` when full."""
        self._check_room()
        return self._counted(self._events(ask, after, wanted))

    def _check_room(self) -> None:
        if self._closed or self._listeners >= self._limits.listeners:
            raise Unavailable("too many listeners now; ask again, or ask without following")

    async def _counted(self, inner: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            async for part in inner:
                yield part
        except SuanwangError as error:
            # The response has begun, so its status cannot tell.
            yield _event("error", {"detail": error.message})
        finally:
            self._listeners -= 1

    async def _logs(self, ask: Ask, job_id: JobId, after: int) -> AsyncIterator[bytes]:
        pace = _Pace(self._limits)
        told: tuple[JobState, str | None] | None = None
        while not self._over(pace):
            job, found = await self._in_thread(lambda at=after: self._log_state(ask, job_id, at))  # type: ignore[misc]
            if told != (job.state, job.site_id):
                told = (job.state, job.site_id)
                pace.spoke()
                yield _event("state", answering.state(job))
            for after, chunk in found:
                yield _event("log", answering.log(after, chunk), after)
            if found:
                pace.spoke()
            if len(found) == _BATCH:
                continue
            if job.state in ENDED:
                yield _event("end", answering.state(job))
                return
            if pace.silent():
                yield await self._heartbeat(ask)
            await asyncio.sleep(pace.wait(bool(found)))

    def _log_state(self, ask: Ask, job_id: JobId, after: int) -> tuple[Job, list[tuple[int, LogChunk]]]:
        # The job is read first: once it has ended, no more output is stored.
        job = self._network.jobs.get(ask.caller, job_id)
        return job, list(self._network.jobs.logs(ask.caller, job_id, after, _BATCH))

    async def _events(self, ask: Ask, after: int, wanted: EventFilter) -> AsyncIterator[bytes]:
        pace = _Pace(self._limits)
        yield b": listening\n\n"
        while not self._over(pace):
            end = await self._end.now()
            found: list[Event] = []
            if end > after:
                found = await self._in_thread(lambda at=after: self._new_events(ask, at, wanted))  # type: ignore[misc]
                for event in found:
                    pace.spoke()
                    yield _event(event.kind, answering.event(event), event.seq)
                # Up to `end`, what was not among them is not for this listener.
                last = found[-1].seq if found else 0
                after = last if len(found) == _BATCH else max(end, last)
            if pace.silent():
                yield await self._heartbeat(ask)
            if len(found) < _BATCH:
                await asyncio.sleep(self._limits.poll_s)

    def _new_events(self, ask: Ask, after: int, wanted: EventFilter) -> list[Event]:
        return list(
            self._network.jobs.events(
                ask.caller, after, _BATCH, job_id=wanted.job_id, site_id=wanted.site_id, kind=wanted.kind
            )
        )

    async def _heartbeat(self, ask: Ask) -> bytes:
        """A comment that shows whether the listener is there, once his token is known to hold still."""
        await self._in_thread(lambda: self._network.people.authenticate(ask.secret))
        return b": still here\n\n"

    def _over(self, pace: _Pace) -> bool:
        return self._closed or pace.too_long()

    async def _in_thread(self, read: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self._limits.threads)
        return await to_thread.run_sync(read, limiter=self._threads)


class _Pace:
    """When one listener is to be asked for, told or ended."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._wait = limits.poll_s
        self._clock = asyncio.get_running_loop().time
        self._began = self._spoke = self._clock()

    def wait(self, busy: bool) -> float:
        self._wait = self._limits.poll_s if busy else min(self._wait * _SLOWER, self._limits.quiet_poll_s)
        return self._wait

    def spoke(self) -> None:
        self._spoke = self._clock()

    def silent(self) -> bool:
        if self._clock() - self._spoke < self._limits.heartbeat_s:
            return False
        self.spoke()
        return True

    def too_long(self) -> bool:
        return self._clock() - self._began >= self._limits.longest_s


class _End:
    """The number of the newest event, read from the store at most every `every_s` whoever asks."""

    def __init__(self, read: Callable[[], Awaitable[int]], every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self._seq = 0
        self._read_at = float("-inf")
        self._turn = asyncio.Lock()

    async def now(self) -> int:
        async with self._turn:
            clock = asyncio.get_running_loop().time
            if not 0 <= clock() - self._read_at < self._every_s:
                self._seq = await self._read()
                self._read_at = clock()
        return self._seq


def resumed_at(last_event_id: str | None, after: int) -> int:
    """Where a stream goes on: after the number the listener saw last, else after `after`. Raises `InvalidRequest`."""
    if not last_event_id:
        return after
    if not last_event_id.isascii() or not last_event_id.isdecimal() or int(last_event_id) > LARGEST_NUMBER:
        raise InvalidRequest("this is no number of an event", field="Last-Event-ID", allowed="the last `id` received")
    return int(last_event_id)


def sse(parts: AsyncIterator[bytes]) -> StreamingResponse:
    """`parts` as a response that no proxy holds back."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(parts, media_type="text/event-stream", headers=headers)


def _event(kind: str, data: object, number: int | None = None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: " + kind.encode() + b"\ndata: " + answering.to_json(data) + b"\n\n"
