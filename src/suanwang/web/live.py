"""Server-sent events for open pages: a word that something changed, and a job's log as it grows.

Owns when a page hears of a change. One task per process reads the end of the record while anybody listens, and tells
each listener only of what he may see; pages then fetch what they show. Output is read for the pages that follow a job.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio
import structlog
from anyio import to_thread

from suanwang.control.network import Network
from suanwang.domain.errors import SuanwangError, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import AllocationId, JobId, SiteId
from suanwang.domain.job import Allocation, Event, Job, LogChunk
from suanwang.domain.lifecycle import ENDED, LIVE
from suanwang.web.terminal import plain

T = TypeVar("T")
_BATCH = 200
_log = structlog.get_logger("suanwang.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. A stream ends after `longest_s`; the browser comes back by itself."""

    every_s: float = 0.5
    pause_s: float = 1.0
    """Least time between two words of a change to one page."""
    heartbeat_s: float = 15.0
    longest_s: float = 3600.0
    listeners: int = 500
    threads: int = 4


class _Listener:
    """What one open page has not been told yet."""

    def __init__(self, caller: Principal, own_sites: frozenset[SiteId], job_id: JobId | None) -> None:
        self._caller = caller
        self._own_sites = own_sites
        self._job_id = job_id
        self.news: set[str] = set()
        self.woken = asyncio.Event()

    def hear(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._job_id is not None:
                if event.job_id == self._job_id:
                    self.news.add("changed")
            elif event.kind.startswith(("site.", "job.")):
                self.news.add("network")
                if event.job_id is not None and self._sees(event):
                    self.news.add("jobs")
        if self.news:
            self.woken.set()

    def tell(self, *names: str) -> None:
        self.news.update(names)
        self.woken.set()

    def take(self) -> list[str]:
        """What is new, once."""
        names = sorted(self.news)
        self.news.clear()
        return names

    def _sees(self, event: Event) -> bool:
        if event.project is not None and self._caller.may_see(event.project):
            return True
        return event.site_id in self._own_sites


class Live:
    """The open pages of one process."""

    def __init__(self, network: Network, pace: Pace | None = None) -> None:
        self._network = network
        self._pace = pace or Pace()
        self._threads: anyio.CapacityLimiter | None = None
        self._listeners: set[_Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._primed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def close(self) -> None:
        """End every stream soon; the server is about to stop. May be called from any thread and more than once."""
        self._closed = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._primed.set()
        for listener in self._listeners:
            listener.woken.set()

    def changes(self, caller: Principal, secret: str | None) -> AsyncIterator[bytes]:
        """`network` when a site or its load changed, `jobs` when a job that the caller sees did. Raises `Unavailable`."""
        self._check_room()
        return self._changes(caller, secret)

    def job(
        self, caller: Principal, secret: str | None, job_id: JobId, after: int, names: Mapping[SiteId, str]
    ) -> AsyncIterator[bytes]:
        """`log` in order, `changed` when the job moved, `points` when its curve grew, then one `end`.

        Raises `Unavailable`. Whether the caller may see the job is checked at each read.
        """
        self._check_room()
        return self._job(caller, secret, job_id, after, names)

    def _check_room(self) -> None:
        if self._closed or len(self._listeners) >= self._pace.listeners:
            raise Unavailable("too many pages are open now; this one shows changes when it is loaded again")

    async def _changes(self, caller: Principal, secret: str | None) -> AsyncIterator[bytes]:
        own_sites = await self._own_sites(caller)
        listener = self._enter(_Listener(caller, own_sites, None))
        try:
            yield b"retry: 2000\n\n"
            # What happened since the page was made, or since the line broke, is not known: say so once.
            await self._primed.wait()
            listener.tell("network", "jobs")
            stop_at = self._now() + self._pace.longest_s
            while not self._closed and self._now() < stop_at:
                if not await _woken(listener, self._pace.heartbeat_s):
                    if not await self._holds(secret):
                        return
                    yield b": still here\n\n"
                if listener.news:
                    for name in listener.take():
                        yield _event(name, {})
                    await asyncio.sleep(self._pace.pause_s)
        finally:
            self._leave(listener)

    async def _job(
        self, caller: Principal, secret: str | None, job_id: JobId, after: int, names: Mapping[SiteId, str]
    ) -> AsyncIterator[bytes]:
        listener = self._enter(_Listener(caller, frozenset(), job_id))
        drawn = 0
        spoke = started = self._now()
        try:
            yield b"retry: 2000\n\n"
            await self._primed.wait()
            listener.tell("changed")
            while not self._closed and self._now() < started + self._pace.longest_s:
                news = set(listener.take())
                seen = await self._in_thread(lambda at=after: self._read(caller, job_id, at))  # type: ignore[misc]
                for after, chunk in seen.chunks:
                    yield _event("log", seen.line(chunk, names), after)
                if seen.points != drawn:
                    drawn = seen.points
                    news.add("points")
                for name in sorted(news):
                    yield _event(name, {})
                if news or seen.chunks:
                    spoke = self._now()
                if len(seen.chunks) == _BATCH:
                    continue
                if seen.job.state in ENDED and not listener.news:
                    yield _event("end", {})
                    return
                await _woken(listener, self._pace.every_s if seen.job.state in LIVE else self._pace.heartbeat_s)
                if self._now() - spoke >= self._pace.heartbeat_s:
                    if not await self._holds(secret):
                        return
                    spoke = self._now()
                    yield b": still here\n\n"
        except SuanwangError as error:
            # The response has begun, so its status cannot tell; the browser asks again.
            _log.info("stream ended", kind=type(error).__name__)
        finally:
            self._leave(listener)

    def _read(self, caller: Principal, job_id: JobId, after: int) -> _Seen:
        # The job is read first: once it has ended, no more output is stored.
        job = self._network.jobs.get(caller, job_id)
        chunks = self._network.jobs.logs(caller, job_id, after, _BATCH)
        allocations = {a.id: a for a in self._network.jobs.allocations(caller, job_id)}
        extents = self._network.store.extents(list(allocations))
        return _Seen(
            job=job, chunks=chunks, points=sum(extent.points for extent in extents.values()), allocations=allocations
        )

    async def _holds(self, secret: str | None) -> bool:
        """Whether the listener's token is still good; a visitor has none."""
        if secret is None:
            return True
        try:
            await self._in_thread(lambda: self._network.people.authenticate(secret))
        except SuanwangError:
            return False
        return True

    async def _own_sites(self, caller: Principal) -> frozenset[SiteId]:
        if caller.role is not Role.PROVIDER:
            return frozenset()
        views = await self._in_thread(lambda: self._network.sites.all(caller))
        return frozenset(view.site.id for view in views if view.site.offering.provider == caller.provider)

    def _enter(self, listener: _Listener) -> _Listener:
        self._loop = asyncio.get_running_loop()
        self._listeners.add(listener)
        if self._reader is None or self._reader.done():
            self._reader = self._loop.create_task(self._watch())
        return listener

    def _leave(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._reader is not None:
            self._reader.cancel()
            self._reader = None
            self._primed.clear()

    async def _watch(self) -> None:
        """Read the end of the record for all listeners."""
        after: int | None = None
        while not self._closed:
            try:
                if after is None:
                    after = await self._in_thread(self._network.jobs.last_seq)
                    self._primed.set()
                found = await self._in_thread(lambda at=after: self._network.store.events(at, 1000))  # type: ignore[misc]
            except SuanwangError as error:
                _log.warning("the record cannot be read", kind=type(error).__name__)
                found = ()
            if found:
                after = found[-1].seq
                for listener in self._listeners:
                    listener.hear(found)
            await asyncio.sleep(self._pace.every_s)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _in_thread(self, read: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self._pace.threads)
        return await to_thread.run_sync(read, limiter=self._threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    job: Job
    chunks: Sequence[tuple[int, LogChunk]]
    points: int
    allocations: dict[AllocationId, Allocation]

    def line(self, chunk: LogChunk, names: Mapping[SiteId, str]) -> dict[str, object]:
        allocation = self.allocations.get(chunk.allocation_id)
        return {
            "text": plain(chunk.text),
            "stream": chunk.stream,
            "run": allocation.epoch if allocation else 0,
            "site": names[allocation.site_id] if allocation else "",
        }


async def _woken(listener: _Listener, within_s: float) -> bool:
    """False where nothing came in time."""
    try:
        await asyncio.wait_for(listener.woken.wait(), within_s)
    except TimeoutError:
        return False
    listener.woken.clear()
    return True


def _event(name: str, data: dict[str, object], number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
