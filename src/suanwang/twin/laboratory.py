"""Experiments of a control plane: a folder each, played one after the other by a process of their own.

Owns which experiments there are, whose turn it is, and the life of the process that plays. Plays nothing itself and loads
none of what playing needs: the control plane's memory is for the live network. The process ends with the control plane,
however that ends: it watches a pipe that closes then.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.twin.checking import Check, Checked, check_elsewhere, passed_on

EXPERIMENT = "experiment.yaml"
MEMORY = "SUANWANG_TWIN_MEMORY_GB"
"""Tells the process how much it may use."""
_ID = re.compile(r"x-[0-9a-f]{12}")
STATE, PROGRESS, FAILURE, LOG, REPORT, SUMMARY = (
    *("state.json", "progress.json", "failure.json", "log.txt"),
    *("report.html", "summary.json"),
)
READERS = (Role.USER, Role.PROVIDER, Role.OPERATOR, Role.REGULATOR)
STARTERS = (Role.OPERATOR, Role.REGULATOR)
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)
"""Under which a report is shown: its script may run, in an origin of its own, and reaches no cookie, no page, no network."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


ENDED = (State.DONE, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one control plane."""

    waiting: int = 8
    kept: int = 60
    longest_s: float = 1800.0
    memory_gb: float = 6.0
    """Of address space that the process may write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is known of one; `done` of `plays` is from the process's own word."""

    id: str
    title: str
    kind: str
    """`experiment` or `what-if`."""
    by: str
    state: State
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    """Why it failed."""
    done: int = 0
    plays: int | None = None


class Laboratory:
    """The experiments under `home`; without a home there are none and none can be started.

    `command` plays the folder whose path is its last argument; exit status 0 and a report mean that it is done.
    """

    def __init__(
        self,
        home: Path | None,
        now: Callable[[], datetime],
        *,
        command: Sequence[str] = (sys.executable, "-m", "suanwang.twin.playing"),
        check: Check = check_elsewhere,
        limits: Limits | None = None,
    ) -> None:
        self._home = home
        self._now = now
        self._command = tuple(command)
        self._check = check
        self.limits = limits or Limits()
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._experiments: dict[str, Experiment] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._playing: str | None = None
        self._watcher: threading.Thread | None = None
        self._closed = False
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
            self._experiments = {found.id: found for found in self._kept(home)}

    def all(self, caller: Principal) -> Sequence[Experiment]:
        """Newest first."""
        caller.must_be(*READERS)
        with self._lock:
            found = [self._told(each) for each in self._experiments.values()]
        return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)

    def get(self, caller: Principal, experiment_id: str) -> Experiment:
        """Raises `NotFound`."""
        caller.must_be(*READERS)
        with self._lock:
            found = self._experiments.get(experiment_id)
            if found is None:
                raise NotFound("there is no such experiment", field="experiment", allowed="one of the list")
            return self._told(found)

    def report(self, caller: Principal, experiment_id: str) -> Path:
        """The report's file. Raises `NotFound` before there is one."""
        return self._file(caller, experiment_id, REPORT)

    def summary(self, caller: Principal, experiment_id: str) -> Mapping[str, Any]:
        """The report's tables as values. Raises `NotFound` before there are any."""
        found: Mapping[str, Any] = orjson.loads(self._file(caller, experiment_id, SUMMARY).read_bytes())
        return found

    def text(self, caller: Principal, experiment_id: str) -> str:
        """The experiment file, empty where it cannot be read."""
        found = self.get(caller, experiment_id)
        try:
            return (self._folder(found.id) / EXPERIMENT).read_text(encoding="utf-8")
        except OSError:
            return ""

    @property
    def examples(self) -> Mapping[str, str]:
        """Name → title of each experiment that comes with the product."""
        return {name: title for name, (title, _) in _examples().items()}

    def example(self, name: str) -> str:
        """Its text. Raises `InvalidRequest`."""
        known = _examples()
        if name not in known:
            raise InvalidRequest(
                f"no experiment is called {name[:60]!r}", field="example", allowed=", ".join(known) or "none"
            )
        return known[name][1]

    def check(self, caller: Principal, text: str) -> Checked:
        """What an experiment's text would play. Raises `InvalidRequest` with every problem."""
        caller.must_be(*STARTERS)
        return self._check(text)

    def start_text(self, caller: Principal, text: str, title: str = "") -> Experiment:
        """Queue the experiment of a text. Raises `InvalidRequest`, and what `start` raises."""
        found = self.check(caller, text)
        return self.start(caller, title or found.title_en, {EXPERIMENT: text.encode()})

    def start(
        self, caller: Principal, title: str, files: Mapping[str, bytes], *, kind: str = "experiment"
    ) -> Experiment:
        """Queue an experiment whose folder begins with `files`. Raises `Forbidden`, `Conflict` where there is no room."""
        caller.must_be(*STARTERS)
        with self._lock:
            self._check_room()
            made = Experiment(
                id=f"x-{secrets.token_hex(6)}",
                title=title[:200],
                kind=kind,
                by=caller.name,
                state=State.QUEUED,
                created_at=self._now(),
            )
            folder = self._folder(made.id)
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            self._keep(made)
            self._next()
            return self._told(self._experiments[made.id])

    def delete(self, caller: Principal, experiment_id: str) -> None:
        """Stop it where it plays, and remove all it wrote. For operators, and for who started it."""
        found = self.get(caller, experiment_id)
        if caller.role is not Role.OPERATOR and (caller.role not in STARTERS or caller.name != found.by):
            raise Forbidden("only an operator may remove this, and who started it", field="token", allowed="operator")
        with self._lock:
            self._experiments.pop(found.id, None)
            watcher = self._watcher if self._playing == found.id else None
            if watcher is not None:
                self._kill()
        if watcher is not None:
            watcher.join(timeout=30)
        shutil.rmtree(self._folder(found.id), ignore_errors=True)

    def settled(self, within_s: float) -> bool:
        """Wait until nothing plays and nothing waits; False where that took too long."""
        with self._idle:
            return self._idle.wait_for(lambda: self._playing is None, within_s)

    def close(self) -> None:
        """End what plays; the control plane is about to stop."""
        with self._lock:
            self._closed = True
            watcher = self._watcher
            self._kill()
        if watcher is not None:
            watcher.join(timeout=30)

    def _check_room(self) -> None:
        if self._home is None or self._closed:
            raise Conflict("this control plane keeps no experiments", field="experiment", allowed="one that has a home")
        waiting = sum(each.state is State.QUEUED for each in self._experiments.values())
        if waiting >= self.limits.waiting:
            raise Conflict(
                f"{waiting} experiments wait already: wait for one to end",
                field="experiment",
                allowed=f"up to {self.limits.waiting} waiting",
            )
        if len(self._experiments) >= self.limits.kept:
            raise Conflict(
                f"{len(self._experiments)} experiments are kept: remove one first",
                field="experiment",
                allowed=f"up to {self.limits.kept} kept",
            )

    def _next(self) -> None:
        """Begin the oldest that waits, if nothing plays; the lock is held."""
        waiting = [each for each in self._experiments.values() if each.state is State.QUEUED]
        if self._playing is not None or self._closed or not waiting:
            return
        chosen = min(waiting, key=lambda each: (each.created_at, each.id))
        begun = replace(chosen, state=State.RUNNING, started_at=self._now())
        self._keep(begun)
        self._playing = chosen.id
        self._watcher = threading.Thread(target=self._watch, args=(begun,), name="experiment", daemon=True)
        self._watcher.start()

    def _watch(self, begun: Experiment) -> None:
        """Play one to its end, write down how it ended, and begin the next."""
        reason = ""
        try:
            reason = self._play(begun)
        except OSError as error:
            reason = f"it could not be started: {error.strerror or error}"
        with self._lock:
            self._process = self._playing = None
            if begun.id in self._experiments:
                state = State.FAILED if reason else State.DONE
                self._keep(replace(begun, state=state, ended_at=self._now(), reason=reason))
            self._next()
            self._idle.notify_all()

    def _play(self, begun: Experiment) -> str:
        """Why it failed; empty where it is done."""
        folder = self._folder(begun.id)
        environment = {**passed_on(), MEMORY: str(self.limits.memory_gb)}
        with (folder / LOG).open("wb") as log:
            process = self._begin(folder, environment, log)
            if process is None:
                return _STOPPED
            try:
                status = process.wait(timeout=self.limits.longest_s)
            except subprocess.TimeoutExpired:
                self._kill()
                process.wait()
                return f"it took longer than {self.limits.longest_s / 60:.0f} min"
            finally:
                _kill_group(process.pid)  # What it started itself ends with it.
                assert process.stdin is not None
                process.stdin.close()
        if self._closed:
            return _STOPPED
        if status == 0 and (folder / REPORT).exists():
            return ""
        return _reason(folder, status)

    def _begin(self, folder: Path, environment: Mapping[str, str], log: BinaryIO) -> subprocess.Popen[bytes] | None:
        """The process, or None where there is nothing to play any more."""
        with self._lock:
            if self._closed or folder.name not in self._experiments:
                return None
            self._process = subprocess.Popen(
                [*self._command, str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
            return self._process

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            _kill_group(self._process.pid)

    def _told(self, found: Experiment) -> Experiment:
        """With what the process says of its progress."""
        if found.state is State.QUEUED:
            return found
        said = _json(self._folder(found.id) / PROGRESS)
        done, plays = said.get("done"), said.get("of")
        return replace(
            found, done=done if isinstance(done, int) else 0, plays=plays if isinstance(plays, int) else None
        )

    def _keep(self, changed: Experiment) -> None:
        self._experiments[changed.id] = changed
        path = self._folder(changed.id) / STATE
        fresh = path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(asdict(changed)))
        fresh.replace(path)

    def _kept(self, home: Path) -> Iterator[Experiment]:
        """What an earlier control plane left; whatever it did not see the end of has failed."""
        for path in home.iterdir():
            found = _json(path / STATE) if _ID.fullmatch(path.name) else {}
            if not found:
                continue
            made = _experiment(found)
            if made is not None:
                yield made if made.state in ENDED else replace(made, state=State.FAILED, reason=_STOPPED)

    def _file(self, caller: Principal, experiment_id: str, name: str) -> Path:
        found = self.get(caller, experiment_id)
        path = self._folder(found.id) / name
        if found.state is not State.DONE or not path.is_file():
            raise NotFound(
                f"this experiment has no report: it is {found.state}", field="experiment", allowed="one that is done"
            )
        return path

    def _folder(self, experiment_id: str) -> Path:
        assert self._home is not None, "without a home there is no experiment"
        return self._home / experiment_id


_STOPPED = "the control plane stopped while it was played"


@cache
def _examples() -> Mapping[str, tuple[str, str]]:
    """Name → (title in both languages, text), read here because the experiments' own reader loads what playing loads."""
    import yaml

    found: dict[str, tuple[str, str]] = {}
    for path in sorted((Path(__file__).parent / "examples").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        title = (yaml.safe_load(text) or {}).get("title", {})
        found[path.stem] = (f"{title.get('en', path.stem)} · {title.get('zh', path.stem)}", text)
    return found


def _kill_group(pid: int) -> None:
    # The process leads its own session, so its group is its own and that of whatever it started.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reason(folder: Path, status: int) -> str:
    said = _json(folder / FAILURE).get("message")
    if isinstance(said, str) and said:
        return said[:2000]
    if status == -signal.SIGKILL:
        return "it was killed: perhaps its memory did not suffice"
    lines = [line.strip() for line in _tail(folder / LOG).splitlines() if line.strip()]
    return f"it ended with status {status}" + (f": {lines[-1][:500]}" if lines else "")


def _tail(path: Path, size: int = 4096) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    """An object, empty where there is none."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _experiment(found: Mapping[str, Any]) -> Experiment | None:
    """None for what another release wrote in another form."""
    times = {name: _instant(found.get(name)) for name in ("started_at", "ended_at")}
    try:
        return Experiment(
            **{
                **found,
                **times,
                "state": State(found["state"]),
                "created_at": datetime.fromisoformat(found["created_at"]),
            }
        )
    except (KeyError, TypeError, ValueError):
        return None


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
