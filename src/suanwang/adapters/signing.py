"""The network's signing key.

Owns where it lies: in one file that this account alone reads. Replicas of one network share the file, and whoever loses it
signs with another key from then on, which parties notice.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from suanwang.domain.errors import InvalidRequest


class Ed25519Signer:
    """Implements `ports.Signer`."""

    def __init__(self, secret: str) -> None:
        """`secret` is 32 bytes in hexadecimal. Raises `InvalidRequest`, which does not repeat it."""
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret.strip()))
        except ValueError:
            raise InvalidRequest(
                "the ledger's signing key cannot be read: restore its file", field="ledger-key", allowed="64 hex digits"
            ) from None

    @staticmethod
    def new_secret() -> str:
        return Ed25519PrivateKey.generate().private_bytes_raw().hex()

    @classmethod
    def from_file(cls, path: Path) -> Ed25519Signer:
        return cls(path.read_text())

    @property
    def key(self) -> str:
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        return self._key.sign(data).hex()
