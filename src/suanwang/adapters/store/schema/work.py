"""Jobs, allocations, sites, what is written down about them, and people."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from suanwang.adapters.store.schema.base import INSTANT, LIVE, metadata, seq

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("array_id", Text),
    Column("array_index", Integer, nullable=False),
    Column("needs", ARRAY(Text), nullable=False),
    Column("submitted_at", INSTANT, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text("1")),
    Column("ready_at", INSTANT),
    Column("started_at", INSTANT),
    Column("ended_at", INSTANT),
    Column("site_id", Text),
    Column("allocation_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("preemptions", Integer, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=False),
    Column("exit_code", Integer),
    Column("checkpoint", JSON),
    Column("checkpoint_site", Text),
    Column("held_at", Text),
    Column("avoided", JSON),
    Column("billed_fen", BigInteger, nullable=False),
    Column("usage", JSON),
    Column("why", JSON),
    Column("hold", JSON),
    Column("hold_site", Text),
    Column("hold_until", INSTANT),
    Column("task", JSON, nullable=False),
    Column("terms", JSON),
    Index("jobs_seq_idx", "seq", unique=True),
    Index("jobs_project_idx", "project", "state", "seq"),
    Index("jobs_state_idx", "state", "seq"),
    Index("jobs_owner_idx", "owner", "state", "seq"),
    Index("jobs_name_idx", "name", "state", "seq"),
    Index("jobs_site_idx", "site_id", "state", "seq", postgresql_where=text("site_id IS NOT NULL")),
    Index("jobs_array_idx", "array_id", "seq", postgresql_where=text("array_id IS NOT NULL")),
    Index("jobs_quoted_idx", "seq", postgresql_where=text("terms IS NOT NULL AND state = 'succeeded'")),
    Index(
        "jobs_queued_idx",
        "priority",
        text("coalesce(ready_at, submitted_at)"),
        "id",
        text("coalesce(hold_until, '-infinity')"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index("jobs_hold_site_idx", "hold_site", "id", postgresql_where=text("hold_site IS NOT NULL")),
    postgresql_with={"fillfactor": "85"},
)

job_counts = Table(
    "job_counts",
    metadata,
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    PrimaryKeyConstraint("project", "state"),
)
"""Jobs per project and state, up to the changes that still lie in `job_count_changes`."""

job_count_changes = Table(
    "job_count_changes",
    metadata,
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("change", BigInteger, nullable=False),
)
"""Written by a trigger of `jobs`, appended only, so that no two writers wait for one counter; folded by readers."""

allocations = Table(
    "allocations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("lease_until", INSTANT, nullable=False),
    Column("ends_at", INSTANT),
    Column("device_model", Text),
    Column("cores", Integer, nullable=False),
    Column("memory_gb", Double, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("progress", JSON),
    UniqueConstraint("job_id", "epoch"),
    Index("allocations_one_live_idx", "job_id", unique=True, postgresql_where=LIVE),
    Index("allocations_live_site_idx", "site_id", postgresql_where=LIVE),
    # No index on lease_until: without one every renewal is a heap-only update.
    postgresql_with={"fillfactor": "80"},
)
"""`cores`, `memory_gb` and `devices` are sums over the nodes. Kept narrow: it is summed and renewed all the time."""

allocation_terms = Table(
    "allocation_terms",
    metadata,
    Column("allocation_id", Text, primary_key=True),
    Column("terms", JSON, nullable=False),
    Column("why", JSON, nullable=False),
)
"""What never changes of an allocation. The view `granted` shows it with the rest."""

sites = Table(
    "sites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_since", INSTANT, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("session", BigInteger, nullable=False),
    Column("seen_at", INSTANT),
    Column("clock_offset_s", Double),
    Column("warnings", JSON),
    Column("measured", JSON),
    Column("offering", JSON, nullable=False),
    Column("shortfalls", JSON),
)

price_lists = Table(
    "price_lists",
    metadata,
    Column("site_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("valid_from", INSTANT, nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("site_id", "version"),
)
"""Every version ever published; appended only. Those in force and to come stand in the site's row as well."""

