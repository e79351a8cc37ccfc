"""Keys of parties, and agreements signed by both through the API, for tests of whatever shows them."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.api.api_world import World

from suanwang.trading.agreements import key_bytes, message_of

KEYS = {
    "alice": ("project:demo", Ed25519PrivateKey.from_private_bytes(b"a" * 32)),
    "guian": ("provider:guian-cloud", Ed25519PrivateKey.from_private_bytes(b"g" * 32)),
    "bob": ("project:other", Ed25519PrivateKey.from_private_bytes(b"b" * 32)),
}


def public(by: str) -> str:
    return KEYS[by][1].public_key().public_bytes_raw().hex()


def register(net: World, by: str) -> Any:
    party, key = KEYS[by]
    body = {"party": party, "key": public(by), "signature": key.sign(key_bytes(party, public(by))).hex()}
    return net.ask("POST", "/v1/agreements/keys", by=by, json=body)


def terms(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "demo-guian",
        "project": "demo",
        "provider": "guian-cloud",
        "sites": ["guian"],
        "first_month": "2026-03",
        "last_month": "2027-02",
        "levels": [
            {"measure": "availability", "steps": [{"bound": 999_000, "credit_bp": 1000}]},
            {"measure": "start", "steps": [{"bound": 60, "credit_bp": 500}]},
        ],
        "text": "Night work first.",
    }
    return {**values, **changes}


def draft(net: World, by: str = "alice", **changes: Any) -> Any:
    return net.ask("POST", "/v1/agreements", by=by, json=terms(**changes))


def signature(view: dict[str, Any], by: str) -> dict[str, str]:
    party, key = KEYS[by]
    message = message_of(view["id"], view["version"], view["digest"], party, public(by))
    return {"key": public(by), "signature": key.sign(message).hex()}


def sign(net: World, view: dict[str, Any], by: str, **changes: str) -> Any:
    path = f"/v1/agreements/{view['id']}/{view['version']}/signatures"
    return net.ask("POST", path, by=by, json={**signature(view, by), **changes})


def in_force(net: World, **changes: Any) -> dict[str, Any]:
    """An agreement that both have signed."""
    for by in ("alice", "guian"):
        assert register(net, by).status_code == 201
    made = draft(net, **changes)
    assert made.status_code == 201, made.text
    view: dict[str, Any] = made.json()["agreement"]
    for by in ("alice", "guian"):
        done = sign(net, view, by)
        assert done.status_code == 201, done.text
        view = done.json()["agreement"]
    return view
