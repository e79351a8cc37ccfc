"""How long a plan takes for a long queue over many sites, for several mixes of jobs.

Owns the measurement alone; the mixes are in `networks`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

from benchmarks.networks import MIXES, snapshot
from benchmarks.store import Figure

from suanwang.scheduling.placing import decide

REPEATS = 5


def measure(jobs: int, sites: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """The median of five plans of each mix, from the values a store gives to the plan."""
    for mix in MIXES:
        say(mix)
        seen = snapshot(mix, jobs=jobs, sites=sites)
        took: list[float] = []
        for _ in range(REPEATS):
            gc.collect()
            begun = time.perf_counter()
            plan = decide(seen)
            took.append(time.perf_counter() - begun)
        assert len(plan.places) + len(plan.hopeless) + plan.stays == jobs
        placed = f"{len(plan.places):,} placed"
        yield Figure(
            name=f"plan for {jobs:,} jobs over {sites:,} sites: {mix} ({placed})",
            value=sorted(took)[2],
            unit="s",
            bound="≤ 1",
        )
