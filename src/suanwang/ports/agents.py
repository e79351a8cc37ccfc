"""A site's scheduler, an agent's line to the network, and the files that pass over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from suanwang.domain.connector import Load, Observation, RunOrder
from suanwang.domain.exchange import JoinReply, SyncReply, SyncRequest


class Connector(Protocol):
    """A site's own scheduler. One suite of contract tests holds for every one of them and for the fake."""

    def submit(self, order: RunOrder) -> str:
        """Start `order` once and return the site's native identifier. Submitting a tag again returns the same run.

        Raises `InvalidRequest` when the site refuses it for good (the site's words in the message), `Unavailable` when
        nothing was sent, `OutcomeUnknown` when it was sent and no answer came.
        """

    def observe(self, tags: Sequence[str]) -> Mapping[str, Observation]:
        """What the site knows of each tag; every tag asked for is in the answer, unknown ones as `UNKNOWN`.

        Raises `Unavailable` when the site does not answer and `UnreadableReply` when nobody understands it.
        """

    def cancel(self, tag: str) -> None:
        """Ask for the end of a run. Cancelling what is ended or unknown is no error. Raises `Unavailable`."""

    def forget(self, tag: str) -> None:
        """The outcome was reported and stored: clean up what the connector itself keeps of `tag`. Idempotent."""

    def running(self) -> Sequence[str]:
        """Tags of every run of ours that the site still holds, pending ones too, whoever started this process."""

    def load(self) -> Load:
        """Capacity and use now. Raises `Unavailable` or `UnreadableReply`."""


class Link(Protocol):
    """An agent's line to the network. Every call may raise `Unavailable` (not sent) or `OutcomeUnknown` (no answer)."""

    def join(self) -> JoinReply:
        """Begin a session: older sessions of the same site are refused from now on."""

    def sync(self, request: SyncRequest) -> SyncReply: ...

    def received(self, sha256: str) -> int:
        """Bytes the network has of a file."""

    def append(self, sha256: str, offset: int, data: bytes) -> int: ...

    def finish(self, sha256: str, size: int) -> None: ...

    def read(self, sha256: str, start: int) -> Iterator[bytes]: ...


class Files(Protocol):
    """Content-addressed bytes shared by all sites; uploads resume, and only what hashes right becomes visible."""

    def received(self, sha256: str) -> int:
        """Bytes held of an unfinished upload, or the size once whole."""

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        """Add bytes at `offset`; returns the new offset. Raises `Conflict` naming the right one, `TooLarge`, `Unavailable`."""

    def finish(self, sha256: str, size: int) -> None:
        """Check and publish. Raises `InvalidRequest` where the bytes do not hash to `sha256`."""

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start`. Raises `NotFound`."""

    def size(self, sha256: str) -> int | None:
        """Bytes of a published content, else None."""
