"""Which way data take between places and sites, while links of the network are cut and mended.

Owns the links of a network as `routing.paths` has them, and the ways that follow from what is cut when. When links are cut is
`outages`'s, what then happens to jobs the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.routing.paths import NOWHERE, Ends, Links, Router
from suanwang.scheduling.columns import Ints, Ways

if TYPE_CHECKING:
    from suanwang.twin.network import Network


class Lines:
    """The links of a network as `routing.paths` has them: one between every two sites, and every site and place that is at
    none. Ends are numbered: sites, then such places. Sites pass on what others send over them, places do not."""

    def __init__(self, network: Network) -> None:
        sites = [site.id for site in network.sites]
        away = [place for place in network.places if place.site is None]
        self.count = len(sites)
        """Of sites."""
        self.names = (*sites, *(place.id for place in away))
        """`[e]`"""
        outside = iter(range(len(sites), len(self.names)))
        self.end = [next(outside) if one.site is None else sites.index(one.site) for one in network.places]
        """`[place]`"""
        self._called: dict[str, set[int]] = {}
        for name, end in (
            *zip(self.names, range(len(self.names)), strict=True),
            *zip((place.id for place in network.places), self.end, strict=True),
        ):
            self._called.setdefault(name, set()).add(end)
        self._network, self._away = network, away

    def between(self, ends: tuple[str, str]) -> list[tuple[int, int]]:
        """The links that these names of ends name, each by its two ends, the smaller first."""
        one, other = (self._called.get(name, set()) for name in ends)
        return sorted({(min(a, b), max(a, b)) for a in one for b in other if a != b and min(a, b) < self.count})

    def all(self) -> list[tuple[int, int]]:
        """Likewise of every link there may be."""
        return [(a, b) for a in range(self.count) for b in range(a + 1, len(self.names))]

    def router(self) -> Router:
        """The paths from every place, by its number; all links are up. A GB is what they are best for."""
        network, count = self._network, len(self.names)
        ends = np.array(self.all(), np.int64).reshape(-1, 2)
        gbps, yuan = np.full(len(ends), network.gbps), np.full(len(ends), network.yuan_per_gb)
        number = np.full((count, count), NOWHERE, np.int64)
        number[ends[:, 0], ends[:, 1]] = np.arange(len(ends))
        for link in network.links:
            for pair in self.between(link.ends):
                gbps[number[pair]], yuan[number[pair]] = link.gbps, link.yuan_per_gb
        at = [(one.latitude, one.longitude) for one in network.sites]
        at += [(one.latitude, one.longitude) for one in self._away]
        latitude, longitude = np.array(at).T
        far = np.array([distance_km(*one, latitude, longitude) for one in at])
        used = gbps > 0
        ends, gbps, yuan = ends[used], gbps[used], yuan[used]
        return Router(
            Links(ends, one_way_ms(far[ends[:, 0], ends[:, 1]]), 8_000.0 / gbps, yuan),
            Ends(
                relays=np.arange(count) < self.count,
                rank=np.argsort(
                    np.argsort(np.array([f"{n >= self.count}{name}" for n, name in enumerate(self.names)]))
                ),
            ),
            np.array(self.end, np.int64),
        )


class Span(NamedTuple):
    """While it lasts no data cross the link between two ends, the smaller first."""

    ends: tuple[int, int]
    from_ms: int
    until_ms: int | None
    """None: for good."""


class Change(NamedTuple):
    """From an instant on: links that are cut then, and whose data take another way to which site."""

    at_ms: int
    cut: list[int]
    ways: list[tuple[int, int, int]]
    """Place, site, way; -1 where none is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """All ways of a network, and when they change."""

    ways: Ways
    """Rows of `first` are the places."""
    over: tuple[str, ...]
    """`[w]`: the sites between, `a > b`; empty where data come straight, or are there."""
    because: tuple[str, ...]
    """`[w]`: `a - b is cut`, naming the way that is best while every link is up;
    or `quicker` than the direct link, or `no direct link`; empty where `over` is."""
    changes: tuple[Change, ...] = ()


def routes(network: Network, site: Ints, spans: Iterable[Span] = ()) -> Routes:
    """The ways to rows `site[r]` while the `spans` last. Raises `InvalidRequest` where none leads to a site with all links up."""
    lines = Lines(network)
    return routed(lines.router(), lines.names, lines.count, site, spans)


