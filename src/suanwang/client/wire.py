"""One HTTP call: sent, answered or not, and what that means.

Owns the turn of transport failures and error replies into the product's error kinds, and the rule when a call may be
repeated. Knows no route.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from suanwang.client.problems import Retry, from_problem, rule_of
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, SuanwangError, Unavailable, UnreadableReply

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a harmless call is repeated. Pauses double from `first_pause_s`, spread by chance."""

    retries: int = 4
    first_pause_s: float = 0.25
    budget_s: float = 20.0
    """Of pauses in all."""
    pause: Callable[[float], None] = time.sleep


class Wire:
    """Calls to one network with one token. Not more than one thread may change `token` at a time."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
        verify: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidRequest(f"{url!r} is no address of a network", field="url", allowed="http://… or https://…")
        self.token = token
        self._patience = patience or Patience()
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            transport=transport,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            verify=verify,
            headers={"User-Agent": "suanwang", **(headers or {})},
        )

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        harmless: bool | None = None,
    ) -> httpx.Response:
        """A whole answer with a status below 400. `harmless`: repeating it changes nothing (by default GET and HEAD).

        Raises the error that a problem+json answer stands for, `Unavailable` where nothing was done, `OutcomeUnknown`
        where it was sent and no answer came.
        """
        sent = dict(headers or {})
        if json is not None:
            content = orjson.dumps(json, default=_plain)
            sent["Content-Type"] = "application/json"
        repeatable = method in ("GET", "HEAD") if harmless is None else harmless

        def once() -> httpx.Response:
            with _faults(method, path):
                reply = self._http.request(
                    method, path, params=_given(params), content=content, headers=self._with_token(sent)
                )
            if reply.status_code >= 400:
                raise _error_of(reply)
            return reply

        return self._patiently(once, repeatable)

    @contextmanager
    def streaming(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = None,
    ) -> Iterator[httpx.Response]:
        """A GET whose body is read as it comes, once; reading it may raise `Unavailable`."""
        timeout = self._http.timeout
        if read_timeout_s is not None:
            timeout = httpx.Timeout(timeout.connect, read=read_timeout_s)
        with (
            _faults("GET", path, reading=True),
            self._http.stream(
                "GET", path, params=_given(params), headers=self._with_token(dict(headers or {})), timeout=timeout
            ) as reply,
        ):
            if reply.status_code >= 400:
                reply.read()
                raise _error_of(reply)
            yield reply

    def _with_token(self, headers: dict[str, str]) -> dict[str, str]:
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def _patiently(self, once: Callable[[], httpx.Response], repeatable: bool) -> httpx.Response:
        left, pause = self._patience.budget_s, self._patience.first_pause_s
        for attempt in range(self._patience.retries + 1):
            try:
                return once()
            except SuanwangError as error:
                retry = rule_of(error).retry
                may = retry is Retry.WAIT or (retry is Retry.LOOK_UP and repeatable)
                if not may or attempt == self._patience.retries or left <= 0:
                    raise
            # Spread, so that many callers who failed together do not come back together.
            wait = min(pause * (0.5 + random.random()), _LONGEST_PAUSE_S, left)
            self._patience.pause(wait)
            left -= wait
            pause *= 2
        raise AssertionError("the last attempt returns or raises")


@contextmanager
def _faults(method: str, path: str, *, reading: bool = False) -> Iterator[None]:
    try:
        yield
    except _NOT_SENT as error:
        raise Unavailable(
            f"the network cannot be reached ({_words(error)}): is it up, and the address right?"
        ) from error
    except httpx.TransportError as error:
        if reading:
            raise Unavailable(f"the line broke while reading ({_words(error)}): go on from there") from error
        raise OutcomeUnknown(
            f"{method} {path} was sent and no answer came ({_words(error)}): look before asking again", tag=path
        ) from error
    except (httpx.InvalidURL, httpx.DecodingError) as error:
        raise UnreadableReply(f"the answer cannot be read: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _error_of(reply: httpx.Response) -> SuanwangError:
    try:
        body: object = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        body = None
    return from_problem(reply.status_code, body)


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if params is None:
        return None
    return {name: value for name, value in params.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)
