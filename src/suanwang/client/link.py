"""An agent's line to the network over HTTP.

Owns how an agent's calls look on the wire. It repeats nothing by itself: the agent decides, and every call may be
repeated without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from suanwang.client.models import JoinAnswer
from suanwang.client.wire import Patience, Wire
from suanwang.domain.errors import Unavailable, UnreadableReply
from suanwang.domain.exchange import JoinReply, SyncReply, SyncRequest
from suanwang.domain.ids import SiteId

_JOIN: TypeAdapter[JoinAnswer] = TypeAdapter(JoinAnswer)
_REPLY: TypeAdapter[SyncReply] = TypeAdapter(SyncReply)
T = TypeVar("T")


class HttpLink:
    """Implements `ports.Link` towards `url`.

    `token` is a join token or the agent's own credential. `on_credential` is called with the credential a join token is
    exchanged for, before it is used: keep it, it is shown this once.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        on_credential: Callable[[str], None] | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 30.0,
        verify: bool = True,
    ) -> None:
        self._on_credential = on_credential
        self._joined: JoinAnswer | None = None
        self._wire = Wire(
            url, token, transport=transport, timeout_s=timeout_s, patience=Patience(retries=0), verify=verify
        )

    def close(self) -> None:
        self._wire.close()

    @property
    def site_id(self) -> SiteId:
        """The site of this agent's credential, once joined."""
        return SiteId(self._session().site_id)

    @property
    def poll_s(self) -> float:
        """How often the network wants to hear from the agent, once joined."""
        return self._session().poll_s

    @property
    def fence_margin_s(self) -> float:
        """How long after a lease its run may take to end, once joined."""
        return self._session().fence_margin_s

    def _session(self) -> JoinAnswer:
        if self._joined is None:
            raise Unavailable("this agent has not joined yet")
        return self._joined

    def join(self) -> JoinReply:
        """Begin a session. Raises `Unauthorized`, `Unavailable`, `OutcomeUnknown`."""
        answer = _parsed(_JOIN, self._wire.call("POST", "/v1/agent/join"))
        self._joined = answer
        if answer.credential is not None:
            if self._on_credential is not None:
                self._on_credential(answer.credential)
            self._wire.token = answer.credential
        return JoinReply(
            site_id=SiteId(answer.site_id),
            session=answer.session,
            lease_ttl_s=answer.lease_ttl_s,
            poll_s=answer.poll_s,
            fence_margin_s=answer.fence_margin_s,
        )

    def sync(self, request: SyncRequest) -> SyncReply:
        """Report, and hear which leases stand. Raises `Conflict` for an old session."""
        return _parsed(_REPLY, self._wire.call("POST", "/v1/agent/sync", json=request))

    def echo(self, data: bytes) -> bytes:
        """`data` there and back."""
        return self._wire.call("POST", "/v1/agent/echo", content=data).content

    def received(self, sha256: str) -> int:
        """Bytes the network has of a file."""
        return _offset(self._wire.call("HEAD", f"/v1/blobs/{sha256}"))

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        """The next bytes; returns the new offset. Raises `Conflict` at a wrong one."""
        headers = {"Upload-Offset": str(offset)}
        return _offset(self._wire.call("PATCH", f"/v1/blobs/{sha256}", content=data, headers=headers))

    def finish(self, sha256: str, size: int) -> None:
        """Have the bytes checked and kept."""
        self._wire.call("POST", f"/v1/blobs/{sha256}/finish", params={"size": size})

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        """The bytes from `start`, as they come."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._wire.streaming(f"/v1/blobs/{sha256}", headers=headers) as reply:
            yield from reply.iter_bytes()


def _parsed(adapter: TypeAdapter[T], reply: httpx.Response) -> T:
    try:
        return adapter.validate_json(reply.content)
    except ValidationError as error:
        raise UnreadableReply(f"the network's answer is not understood: update the agent ({error})") from error


def _offset(reply: httpx.Response) -> int:
    text = reply.headers.get("Upload-Offset", "")
    if not text.isdecimal():
        raise UnreadableReply("the network did not say how many bytes it has")
    return int(text)
