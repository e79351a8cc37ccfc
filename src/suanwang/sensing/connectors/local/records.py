"""What is kept on disk of one run on this host: the words between the connector and a shepherd.

Owns the files of a run's folder, their shapes, and the lock that says whether a shepherd lives. Every file is written
whole or not at all. Knows nothing of capacity or of what a run does. Only the standard library is imported: the
shepherd of every run loads this module.

    order.json     written once by the connector: what is to run
    script.sh      the run's bash script
    granted.json   written by the connector when there is room: processors and devices
    started.json   written by the shepherd before the script runs: which processes
    ended.json     written last, by the shepherd, or by the connector for a run that has none
    cancel         an empty file: someone asks for the end
    lock           held by the living shepherd
"""

# pathlib would add some 7 ms and 1 MB to every shepherd, so files are read the plain way.
# ruff: noqa: PTH105, PTH110, PTH118, PTH123
from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any, TypedDict, cast


class Order(TypedDict):
    """What is to run. Memory is bytes per run; `token` marks the run's processes in their environment."""

    tag: str
    token: str
    sequence: int
    bash: str
    work_dir: str
    stdout: str
    stderr: str
    env: dict[str, str]
    cores: int
    memory_bytes: int
    device_model: str | None
    device_count: int
    time_limit_s: int
    grace_s: float
    user: str | None


class Grant(TypedDict):
    """What the host hands out. Empty `cpus` means not pinned. `tries` counts shepherds that were started for it."""

    cpus: list[int]
    devices: list[int]
    tries: int


class Started(TypedDict):
    """Which processes a run is, and since when (epoch seconds)."""

    boot_id: str
    shepherd: int
    shepherd_ticks: int
    session: int
    pid: int
    started_at: float


class Ended(TypedDict):
    """How a run ended; `state` is a value of `RunState`, instants are epoch seconds."""

    state: str
    started_at: float | None
    ended_at: float
    exit_code: int | None
    reason: str
    cpu_s: float | None
    max_memory_bytes: int | None


TOKEN_NAME = "SUANWANG_RUN_TOKEN"  # noqa: S105  a mark, no secret


class RunFolder:
    """One run's folder in the spool. A record that is missing or unreadable is None."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @property
    def script(self) -> str:
        return self.file("script.sh")

    def order(self) -> Order | None:
        return cast("Order | None", self._read("order.json", Order.__annotations__))

    def granted(self) -> Grant | None:
        return cast("Grant | None", self._read("granted.json", Grant.__annotations__))

    def started(self) -> Started | None:
        return cast("Started | None", self._read("started.json", Started.__annotations__))

    def ended(self) -> Ended | None:
        return cast("Ended | None", self._read("ended.json", Ended.__annotations__))

    def write_order(self, order: Order) -> None:
        self._write("order.json", json.dumps(order, ensure_ascii=False))

    def write_granted(self, grant: Grant) -> None:
        self._write("granted.json", json.dumps(grant))

    def write_started(self, started: Started) -> None:
        self._write("started.json", json.dumps(started))

    def write_ended(self, ended: Ended) -> None:
        self._write("ended.json", json.dumps(ended, ensure_ascii=False))

    def write_script(self, script: str, *, owner: tuple[int, int] | None) -> None:
        """Keep the script, readable by its owner alone."""
        self._write("script.sh", script, mode=0o500)
        if owner is not None:
            os.chown(self.script, *owner)

    def ask_cancel(self) -> None:
        self._write("cancel", "")

    def cancel_asked(self) -> bool:
        return os.path.exists(self.file("cancel"))

    def lock(self) -> int | None:
        """Take the shepherd's lock; the open file to keep, or None while another process holds it."""
        handle = os.open(self.file("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle

    def has_shepherd(self) -> bool:
        """Whether a shepherd lives now: the kernel drops its lock however it dies."""
        handle = self.lock()
        if handle is None:
            return True
        os.close(handle)
        return False

    def _read(self, name: str, fields: dict[str, Any]) -> object | None:
        with contextlib.suppress(OSError, ValueError):
            with open(self.file(name), encoding="utf-8") as file:
                data = json.load(file)
            if isinstance(data, dict) and data.keys() >= fields.keys():
                return data
        return None

    def _write(self, name: str, text: str, *, mode: int = 0o600) -> None:
        temporary = self.file(f".{name}.{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, self.file(name))
