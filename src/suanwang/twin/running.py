"""Running an experiment: its plays on every core, or on a Ray cluster, and going on where a run was ended.

Owns who performs what and what is done about a play that fails or a process that dies. A play that has ended is written
at once; it is never played again unless what it depends on changed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from suanwang.domain.errors import InvalidRequest, SuanwangError
from suanwang.twin.experiment import Experiment, Play, plays
from suanwang.twin.performing import Tables, capacities, drawn_trace, load_trace, perform, prepare
from suanwang.twin.results import Folder, sites_of
from suanwang.twin.trace import Trace

MOST_DEATHS = 2
"""Processes that one play may take with it before it counts as failed."""
KNOCK_S = 10.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Happened:
    """One play has ended, `error` says how where it failed; `there` counts plays that need no more."""

    play: Play
    there: int
    all: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run came to."""

    folder: Path
    rows: Sequence[dict[str, Any]]
    """Of `results.parquet`."""
    failed: Sequence[tuple[Play, str]]
    found: int
    """Plays that were there from before."""
    made: int
    source: str
    """Of the trace."""


Told = Callable[[Happened], None]
_Ended = Generator[tuple[Play, Tables | str], None, None]


@dataclass(slots=True)
class _Work:
    """Plays still to be made, and how many processes each has cost."""

    left: list[Play]
    deaths: dict[str, int] = field(default_factory=dict)


def run(
    experiment: Experiment, out: Path, *, jobs: int | None = None, ray: str | None = None, told: Told = lambda _: None
) -> Ran:
    """Play all that is not in the folder yet, and put the tables together.

    `jobs` is how many processes play, by default as many as this process may use cores; 1 plays in this one. `ray` is the
    address of a cluster. A play that fails is reported, the others go on; what had ended is kept whatever happens.
    Raises `InvalidRequest`, `Conflict` where another run has the folder.
    """
    wanted = plays(experiment)
    folder = Folder(out)
    trace = load_trace(experiment.trace)
    failed: list[tuple[Play, str]] = []
    with folder.kept():
        left = [play for play in wanted if not folder.has(play)]
        there = found = len(wanted) - len(left)
        try:
            with closing(_performed(experiment, trace, left, jobs, ray)) as ended:
                for play, outcome in ended:
                    error = outcome if isinstance(outcome, str) else None
                    if isinstance(outcome, Tables):
                        folder.keep(play, outcome)
                    else:
                        failed.append((play, outcome))
                    there += 1
                    told(Happened(play, there, len(wanted), error))
        finally:
            first = trace if trace is not None else drawn_trace(experiment.trace, experiment.seeds[0])
            source = _source(first)
            rows = folder.put_together(
                experiment,
                wanted,
                {
                    "source": source,
                    "sites": sites_of(experiment, capacities(experiment, first)),
                    "failed": [f"{play}: {error}" for play, error in failed],
                },
            )
    return Ran(folder=out, rows=rows, failed=failed, found=found, made=len(left) - len(failed), source=source)


def _source(trace: Trace) -> str:
    left_out = "".join(f"; left out: {one}" for one in trace.left_out)
    return f"{trace.name}: {trace.source}{left_out}"


def _performed(
    experiment: Experiment, trace: Trace | None, left: Sequence[Play], jobs: int | None, ray: str | None
) -> _Ended:
    if ray is not None:
        yield from _on_ray(experiment, trace, left, ray)
        return
    count = min(jobs or len(os.sched_getaffinity(0)), len(left))
    if count <= 1:
        for play in left:
            yield play, _tried(experiment, trace, play)
        return
    with suppress(Exception):
        # Whatever is wrong here is wrong with that play, and told when it is played.
        prepare(experiment, trace, left[0])
    work = _Work(list(left))
    while work.left:
        yield from _in_processes(experiment, trace, work, count)


def _tried(experiment: Experiment, trace: Trace | None, play: Play) -> Tables | str:
    """The play's tables, or why there are none."""
    try:
        return perform(experiment, trace, play)
    except SuanwangError as error:
        return f"{error.message} ({error.field})" if error.field else error.message
    except MemoryError:
        return "there was not enough memory"
    except Exception as error:
        # Whatever one play trips over must not take the others with it.
        return f"{type(error).__name__}: {error}"


# processes

_given: tuple[Experiment, Trace | None] | None = None


def _begin(experiment: Experiment, trace: Trace | None) -> None:
    """In a new process: take what all plays share, and end when the run that started it is gone, killed or not."""
    global _given  # noqa: PLW0603 - a worker process has one experiment for its whole life
    _given = (experiment, trace)
    # Ctrl-C reaches the whole group; the run itself ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _play(play: Play) -> Tables | str:
    assert _given is not None
    return _tried(*_given, play)


def _in_processes(experiment: Experiment, trace: Trace | None, work: _Work, count: int) -> _Ended:
    """Play what is left; returns early, with the rest still left, where a process died and a new pool is needed."""
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_begin, initargs=(experiment, trace)
        )
        waiting = list(work.left)
        running: dict[Future[Tables | str], Play] = {}
        try:
            while waiting or running:
                # No more than are played at once: of what was handed over nobody could say which play killed its process.
                while waiting and len(running) < count:
                    play = waiting.pop(0)
                    running[pool.submit(_play, play)] = play
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    play = running[future]
                    outcome = future.result()
                    del running[future]
                    work.left.remove(play)
                    yield play, outcome
        except BrokenProcessPool:
            for play in running.values():
                work.deaths[play.id] = work.deaths.get(play.id, 0) + 1
            for play in [one for one in work.left if work.deaths.get(one.id, 0) >= MOST_DEATHS]:
                work.left.remove(play)
                yield play, "its process died, which happens where memory runs out"
        finally:
            _ended(pool)


def _ended(pool: ProcessPoolExecutor) -> None:
    """Without waiting for plays that nobody wants any more."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Every core has a process of its own: libraries must not start threads for all of them."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# Ray


def _on_ray(experiment: Experiment, trace: Trace | None, left: Sequence[Play], address: str) -> _Ended:
    """Each play is one task with one core; what they share is sent once. Ray takes a task up again whose worker died."""
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise InvalidRequest(
            "Ray is not installed: pip install 'suanwang[ray]'", field="ray", allowed="without --ray, on this machine"
        ) from None
    try:
        _knock(address)
        ray.init(address=address, logging_level="warning", log_to_driver=False)
    except Exception as error:
        raise InvalidRequest(
            f"no Ray cluster answers at {address}: {error}", field="ray", allowed="auto, HOST:6379 or ray://HOST:10001"
        ) from error
    try:
        yield from _tasks(ray, experiment, trace, left)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself tries an address where nobody is for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def _tasks(ray: Any, experiment: Experiment, trace: Trace | None, left: Sequence[Play]) -> _Ended:
    # What Ray says of lost workers must not stand among a command's results.
    with redirect_stdout(sys.stderr):
        task = ray.remote(num_cpus=1, max_retries=MOST_DEATHS)(_tried)
        shared = ray.put(experiment), ray.put(trace)
        running = {task.remote(*shared, play): play for play in left}
        while running:
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            play = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayError as error:
                outcome = f"Ray lost it: {error}"
            yield play, outcome
