"""How many jobs the twin plays in a second, and what memory that takes.

    SUANWANG_ACCASIM=/path/to/python python -m benchmarks.twin --only speed --data FOLDER

`SUANWANG_ACCASIM` is a Python that has AccaSim installed. Owns the timed cases; each is warmed first, and compiling is a
figure of its own.
"""

from __future__ import annotations

import gzip
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store import Figure
from benchmarks.twin.bare import easy
from benchmarks.twin.chapters import Table
from benchmarks.twin.national import log, week

from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import NEVER_MS, JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies import policy
from suanwang.twin.accounting import Supply, account
from suanwang.twin.engine import Played, Truth, play
from suanwang.twin.federation import federation
from suanwang.twin.measures import measure as measured
from suanwang.twin.network import Foresight, resized
from suanwang.twin.networkfile import read_network
from suanwang.twin.timeline import draw
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces import read_trace
from suanwang.twin.workload import Rules

TITLE = "Jobs in a second"
Ints = npt.NDArray[np.int64]
LUBLIN = "workloads/lublin_256.swf.gz"
BEST_OF = 5
MEMORY = "--memory"
HOUR_YUAN, HOUR_GRAMS = 0.5, 500.0
NOTES = [
    (
        f"Best of {BEST_OF} on one core, kernels compiled before. CPU time is held to the target, as the machine is shared; "
        "wall time stands beside it. Full accounting: energy, money and carbon of every segment, the timeline by hour and "
        "quarter of an hour, and all measures."
    )
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """One site of cores, and jobs for it."""

    jobs: JobColumns
    truth: Truth
    rows: RowColumns

    def played(self, name: str = "easy") -> Played:
        nothing = np.zeros((1, 1, 2))
        return play(
            self.jobs,
            self.truth,
            self.rows,
            np.ones((1, 1), np.bool_),
            Outlook(0, HOUR_MS, HOUR_MS, nothing, nothing),
            policy(name),
        )

    def accounted(self, name: str = "easy") -> None:
        played = self.played(name)
        until_ms = int(played.end_ms.max())
        hours = until_ms // HOUR_MS + 1
        supply = Supply(
            yuan_per_kwh=Series(start_ms=0, step_ms=HOUR_MS, values=np.full(hours, HOUR_YUAN)),
            carbon_g_per_kwh=Series(start_ms=0, step_ms=HOUR_MS, values=np.full(hours, HOUR_GRAMS)),
        )
        accounts = account(played.segments, self.jobs, self.rows, [supply])
        measured(accounts, draw(accounts, 0, until_ms), until_ms=until_ms)


def site(trace: Trace, cores: float) -> Site:
    count, nothing = len(trace), np.zeros(len(trace), np.int64)
    need = np.zeros((count, 3))
    need[:, 0] = trace.cores
    zero = np.zeros((1, 1))
    jobs = JobColumns(
        ready_ms=trace.submit_ms,
        order=nothing,
        need=need,
        expect_ms=np.repeat(np.maximum(trace.run_ms, 1)[:, None], 3, axis=1),
        limit_ms=np.maximum(trace.limit_ms, 1),
        kind=nothing,
        place=nothing,
        weight=np.ones((count, 3)),
        wait_ms=nothing,
        due_ms=np.full(count, NEVER_MS, np.int64),
        interruptible=np.zeros(count, np.bool_),
        data_gb=np.zeros(count),
        group=trace.group,
    )
    rows = RowColumns(
        site=np.zeros(1, np.int64),
        capacity=np.array([[cores, 0.0, 0.0]]),
        power_w=np.array([[8.0, 0.0, 0.0]]),
        yuan_hour=zero.repeat(3, axis=1),
        slowness=np.ones(1),
        electricity_share=np.ones(1),
        delay_ms=zero,
        transfer_ms_per_gb=zero,
        transfer_yuan_per_gb=zero,
    )
    return Site(jobs=jobs, truth=Truth(run_ms=trace.run_ms, checkpoint_ms=nothing, resume_ms=nothing), rows=rows)


def congested(jobs: int) -> Trace:
    """Arrivals a twentieth above what 4,000 cores can do, so that thousands run and in the end thousands wait."""
    chance = np.random.default_rng(1)
    run = np.maximum(chance.exponential(3 * HOUR_MS, jobs), 1_000.0).astype(np.int64)
    cores = chance.choice([1.0, 1.0, 1.0, 2.0, 4.0], jobs)
    gap = float((run * cores).mean()) / 4_000 / 1.05
    return trace_of(
        name="congested",
        source="generated",
        submit_ms=np.cumsum(chance.exponential(gap, jobs)).astype(np.int64),
        run_ms=run,
        limit_ms=(run * chance.uniform(1, 3, jobs)).astype(np.int64),
        cores=cores,
    )


def repeated(trace: Trace, times: int) -> Trace:
    """The log one after the other."""
    span = trace.span_ms + HOUR_MS
    submit = trace.submit_ms - trace.submit_ms[0]
    return trace_of(
        name=trace.name,
        source=trace.source,
        submit_ms=np.concatenate([submit + n * span for n in range(times)]),
        run_ms=np.tile(trace.run_ms, times),
        cores=np.tile(trace.cores, times),
    )


def generated(jobs: int) -> Trace:
    """Jobs of 1 to 256 cores in powers of two, at 0.9 of what 256 cores can do: where the log is not there."""
    chance = np.random.default_rng(2)
    power = chance.choice(9, jobs, p=np.array([24, 12, 14, 16, 14, 10, 6, 3, 1]) / 100)
    cores = np.exp2(power).astype(np.float64)
    run = np.maximum(chance.lognormal(np.log(20 * 60_000), 2, jobs), 1_000.0).astype(np.int64)
    gap = float((run * cores).mean()) / 256 / 0.9
    submit = np.cumsum(chance.exponential(gap, jobs)).astype(np.int64)
    return trace_of(name="generated", source="generated", submit_ms=submit, run_ms=run, cores=cores)


def best(work: Callable[[], object], times: int = BEST_OF) -> tuple[float, float]:
    """Seconds of CPU and of the clock, each the best of some."""
    work()
    cpu = wall = math.inf
    for _ in range(times):
        began, clock = time.process_time(), time.perf_counter()
        work()
        cpu, wall = min(cpu, time.process_time() - began), min(wall, time.perf_counter() - clock)
    return cpu, wall


def rated(name: str, jobs: int, work: Callable[[], object], bound: str = "", times: int = BEST_OF) -> list[Figure]:
    cpu, wall = best(work, times)
    return [
        Figure(name=f"{name}, by CPU time", value=jobs / cpu, unit="jobs/s", bound=bound),
        Figure(name="… by the clock", value=jobs / wall, unit="jobs/s"),
    ]


def measure(data: Path | None, *, quick: bool) -> Iterator[Table]:
    path = data / LUBLIN if data else None
    there = path is not None and path.exists()
    trace = read_trace(path, "swf") if path is not None and there else generated(10_000)
    named = "lublin_256" if there else "a generated log (no --data)"
    yield _compiling()
    table = Table(f"One site: {named}, {len(trace):,} jobs on 256 cores", notes=NOTES)
    log_site = site(trace, 256.0)
    table.figures += rated("easy, engine alone", len(trace), log_site.played)
    table.figures += rated("easy, full accounting", len(trace), log_site.accounted, "≥ 500,000")
    columns = (trace.submit_ms, trace.run_ms, np.maximum(trace.limit_ms, 1), trace.cores.astype(np.int64))
    assert np.array_equal(easy(*columns, 256), log_site.played().first_start_ms), "the yardstick decides alike"
    table.figures += rated("a bare compiled loop of EASY", len(trace), lambda: easy(*columns, 256))
    _accasim(table, path if there else None, trace)
    yield table
    yield _crowd(20_000 if quick else 100_000)
    yield _ten_sites(data, quick=quick)
    yield _growth(trace, (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000))
    yield _memory(100_000 if quick else 1_000_000)


def _compiling() -> Table:
    table = Table(
        "Compiling", notes=["A fresh process that keeps no compiled code from before, until a first job is played."]
    )
    script = (
        "import time; begun = time.process_time(); from benchmarks.twin.speed import generated, site;"
        "site(generated(1), 256.0).played(); print(time.process_time() - begun)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("engine and all policies compiled, CPU time", "… a second process, which finds them"):
            told = subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            table.figures.append(Figure(name=name, value=float(told.stdout), unit="s"))
    return table


def _accasim(table: Table, path: Path | None, trace: Trace) -> None:
    python = os.environ.get("SUANWANG_ACCASIM", "")
    if not python or path is None:
        table.notes.append("AccaSim: no figure; it needs `SUANWANG_ACCASIM` and the log.")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.swf"
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        file.write_text("\n".join(_for_accasim(line) for line in lines), encoding="utf-8")
        runner = Path(__file__).with_name("accasim_run.py")
        told = subprocess.run(
            [python, str(runner), str(file), folder, "256"], capture_output=True, text=True, timeout=1800, check=False
        )
    seconds = [line.split()[1] for line in told.stdout.splitlines() if line.startswith("SECONDS")]
    if not seconds:
        table.notes.append(f"AccaSim: no figure; it ended with `{(told.stderr.splitlines() or ['nothing'])[-1]}`.")
        return
    table.figures.append(
        Figure(
            name="AccaSim, EASY and first fit, one run by the clock",
            value=len(trace) / float(seconds[0]),
            unit="jobs/s",
        )
    )


def _for_accasim(line: str) -> str:
    """With requested processors, time and memory, which it cannot do without."""
    fields = line.split()
    if line.startswith(";") or len(fields) < 18:
        return line
    fields[7], fields[8], fields[6], fields[9] = fields[4], fields[3], "1", "1"
    return " ".join(fields)


def _crowd(jobs: int) -> Table:
    crowd = site(congested(jobs), 4_000.0)
    played = crowd.played()
    middle = int(crowd.jobs.ready_ms[-1])
    waiting = int(((crowd.jobs.ready_ms <= middle) & (played.first_start_ms > middle)).sum())
    running = int(((played.first_start_ms <= middle) & (played.end_ms > middle)).sum())
    table = Table(f"A congested site: {running:,} run and {waiting:,} wait when the last of {jobs:,} jobs arrives")
    table.figures += rated("easy, engine alone", jobs, crowd.played, times=2)
    table.figures += rated("easy, full accounting", jobs, crowd.accounted, "≥ 100,000", times=2)
    return table


def _ten_sites(data: Path | None, *, quick: bool) -> Table:
    made = week(log(data, 1.0 if quick else 7.0), Rules(interruptible_share=0.5), Foresight()).weighing(4, 1, 0.2)
    jobs = len(made.jobs.ready_ms)
    table = Table(f"Ten sites: a week on the national network, {jobs:,} jobs, half of them may wait, a quarter pauses")
    table.figures += rated("joint, engine alone", jobs, lambda: made.played("joint"), times=2)
    table.figures += rated(
        "joint, full accounting", jobs, lambda: made.accounted(made.played("joint")), "≥ 20,000", times=2
    )
    table.figures += rated(
        "nearest+easy, full accounting", jobs, lambda: made.accounted(made.played("nearest")), times=2
    )
    return table


def _growth(trace: Trace, counts: tuple[int, ...]) -> Table:
    """At 0.85 of what the site can do: at the log's own 1.06 its queue never ends, and grows with the number of jobs."""
    load = float((trace.run_ms * trace.cores).sum()) / (256 * (trace.span_ms + HOUR_MS))
    table = Table(
        "Growth", notes=[f"The same log over and over, easy, submitted {0.85 / load:.2f} times as fast: load 0.85."]
    )
    per: list[float] = []
    for count in counts:
        made = site(repeated(trace, count // len(trace)).at_load(0.85 / load), 256.0)
        cpu, _ = best(made.accounted, 2)
        per.append(cpu / count)
        table.figures.append(Figure(name=f"time per job of {count:,}, full accounting", value=1e6 * per[-1], unit="µs"))
    grown = (per[-1] / per[0]) / (math.log(counts[-1]) / math.log(counts[0]))
    table.figures.append(
        Figure(name="growth from the least to the most over that of n log n", value=grown, unit="×", bound="≤ 1.0")
    )
    return table


def _memory(jobs: int) -> Table:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.twin.speed", MEMORY, str(jobs)], capture_output=True, text=True, check=True
    )
    played, seconds, peak = (float(word) for word in told.stdout.split())
    table = Table(f"{played:,.0f} jobs on ten sites by joint, in a process of their own")
    table.figures = [
        Figure(name="most memory at once", value=peak, unit="GB", bound="≤ 4"),
        Figure(name="generated, played and accounted, by CPU time", value=seconds, unit="s"),
    ]
    return table


def remember(jobs: int) -> tuple[int, float, float]:
    """Jobs played, seconds of CPU, and the largest resident size of this process in GB."""
    begun = time.process_time()
    share = jobs / 112_163 * 1.08
    # As many times the network's size, or most of them would wait for ever.
    network = resized(read_network("national"), max(1.0, share))
    trace = federation(seed=3, hours=168, share=share).head(jobs)
    made = week(trace, Rules(), Foresight(), network=network).weighing(4, 1, 0.2)
    made.accounted(made.played("joint"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return len(made.jobs.ready_ms), time.process_time() - begun, peak


if __name__ == "__main__" and sys.argv[1:2] == [MEMORY]:
    print(*remember(int(sys.argv[2])))
