"""The few things the file store asks of a file system, with one meaning and one kind of error on all of them.

Owns how fsspec is called and how its failures become the product's errors. Knows nothing of hashes or uploads.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs

from suanwang.domain.errors import InvalidRequest, Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Storage:
    """Paths under one root of a file system. Every path given here is relative and made by the store itself."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        try:
            # Listings are never cached: other replicas write to the same place.
            self._fs, root = url_to_fs(url, **{"use_listings_cache": False, **options})
        except ImportError as error:
            raise InvalidRequest(
                f"the file store at {url.partition('://')[0]}:// needs a package that is not installed "
                "(for s3:// install suanwang[s3])",
                field="files_url",
                allowed="file://, memory:// or s3://",
            ) from error
        except ValueError as error:
            raise InvalidRequest(
                "the file store's address is not understood", field="files_url", allowed="file://, memory:// or s3://"
            ) from error
        self._root = str(root).rstrip("/")
        names = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else tuple(self._fs.protocol)
        self._local = "file" in names
        self._transient: tuple[type[Exception], ...] = (OSError, *_foreign_errors(names))

    def size(self, path: str) -> int | None:
        """Bytes of a file, None where there is none."""
        with self._translated():
            try:
                return int(self._fs.info(self._at(path))["size"])
            except FileNotFoundError:
                return None

    def listing(self, folder: str) -> dict[str, int]:
        """Name → bytes of every file straight in `folder`; empty where there is no such folder."""
        with self._translated():
            try:
                found = self._fs.ls(self._at(folder), detail=True)
            except FileNotFoundError:
                return {}
        return {_name(entry): int(entry["size"]) for entry in found if entry["type"] == "file"}

    def ages(self, folder: str) -> dict[str, datetime]:
        """Path relative to `folder` → last change, of every file anywhere below it."""
        prefix = self._at(folder)
        with self._translated():
            try:
                found = self._fs.find(prefix, detail=True)
            except FileNotFoundError:
                return {}
            return {path[len(prefix) :].lstrip("/"): self._changed_at(path, entry) for path, entry in found.items()}

    def read(self, path: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end`; raises `FileNotFoundError` where the file is gone."""
        with self._translated():
            return bytes(self._fs.cat_file(self._at(path), start=start, end=end))

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A new file, durable when this ends. What was written is left behind when it fails."""
        with self._translated():
            if self._local:
                self._fs.makedirs(self._fs._parent(self._at(path)), exist_ok=True)
            with self._fs.open(self._at(path), "wb") as handle:
                yield cast(BinaryIO, handle)
                if self._local:
                    handle.flush()
                    os.fsync(handle.fileno())

    def put(self, path: str, data: bytes) -> None:
        """A small file, whole or not at all. Raises `Unavailable` also where its folder or bucket went away."""
        try:
            if not self._local:
                # Object stores show an object only when it is whole.
                with self._translated():
                    self._fs.pipe_file(self._at(path), data)
                return
            staged = f"staging/{uuid.uuid4().hex}"
            try:
                with self.writing(staged) as out:
                    out.write(data)
                self.move(staged, path)
            except (Unavailable, FileNotFoundError):
                self.discard(staged)
                raise
        except FileNotFoundError as error:
            raise Unavailable("the file store's folder or bucket is not there: create it, then send again") from error

    def move(self, source: str, target: str) -> None:
        """Rename, replacing `target` whole: no reader ever sees a part of it."""
        with self._translated():
            if self._local:
                self._fs.makedirs(self._fs._parent(self._at(target)), exist_ok=True)
                Path(self._at(source)).replace(self._at(target))
            else:
                # Object stores have no rename: a copy inside the store is whole or absent.
                self._fs.cp_file(self._at(source), self._at(target))
                self._fs.rm_file(self._at(source))

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it. Removing what is gone is no error."""
        with self._translated():
            try:
                self._fs.rm(self._at(path), recursive=True)
            except FileNotFoundError:
                return

    def discard(self, path: str) -> None:
        """Remove what nobody needs. What stays behind because the store fails just now is swept later."""
        with suppress(Unavailable):
            self.remove(path)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _changed_at(self, path: str, entry: dict[str, Any]) -> datetime:
        stamp = entry.get("LastModified") or entry.get("mtime") or entry.get("created") or self._fs.modified(path)
        return datetime.fromtimestamp(stamp, UTC) if isinstance(stamp, int | float) else cast(datetime, stamp)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except self._transient as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise Unavailable("the file store's disk is full: free space there, then send again") from error
            # The kind alone: messages of storage services may carry addresses and key identifiers.
            raise Unavailable(f"the file store does not answer ({type(error).__name__}): try again later") from error


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _foreign_errors(protocols: tuple[str, ...]) -> tuple[type[Exception], ...]:
    """What the S3 library raises that is no `OSError`."""
    if "s3" not in protocols:
        return ()
    from botocore.exceptions import BotoCoreError

    return (cast(type[Exception], BotoCoreError),)
