# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Questions about jobs and allocations.

Owns the statements that answer them, and which index each page is read from. Changes nothing but the folded counters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.rows import (
    ALLOCATION_READ,
    JOB_COLUMNS,
    Row,
    allocation_from,
    job_from,
    listed,
)
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, Job, Place
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.ports import JobQuery

_JOB = listed(JOB_COLUMNS)
_JOB_J = listed(JOB_COLUMNS, "j.")
BOTH = f"{_JOB_J}, {listed(ALLOCATION_READ, 'a.')}"
_LIVE = "a.state IN ('leased', 'running')"
_BROKEN = ", ".join(f"'{state}'" for state in sorted(ENDED - {JobState.SUCCEEDED}))
_BATCH = 20_000
FOLD_AT = 512
"""Counter changes that readers leave unfolded."""


class JobReads:
    """The Protocol's reading half of the jobs section."""

    _database: Database

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._database.reading() as connection:
            return connection.execute(statement, values).fetchall()

    def job(self, job_id: JobId) -> Job | None:
        rows = self._rows(f"SELECT {_JOB} FROM jobs WHERE id = %s", (job_id,))
        return job_from(rows[0]) if rows else None

    def jobs(self, query: JobQuery, cursor: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
        size = page_size(limit)
        statement, values = _page(query, None if cursor is None else position(cursor), size + 1)
        rows = self._rows(statement, values)
        return [job_from(row[1:]) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None

    def jobs_by_id(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        found: dict[JobId, Job] = {}
        remaining = iter(job_ids)
        while part := list(islice(remaining, _BATCH)):
            rows = self._rows(f"SELECT {_JOB} FROM jobs WHERE id = ANY(%s)", (part,))
            found.update((job.id, job) for job in map(job_from, rows))
        return found

    def count_jobs(self, projects: Collection[ProjectId] | None = None) -> Mapping[JobState, int]:
        where, values = ("", ()) if projects is None else ("WHERE project = ANY(%s)", (list(projects),) * 2)
        rows = self._rows(
            "SELECT state, sum(jobs)::bigint, sum(changes)::bigint FROM ("
            f"SELECT state, jobs, 0 AS changes FROM job_counts {where} UNION ALL "
            f"SELECT state, change, 1 FROM job_count_changes {where}) AS c GROUP BY state",
            values,
        )
        if sum(row[2] for row in rows) > FOLD_AT:
            self._database.write(fold_counts)
        return {JobState(state): jobs for state, jobs, _ in rows if jobs}

    def queued(self, limit: int, after: Place | None = None, now: datetime | None = None) -> Sequence[Job]:
        behind = "" if after is None else "AND (priority, coalesce(ready_at, submitted_at), id) > (%s, %s, %s) "
        # In the words of the index, so that the rows of held jobs are not even fetched.
        due = "" if now is None else "AND coalesce(hold_until, '-infinity') <= %s "
        rows = self._rows(
            f"SELECT {_JOB} FROM jobs WHERE state = 'queued' {behind}{due}"
            "ORDER BY priority, coalesce(ready_at, submitted_at), id LIMIT %s",
            (*(after or ()), *(() if now is None else (now,)), page_size(limit)),
        )
        return [job_from(row) for row in rows]

    def decided_waiting(self, limit: int) -> Sequence[tuple[Job, Mapping[JobId, JobState]]]:
        rows = self._rows(
            f"SELECT {_JOB_J}, n.ids, n.states FROM jobs j CROSS JOIN LATERAL ("
            "SELECT array_agg(m.id) AS ids, array_agg(m.state) AS states, "
            "coalesce(bool_and(m.state IS NOT DISTINCT FROM 'succeeded'), true) AS ready, "
            f"coalesce(bool_or(m.state IN ({_BROKEN})), false) AS broken "
            "FROM unnest(j.needs) AS need LEFT JOIN jobs m ON m.id = need) AS n "
            "WHERE j.state = 'waiting' AND (n.ready OR n.broken) ORDER BY j.seq LIMIT %s",
            (page_size(limit),),
        )
        return [(job_from(row[:-2]), _states(row[-2], row[-1])) for row in rows]

    def live_at(self, site_id: SiteId) -> Sequence[tuple[Job, Allocation]]:
        rows = self._rows(
            f"SELECT {BOTH} FROM granted a JOIN jobs j ON j.id = a.job_id "
            f"WHERE a.site_id = %s AND {_LIVE} ORDER BY a.id",
            (site_id,),
        )
        return [both_from(row) for row in rows]

    def checkpointed(self, limit: int, after: AllocationId | None = None) -> Sequence[tuple[Job, Allocation]]:
        rows = self._rows(
            f"SELECT {BOTH} FROM jobs j JOIN granted a ON a.id = j.allocation_id WHERE j.state = 'running' "
            "AND j.checkpoint IS NOT NULL AND j.hold_site IS NULL AND a.id > %s ORDER BY a.id LIMIT %s",
            (after or "", page_size(limit)),
        )
        return [both_from(row) for row in rows]

    def overdue(self, before: datetime, limit: int) -> Sequence[tuple[Job, Allocation]]:
        rows = self._rows(
            f"SELECT {BOTH} FROM (SELECT a.id FROM allocations a WHERE {_LIVE} AND a.lease_until < %s "
            "ORDER BY a.id LIMIT %s) AS late JOIN granted a ON a.id = late.id JOIN jobs j ON j.id = a.job_id ORDER BY a.id",
            (before, page_size(limit)),
        )
        return [both_from(row) for row in rows]

    def allocation(self, allocation_id: AllocationId) -> Allocation | None:
        rows = self._rows(f"SELECT {listed(ALLOCATION_READ)} FROM granted WHERE id = %s", (allocation_id,))
        return allocation_from(rows[0]) if rows else None

    def allocations(self, job_id: JobId) -> Sequence[Allocation]:
        rows = self._rows(f"SELECT {listed(ALLOCATION_READ)} FROM granted WHERE job_id = %s ORDER BY epoch", (job_id,))
        return [allocation_from(row) for row in rows]


def fold_counts(connection: Connection) -> None:
    """Add the changes that are visible now to the counters; passes where another connection is at it."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('suanwang job_counts', 0))").fetchone()
    if row is not None and row[0]:
        connection.execute(
            "WITH gone AS (DELETE FROM job_count_changes RETURNING project, state, change) "
            "INSERT INTO job_counts AS c (project, state, jobs) "
            "SELECT project, state, sum(change) FROM gone GROUP BY project, state "
            "ON CONFLICT (project, state) DO UPDATE SET jobs = c.jobs + excluded.jobs"
        )


def both_from(row: Row) -> tuple[Job, Allocation]:
    width = len(JOB_COLUMNS)
    return job_from(row[:width]), allocation_from(row[width:])


def _states(ids: Sequence[str] | None, states: Sequence[str] | None) -> dict[JobId, JobState]:
    pairs = zip(ids or (), states or (), strict=True)
    return {JobId(job_id): JobState(state) for job_id, state in pairs if job_id is not None}


def _page(query: JobQuery, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """The statement for one page, newest first, and its values.

    Each of the indexes ends in (state, seq). A page is read from the one that `query` makes narrowest, as the newest
    `limit` rows of each state (and project) that may be on it: bounded work however rare a state is. The other
    conditions are checked on the way.
    """
    states = [state.value for state in (JobState if query.states is None else query.states)]
    projects = None if query.projects is None else list(query.projects)
    conditions: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("i.seq < %s", before),
        ("i.array_id = %s", query.array_id),
        ("i.name = %s", query.name),
        ("i.owner = %s", query.owner),
        ("i.site_id = %s", query.site_id),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    by_column = query.name is not None or query.owner is not None or query.site_id is not None
    front: list[Any] = []
    if query.array_id is not None or (query.states is None and projects is None and not by_column):
        source = "(SELECT 1) AS once"
        if query.states is not None:
            conditions.append("i.state = ANY(%s)")
            values.append(states)
    else:
        source = "unnest(%s::text[]) AS s(state)"
        front.append(states)
        conditions.append("i.state = s.state")
    if projects is not None:
        if by_column or query.array_id is not None:
            conditions.append("i.project = ANY(%s)")
            values.append(projects)
        else:
            source += " CROSS JOIN (SELECT DISTINCT * FROM unnest(%s::text[])) AS p(project)"
            front.append(projects)
            conditions.append("i.project = p.project")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = (
        f"SELECT j.seq, {_JOB_J} FROM jobs j WHERE j.seq IN (SELECT k.seq FROM {source} CROSS JOIN LATERAL ("
        f"SELECT i.seq FROM jobs i {where} ORDER BY i.seq DESC LIMIT %s) AS k ORDER BY k.seq DESC LIMIT %s) "
        "ORDER BY j.seq DESC"
    )
    return statement, [*front, *values, limit, limit]
