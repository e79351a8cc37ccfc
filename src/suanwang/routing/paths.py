"""Best paths of data over the links that are up.

Owns the rule and its search. Data are *stored and forwarded*: each end on the way has all of them before it sends any on, as
sites that trust no half-received content do, and as transfers over several storages are made in the field (Rucio and FTS
"multi-hop"). So the time of a path is the sum over its links of their delay and of size over bandwidth, and so is its price. Of
two paths the quicker is better; of those that are alike the cheaper, then the one with fewer links, then the one whose last
intermediate end has the smaller rank. Only ends that say so pass on data of others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOWHERE = -1


class Links(NamedTuple):
    """`[l]`: lines between two ends, which data cross in either direction."""

    ends: Ints
    """`[l, 2]`"""
    delay_ms: Floats
    """One way."""
    ms_per_gb: Floats
    """Above 0."""
    yuan_per_gb: Floats
    """0 or more."""


class Ends(NamedTuple):
    """`[e]`: where data come from, go to, and pass."""

    relays: Bools
    """Passes on what others send over it."""
    rank: Ints
    """Each its own: by name, so that numbering ends another way changes no path."""


class Paths(NamedTuple):
    """`[source, e]`: of the best path to each end; one that no path leads to has `ms` infinite and `links` `NOWHERE`."""

    ms: Floats
    """Of as much data as was asked for, delays included."""
    yuan: Floats
    links: Ints
    """How many it crosses; 0 at the source itself."""
    before: Ints
    """The end before it on the path; `NOWHERE` at the source."""

    def through(self, source: int, end: int) -> tuple[int, ...]:
        """The ends of the path from the number `source` of the sources, itself first; empty where there is none."""
        if self.links[source, end] < 0:
            return ()
        found = [end]
        while self.before[source, found[-1]] != NOWHERE:
            found.append(int(self.before[source, found[-1]]))
        return tuple(reversed(found))


class Router:
    """Paths from some ends to all, kept as links go down and come up: only sources whose paths that may change are searched anew."""

    def __init__(self, links: Links, ends: Ends, sources: Ints, gigabytes: float = 1.0) -> None:
        count = len(ends.rank)
        self.links = links
        self._ends, self.sources = ends, sources
        self._ms = links.delay_ms + gigabytes * links.ms_per_gb
        self._yuan = gigabytes * links.yuan_per_gb
        self._up = np.ones(len(links.delay_ms), np.bool_)
        self._line = np.full((count, count), NOWHERE, np.int64)
        for way in (links.ends, links.ends[:, ::-1]):
            self._line[way[:, 0], way[:, 1]] = np.arange(len(links.ends))
        shape = (len(sources), count)
        self._paths = Paths(np.empty(shape), np.empty(shape), np.empty(shape, np.int64), np.empty(shape, np.int64))
        self._search(np.arange(len(sources)))

    @property
    def paths(self) -> Paths:
        """As things stand; the same arrays change with the links."""
        return self._paths

    def link(self, one: int, other: int) -> int:
        """The link between two ends, or `NOWHERE`."""
        return int(self._line[one, other])

    def is_up(self, link: int) -> bool:
        return bool(self._up[link])

    def set_links(self, down: Ints, up: Ints) -> dict[int, Ints]:
        """Links that go down and such that come up. Returns the ends whose paths are others now, by the number of the source."""
        one, other = self.links.ends[:, 0], self.links.ends[:, 1]
        found = self._paths
        affected = np.zeros(len(self.sources), np.bool_)
        for link in down:
            affected |= (found.before[:, one[link]] == other[link]) | (found.before[:, other[link]] == one[link])
        for link in up:
            # Alike is enough: the cheaper, shorter or first of like paths is best.
            for begin, end in ((one[link], other[link]), (other[link], one[link])):
                affected |= found.ms[:, begin] + self._ms[link] <= found.ms[:, end]
        self._up[down] = False
        self._up[up] = True
        which = np.flatnonzero(affected)
        old = found.before[which].copy()
        self._search(which)
        others = {int(s): _behind(found.before[s], old[at]) for at, s in enumerate(which)}
        return {source: ends for source, ends in others.items() if len(ends)}

    def _search(self, which: Ints) -> None:
        _search(
            which, self.sources, self._line, self._up, self._ms, self._yuan, self._ends.relays, self._ends.rank,
            self._paths.ms, self._paths.yuan, self._paths.links, self._paths.before,
        )  # fmt: skip


def _behind(before: Ints, old: Ints) -> Ints:
    """The ends whose path goes through one that has another before it than it had."""
    changed = before != old
    while True:
        reached = changed | ((before != NOWHERE) & changed[before])
        if (reached == changed).all():
            return np.flatnonzero(changed)
        changed = reached


@njit(cache=True)
def _nearest(ms: Floats, done: Bools) -> int:
    """The quickest end that is not done and that a path leads to, or -1."""
    at = -1
    for e in range(len(ms)):
        if not done[e] and ms[e] < np.inf and (at < 0 or ms[e] < ms[at]):
            at = e
    return at


@njit(cache=True)
def _search(
    which: Ints, sources: Ints, line: Ints, up: Bools, cost_ms: Floats, fee: Floats, relays: Bools, rank: Ints,
    ms: Floats, yuan: Floats, links: Ints, before: Ints,
) -> None:  # fmt: skip
    """Dijkstra's search from each of the sources `which`, over as many steps as there are ends: networks are dense."""
    count = line.shape[0]
    done = np.empty(count, np.bool_)
    for s in which:
        ms[s, :], yuan[s, :], links[s, :], before[s, :] = np.inf, np.inf, -1, -1
        done[:] = False
        source = sources[s]
        ms[s, source], yuan[s, source], links[s, source] = 0.0, 0.0, 0
        at = source
        while at >= 0:
            done[at] = True
            for e in range(count if at == source or relays[at] else 0):
                link = line[at, e]
                if link < 0 or done[e] or not up[link]:
                    continue
                found = (ms[s, at] + cost_ms[link], yuan[s, at] + fee[link], links[s, at] + 1)
                known = (ms[s, e], yuan[s, e], links[s, e])
                if found < known or (found == known and rank[at] < rank[before[s, e]]):
                    ms[s, e], yuan[s, e], links[s, e] = found
                    before[s, e] = at
            at = _nearest(ms[s], done)
