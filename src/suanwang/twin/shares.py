"""What each project of a play had over time, beside what it was entitled to.

Owns the dominant share of a step: the largest part a project held, on average over the step, of the network's cores, its
memory, or any model of device, as the turns of projects reckon it (Ghodsi et al. 2011, *Dominant resource fairness*).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from suanwang.scheduling.columns import CORES, DEVICES, MEMORY_GB, Sharing
from suanwang.scheduling.policies.sharing import whole_of
from suanwang.twin.accounting import MILLI, Accounts
from suanwang.twin.measures import Floats, Ints, PerJob, presence
from suanwang.twin.timeline import Steps, overlaps


class Shares(NamedTuple):
    """`[project, t]`, parts of one."""

    held: Floats
    """Dominant share."""
    entitled: Floats
    """Its weight over the weights of all projects that had jobs in the network, each for the part of the step in which it
    had some; 0 where it had none."""


def shares(accounts: Accounts, each: PerJob, sharing: Sharing, until_ms: int, span: Steps) -> Shares:
    """Of every project of `sharing`; a job that has not ended is there until `until_ms`."""
    jobs, count = accounts.jobs, len(sharing.weight)
    end_ms = np.where(each.ended, each.end_ms, until_ms)
    owner, from_ms, to_ms = presence(sharing.project, jobs.ready_ms, end_ms)
    there = overlaps(owner, from_ms, to_ms, np.ones_like(owner), count, span) / span.step_ms
    weighed = there * sharing.weight[:, None]
    all_of_them = weighed.sum(axis=0)
    entitled = np.divide(weighed, all_of_them, out=np.zeros_like(weighed), where=all_of_them > 0)
    return Shares(_held(accounts, sharing, span), entitled)


def _held(accounts: Accounts, sharing: Sharing, span: Steps) -> Floats:
    segments, whole = accounts.segments, whole_of(sharing, accounts.rows)
    project, model = sharing.project[segments.job], sharing.model[segments.row]
    found: Floats = np.zeros((len(sharing.weight), span.steps))
    for kind in range(len(whole)):
        if whole[kind] <= 0:
            continue
        resource = kind if kind in (CORES, MEMORY_GB) else DEVICES
        on: Ints = np.flatnonzero(model == kind) if resource == DEVICES else np.arange(len(project))
        held = overlaps(
            project[on], segments.start_ms[on], segments.end_ms[on], accounts.busy_milli[on, resource], len(found), span
        )
        found = np.maximum(found, held / (span.step_ms * MILLI * whole[kind]))
    return found
