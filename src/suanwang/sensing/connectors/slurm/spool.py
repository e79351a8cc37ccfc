"""What the connector itself remembers of each run: one small file per tag, so that a restart forgets nothing.

Owns the folder and the shape of its files. It must not know Slurm.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suanwang.domain.connector import Observation, RunOrder, RunState
from suanwang.domain.errors import UnreadableReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run: written before it is sent, then again with its id, a wish to cancel, and its end."""

    tag: str
    exit_path: Path
    posix_user: str | None = None
    native_id: str | None = None
    """None until Slurm has answered: the run may or may not be there."""
    cancelled: bool = False
    end: Observation | None = None

    @classmethod
    def of(cls, order: RunOrder) -> Record:
        return cls(tag=order.tag, exit_path=Path(order.exit_path), posix_user=order.posix_user)


class Spool:
    """The records in `folder`, which is made if it is missing and kept from other accounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, tag: str) -> Record | None:
        """The record of a tag, None where there is none; raises `UnreadableReply` for a file nobody understands."""
        path = self._path(tag)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return _record(tag, found)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableReply(
                f"{path} is damaged ({error}): look the run up in Slurm, then delete the file"
            ) from error

    def write(self, record: Record) -> None:
        """Stores a record whole or not at all; it is on the disk when this returns."""
        path = self._path(record.tag)
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(_plain(record), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def remove(self, tag: str) -> None:
        self._path(tag).unlink(missing_ok=True)

    def mark_cancelled(self, tag: str) -> None:
        record = self.read(tag)
        if record is not None and not record.cancelled:
            self.write(replace(record, cancelled=True))

    def _path(self, tag: str) -> Path:
        return self._folder / f"{tag}.json"


def exit_file(path: Path) -> tuple[int, datetime] | None:
    """The status a run left on file and when it did; None where there is none yet or it is no status."""
    with contextlib.suppress(OSError, ValueError):
        # The run's own account may write here: a link could lead anywhere.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = int(file.read(8))
            written_at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, tz=UTC)
        if 0 <= status <= 255:
            return status, written_at
    return None


def _plain(record: Record) -> dict[str, Any]:
    end = record.end
    return {
        "exit_path": str(record.exit_path),
        "posix_user": record.posix_user,
        "native_id": record.native_id,
        "cancelled": record.cancelled,
        "end": end
        and {
            "state": end.state.value,
            "started_at": end.started_at and end.started_at.isoformat(),
            "ended_at": end.ended_at and end.ended_at.isoformat(),
            "exit_code": end.exit_code,
            "reason": end.reason,
            "nodes": list(end.nodes),
            "cpu_s": end.cpu_s,
            "max_memory_gb": end.max_memory_gb,
        },
    }


def _record(tag: str, found: Mapping[str, Any]) -> Record:
    end = found["end"]
    return Record(
        tag=tag,
        exit_path=Path(found["exit_path"]),
        posix_user=found["posix_user"],
        native_id=found["native_id"],
        cancelled=bool(found["cancelled"]),
        end=end
        and Observation(
            tag=tag,
            state=RunState(end["state"]),
            native_id=found["native_id"],
            started_at=end["started_at"] and datetime.fromisoformat(end["started_at"]),
            ended_at=end["ended_at"] and datetime.fromisoformat(end["ended_at"]),
            exit_code=end["exit_code"],
            reason=end["reason"],
            nodes=tuple(end["nodes"]),
            cpu_s=end["cpu_s"],
            max_memory_gb=end["max_memory_gb"],
        ),
    )
