"""The OpenAPI description: bodies that are read by hand, examples, and the common error.

Owns what FastAPI cannot find out by itself. Knows no use case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from suanwang.api.asking import REF
from suanwang.client.models import Answer, Asked, Problem
from suanwang.client.problems import MEDIA_TYPE

Extra = dict[str, Any]

OPEN: Extra = {"security": []}
"""For the few operations that need no token."""

FAULT: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error (RFC 9457): `type` ends in its kind, `detail` says what to do next",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": REF.format(model="Problem")},
                "example": {
                    "type": "urn:suanwang:problem:invalid-request",
                    "title": "The request is not valid",
                    "status": 422,
                    "detail": "task: line 3, resources.cores: 0 is out of range (allowed: a whole number from 1 to 4096)",
                    "field": "resources.cores",
                    "allowed": "a whole number from 1 to 4096",
                    "problems": [
                        {
                            "field": "resources.cores",
                            "message": "0 is out of range",
                            "allowed": "a whole number from 1 to 4096",
                            "line": 3,
                        }
                    ],
                },
            }
        },
    }
}


def takes(name: str, example: object, *, also: Mapping[str, object] | None = None) -> Extra:
    """`openapi_extra` for a JSON body whose schema is the component `name`; `also`: other media types and examples."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": REF.format(model=name)}, "example": example}}
    for media_type, text in (also or {}).items():
        content[media_type] = {"schema": {"type": "string"}, "example": text}
    return {"requestBody": {"required": True, "content": content}}


def takes_bytes(description: str) -> Extra:
    """`openapi_extra` for a body of raw bytes."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def streams(description: str) -> dict[str, Any]:
    """The part of `responses` for server-sent events beside JSON; the schema is that of one event."""
    fields = {
        "id": "The event's number: send the last one as Last-Event-ID to go on",
        "event": "Its kind",
        "data": "JSON",
    }
    event = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in fields.items()},
        "required": ["data"],
    }
    return {"description": description, "content": {"text/event-stream": {"schema": event}}}


class HasSchemas(Protocol):
    """A reader of bodies that knows their JSON schemas."""

    def schemas(self) -> Mapping[str, Any]:
        """By the name of their component."""


def install(
    app: FastAPI, asked: Sequence[type[Asked]], strict: Sequence[HasSchemas], told: Sequence[type[Answer]]
) -> None:
    """Describe `app` once, on first request, with the schemas of bodies (`asked`, `strict`) and of streams (`told`)."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, asked, strict, told)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _described(
    app: FastAPI, asked: Sequence[type[Asked]], strict: Sequence[HasSchemas], told: Sequence[type[Answer]]
) -> dict[str, Any]:
    described: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = described.setdefault("components", {})
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token from `suanwang token`"}
    }
    described["security"] = [{"token": []}]
    schemas = components.setdefault("schemas", {})
    _, bodies = models_json_schema([(model, "validation") for model in asked], ref_template=REF)
    schemas.update(bodies["$defs"])
    models: list[type[BaseModel]] = [Problem, *told]
    _, answers = models_json_schema([(model, "serialization") for model in models], ref_template=REF)
    schemas.update(answers["$defs"])
    for reader in strict:
        schemas.update({name: part for name, part in reader.schemas().items() if name not in schemas})
    for model, example in EXAMPLES.items():
        if model in schemas:
            schemas[model]["examples"] = [example]
    return described


_AT = "2026-03-01T02:00:00Z"


def _figures(price_yuan: float, carbon_g: float, finish_s: float) -> Extra:
    return {
        "price_yuan": price_yuan,
        "carbon_g": carbon_g,
        "energy_kwh": 0.025,
        "finish_s": finish_s,
        "delay_ms": None,
        "electricity": None,
    }


EXAMPLES: Mapping[str, Extra] = {
    "JobView": {
        "id": "j-0000000000000001",
        "name": "train-digits",
        "project": "demo",
        "owner": "alice",
        "state": "running",
        "site": "guian",
        "array": None,
        "submitted_at": _AT,
        "ready_at": _AT,
        "started_at": _AT,
        "ended_at": None,
        "reason": "",
        "exit_code": None,
        "usage": {
            "wall_s": 600.0,
            "core_hours": 0.667,
            "device_hours": 0.0,
            "energy_kwh": 0.0064,
            "carbon_g": 3.4,
            "cost_yuan": "0.0667",
        },
        "billed_fen": 7,
        "needs": [],
        "checkpoint": None,
        "attempts": 1,
        "hold": None,
    },
    "HoldView": {
        "site": "guian",
        "device_model": None,
        "start_at": "2026-03-01T15:00:00Z",
        "until": "2026-03-01T02:30:00Z",
        "expect": _figures(0.0005, 12.0, 50_400.0),
        "instead": {"site": "horinger", "device_model": None, "score": 1.4, "figures": _figures(0.0046, 15.0, 3600.0)},
    },
    "ExclusionView": {
        "site": "wuhu",
        "code": "circle",
        "text": "9.1 ms away one way; the job allows 5 ms",
        "need": "5",
        "have": "9.1",
    },
}
