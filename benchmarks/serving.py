"""A served control plane under load: submissions, pages of a million jobs, and what it weighs with 100,000 live ones.

Owns the three measurements over HTTP. The control plane runs in a process of its own, its clients in another.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.leasing import OPERATOR, SITES, Say, agent_of, lease, network_in
from benchmarks.networks import PROJECT
from benchmarks.served import Served, served
from benchmarks.store import Figure, fill

from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Resources, Task
from suanwang.ports import JobQuery

CLIENTS = 200


def submits(seconds: int, say: Say) -> Iterator[Figure]:
    """200 clients that each submit one job a second, while the loop places what they send."""
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-", ignore_cleanup_errors=True) as folder:
        with network_in(Path(folder)):
            """The sites are in the database now."""
        with served(Path(folder)) as plane:
            say(f"{CLIENTS} clients, {seconds} s")
            for number in range(50):
                # The first requests of a process load what the later ones find.
                _submit(plane, number)
            token = plane.client.headers["authorization"].partition(" ")[2]
            before_s = plane.processor_s()
            command = [sys.executable, "-m", "benchmarks.clients", str(plane.port), token, PROJECT]
            done = subprocess.run(
                [*command, "--clients", str(CLIENTS), "--seconds", str(seconds)],
                capture_output=True,
                text=True,
                timeout=seconds + 90,
                check=True,
            )
            spent_s = plane.processor_s() - before_s
    heard = json.loads(done.stdout)
    took, errors = sorted(heard["took_ms"]), heard["errors"]
    name = f"one submit over HTTP, {CLIENTS} clients once a second"
    for label, share, bound in (("median", 0.5, ""), ("95 %", 0.95, ""), ("99 %", 0.99, "≤ 50"), ("slowest", 1.0, "")):
        at = min(len(took) - 1, int(len(took) * share))
        yield Figure(name=f"{name}: {label}", value=took[at], unit="ms", bound=bound)
    yield Figure(name=f"{name}: answered", value=float(len(took)), unit="requests", bound=f"≥ {CLIENTS * seconds}")
    yield Figure(name=f"{name}: processor time of the control plane", value=spent_s / len(took) * 1e3, unit="ms each")
    yield Figure(name=f"{name}: errors", value=float(sum(errors.values())), unit="requests", bound="≤ 0")


def _submit(plane: Served, number: int) -> None:
    task = {"name": f"warm{number}", "run": "true"}
    plane.client.post("/v1/jobs", json={"tasks": [task], "project": PROJECT}).raise_for_status()


FILTERS: dict[str, tuple[JobQuery, dict[str, str]]] = {
    "no filter": (JobQuery(), {}),
    "a project": (JobQuery(projects=[ProjectId("p7")]), {"project": "p7"}),
    "a project, queued": (
        JobQuery(projects=[ProjectId("p10")], states=[JobState.QUEUED]),
        {"project": "p10", "state": "queued"},
    ),
    "failed (rare)": (JobQuery(states=[JobState.FAILED]), {"state": "failed"}),
    "refused (none)": (JobQuery(states=[JobState.REFUSED]), {"state": "refused"}),
    "an owner": (JobQuery(owner="o7"), {"owner": "o7"}),
    "a site": (JobQuery(site_id=SiteId("s7")), {"site": "s7"}),
    "a name": (JobQuery(name="task7"), {"name": "task7"}),
}


def pages(rows: int, say: Say) -> Iterator[Figure]:
    """A page of 50 out of `rows` jobs under each filter: by the use case, and over HTTP."""
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with network_in(home) as (made, _):
            made.jobs.submit(OPERATOR, [Task(name="one", run="true", resources=Resources())], project=PROJECT)
            say(f"filling {rows:,} rows")
            fill(EmbeddedPostgres(home / "database").url, rows)
            for name, (query, _) in FILTERS.items():
                say(name)
                yield _median(f"a page of {rows:,} jobs: {name}", partial(made.jobs.page, OPERATOR, query, None, 50))
        with served(home) as plane:
            for name, (_, asked) in FILTERS.items():
                say(f"{name}, over HTTP")
                yield _median(f"the same over HTTP: {name}", partial(_page, plane, asked))


def _page(plane: Served, asked: dict[str, str]) -> None:
    plane.client.get("/v1/jobs", params={"limit": "50", **asked}).raise_for_status()


def _median(name: str, call: Callable[[], object]) -> Figure:
    took: list[float] = []
    for _ in range(9):
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    return Figure(name=name, value=sorted(took)[4] * 1e3, unit="ms", bound="≤ 50")


def live(jobs: int, say: Say) -> Iterator[Figure]:
    """`jobs` find their sites; then the serving process that holds them, after all agents have told of each."""
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with network_in(home, jobs) as (made, _):
            yield from lease(made, jobs, say)
            tokens = [
                made.people.site_token("bench", agent_of(number), ttl_s=None, note="")[1] for number in range(SITES)
            ]
        with served(home) as plane:
            idle_mb, _ = plane.resident_mb()
            took: list[float] = []
            for number, token in enumerate(tokens):
                say(f"agent {number + 1} of {SITES} tells of {jobs // SITES:,} runs")
                took += _tell(plane, token)
            now_mb, most_mb = plane.resident_mb()
            database_mb = plane.database_mb()
    name = f"control plane with {jobs:,} live jobs"
    yield Figure(name=f"{name}: resident after all sites spoke", value=now_mb, unit="MB", bound="≤ 400")
    yield Figure(name=f"{name}: resident at most", value=most_mb, unit="MB", bound="≤ 400")
    yield Figure(name=f"{name}: resident before any site spoke", value=idle_mb, unit="MB")
    yield Figure(
        name="PostgreSQL beside it (proportional set size, shared buffers included)", value=database_mb, unit="MB"
    )
    yield Figure(
        name=f"one call of an agent with {jobs // SITES:,} runs, median", value=sorted(took)[len(took) // 2], unit="s"
    )


def _tell(plane: Served, token: str) -> list[float]:
    """What an agent does: join, hear its leases, tell that each is submitted, then that each runs. Seconds of each call."""
    headers = {"Authorization": f"Bearer {token}"}
    session = plane.client.post("/v1/agent/join", headers=headers).raise_for_status().json()["session"]
    runs: Sequence[dict[str, object]] = []
    took: list[float] = []
    for phase in ("", "submitted", "running"):
        now = datetime.now(UTC).isoformat()
        told = [
            {**run, "phase": phase, **({"started_at": now, "seen_at": now} if phase == "running" else {})}
            for run in runs
        ]
        begun = time.perf_counter()
        reply = plane.client.post(
            "/v1/agent/sync", headers=headers, json={"session": session, "sent_at": now, "runs": told}
        )
        took.append(time.perf_counter() - begun)
        answer = reply.raise_for_status().json()
        if not runs:
            runs = [{"allocation_id": lease["allocation_id"], "epoch": lease["epoch"]} for lease in answer["start"]]
        assert runs, "every site was given jobs"
    return took
