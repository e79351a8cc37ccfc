"""Months of plans: subscriptions and commitments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "plan_months",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project", "site_id", "device")),
        sa.Column("from_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("to_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("paid", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("retry_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("project", "site_id", "device", "from_at", name="plan_months_pkey"),
    )
    op.create_index("plan_months_end_idx", "plan_months", ["to_at"])
    op.create_index("plan_months_due_idx", "plan_months", ["retry_at"], postgresql_where=sa.text("NOT paid"))
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON plan_months "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("plan_months")
