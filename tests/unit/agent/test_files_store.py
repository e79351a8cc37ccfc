"""The content-addressed store: what is received, refused, published, read, deleted and swept."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from suanwang.adapters.files import MAX_PART_BYTES, FsspecFiles, fsspec_files
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound, TooLarge, Unavailable
from suanwang.ports import Files

DATA = b"computing is taken like water and electricity " * 50
SHA = hashlib.sha256(DATA).hexdigest()
EMPTY_SHA = hashlib.sha256(b"").hexdigest()

MakeStore = Callable[..., FsspecFiles]


@pytest.fixture(params=["file", "memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    url = f"file://{tmp_path}/store" if request.param == "file" else f"memory://{uuid.uuid4().hex}"

    def make(**options: Any) -> FsspecFiles:
        return FsspecFiles(url, **options)

    return make


def upload(store: FsspecFiles, data: bytes, chunk: int = 700) -> str:
    sha = hashlib.sha256(data).hexdigest()
    for at in range(0, len(data), chunk):
        store.append(sha, at, data[at : at + chunk])
    store.finish(sha, len(data))
    return sha


def test_a_file_in_parts_is_visible_only_once_finished(make_store: MakeStore) -> None:
    store: Files = make_store()
    assert store.received(SHA) == 0
    assert store.append(SHA, 0, DATA[:1000]) == 1000
    assert store.received(SHA) == 1000
    assert store.size(SHA) is None
    with pytest.raises(NotFound):
        store.open(SHA)
    assert store.append(SHA, 1000, DATA[1000:]) == len(DATA)
    assert store.size(SHA) is None
    store.finish(SHA, len(DATA))
    assert store.size(SHA) == store.received(SHA) == len(DATA)
    assert b"".join(store.open(SHA)) == DATA


def test_another_process_goes_on_where_the_first_stopped(make_store: MakeStore) -> None:
    make_store().append(SHA, 0, DATA[:10])
    again = make_store()
    assert again.received(SHA) == 10
    again.append(SHA, 10, DATA[10:])
    make_store().finish(SHA, len(DATA))
    assert b"".join(again.open(SHA)) == DATA


def test_a_wrong_offset_names_the_right_one(make_store: MakeStore) -> None:
    store = make_store()
    store.append(SHA, 0, DATA[:10])
    for wrong in (0, 9, 11):
        with pytest.raises(Conflict) as caught:
            store.append(SHA, wrong, b"x")
        assert caught.value.field == "offset"
        assert caught.value.allowed == "10"
    assert store.received(SHA) == 10


def test_finishing_too_early_says_where_to_go_on_and_keeps_the_parts(make_store: MakeStore) -> None:
    store = make_store()
    store.append(SHA, 0, DATA[:10])
    with pytest.raises(Conflict) as caught:
        store.finish(SHA, len(DATA))
    assert caught.value.allowed == "10"
    assert store.received(SHA) == 10


def test_finish_and_append_after_the_end_change_nothing(make_store: MakeStore) -> None:
    store = make_store()
    upload(store, DATA)
    store.finish(SHA, len(DATA))
    assert store.append(SHA, len(DATA), b"") == len(DATA)
    with pytest.raises(Conflict):
        store.append(SHA, len(DATA), b"more")
    with pytest.raises(Conflict):
        store.append(SHA, 0, b"again")
    with pytest.raises(InvalidRequest) as caught:
        store.finish(SHA, len(DATA) - 1)
    assert caught.value.field == "size"
    assert b"".join(store.open(SHA)) == DATA


def test_an_empty_file_is_a_file(make_store: MakeStore) -> None:
    store = make_store()
    store.finish(EMPTY_SHA, 0)
    assert store.size(EMPTY_SHA) == 0
    assert list(store.open(EMPTY_SHA)) == []


@pytest.mark.parametrize("at", [0, 777, len(DATA) - 1])
def test_one_flipped_bit_is_refused_and_removed(make_store: MakeStore, at: int) -> None:
    store = make_store()
    damaged = bytearray(DATA)
    damaged[at] ^= 1
    store.append(SHA, 0, bytes(damaged[:700]))
    store.append(SHA, 700, bytes(damaged[700:]))
    with pytest.raises(InvalidRequest) as caught:
        store.finish(SHA, len(DATA))
    assert caught.value.field == "sha256"
    assert store.received(SHA) == 0
    assert store.size(SHA) is None
    assert upload(store, DATA) == SHA


def test_more_bytes_than_announced_are_refused_and_removed(make_store: MakeStore) -> None:
    store = make_store()
    store.append(SHA, 0, DATA)
    with pytest.raises(InvalidRequest) as caught:
        store.finish(SHA, len(DATA) - 1)
    assert caught.value.field == "sha256"
    assert store.received(SHA) == 0


def test_reading_starts_anywhere_within(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec_files, "_RANGE", 512)
    monkeypatch.setattr(fsspec_files, "_CHUNK", 100)
    store = make_store()
    upload(store, DATA)
    for start in (0, 1, 511, 512, 513, len(DATA) - 1, len(DATA)):
        chunks = list(store.open(SHA, start))
        assert b"".join(chunks) == DATA[start:]
        assert all(0 < len(chunk) <= 100 for chunk in chunks)
    for start in (-1, len(DATA) + 1):
        with pytest.raises(InvalidRequest) as caught:
            store.open(SHA, start)
        assert caught.value.field == "start"


@pytest.mark.parametrize(
    "hostile", ["", "../../etc/passwd", SHA.upper(), SHA + "0", SHA[:-1], "/" + SHA[1:], SHA + "\n", None, 7]
)
def test_only_a_digest_reaches_a_path(make_store: MakeStore, hostile: Any) -> None:
    store = make_store()
    calls: list[Callable[[], object]] = [
        lambda: store.received(hostile),
        lambda: store.append(hostile, 0, b"x"),
        lambda: store.finish(hostile, 1),
        lambda: store.open(hostile),
        lambda: store.size(hostile),
        lambda: store.delete(hostile),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert caught.value.field == "sha256"


def test_limits_of_size_and_parts(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(max_bytes=100)
    store.append(SHA, 0, bytes(60))
    with pytest.raises(TooLarge):
        store.append(SHA, 60, bytes(41))
    assert store.received(SHA) == 60
    with pytest.raises(TooLarge):
        store.finish(SHA, 101)
    with pytest.raises(InvalidRequest):
        store.append(SHA, -1, b"x")
    with pytest.raises(TooLarge):
        make_store().append(SHA, 0, bytes(MAX_PART_BYTES + 1))
    monkeypatch.setattr(fsspec_files, "MAX_PARTS", 1)
    with pytest.raises(InvalidRequest) as caught:
        store.append(SHA, 60, b"x")
    assert "larger parts" in caught.value.message


def test_overlapping_parts_of_two_senders_give_the_same_bytes(tmp_path: Path) -> None:
    store = FsspecFiles(f"file://{tmp_path}")
    folder = tmp_path / "parts" / SHA
    folder.mkdir(parents=True)
    for offset, end in ((0, 900), (400, 1000), (500, 600), (1000, len(DATA))):
        (folder / f"{offset:015d}").write_bytes(DATA[offset:end])
    assert store.received(SHA) == len(DATA)
    store.finish(SHA, len(DATA))
    assert b"".join(store.open(SHA)) == DATA


def test_bytes_after_a_gap_do_not_count(tmp_path: Path) -> None:
    store = FsspecFiles(f"file://{tmp_path}")
    folder = tmp_path / "parts" / SHA
    folder.mkdir(parents=True)
    (folder / f"{0:015d}").write_bytes(DATA[:10])
    (folder / f"{11:015d}").write_bytes(DATA[11:])
    assert store.received(SHA) == 10
    store.append(SHA, 10, DATA[10:11])
    assert store.received(SHA) == len(DATA)


def test_delete_removes_content_and_parts(make_store: MakeStore) -> None:
    store = make_store()
    upload(store, DATA)
    store.delete(SHA)
    store.delete(SHA)
    assert store.size(SHA) is None
    store.append(SHA, 0, DATA[:5])
    store.delete(SHA)
    assert store.received(SHA) == 0


def test_a_content_deleted_while_it_is_read_says_so(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec_files, "_RANGE", 512)
    store = make_store()
    upload(store, DATA)
    reader = store.open(SHA)
    assert next(reader) == DATA[:512]
    store.delete(SHA)
    with pytest.raises(NotFound):
        list(reader)


def test_the_sweep_removes_only_stale_uploads(tmp_path: Path) -> None:
    store = FsspecFiles(f"file://{tmp_path}")
    now = datetime.now(UTC)
    other = b"other"
    other_sha = hashlib.sha256(other).hexdigest()
    store.append(SHA, 0, DATA[:10])
    store.append(other_sha, 0, other[:2])
    store.append(other_sha, 2, other[2:4])
    whole = upload(store, b"published")
    old = (now - timedelta(days=3)).timestamp()
    (tmp_path / "staging" / "0123").write_bytes(b"left by a crash")
    for stale in (*(tmp_path / "parts" / SHA).iterdir(), tmp_path / "staging" / "0123"):
        os.utime(stale, (old, old))
    os.utime(tmp_path / "parts" / other_sha / f"{0:015d}", (old, old))
    os.utime(tmp_path / "blobs" / whole[:2] / whole, (old, old))
    assert store.sweep(now - timedelta(days=1)) == 2
    assert store.received(SHA) == 0
    assert not list((tmp_path / "staging").iterdir())
    assert store.received(other_sha) == 4
    assert store.size(whole) == 9


def test_the_sweep_knows_the_age_of_parts_in_every_kind_of_store(make_store: MakeStore) -> None:
    store = make_store()
    store.append(SHA, 0, DATA[:10])
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert store.received(SHA) == 0


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "full"), (errno.EIO, "does not answer")])
def test_a_failing_disk_is_unavailable_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    store = FsspecFiles(f"file://{tmp_path}")
    store.append(SHA, 0, DATA[:10])

    def fail(_: int) -> None:
        raise OSError(number, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable) as caught:
            store.append(SHA, 10, DATA[10:])
        assert word in caught.value.message
    assert not list((tmp_path / "staging").iterdir())
    assert store.received(SHA) == 10
    store.append(SHA, 10, DATA[10:])
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *_: fail(0))
        with pytest.raises(Unavailable):
            store.finish(SHA, len(DATA))
    assert not list((tmp_path / "staging").iterdir())
    assert store.size(SHA) is None
    store.finish(SHA, len(DATA))
    assert b"".join(store.open(SHA)) == DATA


def test_an_address_nobody_understands_names_the_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        FsspecFiles("nonsense://x")
    assert caught.value.field == "files_url"
