"""Starting a run's shepherd, and ending what a killed one leaves.

Owns the processes the connector itself touches. Knows the run's folder, and nothing of capacity or turns.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

import suanwang
from suanwang.sensing.connectors.local import procfs
from suanwang.sensing.connectors.local.records import TOKEN_NAME, RunFolder

_START_WAIT_S = 15.0
_KILL_WAIT_S = 5.0


def start_shepherd(folder: RunFolder) -> int:
    """Start a shepherd in a session of its own and wait until its script runs; its process number, to be reaped.

    Its first line, or the end of its output, is its answer. Whether it lives is told by the lock in `folder`, not here.
    """
    environment = {
        "PYTHONPATH": str(Path(suanwang.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, "-S", "-m", "suanwang.sensing.connectors.local.shepherd", folder.path]
    log = folder.file("shepherd.log")
    with contextlib.ExitStack() as pipe:
        answer, told = os.pipe()
        pipe.callback(os.close, answer)
        try:
            shepherd = os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, told, 1),
                    (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                ],
                setsid=True,
            )
        finally:
            os.close(told)
        select.select([answer], [], [], _START_WAIT_S)
    return shepherd


def is_reaped(pid: int) -> bool:
    """Reap a shepherd that has ended; False while it lives."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def end_orphans(session: int, since_ticks: int, token: str) -> list[int]:
    """Kill whatever is left of a run whose shepherd is gone; the processes that would not die in time."""
    marker = f"{TOKEN_NAME}={token}".encode()
    give_up_at = time.monotonic() + _KILL_WAIT_S
    while True:
        left = procfs.members(session=session, since_ticks=since_ticks, marker=marker)
        if not left or time.monotonic() >= give_up_at:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
