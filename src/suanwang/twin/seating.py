"""The runs of a play on nodes, seated after the fact: what of the free devices was split too small, and for whom.

Owns how runs are seated where pools say how many devices a node has: best fit, in the order of starts; a run of more devices
than a node has takes whole nodes and the rest on one more. The engine decided over rows, so a run may have begun where no
node had room for it: such starts are counted, and hold whole free devices wherever they are. Cores and memory of nodes are
not modelled, and the devices of a site that is away count as free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.scheduling.columns import DEVICES, RowColumns, Segments
from suanwang.scheduling.policies.compiled import kernel
from suanwang.twin.fragmentation import WHOLE, Nodes, Workload, fragments_milli, workload
from suanwang.twin.timeline import Steps

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
POPULAR = 0.95
"""The rarest kinds of jobs, beyond this share of all, do not count, as in Weng et al. 2023."""
_FREE, _FRAGMENTS, _UNSEATED = 0, 1, 2


class Seated(NamedTuple):
    fragmentation_share: float
    """Of free device-hours, see `twin.fragmentation`; not a number where nothing was ever free."""
    unseated_starts_count: float


class _Events(NamedTuple):
    """`[e]`, in the order of time; ends before starts."""

    at_ms: Ints
    segment: Ints
    starts: Bools


class _Held(NamedTuple):
    """What each run asks for, `[n]`, and which devices it has."""

    asked_milli: Ints
    first: Ints
    """Its first place in `device`; one longer."""
    places: Ints
    """How many of them it has."""
    device: Ints


class _Row(NamedTuple):
    nodes: Nodes
    """Their cores are not modelled: none are asked for."""
    whole: Ints
    """`[node]`: devices that are wholly free."""


def seat(
    segments: Segments, need: Floats, rows: RowColumns, node_devices: Sequence[int], steps: Steps
) -> Seated | None:
    """Seat the runs of the rows that say their nodes, and look at what is free at the end of each step.

    `need[j, resource]`, `node_devices[r]` is 0 where a row does not say. None where no row says or no job asks for devices.
    """
    asked = np.rint(need[:, DEVICES] * WHOLE).astype(np.int64)
    wanted = asked[asked > 0]
    shaped = [r for r, size in enumerate(node_devices) if size > 0 and rows.capacity[r, DEVICES] > 0]
    if not len(wanted) or not shaped:
        return None
    samples = steps.from_ms + steps.step_ms * np.arange(1, steps.steps + 1, dtype=np.int64)
    sums = np.zeros(3)
    for r in shaped:
        size = node_devices[r]
        row = _row(float(rows.capacity[r, DEVICES]), size)
        which = np.flatnonzero((segments.row == r) & (segments.end_ms > segments.start_ms) & (asked[segments.job] > 0))
        events, held = _runs(segments, which, asked)
        _follow(events, held, row, _kinds(wanted, size), samples, sums)
    free = float(sums[_FREE])
    return Seated(float(sums[_FRAGMENTS]) / free if free else float("nan"), float(sums[_UNSEATED]))


def _row(devices: float, size: int) -> _Row:
    """Nodes of `size`; the last one has what remains, and parts of a device are no device."""
    nodes = max(1, -(-int(devices) // size))
    there = np.minimum(size, int(devices) - size * np.arange(nodes, dtype=np.int64))
    left = np.where(np.arange(size) < there[:, None], WHOLE, 0).astype(np.int64)
    return _Row(Nodes(np.zeros(nodes, np.int64), left, np.ones(nodes, np.int64)), there)


def _runs(segments: Segments, which: Ints, asked: Ints) -> tuple[_Events, _Held]:
    count, job = len(which), segments.job[which]
    at = np.concatenate((segments.end_ms[which], segments.start_ms[which]))
    starts = np.arange(2 * count) >= count
    order = np.lexsort((np.concatenate((job, job)), starts, at))
    segment = np.concatenate((np.arange(count), np.arange(count)))
    first = np.concatenate(([0], np.cumsum(-(-asked[job] // WHOLE)))).astype(np.int64)
    held = _Held(asked[job], first, np.zeros(count, np.int64), np.zeros(int(first[-1]), np.int64))
    return _Events(at[order], segment[order], starts[order]), held


def _kinds(wanted: Ints, size: int) -> Workload:
    """What one node is asked for: a part of a device, whole ones, or all it has by jobs that need several nodes."""
    nothing = np.zeros(len(wanted), np.int64)
    devices = np.minimum(-(-wanted // WHOLE), size)
    return workload(nothing, devices, np.minimum(wanted, WHOLE), nothing + 1, popular=POPULAR)


@kernel
def _follow(events: _Events, held: _Held, row: _Row, kinds: Workload, samples: Ints, sums: Floats) -> None:
    """Go through starts and ends; at each sample add what is free and what of it are fragments to `sums`."""
    taken = 0
    for e in range(events.at_ms.shape[0]):
        while taken < samples.shape[0] and samples[taken] < events.at_ms[e]:
            _look(row, kinds, sums)
            taken += 1
        n = events.segment[e]
        if events.starts[e]:
            if not _take(n, held, row):
                sums[_UNSEATED] += 1.0
        else:
            _give(n, held, row)
    while taken < samples.shape[0]:
        _look(row, kinds, sums)
        taken += 1


@kernel
def _look(row: _Row, kinds: Workload, sums: Floats) -> None:
    sums[_FRAGMENTS] += fragments_milli(row.nodes, kinds)
    for node in range(row.whole.shape[0]):
        for g in range(row.nodes.devices_milli.shape[1]):
            sums[_FREE] += row.nodes.devices_milli[node, g]


@kernel
def _take(n: int, held: _Held, row: _Row) -> bool:
    """Seat a run; whether a node, or as many whole ones as it needs, had room."""
    asked, size = held.asked_milli[n], row.nodes.devices_milli.shape[1]
    if asked < WHOLE:
        return _take_part(n, asked, held, row)
    count = (asked + WHOLE - 1) // WHOLE
    rest = count % size if count > size else count
    full = (count - rest) // size
    chosen, empty = -1, 0
    for node in range(row.whole.shape[0]):
        if rest > 0 and row.whole[node] >= rest and (chosen < 0 or row.whole[node] < row.whole[chosen]):
            chosen = node
        if row.whole[node] == size:
            empty += 1
    if chosen >= 0 and row.whole[chosen] == size:
        empty -= 1
    fits = (rest == 0 or chosen >= 0) and empty >= full
    if fits and rest > 0:
        _take_whole(n, rest, chosen, held, row)
    for node in range(row.whole.shape[0]):
        missing = count - held.places[n]
        if missing <= 0:
            break
        if not fits or row.whole[node] == size:
            _take_whole(n, missing, node, held, row)
    return bool(fits)


@kernel
def _take_part(n: int, asked: int, held: _Held, row: _Row) -> bool:
    """The device that has least left of those that have enough."""
    size, best, least = row.nodes.devices_milli.shape[1], -1, WHOLE + 1
    for node in range(row.nodes.devices_milli.shape[0]):
        for g in range(size):
            left = row.nodes.devices_milli[node, g]
            if asked <= left < least:
                best, least = node * size + g, left
    if best < 0:
        return False
    if least == WHOLE:
        row.whole[best // size] -= 1
    row.nodes.devices_milli[best // size, best % size] -= asked
    held.device[held.first[n]] = best
    held.places[n] = 1
    return True


@kernel
def _take_whole(n: int, most: int, node: int, held: _Held, row: _Row) -> None:
    size = row.nodes.devices_milli.shape[1]
    for g in range(size):
        if most > 0 and row.nodes.devices_milli[node, g] == WHOLE:
            row.nodes.devices_milli[node, g] = 0
            row.whole[node] -= 1
            held.device[held.first[n] + held.places[n]] = node * size + g
            held.places[n] += 1
            most -= 1


@kernel
def _give(n: int, held: _Held, row: _Row) -> None:
    size, freed = row.nodes.devices_milli.shape[1], min(held.asked_milli[n], WHOLE)
    for k in range(held.places[n]):
        device = held.device[held.first[n] + k]
        row.nodes.devices_milli[device // size, device % size] += freed
        if row.nodes.devices_milli[device // size, device % size] == WHOLE:
            row.whole[device // size] += 1
