"""The site's cache: what it admits, what it evicts, and what it never evicts."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from suanwang.domain.errors import InvalidRequest, NotFound, TooLarge, Unavailable
from suanwang.domain.file import Content
from suanwang.sensing.carrying import SiteCache


def content(data: bytes) -> Content:
    return Content(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def put(cache: SiteCache, data: bytes, *, held: bool = False) -> str:
    temp = cache.incoming / "temp"
    temp.write_bytes(data)
    cache.add(temp, content(data), held=held)
    assert not temp.exists()
    return content(data).sha256


def used_bytes(folder: Path) -> int:
    """Unfinished files too."""
    return sum(path.stat().st_size for path in (*folder.glob("blobs/*/*"), *folder.glob("partial/*")))


def test_what_is_added_is_found_again_also_after_a_restart(tmp_path: Path) -> None:
    sha = put(SiteCache(tmp_path, 100), b"data")
    path = SiteCache(tmp_path, 100).path(sha)
    assert path is not None
    assert path.read_bytes() == b"data"
    assert SiteCache(tmp_path, 100).path("0" * 64) is None


def test_the_folder_is_closed_to_other_accounts(tmp_path: Path) -> None:
    SiteCache(tmp_path / "cache", 100)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_other_bytes_than_promised_are_not_admitted(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 100)
    temp = cache.incoming / "temp"
    for bad in (b"dat", b"datb", b"data\0"):
        temp.write_bytes(bad)
        with pytest.raises(InvalidRequest) as caught:
            cache.add(temp, content(b"data"), held=True)
        assert caught.value.field == "sha256"
        assert temp.read_bytes() == bad
    assert cache.path(content(b"data").sha256) is None
    assert cache.held() == frozenset()


@pytest.mark.parametrize("hostile", ["../x", "", "A" * 64, "0" * 63])
def test_only_a_digest_reaches_a_path(tmp_path: Path, hostile: str) -> None:
    cache = SiteCache(tmp_path, 100)
    for call in (cache.path, cache.hold, cache.release, cache.remove):
        with pytest.raises(InvalidRequest):
            call(hostile)
    with pytest.raises(InvalidRequest), cache.receiving(Content(sha256=hostile, size=1)):
        pass


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    first, second, third = (put(cache, data * 10) for data in (b"1", b"2", b"3"))
    assert used_bytes(tmp_path) == 30
    assert cache.path(first) is not None
    put(cache, b"4" * 10)
    assert cache.path(second) is None
    put(cache, b"5" * 15)
    assert cache.path(third) is None
    assert cache.path(first) is None
    assert used_bytes(tmp_path) == 25


def test_pinned_and_held_files_stay(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    held = put(cache, b"1" * 10, held=True)
    pinned = put(cache, b"2" * 10)
    loose = put(cache, b"3" * 10)
    with cache.pinned(pinned) as path:
        put(cache, b"4" * 10)
        assert cache.path(loose) is None
        with pytest.raises(Unavailable, match="no room for 11 bytes"):
            put(cache, b"5" * 11)
        assert (cache.incoming / "temp").exists()
        assert path.exists()
        assert used_bytes(tmp_path) == 30
    again = SiteCache(tmp_path, 30)
    assert again.held() == {held}
    put(again, b"6" * 20)
    assert again.path(held) is not None
    assert again.path(pinned) is None
    again.release(held)
    put(again, b"7" * 30)
    assert again.path(held) is None


def test_pins_count(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 10)
    sha = put(cache, b"1" * 10)
    with cache.pinned(sha):
        with cache.pinned(sha):
            pass
        with pytest.raises(Unavailable):
            put(cache, b"2")
    put(cache, b"2")
    with pytest.raises(NotFound), cache.pinned(sha):
        pass


def test_larger_than_the_cache_is_refused_and_evicts_nothing(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 10)
    sha = put(cache, b"1" * 10)
    with pytest.raises(TooLarge):
        put(cache, b"2" * 11)
    with pytest.raises(TooLarge), cache.receiving(Content(sha256="0" * 64, size=11)):
        pass
    assert cache.path(sha) is not None


def test_adding_again_keeps_one_and_evicts_nothing(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 20)
    other, sha = put(cache, b"0" * 10), put(cache, b"1" * 10)
    assert put(cache, b"1" * 10, held=True) == sha
    assert cache.path(other) is not None
    assert cache.held() == {sha}
    place = cache.path(sha)
    assert place is not None
    assert cache.add(place, content(b"1" * 10)) == place
    assert place.exists()


def test_a_file_from_another_disk_is_copied_and_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SiteCache(tmp_path / "cache", 20)
    temp = tmp_path / "temp"
    temp.write_bytes(b"data")
    monkeypatch.setattr(cache, "_brought_near", lambda path: Path(_copy(path, cache.incoming / "near")))
    assert cache.add(temp, content(b"data")).read_bytes() == b"data"
    assert not temp.exists()
    assert list(cache.incoming.iterdir()) == []


def _copy(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


def test_receiving_reserves_its_room(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    first = put(cache, b"1" * 10)
    with cache.receiving(content(b"2" * 20)) as partial:
        partial.write_bytes(b"2" * 5)
        assert cache.path(first) is not None
        put(cache, b"3" * 10)
        assert cache.path(first) is None
        with pytest.raises(Unavailable):
            put(cache, b"4" * 11)
        partial.write_bytes(b"2" * 20)
        cache.add(partial, content(b"2" * 20))
    assert used_bytes(tmp_path) == 30


def test_an_unfinished_file_waits_for_the_next_try_until_room_is_needed(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    wanted = content(b"2" * 20)
    with cache.receiving(wanted) as partial:
        partial.write_bytes(b"2" * 5)
    with SiteCache(tmp_path, 30).receiving(wanted) as partial:
        assert partial.read_bytes() == b"2" * 5
    put(cache, b"3" * 28)
    assert not partial.exists()


def test_one_receiver_of_a_content_at_a_time(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait(10)
        with cache.receiving(content(b"x")):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with cache.receiving(content(b"x")), cache.receiving(content(b"y")):
        inside.set()
        other.join(0.05)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_remove_forgets_even_what_is_held(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    sha = put(cache, b"1", held=True)
    cache.remove(sha)
    cache.remove(sha)
    assert cache.path(sha) is None
    assert cache.held() == frozenset()


def test_the_sweep_removes_what_a_crash_left(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path, 30)
    now = datetime.now(UTC)
    old = (now - timedelta(days=2)).timestamp()
    wanted = content(b"2" * 20)
    (cache.incoming / "old").write_bytes(b"x")
    (cache.incoming / "new").write_bytes(b"x")
    os.utime(cache.incoming / "old", (old, old))
    with cache.receiving(wanted) as partial:
        partial.write_bytes(b"2")
        os.utime(partial, (old, old))
        assert cache.sweep(now - timedelta(days=1)) == 1
        assert partial.exists()
    assert [path.name for path in cache.incoming.iterdir()] == ["new"]
    assert cache.sweep(now - timedelta(days=1)) == 1
    assert not partial.exists()
