"""Vouchers, the jobs that are paid with them, and whose a project is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("labels", postgresql.JSON(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "vouchers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("holders", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="vouchers_pkey"),
    )
    op.create_index("vouchers_seq_idx", "vouchers", ["seq"], unique=True)
    op.create_index("vouchers_holders_idx", "vouchers", ["holders"], postgresql_using="gin")
    op.create_index("vouchers_open_idx", "vouchers", ["until_at"], postgresql_where=sa.text("NOT closed"))
    op.create_table(
        "voucher_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("voucher_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="voucher_jobs_pkey"),
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_jobs "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
