"""EASY backfill on one site as a bare compiled loop: a yardstick for the engine, with nothing but cores and starts."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@numba.njit(cache=True)
def easy(ready: Ints, run: Ints, limit: Ints, cores: Ints, total: int) -> Ints:
    """`[j]`: starts of jobs in the order of their arrival, none wider than `total`."""
    count = len(ready)
    start = np.full(count, -1, np.int64)
    queue, ends = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
    latest, who = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
    queued = running = at = 0
    free = total
    while at < count or running > 0:
        now = ready[at] if at < count else 1 << 62
        for n in range(running):
            now = min(now, ends[n])
        kept = 0
        for n in range(running):
            if ends[n] == now:
                free += cores[who[n]]
            else:
                ends[kept], latest[kept], who[kept] = ends[n], latest[n], who[n]
                kept += 1
        running = kept
        while at < count and ready[at] == now:
            queue[queued] = at
            queued += 1
            at += 1
        shadow, extra, kept = -1, 0, 0
        for n in range(queued):
            j = queue[n]
            fits = cores[j] <= free and (shadow < 0 or now + limit[j] <= shadow or cores[j] <= extra)
            if fits:
                if shadow >= 0 and now + limit[j] > shadow:
                    extra -= cores[j]
                start[j], free = now, free - cores[j]
                # Runs stand by their latest end.
                m = running
                while m > 0 and latest[m - 1] > now + limit[j]:
                    ends[m], latest[m], who[m] = ends[m - 1], latest[m - 1], who[m - 1]
                    m -= 1
                ends[m], latest[m], who[m] = now + run[j], now + limit[j], j
                running += 1
                continue
            queue[kept] = j
            kept += 1
            if shadow < 0:
                extra, m = free, 0
                while m < running and (extra < cores[j] or latest[m] == shadow):
                    shadow = latest[m]
                    extra += cores[who[m]]
                    m += 1
                extra -= cores[j]
        queued = kept
    return start
