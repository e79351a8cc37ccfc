"""The production policy `joint` in the twin's engine, on one site that is never full, where carbon alone counts.

Owns how jobs that only wait are put to the engine, and what they emitted. Lengths are told exactly, as in the published
studies; what is known of the hours ahead is the caller's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from benchmarks.twin.published import Floats
from benchmarks.twin.rules import cumulated

from suanwang.scheduling.columns import NEVER_MS, JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies import policy
from suanwang.twin.engine import Truth, play

Ints = npt.NDArray[np.int64]


def emitted(truth: Floats, seen: Outlook, start: Ints, length: Ints, wait: Ints, *, broken: bool) -> Floats:
    """`[j]`, in g/kWh × steps of the outlook; times in these steps."""
    count, step_ms = len(start), seen.step_ms
    nothing = np.zeros(count, np.int64)
    jobs = JobColumns(
        ready_ms=start * step_ms,
        order=nothing,
        need=np.tile([1.0, 0.0, 0.0], (count, 1)),
        expect_ms=np.repeat((length * step_ms)[:, None], 3, axis=1),
        limit_ms=length * step_ms,
        kind=nothing,
        place=nothing,
        weight=np.tile([0.0, 1.0, 0.0], (count, 1)),
        wait_ms=wait * step_ms,
        due_ms=np.full(count, NEVER_MS),
        interruptible=np.full(count, broken),
        data_gb=np.zeros(count),
        group=nothing,
    )
    place = RowColumns(
        site=np.zeros(1, np.int64),
        capacity=np.array([[1e9, 0.0, 0.0]]),
        power_w=np.array([[1000.0, 0.0, 0.0]]),
        yuan_hour=np.zeros((1, 3)),
        slowness=np.ones(1),
        electricity_share=np.ones(1),
        delay_ms=np.zeros((1, 1)),
        transfer_ms_per_gb=np.zeros((1, 1)),
        transfer_yuan_per_gb=np.zeros((1, 1)),
    )
    exact = Truth(run_ms=length * step_ms, checkpoint_ms=np.ones(count, np.int64), resume_ms=nothing)
    ran = play(jobs, exact, place, np.ones((1, 1), np.bool_), seen, policy("joint")).segments
    total = cumulated(truth)
    parts = total[ran.end_ms // step_ms] - total[ran.start_ms // step_ms]
    found: Floats = np.bincount(ran.job, parts, count).astype(np.float64)
    return found


def carbon_alone(carbon_g: Floats, *, issue_ms: int, step_ms: int) -> Outlook:
    """The outlook of `[issue, k]`, the integrals of one site's carbon."""
    carbon_g = carbon_g[:, None, :]
    return Outlook(start_ms=0, issue_ms=issue_ms, step_ms=step_ms, yuan=np.zeros_like(carbon_g), carbon_g=carbon_g)
