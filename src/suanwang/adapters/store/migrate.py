"""Brings a database to the tables of this version.

Owns how migrations are run: by one process at a time, so that replicas may start together. The migrations themselves lie
in `migrations/versions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from suanwang.domain.errors import InvalidRequest, Unavailable

FOLDER = Path(__file__).parent / "migrations"

# History that was restored into another server has greater transaction numbers than that server gives out now. Events
# are numbered by them, so the clock is moved on until new ones come after all that are there.
_SET_EVENT_CLOCK = text(
    "UPDATE event_clock SET shift = newest.xact + 1 - pg_current_xact_id()::text::bigint "
    "FROM (SELECT coalesce(max(seq), 0) >> 20 AS xact FROM events) AS newest "
    "WHERE pg_current_xact_id()::text::bigint + shift <= newest.xact"
)


def configuration(connection: Connection) -> Config:
    """Alembic's settings for this connection; no ini file is needed."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` up to `revision`; a database that is there already is left as it is.

    Raises `Unavailable` where the server does not answer, `InvalidRequest` where `url` is none of PostgreSQL.
    """
    with migrating(url) as connection:
        command.upgrade(configuration(connection), revision)
        if revision == "head":
            connection.execute(_SET_EVENT_CLOCK)


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """A transaction on the database that no other migration runs beside. Commits at the end."""
    try:
        address = make_url(url)
    except ArgumentError:
        address = None
    if address is None or not address.drivername.startswith(("postgresql", "postgres")):
        raise InvalidRequest(
            "the database address is not one of PostgreSQL", field="database_url", allowed="postgresql://USER@HOST/NAME"
        )
    engine = create_engine(
        address.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args={"connect_timeout": 10}
    )
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('suanwang migrations', 0))"))
            yield connection
    except OperationalError as error:
        raise Unavailable(f"the database does not answer: {error.orig}; start it or correct its address") from error
    finally:
        engine.dispose()
