"""The same store on a real S3 server, which runs here for the length of the tests."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from suanwang.adapters.files import FsspecFiles
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from suanwang.domain.file import Content
from suanwang.sensing.carrying import SiteCache, fetch, pack, send, unpack

moto_server = pytest.importorskip("moto.server", reason="moto, an S3 server for tests, is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install suanwang[s3]")

pytestmark = pytest.mark.services

DATA = bytes(range(256)) * 9000
CONTENT = Content(sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def options(server: str) -> dict[str, Any]:
    return {
        "key": "testing",
        "secret": "testing-secret",
        "client_kwargs": {"endpoint_url": server, "region_name": "eu-west-1"},
    }


@pytest.fixture
def bucket(server: str) -> str:
    import s3fs

    name = f"suanwang-{uuid.uuid4().hex}"
    s3fs.S3FileSystem(**options(server)).mkdir(name)
    return name


@pytest.fixture
def store(server: str, bucket: str) -> FsspecFiles:
    return FsspecFiles(f"s3://{bucket}/files", **options(server))


class StoreLink:
    def __init__(self, store: FsspecFiles) -> None:
        self._store = store
        self.received, self.append, self.finish = store.received, store.append, store.finish

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        return self._store.open(sha256, start)


def test_parts_resume_in_another_process_and_publish_once_whole(server: str, bucket: str, store: FsspecFiles) -> None:
    assert store.received(CONTENT.sha256) == 0
    assert store.append(CONTENT.sha256, 0, DATA[:1_000_000]) == 1_000_000
    other = FsspecFiles(f"s3://{bucket}/files", skip_instance_cache=True, **options(server))
    assert other.received(CONTENT.sha256) == 1_000_000
    with pytest.raises(Conflict) as caught:
        other.append(CONTENT.sha256, 0, DATA[:10])
    assert caught.value.allowed == "1000000"
    other.append(CONTENT.sha256, 1_000_000, DATA[1_000_000:])
    assert store.size(CONTENT.sha256) is None
    with pytest.raises(NotFound):
        store.open(CONTENT.sha256)
    store.finish(CONTENT.sha256, CONTENT.size)
    other.finish(CONTENT.sha256, CONTENT.size)
    assert other.size(CONTENT.sha256) == other.received(CONTENT.sha256) == CONTENT.size
    for start in (0, 1, 1_048_577, CONTENT.size):
        assert b"".join(other.open(CONTENT.sha256, start)) == DATA[start:]
    assert names(server, bucket) == [f"files/blobs/{CONTENT.sha256[:2]}/{CONTENT.sha256}"]
    store.delete(CONTENT.sha256)
    store.delete(CONTENT.sha256)
    assert other.size(CONTENT.sha256) is None
    assert names(server, bucket) == []


def names(server: str, bucket: str) -> list[str]:
    import s3fs

    seen = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True, **options(server)).find(bucket)
    return sorted(str(path).removeprefix(f"{bucket}/") for path in seen)


def test_a_flipped_byte_is_refused_and_nothing_stays(server: str, bucket: str, store: FsspecFiles) -> None:
    store.append(CONTENT.sha256, 0, DATA[:500] + b"\xff" + DATA[501:])
    with pytest.raises(InvalidRequest) as caught:
        store.finish(CONTENT.sha256, CONTENT.size)
    assert caught.value.field == "sha256"
    assert store.size(CONTENT.sha256) is None
    assert names(server, bucket) == []


def test_an_empty_file(store: FsspecFiles) -> None:
    sha = hashlib.sha256(b"").hexdigest()
    store.finish(sha, 0)
    assert store.size(sha) == 0
    assert list(store.open(sha)) == []


def test_stale_parts_are_swept(store: FsspecFiles) -> None:
    store.append(CONTENT.sha256, 0, DATA[:10])
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.received(CONTENT.sha256) == 10
    assert store.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert store.received(CONTENT.sha256) == 0


def test_a_folder_travels_from_site_to_site(store: FsspecFiles, tmp_path: Path) -> None:
    (tmp_path / "out" / "模型").mkdir(parents=True)
    (tmp_path / "out" / "模型" / "weights").write_bytes(DATA)
    packed = pack(tmp_path / "out", tmp_path / "temp")
    send(StoreLink(store), packed.content, packed.path, part_bytes=700_000)
    arrived = fetch(StoreLink(store), packed.content, SiteCache(tmp_path / "cache", 10_000_000))
    unpack(arrived, packed.content, tmp_path / "there")
    assert (tmp_path / "there" / "模型" / "weights").read_bytes() == DATA


def test_a_missing_bucket_is_said_without_secrets(server: str) -> None:
    store = FsspecFiles(f"s3://suanwang-{uuid.uuid4().hex}/files", **options(server))
    with pytest.raises(Unavailable) as caught:
        store.append(CONTENT.sha256, 0, b"x")
    assert "bucket" in caught.value.message
    assert "testing" not in caught.value.message


def test_a_server_that_is_not_there_is_unavailable(bucket: str) -> None:
    quick = {"connect_timeout": 1, "read_timeout": 1, "retries": {"max_attempts": 0}}
    store = FsspecFiles(f"s3://{bucket}/files", config_kwargs=quick, **options("http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="does not answer"):
        store.size(CONTENT.sha256)
