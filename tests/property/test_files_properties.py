"""Whatever the chunks, the interruptions and the archives: the same bytes arrive, or nothing does."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from suanwang.adapters.files import FsspecFiles
from suanwang.domain.errors import Conflict, InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.domain.file import Content
from suanwang.sensing.carrying import Limits, Patience, SiteCache, fetch, pack, send, unpack

quick = settings(max_examples=60, deadline=None)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)


def memory_store() -> FsspecFiles:
    return FsspecFiles(f"memory://{uuid.uuid4().hex}")


def content_of(data: bytes, *, folder: bool = False) -> Content:
    return Content(sha256=hashlib.sha256(data).hexdigest(), size=len(data), folder=folder)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@given(data=st.binary(max_size=300), draw=st.data())
@quick
def test_any_senders_with_any_chunks_leave_the_same_bytes(data: bytes, draw: st.DataObject) -> None:
    """Two senders, each believing what it last heard, append in any order; a stale offset is refused and corrected."""
    store, content = memory_store(), content_of(data)
    offsets = [0, 0]
    while min(offsets) < len(data):
        who = draw.draw(st.sampled_from([sender for sender in (0, 1) if offsets[sender] < len(data)]))
        at = offsets[who]
        # At least a sixteenth at once, so that an example stays short.
        end = draw.draw(st.integers(min(at + 1 + len(data) // 16, len(data)), len(data)))
        try:
            offsets[who] = store.append(content.sha256, at, data[at:end])
            assert offsets[who] == end
        except Conflict as error:
            offsets[who] = int(str(error.allowed))
        assert store.received(content.sha256) == max(offsets)
    for _ in range(2):
        store.finish(content.sha256, content.size)
    start = draw.draw(st.integers(0, len(data)))
    assert b"".join(store.open(content.sha256, start)) == data[start:]


@given(data=st.binary(min_size=1, max_size=200), at=st.integers(0), flip=st.integers(1, 255), chunk=st.integers(1, 200))
@quick
def test_any_flipped_byte_is_refused(data: bytes, at: int, flip: int, chunk: int) -> None:
    store, content = memory_store(), content_of(data)
    damaged = bytearray(data)
    damaged[at % len(data)] ^= flip
    for start in range(0, len(data), chunk):
        store.append(content.sha256, start, bytes(damaged[start : start + chunk]))
    with pytest.raises(InvalidRequest) as caught:
        store.finish(content.sha256, content.size)
    assert caught.value.field == "sha256"
    assert store.size(content.sha256) is None
    assert store.received(content.sha256) == 0


class Faulty:
    """A link that fails before or after any call, or inside any block, as the plan says."""

    def __init__(self, store: FsspecFiles, plan: list[str]) -> None:
        self._store = store
        self._plan = plan

    def received(self, sha256: str) -> int:
        self._fault("before")
        return self._store.received(sha256)

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        kind = self._fault("before")
        if kind == "half":
            self._store.append(sha256, offset, data[: len(data) // 2])
            raise OutcomeUnknown("no answer", tag=sha256)
        reached = self._store.append(sha256, offset, data)
        if kind == "after":
            raise OutcomeUnknown("no answer", tag=sha256)
        return reached

    def finish(self, sha256: str, size: int) -> None:
        kind = self._fault("before")
        self._store.finish(sha256, size)
        if kind == "after":
            raise OutcomeUnknown("no answer", tag=sha256)

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        for block in self._store.open(sha256, start):
            for at in range(0, len(block), 7):
                kind = self._fault("before")
                if kind == "half":
                    yield block[at : at + 3]
                    raise Unavailable("the line is down")
                if kind == "after":
                    return
                yield block[at : at + 7]

    def _fault(self, raised: str) -> str:
        kind = self._plan.pop() if self._plan else "none"
        if kind == raised:
            raise Unavailable("the line is down")
        return kind


@given(
    data=st.binary(max_size=200),
    there=st.lists(st.sampled_from(["none", "before", "after", "half"]), max_size=15),
    back=st.lists(st.sampled_from(["none", "before", "after", "half"]), max_size=15),
    part=st.integers(1, 64),
)
@quick
def test_any_interruption_is_survived(data: bytes, there: list[str], back: list[str], part: int) -> None:
    store, content = memory_store(), content_of(data)
    patient = Patience(attempts=20, pause=lambda _: None)
    with folder() as top:
        (top / "source").write_bytes(data)
        send(Faulty(store, there), content, top / "source", patience=patient, part_bytes=part)
        assert store.size(content.sha256) == len(data)
        path = fetch(Faulty(store, back), content, SiteCache(top / "cache", 1000), patience=patient)
        assert path.read_bytes() == data


TREES = st.recursive(
    st.binary(max_size=40) | st.none(), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def build(top: Path, tree: object, draw: st.DataObject) -> None:
    if isinstance(tree, dict):
        top.mkdir()
        for name in draw.draw(st.permutations(sorted(tree))):
            build(top / name, tree[name], draw)
    elif isinstance(tree, bytes):
        top.write_bytes(tree)
    else:
        top.symlink_to(draw.draw(st.sampled_from([".", "a", "b/c"])))


def look(top: Path) -> object:
    if top.is_symlink():
        return str(top.readlink())
    return {p.name: look(p) for p in top.iterdir()} if top.is_dir() else top.read_bytes()


@given(tree=st.dictionaries(NAMES, TREES, max_size=4), draw=st.data())
@quick
def test_any_tree_arrives_as_it_was(tree: dict[str, object], draw: st.DataObject) -> None:
    with folder() as top:
        build(top / "source", tree, draw)
        packed = pack(top / "source", top / "temp")
        unpack(packed.path, packed.content, top / "there")
        assert look(top / "there") == look(top / "source")
        assert pack(top / "there", top / "temp").content == packed.content


PARTS = st.sampled_from(["a", "b", "..", ".", "", "l"])
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)


def hostile_tar(members: list[tuple[str, bytes, str]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            data = b"evil" if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpack_in_jail(data: bytes) -> None:
    """Unpack, then: nothing outside the destination was made or changed, and nothing inside points out of it."""
    with folder() as top:
        jail = top / "jail" / "deep"
        jail.mkdir(parents=True)
        for name in ("a", "b", "l"):
            (jail / name).write_text("mine")
        (top / "tar").write_bytes(data)
        try:
            unpack(top / "tar", content_of(data, folder=True), jail / "there", limits=Limits(max_entries=50))
        except InvalidRequest:
            assert sorted(p.name for p in jail.iterdir()) == ["a", "b", "l"]
        assert {p.name for p in jail.iterdir()} <= {"a", "b", "l", "there"}
        assert all((jail / name).read_text() == "mine" for name in ("a", "b", "l"))
        assert sorted(p.name for p in top.iterdir()) == ["jail", "tar"]
        inside = jail / "there"
        for path in inside.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(inside)


@given(members=st.lists(st.tuples(PATHS, KINDS, PATHS), max_size=8))
@example(members=[("a", tarfile.SYMTYPE, "..")])
@example(members=[("a/l", tarfile.SYMTYPE, "../..")])
@example(members=[("l", tarfile.SYMTYPE, "a"), ("a/b", tarfile.SYMTYPE, "../l/../..")])
@example(members=[("l", tarfile.SYMTYPE, ".."), ("l/a", tarfile.REGTYPE, "")])
@settings(max_examples=300, deadline=None)
def test_no_archive_reaches_out_of_its_folder(members: list[tuple[str, bytes, str]]) -> None:
    unpack_in_jail(hostile_tar(members))


@given(
    members=st.lists(st.tuples(st.sampled_from(["a", "a/b", "算" * 40]), KINDS, PATHS), max_size=4),
    edits=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 4096),
)
@settings(max_examples=200, deadline=None)
def test_broken_archives_are_refused_in_our_own_words(
    members: list[tuple[str, bytes, str]], edits: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(hostile_tar(members))
    for at, value in edits:
        data[at] = value
    unpack_in_jail(bytes(data[: len(data) - cut]))
