"""Packing a file or folder into bytes that are the same wherever and whenever it is done.

Owns the archive's form (names in byte order, no times, no owners, two modes) and the question whether a folder changed.
Knows nothing of where the bytes go.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from suanwang.domain.errors import Conflict
from suanwang.domain.file import Content
from suanwang.sensing.carrying.tree import (
    Entry,
    Limits,
    disk_errors,
    entries,
    inner_target,
    open_file,
    opened_top,
    special,
)

_CHUNK = 2**20
_SETTLING_NS = 50_000_000
"""Clocks of file systems tick this coarsely: two writes within one tick leave the same signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The packed bytes at `path`, a temporary file that the caller moves or removes."""

    content: Content
    path: Path
    signature: str
    """Of the source before it was packed; see `changed_since`."""


def pack(source: Path, into: Path, *, inside: Path | None = None, limits: Limits | None = None) -> Packed:
    """Copy the file `source`, or the folder as a tar archive, to a new file in the folder `into`, hashing it on the way.

    `inside` is the folder that `source` may not lead out of through links: give it wherever others write there. Links
    within a folder that stay in it are kept. A file alone keeps its bytes and nothing else. Raises `InvalidRequest`
    naming the path that cannot be packed, `TooLarge`, `Conflict` where it changed meanwhile, `Unavailable`.
    """
    limits = limits or Limits()
    before = signature(source, inside=inside)
    with opened_top(source, inside) as (descriptor, real), disk_errors("it was packed"):
        into.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="packed-", dir=into)
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                sink = _Hashing(out)
                folder = _write(descriptor, real, sink, limits)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    content = Content(sha256=sink.digest.hexdigest(), size=sink.size, folder=folder)
    return Packed(content=content, path=path, signature=before)


def pack_stable(source: Path, into: Path, *, inside: Path | None = None, limits: Limits | None = None) -> Packed:
    """Like `pack`, for what a running job may be writing: raises `Conflict` where it changed just before or meanwhile."""
    started_ns = time.time_ns()
    packed = pack(source, into, inside=inside, limits=limits)
    after, newest_ns = _observe(source, inside, not_after_ns=time.time_ns())
    if after != packed.signature or newest_ns >= started_ns - _SETTLING_NS:
        packed.path.unlink(missing_ok=True)
        raise Conflict(f"{source} is being written: pack it when it rests")
    return packed


def signature(source: Path, *, inside: Path | None = None) -> str:
    """A cheap mark of a file or folder from names, kinds, sizes and times, without reading any byte of content.

    Raises `InvalidRequest` where it is missing or unreadable, `Conflict` where it changed meanwhile.
    """
    return _observe(source, inside, not_after_ns=0)[0]


def changed_since(source: Path, before: str | None, *, inside: Path | None = None) -> bool:
    """Whether `source` has another signature than `before`; None means it was never packed. Raises as `signature`."""
    return signature(source, inside=inside) != before


def _observe(source: Path, inside: Path | None, not_after_ns: int) -> tuple[str, int]:
    """The signature, and the newest change in ns of the epoch that is not after `not_after_ns` (a wrong clock's)."""
    mark = hashlib.sha256()
    newest_ns = 0
    with opened_top(source, inside) as (descriptor, _), disk_errors("it was looked at"):
        info = os.fstat(descriptor)
        found = [("", info)]
        if stat.S_ISDIR(info.st_mode):
            found.extend((entry.where, entry.info) for entry in entries(descriptor))
    for where, info in found:
        kind = stat.S_IFMT(info.st_mode)
        # A folder's own size and times differ between file systems; its names are listed anyway.
        facts = (0, 0, 0) if stat.S_ISDIR(info.st_mode) else (info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        mark.update(repr((os.fsencode(where), kind, facts)).encode())
        newest_ns = max(newest_ns, *(at for at in (info.st_mtime_ns, info.st_ctime_ns) if at <= not_after_ns), 0)
    return mark.hexdigest(), newest_ns


def _write(top: int, real: Path, sink: _Hashing, limits: Limits) -> bool:
    info = os.fstat(top)
    if stat.S_ISREG(info.st_mode):
        limits.check(1, info.st_size)
        with os.fdopen(os.dup(top), "rb") as data:
            while block := data.read(_CHUNK):
                sink.write(block)
                limits.check(1, sink.size)
        return False
    if not stat.S_ISDIR(info.st_mode):
        raise special(real.name)
    total = 0
    for count, entry in enumerate(entries(top), start=1):
        total += entry.info.st_size if stat.S_ISREG(entry.info.st_mode) else 0
        limits.check(count, total)
        _add(sink, entry, PurePosixPath(real))
    sink.write(bytes(2 * tarfile.BLOCKSIZE))
    sink.fill(tarfile.RECORDSIZE)
    return True


def _add(sink: _Hashing, entry: Entry, top: PurePosixPath) -> None:
    member = tarfile.TarInfo(entry.where)
    mode = entry.info.st_mode
    if stat.S_ISDIR(mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        sink.write(_header(member))
    elif stat.S_ISLNK(mode):
        member.type, member.mode = tarfile.SYMTYPE, 0o777
        member.linkname = inner_target(entry.where, os.readlink(entry.name, dir_fd=entry.parent), top)
        sink.write(_header(member))
    elif stat.S_ISREG(mode):
        member.size = entry.info.st_size
        member.mode = 0o755 if mode & stat.S_IXUSR else 0o644
        sink.write(_header(member))
        with os.fdopen(open_file(entry), "rb") as data:
            _copy(data, member.size, sink, entry.where)
        sink.fill(tarfile.BLOCKSIZE)
    else:
        raise special(entry.where)


def _header(member: tarfile.TarInfo) -> bytes:
    """Times, owners and groups keep the zeros that a new member has; names that are no UTF-8 keep their bytes."""
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _copy(data: BinaryIO, size: int, sink: _Hashing, where: str) -> None:
    left = size
    while left and (block := data.read(min(left, _CHUNK))):
        sink.write(block)
        left -= len(block)
    if left or data.read(1):
        raise Conflict(f"{where} changed while it was packed: try again when nobody writes there")


class _Hashing:
    """A sink that hashes what passes and knows how much that was."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._out.write(data)
        self.size += len(data)

    def fill(self, block: int) -> None:
        """Zeros up to the next multiple of `block` bytes."""
        self.write(bytes(-self.size % block))
