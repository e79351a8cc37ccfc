# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Sites, what is held of them, and their samples.

Owns the guarded site row and the sums over live allocations. Knows nothing of what a sample means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from psycopg import errors as pg

from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.rows import (
    PRICE_LIST,
    SAMPLE_COLUMNS,
    SITE_COLUMNS,
    listed,
    sample_from,
    sample_row,
    site_from,
    site_row,
)
from suanwang.adapters.store.tree import publish
from suanwang.domain.errors import Conflict
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.pricing import PriceList
from suanwang.domain.sample import Sample
from suanwang.domain.site import Ending, Held, Site
from suanwang.trading.published import Published

_SITE = listed(SITE_COLUMNS)
_MARKS = ", ".join("%s" for _ in SITE_COLUMNS)
_INSERT = f"INSERT INTO sites ({_SITE}) VALUES ({_MARKS})"
_UPDATE = f"UPDATE sites SET ({_SITE}) = ROW({_MARKS}) WHERE id = %s AND revision = %s RETURNING true"
_UNHOLD = (
    "WITH held AS MATERIALIZED (SELECT id FROM jobs WHERE hold_site = %s AND state = 'queued' ORDER BY id FOR UPDATE) "
    "UPDATE jobs SET hold = NULL, hold_site = NULL, hold_until = NULL, revision = revision + 1 "
    "FROM held WHERE jobs.id = held.id"
)
"""Jobs are locked in their order, as steps lock them."""
_PUT_SAMPLES = (
    f"INSERT INTO samples AS s (site_id, {listed(SAMPLE_COLUMNS)}) SELECT * FROM unnest("
    "%s::text[], %s::text[], %s::text[], %s::float8[], %s::text[], %s::text[], %s::timestamptz[]) "
    "ON CONFLICT (site_id, metric_type, source, statistic) DO UPDATE SET "
    "unit = excluded.unit, value = excluded.value, observed_at = excluded.observed_at "
    "WHERE s.observed_at <= excluded.observed_at"
)

MOST_VERSIONS = 2**31 - 1
_DEVICE_US = (
    "SELECT coalesce(sum(CASE WHEN corrects IS NULL THEN devices ELSE -devices END * "
    "(extract(epoch FROM to_at - from_at) * 1000000)), 0)::int8 FROM usage_records "
    "WHERE project = %s AND site_id = %s AND device_model = %s AND from_at >= %s AND from_at < %s AND devices > 0"
)
_DEVICES_USED = (
    "SELECT project, site_id, device_model, coalesce(sum(CASE WHEN corrects IS NULL THEN devices ELSE -devices END * "
    "(extract(epoch FROM to_at - from_at) * 1000000)), 0)::int8 FROM usage_records WHERE project = ANY(%s) "
    "AND site_id = ANY(%s) AND from_at >= %s AND from_at < %s AND devices > 0 AND device_model IS NOT NULL "
    'GROUP BY 1, 2, 3 ORDER BY project COLLATE "C", site_id COLLATE "C", device_model COLLATE "C"'
)
MANY_ENDINGS = 5000
_ENDINGS = """
SELECT site_id, device_model,
    CASE WHEN (SELECT count(*) FROM allocations WHERE state IN ('leased', 'running')) > %s
        THEN date_trunc('minute', ends_at) + interval '1 minute' ELSE ends_at END AS at,
    sum(cores)::int8, sum(memory_gb), sum(devices)::int8
FROM allocations WHERE state IN ('leased', 'running') AND ends_at IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 3
"""


