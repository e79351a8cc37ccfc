"""What projects may have and held lately, and the priority by which the queue is read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
READY = sa.text("coalesce(ready_at, submitted_at)")
DUE = sa.text("coalesce(hold_until, '-infinity')")


def upgrade() -> None:
    # Every job that is there is of normal priority. A constant default rewrites no row.
    op.add_column("jobs", sa.Column("priority", sa.SmallInteger(), nullable=False, server_default=sa.text("1")))
    op.drop_index("jobs_queued_idx", table_name="jobs")
    op.create_index("jobs_queued_idx", "jobs", ["priority", READY, "id", DUE], postgresql_where=QUEUED)
    op.create_table(
        "project_allowances",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("project", name="project_allowances_pkey"),
    )
    op.create_table(
        "project_means",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="project_means_pkey"),
        sa.CheckConstraint("id = 1", name="project_means_one_row_check"),
    )


def downgrade() -> None:
    op.drop_table("project_means")
    op.drop_table("project_allowances")
    op.drop_index("jobs_queued_idx", table_name="jobs")
    op.create_index("jobs_queued_idx", "jobs", [READY, "id", DUE], postgresql_where=QUEUED)
    op.drop_column("jobs", "priority")
