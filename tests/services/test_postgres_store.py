"""The store on a real PostgreSQL keeps every promise of a store, and those that only several connections can test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
from tests.contract.store_suite import StoreContract
from tests.contract.store_values import SITE, a_chunk, a_job, after, an_event, at_once, fencing, leased, leasing
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.job_reads import FOLD_AT
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.adapters.store.record import insert_events
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.domain.job import Step
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Task
from suanwang.ports import JobQuery, Store

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services

WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = %s"


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def wait_for(found: Callable[[], bool]) -> None:
    """Until something another process does has happened; fails after half a minute."""
    until = time.monotonic() + 30
    while not found():
        assert time.monotonic() < until, "what was waited for never came"
        time.sleep(0.01)


@contextmanager
def beside(call: Callable[[], object]) -> Iterator[Future[object]]:
    """`call` under way on a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


@pytest.fixture
def watcher(postgres: str) -> Iterator[psycopg.Connection]:
    """A connection of nobody's, for looking on and for getting in the way."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


def waiting(watcher: psycopg.Connection, on: str = "Lock") -> list[int]:
    return [row[0] for row in watcher.execute(WAITING, (on,))]


def hang_up_all(watcher: psycopg.Connection) -> int:
    """End every connection but the watcher's; returns how many."""
    row = watcher.execute(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchone()
    assert row is not None
    return int(row[0])


# the event feed


def test_an_event_is_not_shown_before_those_that_may_still_come_first(
    postgres_store: PostgresStore, postgres: str
) -> None:
    postgres_store.append_events([an_event("job.one")])
    seen = postgres_store.last_seq()
    with psycopg.connect(postgres) as slow:
        insert_events(slow, [an_event("job.slow")])
        postgres_store.append_events([an_event("job.fast")])
        assert postgres_store.events(seen, 10) == [], "a follower that saw the fast one would miss the slow one"
        assert postgres_store.last_seq() == seen
        slow.commit()
    assert [event.kind for event in postgres_store.events(seen, 10)] == ["job.slow", "job.fast"]


def test_a_writer_that_gives_up_does_not_hold_the_feed(postgres_store: PostgresStore, postgres: str) -> None:
    with psycopg.connect(postgres) as slow:
        insert_events(slow, [an_event("job.slow")])
        slow.rollback()
        postgres_store.append_events([an_event("job.fast")])
        assert [event.kind for event in postgres_store.events(0, 10)] == ["job.fast"]


def test_who_follows_while_many_write_misses_nothing(postgres_store: PostgresStore) -> None:
    writers, each = 6, 40
    done = threading.Event()
    followed: list[tuple[int, str]] = []

    def write(writer: int) -> None:
        for number in range(each):
            kinds = [f"job.{writer}.{number}.{part}" for part in range(1 + number % 3)]
            postgres_store.append_events([an_event(kind) for kind in kinds])

    def follow() -> None:
        while True:
            finished = done.is_set()
            page = postgres_store.events(followed[-1][0] if followed else 0, 50)
            followed.extend((event.seq, event.kind) for event in page)
            if finished and not page:
                return

    with beside(follow) as follower:
        at_once([lambda writer=writer: write(writer) for writer in range(writers)])  # type: ignore[misc]
        done.set()
        follower.result(60)
    every = [(event.seq, event.kind) for event in postgres_store.events(0, 9999)]
    assert followed == every
    assert len(every) == writers * sum(1 + number % 3 for number in range(each))
    assert all(first < second for (first, _), (second, _) in pairwise(every))


# guards between connections


def test_a_fence_waits_for_a_renewal_under_way_and_is_refused(
    postgres_store: PostgresStore, watcher: psycopg.Connection
) -> None:
    job, allocation = leased(postgres_store)
    watcher.execute("BEGIN")
    watcher.execute("UPDATE allocations SET lease_until = %s WHERE id = %s", (after(120), allocation.id))
    with beside(lambda: postgres_store.apply([fencing(job, allocation)])) as fence:
        wait_for(lambda: bool(waiting(watcher)))
        watcher.execute("COMMIT")
        assert fence.result(30) == {job.id}
    assert postgres_store.job(job.id) == job


def test_a_renewal_waits_for_a_fence_under_way_and_finds_the_lease_gone(
    postgres_store: PostgresStore, watcher: psycopg.Connection
) -> None:
    _, allocation = leased(postgres_store)
    watcher.execute("BEGIN")
    watcher.execute("UPDATE allocations SET state = 'fenced' WHERE id = %s", (allocation.id,))
    with beside(lambda: postgres_store.renew([allocation.id], after(120))) as renewal:
        wait_for(lambda: bool(waiting(watcher)))
        watcher.execute("COMMIT")
        assert renewal.result(30) == frozenset()


def test_a_second_live_lease_of_a_job_is_refused_alone(postgres_store: PostgresStore) -> None:
    job, allocation = leased(postgres_store)
    other = a_job()
    postgres_store.add_jobs([other], [])
    wrong = leasing(job, site=SITE)
    assert wrong.allocation is not None
    assert wrong.allocation.id != allocation.id
    assert postgres_store.apply([wrong, leasing(other)]) == {job.id}
    assert postgres_store.allocations(job.id) == [allocation]
    assert postgres_store.job(job.id) == job


# losses


def test_connections_that_the_server_closed_while_idle_are_not_noticed(
    postgres_store: PostgresStore, watcher: psycopg.Connection
) -> None:
    job = a_job()
    at_once([postgres_store.last_seq for _ in range(4)])
    assert hang_up_all(watcher) >= 1
    assert postgres_store.add_jobs([job], []) == ((job.id,), False)
    assert hang_up_all(watcher) >= 1
    assert postgres_store.job(job.id) == job


def test_a_step_cut_off_in_the_middle_leaves_nothing(
    postgres_store: PostgresStore, watcher: psycopg.Connection
) -> None:
    jobs = [a_job() for _ in range(50)]
    postgres_store.add_jobs(jobs, [])
    watcher.execute("BEGIN")
    watcher.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (jobs[-1].id,))
    with beside(lambda: postgres_store.apply([leasing(job) for job in jobs])) as applying:
        wait_for(lambda: bool(waiting(watcher)))
        assert hang_up_all(watcher) >= 1
        with pytest.raises(Unavailable):
            applying.result(30)
    watcher.execute("ROLLBACK")
    assert postgres_store.count_jobs() == {JobState.QUEUED: 50}
    assert postgres_store.held() == {}
    assert postgres_store.last_seq() == 0
    assert postgres_store.apply([leasing(job) for job in jobs]) == frozenset()


