"""The embedded server: shared by its users, stopped with the last, and back after every kind of death."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.contract.store_values import a_job, an_event, at_once, leasing
from tests.services.postgres_fixture import QUICK, server_folder
from tests.services.test_postgres_store import wait_for

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.migrate import upgrade
from suanwang.adapters.store.postgres import PostgresStore, connect
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState

pytestmark = pytest.mark.services

USER_PROGRAM = """
import sys
from pathlib import Path
from suanwang.adapters.store.database import Database
from suanwang.adapters.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
server.stop()
print("left", flush=True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made / "network"
        postmaster = running(made / "network")
        if postmaster is not None:
            kill_whole_server(made / "network")


def running(folder: Path) -> psutil.Process | None:
    """The server's first process, where there is one."""
    try:
        process = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().splitlines()[0]))
        return process if process.name() == "postgres" else None
    except (OSError, ValueError, psutil.Error):
        return None


def answers(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def user_process(folder: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until it is told to go."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def kill_whole_server(folder: Path) -> None:
    postmaster = running(folder)
    assert postmaster is not None
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    wait_for(lambda: all(map(ended, family)))


def ended(process: psutil.Process) -> bool:
    """Gone, or dead and not yet reaped."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_starts_keeps_and_stops(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings={**QUICK, "work_mem": "9MB"}) as server:
        assert server.start() == server.url, "starting twice is joining once"
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
            assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert running(folder) is None
    server.stop()
    with EmbeddedPostgres(folder) as again, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_nobody_else_may_come_near(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=QUICK):
        for private in ("data", "socket"):
            assert stat.S_IMODE((folder / private).stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE((folder / "socket" / ".s.PGSQL.5432").stat().st_mode) & 0o077 == 0


def test_the_last_user_stops_it(folder: Path) -> None:
    first, second = EmbeddedPostgres(folder, settings=QUICK), EmbeddedPostgres(folder)
    assert first.start() == second.start()
    first.stop()
    assert answers(second.url)
    second.stop()
    assert running(folder) is None


def test_users_that_start_at_once_share_one_server(folder: Path) -> None:
    servers = [EmbeddedPostgres(folder, settings=QUICK) for _ in range(4)]
    urls = at_once([server.start for server in servers])
    assert len(set(urls)) == 1
    assert answers(urls[0])
    at_once([server.stop for server in servers])
    assert running(folder) is None


def test_processes_share_it(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=QUICK) as server:
        other = user_process(folder)
        server.stop()
        assert answers(server.url), "the other process is still there"
        said, _ = other.communicate("go\n", timeout=60)
        assert said == "left\n"
    assert running(folder) is None


def test_a_killed_user_is_not_counted(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=QUICK):
        other = user_process(folder)
        other.kill()
        other.communicate(timeout=60)
    assert running(folder) is None


def test_a_server_whose_user_was_killed_is_joined_again(folder: Path) -> None:
    other = user_process(folder)
    other.kill()
    other.communicate(timeout=60)
    left_behind = running(folder)
    assert left_behind is not None
    with EmbeddedPostgres(folder) as server:
        assert running(folder) == left_behind
        assert answers(server.url)
    assert running(folder) is None


def test_a_killed_server_comes_back_with_its_data(folder: Path) -> None:
    with impatient(folder) as store:
        job = a_job()
        store.add_jobs([job], [])
        kill_whole_server(folder)
        with pytest.raises(Unavailable):
            store.job(job.id)
        with EmbeddedPostgres(folder):
            wait_for(lambda: _tried(store, job) == job)


def impatient(folder: Path) -> PostgresStore:
    """A store that does not wait long for a server that is gone."""
    server = EmbeddedPostgres(folder)
    upgrade(server.start())
    return PostgresStore(Database(server.url, wait_s=0.2), server=server)


def _tried(store: PostgresStore, job: Job) -> Job | None:
    try:
        return store.job(job.id)
    except Unavailable:
        return None


def test_orphans_of_a_killed_server_do_not_share_its_data(folder: Path) -> None:
    first = EmbeddedPostgres(folder, settings=QUICK)
    held_open = psycopg.connect(first.start(), autocommit=True)
    held_open.execute("SELECT 1")
    postmaster = running(folder)
    assert postmaster is not None
    children = postmaster.children(recursive=True)
    postmaster.kill()
    with EmbeddedPostgres(folder) as server:
        assert answers(server.url)
        assert all(map(ended, children))
    held_open.close()
    first.stop()


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=QUICK):
        pid_file = (folder / "data" / "postmaster.pid").read_text()
        kill_whole_server(folder)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lines = pid_file.splitlines()
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        with EmbeddedPostgres(folder) as server:
            assert answers(server.url)
        assert stranger.poll() is None, "a stranger is left alone"
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait(30)


def test_making_the_data_that_was_cut_off_starts_over(folder: Path) -> None:
    half = folder / "data.new"
    half.mkdir(parents=True)
    (half / "half").write_text("written")
    with EmbeddedPostgres(folder, settings=QUICK) as server:
        assert answers(server.url)
        assert not half.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_one(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    with EmbeddedPostgres(deep, settings=QUICK) as server:
        assert answers(server.url)
        assert str(deep) not in server.url
        socket_folder = Path(server.url.split("host=")[1].replace("%2F", "/"))
        assert socket_folder.is_dir()
    assert not socket_folder.exists(), "nothing stays among the temporary files"


def test_a_socket_folder_of_somebody_elses_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = EmbeddedPostgres(deep, settings=QUICK)
    socket_folder = Path(server.url.split("host=")[1].replace("%2F", "/"))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    trapped = Path(EmbeddedPostgres(deep).url.split("host=")[1].replace("%2F", "/"))
    assert trapped.name == socket_folder.name
    trapped.symlink_to(folder)
    with pytest.raises(Unavailable, match="somebody else"):
        EmbeddedPostgres(deep, settings=QUICK).start()


def test_no_short_path_anywhere_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(InvalidRequest) as caught:
        EmbeddedPostgres(deep).start()
    assert caught.value.field == "folder"
    assert "choose a shorter folder" in caught.value.message


def test_a_folder_that_is_a_file_is_a_clear_error(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(InvalidRequest) as caught:
        EmbeddedPostgres(folder).start()
    assert caught.value.field == "folder"


def test_a_setting_the_server_refuses_is_told(folder: Path) -> None:
    with pytest.raises(Unavailable, match="pg_ctl failed"):
        EmbeddedPostgres(folder, settings={"max_connections": "-1"}).start()
    with EmbeddedPostgres(folder, settings=QUICK) as server:
        assert answers(server.url), "and does no lasting harm"


def test_steps_are_whole_or_absent_when_the_server_is_killed_among_them(folder: Path) -> None:
    """Threads apply steps while the server is killed outright; then each job either has everything or nothing."""
    with impatient(folder) as store:
        jobs = [a_job() for _ in range(4000)]
        store.add_jobs(jobs, [an_event("job.submitted", job) for job in jobs])
        parts = [jobs[first : first + 40] for first in range(0, len(jobs), 40)]

        def apply(part: list[Job]) -> bool:
            try:
                return not store.apply([leasing(job) for job in part])
            except (Unavailable, OutcomeUnknown):
                return False

        with ThreadPoolExecutor(4) as pool:
            applying = [pool.submit(apply, part) for part in parts]
            wait_for(lambda: sum(future.done() for future in applying) >= 10)
            kill_whole_server(folder)
            confirmed = [part for part, future in zip(parts, applying, strict=True) if future.result(120)]
    with connect(None, folder) as store:
        stored = store.jobs_by_id([job.id for job in jobs])
        leased = {job_id for job_id, job in stored.items() if job.state is JobState.LEASED}
        assert len(stored) == len(jobs)
        assert 10 * 40 <= len(leased) < len(jobs), "it was killed among them"
        assert {job.id for part in confirmed for job in part} <= leased, "what was confirmed is kept"
        assert sum(held.allocations for held in store.held().values()) == len(leased)
        assert {event.job_id for event in store.events(0, 9999, kind="job.leased")} == leased
        for part in parts:
            assert len({job.id in leased for job in part}) == 1, "a call is one transaction"
        assert store.count_jobs() == {JobState.LEASED: len(leased), JobState.QUEUED: len(jobs) - len(leased)}
        left = [job for job in jobs if job.id not in leased]
        assert store.apply([leasing(job) for job in left]) == frozenset()
