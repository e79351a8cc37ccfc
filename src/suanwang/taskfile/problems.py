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
        place = f"line {self.line}, " if self.line is not None else ""
        allowed = f" (allowed: {self.allowed})" if self.allowed else ""
        return f"{place}{self.field}: {self.message}{allowed}"


class InvalidTask(InvalidRequest):
    """A task file that cannot be accepted. `field` and `allowed` are those of the first problem."""

    def __init__(self, problems: Sequence[Problem], *, filename: str) -> None:
        in_order = sorted(problems, key=lambda problem: problem.line or 0)
        shown = tuple(in_order[:_MOST_SHOWN])
        if len(shown) == 1:
            message = f"{filename}: {shown[0]}"
        else:
            lines = "".join(f"\n- {problem}" for problem in shown)
            more = f"\n- and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
            message = f"{filename} has {len(problems)} problems:{lines}{more}"
        super().__init__(message, field=shown[0].field, allowed=shown[0].allowed)
        self.problems = shown
        self.filename = filename


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
