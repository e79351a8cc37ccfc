"""The page of agreements: both sides see terms, signatures and levels; others see nothing; credits carry their evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from tests.unit.api.api_world import World, world
from tests.unit.signing import in_force, public

from suanwang.trading.agreements import fingerprint, month_begins, month_number
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        mount_web(made.app, made.network)
        yield made


def page(net: World, by: str, **params: str) -> httpx.Response:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}"}
    return net.ask("GET", "/agreements", by=None, headers=headers, params=params)


def test_both_sides_see_what_they_signed(net: World) -> None:
    assert "No agreement yet" in page(net, "alice").text
    view = in_force(net)
    net.clock.at += timedelta(hours=1)
    for by in ("alice", "guian", "rita"):
        text = page(net, by).text
        for expected in (
            "signed by both",
            "Night work first.",
            view["digest"],
            "This month until now",
            "nothing to measure",
        ):
            assert expected in text, (by, expected)
        for who in ("alice", "guian"):
            assert fingerprint(public(who)) in text
    assert view["digest"] not in page(net, "bob").text
    assert "双方已签署" in page(net, "alice", lang="zh").text
    assert page(net, "alice", cursor="x").status_code == 422
    assert net.ask("GET", "/agreements", by=None, headers={"Accept": "text/html"}).status_code in (303, 401)


def test_a_credit_shows_its_evidence(net: World) -> None:
    in_force(net, levels=[{"measure": "availability", "steps": [{"bound": 999_000, "credit_bp": 10_000}]}])
    agent = net.agent()
    agent.tell()
    net.submit(resources={"cores": 4})
    net.network.turn()
    agent.run_all("42")
    net.clock.at = month_begins(month_number(net.clock.at) + 1) + timedelta(hours=2)
    net.network.turn()
    text = page(net, "alice").text
    assert "Service credits" in text
    assert "demo-guian 2026-03: ¥0.0" in text
    wallet = net.ask("GET", "/wallet", by=None, headers={"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-alice"})
    assert "/agreements" in wallet.text
