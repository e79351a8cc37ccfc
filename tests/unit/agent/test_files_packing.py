"""Packing and unpacking: the same bytes for the same tree, and nothing hostile on the way in or out."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from suanwang.domain.errors import Conflict, InvalidRequest, TooLarge
from suanwang.domain.file import Content
from suanwang.sensing.carrying import (
    Limits,
    Packed,
    changed_since,
    pack,
    pack_stable,
    packing,
    signature,
    tree,
    unpack,
    unpacking,
)


def make_tree(top: Path) -> Path:
    (top / "logs" / "空").mkdir(parents=True)
    (top / "weights.bin").write_bytes(b"\x00\x01" * 700)
    (top / "logs" / "训练.txt").write_text("loss 0.5\n")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o750)
    (top / "latest").symlink_to("weights.bin")
    (top / "logs" / "up").symlink_to("../weights.bin")
    return top


def facts(top: Path) -> dict[str, tuple[str, bytes | str, int]]:
    found: dict[str, tuple[str, bytes | str, int]] = {}
    for path in sorted(top.rglob("*")):
        where = str(path.relative_to(top))
        if path.is_symlink():
            found[where] = ("link", str(path.readlink()), 0)
        elif path.is_dir():
            found[where] = ("folder", "", stat.S_IMODE(path.stat().st_mode))
        else:
            found[where] = ("file", path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    return found


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes], fmt: int = tarfile.PAX_FORMAT) -> Content:
    with tarfile.open(path, "w", format=fmt) as out:
        for member, data in members:
            out.addfile(member, io.BytesIO(data))
    return content_of(path)


def content_of(path: Path, *, folder: bool = True) -> Content:
    data = path.read_bytes()
    return Content(sha256=hashlib.sha256(data).hexdigest(), size=len(data), folder=folder)


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info, data


def test_a_folder_arrives_as_it_was(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "out")
    packed = pack(top, tmp_path / "temp")
    assert packed.content == content_of(packed.path)
    unpack(packed.path, packed.content, tmp_path / "there")
    arrived = facts(tmp_path / "there")
    assert arrived == {
        "latest": ("link", "weights.bin", 0),
        "logs": ("folder", "", 0o755),
        "logs/up": ("link", "../weights.bin", 0),
        "logs/空": ("folder", "", 0o755),
        "logs/训练.txt": ("file", b"loss 0.5\n", 0o644),
        "run.sh": ("file", b"#!/bin/sh\n", 0o755),
        "weights.bin": ("file", b"\x00\x01" * 700, 0o644),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "temp", "there"]


def test_the_same_tree_packs_to_the_same_bytes(tmp_path: Path) -> None:
    first = make_tree(tmp_path / "a")
    second = tmp_path / "b"
    for path in sorted(first.rglob("*"), reverse=True):
        target = second / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(str(path.readlink()))
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, target)
            target.chmod(0o700 if path.name == "run.sh" else 0o600)
            os.utime(target, (1, 1))
    packed = [pack(top, tmp_path / "temp").content for top in (first, second)]
    assert packed[0] == packed[1]
    assert packed[0] == pack(first, tmp_path / "temp").content


def test_the_archive_is_one_that_tar_reads(tmp_path: Path) -> None:
    packed = pack(make_tree(tmp_path / "out"), tmp_path / "temp")
    with tarfile.open(packed.path) as read:
        members = read.getmembers()
    assert [m.name for m in members] == sorted((m.name for m in members), key=os.fsencode)
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert packed.content.size % tarfile.RECORDSIZE == 0


def test_a_file_alone_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    packed = pack(tmp_path / "one", tmp_path / "temp")
    assert packed.content == Content(sha256=hashlib.sha256(b"one").hexdigest(), size=3, folder=False)
    unpack(packed.path, packed.content, tmp_path / "deep" / "er" / "two")
    assert (tmp_path / "deep" / "er" / "two").read_bytes() == b"one"
    (tmp_path / "empty").mkdir()
    packed = pack(tmp_path / "empty", tmp_path / "temp")
    assert packed.content.folder
    (tmp_path / "there").mkdir()
    unpack(packed.path, packed.content, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_names_that_are_long_or_no_utf8_keep_their_bytes(tmp_path: Path) -> None:
    names = [b"x" * 200, b"\xff\xfe", "算".encode() * 60, b"line\nbreak", b" "]
    top = tmp_path / "out"
    top.mkdir()
    for name in names:
        (top / os.fsdecode(name)).write_bytes(name)
    packed = pack(top, tmp_path / "temp")
    unpack(packed.path, packed.content, tmp_path / "there")
    assert {os.fsencode(p.name): p.read_bytes() for p in (tmp_path / "there").iterdir()} == {n: n for n in names}


def test_an_absolute_link_into_the_folder_becomes_relative(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "out")
    (top / "logs" / "abs").symlink_to(top / "weights.bin")
    packed = pack(top, tmp_path / "temp")
    unpack(packed.path, packed.content, tmp_path / "there")
    assert str((tmp_path / "there" / "logs" / "abs").readlink()) == "../weights.bin"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "..", "../secret", "sub/../../secret", "sub/../x", "../out/weights.bin", "/", "../../.."]
)
def test_links_out_of_the_folder_are_refused_by_name(tmp_path: Path, target: str) -> None:
    top = make_tree(tmp_path / "out")
    (top / "zz-link").symlink_to(target)
    with pytest.raises(InvalidRequest) as caught:
        pack(top, tmp_path / "temp")
    assert "zz-link" in caught.value.message
    assert caught.value.field == "path"
    assert list((tmp_path / "temp").iterdir()) == []


def test_pipes_and_sockets_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "out"
    top.mkdir()
    os.mkfifo(top / "pipe")
    with pytest.raises(InvalidRequest, match="pipe"):
        pack(top, tmp_path / "temp")
    with pytest.raises(InvalidRequest, match="pipe"):
        pack(top / "pipe", tmp_path / "temp")
    (top / "pipe").unlink()
    # A socket's path may only have some hundred bytes.
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("plug")
        with pytest.raises(InvalidRequest, match="plug"):
            pack(top, tmp_path / "temp")


def test_what_is_inside_may_not_lead_out_through_the_path_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    work = tmp_path / "work"
    (work / "real").mkdir(parents=True)
    (work / "real" / "a").write_text("a")
    (work / "out").symlink_to(secret)
    (work / "file").symlink_to(secret / "key")
    (work / "fine").symlink_to("real")
    for source in (work / "out", work / "out" / "key", work / "file", work / ".." / "secret"):
        for call in (pack_into(tmp_path / "temp"), signature):
            with pytest.raises(InvalidRequest) as caught:
                call(source, inside=work)
            assert caught.value.field == "path"
    assert pack(work / "fine", tmp_path / "temp", inside=work).content == pack(work / "real", tmp_path / "temp").content


def pack_into(temp: Path) -> Callable[..., Packed]:
    return lambda source, inside: pack(source, temp, inside=inside)


def test_a_missing_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not there"):
        pack(tmp_path / "nothing", tmp_path / "temp")


def test_limits_of_packing(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "out")
    for limits in (Limits(max_entries=6), Limits(max_bytes=1400)):
        with pytest.raises(TooLarge):
            pack(top, tmp_path / "temp", limits=limits)
    with pytest.raises(TooLarge):
        pack(top / "weights.bin", tmp_path / "temp", limits=Limits(max_bytes=1399))
    assert list((tmp_path / "temp").iterdir()) == []
    pack(top, tmp_path / "temp", limits=Limits(max_entries=7, max_bytes=1419))


def test_a_tree_too_deep_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_MAX_DEPTH", 3)
    (tmp_path / "out" / "1" / "2" / "3").mkdir(parents=True)
    pack(tmp_path / "out", tmp_path / "temp")
    (tmp_path / "out" / "1" / "2" / "3" / "4").mkdir()
    with pytest.raises(InvalidRequest, match="deeper"):
        pack(tmp_path / "out", tmp_path / "temp")


def test_the_signature_sees_every_kind_of_change(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "out")
    seen = {signature(top)}
    assert not changed_since(top, signature(top))
    assert changed_since(top, None)

    def changes() -> None:
        assert signature(top) not in seen
        seen.add(signature(top))

    (top / "new").write_bytes(b"")
    changes()
    (top / "new").rename(top / "newer")
    changes()
    (top / "newer").write_bytes(b"12")
    changes()
    os.utime(top / "newer", ns=(5, 5))
    changes()
    (top / "newer").unlink()
    (top / "newer").mkdir()
    changes()


def age(top: Path, monkeypatch: pytest.MonkeyPatch, *, by_s: int = 60) -> None:
    """Let `by_s` seconds pass for the packing's clock."""
    now_ns = max(path.lstat().st_ctime_ns for path in (top, *top.rglob("*"))) + by_s * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)


