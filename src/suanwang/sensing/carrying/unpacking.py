"""Putting content at its place: the hash first, then every name in it distrusted, then all of it at once.

Owns what an archive may contain: files, folders and inner links, nothing else. Knows nothing of where it came from.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.file import Content
from suanwang.sensing.carrying.tree import Limits, disk_errors, inner_target

_CHUNK = 2**18
_BAD_NAME = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
"""What a name can be blamed for: there twice, below a file, too long, or impossible on this file system."""
_MAX_HEADER = 2**20
"""An archive's own headers are kilobytes; one that claims more wants our memory."""


def unpack(packed: Path, content: Content, destination: Path, *, limits: Limits | None = None) -> None:
    """Put `content`, whose bytes are at `packed`, at `destination`: whole or not at all.

    The destination may be absent or an empty folder. Raises `InvalidRequest` (field `sha256`) for other bytes than
    promised and (field `archive`) naming the member that is refused, `TooLarge`, `Conflict` where the destination is
    taken, `Unavailable`.
    """
    limits = limits or Limits()
    limits.check(1, content.size)
    if os.path.lexists(destination) and not (content.folder and _is_empty_folder(destination)):
        raise Conflict(f"{destination} exists already: choose another place or remove it")
    with disk_errors("it was unpacked"):
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Private until it is complete, on the same file system so that the last step is one rename.
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=destination.parent) as private:
            staged = Path(private) / "content"
            with packed.open("rb") as data:
                verify(data, content)
                data.seek(0)
                if content.folder:
                    _extract(data, staged, limits)
                else:
                    with staged.open("xb") as out:
                        shutil.copyfileobj(data, out, _CHUNK)
                    staged.chmod(0o644)
            staged.rename(destination)


def verify(data: BinaryIO, content: Content) -> None:
    """Read all of `data`; raises `InvalidRequest` (field `sha256`) unless it is `content`."""
    digest = hashlib.sha256()
    size = 0
    while block := data.read(_CHUNK):
        size += len(block)
        if size > content.size:
            break
        digest.update(block)
    if size != content.size or digest.hexdigest() != content.sha256:
        raise InvalidRequest(
            f"these are not the {content.size} bytes of {content.sha256}: send them again",
            field="sha256",
            allowed="the bytes that were promised",
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and next(path.iterdir(), None) is None


def _extract(data: BinaryIO, staged: Path, limits: Limits) -> None:
    folders: set[PurePosixPath] = set()
    _make_folder(staged, PurePosixPath("."), folders)
    total = 0
    try:
        with tarfile.open(
            fileobj=cast(IO[bytes], _SmallReads(data)), mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for count, member in enumerate(_members(archive), start=1):
                total += member.size if member.isreg() else 0
                limits.check(count, total)
                where = _checked(member)
                try:
                    _make_parents(staged, where, folders)
                    _place(archive, member, staged, where, folders)
                except OSError as error:
                    if error.errno in _BAD_NAME:
                        raise _refused(member.name, f"cannot stand there: {error.strerror}") from error
                    raise
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise InvalidRequest(
            f"the archive cannot be read: {error}", field="archive", allowed="a plain tar archive"
        ) from error


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        # The library remembers every member, and would look links up in that list.
        cast(Any, archive).members.clear()


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """The member's place, relative to the top, once its name, kind and size are harmless."""
    name = member.name
    where = PurePosixPath(name)
    if not (where.parts or member.isdir()) or where.is_absolute() or ".." in where.parts or "\0" in name:
        raise _refused(name, "does not name a place inside the folder")
    if member.size < 0 or member.issparse() or not (member.isreg() or member.isdir() or member.issym()):
        raise _refused(name, "is neither a file, a folder nor a link")
    return where


def _make_parents(staged: Path, where: PurePosixPath, folders: set[PurePosixPath]) -> None:
    """Only folders made here are walked through: a link that was placed as a parent is refused by `mkdir`."""
    for parent in reversed(where.parents):
        if parent not in folders:
            _make_folder(staged, parent, folders)


def _make_folder(staged: Path, where: PurePosixPath, folders: set[PurePosixPath]) -> None:
    path = staged / where
    path.mkdir()
    path.chmod(0o755)
    folders.add(where)


def _place(
    archive: tarfile.TarFile, member: tarfile.TarInfo, staged: Path, where: PurePosixPath, folders: set[PurePosixPath]
) -> None:
    path = staged / where
    if member.isdir():
        if where not in folders:
            _make_folder(staged, where, folders)
    elif member.issym():
        path.symlink_to(inner_target(str(where), member.linkname))
    else:
        data = archive.extractfile(member)
        if data is None:
            raise _refused(member.name, "has no bytes")
        with path.open("xb") as out:
            shutil.copyfileobj(data, out, _CHUNK)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _refused(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the archive's member {name!r} {why}: pack the folder again with suanwang",
        field="archive",
        allowed="files, folders and inner links, each once",
    )


class _SmallReads:
    """The archive's bytes, in pieces no larger than an honest reader asks for."""

    def __init__(self, data: BinaryIO) -> None:
        self._data = data

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._data.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()
