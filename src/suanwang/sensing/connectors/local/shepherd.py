"""The shepherd: the small process that stays beside one run, whatever becomes of the agent.

`python -m suanwang.sensing.connectors.local.shepherd FOLDER`

Owns one run's processes: starts the script in a process group of its own, holds its limits on time and memory,
passes on the wish for its end, reaps every descendant, and writes how it ended. Knows nothing of other runs, of
capacity or of the network. Only the standard library is imported, so that it starts in some 40 ms and stays small.
"""

# pathlib would add some 7 ms and 1 MB to every shepherd, so files are read the plain way.
# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
import traceback

from suanwang.sensing.connectors.local import procfs
from suanwang.sensing.connectors.local.records import TOKEN_NAME, Ended, Grant, Order, RunFolder

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.5
_FIRST_POLL_S = 0.05
"""Young runs are looked at more often: a program that fills the memory does so at once."""
_LAST_SWEEP_S = 30.0
_DEVICE_VARIABLES = ("SUANWANG_DEVICES", "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(arguments: list[str]) -> int:
    """Supervise the run of the folder named, once: a second shepherd for the same run leaves at once."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m suanwang.sensing.connectors.local.shepherd FOLDER\n")
        return 2
    os.chdir("/")
    folder = RunFolder(arguments[1])
    if _take_lock(folder) is None or folder.started() is not None or folder.ended() is not None:
        return 0
    order, grant = folder.order(), folder.granted()
    if order is None or grant is None:
        sys.stderr.write("order.json or granted.json is missing or unreadable\n")
        return 1
    Shepherd(folder, order, grant).supervise()
    return 0


def _take_lock(folder: RunFolder) -> int | None:
    for _ in range(10):
        handle = folder.lock()
        if handle is not None:
            return handle
        time.sleep(0.05)  # the connector may just be looking whether a shepherd lives
    return None


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def environment(order: Order, grant: Grant) -> dict[str, str]:
    """The run's environment: thread counts that the order may overrule, and devices that it may not.

    Devices are named by their place on this host.
    """
    devices = ",".join(str(index) for index in grant["devices"])
    threads = dict.fromkeys(_THREAD_VARIABLES, str(order["cores"]))
    return {**threads, **order["env"], **dict.fromkeys(_DEVICE_VARIABLES, devices), TOKEN_NAME: order["token"]}


class Shepherd:
    """One run, from its start to its end record."""

    def __init__(self, folder: RunFolder, order: Order, grant: Grant) -> None:
        self.folder = folder
        self.order = order
        self.grant = grant
        self.pid = 0
        self.status: int | None = None
        self.launched = False
        self.childless = False
        self.started_at = time.time()
        self.max_memory = 0
        self.cause: str | None = None
        self.reason = ""
        self.kill_at: float | None = None

    def supervise(self) -> None:
        """Start, watch, sweep, record: whatever goes wrong, nothing is left running and an end is written."""
        try:
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            failure = self._start()
            if failure:
                self.cause, self.reason = "site_failed", f"the run could not be started: {failure}"
            else:
                self.launched = True
                self._watch()
        except Exception as error:  # whatever it is, the run must end and the end be written
            traceback.print_exc()
            self.cause, self.reason = "site_failed", f"the run's supervisor failed: {error!r}"
        left = self._sweep()
        if left:
            self.reason += f"; {len(left)} processes could not be ended: {left[:10]}"
        self.folder.write_ended(self._end())

    def _start(self) -> str:
        """Start the script held back, write down which process it is, then let it go. The text says what failed."""
        go_read, go_write = os.pipe()
        error_read, error_write = os.pipe()
        shepherd = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_write)
            self._become_script(go_read, error_write, shepherd)
        os.close(go_read)
        os.close(error_write)
        self.started_at = time.time()
        self.folder.write_started(
            {
                "boot_id": procfs.boot_id(),
                "shepherd": shepherd,
                "shepherd_ticks": procfs.start_ticks(shepherd) or 0,
                "session": os.getsid(0),
                "pid": self.pid,
                "started_at": self.started_at,
            }
        )
        os.write(go_write, b"go")
        os.close(go_write)
        with open(error_read, encoding="utf-8") as file:
            failure = file.read()
        self._tell_started()
        return failure

    @staticmethod
    def _tell_started() -> None:
        """The connector waits at the other end of standard output; it may be gone by now."""
        with contextlib.suppress(OSError):
            os.write(1, b"started\n")
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.close(null)

    def _become_script(self, go: int, error: int, shepherd: int) -> None:
        """In the child: put on the limits, the user and the streams, then turn into bash. Never returns."""
        step = "start"
        try:
            os.setpgid(0, 0)
            if not os.read(go, 2):
                os._exit(127)  # the shepherd died before it could write down who this is
            step = "limits"
            self._put_on_limits()
            step = f"user {self.order['user']}"
            self._put_on_user()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
            if os.getppid() != shepherd:
                os._exit(127)
            step = f"work folder {self.order['work_dir']}"
            os.chdir(self.order["work_dir"])
            step = "standard streams"
            self._put_on_streams()
            step = f"bash on {self.folder.script}"
            with open(self.folder.script, "rb"):
                pass  # an unreadable script is this host's fault, not the user's
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.execve(self.order["bash"], ["bash", self.folder.script], environment(self.order, self.grant))  # noqa: S606  bash, by its path
        except BaseException as failure:  # this child must never run on as a second shepherd
            os.write(error, f"{step}: {failure}".encode(errors="replace")[:4000])
            os._exit(127)

    def _put_on_limits(self) -> None:
        if self.grant["cpus"]:
            with contextlib.suppress(OSError):  # a processor went offline: the run is slower, not wrong
                os.sched_setaffinity(0, self.grant["cpus"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")  # when the host itself runs out, the kernel takes the run before the agent
        os.umask(0o022)

    def _put_on_user(self) -> None:
        name = self.order["user"]
        if name is None:
            return
        import pwd  # only runs with a mapped account need it

        account = pwd.getpwnam(name)
        os.initgroups(name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)

    def _put_on_streams(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        streams = (
            os.open(os.devnull, os.O_RDONLY),
            os.open(self.order["stdout"], flags, 0o644),
            os.open(self.order["stderr"], flags, 0o644),
        )
        for number, handle in enumerate(streams):
            os.dup2(handle, number)

    def _watch(self) -> None:
        """Until the script has ended; once it is being stopped, until all its processes have, or the grace is over."""
        deadline = time.monotonic() + self.order["time_limit_s"]
        poll_s = _FIRST_POLL_S
        while True:
            due = min(deadline if self.cause is None else float("inf"), self.kill_at or float("inf"))
            woken = signal.sigtimedwait(_SIGNALS, max(0.0, min(poll_s, due - time.monotonic())))
            poll_s = min(_POLL_S, poll_s * 1.5)
            self._reap()
            if self.childless or (self.status is not None and self.cause is None):
                return
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                return
            self._hold_memory()
            if self.cause is None:
                asked = woken is not None and woken.si_signo in (signal.SIGTERM, signal.SIGINT)
                self._look_for_end(asked=asked, overdue=time.monotonic() >= deadline)

    def _look_for_end(self, *, asked: bool, overdue: bool) -> None:
        if self.folder.cancel_asked():
            self._stop("cancelled", "cancelled on request")
        elif asked:
            self._stop("site_failed", "the host stopped the run's supervisor")
        elif overdue:
            self._stop("timed_out", f"over its time limit of {self.order['time_limit_s']} s")

    def _hold_memory(self) -> None:
        tree = procfs.descendants(os.getpid())
        used, limit = procfs.resident_bytes(tree), self.order["memory_bytes"]
        if used > limit:
            used = procfs.proportional_bytes(tree)
        self.max_memory = max(self.max_memory, used)
        if used > limit and self.cause != "out_of_memory":
            reason = f"used {used / 1e9:.3g} GB, over its memory limit of {limit / 1e9:.3g} GB"
            self.cause, self.reason, self.kill_at = "out_of_memory", reason, time.monotonic()

    def _stop(self, cause: str, reason: str) -> None:
        """Ask every process to end, and give them the grace in which a program may save its state."""
        self.cause, self.reason = cause, reason
        self.kill_at = time.monotonic() + self.order["grace_s"]
        _signal_all(procfs.descendants(os.getpid()), signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def _sweep(self) -> list[int]:
        """Kill and reap whatever is left, again until nothing is; the processes that would not die."""
        give_up_at = time.monotonic() + _LAST_SWEEP_S
        self._reap()
        while not self.childless and time.monotonic() < give_up_at:
            _signal_all(procfs.descendants(os.getpid()), signal.SIGKILL)
            signal.sigtimedwait((signal.SIGCHLD,), 0.02)
            self._reap()
        return [] if self.childless else procfs.descendants(os.getpid())

    def _end(self) -> Ended:
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        reason = self.reason
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            reason = reason or f"ended by {name}"
            code = 128 - code
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "state": self.cause or ("succeeded" if code == 0 else "failed"),
            "started_at": self.started_at,
            "ended_at": time.time(),
            "exit_code": code if self.launched else None,
            "reason": reason or ("" if code == 0 else f"exit status {code}"),
            "cpu_s": used.ru_utime + used.ru_stime,
            "max_memory_bytes": max(self.max_memory, used.ru_maxrss * 1024),
        }


def _signal_all(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
