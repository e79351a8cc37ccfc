"""Where identifiers and secrets come from in the live network."""

from __future__ import annotations

import secrets
import time

from suanwang.domain.ids import JobId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter that looks like a digit, and in the order of its values."""


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


class RandomIdentities:
    """Implements `ports.Identities`: 48 bits of milliseconds before 50 bits of chance, so that identifiers sort by time."""

    def job_id(self) -> JobId:
        return JobId(f"j-{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(50), 10)}")

    def token(self) -> tuple[str, str]:
        return f"t-{_base32(secrets.randbits(60), 12)}", f"sw_{secrets.token_urlsafe(32)}"
