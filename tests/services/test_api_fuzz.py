"""Schemathesis over the API's own description: no input may cause a 5xx, and every answer is as described."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.unit.api.api_world import NOW, World, offering, world
from tests.unit.signing import in_force

from suanwang.domain.ids import AllocationId, JobId, SiteId
from suanwang.domain.job import Point
from suanwang.domain.site import Price

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 10
"""Of each kind and operation; with a fixed seed, so that a failure comes again."""

OPERATIONS = 40
"""About as many as there are, so that none is passed over unseen."""

SELDOM_RIGHT = 14
"""At most so many operations have bodies that chance never gets right; the unit tests reach what is behind those."""

_YEAR = {"from_at": "2026-01-01T00:00:00Z", "to_at": "2027-01-01T00:00:00Z"}
QUERIES = {"account": "project:demo", "from_size": 1, "index": 0, "version": "1.0", "format": "focus"} | _YEAR
"""Query parameters that name something there is."""

_HOURS = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T02:00:00Z"}


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with world() as made:
        yield made


def _known(made: World) -> Mapping[str, str]:
    """Path parameters that exist, so that what lies behind them is reached."""
    made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
    job, _ = made.run("epoch 1\n", "epoch 2\n")
    made.network.turn()  # Settles what was billed.
    lines = made.ask("GET", "/v1/bills/lines").json()["items"]
    usage = next(line["usage_id"] for line in lines if line["amount_fen"] > 0)
    assert made.ask("POST", "/v1/disputes", json={"usage": usage, "text": "Why?"}).status_code == 201
    made.store.add_output((), _steps(JobId(job["id"])))
    made.submit("waiting", resources={"cores": 8})
    sha256 = hashlib.sha256(b"data").hexdigest()
    made.ask("PATCH", f"/v1/blobs/{sha256}", content=b"data", headers={"Upload-Offset": "0"})
    made.ask("POST", f"/v1/blobs/{sha256}/finish?size=4")
    named = made.ask("PUT", "/v1/projects/demo/files/data", json={"sha256": sha256, "size": 4})
    assert named.status_code == 200, named.text
    quoted = made.ask("POST", "/v1/quotes", json={"work": "core_hours", "core_hours": 2})
    on_sale = {"id": "fuzzed-cores-1", "site": "guian", "device": "core", "count": 1, "price_fen": 8, **_HOURS}
    assert made.ask("POST", "/v1/market/offers", by="olga", json=on_sale).status_code == 201
    stands = {"id": "fuzzed-order-1", "devices": ["core"], "count": 1, "limit_fen": 12, **_HOURS}
    assert made.ask("POST", "/v1/market/orders", json=stands).status_code == 201
    other = {**on_sale, "id": "fuzzed-cores-2", "start": "2026-03-09T00:00:00Z", "end": "2026-03-09T02:00:00Z"}
    assert made.ask("POST", "/v1/market/offers", by="olga", json=other).status_code == 201
    at_once = {**stands, "id": "fuzzed-order-2", "start": other["start"], "end": other["end"], "way": "now"}
    assert made.ask("POST", "/v1/market/orders", json=at_once).status_code == 201
    in_force(made, id="fuzzed-terms")
    thing = {
        "id": "fuzzed-thing",
        "version": "1.0",
        "title_en": "A",
        "title_zh": "甲",
        "kind": "model",
        "licence": "MIT",
    }
    sold = {**thing, "project": "demo", "sha256": sha256, "charge": "copy", "price_fen": 0}
    assert made.ask("POST", "/v1/listings", json=sold).status_code == 201
    return {
        "agreement_id": "fuzzed-terms",
        "version": "1",
        "listing_id": "fuzzed-thing",
        "offer_id": "fuzzed-cores-1",
        "order_id": "fuzzed-order-1",
        "right_id": "fuzzed-order-2.1",
        "job_id": job["id"],
        "usage_id": usage,
        "site_id": "guian",
        "project": "demo",
        "name": "data",
        "sha256": sha256,
        "quote_id": quoted.json()["id"],
        "experiment_id": _experiment(made),
        "model": "nvidia-h100-sxm",
        "month": "2026-03",
    }


def _experiment(made: World) -> str:
    """One that is done, so that it has a report."""
    started = made.ask("POST", "/v1/twin/experiments", by="olga", json={"text": "experiment: week"})
    assert made.laboratory.settled(60)
    return str(started.json()["id"])


def _caller(path: str) -> str:
    """The operator may do most; for a party to an agreement or of a bill line nobody speaks but itself."""
    parties = "/agreements" in path or ("/disputes" in path and not path.endswith("/decision"))
    return "alice" if parties else "olga"


def _steps(job_id: JobId) -> list[Point]:
    """What a trial writes: ten steps, a second each."""
    values = {"allocation_id": AllocationId(f"{job_id}-1"), "job_id": job_id, "name": "elapsed_s", "at": NOW}
    return [Point(line=n, step=float(n), value=float(n), **values) for n in range(1, 11)]  # type: ignore[arg-type]


def _fuzzed(operation: Any, mode: Any, token: str, known: Mapping[str, str]) -> int:
    """The number of requests sent."""
    sent = 0

    @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def every_answer_is_as_described(case: Any, existing: bool) -> None:
        nonlocal sent
        if existing:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
            case.query = {name: QUERIES.get(name, value) for name, value in (case.query or {}).items()}
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
        sent += 1

    try:
        every_answer_is_as_described()
    except Unsatisfiable:
        # Nothing about an operation without parameters or body can be wrong.
        assert mode is schemathesis.GenerationMode.NEGATIVE
        assert not operation.body
    return sent


def test_every_operation_answers_as_described(running: World) -> None:
    known = _known(running)
    agent = running.agent().credential
    assert agent is not None
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", running.app)
    sent: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        token = agent if "/agent/" in operation.path else f"secret-of-{_caller(operation.path)}"
        sent[operation.label] = sum(_fuzzed(operation, mode, token, known) for mode in schemathesis.GenerationMode)
    assert len(sent) >= OPERATIONS
    assert all(sent.values()), sent
    answered = {
        (sample.labels["method"], sample.labels["route"].replace(":path", ""))
        for metric in running.app.state.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "suanwang_http_requests_total" and sample.labels["status"].startswith("2")
    }
    never = {label for label in sent if tuple(label.split(" ")) not in answered}
    assert len(never) <= SELDOM_RIGHT, f"what is behind these operations was never reached: {sorted(never)}"
