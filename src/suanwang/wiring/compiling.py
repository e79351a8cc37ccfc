"""Kernels that are compiled beside the control plane, so that its loop never waits for the compiler.

Owns the process that does it: started with the first plan that is too large for plain Python, once for each version of the
code on a machine; where an earlier one left compiled code it ends after a second or two. And the sweeping of what earlier
versions left.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from suanwang.domain.job import place_of
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.policies.compiled import USED
from suanwang.scheduling.seating import most_plain
from suanwang.scheduling.snapshot import Snapshot
from suanwang.twin.checking import passed_on

NICE = 15
UNUSED_S = 30 * 86400.0
_VERSION = re.compile(r"[0-9a-f]{16}")


def sweep(base: Path, now_s: float) -> int:
    """Remove folders of compiled kernels under `base` that no process uses, and that none has begun to use for 30 days before
    `now_s` (seconds since 1970); how many."""
    swept = 0
    with suppress(OSError):
        for folder in base.iterdir():
            if _VERSION.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                swept += _swept(folder, now_s - UNUSED_S)
    return swept


def _swept(folder: Path, before_s: float) -> bool:
    """Folders of earlier versions have no `USED`: theirs is the time at which something was last compiled into them."""
    try:
        used = folder / USED
        if (used if used.exists() else folder).stat().st_mtime >= before_s:
            return False
        handle = os.open(used, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError:
        return False  # Another process was first, or it is somebody else's.
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


class Compiling:
    """Decides, with compiled kernels as soon as there are any."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "suanwang.scheduling.seating")) -> None:
        """`command` compiles."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def decide(self, seen: Snapshot) -> Plan:
        """The plan for `seen`; until kernels are compiled for as many of its first jobs as do without, and the others stay."""
        most = most_plain(seen.sites)
        if len(seen.jobs) <= most or self._ready():
            return decide(seen)
        plan = decide(replace(seen, jobs=sorted(seen.jobs, key=place_of)[:most]))
        return replace(plan, stays=plan.stays + len(seen.jobs) - most)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=passed_on(),
            )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        return self._process.poll() is not None
