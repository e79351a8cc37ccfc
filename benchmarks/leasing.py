"""Accepted → leased, through the product's own code and an embedded PostgreSQL: submissions, turns, what they hold.

Owns a network with large sites, and how many jobs a second find their site in it. Sites answer as their agents would; no
run starts.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.networks import PROJECT, offering
from benchmarks.store import Figure

from suanwang.adapters.clock import SystemClock
from suanwang.adapters.files import FsspecFiles
from suanwang.adapters.identity import RandomIdentities
from suanwang.adapters.store.postgres import PostgresStore, connect
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.wording import positions
from suanwang.domain.exchange import SyncRequest
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.task import Resources, Task

OPERATOR = Principal(name="operator", role=Role.OPERATOR)
USER = Principal(name="bench", role=Role.USER, projects=(PROJECT,))
ARRAY = 1000
SITES = 20

Say = Callable[[str], None]


@contextmanager
def network_in(home: Path, jobs: int = 100_000) -> Iterator[tuple[Network, PostgresStore]]:
    """A network over the embedded database in `home`, whose sites have spoken once and have room for just `jobs` of a core."""
    # Nothing here is about silence: a site that spoke once counts as there.
    rules = Rules(suspect_after_s=3600, lease_ttl_s=7200)
    with connect(None, home / "database") as store:
        made = Network(
            store=store,
            clock=SystemClock(),
            files=FsspecFiles(f"file://{home}/files"),
            identities=RandomIdentities(),
            places=positions(),
            rules=rules,
        )
        store.add_project(Project(id=PROJECT, title="bench", created_at=made.clock.now()), ())
        dice = random.Random(1)
        for number in range(SITES):
            made.sites.invite(
                OPERATOR,
                f"site{number:02d}",
                offering(dice, number, nodes=jobs // 1000, cores=1000 // SITES, devices=False),
            )
            agent = agent_of(number)
            session = made.sites.join(agent).reply.session
            made.sites.sync(agent, SyncRequest(session=session, sent_at=made.clock.now()))
        yield made, store


def agent_of(number: int) -> Principal:
    return Principal(name=f"agent{number}", role=Role.AGENT, site_id=SiteId(f"site{number:02d}"))


def array(name: str) -> Task:
    return Task(name=name, run="true", count=ARRAY, resources=Resources(cores=1, memory_gb=1.0))


def lease(made: Network, jobs: int, say: Say) -> Iterator[Figure]:
    """Submits `jobs` in arrays while the control loop turns, until each has its lease."""
    submitted = Submitting(made, jobs)
    begun = time.perf_counter()
    submitted.start()
    leased = turns = 0
    turning_s = 0.0
    while leased < jobs:
        at = time.perf_counter()
        turn = made.turn()
        turning_s += time.perf_counter() - at
        leased += turn.leased
        turns += bool(turn.leased)
        say(f"leased {leased:,} of {jobs:,}")
        if not turn.leased:
            time.sleep(0.01)
    whole_s = time.perf_counter() - begun
    submitted.join()
    held = sum(of.allocations for of in made.store.held().values())
    assert held == jobs, f"{held} of {jobs} are held"
    yield Figure(name=f"accepted → leased, {jobs:,} jobs", value=jobs / whole_s, unit="jobs/s", bound="≥ 2000")
    yield Figure(name="of that: accepting arrays of 1,000", value=jobs / submitted.spent_s, unit="jobs/s")
    yield Figure(name=f"of that: {turns} turns of the loop", value=jobs / turning_s, unit="jobs/s")


class Submitting(threading.Thread):
    """Another thread, as requests are: they and the loop share one process."""

    def __init__(self, made: Network, jobs: int) -> None:
        super().__init__(daemon=True)
        self._made = made
        self._jobs = jobs
        self.spent_s = 0.0

    def run(self) -> None:
        for number in range(self._jobs // ARRAY):
            at = time.perf_counter()
            self._made.jobs.submit(USER, [array(f"array{number}")])
            self.spent_s += time.perf_counter() - at
