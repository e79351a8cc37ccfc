"""What agents say over HTTP, and what they may not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from pydantic import TypeAdapter
from tests.unit.api.api_world import Agent, World, world

from suanwang.domain.exchange import SyncReply

REPLY: TypeAdapter[SyncReply] = TypeAdapter(SyncReply)


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


class Speaker:
    """An agent at 贵安 that speaks HTTP and holds one lease."""

    def __init__(self, net: World) -> None:
        self.net = net
        self.agent = Agent(net)
        self.job = net.submit()
        self.agent.tell()
        net.network.turn()
        (self.lease,) = self.agent.tell().start

    def run(self, **changes: Any) -> dict[str, Any]:
        return {
            "allocation_id": self.lease.allocation_id,
            "epoch": self.lease.epoch,
            "phase": "running",
            "started_at": self.net.clock.at.isoformat(),
            **changes,
        }

    def say(self, *runs: dict[str, Any], **changes: Any) -> httpx.Response:
        body = {"session": self.agent.session, "sent_at": self.net.clock.at.isoformat(), "runs": runs, **changes}
        return self.send(orjson.dumps(body))

    def send(self, body: bytes) -> httpx.Response:
        return self.net.ask("POST", "/v1/agent/sync", token=self.agent.credential, content=body)


@pytest.fixture
def speaker(net: World) -> Speaker:
    return Speaker(net)


def test_an_agent_hears_its_echo_and_nobody_else_does(net: World) -> None:
    agent = Agent(net)
    heard = net.ask("POST", "/v1/agent/echo", token=agent.credential, content=b"a\x00b")
    assert (heard.status_code, heard.content) == (200, b"a\x00b")
    assert net.ask("POST", "/v1/agent/echo", content=b"x").status_code == 403


def test_a_join_token_is_exchanged_for_a_credential(net: World) -> None:
    first = net.ask("POST", "/v1/agent/join", token=net.join_token).json()
    assert (first["site_id"], first["session"]) == ("guian", 1)
    again = net.ask("POST", "/v1/agent/join", token=first["credential"]).json()
    assert (again["session"], again["credential"]) == (2, None)
    old = {"session": 1, "sent_at": "2026-03-01T02:00:00Z"}
    refused = net.ask("POST", "/v1/agent/sync", token=first["credential"], json=old)
    assert (refused.status_code, refused.json()["allowed"]) == (409, "2")
    with_join_token = net.ask("POST", "/v1/agent/sync", token=net.join_token, json={**old, "session": 2})
    assert with_join_token.status_code == 403


def test_a_lease_is_fetched_run_and_confirmed(speaker: Speaker) -> None:
    fetched = REPLY.validate_json(speaker.say().content)
    (lease,) = fetched.start
    assert lease == speaker.lease
    logs = [{"stream": "stdout", "offset": 0, "text": "hi\n", "size": 3}]
    points = [{"line": 1, "name": "loss", "step": 1.0, "value": 0.5}]
    running = REPLY.validate_json(speaker.say(speaker.run(logs=logs, points=points)).content)
    (known,) = running.known
    assert (known.stdout, known.points, known.cancel) == (3, 1, False)
    speaker.net.clock.at += timedelta(seconds=5)
    ended = speaker.run(phase="ended", outcome="succeeded", exit_code=0, ended_at=speaker.net.clock.at.isoformat())
    for _ in range(2):
        assert REPLY.validate_json(speaker.say(ended).content).ended == (speaker.lease.allocation_id,)
    shown = speaker.net.ask("GET", f"/v1/jobs/{speaker.job['id']}").json()
    assert (shown["state"], shown["usage"]["wall_s"]) == ("succeeded", 5.0)
    curve = speaker.net.ask("GET", f"/v1/jobs/{speaker.job['id']}/points").json()["items"]
    assert [(point["name"], point["value"]) for point in curve] == [("loss", 0.5)]


def test_a_report_for_a_lease_that_is_not_the_senders_is_fenced(speaker: Speaker) -> None:
    for changes in ({"epoch": speaker.lease.epoch + 1}, {"allocation_id": "j-0000000000000099-1"}):
        reply = REPLY.validate_json(speaker.say(speaker.run(**changes)).content)
        assert len(reply.fenced) == 1
        assert reply.known == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phase": "dancing"}, "runs.0.phase"),
        ({"colour": "red"}, "runs.0.colour"),
        ({"epoch": "1"}, "runs.0.epoch"),
        ({"epoch": -1}, "runs[0].epoch"),
        ({"epoch": 2**40}, "runs[0].epoch"),
        ({"exit_code": 2**31}, "runs[0].exit_code"),
        ({"started_at": "2026-03-01T02:00:00"}, "runs[0].started_at"),
        ({"started_at": "0001-01-01T00:00:00Z"}, "runs[0].started_at"),
        ({"started_at": "9999-12-31T23:59:59Z"}, "runs[0].started_at"),
        ({"started_at": "2026-03-01T02:00:00+23:59"}, "runs[0].started_at"),
        ({"phase": "ended"}, "runs[0].outcome"),
        ({"logs": [{"stream": "stdin", "offset": 0, "text": "", "size": 0}]}, "runs[0].logs[0]"),
        ({"logs": [{"stream": "stdout", "offset": -5, "text": "", "size": 0}]}, "runs[0].logs[0]"),
        ({"logs": [{"stream": "stdout", "offset": 2**60, "text": "", "size": 0}]}, "body"),
        ({"checkpoint": {"sha256": "../../etc/passwd", "size": 1}}, "sha256"),
        ({"checkpoint": {"sha256": "ab" * 32, "size": -1}}, "size"),
        ({"outputs": [{"name": "m", "content": {"sha256": "x", "size": 1}}]}, "sha256"),
    ],
)
def test_nonsense_names_its_field_and_changes_nothing(speaker: Speaker, changes: dict[str, Any], field: str) -> None:
    reply = speaker.say(speaker.run(**changes))
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert speaker.net.ask("GET", f"/v1/jobs/{speaker.job['id']}").json()["state"] == "leased"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1", "9" * 400])
def test_numbers_that_are_none_are_refused(speaker: Speaker, number: str) -> None:
    body = f'{{"session":{speaker.agent.session},"sent_at":"2026-03-01T02:00:00Z","site":{{"cores":1,"memory_gb":{number}}}}}'
    assert speaker.send(body.encode()).status_code == 422


def test_output_with_nul_is_taken_with_a_mark_in_its_place(speaker: Speaker) -> None:
    logs = [{"stream": "stdout", "offset": 0, "text": "a\0b", "size": 3}]
    assert speaker.say(speaker.run(logs=logs)).status_code == 200
    (piece,) = speaker.net.ask("GET", f"/v1/jobs/{speaker.job['id']}/logs").json()["items"]
    assert (piece["text"], piece["size"]) == ("a\N{REPLACEMENT CHARACTER}b", 3)


def test_more_than_is_declared_is_marked_not_believed(speaker: Speaker) -> None:
    assert speaker.say(site={"cores": 800, "memory_gb": 32.0}).status_code == 200
    site = speaker.net.ask("GET", "/v1/sites/guian").json()
    assert any("more than it declares" in warning for warning in site["warnings"])


def test_an_agent_reads_what_its_lease_stages_and_nothing_else(net: World) -> None:
    data = b"staged"
    sha256 = hashlib.sha256(data).hexdigest()
    net.ask("PATCH", f"/v1/blobs/{sha256}", content=data, headers={"Upload-Offset": "0"})
    net.ask("POST", f"/v1/blobs/{sha256}/finish?size=6")
    net.ask("PUT", "/v1/projects/demo/files/data", json={"sha256": sha256, "size": 6})
    agent = net.agent()
    assert net.ask("GET", f"/v1/blobs/{sha256}", token=agent.credential).status_code == 404
    net.submit(inputs={"data": "data"})
    agent.tell()
    net.network.turn()
    assert net.ask("GET", f"/v1/blobs/{sha256}", token=agent.credential).content == data
    for path in ("/v1/jobs/j-1", "/v1/projects/demo/files"):
        assert net.ask("GET", path, token=agent.credential).status_code == 404


def test_agents_submit_nothing(net: World) -> None:
    body = {"tasks": [{"name": "a", "run": "x"}], "project": "demo"}
    assert net.ask("POST", "/v1/jobs", token=net.agent_token(), json=body).status_code == 403
