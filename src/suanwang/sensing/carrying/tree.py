"""Walking a folder that someone else may be changing, and which links in it are harmless.

Owns the order of entries, the rule for links and the limits. Folders are opened relative to the one above and links are
never followed, so that swapping a name for a link during the walk leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from suanwang.domain.errors import Conflict, InvalidRequest, TooLarge, Unavailable
from suanwang.domain.file import MAX_CONTENT_BYTES

_MAX_DEPTH = 200
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most of one file or folder. `max_bytes` counts the files' own bytes."""

    max_bytes: int = MAX_CONTENT_BYTES
    max_entries: int = 1_000_000

    def check(self, entries: int, size: int) -> None:
        """Raises `TooLarge` where `entries` or `size` (bytes) are over."""
        if entries > self.max_entries:
            raise TooLarge(
                f"more than {self.max_entries} files and folders: pack them into one file first",
                field="path",
                allowed=f"{self.max_entries} entries",
            )
        if size > self.max_bytes:
            raise TooLarge(
                f"more than {self.max_bytes} bytes: keep less, or split it",
                field="path",
                allowed=f"{self.max_bytes} bytes",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a folder. `where` is relative to the top; `parent` is the open folder that `name` stands in."""

    where: str
    name: str
    info: os.stat_result
    parent: int


@contextmanager
def opened_top(source: Path, inside: Path | None) -> Iterator[tuple[int, Path]]:
    """An open descriptor of `source` and its real path, which must be within `inside` where that is given.

    Raises `InvalidRequest` where it is missing, unreadable or leads out of `inside`.
    """
    try:
        real = Path(os.path.realpath(source, strict=True))
        descriptor = os.open(real, _OPEN) if inside is None else _descend(real, Path(os.path.realpath(inside)), source)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{source} is not there", field="path", allowed="a file or folder that exists") from error
    except OSError as error:
        raise InvalidRequest(
            f"{source} cannot be read: {error.strerror}", field="path", allowed="a readable file or folder"
        ) from error
    try:
        yield descriptor, real
    finally:
        os.close(descriptor)


def _descend(real: Path, root: Path, source: Path) -> int:
    if not real.is_relative_to(root):
        raise InvalidRequest(
            f"{source} leads out of its folder through a link", field="path", allowed="a path that stays in the folder"
        )
    descriptor = os.open(root, _OPEN | os.O_DIRECTORY)
    for part in real.relative_to(root).parts:
        above = descriptor
        try:
            descriptor = os.open(part, _OPEN, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def entries(folder: int, prefix: str = "", depth: int = 0) -> Iterator[Entry]:
    """Everything below an open folder, each folder before what is in it, names in byte order; links are not followed.

    Raises `InvalidRequest` for a tree too deep, `OSError` for what cannot be read or went away.
    """
    if depth > _MAX_DEPTH:
        raise InvalidRequest(
            f"{prefix} lies deeper than {_MAX_DEPTH} folders", field="path", allowed=f"at most {_MAX_DEPTH} levels"
        )
    with os.scandir(folder) as found:
        names = sorted((entry.name for entry in found), key=os.fsencode)
    for name in names:
        where = f"{prefix}/{name}" if prefix else name
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        yield Entry(where=where, name=name, info=info, parent=folder)
        if stat.S_ISDIR(info.st_mode):
            inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
            try:
                yield from entries(inner, where, depth + 1)
            finally:
                os.close(inner)


def open_file(entry: Entry) -> int:
    """A descriptor of a regular file; raises `InvalidRequest` where it is, or has become, anything else."""
    try:
        descriptor = os.open(entry.name, _OPEN, dir_fd=entry.parent)
    except PermissionError as error:
        raise InvalidRequest(f"{entry.where} may not be read", field="path", allowed="readable files") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Conflict(f"{entry.where} changed to a link just now: try again when nobody writes there") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise special(entry.where)
    return descriptor


def special(where: str) -> InvalidRequest:
    """The refusal of a socket, pipe or device."""
    return InvalidRequest(
        f"{where} is neither a file, a folder nor a link: remove it",
        field="path",
        allowed="files, folders, inner links",
    )


def inner_target(where: str, target: str, top: PurePosixPath | None = None) -> str:
    """The target of the link at `where` (relative to the top), relative; an absolute one below `top` is made relative.

    A link stays inside for sure where it climbs only at its start, not above the top, and then only descends: every
    link it may meet on its way keeps the same rule. Raises `InvalidRequest` naming the link otherwise.
    """
    path = PurePosixPath(target)
    level = where.count("/")
    if path.is_absolute() and top is not None and ".." not in path.parts and path.is_relative_to(top):
        inner = path.relative_to(top).parts
        path = PurePosixPath(*[".."] * level, *inner)
    climbs = 0
    while climbs < len(path.parts) and path.parts[climbs] == "..":
        climbs += 1
    if not target or "\0" in target or path.is_absolute() or climbs > level or ".." in path.parts[climbs:]:
        raise InvalidRequest(
            f"the link {where} -> {target} may lead out of its folder: replace it by what it points to",
            field="path",
            allowed="links to a relative path inside the folder",
        )
    return str(path)


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """What the operating system says while `doing`, as errors of the product."""
    try:
        yield
    except FileNotFoundError as error:
        raise Conflict(f"{error.filename} changed while {doing}: try again when nobody writes there") from error
    except (PermissionError, NotADirectoryError) as error:
        raise InvalidRequest(
            f"{error.filename} cannot be used while {doing}: {error.strerror}",
            field="path",
            allowed="a path we may use",
        ) from error
    except OSError as error:
        raise Unavailable(
            f"the disk failed while {doing} ({error.strerror}): free space or repair it, then try again"
        ) from error
