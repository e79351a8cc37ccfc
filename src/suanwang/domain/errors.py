"""The errors every room raises, each of one kind with one meaning.

Owns the taxonomy; how a kind becomes an HTTP status or an exit code is a table in `client.problems`.
"""

from __future__ import annotations


class SuanwangError(Exception):
    """Anything the product itself reports. `message` says what to do next."""

    def __init__(self, message: str, *, field: str | None = None, allowed: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.allowed = allowed


class InvalidRequest(SuanwangError):
    """The caller's fault. `field` is the path of the offending value, `allowed` what would be accepted."""


class Unauthorized(InvalidRequest):
    """No token, an unknown one, or an expired one."""


class Forbidden(InvalidRequest):
    """A known caller asks for what his role or project does not allow."""


class NotFound(InvalidRequest):
    """Nothing of that name that this caller may see."""


class TooLarge(InvalidRequest):
    """A body, file or batch over its limit."""


class Conflict(SuanwangError):
    """State moved on since it was read: read again and decide again."""


class Fenced(Conflict):
    """A report for a lease that is no longer the job's own; the sender must stop that run."""


class Unavailable(SuanwangError):
    """Transient: nothing was done; retry within a budget."""


class UnreadableReply(SuanwangError):
    """Foreign output nobody understands: keep it, show it, decide nothing from it."""


class OutcomeUnknown(SuanwangError):
    """Sent, no answer. Never send again; look it up by its tag."""

    def __init__(self, message: str, *, tag: str) -> None:
        super().__init__(message)
        self.tag = tag