def test_a_resting_checkpoint_is_packed_and_known_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = make_tree(tmp_path / "checkpoint")
    age(top, monkeypatch)
    packed = pack_stable(top, tmp_path / "temp")
    assert packed.content == pack(top, tmp_path / "temp").content
    assert not changed_since(top, packed.signature)
    (top / "weights.bin").write_bytes(b"next epoch")
    assert changed_since(top, packed.signature)


def test_a_checkpoint_written_just_now_or_meanwhile_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = make_tree(tmp_path / "checkpoint")
    age(top, monkeypatch, by_s=0)
    with pytest.raises(Conflict, match="rests"):
        pack_stable(top, tmp_path / "temp")
    age(top, monkeypatch)
    plain_pack = packing.pack

    def pack_while_written(source: Path, into: Path, *, inside: Path | None, limits: Limits | None) -> Packed:
        packed = plain_pack(source, into, inside=inside, limits=limits)
        (top / "weights.bin").write_bytes(b"torn")
        return packed

    monkeypatch.setattr(packing, "pack", pack_while_written)
    with pytest.raises(Conflict, match="rests"):
        pack_stable(top, tmp_path / "temp")
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.mark.parametrize("size_change", [-1, 1])
def test_a_file_that_changes_under_the_packing_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_change: int
) -> None:
    top = make_tree(tmp_path / "out")
    plain_open = tree.open_file

    def open_changed(entry: tree.Entry) -> int:
        os.truncate(top / entry.where, entry.info.st_size + size_change)
        return plain_open(entry)

    monkeypatch.setattr(packing, "open_file", open_changed)
    with pytest.raises(Conflict, match="changed while"):
        pack(top, tmp_path / "temp")
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_file_swapped_for_a_link_under_the_packing_is_never_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("key")
    top = tmp_path / "out"
    top.mkdir()
    (top / "a").write_text("abc")
    plain_open = tree.open_file

    def open_swapped(entry: tree.Entry) -> int:
        (top / "a").unlink()
        (top / "a").symlink_to(tmp_path / "secret")
        return plain_open(entry)

    monkeypatch.setattr(packing, "open_file", open_swapped)
    with pytest.raises(Conflict, match="changed"):
        pack(top, tmp_path / "temp")


