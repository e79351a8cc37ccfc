"""How fast the PostgreSQL store is, on an embedded server with its ordinary settings.

    python benchmarks/store.py --jobs 100000 --listed 1000000

Owns the store's figures alone: no planner and no network between. `measure` returns them for a larger report.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg

from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.job_reads import fold_counts
from suanwang.adapters.store.postgres import PostgresStore, connect
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, AllocationState, Event, Exclusion, Figures, Job, Rank, Step, Why
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Price
from suanwang.domain.task import Resources, Task
from suanwang.ports import JobQuery

START = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 5_000
SITES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number with its unit and, where there is one, the bound it is held to."""

    name: str
    value: float
    unit: str
    bound: str = ""


def measure(*, jobs: int = 100_000, listed: int = 1_000_000, submits: int = 4_000) -> list[Figure]:
    """Every figure, on a server of its own that is gone afterwards. `listed` rows are made by the database itself."""
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-") as folder, connect(None, Path(folder)) as store:
        figures = [*throughput(store, jobs)]
        figures += many_live(store)
        figures += single_submits(store, submits)
        if listed:
            fill(EmbeddedPostgres(Path(folder)).url, listed)
            figures += listing(store, listed)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return [*figures, Figure(name="largest resident size of this process", value=peak_mb, unit="MB")]


def throughput(store: PostgresStore, jobs: int) -> Iterator[Figure]:
    """Accepted → read back as queued → leased, in batches of 5,000."""
    spent = {"add_jobs": 0.0, "queued": 0.0, "apply": 0.0}
    started = time.perf_counter()
    for first in range(0, jobs, BATCH):
        fresh = [_job(number) for number in range(first, min(first + BATCH, jobs))]
        events = [_event("job.submitted", job) for job in fresh]
        begun = time.perf_counter()
        store.add_jobs(fresh, events)
        added = time.perf_counter()
        queued = store.queued(BATCH)
        read = time.perf_counter()
        steps = [_lease(job, number) for number, job in enumerate(queued)]
        made = time.perf_counter()
        refused = store.apply(steps)
        assert not refused, "nobody else moves these jobs"
        spent["add_jobs"] += added - begun
        spent["queued"] += read - added
        spent["apply"] += time.perf_counter() - made
    whole = time.perf_counter() - started
    yield Figure(name="accepted to leased", value=jobs / whole, unit="jobs/s", bound="≥ 2000")
    for name, seconds in spent.items():
        yield Figure(name=f"of that, {name}", value=seconds / jobs * 1e6, unit="µs/job")


def many_live(store: PostgresStore) -> list[Figure]:
    """What a tick and an agent ask while every job of `throughput` is live."""
    site = SiteId("site7")
    mine = [allocation.id for _, allocation in store.live_at(site)]
    far = START + timedelta(days=1)
    return [
        _median("held over all live allocations", store.held),
        _median(f"live_at of a site with {len(mine)}", lambda: store.live_at(site)),
        _median(f"renew of {len(mine)}", lambda: store.renew(mine, far)),
        _median("overdue, none", lambda: store.overdue(START, 100)),
        _median("count_jobs", store.count_jobs),
    ]


