"""Quotes, what finished runs teach, and where a probe fell short."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("terms", postgresql.JSON()))
    op.add_column("sites", sa.Column("shortfalls", postgresql.JSON()))
    op.create_index(
        "jobs_quoted_idx", "jobs", ["seq"], postgresql_where=sa.text("terms IS NOT NULL AND state = 'succeeded'")
    )
    op.create_table(
        "quotes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quote", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="quotes_pkey"),
    )
    op.create_table(
        "lessons",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lesson", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="lessons_pkey"),
    )
    op.create_index("lessons_seq_idx", "lessons", ["seq"], unique=True)
    op.create_table(
        "beliefs",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("work_class", sa.Text(), nullable=False),
        sa.Column("belief", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("device", "work_class", name="beliefs_pkey"),
    )


def downgrade() -> None:
    for table in ("beliefs", "lessons", "quotes"):
        op.drop_table(table)
    op.drop_index("jobs_quoted_idx", table_name="jobs")
    op.drop_column("sites", "shortfalls")
    op.drop_column("jobs", "terms")
