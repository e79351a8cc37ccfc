"""SkyPilot's accelerators: one, several to choose from, with counts.

Owns their forms: `A100:8`, a mapping or set of them, a list of them. The catalogue knows the models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from suanwang.taskfile.problems import Path, quoted

FORMS = "A100:8, or a list or mapping of alternatives"

_ENTRY = re.compile(r"\s*([^:\s]{1,60})\s*(?::\s*(\S{1,12}))?\s*")
_PLACE: Path = ("resources", "accelerators")

Refuse = Callable[[Path, str, str | None], None]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many devices per node, of any one of these models as the file names them."""

    count: int
    models: tuple[str, ...]


def read_accelerators(values: Sequence[object], refuse: Refuse, note: Note) -> Wanted | None:
    """What all the alternatives together allow; those with another count than the first are left out, and named."""
    found: list[tuple[str, int]] = []
    for value in values:
        for name, count in _entries(value, refuse, note):
            number = _count(count)
            if number is None:
                refuse(_PLACE, f"{quoted(count)} is not a number of whole devices", "a whole number of devices")
            else:
                found.append((name, number))
    if not found:
        return None
    agreed = found[0][1]
    left_out = [f"{name}:{count}" for name, count in found if count != agreed]
    if left_out:
        note(
            f"{quoted(', '.join(left_out))[1:-1]} left out, since alternatives must ask for the same number of devices"
        )
    models = dict.fromkeys(name for name, count in found if count == agreed)
    return Wanted(agreed, tuple(models))


def _entries(value: object, refuse: Refuse, note: Note) -> Iterator[tuple[str, object]]:
    match value:
        case str():
            # A mapping written as text, as its schema also allows.
            for part in value.strip("{} ").split(","):
                entry = _ENTRY.fullmatch(part.strip().replace("'", "").replace('"', "")[:100])
                if entry is None:
                    refuse(_PLACE, f"{quoted(part)} is not an accelerator", FORMS)
                else:
                    yield entry.group(1), entry.group(2)
        case dict():
            for key, count in value.items():
                # In YAML a set like {A100:1, V100:1} is a mapping to nothing.
                if count is None:
                    yield from _entries(key, refuse, note)
                else:
                    yield str(key), count
        case list():
            if len(value) > 1:
                note("the order of the alternatives is not kept, the objective decides among them")
            for inner in value:
                yield from _entries(inner, refuse, note)
        case _:
            refuse(_PLACE, f"{quoted(value)} is not an accelerator", FORMS)


def _count(value: object) -> int | None:
    if value is None:
        return 1
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None
