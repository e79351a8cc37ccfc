"""The terminal: consoles, its language, and JSON for machines.

Owns the rule of `--json`: the one JSON value goes to standard output and everything meant for people to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 160
"""Tables written into a pipe or a file are this wide, so that nothing in them is cut."""


def chinese() -> bool:
    """Whether the terminal's language is Chinese, by LC_ALL, LC_MESSAGES, then LANG."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return value.lower().startswith("zh")
    return False


def said(text: str) -> str:
    """What the network or this program says, in the terminal's language."""
    if not chinese():
        return text
    # Here, as the other languages need no catalogue.
    from suanwang import translation

    return translation.chinese(text)


@lru_cache(maxsize=1)
def _encodings() -> None:
    """A terminal that cannot write a character gets a question mark, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    _encodings()
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def say(text: str, *, as_json: bool = False) -> None:
    """One line for a person."""
    (sys.stderr if as_json else sys.stdout).write(text + "\n")


def note(text: str) -> None:
    """One line for a person that is never part of a command's result, in the terminal's language."""
    sys.stderr.write(said(text) + "\n")
    sys.stderr.flush()


def plain(value: Any) -> Any:
    """Models, and whatever holds them, as JSON values."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value


def emit(value: Any) -> None:
    """`value` as one JSON document on standard output."""
    json.dump(plain(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def emit_line(value: Any) -> None:
    """`value` as one JSON line on standard output, at once: for streams."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()
