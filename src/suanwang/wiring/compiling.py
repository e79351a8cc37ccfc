"""Kernels that are compiled beside the control plane, so that its loop never waits for the compiler.

Owns the process that does it: started with the first plan that is too large for plain Python, once for each version of the
code on a machine; where an earlier one left compiled code it ends after a second or two.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

from suanwang.domain.job import place_of
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.seating import most_plain
from suanwang.scheduling.snapshot import Snapshot
from suanwang.twin.checking import passed_on

NICE = 15


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
