"""Files by their content: a name is a promise about bytes, the hash is the bytes.

Owns what identifies a file and which values are believable. Knows nothing of folders, stores or transfers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.domain.ids import JobId, ProjectId, SiteId

MAX_CONTENT_BYTES = 10**12
"""1 TB: no single file or packed folder may be larger."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes of one file, or of one folder packed as a tar archive. `size` is in bytes."""

    sha256: str
    """64 lower-case hexadecimal digits."""
    size: int
    folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """Content under a name that a project gave it; each new content of a name is a new version, counted from 1."""

    project: ProjectId
    name: str
    version: int
    content: Content
    job_id: JobId | None = None
    """The job that wrote it; None where a person uploaded it."""
    site_id: SiteId | None = None
    """Held only there, and it may not leave; None means the network's own store holds it."""
    residency: tuple[str, ...] = ()
    """Sites or regions that it may not leave; empty means no restriction."""
    created_at: datetime


def checked_sha256(value: object) -> str:
    """`value` when it is a SHA-256 in 64 lower-case hexadecimal digits; raises `InvalidRequest` otherwise."""
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return value
    raise InvalidRequest(
        "sha256 is not a SHA-256 digest: send 64 lower-case hexadecimal digits",
        field="sha256",
        allowed="64 digits of 0-9 and a-f",
    )


def checked_size(value: object, *, max_bytes: int = MAX_CONTENT_BYTES) -> int:
    """`value` when it is a size in bytes from 0 to `max_bytes`; raises `InvalidRequest` or `TooLarge` otherwise."""
    allowed = f"a whole number of bytes from 0 to {max_bytes}"
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidRequest(f"size must be {allowed}", field="size", allowed=allowed)
    if value > max_bytes:
        raise TooLarge(
            f"{value} bytes are more than the {max_bytes} allowed: split the file", field="size", allowed=allowed
        )
    return value


def checked_content(sha256: object, size: object, folder: object = False) -> Content:
    """A `Content` from values nobody vouches for; raises `InvalidRequest` or `TooLarge` naming the field."""
    if not isinstance(folder, bool):
        raise InvalidRequest("folder must be true or false", field="folder", allowed="true or false")
    return Content(sha256=checked_sha256(sha256), size=checked_size(size), folder=folder)
