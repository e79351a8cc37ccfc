"""What no request gets past: tokens, sizes, words and bytes nobody can read; and the form of every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from tests.unit.api.api_world import World, world

from suanwang.api.app import create_app
from suanwang.api.asking import SYNC_BYTES, TASK_BYTES, prefers_chinese
from suanwang.client.problems import MEDIA_TYPE
from suanwang.domain.errors import SuanwangError, Unavailable
from suanwang.domain.identity import Principal, Role

TASK = {"name": "a", "run": "x"}
SHA = "ab" * 32


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def check_problem(reply: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = reply.json()
    assert body["type"] == f"urn:suanwang:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Basic c2VjcmV0", "Bearer wrong", "secret-of-alice"])
def test_without_a_valid_token_there_is_nothing_to_see(net: World, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("PATCH", f"/v1/blobs/{SHA}"),
        ("GET", "/v1/sites"),
    ):
        reply = net.ask(method, path, by=None, headers=headers)
        check_problem(reply, 401, "unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_expired_and_revoked_tokens_open_nothing(net: World) -> None:
    alice = net.network.people.authenticate("secret-of-alice")
    _, short = net.network.people.create_token(alice, alice, ttl_s=60)
    revoked, other = net.network.people.create_token(alice, alice)
    assert net.ask("GET", "/v1/whoami", token=short).status_code == 200
    net.clock.at += timedelta(seconds=60)
    check_problem(net.ask("GET", "/v1/whoami", token=short), 401, "unauthorized")
    assert net.ask("GET", "/v1/whoami", token=other).status_code == 200
    assert net.ask("DELETE", f"/v1/tokens/{revoked.id}").status_code == 204
    check_problem(net.ask("GET", "/v1/whoami", token=other), 401, "unauthorized")


def test_unknown_query_parameters_are_named(net: World) -> None:
    body = check_problem(net.ask("GET", "/v1/jobs?stat=queued"), 422, "invalid-request")
    assert "'stat'" in body["detail"]
    assert "state" in body["allowed"]
    assert net.ask("GET", "/v1/whoami?x=1").status_code == 422


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=501", "limit"),
        ("/v1/jobs?limit=" + "9" * 400, "limit"),
        ("/v1/jobs?state=asleep", "state.0"),
        ("/v1/jobs?cursor=elsewhere", "cursor"),
        ("/v1/jobs?cursor=999999", "cursor"),
        ("/v1/jobs?cursor=%F0%9F%92%A3", "cursor"),
        ("/v1/jobs?name=a%00b", "name"),
        ("/v1/jobs/a%00b", "job_id"),
        ("/v1/events?after=-1", "after"),
        ("/v1/events?after=1e3", "after"),
        ("/v1/bills/totals?from_at=2026-01-01T00:00:00", "from_at"),
        ("/v1/bills/totals?from_at=0001-01-01T00:00:00Z", "from_at"),
        ("/v1/bills/totals?to_at=2026-01-01T00:00:00%2B23:59", "to_at"),
    ],
)
def test_bad_parameters_are_named(net: World, path: str, field: str) -> None:
    body = check_problem(net.ask("GET", path), 422, "invalid-request")
    named = body.get("field")
    assert named == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"tasks": NaN}',
        b'{"tasks": [{"name": "a", "run": "x", "count": Infinity}]}',
        b'{"tasks": [{"name": "a", "run": "x", "count": ' + b"9" * 5000 + b"}]}",
        b'{"tasks": [{"name": "a", "run": "x", "count": 1e400}]}',
        b'{"tasks": [{"name": "a", "run": "x", "count": 1e30}]}',
        b'{"tasks": [{"name": "a", "run": "\\u0000"}]}',
        b'{"tasks": [{"name": "a", "run": "\\ud800"}]}',
        b'{"tasks": [{"name": "a", "run": "x\x00"}]}',
        b'{"tasks": [{"name": "a", "run": "x"}], "extra": 1}',
        b'{"tasks": []}',
        b'{"tasks": "x"}',
        b"[" * 100_000,
    ],
)
def test_bodies_nobody_can_read_are_refused_and_leave_nothing(net: World, body: bytes) -> None:
    reply = net.ask("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    check_problem(reply, 422, "invalid-request")
    assert net.store.count_jobs() == {}


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"a: &a [*a]", b"x\x00y", b"- 1", b"!!python/object:os.system x"]
)
def test_hostile_text_is_refused(net: World, body: bytes) -> None:
    reply = net.ask("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/yaml"})
    check_problem(reply, 422, "invalid-request")


def test_media_types_nobody_reads_are_refused(net: World) -> None:
    reply = net.ask("POST", "/v1/jobs", content=b"GIF89a", headers={"Content-Type": "image/gif"})
    assert check_problem(reply, 422, "invalid-request")["field"] == "Content-Type"


def test_large_bodies_are_refused_by_their_announced_length(net: World) -> None:
    headers = {"Content-Type": "text/plain", "Content-Length": str(TASK_BYTES + 1)}
    check_problem(net.ask("POST", "/v1/jobs", content=b"x", headers=headers), 413, "too-large")
    huge = {"Content-Type": "text/plain", "Content-Length": "9" * 30}
    check_problem(net.ask("POST", "/v1/jobs", content=b"x", headers=huge), 413, "too-large")


@pytest.mark.parametrize(
    ("path", "method", "limit"),
    [("/v1/jobs", "POST", TASK_BYTES), ("/v1/agent/sync", "POST", SYNC_BYTES), ("/v1/tokens", "POST", TASK_BYTES)],
)
def test_large_bodies_are_refused_while_they_arrive(net: World, path: str, method: str, limit: int) -> None:
    taken = 0
    token = net.agent_token() if "agent" in path else "secret-of-alice"

    async def send() -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            nonlocal taken
            for _ in range(2 * limit // 2**19):
                taken += 2**19
                yield b"x" * 2**19

        transport = httpx.ASGITransport(net.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://network") as client:
            return await client.request(method, path, content=body(), headers={"Authorization": f"Bearer {token}"})

    reply = net.portal.call(send)
    check_problem(reply, 413, "too-large")
    assert taken <= limit + 2**20


def test_strangers_may_not_even_send_large_bodies(net: World) -> None:
    taken = 0

    async def send() -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            nonlocal taken
            taken += 1
            yield b"x"

        transport = httpx.ASGITransport(net.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://network") as client:
            headers = {"Authorization": "Bearer wrong", "Upload-Offset": "0"}
            return await client.patch(f"/v1/blobs/{SHA}", content=body(), headers=headers)

    check_problem(net.portal.call(send), 401, "unauthorized")
    assert taken == 0


def test_unknown_addresses_and_methods_are_problems_too(net: World) -> None:
    check_problem(net.ask("GET", "/v1/nothing"), 404, "not-found")
    check_problem(net.ask("GET", "/elsewhere"), 404, "not-found")
    reply = net.ask("DELETE", "/v1/jobs")
    check_problem(reply, 405, "invalid-request")
    assert reply.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc", "%2e%2e", "a" * 3000, "%ff%fe", "'; drop table jobs;--", "﷽" * 20, "💣"]
)
def test_hostile_names_are_only_names(net: World, name: str) -> None:
    for path in (
        f"/v1/jobs/{name}",
        f"/v1/sites/{name}",
        f"/v1/projects/{name}/files",
        f"/v1/projects/demo/files/{name}",
    ):
        assert net.ask("GET", path).status_code in (404, 422), path
    assert net.ask("GET", f"/v1/blobs/{name}").status_code in (404, 422)


def test_a_silent_store_is_503_and_says_when_to_come_back(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> int:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(net.store, "last_seq", silent)
    reply = net.ask("GET", "/v1/health", by=None)
    check_problem(reply, 503, "unavailable")
    assert reply.headers["retry-after"] == "1"


def test_what_nobody_foresaw_tells_the_caller_nothing(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(net.store, "last_seq", broken)
    body = check_problem(net.ask("GET", "/v1/health", by=None), 500, "internal")
    assert "hunter2" not in str(body)


def test_health_and_the_schema_need_no_token(net: World) -> None:
    health = net.ask("GET", "/v1/health", by=None)
    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    schema = net.ask("GET", "/v1/task-schema", by=None).json()
    assert schema["title"] == "Suanwang task"


@pytest.mark.parametrize(
    ("header", "chinese"),
    [
        ("", False),
        ("zh", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", True),
        ("en,zh;q=0.9", False),
        ("en;q=0.5, zh;q=0.7", True),
        ("zh;q=abc", True),
        (",,;;q=", False),
        ("de", False),
    ],
)
def test_the_language_is_the_one_with_the_highest_weight(header: str, chinese: bool) -> None:
    assert prefers_chinese(header) is chinese


def test_joining_takes_a_sites_own_token(net: World) -> None:
    check_problem(net.ask("POST", "/v1/agent/join"), 403, "forbidden")
    check_problem(
        net.ask("POST", "/v1/agent/sync", by="olga", json={"session": 1, "sent_at": "2026-03-01T02:00:00Z"}),
        403,
        "forbidden",
    )
    assert net.network.people.authenticate(net.join_token) == Principal(
        name="join-guian",
        role=Role.JOIN,
        site_id="guian",  # type: ignore[arg-type]
    )


def test_a_person_gets_a_page_where_the_pages_offer_one(net: World) -> None:
    def page(request: Request, error: SuanwangError, status: int | None) -> Response | None:
        if "text/html" not in request.headers.get("accept", ""):
            return None
        return Response(f"<h1>{status}</h1>", status or 500, media_type="text/html")

    net.app = create_app(net.network, error_page=page)
    shown = net.ask("GET", "/nothing", headers={"Accept": "text/html"})
    assert (shown.status_code, shown.text) == (404, "<h1>404</h1>")
    check_problem(net.ask("GET", "/v1/nothing"), 404, "not-found")


def test_errors_are_in_the_language_asked_for_with_their_english_beside_it(net: World) -> None:
    wrong = net.ask("GET", "/v1/jobs/j-none", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert wrong.headers["content-language"] == "zh"
    assert wrong.headers["vary"] == "Accept-Language"
    said = wrong.json()
    assert said["title"] == "没有此名称的对象"
    assert said["detail"] == "没有作业 'j-none'"
    assert said["detail_en"] == "no job 'j-none'"
    assert said["allowed"] == "您项目中的作业"
    english = net.ask("GET", "/v1/jobs/j-none")
    assert english.headers["content-language"] == "en"
    assert english.json()["detail"] == said["detail_en"]
    assert "detail_en" not in english.json()
    body = net.ask(
        "POST",
        "/v1/jobs/preview",
        content=b"name: a\nrun: ''\n",
        headers={"Accept-Language": "zh", "Content-Type": "application/yaml"},
    )
    assert body.json()["problems"][0]["message"] == "脚本为空"
