"""Server-sent events: in order, resumed where they broke, ended when there is nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from starlette.types import Message
from tests.unit.api.api_world import QUICK, Agent, World, world

from suanwang.api.streams import StreamLimits, Streams
from suanwang.client.events import ServerEvent, parse
from suanwang.domain.exchange import LogPiece, Phase, RunReport
from suanwang.domain.lifecycle import JobState

LONG = replace(QUICK, longest_s=30.0, heartbeat_s=30.0)
PATIENCE_S = 20.0


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def patient() -> Iterator[World]:
    with world(limits=LONG) as made:
        yield made


def read(text: str) -> list[ServerEvent]:
    return list(parse(text.split("\n")))


def stream(net: World, path: str, **kwargs: Any) -> list[ServerEvent]:
    reply = net.ask("GET", path, **kwargs)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    return read(reply.text)


def test_a_finished_jobs_log_ends_by_itself(patient: World) -> None:
    job, _ = patient.run("one\n", "two\n")
    events = stream(patient, f"/v1/jobs/{job['id']}/logs?follow=true")
    assert [event.kind for event in events] == ["state", "log", "log", "end"]
    assert [orjson.loads(event.data)["text"] for event in events[1:3]] == ["one\n", "two\n"]
    assert orjson.loads(events[-1].data)["state"] == "succeeded"


def test_a_log_is_resumed_after_the_last_piece_seen(patient: World) -> None:
    job, _ = patient.run("one\n", "two\n", "three\n")
    whole = stream(patient, f"/v1/jobs/{job['id']}/logs?follow=true")
    seen = next(event.number for event in whole if event.kind == "log")
    rest = stream(patient, f"/v1/jobs/{job['id']}/logs?follow=true", headers={"Last-Event-ID": seen})
    assert [orjson.loads(e.data)["text"] for e in rest if e.kind == "log"] == ["two\n", "three\n"]
    after = stream(patient, f"/v1/jobs/{job['id']}/logs?follow=true&after={seen}")
    assert [e.data for e in after] == [e.data for e in rest]


def test_more_pieces_than_one_reading_come_in_order(patient: World) -> None:
    job, _ = patient.run(*(f"{n}\n" for n in range(450)))
    events = stream(patient, f"/v1/jobs/{job['id']}/logs?follow=true")
    texts = [orjson.loads(event.data)["text"] for event in events if event.kind == "log"]
    assert texts == [f"{n}\n" for n in range(450)]
    assert events[-1].kind == "end"


@pytest.mark.parametrize("number", ["x", "-1", "1e3", "9" * 19, "²"])
def test_numbers_of_no_event_are_refused(net: World, number: str) -> None:
    job = net.submit()
    for path in (f"/v1/jobs/{job['id']}/logs?follow=true", "/v1/events?follow=true"):
        header: Any = {"Last-Event-ID": number.encode()}
        reply = net.ask("GET", path, headers=header)
        assert (reply.status_code, reply.json()["field"]) == (422, "Last-Event-ID")


def test_a_waiting_jobs_stream_has_heartbeats_and_is_ended_after_its_time(net: World) -> None:
    job = net.submit()
    reply = net.ask("GET", f"/v1/jobs/{job['id']}/logs?follow=true")
    assert [event.kind for event in read(reply.text)] == ["state"]
    assert ": still here\n\n" in reply.text


def test_the_record_is_followed_by_those_who_may_see_it(net: World) -> None:
    job = net.submit()
    net.submit("theirs", by="bob")
    mine = stream(net, "/v1/events?follow=true&kind=job.")
    assert [orjson.loads(event.data)["job"] for event in mine] == [job["id"]]
    assert mine[0].kind == "job.accepted"
    every = stream(net, "/v1/events", headers={"Accept": "text/event-stream"}, by="rita")
    numbers = [int(event.number) for event in every]
    assert numbers == sorted(set(numbers))
    rest = stream(net, "/v1/events?follow=true", headers={"Last-Event-ID": str(numbers[2])}, by="rita")
    assert [int(event.number) for event in rest] == numbers[3:]


def test_a_revoked_token_ends_a_stream(patient: World) -> None:
    alice = patient.network.people.authenticate("secret-of-alice")
    token, secret = patient.network.people.create_token(alice, alice)
    job = patient.submit()
    patient.app.state.streams = Streams(patient.network, replace(LONG, heartbeat_s=0.0))
    listener = Listener(patient, f"/v1/jobs/{job['id']}/logs", "follow=true", secret)
    listener.start()
    listener.wait_for("state")
    patient.network.people.revoke(alice, token.id)
    listener.wait_for_end()
    assert "expired or was revoked" in listener.text
    assert patient.app.state.streams.listeners == 0


def test_output_and_moves_reach_a_listener_as_they_come(patient: World) -> None:
    job = patient.submit()
    agent = patient.agent()
    listener = Listener(patient, f"/v1/jobs/{job['id']}/logs", "follow=true", "secret-of-alice")
    listener.start()
    listener.wait_for('"state":"queued"')
    agent.tell()
    patient.network.turn()
    listener.wait_for('"state":"leased"')
    lease = agent.tell().start[0]
    running = RunReport(
        allocation_id=lease.allocation_id, epoch=lease.epoch, phase=Phase.RUNNING, started_at=patient.clock.at
    )
    for offset, text in ((0, "a\n"), (2, "b\n")):
        agent.tell(replace(running, logs=(LogPiece(stream="stdout", offset=offset, text=text, size=2),)))
        listener.wait_for(orjson.dumps(text).decode())
    assert '"state":"running"' in listener.text
    patient.network.jobs.cancel(patient.network.people.authenticate("secret-of-alice"), lease.job_id)
    listener.wait_for('"state":"cancelling"')
    end(agent, running, "cancelled")
    listener.wait_for_end()
    events = read(listener.text)
    assert events[-1].kind == "end"
    assert [orjson.loads(event.data)["state"] for event in events if event.kind == "state"] == [
        JobState.QUEUED,
        JobState.LEASED,
        JobState.RUNNING,
        JobState.CANCELLING,
        JobState.CANCELLED,
    ]


def test_a_listener_who_leaves_is_forgotten(patient: World) -> None:
    job = patient.submit()
    listener = Listener(patient, f"/v1/jobs/{job['id']}/logs", "follow=true", "secret-of-alice")
    listener.start()
    listener.wait_for("state")
    assert patient.app.state.streams.listeners == 1
    listener.leave()
    listener.wait_for_end()
    assert patient.app.state.streams.listeners == 0


def test_there_are_never_more_listeners_than_allowed(net: World) -> None:
    net.app.state.streams = Streams(net.network, StreamLimits(listeners=0))
    reply = net.ask("GET", "/v1/events?follow=true")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


def test_a_server_that_stops_lets_its_listeners_go(patient: World) -> None:
    listener = Listener(patient, "/v1/events", "follow=true", "secret-of-olga")
    listener.start()
    listener.wait_for("project.created")
    patient.app.state.streams.close()
    listener.wait_for_end()
    assert patient.ask("GET", "/v1/events?follow=true").status_code == 503


def end(agent: Agent, running: RunReport, outcome: str) -> None:
    from suanwang.domain.connector import RunState

    assert running.started_at is not None
    agent.tell(replace(running, phase=Phase.ENDED, outcome=RunState(outcome), ended_at=running.started_at, exit_code=1))


class Listener:
    """One request whose answer is looked at while it comes."""

    def __init__(self, net: World, path: str, query: str, secret: str) -> None:
        self._net = net
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"authorization", f"Bearer {secret}".encode()), (b"host", b"network")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
        }
        self._parts: list[bytes] = []
        self._changed: asyncio.Event | None = None
        self._left: asyncio.Event | None = None
        self._done: Any = None

    @property
    def text(self) -> str:
        return b"".join(self._parts).decode()

    def start(self) -> None:
        self._done = self._net.portal.start_task_soon(self._run)

    def wait_for(self, text: str) -> None:
        self._net.portal.call(self._until, text)

    def leave(self) -> None:
        self._net.portal.call(self._leave)

    def wait_for_end(self) -> None:
        self._done.result(timeout=PATIENCE_S)

    async def _run(self) -> None:
        self._changed, self._left = asyncio.Event(), asyncio.Event()
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            assert self._left is not None
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self._parts.append(message.get("body", b""))
            assert self._changed is not None
            self._changed.set()

        await self._net.app(self._scope, receive, send)

    async def _until(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self._changed is None:
                await asyncio.sleep(0.001)
            while text not in self.text:
                self._changed.clear()
                await self._changed.wait()

    async def _leave(self) -> None:
        assert self._left is not None
        self._left.set()


def test_events_are_read_line_by_line() -> None:
    lines: Sequence[str] = [
        ": comment",
        "id: 7",
        "event: log",
        "data: a",
        "data:b",
        "",
        "data: plain",
        "",
        "event: nothing",
        "",
        "unknown: x",
        "data: broken off",
    ]
    assert list(parse(lines)) == [
        ServerEvent(kind="log", data="a\nb", number="7"),
        ServerEvent(kind="message", data="plain"),
    ]
