"""The first tables.

Owns the first shape of the database, with what SQLAlchemy does not describe: counters kept by a trigger, and tables that
refuse every change of what they hold.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("events", "usage_records", "bill_lines")

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""

COUNT_JOBS = """
CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_count_changes (project, state, change)
        SELECT project, state, count(*) FROM fresh GROUP BY project, state;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO job_count_changes (project, state, change)
        SELECT project, state, -count(*) FROM stale GROUP BY project, state;
    ELSE
        INSERT INTO job_count_changes (project, state, change)
        SELECT project, state, sum(change) FROM (
            SELECT project, state, 1 AS change FROM fresh UNION ALL SELECT project, state, -1 FROM stale
        ) AS sides GROUP BY project, state HAVING sum(change) <> 0;
    END IF;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    _jobs()
    _sites()
    _output()
    _record()
    _files_and_people()
    _counters()
    _append_only()
    op.execute("INSERT INTO event_clock (id, shift) VALUES (1, 0)")


def _counters() -> None:
    op.execute(COUNT_JOBS)
    for operation, tables in (
        ("INSERT", "NEW TABLE AS fresh"),
        ("UPDATE", "OLD TABLE AS stale NEW TABLE AS fresh"),
        ("DELETE", "OLD TABLE AS stale"),
    ):
        op.execute(
            f"CREATE TRIGGER count_{operation.lower()} AFTER {operation} ON jobs REFERENCING {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION count_jobs()"
        )


def _append_only() -> None:
    op.execute(REFUSE_CHANGE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("array_id", sa.Text(), nullable=True),
        sa.Column("array_index", sa.Integer(), nullable=False),
        sa.Column("needs", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("site_id", sa.Text(), nullable=True),
        sa.Column("allocation_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("checkpoint", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("checkpoint_site", sa.Text(), nullable=True),
        sa.Column("held_at", sa.Text(), nullable=True),
        sa.Column("avoided", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("billed_fen", sa.BigInteger(), nullable=False),
        sa.Column("usage", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("why", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("task", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(
        "jobs_array_idx", "jobs", ["array_id", "seq"], unique=False, postgresql_where=sa.text("array_id IS NOT NULL")
    )
    op.create_index("jobs_name_idx", "jobs", ["name", "state", "seq"], unique=False)
    op.create_index("jobs_owner_idx", "jobs", ["owner", "state", "seq"], unique=False)
    op.create_index("jobs_project_idx", "jobs", ["project", "state", "seq"], unique=False)
    op.create_index(
        "jobs_queued_idx",
        "jobs",
        [sa.literal_column("coalesce(ready_at, submitted_at)"), "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("jobs_seq_idx", "jobs", ["seq"], unique=True)
    op.create_index(
        "jobs_site_idx",
        "jobs",
        ["site_id", "state", "seq"],
        unique=False,
        postgresql_where=sa.text("site_id IS NOT NULL"),
    )
    op.create_index("jobs_state_idx", "jobs", ["state", "seq"], unique=False)
    op.create_table(
        "job_counts",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "state", name=op.f("job_counts_pkey")),
    )
    op.create_table(
        "job_count_changes",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "allocations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device_model", sa.Text(), nullable=True),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("memory_gb", sa.Double(), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("terms", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("why", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("progress", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("allocations_pkey")),
        sa.UniqueConstraint("job_id", "epoch", name=op.f("allocations_job_id_epoch_key")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "allocations_live_site_idx",
        "allocations",
        ["site_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('leased', 'running')"),
    )
    op.create_index(
        "allocations_one_live_idx",
        "allocations",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('leased', 'running')"),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("job_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("idempotency_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )


def _sites() -> None:
    op.create_table(
        "sites",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clock_offset_s", sa.Double(), nullable=True),
        sa.Column("warnings", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("measured", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("offering", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("sites_pkey")),
    )
    op.create_table(
        "samples",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("metric_type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("statistic", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "metric_type", "source", "statistic", name=op.f("samples_pkey")),
    )


def _output() -> None:
    op.create_table(
        "output_extents",
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stdout", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("stderr", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("points", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("output_extents_pkey")),
    )
    op.create_index("output_extents_job_idx", "output_extents", ["job_id"], unique=False)
    op.create_table(
        "log_chunks",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("log_chunks_pkey")),
        sa.UniqueConstraint("allocation_id", "stream", "start", name=op.f("log_chunks_allocation_id_stream_start_key")),
    )
    op.create_index("log_chunks_job_idx", "log_chunks", ["job_id", "seq"], unique=False)
    op.create_table(
        "points",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("step", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", "line", "name", name=op.f("points_pkey")),
    )
    op.create_index("points_job_idx", "points", ["job_id", "seq"], unique=False)


def _record() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("site_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("events_pkey")),
    )
    op.create_index(
        "events_job_idx", "events", ["job_id", "seq"], unique=False, postgresql_where=sa.text("job_id IS NOT NULL")
    )
    op.create_index(
        "events_other_idx", "events", ["seq"], unique=False, postgresql_where=sa.text("NOT starts_with(kind, 'job.')")
    )
    op.create_index(
        "events_project_idx",
        "events",
        ["project", "seq"],
        unique=False,
        postgresql_where=sa.text("project IS NOT NULL"),
    )
    op.create_index(
        "events_site_idx", "events", ["site_id", "seq"], unique=False, postgresql_where=sa.text("site_id IS NOT NULL")
    )
    op.create_table(
        "event_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shift", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("event_clock_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("event_clock_pkey")),
    )
    op.create_table(
        "usage_records",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("memory_gb", sa.Double(), nullable=False),
        sa.Column("device_model", sa.Text(), nullable=True),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.Column("carbon_g", sa.Double(), nullable=False),
        sa.CheckConstraint("to_at > from_at", name=op.f("usage_records_interval_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("usage_records_pkey")),
        sa.UniqueConstraint("allocation_id", "from_at", name=op.f("usage_records_allocation_id_from_at_key")),
    )
    op.create_index("usage_records_job_idx", "usage_records", ["job_id", "from_at"], unique=False)
    op.create_table(
        "bill_lines",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("usage_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rated_yuan", sa.Numeric(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name=op.f("bill_lines_pkey")),
    )
    op.create_index("bill_lines_job_idx", "bill_lines", ["job_id", "seq"], unique=False)
    op.create_index("bill_lines_project_idx", "bill_lines", ["project", "seq"], unique=False)
    op.create_index("bill_lines_provider_idx", "bill_lines", ["provider", "seq"], unique=False)
    op.create_index("bill_lines_seq_idx", "bill_lines", ["seq"], unique=True)
    op.create_index("bill_lines_site_idx", "bill_lines", ["site_id", "seq"], unique=False)


def _files_and_people() -> None:
    op.create_table(
        "files",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("folder", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("site_id", sa.Text(), nullable=True),
        sa.Column("residency", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", "version", name=op.f("files_pkey")),
    )
    op.create_index("files_content_idx", "files", ["sha256", "project"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("principal", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tokens_pkey")),
        sa.UniqueConstraint("digest", name=op.f("tokens_digest_key")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("projects_pkey")),
    )
