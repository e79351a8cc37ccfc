"""Signed statements of how large the log is and what it hashes to.

Owns their text, which parties exchange and compare, and the check of their signature (Ed25519, RFC 8032).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from suanwang.trading.leaves import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The log at one instant. Hashes, key and signature are hexadecimal."""

    size: int
    root: str
    at: datetime
    key: str
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return f"suanwang ledger 1\n{self.size}\n{self.root}\n{instant(self.at)}\n{self.key}\n".encode()

    def holds(self) -> bool:
        """Whether the signature is by `key`."""
        # Imported here: agents know checkpoints by the ports alone, and would start later by it.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key)).verify(
                bytes.fromhex(self.signature), self.signed
            )
        except (InvalidSignature, ValueError):
            return False
        return True
