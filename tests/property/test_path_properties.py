"""Best paths against every path there is, on small networks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.routing.paths import Bools, Ends, Links, Router

SITES, PLACES = 5, 2
COUNT = SITES + PLACES
SOURCES = np.array([0, SITES, SITES + 1])
seeds = st.integers(0, 2**32 - 1)
EVERY = [(a, b) for a in range(SITES) for b in range(a + 1, COUNT)]


def drawn(seed: int) -> tuple[Links, Ends]:
    """Few values, so that many paths are alike in time, or in time and price."""
    chance = np.random.default_rng(seed)
    ends = np.array([pair for pair in EVERY if chance.random() < 0.8] or EVERY)
    count = len(ends)
    links = Links(
        ends,
        chance.choice([0.0, 8.0], count),
        chance.choice([8.0, 16.0, 32.0], count),
        chance.choice([0.0, 0.25, 0.5], count),
    )
    return links, Ends(np.arange(COUNT) < SITES, chance.permutation(COUNT))


def every_path(links: Links, ends: Ends, up: Bools, source: int) -> Iterator[tuple[int, ...]]:
    """Every way that passes no end twice, goes over links that are up, and through none that does not pass on data."""
    line = {frozenset(pair): number for number, pair in enumerate(links.ends.tolist())}
    growing: list[tuple[int, ...]] = [(source,)]
    while growing:
        path = growing.pop()
        yield path
        if len(path) == 1 or ends.relays[path[-1]]:
            growing += [
                (*path, end)
                for end in range(COUNT)
                if end not in path
                and up[line.get(frozenset((path[-1], end)), 0)]
                and frozenset((path[-1], end)) in line
            ]


def comes_to(links: Links, path: tuple[int, ...], gigabytes: float) -> tuple[float, float, int]:
    line = {frozenset(pair): number for number, pair in enumerate(links.ends.tolist())}
    crossed = [line[frozenset(pair)] for pair in pairwise(path)]
    ms, yuan = 0.0, 0.0
    for link in crossed:
        ms += links.delay_ms[link] + gigabytes * links.ms_per_gb[link]
        yuan += gigabytes * links.yuan_per_gb[link]
    return ms, yuan, len(crossed)


def check(router: Router, links: Links, ends: Ends, up: Bools, gigabytes: float) -> None:
    paths = router.paths
    for at, source in enumerate(SOURCES.tolist()):
        best: dict[int, tuple[float, float, int]] = {}
        for path in every_path(links, ends, up, source):
            value = comes_to(links, path, gigabytes)
            best[path[-1]] = min(value, best.get(path[-1], value))
        for end in range(COUNT):
            found = paths.through(at, end)
            if end not in best:
                assert found == ()
                assert np.isinf(paths.ms[at, end])
                continue
            assert (found[0], found[-1]) == (source, end)
            assert comes_to(links, found, gigabytes) == best[end]
            assert (paths.ms[at, end], paths.yuan[at, end], paths.links[at, end]) == best[end]
            assert all(up[router.link(*pair)] for pair in pairwise(found)), "a cut link carries data"
            assert all(ends.relays[between] for between in found[1:-1])


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([0.0625, 1.0, 100.0]), st.data())
def test_paths_are_the_best_there_are_whatever_was_cut_and_mended(
    seed: int, gigabytes: float, data: st.DataObject
) -> None:
    links, ends = drawn(seed)
    router = Router(links, ends, SOURCES, gigabytes)
    up = np.ones(len(links.ends), np.bool_)
    check(router, links, ends, up, gigabytes)
    for _ in range(4):
        turned = np.array(data.draw(st.lists(st.integers(0, len(up) - 1), unique=True, max_size=4)), np.int64)
        down, mended = turned[up[turned]], turned[~up[turned]]
        before = [[router.paths.through(at, end) for end in range(COUNT)] for at in range(len(SOURCES))]
        told = router.set_links(down, mended)
        up[down], up[mended] = False, True
        check(router, links, ends, up, gigabytes)
        for at in range(len(SOURCES)):
            others = [end for end in range(COUNT) if router.paths.through(at, end) != before[at][end]]
            assert told.get(at, np.zeros(0, np.int64)).tolist() == others
        assert [router.is_up(link) for link in range(len(up))] == up.tolist()


@settings(max_examples=40, deadline=None)
@given(seeds, st.data())
def test_what_is_kept_from_before_is_what_a_search_anew_finds(seed: int, data: st.DataObject) -> None:
    """Which of like paths, too: those that nothing changed for are not looked at again."""
    links, ends = drawn(seed)
    kept = Router(links, ends, SOURCES)
    down = np.array(data.draw(st.lists(st.integers(0, len(links.ends) - 1), unique=True, min_size=1)), np.int64)
    kept.set_links(down, down[:0])
    kept.set_links(down[:0], down[::2])
    anew = Router(links, ends, SOURCES)
    anew.set_links(down[1::2], down[:0])
    assert all(np.array_equal(one, other) for one, other in zip(kept.paths, anew.paths, strict=True))


@settings(max_examples=40, deadline=None)
@given(seeds, st.permutations(range(SITES)))
def test_numbering_sites_another_way_changes_no_path(seed: int, order: list[int]) -> None:
    links, ends = drawn(seed)
    new = np.array([*order, *range(SITES, COUNT)])
    rank = np.empty(COUNT, np.int64)
    rank[new] = ends.rank
    renumbered = Router(links._replace(ends=new[links.ends]), Ends(ends.relays, rank), new[SOURCES])
    plain = Router(links, ends, SOURCES)
    for at in range(len(SOURCES)):
        for end in range(COUNT):
            same = tuple(int(new[one]) for one in plain.paths.through(at, end))
            assert renumbered.paths.through(at, int(new[end])) == same
