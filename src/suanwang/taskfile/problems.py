"""What is wrong with a task file: every problem at once, each with its field, its line and what is allowed.

Owns the error a reader raises and how it is worded. Knows no file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanwang.domain.errors import InvalidRequest

Path = tuple[str | int, ...]
"""Where a value stands in a file: keys and list positions from the top."""

_MOST_SHOWN = 100
_MOST_KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to put right. `line` counts from 1; None where the format has no lines or the value is missing."""

    field: str
    message: str
    allowed: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return self.said()

    def said(self, *, chinese: bool = False) -> str:
        """On one line; `chinese` is the language of what stands around the message."""
        if chinese:
            place = f"第 {self.line} 行，" if self.line is not None else ""
            allowed = f"（允许：{self.allowed}）" if self.allowed else ""
            return f"{place}{self.field}：{self.message}{allowed}"
        place = f"line {self.line}, " if self.line is not None else ""
        allowed = f" (allowed: {self.allowed})" if self.allowed else ""
        return f"{place}{self.field}: {self.message}{allowed}"


class InvalidTask(InvalidRequest):
    """A task file that cannot be accepted. `field` and `allowed` are those of the first problem."""

    def __init__(self, problems: Sequence[Problem], *, filename: str) -> None:
        in_order = sorted(problems, key=lambda problem: problem.line or 0)
        shown = tuple(in_order[:_MOST_SHOWN])
        message = composed(shown, filename, len(problems))
        super().__init__(message, field=shown[0].field, allowed=shown[0].allowed)
        self.problems = shown
        self.filename = filename
        self.total = len(problems)


def composed(shown: Sequence[Problem], filename: str, total: int, *, chinese: bool = False) -> str:
    """One message of `shown` problems, the first of `total`; `chinese` is the language of what stands around them."""
    more = total - len(shown)
    each = [problem.said(chinese=chinese) for problem in shown]
    if total == 1:
        return f"{filename}：{each[0]}" if chinese else f"{filename}: {each[0]}"
    if more:
        each.append(f"另有 {more} 处" if chinese else f"and {more} more")
    head = f"{filename} 有 {total} 处问题：" if chinese else f"{filename} has {total} problems:"
    return head + "".join(f"\n- {line}" for line in each)


class Findings:
    """Problems and notes as a reader meets them, so that a user sees all of them in one go."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def refuse(self, field: str, message: str, *, allowed: str | None = None, line: int | None = None) -> None:
        """Record a problem; reading goes on, unless there are so many that nobody would read them."""
        self.problems.append(Problem(field=field, message=message, allowed=allowed, line=line))
        if len(self.problems) >= _MOST_KEPT:
            self.stop_if_any()

    def note(self, sentence: str) -> None:
        """Record, once, what was assumed or could not be honoured."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def stop_if_any(self) -> None:
        """Raise `InvalidTask` when anything was refused."""
        if self.problems:
            raise InvalidTask(self.problems, filename=self.filename)


def dotted(path: Path) -> str:
    """`("tasks", 1, "resources")` as `tasks[1].resources`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _is_plain(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text or "file"


def quoted(value: object, *, longest: int = 60) -> str:
    """A value as an error may show it: escaped, on one line, shortened."""
    if isinstance(value, str):
        text = ascii(value[: longest + 1]) if _has_controls(value[: longest + 1]) else f"'{value[: longest + 1]}'"
    else:
        text = ascii(value)
    return text if len(text) <= longest + 2 else text[:longest] + "…"


def _is_plain(key: str) -> bool:
    return len(key) <= 80 and key.isprintable() and not any(c in key for c in ".[]' ")


def _has_controls(text: str) -> bool:
    return not text.isprintable()
