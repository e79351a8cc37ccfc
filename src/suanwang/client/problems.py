"""The one table of error kinds: which HTTP status, title and retry rule each has, and the way to problem+json and back.

Owns the wire form of errors (RFC 9457). The API writes it, the client raises from it, the command line takes its exit
codes from the same kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from suanwang.domain.errors import (
    Conflict,
    Fenced,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    SuanwangError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnreadableReply,
)
from suanwang.taskfile.problems import InvalidTask
from suanwang.taskfile.problems import Problem as FileProblem

MEDIA_TYPE = "application/problem+json"
URN = "urn:suanwang:problem:"
RETRY_AFTER_S = 1


class Retry(StrEnum):
    """What a caller may do after this error."""

    NEVER = "never"
    """The same request fails again."""
    READ_AGAIN = "read_again"
    """Read the present state, decide again, then ask."""
    WAIT = "wait"
    """Nothing was done: the same request may be sent again, within a budget."""
    LOOK_UP = "look_up"
    """It may have been done: find out before asking again."""


@dataclass(frozen=True, slots=True)
class Rule:
    status: int
    title: str
    retry: Retry
    slug: str


RULES: Mapping[type[SuanwangError], Rule] = MappingProxyType(
    {
        Unauthorized: Rule(401, "A valid token is needed", Retry.NEVER, "unauthorized"),
        Forbidden: Rule(403, "Not allowed for this caller", Retry.NEVER, "forbidden"),
        NotFound: Rule(404, "Nothing of that name", Retry.NEVER, "not-found"),
        TooLarge: Rule(413, "Too large", Retry.NEVER, "too-large"),
        Fenced: Rule(409, "The lease is no longer the sender's", Retry.NEVER, "fenced"),
        Conflict: Rule(409, "State has moved on", Retry.READ_AGAIN, "conflict"),
        InvalidRequest: Rule(422, "The request is not valid", Retry.NEVER, "invalid-request"),
        Unavailable: Rule(503, "Not available now", Retry.WAIT, "unavailable"),
        UnreadableReply: Rule(502, "A reply nobody understands", Retry.NEVER, "unreadable-reply"),
        OutcomeUnknown: Rule(504, "The outcome is unknown", Retry.LOOK_UP, "outcome-unknown"),
        SuanwangError: Rule(500, "An error inside the network", Retry.NEVER, "internal"),
    }
)
_BY_SLUG = {rule.slug: kind for kind, rule in RULES.items()}
_BY_STATUS: Mapping[int, type[SuanwangError]] = MappingProxyType(
    {
        400: InvalidRequest,
        **{rule.status: kind for kind, rule in RULES.items() if kind is not Fenced},
        405: InvalidRequest,
        408: Unavailable,
        429: Unavailable,
    }
)


def rule_of(error: SuanwangError | type[SuanwangError]) -> Rule:
    """The rule of an error's kind, or of the nearest kind it is a special case of."""
    kind = error if isinstance(error, type) else type(error)
    return next(RULES[parent] for parent in kind.__mro__ if parent in RULES)


def to_problem(error: SuanwangError, *, status: int | None = None) -> dict[str, Any]:
    """`error` as the members of a problem+json body. `status` replaces the table's (405, 416)."""
    rule = rule_of(error)
    body: dict[str, Any] = {
        "type": URN + rule.slug,
        "title": rule.title,
        "status": status or rule.status,
        "detail": error.message,
    }
    if error.field is not None:
        body["field"] = error.field
    if error.allowed is not None:
        body["allowed"] = error.allowed
    if isinstance(error, OutcomeUnknown):
        body["tag"] = error.tag
    if isinstance(error, InvalidTask):
        body["problems"] = problem_rows(error)
    return body


def problem_rows(error: InvalidRequest | Conflict) -> list[dict[str, Any]]:
    """Every fault that `error` names, one row each."""
    if isinstance(error, InvalidTask):
        return [{"field": p.field, "message": p.message, "allowed": p.allowed, "line": p.line} for p in error.problems]
    return [{"field": error.field or "file", "message": error.message, "allowed": error.allowed, "line": None}]


def from_problem(status: int, body: object) -> SuanwangError:
    """The error that a reply of `status` with the parsed `body` (None where there was none) stands for."""
    members: Mapping[str, Any] = body if isinstance(body, dict) else {}
    slug = str(members.get("type", "")).removeprefix(URN)
    kind = _BY_SLUG.get(slug) or _BY_STATUS.get(status)
    if kind is None:
        kind = Unavailable if status >= 500 else InvalidRequest
    detail = _text(members, "detail") or f"the network answered with status {status}"
    field, allowed = _text(members, "field"), _text(members, "allowed")
    if kind is OutcomeUnknown:
        return OutcomeUnknown(detail, tag=_text(members, "tag") or "")
    rows = members.get("problems")
    if kind is InvalidRequest and isinstance(rows, list) and rows:
        return _invalid_task(detail, rows)
    return kind(detail, field=field, allowed=allowed)


def _invalid_task(detail: str, rows: list[Any]) -> InvalidTask:
    problems = [
        FileProblem(
            field=_text(row, "field") or "file",
            message=_text(row, "message") or "",
            allowed=_text(row, "allowed"),
            line=row["line"] if isinstance(row.get("line"), int) else None,
        )
        for row in rows
        if isinstance(row, dict)
    ]
    error = InvalidTask(problems or [FileProblem(field="file", message=detail)], filename="task")
    error.message = detail
    return error


def _text(members: Mapping[str, Any], key: str) -> str | None:
    value = members.get(key)
    return value if isinstance(value, str) else None
