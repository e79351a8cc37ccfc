"""The agent's memory on disk: one JSON file per lease, written whole or not at all.

Owns the encoding and the folder. A file nobody can read is set aside under `unreadable/`, never deleted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from suanwang.domain.ids import AllocationId
from suanwang.sensing.agent import Kept

_KEPT = TypeAdapter(Kept)


class DiskSpool:
    """Implements `agent.Spool` in `folder`, which belongs to one agent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def all(self) -> Sequence[Kept]:
        found: list[Kept] = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(_KEPT.validate_json(path.read_bytes()))
            except ValidationError:
                aside = self._folder / "unreadable"
                aside.mkdir(exist_ok=True)
                path.replace(aside / path.name)
        return found

    def save(self, kept: Kept) -> None:
        write_whole(self._path(kept.id), _KEPT.dump_json(kept))

    def remove(self, allocation_id: AllocationId) -> None:
        self._path(allocation_id).unlink(missing_ok=True)

    def _path(self, allocation_id: AllocationId) -> Path:
        if "/" in allocation_id or allocation_id.startswith("."):
            raise ValueError(f"no allocation identifier: {allocation_id!r}")
        return self._folder / f"{allocation_id}.json"


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` so that a crash leaves the old content or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
