"""Moving a content over a link that fails: resumed, checked, and never tried without end."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanwang.adapters.files import FsspecFiles
from suanwang.domain.errors import (
    Conflict,
    Fenced,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    SuanwangError,
    Unavailable,
    UnreadableReply,
)
from suanwang.domain.file import Content
from suanwang.ports import Files
from suanwang.sensing.carrying import FileLink, Patience, SiteCache, fetch, send

DATA = bytes(range(256)) * 40
CONTENT = Content(sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))


class StoreLink:
    """A link straight to a store. `faults` happen one per call, None meaning none; `lost` faults come after the deed."""

    def __init__(self, store: Files) -> None:
        self.store = store
        self.faults: list[SuanwangError | None] = []
        self.calls: list[str] = []

    def received(self, sha256: str) -> int:
        self._call("received")
        return self.store.received(sha256)

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        fault = self._next("append")
        if fault is not None and not isinstance(fault, OutcomeUnknown):
            raise fault
        reached = self.store.append(sha256, offset, data)
        if fault is not None:
            raise fault
        return reached

    def finish(self, sha256: str, size: int) -> None:
        fault = self._next("finish")
        if fault is not None and not isinstance(fault, OutcomeUnknown):
            raise fault
        self.store.finish(sha256, size)
        if fault is not None:
            raise fault

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        self._call(f"read {start}")
        for block in self.store.open(sha256, start):
            for at in range(0, len(block), 1000):
                self._call("block")
                yield block[at : at + 1000]

    def _next(self, call: str) -> SuanwangError | None:
        self.calls.append(call)
        return self.faults.pop(0) if self.faults else None

    def _call(self, call: str) -> None:
        fault = self._next(call)
        if fault is not None:
            raise fault


def gone() -> Unavailable:
    return Unavailable("the line is down")


def lost() -> OutcomeUnknown:
    return OutcomeUnknown("no answer", tag="x")


@pytest.fixture
def link() -> StoreLink:
    return StoreLink(FsspecFiles(f"memory://{uuid.uuid4().hex}"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> SiteCache:
    return SiteCache(tmp_path / "cache", 100_000)


def no_waiting(pauses: list[float] | None = None, attempts: int = 3) -> Patience:
    return Patience(attempts=attempts, pause=(pauses if pauses is not None else []).append)


def stored(link: StoreLink) -> bytes:
    return b"".join(link.store.open(CONTENT.sha256))


def test_there_and_back(link: StoreLink, source: Path, cache: SiteCache) -> None:
    there: list[tuple[int, int]] = []
    back: list[tuple[int, int]] = []
    carrier: FileLink = link
    send(carrier, CONTENT, source, progress=lambda *at: there.append(at), part_bytes=4000)
    assert there == [(0, 10240), (4000, 10240), (8000, 10240), (10240, 10240)]
    path = fetch(carrier, CONTENT, cache, progress=lambda *at: back.append(at))
    assert path.read_bytes() == DATA
    assert back[-1] == (10240, 10240)
    assert back == sorted(back)


def test_what_is_there_already_is_not_moved(link: StoreLink, source: Path, cache: SiteCache) -> None:
    send(link, CONTENT, source)
    link.calls.clear()
    send(link, CONTENT, source)
    assert link.calls == ["received", "finish"]
    fetch(link, CONTENT, cache)
    link.calls.clear()
    fetch(link, CONTENT, cache)
    assert link.calls == []


def test_an_empty_file_moves(link: StoreLink, tmp_path: Path, cache: SiteCache) -> None:
    empty = Content(sha256=hashlib.sha256(b"").hexdigest(), size=0)
    (tmp_path / "empty").touch()
    send(link, empty, tmp_path / "empty")
    assert fetch(link, empty, cache).read_bytes() == b""


def test_sending_goes_on_where_it_stopped(link: StoreLink, source: Path) -> None:
    pauses: list[float] = []
    link.faults = [None, None, gone(), None, lost(), None, gone(), lost()]
    send(link, CONTENT, source, patience=no_waiting(pauses), part_bytes=4000)
    assert stored(link) == DATA
    assert link.calls == [
        "received",
        "append",
        "append",
        "received",
        "append",
        "received",
        "append",
        "received",
        "received",
        "append",
        "finish",
    ]
    assert pauses == [0.5, 1.0, 0.5, 1.0]


def test_a_lost_answer_to_finish_is_found_out(link: StoreLink, source: Path) -> None:
    link.faults = [None, None, lost()]
    send(link, CONTENT, source, patience=no_waiting())
    assert stored(link) == DATA


def test_another_sender_of_the_same_content_is_no_trouble(link: StoreLink, source: Path) -> None:
    class Overtaken(StoreLink):
        def received(self, sha256: str) -> int:
            before = super().received(sha256)
            if before == 0:
                self.store.append(sha256, 0, DATA[:100])
            return before

    overtaken = Overtaken(link.store)
    send(overtaken, CONTENT, source, patience=no_waiting())
    assert stored(link) == DATA
    assert overtaken.calls == ["received", "append", "received", "append", "finish"]


def test_patience_ends(link: StoreLink, source: Path, cache: SiteCache) -> None:
    pauses: list[float] = []
    link.faults = [gone() for _ in range(9)]
    with pytest.raises(Unavailable, match="line is down"):
        send(link, CONTENT, source, patience=no_waiting(pauses, attempts=4))
    assert len(link.calls) == 4
    assert pauses == [0.5, 1.0, 2.0]
    link.faults = [None, gone(), None, gone(), None, gone()]
    with pytest.raises(Unavailable):
        send(link, CONTENT, source, patience=no_waiting())
    link.faults = []
    send(link, CONTENT, source)
    link.faults = [gone() for _ in range(9)]
    link.calls.clear()
    with pytest.raises(Unavailable):
        fetch(link, CONTENT, cache, patience=no_waiting(attempts=2))
    assert len(link.calls) == 2
    long = Patience(attempts=10, longest_pause_s=3, pause=pauses.append)
    link.faults = [gone() for _ in range(10)]
    with pytest.raises(Unavailable):
        send(link, CONTENT, source, patience=long)
    assert pauses[-7:] == [2.0] + [3.0] * 6


@pytest.mark.parametrize("refusal", [Fenced("not yours"), InvalidRequest("no", field="token"), NotFound("none")])
def test_a_refusal_ends_it_at_once(link: StoreLink, source: Path, cache: SiteCache, refusal: SuanwangError) -> None:
    link.faults = [None, refusal]
    with pytest.raises(type(refusal)):
        send(link, CONTENT, source, patience=no_waiting())
    assert link.calls == ["received", "append"]
    send(link, CONTENT, source)
    link.calls.clear()
    link.faults = [refusal]
    with pytest.raises(type(refusal)):
        fetch(link, CONTENT, cache, patience=no_waiting())
    assert link.calls == ["read 0"]


def test_what_was_damaged_on_the_way_is_sent_again(link: StoreLink, source: Path) -> None:
    link.store.append(CONTENT.sha256, 0, b"\xff" + DATA[1:100])
    send(link, CONTENT, source, patience=no_waiting())
    assert stored(link) == DATA


def test_a_source_that_is_something_else_is_refused(link: StoreLink, source: Path) -> None:
    source.write_bytes(DATA[:-1] + b"\0")
    with pytest.raises(InvalidRequest) as caught:
        send(link, CONTENT, source, patience=no_waiting())
    assert caught.value.field == "sha256"
    assert link.store.size(CONTENT.sha256) is None
    source.write_bytes(DATA[:-1])
    with pytest.raises(InvalidRequest) as caught:
        send(link, CONTENT, source, patience=no_waiting())
    assert caught.value.field == "path"


@pytest.mark.parametrize("claim", [-1, len(DATA) + 1])
def test_a_network_that_counts_wrong_is_not_believed(link: StoreLink, source: Path, claim: int) -> None:
    class Wrong(StoreLink):
        def received(self, sha256: str) -> int:
            return claim

    class Standing(StoreLink):
        def append(self, sha256: str, offset: int, data: bytes) -> int:
            return offset

    for wrong in (Wrong(link.store), Standing(link.store)):
        with pytest.raises(UnreadableReply):
            send(wrong, CONTENT, source, patience=no_waiting())


def test_endless_conflicts_end(link: StoreLink, source: Path) -> None:
    link.faults = [None, Conflict("go on at 0"), None, Conflict("go on at 0"), None, Conflict("go on at 0")]
    with pytest.raises(Conflict):
        send(link, CONTENT, source, patience=no_waiting())


def test_fetching_goes_on_where_it_stopped(link: StoreLink, source: Path, cache: SiteCache) -> None:
    send(link, CONTENT, source)
    link.calls.clear()
    link.faults = [None, None, None, gone(), gone(), None, None, lost()]
    assert fetch(link, CONTENT, cache, patience=no_waiting()).read_bytes() == DATA
    reads = [call for call in link.calls if call.startswith("read")]
    assert reads == ["read 0", "read 2000", "read 2000", "read 3000"]


def test_a_fetch_given_up_goes_on_later(link: StoreLink, source: Path, cache: SiteCache) -> None:
    send(link, CONTENT, source)

    def stop(done: int, _: int) -> None:
        if done >= 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(link, CONTENT, cache, progress=stop)
    assert cache.path(CONTENT.sha256) is None
    link.calls.clear()
    assert fetch(link, CONTENT, cache).read_bytes() == DATA
    assert link.calls[0] == "read 5000"


class Sender(StoreLink):
    """Sends each of `replies` in turn, whatever was asked."""

    def __init__(self, *replies: bytes) -> None:
        super().__init__(FsspecFiles(f"memory://{uuid.uuid4().hex}"))
        self.replies = list(replies)

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        self.calls.append(f"read {start}")
        yield self.replies.pop(0)[start:]


def test_a_flipped_byte_is_fetched_again(cache: SiteCache) -> None:
    flipped = DATA[:77] + b"\0" + DATA[78:]
    sender = Sender(flipped, DATA)
    assert fetch(sender, CONTENT, cache, patience=no_waiting()).read_bytes() == DATA
    assert sender.calls == ["read 0", "read 0"]


def test_a_flipped_byte_that_stays_is_refused(cache: SiteCache, tmp_path: Path) -> None:
    sender = Sender(*[DATA[:77] + b"\0" + DATA[78:]] * 3)
    with pytest.raises(InvalidRequest) as caught:
        fetch(sender, CONTENT, cache, patience=no_waiting())
    assert caught.value.field == "sha256"
    assert cache.path(CONTENT.sha256) is None
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_bytes_beyond_the_end_are_not_kept(cache: SiteCache) -> None:
    assert fetch(Sender(DATA + b"more"), CONTENT, cache).read_bytes() == DATA


def test_a_network_that_ends_early_is_asked_again_but_not_for_ever(cache: SiteCache) -> None:
    assert fetch(Sender(DATA[:10], DATA), CONTENT, cache, patience=no_waiting()).read_bytes() == DATA
    cache.remove(CONTENT.sha256)
    with pytest.raises(Unavailable, match="stopped at 10 of"):
        fetch(Sender(*[DATA[:10]] * 9), CONTENT, cache, patience=no_waiting())


def test_no_room_is_said_before_anything_is_fetched(tmp_path: Path, link: StoreLink) -> None:
    full = SiteCache(tmp_path / "full", len(DATA))
    temp = full.incoming / "temp"
    temp.write_bytes(b"x")
    full.add(temp, Content(sha256=hashlib.sha256(b"x").hexdigest(), size=1), held=True)
    with pytest.raises(Unavailable, match="no room"):
        fetch(link, CONTENT, full)
    assert link.calls == []
