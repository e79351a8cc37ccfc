"""The engine under anything that may come: nothing is lost, nothing overfull, and nothing knows the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine_worlds import (
    HOUR_MS,
    POLICIES,
    Floats,
    World,
    check,
    plain_jobs,
    plain_rows,
    plain_truth,
    shared,
    world,
)

from suanwang.scheduling.columns import NEVER_MS, Segments
from suanwang.twin.engine import ENDED, LINK, WAITING, Faults, Played

worlds = st.builds(world, st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4))
sharing_worlds = st.builds(shared, worlds, st.integers(0, 2**32 - 1))
names = st.sampled_from(POLICIES)


def _same(one: Played, other: Played) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.segments, other.segments, strict=True)) and np.array_equal(
        one.state, other.state
    )


def _before(played: Played, until_ms: int) -> set[tuple[int, ...]]:
    """(job, row, start) of all that started before an instant."""
    segments = played.segments
    on = segments.start_ms < until_ms
    return set(zip(segments.job[on].tolist(), segments.row[on].tolist(), segments.start_ms[on].tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(worlds, names)
def test_nothing_is_lost_and_no_row_is_overfull(given_world: World, name: str) -> None:
    played = given_world.played(name)
    check(given_world, played)
    # Every row comes back whole, so no job waits for ever.
    assert not (played.state == WAITING).any()


@settings(max_examples=150, deadline=None)
@given(worlds, names)
def test_looking_at_everything_anew_changes_nothing(given_world: World, name: str) -> None:
    assert _same(given_world.played(name), given_world.played(name, anew=True))


@settings(max_examples=150, deadline=None)
@given(sharing_worlds, names)
def test_projects_that_share_lose_nothing_and_never_have_more_than_they_may(given_world: World, name: str) -> None:
    played = given_world.played(name)
    check(given_world, played)
    assert not (played.state == WAITING).any()
    assert _same(played, given_world.played(name, anew=True))


@settings(max_examples=60, deadline=None)
@given(sharing_worlds, names, st.integers(0, 2**32 - 1))
def test_nor_does_it_matter_to_projects_that_share(given_world: World, name: str, seed: int) -> None:
    """Nobody is ready at the same instant as another."""
    count = len(given_world.jobs.ready_ms)
    told = given_world.with_jobs(ready_ms=given_world.jobs.ready_ms + np.arange(count))
    shuffled = np.random.default_rng(seed).permutation(count)
    one, other = told.played(name), told.taken(shuffled).played(name)
    assert np.array_equal(one.first_start_ms[shuffled], other.first_start_ms)
    assert np.array_equal(one.end_ms[shuffled], other.end_ms)


@settings(max_examples=60, deadline=None)
@given(worlds, names, st.integers(0, 2**32 - 1))
def test_the_order_of_the_columns_does_not_matter(given_world: World, name: str, seed: int) -> None:
    """Turns are the same: what stands first among equals is told by `order`."""
    count = len(given_world.jobs.ready_ms)
    turns = np.argsort(np.lexsort((np.arange(count), given_world.jobs.ready_ms, given_world.jobs.order)))
    told = given_world.with_jobs(order=turns.astype(np.int64))
    shuffled = np.random.default_rng(seed).permutation(count)
    one, other = told.played(name), told.taken(shuffled).played(name)

    def listed(segments: Segments, job: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[tuple[int, ...]]:
        columns = (job, segments.row, segments.start_ms, segments.end_ms, segments.how)
        return sorted(zip(*(column.tolist() for column in columns), strict=True))

    assert listed(one.segments, one.segments.job) == listed(other.segments, shuffled[other.segments.job])
    assert np.array_equal(one.state[shuffled], other.state)


@settings(max_examples=60, deadline=None)
@given(worlds, names, st.integers(0, 60), st.sampled_from([1e9, np.nan, -1e9]))
def test_nothing_is_decided_by_what_is_issued_later(given_world: World, name: str, hours: int, poison: float) -> None:
    until_ms = hours * HOUR_MS + HOUR_MS // 2
    yuan, carbon_g = given_world.outlook.yuan.copy(), given_world.outlook.carbon_g.copy()
    yuan[hours + 1 :], carbon_g[hours + 1 :] = poison, poison
    poisoned = replace(given_world, outlook=given_world.outlook._replace(yuan=yuan, carbon_g=carbon_g))
    assert _same(given_world.played(name, until_ms=until_ms), poisoned.played(name, until_ms=until_ms))


@settings(max_examples=60, deadline=None)
@given(worlds, names, st.integers(0, 60))
def test_nothing_is_decided_by_failures_and_cuts_to_come(given_world: World, name: str, hours: int) -> None:
    until_ms = hours * HOUR_MS + HOUR_MS // 2
    faults = given_world.faults
    told = faults.at_ms < until_ms
    places, width = given_world.rows.delay_ms.shape
    assert given_world.ways is not None
    links = int(given_world.ways.links.max(initial=-1)) + 1
    # Nothing that is broken comes back; instead all rows are lost, all links are cut and no way is left for good.
    count = links + width * (1 + places)
    poison = Faults(
        at_ms=np.full(count, until_ms),
        row=np.concatenate([np.arange(links), np.tile(np.arange(width), 1 + places)]),
        share=np.full(count, 1_000_000),
        place=np.concatenate([np.full(links, LINK), np.repeat(np.arange(-1, places), width)]),
        way=np.full(count, -1),
    )
    columns = (np.concatenate((one[told], other)) for one, other in zip(faults, poison, strict=True))
    poisoned = replace(given_world, faults=Faults(*columns))
    assert _same(given_world.played(name, until_ms=until_ms), poisoned.played(name, until_ms=until_ms))


@settings(max_examples=60, deadline=None)
@given(worlds, names, st.integers(0, 60))
def test_nothing_is_decided_by_jobs_and_run_times_to_come(given_world: World, name: str, hours: int) -> None:
    until_ms = hours * HOUR_MS + HOUR_MS // 2
    first = given_world.played(name, until_ms=until_ms)
    come = np.flatnonzero(given_world.jobs.ready_ms < until_ms)
    if not len(come):
        return
    # What has not ended by then runs for ever, and who comes later does not come.
    run_ms = np.where(first.state == ENDED, given_world.truth.run_ms, 1 << 40)
    changed = replace(given_world, truth=given_world.truth._replace(run_ms=run_ms)).taken(come)
    assert _before(first, until_ms) == {
        (int(come[j]), r, start) for j, r, start in _before(changed.played(name, until_ms=until_ms), until_ms)
    }


@settings(max_examples=80, deadline=None)
@given(st.builds(world, st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4),
                 roomy=st.just(True), faulty=st.just(False)), st.sampled_from(["joint", "wait_awhile"]))  # fmt: skip
def test_where_there_is_room_nobody_is_held_longer_than_allowed(given_world: World, name: str) -> None:
    played = given_world.played(name)
    check(given_world, played)
    began = played.first_start_ms >= 0
    latest = given_world.jobs.ready_ms + given_world.jobs.wait_ms
    assert (played.first_start_ms[began] <= latest[began]).all()
    firm = began & (given_world.jobs.wait_ms == 0)
    assert (played.first_start_ms[firm] == given_world.jobs.ready_ms[firm]).all()


@settings(max_examples=80, deadline=None)
@given(st.builds(world, st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4),
                 roomy=st.just(True), faulty=st.just(False)))  # fmt: skip
def test_a_deadline_that_can_be_kept_is_kept(given_world: World) -> None:
    """Where run times are known, room is there and nobody is suspended, whoever could end in time does."""
    jobs, rows, truth = given_world.jobs, given_world.rows, given_world.truth
    run = np.minimum(truth.run_ms, jobs.limit_ms)
    chance = np.random.default_rng(len(run))
    alone = jobs.data_gb[:, None] * rows.transfer_ms_per_gb[jobs.place] + run[:, None] * rows.slowness
    alone = np.minimum(alone, jobs.data_gb[:, None] * rows.transfer_ms_per_gb[jobs.place] + jobs.limit_ms[:, None])
    can = given_world.allowed[jobs.kind] & (jobs.need[:, None, :] <= rows.capacity[None]).all(axis=2)
    least = np.where(can, alone, np.inf).min(axis=1)
    due = np.where(np.isfinite(least), jobs.ready_ms + np.where(np.isfinite(least), least, 0) + 2, NEVER_MS).astype(
        np.int64
    )
    due = np.where(due < NEVER_MS, due + chance.integers(0, 10 * HOUR_MS, len(due)), due)
    dated = replace(given_world, truth=truth._replace(run_ms=run)).with_jobs(
        due_ms=due,
        expect_ms=np.repeat(np.maximum(run, 1)[:, None], 3, axis=1),
        interruptible=np.zeros(len(due), np.bool_),
    )
    played = dated.played("joint")
    ended = played.state == ENDED
    assert (played.end_ms[ended] <= due[ended] + 1).all()


def _easy(made: World, *, backfill: bool) -> list[int]:
    """Starts of EASY on one row, as the books have it: the queue's head has its room, others may not delay it."""
    jobs, count = made.jobs, len(made.jobs.ready_ms)
    turn = np.lexsort((np.arange(count), jobs.ready_ms, jobs.order)).tolist()
    ran = np.minimum(made.truth.run_ms, jobs.limit_ms)
    start, end = [-1] * count, [-1] * count
    for now in _instants(jobs.ready_ms.tolist(), end):
        on = [j for j in turn if start[j] >= 0 and now < end[j]]
        free = made.rows.capacity[0] - jobs.need[on].sum(axis=0)
        latest = {j: start[j] + int(jobs.limit_ms[j]) for j in on}
        shadow, extra = NEVER_MS, free
        for j in [j for j in turn if start[j] < 0 and jobs.ready_ms[j] <= now]:
            need, until = jobs.need[j], now + int(jobs.limit_ms[j])
            if (need <= free).all() and (until <= shadow or (need <= extra).all()):
                start[j], end[j], latest[j] = now, now + int(ran[j]), until
                free, extra = free - need, extra - need if until > shadow else extra
            elif shadow == NEVER_MS and backfill:
                shadow, extra = _room_for(need, free, latest, jobs.need)
            elif not backfill:
                break
    return start


