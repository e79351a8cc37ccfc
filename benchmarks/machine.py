"""The machine a report is about: what it is, and how busy it was."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil


def described(database: str) -> list[tuple[str, str]]:
    """(what, value) pairs for the head of a report; `database` is the PostgreSQL server's own version."""
    memory = psutil.virtual_memory()
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores for this process"),
        ("memory", f"{memory.total / 1e9:.0f} GB, {memory.available / 1e9:.0f} GB of it available"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("PostgreSQL", database),
        ("load before", " ".join(f"{value:.1f}" for value in os.getloadavg()) + " (1, 5 and 15 minutes)"),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
