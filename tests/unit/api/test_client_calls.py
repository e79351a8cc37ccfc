"""The typed client against the real application: every call, and what it does when the line is bad."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.unit.api.api_world import World, offering, world

from suanwang.client import Client, HttpLink, models
from suanwang.client.wire import Patience
from suanwang.domain.connector import RunState
from suanwang.domain.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    Unavailable,
    UnreadableReply,
)
from suanwang.domain.exchange import LogPiece, Phase, RunReport, SiteReport, SyncRequest
from suanwang.domain.identity import Role
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Resources, Task
from suanwang.taskfile import InvalidTask


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


class Line(httpx.BaseTransport):
    """A transport that fails as told: each entry of `faults` is spent on one request, first to last."""

    def __init__(self, inner: httpx.BaseTransport, *faults: str) -> None:
        self.inner = inner
        self.faults = list(faults)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        match self.faults.pop(0) if self.faults else "":
            case "down":
                raise httpx.ConnectError("refused", request=request)
            case "lost":
                self.inner.handle_request(request)
                raise httpx.ReadTimeout("no answer", request=request)
            case "busy":
                return httpx.Response(503, json={"type": "urn:suanwang:problem:unavailable", "detail": "later"})
            case "html":
                return httpx.Response(200, text="<html>")
            case "proxy":
                return httpx.Response(502, text="<html>bad gateway</html>")
            case _:
                return self.inner.handle_request(request)


def client(net: World, *faults: str, by: str = "alice", pauses: list[float] | None = None) -> Client:
    waited = pauses if pauses is not None else []
    return Client(
        "http://network",
        f"secret-of-{by}",
        transport=Line(net.transport, *faults),
        patience=Patience(retries=3, pause=waited.append),
    )


TASK = Task(name="hello", run="echo hello", resources=Resources(cores=2))


def test_tasks_and_files_are_submitted_and_found(net: World) -> None:
    with client(net) as alice:
        made = alice.submit([TASK])
        text = alice.submit("name: text\nrun: echo\n", project="demo")
        assert [job.state for job in (*made.jobs, *text.jobs)] == [JobState.QUEUED, JobState.QUEUED]
        assert [job.name for job in alice.jobs(page_size=1)] == ["text", "hello"]
        assert [job.name for job in alice.jobs(states=[JobState.QUEUED], name="text", projects=["demo"])] == ["text"]
        detail = alice.job(made.jobs[0].id)
        assert detail.task["resources"] == {"cores": 2}
        assert alice.counts()[JobState.QUEUED] == 2
        assert alice.cancel(made.jobs[0].id).jobs[0].state is JobState.CANCELLED
        assert alice.explain(text.jobs[0].id).verdict == "waits"
        assert alice.whoami().projects == ["demo"]
        assert alice.health().status == "ok"


def test_a_job_is_followed_to_its_end(net: World) -> None:
    job, _ = net.run("one\n", "two\n")
    with client(net) as alice:
        found = list(alice.follow_logs(job["id"]))
        texts = [piece.text for piece in found if isinstance(piece, models.LogView)]
        assert texts == ["one\n", "two\n"]
        assert isinstance(found[-1], models.StateView)
        assert found[-1].state is JobState.SUCCEEDED
        assert [piece.text for piece in alice.logs(job["id"]).items] == texts
        assert [record.cores for record in alice.usage(job["id"])] == [1, 1]
        assert alice.allocations(job["id"])[0].outcome is RunState.SUCCEEDED
        assert list(alice.points(job["id"])) == []
        assert len(list(alice.bill_lines(job=job["id"], page_size=1))) == 2
        assert alice.bill_totals(projects=["demo"], from_at=net.clock.at).items == []
        assert [event.kind for event in alice.events(job=job["id"]).items][-1] == "job.succeeded"


def test_following_goes_on_where_the_line_broke(net: World) -> None:
    job, _ = net.run(*(f"{n}\n" for n in range(5)))
    line = Breaking(net.transport, after=b'"text":"2')
    alice = Client("http://network", "secret-of-alice", transport=line, patience=Patience(pause=lambda _: None))
    found = list(alice.follow_logs(job["id"]))
    assert [piece.text for piece in found if isinstance(piece, models.LogView)] == [f"{n}\n" for n in range(5)]
    assert line.resumed == ["0", "2"]


class Breaking(httpx.BaseTransport):
    """Cuts the first answer in the middle of an event."""

    def __init__(self, inner: httpx.BaseTransport, *, after: bytes) -> None:
        self.inner = inner
        self.after = after
        self.resumed: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.resumed.append(request.headers["Last-Event-ID"])
        reply = self.inner.handle_request(request)
        if len(self.resumed) > 1:
            return reply
        whole = reply.read()
        cut = whole[: whole.index(self.after)]

        class Broken(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield cut
                raise httpx.RemoteProtocolError("connection closed")

        return httpx.Response(200, headers=reply.headers, stream=Broken())


def test_the_record_is_followed(net: World) -> None:
    net.submit()
    with client(net, by="olga") as olga:
        events = olga.follow_events(kind="project.")
        assert [next(events).project, next(events).project] == ["demo", "other"]


def test_sites_tokens_and_projects(net: World) -> None:
    with client(net, by="olga") as olga:
        invited = olga.invite_site("wuhu", offering(provider="wuhu-cloud"))
        assert invited.join_token
        assert [site.id for site in olga.sites()] == ["guian", "wuhu"]
        assert olga.drain_site("wuhu").open is False
        assert olga.open_site("wuhu").open is True
        assert olga.change_site("wuhu", offering(provider="wuhu-cloud", pue=1.1)).offering.pue == 1.1
        assert olga.join_token("wuhu") != invited.join_token
        assert list(olga.samples("wuhu")) == []
        assert olga.create_project("new", "New").title == "New"
        assert [project.id for project in olga.projects()] == ["demo", "new", "other"]
        made = olga.create_token("carol", Role.USER, projects=["new"], ttl_s=60, note="n")
        assert made.token.id in {token.id for token in olga.tokens()}
        olga.revoke_token(made.token.id)
        with Client("http://network", made.secret, transport=net.transport) as carol, pytest.raises(Unauthorized):
            carol.whoami()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda c: c.job("j-nobody"), NotFound),
        (lambda c: c.job(".."), InvalidRequest),
        (lambda c: c.job("../sites"), NotFound),
        (lambda c: c.drain_site("guian"), Forbidden),
        (lambda c: c.submit([TASK], project="other"), Forbidden),
        (lambda c: list(c.jobs(page_size=0)), InvalidRequest),
        (lambda c: c.file("demo", "nothing"), NotFound),
    ],
)
def test_errors_are_the_products_own(net: World, call: Callable[[Client], object], kind: type[Exception]) -> None:
    with client(net) as alice, pytest.raises(kind):
        call(alice)


def test_problems_of_a_file_come_back_as_they_were(net: World) -> None:
    with client(net) as alice:
        with pytest.raises(InvalidTask) as caught:
            alice.submit("name: hello\nrun: x\ncount: 0\n")
        (problem,) = caught.value.problems
        assert (problem.field, problem.line, caught.value.field) == ("count", 3, "count")
        preview = alice.preview("name: hello\nrun: x\ncount: 0\n")
        assert [(p.field, p.line) for p in preview.problems] == [("count", 3)]
        assert alice.preview([TASK]).tasks[0].verdict == "waits"


def test_a_submission_whose_answer_was_lost_is_found_not_repeated(net: World) -> None:
    pauses: list[float] = []
    with client(net, "down", "lost", "busy", pauses=pauses) as alice:
        made = alice.submit([TASK])
    assert made.replayed is True
    assert len(pauses) == 3
    assert pauses[0] < 0.375 <= 4 * 0.125 <= pauses[2]
    assert sum(net.store.count_jobs().values()) == 1


def test_what_may_not_be_repeated_is_sent_once(net: World) -> None:
    with client(net, "lost", by="olga") as olga, pytest.raises(OutcomeUnknown):
        olga.create_token("carol", Role.USER, projects=["demo"])
    assert [token.principal.name for token in net.store.tokens()].count("carol") == 1
    # Nothing was done where nothing arrived, so that is repeated.
    with client(net, "down", "busy", by="olga") as olga:
        olga.create_token("dave", Role.USER, projects=["demo"])
    assert [token.principal.name for token in net.store.tokens()].count("dave") == 1


def test_patience_ends(net: World) -> None:
    with client(net, *["down"] * 4) as alice, pytest.raises(Unavailable, match="cannot be reached"):
        alice.whoami()
    with client(net, *["proxy"] * 4) as alice, pytest.raises(UnreadableReply):
        alice.whoami()
    with client(net, "html") as alice, pytest.raises(UnreadableReply):
        alice.whoami()


def test_an_address_is_an_address() -> None:
    with pytest.raises(InvalidRequest):
        Client("network:8340")


def test_a_file_goes_up_once_and_comes_down_whole(net: World, tmp_path: Path) -> None:
    source, target = tmp_path / "data", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 40_000)  # Three pieces.
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    told: list[tuple[int, int]] = []
    with client(net, "", "", "lost") as alice:
        record = alice.upload(
            source, project="demo", name="data", progress=lambda done, size: told.append((done, size))
        )
        assert (record.version, record.content.sha256, record.content.size) == (1, sha256, 10_240_000)
        assert told[-1] == (10_240_000, 10_240_000)
        assert [file.name for file in alice.files("demo")] == ["data"]
        assert alice.file("demo", "data") == record
        alice.download(sha256, target)
        assert target.read_bytes() == source.read_bytes()
    line = Line(net.transport)
    with Client("http://network", "secret-of-alice", transport=line) as again:
        again.upload(source, project="demo", name="data")
    assert "PATCH" not in [request.method for request in line.requests]


def test_a_download_goes_on_where_it_stopped_and_is_checked(net: World, tmp_path: Path) -> None:
    source, target = tmp_path / "data", tmp_path / "back"
    source.write_bytes(b"0123456789" * 1000)
    with client(net) as alice:
        sha256 = alice.upload(source, project="demo", name="data").content.sha256
        (tmp_path / "back.part").write_bytes(source.read_bytes()[:4000])
        alice.download(sha256, target)
        assert target.read_bytes() == source.read_bytes()
        (tmp_path / "back.part").write_bytes(b"x" * 4000)
        with pytest.raises(UnreadableReply):
            alice.download(sha256, target)
        assert not (tmp_path / "back.part").exists()
        alice.download(sha256, target)
        with pytest.raises(NotFound):
            alice.download("ab" * 32, tmp_path / "nothing")


def test_an_agent_speaks_over_its_link(net: World) -> None:
    kept: list[str] = []
    link = HttpLink("http://network", net.join_token, on_credential=kept.append, transport=net.transport)
    with pytest.raises(Unavailable):
        _ = link.site_id
    reply = link.join()
    assert (reply.site_id, reply.session, link.site_id, link.poll_s) == ("guian", 1, "guian", 2.0)
    assert len(kept) == 1
    job = net.submit()
    site = SiteReport(cores=8, memory_gb=32.0)
    request = SyncRequest(session=1, sent_at=net.clock.at, site=site)
    assert link.sync(request).start == ()
    net.network.turn()
    (lease,) = link.sync(request).start
    assert (lease.job_id, lease.cores, lease.run) == (job["id"], 1, "echo hello")
    run = RunReport(
        allocation_id=lease.allocation_id,
        epoch=lease.epoch,
        phase=Phase.RUNNING,
        started_at=net.clock.at,
        logs=(LogPiece(stream="stdout", offset=0, text="é\n", size=3),),
    )
    (known,) = link.sync(SyncRequest(session=1, sent_at=net.clock.at, runs=(run,), site=site)).known
    assert known.stdout == 3
    again = HttpLink("http://network", kept[0], transport=net.transport)
    assert again.join().session == 2
    with pytest.raises(Conflict):
        link.sync(request)


def test_an_agent_carries_files_over_its_link(net: World) -> None:
    link = HttpLink("http://network", net.join_token, transport=net.transport)
    link.join()
    data = b"checkpoint"
    sha256 = hashlib.sha256(data).hexdigest()
    assert link.received(sha256) == 0
    assert link.append(sha256, 0, data[:4]) == 4
    with pytest.raises(Conflict) as caught:
        link.append(sha256, 0, data)
    assert caught.value.allowed == "4"
    assert link.append(sha256, 4, data[4:]) == 10
    link.finish(sha256, 10)
    assert link.received(sha256) == 10
    with pytest.raises(NotFound):
        list(link.read(sha256, 0))


def test_an_agents_lost_call_is_told_not_repeated(net: World) -> None:
    line = Line(net.transport, "", "lost", "down", "busy")
    link = HttpLink("http://network", net.join_token, transport=line)
    link.join()
    request = SyncRequest(session=1, sent_at=net.clock.at)
    for kind in (OutcomeUnknown, Unavailable, Unavailable):
        with pytest.raises(kind):
            link.sync(request)
    assert len(line.requests) == 4
    assert link.sync(request).known == ()