class Sites:
    """The Protocol's sites section."""

    _database: Database

    def add_site(self, site: Site, events: Sequence[Event], published: Sequence[Published] = ()) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_INSERT, site_row(site))
            insert_events(connection, events)
            publish(connection, published)

        try:
            self._database.write(work, tag=f"site {site.id}")
        except pg.UniqueViolation as error:
            raise Conflict(f"a site {site.id!r} exists already: choose another identifier", field="id") from error

    def site(self, site_id: SiteId) -> Site | None:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {_SITE} FROM sites WHERE id = %s", (site_id,)).fetchone()
        return None if row is None else site_from(row)

    def sites(self) -> Sequence[Site]:
        with self._database.reading() as connection:
            rows = connection.execute(f'SELECT {_SITE} FROM sites ORDER BY id COLLATE "C"').fetchall()
        return [site_from(row) for row in rows]

    def put_site(
        self,
        site: Site,
        events: Sequence[Event] = (),
        *,
        unhold: bool = False,
        price_list: PriceList | None = None,
        published: Sequence[Published] = (),
    ) -> None:
        def work(connection: Connection) -> None:
            row = connection.execute(_UPDATE, (*site_row(site), site.id, site.revision - 1)).fetchone()
            if row is None:
                raise Conflict(f"site {site.id} was changed meanwhile: read it again")
            insert_events(connection, events)
            if price_list is not None:
                row = (site.id, price_list.version, price_list.valid_from, PRICE_LIST.dump(price_list))
                connection.execute("INSERT INTO price_lists VALUES (%s, %s, %s, %s)", row)
            if unhold:
                connection.execute(_UNHOLD, (site.id,))
            publish(connection, published)

        try:
            self._database.write(work, tag=f"site {site.id}")
        except pg.UniqueViolation as error:
            raise Conflict(f"site {site.id} has a price list of that number: read it again") from error

    def price_lists(self, site_id: SiteId, before: int | None, limit: int) -> Sequence[PriceList]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM price_lists WHERE site_id = %s AND version < %s ORDER BY version DESC LIMIT %s",
                (site_id, MOST_VERSIONS if before is None else before, limit),
            ).fetchall()
        return [PRICE_LIST.load(value) for (value,) in rows]

    def device_us(self, project: ProjectId, site_id: SiteId, device: str, from_at: datetime, to_at: datetime) -> int:
        with self._database.reading() as connection:
            row = connection.execute(_DEVICE_US, (project, site_id, device, from_at, to_at)).fetchone()
        return 0 if row is None else int(row[0])

    def devices_used(
        self, projects: Collection[ProjectId], sites: Collection[SiteId], from_at: datetime, to_at: datetime
    ) -> Sequence[tuple[ProjectId, SiteId, str, int]]:
        with self._database.reading() as connection:
            rows = connection.execute(_DEVICES_USED, (sorted(projects), sorted(sites), from_at, to_at)).fetchall()
        return [(ProjectId(row[0]), SiteId(row[1]), row[2], row[3]) for row in rows]

    def held(self) -> Mapping[SiteId, Held]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT site_id, device_model, sum(cores), sum(memory_gb), sum(devices), count(*) FROM allocations "
                "WHERE state IN ('leased', 'running') GROUP BY site_id, device_model"
            ).fetchall()
        sums: dict[SiteId, Held] = {}
        for site_id, model, cores, memory_gb, devices, count in rows:
            had = sums.get(site_id, Held())
            sums[site_id] = Held(
                cores=had.cores + cores,
                memory_gb=had.memory_gb + memory_gb,
                devices={**had.devices, model: devices} if model is not None and devices else had.devices,
                allocations=had.allocations + count,
            )
        return sums

    def endings(self) -> Mapping[SiteId, Sequence[Ending]]:
        with self._database.reading() as connection:
            rows = connection.execute(_ENDINGS, (MANY_ENDINGS,)).fetchall()
        found: dict[SiteId, list[Ending]] = {}
        for site_id, model, at, cores, memory_gb, devices in rows:
            end = Ending(at=at, cores=cores, memory_gb=memory_gb, device_model=model, devices=devices)
            found.setdefault(site_id, []).append(end)
        return found

    def add_samples(self, site_id: SiteId, samples: Sequence[Sample]) -> None:
        newest: dict[tuple[str, str, str], Sample] = {}
        for sample in sorted(samples, key=lambda sample: sample.observed_at):
            newest[sample.metric_type, sample.source, sample.statistic] = sample
        if newest:
            rows = [sample_row(site_id, newest[key]) for key in sorted(newest)]
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._database.write(lambda connection: connection.execute(_PUT_SAMPLES, columns))

    def samples(self, site_id: SiteId) -> Sequence[Sample]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {listed(SAMPLE_COLUMNS)} FROM samples WHERE site_id = %s "
                'ORDER BY metric_type COLLATE "C", source COLLATE "C", statistic COLLATE "C"',
                (site_id,),
            ).fetchall()
        return [sample_from(row) for row in rows]