def _instants(ready: list[int], end: list[int]) -> Iterator[int]:
    now = -1
    while coming := [at for at in ready + end if at > now]:
        now = min(coming)
        yield now


def _room_for(need: Floats, free: Floats, latest: dict[int, int], needs: Floats) -> tuple[int, Floats]:
    """When there is room at the latest, and what is free beside it then."""
    for shadow in sorted(set(latest.values())):
        then = free + needs[[j for j, at in latest.items() if at <= shadow]].sum(axis=0)
        if (need <= then).all():
            return shadow, then - need
    raise AssertionError("it has room where nothing runs")


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.booleans())
def test_one_row_is_easy_as_the_books_have_it(seed: int, count: int, backfill: bool) -> None:
    made = _one_row(seed, count)
    played = made.played("easy" if backfill else "fifo")
    assert played.first_start_ms.tolist() == _easy(made, backfill=backfill)
    if not backfill:
        assert (np.diff(played.first_start_ms) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_the_head_of_the_queue_is_never_delayed_by_those_behind_it(seed: int, count: int) -> None:
    """Whoever is in front starts no later than were there nobody behind, all of them running to their limits."""
    made = _one_row(seed, count)
    limits = replace(made, truth=made.truth._replace(run_ms=made.jobs.limit_ms.copy()))
    whole = limits.played("easy").first_start_ms
    # All come at once, so that the first that cannot start is the only one with room kept for it.
    together = limits.with_jobs(ready_ms=np.zeros(count, np.int64))
    starts = together.played("easy").first_start_ms
    head = int(np.argmax(starts > 0)) if (starts > 0).any() else 0
    alone = together.taken(np.arange(head + 1)).played("easy").first_start_ms
    assert starts[head] == alone[head]
    assert (whole >= made.jobs.ready_ms).all()


def _one_row(seed: int, count: int) -> World:
    chance = np.random.default_rng(seed)
    need = np.stack(
        [chance.integers(1, 9, count), chance.integers(0, 9, count), chance.integers(0, 3, count)], axis=1
    ).astype(np.float64)
    ready = np.sort(chance.integers(0, 8 * count, count)) * 10
    run = chance.integers(1, 60, count) * 10
    made = World(
        jobs=plain_jobs(ready, run, need),
        truth=plain_truth(run),
        rows=plain_rows(np.array([[10.0, 12.0, 4.0]])),
        allowed=np.ones((1, 1), np.bool_),
        outlook=world(0, 1, 1).outlook,
    )
    return made.with_jobs(limit_ms=(run * chance.choice([1, 1, 2, 3], count)).astype(np.int64))


@pytest.mark.parametrize(("name", "seed"), [("easy", 11), ("joint", 0), ("joint", 8), ("joint", 11)])
def test_every_pass_that_is_spared_would_have_found_nothing(name: str, seed: int) -> None:
    """Larger worlds, congested, so that rows are kept for hundreds in turn, and longer than their outlooks reach."""
    made = world(seed, 1_500, 6, faulty=True)
    assert _same(made.played(name), made.played(name, anew=True))
    check(made, made.played(name))