samples = Table(
    "samples",
    metadata,
    Column("site_id", Text, nullable=False),
    Column("metric_type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("statistic", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("observed_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("site_id", "metric_type", "source", "statistic"),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("quote", JSON, nullable=False),
)

lessons = Table(
    "lessons",
    metadata,
    Column("job_id", Text, primary_key=True),
    seq(),
    Column("lesson", JSON, nullable=False),
    Index("lessons_seq_idx", "seq", unique=True),
)
"""What each finished run taught, once."""

beliefs = Table(
    "beliefs",
    metadata,
    Column("device", Text, nullable=False),
    Column("work_class", Text, nullable=False),
    Column("belief", JSON, nullable=False),
    PrimaryKeyConstraint("device", "work_class"),
)

output_extents = Table(
    "output_extents",
    metadata,
    Column("allocation_id", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("stdout", BigInteger, nullable=False, server_default=text("0")),
    Column("stderr", BigInteger, nullable=False, server_default=text("0")),
    Column("points", BigInteger, nullable=False, server_default=text("0")),
    Index("output_extents_job_idx", "job_id"),
)
"""How much of each allocation's output is stored; its row lock also orders the writers of one job's output."""

log_chunks = Table(
    "log_chunks",
    metadata,
    seq(),
    Column("job_id", Text, nullable=False),
    Column("allocation_id", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("seq"),
    UniqueConstraint("allocation_id", "stream", "start"),
    Index("log_chunks_job_idx", "job_id", "seq"),
)

points = Table(
    "points",
    metadata,
    seq(),
    Column("job_id", Text, nullable=False),
    Column("allocation_id", Text, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("step", Double, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", INSTANT, nullable=False),
    PrimaryKeyConstraint("allocation_id", "line", "name"),
    Index("points_job_idx", "job_id", "seq"),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("project", Text),
    Column("job_id", Text),
    Column("site_id", Text),
    Column("actor", Text, nullable=False),
    Column("data", JSON),
    Index("events_job_idx", "job_id", "seq", postgresql_where=text("job_id IS NOT NULL")),
    Index("events_project_idx", "project", "seq", postgresql_where=text("project IS NOT NULL")),
    Index("events_site_idx", "site_id", "seq", postgresql_where=text("site_id IS NOT NULL")),
    Index("events_other_idx", "seq", postgresql_where=text("NOT starts_with(kind, 'job.')")),
    Index(
        "events_standing_idx",
        "site_id",
        "seq",
        postgresql_where=text("kind IN ('site.reachable', 'site.suspect', 'site.lost')"),
    ),
    Index("events_start_idx", "project", "at", postgresql_where=text("kind IN ('job.started', 'job.failed')")),
)

event_clock = Table(
    "event_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("shift", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""Added to transaction numbers in `events.seq`, so that history restored into another server stays in front."""

usage_records = Table(
    "usage_records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("allocation_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("memory_gb", Double, nullable=False),
    Column("device_model", Text),
    Column("devices", Integer, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("carbon_g", Double, nullable=False),
    Column("corrects", Text),
    CheckConstraint("to_at > from_at", name="interval"),
    Index("usage_records_once_idx", "allocation_id", "from_at", unique=True, postgresql_where=text("corrects IS NULL")),
    Index("usage_records_corrected_idx", "corrects", "from_at", unique=True),
    Index("usage_records_job_idx", "job_id", "from_at"),
    Index("usage_records_site_idx", "site_id", "from_at"),
    Index("usage_records_volume_idx", "project", "site_id", "from_at", postgresql_where=text("devices > 0")),
)

bill_lines = Table(
    "bill_lines",
    metadata,
    seq(),
    Column("usage_id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT, nullable=False),
    Column("description", Text, nullable=False),
    Column("rated_yuan", Numeric, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("tally_yuan", Numeric),
    Column("pricing", JSON),
    Index("bill_lines_seq_idx", "seq", unique=True),
    Index("bill_lines_project_idx", "project", "seq"),
    Index("bill_lines_job_idx", "job_id", "seq"),
    Index("bill_lines_site_idx", "site_id", "seq"),
    Index("bill_lines_provider_idx", "provider", "seq"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("project", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("owners", Text, nullable=False),
    Column("rated_yuan", Numeric, nullable=False),
    PrimaryKeyConstraint("project", "site_id", "month", "owners"),
    postgresql_with={"fillfactor": "50"},
)
"""What lines are rounded by. A row's lock orders those who write lines of it."""

files = Table(
    "files",
    metadata,
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("folder", Boolean, nullable=False),
    Column("job_id", Text),
    Column("site_id", Text),
    Column("residency", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("project", "name", "version"),
    Index("files_content_idx", "sha256", "project"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("principal", JSON, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT),
    Column("revoked_at", INSTANT),
    Column("note", Text, nullable=False),
    UniqueConstraint("digest"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("labels", JSON),
)

project_allowances = Table(
    "project_allowances",
    metadata,
    Column("project", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)

project_means = Table(
    "project_means",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", INSTANT, nullable=False),
    Column("value", JSON, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""What each project held lately, as of `at`, which guards the row."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("job_ids", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("principal", "key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", INSTANT),
    PrimaryKeyConstraint("id"),
)
"""A notice is due while `next_at` is NULL or past; told ones are deleted."""
