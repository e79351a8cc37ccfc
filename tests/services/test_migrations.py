"""Migrations: each one upwards with rows present, several processes at once, and the tables that come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from tests.contract.store_values import a_file, a_job, a_site, an_event, at_once, ending, leased
from tests.services.postgres_fixture import PostgresServer, postgres, postgres_server

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.migrate import configuration, upgrade
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.adapters.store.schema import metadata
from suanwang.domain.errors import InvalidRequest, Unavailable

__all__ = ["postgres", "postgres_server"]

pytestmark = pytest.mark.services


@pytest.fixture
def empty(postgres_server: PostgresServer) -> str:
    return postgres_server.empty()


def on(url: str, ask: Callable[[Connection], list[object]]) -> list[object]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            return ask(connection)
    finally:
        engine.dispose()


def revisions(url: str) -> list[str]:
    """Every revision there is, oldest first."""
    script = on(url, lambda connection: list(ScriptDirectory.from_config(configuration(connection)).walk_revisions()))
    return [revision.revision for revision in reversed(script)]  # type: ignore[attr-defined]


def fill(store: PostgresStore) -> None:
    """Rows in the tables that hold most."""
    job, allocation = leased(store)
    store.apply([ending(job, allocation)])
    store.add_jobs([a_job()], [an_event("job.submitted")])
    store.add_site(a_site(), [])
    store.add_file(a_file("model", "a"))


EXAMPLES = {
    "text": "x",
    "bigint": 1,
    "integer": 1,
    "double precision": 1.5,
    "numeric": 1,
    "boolean": True,
    "json": "{}",
    "ARRAY": [],
    "timestamp with time zone": datetime(2025, 1, 1, tzinfo=UTC),
}


def put_a_row_everywhere(connection: psycopg.Connection) -> dict[str, int]:
    """One row of examples in each table of whatever revision the database is at; returns rows by table."""
    columns: dict[str, dict[str, object]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "AND is_identity = 'NO' AND table_name NOT IN ('alembic_version', 'event_clock') ORDER BY ordinal_position"
    ):
        later = timedelta(seconds=60) if column == "to_at" else timedelta()
        example = EXAMPLES[kind]
        columns.setdefault(table, {})[column] = example + later if isinstance(example, datetime) else example
    for table, values in columns.items():
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("%s" for _ in values)
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))
    return count_rows(connection, columns)


def count_rows(connection: psycopg.Connection, tables: Iterable[str]) -> dict[str, int]:
    rows = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables}
    return {table: row[0] for table, row in rows.items() if row is not None}


def test_every_revision_is_walked_with_rows_present(empty: str) -> None:
    walked = revisions(empty)
    assert walked, "there is at least one migration"
    upgrade(empty, walked[0])
    with psycopg.connect(empty) as connection:
        before = put_a_row_everywhere(connection)
    assert before["jobs"] == before["events"] == before["bill_lines"] == 1
    for revision in walked[1:]:
        upgrade(empty, revision)
    upgrade(empty)
    with psycopg.connect(empty) as connection:
        after = count_rows(connection, before)
    assert after == before
    assert (
        on(empty, lambda c: list(c.execute(text("SELECT version_num FROM alembic_version")).scalars())) == walked[-1:]
    )


def test_the_tables_are_those_of_the_schema(postgres: str) -> None:
    differences = on(
        postgres,
        lambda connection: list(
            compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}),
                metadata,
            )
        ),
    )
    assert differences == []


def test_a_table_that_migrations_lack_would_be_seen(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        connection.execute("ALTER TABLE jobs DROP COLUMN attempts, ALTER COLUMN epoch TYPE bigint")
    differences = on(
        postgres,
        lambda connection: list(
            compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
        ),
    )
    assert len(differences) == 2


def test_replicas_may_start_at_once(empty: str) -> None:
    at_once([lambda: upgrade(empty) for _ in range(4)])
    assert on(empty, lambda c: list(c.execute(text("SELECT count(*) FROM alembic_version")).scalars())) == [1]
    assert on(empty, lambda c: list(c.execute(text("SELECT count(*) FROM event_clock")).scalars())) == [1]


@pytest.mark.parametrize("table", ["events", "usage_records", "bill_lines"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET job_id = 'x'", "TRUNCATE {}"])
def test_history_cannot_be_changed(postgres: str, table: str, change: str) -> None:
    with PostgresStore(Database(postgres)) as store:
        fill(store)
    with (
        psycopg.connect(postgres) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(change.format(table))
    with psycopg.connect(postgres) as connection:
        assert connection.execute(f"SELECT count(*) > 0 FROM {table}").fetchone() == (True,)


def test_history_restored_from_an_older_server_stays_in_front(postgres: str) -> None:
    far = 10**9 << 20
    with psycopg.connect(postgres) as connection:
        connection.execute(f"INSERT INTO events (seq, kind, at, actor) VALUES ({far}, 'job.old', now(), 'test')")
    upgrade(postgres)
    with PostgresStore(Database(postgres)) as store:
        store.append_events([an_event("job.new")])
        assert [event.kind for event in store.events(0, 10)] == ["job.old", "job.new"]
        assert store.last_seq() > far


def test_what_is_no_address_of_postgresql_is_refused() -> None:
    for url in ("mysql://root@localhost/x", "nonsense", ""):
        with pytest.raises(InvalidRequest) as caught:
            upgrade(url)
        assert caught.value.field == "database_url"


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        upgrade("postgresql://nobody@127.0.0.1:1/none")
