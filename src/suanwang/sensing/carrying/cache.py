"""The content-addressed store of one site: what was fetched, and what may not leave.

Owns which file goes when room is needed: the least recently used, never one in use, never one that is held. One agent
owns the folder; its threads may share this object. Knows nothing of links or archives.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

from suanwang.domain.errors import NotFound, TooLarge, Unavailable
from suanwang.domain.file import Content, checked_sha256
from suanwang.sensing.carrying.tree import disk_errors
from suanwang.sensing.carrying.unpacking import verify


class SiteCache:
    """Files by their hash under `folder`, at most `max_bytes` of them in all.

    Holding outlives a restart of the agent; pins do not.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._blobs = folder / "blobs"
        self._partial = folder / "partial"
        self._held = folder / "held"
        self.incoming = folder / "incoming"
        """Where whoever packs or receives may put temporary files: the same disk, so that `add` only renames."""
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._pins: Counter[str] = Counter()
        self._receiving: dict[str, int] = {}
        self._receivers: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._last_ns = 0
        with disk_errors("the cache was opened"):
            # Other accounts of the site, users' jobs among them, have no business in here.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for inner in (self._blobs, self._partial, self._held, self.incoming):
                inner.mkdir(exist_ok=True)

    def path(self, sha256: str) -> Path | None:
        """Where the content is, marked as used just now; None where it is not here. See `pinned` to keep it there."""
        blob = self._blob(sha256)
        try:
            self._touch(blob)
        except FileNotFoundError:
            return None
        return blob

    def add(self, temp: Path, content: Content, *, held: bool = False) -> Path:
        """Move the file `temp` into the cache once it proved to be `content`; returns its place.

        `held` keeps it until `release`. Raises `InvalidRequest` (field `sha256`) where it is something else, `TooLarge`
        over the cache's size, `Unavailable` where there is no room; `temp` is then still there.
        """
        blob = self._blob(content.sha256)
        with disk_errors("it was put into the cache"):
            source = self._brought_near(temp)
            try:
                with source.open("rb") as data:
                    verify(data, content)
                    os.fsync(data.fileno())
                self._admit(source, content, held)
            except BaseException:
                if source != temp:
                    source.unlink(missing_ok=True)
                raise
            for left in (source, temp):
                if left.exists() and not left.samefile(blob):
                    left.unlink()
        return blob

    @contextmanager
    def pinned(self, sha256: str) -> Iterator[Path]:
        """The content's place, which stays while this lasts. Raises `NotFound`."""
        sha = checked_sha256(sha256)
        with self._lock:
            blob = self.path(sha)
            if blob is None:
                raise NotFound(f"the site's cache does not have {sha}: fetch it first", field="sha256")
            self._pins[sha] += 1
        try:
            yield blob
        finally:
            with self._lock:
                self._pins[sha] -= 1

    def hold(self, sha256: str) -> None:
        """Never evict this content: it may not leave, or nobody else has it yet."""
        (self._held / checked_sha256(sha256)).touch()

    def release(self, sha256: str) -> None:
        """End a hold; the content stays until room is needed."""
        (self._held / checked_sha256(sha256)).unlink(missing_ok=True)

    def held(self) -> frozenset[str]:
        """Contents that are held."""
        return frozenset(entry.name for entry in self._held.iterdir())

    def remove(self, sha256: str) -> None:
        """Forget a content for good, held or not, as its owner asked."""
        with self._lock:
            self._blob(sha256).unlink(missing_ok=True)
            (self._partial / sha256).unlink(missing_ok=True)
            self.release(sha256)

    @contextmanager
    def receiving(self, content: Content) -> Iterator[Path]:
        """A file to append to, with what an earlier try left in it, and room for all of it; one receiver at a time.

        Raises `TooLarge` and `Unavailable` as `add` does.
        """
        sha = checked_sha256(content.sha256)
        with self._lock:
            turn = self._receivers.setdefault(sha, _Turn())
        with turn.lock:
            with self._lock:
                if not self._blob(sha).exists():
                    self._make_room(content.size, besides=sha)
                self._receiving[sha] = content.size
            try:
                yield self._partial / sha
            finally:
                with self._lock:
                    del self._receiving[sha]

    def sweep(self, before: datetime) -> int:
        """Remove temporary and unfinished files untouched since `before`, which a crash left; returns how many."""
        removed = 0
        with self._lock, disk_errors("the cache was swept"):
            for path in (*self.incoming.iterdir(), *self._partial.iterdir()):
                if path.name not in self._receiving and path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    removed += 1
        return removed

    def _blob(self, sha256: str) -> Path:
        sha = checked_sha256(sha256)
        return self._blobs / sha[:2] / sha

    def _admit(self, source: Path, content: Content, held: bool) -> None:
        blob = self._blob(content.sha256)
        with self._lock:
            missing = not blob.exists()
            if missing and content.sha256 not in self._receiving:
                self._make_room(content.size)
            if held:
                # First the hold: a crash in between leaves a mark without a file, never a file without its mark.
                self.hold(content.sha256)
            if missing:
                blob.parent.mkdir(exist_ok=True)
                source.chmod(0o444)
                source.replace(blob)
            self._touch(blob)

    def _touch(self, path: Path) -> None:
        with self._lock:
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            os.utime(path, ns=(self._last_ns, self._last_ns))

    def _brought_near(self, temp: Path) -> Path:
        """`temp` itself where a rename can bring it into the cache, else a copy on the cache's disk."""
        if temp.stat().st_dev == self.incoming.stat().st_dev:
            return temp
        handle, name = tempfile.mkstemp(prefix="near-", dir=self.incoming)
        os.close(handle)
        shutil.copyfile(temp, name)
        return Path(name)

    def _make_room(self, needed: int, besides: str = "") -> None:
        """Evict so that `needed` bytes more fit; nothing is evicted where that cannot be. `besides` is not counted."""
        if needed > self._max_bytes:
            raise TooLarge(
                f"{needed} bytes are more than the site's whole cache of {self._max_bytes}: give it more room",
                field="size",
                allowed=f"{self._max_bytes} bytes",
            )
        kept = self.held() | {sha for sha, n in self._pins.items() if n}
        used = sum(size for sha, size in self._receiving.items() if sha != besides)
        evictable: list[tuple[int, int, Path]] = []
        for path in (*self._blobs.glob("*/*"), *self._partial.iterdir()):
            if path.parent == self._partial and (path.name in self._receiving or path.name == besides):
                continue
            info = path.stat()
            used += info.st_size
            if path.parent == self._partial or path.name not in kept:
                evictable.append((info.st_mtime_ns, info.st_size, path))
        evicted: list[Path] = []
        for _, size, path in sorted(evictable):
            if used + needed <= self._max_bytes:
                break
            used -= size
            evicted.append(path)
        if used + needed > self._max_bytes:
            raise Unavailable(
                f"the site's cache has no room for {needed} bytes: what fills it is in use or may not leave; "
                "give it more room or remove held files"
            )
        for path in evicted:
            path.unlink(missing_ok=True)


class _Turn:
    """Whose turn it is to receive one content."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
