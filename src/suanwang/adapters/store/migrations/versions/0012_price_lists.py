"""Dated price lists, and how a bill line's unit prices came about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_lists",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "version", name="price_lists_pkey"),
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON price_lists "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.add_column("bill_lines", sa.Column("pricing", postgresql.JSON(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "usage_records_volume_idx",
        "usage_records",
        ["project", "site_id", "from_at"],
        postgresql_where=sa.text("devices > 0"),
    )


def downgrade() -> None:
    op.drop_index("usage_records_volume_idx", table_name="usage_records")
    op.drop_column("bill_lines", "pricing")
    op.drop_table("price_lists")
