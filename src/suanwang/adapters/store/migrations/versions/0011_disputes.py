"""Disputes about bill lines, and the index that a site's use over days is read by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disputes",
        sa.Column("usage_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name="disputes_pkey"),
    )
    op.create_index("disputes_seq_idx", "disputes", ["seq"], unique=True)
    op.create_index("disputes_project_idx", "disputes", ["project", "seq"])
    op.create_index("disputes_provider_idx", "disputes", ["provider", "seq"])
    op.create_index("disputes_open_idx", "disputes", ["seq"], postgresql_where=sa.text("undecided"))
    op.execute(
        "CREATE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON disputes "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE ON disputes FOR EACH ROW WHEN (NOT OLD.undecided) "
        "EXECUTE FUNCTION refuse_change()"
    )
    op.create_index("usage_records_site_idx", "usage_records", ["site_id", "from_at"])