def test_an_answer_lost_at_commit_is_an_outcome_unknown(
    postgres_store: PostgresStore, watcher: psycopg.Connection
) -> None:
    watcher.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'"
    )
    watcher.execute(
        "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    job = a_job()
    with beside(lambda: postgres_store.add_jobs([job], [])) as adding:
        wait_for(lambda: bool(waiting(watcher, "Timeout")))
        hang_up_all(watcher)
        with pytest.raises(OutcomeUnknown) as caught:
            adding.result(30)
    assert caught.value.tag == f"job {job.id}"
    assert postgres_store.job(job.id) is None, "whoever reads it again learns what happened"


def test_a_statement_that_takes_too_long_is_unavailable(postgres: str, watcher: psycopg.Connection) -> None:
    with PostgresStore(Database(postgres, statement_timeout_s=0.2)) as impatient:
        job = a_job()
        impatient.add_jobs([job], [])
        watcher.execute("BEGIN")
        watcher.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="try again"):
            impatient.job(job.id)
        with pytest.raises(Unavailable):
            impatient.apply([leasing(job)])
        watcher.execute("ROLLBACK")
        assert impatient.job(job.id) == job


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with PostgresStore(Database("postgresql://nobody@127.0.0.1:1/none", wait_s=0.3)) as store:
        with pytest.raises(Unavailable):
            store.sites()
        with pytest.raises(Unavailable):
            store.add_jobs([a_job()], [])
        with pytest.raises(Unavailable), store.turn("plan"):
            pytest.fail("nobody can have a turn")


