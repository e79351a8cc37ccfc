"""The bytes of a file somebody gives us, whatever it is packed in.

Owns compression, archives and limits. Nothing is ever written to disk, member names are never used as paths, and no
more than `MOST_BYTES` come out of any file. Knows no format of traces.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from suanwang.domain.errors import InvalidRequest, NotFound, TooLarge

MOST_BYTES = 2**30
"""Of one file, after decompression."""
MOST_MEMBERS = 10_000
_CHUNK = 1 << 20
_LZMA_MEMORY = 512 * 2**20
_TAR_MAGIC_AT = 257
_MAGIC: tuple[tuple[bytes, str], ...] = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"))
_NAMED = {".gz": "gzip", ".tgz": "gzip", ".xz": "xz", ".txz": "xz", ".bz2": "bzip2", ".tbz2": "bzip2"}
_FOREIGN = {b"PK\x03\x04": "zip", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_READABLE = "a plain file, or .gz, .xz, .bz2, .tar, .tar.gz, .tar.xz, .tar.bz2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file's content. `name` is for messages: the path, and the archive's member."""

    name: str
    stem: str
    """The file's own name without folders and endings."""
    data: bytes


Given = Path | str | Source
"""What readers take: a path, or what `open_source` made of one."""


def open_source(path: Given, *, member: str | None = None, most_bytes: int = MOST_BYTES) -> Source:
    """Read and unpack `path` (a source is already that); of an archive the file called `member`, or the only one there is.

    Raises `NotFound` for a file or member that is not there, `TooLarge` above `most_bytes`, and `InvalidRequest` for
    one that is empty, cut short or not what its name says.
    """
    if isinstance(path, Source):
        return path
    path = Path(path)
    try:
        with path.open("rb") as raw:
            head = raw.read(_TAR_MAGIC_AT + 8)
            raw.seek(0)
            data = _capped(_plain(raw, _kind(path, head), path), path.name, most_bytes)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"{path}: {error.strerror}", field=str(path), allowed="a file") from None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", field=str(path), allowed=_READABLE) from None
    if not data:
        raise InvalidRequest(f"{path} is empty", field=str(path), allowed="a file with one line or more")
    if data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return _member(path, data, member)
    if member is not None:
        raise InvalidRequest(f"{path} is no archive and has no {member!r} in it", field="member", allowed="nothing")
    return Source(name=str(path), stem=_stem(path.name), data=data)


def _kind(path: Path, head: bytes) -> str:
    """How it is compressed, by its first bytes; its name may not say otherwise."""
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            raise InvalidRequest(f"{path} is packed as {kind}", field=str(path), allowed=_READABLE)
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), "none")
    named = _NAMED.get(path.suffix.lower())
    if head and named is not None and named != found:
        raise InvalidRequest(
            f"{path} is named as {named} but does not begin as such",
            field=str(path),
            allowed=f"{named}, or another name",
        )
    return found


def _plain(raw: IO[bytes], kind: str, path: Path) -> Iterator[bytes]:
    """Chunks of what was compressed."""
    if kind == "xz":
        yield from _unxz(raw, path)
        return
    stream: IO[bytes] = raw
    if kind == "gzip":
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    elif kind == "bzip2":
        stream = cast(IO[bytes], bz2.BZ2File(raw))
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidRequest(
            f"{path} is damaged or cut short: {error}", field=str(path), allowed=f"a whole {kind} file"
        ) from None


def _unxz(raw: IO[bytes], path: Path) -> Iterator[bytes]:
    """Like `lzma.open`, but a header cannot demand more memory than `_LZMA_MEMORY`."""
    try:
        pending = raw.read(_CHUNK)
        while pending:
            stream = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
            while not stream.eof:
                if stream.needs_input and not pending:
                    pending = raw.read(_CHUNK)
                    if not pending:
                        raise lzma.LZMAError("it ends before its end marker")
                yield stream.decompress(pending, max_length=_CHUNK)
                pending = b""
            pending = stream.unused_data.lstrip(b"\0") or raw.read(_CHUNK).lstrip(b"\0")
    except lzma.LZMAError as error:
        raise InvalidRequest(
            f"{path} is damaged or cut short: {error}", field=str(path), allowed="a whole xz file"
        ) from None


def _capped(chunks: Iterator[bytes], name: str, most_bytes: int) -> bytes:
    held = io.BytesIO()
    for chunk in chunks:
        if held.tell() + len(chunk) > most_bytes:
            raise TooLarge(
                f"{name} unpacks to more than {most_bytes:,} bytes",
                field=name,
                allowed=f"up to {most_bytes:,} bytes; cut the file into parts",
            )
        held.write(chunk)
    return held.getvalue()


def _member(path: Path, data: bytes, wanted: str | None) -> Source:
    """One regular file of a tar archive. Links, devices and folders are not files."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            found: dict[str, tarfile.TarInfo] = {}
            for info in archive:
                if len(found) >= MOST_MEMBERS:
                    raise TooLarge(f"{path} holds more than {MOST_MEMBERS:,} files", field=str(path))
                if info.isreg() and not info.issparse() and not _hidden(info.name):
                    found[info.name] = info
            info = found[_chosen(path, tuple(found), wanted)]
            stream = archive.extractfile(info)
            content = b"" if stream is None else stream.read()
    except (tarfile.TarError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"{path} is a damaged archive: {error}", field=str(path), allowed="a whole tar file"
        ) from None
    if len(content) != info.size:
        raise InvalidRequest(f"{path}: {info.name} is cut short", field=info.name, allowed=f"{info.size:,} bytes")
    if not content:
        raise InvalidRequest(f"{path}: {info.name} is empty", field=info.name, allowed="a file with one line or more")
    return Source(name=f"{path}: {info.name}", stem=_stem(Path(info.name).name), data=content)


def _hidden(name: str) -> bool:
    """What desktops leave in archives beside the files."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith(".") or "PaxHeader" in name


def _chosen(path: Path, names: tuple[str, ...], wanted: str | None) -> str:
    fitting = [name for name in names if wanted is None or name == wanted or name.rsplit("/", 1)[-1] == wanted]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(sorted(names)[:40]) + (", …" if len(names) > 40 else "")
    if not names:
        raise InvalidRequest(f"{path} holds no file", field=str(path), allowed="an archive with a file in it")
    told = f"{path} holds {len(names)} files: say which" if wanted is None else f"{path} has no one file {wanted!r}"
    raise NotFound(told, field="member", allowed=listed)


def _stem(name: str) -> str:
    for ending in (".gz", ".xz", ".bz2", ".tgz", ".txz", ".tbz2", ".tar"):
        name = name.removesuffix(ending)
    for ending in (".csv", ".swf", ".jsonl", ".json", ".parquet", ".txt"):
        name = name.removesuffix(ending)
    return name
