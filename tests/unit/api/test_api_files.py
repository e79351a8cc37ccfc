"""Files over HTTP: bytes in pieces, names in projects, and who may read what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest
from tests.unit.api.api_world import World, world

from suanwang.api.asking import CHUNK_BYTES
from suanwang.client import models

DATA = b"0123456789" * 100
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def append(net: World, offset: int, data: bytes, *, sha256: str = SHA, by: str = "alice") -> httpx.Response:
    return net.ask("PATCH", f"/v1/blobs/{sha256}", by=by, content=data, headers={"Upload-Offset": str(offset)})


def upload(net: World, *, name: str = "data") -> models.FileView:
    if net.ask("HEAD", f"/v1/blobs/{SHA}").headers["upload-offset"] == "0":
        assert append(net, 0, DATA).status_code == 204
    assert net.ask("POST", f"/v1/blobs/{SHA}/finish?size={len(DATA)}").status_code == 204
    reply = net.ask("PUT", f"/v1/projects/demo/files/{name}", json={"sha256": SHA, "size": len(DATA)})
    assert reply.status_code == 200, reply.text
    return models.FileView.model_validate_json(reply.content)


def test_an_upload_goes_on_where_it_stopped(net: World) -> None:
    assert net.ask("HEAD", f"/v1/blobs/{SHA}").headers["upload-offset"] == "0"
    assert append(net, 0, DATA[:300]).headers["upload-offset"] == "300"
    assert net.ask("HEAD", f"/v1/blobs/{SHA}").headers["upload-offset"] == "300"
    wrong = append(net, 100, DATA[100:])
    assert (wrong.status_code, wrong.json()["allowed"]) == (409, "300")
    early = net.ask("POST", f"/v1/blobs/{SHA}/finish?size={len(DATA)}")
    assert (early.status_code, early.json()["allowed"]) == (409, "300")
    assert append(net, 300, DATA[300:]).headers["upload-offset"] == "1000"
    for _ in range(2):
        assert net.ask("POST", f"/v1/blobs/{SHA}/finish?size={len(DATA)}").status_code == 204
    assert net.ask("HEAD", f"/v1/blobs/{SHA}").headers["upload-offset"] == "1000"


def test_other_bytes_than_promised_never_become_visible(net: World) -> None:
    append(net, 0, b"x" * len(DATA))
    reply = net.ask("POST", f"/v1/blobs/{SHA}/finish?size={len(DATA)}")
    assert (reply.status_code, reply.json()["field"]) == (422, "sha256")
    assert net.ask("GET", f"/v1/blobs/{SHA}", by="olga").status_code == 404
    named = net.ask("PUT", "/v1/projects/demo/files/data", json={"sha256": SHA, "size": len(DATA)})
    assert named.status_code == 422


def test_pieces_have_a_size_limit(net: World) -> None:
    reply = append(net, 0, b"x" * (CHUNK_BYTES + 1))
    assert reply.status_code == 413
    assert net.ask("HEAD", f"/v1/blobs/{SHA}").headers["upload-offset"] == "0"


@pytest.mark.parametrize("offset", ["-1", "x", "", "1" + "0" * 30])
def test_impossible_offsets_are_named(net: World, offset: str) -> None:
    reply = net.ask("PATCH", f"/v1/blobs/{SHA}", content=b"x", headers={"Upload-Offset": offset})
    assert (reply.status_code, reply.json()["field"]) == (422, "Upload-Offset")
    assert net.ask("PATCH", f"/v1/blobs/{SHA}", content=b"x").status_code == 422


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        (None, 200, 0, 999),
        ("bytes=0-", 206, 0, 999),
        ("bytes=990-", 206, 990, 999),
        ("bytes=10-19", 206, 10, 19),
        ("bytes=990-5000", 206, 990, 999),
        ("lines=1-2", 200, 0, 999),
        ("bytes=1-2,4-5", 200, 0, 999),
    ],
)
def test_any_range_is_read(net: World, asked: str | None, status: int, first: int, last: int) -> None:
    upload(net)
    reply = net.ask("GET", f"/v1/blobs/{SHA}", headers={} if asked is None else {"Range": asked})
    assert reply.status_code == status
    assert reply.content == DATA[first : last + 1]
    assert reply.headers["etag"] == f'"{SHA}"'
    assert reply.headers["content-length"] == str(last + 1 - first)
    if status == 206:
        assert reply.headers["content-range"] == f"bytes {first}-{last}/1000"


def test_a_range_outside_the_content_is_416(net: World) -> None:
    upload(net)
    for asked in ("bytes=1000-", "bytes=20-10"):
        reply = net.ask("GET", f"/v1/blobs/{SHA}", headers={"Range": asked})
        assert reply.status_code == 416
        assert reply.json()["field"] == "Range"
        assert reply.headers["content-range"] == "bytes */1000"


def test_knowing_a_hash_opens_nothing(net: World) -> None:
    upload(net)
    for by, status in (("alice", 200), ("olga", 200), ("rita", 200), ("bob", 404), ("guian", 404)):
        assert net.ask("GET", f"/v1/blobs/{SHA}", by=by).status_code == status, by
    assert net.ask("GET", f"/v1/blobs/{SHA}", token=net.agent_token()).status_code == 404
    assert "content-length" in net.ask("HEAD", f"/v1/blobs/{SHA}").headers
    assert net.ask("HEAD", f"/v1/blobs/{SHA}", by="guian").status_code == 404
    assert append(net, 0, b"x", by="rita").status_code == 403


def test_names_have_versions(net: World) -> None:
    first = upload(net)
    assert (first.version, first.content.size) == (1, 1000)
    assert upload(net).version == 1
    other = hashlib.sha256(b"new").hexdigest()
    append(net, 0, b"new", sha256=other)
    net.ask("POST", f"/v1/blobs/{other}/finish?size=3")
    second = net.ask("PUT", "/v1/projects/demo/files/data", json={"sha256": other, "size": 3}).json()
    assert second["version"] == 2
    assert net.ask("GET", "/v1/projects/demo/files/data").json() == second
    page = models.FilePage.model_validate_json(net.ask("GET", "/v1/projects/demo/files").content)
    assert [(file.name, file.version) for file in page.items] == [("data", 2)]
    events = net.ask("GET", "/v1/events?kind=file.").json()["items"]
    assert [event["data"]["name"] for event in events] == ["data", "data", "data"]


def test_files_are_paged_by_name(net: World) -> None:
    for name in ("c", "a", "b"):
        upload(net, name=name)
    first = net.ask("GET", "/v1/projects/demo/files?limit=2").json()
    second = net.ask("GET", f"/v1/projects/demo/files?limit=2&cursor={first['next']}").json()
    assert [file["name"] for file in (*first["items"], *second["items"])] == ["a", "b", "c"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("data", {"sha256": "xyz", "size": 1}, "sha256"),
        ("data", {"sha256": SHA, "size": -1}, "size"),
        ("data", {"sha256": SHA, "size": True}, "size"),
        ("data", {"sha256": SHA, "size": 999}, "sha256"),
        ("data", {"sha256": SHA}, "size"),
        ("data", {"sha256": SHA, "size": 1000, "owner": "me"}, "owner"),
        ("a/b", {"sha256": SHA, "size": 1000}, "name"),
        ("..%2fetc", {"sha256": SHA, "size": 1000}, "name"),
        ("Data", {"sha256": SHA, "size": 1000}, "name"),
    ],
)
def test_names_and_contents_that_are_not_possible(net: World, name: str, body: dict[str, object], field: str) -> None:
    upload(net)
    reply = net.ask("PUT", f"/v1/projects/demo/files/{name}", json=body)
    assert (reply.status_code, reply.json()["field"]) == (422, field)


def test_another_projects_files_do_not_exist(net: World) -> None:
    upload(net)
    assert net.ask("GET", "/v1/projects/demo/files", by="bob").status_code == 404
    assert net.ask("GET", "/v1/projects/demo/files/data", by="bob").status_code == 404
    reply = net.ask("PUT", "/v1/projects/demo/files/data", by="bob", json={"sha256": SHA, "size": 1000})
    assert reply.status_code == 403
