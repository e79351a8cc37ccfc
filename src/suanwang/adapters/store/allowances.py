"""What projects may have, hold, and held lately.

Owns their rows, and the sums over live allocations by project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import insert_events
from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.ports import Lately

ALLOWANCE: Codec[Allowance] = Codec(Allowance, shared=True)
LATELY: Codec[Lately] = Codec(Lately)

_HELD = """
SELECT j.project, a.device_model, sum(a.cores)::int8, sum(a.memory_gb), sum(a.devices)::int8
FROM allocations a JOIN jobs j ON j.id = a.job_id WHERE a.state IN ('leased', 'running') GROUP BY 1, 2
"""


class Allowances:
    """The Protocol's section of that name."""

    _database: Database

    def put_allowance(self, project_id: ProjectId, allowance: Allowance, events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(
                "INSERT INTO project_allowances (project, value) SELECT id, %s FROM projects WHERE id = %s "
                "ON CONFLICT (project) DO UPDATE SET value = excluded.value RETURNING true",
                (ALLOWANCE.dump(allowance), clean(project_id)),
            ).fetchone()
            if row is None:
                return False
            insert_events(connection, events)
            return True

        return self._database.write(work, tag=f"allowance of {project_id}")

    def allowances(self) -> Mapping[ProjectId, Allowance]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT project, value FROM project_allowances").fetchall()
        return {ProjectId(project): ALLOWANCE.load(value) for project, value in rows}

    def held_by_project(self) -> Mapping[ProjectId, Amounts]:
        with self._database.reading() as connection:
            rows = connection.execute(_HELD).fetchall()
        sums: dict[ProjectId, Amounts] = {}
        for name, model, cores, memory_gb, devices in rows:
            project = ProjectId(name)
            had = sums.get(project, Amounts())
            sums[project] = Amounts(
                cores=had.cores + cores,
                memory_gb=had.memory_gb + memory_gb,
                devices={**had.devices, model: devices} if model is not None and devices else had.devices,
            )
        return sums

    def lately(self) -> Lately | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM project_means").fetchone()
        return None if row is None else LATELY.load(row[0])

    def put_lately(self, lately: Lately, before: datetime | None) -> bool:
        values = {"at": lately.at, "value": LATELY.dump(lately), "before": before}

        def work(connection: Connection) -> bool:
            if before is None:
                statement = (
                    "INSERT INTO project_means (id, at, value) VALUES (1, %(at)s, %(value)s) "
                    "ON CONFLICT DO NOTHING RETURNING true"
                )
            else:
                statement = (
                    "UPDATE project_means SET at = %(at)s, value = %(value)s WHERE at = %(before)s RETURNING true"
                )
            return connection.execute(statement, values).fetchone() is not None

        return self._database.write(work)