HOSTILE = {
    "absolute": (member("/tmp/x", b"x"),),
    "climbing": (member("../x", b"x"),),
    "climbing inside": (member("a/../../x", b"x"),),
    "the top as a file": (member(".", b"x"),),
    "no name": (member("", b"x"),),
    "absolute link": (member("l", kind=tarfile.SYMTYPE, link="/etc"),),
    "climbing link": (member("a/l", kind=tarfile.SYMTYPE, link="../../x"),),
    "link that climbs later": (member("a/l", kind=tarfile.SYMTYPE, link="b/../../../x"),),
    "link without a target": (member("l", kind=tarfile.SYMTYPE),),
    "file through a link": (member("l", kind=tarfile.SYMTYPE, link="d"), member("l/x", b"x")),
    "file over a link": (member("l", kind=tarfile.SYMTYPE, link="d"), member("l", b"x")),
    "folder over a link": (
        member("d", kind=tarfile.DIRTYPE),
        member("l", kind=tarfile.SYMTYPE, link="d"),
        member("l", kind=tarfile.DIRTYPE),
    ),
    "file twice": (member("x", b"1"), member("x", b"2")),
    "below a file": (member("x", b"1"), member("x/y", b"2")),
    "hard link": (member("x", b"1"), member("y", kind=tarfile.LNKTYPE, link="x")),
    "hard link out": (member("y", kind=tarfile.LNKTYPE, link="/etc/passwd"),),
    "device": (member("d", kind=tarfile.CHRTYPE),),
    "block device": (member("d", kind=tarfile.BLKTYPE),),
    "pipe": (member("p", kind=tarfile.FIFOTYPE),),
    "name too long": (member("x" * 300, b"1"),),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, case: str) -> None:
    content = archive(tmp_path / "tar", *HOSTILE[case])
    with pytest.raises(InvalidRequest) as caught:
        unpack(tmp_path / "tar", content, tmp_path / "there")
    assert caught.value.field in ("archive", "path")
    assert [path.name for path in tmp_path.iterdir()] == ["tar"]


