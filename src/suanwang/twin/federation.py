"""A week of a federation, generated: what a grid of many centres was asked for, by fitted distributions.

Owns the fit. Its figures were taken from the log of the LHC Computing Grid of November 2005 (188,041 jobs, 170 centres,
216 users; Parallel Workloads Archive, LCG-2005-1, kindly provided by Hui Li). The log itself is not in the product, and
no job in here is one of its jobs. Left out: everything that ties one user to certain centres, and trends over the days.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Floats
from suanwang.twin.trace import Trace

SOURCE = "generated with a seed from distributions fitted to LCG-2005-1 (Parallel Workloads Archive, Hui Li)"
JOBS_PER_HOUR = 668.0
"""112,163 jobs in the log's first week."""
DAY = (0.82, 0.87, 0.49, 0.73, 0.90, 0.56, 0.46, 1.04, 0.78, 0.76, 1.15, 1.31,
       1.25, 1.26, 1.22, 1.19, 1.64, 1.32, 1.02, 1.32, 1.03, 0.86, 1.07, 0.95)  # fmt: skip
"""Mean over the ten whole days, by hour, over their mean."""
BURST_SHAPE = 12.5
BURST_MEMORY = 0.54
"""Counts of an hour vary around the day's course like a gamma of this shape, correlated from hour to hour."""
USERS, CENTRES = 216, 170
USER_SLOPE, CENTRE_SLOPE = 1.57, 1.05
"""The largest hundred users and centres by rank: jobs go like rank to minus this."""
USER_CORRELATION = 0.48
"""Of normal scores of run times within one user (intraclass correlation)."""
RUN_S = (0, 22, 69, 76, 79, 84, 111, 129, 133, 134, 136, 138, 141, 145, 155, 188, 194, 199, 203, 217, 255, 267, 321, 392,
         504, 811, 1217, 1576, 2293, 3233, 4490, 5784, 7386, 9091, 10950, 12165, 15265, 22050, 39938, 77614,
         172800)  # fmt: skip
"""Run time at every fortieth of the jobs."""
LIMITS_S = (300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 36000, 43200, 64800, 72000, 172800)
LIMIT_SHARES = (0.087, 0.074, 0.053, 0.103, 0.063, 0.045, 0.028, 0.039, 0.025, 0.016, 0.019, 0.021, 0.014, 0.033, 0.217)
"""Limits that users asked for most; a job gets one that is at least its run time."""


def federation(*, seed: int, hours: int = 168, share: float = 1.0) -> Trace:
    """`hours` hours of jobs, one core each, with `share` of the log's rate; the same seed gives the same jobs.

    Raises `InvalidRequest` outside 1 to 10,000 hours or 0.001 to 20 of the rate.
    """
    if not 1 <= hours <= 10_000:
        raise InvalidRequest(f"{hours} hours", field="hours", allowed="1 to 10000")
    if not 0.001 <= share <= 20:
        raise InvalidRequest(f"a share of {share}", field="share", allowed="0.001 to 20")
    chance = np.random.default_rng(seed)
    count = chance.poisson(JOBS_PER_HOUR * share * np.resize(np.array(DAY), hours) * _bursts(hours, chance))
    submit = np.sort(np.repeat(np.arange(hours), count) * HOUR_MS + chance.integers(0, HOUR_MS, int(count.sum())))
    jobs = len(submit)
    user = _ranked(USERS, USER_SLOPE, jobs, chance)
    centre = _ranked(CENTRES, CENTRE_SLOPE, jobs, chance)
    habit = chance.normal(size=USERS)
    score = np.sqrt(USER_CORRELATION) * habit[user] + np.sqrt(1 - USER_CORRELATION) * chance.normal(size=jobs)
    # Ranks instead of a normal's own quantiles: with few users the habits alone would shift all run times.
    quantile = (np.argsort(np.argsort(score, kind="stable"), kind="stable") + 0.5) / max(jobs, 1)
    run = np.interp(quantile, np.linspace(0, 1, len(RUN_S)), np.array(RUN_S, np.float64))
    limits = np.array(LIMITS_S)
    asked = limits[chance.choice(len(limits), jobs, p=np.array(LIMIT_SHARES) / sum(LIMIT_SHARES))]
    limit = np.maximum(asked, limits[np.searchsorted(limits, np.ceil(run))])
    return Trace(
        name="federation-week" if hours == 168 else "federation",
        source=SOURCE,
        submit_ms=submit.astype(np.int64),
        run_ms=(run * 1000).astype(np.int64),
        limit_ms=limit.astype(np.int64) * 1000,
        cores=np.ones(jobs),
        memory_gb=np.zeros(jobs),
        devices=np.zeros(jobs),
        group=user,
        groups=tuple(f"user-{rank + 1}" for rank in range(USERS)),
        home=centre,
        homes=tuple(f"centre-{rank + 1}" for rank in range(CENTRES)),
    )


def _bursts(hours: int, chance: np.random.Generator) -> Floats:
    """Gamma factors of mean 1 whose neighbours are correlated: a mixture of the last and a new one keeps the law."""
    fresh = chance.gamma(BURST_SHAPE, 1 / BURST_SHAPE, hours)
    kept = chance.random(hours) < BURST_MEMORY
    kept[0] = False
    begun = np.maximum.accumulate(np.where(kept, 0, np.arange(hours)))
    factors: Floats = fresh[begun]
    return factors


def _ranked(
    count: int, slope: float, jobs: int, chance: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    weight = np.arange(1, count + 1) ** -slope
    return chance.choice(count, jobs, p=weight / weight.sum()).astype(np.int64)
