"""Time, chance and signatures: what the loop is told by the world around it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from suanwang.domain.ids import JobId


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, UTC."""


class Identities(Protocol):
    """Chance, as values: identifiers and secrets are made outside and handed in."""

    def job_id(self) -> JobId:
        """A new job identifier, `j-` and at least 16 letters and digits; later ones sort after earlier ones."""

    def token(self) -> tuple[str, str]:
        """(identifier, secret) of a new credential."""


class Signer(Protocol):
    """Signs for the network (Ed25519) with a key that never leaves it."""

    @property
    def key(self) -> str:
        """The public key, hexadecimal."""

    def sign(self, data: bytes) -> str:
        """The signature, hexadecimal."""