def test_archives_without_their_folders_and_with_dots_are_fine(tmp_path: Path) -> None:
    content = archive(
        tmp_path / "tar", member(".", kind=tarfile.DIRTYPE), member("./a/b/c", b"x"), member("a", kind=tarfile.DIRTYPE)
    )
    unpack(tmp_path / "tar", content, tmp_path / "there")
    assert (tmp_path / "there" / "a" / "b" / "c").read_bytes() == b"x"


def test_special_bits_never_arrive(tmp_path: Path) -> None:
    info, data = member("x", b"x")
    info.mode = 0o6777
    content = archive(tmp_path / "tar", (info, data))
    unpack(tmp_path / "tar", content, tmp_path / "there")
    assert stat.S_IMODE((tmp_path / "there" / "x").stat().st_mode) == 0o755


def test_bombs_are_refused(tmp_path: Path) -> None:
    many = archive(tmp_path / "many", *(member(str(n)) for n in range(11)))
    with pytest.raises(TooLarge):
        unpack(tmp_path / "many", many, tmp_path / "there", limits=Limits(max_entries=10))
    big = archive(tmp_path / "big", member("x", bytes(20_000)))
    with pytest.raises(TooLarge):
        unpack(tmp_path / "big", big, tmp_path / "there", limits=Limits(max_bytes=19_999))
    sparse = sparse_archive(tmp_path / "sparse", real_size=10**12)
    with pytest.raises((InvalidRequest, TooLarge)):
        unpack(tmp_path / "sparse", sparse, tmp_path / "there", limits=Limits(max_bytes=10**13))
    assert not (tmp_path / "there").exists()


def sparse_archive(path: Path, *, real_size: int) -> Content:
    """Ten kilobytes that say they are a terabyte (GNU sparse format 1.0)."""
    info, _ = member("x", b"1\n0\n0\n".ljust(512, b"\0"))
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(real_size),
    }
    return archive(path, (info, b"1\n0\n0\n".ljust(512, b"\0")))


@pytest.mark.parametrize("size", [2**30, -512])
def test_a_header_that_wants_all_memory_is_refused(tmp_path: Path, size: int) -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (b"\x80" if size > 0 else b"\xff") + size.to_bytes(11, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (tmp_path / "tar").write_bytes(bytes(block) + bytes(10_240 - 512))
    with pytest.raises(InvalidRequest) as caught:
        unpack(tmp_path / "tar", content_of(tmp_path / "tar"), tmp_path / "there")
    assert caught.value.field == "archive"


@pytest.mark.parametrize("folder", [True, False])
def test_other_bytes_than_promised_are_refused_before_anything_is_read(tmp_path: Path, folder: bool) -> None:
    source = make_tree(tmp_path / "out")
    packed = pack(source if folder else source / "weights.bin", tmp_path / "temp")
    good = packed.path.read_bytes()
    for bad in (good[:-1], good + b"\0", good[:700] + bytes([good[700] ^ 4]) + good[701:], b""):
        packed.path.write_bytes(bad)
        with pytest.raises(InvalidRequest) as caught:
            unpack(packed.path, packed.content, tmp_path / "there")
        assert caught.value.field == "sha256"
        assert not (tmp_path / "there").exists()


def test_what_stands_at_the_destination_is_kept(tmp_path: Path) -> None:
    packed = pack(make_tree(tmp_path / "out"), tmp_path / "temp")
    for place in ("folder", "file", "link"):
        taken = tmp_path / place
        if place == "folder":
            taken.mkdir()
            (taken / "mine").write_text("mine")
        elif place == "file":
            taken.write_text("mine")
        else:
            taken.symlink_to(tmp_path / "temp")
        with pytest.raises(Conflict, match="exists already"):
            unpack(packed.path, packed.content, taken)
    assert (tmp_path / "folder" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(make_tree(tmp_path / "out"), tmp_path / "temp")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(unpacking, "inner_target", broken)
    with pytest.raises(ZeroDivisionError):
        unpack(packed.path, packed.content, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "temp"]
