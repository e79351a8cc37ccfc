"""Content-addressed files that arrive in parts, are checked, and only then become visible.

Owns the layout of the store (`blobs/ab/SHA`, `parts/SHA/OFFSET`, `staging/`) and the rules of an upload. Knows nothing
of names, projects or who may read: whoever calls decides that.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NoReturn

from suanwang.adapters.files.storage import Storage
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound, SuanwangError, TooLarge, Unavailable
from suanwang.domain.file import MAX_CONTENT_BYTES, checked_sha256, checked_size

MAX_PART_BYTES = 128 * 2**20
MAX_PARTS = 20_000
"""Parts of one upload; 64 MiB each carry the largest file allowed."""

_CHUNK = 2**20
_RANGE = 8 * 2**20
"""Read from the store at once: one request to an object store."""


class FsspecFiles:
    """The store at `url`: `file:///folder`, `s3://bucket/prefix` or `memory://name`; `options` go to fsspec.

    Any number of replicas may share one. Parts are separate objects, so it needs neither locks nor appending files: two
    senders of the same part write the same object, and what a broken upload leaves is continued or swept.
    """

    def __init__(self, url: str, *, max_bytes: int = MAX_CONTENT_BYTES, **options: Any) -> None:
        self._storage = Storage(url, options)
        self._max_bytes = max_bytes

    def received(self, sha256: str) -> int:
        """Bytes held without a gap of an unfinished upload, or the size once whole. Raises `Unavailable`."""
        sha = checked_sha256(sha256)
        whole = self._storage.size(_blob(sha))
        return _reach(self._parts(sha)) if whole is None else whole

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        """Add `data` at `offset` (bytes), which is what was `received`; returns the new offset.

        Raises `Conflict` naming the right offset, `TooLarge` over a limit of size, `InvalidRequest` after too many small
        parts, `Unavailable`.
        """
        sha = checked_sha256(sha256)
        checked_size(offset)
        if len(data) > MAX_PART_BYTES:
            raise TooLarge(
                f"send at most {MAX_PART_BYTES} bytes at once", field="data", allowed=f"{MAX_PART_BYTES} bytes"
            )
        whole = self._storage.size(_blob(sha))
        parts = self._parts(sha) if whole is None else ()
        expected = _reach(parts) if whole is None else whole
        if offset != expected:
            raise Conflict(
                f"{expected} bytes were received: go on at offset {expected}", field="offset", allowed=str(expected)
            )
        if not data:
            return offset
        if whole is not None:
            raise Conflict(
                f"the file is whole with {whole} bytes: nothing more to send", field="offset", allowed=str(whole)
            )
        checked_size(offset + len(data), max_bytes=self._max_bytes)
        if len(parts) >= MAX_PARTS:
            raise InvalidRequest(
                f"{MAX_PARTS} parts are the most of one upload: send larger parts",
                field="data",
                allowed=f"parts of up to {MAX_PART_BYTES} bytes",
            )
        self._storage.put(_part(sha, offset), data)
        return offset + len(data)

    def finish(self, sha256: str, size: int) -> None:
        """Put the parts together, check, and publish. Finishing again is no error.

        Raises `InvalidRequest` (field `sha256`) where the bytes are others than promised: they are removed. Raises
        `Conflict` naming the offset to go on at while bytes are missing, and `Unavailable`.
        """
        sha = checked_sha256(sha256)
        checked_size(size, max_bytes=self._max_bytes)
        if self._published(sha, size):
            return
        parts = self._parts(sha)
        reach = _reach(parts)
        if reach < size:
            raise Conflict(
                f"{reach} of {size} bytes were received: go on at offset {reach}", field="offset", allowed=str(reach)
            )
        if reach > size:
            self._reject(sha, f"{reach} bytes were received, not {size}")
        try:
            found = self._assemble(sha, parts)
        except FileNotFoundError as error:
            # Someone else finished or rejected the same upload under our hands.
            if self._published(sha, size):
                return
            raise Unavailable(
                "the upload was changed while it was checked: ask what was received, then go on"
            ) from error
        if found != sha:
            self._reject(sha, f"the {size} bytes received hash to {found}")
        self._storage.discard(f"parts/{sha}")

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start` in chunks of 1 MiB, not checked again; the reader hashes them on arrival.

        Raises `NotFound`, `InvalidRequest` where `start` is outside the file, `Unavailable` also while reading.
        """
        sha = checked_sha256(sha256)
        size = self._storage.size(_blob(sha))
        if size is None:
            raise NotFound(f"there is no file with the content {sha}", field="sha256")
        if not 0 <= start <= size:
            raise InvalidRequest(f"start must be from 0 to {size}", field="start", allowed=f"0 to {size}")
        return self._chunks(sha, start, size)

    def size(self, sha256: str) -> int | None:
        """Bytes of a published content, else None. Raises `Unavailable`."""
        return self._storage.size(_blob(checked_sha256(sha256)))

    def delete(self, sha256: str) -> None:
        """Remove a content and what was received of it. Deleting what is not there is no error."""
        sha = checked_sha256(sha256)
        self._storage.remove(_blob(sha))
        self._storage.remove(f"parts/{sha}")

    def sweep(self, before: datetime) -> int:
        """Remove unfinished uploads that nothing was added to since `before`; returns how many."""
        newest: dict[str, datetime] = {}
        for folder in ("parts", "staging"):
            for path, at in self._storage.ages(folder).items():
                upload = f"{folder}/{path.partition('/')[0]}"
                newest[upload] = max(at, newest.get(upload, at))
        stale = [upload for upload, at in newest.items() if at < before]
        for upload in stale:
            self._storage.remove(upload)
        return len(stale)

    def _published(self, sha: str, size: int) -> bool:
        whole = self._storage.size(_blob(sha))
        if whole is None:
            return False
        if whole != size:
            raise InvalidRequest(f"this content has {whole} bytes, not {size}", field="size", allowed=str(whole))
        self._storage.discard(f"parts/{sha}")
        return True

    def _reject(self, sha: str, why: str) -> NoReturn:
        self._storage.remove(f"parts/{sha}")
        raise InvalidRequest(
            f"{why}: send the file again from the start", field="sha256", allowed="the SHA-256 of the bytes sent"
        )

    def _parts(self, sha: str) -> tuple[tuple[int, int], ...]:
        """(offset, bytes) of each part, by offset."""
        found = self._storage.listing(f"parts/{sha}")
        return tuple(sorted((int(name), size) for name, size in found.items() if name.isdecimal()))

    def _assemble(self, sha: str, parts: tuple[tuple[int, int], ...]) -> str:
        """Write the parts as one file while hashing; published only where the hash is `sha`. Returns the hash.

        Raises `FileNotFoundError` where a part went away or shrank meanwhile.
        """
        digest = hashlib.sha256()
        staged = f"staging/{uuid.uuid4().hex}"
        try:
            with self._storage.writing(staged) as out:
                for block in self._joined(sha, parts):
                    digest.update(block)
                    out.write(block)
            if digest.hexdigest() == sha:
                self._storage.move(staged, _blob(sha))
                return sha
        except (SuanwangError, FileNotFoundError):
            self._storage.discard(staged)
            raise
        self._storage.discard(staged)
        return digest.hexdigest()

    def _joined(self, sha: str, parts: tuple[tuple[int, int], ...]) -> Iterator[bytes]:
        """The parts' bytes in order, each byte once, though doubled parts may overlap."""
        at = 0
        for offset, size in parts:
            if offset > at:
                return
            for start in range(at - offset, size, _RANGE):
                end = min(start + _RANGE, size)
                block = self._storage.read(_part(sha, offset), start, end)
                if len(block) != end - start:
                    raise FileNotFoundError(_part(sha, offset))
                yield block
            at = max(at, offset + size)

    def _chunks(self, sha: str, start: int, size: int) -> Iterator[bytes]:
        for at in range(start, size, _RANGE):
            try:
                block = self._storage.read(_blob(sha), at, min(at + _RANGE, size))
            except FileNotFoundError as error:
                raise NotFound(
                    f"the file with the content {sha} was deleted while it was read", field="sha256"
                ) from error
            for inner in range(0, len(block), _CHUNK):
                yield block[inner : inner + _CHUNK]


def _blob(sha: str) -> str:
    return f"blobs/{sha[:2]}/{sha}"


def _part(sha: str, offset: int) -> str:
    return f"parts/{sha}/{offset:015d}"


def _reach(parts: tuple[tuple[int, int], ...]) -> int:
    """How far the parts go from the start without a gap, in bytes."""
    reach = 0
    for offset, size in parts:
        if offset > reach:
            break
        reach = max(reach, offset + size)
    return reach