def test_many_callers_share_few_connections(postgres: str, watcher: psycopg.Connection) -> None:
    with PostgresStore(Database(postgres, max_connections=2)) as store:
        at_once([lambda: store.add_jobs([a_job()], []) for _ in range(24)])
        assert sum(store.count_jobs().values()) == 24
        row = watcher.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'suanwang'").fetchone()
        assert row is not None
        assert 1 <= row[0] <= 2


# turns


def test_a_turn_belongs_to_one_replica(postgres_store: PostgresStore, postgres: str) -> None:
    with PostgresStore(Database(postgres)) as other:
        with postgres_store.turn("plan") as mine:
            assert mine
            with other.turn("plan") as theirs:
                assert not theirs
            with other.turn("tell") as theirs:
                assert theirs, "another turn is another's"
            with postgres_store.turn("plan") as again:
                assert not again, "not even its holder has it twice"
            with other.turn("plan") as theirs:
                assert not theirs, "who asked in vain took nothing away"
        with other.turn("plan") as theirs:
            assert theirs


def test_a_turn_ends_with_its_holder(postgres_store: PostgresStore, postgres: str, watcher: psycopg.Connection) -> None:
    with PostgresStore(Database(postgres)) as other:
        with postgres_store.turn("plan") as mine:
            assert mine
            hang_up_all(watcher)
            with other.turn("plan") as theirs:
                assert theirs
        with postgres_store.turn("plan") as mine:
            assert mine, "and the next round works again"


# what only a database could refuse


def test_text_that_no_database_holds_is_kept_readable(postgres_store: PostgresStore) -> None:
    bad, good = "a\0b\ud800c", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    job = replace(a_job(), owner=bad, reason=bad, task=Task(name=bad, run=bad, env={"K": bad}))
    postgres_store.add_jobs([job], [an_event("job.submitted", job, **{bad: [bad, {"x": bad}]})])
    stored = postgres_store.job(job.id)
    assert stored == replace(job, owner=good, reason=good, task=Task(name=good, run=good, env={"K": good}))
    assert postgres_store.events(0, 1)[0].data == {good: [good, {"x": good}]}
    postgres_store.add_output([replace(a_chunk(job, 0, "x"), text=bad)], [])
    assert postgres_store.logs(job.id, 0, 1)[0][1].text == good
    postgres_store.apply([Step(job=replace(job, revision=1), notices=({"why": bad},))])
    assert postgres_store.notices_due(after(0), 1)[0].payload == {"why": good}


def test_counts_stay_exact_while_they_are_folded(postgres_store: PostgresStore, watcher: psycopg.Connection) -> None:
    rounds = FOLD_AT // 8 + 10

    def add(_: int) -> None:
        for _ in range(rounds):
            job = a_job()
            postgres_store.add_jobs([job], [])
            postgres_store.apply([leasing(job)])

    seen: list[int] = []

    def look() -> None:
        seen.extend(sum(postgres_store.count_jobs().values()) for _ in range(40))

    with beside(look) as looking:
        at_once([lambda number=number: add(number) for number in range(4)])  # type: ignore[misc]
        looking.result(60)
    assert seen == sorted(seen)
    assert postgres_store.count_jobs() == {JobState.LEASED: 4 * rounds}
    assert postgres_store.count_jobs() == {JobState.LEASED: 4 * rounds}
    row = watcher.execute("SELECT count(*) FROM job_count_changes").fetchone()
    assert row is not None
    assert row[0] < FOLD_AT


@pytest.mark.parametrize("cursor", ["x", "-1", "", "1; DROP TABLE jobs", "9" * 40, "٣"])
def test_a_cursor_of_somebody_elses_is_refused(postgres_store: PostgresStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        postgres_store.jobs(JobQuery(), cursor, 10)
    assert caught.value.field == "cursor"


def test_a_page_is_bounded(postgres_store: PostgresStore) -> None:
    postgres_store.add_jobs([a_job(), a_job()], [])
    assert len(postgres_store.jobs(JobQuery(), None, 10**12)[0]) == 2
    assert len(postgres_store.jobs(JobQuery(), None, -5)[0]) == 1
