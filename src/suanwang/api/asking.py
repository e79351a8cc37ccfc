"""What a request says: who calls, in which language, with which words and bytes, all of it distrusted.

Owns the limits of a request and its reading. Knows no use case. Whatever cannot be read is an `InvalidRequest` or
`TooLarge` that names the field, before any use case sees it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Depends, Header, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from suanwang.control.network import Network
from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.domain.identity import Principal
from suanwang.taskfile.problems import InvalidTask, Problem

TASK_BYTES = 2**20
"""Largest body of an ordinary request, task files among them."""
CHUNK_BYTES = 8 * 2**20
"""Largest piece of an upload."""
SYNC_BYTES = 16 * 2**20
"""Largest report of an agent."""
LARGEST_INTEGER = 2**53
"""Above it, JSON numbers mean different values to different readers."""
LARGEST_NUMBER = 2**63 - 1
"""Of an event or a piece of output."""
REF = "#/components/schemas/{model}"

_ODD = re.compile(rb"\\u0000|[0-9]{16}|[eE][+]?[0-9]{2}")
"""Only bodies with one of these can hold a NUL or a number out of bounds; they are searched value by value."""
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
_CURSOR = re.compile(r"[\x21-\x7e]{1,300}")
_MOST_PROBLEMS = 100
_WIDEST_OFFSET = timedelta(hours=14)
_YEARS = range(2000, 2200)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Ask:
    """One request. `caller` reaches the store, so handlers read it in their own thread."""

    __slots__ = ("_caller", "_request", "network", "secret")

    def __init__(self, request: Request, secret: str | None) -> None:
        self._request = request
        self._caller: Principal | None = None
        self.secret = secret
        self.network: Network = request.app.state.network

    @property
    def caller(self) -> Principal:
        """Raises `Unauthorized`."""
        if self._caller is None:
            self._caller = self.network.people.authenticate(self.secret)
            self._request.scope.get("suanwang", {})["principal"] = self._caller.name
        return self._caller

    @property
    def chinese(self) -> bool:
        """Whether `Accept-Language` prefers Chinese to English."""
        return prefers_chinese(self._request.headers.get("accept-language", ""))


def prefers_chinese(accept_language: str) -> bool:
    """Whether Chinese has a higher weight than any other language named (the first of equals wins)."""
    best, chinese = 0.0, False
    for part in accept_language[:500].split(","):
        tag, _, weight = part.partition(";")
        number = weight.strip().removeprefix("q=")
        value = float(number) if re.fullmatch(r"[01](\.[0-9]{0,3})?", number) else 1.0
        if value > best and tag.strip():
            best, chinese = value, tag.strip().lower().startswith("zh")
    return chinese


async def _ask(request: Request) -> Ask:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return Ask(request, secret.strip() or None if scheme.lower() == "bearer" else None)


Asked = Annotated[Ask, Depends(_ask)]

Limit = Annotated[int, Query(ge=1, le=500, description="Items on one page")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next` of the page before")]
After = Annotated[int, Query(ge=0, le=LARGEST_NUMBER, description="Only what has a higher number")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Your own name for this request, 1 to 200 printable ASCII characters: repeating it is harmless",
    ),
]


class Route(APIRoute):
    """Refuses query parameters nobody knows, and NUL in paths and queries, which no database takes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        allowed = frozenset(_query_names(self.dependant))
        template = self.path_format

        async def handle(request: Request) -> Response:
            request.scope.get("suanwang", {})["route"] = template
            for name, value in request.query_params.multi_items():
                if name not in allowed:
                    raise InvalidRequest(
                        f"there is no query parameter {name[:60]!r}",
                        field="query",
                        allowed=", ".join(sorted(allowed)) or "none",
                    )
                if "\0" in value:
                    raise InvalidRequest("there is a NUL character in it", field=name, allowed="text")
            for name, value in request.path_params.items():
                if "\0" in str(value):
                    raise InvalidRequest("there is a NUL character in it", field=name, allowed="text")
            return await inner(request)

        return handle


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def body_up_to(limit: int, *, stranger_first: bool = False) -> Callable[[Request, Ask], Awaitable[bytes]]:
    """A dependency that reads the body, at most `limit` bytes. `stranger_first`: only from a caller with a valid token."""

    async def read(request: Request, ask: Asked) -> bytes:
        if stranger_first:
            await run_in_threadpool(lambda: ask.caller)
        elif ask.secret is None:
            ask.network.people.authenticate(None)
        return await read_body(request, limit)

    return read


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises `TooLarge` by its announced length, or as soon as more arrives."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > limit):
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes: send less at once", field="body", allowed=f"up to {limit} bytes"
    )


