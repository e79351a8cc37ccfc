"""What the kernel says of processes, read from /proc.

Owns the reading of /proc and of process identity (number plus start time). Knows nothing of runs, spools or orders.
Only the standard library is imported: the shepherd of every run loads this module.
"""

# pathlib would add some 7 ms and 1 MB to every shepherd, so files are read the plain way.
# ruff: noqa: PTH110, PTH123, PTH208
from __future__ import annotations

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATE, _PARENT, _SESSION, _START = 0, 1, 3, 19
"""Places in /proc/PID/stat after the closing bracket of the command's name, see proc(5) fields 3, 4, 6 and 22."""


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    return text[text.rfind(")") + 2 :].split()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the number, it names one process for good."""
    fields = stat_fields(pid)
    return int(fields[_START]) if len(fields) > _START else None


def is_same(pid: int, ticks: int) -> bool:
    """Whether `pid` is still the process that started at `ticks`, and neither gone nor a zombie."""
    fields = stat_fields(pid)
    return len(fields) > _START and int(fields[_START]) == ticks and fields[_STATE] != "Z"


def boot_id() -> str:
    """The identifier of this boot; process numbers mean nothing across boots."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def pids() -> list[int]:
    """Every process the kernel shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root: int) -> list[int]:
    """Every process below `root`, zombies too, parents first."""
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return _descendants_by_scan(root)
    found: list[int] = []
    queue = [root]
    while queue:
        children = _children(queue.pop())
        found += children
        queue += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                children += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return children


def _descendants_by_scan(root: int) -> list[int]:
    """The same on kernels without CONFIG_PROC_CHILDREN."""
    by_parent: dict[int, list[int]] = {}
    for pid in pids():
        fields = stat_fields(pid)
        if fields:
            by_parent.setdefault(int(fields[_PARENT]), []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        children = by_parent.get(queue.pop(), [])
        found += children
        queue += children
    return found


def resident_bytes(processes: list[int]) -> int:
    """Resident memory of all, pages they share counted once for each."""
    total = 0
    for pid in processes:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                total += int(file.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            continue
    return total


def proportional_bytes(processes: list[int]) -> int:
    """Resident memory of all, shared pages counted by share; the resident figure where the kernel does not tell.

    Costs a walk over the page tables: ask only when `resident_bytes` is over a limit.
    """
    total = 0
    for pid in processes:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except (OSError, IndexError, ValueError):
            total += resident_bytes([pid])
    return total


def members(*, session: int, since_ticks: int, marker: bytes) -> list[int]:
    """Live processes of a session that started at `since_ticks` or later, and any that carry `marker` in their environment."""
    found: list[int] = []
    for pid in pids():
        fields = stat_fields(pid)
        if len(fields) <= _START or fields[_STATE] == "Z" or pid == os.getpid():
            continue
        in_session = int(fields[_SESSION]) == session and int(fields[_START]) >= since_ticks
        if in_session or _carries(pid, marker):
            found.append(pid)
    return found


def _carries(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:
        return False