def routed(router: Router, names: Sequence[str], sites: int, site: Ints, spans: Iterable[Span]) -> Routes:
    """The ways from the router's sources to its first ends, the sites; found anew where a link changed and nowhere else."""
    known = _Known(names, router)
    places = len(router.paths.ms)
    now = np.array([[known.way(p, s) for s in range(sites)] for p in range(places)], np.int64)
    if (now < 0).any():
        place, where = (int(at) for at in np.argwhere(now < 0)[0])
        raise InvalidRequest(
            f"no links lead from {names[router.sources[place]]} to {names[where]}",
            field="links",
            allowed="links, or a gbps for all that are not named, by which data come to every site",
        )
    known.note_best()
    first = now[:, site]
    changes = []
    for at_ms, down, up in _switches(router, spans):
        changed = router.set_links(np.array(down, np.int64), np.array(up, np.int64))
        told = [(p, s, known.way(p, s)) for p, ends in changed.items() for s in ends[ends < sites].tolist()]
        changes.append(Change(at_ms, down, told))
    return known.routes(first, changes)


def _switches(router: Router, spans: Iterable[Span]) -> Iterable[tuple[int, list[int], list[int]]]:
    """Instant after instant: links that go down, and such that come up. A link may be cut twice over."""
    told: dict[int, dict[int, int]] = {}
    for span in spans:
        link = router.link(*span.ends)
        if link == NOWHERE:
            continue
        for at_ms, change in ((span.from_ms, 1), (span.until_ms, -1)):
            if at_ms is not None:
                of = told.setdefault(at_ms, {})
                of[link] = of.get(link, 0) + change
    cuts: dict[int, int] = {}
    for at_ms in sorted(told):
        down: list[int] = []
        up: list[int] = []
        for link, change in sorted(told[at_ms].items()):
            before, after = cuts.get(link, 0), cuts.get(link, 0) + change
            cuts[link] = after
            if (before > 0) != (after > 0):
                (down if after > 0 else up).append(link)
        if down or up:
            yield at_ms, down, up


class _Known:
    """The ways found so far, each by the ends it goes through."""

    def __init__(self, names: Sequence[str], router: Router) -> None:
        self._names, self._router = names, router
        self._number: dict[tuple[int, ...], int] = {}
        self._because: list[str] = []
        self._best: dict[tuple[int, int], tuple[int, ...]] = {}

    def way(self, place: int, site: int) -> int:
        through = self._router.paths.through(place, site)
        if not through:
            return -1
        if len(through) == 1:
            through = ()  # Alike wherever the data are already.
        if through not in self._number:
            self._number[through] = len(self._number)
            self._because.append(self._why(through))
        return self._number[through]

    def note_best(self) -> None:
        """What there is now is best: all links are up."""
        self._best = {(through[0], through[-1]): through for through in self._number if through}

    def _why(self, through: tuple[int, ...]) -> str:
        if len(through) < 3:
            return ""
        best = self._best.get((through[0], through[-1]), through)
        if best != through:
            return f"{' - '.join(self._names[end] for end in best)} is cut"
        return "no direct link" if self._router.link(through[0], through[-1]) == NOWHERE else "quicker"

    def routes(self, first: Ints, changes: list[Change]) -> Routes:
        links, names = self._router.links, self._names
        crossed = [[self._router.link(one, other) for one, other in pairwise(way)] for way in self._number]
        most = max((len(way) for way in crossed), default=0)
        table = np.array([way + [-1] * (most + 1 - len(way)) for way in crossed], np.int64).reshape(-1, most + 1)
        delay_ms, ms_per_gb, yuan_per_gb = (
            np.array([sum(values[way].tolist()) for way in crossed], np.float64)
            for values in (links.delay_ms, links.ms_per_gb, links.yuan_per_gb)
        )
        return Routes(
            ways=Ways(delay_ms, ms_per_gb, yuan_per_gb, table, np.ascontiguousarray(first)),
            over=tuple(" > ".join(names[end] for end in way[1:-1]) for way in self._number),
            because=tuple(self._because),
            changes=tuple(changes),
        )
