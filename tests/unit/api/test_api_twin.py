"""The API of the twin's experiments, by the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.api.api_world import World, world

from suanwang.client import Client, twin_models
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world() as made:
        yield made


def client(net: World, name: str) -> Client:
    return Client("http://network", f"secret-of-{name}", transport=net.transport)


def test_an_experiment_from_its_text_to_its_report(net: World) -> None:
    made = client(net, "olga").start_experiment(text="experiment: week", title="Mine")
    assert (made.title, made.kind, made.by, made.state in ("queued", "running")) == ("Mine", "experiment", "olga", True)
    assert net.laboratory.settled(PATIENCE_S)
    alice = client(net, "alice")
    assert alice.experiment(made.id).state == "done"
    assert alice.experiment_report(made.id) == "{}"
    assert made.id in [each.id for each in alice.experiments().items]
    reply = net.ask("GET", f"/v1/twin/experiments/{made.id}/report")
    assert "sandbox allow-scripts" in reply.headers["content-security-policy"]
    assert reply.headers["content-type"].startswith("text/html")
    with pytest.raises(Forbidden):
        alice.delete_experiment(made.id)
    client(net, "olga").delete_experiment(made.id)
    with pytest.raises(NotFound):
        alice.experiment(made.id)


def test_what_if_plays_the_live_network(net: World) -> None:
    olga = client(net, "olga")
    with pytest.raises(InvalidRequest, match="no site 'guian' is connected"):
        olga.start_experiment(what_if=twin_models.WhatIf(lose_site="guian"))
    net.agent().tell()
    net.submit("one")
    doubled = olga.start_experiment(what_if=twin_models.WhatIf(price_factor=2.0))
    assert (doubled.kind, doubled.title) == ("what-if", "price × 2")
    with pytest.raises(InvalidRequest, match="only site"):
        olga.start_experiment(what_if=twin_models.WhatIf(lose_site="guian"))
    with pytest.raises(InvalidRequest, match="two ends"):
        olga.start_experiment(what_if=twin_models.WhatIf(lose_link="guian", lose_link_to="guian"))
    with pytest.raises(InvalidRequest, match="nothing is changed"):
        olga.start_experiment(what_if=twin_models.WhatIf())
    assert net.laboratory.settled(PATIENCE_S)


@pytest.mark.parametrize(
    "body",
    [{}, {"text": "a", "example": "b"}, {"text": ""}, {"example": "none"}, {"what_if": {"hours": 1}}, {"text": 3}],
)
def test_a_wrong_request_is_refused(net: World, body: dict[str, object]) -> None:
    reply = net.ask("POST", "/v1/twin/experiments", by="olga", json=body)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("who", ["alice", "guian"])
def test_only_operators_and_regulators_start(net: World, who: str) -> None:
    assert net.ask("POST", "/v1/twin/experiments", by=who, json={"text": "experiment: a"}).status_code == 403
    assert net.ask("GET", "/v1/twin/experiments", by=None).status_code == 401


def test_without_a_home_starting_is_a_conflict(net: World) -> None:
    bare = World(net.portal)
    with pytest.raises(Conflict):
        client(bare, "olga").start_experiment(text="experiment: a")
