# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Tokens and projects.

Owns their rows; a token is known by the digest of its secret only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg import errors as pg

from suanwang.adapters.store.codec import clean, dump_free, load_free
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.rows import TOKEN_COLUMNS, listed, token_from, token_row
from suanwang.domain.errors import Conflict
from suanwang.domain.identity import Project, Token
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event

_TOKEN = listed(TOKEN_COLUMNS)
_INSERT = f"INSERT INTO tokens ({_TOKEN}) VALUES ({', '.join('%s' for _ in TOKEN_COLUMNS)})"


class People:
    """The Protocol's people section."""

    _database: Database

    def add_token(self, token: Token, events: Sequence[Event]) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_INSERT, token_row(token))
            insert_events(connection, events)

        try:
            self._database.write(work, tag=f"token {token.id}")
        except pg.UniqueViolation:
            # Without a cause: the driver's message holds the digest.
            raise Conflict("this token exists already: mint another") from None

    def token(self, digest: str) -> Token | None:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {_TOKEN} FROM tokens WHERE digest = %s", (clean(digest),)).fetchone()
        return None if row is None else token_from(row)

    def tokens(self) -> Sequence[Token]:
        with self._database.reading() as connection:
            rows = connection.execute(f'SELECT {_TOKEN} FROM tokens ORDER BY id COLLATE "C"').fetchall()
        return [token_from(row) for row in rows]

    def revoke_token(self, token_id: str, at: datetime, events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(
                "UPDATE tokens SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s RETURNING true",
                (at, clean(token_id)),
            ).fetchone()
            if row is None:
                return False
            insert_events(connection, events)
            return True

        return self._database.write(work, tag=f"token {token_id}")

    def add_project(self, project: Project, events: Sequence[Event]) -> None:
        def work(connection: Connection) -> None:
            row = connection.execute(
                "INSERT INTO projects (id, title, created_at, labels) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING RETURNING true",
                (project.id, clean(project.title), project.created_at, dump_free(project.labels)),
            ).fetchone()
            if row is not None:
                insert_events(connection, events)

        self._database.write(work)

    def label_project(self, project_id: ProjectId, labels: Mapping[str, str], events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(
                "UPDATE projects SET labels = %s WHERE id = %s RETURNING true", (dump_free(labels), clean(project_id))
            ).fetchone()
            if row is None:
                return False
            insert_events(connection, events)
            return True

        return self._database.write(work, tag=f"labels of {project_id}")

    def projects(self) -> Sequence[Project]:
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT id, title, created_at, labels FROM projects ORDER BY id COLLATE "C"'
            ).fetchall()
        return [
            Project(
                id=ProjectId(row[0]),
                title=row[1],
                created_at=row[2],
                labels={name: str(value) for name, value in load_free(row[3] or "{}").items()},
            )
            for row in rows
        ]
