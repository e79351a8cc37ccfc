"""Routes a site's agent speaks to: join and sync. Everything an agent says is distrusted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import orjson
from fastapi import APIRouter, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Chunk, Report, Route, Strict, possible_instant
from suanwang.api.describing import FAULT, takes, takes_bytes
from suanwang.client import models
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.exchange import RunReport, SyncReply, SyncRequest
from suanwang.domain.file import checked_content
from suanwang.domain.identity import Role

router = APIRouter(prefix="/v1/agent", tags=["agents"], route_class=Route, responses=FAULT)

REQUEST = Strict(SyncRequest)
_NUL = b"\\u0000"
_EXIT_CODES = range(-(2**31), 2**31)
_EPOCHS = range(2**31)


@router.post("/join", response_model=models.JoinAnswer)
def join(ask: Asked) -> Response:
    """Begin a session: older ones of the same site are refused from now on. A join token gets a credential of its own."""
    joined = ask.network.sites.join(ask.caller)
    reply = joined.reply
    return answer(
        {
            "site_id": reply.site_id,
            "session": reply.session,
            "lease_ttl_s": reply.lease_ttl_s,
            "poll_s": reply.poll_s,
            "fence_margin_s": reply.fence_margin_s,
            "credential": joined.credential,
        }
    )


@router.post(
    "/sync",
    response_model=SyncReply,
    openapi_extra=takes("SyncRequest", {"session": 1, "sent_at": "2026-03-01T02:00:00Z", "runs": [], "samples": []}),
)
def sync(ask: Asked, body: Report) -> Response:
    """An agent's report of the present; the answer says which leases stand. Repeating it is harmless."""
    caller = ask.caller
    request = REQUEST.read(_without_nul(body))
    _check(request)
    return answer(ask.network.sites.sync(caller, request))


@router.post("/echo", response_class=Response, openapi_extra=takes_bytes("Anything, at most 8 MiB"))
def echo(ask: Asked, body: Chunk) -> Response:
    """The body back: a probe measures with it what the line to the network carries."""
    ask.caller.must_be(Role.AGENT)
    return Response(body, media_type="application/octet-stream")


def _without_nul(body: bytes) -> bytes:
    """Programs may print NUL; a report that carries one in a log must not be refused for ever."""
    if _NUL not in body:
        return body
    try:
        return orjson.dumps(_replaced(orjson.loads(body)))
    except orjson.JSONDecodeError:
        return body


def _replaced(value: object) -> object:
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case list():
            return [_replaced(item) for item in value]
        case dict():
            return {str(_replaced(key)): _replaced(item) for key, item in value.items()}
        case _:
            return value


def _check(request: SyncRequest) -> None:
    """Raises `InvalidRequest` for values that no clock, process or file can have."""
    for field, instant in _instants(request):
        if instant is not None:
            possible_instant(instant, field)
    for index, run in enumerate(request.runs):
        _check_run(run, f"runs[{index}]")


def _check_run(run: RunReport, field: str) -> None:
    if run.exit_code is not None and run.exit_code not in _EXIT_CODES:
        raise InvalidRequest("an exit code is not possible", field=f"{field}.exit_code", allowed="32 bits")
    if run.epoch not in _EPOCHS:
        raise InvalidRequest("an epoch is not possible", field=f"{field}.epoch", allowed="0 to 2^31 - 1")
    for number, piece in enumerate(run.logs):
        if piece.stream not in ("stdout", "stderr") or piece.offset < 0 or piece.size < 0:
            raise InvalidRequest(
                "a piece of output is not possible",
                field=f"{field}.logs[{number}]",
                allowed="stdout or stderr, offset and size from 0",
            )
    for content in (run.checkpoint, *(output.content for output in run.outputs)):
        if content is not None:
            checked_content(content.sha256, content.size, content.folder)


def _instants(request: SyncRequest) -> Iterator[tuple[str, datetime | None]]:
    yield "sent_at", request.sent_at
    for index, run in enumerate(request.runs):
        yield f"runs[{index}].started_at", run.started_at
        yield f"runs[{index}].seen_from", run.seen_from
        yield f"runs[{index}].ended_at", run.ended_at
    for index, sample in enumerate(request.samples):
        yield f"samples[{index}].observed_at", sample.observed_at