Body = Annotated[bytes, Depends(body_up_to(TASK_BYTES))]
Chunk = Annotated[bytes, Depends(body_up_to(CHUNK_BYTES, stranger_first=True))]
Report = Annotated[bytes, Depends(body_up_to(SYNC_BYTES, stranger_first=True))]


def json_of(body: bytes) -> object:
    """The JSON value of a body, without NUL, infinities or integers beyond 2^53. Raises `InvalidRequest`."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", field="body", allowed="JSON in UTF-8") from None
    if _ODD.search(body):
        _check_values(value)
    return value


def _check_values(top: object) -> None:
    waiting = [top]
    while waiting:
        value = waiting.pop()
        match value:
            case str():
                if "\0" in value:
                    raise InvalidRequest("there is a NUL character in a text", field="body", allowed="text without NUL")
            case dict():
                waiting.extend(value.keys())
                waiting.extend(value.values())
            case list():
                waiting.extend(value)
            case int() | float():
                if not math.isfinite(value) or (abs(value) > LARGEST_INTEGER and float(value).is_integer()):
                    raise InvalidRequest(
                        "a number is out of bounds", field="body", allowed=f"up to {LARGEST_INTEGER} in size"
                    )


def model_of(kind: type[M], body: bytes) -> M:
    """The body as `kind`. Raises `InvalidTask` with every problem."""
    value = json_of(body)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise refusal(error) from None


class Strict(Generic[T]):
    """Bodies that are frozen dataclasses of the domain, read strictly: known fields, right types, finite numbers."""

    def __init__(self, kind: type[T]) -> None:
        # The union makes the configuration reach the dataclasses inside.
        union: Any = kind | None
        self._adapter: TypeAdapter[T | None] = TypeAdapter(
            union, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
        )

    def read(self, body: bytes) -> T:
        """The body as the dataclass. Raises `InvalidTask` with every problem."""
        if json_of(body) is None:
            raise InvalidRequest("the body is null", field="body", allowed="an object")
        try:
            value = self._adapter.validate_json(body)
        except ValidationError as error:
            raise refusal(error) from None
        assert value is not None, "null was refused"
        return value

    def schemas(self) -> Mapping[str, Any]:
        """JSON schemas by the name of their component, this one's among them."""
        found: Mapping[str, Any] = self._adapter.json_schema(ref_template=REF)["$defs"]
        return found


def refusal(error: ValidationError) -> InvalidTask:
    """A validator's complaints as one error of ours; the values complained of are not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return problems_of([(tuple(item["loc"]), item["msg"]) for item in found], "the body")


def problems_of(found: list[tuple[tuple[int | str, ...], str]], what: str) -> InvalidTask:
    """One error from (place, sentence) pairs."""
    problems = [
        Problem(field=".".join(str(part) for part in place)[:200] or "body", message=message)
        for place, message in found[:_MOST_PROBLEMS]
    ]
    return InvalidTask(problems, filename=what)


def possible_instant(value: datetime, field: str) -> datetime:
    """`value` in UTC. Raises `InvalidRequest` without an offset, or outside what clocks and databases hold."""
    offset = value.utcoffset()
    if offset is None or abs(offset) > _WIDEST_OFFSET or value.year not in _YEARS:
        raise InvalidRequest("this instant is not possible", field=field, allowed="from 2000 to 2199, with an offset")
    return value.astimezone(UTC)


def key_of(header: str | None) -> str | None:
    """An Idempotency-Key that is printable and short. Raises `InvalidRequest`."""
    if header is not None and not _KEY.fullmatch(header):
        raise InvalidRequest(
            "this Idempotency-Key is not possible",
            field="Idempotency-Key",
            allowed="1 to 200 printable ASCII characters",
        )
    return header


def paged(page: Callable[[str | None, int], T], cursor: str | None, limit: int) -> T:
    """`page(cursor, limit)`, where a cursor that the store did not make is the caller's fault."""
    if cursor is None:
        return page(None, limit)
    wrong = InvalidRequest("this cursor is not one of ours", field="cursor", allowed="`next` of the page before")
    if not _CURSOR.fullmatch(cursor):
        raise wrong
    try:
        return page(cursor, limit)
    except (ValueError, LookupError):
        raise wrong from None
