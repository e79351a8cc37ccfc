"""A real PostgreSQL for tests: one embedded server for each test process, one fresh database for each test.

Owns how tests get one. Import the fixtures into a `conftest.py` or a test module:

    from tests.services.postgres_fixture import postgres, postgres_server, postgres_store
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.migrate import upgrade
from suanwang.adapters.store.postgres import PostgresStore

QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "min_wal_size": "80MB"}
"""A test's data need not outlive the machine."""


@dataclass(slots=True)
class PostgresServer:
    """A running server that hands out databases."""

    url: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _template: str | None = None

    def at(self, database: str) -> str:
        """The address of one of its databases."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def empty(self) -> str:
        """The address of a new database without tables."""
        name = f"test{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name}")
        return self.at(name)

    def migrated(self) -> str:
        """The address of a new database with every table, copied from one that was migrated once."""
        if self._template is None:
            url = self.empty()
            upgrade(url)
            self._template = urlsplit(url).path[1:]
        name = f"test{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
        return self.at(name)

    def drop(self, url: str) -> None:
        """Remove a database whoever is connected to it."""
        self._run(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.at("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server. Not `tmp_path`: pytest closes that to the account which a server started by root runs as."""
    with tempfile.TemporaryDirectory(prefix="suanwang-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with server_folder() as folder, EmbeddedPostgres(folder, settings=QUICK) as server:
        yield PostgresServer(url=server.url)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh database with every table."""
    url = postgres_server.migrated()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def postgres_store(postgres: str) -> Iterator[PostgresStore]:
    """A store on a fresh database."""
    with PostgresStore(Database(postgres)) as store:
        yield store
