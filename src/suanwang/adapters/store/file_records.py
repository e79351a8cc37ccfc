# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Names and versions of files.

Owns that versions of a name count up from 1 without a gap. Knows nothing of bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size
from suanwang.adapters.store.rows import FILE_COLUMNS, file_from, file_row, listed
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import ProjectId

_FILE = listed(FILE_COLUMNS)
_INSERT = f"INSERT INTO files ({_FILE}) VALUES ({', '.join('%s' for _ in FILE_COLUMNS)})"


def add_file(connection: Connection, record: FileRecord) -> FileRecord:
    """The Protocol's `add_file`, within the caller's transaction."""
    name = clean(record.name)
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('suanwang file ' || %s || '/' || %s, 0))",
        (record.project, name),
    )
    content = record.content
    known = connection.execute(
        f"SELECT {_FILE} FROM files WHERE project = %s AND name = %s AND sha256 = %s AND size = %s "
        "AND folder = %s AND site_id IS NOT DISTINCT FROM %s ORDER BY version LIMIT 1",
        (record.project, name, content.sha256, content.size, content.folder, record.site_id),
    ).fetchone()
    if known is not None:
        return file_from(known)
    row = connection.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM files WHERE project = %s AND name = %s", (record.project, name)
    ).fetchone()
    assert row is not None, "an aggregate has one row"
    kept = replace(record, name=name, version=row[0])
    connection.execute(_INSERT, file_row(kept))
    return kept


class FileRecords:
    """The Protocol's files section."""

    _database: Database

    def add_file(self, record: FileRecord) -> FileRecord:
        return self._database.write(lambda connection: add_file(connection, record))

    def file(self, project: ProjectId, name: str) -> FileRecord | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_FILE} FROM files WHERE project = %s AND name = %s ORDER BY version DESC LIMIT 1",
                (project, clean(name)),
            ).fetchone()
        return None if row is None else file_from(row)

    def files(self, project: ProjectId, cursor: str | None, limit: int) -> tuple[Sequence[FileRecord], str | None]:
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT DISTINCT ON (name) {_FILE} FROM files WHERE project = %s AND name > %s "
                "ORDER BY name, version DESC LIMIT %s",
                (project, clean(cursor or ""), size + 1),
            ).fetchall()
        page = [file_from(row) for row in rows[:size]]
        return page, page[-1].name if len(rows) > size else None

    def file_readers(self, sha256: str) -> Collection[ProjectId]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT DISTINCT project FROM files WHERE sha256 = %s", (sha256,)).fetchall()
        return {ProjectId(row[0]) for row in rows}

    def file_of(self, project: ProjectId, sha256: str) -> FileRecord | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_FILE} FROM files WHERE project = %s AND sha256 = %s AND site_id IS NULL "
                "ORDER BY created_at DESC, version DESC LIMIT 1",
                (project, sha256),
            ).fetchone()
        return None if row is None else file_from(row)
