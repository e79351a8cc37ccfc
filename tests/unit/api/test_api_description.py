"""The OpenAPI description: complete, and its examples work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from openapi_spec_validator import validate
from tests.factories import pool
from tests.unit.api.api_world import World, offering, world

from suanwang.client import models
from suanwang.domain.file import Content
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.pricing import Asked, Package, Plan
from suanwang.domain.site import Price
from suanwang.trading.ledger import BANK, NETWORK, Transfer
from suanwang.trading.settlement import opened

_USERS = ("/jobs", "/quotes", "/agreements", "/disputes")
OPEN = {"/v1/health", "/v1/task-schema"}


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture(scope="module")
def described(net: World) -> dict[str, Any]:
    found: dict[str, Any] = net.ask("GET", "/v1/openapi.json", by=None).json()
    return found


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_it_is_valid(described: dict[str, Any]) -> None:
    validate(described)


def test_every_operation_says_what_it_does_and_how_it_fails(described: dict[str, Any]) -> None:
    seen = list(operations(described))
    assert len(seen) >= 40
    for path, method, operation in seen:
        assert operation["description"], (path, method)
        assert "application/problem+json" in operation["responses"]["default"]["content"], (path, method)
        assert (operation.get("security") == []) == (path in OPEN), (path, method)
        if method in ("POST", "PUT", "PATCH") and "requestBody" in operation:
            for media_type, body in operation["requestBody"]["content"].items():
                assert media_type == "application/octet-stream" or "example" in body, (path, method)


def keep_hello(net: World) -> None:
    """The file that the example of a listing sells."""
    digest = hashlib.sha256(b"hello").hexdigest()
    net.network.artefacts.append(net.operator, digest, 0, b"hello")
    net.network.artefacts.finish(net.operator, digest, 5)
    net.network.artefacts.name(net.operator, ProjectId("demo"), "hello", Content(sha256=digest, size=5))


def sell_package(net: World) -> None:
    """What the example of a plan buys."""
    device = "huawei-ascend-910b"
    price = Price(core_hour_yuan=Decimal(1), device_hour_yuan={device: Decimal(9)})
    changed = offering(devices=(pool(device, count=1, per_node=1),), price=price)
    net.network.sites.change(net.operator, SiteId("guian"), changed)
    package = Package(
        name="month of 100 h", plan=Plan.SUBSCRIPTION, device=device, device_hours=100, fee_yuan=Decimal(350)
    )
    net.network.prices.publish(net.operator, SiteId("guian"), Asked(core_hour_yuan=Decimal(1), packages=(package,)))
    net.clock.at += timedelta(seconds=2)


def nothing(net: World) -> None:
    """Most examples need nothing to be there."""


PREPARED: Mapping[str, Callable[[World], None]] = {"/v1/listings": keep_hello, "/v1/plans": sell_package}


def a_billed_line(net: World) -> str:
    """A line that comes to some fen, which the example of a dispute is about."""
    net.network.sites.change(net.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
    net.run("hello\n")
    net.network.turn()
    lines: list[dict[str, Any]] = net.ask("GET", "/v1/bills/lines").json()["items"]
    return str(next(line["usage_id"] for line in lines if line["amount_fen"] > 0))


def test_no_other_path_is_described(described: dict[str, Any]) -> None:
    assert all(path.startswith("/v1/") for path in described["paths"])


def cores_traded(net: World) -> None:
    """Four cores on sale over the hours of the example, two of them bought. Repeating it changes nothing."""
    hours = {"start": "2026-03-05T14:00:00Z", "end": "2026-03-06T00:00:00Z", "device": "core"}
    offer = {"id": "example-offer-1", "site": "guian", "count": 4, "price_fen": 98, **hours}
    assert net.ask("POST", "/v1/market/offers", by="olga", json=offer).status_code == 201
    hours["devices"] = [hours.pop("device")]  # type: ignore[assignment]
    order = {"id": "example-order-1", "project": "demo", "count": 2, "way": "now", **hours}
    assert net.ask("POST", "/v1/market/orders", by="olga", json=order).status_code == 201


def earned(net: World) -> None:
    """The network has what an operator may put into its guarantee."""
    net.store.open_accounts([opened(BANK), opened(NETWORK)])
    move = Transfer(id="earned", chain="earned", debit=BANK, credit=NETWORK, amount_fen=100_000, code="top_up")
    assert net.store.post([(move,)], net.clock.at)[0].done


def test_examples_of_bodies_are_accepted(net: World, described: dict[str, Any]) -> None:
    tried, usage = 0, ""
    for path, method, operation in operations(described):
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            if "example" not in body or "/agent/" in path or "/files/" in path:
                continue
            example = body["example"]
            if path == "/v1/sites":
                example = {**example, "id": "another"}
            if path == "/v1/vouchers/{voucher_id}/jobs":
                example = {"job": net.submit()["id"]}
            if path == "/v1/disputes":
                usage = a_billed_line(net)
                example = {**example, "usage": usage}
            PREPARED.get(path, nothing)(net)
            if path in ("/v1/market/reclaims", "/v1/market/rights/{right_id}/cancel"):
                cores_traded(net)
            if path == "/v1/market/guarantee":
                earned(net)
            sent: dict[str, Any] = {"content": example} if isinstance(example, str) else {"json": example}
            if path == "/v1/sites/{site_id}":
                net.ask("POST", "/v1/sites", by="olga", json={"id": "other", "offering": example})
            reply = net.ask(
                method,
                path.format(
                    site_id="other",
                    project_id="demo",
                    voucher_id="chengdu-2026-001",
                    listing_id="digits-classifier",
                    agreement_id="demo-guian",
                    version=1,
                    usage_id=usage,
                    right_id="example-order-1.1",
                ),
                by="alice" if any(part in path for part in _USERS) and "/decision" not in path else "olga",
                headers={"Content-Type": media_type},
                **sent,
            )
            assert reply.status_code < 300, (path, media_type, reply.text)
            if path == "/v1/jobs/preview":
                assert reply.json()["problems"] == []
            tried += 1
    assert tried >= 21


def test_examples_of_answers_are_answers(described: dict[str, Any]) -> None:
    shown = [
        (name, example)
        for name, part in described["components"]["schemas"].items()
        for example in part.get("examples", ())
    ]
    assert len(shown) >= 2
    for name, example in shown:
        getattr(models, name).model_validate(example)
