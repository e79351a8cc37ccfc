"""Connections, transactions, and what a failure of either means.

Owns the pool, the one place where a driver's error becomes one of ours, and when something may be tried again. Knows
nothing of tables.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from suanwang.domain.errors import OutcomeUnknown, Unavailable

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

MAX_TRIES = 8
"""Of a transaction that PostgreSQL broke off to undo a deadlock; each time the others move on."""

BUSY = (pg.DeadlockDetected, pg.SerializationFailure)
LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class Database:
    """A bounded pool of connections to one PostgreSQL database."""

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 10,
        wait_s: float = 5.0,
        statement_timeout_s: float = 30.0,
        connect_timeout_s: int = 5,
    ) -> None:
        """`wait_s` bounds how long a caller waits for a connection. Nothing is connected before it is needed."""
        self._url = url
        self._wait_s = wait_s
        self._connect_timeout_s = connect_timeout_s
        self._options = (
            f"-c timezone=UTC -c statement_timeout={int(statement_timeout_s * 1000)} -c lock_timeout=10000 "
            "-c idle_in_transaction_session_timeout=60000 -c application_name=suanwang"
        )
        self._pool = self._open(max_connections)
        # Turns are held while their holder uses the other pool, so they may never compete for the same connections.
        self._turns = self._open(8)

    def _open(self, max_connections: int) -> ConnectionPool[Connection]:
        def check(connection: Connection) -> None:
            if _hung_up(connection):
                # Those beside it have the same fate: replace them all at once instead of failing one by one.
                connection.close()
                pool.drain()
                raise psycopg.OperationalError("the server closed the connection while it was idle")

        pool: ConnectionPool[Connection] = ConnectionPool(
            self._url,
            min_size=0,
            max_size=max_connections,
            timeout=self._wait_s,
            max_idle=300.0,
            reconnect_timeout=self._wait_s,
            open=True,
            configure=_configure,
            check=check,
            kwargs={
                "autocommit": True,
                "options": self._options,
                "connect_timeout": self._connect_timeout_s,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
            },
        )
        return pool

    def close(self) -> None:
        """Give all connections back. Idempotent."""
        self._pool.close()
        self._turns.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one statement that changes nothing. Raises `Unavailable`."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except LOST as error:
            raise _unavailable(error) from error

    def write(self, work: Callable[[Connection], T], *, tag: str | None = None) -> T:
        """Run `work` in one transaction and commit it.

        `work` runs again from the start where PostgreSQL broke it off to undo a deadlock, so it may touch nothing but
        its connection. `tag` marks a write that must not be repeated blindly: where the answer to its commit is lost,
        `OutcomeUnknown` carries it; without one the loss is `Unavailable` like any other. Raises `Unavailable`.
        """
        for _ in range(MAX_TRIES):
            try:
                with self._pool.connection() as connection:
                    return _transact(connection, work, tag)
            except BUSY:
                continue
            except LOST as error:
                raise _unavailable(error) from error
        raise Unavailable(f"the database was too busy {MAX_TRIES} times over: try again")

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """True while this holder alone has `name`; a lost connection gives it up. Raises `Unavailable`."""
        try:
            with self._turns.connection() as connection:
                row = connection.execute(
                    "SELECT pg_try_advisory_lock(hashtextextended('suanwang turn ' || %s, 0))", (name,)
                ).fetchone()
                mine = row is not None and row[0] is True
                try:
                    yield mine
                finally:
                    # A lost connection has given the turn up already.
                    with suppress(*LOST):
                        connection.execute("SELECT pg_advisory_unlock_all()")
        except LOST as error:
            raise _unavailable(error) from error


def _transact(connection: Connection, work: Callable[[Connection], T], tag: str | None) -> T:
    committing = False
    connection.execute("BEGIN")
    try:
        result = work(connection)
        committing = True
        connection.execute("COMMIT")
    except BaseException as error:
        if not connection.closed:
            with suppress(*LOST):
                connection.execute("ROLLBACK")
        elif committing and tag is not None and isinstance(error, LOST):
            raise OutcomeUnknown(
                f"the database hung up before it confirmed {tag}: read it again before doing anything", tag=tag
            ) from error
        raise
    return result


def _configure(connection: Connection) -> None:
    connection.adapters.register_loader("json", TextLoader)


def _hung_up(connection: Connection) -> bool:
    """Whether the server closed an idle connection: it has left something to read. Costs no round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
    return bool(poll.poll(0))


def _unavailable(error: Exception) -> Unavailable:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Unavailable(f"the database does not answer: {first}; try again")
