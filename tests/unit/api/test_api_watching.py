"""Metrics and request logs: counted by template, without names, tokens or queries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from tests.unit.api.api_world import World, world

from suanwang.api.app import create_app
from suanwang.api.metrics import Metrics
from suanwang.control.tick import Turn


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def test_requests_are_counted_by_template_and_status(net: World) -> None:
    job = net.submit()
    net.ask("GET", f"/v1/jobs/{job['id']}")
    net.ask("GET", "/v1/jobs/j-nobody")
    net.ask("GET", "/v1/jobs/j-nobody", by=None)
    net.ask("GET", f"/{'x' * 50}")
    registry = net.app.state.metrics.registry

    def count(route: str, status: int, method: str = "GET") -> float | None:
        labels = {"method": method, "route": route, "status": str(status)}
        value: float | None = registry.get_sample_value("suanwang_http_requests_total", labels)
        return value

    assert count("/v1/jobs", 201, "POST") == 1
    assert count("/v1/jobs/{job_id}", 200) == 1
    assert count("/v1/jobs/{job_id}", 404) == 1
    assert count("/v1/jobs/{job_id}", 401) == 1
    assert count("unmatched", 404) == 1
    text = net.ask("GET", "/metrics", by=None).text
    assert job["id"] not in text
    assert "xxxxx" not in text


def test_jobs_sites_turns_and_leases_are_shown(net: World) -> None:
    net.run("x\n")
    net.submit("waits")
    net.app.state.metrics.turned(Turn(leased=5, stale=2, fenced=1), 0.02)
    text = net.ask("GET", "/metrics", by=None).text
    for line in (
        'suanwang_jobs{state="succeeded"} 1.0',
        'suanwang_jobs{state="queued"} 1.0',
        'suanwang_jobs{state="failed"} 0.0',
        "suanwang_queue_length 1.0",
        'suanwang_sites{state="reachable"} 1.0',
        "suanwang_leases_granted_total 3.0",
        "suanwang_leases_fenced_total 1.0",
        "suanwang_turn_seconds_count 1.0",
        'suanwang_turn_seconds_bucket{le="0.025"} 1.0',
    ):
        assert line in text.splitlines(), line


def test_two_networks_in_one_process_do_not_mix(net: World) -> None:
    other = create_app(net.network, metrics_of=Metrics(CollectorRegistry(), net.network))
    net.ask("GET", "/v1/health")
    labels = {"method": "GET", "route": "/v1/health", "status": "200"}
    assert net.app.state.metrics.registry.get_sample_value("suanwang_http_requests_total", labels) == 1
    assert other.state.metrics.registry.get_sample_value("suanwang_http_requests_total", labels) is None


def test_a_request_is_logged_without_its_secrets(net: World) -> None:
    with structlog.testing.capture_logs() as lines:
        net.submit(env={"HF_TOKEN": "hf_abc"})
        net.ask("GET", "/v1/jobs?name=hunter2")
        net.ask("GET", "/v1/jobs", token="sw_wrong-secret")
    asked = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"], line["principal"]) for line in asked] == [
        ("POST", "/v1/jobs", 201, "alice"),
        ("GET", "/v1/jobs", 200, "alice"),
        ("GET", "/v1/jobs", 401, None),
    ]
    assert all(line["ms"] >= 0 for line in asked)
    for secret in ("secret-of-alice", "hf_abc", "hunter2", "sw_wrong-secret"):
        assert secret not in str(lines)


def test_what_nobody_foresaw_is_logged_without_local_variables(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        secret = "sw_local"
        raise RuntimeError(f"{len(secret)} letters")

    monkeypatch.setattr(net.store, "last_seq", broken)
    with structlog.testing.capture_logs() as lines:
        net.ask("GET", "/v1/health")
    (line,) = [line for line in lines if line["event"] == "unforeseen"]
    assert "RuntimeError: 8 letters" in line["trace"]
    assert "exc_info" not in line


def test_answers_are_not_kept_by_anyone_on_the_way(net: World) -> None:
    reply = net.ask("GET", "/v1/whoami")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
