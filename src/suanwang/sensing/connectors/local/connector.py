"""`LocalConnector`: this host as a site, real processes under real limits, nothing left behind.

Owns the spool: one folder per run (see `records`), a lock around every change, and who is granted room. Everything it
knows is read from the spool, so an agent that was killed and started again finds its runs by tag and goes on. Knows
nothing of leases, files or the control plane. Runs that wait start, in the order they came, whenever an agent calls.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from suanwang.domain.connector import Load, NodeShape, Observation, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, Unavailable
from suanwang.sensing.connectors.local import procfs
from suanwang.sensing.connectors.local.launching import end_orphans, is_reaped, start_shepherd
from suanwang.sensing.connectors.local.records import Ended, Order, RunFolder
from suanwang.sensing.connectors.local.slots import Capacity, Held, Need

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_GB = 10**9
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
"""What a run sees of the agent's own environment; the rest may hold the agent's secrets."""
_MAX_TRIES = 3


class LocalConnector:
    """Runs each order on this host. Implements `suanwang.ports.Connector`; safe to use from several threads."""

    def __init__(
        self,
        *,
        spool: Path,
        cores: int,
        memory_gb: float,
        devices: Mapping[str, int] | None = None,
        grace_s: float = 15.0,
        pin_cores: bool = True,
    ) -> None:
        """Keep runs in `spool`, a folder of this site alone, and hand out `cores`, `memory_gb` and `devices`.

        `devices` maps a catalogue identifier to how many there are; they may be virtual. `grace_s` is the time between
        asking a program to end and killing it: leave it above the grace of the run's own script. Runs are pinned to
        processors of their own unless `pin_cores` is off or more `cores` are declared than there are: turn it off where
        several sites share one host. Raises `InvalidRequest` for a capacity that makes no sense.
        """
        declared = dict(devices or {})
        if cores < 1 or not 0 < memory_gb < float("inf") or any(count < 0 for count in declared.values()):
            message = "declare at least one core, some memory and no negative number of devices"
            raise InvalidRequest(message, field="capacity", allowed="cores ≥ 1, memory_gb > 0, devices ≥ 0")
        bash = shutil.which("bash")
        if bash is None:
            raise Unavailable("there is no bash on this host's PATH: install it")
        self._bash = bash
        cpus = tuple(sorted(os.sched_getaffinity(0)))[:cores]
        self._capacity = Capacity(
            cores=cores,
            memory_bytes=int(memory_gb * _GB),
            devices=declared,
            cpus=cpus if pin_cores and len(cpus) == cores else (),
        )
        self._memory_gb = memory_gb
        self._grace_s = grace_s
        self._spool = Path(spool).absolute()
        self._spool.mkdir(parents=True, exist_ok=True)
        self._spool.chmod(0o711)  # a mapped account reaches its script, and lists nothing
        self._node = socket.gethostname()
        self._shepherds: list[int] = []
        """Those this process started and must reap; after its death the host's init does."""

    def submit(self, order: RunOrder) -> str:
        """Write the order into the spool and start it when there is room. The same tag again is the same run."""
        tag = _checked_tag(order.tag)
        need = _need(order)
        owner = _checked_account(order.posix_user)
        if order.nodes != 1:
            raise InvalidRequest(f"{order.nodes} nodes asked, this site is one host", field="nodes", allowed="1")
        if order.time_limit_s < 1:
            raise InvalidRequest("a run needs time", field="time_limit_s", allowed="1 or more")
        unfit = self._capacity.never_fits(need)
        if unfit is not None:
            field, message, allowed = unfit
            raise InvalidRequest(message, field=field, allowed=allowed)
        with self._locked():
            folder = self._folder(tag)
            if folder.order() is None:
                self._keep(folder, order, need, owner)
            self._advance()
        return _native_id(tag)

    def observe(self, tags: Sequence[str]) -> Mapping[str, Observation]:
        """What became of each run; first starts what waits and settles runs whose shepherd was killed."""
        with self._locked():
            self._advance()
            return {tag: self._observation(tag) for tag in tags}

    def cancel(self, tag: str) -> None:
        """End a run: a waiting one at once, a running one with TERM and, after the grace, KILL."""
        if not _TAG.fullmatch(tag):
            return
        with self._locked():
            folder = self._folder(tag)
            if folder.order() is None or folder.ended() is not None:
                return
            folder.ask_cancel()
            started = folder.started()
            if started is not None and procfs.is_same(started["shepherd"], started["shepherd_ticks"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(started["shepherd"], signal.SIGTERM)
            self._advance()

    def forget(self, tag: str) -> None:
        """Remove what is kept of an ended run. A run that has not ended is not forgotten: cancel it first."""
        if not _TAG.fullmatch(tag):
            return
        with self._locked():
            folder = self._folder(tag)
            if folder.ended() is not None:
                shutil.rmtree(folder.path, ignore_errors=True)

    def running(self) -> Sequence[str]:
        """Tags of runs that wait or run, oldest first."""
        with self._locked():
            self._advance()
            return [order["tag"] for _, order in self._open_runs()]

    def load(self) -> Load:
        """The declared capacity, less what the runs of this spool hold."""
        with self._locked():
            self._advance()
            runs = self._open_runs()
            held = _held(runs)
        free = self._capacity.free(held)
        shape = NodeShape(
            count=1,
            cores=self._capacity.cores,
            memory_gb=self._memory_gb,
            devices=dict(self._capacity.devices),
        )
        return Load(
            nodes=(shape,),
            cores_free=free.cores,
            memory_free_gb=free.memory_bytes / _GB,
            devices_free=free.devices,
            pending=len(runs) - len(held),
            running=len(held),
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the spool, against other threads and against a second agent on the same folder."""
        try:
            handle = os.open(self._spool / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the spool {self._spool} cannot be used: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise Unavailable(f"this host could not do it, free space or processes and try again: {error}") from error
        finally:
            os.close(handle)

    def _folder(self, tag: str) -> RunFolder:
        return RunFolder(str(self._spool / tag))

    def _open_runs(self) -> list[tuple[RunFolder, Order]]:
        """Runs that have not ended, in the order they came."""
        runs: list[tuple[RunFolder, Order]] = []
        for entry in os.scandir(self._spool):
            if entry.is_dir(follow_symlinks=False) and _TAG.fullmatch(entry.name):
                folder = RunFolder(entry.path)
                order = folder.order()
                if order is not None and folder.ended() is None:
                    runs.append((folder, order))
        return sorted(runs, key=lambda run: (run[1]["sequence"], run[1]["tag"]))

    def _keep(self, folder: RunFolder, order: RunOrder, need: Need, owner: pwd.struct_passwd | None) -> None:
        """Write the run's folder; `order.json` comes last and makes it a run."""
        Path(folder.path).mkdir(mode=0o711, exist_ok=True)
        ids = None if owner is None else (owner.pw_uid, owner.pw_gid)
        folder.write_script(order.script, owner=ids)
        work_dir = Path(order.work_dir)
        if not work_dir.is_dir():
            work_dir.mkdir(parents=True)
            if ids is not None:
                os.chown(work_dir, *ids)
        folder.write_order(
            {
                "tag": order.tag,
                "token": secrets.token_hex(16),
                "sequence": time.time_ns(),
                "bash": self._bash,
                "work_dir": str(order.work_dir),
                "stdout": str(order.stdout_path),
                "stderr": str(order.stderr_path),
                "env": _surroundings(owner) | dict(order.env),
                "cores": need.cores,
                "memory_bytes": need.memory_bytes,
                "device_model": need.device_model,
                "device_count": need.device_count,
                "time_limit_s": order.time_limit_s,
                "grace_s": self._grace_s,
                "user": order.posix_user,
            }
        )

    def _advance(self) -> None:
        """Settle what nobody supervises any more, then start what waits, strictly in turn."""
        self._shepherds = [pid for pid in self._shepherds if not is_reaped(pid)]
        runs = self._open_runs()
        waiting: list[tuple[RunFolder, Order]] = []
        for folder, order in runs:
            if folder.granted() is None:
                waiting.append((folder, order))
            elif not folder.has_shepherd():
                self._settle(folder, order)
        held = _held(run for run in runs if run[0].ended() is None)
        full = False
        for folder, order in waiting:
            need = _order_need(order)
            unfit = self._capacity.never_fits(need)
            if folder.cancel_asked():
                folder.write_ended(_unsupervised(RunState.CANCELLED, "cancelled before it started"))
            elif unfit is not None:
                folder.write_ended(_unsupervised(RunState.SITE_FAILED, f"this host was made smaller: {unfit[1]}"))
            elif not full:
                grant = self._capacity.grant(need, held)
                full = grant is None
                if grant is not None:
                    folder.write_granted({"cpus": list(grant.cpus), "devices": list(grant.devices), "tries": 0})
                    self._start(folder)
                    held = [*held, grant]

    def _settle(self, folder: RunFolder, order: Order) -> None:
        """A granted run without a living shepherd: never started, ended just now, or its shepherd was killed."""
        if folder.ended() is not None:
            return
        started = folder.started()
        if started is None:
            if folder.cancel_asked():
                folder.write_ended(_unsupervised(RunState.CANCELLED, "cancelled before it started"))
            else:
                self._start(folder)
            return
        left: list[int] = []
        if started["boot_id"] == procfs.boot_id():
            left = end_orphans(started["session"], started["shepherd_ticks"], order["token"])
            reason = "its supervisor on the host was killed; its processes were ended"
        else:
            reason = "the host was restarted"
        if left:
            reason = f"its supervisor on the host was killed; these processes could not be ended: {left[:10]}"
        ended = _unsupervised(RunState.SITE_FAILED, reason)
        ended["started_at"] = started["started_at"]
        folder.write_ended(ended)

    def _start(self, folder: RunFolder) -> None:
        """Start the run's shepherd and wait until it says that the script runs. Give up after a few tries."""
        grant = folder.granted()
        if grant is None:
            return
        if grant["tries"] >= _MAX_TRIES:
            reason = f"its supervisor did not start: {_tail(folder.file('shepherd.log'))}"
            folder.write_ended(_unsupervised(RunState.SITE_FAILED, reason))
            return
        grant["tries"] += 1
        folder.write_granted(grant)
        self._shepherds.append(start_shepherd(folder))

    def _observation(self, tag: str) -> Observation:
        folder = self._folder(tag) if _TAG.fullmatch(tag) else None
        order = folder.order() if folder is not None else None
        if folder is None or order is None:
            return Observation(tag=tag, state=RunState.UNKNOWN)
        native_id, ended, started = _native_id(tag), folder.ended(), folder.started()
        if ended is not None:
            memory = ended["max_memory_bytes"]
            return Observation(
                tag=tag,
                state=RunState(ended["state"]),
                native_id=native_id,
                started_at=_instant(ended["started_at"]),
                ended_at=_instant(ended["ended_at"]),
                exit_code=ended["exit_code"],
                reason=ended["reason"],
                nodes=(self._node,),
                cpu_s=ended["cpu_s"],
                max_memory_gb=None if memory is None else memory / _GB,
            )
        if started is None:
            reason = "waits for room on this host" if folder.granted() is None else "starts"
            return Observation(tag=tag, state=RunState.PENDING, native_id=native_id, reason=reason)
        return Observation(
            tag=tag,
            state=RunState.RUNNING,
            native_id=native_id,
            started_at=_instant(started["started_at"]),
            nodes=(self._node,),
        )


def _native_id(tag: str) -> str:
    return f"local-{tag}"


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        allowed = "1 to 128 letters, digits, dots, underscores and hyphens, a letter or digit first"
        raise InvalidRequest(f"the tag {tag[:40]!r} cannot name a folder", field="tag", allowed=allowed)
    return tag


def _checked_account(name: str | None) -> pwd.struct_passwd | None:
    if name is None:
        return None
    try:
        account = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise InvalidRequest(
            f"this host has no account {name!r}", field="posix_user", allowed="an account of this host"
        ) from None
    if os.geteuid() != 0:
        message = "only an agent that runs as root can start runs as another account"
        raise InvalidRequest(message, field="posix_user", allowed="none, or run the agent as root")
    if account.pw_uid == 0:
        raise InvalidRequest("runs are not started as root", field="posix_user", allowed="an account other than root")
    return account


def _need(order: RunOrder) -> Need:
    try:
        memory_bytes = int(order.memory_gb * _GB)
    except (ValueError, OverflowError):
        message = f"{order.memory_gb} is no amount of memory"
        raise InvalidRequest(message, field="memory_gb", allowed="a finite number above 0") from None
    devices = order.devices
    return Need(
        cores=order.cores,
        memory_bytes=memory_bytes,
        device_model=None if devices is None else devices.model,
        device_count=0 if devices is None else devices.count,
    )


def _order_need(order: Order) -> Need:
    return Need(
        cores=order["cores"],
        memory_bytes=order["memory_bytes"],
        device_model=order["device_model"],
        device_count=order["device_count"],
    )


def _held(runs: Iterator[tuple[RunFolder, Order]] | Sequence[tuple[RunFolder, Order]]) -> list[Held]:
    held: list[Held] = []
    for folder, order in runs:
        grant = folder.granted()
        if grant is not None:
            held.append(Held(need=_order_need(order), cpus=tuple(grant["cpus"]), devices=tuple(grant["devices"])))
    return held


def _surroundings(account: pwd.struct_passwd | None) -> dict[str, str]:
    who = account or pwd.getpwuid(os.geteuid())
    home = who.pw_dir if account is not None else os.environ.get("HOME", who.pw_dir)
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PATH": os.defpath, **kept, "HOME": home, "USER": who.pw_name, "LOGNAME": who.pw_name, "SHELL": "/bin/bash"}


def _unsupervised(state: RunState, reason: str) -> Ended:
    return {
        "state": state.value,
        "started_at": None,
        "ended_at": time.time(),
        "exit_code": None,
        "reason": reason,
        "cpu_s": None,
        "max_memory_bytes": None,
    }


def _tail(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes()[-400:].decode(errors="replace").strip()
    return "no word from it"


def _instant(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
