"""The processes the demo starts, and the certainty that none of them outlives it.

Owns starting, killing and ending. Each has a session of its own, so Ctrl-C reaches only the demo, and `--with-parent`, so
they end even where the demo itself is killed. Knows nothing of networks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from suanwang.domain.errors import Unavailable

_END_S = 10.0
_READY_S = 60.0


class Children:
    """Started processes by name; their output goes to files in `logs`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._logs = home / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Start `suanwang ARGUMENTS` with `env` added to this process's environment."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = self._popen(arguments, env, stdout=log.fileno(), stderr=log.fileno())

    def start_and_hear(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> str:
        """Start one that says `{"url": …}` on a line of its output once it is ready; returns the address.

        Raises `Unavailable` with its last words where it never does.
        """
        with (self._logs / f"{name}.log").open("ab") as log:
            process = self._popen(arguments, env, stdout=subprocess.PIPE, stderr=log.fileno())
        self._running[name] = process
        heard = threading.Event()
        found: list[str] = []

        def listen() -> None:
            assert process.stdout is not None, "a pipe was asked for"
            with (self._logs / f"{name}.out").open("ab") as copy, process.stdout:
                for line in process.stdout:
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        found.append(str(json.loads(line)["url"]))
                        heard.set()
                    copy.write(line)
                    copy.flush()
            heard.set()

        threading.Thread(target=listen, name=f"{name}-output", daemon=True).start()
        heard.wait(_READY_S)
        if not found:
            raise Unavailable(f"{name} did not come up; its last words:\n{self.last_words(name)}")
        return found[0]

    def _popen(
        self, arguments: Sequence[str], env: Mapping[str, str], *, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        # Runs find the demo's own Python first, and with it NumPy and scikit-learn.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        return subprocess.Popen(
            [sys.executable, "-m", "suanwang.cli", *arguments, "--with-parent"],
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def last_words(self, name: str, size: int = 1500) -> str:
        """The end of what it wrote."""
        try:
            return (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-size:].strip()
        except OSError:
            return "(nothing)"

    def check(self) -> None:
        """Raises `Unavailable` where one has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise Unavailable(
                    f"{name} ended with status {process.returncode}; its last words:\n{self.last_words(name)}"
                )

    def black_out(self, name: str) -> int:
        """KILL a process and everything it started, as when a whole site loses power; returns how many died."""
        process = self._running.pop(name)
        dead = _kill_tree(process.pid)
        process.wait()
        return dead

    def end_all(self) -> None:
        """End everything: the agents and what they run at once, the control plane in good order where it can."""
        first = self._running.pop("serve", None)
        if first is not None and first.poll() is None:
            first.send_signal(signal.SIGTERM)
        for name in list(self._running):
            self.black_out(name)
        if first is not None:
            try:
                first.wait(_END_S)
            except subprocess.TimeoutExpired:
                _kill_tree(first.pid)
                first.wait()
        self._end_database()
        self._sweep()

    def _end_database(self) -> None:
        """A control plane that was killed leaves its PostgreSQL, whose number stands in its data folder."""
        for path in self._home.glob("**/postmaster.pid"):
            with contextlib.suppress(OSError, ValueError, psutil.Error):
                server = psutil.Process(int(path.read_text().split()[0]))
                if "postgres" in server.name():
                    server.send_signal(signal.SIGINT)
                    server.wait(_END_S)

    def _sweep(self) -> None:
        """KILL what still belongs to a run of this demo: its folder is in the environment or the arguments."""
        home = str(self._home)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                arguments = process.cmdline()
                shepherd = any("connectors.local.shepherd" in word for word in arguments) and home in arguments[-1]
                if shepherd or process.environ().get("SUANWANG_METRICS", "").startswith(home + os.sep):
                    process.kill()


def _kill_tree(pid: int) -> int:
    """Stop the process first, so that it starts nothing while its descendants are counted, then KILL them all."""
    try:
        top = psutil.Process(pid)
        top.suspend()
        family = [top, *top.children(recursive=True)]
    except psutil.Error:
        return 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    return len(family)
