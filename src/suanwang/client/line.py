"""How a client asks: one resource, a stream of bytes, pages one after the other, a change that may be repeated.

Owns that answers are read strictly. The calls about each subject are built on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from suanwang.client.wire import Wire
from suanwang.domain.errors import UnreadableReply

M = TypeVar("M", bound=BaseModel)


class Line:
    """One caller's line to the network."""

    _wire: Wire

    def _get(self, path: str, kind: type[M], params: Mapping[str, Any] | None = None) -> M:
        return read(kind, self._wire.call("GET", path, params=params))

    def _bytes(self, path: str, params: Mapping[str, Any]) -> bytes:
        return self._wire.call("GET", path, params=params).content

    def _stream(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        with self._wire.streaming(path, params=params) as reply:
            yield from reply.iter_bytes()

    def _change(self, method: str, path: str, kind: type[M], body: Mapping[str, Any]) -> M:
        return read(kind, self._wire.call(method, path, json=body, harmless=True))

    def _pages(self, path: str, params: Mapping[str, Any], kind: type[M]) -> Iterator[M]:
        cursor: str | None = None
        while True:
            page = self._get(path, kind, {**params, "cursor": cursor})
            yield page
            cursor = getattr(page, "next", None)
            if cursor is None:
                return


def read(kind: type[M], reply: httpx.Response) -> M:
    return parsed(kind, reply.content)


def parsed(kind: type[M], text: str | bytes) -> M:
    """Raises `UnreadableReply`."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UnreadableReply(f"the network's answer is not understood: is the client too old? ({error})") from error
