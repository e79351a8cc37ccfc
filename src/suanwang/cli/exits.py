"""Exit codes, and an error as one clear message on standard error.

Owns the table that scripts rely on; `docs/cli.md` prints it. Knows no command.
"""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum

from suanwang.domain.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    SuanwangError,
    Unauthorized,
    Unavailable,
)


class Exit(IntEnum):
    """What a status means. 2 is also what the argument parser itself ends with."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INVALID = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNAVAILABLE = 7
    JOB_FAILED = 8
    INTERRUPTED = 130


_CODES: tuple[tuple[type[SuanwangError], Exit], ...] = (
    (Unauthorized, Exit.NOT_ALLOWED),
    (Forbidden, Exit.NOT_ALLOWED),
    (NotFound, Exit.NOT_FOUND),
    (InvalidRequest, Exit.INVALID),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNAVAILABLE),
    (OutcomeUnknown, Exit.UNAVAILABLE),
)
_NEXT: tuple[tuple[type[SuanwangError], str], ...] = (
    (Unauthorized, "log in with `suanwang login URL`, or set SUANWANG_URL and SUANWANG_TOKEN"),
    (Forbidden, "`suanwang whoami` says who you are; ask the operator for a token with the role or project it takes"),
    (Conflict, "look at it again, then decide again"),
    (OutcomeUnknown, "it may have been done: look before you repeat it"),
    (Unavailable, "nothing was done: try again in a moment"),
)


class JobFailed(SuanwangError):
    """The job that was waited for did not succeed, or no site can run it."""


class UsageError(SuanwangError):
    """Options or arguments that do not go together."""


def exit_code(error: BaseException) -> Exit:
    """The status for an error that ended a command."""
    match error:
        case JobFailed():
            return Exit.JOB_FAILED
        case UsageError():
            return Exit.USAGE
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.UNEXPECTED)


def debugging() -> bool:
    """Whether tracebacks are wanted: SUANWANG_DEBUG=1."""
    return os.environ.get("SUANWANG_DEBUG", "") not in ("", "0")


def describe(error: SuanwangError) -> str:
    """The message, every problem of a file, field, what is allowed, and what to do next: one fact a line."""
    lines = [f"error: {error.message}"]
    problems = getattr(error, "problems", ())
    for problem in problems:
        where = f"line {problem.line}, {problem.field}" if problem.line else str(problem.field)
        lines.append(f"  {where}: {problem.message}" + (f" (allowed: {problem.allowed})" if problem.allowed else ""))
    if not problems:
        lines += [f"  {name}: {value}" for name, value in (("field", error.field), ("allowed", error.allowed)) if value]
    advice = next((text for kind, text in _NEXT if isinstance(error, kind)), None)
    if advice is not None:
        lines.append(f"  next: {advice}")
    return "\n".join(lines)


def report(error: BaseException) -> Exit:
    """Say on standard error what went wrong; returns the status to exit with."""
    code = exit_code(error)
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    elif isinstance(error, SuanwangError):
        sys.stderr.write(describe(error) + "\n")
    elif isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.stderr.write(
            f"error: {type(error).__name__}: {error}\n"
            "  next: this is a defect; run the command again with SUANWANG_DEBUG=1 and report what it prints\n"
        )
    return code
