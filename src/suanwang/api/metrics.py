"""Prometheus metrics: what the network holds, read when asked, and what requests and turns came to.

Owns the names of the series. The registry is handed in, so that two networks in one process do not mix.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from suanwang.control.network import Network
from suanwang.control.tick import Turn
from suanwang.domain.lifecycle import JobState, SiteState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Series of one network in `registry`."""

    def __init__(self, registry: CollectorRegistry, network: Network) -> None:
        self.registry = registry
        self._requests = Counter(
            "suanwang_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self._request_s = Histogram(
            "suanwang_http_request_seconds",
            "Time until an answer began",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._leases = Counter("suanwang_leases_granted", "Leases that turns granted", registry=registry)
        self._fenced = Counter("suanwang_leases_fenced", "Leases taken back from silent sites", registry=registry)
        self._turn_s = Histogram(
            "suanwang_turn_seconds", "Duration of one turn of the control loop", buckets=_SECONDS, registry=registry
        )
        self._gap = Gauge(
            "suanwang_plan_gap",
            "How far the starts of the last plan were above its own bound, each job alone on the network",
            registry=registry,
        )
        registry.register(_Holdings(network))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request. `route` is a template such as `/v1/jobs/{job_id}`, never an address."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def turned(self, turn: Turn, seconds: float) -> None:
        """One turn of the control loop."""
        self._leases.inc(turn.leased - turn.stale if turn.leased > turn.stale else 0)
        self._fenced.inc(turn.fenced)
        if turn.leased:
            self._gap.set(turn.gap)
        self._turn_s.observe(seconds)


class _Holdings(Collector):
    """Jobs and sites by state, read from the store at each scrape."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        counts = self._network.store.count_jobs()
        jobs = GaugeMetricFamily("suanwang_jobs", "Jobs by state", labels=("state",))
        for state in JobState:
            jobs.add_metric((state.value,), counts.get(state, 0))
        yield jobs
        yield GaugeMetricFamily("suanwang_queue_length", "Jobs ready for a site", counts.get(JobState.QUEUED, 0))
        sites = GaugeMetricFamily("suanwang_sites", "Sites by state", labels=("state",))
        states = [site.state for site in self._network.store.sites()]
        for site_state in SiteState:
            sites.add_metric((site_state.value,), states.count(site_state))
        yield sites


router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def scrape(request: Request) -> Response:
    """Every series as text. Sums only: no names of people, projects or jobs."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE)
