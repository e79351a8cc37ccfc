"""Exit codes, and an error as one clear message on standard error.

Owns the table that scripts rely on; `docs/cli.md` prints it. Knows no command.
"""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum

from typer.exceptions import TyperException

from suanwang.cli.terminal import chinese, said
from suanwang.cli.words import word
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
_NEXT: tuple[tuple[type[SuanwangError], str, str], ...] = (
    (
        Unauthorized,
        "log in with `suanwang login URL`, or set SUANWANG_URL and SUANWANG_TOKEN",
        "请用 `suanwang login URL` 登录，或设置 SUANWANG_URL 与 SUANWANG_TOKEN",
    ),
    (
        Forbidden,
        "`suanwang whoami` says who you are; ask the operator for a token with the role or project it takes",
        "`suanwang whoami` 显示您的身份；请向运营方申请具有所需角色或项目的令牌",
    ),
    (Conflict, "look at it again, then decide again", "请重新查看，再作决定"),
    (OutcomeUnknown, "it may have been done: look before you repeat it", "操作可能已完成：请先查看，再决定是否重复"),
    (Unavailable, "nothing was done: try again in a moment", "未作任何操作：请稍后重试"),
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
    """The message with every problem of a file, or its field and what is allowed; then what to do next."""
    zh = chinese()
    if zh:
        # Here, as the other languages need no catalogue.
        from suanwang.translation import error_in_chinese

        error = error_in_chinese(error)
    lines = [f"{word('error')}{error.message}"]
    # Where a file has problems, the message has every one with its line, field and what is allowed.
    if not getattr(error, "problems", ()):
        given = (("error_field", error.field), ("error_allowed", error.allowed))
        lines += [f"  {word(name)}{value}" for name, value in given if value]
    advice = next((texts[zh] for kind, *texts in _NEXT if isinstance(error, kind)), None)
    if advice is not None:
        lines.append(f"  {word('error_next')}{advice}")
    return "\n".join(lines)


def report(error: BaseException) -> Exit:
    """Say on standard error what went wrong; returns the status to exit with."""
    error = _ours(error)
    if isinstance(error, TyperException):
        return _usage(error)
    code = exit_code(error)
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    elif isinstance(error, SuanwangError):
        sys.stderr.write(describe(error) + "\n")
    elif isinstance(error, KeyboardInterrupt):
        sys.stderr.write(f"{word('stopped')}\n")
    else:
        sys.stderr.write(
            f"{word('error')}{type(error).__name__}: {error}\n  {word('error_next')}{word('error_defect')}\n"
        )
    return code


def _usage(error: TyperException) -> Exit:
    """What is wrong with the options or arguments themselves, or that a question was not answered."""
    show, context = getattr(error, "show", None), getattr(error, "ctx", None)
    if show is None:
        sys.stderr.write(f"{word('stopped')}\n")
        return Exit.UNEXPECTED
    message = said(getattr(error, "format_message", error.__str__)())
    if not chinese() or context is None or message == context.get_help():
        show()
    else:
        usage = context.get_usage().removeprefix("Usage: ")
        sys.stderr.write(
            f"用法：{usage}\n请用 `{context.command_path} --help` 查看帮助。\n\n{word('error')}{message}\n"
        )
    return Exit.USAGE


def _ours(error: BaseException) -> BaseException:
    """A request that options do not make is the caller's mistake: each field with what is wrong about it."""
    # Here, as commands that go well need not wait for them.
    from pydantic import ValidationError

    from suanwang.taskfile.problems import InvalidTask, Problem

    if not isinstance(error, ValidationError):
        return error
    problems = [
        Problem(field=".".join(map(str, each["loc"])) or "options", message=each["msg"].removeprefix("Value error, "))
        for each in error.errors(include_url=False, include_input=False)
    ]
    return InvalidTask(problems, filename="what you asked for")
