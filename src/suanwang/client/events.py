"""Server-sent events read from lines.

Owns the format (HTML Living Standard, 9.2.6, without `retry`). Knows no connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event; `number` is its identifier, empty where the server gave none."""

    kind: str
    data: str
    number: str = ""


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events of `lines` (without their ends). One that breaks off before its empty line is dropped."""
    kind, number = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(kind=kind or "message", data="\n".join(data), number=number)
            kind, data, number = "", [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                number = value
            case _:
                pass  # Comments have an empty name; unknown fields are passed over.
