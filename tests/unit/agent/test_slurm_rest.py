"""slurmrestd in every version we speak: which is chosen, both flavours of values, and what a failed request means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from suanwang.domain.connector import DeviceSlots, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.connectors.slurm.connector import SlurmConnector
from suanwang.sensing.connectors.slurm.rest import RestGateway
from suanwang.sensing.connectors.slurm.rest_values import choose_version, jobs, nodes, number

Answer = Callable[[httpx.Request], httpx.Response]


def set_to(value: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


OLD_NODE = {
    "name": "gz1",
    "state": "idle",
    "state_flags": [],
    "cpus": 4,
    "alloc_cpus": 1,
    "real_memory": 4096,
    "alloc_memory": 64,
    "gres": "gpu:ascend910b:8",
    "gres_used": "gpu:ascend910b:2(IDX:0-1)",
    "partitions": ["main"],
}
NEW_NODE = {**OLD_NODE, "state": ["MIXED"]}
OLD_JOB = {
    "job_id": 7,
    "name": "run-1",
    "comment": "suanwang:run-1 x",
    "job_state": "FAILED",
    "state_reason": "NonZeroExitCode",
    "start_time": 1796100395,
    "end_time": 1796100397,
    "exit_code": 768,
    "nodes": "gz[1-2]",
}
NEW_JOB = {
    **OLD_JOB,
    "job_state": ["FAILED"],
    "start_time": set_to(1796100395),
    "end_time": set_to(1796100397),
    "exit_code": {"status": ["ERROR"], "return_code": set_to(3), "signal": {"id": {"set": False}, "name": ""}},
}


class Daemon:
    """A slurmrestd that answers from a table `METHOD path` → reply, and keeps the requests."""

    def __init__(self, version: str = "v0.0.38") -> None:
        self.version = version
        self.requests: list[httpx.Request] = []
        self.table: dict[str, Answer] = {
            "GET /openapi/v3": self.say({"paths": {f"/slurm/{version}/jobs": {}, "/openapi": {}}}),
            "GET jobs": self.say({"jobs": []}),
            "GET nodes": self.say({"nodes": [OLD_NODE]}),
            "POST job/submit": self.say({"job_id": 7, "errors": []}),
        }

    @staticmethod
    def say(body: Any, status: int = 200) -> Answer:
        return lambda request: httpx.Response(status, json=body)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path.removeprefix(f"/slurm/{self.version}/")
        return self.table[f"{request.method} {path}"](request)

    def connector(self, folder: Path) -> SlurmConnector:
        gateway = RestGateway(
            url="http://slurm",
            user="agent",
            token=lambda: "t0ken",
            prepare=lambda order: None,
            env=lambda user: {"PATH": "/bin"},
            transport=httpx.MockTransport(self),
        )
        return SlurmConnector(gateway, spool=folder / "spool", gres_types={"ascend-910b": "ascend910b"})

    def sent(self) -> dict[str, Any]:
        request = next(request for request in self.requests if request.method == "POST")
        body: dict[str, Any] = json.loads(request.content)
        return body


def order(folder: Path) -> RunOrder:
    return RunOrder(
        tag="run-1",
        name="x",
        script="true",
        env={"A": "b"},
        devices=DeviceSlots(model="ascend-910b", kind=DeviceKind.NPU, count=2),
        time_limit_s=90,
        work_dir=folder / "work",
        stdout_path=folder / "out",
        stderr_path=folder / "err",
        exit_path=folder / "exit",
        lease_path=folder / "lease",
    )


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        (["v0.0.36", "v0.0.37", "v0.0.38"], "v0.0.38"),
        (["v0.0.39", "v0.0.40", "v0.0.41"], "v0.0.41"),
        (["v0.0.40", "v0.0.99"], "v0.0.40"),
    ],
)
def test_the_newest_version_both_know_is_spoken(offered: list[str], wanted: str) -> None:
    paths = [f"/slurm/{version}/job/{{job_id}}" for version in offered]
    assert choose_version([*paths, "/openapi", "/slurmdb/v0.0.41/jobs"]) == wanted


def test_no_common_version_is_told_with_both_lists() -> None:
    with pytest.raises(UnreadableReply, match=r"v0\.0\.99.*v0\.0\.41"):
        choose_version(["/slurm/v0.0.99/jobs"])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (5, 5.0),
        (set_to(5), 5.0),
        ({"set": False, "infinite": False, "number": 0}, None),
        ({"set": True, "infinite": True, "number": 0}, None),
        (None, None),
        (True, None),
        ("5", None),
    ],
)
def test_numbers_in_both_flavours(value: object, wanted: float | None) -> None:
    assert number(value) == wanted


@pytest.mark.parametrize("entry", [OLD_JOB, NEW_JOB])
def test_jobs_in_both_flavours(entry: dict[str, Any]) -> None:
    (job,) = jobs({"jobs": [entry]})
    assert (job.native_id, job.state, job.exit_code, job.nodes) == ("7", RunState.FAILED, 3, ("gz1", "gz2"))
    assert job.started_at is not None
    assert job.started_at.timestamp() == 1796100395


def test_a_job_that_is_still_completing_has_not_ended() -> None:
    (job,) = jobs({"jobs": [{**NEW_JOB, "job_state": ["COMPLETED", "COMPLETING"]}]})
    assert job.state is RunState.RUNNING


@pytest.mark.parametrize(
    ("code", "wanted"), [(0, 0), (768, 3), (9, 137), (set_to(768), 3), ({"signal": {"id": set_to(9)}}, 137)]
)
def test_exit_codes_in_all_flavours(code: object, wanted: int) -> None:
    (job,) = jobs({"jobs": [{**OLD_JOB, "exit_code": code}]})
    assert job.exit_code == wanted


@pytest.mark.parametrize("entry", [OLD_NODE, NEW_NODE])
def test_nodes_in_both_flavours(entry: dict[str, Any]) -> None:
    (node,) = nodes({"nodes": [entry]}, partition="main")
    assert (node.cores, node.cores_idle, node.memory_used_mb, node.usable) == (4, 3, 64, True)
    assert (node.gres, node.gres_used) == ({"gpu:ascend910b": 8}, {"gpu:ascend910b": 2})
    assert nodes({"nodes": [entry]}, partition="other") == []


@pytest.mark.parametrize(
    "state", [{"state": "idle", "state_flags": ["DRAIN"]}, {"state": ["IDLE", "NOT_RESPONDING"]}, {"state": "down"}]
)
def test_nodes_that_take_no_work(state: dict[str, Any]) -> None:
    (node,) = nodes({"nodes": [{**OLD_NODE, **state}]})
    assert not node.usable


@pytest.mark.parametrize("body", [{}, {"jobs": None}, {"jobs": ["x"]}, {"jobs": [{}]}, {"jobs": [{"job_id": 1}]}])
def test_what_is_no_list_of_jobs_is_not_read_as_an_empty_one(body: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReply):
        jobs(body)


def test_a_submission_in_the_oldest_version(tmp_path: Path) -> None:
    daemon = Daemon("v0.0.38")
    assert daemon.connector(tmp_path).submit(order(tmp_path)) == "7"
    job = daemon.sent()["job"]
    assert (job["nodes"], job["memory_per_node"], job["time_limit"]) == ([1, 1], 954, 2)
    assert (job["gres"], job["environment"], job["requeue"]) == ("gpu:ascend910b:2", {"PATH": "/bin"}, False)
    assert (job["name"], job["comment"]) == ("run-1", "suanwang:run-1 x")
    assert "partition" not in job
    assert daemon.requests[-1].headers["X-SLURM-USER-NAME"] == "agent"
    assert daemon.requests[-1].headers["X-SLURM-USER-TOKEN"] == "t0ken"


def test_a_submission_in_the_newest_version(tmp_path: Path) -> None:
    daemon = Daemon("v0.0.41")
    daemon.connector(tmp_path).submit(order(tmp_path))
    job = daemon.sent()["job"]
    assert (job["minimum_nodes"], job["maximum_nodes"]) == (1, 1)
    assert (job["memory_per_node"], job["time_limit"]) == (set_to(954), set_to(2))
    assert (job["tres_per_node"], job["environment"]) == ("gres/gpu:ascend910b:2", ["PATH=/bin"])


def test_a_refusal_carries_the_daemons_words(tmp_path: Path) -> None:
    daemon = Daemon()
    body = {"errors": [{"error_code": 2000, "error": "Invalid partition name specified"}]}
    daemon.table["POST job/submit"] = daemon.say(body, 500)
    with pytest.raises(InvalidRequest, match="Invalid partition name"):
        daemon.connector(tmp_path).submit(order(tmp_path))


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize("answer", [lost, lambda request: httpx.Response(502, text="<html>bad gateway</html>")])
def test_a_submission_without_an_answer_is_never_sent_again(tmp_path: Path, answer: Answer) -> None:
    daemon = Daemon()
    daemon.table["POST job/submit"] = answer
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            daemon.connector(tmp_path).submit(order(tmp_path))
    assert sum(request.method == "POST" for request in daemon.requests) == 1


def test_a_daemon_that_is_away_was_sent_nothing(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.table["POST job/submit"] = refused
    with pytest.raises(Unavailable):
        daemon.connector(tmp_path).submit(order(tmp_path))
    daemon.table["POST job/submit"] = daemon.say({"job_id": set_to(8), "errors": []})
    assert daemon.connector(tmp_path).submit(order(tmp_path)) == "8"


def test_a_token_that_ran_out_is_told(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.table["GET jobs"] = lambda request: httpx.Response(401, text="Authentication failure")
    with pytest.raises(Unavailable, match="renew"):
        daemon.connector(tmp_path).running()


def test_a_job_the_controller_forgot_is_unknown_and_a_failing_daemon_is_unavailable(tmp_path: Path) -> None:
    daemon = Daemon()
    connector = daemon.connector(tmp_path)
    connector.submit(order(tmp_path))
    daemon.table["GET job/7"] = daemon.say({"jobs": [], "errors": [{"error": "Invalid job id specified"}]}, 500)
    assert connector.observe(["run-1"])["run-1"].state is RunState.UNKNOWN
    daemon.table["GET job/7"] = daemon.say({"errors": [{"error": "Unable to contact slurm controller"}]}, 500)
    with pytest.raises(Unavailable):
        connector.observe(["run-1"])


def test_addresses_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(InvalidRequest) as wrong:
        RestGateway(url="slurm:6820", user="a", token=str, prepare=lambda order: None, env=lambda user: {})
    assert wrong.value.field == "url"