def single_submits(store: PostgresStore, submits: int, rate: float = 200.0) -> list[Figure]:
    """One job each, at `rate` a second from 32 threads; time counts from when each was due."""
    fresh = [_job(10_000_000 + number) for number in range(submits)]
    origin = time.perf_counter() + 0.1

    def submit(number: int) -> float:
        due = origin + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        store.add_jobs([fresh[number]], [_event("job.submitted", fresh[number])])
        return time.perf_counter() - due

    with ThreadPoolExecutor(32) as pool:
        took = sorted(pool.map(submit, range(submits)))
    return [
        Figure(name=f"one submit of {rate:.0f} a second, median", value=took[len(took) // 2] * 1e3, unit="ms"),
        Figure(name="one submit, 99th percentile", value=took[int(len(took) * 0.99)] * 1e3, unit="ms", bound="≤ 50"),
    ]


def fill(address: str, rows: int) -> None:
    """Jobs by plain SQL: 20 projects, 100 owners, mostly ended, one in 20,000 failed."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO jobs (id, project, owner, name, state, revision, epoch, array_index, needs, submitted_at,
                              ready_at, site_id, attempts, reason, billed_fen, task)
            SELECT 'x' || n, 'p' || mod(n, 20), 'o' || mod(n, 100), 'task' || mod(n, 1000),
                   CASE WHEN mod(n, 20000) = 0 THEN 'failed' WHEN mod(n, 10) = 0 THEN 'queued' ELSE 'succeeded' END,
                   0, 1, 0, '{}', now(), now(), 's' || mod(n, 50), 1, '', 0, task
            FROM generate_series(1, %s) AS n, (SELECT task FROM jobs LIMIT 1) AS t
            """,
            (rows,),
        )
        fold_counts(connection)
        connection.execute("ANALYZE")


def listing(store: PostgresStore, rows: int) -> Iterator[Figure]:
    """One page of 50 out of them all, under each common filter, at the front and far behind."""
    project, owner, site = [ProjectId("p7")], "o7", SiteId("s7")
    queries = {
        "no filter": JobQuery(),
        "a project": JobQuery(projects=project),
        "a project, queued": JobQuery(projects=project, states=[JobState.QUEUED]),
        "three projects, two states": JobQuery(
            projects=[ProjectId("p1"), ProjectId("p2"), ProjectId("p3")], states=[JobState.FAILED, JobState.RUNNING]
        ),
        "failed (rare)": JobQuery(states=[JobState.FAILED]),
        "refused (none)": JobQuery(states=[JobState.REFUSED]),
        "an owner": JobQuery(owner=owner),
        "an owner in a project": JobQuery(owner=owner, projects=project),
        "a site": JobQuery(site_id=site),
        "a site, running": JobQuery(site_id=site, states=[JobState.RUNNING]),
        "a name": JobQuery(name="task7"),
    }
    for name, query in queries.items():
        yield _median(f"a page of {rows}: {name}", _paging(store, query), "≤ 50")
    cursor = str(rows // 2)
    yield _median(f"a page of {rows}: half way down", lambda: store.jobs(JobQuery(), cursor, 50), "≤ 50")
    yield _median(
        "a page of a project, half way down", lambda: store.jobs(JobQuery(projects=project), cursor, 50), "≤ 50"
    )
    yield _median(f"count_jobs of {rows}", store.count_jobs)
    yield _median("queued(10000)", lambda: store.queued(10_000))


def _paging(store: PostgresStore, query: JobQuery) -> Callable[[], object]:
    return lambda: store.jobs(query, None, 50)


def _median(name: str, call: Callable[[], object], bound: str = "") -> Figure:
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    return Figure(name=name, value=sorted(took)[2] * 1e3, unit="ms", bound=bound)


def _job(number: int) -> Job:
    at = START + timedelta(milliseconds=number)
    return Job(
        id=JobId(f"job-{number:012d}"),
        project=ProjectId(f"project{number % 20}"),
        owner=f"user{number % 100}",
        task=Task(
            name=f"task{number % 1000}",
            run="python train.py --epochs 10",
            env={"SEED": str(number)},
            resources=Resources(cores=4, memory_gb=16.0),
        ),
        state=JobState.QUEUED,
        submitted_at=at,
        ready_at=at,
    )


def _lease(job: Job, number: int) -> Step:
    site = SiteId(f"site{number % SITES}")
    figures = Figures(price_yuan=1.25, carbon_g=210.0, energy_kwh=0.5, finish_s=600.0 + number)
    why = Why(
        chosen=Rank(site=site, score=1.0, figures=figures),
        others=(Rank(site=SiteId("other"), score=1.1, figures=figures),),
        excluded=tuple(Exclusion(site=SiteId(f"full{n}"), code="busy", need="8", have="0") for n in range(3)),
        excluded_total=3,
        decided_at=START,
    )
    allocation = Allocation(
        id=AllocationId(f"{job.id}.1"),
        job_id=job.id,
        site_id=site,
        epoch=1,
        state=AllocationState.LEASED,
        granted_at=START,
        lease_until=START + timedelta(minutes=1),
        price=Price(core_hour_yuan=Decimal("0.05")),
        pue=1.2,
        carbon_g_per_kwh=480.0,
        power_kw=0.1,
        why=why,
    )
    moved = replace(
        job, state=JobState.LEASED, epoch=1, allocation_id=allocation.id, site_id=site, why=why, revision=1, attempts=1
    )
    return Step(job=moved, allocation=allocation, events=(_event("job.leased", moved),))


def _event(kind: str, job: Job) -> Event:
    return Event(
        kind=kind, at=START, project=job.project, job_id=job.id, site_id=job.site_id, data={"epoch": job.epoch}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs taken from accepted to leased")
    parser.add_argument("--listed", type=int, default=1_000_000, help="rows that pages are read from; 0 leaves it out")
    parser.add_argument("--submits", type=int, default=4_000, help="single submits, 200 a second")
    chosen = parser.parse_args(arguments)
    for figure in measure(jobs=chosen.jobs, listed=chosen.listed, submits=chosen.submits):
        print(f"{figure.name:<55} {figure.value:>12,.1f} {figure.unit:<8} {figure.bound}")


if __name__ == "__main__":
    main()
