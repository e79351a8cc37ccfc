# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""What runs print: log chunks and curve points.

Owns that a stream has no gap and nothing twice. The rows of `output_extents` are locked first, all those of a job together:
so one job's output has one writer at a time, and who follows by sequence number misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size
from suanwang.adapters.store.record import copy_rows
from suanwang.adapters.store.rows import (
    LOG_COLUMNS,
    POINT_COLUMNS,
    listed,
    log_from,
    log_row,
    point_from,
    point_row,
)
from suanwang.domain.ids import AllocationId, JobId
from suanwang.domain.job import LogChunk, Point
from suanwang.ports import Extent

_INSERT_LOGS = f"COPY log_chunks ({listed(LOG_COLUMNS)}) FROM STDIN"
_INSERT_POINTS = (
    f"INSERT INTO points ({listed(POINT_COLUMNS)}) SELECT * FROM unnest("
    "%s::text[], %s::text[], %s::bigint[], %s::text[], %s::float8[], %s::float8[], %s::timestamptz[]) "
    "ON CONFLICT DO NOTHING"
)


@dataclass(slots=True)
class _Ends:
    """Where an allocation's output ends; grows as chunks are accepted."""

    streams: dict[str, int] = field(default_factory=dict)
    points: int = 0


class Output:
    """The Protocol's output section."""

    _database: Database

    def add_output(self, chunks: Sequence[LogChunk], points: Sequence[Point]) -> None:
        owners = {chunk.allocation_id: chunk.job_id for chunk in chunks}
        owners |= {point.allocation_id: point.job_id for point in points}
        if not owners:
            return

        def work(connection: Connection) -> None:
            ends = _lock(connection, owners)
            accepted: list[LogChunk] = []
            for chunk in chunks:
                streams = ends[chunk.allocation_id].streams
                if chunk.offset == streams[chunk.stream]:
                    streams[chunk.stream] += chunk.size
                    accepted.append(chunk)
            for point in points:
                ends[point.allocation_id].points = max(ends[point.allocation_id].points, point.line)
            if accepted:
                copy_rows(connection, _INSERT_LOGS, map(log_row, accepted))
            if points:
                columns = zip(*map(point_row, points), strict=True)
                connection.execute(_INSERT_POINTS, [list(column) for column in columns])
            _save(connection, {key: ends[key] for key in owners})

        self._database.write(work)

    def extents(self, allocation_ids: Sequence[AllocationId]) -> Mapping[AllocationId, Extent]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT allocation_id, stdout, stderr, points FROM output_extents WHERE allocation_id = ANY(%s)",
                (list(allocation_ids),),
            ).fetchall()
        found = {AllocationId(row[0]): Extent(stdout=row[1], stderr=row[2], points=row[3]) for row in rows}
        return {key: found.get(key, Extent()) for key in allocation_ids}

    def logs(self, job_id: JobId, after: int, limit: int) -> Sequence[tuple[int, LogChunk]]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT seq, {listed(LOG_COLUMNS)} FROM log_chunks WHERE job_id = %s AND seq > %s "
                "ORDER BY seq LIMIT %s",
                (job_id, after, page_size(limit)),
            ).fetchall()
        return [(row[0], log_from(row[1:])) for row in rows]

    def points(self, job_id: JobId) -> Sequence[Point]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {listed(POINT_COLUMNS)} FROM points WHERE job_id = %s ORDER BY seq", (job_id,)
            ).fetchall()
        return [point_from(row) for row in rows]


def _lock(connection: Connection, owners: Mapping[AllocationId, JobId]) -> dict[AllocationId, _Ends]:
    keys = sorted(owners)
    connection.execute(
        "INSERT INTO output_extents (allocation_id, job_id) SELECT * FROM unnest(%s::text[], %s::text[]) "
        "ON CONFLICT DO NOTHING",
        (keys, [owners[key] for key in keys]),
    )
    rows = connection.execute(
        "SELECT allocation_id, stdout, stderr, points FROM output_extents WHERE job_id = ANY(%s) "
        "ORDER BY allocation_id FOR UPDATE",
        (sorted(set(owners.values())),),
    ).fetchall()
    return {
        AllocationId(key): _Ends(streams={"stdout": stdout, "stderr": stderr}, points=points)
        for key, stdout, stderr, points in rows
    }


def _save(connection: Connection, ends: Mapping[AllocationId, _Ends]) -> None:
    connection.execute(
        "UPDATE output_extents AS o SET stdout = u.stdout, stderr = u.stderr, points = u.points FROM unnest("
        "%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS u(id, stdout, stderr, points) "
        "WHERE o.allocation_id = u.id",
        (
            list(ends),
            [end.streams["stdout"] for end in ends.values()],
            [end.streams["stderr"] for end in ends.values()],
            [end.points for end in ends.values()],
        ),
    )
