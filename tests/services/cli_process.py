"""The command line as processes of its own, as a user starts it, each in a home folder of the test's."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

import suanwang

SOURCE = str(Path(suanwang.__file__).parents[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    """A user's environment, with nothing of the test's own settings in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUANWANG_")}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": SOURCE,
        **more,
    }


def run(
    *arguments: str, home: Path, stdin: str = "", timeout_s: float = 120, **more: str
) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "suanwang.cli", *arguments],
        env=environment(home, **more),
        cwd=home,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextlib.contextmanager
def running(*arguments: str, home: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is ended; KILL where TERM does not end it."""
    with (home / "stderr.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "suanwang.cli", *arguments],
            env=environment(home, **more),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def first_json(process: subprocess.Popen[str], home: Path, *, timeout_s: float = 90) -> Mapping[str, Any]:
    """The first line of its output that is a JSON object."""
    assert process.stdout is not None
    give_up_at = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < give_up_at and waiting.select(give_up_at - time.monotonic()):
            line = process.stdout.readline()
            if not line:
                break
            if line.startswith("{"):
                found: Mapping[str, Any] = json.loads(line)
                return found
    raise AssertionError(f"{process.args!r} said nothing: {(home / 'stderr.log').read_text()[-2000:]}")


def left_behind(home: Path) -> list[str]:
    """Command lines of processes that still belong to `home`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.pid != os.getpid() and (
                str(home) in line or str(home) in process.environ().get("SUANWANG_METRICS", "")
            ):
                found.append(line)
    return found


def until_none_left(home: Path, *, timeout_s: float = 15) -> list[str]:
    """What is left once it is nothing, or once the time is up."""
    give_up_at = time.monotonic() + timeout_s
    while (left := left_behind(home)) and time.monotonic() < give_up_at:
        time.sleep(0.2)
    return left
