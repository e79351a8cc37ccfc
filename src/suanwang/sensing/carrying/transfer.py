"""Moving one content over a link that may fail at any byte.

Owns resuming, patience and the check on arrival. Every step can be repeated: an answer that was lost is found out by
asking how much was received. Knows nothing of what carries the link.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from suanwang.domain.errors import (
    Conflict,
    Fenced,
    InvalidRequest,
    OutcomeUnknown,
    SuanwangError,
    Unavailable,
    UnreadableReply,
)
from suanwang.domain.file import Content
from suanwang.sensing.carrying.cache import SiteCache
from suanwang.sensing.carrying.tree import disk_errors

_PART_BYTES = 8 * 2**20
_MOST_PARTS = 16_000
"""Of one file, so that the largest stays well below what a store takes."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; what it raises ends the transfer, which can be resumed."""


class FileLink(Protocol):
    """The part of a line to the network that carries files.

    Calls raise `Unavailable` or `OutcomeUnknown` where the line failed; both are safe to repeat.
    """

    def received(self, sha256: str) -> int: ...

    def append(self, sha256: str, offset: int, data: bytes) -> int: ...

    def finish(self, sha256: str, size: int) -> None: ...

    def read(self, sha256: str, start: int) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many failures in a row, without a byte of progress between them, are borne; pauses double in between."""

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    pause: Callable[[float], None] = time.sleep


def send(
    link: FileLink,
    content: Content,
    path: Path,
    *,
    patience: Patience | None = None,
    progress: Progress | None = None,
    part_bytes: int = _PART_BYTES,
) -> None:
    """Bring the bytes of `content` at `path` to the network, from where an earlier try stopped.

    Raises `Unavailable` or `OutcomeUnknown` once patience ends, `InvalidRequest` (field `sha256`) where the network keeps
    getting other bytes, (field `path`) where the file is shorter than promised, and whatever else the link raises.
    """
    budget = _Budget(patience or Patience())
    size = content.size
    part = max(part_bytes, -(-size // _MOST_PARTS))
    with disk_errors("it was sent"), path.open("rb") as data:
        while True:
            reached = 0
            try:
                for reached in _sent(link, content, data, part):
                    if progress:
                        progress(reached, size)
                if _accepted(link, content, budget):
                    return
            except Fenced:
                raise
            except (Unavailable, OutcomeUnknown, Conflict) as error:
                budget.failed(error, reached)


def fetch(
    link: FileLink,
    content: Content,
    cache: SiteCache,
    *,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Path:
    """The place of `content` in the cache, brought there from the network where it is missing, and checked.

    Raises `Unavailable` or `OutcomeUnknown` once patience ends (what arrived is kept for the next try), `InvalidRequest`
    (field `sha256`) where other bytes keep arriving, `TooLarge`, and whatever else the link raises (`NotFound`).
    """
    budget = _Budget(patience or Patience())
    found = cache.path(content.sha256)
    if found is not None:
        return found
    with cache.receiving(content) as partial:
        # Someone else may have received it while we waited for our turn.
        found = cache.path(content.sha256)
        while found is None:
            try:
                _receive(link, content, partial, progress)
                found = _checked_in(cache, partial, content, budget)
            except (Unavailable, OutcomeUnknown) as error:
                budget.failed(error, partial.stat().st_size if partial.exists() else 0)
    return found


def _sent(link: FileLink, content: Content, data: BinaryIO, part: int) -> Iterator[int]:
    """Send what is missing; yields the offset reached, first the one found."""
    offset = link.received(content.sha256)
    while True:
        if not 0 <= offset <= content.size:
            raise UnreadableReply(f"the network says it has {offset} of {content.size} bytes: update the agent")
        yield offset
        if offset == content.size:
            return
        data.seek(offset)
        block = data.read(min(part, content.size - offset))
        if not block:
            raise InvalidRequest(
                f"the file ends at {offset} of {content.size} bytes: it changed, pack it again", field="path"
            )
        reached = link.append(content.sha256, offset, block)
        if reached <= offset:
            raise UnreadableReply(f"the network went from {offset} to {reached} bytes: update the agent")
        offset = reached


def _accepted(link: FileLink, content: Content, budget: _Budget) -> bool:
    """False where other bytes than ours arrived and were thrown away, which is worth another try."""
    try:
        link.finish(content.sha256, content.size)
    except InvalidRequest as error:
        if error.field != "sha256":
            raise
        budget.failed(error, 0)
        return False
    return True


def _receive(link: FileLink, content: Content, partial: Path, progress: Progress | None) -> None:
    with disk_errors("it was received"), partial.open("ab") as out:
        at = out.tell()
        if at < content.size:
            for block in link.read(content.sha256, at):
                # Anything beyond the promised size is not what was promised; the hash decides on the rest.
                at += out.write(block[: content.size - at])
                if progress:
                    progress(at, content.size)
                if at >= content.size:
                    break
    if at < content.size:
        raise Unavailable(f"the network stopped at {at} of {content.size} bytes: go on there")


def _checked_in(cache: SiteCache, partial: Path, content: Content, budget: _Budget) -> Path | None:
    """None where other bytes arrived, which is worth another try from the start."""
    try:
        return cache.add(partial, content)
    except InvalidRequest as error:
        if error.field != "sha256":
            raise
        partial.unlink(missing_ok=True)
        budget.failed(error, 0)
        return None


class _Budget:
    """Counts failures since the last progress, and ends the patience."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._best = 0
        self._failures = 0

    def failed(self, error: SuanwangError, reached: int) -> None:
        """Pause before another try, or raise `error`. `reached` is how many bytes were across."""
        if reached > self._best:
            self._best, self._failures = reached, 0
        self._failures += 1
        if self._failures >= self._patience.attempts:
            raise error
        self._patience.pause(
            min(self._patience.longest_pause_s, self._patience.first_pause_s * 2 ** (self._failures - 1))
        )
