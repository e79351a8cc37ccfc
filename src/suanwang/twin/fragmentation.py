"""How much of what is free cannot serve the work that is to come.

Owns the measure of Weng et al. 2023 (*Beware of fragmentation*, USENIX ATC): a free device, or part of one, on
a node is a fragment for a task where the node cannot run it, or where that device has less left than the task asks of
one; the measure is its expectation over the workload. For a task without devices every free device is a fragment, as in
the authors' simulator. Knows nothing of how tasks are placed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.policies.compiled import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
WHOLE = 1_000
"""Thousandths of a device."""


class Nodes(NamedTuple):
    """What is left on each node, `[n]`."""

    cores_milli: Ints
    devices_milli: Ints
    """`[n, device]`; 0 where a node has fewer."""
    model: Ints
    """One bit, of the model of its devices."""


class Workload(NamedTuple):
    """Kinds of tasks, `[m]`."""

    cores_milli: Ints
    devices: Ints
    """How many; tasks ask for parts of one device, or for whole ones."""
    part_milli: Ints
    """Of each device."""
    models: Ints
    """Bits of the models that they may run on."""
    share: Floats
    """Of all tasks; sums to 1."""


def workload(cores_milli: Ints, devices: Ints, part_milli: Ints, models: Ints, popular: float = 1.0) -> Workload:
    """The kinds of a list of tasks and their shares; the rarest kinds beyond the share `popular` are left out."""
    if not len(cores_milli) or not 0 < popular <= 1:
        raise InvalidRequest("a workload needs tasks", field="popular", allowed="one task or more, a share above 0")
    tasks = np.stack((cores_milli, part_milli, devices, models), axis=1)
    kinds, count = np.unique(tasks, axis=0, return_counts=True)
    order = np.lexsort((*kinds.T[::-1], count))[::-1]
    kinds, count = kinds[order], count[order]
    kept = min(int(np.searchsorted(np.cumsum(count), popular * count.sum())) + 1, len(count))
    kinds, count = np.ascontiguousarray(kinds[:kept].T), count[:kept]
    return Workload(kinds[0], kinds[2], kinds[1], kinds[3], count / count.sum())


@kernel
def fragment_milli(cores_milli: int, devices_milli: Ints, model: int, tasks: Workload) -> float:
    """Expected thousandths of one node's devices that are fragments."""
    left = 0
    for g in range(devices_milli.shape[0]):
        left += devices_milli[g]
    if left == 0:
        return 0.0
    total = 0.0
    for m in range(tasks.share.shape[0]):
        part = tasks.part_milli[m]
        able, short = 0, 0
        if part > 0 and tasks.cores_milli[m] <= cores_milli and tasks.models[m] & model:
            for g in range(devices_milli.shape[0]):
                if devices_milli[g] >= part:
                    able += 1
                else:
                    short += devices_milli[g]
        total += tasks.share[m] * (short if part > 0 and able >= tasks.devices[m] else left)
    return total


@kernel
def fragments_milli(nodes: Nodes, tasks: Workload) -> float:
    """Expected thousandths of devices that are fragments, over all nodes."""
    total = 0.0
    for n in range(nodes.cores_milli.shape[0]):
        total += fragment_milli(nodes.cores_milli[n], nodes.devices_milli[n], nodes.model[n], tasks)
    return total
